//! A figure: its name, kind and meaning, the path of the same value in the JSON report, and how it is read. Each figure
//! is described once.
//!
//! The tables are in [`super::worker`] and [`super::host`]; [`super::reference`] makes the manual's from them.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;

/// Names and values of labels.
pub(super) type Labels = Vec<(&'static str, String)>;

/// The description of a figure, without how it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct FigureDescription {
    /// The name, without `corecast_` and, for a counter, without `_total`.
    pub(super) name: &'static str,
    /// Counter or gauge.
    pub(super) kind: MetricType,
    /// What it counts.
    pub(super) help: &'static str,
    /// The path of the value in `GET /api/v1/node`, like `workers[].sent.packets`. Empty if it is not there.
    pub(super) json: &'static str,
}

/// A figure that is read from a `Source` at each scrape.
pub(super) struct Figure<Source: ?Sized> {
    pub(super) description: FigureDescription,
    pub(super) read: Read<Source>,
}

/// How a figure is read.
pub(super) enum Read<Source: ?Sized> {
    /// One whole number.
    Count(fn(&Source) -> u64),
    /// One real number, like seconds or a ratio.
    Real(fn(&Source) -> f64),
    /// Several values, each with labels of its own.
    Several(fn(&Source) -> Vec<(Labels, Value)>),
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Count(u64),
    Real(f64),
}

/// A figure that only grows.
pub(super) const fn counter<Source: ?Sized>(
    name: &'static str,
    help: &'static str,
    json: &'static str,
    read: Read<Source>,
) -> Figure<Source> {
    Figure { description: FigureDescription { name, kind: MetricType::Counter, help, json }, read }
}

/// A figure of the current state.
pub(super) const fn gauge<Source: ?Sized>(
    name: &'static str,
    help: &'static str,
    json: &'static str,
    read: Read<Source>,
) -> Figure<Source> {
    Figure { description: FigureDescription { name, kind: MetricType::Gauge, help, json }, read }
}

impl<Source: ?Sized> Figure<Source> {
    /// The figure's values in `source`.
    pub(super) fn values(&self, source: &Source) -> Vec<(Labels, Value)> {
        match self.read {
            Read::Count(read) => vec![(Labels::new(), Value::Count(read(source)))],
            Read::Real(read) => vec![(Labels::new(), Value::Real(read(source)))],
            Read::Several(read) => read(source),
        }
    }
}

/// Writes all figures of all sources, each source with its own labels. The format requires this to go figure by figure.
pub(super) fn encode<Source: ?Sized>(
    encoder: &mut DescriptorEncoder<'_>,
    figures: &[Figure<Source>],
    sources: &[(Labels, &Source)],
) -> fmt::Result {
    for figure in figures {
        let FigureDescription { name, kind, help, .. } = figure.description;
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for (common, source) in sources {
            for (own, value) in figure.values(source) {
                let labels = common.iter().cloned().chain(own).collect::<Labels>();
                if labels.is_empty() {
                    write(&mut metric, kind, value)?;
                } else {
                    write(&mut metric.encode_family(&labels)?, kind, value)?;
                }
            }
        }
    }
    Ok(())
}

fn write(metric: &mut MetricEncoder<'_>, kind: MetricType, value: Value) -> fmt::Result {
    match (kind, value) {
        (MetricType::Counter, Value::Count(value)) => metric.encode_counter::<Labels, _, u64>(&value, None),
        (MetricType::Counter, Value::Real(value)) => metric.encode_counter::<Labels, _, u64>(&value, None),
        (_, Value::Count(value)) => metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)),
        (_, Value::Real(value)) => metric.encode_gauge(&value),
    }
}

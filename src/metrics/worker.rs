//! The workers' figures, from their reports. Nothing is kept between scrapes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::figure::{self, Figure, Labels, Read, Value, counter, gauge};
use crate::limits;
use crate::worker::report::{EncodingReport, WorkerReport};

/// The reports as a collector.
#[derive(Debug)]
pub(super) struct WorkerFigures(pub(super) Arc<Vec<WorkerReport>>);

/// The figures of each worker.
pub(super) const WORKER: &[Figure<WorkerReport>] = &[
    counter("worker_rounds", "Rounds of the worker's loop", "workers[].rounds", Read::Count(|w| w.rounds)),
    counter(
        "worker_received_packets",
        "Datagrams received",
        "workers[].received.packets",
        Read::Count(|w| w.received.packets),
    ),
    counter(
        "worker_received_bytes",
        "UDP payload received",
        "workers[].received.bytes",
        Read::Count(|w| w.received.bytes),
    ),
    counter(
        "worker_sent_packets",
        "Datagrams sent, retransmissions included",
        "workers[].sent.packets",
        Read::Count(|w| w.sent.packets),
    ),
    counter(
        "worker_sent_bytes",
        "UDP payload sent, retransmissions included",
        "workers[].sent.bytes",
        Read::Count(|w| w.sent.bytes),
    ),
    counter(
        "worker_forwarded_packets",
        "Media packets sealed and sent to viewers",
        "workers[].forwarded.packets",
        Read::Count(|w| w.forwarded.packets),
    ),
    counter(
        "worker_forwarded_bytes",
        "Media bytes sealed and sent to viewers",
        "workers[].forwarded.bytes",
        Read::Count(|w| w.forwarded.bytes),
    ),
    counter(
        "worker_channel_messages_received",
        "Data-channel messages of publishers that were relayed",
        "workers[].channel_messages_received",
        Read::Count(|w| w.channel_messages_received),
    ),
    counter(
        "worker_channel_messages_sent",
        "Data-channel messages given to viewers",
        "workers[].channel_messages_sent",
        Read::Count(|w| w.channel_messages_sent),
    ),
    counter(
        "worker_channel_messages_back",
        "Viewers' data-channel messages given to publishers",
        "workers[].channel_messages_back",
        Read::Count(|w| w.channel_messages_back),
    ),
    counter(
        "worker_retransmitted_packets",
        "Packets sent again on request",
        "workers[].retransmitted.packets",
        Read::Count(|w| w.retransmitted.packets),
    ),
    counter(
        "worker_retransmitted_bytes",
        "Bytes sent again on request",
        "workers[].retransmitted.bytes",
        Read::Count(|w| w.retransmitted.bytes),
    ),
    counter(
        "worker_messages_sent",
        "Messages handed to the kernel; a train is one",
        "workers[].messages_sent",
        Read::Count(|w| w.messages_sent),
    ),
    counter(
        "worker_segments_sent",
        "Segments handed to the kernel",
        "workers[].segments_sent",
        Read::Count(|w| w.segments_sent),
    ),
    counter(
        "worker_lane_packets_sent",
        "Lane records sent to other workers",
        "workers[].lane_packets_sent",
        Read::Count(|w| w.lane_packets_sent),
    ),
    counter(
        "worker_lane_packets_received",
        "Lane records received from other workers",
        "workers[].lane_packets_received",
        Read::Count(|w| w.lane_packets_received),
    ),
    counter("worker_joins", "Sessions opened", "workers[].joins", Read::Count(|w| w.joins)),
    counter("worker_connected", "Sessions that finished DTLS", "workers[].connected", Read::Count(|w| w.connected)),
    counter(
        "worker_handshakes_deferred",
        "Datagrams of handshakes that waited for a later round",
        "workers[].handshakes_deferred",
        Read::Count(|w| w.handshakes_deferred),
    ),
    counter("worker_ended", "Sessions ended, by reason", "workers[].ended", Read::Several(|w| by_reason(&w.ended))),
    counter(
        "worker_switches",
        "Decisions that a viewer is sent another encoding or sound only, by reason",
        "workers[].switches",
        Read::Several(|w| by_reason(&w.switches)),
    ),
    counter(
        "worker_rekeys",
        "Changes of sessions' keys, by what became of them",
        "workers[].rekeys",
        Read::Several(|w| by_reason(&w.rekeys)),
    ),
    counter(
        "worker_dropped",
        "What was dropped or refused, by reason",
        "workers[].dropped",
        Read::Several(|w| by_reason(&w.dropped)),
    ),
    counter(
        "worker_cpu_seconds",
        "CPU time of its thread",
        "workers[].cpu_time_ns",
        Read::Real(|w| w.cpu_time_ns as f64 / 1e9),
    ),
    counter(
        "worker_system_cpu_seconds",
        "The part of its CPU time that the kernel used",
        "workers[].system_time_ns",
        Read::Real(|w| w.system_time_ns as f64 / 1e9),
    ),
    gauge(
        "worker_uptime_seconds",
        "Time since it started",
        "workers[].uptime_ns",
        Read::Real(|w| w.uptime_ns as f64 / 1e9),
    ),
    gauge(
        "worker_busy_ratio",
        "Share of the last second it was busy",
        "workers[].busy_permille",
        Read::Real(|w| f64::from(w.busy_permille) / 1e3),
    ),
    gauge(
        "worker_sessions",
        "Sessions on the worker now",
        "workers[].sessions",
        Read::Count(|w| w.sessions.len() as u64),
    ),
    gauge(
        "worker_handshakes",
        "Sessions that are open and not connected now",
        "workers[].handshakes",
        Read::Count(|w| w.handshakes),
    ),
    counter(
        "worker_trains",
        "Messages handed to the kernel, by the packets they carried: at least so many, less than twice",
        "workers[].trains",
        Read::Several(trains),
    ),
    gauge(
        "worker_residence_seconds",
        "Time from a packet's arrival until its send to the first or last viewer had returned, since the start",
        "workers[].residence",
        Read::Several(residence),
    ),
];

/// The figures of each stream, over all workers. Anybody may invent names to wait for, so only published streams are
/// labels, at most [`limits::STREAM_LABELS_MAX`] of them; all others are one sum.
pub(super) const STREAMS: &[Figure<[WorkerReport]>] = &[
    gauge(
        "stream_viewers",
        "Viewers of the stream; those of streams without a label are summed up as (others)",
        "workers[].streams[].viewers",
        Read::Several(stream_viewers),
    ),
    gauge(
        "stream_published",
        "Whether the stream has a publisher; of (others): how many have",
        "workers[].streams[].origin",
        Read::Several(stream_published),
    ),
    gauge(
        "stream_encoding_bits_per_second",
        "Of a stream with simulcast, by rid: bits a second that a viewer is sent of it; zero while its publisher does not send it",
        "workers[].streams[].encodings[].bits_per_second",
        Read::Several(|reports| {
            by_encoding(reports, |encoding, sum| sum.max(if encoding.alive { encoding.bits_per_second } else { 0 }))
        }),
    ),
    gauge(
        "stream_encoding_height",
        "Of a stream with simulcast, by rid: height of its pictures in pixels",
        "workers[].streams[].encodings[].height",
        Read::Several(|reports| by_encoding(reports, |encoding, sum| sum.max(encoding.height))),
    ),
    gauge(
        "stream_encoding_viewers",
        "Of a stream with simulcast, by rid: viewers that are sent it or wait for its next key frame",
        "workers[].streams[].encodings[].viewers",
        Read::Several(|reports| by_encoding(reports, |encoding, sum| sum + encoding.viewers)),
    ),
];

impl Collector for WorkerFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let label = |report: &WorkerReport| vec![("worker", report.worker.to_string())];
        let workers: Vec<_> = self.0.iter().map(|report| (label(report), report)).collect();
        figure::encode(&mut encoder, WORKER, &workers)?;
        figure::encode(&mut encoder, STREAMS, &[(Labels::new(), &*self.0)])
    }
}

fn by_reason(counts: &BTreeMap<&'static str, u64>) -> Vec<(Labels, Value)> {
    let value = |(reason, count): (&&str, &u64)| (vec![("reason", (*reason).to_owned())], Value::Count(*count));
    counts.iter().map(value).collect()
}

/// Train lengths in steps of powers of two. 64 series per worker would say no more.
fn trains(report: &WorkerReport) -> Vec<(Labels, Value)> {
    let mut steps: BTreeMap<u64, u64> = BTreeMap::new();
    for &(packets, messages) in &report.trains.by_packets {
        *steps.entry(1_u64 << packets.max(1).ilog2()).or_default() += messages;
    }
    let value = |(packets, messages): (u64, u64)| (vec![("packets", packets.to_string())], Value::Count(messages));
    steps.into_iter().map(value).collect()
}

/// Quantiles of residence times since the start.
fn residence(report: &WorkerReport) -> Vec<(Labels, Value)> {
    let mut values = Vec::new();
    for r in &report.residence {
        for (quantile, us) in [("0.5", r.p50_us), ("0.99", r.p99_us), ("0.999", r.p999_us), ("1", r.max_us)] {
            let labels = [("class", r.class), ("viewer", r.viewer), ("quantile", quantile)];
            let labels = labels.map(|(name, text)| (name, text.to_owned())).to_vec();
            values.push((labels, Value::Real(us as f64 / 1e6)));
        }
    }
    values
}

/// The label of all streams that have no label of their own. No stream has this name.
const OTHERS: &str = "(others)";

/// A stream's viewers and whether it is published, over all workers, by name.
fn streams(reports: &[WorkerReport]) -> BTreeMap<&str, (u64, bool)> {
    let mut streams: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
    for stream in reports.iter().flat_map(|report| &report.streams) {
        let (viewers, is_published) = streams.entry(&stream.name).or_default();
        *viewers += stream.viewers;
        *is_published |= stream.origin;
    }
    streams
}

/// The streams that are labels: those with a publisher, where there are too many the ones with most viewers. A name that
/// viewers only wait for is anybody's invention.
fn labelled<'a>(streams: &BTreeMap<&'a str, (u64, bool)>) -> BTreeSet<&'a str> {
    let mut published: Vec<(&str, u64)> = streams
        .iter()
        .filter(|(_, (_, is_published))| *is_published)
        .map(|(name, (viewers, _))| (*name, *viewers))
        .collect();
    published.sort_by_key(|&(_, viewers)| std::cmp::Reverse(viewers));
    published.into_iter().take(limits::STREAM_LABELS_MAX).map(|(name, _)| name).collect()
}

fn by_stream(reports: &[WorkerReport], value: impl Fn(u64, bool) -> u64) -> Vec<(Labels, Value)> {
    let streams = streams(reports);
    let labelled = labelled(&streams);
    let mut values: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, (viewers, is_published)) in streams {
        let label = labelled.get(name).copied().unwrap_or(OTHERS);
        *values.entry(label).or_default() += value(viewers, is_published);
    }
    let labels = |(name, value): (&str, u64)| (vec![("stream", name.to_owned())], Value::Count(value));
    values.into_iter().map(labels).collect()
}

/// A value of each named encoding of the streams that are labels, made of those of all workers. A publisher has at most
/// [`limits::ENCODINGS_PER_TRACK_MAX`] of them.
fn by_encoding(reports: &[WorkerReport], fold: impl Fn(&EncodingReport, u64) -> u64) -> Vec<(Labels, Value)> {
    let streams = streams(reports);
    let labelled = labelled(&streams);
    let mut values: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for stream in reports.iter().flat_map(|report| &report.streams) {
        let Some(name) = labelled.get(stream.name.as_str()) else { continue };
        for encoding in stream.encodings.iter().filter(|encoding| !encoding.rid.is_empty()) {
            let value = values.entry((name, &encoding.rid)).or_default();
            *value = fold(encoding, *value);
        }
    }
    let labels = |((stream, rid), value): ((&str, &str), u64)| {
        (vec![("stream", stream.to_owned()), ("rid", rid.to_owned())], Value::Count(value))
    };
    values.into_iter().map(labels).collect()
}

fn stream_viewers(reports: &[WorkerReport]) -> Vec<(Labels, Value)> {
    by_stream(reports, |viewers, _| viewers)
}

fn stream_published(reports: &[WorkerReport]) -> Vec<(Labels, Value)> {
    by_stream(reports, |_, is_published| is_published.into())
}

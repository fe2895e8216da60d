//! The manual's table of figures, made from their declarations.

use std::fmt::Write as _;

use prometheus_client::metrics::MetricType;

use super::figure::{Description, Figure};
use super::{host, signalling, worker};

/// Every figure, in the order of `/metrics`.
pub(super) fn descriptions() -> Vec<Description> {
    fn of<Source: ?Sized>(figures: &[Figure<Source>]) -> impl Iterator<Item = Description> {
        figures.iter().map(|figure| figure.description)
    }
    let signalling = signalling::DESCRIPTIONS.iter().copied();
    let host = of(host::BUILD).chain(of(host::MEMORY)).chain(of(host::KERNEL_UDP));
    signalling.chain(host).chain(of(worker::WORKER)).chain(of(worker::STREAMS)).collect()
}

/// The table, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| `/metrics` | `/api/v1/node` | Meaning |\n|---|---|---|\n".to_owned();
    for Description { name, kind, help, json } in descriptions() {
        let total = if matches!(kind, MetricType::Counter) { "_total" } else { "" };
        let json = if json.is_empty() { String::new() } else { format!("`{json}`") };
        let _ = writeln!(text, "| `corecast_{name}{total}` | {json} | {help} |");
    }
    text
}

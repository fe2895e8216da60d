//! The manual's tables of figures and of reasons. They are made from the declarations.

use std::fmt::Write as _;

use prometheus_client::metrics::MetricType;

use super::figure::{Figure, FigureDescription};
use super::{host, signalling, worker};
use crate::worker::mailbox::EndReason;
use crate::worker::reason::DropReason;

/// Every figure, in the order of `/metrics`.
pub(super) fn descriptions() -> Vec<FigureDescription> {
    fn of<Source: ?Sized>(figures: &[Figure<Source>]) -> impl Iterator<Item = FigureDescription> {
        figures.iter().map(|figure| figure.description)
    }
    let signalling = signalling::DESCRIPTIONS.iter().copied();
    let host = of(host::BUILD).chain(of(host::MEMORY)).chain(of(host::KERNEL_UDP));
    signalling.chain(host).chain(of(worker::WORKER)).chain(of(worker::STREAMS)).collect()
}

/// All tables, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| `/metrics` | `/api/v1/node` | Meaning |\n|---|---|---|\n".to_owned();
    for FigureDescription { name, kind, help, json } in descriptions() {
        let total = if matches!(kind, MetricType::Counter) { "_total" } else { "" };
        let json = if json.is_empty() { String::new() } else { format!("`{json}`") };
        let _ = writeln!(text, "| `corecast_{name}{total}` | {json} | {help} |");
    }
    let dropped = DropReason::ALL.iter().map(|reason| (reason.name(), reason.meaning()));
    reasons(&mut text, "Why something is dropped or refused", dropped);
    let ended = EndReason::ALL.iter().map(|reason| (reason.name(), reason.meaning()));
    reasons(&mut text, "Why a session ends", ended);
    text
}

fn reasons(text: &mut String, title: &str, reasons: impl Iterator<Item = (&'static str, &'static str)>) {
    let _ = write!(text, "\n## {title}\n\n| Reason | Meaning |\n|---|---|\n");
    for (name, meaning) in reasons {
        // Links of the code's documentation lead nowhere in the manual, so only their text is kept.
        let meaning = meaning.replace("[`", "`").replace("`]", "`");
        let _ = writeln!(text, "| `{name}` | {} |", meaning.trim_end_matches('.'));
    }
}

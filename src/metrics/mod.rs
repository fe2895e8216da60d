//! The node's figures in Prometheus' text format: signalling's own counters, and the figures of the workers' reports.
//!
//! Counters are cumulative and end in `_total`. Units are part of the name. There are two figures per stream and none
//! per session, because thousands of viewers would make thousands of series; `GET /api/v1/node` has those.
//!
//! | Whose figures | File |
//! |---|---|
//! | what signalling counts | `signalling` |
//! | the workers', and those of streams | `worker` |
//! | the build's, the process's and the kernel's | `host` |
//! | what a figure is; how all of them are written | `figure` |
//! | the manual's table of them | [`mod@reference`] |
//!
//! Each figure is declared once, with its path in the JSON report. A test checks the report against the declarations.

mod figure;
mod host;
pub mod log_lines;
pub mod reference;
mod signalling;
#[cfg(test)]
mod tests;
mod worker;

use std::fmt::Write as _;
use std::sync::Arc;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use crate::worker::report::WorkerReport;

pub use host::BuildInfo;
pub use signalling::{Audience, SignallingCounters};

/// The `Content-Type` of [`SignallingCounters::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl SignallingCounters {
    /// Everything as text, with `audience` and the workers' `reports` as of now.
    #[must_use]
    pub fn encode(&self, audience: Audience, build: BuildInfo, reports: Arc<Vec<WorkerReport>>) -> String {
        let mut node = Registry::with_prefix("corecast");
        node.register_collector(Box::new(build));
        node.register_collector(Box::new(host::Host));
        node.register_collector(Box::new(worker::WorkerFigures(reports)));
        let mut text = String::with_capacity(16 * 1024);
        let encoded = self
            .write(&mut text, audience)
            .and_then(|()| encode_registry(&mut text, &node))
            .and_then(|()| encode_eof(&mut text));
        if encoded.is_err() {
            // Writing into a string fails only when a collector says so.
            let _ = writeln!(text, "# the metrics could not be encoded to their end");
        }
        text
    }
}

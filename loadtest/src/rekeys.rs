//! What became of viewers whose keys were changed: figures of the report, and whether they pass.

use std::collections::BTreeMap;

use corecast::lab::peer::record::Counts;
use serde::Serialize;

use crate::cli::{Publish, Watch};

/// Figures of `--rekey`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Rekeys {
    /// Viewers that were to change their keys, and over how many seconds they were spread.
    pub(crate) asked: u64,
    pub(crate) seconds: f64,
    /// Second transports that connected, and viewers whose first one the server ended when it was told.
    pub(crate) connected: u64,
    pub(crate) changed: u64,
    /// Requests that failed, by reason; second transports that did not come to their end.
    pub(crate) failed: BTreeMap<String, u64>,
    pub(crate) given_up: u64,
    /// Packets that neither of two transports brought, and viewers of whose packets that is not known.
    pub(crate) lost: u64,
    pub(crate) unnumbered: u64,
    /// Packets that came by a transport which the server had ended.
    pub(crate) after_end: u64,
    /// 99th percentile of one-way video latency before the first change, and from then until the last one was over.
    pub(crate) latency_p99_before_us: u64,
    pub(crate) latency_p99_during_us: u64,
    /// The second of these by the first, where there is a first.
    pub(crate) latency_ratio: Option<f64>,
    /// The server's memory before, at its highest meanwhile, and after (--server-pid).
    pub(crate) resident_before: Option<u64>,
    pub(crate) resident_highest: Option<u64>,
    pub(crate) resident_after: Option<u64>,
    /// Not all were asked, because it was interrupted.
    pub(crate) interrupted: bool,
}

impl Rekeys {
    /// With the figures of the whole test.
    pub(crate) fn complete(mut self, counts: &Counts, failed: &BTreeMap<String, u64>) -> Self {
        self.connected = counts.seconds_connected;
        self.changed = counts.rekeyed;
        self.given_up = counts.rekeys_given_up;
        self.lost = counts.rekey_lost;
        self.unnumbered = counts.rekey_unnumbered;
        self.after_end = counts.rekey_after_end;
        self.failed.clone_from(failed);
        self.latency_ratio = (self.latency_p99_before_us > 0)
            .then(|| self.latency_p99_during_us as f64 / self.latency_p99_before_us as f64);
        self
    }

    /// What failed.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failed: Vec<String> =
            self.failed.iter().map(|(reason, number)| format!("{number} changes of keys failed: {reason}")).collect();
        if self.changed < self.asked && !self.interrupted {
            failed.push(format!("the keys of {} of {} viewers changed", self.changed, self.asked));
        }
        if self.lost > 0 {
            failed.push(format!("{} packets were lost between an old and a new transport", self.lost));
        }
        if self.after_end > 0 {
            failed.push(format!("{} packets came by transports that the server had ended", self.after_end));
        }
        failed
    }

    /// For people.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let unnumbered = match self.unnumbered {
            0 => String::new(),
            viewers => format!(" (of {viewers} viewers it is not known: their publisher does not number its packets)"),
        };
        let mut facts = vec![
            (
                "keys changed",
                format!(
                    "{} of {} viewers in {:.0} s; {} second transports connected, {} given up",
                    self.changed, self.asked, self.seconds, self.connected, self.given_up
                ),
            ),
            (
                "… and media",
                format!(
                    "{} packets lost between two transports{unnumbered}, {} by a transport that had ended",
                    self.lost, self.after_end
                ),
            ),
            (
                "… and time",
                format!(
                    "latency p99 {:.2} ms before, {:.2} ms meanwhile{}",
                    self.latency_p99_before_us as f64 / 1e3,
                    self.latency_p99_during_us as f64 / 1e3,
                    self.latency_ratio.map_or_else(String::new, |ratio| format!(": {ratio:.2} of it"))
                ),
            ),
        ];
        if let (Some(before), Some(highest), Some(after)) =
            (self.resident_before, self.resident_highest, self.resident_after)
        {
            let mebibytes = |bytes: u64| bytes as f64 / (1 << 20) as f64;
            let (before, highest, after) = (mebibytes(before), mebibytes(highest), mebibytes(after));
            facts.push((
                "… and memory",
                format!("server: {before:.1} MiB before, {highest:.1} at most, {after:.1} after"),
            ));
        }
        facts
    }
}

/// Whether `--rekey` can be meant with what else is asked for.
pub(crate) fn check(publish: Option<&Publish>, watch: &Watch) -> Result<(), String> {
    let Some(publish) = publish.filter(|_| watch.rekey.is_some()) else { return Ok(()) };
    for (given, option, why) in [
        (publish.simulcast, "--simulcast", "two transports may be sent different encodings"),
        (publish.data.is_some(), "--data", "messages come by both transports"),
    ] {
        if given {
            return Err(format!(
                "--rekey counts what both transports of a viewer bring, but with {option} {why}: leave out one of the two"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_between_two_transports_fails() {
        let counts = Counts { rekeyed: 9, seconds_connected: 10, ..Counts::default() };
        let rekeys =
            Rekeys { asked: 9, latency_p99_before_us: 2_000, latency_p99_during_us: 2_200, ..Rekeys::default() };
        let none = BTreeMap::new();
        let passes = rekeys.clone().complete(&counts, &none);
        assert_eq!((passes.failures().len(), passes.latency_ratio), (0, Some(1.1)));
        for (counts, failed, expected) in [
            (Counts { rekeyed: 8, ..counts }, none.clone(), "8 of 9 viewers"),
            (Counts { rekey_lost: 2, ..counts }, none.clone(), "2 packets were lost between"),
            (Counts { rekey_after_end: 1, ..counts }, none.clone(), "had ended"),
            (counts, BTreeMap::from([("HTTP status 405".to_owned(), 3)]), "3 changes of keys failed: HTTP status 405"),
        ] {
            let failures = rekeys.clone().complete(&counts, &failed).failures();
            assert!(failures.len() == 1 && failures[0].contains(expected), "{failures:?}");
        }
    }
}

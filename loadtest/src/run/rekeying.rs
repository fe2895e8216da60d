//! `--rekey`: every connected viewer changes its keys once, evenly spread, and what that does to latency and memory is measured.

use std::time::Duration;

use corecast::net;
use hdrhistogram::Histogram;

use super::{HEAD_START, Load};
use crate::machine;
use crate::rekeys::Rekeys;

/// From the last viewer's intended change until those that have not changed are given up.
const PATIENCE: Duration = Duration::from_secs(25);
/// Before the server's memory is looked at: a DTLS engine lives for ten seconds after its handshake.
const MEMORY_SETTLES: Duration = Duration::from_secs(13);
/// From one look at the server's memory to the next.
const LOOK: Duration = Duration::from_millis(500);

impl Load {
    /// Changes all viewers' keys within `span`, and waits until that is over.
    pub(super) fn rekey(&mut self, span: Duration) {
        let mut rekeys = Rekeys {
            seconds: span.as_secs_f64(),
            latency_p99_before_us: p99(&self.window.video_latency_us),
            resident_before: self.resident(),
            ..Rekeys::default()
        };
        let (viewers, begin) = (self.planned.len() as u32, net::now() + HEAD_START);
        rekeys.asked = viewers.into();
        self.expect(begin + span + MEMORY_SETTLES);
        self.begin_window();
        if let Some(signalling) = &self.signalling {
            for viewer in 0..viewers {
                signalling.rekey(viewer, begin + span.mul_f64(f64::from(viewer) / f64::from(viewers.max(1))));
            }
        }
        let end = begin + span + PATIENCE;
        while !self.is_over() && net::now() < end && self.rekeys_pending(rekeys.asked) {
            self.run_while(LOOK, |load| load.rekeys_pending(rekeys.asked));
            rekeys.resident_highest = rekeys.resident_highest.max(self.resident());
        }
        rekeys.latency_p99_during_us = p99(&self.window.video_latency_us);
        if self.server_pid.is_some() {
            self.run_while(MEMORY_SETTLES, |_| true);
        }
        rekeys.resident_after = self.resident();
        rekeys.interrupted = self.is_over();
        self.rekeys = Some(rekeys);
    }

    fn rekeys_pending(&self, asked: u64) -> bool {
        let failed = self.signalling.as_ref().map_or(0, |signalling| signalling.record().rekeys_failed.values().sum());
        let counts = &self.total.counts;
        counts.rekeyed + counts.rekeys_given_up + failed < asked
    }

    /// Tells the server that a viewer uses its second transport.
    pub(super) fn switch(&self, viewer: u32) {
        if let Some(signalling) = &self.signalling {
            signalling.switch(viewer);
        }
    }

    fn resident(&self) -> Option<u64> {
        self.server_pid.and_then(machine::resident_bytes)
    }
}

fn p99(histogram: &Histogram<u64>) -> u64 {
    if histogram.is_empty() { 0 } else { histogram.value_at_quantile(0.99) }
}

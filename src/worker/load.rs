//! How busy a worker is.

use crate::limits;
use crate::time::Timestamp;

/// The share of time not spent waiting, smoothed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    busy_permille: u32,
    window_start: Timestamp,
    waited_ns: u64,
}

impl Load {
    /// Nothing is known; the first window begins now.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { busy_permille: 0, window_start: now, waited_ns: 0 }
    }

    /// Takes note of a wait from `before` to `after`.
    pub(super) fn waited(&mut self, before: Timestamp, after: Timestamp) {
        self.waited_ns += after.since(before).as_nanos() as u64;
        let window = after.since(self.window_start).as_nanos() as u64;
        if window >= limits::LOAD_WINDOW.as_nanos() as u64 {
            let waited = (self.waited_ns * 1000 / window).min(1000) as u32;
            // Half old, half new: a burst shows within a few windows and does not flap.
            self.busy_permille = (self.busy_permille + (1000 - waited)) / 2;
            self.window_start = after;
            self.waited_ns = 0;
        }
    }

    /// Share of time busy, in thousandths.
    #[must_use]
    pub(super) fn busy_permille(&self) -> u32 {
        self.busy_permille
    }
}

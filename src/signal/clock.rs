//! Signalling's own clock, which begins when signalling does.

use std::time::Instant;

use crate::time::Timestamp;

/// The clock. Its times are compared only with each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    /// One that begins now.
    pub(super) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.started.elapsed()
    }

    /// A time on this clock as the executor's timers want it.
    pub(super) fn instant(&self, at: Timestamp) -> Instant {
        self.started + at.since(Timestamp::ZERO)
    }
}

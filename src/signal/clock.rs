//! Signalling's own clock, which starts together with signalling.

use std::time::Instant;

use crate::net::clock;
use crate::time::Timestamp;

/// The clock. Its times are only compared with each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        Self { started: clock::now() }
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::ZERO + clock::now().saturating_duration_since(self.started)
    }

    /// Converts a time on this clock for the executor's timers.
    pub(super) fn instant(&self, at: Timestamp) -> Instant {
        self.started + at.since(Timestamp::ZERO)
    }
}

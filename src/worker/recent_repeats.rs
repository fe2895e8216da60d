//! When packets of a viewer's track were sent again on request.

use std::time::Duration;

use crate::time::Timestamp;

/// When packets of a track were sent again on request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentRepeats {
    last: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl RecentRepeats {
    /// One was sent again.
    pub fn note(&mut self, now: Timestamp) {
        self.before = self.last.replace(now);
    }

    /// Whether there was one within that time.
    pub(super) fn any_within(&self, time: Duration, now: Timestamp) -> bool {
        self.last.is_some_and(|last| now.since(last) <= time)
    }

    /// Whether there were two within that time.
    pub(super) fn two_within(&self, time: Duration, now: Timestamp) -> bool {
        self.before.is_some_and(|before| now.since(before) <= time)
    }
}

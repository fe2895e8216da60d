//! How many binding requests without credentials a worker answers.

use crate::limits;
use crate::time::Timestamp;

/// The rate, counted by the second.
#[derive(Debug)]
pub(super) struct PlainBindings {
    credit: u32,
    filled_at: Timestamp,
}

impl PlainBindings {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { credit: limits::PLAIN_BINDINGS_PER_SECOND_MAX, filled_at: now }
    }

    /// Whether a request may be answered now.
    pub(super) fn may_answer(&mut self, now: Timestamp) -> bool {
        if now.since(self.filled_at).as_secs() >= 1 {
            self.filled_at = now;
            self.credit = limits::PLAIN_BINDINGS_PER_SECOND_MAX;
        }
        self.credit > 0
    }

    /// One was answered.
    pub(super) fn answered(&mut self) {
        self.credit = self.credit.saturating_sub(1);
    }
}

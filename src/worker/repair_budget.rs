//! How much one viewer may have sent again: its share of the queue, and bytes per second.

use crate::limits;
use crate::time::Timestamp;

/// One viewer's allowance.
#[derive(Debug)]
pub struct RepairBudget {
    /// Bytes it may still ask for; one packet may take it below zero.
    credit: i64,
    filled_at: Timestamp,
    /// Packets of it in the queue.
    waiting: u16,
}

impl RepairBudget {
    /// A whole second's worth.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { credit: limits::RETRANSMISSION_BYTES_PER_SECOND_MAX, filled_at: now, waiting: 0 }
    }

    /// Whether it has a place left in the queue.
    pub(super) fn has_place(&self) -> bool {
        self.waiting < limits::RETRANSMISSIONS_WAITING_PER_VIEWER_MAX
    }

    /// Takes a place in the queue.
    pub(super) fn take_place(&mut self) {
        self.waiting = self.waiting.saturating_add(1);
    }

    /// A queued packet's turn has come. Whether it may be sent.
    pub(super) fn turn(&mut self, now: Timestamp) -> bool {
        self.waiting = self.waiting.saturating_sub(1);
        let passed_ms = i64::try_from(now.since(self.filled_at).as_millis()).unwrap_or(i64::MAX).min(1_000);
        if passed_ms > 0 {
            let credit = limits::RETRANSMISSION_BYTES_PER_SECOND_MAX * passed_ms / 1_000;
            self.credit = (self.credit + credit).min(limits::RETRANSMISSION_BYTES_PER_SECOND_MAX);
            self.filled_at = now;
        }
        self.credit > 0
    }

    /// Takes note of what was sent.
    pub(super) fn spend(&mut self, len: usize) {
        self.credit -= len as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_is_repaired_at_its_rate_and_holds_its_share_of_the_queue() {
        let mut budget = RepairBudget::new(Timestamp::ZERO);
        for _ in 0..limits::RETRANSMISSIONS_WAITING_PER_VIEWER_MAX {
            assert!(budget.has_place());
            budget.take_place();
        }
        assert!(!budget.has_place());
        assert!(budget.turn(Timestamp::ZERO) && budget.has_place());
        budget.spend(limits::RETRANSMISSION_BYTES_PER_SECOND_MAX as usize);
        assert!(!budget.turn(Timestamp::ZERO), "the second's bytes are spent");
        assert!(budget.turn(Timestamp::from_millis(10)));
        // An idle hour is worth no more than a second.
        assert!(budget.turn(Timestamp::from_millis(3_600_000)));
        budget.spend(limits::RETRANSMISSION_BYTES_PER_SECOND_MAX as usize);
        assert!(!budget.turn(Timestamp::from_millis(3_600_000)));
    }
}

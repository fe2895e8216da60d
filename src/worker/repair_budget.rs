//! How much one viewer may have sent again: its share of the queue, and bytes relative to what it was sent.
//!
//! A viewer that loses a third of its packets needs half as much again in repeats, the lost repeats among them; nothing
//! that loses more can be watched. So repeats are half of what was sent, and a viewer that has just come has a credit
//! besides: its first key frame may overrun a small queue.

use crate::limits;

/// One viewer's allowance.
#[derive(Debug)]
pub struct RepairBudget {
    /// Bytes it may still ask for; one packet may take it below zero.
    credit: i64,
    /// Bytes it had been sent, repeats not counted, when it was last credited.
    credited_at_bytes: u64,
    /// Packets of it in the queue.
    waiting: u16,
}

impl Default for RepairBudget {
    fn default() -> Self {
        Self { credit: limits::REPAIR_CREDIT_BYTES_MAX, credited_at_bytes: 0, waiting: 0 }
    }
}

impl RepairBudget {
    /// Whether it has a place left in the queue.
    pub(super) fn has_place(&self) -> bool {
        self.waiting < limits::RETRANSMISSIONS_WAITING_PER_VIEWER_MAX
    }

    /// Takes a place in the queue.
    pub(super) fn take_place(&mut self) {
        self.waiting = self.waiting.saturating_add(1);
    }

    /// A queued packet's turn has come. Whether it may be sent to a viewer that was sent so many bytes, repeats not counted.
    pub(super) fn turn(&mut self, bytes_sent: u64) -> bool {
        self.waiting = self.waiting.saturating_sub(1);
        let earned = bytes_sent.saturating_sub(self.credited_at_bytes) * limits::REPAIR_PERCENT_MAX / 100;
        self.credited_at_bytes = bytes_sent;
        self.credit = self.credit.saturating_add_unsigned(earned).min(limits::REPAIR_CREDIT_BYTES_MAX);
        self.credit > 0
    }

    /// Takes note of what was sent again.
    pub(super) fn spend(&mut self, len: usize) {
        self.credit -= len as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_holds_its_share_of_the_queue() {
        let mut budget = RepairBudget::default();
        for _ in 0..limits::RETRANSMISSIONS_WAITING_PER_VIEWER_MAX {
            assert!(budget.has_place());
            budget.take_place();
        }
        assert!(!budget.has_place());
        assert!(budget.turn(0) && budget.has_place());
    }

    #[test]
    fn a_viewer_that_asks_for_everything_gets_half_of_it_again_and_its_first_credit() {
        let mut budget = RepairBudget::default();
        let (mut sent, mut again) = (0, 0);
        // 2.5 Mbit/s for a minute, each packet asked for three times.
        for _ in 0..60 * 260 {
            sent += 1_200;
            for _ in 0..3 {
                budget.take_place();
                if budget.turn(sent) {
                    budget.spend(1_200);
                    again += 1_200;
                }
            }
        }
        let most = sent / 2 + limits::REPAIR_CREDIT_BYTES_MAX as u64 + 1_200;
        assert!((sent / 2..=most).contains(&again), "{again} of {sent}");
    }
}

//! How far an encoding's packets have come on this worker: which of them have reached a first viewer, and which the last.
//!
//! Told of *live* packets only. A viewer that joins is sent what the ring still holds from the last key frame on; packets
//! that everybody here had been sent before it came, or that nobody waited for, are not told of again.

use crate::relay::store::numbers::Position;

/// Which of an encoding's viewers on this worker a packet has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipient {
    First,
    Last,
}

/// Packets in the batch that reach a first or the last viewer with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) recipient: Recipient,
    /// The first position.
    pub(super) from: Position,
    /// The position after the last.
    pub(super) to: Position,
}

/// Positions of one encoding: those below these were told of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendProgress {
    /// The furthest cursor.
    reached: Position,
    first_told: Position,
    last_told: Position,
}

impl SendProgress {
    /// A visit brought its cursor to `position`.
    #[inline]
    pub(super) fn reached(&mut self, position: Position) {
        self.reached = self.reached.max(position);
    }

    /// What is to be told after a turn. `caught_up` says that nobody is behind `released`.
    pub(super) fn turn_over(&mut self, caught_up: bool, released: Position, mut tell: impl FnMut(Passage)) {
        if self.reached > self.first_told {
            tell(Passage { recipient: Recipient::First, from: self.first_told, to: self.reached });
            self.first_told = self.reached;
        }
        if caught_up && released > self.last_told {
            // What nobody was sent has no last viewer.
            let to = released.min(self.reached);
            if to > self.last_told {
                tell(Passage { recipient: Recipient::Last, from: self.last_told, to });
            }
            self.last_told = released;
            // Whoever comes later may be sent what is here once more: that was not on its way all the time.
            self.first_told = self.first_told.max(released);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(progress: &mut SendProgress, caught_up: bool, released: u64) -> Vec<(Recipient, u64, u64)> {
        let mut told = Vec::new();
        progress.turn_over(caught_up, Position(released), |passage| {
            told.push((passage.recipient, passage.from.0, passage.to.0))
        });
        told
    }

    #[test]
    fn each_packet_is_told_once_for_the_first_viewer_and_once_for_the_last() {
        let mut progress = SendProgress::default();
        progress.reached(Position(4));
        assert_eq!(told(&mut progress, false, 4), [(Recipient::First, 0, 4)]);
        assert_eq!(told(&mut progress, false, 4), []);
        progress.reached(Position(6));
        assert_eq!(told(&mut progress, true, 6), [(Recipient::First, 4, 6), (Recipient::Last, 0, 6)]);
        assert_eq!(told(&mut progress, true, 6), []);
    }

    #[test]
    fn only_what_arrives_while_somebody_plays_is_told() {
        let mut progress = SendProgress::default();
        assert_eq!(told(&mut progress, true, 10), []);
        // The first viewer starts at 8, which nobody waited for, and goes on to 12: 8 and 9 are old.
        progress.reached(Position(9));
        assert_eq!(told(&mut progress, false, 12), []);
        progress.reached(Position(12));
        assert_eq!(told(&mut progress, true, 12), [(Recipient::First, 10, 12), (Recipient::Last, 10, 12)]);
    }
}

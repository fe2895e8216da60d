//! Packets that viewers asked for again and that wait for their round, or for the time at which their viewer's pace lets them
//! leave.

use std::collections::{BTreeSet, VecDeque};

use slotmap::Key;

use crate::limits;
use crate::relay::play::wheel::Wheel;
use crate::time::Timestamp;
use crate::worker::peer::Subscriber;

/// A request to send a packet again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repair {
    pub(super) subscriber: Subscriber,
    /// In the viewer's own numbers.
    pub(super) sequence_number: u16,
    /// Nobody asked: it is a probe of the viewer's network, and so many more of it come.
    pub(super) probe: Option<u8>,
}

impl Repair {
    fn name(&self) -> Name {
        (self.subscriber.peer.data().as_ffi(), self.subscriber.track, self.sequence_number)
    }
}

type Name = (u64, u8, u16);

/// A request whose turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) repair: Repair,
    /// It has waited for its pace.
    pub(super) is_paced: bool,
}

/// The queue, bounded, and the room in which an RTX payload is put together.
#[derive(Debug)]
pub(super) struct Repairs {
    queue: VecDeque<Repair>,
    /// Those that wait for their pace.
    later: Wheel<Repair>,
    /// Who that is: a viewer asks again before it has been answered.
    waiting: BTreeSet<Name>,
    scratch: Vec<u8>,
}

impl Default for Repairs {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            later: Wheel::default(),
            waiting: BTreeSet::new(),
            scratch: vec![0; limits::DATAGRAM_IN_BYTES_MAX],
        }
    }
}

impl Repairs {
    /// Whether a further one finds room.
    pub(super) fn has_room(&self) -> bool {
        self.len() < limits::RETRANSMISSIONS_WAITING_MAX
    }

    /// Whether the same packet waits for its pace already.
    pub(super) fn is_waiting(&self, repair: &Repair) -> bool {
        !self.waiting.is_empty() && self.waiting.contains(&repair.name())
    }

    /// Whether so many find room.
    pub(super) fn has_room_for(&self, count: usize) -> bool {
        self.queue.len() + count <= limits::RETRANSMISSIONS_WAITING_MAX
    }

    /// Queues a request; ask [`Self::has_room`] first.
    pub(super) fn push(&mut self, repair: Repair) {
        self.queue.push_back(repair);
    }

    /// Puts off one whose turn had come. `false` where the same packet waits already.
    pub(super) fn put_off(&mut self, repair: Repair, until: Timestamp) -> bool {
        let is_new = self.waiting.insert(repair.name());
        if is_new {
            self.later.push(until, repair);
        }
        is_new
    }

    /// The next request.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Turn> {
        if let Some(repair) = self.later.pop_due(now) {
            self.waiting.remove(&repair.name());
            return Some(Turn { repair, is_paced: true });
        }
        self.queue.pop_front().map(|repair| Turn { repair, is_paced: false })
    }

    /// Room for one payload.
    pub(super) fn scratch(&mut self) -> &mut [u8] {
        &mut self.scratch
    }

    /// Requests that wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.later.len()
    }

    /// When the next is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        if self.queue.is_empty() { self.later.next_due() } else { Some(Timestamp::ZERO) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::peer::PeerKey;

    fn repair(sequence_number: u16) -> Repair {
        Repair { subscriber: Subscriber { peer: PeerKey::default(), track: 1 }, sequence_number, probe: None }
    }

    #[test]
    fn one_that_was_put_off_comes_once_and_at_its_time() {
        let mut repairs = Repairs::default();
        let at = Timestamp::from_millis;
        repairs.push(repair(1));
        assert_eq!((repairs.next_due(), repairs.is_waiting(&repair(1))), (Some(at(0)), false));
        let turn = repairs.pop(at(5)).unwrap();
        assert_eq!(turn, Turn { repair: repair(1), is_paced: false });
        assert!(repairs.put_off(turn.repair, at(8)) && !repairs.put_off(turn.repair, at(9)));
        assert!(repairs.is_waiting(&repair(1)) && !repairs.is_waiting(&repair(2)) && repairs.len() == 1);
        assert_eq!((repairs.next_due(), repairs.pop(at(7))), (Some(at(8)), None));
        repairs.push(repair(2));
        assert_eq!(repairs.pop(at(8)), Some(Turn { repair: repair(1), is_paced: true }));
        assert_eq!(repairs.pop(at(8)).map(|turn| turn.repair), Some(repair(2)));
        assert!(!repairs.is_waiting(&repair(1)) && repairs.next_due().is_none() && repairs.len() == 0);
    }

    #[test]
    fn those_that_wait_for_their_pace_count_as_the_others_do() {
        let mut repairs = Repairs::default();
        let half = limits::RETRANSMISSIONS_WAITING_MAX as u16 / 2;
        assert!((0..half).all(|n| repairs.put_off(repair(n), Timestamp::from_millis(9))));
        (0..half).for_each(|n| repairs.push(repair(n)));
        assert!(!repairs.has_room());
    }
}

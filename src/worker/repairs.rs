//! Packets that viewers asked for again and that wait for their round.

use std::collections::VecDeque;

use crate::limits;
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

/// The queue, bounded, and the room in which an RTX payload is put together.
#[derive(Debug)]
pub(super) struct Repairs {
    queue: VecDeque<Repair>,
    scratch: Vec<u8>,
}

impl Default for Repairs {
    fn default() -> Self {
        Self { queue: VecDeque::new(), scratch: vec![0; limits::DATAGRAM_IN_BYTES_MAX] }
    }
}

impl Repairs {
    /// Whether a further one finds room.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < limits::RETRANSMISSIONS_WAITING_MAX
    }

    /// Whether so many find room.
    pub(super) fn has_room_for(&self, count: usize) -> bool {
        self.queue.len() + count <= limits::RETRANSMISSIONS_WAITING_MAX
    }

    /// Queues a request; ask [`Self::has_room`] first.
    pub(super) fn push(&mut self, repair: Repair) {
        self.queue.push_back(repair);
    }

    /// The next request.
    pub(super) fn pop(&mut self) -> Option<Repair> {
        self.queue.pop_front()
    }

    /// Room for one payload.
    pub(super) fn scratch(&mut self) -> &mut [u8] {
        &mut self.scratch
    }

    /// Requests that wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

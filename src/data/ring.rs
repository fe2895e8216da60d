//! The messages of one channel that viewers are still to get, in order. Viewers read it by cursors: numbers that count
//! messages from the channel's beginning.
//!
//! Bounded by bytes and by age. A cursor that is older than the ring tells that messages were missed.

use std::collections::VecDeque;
use std::rc::Rc;

use super::MessageKind;
use super::dcep::ChannelTerms;
use crate::limits;
use crate::time::Timestamp;

/// A message in a ring.
#[derive(Clone, Debug)]
pub struct RingMessage {
    /// Text or bytes.
    pub kind: MessageKind,
    /// When it came to its publisher's worker.
    pub arrival: Timestamp,
    /// The message.
    pub payload: Box<[u8]>,
}

/// One channel of a stream on one worker.
#[derive(Debug)]
pub struct ChannelRing {
    /// What it was opened with.
    pub terms: Rc<ChannelTerms>,
    messages: VecDeque<RingMessage>,
    /// The number of the oldest message.
    first: u64,
    bytes: usize,
    /// Messages that were put in.
    pub stored: u64,
    /// Messages that were given to viewers.
    pub forwarded: u64,
}

impl ChannelRing {
    /// A channel without messages.
    #[must_use]
    pub fn new(terms: ChannelTerms) -> Self {
        Self { terms: Rc::new(terms), messages: VecDeque::new(), first: 0, bytes: 0, stored: 0, forwarded: 0 }
    }

    /// Whether the last message is kept for those who come later.
    #[must_use]
    pub fn retains(&self) -> bool {
        self.terms.protocol == super::RETAIN
    }

    /// Puts a message in; what is too old or too much goes out. The last one always stays where the channel retains it.
    pub fn push(&mut self, message: RingMessage, now: Timestamp) {
        self.bytes += message.payload.len();
        self.messages.push_back(message);
        self.stored += 1;
        let kept = usize::from(self.retains());
        while self.messages.len() > kept
            && let Some(oldest) = self.messages.front()
            && (self.bytes > limits::DATA_RING_BYTES_MAX || now.since(oldest.arrival) > limits::DATA_RING_AGE_MAX)
        {
            self.bytes -= oldest.payload.len();
            self.messages.pop_front();
            self.first += 1;
        }
    }

    /// The cursor of somebody who comes now.
    #[must_use]
    pub fn cursor_of_newcomer(&self) -> u64 {
        let kept = u64::from(self.retains() && !self.messages.is_empty());
        self.next() - kept
    }

    /// The number of the message that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// The number of the oldest message that is there.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The message with this number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&RingMessage> {
        self.messages.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The last message, where it is retained.
    #[must_use]
    pub fn retained(&self) -> Option<&RingMessage> {
        self.messages.back().filter(|_| self.retains())
    }

    /// Bytes of its messages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::dcep::{Delivery, Reliability};
    use super::*;

    fn ring(protocol: &str) -> ChannelRing {
        let delivery = Delivery { ordered: true, reliability: Reliability::Reliable };
        ChannelRing::new(ChannelTerms { label: "chat".to_owned(), protocol: protocol.to_owned(), delivery })
    }

    fn message(at_ms: u64, bytes: usize) -> RingMessage {
        let arrival = Timestamp::from_millis(at_ms);
        RingMessage { kind: MessageKind::Text, arrival, payload: vec![at_ms as u8; bytes].into() }
    }

    #[test]
    fn what_is_too_much_or_too_old_leaves_and_numbers_go_on() {
        let mut ring = ring("");
        for at in 0..10 {
            ring.push(message(at, 16 * 1024), Timestamp::from_millis(at));
        }
        assert_eq!((ring.first(), ring.next()), (6, 10));
        assert!(ring.bytes() <= limits::DATA_RING_BYTES_MAX);
        assert!(ring.get(5).is_none() && ring.get(10).is_none());
        assert_eq!(ring.get(6).unwrap().payload[0], 6);
        let later = Timestamp::from_millis(10) + limits::DATA_RING_AGE_MAX;
        ring.push(RingMessage { arrival: later, ..message(7, 5) }, later);
        assert_eq!((ring.first(), ring.next(), ring.bytes()), (10, 11, 5));
        assert_eq!(ring.cursor_of_newcomer(), 11);
    }

    #[test]
    fn the_last_message_stays_where_the_channel_retains_it_whatever_its_age() {
        let mut ring = ring(super::super::RETAIN);
        assert_eq!(ring.cursor_of_newcomer(), 0);
        ring.push(message(1, 3), Timestamp::from_millis(600_000));
        assert_eq!((ring.cursor_of_newcomer(), ring.retained().unwrap().payload.len()), (0, 3));
        ring.push(message(2, 4), Timestamp::from_millis(600_000));
        assert_eq!((ring.first(), ring.cursor_of_newcomer(), ring.retained().unwrap().payload.len()), (1, 1, 4));
    }
}

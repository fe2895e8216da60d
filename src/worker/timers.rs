//! Deadlines of sessions: a heap with one live entry each, so that ten thousand idle sessions cost nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Timestamp;

/// A deadline that is never reached.
pub const NEVER: Timestamp = Timestamp::from_nanos(u64::MAX);

/// The earliest deadlines of many `K`.
///
/// An entry is live while its time equals what its owner remembers as armed; others were superseded and are skipped
/// when they come up. Re-arming later than armed is free: the old entry comes up, finds nothing due, and arms anew.
#[derive(Debug)]
pub struct Timers<K> {
    heap: BinaryHeap<Reverse<(Timestamp, K)>>,
}

impl<K: Ord + Copy> Default for Timers<K> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new() }
    }
}

impl<K: Ord + Copy> Timers<K> {
    /// Makes `armed` no later than `deadline`.
    pub fn arm(&mut self, key: K, armed: &mut Timestamp, deadline: Timestamp) {
        if deadline < *armed {
            *armed = deadline;
            self.heap.push(Reverse((deadline, key)));
        }
    }

    /// The earliest entry, live or not.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        self.heap.peek().map_or(NEVER, |Reverse((deadline, _))| *deadline)
    }

    /// Takes an entry that is due: its time and owner. The owner compares the time with what it has armed.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, K)> {
        let due = self.heap.peek().is_some_and(|Reverse((deadline, _))| *deadline <= now);
        if due { self.heap.pop().map(|Reverse(entry)| entry) } else { None }
    }

    /// Entries, live or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_deadline_supersedes_and_a_later_one_is_free() {
        let mut timers = Timers::default();
        let (mut a, mut b) = (NEVER, NEVER);
        timers.arm('a', &mut a, Timestamp::from_millis(30));
        timers.arm('b', &mut b, Timestamp::from_millis(20));
        timers.arm('a', &mut a, Timestamp::from_millis(10));
        timers.arm('a', &mut a, Timestamp::from_millis(50));
        assert_eq!(timers.len(), 3);
        assert_eq!(timers.next_deadline(), Timestamp::from_millis(10));
        assert_eq!(timers.pop_due(Timestamp::from_millis(9)), None);
        assert_eq!(timers.pop_due(Timestamp::from_millis(25)), Some((a, 'a')));
        assert_eq!(timers.pop_due(Timestamp::from_millis(25)), Some((b, 'b')));
        // The superseded entry comes up with a time nobody has armed.
        let (time, _) = timers.pop_due(Timestamp::from_millis(30)).unwrap();
        assert_ne!(time, a);
    }
}

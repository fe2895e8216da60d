//! Who of an encoding's viewers must be visited next: ready sets instead of walks.
//!
//! Every subscriber is in exactly one of five places:
//! - `undecided`: it just came, or the codec changed: what it is sent must be decided before it is visited;
//! - `waiting`: it needs a key frame before anything can be sent to it;
//! - `idle`: its cursor is at the head, there is nothing to send;
//! - `ready`: its cursor is behind the head;
//! - `later`: its cursor is behind, and it may not send before a time of its own (pacing).
//!
//! A new packet moves all of `idle` to `ready` without touching a subscriber. A visit takes one from the front of
//! `ready`, sends a bounded run, and puts it back at the end while it is still behind: so one that lags delays
//! nobody, and trains grow by themselves when visits are rare. Leaving is lazy: a key that no longer resolves is
//! dropped when it is met.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use crate::time::Timestamp;

/// Where a visited subscriber goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterVisit {
    /// Its cursor reached the head.
    CaughtUp,
    /// It sent its share and has more.
    Behind,
    /// It has more and may send no sooner than then.
    Later(Timestamp),
    /// It must wait for a key frame.
    NeedsKeyFrame,
    /// It left, or plays nothing of this encoding any more.
    Gone,
}

/// The subscribers of one encoding on one worker, by what they wait for.
#[derive(Debug)]
pub struct FanOut<K> {
    undecided: VecDeque<K>,
    waiting: Vec<K>,
    idle: Vec<K>,
    ready: VecDeque<K>,
    later: BinaryHeap<Reverse<Due<K>>>,
    /// Orders those that are due at the same time.
    filed_later: u64,
}

/// One that waits for its time.
#[derive(Clone, Copy, Debug)]
struct Due<K> {
    at: Timestamp,
    order: u64,
    key: K,
}

impl<K> Ord for Due<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<K> PartialOrd for Due<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Due<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K> Eq for Due<K> {}

impl<K> Default for FanOut<K> {
    fn default() -> Self {
        Self {
            undecided: VecDeque::new(),
            waiting: Vec::new(),
            idle: Vec::new(),
            ready: VecDeque::new(),
            later: BinaryHeap::new(),
            filed_later: 0,
        }
    }
}

impl<K: Copy + PartialEq> FanOut<K> {
    /// Adds one that just came.
    pub fn add_undecided(&mut self, key: K) {
        self.undecided.push_back(key);
    }

    /// The next for which is to be decided what it is sent; give it to [`Self::add_ready`] then.
    pub fn take_undecided(&mut self) -> Option<K> {
        self.undecided.pop_front()
    }

    /// Whether there is one.
    #[must_use]
    pub fn anyone_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// Adds one that has something to send or will find out at its visit.
    pub fn add_ready(&mut self, key: K) {
        self.ready.push_back(key);
    }

    /// Adds one that waits for a key frame.
    pub fn add_waiting(&mut self, key: K) {
        self.waiting.push(key);
    }

    /// Whether a visit is due.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether anyone waits for a key frame.
    #[must_use]
    pub fn anyone_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The head moved: everyone who had caught up is behind again.
    pub fn head_moved(&mut self) {
        self.ready.extend(self.idle.drain(..));
    }

    /// A key frame begins: everyone who waited for one is ready.
    pub fn key_frame_began(&mut self) {
        self.ready.extend(self.waiting.drain(..));
    }

    /// When the first of those that may send later may; `None` where there is none.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.later.peek().map(|Reverse(due)| due.at)
    }

    /// Readies those whose time has come, in the order of their times. Whether there was one.
    pub fn release_due(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while self.next_due().is_some_and(|at| at <= now)
            && let Some(Reverse(due)) = self.later.pop()
        {
            self.ready.push_back(due.key);
            any = true;
        }
        any
    }

    /// The next to visit; give the answer to [`Self::visited`].
    pub fn take_next(&mut self) -> Option<K> {
        self.ready.pop_front()
    }

    /// Who will be visited, `ahead` places after the next one.
    #[must_use]
    pub fn upcoming(&self, ahead: usize) -> Option<&K> {
        self.ready.get(ahead)
    }

    /// Files a visited subscriber.
    pub fn visited(&mut self, key: K, outcome: AfterVisit) {
        match outcome {
            AfterVisit::CaughtUp => self.idle.push(key),
            AfterVisit::Behind => self.ready.push_back(key),
            AfterVisit::Later(at) => {
                self.later.push(Reverse(Due { at, order: self.filed_later, key }));
                self.filed_later += 1;
            }
            AfterVisit::NeedsKeyFrame => self.waiting.push(key),
            AfterVisit::Gone => {}
        }
    }

    /// Everyone must be decided for anew, in the order in which they would have been visited.
    pub fn all_undecided(&mut self) {
        self.undecided.extend(self.ready.drain(..).chain(self.idle.drain(..)).chain(self.waiting.drain(..)));
        while let Some(Reverse(due)) = self.later.pop() {
            self.undecided.push_back(due.key);
        }
    }

    /// Everyone becomes ready, for instance because there is a gap and each must look where it goes on.
    pub fn wake_all(&mut self) {
        self.head_moved();
        self.key_frame_began();
        while let Some(Reverse(due)) = self.later.pop() {
            self.ready.push_back(due.key);
        }
    }

    /// Keeps those for whom `keep` says so. Walks the sets: for leaving, not for the packet path.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.undecided.retain(&keep);
        self.waiting.retain(&keep);
        self.idle.retain(&keep);
        self.ready.retain(&keep);
        self.later.retain(|Reverse(due)| keep(&due.key));
    }

    /// Subscribers in all sets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.undecided.len() + self.waiting.len() + self.idle.len() + self.ready.len() + self.later.len()
    }

    /// Whether nobody is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_lags_does_not_hold_up_the_others() {
        let mut fan_out = FanOut::default();
        for key in 0..3 {
            fan_out.add_ready(key);
        }
        let mut visits = Vec::new();
        for _ in 0..5 {
            let key = fan_out.take_next().unwrap();
            visits.push(key);
            fan_out.visited(key, if key == 0 { AfterVisit::Behind } else { AfterVisit::CaughtUp });
        }
        assert_eq!(visits, [0, 1, 2, 0, 0]);
    }

    #[test]
    fn a_new_packet_makes_the_idle_ready_and_leaves_those_who_need_a_key_frame() {
        let mut fan_out = FanOut::default();
        fan_out.visited(1, AfterVisit::CaughtUp);
        fan_out.visited(2, AfterVisit::NeedsKeyFrame);
        assert!(!fan_out.is_ready() && fan_out.anyone_waits());
        fan_out.head_moved();
        assert_eq!((fan_out.take_next(), fan_out.take_next()), (Some(1), None));
        fan_out.key_frame_began();
        assert_eq!(fan_out.take_next(), Some(2));
    }

    #[test]
    fn everyone_is_counted_and_the_next_ones_can_be_looked_at() {
        let mut fan_out = FanOut::default();
        assert!(fan_out.is_empty() && !fan_out.is_ready() && !fan_out.anyone_waits());
        for key in 1..=3 {
            fan_out.add_ready(key);
        }
        fan_out.add_waiting(4);
        fan_out.add_waiting(5);
        fan_out.visited(6, AfterVisit::CaughtUp);
        assert_eq!((fan_out.len(), fan_out.is_empty(), fan_out.is_ready()), (6, false, true));
        let upcoming: Vec<_> = (0..4).map(|ahead| fan_out.upcoming(ahead).copied()).collect();
        assert_eq!(upcoming, [Some(1), Some(2), Some(3), None]);
        let key = fan_out.take_next().unwrap();
        fan_out.visited(key, AfterVisit::Gone);
        assert_eq!(fan_out.len(), 5);
        fan_out.wake_all();
        assert_eq!(std::iter::from_fn(|| fan_out.take_next()).collect::<Vec<_>>(), [2, 3, 6, 4, 5]);
    }

    #[test]
    fn a_decision_for_everyone_keeps_the_order_of_visits_and_who_comes_later_comes_last() {
        let mut fan_out = FanOut::default();
        fan_out.add_ready(1);
        fan_out.add_waiting(3);
        fan_out.visited(2, AfterVisit::CaughtUp);
        fan_out.all_undecided();
        fan_out.add_undecided(4);
        assert!(fan_out.anyone_undecided() && !fan_out.is_ready() && fan_out.len() == 4);
        assert_eq!(std::iter::from_fn(|| fan_out.take_undecided()).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(!fan_out.anyone_undecided() && fan_out.is_empty());
    }

    #[test]
    fn who_may_send_later_is_ready_at_its_time_and_not_before() {
        let mut fan_out = FanOut::default();
        let at = Timestamp::from_millis;
        for (key, ms) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
            fan_out.visited(key, AfterVisit::Later(at(ms)));
        }
        assert_eq!((fan_out.len(), fan_out.is_ready(), fan_out.next_due()), (4, false, Some(at(10))));
        // Neither a packet nor a key frame hurries it.
        fan_out.head_moved();
        fan_out.key_frame_began();
        assert!(!fan_out.release_due(at(9)) && !fan_out.is_ready());
        assert!(fan_out.release_due(at(20)));
        assert_eq!(std::iter::from_fn(|| fan_out.take_next()).collect::<Vec<_>>(), [2, 4, 3]);
        assert_eq!(fan_out.next_due(), Some(at(30)));
        fan_out.wake_all();
        assert_eq!((fan_out.take_next(), fan_out.next_due()), (Some(1), None));
        fan_out.visited(1, AfterVisit::Later(at(30)));
        fan_out.all_undecided();
        assert_eq!((fan_out.take_undecided(), fan_out.next_due()), (Some(1), None));
    }

    #[test]
    fn one_that_left_is_in_no_set() {
        let mut fan_out = FanOut::default();
        fan_out.add_ready(1);
        fan_out.add_waiting(2);
        fan_out.visited(3, AfterVisit::CaughtUp);
        fan_out.add_undecided(4);
        fan_out.visited(5, AfterVisit::Later(Timestamp::ZERO));
        for key in 1..=5 {
            fan_out.retain(|&kept| kept != key);
        }
        assert!(fan_out.is_empty());
    }
}

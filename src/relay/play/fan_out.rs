//! Who of an encoding's viewers must be visited next: ready sets instead of walks.
//!
//! Every subscriber is in exactly one of five places:
//! - `undecided`: it just came, or the codec changed: what it is sent must be decided before it is visited;
//! - `waiting`: it needs a key frame before anything can be sent to it;
//! - `idle`: its cursor is at the head, there is nothing to send;
//! - `ready`: its cursor is behind the head;
//! - `later`: its cursor is behind, and it may not send before a time of its own (pacing).
//!
//! Those whose path is a connection have places of their own beside `waiting`, `idle` and `ready`, and are visited when nobody
//! else is ready: what is written to them costs up to twice as much, and who has the better path shall not notice. One visit
//! in [`limits::CONNECTION_VISIT_EVERY`] is theirs all the same, so that they lag and are not forgotten where there is no end
//! to the others.
//!
//! A new packet moves all of `idle` to `ready` without touching a subscriber. A visit takes one from the front of
//! `ready`, sends a bounded run, and puts it back at the end while it is still behind: so one that lags delays
//! nobody, and trains grow by themselves when visits are rare. Leaving is lazy: a key that no longer resolves is
//! dropped when it is met.

use std::collections::VecDeque;

use crate::limits;
use crate::relay::play::wheel::Wheel;
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
    datagrams: Sets<K>,
    connections: Sets<K>,
    /// Visits to others while one of [`Self::connections`] was ready.
    passed_over: u32,
    /// None before somebody had to wait: most encodings are small.
    later: Option<Box<Wheel<(K, Carried)>>>,
}

/// What a subscriber's packets go over, as far as its turn is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// Datagrams.
    ByDatagrams,
    /// A connection, which is visited when nobody else is ready.
    ByConnection,
}

/// The sets of one kind.
#[derive(Debug)]
struct Sets<K> {
    waiting: Vec<K>,
    idle: Vec<K>,
    ready: VecDeque<K>,
}

impl<K> Default for Sets<K> {
    fn default() -> Self {
        Self { waiting: Vec::new(), idle: Vec::new(), ready: VecDeque::new() }
    }
}

impl<K> Default for FanOut<K> {
    fn default() -> Self {
        Self {
            undecided: VecDeque::new(),
            datagrams: Sets::default(),
            connections: Sets::default(),
            passed_over: 0,
            later: None,
        }
    }
}

impl<K: Copy + PartialEq> FanOut<K> {
    #[inline]
    fn sets(&mut self, carried: Carried) -> &mut Sets<K> {
        match carried {
            Carried::ByDatagrams => &mut self.datagrams,
            Carried::ByConnection => &mut self.connections,
        }
    }

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
        self.datagrams.ready.push_back(key);
    }

    /// Adds one that waits for a key frame.
    pub fn add_waiting(&mut self, key: K) {
        self.datagrams.waiting.push(key);
    }

    /// Whether a visit is due.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.datagrams.ready.is_empty() || self.is_connection_ready()
    }

    /// Whether a visit of one on a connection is due.
    #[must_use]
    pub fn is_connection_ready(&self) -> bool {
        !self.connections.ready.is_empty()
    }

    /// Whether anyone waits for a key frame.
    #[must_use]
    pub fn anyone_waits(&self) -> bool {
        !self.datagrams.waiting.is_empty() || !self.connections.waiting.is_empty()
    }

    /// The head moved: everyone who had caught up is behind again.
    pub fn head_moved(&mut self) {
        for sets in [&mut self.datagrams, &mut self.connections] {
            sets.ready.extend(sets.idle.drain(..));
        }
    }

    /// A key frame begins: everyone who waited for one is ready.
    pub fn key_frame_began(&mut self) {
        for sets in [&mut self.datagrams, &mut self.connections] {
            sets.ready.extend(sets.waiting.drain(..));
        }
    }

    /// One that was waiting for what comes is to be visited now. Walks the sets.
    pub fn wake(&mut self, key: K) {
        for Sets { waiting, idle, ready } in [&mut self.datagrams, &mut self.connections] {
            for set in [idle, waiting] {
                if let Some(place) = set.iter().position(|&other| other == key) {
                    ready.push_back(set.swap_remove(place));
                    return;
                }
            }
        }
    }

    /// When the first of those that may send later may; `None` where there is none.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.later.as_ref().and_then(|later| later.next_due())
    }

    /// Readies those whose time has come, in the order of their times. Whether there was one.
    pub fn release_due(&mut self, now: Timestamp) -> bool {
        let Self { later: Some(later), datagrams, connections, .. } = self else { return false };
        let mut any = false;
        while let Some((key, carried)) = later.pop_due(now) {
            match carried {
                Carried::ByDatagrams => datagrams.ready.push_back(key),
                Carried::ByConnection => connections.ready.push_back(key),
            }
            any = true;
        }
        any
    }

    /// The next to visit before any connection; give the answer to [`Self::visited`].
    #[inline]
    pub fn take_next(&mut self) -> Option<K> {
        if self.is_connection_ready() && !self.datagrams.ready.is_empty() {
            self.passed_over += 1;
            if self.passed_over >= limits::CONNECTION_VISIT_EVERY {
                return self.take_connection();
            }
        }
        self.datagrams.ready.pop_front()
    }

    /// The next on a connection; give the answer to [`Self::visited`].
    pub fn take_connection(&mut self) -> Option<K> {
        self.passed_over = 0;
        self.connections.ready.pop_front()
    }

    /// Who will be visited, `ahead` places after the next one.
    #[must_use]
    pub fn upcoming(&self, ahead: usize) -> Option<&K> {
        self.datagrams.ready.get(ahead)
    }

    /// Files a visited subscriber.
    #[inline]
    pub fn visited(&mut self, key: K, outcome: AfterVisit, carried: Carried) {
        match outcome {
            AfterVisit::CaughtUp => self.sets(carried).idle.push(key),
            AfterVisit::Behind => self.sets(carried).ready.push_back(key),
            AfterVisit::Later(at) => {
                self.later.get_or_insert_default().push(at, (key, carried));
            }
            AfterVisit::NeedsKeyFrame => self.sets(carried).waiting.push(key),
            AfterVisit::Gone => {}
        }
    }

    /// Everyone must be decided for anew, in the order in which they would have been visited.
    pub fn all_undecided(&mut self) {
        for Sets { ready, idle, waiting } in [&mut self.datagrams, &mut self.connections] {
            self.undecided.extend(ready.drain(..).chain(idle.drain(..)).chain(waiting.drain(..)));
        }
        while let Some((key, _)) = self.pop_later() {
            self.undecided.push_back(key);
        }
    }

    /// Everyone becomes ready, for instance because there is a gap and each must look where it goes on.
    pub fn wake_all(&mut self) {
        self.head_moved();
        self.key_frame_began();
        while let Some((key, carried)) = self.pop_later() {
            self.sets(carried).ready.push_back(key);
        }
    }

    /// Subscribers in all sets, those that have left and were not met since among them.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        let of = |Sets { ready, idle, waiting }: &Sets<K>| -> Vec<K> {
            ready.iter().chain(idle).chain(waiting).copied().collect()
        };
        let later = self.later.iter().flat_map(|later| later.iter()).map(|&(key, _)| key);
        self.undecided.iter().copied().chain(of(&self.datagrams)).chain(of(&self.connections)).chain(later)
    }

    fn pop_later(&mut self) -> Option<(K, Carried)> {
        self.later.as_mut()?.pop()
    }

    /// Keeps those for whom `keep` says so. Walks the sets: for leaving, not for the packet path.
    pub fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.undecided.retain(&keep);
        for Sets { ready, idle, waiting } in [&mut self.datagrams, &mut self.connections] {
            waiting.retain(&keep);
            idle.retain(&keep);
            ready.retain(&keep);
        }
        if let Some(later) = &mut self.later {
            later.retain(|(key, _)| keep(key));
        }
    }

    /// Subscribers in all sets.
    #[must_use]
    pub fn len(&self) -> usize {
        let of = |Sets { ready, idle, waiting }: &Sets<K>| ready.len() + idle.len() + waiting.len();
        self.undecided.len()
            + of(&self.datagrams)
            + of(&self.connections)
            + self.later.as_ref().map_or(0, |later| later.len())
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
            fan_out.visited(
                key,
                if key == 0 { AfterVisit::Behind } else { AfterVisit::CaughtUp },
                Carried::ByDatagrams,
            );
        }
        assert_eq!(visits, [0, 1, 2, 0, 0]);
    }

    #[test]
    fn a_new_packet_makes_the_idle_ready_and_leaves_those_who_need_a_key_frame() {
        let mut fan_out = FanOut::default();
        fan_out.visited(1, AfterVisit::CaughtUp, Carried::ByDatagrams);
        fan_out.visited(2, AfterVisit::NeedsKeyFrame, Carried::ByDatagrams);
        assert!(!fan_out.is_ready() && fan_out.anyone_waits());
        fan_out.head_moved();
        assert_eq!((fan_out.take_next(), fan_out.take_next()), (Some(1), None));
        fan_out.key_frame_began();
        assert_eq!(fan_out.take_next(), Some(2));
    }

    #[test]
    fn one_is_woken_alone_and_stays_in_one_place() {
        let mut fan_out = FanOut::default();
        for (key, after) in [(1, AfterVisit::CaughtUp), (2, AfterVisit::CaughtUp), (3, AfterVisit::NeedsKeyFrame)] {
            fan_out.visited(key, after, Carried::ByDatagrams);
        }
        fan_out.visited(4, AfterVisit::CaughtUp, Carried::ByConnection);
        for key in [2, 3, 4, 2, 5] {
            fan_out.wake(key);
        }
        assert_eq!([fan_out.take_next(), fan_out.take_next(), fan_out.take_next()], [Some(2), Some(3), None]);
        assert_eq!((fan_out.take_connection(), fan_out.len()), (Some(4), 1));
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
        fan_out.visited(6, AfterVisit::CaughtUp, Carried::ByDatagrams);
        assert_eq!((fan_out.len(), fan_out.is_empty(), fan_out.is_ready()), (6, false, true));
        let upcoming: Vec<_> = (0..4).map(|ahead| fan_out.upcoming(ahead).copied()).collect();
        assert_eq!(upcoming, [Some(1), Some(2), Some(3), None]);
        let key = fan_out.take_next().unwrap();
        fan_out.visited(key, AfterVisit::Gone, Carried::ByDatagrams);
        assert_eq!(fan_out.len(), 5);
        fan_out.wake_all();
        assert_eq!(std::iter::from_fn(|| fan_out.take_next()).collect::<Vec<_>>(), [2, 3, 6, 4, 5]);
    }

    #[test]
    fn a_decision_for_everyone_keeps_the_order_of_visits_and_who_comes_later_comes_last() {
        let mut fan_out = FanOut::default();
        fan_out.add_ready(1);
        fan_out.add_waiting(3);
        fan_out.visited(2, AfterVisit::CaughtUp, Carried::ByDatagrams);
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
            fan_out.visited(key, AfterVisit::Later(at(ms)), Carried::ByDatagrams);
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
        fan_out.visited(1, AfterVisit::Later(at(30)), Carried::ByDatagrams);
        fan_out.all_undecided();
        assert_eq!((fan_out.take_undecided(), fan_out.next_due()), (Some(1), None));
    }

    #[test]
    fn one_that_left_is_in_no_set() {
        let mut fan_out = FanOut::default();
        fan_out.add_ready(1);
        fan_out.add_waiting(2);
        fan_out.visited(3, AfterVisit::CaughtUp, Carried::ByDatagrams);
        fan_out.add_undecided(4);
        fan_out.visited(5, AfterVisit::Later(Timestamp::ZERO), Carried::ByDatagrams);
        for key in 1..=5 {
            fan_out.retain(|&kept| kept != key);
        }
        assert!(fan_out.is_empty());
    }

    #[test]
    fn connections_come_after_all_others_and_are_not_forgotten_where_there_is_no_end_to_them() {
        let mut fan_out = FanOut::default();
        let file = |fan_out: &mut FanOut<u32>, key: u32, outcome| {
            fan_out.visited(key, outcome, if key < 10 { Carried::ByDatagrams } else { Carried::ByConnection });
        };
        for outcome in [AfterVisit::CaughtUp, AfterVisit::NeedsKeyFrame, AfterVisit::Later(Timestamp::ZERO)] {
            for key in [10, 1, 11, 2] {
                file(&mut fan_out, key, outcome);
            }
            fan_out.wake_all();
            assert_eq!(std::iter::from_fn(|| fan_out.take_next()).collect::<Vec<_>>(), [1, 2], "{outcome:?}");
            assert!(fan_out.is_ready() && fan_out.is_connection_ready() && fan_out.len() == 2);
            assert_eq!(std::iter::from_fn(|| fan_out.take_connection()).collect::<Vec<_>>(), [10, 11]);
        }
        // Datagrams that never end.
        [1, 2, 10].into_iter().for_each(|key| file(&mut fan_out, key, AfterVisit::Behind));
        let mut visits = Vec::new();
        for _ in 0..2 * limits::CONNECTION_VISIT_EVERY {
            let key = fan_out.take_next().unwrap();
            visits.push(key);
            file(&mut fan_out, key, AfterVisit::Behind);
        }
        assert_eq!(visits.iter().filter(|key| **key == 10).count(), 2);
    }
}

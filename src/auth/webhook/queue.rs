//! The questions that wait for a thread, in one line for each client address.
//!
//! The lines take turns, so an address with a thousand questions delays the one question of another address by one round at
//! most. An address may have half of the threads, so that a slow endpoint leaves some for others. The places are shared
//! by all lines: when they are full, the newest question of the longest line goes.
//!
//! It is not a mailbox between two threads but between signalling and all threads of the webhook, hence a lock. It is held
//! for some steps of a map, and for a walk over the lines when the places are full.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::limits;

/// The questions that wait.
#[derive(Debug)]
pub(super) struct Waiting<Q> {
    lines: Mutex<Lines<Q>>,
    changed: Changed,
}

/// Wakes threads, and a simulation's tasks in their place, when a question may be asked.
#[derive(Debug, Default)]
struct Changed {
    threads: Condvar,
    #[cfg(feature = "simulation")]
    tasks: Mutex<Vec<std::task::Waker>>,
}

impl Changed {
    fn notify_one(&self) {
        self.threads.notify_one();
        self.wake_tasks();
    }

    fn notify_all(&self) {
        self.threads.notify_all();
        self.wake_tasks();
    }

    #[cfg(feature = "simulation")]
    fn wake_tasks(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.into_iter().for_each(std::task::Waker::wake);
    }

    #[cfg(not(feature = "simulation"))]
    fn wake_tasks(&self) {}
}

#[derive(Debug)]
struct Lines<Q> {
    by_address: HashMap<IpAddr, Line<Q>>,
    /// The addresses whose next question may be asked, in the order of their turns.
    turns: VecDeque<IpAddr>,
    waiting: usize,
    is_closed: bool,
    turned_away: u64,
}

#[derive(Debug)]
struct Line<Q> {
    questions: VecDeque<Q>,
    /// How many of the address's questions are being asked.
    asked: usize,
}

impl<Q> Line<Q> {
    fn may_ask(&self) -> bool {
        !self.questions.is_empty() && self.asked < limits::WEBHOOK_IN_FLIGHT_PER_ADDRESS_MAX
    }
}

impl<Q> Default for Waiting<Q> {
    fn default() -> Self {
        let lines =
            Lines { by_address: HashMap::new(), turns: VecDeque::new(), waiting: 0, is_closed: false, turned_away: 0 };
        Self { lines: Mutex::new(lines), changed: Changed::default() }
    }
}

impl<Q> Waiting<Q> {
    fn lock(&self) -> MutexGuard<'_, Lines<Q>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a question to the end of its address's line. If there is no place, returns the question that has to go: the newest
    /// of the longest line, which may be this one.
    pub(super) fn push(&self, address: IpAddr, question: Q) -> Option<Q> {
        let mut lines = self.lock();
        let turned_away = match lines.waiting < limits::WEBHOOK_WAITING_MAX {
            true => None,
            false => match lines.make_room_for(address) {
                Some(newest) => Some(newest),
                None => {
                    lines.turned_away += 1;
                    return Some(question);
                }
            },
        };
        lines.turned_away += u64::from(turned_away.is_some());
        lines.waiting += 1;
        let line = lines.by_address.entry(address).or_insert(Line { questions: VecDeque::new(), asked: 0 });
        let had_turn = line.may_ask();
        line.questions.push_back(question);
        if !had_turn && line.may_ask() {
            lines.turns.push_back(address);
            self.changed.notify_one();
        }
        turned_away
    }

    /// Waits for a question that may be asked now. `None` when the queue is closed and empty. The caller tells by
    /// [`Self::answered`] when it has asked.
    pub(super) fn next(&self) -> Option<(IpAddr, Q)> {
        let mut lines = self.lock();
        loop {
            if let Some(next) = lines.take() {
                // Questions that came while no thread waited have woken none.
                if !lines.turns.is_empty() {
                    self.changed.notify_one();
                }
                return Some(next);
            }
            if lines.is_closed && lines.waiting == 0 {
                return None;
            }
            lines = self.changed.threads.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// [`Self::next`] for a task.
    #[cfg(feature = "simulation")]
    pub(super) fn poll_next(&self, context: &std::task::Context<'_>) -> std::task::Poll<Option<(IpAddr, Q)>> {
        let mut lines = self.lock();
        if let Some(next) = lines.take() {
            return std::task::Poll::Ready(Some(next));
        }
        if lines.is_closed && lines.waiting == 0 {
            return std::task::Poll::Ready(None);
        }
        self.changed.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(context.waker().clone());
        std::task::Poll::Pending
    }

    /// A question of this address is no longer being asked.
    pub(super) fn answered(&self, address: IpAddr) {
        let mut lines = self.lock();
        let Some(line) = lines.by_address.get_mut(&address) else { return };
        let had_turn = line.may_ask();
        line.asked = line.asked.saturating_sub(1);
        let (may_ask, is_over) = (line.may_ask(), line.asked == 0 && line.questions.is_empty());
        if is_over {
            lines.by_address.remove(&address);
        } else if may_ask && !had_turn {
            lines.turns.push_back(address);
            self.changed.notify_one();
        }
    }

    /// Nothing more comes. The threads ask what waits, and end.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// How many questions had to go because no place was left.
    pub(super) fn turned_away(&self) -> u64 {
        self.lock().turned_away
    }
}

impl<Q> Lines<Q> {
    /// The next question of the address whose turn it is.
    fn take(&mut self) -> Option<(IpAddr, Q)> {
        let address = self.turns.pop_front()?;
        let line = self.by_address.get_mut(&address)?;
        let question = line.questions.pop_front()?;
        line.asked += 1;
        if line.may_ask() {
            self.turns.push_back(address);
        }
        self.waiting -= 1;
        Some((address, question))
    }

    /// Takes the newest question out of the longest line. `None` if no line is longer than that of `address` would become.
    fn make_room_for(&mut self, address: IpAddr) -> Option<Q> {
        let own = self.by_address.get(&address).map_or(0, |line| line.questions.len());
        let (longest, line) = self.by_address.iter_mut().max_by_key(|(_, line)| line.questions.len())?;
        if line.questions.len() <= own + 1 {
            return None;
        }
        let longest = *longest;
        let question = line.questions.pop_back()?;
        self.waiting -= 1;
        debug_assert!(!line.questions.is_empty() && longest != address);
        Some(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// A queue with this many questions of an address, numbered.
    fn crowd(count: usize) -> Waiting<usize> {
        let waiting = Waiting::default();
        for number in 0..count {
            waiting.push(ip(1), number);
        }
        waiting
    }

    #[test]
    fn a_crowd_of_one_address_delays_another_ones_question_by_one_round() {
        let waiting = crowd(limits::WEBHOOK_WAITING_MAX - 2);
        assert_eq!(waiting.next(), Some((ip(1), 0)));
        for other in [2, 3] {
            assert_eq!(waiting.push(ip(other), 1_000), None);
        }
        let order: Vec<_> = (0..6).map(|_| waiting.next().unwrap()).collect();
        let expected = [(ip(1), 1), (ip(2), 1_000), (ip(3), 1_000), (ip(1), 2), (ip(1), 3), (ip(1), 4)];
        assert_eq!(order, expected, "each in its turn, and each address in its own order");
    }

    #[test]
    fn when_the_places_are_full_the_newest_question_of_the_longest_line_goes() {
        let waiting = crowd(limits::WEBHOOK_WAITING_MAX);
        assert_eq!(waiting.push(ip(1), 7_777), Some(7_777), "the crowd has no more place");
        assert_eq!(waiting.push(ip(2), 1_000), Some(limits::WEBHOOK_WAITING_MAX - 1), "another one has");
        assert_eq!(waiting.turned_away(), 2);
        assert_eq!([waiting.next(), waiting.next()], [Some((ip(1), 0)), Some((ip(2), 1_000))]);
        // Lines that are equally long leave a newcomer of one of them no place.
        let waiting = Waiting::default();
        for number in 0..limits::WEBHOOK_WAITING_MAX {
            waiting.push(ip((number % 2) as u8), number);
        }
        assert_eq!(waiting.push(ip(0), 7_777), Some(7_777));
        assert!(waiting.push(ip(9), 7_777).is_some_and(|gone| gone < limits::WEBHOOK_WAITING_MAX));
    }

    #[test]
    fn one_address_has_half_of_the_threads_and_the_next_when_one_is_free() {
        let waiting = crowd(40);
        for _ in 0..limits::WEBHOOK_IN_FLIGHT_PER_ADDRESS_MAX {
            assert_eq!(waiting.next().unwrap().0, ip(1));
        }
        assert!(waiting.lock().take().is_none(), "the others are for others");
        waiting.push(ip(2), 1_000);
        assert_eq!(waiting.next(), Some((ip(2), 1_000)));
        waiting.answered(ip(1));
        assert_eq!(waiting.next(), Some((ip(1), limits::WEBHOOK_IN_FLIGHT_PER_ADDRESS_MAX)));
        assert!(waiting.lock().take().is_none());
    }

    #[test]
    fn nothing_is_kept_of_who_was_answered_and_what_waits_at_the_end_is_asked() {
        let waiting = crowd(3);
        waiting.close();
        while let Some((address, _)) = waiting.next() {
            waiting.answered(address);
        }
        let lines = waiting.lock();
        assert!(lines.by_address.is_empty() && lines.turns.is_empty() && lines.waiting == 0);
    }
}

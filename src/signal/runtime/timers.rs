//! The sleeps of a thread. hyper wants `Send` sleeps and the executor's are not, so a sleep is a number in a table of its thread.
//! Whoever runs the thread's tasks drives the table: by a timer of the executor's, or by the clock that a simulation moves.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::net::clock;

thread_local! {
    static TIMERS: RefCell<Timers> = RefCell::default();
}

/// The sleeps under way on this thread, earliest first, and the waker of the task that drives them.
#[derive(Default)]
struct Timers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_key: u64,
    driver: Option<Waker>,
}

/// A sleep. It is `Send`, because it holds only a key into the table of the thread on which it is polled.
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    key: Option<u64>,
}

impl Sleep {
    /// A sleep that ends at `deadline`.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, key: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        TIMERS.with_borrow_mut(|timers| {
            if clock::now() >= self.deadline {
                if let Some(key) = self.key.take() {
                    timers.waiting.remove(&(self.deadline, key));
                }
                return Poll::Ready(());
            }
            let key = *self.key.get_or_insert_with(|| {
                timers.next_key += 1;
                timers.next_key
            });
            timers.waiting.insert((self.deadline, key), context.waker().clone());
            let is_first = timers.waiting.first_key_value().is_some_and(|(first, _)| *first == (self.deadline, key));
            if is_first && let Some(driver) = timers.driver.take() {
                driver.wake();
            }
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // While the thread ends, the table may already be gone.
            let _ = TIMERS.try_with(|timers| timers.borrow_mut().waiting.remove(&(self.deadline, key)));
        }
    }
}

/// Wakes the sleeps that are due, and returns when the next one is.
pub(super) fn wake_due(now: Instant) -> Option<Instant> {
    TIMERS.with_borrow_mut(|timers| {
        while let Some(entry) = timers.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            entry.remove().wake();
        }
        timers.waiting.first_key_value().map(|((deadline, _), _)| *deadline)
    })
}

/// Has `driver` woken when a sleep begins that ends before all others.
pub(super) fn driven_by(driver: &Waker) {
    TIMERS.with_borrow_mut(|timers| timers.driver = Some(driver.clone()));
}

/// hyper's view of the same timers.
#[derive(Clone, Copy, Debug)]
pub struct HyperTimer;

impl hyper::rt::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep::until(clock::now() + duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep::until(deadline))
    }

    fn now(&self) -> Instant {
        clock::now()
    }
}

impl hyper::rt::Sleep for Sleep {}

/// How many sleeps are under way.
#[cfg(test)]
pub(super) fn count() -> usize {
    TIMERS.with_borrow(|timers| timers.waiting.len())
}

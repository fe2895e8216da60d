//! Ending a worker's wait from another thread: an atomic word that says whether the worker sleeps, and an eventfd
//! that is written only when it does.
//!
//! [`super::sleep_word`] explains why no wake is lost; `tests/waker_loom.rs` checks it.
//!
//! The eventfd is never read: both backends watch it for *edges*, and every write is one. A write that arrives
//! after the worker woke for another reason ends the next wait early, which [`crate::net::Io::wait`] allows.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::sync::Arc;

use super::sleep_word::SleepWord;
use super::syscall::check;

#[derive(Debug)]
struct Shared {
    word: SleepWord,
    event: File,
}

/// Ends a worker's wait from another thread. Cheap to clone, and cheap to use: while the worker is awake a wake is
/// at most one atomic exchange, and none once it is already notified. A wake before the wait is not lost.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Option<Arc<Shared>>,
}

impl Waker {
    /// A waker of nothing, for the simulation and for tests.
    #[must_use]
    pub const fn noop() -> Self {
        Self { shared: None }
    }

    /// Ends the present or the next wait. Call it *after* publishing what the worker shall find.
    pub fn wake(&self) {
        let Some(shared) = &self.shared else { return };
        if shared.word.notify() {
            // The write fails only when the counter is at its 64-bit maximum, and then an edge is pending anyway.
            let _ = (&shared.event).write(&1_u64.to_ne_bytes());
        }
    }
}

/// The worker's end, which announces sleep. One per worker, not shared.
#[derive(Debug)]
pub(super) struct Sleeper {
    shared: Arc<Shared>,
}

impl Sleeper {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let raw = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor was just made and nothing else owns it.
        let event = unsafe { File::from_raw_fd(raw) };
        Ok(Self { shared: Arc::new(Shared { word: SleepWord::new(), event }) })
    }

    pub(super) fn waker(&self) -> Waker {
        Waker { shared: Some(Arc::clone(&self.shared)) }
    }

    /// Announces sleep. `false`: a wake came before; do not sleep. `true`: watch the eventfd, then [`Self::end`].
    #[must_use]
    pub(super) fn begin(&self) -> bool {
        self.shared.word.begin()
    }

    /// Called after the wait. Wakes until now are answered by this return.
    pub(super) fn end(&self) {
        self.shared.word.end();
    }
}

/// A simulated worker's end. The simulation's driver asks it whether a wait would have ended, and makes no wakes of its
/// own, so that a wake which the node forgets shows.
#[cfg(any(test, feature = "peer"))]
#[derive(Debug)]
pub struct SimulatedSleeper(Sleeper);

#[cfg(any(test, feature = "peer"))]
impl SimulatedSleeper {
    /// Makes the worker's end; [`Self::waker`] makes the other.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Sleeper::new().map(Self)
    }

    /// A waker, for every thread that may wake the worker.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.0.waker()
    }

    /// Whether it was woken since the last call.
    #[must_use]
    pub fn take(&self) -> bool {
        self.0.shared.word.take()
    }
}

impl AsFd for Sleeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}

impl AsRawFd for Sleeper {
    fn as_raw_fd(&self) -> RawFd {
        self.shared.event.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn writes(sleeper: &Sleeper) -> u64 {
        let mut count = [0; 8];
        (&sleeper.shared.event).read_exact(&mut count).map_or(0, |()| u64::from_ne_bytes(count))
    }

    #[test]
    fn a_wake_before_the_wait_prevents_the_sleep_and_costs_no_system_call() {
        let sleeper = Sleeper::new().unwrap();
        let waker = sleeper.waker();
        waker.wake();
        waker.wake();
        assert!(!sleeper.begin());
        assert_eq!(writes(&sleeper), 0);
        assert!(sleeper.begin(), "it was consumed");
    }

    #[test]
    fn only_the_first_of_many_wakes_writes_while_the_worker_sleeps() {
        let sleeper = Sleeper::new().unwrap();
        assert!(sleeper.begin());
        for _ in 0..5 {
            sleeper.waker().clone().wake();
        }
        assert_eq!(writes(&sleeper), 1);
        sleeper.end();
        assert!(sleeper.begin());
    }

    #[test]
    fn a_simulated_sleeper_reports_each_wake_once() {
        let sleeper = SimulatedSleeper::new().unwrap();
        assert!(!sleeper.take());
        sleeper.waker().wake();
        assert!(sleeper.take() && !sleeper.take());
    }

    #[test]
    fn a_noop_waker_does_nothing() {
        Waker::noop().wake();
    }
}

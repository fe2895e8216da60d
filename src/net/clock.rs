//! The clock of the front: what signalling and authorisation read as the time, and as the time that their thread has used.
//!
//! It is the machine's. Under the feature `simulation` a test may put its own thread on a clock that it moves itself
//! (`simulated`); every other thread keeps the machine's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::process;

/// The time.
#[must_use]
pub fn now() -> Instant {
    #[cfg(feature = "simulation")]
    if let Some(now) = simulated::now() {
        return now;
    }
    Instant::now()
}

/// Seconds since 1970.
#[must_use]
pub fn unix_s() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(since_start) = simulated::since_start() {
        return simulated::UNIX_S_AT_START + since_start.as_secs();
    }
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The processor's time that this thread has used.
#[must_use]
pub fn used() -> Duration {
    #[cfg(feature = "simulation")]
    if let Some(used) = simulated::used() {
        return used;
    }
    process::thread_cpu_time()
}

/// How long the machine may be waited for where something may take `time`. On a clock that stands still, whoever is waited for
/// knows the time: the machine's is no bound then, because the machine may stand still itself.
#[must_use]
pub fn patience(time: Duration) -> Duration {
    #[cfg(feature = "simulation")]
    if simulated::is_running() {
        return time + Duration::from_secs(3_600);
    }
    time
}

/// A clock that stands still unless it is moved. It belongs to the thread that starts it.
#[cfg(feature = "simulation")]
pub mod simulated {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    /// What [`super::unix_s`] is at the start. Not the machine's time: what is written of it has another length in HTTP/2 from
    /// second to second.
    pub(super) const UNIX_S_AT_START: u64 = 1_800_000_000;

    #[derive(Clone, Copy)]
    struct Clock {
        started: Instant,
        now: Instant,
        used: Duration,
        /// By how much what is being done is ahead of `now`, and until when it has to be done: only within [`blocking`].
        ahead: Option<(Duration, Instant)>,
    }

    thread_local! {
        static CLOCK: Cell<Option<Clock>> = const { Cell::new(None) };
    }

    /// The clock of this thread, until it is dropped.
    #[derive(Debug)]
    pub struct Running(());

    /// Puts this thread on a clock of its own, which begins with the machine's time.
    #[must_use]
    pub fn start() -> Running {
        let now = Instant::now();
        CLOCK.set(Some(Clock { started: now, now, used: Duration::ZERO, ahead: None }));
        Running(())
    }

    impl Drop for Running {
        fn drop(&mut self) {
            CLOCK.set(None);
        }
    }

    pub(super) fn now() -> Option<Instant> {
        CLOCK.get().map(|clock| clock.now + clock.ahead.map_or(Duration::ZERO, |(ahead, _)| ahead))
    }

    pub(super) fn since_start() -> Option<Duration> {
        CLOCK.get().map(|clock| clock.now - clock.started)
    }

    pub(super) fn used() -> Option<Duration> {
        CLOCK.get().map(|clock| clock.used)
    }

    fn change(how: impl FnOnce(&mut Clock)) {
        if let Some(mut clock) = CLOCK.get() {
            how(&mut clock);
            CLOCK.set(Some(clock));
        }
    }

    /// Whether this thread has a clock of its own.
    #[must_use]
    pub fn is_running() -> bool {
        CLOCK.get().is_some()
    }

    /// Moves the clock on. It never goes back.
    pub fn advance_to(time: Instant) {
        change(|clock| clock.now = clock.now.max(time));
    }

    /// Something has taken the thread so long.
    pub fn spend(time: Duration) {
        change(|clock| {
            clock.now += time;
            clock.used += time;
        });
    }

    /// Does at once what would block a thread until `deadline` at most. Returns what came of it, and after what time.
    pub fn blocking<T>(deadline: Instant, act: impl FnOnce() -> T) -> (T, Duration) {
        change(|clock| clock.ahead = Some((Duration::ZERO, deadline)));
        let result = act();
        let ahead = CLOCK.get().and_then(|clock| clock.ahead).map_or(Duration::ZERO, |(ahead, _)| ahead);
        change(|clock| clock.ahead = None);
        (result, ahead)
    }

    /// Within [`blocking`]: waits so long, or to the deadline. Returns whether it could wait to the end.
    pub fn wait(time: Duration) -> bool {
        let mut waited = true;
        change(|clock| {
            if let Some((ahead, deadline)) = &mut clock.ahead {
                let left = deadline.saturating_duration_since(clock.now + *ahead);
                waited = time < left;
                *ahead += time.min(left);
            }
        });
        waited
    }
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_ones_own_moves_when_it_is_moved_and_ends_with_its_owner() {
        let running = simulated::start();
        let start = now();
        assert_eq!((now(), used()), (start, Duration::ZERO));
        simulated::spend(Duration::from_millis(3));
        simulated::advance_to(start);
        assert_eq!((now() - start, used()), (Duration::from_millis(3), Duration::from_millis(3)));
        let deadline = now() + Duration::from_secs(2);
        let (waited, took) = simulated::blocking(deadline, || {
            let waited = [simulated::wait(Duration::from_secs(1)), simulated::wait(Duration::from_secs(5))];
            assert_eq!(now(), deadline);
            waited
        });
        assert_eq!((waited, took), ([true, false], Duration::from_secs(2)));
        assert_eq!(now() - start, Duration::from_millis(3), "what was done at once has taken no time yet");
        drop(running);
        assert!(!simulated::is_running());
    }
}

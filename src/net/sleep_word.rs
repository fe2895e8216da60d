//! The atomic word between a worker that may sleep and the threads that wake it. It decides who needs a system call,
//! and makes none itself. `tests/waker_loom.rs` reads this file too and runs it under every interleaving that the
//! memory model allows.
//!
//! ## Why no wake is lost
//! A caller first publishes its message, then calls [`SleepWord::notify`]; the worker returns from the wait, then reads
//! its mailboxes. The word is *awake*, *sleeping* or *notified*.
//!
//! - `notify` moves it to *notified*. The caller that finds *sleeping* must ring (write the eventfd).
//! - The worker sleeps only if it can move *awake* to *sleeping* in one atomic step; when it finds *notified*, it moves
//!   to *awake* and does not sleep. So a wake before the wait prevents the sleep, and a wake during the wait finds
//!   *sleeping* and rings.
//! - A caller that finds *notified* does nothing: the worker has yet to move it to *awake*, and reads its mailboxes
//!   after that. This needs the message to be visible to that later read, which is what the two sequentially
//!   consistent fences are for (caller: message, fence, look; worker: move, fence, read).

use super::atomic::{AtomicU32, Ordering, fence};

const AWAKE: u32 = 0;
const SLEEPING: u32 = 1;
const NOTIFIED: u32 = 2;

#[derive(Debug)]
pub(super) struct SleepWord(AtomicU32);

impl SleepWord {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(AWAKE))
    }

    /// Called after publishing a message; returns whether the caller must ring.
    pub(super) fn notify(&self) -> bool {
        fence(Ordering::SeqCst);
        // Load first: there are many callers, and without a write the cache line stays shared between them.
        if self.0.load(Ordering::Relaxed) == NOTIFIED {
            return false;
        }
        self.0.swap(NOTIFIED, Ordering::SeqCst) == SLEEPING
    }

    /// The worker announces sleep. `false`: a wake came before; do not sleep. `true`: wait for a ring, then [`Self::end`].
    #[must_use]
    pub(super) fn begin(&self) -> bool {
        let slept = self.0.compare_exchange(AWAKE, SLEEPING, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !slept {
            self.end();
        }
        slept
    }

    /// Called after the wait. Wakes until now are answered by this return.
    pub(super) fn end(&self) {
        self.0.swap(AWAKE, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether it was notified since the last call. The simulation uses this as a wait that takes no time.
    #[cfg(any(test, feature = "peer"))]
    pub(super) fn take(&self) -> bool {
        self.0.swap(AWAKE, Ordering::SeqCst) == NOTIFIED
    }
}

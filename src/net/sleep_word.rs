//! The word between a worker that may sleep and those that wake it. No system call here: only which of them needs one.
//! `tests/waker_loom.rs` reads this file too and runs it under every interleaving that the memory model allows.
//!
//! ## Why no wake is lost
//! A caller first publishes its message, then calls [`SleepWord::notify`]; the worker returns from the wait, then reads
//! its mailboxes. The word is *awake*, *sleeping* or *notified*.
//!
//! - `notify` moves it to *notified*; whoever finds *sleeping* there rings.
//! - The worker sleeps only by moving *awake* to *sleeping* in one step; finding *notified* it moves to *awake* and
//!   does not sleep. So a wake before the wait ends the wait, and one during it finds *sleeping* and rings.
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

    /// After publishing a message: whether the caller must ring.
    pub(super) fn notify(&self) -> bool {
        fence(Ordering::SeqCst);
        // A load first: many callers, one worker, and a line that stays shared while nothing changes.
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

    /// Back from the wait: wakes until now are answered by it.
    pub(super) fn end(&self) {
        self.0.swap(AWAKE, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether it was notified since the last call: a wait that takes no time, for the simulation.
    #[cfg(any(test, feature = "peer"))]
    pub(super) fn take(&self) -> bool {
        self.0.swap(AWAKE, Ordering::SeqCst) == NOTIFIED
    }
}

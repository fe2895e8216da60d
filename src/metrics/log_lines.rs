//! How many lines the log left out: counted by whoever writes the log, shown among the figures.

use std::sync::atomic::{AtomicU64, Ordering};

static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// A line was left out, because there were too many or nobody took them.
pub fn note_left_out() {
    LEFT_OUT.fetch_add(1, Ordering::Relaxed);
}

/// Lines left out since the start of the process.
#[must_use]
pub fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

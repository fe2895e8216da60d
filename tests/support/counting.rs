//! The system's allocator, which counts: bytes that are in use, for tests of how much something keeps. One test in a file that uses
//! it, so that nothing else allocates meanwhile.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

static BYTES: AtomicIsize = AtomicIsize::new(0);

/// The allocator: make it the program's own with `#[global_allocator]`.
pub(crate) struct Counting;

/// Bytes in use.
pub(crate) fn allocated() -> isize {
    BYTES.load(Ordering::Relaxed)
}

// SAFETY: every call goes to the system allocator with its own arguments; counting touches nothing of them.
#[allow(unsafe_code, reason = "an allocator can be written in no other way")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

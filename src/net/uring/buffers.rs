//! Receive buffers lent to the kernel: one mapping that holds the ring of buffer descriptors and the buffers.
//!
//! A buffer belongs to the kernel from the moment its descriptor is *published* until a completion names it; from
//! then on it is ours until it is *returned* and published again. The kernel never touches a buffer of ours.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// `COUNT` buffers (a power of two) of `STRIDE` bytes each, and their descriptors.
#[derive(Debug)]
pub(in crate::net) struct Buffers<const COUNT: u16, const STRIDE: usize> {
    mapping: NonNull<u8>,
    /// Descriptors written so far, wrapping. The kernel may use them once they are published.
    tail: u16,
    published: u16,
}

impl<const COUNT: u16, const STRIDE: usize> Buffers<COUNT, STRIDE> {
    /// Descriptors first (the kernel wants them page-aligned), then the buffers.
    const RING_BYTES: usize = COUNT as usize * size_of::<BufRingEntry>();
    const MAPPING_BYTES: usize = Self::RING_BYTES + COUNT as usize * STRIDE;

    /// Maps the memory and writes a descriptor for every buffer.
    pub(in crate::net) fn new() -> io::Result<Self> {
        // SAFETY: a fresh private mapping at an address of the kernel's choice touches nothing of ours.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Self::MAPPING_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                // Populated: no page faults while packets arrive.
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = NonNull::new(address.cast()).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the pages belong to this mapping. A forked child must not inherit what the kernel writes into.
        unsafe { libc::madvise(address, Self::MAPPING_BYTES, libc::MADV_DONTFORK) };
        let mut buffers = Self { mapping, tail: 0, published: 0 };
        for id in 0..COUNT {
            buffers.give_back(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The address of the descriptors, for the registration.
    pub(in crate::net) fn ring_address(&self) -> u64 {
        self.mapping.as_ptr() as u64
    }

    /// The first `len` bytes of a buffer that a completion named.
    ///
    /// # Safety
    /// The kernel has handed this buffer over and it was not given back since.
    pub(in crate::net) unsafe fn bytes_mut(&mut self, id: u16, len: usize) -> &mut [u8] {
        let offset = Self::RING_BYTES + usize::from(id) % usize::from(COUNT) * STRIDE;
        // SAFETY: offset and length lie inside the mapping, which is initialised (zeroed by the kernel, then written
        // by it); by the caller's promise the kernel does not touch these bytes, and `&mut self` keeps others out.
        unsafe { std::slice::from_raw_parts_mut(self.mapping.as_ptr().add(offset), len.min(STRIDE)) }
    }

    /// Lends a buffer to the kernel again, from the next [`Self::publish`] on.
    pub(in crate::net) fn give_back(&mut self, id: u16) {
        let slot = usize::from(self.tail) % usize::from(COUNT);
        let id = id % COUNT;
        let address = self.mapping.as_ptr() as u64 + (Self::RING_BYTES + usize::from(id) * STRIDE) as u64;
        // SAFETY: the slot lies in the descriptor part of the mapping, and the kernel does not read slots at and
        // behind the published tail. The fields are set one by one because the first descriptor's last two bytes are
        // the tail itself.
        unsafe {
            let entry = self.mapping.cast::<BufRingEntry>().add(slot).as_mut();
            entry.set_addr(address);
            entry.set_len(STRIDE as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    pub(in crate::net) fn publish(&mut self) {
        if self.published == self.tail {
            return;
        }
        self.published = self.tail;
        // SAFETY: the tail lies in the first descriptor, inside the mapping, aligned; only this thread writes it and
        // the kernel reads it atomically.
        let tail = unsafe {
            let address = BufRingEntry::tail(self.mapping.cast::<BufRingEntry>().as_ptr());
            AtomicU16::from_ptr(address.cast_mut())
        };
        // Release: the descriptors are visible before the tail.
        tail.store(self.tail, Ordering::Release);
    }

    /// Keeps the memory mapped for ever. Called when the kernel may still write into it.
    pub(in crate::net) fn leak(&mut self) {
        self.mapping = NonNull::dangling();
    }
}

impl<const COUNT: u16, const STRIDE: usize> Drop for Buffers<COUNT, STRIDE> {
    fn drop(&mut self) {
        if self.mapping != NonNull::dangling() {
            // SAFETY: the mapping was made by `new` with this length; nothing borrows from it, and whoever registered
            // it with a ring has unregistered it or called `leak`.
            unsafe { libc::munmap(self.mapping.as_ptr().cast(), Self::MAPPING_BYTES) };
        }
    }
}

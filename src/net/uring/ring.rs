//! The ring itself: it is made with the best flags this kernel has; entries are pushed; the kernel is entered.
//!
//! `io_uring_enter` is called here and not through the crate's `Submitter`: `Submitter` knows the registered ring
//! descriptor only while it is borrowed, cannot ask for completions without also waiting for one, and cannot pass the
//! flag that keeps an idle worker from being accounted as waiting for a disk.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::{CompletionQueue, EnterFlags, IoUring, opcode, squeue};

use crate::net::ring_unavailable::RingUnavailable;
use crate::net::syscall::check_long;

/// `io_uring_register(2)`: the ring's own descriptor, so that entering needs no look-up.
const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// Why the kernel is entered.
#[derive(Clone, Copy, Debug)]
pub(in crate::net) enum Enter {
    /// Only to submit.
    Submit,
    /// To submit, and to make the completions that are due.
    Poll,
    /// To submit, and to wait for a completion at most this long.
    Wait(Duration),
}

/// A set of flags beyond those that every kernel with multishot receives has.
pub(super) struct Flavour {
    pub(super) name: &'static str,
    choose: fn(&mut io_uring::Builder),
}

/// From the best to the least that works: Linux 6.6, 6.1, 6.0.
pub(super) const FLAVOURS: [Flavour; 3] = [
    Flavour {
        name: "single issuer, deferred task work, no index array",
        choose: |builder| {
            builder.setup_single_issuer().setup_defer_taskrun().setup_no_sqarray();
        },
    },
    Flavour {
        name: "single issuer, deferred task work",
        choose: |builder| {
            builder.setup_single_issuer().setup_defer_taskrun();
        },
    },
    Flavour {
        name: "single issuer, cooperative task work",
        choose: |builder| {
            builder.setup_single_issuer();
        },
    },
];

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct WaitArguments {
    signal_mask: u64,
    signal_mask_bytes: u32,
    min_wait_us: u32,
    timeout: u64,
}

/// `struct __kernel_timespec`.
#[repr(C)]
struct KernelTimespec {
    seconds: i64,
    nanoseconds: i64,
}

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct ResourceUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// A ring that belongs to the thread that made it.
pub(in crate::net) struct Ring {
    ring: IoUring,
    /// Index of the registered descriptor. Without one the plain descriptor is used.
    registered: Option<u32>,
    /// Flags of every wait.
    wait_flags: EnterFlags,
    flavour: &'static str,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("flavour", &self.flavour).finish_non_exhaustive()
    }
}

impl Ring {
    /// Makes a ring with room for `submissions` and `completions`, a power of two each.
    pub(in crate::net) fn new(submissions: u32, completions: u32) -> Result<Self, RingUnavailable> {
        let mut refused = Err(RingUnavailable::from_setup(&io::Error::from_raw_os_error(libc::EINVAL)));
        for flavour in &FLAVOURS {
            refused = Self::of_flavour(flavour, submissions, completions);
            // Another set is tried only when this kernel does not know one of the flags.
            if !matches!(refused, Err(RingUnavailable::TooOld { .. })) {
                break;
            }
        }
        refused
    }

    /// Makes a ring with these flags and no others.
    pub(super) fn of_flavour(flavour: &Flavour, submissions: u32, completions: u32) -> Result<Self, RingUnavailable> {
        let mut builder = IoUring::builder();
        builder.dontfork().setup_submit_all().setup_coop_taskrun().setup_taskrun_flag();
        builder.setup_cqsize(completions);
        (flavour.choose)(&mut builder);
        match builder.build(submissions) {
            Ok(ring) => Self::check(ring, flavour.name),
            Err(error) => Err(RingUnavailable::from_setup(&error)),
        }
    }

    /// Refuses a ring that lacks what the backend needs, by name.
    fn check(ring: IoUring, flavour: &'static str) -> Result<Self, RingUnavailable> {
        let parameters = ring.params();
        if !parameters.is_feature_ext_arg() || !parameters.is_feature_nodrop() {
            return Err(RingUnavailable::TooOld { missing: "waits with a deadline (Linux 5.11)" });
        }
        let mut probe = io_uring::Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(|error| RingUnavailable::from_setup(&error))?;
        // Multishot RECVMSG cannot be probed for; SEND_ZC came with it in 6.0.
        if !probe.is_supported(opcode::SendZc::CODE) {
            return Err(RingUnavailable::TooOld { missing: "multishot RECVMSG (Linux 6.0)" });
        }
        let mut wait_flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if parameters.is_feature_no_iowait() {
            wait_flags |= EnterFlags::NO_IOWAIT;
        }
        let registered = register_descriptor(&ring).ok();
        Ok(Self { ring, registered, wait_flags, flavour })
    }

    pub(in crate::net) fn flavour(&self) -> &'static str {
        self.flavour
    }

    /// The crate's registration calls.
    pub(in crate::net) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    /// The completions made so far.
    pub(in crate::net) fn completions(&mut self) -> CompletionQueue<'_> {
        self.ring.completion()
    }

    /// Whether entering the kernel would make completions that are due.
    pub(in crate::net) fn has_work(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow() || !queue.is_empty()
    }

    /// Entries the kernel has not taken yet.
    pub(super) fn unsubmitted(&mut self) -> usize {
        self.ring.submission().len()
    }

    /// Adds an entry, entering the kernel first where the queue is full.
    ///
    /// # Safety
    /// What the entry points at stays valid until its last completion was seen, or the ring is never entered again.
    pub(in crate::net) unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: as promised by the caller.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.enter(Enter::Submit)?;
        }
        Ok(())
    }

    /// Enters the kernel. An interruption, a deadline that passed and a momentary lack of memory are no errors.
    pub(in crate::net) fn enter(&mut self, why: Enter) -> io::Result<()> {
        let to_submit = self.unsubmitted() as libc::c_uint;
        let mut timespec = KernelTimespec { seconds: 0, nanoseconds: 0 };
        let mut arguments = WaitArguments { signal_mask: 0, signal_mask_bytes: 0, min_wait_us: 0, timeout: 0 };
        let (wait_for, mut flags): (libc::c_uint, _) = match why {
            Enter::Submit => (0, EnterFlags::EXT_ARG),
            Enter::Poll => (0, EnterFlags::EXT_ARG | EnterFlags::GETEVENTS),
            Enter::Wait(limit) => {
                timespec.seconds = limit.as_secs().try_into().unwrap_or(i64::MAX);
                timespec.nanoseconds = limit.subsec_nanos().into();
                arguments.timeout = (&raw const timespec) as u64;
                (1, self.wait_flags)
            }
        };
        let descriptor = match self.registered {
            Some(index) => {
                flags |= EnterFlags::REGISTERED_RING;
                index as libc::c_int
            }
            None => self.ring.as_raw_fd(),
        };
        // SAFETY: the descriptor is this ring's; the arguments and the timeout they point at outlive the call;
        // the entries submitted are valid by the contract of `push`.
        let result = check_long(unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                descriptor,
                to_submit,
                wait_for,
                flags.bits(),
                &raw const arguments,
                size_of::<WaitArguments>(),
            )
        });
        match result {
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM)
                ) =>
            {
                Ok(())
            }
            result => result.map(drop),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // A registered descriptor keeps the ring alive until the thread ends.
        if let Some(index) = self.registered {
            let _ = update_descriptor(&self.ring, UNREGISTER_RING_FDS, index, 0);
        }
    }
}

fn register_descriptor(ring: &IoUring) -> io::Result<u32> {
    update_descriptor(ring, REGISTER_RING_FDS, u32::MAX, ring.as_raw_fd() as u64)
}

fn update_descriptor(ring: &IoUring, operation: libc::c_uint, offset: u32, data: u64) -> io::Result<u32> {
    let mut update = ResourceUpdate { offset, reserved: 0, data };
    // SAFETY: the descriptor is this ring's; the kernel reads and writes one `update`.
    check_long(unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring.as_raw_fd(), operation, &raw mut update, 1_u32)
    })?;
    Ok(update.offset)
}

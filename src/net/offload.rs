//! The offload ladder of one socket: use `UDP_SEGMENT` while the kernel takes it, resend unsegmented what it
//! refuses, and stop asking for a while when it refuses everything.
//!
//! Refusals known: `EIO` (no checksum offload on the interface before Linux 6.11, or an IPsec route) and `EINVAL`
//! (older kernels for a segment longer than the path's size, or checksums turned off on the socket). Either may
//! concern one destination or the whole interface; only a run of refusals with no success between them is taken
//! for the latter. `EMSGSIZE` is not a refusal of the offload: no segment of that size fits, alone or in a train.

use crate::limits;

/// What to do with a train the kernel did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The call was interrupted: again.
    Again,
    /// The socket's send buffer is full.
    Full,
    /// The segments do not fit the path.
    TooLong,
    /// The offload was refused: resend it unsegmented.
    Offload,
    /// Anything else.
    Other,
}

/// Sorts the error of a message that was (`offloaded`) or was not cut by the kernel.
pub(super) fn classify(errno: i32, offloaded: bool) -> Refusal {
    match errno {
        libc::EINTR => Refusal::Again,
        libc::EAGAIN | libc::ENOBUFS => Refusal::Full,
        libc::EMSGSIZE => Refusal::TooLong,
        libc::EIO | libc::EINVAL if offloaded => Refusal::Offload,
        _ => Refusal::Other,
    }
}

/// Whether one socket's trains go out as one message.
#[derive(Debug)]
pub(super) struct Offload {
    /// The kernel knows `UDP_SEGMENT`.
    known: bool,
    refusals_in_a_row: u32,
    /// Trains still to be sent unsegmented without asking.
    suspended_trains: u32,
}

impl Offload {
    pub(super) const fn new(known: bool) -> Self {
        Self { known, refusals_in_a_row: 0, suspended_trains: 0 }
    }

    /// Whether the next train may ask for it.
    pub(super) fn may_ask(&mut self) -> bool {
        if self.suspended_trains > 0 {
            self.suspended_trains -= 1;
            return false;
        }
        self.known
    }

    /// The kernel took an offloaded train.
    pub(super) fn accepted(&mut self) {
        self.refusals_in_a_row = 0;
    }

    /// The kernel refused one.
    pub(super) fn refused(&mut self) {
        self.refusals_in_a_row += 1;
        if self.refusals_in_a_row >= limits::OFFLOAD_REFUSALS_IN_A_ROW_MAX {
            self.refusals_in_a_row = 0;
            self.suspended_trains = limits::OFFLOAD_SUSPENDED_TRAINS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_can_be_done_about_them() {
        for errno in [libc::EIO, libc::EINVAL] {
            assert_eq!(classify(errno, true), Refusal::Offload);
            assert_eq!(classify(errno, false), Refusal::Other);
        }
        for offloaded in [false, true] {
            assert_eq!(classify(libc::EMSGSIZE, offloaded), Refusal::TooLong);
            assert_eq!(classify(libc::EAGAIN, offloaded), Refusal::Full);
            assert_eq!(classify(libc::ENOBUFS, offloaded), Refusal::Full);
            assert_eq!(classify(libc::ENETUNREACH, offloaded), Refusal::Other);
        }
    }

    #[test]
    fn an_unbroken_run_of_refusals_suspends_the_offload_and_it_is_tried_again_later() {
        let mut offload = Offload::new(true);
        for _ in 0..limits::OFFLOAD_REFUSALS_IN_A_ROW_MAX {
            assert!(offload.may_ask());
            offload.refused();
        }
        for _ in 0..limits::OFFLOAD_SUSPENDED_TRAINS {
            assert!(!offload.may_ask());
        }
        assert!(offload.may_ask());
    }

    #[test]
    fn one_destination_that_refuses_does_not_suspend_it_for_the_others() {
        let mut offload = Offload::new(true);
        for _ in 0..10 * limits::OFFLOAD_REFUSALS_IN_A_ROW_MAX {
            assert!(offload.may_ask());
            offload.refused();
            assert!(offload.may_ask());
            offload.accepted();
        }
    }

    #[test]
    fn a_kernel_without_it_is_never_asked() {
        assert!(!Offload::new(false).may_ask());
    }
}

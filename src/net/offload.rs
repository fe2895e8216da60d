//! When one socket uses segmentation offload. `UDP_SEGMENT` is used while the kernel accepts it; a train whose offload
//! is refused is resent unsegmented; when every offload is refused, it is not tried for a while.
//!
//! Known refusals: `EIO` (no checksum offload on the interface before Linux 6.11, or an IPsec route) and `EINVAL`
//! (older kernels for a segment longer than the path's size, or checksums turned off on the socket). Either may concern
//! one destination or the whole interface. Only a run of refusals without a success in between is taken to concern the
//! interface. `EMSGSIZE` is not a refusal of the offload: no segment of that size fits, alone or in a train.

use crate::limits;

/// What to do with a train the kernel did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The call was interrupted: repeat it.
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

/// Classifies the error of a refused message; `offloaded` says whether the kernel was asked to cut it.
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
    /// Trains still to be sent unsegmented, without trying the offload.
    suspended_trains: u32,
}

impl Offload {
    pub(super) const fn new(known: bool) -> Self {
        Self { known, refusals_in_a_row: 0, suspended_trains: 0 }
    }

    /// Whether the next train may use the offload.
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

    /// The kernel refused an offloaded train.
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
    fn errors_are_classified_by_their_remedy() {
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
    fn a_run_of_refusals_suspends_the_offload_for_a_while() {
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
    fn one_refusing_destination_does_not_suspend_the_offload_for_others() {
        let mut offload = Offload::new(true);
        for _ in 0..10 * limits::OFFLOAD_REFUSALS_IN_A_ROW_MAX {
            assert!(offload.may_ask());
            offload.refused();
            assert!(offload.may_ask());
            offload.accepted();
        }
    }

    #[test]
    fn a_kernel_without_the_offload_is_never_asked() {
        assert!(!Offload::new(false).may_ask());
    }
}

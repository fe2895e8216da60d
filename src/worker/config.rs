//! What a worker is made with, and the node's wall clock.

use std::time::Duration;

use crate::limits;
use crate::time::{NtpTime, Timestamp};
use crate::worker::mailbox::WorkerIndex;

/// This node's wall clock, read once and carried forward by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// Wall-clock time at [`Timestamp::ZERO`].
    pub at_zero: NtpTime,
}

impl WallClock {
    /// Wall-clock time at `now`.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> NtpTime {
        self.at_zero + now.since(Timestamp::ZERO)
    }
}

/// How long sessions' keys live.
#[derive(Clone, Copy, Debug)]
pub struct KeyPolicy {
    /// After so long a client is asked for other keys, give or take [`limits::KEY_LIFETIME_SPREAD_PERCENT`]; `None`: never.
    pub lifetime: Option<Duration>,
    /// Packets under one key.
    pub packets_max: u64,
    /// A peer may change them on the transport that it has.
    pub in_place: bool,
}

impl Default for KeyPolicy {
    /// No age, and as many packets as may be.
    fn default() -> Self {
        Self { lifetime: None, packets_max: limits::SRTP_PACKETS_PER_KEY_MAX, in_place: false }
    }
}

/// What a worker is made with.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Its index.
    pub index: WorkerIndex,
    /// The core it is pinned to, for reports.
    pub core: u16,
    /// Its UDP port, for reports.
    pub media_port: u16,
    /// `uring` or `mmsg`, for reports.
    pub io: &'static str,
    /// Sessions it serves at most.
    pub sessions_max: usize,
    /// How long video is held for its frame's end when the worker is more than half busy; zero never holds.
    pub hold_max: Duration,
    /// Bits that a publisher may send in a second.
    pub publisher_bits_per_second_max: u64,
    /// How long sessions' keys live.
    pub keys: KeyPolicy,
    /// The node's wall clock.
    pub wall_clock: WallClock,
}

//! Points in time as plain values. The protocol layers are handed the time; they never read a clock.
//!
//! A [`Timestamp`] counts nanoseconds on the machine's monotonic clock. All workers of a node read the same clock, so
//! values may travel between cores. Only [`crate::net`] and [`crate::worker`] read the clock; tests make timestamps of
//! their own.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds on the node's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The clock's start.
    pub const ZERO: Self = Self(0);

    /// `nanos` nanoseconds after the clock's start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `millis` milliseconds after the clock's start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the clock's start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later (clocks of two cores may differ by little).
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// An NTP timestamp in RFC 3550 §4 form: seconds since 1900 in the upper 32 bits, fraction in the lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// So long in its units, modulo 2^64.
    const fn span(time: Duration) -> u64 {
        let fraction = ((time.subsec_nanos() as u64) << 32) / 1_000_000_000;
        (time.as_secs() << 32).wrapping_add(fraction)
    }

    /// The middle 32 bits, as sender and receiver reports carry them (RFC 3550 §6.4.1, LSR).
    #[must_use]
    pub const fn middle(self) -> u32 {
        ((self.0 >> 16) & 0xffff_ffff) as u32
    }
}

impl Sub<Duration> for NtpTime {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.wrapping_sub(Self::span(rhs)))
    }
}

impl Add<Duration> for NtpTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.wrapping_add(Self::span(rhs)))
    }
}

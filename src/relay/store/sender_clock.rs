//! Which wall-clock time an encoding's RTP timestamp stands for, from the publisher's own sender reports.
//!
//! Audio and video are presented together by their reports' common clock (RFC 3550 §6.4.1). The publisher's clock
//! is only moved, by one offset for all its tracks, to this node's; the distance between its tracks is never
//! touched, and before it has reported nothing is claimed.

use std::time::Duration;

use crate::time::{NtpTime, Timestamp};

/// One offset for all tracks of a publisher, fixed at its first sender report.
#[derive(Clone, Copy, Debug, Default)]
pub struct NtpOffset(Option<u64>);

impl NtpOffset {
    /// What is added, to be kept; `None` before the first report.
    #[must_use]
    pub const fn to_node_clock(self) -> Option<u64> {
        self.0
    }

    /// Goes on with what [`Self::to_node_clock`] told.
    #[must_use]
    pub const fn from_node_clock(offset: Option<u64>) -> Self {
        Self(offset)
    }

    /// Moves a publisher's wall-clock time to this node's. The first call fixes the offset: `now` is this node's
    /// wall clock at the report's arrival.
    pub fn to_node(&mut self, publisher: NtpTime, now: NtpTime) -> NtpTime {
        let offset = *self.0.get_or_insert(now.0.wrapping_sub(publisher.0));
        NtpTime(publisher.0.wrapping_add(offset))
    }
}

/// The newest pair of wall-clock time and RTP timestamp of one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderClock {
    /// This node's wall clock.
    pub ntp: NtpTime,
    /// RTP timestamp on the worker's timeline.
    pub timestamp: u32,
    /// When the report arrived.
    pub arrival: Timestamp,
    /// RTP clock in Hz.
    pub clock_rate_hz: u32,
}

impl SenderClock {
    /// The pair extrapolated to `now`.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> (NtpTime, u32) {
        let passed: Duration = now.since(self.arrival);
        let ticks = passed.as_nanos() * u128::from(self.clock_rate_hz) / 1_000_000_000;
        (self.ntp + passed, self.timestamp.wrapping_add((ticks & u128::from(u32::MAX)) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_between_two_tracks_survives_the_move_to_the_nodes_clock() {
        let mut offset = NtpOffset::default();
        let audio = offset.to_node(NtpTime(100 << 32), NtpTime(5_000 << 32));
        // The video report says 40 ms later and arrives 300 ms later: only what it says counts.
        let video = offset.to_node(NtpTime(100 << 32) + Duration::from_millis(40), NtpTime(5_000 << 32));
        assert_eq!(audio.0, 5_000 << 32);
        assert_eq!(video.0 - audio.0, (NtpTime(0) + Duration::from_millis(40)).0);
    }

    #[test]
    fn a_report_is_carried_forward_at_the_clock_rate() {
        let clock =
            SenderClock { ntp: NtpTime(7 << 32), timestamp: 90, arrival: Timestamp::ZERO, clock_rate_hz: 90_000 };
        assert_eq!(clock.at(Timestamp::from_millis(1_500)), (NtpTime((8 << 32) | (1 << 31)), 90 + 135_000));
    }
}

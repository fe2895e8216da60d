//! From one host's clocks to another's: what a record's times become when it leaves the machine.
//!
//! A record carries two kinds of time: when its packet arrived, on the monotonic clock of the node that received it, and,
//! from sender reports, wall-clock time as that node keeps it. Neither means anything elsewhere. A link between two nodes
//! therefore learns how far their clocks are apart and moves both, once per record.
//!
//! Not here: carrying the exchange, and repeating it as clocks drift.

use crate::time::{NtpTime, Timestamp};

/// Both clocks of one host, read at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostClocks {
    /// The monotonic clock.
    pub monotonic: Timestamp,
    /// The wall clock.
    pub wall: NtpTime,
}

/// How far one host's clocks are from another's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockMap {
    /// To be added to monotonic time, in nanoseconds.
    monotonic_nanos: i64,
    /// To be added to wall-clock time, modulo 2^64.
    wall: u64,
}

impl ClockMap {
    /// From the clocks of `theirs` to those of `ours`, both read at the same instant.
    #[must_use]
    pub const fn between(theirs: HostClocks, ours: HostClocks) -> Self {
        Self {
            monotonic_nanos: ours.monotonic.as_nanos().wrapping_sub(theirs.monotonic.as_nanos()) as i64,
            wall: ours.wall.0.wrapping_sub(theirs.wall.0),
        }
    }

    /// The same from one question and its answer (RFC 5905 §8 without the averaging): we asked at `asked`, they read their
    /// clocks between the two, and the answer came at `answered`. Wrong by at most half the round trip.
    #[must_use]
    pub fn from_exchange(asked: HostClocks, theirs: HostClocks, answered: HostClocks) -> Self {
        let half = answered.monotonic.since(asked.monotonic) / 2;
        Self::between(theirs, HostClocks { monotonic: asked.monotonic + half, wall: asked.wall + half })
    }

    /// The way back.
    #[must_use]
    pub const fn inverse(self) -> Self {
        Self { monotonic_nanos: self.monotonic_nanos.wrapping_neg(), wall: self.wall.wrapping_neg() }
    }

    /// A time of theirs on our monotonic clock; its start for what happened before we were started.
    #[must_use]
    pub const fn monotonic(self, theirs: Timestamp) -> Timestamp {
        Timestamp::from_nanos(theirs.as_nanos().saturating_add_signed(self.monotonic_nanos))
    }

    /// A time of theirs on our wall clock.
    #[must_use]
    pub const fn wall(self, theirs: NtpTime) -> NtpTime {
        NtpTime(theirs.0.wrapping_add(self.wall))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn clocks(monotonic_ms: u64, wall_seconds: u64) -> HostClocks {
        HostClocks { monotonic: Timestamp::from_millis(monotonic_ms), wall: NtpTime(wall_seconds << 32) }
    }

    #[test]
    fn a_time_moves_by_the_distance_of_the_clocks_and_back() {
        for (theirs, ours) in [(clocks(5_000, 100), clocks(90_000, 97)), (clocks(90_000, 97), clocks(5_000, 100))] {
            let map = ClockMap::between(theirs, ours);
            assert_eq!((map.monotonic(theirs.monotonic), map.wall(theirs.wall)), (ours.monotonic, ours.wall));
            let (later, wall) = (theirs.monotonic + Duration::from_nanos(123), NtpTime(theirs.wall.0 + 7));
            let there = (map.monotonic(later), map.wall(wall));
            assert_eq!(there, (ours.monotonic + Duration::from_nanos(123), NtpTime(ours.wall.0 + 7)));
            assert_eq!((map.inverse().monotonic(there.0), map.inverse().wall(there.1)), (later, wall));
        }
        // What happened before this host was started did not happen later.
        let map = ClockMap::between(clocks(90_000, 0), clocks(10, 0));
        assert_eq!(map.monotonic(Timestamp::from_millis(1)), Timestamp::ZERO);
    }

    #[test]
    fn an_exchange_is_wrong_by_half_the_round_trip_at_most() {
        for there_ms in [0, 10, 30, 40] {
            let asked = clocks(1_000, 50);
            let answered = HostClocks { monotonic: asked.monotonic + Duration::from_millis(40), ..asked };
            // They are 7 s ahead, and read their clocks when the question had been so long on its way.
            let theirs = clocks(8_000 + there_ms, 50);
            let map = ClockMap::from_exchange(asked, theirs, answered);
            let ours = map.monotonic(theirs.monotonic);
            let truth = Timestamp::from_millis(1_000 + there_ms);
            assert!(ours.max(truth).since(ours.min(truth)) <= Duration::from_millis(20));
        }
    }
}

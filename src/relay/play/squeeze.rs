//! Timestamps of one who starts at a key frame of the past: squeezed together towards the live edge.
//!
//! A viewer that comes in the middle of a group of pictures is sent what it needs to decode the newest one, faster than it was
//! published. With their own timestamps these pictures would be late from the first on, and the receiver would keep that delay.
//! So they are told to be as far apart as they are sent:
//!
//! ```text
//!  encoding   K · · · · · · · · · L                      pictures from the key frame to the newest one,
//!                                 L · · · E · · · ·      and those that come while these are sent
//!  viewer                         K·········E · · · ·    the key frame is told to be of now; from the edge E on nothing is moved
//! ```
//!
//! Beyond the edge the viewer's timeline is the plain one, and sound, sender reports and whatever comes later know of no
//! squeeze. Of two pictures that are [`limits::SQUEEZE_MAX`] ticks apart the later one stays later.

use std::time::Duration;

use crate::limits;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};
use crate::wire::sequence::timestamp_distance;

/// How timestamps before an edge are moved towards it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Squeeze {
    /// On the encoding's timeline, its upper half first: a run of numbers has six bytes left for all of this. From here on
    /// nothing is moved.
    edge: [u16; 2],
    /// What remains of a distance to the edge, in 65,536ths; 0 where nothing is moved.
    remains: u16,
}

impl Squeeze {
    /// Nothing is moved.
    pub const NONE: Self = Self { edge: [0; 2], remains: 0 };

    /// Squeezes what begins with the timestamp `first` so that this one comes to be `live`, and the edge as long after that as
    /// sending `lasts`. [`Self::NONE`] where `live` is no later, or so much that nobody's clock can be right.
    #[must_use]
    pub fn new(first: u32, live: u32, lasts: Duration, clock_rate_hz: u32) -> Self {
        let back = timestamp_distance(first, live);
        let most = limits::SQUEEZED_TIME_MAX.as_secs() as i64 * i64::from(clock_rate_hz);
        if back <= 0 || i64::from(back) > most {
            return Self::NONE;
        }
        let back = u64::from(back.unsigned_abs());
        let ticks = lasts.min(limits::SQUEEZED_TIME_MAX).as_millis() as u64 * u64::from(clock_rate_hz) / 1_000;
        let ticks = ticks.max(back.div_ceil(limits::SQUEEZE_MAX - 1));
        let remains = (ticks << 16) / (back + ticks);
        let edge = live.wrapping_add(ticks as u32);
        Self { edge: halves(edge), remains: u16::try_from(remains).unwrap_or(u16::MAX) }
    }

    /// Whether anything is moved.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.remains == 0
    }

    /// Where a timestamp of the encoding comes to be.
    #[must_use]
    pub fn apply(self, timestamp: u32) -> u32 {
        let before = self.before_edge(timestamp);
        if self.is_none() || before <= 0 {
            return timestamp;
        }
        let remains = (u64::from(before.unsigned_abs()) * u64::from(self.remains)) >> 16;
        self.edge().wrapping_sub(remains as u32)
    }

    /// Ticks from a timestamp to the edge.
    #[must_use]
    pub fn before_edge(self, timestamp: u32) -> i32 {
        timestamp_distance(timestamp, self.edge())
    }

    fn edge(self) -> u32 {
        let [upper, lower] = self.edge;
        u32::from(upper) << 16 | u32::from(lower)
    }

    /// Writes it for another process.
    pub fn export(self, out: &mut StateWriter) {
        out.u32(self.edge());
        out.u16(self.remains);
    }

    /// Reads what [`Self::export`] wrote.
    ///
    /// # Errors
    /// It is cut short.
    pub fn import(from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        Ok(Self { edge: halves(from.u32()?), remains: from.u16()? })
    }
}

const fn halves(edge: u32) -> [u16; 2] {
    [(edge >> 16) as u16, edge as u16]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: u32 = 3_000;

    #[test]
    fn a_key_frame_of_the_past_is_told_to_be_of_now_and_beyond_the_edge_nothing_is_moved() {
        let first = u32::MAX - 60_000;
        let live = first.wrapping_add(45 * FRAME);
        let squeeze = Squeeze::new(first, live, Duration::from_millis(400), 90_000);
        assert!(timestamp_distance(live, squeeze.apply(first)) < 4, "{squeeze:?}");
        let edge = live.wrapping_add(36_000);
        for timestamp in [edge, edge.wrapping_add(1), edge.wrapping_add(1 << 30)] {
            assert_eq!(squeeze.apply(timestamp), timestamp);
        }
        // As it is sent, so it is told: half of the way is half of the time.
        let half = first.wrapping_add((45 * FRAME + 36_000) / 2);
        assert!(timestamp_distance(live.wrapping_add(18_000), squeeze.apply(half)).abs() < 8);
    }

    #[test]
    fn what_begins_now_is_not_squeezed_and_neither_is_what_no_clock_can_say() {
        for (first, live) in [(5, 5), (6, 5), (0, u32::MAX), (0, 64 * 90_000 + 1), (0, i32::MAX as u32), (0, 1 << 31)] {
            assert_eq!(Squeeze::new(first, live, Duration::from_millis(400), 90_000), Squeeze::NONE, "{first} {live}");
        }
        assert_eq!(Squeeze::NONE.apply(77), 77);
    }

    proptest! {
        #[test]
        fn time_goes_on_for_any_stream(
            first: u32,
            steps in prop::collection::vec(limits::SQUEEZE_MAX as u32..20_000, 1..300),
            live in 1..300_usize,
            lasts_ms in 0..5_000_u64,
        ) {
            let pictures: Vec<u32> = steps.iter().scan(first, |at, step| {
                let now = *at;
                *at = at.wrapping_add(*step);
                Some(now)
            }).collect();
            let live = pictures[live.min(pictures.len() - 1)];
            let squeeze = Squeeze::new(first, live, Duration::from_millis(lasts_ms), 90_000);
            prop_assert!(timestamp_distance(live, squeeze.apply(first)) >= 0);
            for pair in pictures.windows(2) {
                let (before, after) = (squeeze.apply(pair[0]), squeeze.apply(pair[1]));
                prop_assert!(timestamp_distance(before, after) > 0, "{squeeze:?}: {pair:?} are {before} and {after}");
                prop_assert!(timestamp_distance(pair[1], after) >= 0, "nothing is moved back");
            }
        }
    }
}

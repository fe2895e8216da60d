//! One unbroken timeline per encoding and worker, whatever the publisher does.
//!
//! A publisher that leaves and returns, or restarts its encoder, comes with new sequence numbers, new timestamps
//! and a new SSRC: a new *incarnation*. Viewers keep one RTP stream for life (RFC 3550 §5.1: a source's numbers
//! increase by one), so each incarnation's numbers are moved to follow the last: sequences continue at the next
//! one, timestamps advance by the time that passed.

use crate::relay::store::numbers::Sequence;
use crate::time::Timestamp;

/// Names one unbroken run of a publisher's numbers. Only equality means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u64);

/// Maps an incarnation's numbers onto the encoding's timeline.
#[derive(Debug)]
pub struct Timeline {
    clock_rate_hz: u32,
    current: Option<Shift>,
    /// The incarnation before: what of it is still on its way comes too late.
    retired: Option<Incarnation>,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Shift {
    incarnation: Incarnation,
    sequence: u64,
    timestamp: u32,
    first_sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    sequence: u64,
    timestamp: u32,
    arrival: Timestamp,
}

/// Where the first incarnation begins: far enough from zero that a late packet before the first one has a number.
const FIRST_SEQUENCE: u64 = 1 << 16;

impl Timeline {
    /// A timeline with nothing on it.
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self { clock_rate_hz, current: None, retired: None, last: None }
    }

    /// The RTP clock in Hz.
    #[must_use]
    pub fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
    }

    /// The incarnation that packets belong to now.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.current.map(|shift| shift.incarnation)
    }

    /// Places a packet: its sequence and timestamp on the timeline, and whether it opened a new incarnation. `None`
    /// for one that precedes its incarnation's first packet (its number belongs to the incarnation before), and for
    /// one of the incarnation before, still on its way.
    pub fn place(
        &mut self,
        incarnation: Incarnation,
        sequence: u64,
        timestamp: u32,
        arrival: Timestamp,
    ) -> Option<(Sequence, u32, bool)> {
        let (shift, opened) = match self.current {
            Some(shift) if shift.incarnation == incarnation => (shift, false),
            _ if self.retired == Some(incarnation) => return None,
            _ => (self.open(incarnation, sequence, timestamp, arrival), true),
        };
        if sequence < shift.first_sequence {
            return None;
        }
        let placed = Last {
            sequence: sequence.wrapping_add(shift.sequence),
            timestamp: timestamp.wrapping_add(shift.timestamp),
            arrival,
        };
        if self.last.is_none_or(|last| placed.sequence > last.sequence) {
            self.last = Some(placed);
        }
        Some((Sequence(placed.sequence), placed.timestamp, opened))
    }

    /// Moves a timestamp of the present incarnation (from a sender report); `None` for another incarnation's.
    #[must_use]
    pub fn shift_timestamp(&self, incarnation: Incarnation, timestamp: u32) -> Option<u32> {
        let shift = self.current.filter(|shift| shift.incarnation == incarnation)?;
        Some(timestamp.wrapping_add(shift.timestamp))
    }

    /// The way back of [`Self::place`]: which numbers of the present incarnation were placed there. `None` for what was of one before.
    #[must_use]
    pub fn origin_of(&self, sequence: Sequence, timestamp: u32) -> Option<(Incarnation, u64, u32)> {
        let shift = self.current?;
        let first = shift.first_sequence.wrapping_add(shift.sequence);
        let original = || (sequence.0.wrapping_sub(shift.sequence), timestamp.wrapping_sub(shift.timestamp));
        (sequence.0 >= first).then(original).map(|(sequence, timestamp)| (shift.incarnation, sequence, timestamp))
    }

    /// Where a packet of the present incarnation is placed, by its publisher's number; `None` for another incarnation's.
    #[must_use]
    pub fn sequence_of(&self, incarnation: Incarnation, sequence: u64) -> Option<Sequence> {
        let shift = self.current.filter(|shift| shift.incarnation == incarnation)?;
        Some(Sequence(sequence.wrapping_add(shift.sequence)))
    }

    fn open(&mut self, incarnation: Incarnation, sequence: u64, timestamp: u32, arrival: Timestamp) -> Shift {
        let (next_sequence, next_timestamp) = match self.last {
            None => (FIRST_SEQUENCE, timestamp),
            Some(last) => {
                let passed_ms = arrival.since(last.arrival).as_millis().max(1);
                let ticks = passed_ms * u128::from(self.clock_rate_hz) / 1000;
                (last.sequence + 1, last.timestamp.wrapping_add((ticks.max(1) & u128::from(u32::MAX)) as u32))
            }
        };
        let shift = Shift {
            incarnation,
            sequence: next_sequence.wrapping_sub(sequence),
            timestamp: next_timestamp.wrapping_sub(timestamp),
            first_sequence: sequence,
        };
        self.retired = self.current.replace(shift).map(|before| before.incarnation);
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returning_publisher_continues_the_sequence_and_the_clock() {
        let mut timeline = Timeline::new(90_000);
        let at = Timestamp::from_millis;
        let (first, ..) = timeline.place(Incarnation(1), 500, 1_000, at(0)).unwrap();
        let (second, timestamp, _) = timeline.place(Incarnation(1), 501, 4_000, at(33)).unwrap();
        assert_eq!((second.0 - first.0, timestamp), (1, 4_000));
        // Two seconds of silence, then quite other numbers.
        let (third, timestamp, opened) = timeline.place(Incarnation(2), 9, 77, at(2_033)).unwrap();
        assert!(opened);
        assert_eq!((third.0 - second.0, timestamp), (1, 4_000 + 180_000));
        let (fourth, timestamp, opened) = timeline.place(Incarnation(2), 10, 3_077, at(2_066)).unwrap();
        assert!(!opened);
        assert_eq!((fourth.0 - third.0, timestamp), (1, 4_000 + 183_000));
    }

    #[test]
    fn reordering_keeps_distances_and_never_reaches_into_the_incarnation_before() {
        let mut timeline = Timeline::new(90_000);
        let at = Timestamp::from_millis;
        let (a, ..) = timeline.place(Incarnation(1), 10, 0, at(0)).unwrap();
        let (c, ..) = timeline.place(Incarnation(1), 12, 0, at(1)).unwrap();
        let (b, ..) = timeline.place(Incarnation(1), 11, 0, at(2)).unwrap();
        assert_eq!((b.0 - a.0, c.0 - a.0), (1, 2));
        timeline.place(Incarnation(2), 100, 0, at(3)).unwrap();
        assert!(timeline.place(Incarnation(2), 99, 0, at(4)).is_none());
        assert!(timeline.place(Incarnation(1), 13, 0, at(5)).is_none(), "the incarnation before is over");
    }

    #[test]
    fn the_clock_goes_on_from_the_newest_packet_whatever_came_after_it() {
        let at = Timestamp::from_millis;
        let mut timeline = Timeline::new(90_000);
        assert_eq!((timeline.clock_rate_hz(), timeline.incarnation()), (90_000, None));
        // One rollover up, so that what a viewer is sent may start below it.
        assert_eq!(timeline.place(Incarnation(1), 10, 7_000, at(0)), Some((Sequence(1 << 16), 7_000, true)));
        assert_eq!(timeline.incarnation(), Some(Incarnation(1)));
        timeline.place(Incarnation(1), 12, 9_000, at(20)).unwrap();
        timeline.place(Incarnation(1), 11, 8_000, at(30)).unwrap();
        timeline.place(Incarnation(1), 12, 9_000, at(40)).unwrap();
        assert_eq!(timeline.place(Incarnation(2), 0, 0, at(120)), Some((Sequence((1 << 16) + 3), 9_000 + 9_000, true)));
        // A restart within a millisecond still moves the clock.
        assert_eq!(timeline.place(Incarnation(3), 0, 0, at(120)), Some((Sequence((1 << 16) + 4), 18_000 + 90, true)));
    }

    #[test]
    fn what_was_placed_is_led_back_to_the_publishers_numbers_and_what_was_before_is_not() {
        let mut timeline = Timeline::new(90_000);
        assert_eq!(timeline.origin_of(Sequence(1 << 16), 0), None);
        let (before, timestamp_before, _) = timeline.place(Incarnation(1), 10, 7_000, Timestamp::ZERO).unwrap();
        assert_eq!(timeline.origin_of(before, timestamp_before), Some((Incarnation(1), 10, 7_000)));
        for (sequence, timestamp) in [(u64::MAX - 5, u32::MAX - 5), (u64::MAX - 4, 3_000)] {
            let placed = timeline.place(Incarnation(2), sequence, timestamp, Timestamp::from_millis(40)).unwrap();
            assert_eq!(timeline.origin_of(placed.0, placed.1), Some((Incarnation(2), sequence, timestamp)));
        }
        assert_eq!(timeline.origin_of(before, timestamp_before), None);
    }

    #[test]
    fn a_sender_report_of_another_incarnation_is_not_mapped() {
        let mut timeline = Timeline::new(48_000);
        timeline.place(Incarnation(1), 1, 100, Timestamp::ZERO).unwrap();
        assert_eq!(timeline.shift_timestamp(Incarnation(1), 160), Some(160));
        assert_eq!(timeline.shift_timestamp(Incarnation(2), 160), None);
    }
}

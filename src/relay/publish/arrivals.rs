//! Arrival times of the publisher's packets by transport-wide sequence number, until the next feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3): the publisher's own bandwidth estimator does the rest.

use std::time::Duration;

use crate::limits;
use crate::time::Timestamp;
use crate::wire::sequence;

/// Arrivals since the last feedback.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// `(extended transport sequence, arrival)`, ascending by sequence.
    pending: Vec<(u64, Timestamp)>,
    newest: Option<u64>,
    /// The first sequence the next feedback speaks of.
    next_base: Option<u64>,
    next_feedback: Option<Timestamp>,
    feedback_count: u8,
    epoch: Option<Timestamp>,
}

/// What one feedback packet says.
#[derive(Debug, PartialEq, Eq)]
pub struct Feedback {
    /// First transport-wide sequence number.
    pub base_sequence: u16,
    /// Arrival of the base in units of 64 ms.
    pub reference_time_64ms: u32,
    /// Counts feedback packets.
    pub feedback_count: u8,
    /// For each sequence from the base: the time since the one before in units of 250 µs, `None` when missing.
    pub deltas_250us: Vec<Option<i16>>,
}

impl Arrivals {
    /// Takes note of a packet.
    pub fn record(&mut self, transport_sequence: u16, now: Timestamp) {
        let extended = match self.newest {
            None => (1 << 16) + u64::from(transport_sequence),
            Some(newest) => sequence::extend(newest, transport_sequence),
        };
        // What was reported already is not reported again: the sender keeps the first answer.
        if self.next_base.is_some_and(|base| extended < base) || self.pending.len() >= limits::TRANSPORT_ARRIVALS_MAX {
            return;
        }
        self.newest = Some(self.newest.map_or(extended, |newest| newest.max(extended)));
        let at = self.pending.partition_point(|&(sequence, _)| sequence < extended);
        if self.pending.get(at).is_some_and(|&(sequence, _)| sequence == extended) {
            return;
        }
        self.pending.insert(at, (extended, now));
        self.next_feedback.get_or_insert(now + limits::TRANSPORT_FEEDBACK_INTERVAL);
        if self.pending.len() >= limits::TRANSPORT_FEEDBACK_PACKETS_MAX {
            self.next_feedback = Some(now);
        }
    }

    /// When [`Self::poll`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.next_feedback
    }

    /// The next feedback, when it is due.
    pub fn poll(&mut self, now: Timestamp) -> Option<Feedback> {
        self.next_feedback.filter(|&due| due <= now)?;
        let (&(first, first_arrival), base) = (self.pending.first()?, self.next_base);
        // The first packets may have overtaken each other: nothing arrived before the epoch, or it would be told as then.
        let earliest = || self.pending.iter().map(|&(_, arrival)| arrival).min().unwrap_or(first_arrival);
        let epoch = *self.epoch.get_or_insert_with(earliest);
        // Report the holes since the last feedback as missing, but no endless run after a jump.
        let base = base.filter(|&b| first - b < limits::TRANSPORT_FEEDBACK_PACKETS_MAX as u64 / 2).unwrap_or(first);
        let reference = first_arrival.since(epoch).as_nanos() / Duration::from_millis(64).as_nanos();
        let mut clock_250us = reference as i64 * 256;
        let mut deltas = Vec::with_capacity(self.pending.len());
        // At least one: the first is less than half a feedback from the base, and less than 64 ms from the reference.
        let mut taken = 0;
        for &(sequence, arrival) in &self.pending {
            let offset = (sequence - base) as usize;
            if offset >= limits::TRANSPORT_FEEDBACK_PACKETS_MAX {
                break;
            }
            let ticks = (arrival.since(epoch).as_nanos() / 250_000) as i64;
            let Ok(delta) = i16::try_from(ticks - clock_250us) else { break };
            deltas.resize(offset, None);
            deltas.push(Some(delta));
            clock_250us = ticks;
            taken += 1;
        }
        self.next_base = Some(base + deltas.len() as u64);
        self.pending.drain(..taken);
        self.next_feedback = (!self.pending.is_empty()).then_some(now);
        let feedback_count = self.feedback_count;
        self.feedback_count = self.feedback_count.wrapping_add(1);
        Some(Feedback {
            base_sequence: (base & 0xffff) as u16,
            reference_time_64ms: (reference & 0x7f_ffff) as u32,
            feedback_count,
            deltas_250us: deltas,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_tells_arrivals_and_holes_once() {
        let mut arrivals = Arrivals::default();
        let at = Timestamp::from_millis;
        for (sequence, ms) in [(65_534u16, 1_000), (65_535, 1_001), (1, 1_003), (0, 1_010)] {
            arrivals.record(sequence, at(ms));
        }
        assert!(arrivals.poll(at(1_010)).is_none());
        let feedback = arrivals.poll(at(1_000) + limits::TRANSPORT_FEEDBACK_INTERVAL).unwrap();
        assert_eq!((feedback.base_sequence, feedback.reference_time_64ms), (65_534, 0));
        assert_eq!(feedback.deltas_250us, [Some(0), Some(4), Some(36), Some(-28)]);
        // A late arrival of a reported one is not told again; a hole before the next is.
        arrivals.record(1, at(1_100));
        arrivals.record(3, at(1_100));
        let feedback = arrivals.poll(at(1_200)).unwrap();
        assert_eq!(feedback.base_sequence, 2);
        assert_eq!(feedback.feedback_count, 1);
        assert_eq!(feedback.deltas_250us[0], None);
        assert_eq!(feedback.deltas_250us.len(), 2);
        assert_eq!(arrivals.next_deadline(), None);
    }

    #[test]
    fn the_first_packets_may_come_in_any_order() {
        let mut arrivals = Arrivals::default();
        for (sequence, ms) in [(0, 1_000), (65_535, 1_001), (0, 1_002)] {
            arrivals.record(sequence, Timestamp::from_millis(ms));
        }
        let feedback = arrivals.poll(Timestamp::from_millis(2_000)).unwrap();
        assert_eq!(feedback.base_sequence, 65_535);
        // Of one that came twice the first arrival counts.
        assert_eq!(feedback.deltas_250us, [Some(4), Some(-4)]);
    }

    #[test]
    fn feedback_goes_on_where_the_last_one_ended() {
        let mut arrivals = Arrivals::default();
        let at = Timestamp::from_millis;
        for (sequence, ms) in [(1, 1_000), (2, 1_130), (3, 1_131)] {
            arrivals.record(sequence, at(ms));
            let feedback = arrivals.poll(at(ms) + limits::TRANSPORT_FEEDBACK_INTERVAL).unwrap();
            assert_eq!((u64::from(feedback.base_sequence), feedback.deltas_250us.len()), (u64::from(sequence), 1));
            // Steps of 64 ms since the first packet, and the rest in steps of 250 µs.
            let (steps, rest) = [(0, 0), (2, 8), (2, 12)][usize::from(sequence) - 1];
            assert_eq!((feedback.reference_time_64ms, feedback.deltas_250us[0]), (steps, Some(rest)));
            assert_eq!(feedback.feedback_count, sequence as u8 - 1);
        }
    }

    #[test]
    fn a_hole_is_told_up_to_half_a_feedback_and_then_left_out() {
        let half = limits::TRANSPORT_FEEDBACK_PACKETS_MAX / 2;
        for (missing, base, len) in [(half - 1, 2, half), (half, 2 + half, 1)] {
            let mut arrivals = Arrivals::default();
            arrivals.record(1, Timestamp::ZERO);
            arrivals.poll(Timestamp::from_millis(100)).unwrap();
            arrivals.record((2 + missing) as u16, Timestamp::from_millis(100));
            let feedback = arrivals.poll(Timestamp::from_millis(200)).unwrap();
            assert_eq!((usize::from(feedback.base_sequence), feedback.deltas_250us.len()), (base, len));
        }
    }

    #[test]
    fn what_one_feedback_cannot_hold_is_told_at_once_by_the_next() {
        let max = limits::TRANSPORT_FEEDBACK_PACKETS_MAX as u16;
        // Too many sequence numbers, and a time between two packets that 16 bits of 250 µs cannot tell.
        for (sequence, ms) in [(1 + max, 1_000), (2, 1_000 + 8_192)] {
            let mut arrivals = Arrivals::default();
            arrivals.record(1, Timestamp::from_millis(1_000));
            arrivals.record(sequence, Timestamp::from_millis(ms));
            let now = Timestamp::from_millis(10_000);
            assert_eq!(arrivals.poll(now).unwrap().deltas_250us, [Some(0)]);
            assert_eq!(arrivals.next_deadline(), Some(now));
            let second = arrivals.poll(now).unwrap();
            assert_eq!(second.deltas_250us.last().copied().flatten().map(|delta| delta < 256), Some(true));
            assert_eq!(second.base_sequence as usize + second.deltas_250us.len(), usize::from(sequence) + 1);
            assert_eq!((arrivals.next_deadline(), arrivals.poll(now)), (None, None));
        }
        // Just within both.
        let mut arrivals = Arrivals::default();
        arrivals.record(1, Timestamp::from_millis(1_000));
        arrivals.record(max, Timestamp::from_millis(1_000 + 8_191));
        let deltas = arrivals.poll(Timestamp::from_millis(10_000)).unwrap().deltas_250us;
        assert_eq!((deltas.len(), deltas.last()), (usize::from(max), Some(&Some(32_764))));
    }

    #[test]
    fn as_many_packets_as_a_feedback_holds_are_told_without_waiting() {
        let mut arrivals = Arrivals::default();
        let (first, last) = (Timestamp::from_millis(1_000), Timestamp::from_millis(1_001));
        for sequence in 1..limits::TRANSPORT_FEEDBACK_PACKETS_MAX {
            arrivals.record(sequence as u16, first);
        }
        assert_eq!(arrivals.next_deadline(), Some(first + limits::TRANSPORT_FEEDBACK_INTERVAL));
        arrivals.record(limits::TRANSPORT_FEEDBACK_PACKETS_MAX as u16, last);
        assert_eq!(arrivals.next_deadline(), Some(last));
        assert_eq!(arrivals.poll(last).unwrap().deltas_250us.len(), limits::TRANSPORT_FEEDBACK_PACKETS_MAX);
    }

    #[test]
    fn a_jump_in_sequence_or_time_is_bounded() {
        let mut arrivals = Arrivals::default();
        arrivals.record(1, Timestamp::from_millis(1));
        arrivals.poll(Timestamp::from_millis(200)).unwrap();
        arrivals.record(30_000, Timestamp::from_millis(100_000_000));
        let feedback = arrivals.poll(Timestamp::from_millis(100_000_200)).unwrap();
        assert_eq!(feedback.deltas_250us.len(), 1);
        for sequence in 30_001..60_000u16 {
            arrivals.record(sequence, Timestamp::from_millis(100_000_300));
        }
        assert_eq!(arrivals.pending.len(), limits::TRANSPORT_ARRIVALS_MAX);
    }
}

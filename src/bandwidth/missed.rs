//! What a viewer asks for again (NACK), as a sign of a network that has become too narrow all at once.
//!
//! A browser asks as soon as it sees a hole, whatever packets were sampled; its report on a sampled frame may come a third of a
//! second later. Only *heavy* loss is told here: more than a third of what was sent, in several runs, so that neither a path's
//! usual loss nor one outage of a radio link is taken for it. How much less there is, is for others to find out.

use super::millis::Millis;
use crate::limits;

/// The packets that one viewer asked for within a short time, in eight bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missed {
    /// The newest number that was asked for.
    newest: u16,
    /// When the first of them was asked for: milliseconds, which wrap after a minute. A sign may be missed then, and none is made up.
    began: u16,
    /// Numbers from the first to the newest.
    span: u8,
    lost: u8,
    /// Runs of them without a gap.
    runs: u8,
    /// How long what showed the loss waited in the network, in units of [`LATE_UNIT_MS`].
    late: u8,
}

const LATE_UNIT_MS: u16 = 2;

const _: () = assert!(size_of::<Missed>() == 8);
const _: () = assert!(limits::MISSED_NUMBER_AGE_MAX.as_millis() < u16::MAX as u128);

impl Missed {
    /// A sequence number is asked for that was sent. Whether it is for the first time.
    pub(super) fn note(&mut self, number: u16, now: Millis) -> bool {
        let passed = now.low_bits().wrapping_sub(self.began);
        let ahead = number.wrapping_sub(self.newest);
        // Before the first, no number is behind another.
        if self.runs > 0 && ahead.cast_signed() <= 0 && passed <= limits::MISSED_NUMBER_AGE_MAX.as_millis() as u16 {
            // Once more.
            return false;
        }
        let span = u8::try_from(ahead).ok().and_then(|ahead| self.span.checked_add(ahead));
        self.newest = number;
        match span.filter(|_| self.lost > 0 && passed <= limits::MISSED_WINDOW.as_millis() as u16) {
            Some(span) => {
                self.span = span;
                self.lost = self.lost.saturating_add(1);
                self.runs = self.runs.saturating_add(u8::from(ahead > 1));
            }
            None => *self = Self { newest: number, began: now.low_bits(), span: 1, lost: 1, runs: 1, late: 0 },
        }
        true
    }

    /// What showed that the newest is lost waited so long.
    pub(super) fn note_late(&mut self, waited_ms: u16) {
        self.late = self.late.max(u8::try_from(waited_ms / LATE_UNIT_MS).unwrap_or(u8::MAX));
    }

    /// Whether so much is lost that what is sent cannot be what the network carries.
    pub(super) fn is_heavy(&self, now: Millis) -> bool {
        now.low_bits().wrapping_sub(self.began) <= limits::MISSED_WINDOW.as_millis() as u16
            && self.lost >= limits::MISSED_PACKETS_MIN
            && self.runs >= limits::MISSED_RUNS_MIN
            && u32::from(self.lost) * 100 >= u32::from(self.span) * limits::MISSED_PERCENT_MIN
    }

    /// How long what showed these losses waited.
    pub(super) const fn late_ms(&self) -> u16 {
        self.late as u16 * LATE_UNIT_MS
    }

    /// What was asked for so far was of another encoding.
    pub(super) const fn begin_anew(&mut self) {
        self.lost = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn at(ms: u64) -> Millis {
        Millis::of(Timestamp::from_millis(ms))
    }

    /// Asks for those of a run of numbers that `is_lost`, one a millisecond after another, from `from` on.
    fn ask(from: u16, count: u16, is_lost: impl Fn(u16) -> bool) -> (Missed, Millis) {
        let (mut missed, mut now) = (Missed::default(), at(100_000));
        for offset in (0..count).filter(|offset| is_lost(*offset)) {
            now = at(100_000 + u64::from(offset) * 3);
            assert!(missed.note(from.wrapping_add(offset), now));
            missed.note_late(offset + 300);
            // Missed for again, as browsers do.
            assert!(!missed.note(from.wrapping_add(offset), now) && !missed.note(from, now));
        }
        (missed, now)
    }

    #[test]
    fn a_network_that_takes_a_quarter_is_told_after_a_dozen_packets() {
        for from in [1_000, 65_530] {
            let (missed, now) = ask(from, 20, |offset| offset % 4 != 0);
            assert!(missed.is_heavy(now), "{missed:?}");
            assert_eq!((missed.lost, missed.late_ms()), (15, 318));
            assert!(!missed.is_heavy(now.plus(2 * limits::MISSED_WINDOW)), "it is over");
        }
        assert!(!ask(9, 10, |offset| offset % 4 != 0).0.is_heavy(at(100_030)), "too few");
    }

    #[test]
    fn the_first_number_of_all_is_new_whatever_it_is() {
        for number in [0, 1, 32_767, 40_000, 65_535] {
            assert!(Missed::default().note(number, at(65_536 * 3 + 5)), "{number}");
        }
    }

    #[test]
    fn usual_loss_and_one_outage_are_not() {
        let (missed, now) = ask(500, 130, |offset| offset % 5 == 0);
        assert!(!missed.is_heavy(now), "{missed:?}");
        let (missed, now) = ask(500, 60, |offset| offset < 40);
        assert!(!missed.is_heavy(now), "{missed:?}");
    }

    #[test]
    fn what_is_asked_for_again_and_again_counts_once_and_a_long_time_later_anew() {
        let (mut missed, now) = ask(500, 3, |_| true);
        for again in 0..1_000_u16 {
            assert!(!missed.note(500 + again % 3, now));
        }
        assert_eq!(missed.lost, 3);
        // Half of all numbers later everything seems to lie behind.
        let later = now.plus(2 * limits::MISSED_NUMBER_AGE_MAX);
        missed.note(500_u16.wrapping_add(40_000), later);
        assert_eq!((missed.lost, missed.span, missed.newest), (1, 1, 40_500));
        missed.begin_anew();
        missed.note(40_510, later);
        assert_eq!((missed.lost, missed.span, missed.newest), (1, 1, 40_510));
    }
}

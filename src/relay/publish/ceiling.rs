//! How fast a publisher may send: what it sends beyond that would be paid for by everybody on its worker.
//!
//! One that comes near is told: by REMB where agreed, and what is over the ceiling is missing in transport-wide feedback.
//! What comes all the same is not forwarded. Nobody else is told anything, because the numbers are taken for a wish:
//! `b=TIAS` in an answer raises Chromium's own maximum (2.5 Mbit/s at 720p) to what it says, and so does REMB aiortc's.

use crate::limits;
use crate::time::Timestamp;

/// A publisher's ceiling, over all its tracks and repairs.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    bits_per_second_max: u64,
    /// Bits that may still come; one packet may take it below zero.
    credit: i64,
    filled_at: Timestamp,
    /// Whether it came near since this was last asked.
    was_near: bool,
    /// Packets that were over it.
    pub dropped: u64,
}

impl Default for Ceiling {
    fn default() -> Self {
        Self::new(u64::from(limits::PUBLISHER_BITRATE_DEFAULT_KBPS) * 1_000)
    }
}

impl Ceiling {
    /// A ceiling of that many bits a second.
    #[must_use]
    pub fn new(bits_per_second_max: u64) -> Self {
        let credit = i64::try_from(bits_per_second_max).unwrap_or(i64::MAX);
        Self { bits_per_second_max, credit, filled_at: Timestamp::ZERO, was_near: false, dropped: 0 }
    }

    /// Bits a second.
    #[must_use]
    pub const fn bits_per_second_max(&self) -> u64 {
        self.bits_per_second_max
    }

    /// Whether a packet of that many bytes may come now: a second's worth at once, so that a key frame is no matter.
    pub fn admits(&mut self, len: usize, now: Timestamp) -> bool {
        let passed_us = now.since(self.filled_at).as_micros().min(1_000_000) as u64;
        // Whole bits only, and the clock moves on only when there were some.
        let earned = self.bits_per_second_max * passed_us / 1_000_000;
        if earned > 0 {
            let full = i64::try_from(self.bits_per_second_max).unwrap_or(i64::MAX);
            self.credit = self.credit.saturating_add_unsigned(earned).min(full);
            self.filled_at = now;
        }
        let admitted = self.credit > 0;
        if admitted {
            self.credit -= len as i64 * 8;
        }
        self.dropped += u64::from(!admitted);
        self.was_near |= self.credit < (self.bits_per_second_max / 2) as i64;
        admitted
    }

    /// Whether half of a second's worth came beyond the ceiling, or more, since the last call.
    pub fn take_near(&mut self) -> bool {
        std::mem::take(&mut self.was_near)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_the_ceiling_passes_whatever_comes() {
        let mut ceiling = Ceiling::new(1_000_000);
        let mut passed = 0;
        // 10 Mbit/s for ten seconds.
        for packet in 0..10_000u64 {
            passed += 1_250 * u64::from(ceiling.admits(1_250, Timestamp::from_millis(1_000 + packet)));
        }
        assert!(ceiling.take_near() && !ceiling.take_near());
        let allowed = 10 * 125_000 + 125_000;
        assert!((allowed - 2_500..=allowed + 2_500).contains(&passed), "{passed}");
    }

    #[test]
    fn what_keeps_below_it_is_never_touched() {
        let mut ceiling = Ceiling::new(1_000_000);
        // 0.9 Mbit/s, half of a second's packets in a burst.
        for half in 0..120u64 {
            assert!((0..45).all(|_| ceiling.admits(1_250, Timestamp::from_millis(half * 500))));
        }
        assert!(!ceiling.take_near());
    }
}

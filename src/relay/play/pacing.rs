//! How much one visit may send, and when the next is due: a viewer behind a narrow link is sent a frame in pieces.
//!
//! There is no queue and no copy: the cursor stops in mid-frame, the visit ends with
//! [`AfterVisit::Later`](super::fan_out::AfterVisit::Later), and the [`super::fan_out`] gives the viewer back when it is
//! due. A viewer without a pacer has the whole of every visit.
//!
//! Not here: which rate (estimation).

use std::time::Duration;

use crate::limits;
use crate::time::Timestamp;

/// A bucket of bytes that fills at a rate: a visit takes what is in it, and may overdraw it by one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacer {
    bytes_per_second: u32,
    burst_bytes: u32,
    /// Negative after an overdraft.
    credit_bytes: i64,
    filled_at: Timestamp,
}

impl Pacer {
    /// A full bucket of `burst_bytes` that fills at `bytes_per_second` (at least one of each).
    #[must_use]
    pub fn new(bytes_per_second: u32, burst_bytes: u32, now: Timestamp) -> Self {
        // With a burst of nothing, nobody would ever be due.
        let burst_bytes = burst_bytes.max(1);
        let credit_bytes = i64::from(burst_bytes);
        Self { bytes_per_second: bytes_per_second.max(1), burst_bytes, credit_bytes, filled_at: now }
    }

    /// The bytes a visit may send now; none before [`Self::due`].
    pub fn budget(&mut self, now: Timestamp) -> usize {
        let passed = now.since(self.filled_at);
        let filled = passed.as_nanos() * u128::from(self.bytes_per_second) / 1_000_000_000;
        if filled > 0 {
            let filled = i64::try_from(filled).unwrap_or(i64::MAX);
            self.credit_bytes = self.credit_bytes.saturating_add(filled).min(i64::from(self.burst_bytes));
            self.filled_at = now;
        }
        usize::try_from(self.credit_bytes).unwrap_or(0)
    }

    /// Takes note of what a visit sent.
    pub fn spent(&mut self, bytes: usize) {
        self.credit_bytes = self.credit_bytes.saturating_sub_unsigned(bytes as u64);
    }

    /// When there is room for a datagram again; no later than now where there is.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        let missing = (limits::DATAGRAM_OUT_BYTES_MAX as i64).min(i64::from(self.burst_bytes)) - self.credit_bytes;
        let Ok(missing) = u64::try_from(missing) else { return self.filled_at };
        // Rounded up, so that it is there when it is due.
        let nanos = (u128::from(missing) * 1_000_000_000).div_ceil(u128::from(self.bytes_per_second));
        self.filled_at + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 625_000; // 5 Mbit/s

    #[test]
    fn a_key_frame_leaves_in_pieces_at_the_rate() {
        let mut pacer = Pacer::new(RATE, 12_000, Timestamp::ZERO);
        let (mut now, mut left, mut visits) = (Timestamp::ZERO, 60_000, 0);
        while left > 0 {
            let budget = pacer.budget(now);
            assert!(budget > 0, "nothing to send at {now:?}, when it was due");
            let mut sent = 0;
            while sent < budget && left > 0 {
                sent += 1_200;
                left -= 1_200;
            }
            pacer.spent(sent);
            visits += 1;
            now = now.max(pacer.due());
        }
        // 60 kB less the burst, at 625 kB a second.
        let expected = Timestamp::from_millis(48_000 * 1_000 / u64::from(RATE));
        assert!(now >= expected && now.since(expected) < Duration::from_millis(4), "{now:?}");
        assert!(visits > 10);
    }

    #[test]
    fn idle_time_fills_it_no_further_than_the_burst() {
        let mut pacer = Pacer::new(RATE, 12_000, Timestamp::ZERO);
        pacer.spent(13_000);
        assert_eq!(pacer.budget(Timestamp::ZERO), 0);
        assert!(pacer.due() > Timestamp::ZERO);
        assert!(pacer.budget(pacer.due()) >= limits::DATAGRAM_OUT_BYTES_MAX);
        assert_eq!(pacer.budget(Timestamp::from_millis(3_600_000)), 12_000);
        assert_eq!(pacer.due(), Timestamp::from_millis(3_600_000), "at once");
        // A burst smaller than a datagram still goes on.
        let mut small = Pacer::new(0, 100, Timestamp::ZERO);
        small.spent(100);
        assert_eq!(small.due(), Timestamp::from_millis(100_000));
        assert_eq!(small.budget(small.due()), 100);
    }
}

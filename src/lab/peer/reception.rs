//! Bookkeeping of one received RTP stream: order, gaps, duplicates, and which packets to request again.
//!
//! It needs sequence numbers only, which SRTP leaves readable, so a packet need not be decrypted to be counted.

use std::time::Duration;

use crate::limits;
use crate::time::Timestamp;
use crate::wire::sequence;

const WINDOW: u64 = limits::RECEPTION_WINDOW_PACKETS as u64;
const WORDS: usize = limits::RECEPTION_WINDOW_PACKETS / 64;

/// How a packet relates to those received before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketArrival {
    /// It is newer than all before; `skipped` packets are missing in between.
    New {
        /// Packets between it and the newest before it.
        skipped: u32,
    },
    /// It was missing: it came late or was retransmitted.
    Filled,
    /// It was received before.
    Duplicate,
    /// It is too old to be tracked.
    TooOld,
}

/// A packet to ask for.
#[derive(Clone, Copy, Debug)]
struct Missing {
    index: u64,
    since: Timestamp,
    asked: Timestamp,
    times: u8,
}

/// One stream's bookkeeping.
#[derive(Debug)]
pub struct Reception {
    /// Extended sequence number of the first and of the newest packet.
    first: u64,
    highest: u64,
    seen: [u64; WORDS],
    missing: Vec<Missing>,
    /// Packets received, duplicates not counted.
    pub received: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Packets that were skipped and have not arrived since.
    pub lost: u64,
    /// Jitter of RFC 3550 §A.8, in sixteenths of a clock tick.
    jitter_16: u32,
    transit: Option<u32>,
    reported: (u64, u64),
}

impl Reception {
    /// The stream begins with this packet.
    #[must_use]
    pub fn starting_at(sequence: u16) -> Self {
        // Far above zero, so that a packet before the first one has a positive number too.
        let first = (1 << 32) | u64::from(sequence);
        let mut reception = Self {
            first,
            highest: first,
            seen: [0; WORDS],
            missing: Vec::new(),
            received: 1,
            bytes: 0,
            lost: 0,
            jitter_16: 0,
            transit: None,
            reported: (first - 1, 0),
        };
        reception.set(first, true);
        reception
    }

    fn set(&mut self, index: u64, seen: bool) {
        let (word, bit) = ((index % WINDOW / 64) as usize, 1 << (index % 64));
        if seen { self.seen[word] |= bit } else { self.seen[word] &= !bit }
    }

    /// Whether this packet of the window was received.
    #[must_use]
    pub fn has(&self, index: u64) -> bool {
        index <= self.highest
            && index + WINDOW > self.highest
            && self.seen[(index % WINDOW / 64) as usize] >> (index % 64) & 1 == 1
    }

    /// The extended sequence number nearest to the newest.
    #[must_use]
    pub fn extend(&self, sequence: u16) -> u64 {
        sequence::extend(self.highest, sequence)
    }

    /// The newest packet's extended sequence number.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Packets the sender numbered from the first one received to the newest.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.highest - self.first + 1
    }

    /// Records a packet. `ask` says whether missing packets before it are requested.
    pub fn note(&mut self, index: u64, ask: bool, now: Timestamp) -> PacketArrival {
        if let Some(ahead) = index.checked_sub(self.highest + 1) {
            if ahead >= WINDOW {
                self.seen = [0; WORDS];
                self.missing.clear();
            } else {
                for skipped in self.highest + 1..index {
                    self.set(skipped, false);
                    if ask && self.missing.len() < limits::RECEPTION_MISSING_MAX {
                        self.missing.push(Missing { index: skipped, since: now, asked: Timestamp::ZERO, times: 0 });
                    }
                }
            }
            self.set(index, true);
            self.highest = index;
            self.received += 1;
            self.lost += ahead;
            return PacketArrival::New { skipped: u32::try_from(ahead).unwrap_or(u32::MAX) };
        }
        if index < self.first || index + WINDOW <= self.highest {
            return PacketArrival::TooOld;
        }
        if self.has(index) {
            return PacketArrival::Duplicate;
        }
        self.set(index, true);
        self.missing.retain(|missing| missing.index != index);
        self.received += 1;
        self.lost = self.lost.saturating_sub(1);
        PacketArrival::Filled
    }

    /// Interarrival jitter (RFC 3550 §A.8).
    pub fn note_time(&mut self, timestamp: u32, clock_rate_hz: u32, received: Timestamp) {
        // Microseconds: the product stays below 2⁶⁴ for six years of uptime.
        let ticks = received.as_nanos() / 1_000 * u64::from(clock_rate_hz) / 1_000_000;
        let transit = (ticks as u32).wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs().min(1 << 20);
            self.jitter_16 = self.jitter_16.saturating_add(difference).saturating_sub((self.jitter_16 + 8) >> 4);
        }
    }

    /// When the next packet must be asked for.
    #[must_use]
    pub fn next_request(&self, repeat: Duration) -> Option<Timestamp> {
        self.missing.iter().map(|missing| if missing.times == 0 { missing.since } else { missing.asked + repeat }).min()
    }

    /// Sequence numbers to request now, and the number of packets given up since the last call.
    pub fn requests(&mut self, repeat: Duration, now: Timestamp) -> (Vec<u16>, usize) {
        let before = self.missing.len();
        let highest = self.highest;
        self.missing.retain(|missing| {
            missing.times < limits::RECEPTION_REQUESTS_MAX
                && now.since(missing.since) < limits::RECEPTION_WAIT_MAX
                && missing.index + WINDOW > highest
        });
        let given_up = before - self.missing.len();
        let mut due = Vec::new();
        for missing in &mut self.missing {
            if missing.times == 0 || now >= missing.asked + repeat {
                (missing.asked, missing.times) = (now, missing.times + 1);
                due.push((missing.index & 0xffff) as u16);
            }
        }
        (due, given_up)
    }

    /// The figures of a receiver report for this stream; each call begins a new interval.
    pub fn report(&mut self) -> (u8, i32, u32, u32) {
        let (highest, lost) = std::mem::replace(&mut self.reported, (self.highest, self.lost));
        let expected = self.highest - highest;
        let lost_now = self.lost.saturating_sub(lost);
        let fraction = (lost_now * 256).checked_div(expected).unwrap_or(0).min(255) as u8;
        // RFC 3550 §6.4.1: wraps in the upper half, counted from zero.
        let extended = (self.highest - (1 << 32)) as u32;
        (fraction, i32::try_from(self.lost).unwrap_or(i32::MAX), extended, self.jitter_16 >> 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(5_000);
    const REPEAT: Duration = Duration::from_millis(50);

    fn note(reception: &mut Reception, sequence: u16) -> PacketArrival {
        reception.note(reception.extend(sequence), true, NOW)
    }

    #[test]
    fn gaps_are_counted_and_filled_across_the_wrap() {
        let mut reception = Reception::starting_at(65_533);
        assert_eq!(note(&mut reception, 65_534), PacketArrival::New { skipped: 0 });
        assert_eq!(note(&mut reception, 1), PacketArrival::New { skipped: 2 });
        assert_eq!((reception.lost, reception.expected()), (2, 5));
        assert_eq!(reception.requests(REPEAT, NOW), (vec![65_535, 0], 0));
        assert_eq!(note(&mut reception, 0), PacketArrival::Filled);
        assert_eq!(note(&mut reception, 0), PacketArrival::Duplicate);
        assert_eq!(note(&mut reception, 65_530), PacketArrival::TooOld, "before the first");
        assert_eq!((reception.lost, reception.received), (1, 4));
        assert_eq!(reception.report(), ((256 / 5) as u8, 1, 65_537, 0));
    }

    #[test]
    fn a_missing_packet_is_asked_for_again_and_then_given_up() {
        let mut reception = Reception::starting_at(10);
        note(&mut reception, 12);
        let (mut asked, mut given_up, mut now) = (0, 0, NOW);
        while let Some(due) = reception.next_request(REPEAT) {
            assert!(due >= now || asked == 0);
            now = due.max(now);
            let (sequences, lost) = reception.requests(REPEAT, now);
            (asked, given_up) = (asked + sequences.len(), given_up + lost);
        }
        assert_eq!((asked, given_up), (usize::from(limits::RECEPTION_REQUESTS_MAX), 1));
        assert_eq!(reception.lost, 1);
    }

    #[test]
    fn a_jump_beyond_the_window_is_a_loss_of_everything_between() {
        let mut reception = Reception::starting_at(0);
        assert_eq!(note(&mut reception, 5_000), PacketArrival::New { skipped: 4_999 });
        assert_eq!(note(&mut reception, 4_999), PacketArrival::Filled);
        assert_eq!(note(&mut reception, 10), PacketArrival::TooOld);
        assert_eq!(reception.lost, 4_998);
    }

    #[test]
    fn packets_that_keep_their_distance_have_no_jitter() {
        let mut reception = Reception::starting_at(0);
        for step in 0..50_u32 {
            reception.note_time(step * 960, 48_000, NOW + Duration::from_millis(20) * step);
        }
        assert_eq!(reception.report().3, 0);
        reception.note_time(50 * 960, 48_000, NOW + Duration::from_millis(20) * 51);
        assert_eq!(reception.report().3, 960 / 16);
    }
}

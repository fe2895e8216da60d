//! A track's clock where its publisher sends no sender reports: made from when its packets arrive.
//!
//! Without reports a viewer's player cannot present sound and picture together (RFC 3550 §6.4.1). Arrival says the same
//! but for the difference of the tracks' delays on the uplink, and the quickest packet of a second has least of it.

use crate::limits;
use crate::time::Timestamp;

/// An RTP timestamp and when it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// The packet's RTP timestamp.
    pub timestamp: u32,
    /// When the quickest packet arrived.
    pub arrival: Timestamp,
}

/// What is known of one source's arrivals.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArrivalClock {
    /// The publisher tells its clock itself.
    is_told: bool,
    /// When the next one is made, and the quickest packet since the last.
    window: Option<(Timestamp, Instant)>,
    was_made: bool,
}

impl ArrivalClock {
    /// The publisher has sent a sender report: none is made any more.
    pub fn told(&mut self) {
        *self = Self { is_told: true, ..Self::default() };
    }

    /// Whether viewers' sender reports are made from arrival.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        self.was_made
    }

    /// Takes a packet (none of its repairs). Returns what the clock is to be made from when that is due.
    pub fn observe(&mut self, packet: Instant, clock_rate_hz: u32) -> Option<Instant> {
        if self.is_told {
            return None;
        }
        let Some((due, quickest)) = &mut self.window else {
            self.window = Some((packet.arrival + limits::SENDER_REPORT_MISSING, packet));
            return None;
        };
        let passed_us = i64::try_from(packet.arrival.since(quickest.arrival).as_micros()).unwrap_or(i64::MAX);
        let ticks = i64::from(packet.timestamp.wrapping_sub(quickest.timestamp).cast_signed());
        let sent_us = ticks * 1_000_000 / i64::from(clock_rate_hz.max(1));
        // A jump of the publisher's clock makes a packet look quick or slow by as much: what came later is right then.
        let jumped = (sent_us - passed_us).unsigned_abs() > limits::ARRIVAL_CLOCK_JUMP_MIN.as_micros() as u64;
        if sent_us >= passed_us || jumped {
            *quickest = packet;
        }
        if packet.arrival < *due {
            return None;
        }
        let made = *quickest;
        self.window = Some((packet.arrival + limits::ARRIVAL_CLOCK_INTERVAL, packet));
        self.was_made = true;
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sent_ms: u64, delay_ms: u64) -> Instant {
        Instant { timestamp: (sent_ms * 48) as u32, arrival: Timestamp::from_millis(sent_ms + delay_ms) }
    }

    #[test]
    fn a_publisher_that_never_reports_gets_the_clock_of_its_quickest_packets() {
        let mut clock = ArrivalClock::default();
        let mut made = Vec::new();
        for index in 0..1_000u64 {
            let jitter = (index * 7_919) % 40;
            made.extend(clock.observe(packet(1_000 + index * 20, 10 + jitter), 48_000));
        }
        assert!(clock.is_in_use() && made.len() >= 7, "{}", made.len());
        for made in made {
            let delay = made.arrival.since(Timestamp::ZERO).as_millis() as u64 - u64::from(made.timestamp) / 48;
            assert!(delay <= 12, "{delay} ms");
        }
    }

    #[test]
    fn nothing_is_made_soon_or_where_the_publisher_reports() {
        let mut clock = ArrivalClock::default();
        let soon = limits::SENDER_REPORT_MISSING.as_millis() as u64 - 20;
        assert!((0..soon / 20).all(|index| clock.observe(packet(index * 20, 0), 48_000).is_none()));
        clock.told();
        assert!((0..9_000).all(|index| clock.observe(packet(index * 20, 0), 48_000).is_none()));
        assert!(!clock.is_in_use());
    }

    #[test]
    fn a_clock_that_jumps_is_followed() {
        for jump in [3_600_000u64, u64::from(u32::MAX) / 48 - 3_600_000] {
            let mut clock = ArrivalClock::default();
            let made = (0..3_000u64).filter_map(|index| {
                let sent = packet(index * 20, 5);
                let moved = if index < 500 { 0 } else { (jump * 48) as u32 };
                clock.observe(Instant { timestamp: sent.timestamp.wrapping_add(moved), ..sent }, 48_000)
            });
            let last = made.last().unwrap();
            let at = last.arrival.since(Timestamp::ZERO).as_millis() as u64;
            assert_eq!(u64::from(last.timestamp.wrapping_sub((jump * 48) as u32)) / 48, at - 5, "{jump}");
        }
    }
}

//! One direction of the network between a client and the node: what becomes of a datagram, from a seed.
//!
//! Order of a datagram's fate: outage, MTU, loss (single, then the burst model of Gilbert and Elliott: a good and a bad
//! state, each with a loss of its own), the rate limit and its queue, delay with jitter (which alone never reorders),
//! reordering, coalescing, duplication.
//!
//! Left out: corruption (UDP's checksum drops it: it is loss) and cross traffic (a slower rate limit is the same).

use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::time::Timestamp;

use crate::faults::{Fault, Faults};

/// Bytes of IPv4 and UDP headers.
const OVERHEAD_BYTES: u64 = 28;

/// A burst of loss ends after so long.
const BURST_MAX: Duration = Duration::from_millis(400);

/// A chance in 65,536.
pub(crate) type Chance = u16;

/// A per mille as a chance.
pub(crate) const fn permille(of: u32) -> Chance {
    (of * 65_536 / 1_000) as u16
}

/// What a direction does to datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkProfile {
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    pub(crate) loss: Chance,
    /// Good to bad, bad to good, loss while bad.
    pub(crate) burst: Option<(Chance, Chance, Chance)>,
    pub(crate) reorder: Chance,
    pub(crate) duplicate: Chance,
    pub(crate) mtu: u64,
    /// Bits per second; zero is no limit. And the bytes that may wait for it.
    pub(crate) rate: u64,
    pub(crate) queue_bytes: u64,
    /// Arrivals are told together every so often, as interrupt moderation and GRO do; zero tells each alone.
    pub(crate) coalesce: Duration,
    /// From one segment of a train to the next; zero hands over a train at once.
    pub(crate) spread: Duration,
}

impl LinkProfile {
    /// Nothing happens but 10 ms.
    pub(crate) const CLEAN: Self = Self {
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        loss: 0,
        burst: None,
        reorder: 0,
        duplicate: 0,
        mtu: 1_500,
        rate: 0,
        queue_bytes: 0,
        coalesce: Duration::ZERO,
        spread: Duration::ZERO,
    };
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) profile: LinkProfile,
    random: SeededRandom,
    is_upward: bool,
    is_bad: bool,
    bad_since: Timestamp,
    /// Nothing passes before.
    pub(crate) out_until: Timestamp,
    free_at: Timestamp,
    last_arrival: Timestamp,
}

impl Link {
    pub(crate) fn new(profile: LinkProfile, is_upward: bool, seed: u64) -> Self {
        Self {
            profile,
            random: SeededRandom::new(seed),
            is_upward,
            is_bad: false,
            bad_since: Timestamp::ZERO,
            out_until: Timestamp::ZERO,
            free_at: Timestamp::ZERO,
            last_arrival: Timestamp::ZERO,
        }
    }

    /// When a datagram of `bytes`, the segment `segment` of its train, handed over at `at`, arrives: never, once, or twice.
    pub(crate) fn carry(
        &mut self,
        at: Timestamp,
        bytes: usize,
        segment: usize,
        faults: &mut Faults,
    ) -> [Option<Timestamp>; 2] {
        const NEVER: [Option<Timestamp>; 2] = [None, None];
        let LinkProfile { delay, jitter, loss, burst, reorder, duplicate, mtu, rate, queue_bytes, coalesce, spread } =
            self.profile;
        // One draw decides four chances; the state of the burst model and the jitter have one of their own.
        let draw = self.random.u64();
        let chance = |which: u32, of: Chance| ((draw >> (16 * which)) as u16) < of;
        if at < self.out_until {
            faults.count(if self.is_upward { Fault::OutageUp } else { Fault::OutageDown });
            return NEVER;
        }
        let bytes = bytes as u64 + OVERHEAD_BYTES;
        if bytes > mtu {
            faults.count(Fault::TooLongForPath);
            return NEVER;
        }
        if chance(0, loss) {
            faults.count(Fault::Loss);
            return NEVER;
        }
        if let Some((to_bad, to_good, loss_in_bad)) = burst {
            let draw = self.random.u64();
            let flips = (draw as u16) < if self.is_bad { to_good } else { to_bad };
            self.is_bad ^= flips;
            if flips && self.is_bad {
                self.bad_since = at;
            }
            // The model counts datagrams: where few pass, a burst would last for seconds.
            self.is_bad &= at.since(self.bad_since) < BURST_MAX;
            if self.is_bad && ((draw >> 16) as u16) < loss_in_bad {
                faults.count(Fault::BurstLoss);
                return NEVER;
            }
        }
        let mut at = at;
        if segment > 0 && !spread.is_zero() {
            faults.count(Fault::TrainSplit);
            at = at + spread * segment as u32;
        }
        if rate > 0 {
            let waiting = self.free_at.since(at);
            if waiting.as_nanos() as u64 * rate / 8_000_000_000 > queue_bytes {
                faults.count(Fault::QueueFull);
                return NEVER;
            }
            if !waiting.is_zero() {
                faults.count(Fault::Queued);
            }
            self.free_at = self.free_at.max(at) + Duration::from_nanos(bytes * 8_000_000_000 / rate);
            at = self.free_at;
        }
        let mut arrival = at + delay;
        if !jitter.is_zero() {
            faults.count(Fault::Jitter);
            arrival = arrival + Duration::from_nanos(self.random.u64() % (jitter.as_nanos() as u64));
        }
        if chance(1, reorder) {
            // Behind what comes in the next milliseconds.
            faults.count(Fault::Reordered);
            let late = Duration::from_micros(500 + self.random.u64() % 8_000);
            return [Some(arrival + late), None];
        }
        if !coalesce.is_zero() {
            let grid = coalesce.as_nanos() as u64;
            arrival = Timestamp::from_nanos(arrival.as_nanos().next_multiple_of(grid));
            if arrival == self.last_arrival {
                faults.count(Fault::Coalesced);
            }
        }
        arrival = arrival.max(self.last_arrival);
        self.last_arrival = arrival;
        let second = chance(2, duplicate).then(|| {
            faults.count(Fault::Duplicated);
            arrival + Duration::from_micros(self.random.u64() % 3_000)
        });
        [Some(arrival), second]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carry_all(profile: LinkProfile, seed: u64, count: u64) -> (Vec<Timestamp>, Faults) {
        let (mut link, mut faults) = (Link::new(profile, false, seed), Faults::default());
        let arrivals = (0..count)
            .flat_map(|number| link.carry(Timestamp::from_millis(number), 1_000, 0, &mut faults))
            .flatten()
            .collect();
        (arrivals, faults)
    }

    #[test]
    fn a_clean_link_only_delays_and_jitter_alone_never_reorders() {
        let (arrivals, _) = carry_all(LinkProfile::CLEAN, 1, 100);
        assert_eq!(arrivals, (0..100).map(|ms| Timestamp::from_millis(ms + 10)).collect::<Vec<_>>());
        let jittery = LinkProfile { jitter: Duration::from_millis(20), ..LinkProfile::CLEAN };
        let (arrivals, _) = carry_all(jittery, 1, 1_000);
        assert!(arrivals.is_sorted() && arrivals.len() == 1_000);
    }

    #[test]
    fn losses_come_at_their_rate_and_bursts_in_runs() {
        let (arrivals, faults) = carry_all(LinkProfile { loss: permille(50), ..LinkProfile::CLEAN }, 7, 20_000);
        assert!((18_800..19_200).contains(&arrivals.len()), "{}", arrivals.len());
        assert_eq!(faults.of(Fault::Loss), 20_000 - arrivals.len() as u64);
        let burst = Some((permille(10), permille(100), permille(900)));
        let (arrivals, faults) = carry_all(LinkProfile { burst, ..LinkProfile::CLEAN }, 7, 20_000);
        let runs = arrivals.windows(2).filter(|pair| pair[1].since(pair[0]) > Duration::from_millis(1)).count() as u64;
        assert!(faults.of(Fault::BurstLoss) > 2 * runs, "{} in {runs} runs", faults.of(Fault::BurstLoss));
    }

    #[test]
    fn duplicates_and_late_ones_come_at_their_rate() {
        let profile = LinkProfile { duplicate: permille(20), reorder: permille(20), ..LinkProfile::CLEAN };
        let (arrivals, faults) = carry_all(profile, 3, 20_000);
        assert!((300..500).contains(&faults.of(Fault::Duplicated)), "{faults}");
        assert!((300..500).contains(&faults.of(Fault::Reordered)), "{faults}");
        assert_eq!(arrivals.len() as u64, 20_000 + faults.of(Fault::Duplicated));
        assert!(!arrivals.is_sorted());
    }

    #[test]
    fn a_rate_limit_queues_and_then_drops() {
        // 1,028 bytes a millisecond are 8.2 Mbit/s.
        let narrow = LinkProfile { rate: 4_000_000, queue_bytes: 20_000, ..LinkProfile::CLEAN };
        let (arrivals, faults) = carry_all(narrow, 1, 1_000);
        let passed = arrivals.len() as u64;
        assert!((480..540).contains(&passed), "{passed}");
        assert_eq!(faults.of(Fault::QueueFull), 1_000 - passed);
        assert!(arrivals.is_sorted() && faults.of(Fault::Queued) > 400);
    }

    #[test]
    fn an_outage_ends() {
        let (mut link, mut faults) = (Link::new(LinkProfile::CLEAN, true, 1), Faults::default());
        link.out_until = Timestamp::from_millis(5);
        assert_eq!(link.carry(Timestamp::from_millis(4), 100, 0, &mut faults), [None, None]);
        assert!(link.carry(Timestamp::from_millis(5), 100, 0, &mut faults)[0].is_some());
        assert_eq!(faults.of(Fault::OutageUp), 1);
    }
}

//! One direction of a link: what becomes of a packet, by the script, the seed and what went before.
//!
//! Order of a packet's fate: random loss, then the queue (drop-tail) in front of the rate, then delay and jitter, which never
//! reorder. Other traffic stands in the same queue. All is computed when a packet is handed over, by adding up what the script
//! will let pass: nothing has to be woken, so one model serves virtual time and a clock.
//!
//! Left out: reordering, duplication, MTU and corruption (the simulation's own link has them: they say nothing of capacity),
//! active queue management.

use std::sync::Arc;
use std::time::Duration;

use super::bottleneck::Bottleneck;
use super::script::{Conditions, Script, Way};
use super::traffic::Traffic;
use crate::crypto::random::{Random, SeededRandom};
use crate::time::Timestamp;

/// Bytes of IPv4 and UDP headers.
const OVERHEAD_BYTES: u64 = 28;

/// Packets that come within this time share their jitter, as those of one turn on the air or of one interrupt do: what is drawn
/// for each alone would spread every burst.
const BURST: Duration = Duration::from_millis(4);

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrives {
        /// When.
        at: Timestamp,
        /// How long it waited for the rate.
        queued: Duration,
    },
    /// It is lost at random.
    Lost,
    /// The queue had no room for it.
    Dropped,
}

/// What a direction did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Packets that arrive, and their bytes without IP and UDP headers.
    pub passed: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Lost at random.
    pub lost: u64,
    /// For which the queue had no room.
    pub dropped: u64,
}

impl LinkCounts {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.dropped += other.dropped;
    }
}

/// One direction. Packets are handed over in the order of their times.
#[derive(Clone, Debug)]
pub struct Link {
    bottleneck: Bottleneck,
    random: SeededRandom,
    /// The last packet was lost.
    losing: bool,
    traffic: Traffic,
    last_arrival: Timestamp,
    /// The jitter of the present burst, and when it began.
    jitter: (Duration, Timestamp),
    /// What it did so far.
    pub counts: LinkCounts,
}

impl Link {
    /// A direction whose script begins at `began`.
    #[must_use]
    pub fn new(script: Arc<Script>, way: Way, seed: u64, began: Timestamp) -> Self {
        Self {
            bottleneck: Bottleneck::new(script, way, began),
            random: SeededRandom::new(seed),
            losing: false,
            traffic: Traffic::new(seed ^ 0x7feb_352d, began),
            last_arrival: began,
            jitter: (Duration::ZERO, Timestamp::ZERO),
            counts: LinkCounts::default(),
        }
    }

    /// Hands over a datagram of `bytes` (without IP and UDP headers) at a time that is not before the last one's.
    pub fn carry(&mut self, at: Timestamp, bytes: usize) -> Fate {
        self.traffic.advance(&mut self.bottleneck, at);
        let (Conditions { delay, jitter, loss, run, .. }, _) = self.bottleneck.conditions(at);
        let (draw, jitter_draw) = (self.fraction(), self.random.u64());
        if self.loses(loss, run, draw) {
            self.counts.lost += 1;
            return Fate::Lost;
        }
        let queued = self.bottleneck.wait(at);
        let Some(left) = self.bottleneck.pass(at, bytes as u64 + OVERHEAD_BYTES) else {
            self.counts.dropped += 1;
            return Fate::Dropped;
        };
        if at.since(self.jitter.1) >= BURST {
            let most = jitter.as_nanos() as u64;
            self.jitter = (Duration::from_nanos(if most == 0 { 0 } else { jitter_draw % most }), at);
        }
        let arrival = (left + delay + self.jitter.0).max(self.last_arrival);
        self.last_arrival = arrival;
        self.counts.passed += 1;
        self.counts.bytes += bytes as u64;
        Fate::Arrives { at: arrival, queued }
    }

    /// A number from 0 to 1.
    fn fraction(&mut self) -> f64 {
        (self.random.u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Two states (RFC 8868 calls for losses in runs): in a run each packet is lost, and the next one belongs to it by a chance
    /// that makes it `run` long on average; outside, a run begins by the chance that makes the share of all lost `loss`.
    fn loses(&mut self, loss: f64, run: f64, draw: f64) -> bool {
        let goes_on = 1.0 - 1.0 / run;
        let begins = if loss >= 1.0 { 1.0 } else { (loss / (run * (1.0 - loss))).min(1.0) };
        self.losing =
            loss > 0.0 && draw < if self.losing { goes_on.max(f64::from(u8::from(loss >= 1.0))) } else { begins };
        self.losing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> Link {
        Link::new(Arc::new(Script::parse(text).unwrap()), Way::Down, 7, Timestamp::ZERO)
    }

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn arrival(fate: Fate) -> Timestamp {
        match fate {
            Fate::Arrives { at, .. } => at,
            other => panic!("{other:?}"),
        }
    }

    /// 972 bytes and 28 of headers are 8 ms at 1 Mbit/s.
    const BYTES: usize = 972;

    #[test]
    fn packets_leave_one_after_the_other_at_the_rate() {
        let mut link = link("0s rate=1M delay=50ms");
        let arrivals: Vec<_> = (0..4).map(|_| link.carry(ms(0), BYTES)).collect();
        assert_eq!(arrivals.iter().map(|fate| arrival(*fate)).collect::<Vec<_>>(), [58, 66, 74, 82].map(ms));
        assert_eq!(arrivals[3], Fate::Arrives { at: ms(82), queued: Duration::from_millis(24) });
        assert_eq!(arrival(link.carry(ms(100), BYTES)), ms(158), "what was not used is not saved");
    }

    #[test]
    fn a_rate_that_changes_holds_for_what_waits_too() {
        let mut down = link("0s rate=1M\n4ms rate=500k");
        // Half of it leaves at 1 Mbit/s in 4 ms, the other half at 500 kbit/s in 8 ms.
        assert_eq!(arrival(down.carry(ms(0), BYTES)), ms(12));
        assert_eq!(arrival(down.carry(ms(0), BYTES)), ms(28));
        let mut stops = link("0s rate=1M\n4ms rate=0\n1s rate=1M");
        assert_eq!(arrival(stops.carry(ms(0), BYTES)), ms(1_004));
        assert_eq!(link("0s rate=0").carry(ms(0), BYTES), Fate::Dropped, "it would never leave");
    }

    #[test]
    fn what_the_queue_has_no_room_for_is_dropped() {
        // The one that is leaving counts as long as it has not left.
        for (script, fit) in [("0s rate=1M queue=3000B", 4), ("0s rate=1M queue=24ms", 4), ("0s rate=1M queue=0B", 1)] {
            let mut link = link(script);
            let fates: Vec<_> = (0..10).map(|_| link.carry(ms(0), BYTES)).collect();
            let passed = fates.iter().filter(|fate| matches!(fate, Fate::Arrives { .. })).count();
            assert_eq!((passed, fates[9]), (fit, Fate::Dropped), "{script}");
            assert_eq!(link.counts.dropped as usize, 10 - passed);
            assert!(matches!(link.carry(ms(100), BYTES), Fate::Arrives { .. }), "it has room again");
        }
    }

    #[test]
    fn a_bucket_lets_a_burst_pass_after_a_silence_and_no_more_on_average() {
        let mut link = link("0s rate=1M bucket=5kB queue=1s");
        let burst: Vec<_> = (0..8).map(|_| arrival(link.carry(ms(1_000), BYTES))).collect();
        assert_eq!(burst, [1_000, 1_000, 1_000, 1_000, 1_000, 1_008, 1_016, 1_024].map(ms));
        let last = (0..100).map(|n| arrival(link.carry(ms(1_030 + n), BYTES))).last().unwrap();
        assert_eq!(last, ms(1_824), "108 packets of 8 ms, less the bucket");
    }

    #[test]
    fn jitter_is_within_its_bound_and_reorders_nothing() {
        let mut link = link("0s delay=20ms jitter=30ms");
        let arrivals: Vec<_> = (0..2_000).map(|n| arrival(link.carry(ms(n * 5), BYTES)).since(ms(n * 5))).collect();
        assert!(arrivals.iter().all(|delay| (20..=50).contains(&delay.as_millis())));
        assert!(
            arrivals.iter().any(|delay| delay.as_millis() < 25) && arrivals.iter().any(|delay| delay.as_millis() > 45)
        );
        let times = arrivals.iter().enumerate().map(|(n, delay)| ms(n as u64 * 5) + *delay);
        assert!(times.is_sorted());
    }

    #[test]
    fn losses_come_at_their_share_and_in_runs_of_their_length() {
        for run in [1.0, 4.0] {
            let mut link = link(&format!("0s loss=5% run={run}"));
            let lost: Vec<bool> = (0..100_000).map(|n| link.carry(ms(n), BYTES) == Fate::Lost).collect();
            let count = lost.iter().filter(|lost| **lost).count() as f64;
            let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
            assert!((4_500.0..5_500.0).contains(&count), "{count}");
            assert!((count / runs / run - 1.0).abs() < 0.1, "{run}: {}", count / runs);
        }
        let mut all = link("0s loss=100% run=3");
        assert!((0..1_000).all(|n| all.carry(ms(n), BYTES) == Fate::Lost));
    }

    #[test]
    fn one_seed_is_one_run_and_directions_differ() {
        let script = Arc::new(Script::parse("0s rate=2M jitter=9ms loss=3% up.loss=50%").unwrap());
        let run = |way, seed| {
            let mut link = Link::new(Arc::clone(&script), way, seed, Timestamp::ZERO);
            (0..1_000).map(|n| link.carry(ms(n * 3), BYTES)).collect::<Vec<_>>()
        };
        assert_eq!(run(Way::Down, 1), run(Way::Down, 1));
        assert_ne!(run(Way::Down, 1), run(Way::Down, 2));
        let lost = |fates: Vec<Fate>| fates.iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((400..600).contains(&lost(run(Way::Up, 1))) && lost(run(Way::Down, 1)) < 60);
    }

    /// Bits a second of ours that pass when we send at `ours`, for 30 s.
    fn share(script: &str, ours: u64) -> f64 {
        let mut link = link(script);
        let gap = Duration::from_nanos(8_000 * 1_000_000_000 / ours);
        let mut at = Timestamp::ZERO;
        while at < ms(30_000) {
            link.carry(at, BYTES);
            at = at + gap;
        }
        (link.counts.passed * 8_000) as f64 / 30.0
    }

    #[test]
    fn other_traffic_takes_its_part_of_the_rate() {
        assert!((share("0s rate=10M cross=6M queue=30kB", 3_000_000) / 3e6 - 1.0).abs() < 0.01, "four are free");
        let ours = share("0s rate=10M cross=6M queue=30kB", 8_300_000);
        assert!((4.0e6..7.0e6).contains(&ours), "{ours}");
    }

    #[test]
    fn tcp_fills_what_is_free_and_leaves_room_to_who_sends() {
        // Alone, it fills the link: what is left for a trickle waits in its queue.
        let mut alone = link("0s rate=2M queue=300ms delay=25ms tcp=1");
        let waits: Vec<_> = (0..300)
            .filter_map(|n| match alone.carry(ms(n * 100), BYTES) {
                Fate::Arrives { queued, .. } => Some(queued.as_millis()),
                _ => None,
            })
            .collect();
        let late = &waits[50..];
        let mean = late.iter().sum::<u128>() / late.len() as u128;
        assert!((100..300).contains(&mean), "{mean} ms");
        let ours = share("0s rate=2M queue=300ms delay=25ms tcp=1", 1_000_000);
        assert!(ours > 0.8e6, "it yields when it loses: {ours}");
        assert!(share("0s rate=2M queue=300ms delay=25ms tcp=4", 1_000_000) < ours);
    }
}

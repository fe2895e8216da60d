//! Other traffic on a link: packets at a constant rate on average, and greedy TCP flows by Reno's rules (RFC 5681): slow start, one more
//! packet a round trip, half the window for a loss.
//!
//! Left out: everything of TCP that does not change how much it takes: handshakes, timeouts of their own, SACK's details.

use std::collections::VecDeque;
use std::time::Duration;

use super::bottleneck::Bottleneck;
use super::script::{Conditions, UNLIMITED};
use crate::crypto::random::{Random, SeededRandom};
use crate::time::Timestamp;

const CONSTANT_BYTES: u64 = 1_200;
const TCP_BYTES: u64 = 1_500;
/// RFC 6928.
const WINDOW_FIRST: f64 = 10.0;
const WINDOW_MAX: f64 = 1_000.0;
/// Of the way back, and of a link without delay.
const ROUND_TRIP_MIN: Duration = Duration::from_millis(10);

/// One flow.
#[derive(Clone, Debug)]
struct Flow {
    window: f64,
    threshold: f64,
    /// When the fate of each packet on its way is known to the sender, and whether it was lost.
    on_its_way: VecDeque<(Timestamp, bool)>,
    /// Losses before this belong to the one that was answered.
    answered_until: Timestamp,
}

impl Flow {
    fn new() -> Self {
        Self {
            window: WINDOW_FIRST,
            threshold: WINDOW_MAX,
            on_its_way: VecDeque::new(),
            answered_until: Timestamp::ZERO,
        }
    }

    /// Sends as much as its window lets it.
    fn send(&mut self, bottleneck: &mut Bottleneck, now: Timestamp, round_trip: Duration) {
        while (self.on_its_way.len() as f64) < self.window.floor() {
            let wait = bottleneck.wait(now);
            let left = bottleneck.pass(now, TCP_BYTES);
            let known = left.unwrap_or(now + wait) + round_trip;
            let known = self.on_its_way.back().map_or(known, |&(before, _)| known.max(before));
            self.on_its_way.push_back((known, left.is_none()));
        }
    }

    /// Learns of the packet whose fate is known first.
    fn learn(&mut self, round_trip: Duration) -> Option<Timestamp> {
        let (now, is_lost) = self.on_its_way.pop_front()?;
        if is_lost && now >= self.answered_until {
            self.threshold = (self.window / 2.0).max(2.0);
            self.window = self.threshold;
            self.answered_until = now + round_trip;
        } else if !is_lost {
            let more = if self.window < self.threshold { 1.0 } else { 1.0 / self.window };
            self.window = (self.window + more).min(WINDOW_MAX);
        }
        Some(now)
    }
}

/// All that shares a link's queue.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    /// When the next packet at the constant rate is due.
    next: Timestamp,
    /// Gaps between them differ, or they would march in step with who shares the link.
    random: SeededRandom,
    flows: Vec<Flow>,
    /// Until when it was sent.
    sent_until: Timestamp,
}

impl Traffic {
    pub(super) fn new(seed: u64, began: Timestamp) -> Self {
        Self { next: began, random: SeededRandom::new(seed), flows: Vec::new(), sent_until: began }
    }

    /// Sends all that is due until `until`, in order.
    pub(super) fn advance(&mut self, bottleneck: &mut Bottleneck, until: Timestamp) {
        while self.sent_until < until {
            let (now, next_step) = bottleneck.conditions(self.sent_until);
            let end = next_step.unwrap_or(until).min(until);
            self.within(bottleneck, &now, end);
            self.sent_until = end;
        }
    }

    /// Sends what is due until `end`, up to which the conditions hold.
    fn within(&mut self, bottleneck: &mut Bottleneck, now: &Conditions, end: Timestamp) {
        let begin = self.sent_until;
        let round_trip = (now.delay * 2).max(ROUND_TRIP_MIN);
        // Without a limit it would take all there is.
        let flows = if matches!(now.rate, 0 | UNLIMITED) { 0 } else { now.tcp as usize };
        self.flows.truncate(flows);
        while self.flows.len() < flows {
            let mut flow = Flow::new();
            flow.send(bottleneck, begin, round_trip);
            self.flows.push(flow);
        }
        let gap = (now.cross > 0).then(|| Duration::from_nanos(CONSTANT_BYTES * 8_000_000_000 / now.cross));
        self.next = self.next.max(begin);
        loop {
            let known = |flow: &Flow| flow.on_its_way.front().map(|&(at, _)| at);
            let first = self.flows.iter_mut().filter_map(|flow| known(flow).map(|at| (at, flow)));
            let first = first.min_by_key(|(at, _)| *at);
            let constant = gap.map(|_| self.next).filter(|next| *next < end);
            match (first, constant) {
                (Some((at, flow)), constant) if at < end && constant.is_none_or(|constant| at <= constant) => {
                    let _ = flow.learn(round_trip);
                    flow.send(bottleneck, at, round_trip);
                }
                (_, Some(at)) => {
                    let _ = bottleneck.pass(at, CONSTANT_BYTES);
                    // From half to one and a half of it.
                    let part = (self.random.u64() >> 48) as u32;
                    self.next = at + gap.unwrap_or_default() * (part + (1 << 15)) / (1 << 16);
                }
                _ => return,
            }
        }
    }
}

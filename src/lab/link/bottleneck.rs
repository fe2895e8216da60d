//! The queue in front of a rate that changes: when what is put into it has left.

use std::sync::Arc;
use std::time::Duration;

use super::script::{Conditions, Script, UNLIMITED, Way};
use crate::limits;
use crate::time::Timestamp;

/// The rate that the script gives, added up over time.
#[derive(Clone, Debug)]
pub(super) struct Bottleneck {
    script: Arc<Script>,
    way: Way,
    began: Timestamp,
    /// When all that waits will have left.
    free_at: Timestamp,
}

impl Bottleneck {
    pub(super) fn new(script: Arc<Script>, way: Way, began: Timestamp) -> Self {
        Self { script, way, began, free_at: began }
    }

    /// What holds at a time, and until when.
    pub(super) fn conditions(&self, at: Timestamp) -> (Conditions, Option<Timestamp>) {
        let (then, until) = self.script.at(at.since(self.began), self.way);
        (then, until.map(|until| self.began + until))
    }

    /// When so many bits that begin to leave at `from` have left; `None` where the script never lets them.
    fn served(&self, from: Timestamp, bits: u64) -> Option<Timestamp> {
        let (mut at, mut left) = (from, bits);
        for _ in 0..=2 * limits::LINK_STEPS_MAX {
            let (Conditions { rate, .. }, until) = self.conditions(at);
            if rate == UNLIMITED || left == 0 {
                return Some(at);
            }
            let needed =
                (rate > 0).then(|| Duration::from_nanos((u128::from(left) * 1_000_000_000 / u128::from(rate)) as u64));
            match (needed, until) {
                (Some(needed), None) => return Some(at + needed),
                (Some(needed), Some(until)) if at + needed <= until => return Some(at + needed),
                (_, Some(until)) => {
                    left = left.saturating_sub(bits_in(rate, until.since(at)));
                    at = until;
                }
                (None, None) => return None,
            }
        }
        None
    }

    /// Bytes that wait at a time.
    fn waiting_bytes(&self, now: Timestamp) -> u64 {
        let (mut at, mut bits) = (now, 0_u64);
        while at < self.free_at {
            let (Conditions { rate, .. }, until) = self.conditions(at);
            let end = until.unwrap_or(self.free_at).min(self.free_at);
            if rate != UNLIMITED {
                bits = bits.saturating_add(bits_in(rate, end.since(at)));
            }
            at = end;
        }
        bits / 8
    }

    /// Puts a packet into the queue; when it will have left, or `None` where there is no room.
    pub(super) fn pass(&mut self, at: Timestamp, bytes: u64) -> Option<Timestamp> {
        let (now, _) = self.conditions(at);
        // The packet that is leaving waits no more: without it a queue of one packet would take none.
        if self.free_at > at && self.waiting_bytes(at) > now.queue.bytes(now.rate) {
            return None;
        }
        let ahead = match now.rate {
            0 | UNLIMITED => Duration::ZERO,
            rate => Duration::from_nanos((u128::from(now.bucket_bytes) * 8_000_000_000 / u128::from(rate)) as u64),
        };
        let free = self.served(self.free_at.max(at - ahead), bytes * 8)?;
        self.free_at = free;
        Some(free.max(at))
    }

    /// How long a packet that comes now would wait, itself not counted.
    pub(super) fn wait(&self, at: Timestamp) -> Duration {
        self.free_at.since(at)
    }
}

fn bits_in(rate: u64, time: Duration) -> u64 {
    (u128::from(rate) * time.as_nanos() / 1_000_000_000).min(u64::MAX.into()) as u64
}

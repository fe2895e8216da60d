//! What a worker keeps per viewer to choose what it is sent: the estimate ([`crate::bandwidth`]) and its last switches.

use crate::bandwidth::Bandwidth;
use crate::bandwidth::why::Why;
use crate::limits;
use crate::relay::store::numbers::EncodingId;
use crate::time::Timestamp;

/// A decision that was made for a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// When.
    pub at: Timestamp,
    /// What it was sent.
    pub from: EncodingId,
    /// What it is to be sent; `None` is sound only.
    pub to: Option<EncodingId>,
    /// Why.
    pub why: Why,
}

/// One viewer's estimate, and the last decisions.
#[derive(Debug)]
pub struct Adaptation {
    /// The estimate and what was decided by it.
    pub bandwidth: Bandwidth,
    /// Decisions so far.
    pub decided: u32,
    switches: [Option<Switch>; limits::SWITCHES_REMEMBERED],
}

impl Adaptation {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { bandwidth: Bandwidth::new(now), decided: 0, switches: [None; limits::SWITCHES_REMEMBERED] }
    }

    /// The number of a packet of a probe of which so many more come.
    pub(super) fn probe(&mut self, left: u8, bytes: usize, now: Timestamp) -> u16 {
        self.bandwidth.stamp(bytes, left == 0, now)
    }

    /// Takes note of a decision; the oldest is forgotten.
    pub fn note(&mut self, switch: Switch) {
        if let Some(place) = self.switches.get_mut(self.decided as usize % limits::SWITCHES_REMEMBERED) {
            *place = Some(switch);
        }
        self.decided = self.decided.wrapping_add(1);
    }

    /// The last decisions, the newest first.
    pub fn switches(&self) -> impl Iterator<Item = &Switch> {
        let newest = self.decided as usize % limits::SWITCHES_REMEMBERED;
        let (later, earlier) = self.switches.split_at(newest);
        later.iter().rev().chain(earlier.iter().rev()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_switches_are_told_the_newest_first() {
        let mut adaptation = Adaptation::new(Timestamp::ZERO);
        assert_eq!(adaptation.switches().count(), 0);
        for ms in 0..20 {
            let at = Timestamp::from_millis(ms);
            adaptation.note(Switch { at, from: EncodingId::default(), to: None, why: Why::Queue });
            let told: Vec<_> = adaptation.switches().map(|switch| switch.at.as_nanos() / 1_000_000).collect();
            let expected: Vec<_> = (0..=ms).rev().take(limits::SWITCHES_REMEMBERED).collect();
            assert_eq!(told, expected);
        }
    }
}

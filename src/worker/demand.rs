//! Which of a stream's encodings the viewers of this worker want, counted as they come, go over, and leave; and whether the
//! stream's origin knows.
//!
//! An encoding is wanted by who is sent it and by who waits to go over to it. Its packets cross a lane only to workers where it
//! is wanted, so that simulcast does not multiply what lanes carry.

use std::time::Duration;

use crate::limits;
use crate::relay::store::address::Origin;
use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::time::Timestamp;

/// What of one stream is wanted on this worker.
#[derive(Debug, Default)]
pub(super) struct Demand {
    counts: [u32; EncodingId::COUNT],
    set: EncodingSet,
    /// What which origin was told, and when.
    told: Option<(Origin, EncodingSet, Timestamp)>,
    /// It is listed as one whose origin is to be told.
    pub(super) listed: bool,
}

impl Demand {
    /// A viewer's track that wanted `before` wants `after`. Whether another encoding is wanted now, or one no longer.
    pub(super) fn moved(&mut self, before: EncodingSet, after: EncodingSet) -> bool {
        if before == after {
            return false;
        }
        for id in after.iter() {
            *self.count_mut(id) += 1;
        }
        for id in before.iter() {
            let count = self.count_mut(id);
            *count = count.saturating_sub(1);
        }
        let set = before.iter().chain(after.iter()).chain(self.set.iter()).filter(|&id| self.count(id) > 0).collect();
        std::mem::replace(&mut self.set, set) != set
    }

    fn count_mut(&mut self, id: EncodingId) -> &mut u32 {
        // Every number of an encoding is below the table's length.
        &mut self.counts[usize::from(id.number())]
    }

    /// How many viewers' tracks want an encoding.
    pub(super) fn count(&self, id: EncodingId) -> u32 {
        self.counts.get(usize::from(id.number())).copied().unwrap_or_default()
    }

    /// The encodings that are wanted.
    pub(super) const fn wanted(&self) -> EncodingSet {
        self.set
    }

    /// What `origin` is to be told now: what is wanted, where it does not know or, having been told, sends something else all
    /// the same. `Err` says when to ask again.
    pub(super) fn to_tell(&self, origin: Origin, now: Timestamp) -> Result<EncodingSet, Timestamp> {
        match self.told {
            Some((told_to, set, at)) if told_to == origin && set == self.set => {
                let again = at + limits::DEMAND_REPEAT_MIN;
                if now < again { Err(again) } else { Ok(self.set) }
            }
            _ => Ok(self.set),
        }
    }

    /// It was told.
    pub(super) fn told(&mut self, origin: Origin, now: Timestamp) {
        self.told = Some((origin, self.set, now));
    }
}

const _: () = assert!(limits::DEMAND_REPEAT_MIN.as_nanos() > Duration::ZERO.as_nanos());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::store::address::WorkerIndex;

    fn id(number: u8) -> EncodingId {
        EncodingId::from_number(number).unwrap()
    }

    fn set(numbers: &[u8]) -> EncodingSet {
        numbers.iter().map(|&number| id(number)).collect()
    }

    #[test]
    fn an_encoding_is_wanted_from_its_first_viewer_to_its_last() {
        let mut demand = Demand::default();
        let nothing = EncodingSet::default();
        assert!(demand.moved(nothing, set(&[5])));
        assert!(!demand.moved(nothing, set(&[5])), "one more changes nothing");
        assert!(demand.moved(set(&[5]), set(&[5, 6])), "one waits to go over");
        assert!(!demand.moved(set(&[5, 6]), set(&[6])), "another one is still sent it");
        assert_eq!((demand.wanted(), demand.count(id(5)), demand.count(id(6))), (set(&[5, 6]), 1, 1));
        assert!(demand.moved(set(&[5]), nothing));
        assert!(demand.moved(set(&[6]), nothing));
        assert_eq!(demand.wanted(), nothing);
    }

    #[test]
    fn an_origin_is_told_once_and_again_when_it_does_not_heed_it_or_is_another() {
        let mut demand = Demand::default();
        let [first, second] = [0, 1].map(|worker| Origin::Worker(WorkerIndex(worker)));
        demand.moved(EncodingSet::default(), set(&[4]));
        let now = Timestamp::from_millis(1_000);
        assert_eq!(demand.to_tell(first, now), Ok(set(&[4])));
        demand.told(first, now);
        let again = now + limits::DEMAND_REPEAT_MIN;
        assert_eq!((demand.to_tell(first, now), demand.to_tell(first, again)), (Err(again), Ok(set(&[4]))));
        assert_eq!(demand.to_tell(second, now), Ok(set(&[4])));
        demand.moved(set(&[4]), set(&[5]));
        assert_eq!(demand.to_tell(first, now), Ok(set(&[5])));
    }
}

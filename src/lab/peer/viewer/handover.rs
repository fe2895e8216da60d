//! A viewer whose session's keys change: two transports for a while, each a [`Viewer`] of its own, and what came by which.
//!
//! From the moment when a second transport is begun both open every packet and note the publisher's numbers ([`Stamp`]) of what
//! comes. When the first one has ended, whatever neither brought is lost, whichever of the two lost it.
//!
//! Left out: publishers that do not stamp their packets. Their viewers are counted, and nothing is said of their losses.
//!
//! [`Stamp`]: crate::lab::peer::stamp::Stamp

use std::collections::BTreeSet;

use super::Viewer;
use crate::description::MediaKind;
use crate::lab::peer::record::{LoadRecord, note};
use crate::limits;
use crate::time::Timestamp;

/// Which of a session's two transports a viewer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The first one, which the server ends when the second is in use.
    #[default]
    Old,
    New,
}

/// What a viewer keeps while it is one of two.
#[derive(Debug, Default)]
pub(super) struct Handover {
    place: Place,
    video: Numbers,
    audio: Numbers,
    /// What the old one brought, when that has ended.
    old: Option<Box<Ledger>>,
}

/// What one transport brought.
#[derive(Debug)]
pub struct Ledger {
    video: Numbers,
    audio: Numbers,
}

/// The packets of a track that came, by the publisher's numbers.
#[derive(Debug, Default)]
struct Numbers {
    /// What the last stamp adds to a sequence number. Packets without one (parameter sets, the shortest) have it too.
    offset: Option<i64>,
    /// Sequence numbers that came before the first stamp.
    waiting: Vec<i64>,
    came: BTreeSet<i64>,
}

impl Numbers {
    fn note(&mut self, index: u64, stamp: Option<u32>) {
        let index = index as i64;
        if let Some(number) = stamp {
            self.offset = Some(i64::from(number) - index);
        }
        match self.offset {
            Some(offset) => self.came.extend(self.waiting.drain(..).chain([index]).map(|index| index + offset)),
            None if self.waiting.len() < limits::LEDGER_PACKETS_MAX => self.waiting.push(index),
            None => {}
        }
        while self.came.len() > limits::LEDGER_PACKETS_MAX {
            self.came.pop_first();
        }
    }

    /// How many numbers neither has, from the first of `old` to the newest that it has; `None` where one has no numbers.
    fn missing_with(&self, old: &Self) -> Option<u64> {
        let (first, last) = (*old.came.first()?, *old.came.last()?);
        let newest = last.max(*self.came.first()?);
        let has = |number: &i64| old.came.contains(number) || self.came.contains(number);
        Some((first..=newest).filter(|number| !has(number)).count() as u64)
    }
}

impl Handover {
    pub(super) fn note(&mut self, kind: MediaKind, index: u64, stamp: Option<u32>) {
        match kind {
            MediaKind::Audio => self.audio.note(index, stamp),
            MediaKind::Video => self.video.note(index, stamp),
        }
    }
}

impl Viewer {
    /// It is the second transport of a session that is connected: its start is not that of another viewer.
    #[must_use]
    pub fn as_second(mut self) -> Self {
        self.handover = Some(Box::new(Handover { place: Place::New, ..Handover::default() }));
        self
    }

    /// A second transport of its session begins: from now on everything is noted, and the server may end this one.
    pub fn is_replaced(&mut self) {
        self.handover.get_or_insert_default();
    }

    /// It stays the only one after all.
    pub fn goes_on(&mut self) {
        self.handover = None;
    }

    /// Whether it is a session's second transport, whose first one has not ended.
    #[must_use]
    pub fn is_second(&self) -> bool {
        self.handover.as_ref().is_some_and(|handover| handover.place == Place::New && handover.old.is_none())
    }

    pub(super) fn may_be_ended(&self) -> bool {
        self.handover.as_ref().is_some_and(|handover| handover.place == Place::Old)
    }

    /// What it brought since [`Self::is_replaced`].
    pub fn take_ledger(&mut self) -> Option<Box<Ledger>> {
        let handover = self.handover.take()?;
        Some(Box::new(Ledger { video: handover.video, audio: handover.audio }))
    }

    /// The first transport has ended: what this one brings is what is played from now on.
    pub fn carries_on(&mut self, old: Box<Ledger>, now: Timestamp, record: &mut LoadRecord) {
        if let Some(handover) = &mut self.handover {
            handover.old = Some(old);
        }
        self.settled = Some(now);
        if let Some(connected) = self.connected {
            note(&mut record.overlap_us, now.since(connected));
        }
    }

    /// Counts what was lost when the keys changed. Packets that were on their way have had time to come.
    pub fn balance(&mut self, record: &mut LoadRecord) {
        let Some(handover) = self.handover.take() else { return };
        let Some(old) = handover.old else { return };
        record.counts.rekeyed += 1;
        let tracks = [handover.video.missing_with(&old.video), handover.audio.missing_with(&old.audio)];
        record.counts.rekey_lost += tracks.iter().flatten().sum::<u64>();
        record.counts.rekey_unnumbered += u64::from(tracks.iter().all(Option::is_none));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transport whose sequence numbers lie `apart` below the publisher's.
    fn numbers(apart: i64, came: impl IntoIterator<Item = i64>, stamped: impl Fn(i64) -> bool) -> Numbers {
        let mut numbers = Numbers::default();
        for number in came {
            numbers.note((number - apart) as u64, stamped(number).then_some(number as u32));
        }
        numbers
    }

    #[test]
    fn what_either_brought_is_not_lost() {
        let all = |_| true;
        let old = numbers(-5_000, (100..200).filter(|number| *number != 150), all);
        assert_eq!(numbers(-70_000, 120..300, all).missing_with(&old), Some(0));
        assert_eq!(numbers(-70_000, (120..300).filter(|number| *number != 150), all).missing_with(&old), Some(1));
        assert_eq!(numbers(-70_000, 204..300, all).missing_with(&old), Some(5), "150, and 200 to 203 between the two");
    }

    #[test]
    fn packets_without_a_stamp_have_their_place_between_those_with_one() {
        let third = |number: i64| number % 3 == 0;
        let old = numbers(0, 100..200, third);
        assert_eq!(numbers(-9, 199..250, third).missing_with(&old), Some(0));
        assert_eq!(numbers(-9, 199..250, |_| false).missing_with(&old), None, "nothing is known");
    }

    #[test]
    fn a_hole_of_the_new_one_behind_the_last_of_the_old_one_is_an_ordinary_loss() {
        let all = |_| true;
        let old = numbers(0, 100..200, all);
        let new = numbers(0, (150..300).filter(|number| *number != 250), all);
        assert_eq!(new.missing_with(&old), Some(0), "which the sequence numbers show");
    }

    #[test]
    fn a_ledger_is_bounded() {
        let mut numbers = Numbers::default();
        for index in 0..limits::LEDGER_PACKETS_MAX as u64 * 2 {
            numbers.note(index, None);
        }
        assert_eq!(numbers.waiting.len(), limits::LEDGER_PACKETS_MAX);
        for index in 0..limits::LEDGER_PACKETS_MAX as u64 * 2 {
            numbers.note(index, Some(index as u32));
        }
        assert_eq!((numbers.waiting.len(), numbers.came.len()), (0, limits::LEDGER_PACKETS_MAX));
    }
}

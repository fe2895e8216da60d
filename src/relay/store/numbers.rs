//! The numbers of a stream, one type each, so that none is taken for another.
//!
//! | Type | Counts | Whose |
//! |---|---|---|
//! | [`Position`] | packets in the order they were stored | a packet ring's |
//! | [`Sequence`] | extended RTP sequence numbers | an encoding's timeline on this worker |
//! | [`PacketIndex`] | rollover counter and sequence number (RFC 3711 §3.3.1) | one viewer's stream |
//!
//! A stream's tracks and encodings are named by [`TrackId`] and [`EncodingId`]; an [`EncodingSet`] holds any of them.
//!
//! Not here: the publisher's own numbers, which mean something only together with their
//! [`Incarnation`](super::timeline::Incarnation), and the order of subscribers.

use crate::limits;

/// A packet's place in a packet ring: cursors move along it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How many places lie from `earlier` to here; none where that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// An extended RTP sequence number on an encoding's timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A packet's index in one viewer's stream: rollover counter and sequence number (RFC 3711 §3.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketIndex(pub u64);

impl PacketIndex {
    /// The index after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The sequence number in the RTP header: the lower 16 bits.
    #[must_use]
    pub const fn sequence_number(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

/// Names a track of a stream: what one media section carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(u8);

impl TrackId {
    /// The track of this number; `None` where a stream cannot have so many.
    #[must_use]
    pub const fn new(number: usize) -> Option<Self> {
        if number < limits::TRACKS_PER_STREAM_MAX { Some(Self(number as u8)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    /// The track's first encoding: its only one where there is no simulcast.
    #[must_use]
    pub const fn only_encoding(self) -> EncodingId {
        EncodingId(self.0 * limits::ENCODINGS_PER_TRACK_MAX as u8)
    }

    /// The encoding that comes `rid` places after the first, in the order of the offer's rids (RFC 8853 §5.2); `None`
    /// where a track cannot have so many.
    #[must_use]
    pub const fn encoding(self, rid: usize) -> Option<EncodingId> {
        if rid < limits::ENCODINGS_PER_TRACK_MAX {
            Some(EncodingId(self.0 * limits::ENCODINGS_PER_TRACK_MAX as u8 + rid as u8))
        } else {
            None
        }
    }
}

/// Names an encoding of a stream: a track and one of its rids (RFC 8852), as one small number that is the same on every
/// worker and node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodingId(u8);

impl EncodingId {
    /// How many different ones there are.
    pub const COUNT: usize = limits::TRACKS_PER_STREAM_MAX * limits::ENCODINGS_PER_TRACK_MAX;

    /// From [`Self::number`]; `None` for a number that none has.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// One number for track and rid: what records carry.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The track it is an encoding of.
    #[must_use]
    pub const fn track(self) -> TrackId {
        TrackId(self.0 / limits::ENCODINGS_PER_TRACK_MAX as u8)
    }

    /// Its place among the track's rids.
    #[must_use]
    pub const fn rid(self) -> usize {
        self.0 as usize % limits::ENCODINGS_PER_TRACK_MAX
    }
}

/// Any of a stream's encodings: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodingSet(u16);

const _: () = assert!(EncodingId::COUNT <= u16::BITS as usize);
const _: () = assert!(limits::ENCODINGS_PER_STREAM_MAX <= EncodingId::COUNT);

impl EncodingSet {
    /// No encoding.
    pub const NONE: Self = Self(0);

    /// Every encoding that a stream can have.
    pub const ALL: Self = Self((u32::MAX >> (u32::BITS as usize - EncodingId::COUNT)) as u16);

    /// The bits, as records carry them.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// From [`Self::bits`]; `None` where one names no encoding.
    #[must_use]
    pub fn from_bits(bits: u16) -> Option<Self> {
        let all = u32::MAX >> (u32::BITS as usize - EncodingId::COUNT);
        (u32::from(bits) & !all == 0).then_some(Self(bits))
    }

    const fn bit(id: EncodingId) -> u16 {
        1 << id.0
    }

    /// Whether `id` is in it.
    #[must_use]
    pub const fn contains(self, id: EncodingId) -> bool {
        self.0 & Self::bit(id) != 0
    }

    /// Puts `id` in; whether it was new.
    pub fn insert(&mut self, id: EncodingId) -> bool {
        let new = !self.contains(id);
        self.0 |= Self::bit(id);
        new
    }

    /// Takes `id` out; whether it was in.
    pub fn remove(&mut self, id: EncodingId) -> bool {
        let was_in = self.contains(id);
        self.0 &= !Self::bit(id);
        was_in
    }

    /// Puts `id` in or takes it out.
    pub fn set(&mut self, id: EncodingId, is_in: bool) {
        if is_in {
            self.insert(id);
        } else {
            self.remove(id);
        }
    }

    /// Whether none is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in it, by track and rid.
    pub fn iter(self) -> impl Iterator<Item = EncodingId> {
        (0..EncodingId::COUNT as u8).filter_map(EncodingId::from_number).filter(move |&id| self.contains(id))
    }
}

impl FromIterator<EncodingId> for EncodingSet {
    fn from_iter<I: IntoIterator<Item = EncodingId>>(ids: I) -> Self {
        let mut set = Self::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_a_track_and_a_rid() {
        let mut seen = Vec::new();
        for track in (0..limits::TRACKS_PER_STREAM_MAX).map(|number| TrackId::new(number).unwrap()) {
            assert_eq!(track.encoding(0), Some(track.only_encoding()));
            for rid in 0..limits::ENCODINGS_PER_TRACK_MAX {
                let id = track.encoding(rid).unwrap();
                assert_eq!((id.track(), id.rid()), (track, rid));
                assert_eq!(EncodingId::from_number(id.number()), Some(id));
                assert!(!seen.contains(&id));
                seen.push(id);
            }
            assert_eq!(track.encoding(limits::ENCODINGS_PER_TRACK_MAX), None);
        }
        assert_eq!(seen.len(), EncodingId::COUNT);
        assert_eq!(TrackId::new(limits::TRACKS_PER_STREAM_MAX), None);
        assert_eq!(EncodingId::from_number(EncodingId::COUNT as u8), None);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let id = |number| EncodingId::from_number(number).unwrap();
        let mut set: EncodingSet = [id(5), id(0)].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [id(0), id(5)]);
        assert!(!set.insert(id(5)) && set.insert(id(7)) && set.remove(id(0)) && !set.remove(id(0)));
        assert_eq!(set.iter().collect::<Vec<_>>(), [id(5), id(7)]);
        assert_eq!(EncodingSet::from_bits(set.bits()), Some(set));
        set.set(id(5), false);
        set.set(id(7), false);
        set.set(id(1), true);
        assert!(!set.is_empty() && set.contains(id(1)) && set.remove(id(1)) && set.is_empty());
    }

    #[test]
    fn the_sequence_number_is_the_lower_half_of_the_index() {
        assert_eq!(PacketIndex(0x1_fffe).sequence_number(), 0xfffe);
        assert_eq!(PacketIndex(0x1_ffff).next().sequence_number(), 0);
        assert_eq!((Position(3).next(), Sequence(3).next()), (Position(4), Sequence(4)));
        assert_eq!((Position(7).since(Position(3)), Position(3).since(Position(7))), (4, 0));
    }
}

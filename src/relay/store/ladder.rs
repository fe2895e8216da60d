//! A track's encodings as rungs, from the smallest picture to the largest: what each takes and shows, and whether it lives.
//!
//! The publisher's worker measures (`publish/meter.rs`) and tells every worker that listens, also of encodings
//! that do not cross to it ([`Record::Rung`](super::record::Record)). A ladder is read once per decision: it is a copy of at
//! most four rungs, made where it is asked for.
//!
//! Not here: which rung a viewer's network carries. [`Ladder::start`] and [`Ladder::stand_in`] answer only what is asked
//! without any knowledge of the network: where to begin, and what to do when a rung stops.

use std::fmt;

use crate::limits;
use crate::relay::store::numbers::EncodingId;
use crate::wire::codec::Codec;

/// The name of an encoding in its publisher's offer (RFC 8851 §10: letters, digits, `-` and `_`); empty where the track is
/// sent without simulcast.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RidName {
    bytes: [u8; limits::RID_BYTES_MAX],
    len: u8,
}

impl RidName {
    /// Takes a name; `None` where it is too long for a one-byte header extension or has another character.
    #[must_use]
    pub fn new(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; limits::RID_BYTES_MAX];
        let is_name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        name.iter().all(is_name_byte).then_some(Self { bytes, len: name.len() as u8 })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for RidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What the publisher's worker has measured of one encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Its name in the offer.
    pub rid: RidName,
    /// What it is encoded with; `None` where nothing was measured.
    pub codec: Option<Codec>,
    /// Bits a second that a viewer is sent of it, of the whole UDP payload: the mean of the last two seconds in which it
    /// sent. Zero before half a second has passed.
    pub bits_per_second: u32,
    /// Pictures a second, of the same time.
    pub frames_per_second: u8,
    /// Width of its newest key frame in pixels; zero where that is not known.
    pub width: u16,
    /// Height of it; zero where that is not known.
    pub height: u16,
    /// Whether it is being sent. One that the publisher has paused, or that nothing came of for a second, is not.
    pub alive: bool,
}

/// One encoding on a ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rung {
    /// Which.
    pub encoding: EncodingId,
    /// What it is encoded with.
    pub codec: Option<Codec>,
    /// See [`Measured::bits_per_second`].
    pub bits_per_second: u32,
    /// Pixels; zero where not known.
    pub width: u16,
    /// Pixels; zero where not known.
    pub height: u16,
    /// Whether it is being sent.
    pub alive: bool,
}

impl Rung {
    /// The rung of an encoding of which that was measured.
    #[must_use]
    pub const fn new(encoding: EncodingId, measured: &Measured) -> Self {
        let Measured { codec, bits_per_second, width, height, alive, .. } = *measured;
        Self { encoding, codec, bits_per_second, width, height, alive }
    }

    /// Rates of equal pictures come close to each other and cross; sizes do not.
    const fn order(&self) -> (u32, u32, EncodingId) {
        (self.width as u32 * self.height as u32, self.bits_per_second, self.encoding)
    }
}

/// The encodings of one track that its publisher has sent so far, ascending by picture size, then by rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    rungs: [Rung; limits::ENCODINGS_PER_TRACK_MAX],
    len: u8,
}

impl Ladder {
    /// Adds a rung in its place; one more than a track may have is left out.
    fn add(&mut self, rung: Rung) {
        let len = usize::from(self.len);
        let Some(free) = self.rungs.get_mut(len) else { return };
        *free = rung;
        self.len += 1;
        if let Some(rungs) = self.rungs.get_mut(..=len) {
            rungs.sort_unstable_by_key(Rung::order);
        }
    }

    /// The rungs, the lowest first.
    #[must_use]
    pub fn rungs(&self) -> &[Rung] {
        self.rungs.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The rungs that are being sent, the lowest first.
    pub fn living(&self) -> impl DoubleEndedIterator<Item = &Rung> {
        self.rungs().iter().filter(|rung| rung.alive)
    }

    /// The rungs of one codec, where the picture is sent in two: the first in the publisher's order that `decodes` and that is
    /// being sent, else the first that `decodes`. All rungs where they are of one codec anyway, or none of two is decoded: it is
    /// told then what there is.
    #[must_use]
    pub fn of_one_codec(&self, decodes: impl Fn(Codec) -> bool) -> Self {
        let Some((first, others)) = self.rungs().split_first() else { return *self };
        if others.iter().all(|other| other.codec == first.codec) {
            return *self;
        }
        let decoded = self.rungs().iter().filter(|rung| rung.codec.is_some_and(&decodes));
        let Some(best) = decoded.min_by_key(|rung| (!rung.alive, rung.encoding)) else { return *self };
        self.rungs().iter().filter(|rung| rung.codec == best.codec).copied().collect()
    }

    /// Whether there is something to choose from, now or when paused encodings come back.
    #[must_use]
    pub const fn is_simulcast(&self) -> bool {
        self.len > 1
    }

    /// An encoding's rung; `None` for one that was never sent.
    #[must_use]
    pub fn rung(&self, encoding: EncodingId) -> Option<&Rung> {
        self.rungs().iter().find(|rung| rung.encoding == encoding)
    }

    /// Where a viewer begins of whose network nothing is known: in the middle, of two at the lower one. A paused rung is
    /// counted, so that nobody moves because another one pauses. `None` before anything was sent.
    #[must_use]
    pub fn start(&self) -> Option<EncodingId> {
        let middle = self.rungs().get(self.rungs().len().checked_sub(1)? / 2)?;
        Some(middle.encoding)
    }

    /// What is sent in place of `encoding`: itself while it lives, else the next lower one that does, else the next higher.
    /// `None` where none lives.
    #[must_use]
    pub fn stand_in(&self, encoding: EncodingId) -> Option<EncodingId> {
        let at = self.rungs().iter().position(|rung| rung.encoding == encoding).unwrap_or_default();
        let (below, above) = self.rungs().split_at_checked(at + 1).unwrap_or((self.rungs(), &[]));
        let lower = below.iter().rev().find(|rung| rung.alive);
        lower.or_else(|| above.iter().find(|rung| rung.alive)).map(|rung| rung.encoding)
    }
}

impl FromIterator<Rung> for Ladder {
    fn from_iter<I: IntoIterator<Item = Rung>>(rungs: I) -> Self {
        let mut ladder = Self::default();
        rungs.into_iter().for_each(|rung| ladder.add(rung));
        ladder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::store::numbers::TrackId;

    fn id(rid: usize) -> EncodingId {
        TrackId::new(1).unwrap().encoding(rid).unwrap()
    }

    fn rung(rid: usize, height: u16, kbps: u32, alive: bool) -> Rung {
        let width = height / 9 * 16;
        Rung { encoding: id(rid), codec: Some(Codec::H264), bits_per_second: kbps * 1_000, width, height, alive }
    }

    /// As OBS offers them: the largest first.
    fn ladder(alive: [bool; 3]) -> Ladder {
        [rung(0, 720, 2_500, alive[0]), rung(1, 360, 500, alive[1]), rung(2, 180, 150, alive[2])].into_iter().collect()
    }

    #[test]
    fn rungs_ascend_by_picture_size_then_by_rate() {
        let order = |ladder: &Ladder| ladder.rungs().iter().map(|rung| rung.encoding.rid()).collect::<Vec<_>>();
        assert_eq!(order(&ladder([true; 3])), [2, 1, 0]);
        // A still picture may take less in a larger size.
        let still: Ladder = [rung(0, 720, 90, true), rung(1, 360, 110, true)].into_iter().collect();
        assert_eq!(order(&still), [1, 0]);
        let equal: Ladder = [rung(0, 720, 2_000, true), rung(1, 720, 700, true)].into_iter().collect();
        assert_eq!(order(&equal), [1, 0]);
        let too_many: Ladder = (0..4).chain(0..4).map(|rid| rung(rid, 180, 100, true)).collect();
        assert_eq!(too_many.rungs().len(), limits::ENCODINGS_PER_TRACK_MAX);
    }

    #[test]
    fn a_viewer_begins_in_the_middle_whether_others_are_paused_or_not() {
        assert_eq!(Ladder::default().start(), None);
        for alive in [[true; 3], [false, true, true], [false, false, true], [false; 3]] {
            assert_eq!(ladder(alive).start(), Some(id(1)), "{alive:?}");
        }
        let two: Ladder = [rung(0, 180, 150, true), rung(1, 720, 2_500, true)].into_iter().collect();
        assert_eq!(two.start(), Some(id(0)));
        assert!(two.is_simulcast() && !Ladder::default().is_simulcast());
    }

    #[test]
    fn a_rung_that_stops_is_stood_in_for_by_the_next_lower_that_lives_else_by_a_higher() {
        for (alive, wanted, expected) in [
            ([true; 3], 0, Some(0)),
            ([false, true, true], 0, Some(1)),
            ([false, false, true], 0, Some(2)),
            ([true, false, true], 1, Some(2)),
            ([true, false, false], 1, Some(0)),
            ([true, true, false], 2, Some(1)),
            ([false; 3], 2, None),
            // One that this publisher does not have.
            ([true; 3], 3, Some(2)),
            ([true, false, false], 3, Some(0)),
        ] {
            assert_eq!(ladder(alive).stand_in(id(wanted)), expected.map(id), "{alive:?} {wanted}");
        }
        assert_eq!(ladder([false, true, true]).living().count(), 2);
        assert_eq!(ladder([true; 3]).rung(id(1)).map(|rung| rung.height), Some(360));
    }

    #[test]
    fn of_two_codecs_a_viewer_has_the_rungs_of_the_first_that_it_decodes_and_that_is_sent() {
        let twin = |alive| Rung { codec: Some(Codec::Vp8), ..rung(3, 360, 600, alive) };
        let both = |alive: [bool; 3], twin_alive| -> Ladder {
            ladder(alive).rungs().iter().copied().chain([twin(twin_alive)]).collect()
        };
        let rids = |ladder: Ladder| ladder.rungs().iter().map(|rung| rung.encoding.rid()).collect::<Vec<_>>();
        let ladder_of =
            |codecs: &'static [Codec]| move |ladder: Ladder| rids(ladder.of_one_codec(|c| codecs.contains(&c)));
        let (all, only_vp8) = (ladder_of(&[Codec::Vp8, Codec::H264]), ladder_of(&[Codec::Vp8, Codec::Av1]));
        assert_eq!(all(both([true; 3], true)), [2, 1, 0]);
        assert_eq!(only_vp8(both([true; 3], true)), [3]);
        assert_eq!(all(both([false, false, true], true)), [2, 1, 0], "one that lives is enough");
        assert_eq!(all(both([false; 3], true)), [3], "the first is not sent");
        assert_eq!(all(both([false; 3], false)), [2, 1, 0], "neither is");
        assert_eq!(only_vp8(both([true; 3], false)), [3], "the other would be of no use");
        let neither = ladder_of(&[Codec::Av1])(both([true; 3], true));
        assert_eq!(neither.len(), 4, "the viewer is told what there is");
        assert_eq!(ladder_of(&[Codec::Av1])(ladder([true; 3])), [2, 1, 0], "one codec");
        assert_eq!(all(Ladder::default()), [0; 0]);
    }

    #[test]
    fn a_rid_is_letters_digits_and_dashes_of_a_bounded_length() {
        for name in ["", "h", "0", "full_hd-1", "abcdefghijklmnop"] {
            assert_eq!(RidName::new(name.as_bytes()).unwrap().as_str(), name);
        }
        for name in ["a b", "ä", "abcdefghijklmnopq", "a;b", "\0"] {
            assert_eq!(RidName::new(name.as_bytes()), None, "{name}");
        }
    }
}

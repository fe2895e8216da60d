//! The running numbers of VP8 and VP9 payload descriptors: where they lie, and how they are rewritten in place.
//!
//! | | VP8 (RFC 7741 §4.2) | VP9 (RFC 9628 §4.2) |
//! |---|---|---|
//! | picture | PictureID, 7 or 15 bits | picture ID, 7 or 15 bits |
//! | base layer | TL0PICIDX, 8 bits | TL0PICIDX, 8 bits, in non-flexible mode |
//! | key frame | KEYIDX, 5 bits | none |
//!
//! A number keeps its width, so a payload keeps its length. 7 bits are the lower ones of 15: what is added is one number for both,
//! and a sender may go from one to the other (RFC 7741 §4.2).
//!
//! Not here: AV1, whose frame numbers are in a header extension (the dependency descriptor) that no viewer is sent.

use super::Codec;

/// What is added to each number, in its width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NumberShift {
    /// To the picture's number, modulo 2^15.
    pub picture: u16,
    /// To TL0PICIDX.
    pub base_layer: u8,
    /// To KEYIDX, modulo 2^5.
    pub key_frame: u8,
}

/// The numbers of one payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureNumbers {
    /// The picture's, and whether it has 15 bits.
    pub picture: Option<(u16, bool)>,
    /// TL0PICIDX.
    pub base_layer: Option<u8>,
    /// KEYIDX.
    pub key_frame: Option<u8>,
}

impl PictureNumbers {
    /// As [`rewrite`] leaves them.
    #[must_use]
    pub fn moved(self, shift: NumberShift) -> Self {
        let mask = |is_long: bool| if is_long { 0x7fff } else { 0x7f };
        Self {
            picture: self.picture.map(|(number, long)| (number.wrapping_add(shift.picture) & mask(long), long)),
            base_layer: self.base_layer.map(|number| number.wrapping_add(shift.base_layer)),
            key_frame: self.key_frame.map(|number| number.wrapping_add(shift.key_frame) & 31),
        }
    }

    /// What is to be added to the numbers of `first`, a picture that begins anew, for it to come next. Nothing to a number that only
    /// one of the two has.
    #[must_use]
    pub fn shift_to_next(self, first: Self) -> NumberShift {
        let next = |(last, first): (u8, u8)| last.wrapping_add(1).wrapping_sub(first);
        let picture = self.picture.zip(first.picture);
        let picture = picture.map_or(0, |((last, _), (first, _))| last.wrapping_add(1).wrapping_sub(first) & 0x7fff);
        NumberShift {
            picture,
            base_layer: self.base_layer.zip(first.base_layer).map_or(0, next),
            key_frame: self.key_frame.zip(first.key_frame).map_or(0, next) & 31,
        }
    }
}

/// Where the numbers lie in a payload.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    picture: Option<(usize, bool)>,
    base_layer: Option<usize>,
    key_frame: Option<usize>,
}

impl Places {
    fn of(codec: Codec, payload: &[u8]) -> Option<Self> {
        match codec {
            Codec::Vp8 => Self::of_vp8(payload),
            Codec::Vp9 => Self::of_vp9(payload),
            Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Opus | Codec::Red => None,
        }
    }

    fn of_vp8(payload: &[u8]) -> Option<Self> {
        let mut this = Self::default();
        if payload.first()? & 0x80 == 0 {
            return Some(this);
        }
        let extended = *payload.get(1)?;
        let mut at = 2_usize;
        if extended & 0x80 != 0 {
            let long = payload.get(at)? & 0x80 != 0;
            this.picture = Some((at, long));
            at = at.saturating_add(1).saturating_add(usize::from(long));
        }
        if extended & 0x40 != 0 {
            this.base_layer = Some(at);
            at = at.saturating_add(1);
        }
        if extended & 0x30 != 0 {
            this.key_frame = (extended & 0x10 != 0).then_some(at);
            at = at.saturating_add(1);
        }
        payload.get(at.checked_sub(1)?).is_some().then_some(this)
    }

    fn of_vp9(payload: &[u8]) -> Option<Self> {
        let mut this = Self::default();
        let first = *payload.first()?;
        let mut at = 1_usize;
        if first & 0x80 != 0 {
            let long = payload.get(at)? & 0x80 != 0;
            this.picture = Some((at, long));
            at = at.saturating_add(1).saturating_add(usize::from(long));
        }
        if first & 0x20 != 0 {
            at = at.saturating_add(1);
            if first & 0x10 == 0 {
                this.base_layer = Some(at);
                at = at.saturating_add(1);
            }
        }
        payload.get(at.checked_sub(1)?).is_some().then_some(this)
    }
}

/// Reads the numbers of a payload; `None` for a codec that has none and a descriptor that is cut short.
#[must_use]
pub fn read(codec: Codec, payload: &[u8]) -> Option<PictureNumbers> {
    let places = Places::of(codec, payload)?;
    let picture = match places.picture {
        Some((at, true)) => Some((u16::from_be_bytes(*payload.get(at..)?.first_chunk()?) & 0x7fff, true)),
        Some((at, false)) => Some((u16::from(*payload.get(at)?), false)),
        None => None,
    };
    let byte = |at: Option<usize>| at.and_then(|at| payload.get(at)).copied();
    let key_frame = byte(places.key_frame).map(|byte| byte & 0x1f);
    Some(PictureNumbers { picture, base_layer: byte(places.base_layer), key_frame })
}

/// Adds `shift` to the numbers of a payload. What cannot be read stays as it is.
pub fn rewrite(codec: Codec, payload: &mut [u8], shift: NumberShift) {
    let Some(places) = Places::of(codec, payload) else { return };
    match places.picture {
        Some((at, true)) => {
            if let Some(bytes) = payload.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) {
                *bytes = (u16::from_be_bytes(*bytes).wrapping_add(shift.picture) | 0x8000).to_be_bytes();
            }
        }
        Some((at, false)) => {
            if let Some(byte) = payload.get_mut(at) {
                *byte = byte.wrapping_add(shift.picture as u8) & 0x7f;
            }
        }
        None => {}
    }
    if let Some(byte) = places.base_layer.and_then(|at| payload.get_mut(at)) {
        *byte = byte.wrapping_add(shift.base_layer);
    }
    if let Some(byte) = places.key_frame.and_then(|at| payload.get_mut(at)) {
        *byte = *byte & 0xe0 | byte.wrapping_add(shift.key_frame) & 0x1f;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::vp8::Vp8Descriptor;
    use super::super::vp9::Vp9Descriptor;
    use super::*;

    #[test]
    fn every_number_of_vp8_is_rewritten_in_its_width() {
        // RFC 7741 §4.2, all extensions, long PictureID 0x7fff.
        let mut payload = [0xb5, 0xf0, 0xff, 0xff, 0xff, 0xb1 | 0x20, 0x77];
        rewrite(Codec::Vp8, &mut payload, NumberShift { picture: 2, base_layer: 3, key_frame: 15 });
        assert_eq!(payload, [0xb5, 0xf0, 0x80, 0x01, 0x02, 0xa0 | 0x20, 0x77]);
        let mut short = [0x90, 0x80, 0x7f, 0x01];
        rewrite(Codec::Vp8, &mut short, NumberShift { picture: 0x4002, ..NumberShift::default() });
        assert_eq!(short, [0x90, 0x80, 0x01, 0x01]);
    }

    #[test]
    fn vp9_in_flexible_mode_has_no_base_layer_number() {
        let shift = NumberShift { picture: 1, base_layer: 1, key_frame: 1 };
        let mut flexible = [0xb8, 0x81, 0x02, 0x20, 0x07];
        rewrite(Codec::Vp9, &mut flexible, shift);
        assert_eq!(flexible, [0xb8, 0x81, 0x03, 0x20, 0x07]);
        let mut other = [0xa8, 0x81, 0x02, 0x20, 0xff];
        rewrite(Codec::Vp9, &mut other, shift);
        assert_eq!(other, [0xa8, 0x81, 0x03, 0x20, 0x00]);
    }

    #[test]
    fn what_is_cut_short_or_of_another_codec_stays_as_it_is() {
        let shift = NumberShift { picture: 1, base_layer: 1, key_frame: 1 };
        let vp8 = [0xb5, 0xf0, 0x92, 0x34, 0x56, 0xb1];
        for len in 0..vp8.len() {
            let mut cut = vp8;
            rewrite(Codec::Vp8, &mut cut[..len], shift);
            assert_eq!(cut, vp8, "{len} bytes");
            assert_eq!(read(Codec::Vp8, &vp8[..len]), None);
        }
        let vp9 = [0xa8, 0x81, 0x02, 0x20, 0x07];
        for len in 0..vp9.len() {
            let mut cut = vp9;
            rewrite(Codec::Vp9, &mut cut[..len], shift);
            assert_eq!(cut, vp9, "{len} bytes");
        }
        for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::Opus] {
            let mut payload = vp8;
            rewrite(codec, &mut payload, shift);
            assert_eq!((payload, read(codec, &payload)), (vp8, None));
        }
    }

    proptest! {
        #[test]
        fn the_parsers_read_the_shifted_numbers_and_nothing_else_changed(
            payload in prop::collection::vec(any::<u8>(), 0..16),
            (picture, base_layer, key_frame) in any::<(u16, u8, u8)>(),
        ) {
            let shift = NumberShift { picture, base_layer, key_frame };
            check_rewriting(&payload, shift);
        }
    }

    fn moved(id: Option<u16>, long: bool, by: u16) -> Option<u16> {
        id.map(|id| id.wrapping_add(by) & if long { 0x7fff } else { 0x7f })
    }

    fn check_rewriting(payload: &[u8], shift: NumberShift) {
        let mut rewritten = payload.to_vec();
        rewrite(Codec::Vp8, &mut rewritten, shift);
        match (Vp8Descriptor::parse(payload), Vp8Descriptor::parse(&rewritten)) {
            (Some((before, rest)), Some((after, rest_after))) => {
                assert_eq!(rest, rest_after);
                let expected = Vp8Descriptor {
                    picture_id: moved(before.picture_id, before.picture_id_long, shift.picture),
                    tl0_picture_index: before.tl0_picture_index.map(|index| index.wrapping_add(shift.base_layer)),
                    key_index: before.key_index.map(|index| index.wrapping_add(shift.key_frame) & 0x1f),
                    ..before
                };
                assert_eq!(after, expected);
                let numbers = read(Codec::Vp8, payload).unwrap();
                assert_eq!(numbers.picture, before.picture_id.map(|id| (id, before.picture_id_long)));
                assert_eq!((numbers.base_layer, numbers.key_frame), (before.tl0_picture_index, before.key_index));
            }
            (None, None) => assert_eq!(payload, rewritten),
            other => panic!("{other:?}"),
        }
        let mut rewritten = payload.to_vec();
        rewrite(Codec::Vp9, &mut rewritten, shift);
        if let Some((before, rest)) = Vp9Descriptor::parse(payload) {
            let (after, rest_after) = Vp9Descriptor::parse(&rewritten).unwrap();
            let expected = Vp9Descriptor {
                picture_id: moved(before.picture_id, before.picture_id_long, shift.picture),
                tl0_picture_index: before.tl0_picture_index.map(|index| index.wrapping_add(shift.base_layer)),
                ..before
            };
            assert_eq!((after, rest_after), (expected, rest));
        }
    }
}

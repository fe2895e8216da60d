//! What of a viewer's packets differs from the stored ones behind the RTP header: the running numbers in VP8 and VP9 payload
//! descriptors, and the marker bit where spatial layers are left out.
//!
//! Every encoding counts its pictures by itself. Decoders take a jump in these numbers for a loss, and wait (VP8), or give up what
//! comes as older than what they have. So a viewer that goes over to another encoding has its numbers continued, and one that is
//! sent fewer temporal layers of VP8 has them closed over what is left out. In VP9 gaps are allowed there (RFC 9628 §4.2), and
//! must stay: references in flexible mode are differences of picture IDs.
//!
//! A [`Renumbering`] belongs to a run of the [`super::rewriter`] and is four bytes. It says all that is done to a packet, so a
//! repeat is the same packet. Where it is [`Renumbering::NONE`], which it is for every viewer that never switched and is sent all
//! layers, payloads are sealed straight from the ring.

use crate::wire::bytes::{ImportError, StateReader, StateWriter};
use crate::wire::codec::picture_numbers::{self, NumberShift};
use crate::wire::codec::{Codec, vp9};

/// What is done to the packets of one run.
///
/// ```text
///  31 30 | 29 28 | 27 … 23 | 22 … 15 | 14 … 0
///  codec | cap   | KEYIDX  | TL0     | picture     each is added; cap is the highest spatial layer + 1, 0 without
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renumbering(u32);

const TL0_AT: u32 = 15;
const KEY_AT: u32 = 23;
const CAP_AT: u32 = 28;
const CODEC_AT: u32 = 30;

impl Renumbering {
    /// Packets go out as they are stored.
    pub const NONE: Self = Self(0);

    /// Whether packets go out as they are stored.
    #[inline]
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    fn new(codec: Codec, shift: NumberShift, highest_spatial: Option<u8>) -> Self {
        let codec = match codec {
            Codec::Vp8 => 1,
            Codec::Vp9 => 2,
            Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Opus | Codec::Red => return Self::NONE,
        };
        let NumberShift { picture, base_layer, key_frame } = shift;
        let numbers =
            u32::from(picture & 0x7fff) | u32::from(base_layer) << TL0_AT | u32::from(key_frame & 31) << KEY_AT;
        let cap = highest_spatial.filter(|&highest| highest < 3).map_or(0, |highest| u32::from(highest) + 1);
        if numbers == 0 && cap == 0 {
            return Self::NONE;
        }
        Self(numbers | cap << CAP_AT | codec << CODEC_AT)
    }

    const fn codec(self) -> Option<Codec> {
        match self.0 >> CODEC_AT {
            1 => Some(Codec::Vp8),
            2 => Some(Codec::Vp9),
            _ => None,
        }
    }

    const fn shift(self) -> NumberShift {
        NumberShift {
            picture: (self.0 & 0x7fff) as u16,
            base_layer: (self.0 >> TL0_AT) as u8,
            key_frame: (self.0 >> KEY_AT & 31) as u8,
        }
    }

    /// The highest spatial layer that is sent, where others are left out.
    #[must_use]
    pub const fn highest_spatial(self) -> Option<u8> {
        match self.0 >> CAP_AT & 3 {
            0 => None,
            cap => Some(cap as u8 - 1),
        }
    }

    /// For an encoding whose first picture begins with the payload `first`, behind `last`, which went out so as this says.
    #[must_use]
    pub fn continued(self, codec: Codec, last: &[u8], first: &[u8]) -> Self {
        let both = picture_numbers::read(codec, last).zip(picture_numbers::read(codec, first));
        let Some((last, first)) = both else { return Self::NONE };
        // A run of another codec says nothing of these numbers.
        let sent = if self.codec() == Some(codec) { self.shift() } else { NumberShift::default() };
        let shift = last.moved(sent).shift_to_next(first);
        Self::new(codec, shift, self.highest_spatial())
    }

    /// For what comes after one picture of VP8 that was left out.
    #[must_use]
    pub fn with_a_picture_less(self) -> Self {
        let NumberShift { picture, base_layer, key_frame } = self.shift();
        let shift = NumberShift { picture: picture.wrapping_sub(1), base_layer, key_frame };
        Self::new(Codec::Vp8, shift, self.highest_spatial())
    }

    /// The same, where spatial layers of VP9 above `highest` are left out, or none are.
    #[must_use]
    pub fn with_highest_spatial(self, highest: Option<u8>) -> Self {
        Self::new(Codec::Vp9, self.shift(), highest)
    }

    /// Does it to a packet whose header lies at the start of `header`. Returns the payload to seal: the one given, or a copy of it
    /// in `copy`, which is as long as any payload.
    pub fn apply<'a>(self, header: &mut [u8], payload: &'a [u8], copy: &'a mut [u8]) -> Option<&'a [u8]> {
        self.move_marker(header, payload);
        if self.0 & ((1 << CAP_AT) - 1) == 0 {
            return Some(payload);
        }
        let copy = copy.get_mut(..payload.len())?;
        copy.copy_from_slice(payload);
        self.rewrite(copy);
        Some(copy)
    }

    /// As [`Self::apply`], to a payload that is a copy already.
    pub fn apply_in_place(self, header: &mut [u8], payload: &mut [u8]) {
        self.move_marker(header, payload);
        self.rewrite(payload);
    }

    /// The marker bit (RFC 3550 §5.1) goes to the last packet of the picture that is sent.
    fn move_marker(self, header: &mut [u8], payload: &[u8]) {
        if let Some(highest) = self.highest_spatial()
            && vp9::ends_layer(payload, highest)
            && let Some(byte) = header.get_mut(1)
        {
            *byte |= 0x80;
        }
    }

    fn rewrite(self, payload: &mut [u8]) {
        if let Some(codec) = self.codec() {
            picture_numbers::rewrite(codec, payload, self.shift());
        }
    }

    /// Writes it.
    pub fn export(self, out: &mut StateWriter) {
        out.u32(self.0);
    }

    /// Reads what [`Self::export`] wrote.
    ///
    /// # Errors
    /// It is cut short, or no renumbering is so.
    pub fn import(from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        let this = Self(from.u32()?);
        let is_whole = this.codec().is_some() && this.0 & ((1 << CODEC_AT) - 1) != 0;
        if this.is_none() || is_whole { Ok(this) } else { Err(ImportError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bytes::StateBytes;

    /// VP8 with all numbers; a key frame's first packet.
    fn vp8(picture: u16, tl0: u8, key: u8) -> Vec<u8> {
        let [high, low] = (picture | 0x8000).to_be_bytes();
        vec![0x90, 0xf0, high, low, tl0, key, 0x00]
    }

    fn numbers(renumbering: Renumbering, mut payload: Vec<u8>) -> (u16, u8, u8) {
        renumbering.rewrite(&mut payload);
        let numbers = picture_numbers::read(Codec::Vp8, &payload).unwrap();
        (numbers.picture.unwrap().0, numbers.base_layer.unwrap(), numbers.key_frame.unwrap())
    }

    #[test]
    fn an_encoding_goes_on_where_the_one_before_it_was() {
        let first = Renumbering::NONE.continued(Codec::Vp8, &vp8(0x7fff, 255, 31), &vp8(4_000, 7, 3));
        assert!(!first.is_none());
        assert_eq!(numbers(first, vp8(4_000, 7, 3)), (0, 0, 0));
        assert_eq!(numbers(first, vp8(4_010, 9, 4)), (10, 2, 1));
        // And back: what was sent last is counted as the viewer got it.
        let second = first.continued(Codec::Vp8, &vp8(4_010, 9, 4), &vp8(90, 1, 1));
        assert_eq!(numbers(second, vp8(90, 1, 1)), (11, 3, 2));
    }

    #[test]
    fn seven_bits_go_on_as_fifteen_and_back() {
        let short = |picture: u8| vec![0x90, 0x80, picture, 0x00];
        let first = Renumbering::NONE.continued(Codec::Vp8, &short(127), &vp8(4_000, 7, 3));
        assert_eq!(numbers(first, vp8(4_000, 7, 3)).0, 128);
        let mut back = short(5);
        first.continued(Codec::Vp8, &vp8(4_001, 7, 3), &short(5)).rewrite(&mut back);
        assert_eq!(back, short(2), "130 in seven bits");
    }

    #[test]
    fn a_picture_of_vp8_that_is_left_out_leaves_no_gap() {
        let less = Renumbering::NONE.with_a_picture_less().with_a_picture_less();
        assert_eq!(numbers(less, vp8(1, 7, 3)), (0x7fff, 7, 3));
    }

    #[test]
    fn where_spatial_layers_are_left_out_the_highest_that_is_sent_ends_the_picture() {
        let capped = Renumbering::NONE.with_highest_spatial(Some(0));
        assert_eq!((capped.is_none(), capped.highest_spatial()), (false, Some(0)));
        // E, spatial layers 0 and 1; not flexible.
        for (renumbering, payload, marked) in [
            (capped, [0x24, 0x00, 0x00, 0xaa], true),
            (capped, [0x24, 0x02, 0x00, 0xaa], false),
            (capped, [0x28, 0x00, 0x00, 0xaa], false),
            (Renumbering::NONE, [0x24, 0x00, 0x00, 0xaa], false),
        ] {
            let (mut header, mut copy) = ([0x80, 96], [0; 8]);
            let sealed = renumbering.apply(&mut header, &payload, &mut copy).unwrap();
            assert_eq!((sealed.as_ptr(), header[1] & 0x80 != 0), (payload.as_ptr(), marked), "no copy is made");
            let (mut again, mut payload) = ([0x80, 96], payload);
            renumbering.apply_in_place(&mut again, &mut payload);
            assert_eq!(again, header);
        }
        assert!(capped.with_highest_spatial(None).is_none());
        assert!(Renumbering::NONE.with_highest_spatial(Some(3)).is_none(), "there is none above");
    }

    #[test]
    fn codecs_without_such_numbers_are_left_alone_and_another_codec_begins_anew() {
        assert!(Renumbering::NONE.continued(Codec::H264, &vp8(1, 1, 1), &vp8(9, 9, 9)).is_none());
        let first = Renumbering::NONE.continued(Codec::Vp8, &vp8(1, 1, 1), &vp8(9, 9, 9));
        let vp9 = |picture: u8| [0x80, picture, 0x00];
        let mut payload = vp9(50);
        first.continued(Codec::Vp9, &vp9(20), &vp9(50)).rewrite(&mut payload);
        assert_eq!(payload, vp9(21));
        assert!(first.continued(Codec::Vp8, &[], &vp8(9, 9, 9)).is_none(), "nothing can be read of it");
    }

    #[test]
    fn the_copy_is_rewritten_and_what_is_stored_is_not() {
        let renumbering = Renumbering::NONE.with_a_picture_less();
        let (stored, mut copy) = (vp8(5, 7, 3), [0; 16]);
        assert_eq!(renumbering.apply(&mut [0; 12], &stored, &mut copy), Some(&vp8(4, 7, 3)[..]));
        assert_eq!(renumbering.apply(&mut [0; 12], &stored, &mut [0; 3]), None);
    }

    #[test]
    fn it_is_kept_as_it_was() {
        let some = Renumbering::NONE.continued(Codec::Vp8, &vp8(1, 1, 1), &vp8(9, 9, 9)).with_a_picture_less();
        for before in [Renumbering::NONE, some, Renumbering::NONE.with_highest_spatial(Some(1))] {
            let mut out = StateWriter::default();
            before.export(&mut out);
            assert_eq!(import(&out.finish()), Ok(before));
        }
        for bits in [1_u32, 1 << 30, 3 << 30 | 1] {
            let mut out = StateWriter::default();
            out.u32(bits);
            assert_eq!(import(&out.finish()), Err(ImportError::Malformed));
        }
    }

    fn import(bytes: &StateBytes) -> Result<Renumbering, ImportError> {
        Renumbering::import(&mut StateReader::new(bytes.as_slice()))
    }
}

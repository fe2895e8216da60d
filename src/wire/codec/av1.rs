//! AV1 payloads (RTP Payload Format for AV1, v1.0.0): the aggregation header and the OBU elements it describes.
//!
//! Left out: the dependency descriptor extension, and all of an OBU but its header, and of a sequence header all but
//! the size (`picture_size.rs`).

use super::{LayerIds, PayloadHints};
use crate::wire::cursor::Reader;

/// OBU types (AV1 bitstream specification §6.2.2).
mod obu_type {
    pub(super) const SEQUENCE_HEADER: u8 = 1;
    pub(super) const FRAME_HEADER: u8 = 3;
    pub(super) const FRAME: u8 = 6;
}

/// The aggregation header (§4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregationHeader {
    /// Z: the first element continues an OBU of the packet before.
    pub continues_previous: bool,
    /// Y: the last element is continued in the next packet.
    pub continues_in_next: bool,
    /// W: number of elements, 1 to 3; 0 means every element has a length.
    pub element_count: u8,
    /// N: a coded video sequence begins: a key frame with its sequence header.
    pub new_sequence: bool,
}

impl AggregationHeader {
    const fn from_bits(bits: u8) -> Self {
        Self {
            continues_previous: bits & 0x80 != 0,
            continues_in_next: bits & 0x40 != 0,
            element_count: bits >> 4 & 3,
            new_sequence: bits & 0x08 != 0,
        }
    }

    /// Reads the header; returned with the elements that follow.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<(Self, ObuElements<'_>)> {
        let (&bits, rest) = payload.split_first()?;
        let this = Self::from_bits(bits);
        // The count reaches 1 at the element without a length. A count of 0 never does.
        Some((this, ObuElements { reader: Reader::new(rest), left: this.element_count }))
    }
}

/// The OBU elements of a payload, in order; ends at one that is cut short. The first and the last may be fragments,
/// see [`AggregationHeader`].
#[derive(Clone, Copy, Debug)]
pub struct ObuElements<'a> {
    reader: Reader<'a>,
    left: u8,
}

impl<'a> Iterator for ObuElements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut ahead = std::mem::replace(&mut self.reader, Reader::new(&[]));
        if ahead.is_empty() {
            return None;
        }
        let len = if self.left == 1 { ahead.rest().len() } else { leb128(&mut ahead)? };
        let element = ahead.take(len)?;
        self.left = self.left.saturating_sub(1);
        self.reader = ahead;
        Some(element)
    }
}

/// AV1 bitstream specification §4.10.5: little-endian groups of seven bits, at most eight bytes.
fn leb128(reader: &mut Reader<'_>) -> Option<usize> {
    let mut value = 0_u64;
    for shift in (0..56).step_by(7) {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

/// The type and the spatial layer in an OBU's header (AV1 bitstream specification §5.3.2).
const fn obu_type_and_layer(element: &[u8]) -> Option<(u8, u8)> {
    match *element {
        [header, extension, ..] if header & 0x04 != 0 => Some((header >> 3 & 0x0f, extension >> 3 & 0x03)),
        [header, ..] => Some((header >> 3 & 0x0f, 0)),
        [] => None,
    }
}

/// See [`super::layer_of`]: by the extension of the first whole OBU that has one (AV1 bitstream specification §5.3.3).
pub(super) fn layer_of(payload: &[u8]) -> Option<LayerIds> {
    let (header, elements) = AggregationHeader::parse(payload)?;
    let mut whole = elements.skip(usize::from(header.continues_previous));
    whole.find_map(|element| match *element {
        [header, extension, ..] if header & 0x04 != 0 => {
            Some(LayerIds { temporal: extension >> 5, spatial: extension >> 3 & 0x03, ..LayerIds::default() })
        }
        _ => None,
    })
}

/// The first whole sequence header of a payload, without its OBU header (AV1 bitstream specification §5.3); one that is
/// continued in the next packet counts as whole, because its beginning is here.
pub(super) fn sequence_header(payload: &[u8]) -> Option<&[u8]> {
    let (header, elements) = AggregationHeader::parse(payload)?;
    let mut whole = elements.skip(usize::from(header.continues_previous));
    let obu = whole.find(|element| matches!(obu_type_and_layer(element), Some((obu_type::SEQUENCE_HEADER, _))))?;
    let mut reader = Reader::new(obu);
    let first = reader.u8()?;
    if first & 0x04 != 0 {
        reader.u8()?;
    }
    if first & 0x02 != 0 {
        leb128(&mut reader)?;
    }
    Some(reader.rest())
}

/// See [`super::inspect`]. A frame of the lowest spatial layer begins a picture; an encoder that puts hidden frames
/// into a temporal unit (none does in real time) would begin several.
pub(super) fn inspect(payload: &[u8]) -> PayloadHints {
    let Some((header, elements)) = AggregationHeader::parse(payload) else { return PayloadHints::default() };
    let whole = elements.skip(usize::from(header.continues_previous));
    let key_frame_start = header.new_sequence && !header.continues_previous;
    let mut hints = PayloadHints {
        key_frame_start,
        frame_start: key_frame_start,
        has_parameter_sets: false,
        paddable: header.continues_in_next,
    };
    for (obu_type, spatial_layer) in whole.filter_map(obu_type_and_layer) {
        match obu_type {
            obu_type::SEQUENCE_HEADER => hints.has_parameter_sets = true,
            obu_type::FRAME_HEADER | obu_type::FRAME => hints.frame_start |= spatial_layer == 0,
            _ => {}
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(payload: &[u8]) -> Vec<&[u8]> {
        AggregationHeader::parse(payload).unwrap().1.collect()
    }

    #[test]
    fn the_last_counted_element_has_no_length() {
        assert_eq!(elements(&[0x20, 2, 0x08, 1, 0x30, 2, 3]), [&[0x08, 1][..], &[0x30, 2, 3]]);
        assert_eq!(elements(&[0x10, 0x30, 2, 3]), [&[0x30, 2, 3]]);
        assert_eq!(elements(&[0x00, 2, 0x08, 1, 1, 0x30]), [&[0x08, 1][..], &[0x30]]);
    }

    #[test]
    fn elements_cut_short_end_the_packet() {
        assert_eq!(elements(&[0x00, 1, 0x08, 5, 0x30]), [&[0x08]]);
        assert!(elements(&[0x00, 0x80]).is_empty());
        // A length that never ends, and one of 2^56 - 1.
        assert!(elements(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00]).is_empty());
        assert!(elements(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]).is_empty());
        // Two bytes of length.
        let long = [&[0x00, 0x80, 0x01][..], &[0x30; 128]].concat();
        assert_eq!(elements(&long), [&[0x30; 128]]);
    }

    #[test]
    fn a_new_coded_video_sequence_is_a_key_frame() {
        // As a browser sends it: W = 2, N; sequence header, then the beginning of the frame.
        let payload = [0x68, 2, 0x08, 0x00, 0x30, 0x10, 0x00];
        let expected =
            PayloadHints { key_frame_start: true, frame_start: true, has_parameter_sets: true, paddable: true };
        assert_eq!(inspect(&payload), expected);
        assert_eq!(
            inspect(&[0x50, 0x30, 0x30]),
            PayloadHints { frame_start: true, paddable: true, ..Default::default() }
        );
    }

    #[test]
    fn continuations_do_not_begin_a_frame_whatever_their_first_byte() {
        assert_eq!(inspect(&[0xd0, 0x30, 0x30]), PayloadHints { paddable: true, ..PayloadHints::default() });
        assert_eq!(inspect(&[0x98, 0x08]), PayloadHints::default());
        // ... but a frame may begin behind one.
        assert!(inspect(&[0xa0, 1, 0xff, 0x30, 0x10]).frame_start);
    }

    #[test]
    fn a_layer_is_known_by_the_extension_of_a_whole_obu() {
        let layer = LayerIds { temporal: 2, spatial: 1, ..LayerIds::default() };
        assert_eq!(layer_of(&[0x10, 0x34, 0x48]), Some(layer));
        assert_eq!(layer_of(&[0x20, 2, 0x08, 1, 0x34, 0x48]), Some(layer), "the sequence header has none");
        assert_eq!((layer_of(&[0x10, 0x30, 0x48]), layer_of(&[0x90, 0x34, 0x48])), (None, None));
    }

    #[test]
    fn higher_spatial_layers_do_not_begin_a_frame() {
        assert!(inspect(&[0x10, 0x34, 0x00]).frame_start);
        assert!(!inspect(&[0x10, 0x34, 0x08]).frame_start);
    }
}

//! VP9 payloads (RFC 9628): the payload descriptor.
//!
//! Left out: all of the scalability structure but the size of its highest layer, and the reference differences, which are skipped.

use super::{LayerIds, PayloadHints};
use crate::wire::cursor::Reader;

/// Reference differences a descriptor may list (RFC 9628 §4.2.1).
const REFERENCES_MAX: usize = 3;

/// The payload descriptor (RFC 9628 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp9Descriptor {
    /// P: refers to earlier frames.
    pub inter_predicted: bool,
    /// F: references are listed per frame.
    pub flexible: bool,
    /// B: a layer frame begins here.
    pub frame_begin: bool,
    /// E: a layer frame ends here.
    pub frame_end: bool,
    /// Z: not a reference for higher spatial layers.
    pub not_spatial_reference: bool,
    /// Picture ID: 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// Whether the picture ID has 15 bits.
    pub picture_id_long: bool,
    /// TID
    pub temporal_id: Option<u8>,
    /// U: from here on a higher temporal layer can be decoded.
    pub switching_up_point: bool,
    /// SID
    pub spatial_id: Option<u8>,
    /// D: needs the lower spatial layer of the same picture.
    pub inter_layer_predicted: bool,
    /// TL0PICIDX, in non-flexible mode.
    pub tl0_picture_index: Option<u8>,
    /// V: the scalability structure is here.
    pub has_scalability_structure: bool,
    /// Width and height of the highest spatial layer, where the structure tells them.
    pub largest_size: Option<(u16, u16)>,
}

impl Vp9Descriptor {
    /// Reads the descriptor; returned with what follows it.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::new(payload);
        let first = reader.u8()?;
        let mut this = Self {
            inter_predicted: first & 0x40 != 0,
            flexible: first & 0x10 != 0,
            frame_begin: first & 0x08 != 0,
            frame_end: first & 0x04 != 0,
            has_scalability_structure: first & 0x02 != 0,
            not_spatial_reference: first & 0x01 != 0,
            ..Self::default()
        };
        if first & 0x80 != 0 {
            let high = reader.u8()?;
            this.picture_id_long = high & 0x80 != 0;
            this.picture_id = Some(if this.picture_id_long {
                u16::from_be_bytes([high & 0x7f, reader.u8()?])
            } else {
                u16::from(high)
            });
        }
        if first & 0x20 != 0 {
            let layers = reader.u8()?;
            this.temporal_id = Some(layers >> 5);
            this.switching_up_point = layers & 0x10 != 0;
            this.spatial_id = Some(layers >> 1 & 0x07);
            this.inter_layer_predicted = layers & 0x01 != 0;
            if !this.flexible {
                this.tl0_picture_index = Some(reader.u8()?);
            }
        }
        if this.flexible && this.inter_predicted {
            // Seven bits of difference, and N: another follows. A fourth is a violation.
            let mut listed = 0..REFERENCES_MAX;
            while reader.u8()? & 1 != 0 {
                listed.next().filter(|&index| index < REFERENCES_MAX.saturating_sub(1))?;
            }
        }
        if this.has_scalability_structure {
            this.largest_size = read_scalability_structure(&mut reader)?;
        }
        Some((this, reader.rest()))
    }

    /// Whether a picture begins here, which is where its lowest spatial layer begins.
    #[must_use]
    pub fn begins_picture(&self) -> bool {
        self.frame_begin && self.spatial_id.unwrap_or(0) == 0
    }
}

/// RFC 9628 §4.2.2: the size of the highest layer, where it is there.
fn read_scalability_structure(reader: &mut Reader<'_>) -> Option<Option<(u16, u16)>> {
    let head = reader.u8()?;
    let mut largest = None;
    if head & 0x10 != 0 {
        for _ in 0..=head >> 5 {
            largest = Some((reader.u16()?, reader.u16()?));
        }
    }
    if head & 0x08 != 0 {
        for _ in 0..reader.u8()? {
            let picture = reader.u8()?;
            reader.take(usize::from(picture >> 2 & 0x03))?;
        }
    }
    Some(largest.filter(|&(width, height)| width > 0 && height > 0))
}

/// See [`super::layer_of`]. U speaks of what comes after (RFC 9628 §4.2).
pub(super) fn layer_of(payload: &[u8]) -> Option<LayerIds> {
    let (descriptor, _) = Vp9Descriptor::parse(payload)?;
    let (temporal, spatial) = descriptor.temporal_id.zip(descriptor.spatial_id)?;
    Some(LayerIds { temporal, spatial, up_here: false, up_after: descriptor.switching_up_point })
}

/// Whether the last packet of a layer frame of spatial layer `highest` is this one: where the layers above are left out, the
/// picture ends with it.
#[must_use]
pub fn ends_layer(payload: &[u8], highest: u8) -> bool {
    Vp9Descriptor::parse(payload)
        .is_some_and(|(descriptor, _)| descriptor.frame_end && descriptor.spatial_id == Some(highest))
}

/// See [`super::inspect`].
pub(super) fn inspect(payload: &[u8]) -> PayloadHints {
    let Some((descriptor, frame)) = Vp9Descriptor::parse(payload) else { return PayloadHints::default() };
    let frame_start = descriptor.begins_picture() && !frame.is_empty();
    PayloadHints {
        key_frame_start: frame_start && !descriptor.inter_predicted,
        frame_start,
        has_parameter_sets: false,
        paddable: !descriptor.frame_end && !frame.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_packet_of_a_browser_s_key_frame_is_read() {
        // Flexible mode, 15-bit picture ID, scalability structure with one layer of 1280 × 720.
        let payload = [0x9b, 0x91, 0x05, 0x10, 0x05, 0x00, 0x02, 0xd0, 0x82, 0x49];
        let (descriptor, frame) = Vp9Descriptor::parse(&payload).unwrap();
        let expected = Vp9Descriptor {
            flexible: true,
            frame_begin: true,
            not_spatial_reference: true,
            picture_id: Some(0x1105),
            picture_id_long: true,
            has_scalability_structure: true,
            largest_size: Some((1280, 720)),
            ..Vp9Descriptor::default()
        };
        assert_eq!((descriptor, frame), (expected, &[0x82, 0x49][..]));
        let hints = inspect(&payload);
        assert!(hints.key_frame_start && hints.frame_start && hints.paddable);
    }

    #[test]
    fn every_field_of_the_non_flexible_descriptor_is_read() {
        // RFC 9628 §4.2, figure 3: I, P, L, B, E, V; 7-bit picture ID; TID 3, U, SID 2, D; a picture group.
        let payload = [0xee, 0x7f, 0x75, 0x99, 0x08, 2, 0x04, 1, 0x08, 1, 2, 0x55];
        let (descriptor, frame) = Vp9Descriptor::parse(&payload).unwrap();
        let expected = Vp9Descriptor {
            inter_predicted: true,
            frame_begin: true,
            frame_end: true,
            picture_id: Some(0x7f),
            temporal_id: Some(3),
            switching_up_point: true,
            spatial_id: Some(2),
            inter_layer_predicted: true,
            tl0_picture_index: Some(0x99),
            has_scalability_structure: true,
            ..Vp9Descriptor::default()
        };
        assert_eq!((descriptor, frame), (expected, &[0x55][..]));
        for len in 0..payload.len() - 1 {
            assert_eq!(Vp9Descriptor::parse(&payload[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn layers_and_structure_are_read_one_field_without_the_other() {
        // L: SID 4 alone, then U alone and D alone (RFC 9628 §4.2).
        let layers = |byte| Vp9Descriptor::parse(&[0x20, byte, 0x99, 0x55]).unwrap().0;
        let none = Vp9Descriptor {
            temporal_id: Some(0),
            spatial_id: Some(0),
            tl0_picture_index: Some(0x99),
            ..Vp9Descriptor::default()
        };
        assert_eq!(layers(0x08), Vp9Descriptor { spatial_id: Some(4), ..none });
        assert_eq!(layers(0x10), Vp9Descriptor { switching_up_point: true, ..none });
        assert_eq!(layers(0x01), Vp9Descriptor { inter_layer_predicted: true, ..none });
        // V: two layers with sizes; sizes of none; a group of one picture without sizes (§4.2.2).
        for structure in [&[0x30, 1, 2, 3, 4, 5, 6, 7, 8][..], &[0x20], &[0x28, 1, 0x04, 9]] {
            let payload = [&[0x02], structure, &[0x55]].concat();
            assert_eq!(Vp9Descriptor::parse(&payload).unwrap().1, [0x55], "{payload:02x?}");
        }
    }

    #[test]
    fn at_most_three_references_are_listed() {
        // RFC 9628 §4.2.1.
        assert_eq!(Vp9Descriptor::parse(&[0x50, 0x03, 0x05, 0x06, 0xaa]).unwrap().1, [0xaa]);
        assert_eq!(Vp9Descriptor::parse(&[0x50, 0x02, 0xaa]).unwrap().1, [0xaa]);
        assert_eq!(Vp9Descriptor::parse(&[0x50, 0x03, 0x05, 0x07, 0x02, 0xaa]), None);
    }

    #[test]
    fn a_layer_is_known_where_the_descriptor_has_it() {
        // T 2, U, S 1, with D; non-flexible with its TL0PICIDX.
        let layer = layer_of(&[0x28, 0x53, 0x00, 0xaa]).unwrap();
        assert_eq!(layer, LayerIds { temporal: 2, spatial: 1, up_here: false, up_after: true });
        assert_eq!(layer_of(&[0x08, 0xaa]), None);
        assert!(ends_layer(&[0x24, 0x02, 0x00, 0xaa], 1) && !ends_layer(&[0x24, 0x02, 0x00, 0xaa], 0));
        assert!(!ends_layer(&[0x28, 0x02, 0x00, 0xaa], 1) && !ends_layer(&[0x04, 0xaa], 0));
    }

    #[test]
    fn higher_spatial_layers_do_not_begin_a_key_frame() {
        assert!(inspect(&[0x28, 0x00, 0x00, 0xaa]).key_frame_start); // layer 0
        let layer_1 = inspect(&[0x28, 0x03, 0x00, 0xaa]);
        assert!(!layer_1.frame_start && !layer_1.key_frame_start);
    }

    #[test]
    fn the_end_of_a_frame_is_not_paddable() {
        assert!(inspect(&[0x48, 0xaa]).paddable && inspect(&[0x40, 0xaa]).paddable);
        assert!(!inspect(&[0x44, 0xaa]).paddable);
        assert!(!inspect(&[0x48]).paddable);
    }
}

//! VP8 payloads (RFC 7741): the payload descriptor and the beginning of the frame header (RFC 6386 §9.1).

use super::{LayerIds, PayloadHints};
use crate::wire::cursor::Reader;

/// The payload descriptor (RFC 7741 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp8Descriptor {
    /// N: no other frame refers to this one.
    pub non_reference: bool,
    /// S: a partition begins here.
    pub partition_start: bool,
    /// PID: which partition.
    pub partition_index: u8,
    /// PictureID: 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// Whether the PictureID has 15 bits.
    pub picture_id_long: bool,
    /// TL0PICIDX
    pub tl0_picture_index: Option<u8>,
    /// TID: temporal layer.
    pub temporal_id: Option<u8>,
    /// Y: depends on the base layer only.
    pub layer_sync: bool,
    /// KEYIDX
    pub key_index: Option<u8>,
}

impl Vp8Descriptor {
    /// Reads the descriptor; returned with what follows it.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader::new(payload);
        let first = reader.u8()?;
        let mut this = Self {
            non_reference: first & 0x20 != 0,
            partition_start: first & 0x10 != 0,
            partition_index: first & 0x07,
            ..Self::default()
        };
        if first & 0x80 != 0 {
            let extended = reader.u8()?;
            if extended & 0x80 != 0 {
                let high = reader.u8()?;
                this.picture_id_long = high & 0x80 != 0;
                let low = if this.picture_id_long { Some(reader.u8()?) } else { None };
                this.picture_id = Some(match low {
                    Some(low) => u16::from_be_bytes([high & 0x7f, low]),
                    None => u16::from(high),
                });
            }
            if extended & 0x40 != 0 {
                this.tl0_picture_index = Some(reader.u8()?);
            }
            if extended & 0x30 != 0 {
                let layers = reader.u8()?;
                if extended & 0x20 != 0 {
                    this.temporal_id = Some(layers >> 6);
                    this.layer_sync = layers & 0x20 != 0;
                }
                if extended & 0x10 != 0 {
                    this.key_index = Some(layers & 0x1f);
                }
            }
        }
        Some((this, reader.rest()))
    }

    /// Whether a frame begins here (RFC 7741 §4.4).
    #[must_use]
    pub const fn begins_frame(&self) -> bool {
        self.partition_start && self.partition_index == 0
    }
}

/// Whether a frame that begins with these bytes is a key frame: the inverse of P (RFC 7741 §4.3).
fn is_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| byte & 1 == 0)
}

/// Width and height in pixels of the key frame that begins in this payload (RFC 6386 §9.1); `None` where none does.
#[must_use]
pub fn key_frame_size(payload: &[u8]) -> Option<(u16, u16)> {
    let (_, frame) = Vp8Descriptor::parse(payload).filter(|(descriptor, _)| descriptor.begins_frame())?;
    match *frame {
        // After the frame tag a start code; the upper two bits of each number are a scaling hint.
        [tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] if tag & 1 == 0 => {
            Some((u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff))
        }
        _ => None,
    }
}

/// See [`super::layer_of`]. Y says that the frame needs nothing but the base layer (RFC 7741 §4.2).
pub(super) fn layer_of(payload: &[u8]) -> Option<LayerIds> {
    let (descriptor, _) = Vp8Descriptor::parse(payload)?;
    let temporal = descriptor.temporal_id?;
    Some(LayerIds { temporal, up_here: descriptor.layer_sync && temporal > 0, ..LayerIds::default() })
}

/// See [`super::inspect`].
pub(super) fn inspect(payload: &[u8]) -> PayloadHints {
    let Some((descriptor, frame)) = Vp8Descriptor::parse(payload) else { return PayloadHints::default() };
    let frame_start = descriptor.begins_frame() && !frame.is_empty();
    PayloadHints {
        key_frame_start: frame_start && is_key_frame(frame),
        frame_start,
        has_parameter_sets: false,
        paddable: !frame.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_descriptor_is_read() {
        // RFC 7741 §4.2, all extensions, long PictureID.
        let payload = [0xb5, 0xf0, 0x92, 0x34, 0x56, 0xb1 | 0x20, 0x77];
        let (descriptor, frame) = Vp8Descriptor::parse(&payload).unwrap();
        let expected = Vp8Descriptor {
            non_reference: true,
            partition_start: true,
            partition_index: 5,
            picture_id: Some(0x1234),
            picture_id_long: true,
            tl0_picture_index: Some(0x56),
            temporal_id: Some(2),
            layer_sync: true,
            key_index: Some(0x11),
        };
        assert_eq!((descriptor, frame), (expected, &[0x77][..]));
        for len in 0..6 {
            assert_eq!(Vp8Descriptor::parse(&payload[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_layer_is_known_where_the_descriptor_has_it_and_y_counts_above_the_base_layer() {
        assert_eq!(layer_of(&[0x90, 0x80, 0x12, 0x77]), None);
        for (bits, expected) in [(0x00, (0, false)), (0x20, (0, false)), (0x60, (1, true)), (0x80, (2, false))] {
            let layer = layer_of(&[0x90, 0x20, bits, 0x77]).unwrap();
            assert_eq!(
                (layer.temporal, layer.up_here, layer.spatial, layer.up_after),
                (expected.0, expected.1, 0, false)
            );
        }
    }

    #[test]
    fn the_short_picture_id_and_no_extension_are_read() {
        let (descriptor, frame) = Vp8Descriptor::parse(&[0x90, 0x80, 0x12, 0x01]).unwrap();
        assert_eq!((descriptor.picture_id, descriptor.picture_id_long, frame), (Some(0x12), false, &[0x01][..]));
        let (descriptor, frame) = Vp8Descriptor::parse(&[0x10, 0x00]).unwrap();
        assert_eq!((descriptor.picture_id, descriptor.begins_frame(), frame), (None, true, &[0x00][..]));
    }

    #[test]
    fn extensions_are_read_one_without_the_other() {
        // RFC 7741 §4.2: T, Y and K share a byte; what is not announced in it is not read.
        let none = Vp8Descriptor { partition_start: true, ..Vp8Descriptor::default() };
        for (payload, expected) in [
            (&[0x90, 0x00, 0x77][..], none),
            (&[0x90, 0x20, 0x5f, 0x77], Vp8Descriptor { temporal_id: Some(1), ..none }),
            (&[0x90, 0x10, 0xf3, 0x77], Vp8Descriptor { key_index: Some(0x13), ..none }),
            (&[0x90, 0x40, 0x12, 0x77], Vp8Descriptor { tl0_picture_index: Some(0x12), ..none }),
        ] {
            assert_eq!(Vp8Descriptor::parse(payload), Some((expected, &[0x77][..])), "{payload:02x?}");
        }
    }

    #[test]
    fn a_key_frame_begins_once_and_tells_its_size() {
        // RFC 6386 §9.1: 1280 × 720, as a browser sends it.
        let key = [0x90, 0x80, 0xde, 0xd8, 0x10, 0x91, 0x03, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02];
        assert_eq!(key_frame_size(&key), Some((1280, 720)));
        assert_eq!(key_frame_size(&key[..13]), None);
        let hints = inspect(&key);
        assert!(hints.key_frame_start && hints.frame_start && hints.paddable);

        let mut with_start_code = key;
        with_start_code[4] |= 1;
        assert_eq!(key_frame_size(&with_start_code), None, "P: no key frame, whatever follows");

        let delta = [0x90, 0x80, 0xde, 0xd9, 0x71, 0x69];
        assert!(inspect(&delta).frame_start && !inspect(&delta).key_frame_start);
        assert_eq!(key_frame_size(&delta), None);

        // A continuation, and the start of a later partition.
        for payload in [[0x80, 0x80, 0xde, 0xd8, 0x10], [0x91, 0x80, 0xde, 0xd8, 0x10]] {
            assert!(!inspect(&payload).frame_start && !inspect(&payload).key_frame_start);
        }
    }
}

//! Width and height of a picture, out of the first bytes of what describes it: a VP8 or VP9 key frame, an H.264 or H.265
//! sequence parameter set, an AV1 sequence header.
//!
//! Read up to the size and no further. Of pictures with spatial layers it is the size of the highest. Left out: VUI and its
//! sample aspect ratio (no encoder of WebRTC sends pixels that are not square), and frames of AV1 that are smaller than their
//! sequence says.

use super::{Codec, av1, h264, h265, vp8, vp9};
use crate::wire::cursor::Reader;

/// Width and height in pixels, where this payload tells them; `None` for most.
#[must_use]
pub fn picture_size(codec: Codec, payload: &[u8]) -> Option<(u16, u16)> {
    match codec {
        Codec::H264 => h264::parameter_sets(payload).find_map(|set| match set {
            h264::ParameterSet::Sequence(unit) => of_h264(unit),
            h264::ParameterSet::Picture(_) => None,
        }),
        Codec::H265 => h265::parameter_sets(payload).find_map(|set| match set {
            h265::ParameterSet::Sequence(unit) => of_h265(unit),
            _ => None,
        }),
        Codec::Vp8 => vp8::key_frame_size(payload),
        Codec::Vp9 => {
            let (descriptor, frame) = vp9::Vp9Descriptor::parse(payload)?;
            let begins = descriptor.begins_picture() && !descriptor.inter_predicted;
            begins.then(|| descriptor.largest_size.or_else(|| of_vp9(frame)))?
        }
        Codec::Av1 => av1::sequence_header(payload).and_then(of_av1),
        Codec::Opus | Codec::Red => None,
    }
}

/// ITU-T H.264 §7.3.2.1.1.
fn of_h264(unit: &[u8]) -> Option<(u16, u16)> {
    let bits = &mut Bits::escaped(unit.get(1..)?);
    let profile = bits.take(8)?;
    bits.skip(16)?;
    bits.unsigned()?;
    let mut chroma_format = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma_format = bits.unsigned()?;
        if chroma_format == 3 {
            bits.skip(1)?;
        }
        bits.unsigned()?;
        bits.unsigned()?;
        bits.skip(1)?;
        if bits.flag()? {
            skip_scaling_lists(bits, if chroma_format == 3 { 12 } else { 8 })?;
        }
    }
    bits.unsigned()?;
    match bits.unsigned()? {
        0 => _ = bits.unsigned()?,
        1 => {
            bits.skip(1)?;
            bits.unsigned()?;
            bits.unsigned()?;
            for _ in 0..bits.unsigned()?.min(255) {
                bits.unsigned()?;
            }
        }
        _ => {}
    }
    bits.unsigned()?;
    bits.skip(1)?;
    let (width, height) = (bits.unsigned()?, bits.unsigned()?);
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let (fields, both) = if frames_only { (1, 2) } else { (2, 4) };
    let macroblocks = |count: u32| count.checked_add(1)?.checked_mul(16);
    let (width, height) = (macroblocks(width)?, macroblocks(height)?.checked_mul(fields)?);
    let (unit_x, unit_y) = match chroma_format {
        1 => (2, both),
        2 => (2, fields),
        _ => (1, fields),
    };
    cropped(bits, (width, height), (unit_x, unit_y))
}

/// ITU-T H.264 §7.3.2.1.1.1.
fn skip_scaling_lists(bits: &mut Bits<'_>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8_i32, 8_i32);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = last.checked_add(bits.signed()?)?.rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

/// ITU-T H.265 §7.3.2.2.1 and §7.3.3.
fn of_h265(unit: &[u8]) -> Option<(u16, u16)> {
    let bits = &mut Bits::escaped(unit.get(2..)?);
    bits.skip(4)?;
    let sub_layers = bits.take(3)?;
    bits.skip(1)?;
    bits.skip(96)?;
    let mut sub_layer_bits = 0;
    for _ in 0..sub_layers {
        let (profile, level) = (bits.flag()?, bits.flag()?);
        let bits_of = if profile { 88_u32 } else { 0 }.saturating_add(if level { 8 } else { 0 });
        sub_layer_bits = bits_of.saturating_add(sub_layer_bits);
    }
    if sub_layers > 0 {
        bits.skip(8_u32.saturating_sub(sub_layers).saturating_mul(2))?;
    }
    bits.skip(sub_layer_bits)?;
    bits.unsigned()?;
    let chroma_format = bits.unsigned()?;
    if chroma_format == 3 {
        bits.skip(1)?;
    }
    let size = (bits.unsigned()?, bits.unsigned()?);
    let unit = match chroma_format {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    cropped(bits, size, unit)
}

/// The flag and the four offsets of a cropping rectangle, in H.264 and in H.265.
fn cropped(bits: &mut Bits<'_>, (width, height): (u32, u32), (unit_x, unit_y): (u32, u32)) -> Option<(u16, u16)> {
    let (mut off_x, mut off_y) = (0_u32, 0_u32);
    if bits.flag()? {
        off_x = bits.unsigned()?.checked_add(bits.unsigned()?)?.checked_mul(unit_x)?;
        off_y = bits.unsigned()?.checked_add(bits.unsigned()?)?.checked_mul(unit_y)?;
    }
    size(width.checked_sub(off_x)?, height.checked_sub(off_y)?)
}

/// The uncompressed header of a key frame (VP9 bitstream specification §6.2).
fn of_vp9(frame: &[u8]) -> Option<(u16, u16)> {
    const SYNC_CODE: u32 = 0x49_8342;
    const RGB: u32 = 7;
    let bits = &mut Bits::plain(frame);
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    // An existing frame is shown again; a frame that is none of its own.
    if bits.flag()? || bits.flag()? {
        return None;
    }
    bits.skip(2)?;
    if bits.take(24)? != SYNC_CODE {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    let is_odd = profile & 1 == 1;
    if bits.take(3)? != RGB {
        bits.skip(if is_odd { 4 } else { 1 })?;
    } else if is_odd {
        bits.skip(1)?;
    }
    size(bits.take(16)?.checked_add(1)?, bits.take(16)?.checked_add(1)?)
}

/// A sequence header without its OBU header (AV1 bitstream specification §5.5).
fn of_av1(header: &[u8]) -> Option<(u16, u16)> {
    let bits = &mut Bits::plain(header);
    bits.skip(4)?;
    if bits.flag()? {
        // reduced_still_picture_header
        bits.skip(5)?;
    } else {
        let delay_bits = if bits.flag()? { timing_info(bits)? } else { None };
        let has_display_delay = bits.flag()?;
        for _ in 0..=bits.take(5)? {
            bits.skip(12)?;
            if bits.take(5)? > 7 {
                bits.skip(1)?;
            }
            if let Some(delay_bits) = delay_bits
                && bits.flag()?
            {
                bits.skip(delay_bits.saturating_mul(2).saturating_add(1))?;
            }
            if has_display_delay && bits.flag()? {
                bits.skip(4)?;
            }
        }
    }
    let (width_bits, height_bits) = (bits.take(4)?.checked_add(1)?, bits.take(4)?.checked_add(1)?);
    size(bits.take(width_bits)?.checked_add(1)?, bits.take(height_bits)?.checked_add(1)?)
}

/// Timing and decoder model (§5.5.3, §5.5.4): how many bits a buffer delay has, where there is a model.
fn timing_info(bits: &mut Bits<'_>) -> Option<Option<u32>> {
    bits.skip(64)?;
    if bits.flag()? {
        bits.unsigned()?;
    }
    if !bits.flag()? {
        return Some(None);
    }
    let delay_bits = bits.take(5)?.checked_add(1)?;
    bits.skip(32 + 5 + 5)?;
    Some(Some(delay_bits))
}

fn size(width: u32, height: u32) -> Option<(u16, u16)> {
    let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    (width > 0 && height > 0).then_some((width, height))
}

/// Reads bits, the highest of a byte first.
struct Bits<'a> {
    bytes: Reader<'a>,
    current: u8,
    left: u32,
    /// Zero bytes in a row, where a 3 after two of them is an escape (ITU-T H.264 §7.4.1).
    zeros: Option<u8>,
}

impl<'a> Bits<'a> {
    const fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes: Reader::new(bytes), current: 0, left: 0, zeros: None }
    }

    /// Of a NAL unit.
    const fn escaped(bytes: &'a [u8]) -> Self {
        Self { bytes: Reader::new(bytes), current: 0, left: 0, zeros: Some(0) }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            self.current = self.next_byte()?;
            self.left = 8;
        }
        self.left = self.left.saturating_sub(1);
        Some(u32::from(self.current >> self.left & 1))
    }

    fn next_byte(&mut self) -> Option<u8> {
        let byte = self.bytes.u8()?;
        let Some(zeros) = self.zeros else { return Some(byte) };
        let byte = if zeros >= 2 && byte == 3 {
            self.zeros = Some(0);
            self.bytes.u8()?
        } else {
            byte
        };
        let zeros = self.zeros.unwrap_or_default();
        self.zeros = Some(if byte == 0 { zeros.saturating_add(1) } else { 0 });
        Some(byte)
    }

    /// The next `count` bits, at most 32, as a number.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            value = value << 1 | self.bit()?;
        }
        Some(value)
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        for _ in 0..count {
            self.bit()?;
        }
        Some(())
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.bit()? == 1)
    }

    /// `ue(v)` (ITU-T H.264 §9.1), and AV1's `uvlc()`.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0_u32;
        while !self.flag()? {
            zeros = zeros.saturating_add(1);
            if zeros > 31 {
                return None;
            }
        }
        let above = 1_u32.checked_shl(zeros)?.checked_sub(1)?;
        self.take(zeros)?.checked_add(above)
    }

    /// `se(v)` (ITU-T H.264 §9.1.1).
    fn signed(&mut self) -> Option<i32> {
        let code = i32::try_from(self.unsigned()?).ok()?;
        let magnitude = code.checked_add(1)? / 2;
        if code % 2 == 0 { magnitude.checked_neg() } else { Some(magnitude) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn parameter_sets_of_encoders_tell_the_cropped_size() {
        for (codec, sps, expected) in [
            // x264 High, 1,088 lines less eight; Constrained Baseline; Main.
            (Codec::H264, "67640028acd940780227e584000003000400000300f03c60c658", (1_920, 1_080)),
            (Codec::H264, "6742c00dd901419f9e10000003001000000303c0f142a480", (320, 180)),
            (Codec::H264, "674d401feca06c1ef37080000003008000001e078c18cb", (854, 480)),
            // x265 Main.
            (Codec::H265, "420101016000000300900000030000030078a003c08010e596566924cae6808000", (1_920, 1_080)),
            (Codec::H265, "42010101600000030090000003000003003ca00a080b9f796566924cae680800", (320, 180)),
        ] {
            let unit = bytes(sps);
            assert_eq!(picture_size(codec, &unit), Some(expected), "{sps}");
            // In an aggregate, behind a delimiter of access units.
            let head: &[u8] =
                if codec == Codec::H264 { &[0x78, 0, 2, 0x09, 0xf0] } else { &[0x60, 1, 0, 3, 0x46, 1, 0x50] };
            let aggregate = [head, &[0, unit.len() as u8], &unit].concat();
            assert_eq!(picture_size(codec, &aggregate), Some(expected), "{sps}");
            assert!((0..9).all(|len| picture_size(codec, &unit[..len]).is_none()), "{sps}");
        }
        assert_eq!(picture_size(Codec::H264, &[0x65, 0x88, 0x84]), None, "a slice");
    }

    #[test]
    fn a_vp9_key_frame_tells_its_size_itself_or_by_its_scalability_structure() {
        // Of libvpx, profile 0.
        let header = bytes("824983420035501df60038241c184a10");
        let plain = [&[0x8c, 0x80, 0x01][..], &header].concat();
        assert_eq!(picture_size(Codec::Vp9, &plain), Some((854, 480)));
        // Two spatial layers, with their sizes: the higher one counts.
        let structure = [0x30, 1, 64, 0, 180, 2, 128, 1, 104];
        let scalable = [&[0xae, 0x80, 0x01, 0x00, 0x00][..], &structure, &header].concat();
        assert_eq!(picture_size(Codec::Vp9, &scalable), Some((640, 360)));
        let delta = [&[0xcc, 0x80, 0x01][..], &header].concat();
        assert_eq!(picture_size(Codec::Vp9, &delta), None, "it is no key frame");
    }

    #[test]
    fn an_av1_sequence_header_tells_the_largest_frame() {
        // Of SVT-AV1, without its OBU header: one element without a length; then the same with a size field.
        let header = bytes("0000002d4cffb3c6af98");
        let payload = [&[0x18, 0x08][..], &header].concat();
        assert_eq!(picture_size(Codec::Av1, &payload), Some((1_280, 720)));
        let sized = [&[0x08, 12, 0x0a, 10][..], &header].concat();
        assert_eq!(picture_size(Codec::Av1, &sized), Some((1_280, 720)));
        assert!((0..8).all(|len| picture_size(Codec::Av1, &payload[..len]).is_none()));
        assert_eq!(picture_size(Codec::Av1, &[0x18, 0x30, 0, 0]), None, "a frame");
    }
}

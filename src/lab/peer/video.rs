//! H.264 payloads as a browser's packetiser makes them (RFC 6184, packetisation mode 1): frames of a given size in
//! evenly split FU-A fragments, the shorter ones first; a key frame behind a STAP-A with its parameter sets.
//!
//! The parameter sets are valid (1280 × 720, constrained baseline, level 3.1). The slices are headers followed by
//! random bytes, which a relay cannot distinguish from pictures.

use crate::crypto::random::{Random, SeededRandom};

/// RTP clock ticks of one frame at 30 frames a second.
pub const TICKS_PER_FRAME: u32 = 3_000;

/// Bytes of the longest fragment's payload: what leaves Chromium's datagrams below 1,200 bytes.
pub const FRAGMENT_BYTES_MAX: usize = 1_160;

/// Width and height in pixels.
const PICTURE: (u32, u32) = (1280, 720);
const MACROBLOCK: u32 = 16;

/// NAL header bytes: reference importance 3, types 5 and 1.
const IDR_HEADER: u8 = 0x65;
const SLICE_HEADER: u8 = 0x61;

/// The payloads of frame `number`, whose slice has `bytes` bytes, in order. The last one carries the marker.
#[must_use]
pub fn frame(number: u64, bytes: usize, key_frame: bool, parameter_sets: bool) -> Vec<Vec<u8>> {
    frame_of(PICTURE, number, bytes, key_frame, parameter_sets)
}

/// As [`frame`], of pictures of a width and height in pixels, both even.
#[must_use]
pub fn frame_of(picture: (u32, u32), number: u64, bytes: usize, key_frame: bool, parameter_sets: bool) -> Vec<Vec<u8>> {
    let mut slice = vec![0; bytes.max(2)];
    SeededRandom::new(number).fill(&mut slice);
    // first_mb_in_slice is ue(v) 0: one set bit (ITU-T H.264 §7.3.3).
    slice[0] = 0x80 | (slice[0] & 0x7f);
    let mut payloads = Vec::new();
    if key_frame && parameter_sets {
        payloads.push(stap_a(&[&sequence_parameter_set_of(picture), &picture_parameter_set()]));
    }
    let header = if key_frame { IDR_HEADER } else { SLICE_HEADER };
    if slice.len() < FRAGMENT_BYTES_MAX {
        payloads.push([&[header][..], &slice].concat());
        return payloads;
    }
    let count = slice.len().div_ceil(FRAGMENT_BYTES_MAX - 2);
    let (short, longer) = (slice.len() / count, slice.len() % count);
    let mut rest = slice.as_slice();
    for fragment in 0..count {
        let len = short + usize::from(fragment >= count - longer);
        let (part, after) = rest.split_at(len);
        rest = after;
        // RFC 6184 §5.8: start and end bits.
        let bits = u8::from(fragment == 0) << 7 | u8::from(fragment == count - 1) << 6;
        payloads.push([&[(header & 0xe0) | 28, bits | (header & 0x1f)][..], part].concat());
    }
    payloads
}

/// Bytes of slice that [`frame`] splits into `fragments` fragments that differ by one byte.
#[must_use]
pub fn bytes_for(fragments: usize) -> usize {
    (fragments * (FRAGMENT_BYTES_MAX - 2)).saturating_sub(fragments * 20 + fragments / 2)
}

fn stap_a(units: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![0x78];
    for unit in units {
        payload.extend_from_slice(&(unit.len() as u16).to_be_bytes());
        payload.extend_from_slice(unit);
    }
    payload
}

/// ITU-T H.264 §7.3.2.1.1
#[must_use]
pub fn sequence_parameter_set() -> Vec<u8> {
    sequence_parameter_set_of(PICTURE)
}

/// As [`sequence_parameter_set`], of pictures of a width and height in pixels, both even.
#[must_use]
pub fn sequence_parameter_set_of((width, height): (u32, u32)) -> Vec<u8> {
    let (across, down) = (width.div_ceil(MACROBLOCK), height.div_ceil(MACROBLOCK));
    // In units of two pixels (§7.4.2.1.1, 4:2:0).
    let (right, bottom) = ((across * MACROBLOCK - width) / 2, (down * MACROBLOCK - height) / 2);
    let is_cropped = right + bottom > 0;
    let mut bits = Bits::new(&[0x67, 0x42, 0xe0, 0x1f]);
    bits.exp_golomb(0); // seq_parameter_set_id
    bits.exp_golomb(0); // log2_max_frame_num_minus4
    bits.exp_golomb(2); // pic_order_cnt_type: output order is decoding order
    bits.exp_golomb(1); // max_num_ref_frames
    bits.bit(false); // gaps_in_frame_num_value_allowed_flag
    bits.exp_golomb(across - 1);
    bits.exp_golomb(down - 1);
    bits.bit(true); // frame_mbs_only_flag
    bits.bit(true); // direct_8x8_inference_flag
    bits.bit(is_cropped); // frame_cropping_flag
    if is_cropped {
        [0, right, 0, bottom].into_iter().for_each(|offset| bits.exp_golomb(offset));
    }
    bits.bit(false); // vui_parameters_present_flag
    bits.finish()
}

/// ITU-T H.264 §7.3.2.2
#[must_use]
pub fn picture_parameter_set() -> Vec<u8> {
    let mut bits = Bits::new(&[0x68]);
    bits.exp_golomb(0); // pic_parameter_set_id
    bits.exp_golomb(0); // seq_parameter_set_id
    bits.bit(false); // entropy_coding_mode_flag: CAVLC
    bits.bit(false); // bottom_field_pic_order_in_frame_present_flag
    for _ in 0..3 {
        bits.exp_golomb(0); // num_slice_groups_minus1, num_ref_idx_l0 and l1 _default_active_minus1
    }
    for _ in 0..3 {
        bits.bit(false); // weighted_pred_flag, weighted_bipred_idc
    }
    for _ in 0..3 {
        bits.exp_golomb(0); // pic_init_qp_minus26, pic_init_qs_minus26, chroma_qp_index_offset
    }
    for _ in 0..3 {
        bits.bit(false); // deblocking_filter_control, constrained_intra_pred, redundant_pic_cnt
    }
    bits.finish()
}

/// Writes bits, most significant first.
struct Bits {
    bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    fn new(head: &[u8]) -> Self {
        Self { bytes: head.to_vec(), free: 0 }
    }

    fn bit(&mut self, set: bool) {
        if self.free == 0 {
            self.bytes.push(0);
            self.free = 8;
        }
        self.free -= 1;
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(set) << self.free;
        }
    }

    /// ue(v), ITU-T H.264 §9.1.
    fn exp_golomb(&mut self, value: u32) {
        let code = value + 1;
        let len = code.ilog2();
        for _ in 0..len {
            self.bit(false);
        }
        for shift in (0..=len).rev() {
            self.bit(code >> shift & 1 == 1);
        }
    }

    /// rbsp_trailing_bits()
    fn finish(mut self) -> Vec<u8> {
        self.bit(true);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::h264::{ParameterSet, SequenceParameterSet, parameter_sets};
    use crate::wire::codec::{Codec, inspect};

    #[test]
    fn a_key_frame_brings_its_parameter_sets_and_begins_once() {
        let payloads = frame(1, 20_000, true, true);
        let sets: Vec<_> = parameter_sets(&payloads[0]).collect();
        assert!(matches!(sets[..], [ParameterSet::Sequence(_), ParameterSet::Picture(_)]));
        let sps = SequenceParameterSet::parse(&sequence_parameter_set()).unwrap();
        assert_eq!(sps.profile_level_id(), crate::lab::peer::terms::H264_PROFILE_LEVEL_ID);
        let starts = payloads.iter().filter(|payload| inspect(Codec::H264, payload).key_frame_start).count();
        assert_eq!(starts, 1);
        assert!(frame(1, 20_000, false, true).iter().all(|payload| !inspect(Codec::H264, payload).key_frame_start));
    }

    #[test]
    fn parameter_sets_need_no_emulation_prevention() {
        // ITU-T H.264 §7.4.1: three bytes 00 00 0x, x ≤ 3, may not occur in a NAL unit.
        let sizes = [(640, 360), (320, 180), (1920, 1080)].map(sequence_parameter_set_of);
        for unit in [sequence_parameter_set(), picture_parameter_set()].into_iter().chain(sizes) {
            assert!(!unit.windows(3).any(|bytes| bytes[0] == 0 && bytes[1] == 0 && bytes[2] <= 3), "{unit:02x?}");
        }
        // 80 by 45 macroblocks, written out: 1 1 011 010 0 0000001010000 00000101101 1 1 0 0, and the stop bit.
        assert_eq!(sequence_parameter_set()[4..], [0xda, 0x01, 0x40, 0x16, 0xe4]);
    }

    #[test]
    fn fragments_differ_by_one_byte_and_join_to_the_slice() {
        for fragments in 2..=40 {
            let payloads = frame(7, bytes_for(fragments), false, false);
            assert_eq!(payloads.len(), fragments);
            let (min, max) = (payloads.iter().map(Vec::len).min(), payloads.iter().map(Vec::len).max());
            assert!(max.unwrap() - min.unwrap() <= 1 && max.unwrap() <= FRAGMENT_BYTES_MAX);
            assert!(payloads.is_sorted_by_key(Vec::len), "the shorter ones come first");
            let joined: usize = payloads.iter().map(|payload| payload.len() - 2).sum();
            assert_eq!(joined, bytes_for(fragments));
            assert_eq!((payloads[0][1] & 0xc0, payloads[fragments - 1][1] & 0xc0), (0x80, 0x40));
        }
    }
}

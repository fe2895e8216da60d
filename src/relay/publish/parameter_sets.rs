//! The newest parameter sets of an H.264 or H.265 track, to be put before a key frame that comes without them.
//!
//! Browsers repeat SPS and PPS with every key frame; encoders that announce them once would leave every later
//! viewer without a picture. Bounded in number and size; whatever exceeds that is not kept.

use crate::limits;
use crate::wire::codec::{Codec, h264, h265};

/// Which of a track's parameter sets a NAL unit is: in the order decoders want, and its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SetName {
    Video,
    Sequence(u32),
    Picture(u32),
}

/// The newest parameter sets of one track.
#[derive(Debug, Default)]
pub struct ParameterSets {
    /// Sorted by name.
    sets: Vec<(SetName, Vec<u8>)>,
    /// The RTP timestamp of the frame they were last seen in.
    seen_in: Option<u32>,
}

impl ParameterSets {
    /// Begins with what an offer brought; returns the H.264 `profile-level-id` when an SPS was among it. No frame brought
    /// it, so that the first key frame gets it.
    pub fn begin_with(&mut self, codec: Codec, units: &[Vec<u8>]) -> Option<u32> {
        let profile_level_id = units.iter().fold(None, |known, unit| self.observe(codec, 0, unit).or(known));
        self.seen_in = None;
        profile_level_id
    }

    /// Takes the parameter sets out of a payload; returns the H.264 `profile-level-id` when an SPS was among them.
    pub fn observe(&mut self, codec: Codec, timestamp: u32, payload: &[u8]) -> Option<u32> {
        let mut profile_level_id = None;
        match codec {
            Codec::H264 => {
                for set in h264::parameter_sets(payload) {
                    match set {
                        h264::ParameterSet::Sequence(unit) => {
                            let sps = h264::SequenceParameterSet::parse(unit);
                            profile_level_id = sps.map(|sps| sps.profile_level_id()).or(profile_level_id);
                            // ITU-T H.264 §7.3.2.1.1: the number follows header, profile, flags and level.
                            self.keep(SetName::Sequence(leading_number(unit.get(4..))), timestamp, unit);
                        }
                        h264::ParameterSet::Picture(unit) => {
                            self.keep(SetName::Picture(leading_number(unit.get(1..))), timestamp, unit);
                        }
                    }
                }
            }
            Codec::H265 => {
                for set in h265::parameter_sets(payload) {
                    match set {
                        h265::ParameterSet::Video(unit) => self.keep(SetName::Video, timestamp, unit),
                        h265::ParameterSet::Sequence(unit) => self.keep(SetName::Sequence(0), timestamp, unit),
                        // ITU-T H.265 §7.3.2.3.1: the number comes first.
                        h265::ParameterSet::Picture(unit) => {
                            self.keep(SetName::Picture(leading_number(unit.get(2..))), timestamp, unit);
                        }
                    }
                }
            }
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Opus | Codec::Red => {}
        }
        profile_level_id
    }

    fn keep(&mut self, name: SetName, timestamp: u32, unit: &[u8]) {
        self.seen_in = Some(timestamp);
        if unit.len() > limits::PARAMETER_SET_BYTES_MAX {
            return;
        }
        match self.sets.binary_search_by_key(&name, |&(name, _)| name) {
            Ok(at) => {
                if let Some((_, set)) = self.sets.get_mut(at) {
                    set.clear();
                    set.extend_from_slice(unit);
                }
            }
            Err(at) if self.sets.len() < limits::PARAMETER_SETS_MAX => self.sets.insert(at, (name, unit.to_vec())),
            Err(_) => {}
        }
    }

    /// Writes one aggregation packet with all kept sets, unless the frame at `timestamp` brought its own. Returns
    /// its length.
    #[must_use]
    pub fn missing_before(&self, codec: Codec, timestamp: u32, out: &mut [u8]) -> Option<usize> {
        if self.sets.is_empty() || self.seen_in == Some(timestamp) {
            return None;
        }
        let mut units: [&[u8]; limits::PARAMETER_SETS_MAX] = [&[]; limits::PARAMETER_SETS_MAX];
        for (slot, (_, set)) in units.iter_mut().zip(&self.sets) {
            *slot = set;
        }
        let units = units.get(..self.sets.len())?;
        match codec {
            Codec::H264 => h264::write_stap_a(out, units),
            Codec::H265 => h265::write_aggregation(out, units),
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Opus | Codec::Red => None,
        }
    }
}

/// The Exp-Golomb number (ITU-T H.264 §9.1) a bit string begins with; zero when it is cut short.
fn leading_number(bits: Option<&[u8]>) -> u32 {
    let Some(head) = bits.map(|bits| bits.iter().take(4).fold(0u32, |head, &byte| head << 8 | u32::from(byte))) else {
        return 0;
    };
    let missing_bits = 32u32.saturating_sub(bits.map_or(0, |bits| bits.len().min(4) as u32 * 8));
    // None at all are 32 missing ones, which is no shift.
    let head = head.checked_shl(missing_bits).unwrap_or(0);
    let zeros = head.leading_zeros();
    if zeros > 15 { 0 } else { (head >> (31 - 2 * zeros)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[0x67, 0x42, 0xe0, 0x1f, 0xda];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    #[test]
    fn a_key_frame_without_parameter_sets_gets_the_newest() {
        let mut sets = ParameterSets::default();
        assert_eq!(sets.observe(Codec::H264, 1, PPS), None);
        assert_eq!(sets.observe(Codec::H264, 1, SPS), Some(0x42_e01f));
        let mut out = [0; 64];
        assert_eq!(sets.missing_before(Codec::H264, 1, &mut out), None, "that frame brought its own");
        let len = sets.missing_before(Codec::H264, 9, &mut out).unwrap();
        // STAP-A (RFC 6184 §5.7.1): SPS first.
        assert_eq!(out[..len], [&[0x78, 0, 5], SPS, &[0, 4], PPS].concat());
    }

    #[test]
    fn a_set_that_ends_before_its_number_is_number_zero() {
        // Found by fuzzing (codec): a PPS that is only its header shifted by all 32 bits.
        let mut sets = ParameterSets::default();
        sets.observe(Codec::H264, 1, &PPS[..1]);
        sets.observe(Codec::H264, 1, &SPS[..4]);
        assert_eq!(
            sets.sets.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            [SetName::Sequence(0), SetName::Picture(0)]
        );
        assert_eq!(leading_number(Some(&[0x40])), 1);
    }

    #[test]
    fn a_number_is_read_as_exp_golomb_code() {
        // ITU-T H.264 table 9-2: n zeros, a one, n bits.
        for (bits, number) in [
            (&[0x80][..], 0),
            (&[0x5f], 1),
            (&[0x60], 2),
            (&[0x20], 3),
            (&[0x38], 6),
            (&[0x09, 0x00], 17),
            (&[0x00, 0x01, 0x00, 0x02], 32_768),
            (&[0x00, 0x01, 0xff, 0xfe, 0x80], 65_534),
            // More zeros than any number in use has.
            (&[0x00, 0x00, 0x80, 0x00, 0xff], 0),
            (&[], 0),
        ] {
            assert_eq!(leading_number(Some(bits)), number, "{bits:02x?}");
        }
        assert_eq!(leading_number(None), 0);
    }

    #[test]
    fn sets_are_kept_in_the_order_decoders_want_up_to_a_number_and_a_size() {
        let mut sets = ParameterSets::default();
        let set = |header: u8, number: u8, len: usize| {
            // 010 or 011 after header, profile, flags and level: numbers 1 and 2.
            let mut unit = vec![header, 0x42, 0xe0, 0x1f];
            if header == 0x68 {
                unit.truncate(1);
            }
            unit.push(number);
            unit.resize(len, 0xff);
            unit
        };
        let longest = limits::PARAMETER_SET_BYTES_MAX;
        sets.observe(Codec::H264, 1, &set(0x67, 0x40, longest + 1));
        assert!(sets.sets.is_empty(), "too long to keep");
        sets.observe(Codec::H264, 1, &set(0x67, 0x60, longest));
        sets.observe(Codec::H264, 1, &set(0x67, 0x40, 8));
        // Picture parameter sets 0 to 6: the last finds no room.
        let numbers = [0x80, 0x40, 0x60, 0x20, 0x28, 0x30, 0x38];
        for number in numbers {
            sets.observe(Codec::H264, 1, &set(0x68, number, 8));
        }
        let names: Vec<_> = sets.sets.iter().map(|(name, _)| *name).collect();
        let pictures = (0..6).map(SetName::Picture);
        assert_eq!(names, [SetName::Sequence(1), SetName::Sequence(2)].into_iter().chain(pictures).collect::<Vec<_>>());
        assert_eq!(names.len(), limits::PARAMETER_SETS_MAX);
        let mut out = [0; 1_024];
        assert!(sets.missing_before(Codec::H264, 2, &mut out).is_some());
        assert_eq!(sets.missing_before(Codec::H264, 2, &mut out[..longest]), None, "no room");
    }

    #[test]
    fn sets_of_h265_are_put_before_a_key_frame_as_one_aggregate() {
        // ITU-T H.265 table 7-1: VPS 32, SPS 33, PPS 34; the PPS has number 1.
        let units: [&[u8]; 3] = [&[0x40, 0x01, 0x0c], &[0x42, 0x01, 0x01], &[0x44, 0x01, 0x40]];
        let mut sets = ParameterSets::default();
        assert_eq!(sets.missing_before(Codec::H265, 9, &mut [0; 64]), None, "none were seen");
        for unit in [units[2], units[0], units[1]] {
            assert_eq!(sets.observe(Codec::H265, 1, unit), None);
        }
        let names: Vec<_> = sets.sets.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [SetName::Video, SetName::Sequence(0), SetName::Picture(1)]);
        let mut out = [0; 64];
        let len = sets.missing_before(Codec::H265, 9, &mut out).unwrap();
        assert_eq!(h265::nal_units(&out[..len]).collect::<Vec<_>>(), units);
        assert_eq!(sets.missing_before(Codec::Vp8, 9, &mut out), None);
    }

    #[test]
    fn a_newer_set_replaces_the_older_of_its_kind() {
        let mut sets = ParameterSets::default();
        sets.observe(Codec::H264, 1, SPS);
        sets.observe(Codec::H264, 2, &[0x67, 0x64, 0x00, 0x28, 0xda]);
        assert_eq!(sets.sets.len(), 1);
        assert_eq!(sets.sets[0].1[1], 0x64);
    }
}

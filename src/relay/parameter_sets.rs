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
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Opus => {}
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
            Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Opus => None,
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
    fn a_newer_set_replaces_the_older_of_its_kind() {
        let mut sets = ParameterSets::default();
        sets.observe(Codec::H264, 1, SPS);
        sets.observe(Codec::H264, 2, &[0x67, 0x64, 0x00, 0x28, 0xda]);
        assert_eq!(sets.sets.len(), 1);
        assert_eq!(sets.sets[0].1[1], 0x64);
    }
}

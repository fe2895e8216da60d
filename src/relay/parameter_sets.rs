//! The newest parameter sets of an H.264 or H.265 track, to be put before a key frame that comes without them.
//!
//! Browsers repeat SPS and PPS with every key frame; encoders that announce them once would leave every later
//! viewer without a picture. Bounded in number and size; whatever exceeds that is not kept.

use crate::limits;
use crate::wire::codec::{self, Codec};

/// The newest parameter sets of one track.
#[derive(Debug, Default)]
pub struct ParameterSets {
    /// One per NAL unit type, id and (H.265) layer, keyed by its first bytes.
    sets: Vec<Vec<u8>>,
    /// The RTP timestamp of the frame they were last seen in.
    seen_in: Option<u32>,
}

impl ParameterSets {
    /// Takes the parameter sets out of a payload; returns the H.264 `profile-level-id` when an SPS was among them.
    pub fn observe(&mut self, codec: Codec, timestamp: u32, payload: &[u8]) -> Option<u32> {
        let mut profile_level_id = None;
        for unit in codec::parameter_sets(codec, payload) {
            self.seen_in = Some(timestamp);
            if let Some(profile) = codec::profile_level_id(codec, unit) {
                profile_level_id = Some(profile);
            }
            self.keep(codec, unit);
        }
        profile_level_id
    }

    fn keep(&mut self, codec: Codec, unit: &[u8]) {
        let kind = codec::parameter_set_kind(codec, unit);
        if unit.len() > limits::PARAMETER_SET_BYTES_MAX {
            return;
        }
        match self.sets.iter_mut().find(|set| codec::parameter_set_kind(codec, set) == kind) {
            Some(set) => {
                set.clear();
                set.extend_from_slice(unit);
            }
            None if self.sets.len() < limits::PARAMETER_SETS_MAX => self.sets.push(unit.to_vec()),
            None => {}
        }
        // The order decoders want: VPS, SPS, PPS.
        self.sets.sort_by_key(|set| codec::parameter_set_kind(codec, set));
    }

    /// Writes one aggregation packet with all kept sets, unless the frame at `timestamp` brought its own. Returns
    /// its length.
    pub fn missing_before(&self, codec: Codec, timestamp: u32, out: &mut [u8]) -> Option<usize> {
        if self.sets.is_empty() || self.seen_in == Some(timestamp) {
            return None;
        }
        codec::write_aggregate(codec, self.sets.iter().map(Vec::as_slice), out)
    }
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
        assert_eq!(out[..len], [&[0x78 & 0x7f, 0, 5], SPS, &[0, 4], PPS].concat());
    }

    #[test]
    fn a_newer_set_replaces_the_older_of_its_kind() {
        let mut sets = ParameterSets::default();
        sets.observe(Codec::H264, 1, SPS);
        sets.observe(Codec::H264, 2, &[0x67, 0x64, 0x00, 0x28, 0xda]);
        assert_eq!(sets.sets.len(), 1);
        assert_eq!(sets.sets[0][1], 0x64);
    }
}

//! H.265 payloads (RFC 7798) without decoding order numbers: single NAL units, aggregation packets, fragments.
//!
//! Left out: DONL and DOND fields (`sprop-max-don-diff` above 0), PACI, and the content of parameter sets.

use super::PayloadHints;
use crate::wire::cursor::{Reader, Writer};

/// NAL unit types (ITU-T H.265 table 7-1, RFC 7798 §4.4).
mod nal_type {
    /// The first of the intra random access point pictures; 22 and 23 are reserved for more.
    pub(super) const IRAP_FIRST: u8 = 16;
    pub(super) const IRAP_LAST: u8 = 21;
    /// The last of the picture data.
    pub(super) const SLICE_LAST: u8 = 31;
    pub(super) const VIDEO_PARAMETER_SET: u8 = 32;
    pub(super) const SEQUENCE_PARAMETER_SET: u8 = 33;
    pub(super) const PICTURE_PARAMETER_SET: u8 = 34;
    pub(super) const AGGREGATION: u8 = 48;
    pub(super) const FRAGMENTATION: u8 = 49;
}

/// Bytes of a NAL unit's and a payload's header.
const HEADER_BYTES: usize = 2;

const FORBIDDEN_BIT: u16 = 0x8000;
const LAYER_BITS: u16 = 0x01f8;
const TEMPORAL_BITS: u16 = 0x0007;

/// The type in the first byte of a header: F, six bits of type, the top of the layer.
const fn nal_type_of(first: u8) -> u8 {
    first >> 1 & 0x3f
}

/// The complete NAL units of a payload: a single unit, or those of an aggregation packet. A fragment has none. A
/// truncated aggregate gives the units before the cut.
#[must_use]
pub fn nal_units(payload: &[u8]) -> NalUnits<'_> {
    let (single, aggregate) = match *payload {
        [first, _, ref rest @ ..] => match nal_type_of(first) {
            nal_type::AGGREGATION => (None, rest),
            0..nal_type::AGGREGATION => (Some(payload), &[][..]),
            _ => (None, &[][..]),
        },
        _ => (None, &[][..]),
    };
    NalUnits { single, aggregate: Reader::new(aggregate) }
}

/// See [`nal_units`].
#[derive(Clone, Copy, Debug)]
pub struct NalUnits<'a> {
    single: Option<&'a [u8]>,
    aggregate: Reader<'a>,
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(single) = self.single.take() {
            return Some(single);
        }
        let len = self.aggregate.u16()?;
        self.aggregate.take(usize::from(len)).filter(|unit| unit.len() >= HEADER_BYTES)
    }
}

/// A parameter set as one whole NAL unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterSet<'a> {
    /// VPS
    Video(&'a [u8]),
    /// SPS
    Sequence(&'a [u8]),
    /// PPS
    Picture(&'a [u8]),
}

/// The parameter sets a payload holds, in order.
pub fn parameter_sets(payload: &[u8]) -> impl Iterator<Item = ParameterSet<'_>> {
    nal_units(payload).filter_map(|unit| match nal_type_of(*unit.first()?) {
        nal_type::VIDEO_PARAMETER_SET => Some(ParameterSet::Video(unit)),
        nal_type::SEQUENCE_PARAMETER_SET => Some(ParameterSet::Sequence(unit)),
        nal_type::PICTURE_PARAMETER_SET => Some(ParameterSet::Picture(unit)),
        _ => None,
    })
}

/// Writes NAL units as one aggregation packet (RFC 7798 §4.4.2). `None` when there are fewer than two (the RFC wants
/// two), one is shorter than its header or longer than 65,535 bytes, or they do not fit.
#[must_use]
pub fn write_aggregation(out: &mut [u8], units: &[&[u8]]) -> Option<usize> {
    // F if any has it, the lowest layer and the lowest temporal identifier.
    let lowest = (0, LAYER_BITS, TEMPORAL_BITS);
    let (forbidden, layer, temporal) = units.iter().try_fold(lowest, |(forbidden, layer, temporal), unit| {
        let header = unit.first_chunk().copied().map(u16::from_be_bytes)?;
        let (this_layer, this_temporal) = (header & LAYER_BITS, header & TEMPORAL_BITS);
        Some((forbidden | header & FORBIDDEN_BIT, this_layer.min(layer), this_temporal.min(temporal)))
    })?;
    if units.len() < 2 {
        return None;
    }
    let mut writer = Writer::new(out);
    writer.u16(forbidden | u16::from(nal_type::AGGREGATION) << 9 | layer | temporal)?;
    for unit in units {
        writer.u16(u16::try_from(unit.len()).ok()?)?;
        writer.bytes(unit)?;
    }
    Some(writer.len())
}

/// Updates `hints` for one NAL unit of which at least the beginning is present: its type and the bytes after its
/// header.
fn note(hints: &mut PayloadHints, nal_type: u8, body: &[u8]) {
    match nal_type {
        0..=nal_type::SLICE_LAST => {
            // A slice segment header begins with first_slice_segment_in_pic_flag.
            let first_slice = body.first().is_some_and(|byte| byte & 0x80 != 0);
            hints.frame_start |= first_slice;
            hints.key_frame_start |= first_slice && matches!(nal_type, nal_type::IRAP_FIRST..=nal_type::IRAP_LAST);
        }
        nal_type::VIDEO_PARAMETER_SET..=nal_type::PICTURE_PARAMETER_SET => hints.has_parameter_sets = true,
        _ => {}
    }
}

/// See [`super::inspect`].
pub(super) fn inspect(payload: &[u8]) -> PayloadHints {
    let mut hints = PayloadHints::default();
    let [first, _, ref rest @ ..] = *payload else { return hints };
    match (nal_type_of(first), rest) {
        (nal_type::FRAGMENTATION, &[header, ref body @ ..]) => {
            // RFC 7798 §4.4.3: S, E and the type of the fragmented unit.
            let nal_type = header & 0x3f;
            if header & 0x80 != 0 {
                note(&mut hints, nal_type, body);
                // A parameter set in fragments is not a whole one.
                hints.has_parameter_sets = false;
            }
            hints.paddable = header & 0x40 == 0 && nal_type <= nal_type::SLICE_LAST;
        }
        // A single unit or an aggregation is walked. A truncated fragment and all other types have no units.
        _ => {
            for unit in nal_units(payload) {
                if let [first, _, ref body @ ..] = *unit {
                    note(&mut hints, nal_type_of(first), body);
                }
            }
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VPS: &[u8] = &[32 << 1, 1, 0x0c];
    const SPS: &[u8] = &[33 << 1, 1, 0x01];
    const PPS: &[u8] = &[34 << 1, 1, 0xc1];
    const IDR: &[u8] = &[19 << 1, 1, 0xaf, 0x00];
    const TRAIL: &[u8] = &[1 << 1, 1, 0xd0, 0x00];

    fn aggregation(units: &[&[u8]]) -> Vec<u8> {
        let mut out = [0; 256];
        let len = write_aggregation(&mut out, units).unwrap();
        out[..len].to_vec()
    }

    #[test]
    fn every_random_access_picture_is_a_key_frame() {
        for nal_type in 0..=31_u8 {
            let hints = inspect(&[nal_type << 1, 1, 0x80]);
            assert!(hints.frame_start);
            assert_eq!(hints.key_frame_start, (16..=21).contains(&nal_type), "type {nal_type}");
        }
    }

    #[test]
    fn a_key_frame_is_found_in_every_packet_type() {
        let key = PayloadHints { key_frame_start: true, frame_start: true, ..PayloadHints::default() };
        assert_eq!(inspect(IDR), key);
        assert_eq!(inspect(&aggregation(&[VPS, SPS, PPS, IDR])), PayloadHints { has_parameter_sets: true, ..key });
        assert_eq!(inspect(&[49 << 1, 1, 0x80 | 19, 0xaf]), PayloadHints { paddable: true, ..key });
    }

    #[test]
    fn later_slices_and_fragments_do_not_begin_a_frame() {
        for payload in [&[19 << 1, 1, 0x2f][..], &[49 << 1, 1, 0x80 | 19, 0x2f], &[49 << 1, 1, 19, 0xaf]] {
            let hints = inspect(payload);
            assert!(!hints.frame_start && !hints.key_frame_start, "{payload:02x?}");
        }
        assert!(inspect(TRAIL).frame_start && !inspect(TRAIL).key_frame_start);
    }

    #[test]
    fn only_inner_fragments_of_slices_are_paddable() {
        assert!(inspect(&[49 << 1, 1, 0x80 | 1, 0xd0]).paddable);
        assert!(inspect(&[49 << 1, 1, 1, 0xd0]).paddable);
        assert!(!inspect(&[49 << 1, 1, 0x40 | 1, 0xd0]).paddable);
        assert!(!inspect(&[49 << 1, 1, 0x80 | 33, 0xd0]).paddable);
        for payload in [VPS, IDR, TRAIL, &aggregation(&[VPS, SPS, PPS])] {
            assert!(!inspect(payload).paddable, "{payload:02x?}");
        }
    }

    #[test]
    fn parameter_sets_are_found_alone_and_aggregated() {
        let payload = aggregation(&[VPS, SPS, PPS, IDR]);
        let sets: Vec<_> = parameter_sets(&payload).collect();
        assert_eq!(sets, [ParameterSet::Video(VPS), ParameterSet::Sequence(SPS), ParameterSet::Picture(PPS)]);
        assert_eq!(parameter_sets(SPS).collect::<Vec<_>>(), [ParameterSet::Sequence(SPS)]);
        assert_eq!(parameter_sets(&[49 << 1, 1, 0x80 | 33, 0x01]).count(), 0);
        assert!(!inspect(&[49 << 1, 1, 0x80 | 33, 0x01]).has_parameter_sets);
    }

    #[test]
    fn an_aggregation_takes_the_lowest_layer_and_temporal_identifier() {
        // RFC 7798 §4.4.2.
        let payload = aggregation(&[&[1 << 1, 2 << 3 | 3, 9], &[0x80 | 1 << 1, 1 << 3 | 2]]);
        assert_eq!(payload, [0x80 | 48 << 1, 1 << 3 | 2, 0, 3, 2, 2 << 3 | 3, 9, 0, 2, 0x82, 1 << 3 | 2]);
        let two_forbidden = aggregation(&[&[0x80 | 1 << 1, 1], &[0x80 | 1 << 1, 1]]);
        assert_eq!(two_forbidden[0], 0x80 | 48 << 1);
        assert_eq!(write_aggregation(&mut [0; 64], &[VPS]), None);
        assert_eq!(write_aggregation(&mut [0; 64], &[VPS, &[1]]), None);
        assert_eq!(write_aggregation(&mut [0; 11], &[VPS, SPS]), None);
    }

    proptest! {
        #[test]
        fn an_aggregation_reads_back(
            units in prop::collection::vec(prop::collection::vec(any::<u8>(), 2..40), 2..10),
        ) {
            let borrowed: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
            let mut out = [0; 512];
            let len = write_aggregation(&mut out, &borrowed).unwrap();
            prop_assert_eq!(nal_units(&out[..len]).collect::<Vec<_>>(), borrowed);
        }
    }
}

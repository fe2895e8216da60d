//! H.264 payloads (RFC 6184), packetisation modes 0 and 1: single NAL units, STAP-A and FU-A.
//!
//! Left out: STAP-B, MTAP and FU-B (mode 2), arbitrary slice order (a Baseline tool no encoder in use has), and all
//! of a parameter set but the three bytes that SDP calls `profile-level-id`.

use super::PayloadHints;
use crate::wire::cursor::{Reader, Writer};

/// NAL unit types (ITU-T H.264 table 7-1, RFC 6184 table 1).
mod nal_type {
    pub(super) const SLICE: u8 = 1;
    pub(super) const SLICE_PARTITION_A: u8 = 2;
    pub(super) const SLICE_IDR: u8 = 5;
    pub(super) const SEQUENCE_PARAMETER_SET: u8 = 7;
    pub(super) const PICTURE_PARAMETER_SET: u8 = 8;
    pub(super) const STAP_A: u8 = 24;
    pub(super) const FU_A: u8 = 28;
}

const TYPE_BITS: u8 = 0x1f;
const REFERENCE_BITS: u8 = 0x60;
const FORBIDDEN_BIT: u8 = 0x80;

/// Types 1 to 23 are NAL units themselves, the others containers (RFC 6184 §5.2).
const fn is_single(nal_type: u8) -> bool {
    matches!(nal_type, 1..=23)
}

/// The complete NAL units of a payload: a single unit, or those of a STAP-A. A fragment has none. A truncated aggregate
/// gives the units before the cut.
#[must_use]
pub fn nal_units(payload: &[u8]) -> NalUnits<'_> {
    let (single, aggregate) = match *payload {
        [header, ref rest @ ..] if header & TYPE_BITS == nal_type::STAP_A => (None, rest),
        [header, ..] if is_single(header & TYPE_BITS) => (Some(payload), &[][..]),
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
        self.aggregate.take(usize::from(len)).filter(|unit| !unit.is_empty())
    }
}

/// A parameter set as one whole NAL unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterSet<'a> {
    /// SPS
    Sequence(&'a [u8]),
    /// PPS
    Picture(&'a [u8]),
}

/// The parameter sets a payload holds, in order.
pub fn parameter_sets(payload: &[u8]) -> impl Iterator<Item = ParameterSet<'_>> {
    nal_units(payload).filter_map(|unit| match unit.first()? & TYPE_BITS {
        nal_type::SEQUENCE_PARAMETER_SET => Some(ParameterSet::Sequence(unit)),
        nal_type::PICTURE_PARAMETER_SET => Some(ParameterSet::Picture(unit)),
        _ => None,
    })
}

/// The beginning of a sequence parameter set (ITU-T H.264 §7.3.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceParameterSet {
    /// `profile_idc`: 66 is Baseline, 77 Main, 100 High.
    pub profile_idc: u8,
    /// The constraint flags.
    pub profile_iop: u8,
    /// `level_idc`: ten times the level.
    pub level_idc: u8,
}

impl SequenceParameterSet {
    /// Reads a NAL unit; `None` when it is no sequence parameter set.
    #[must_use]
    pub fn parse(unit: &[u8]) -> Option<Self> {
        match *unit {
            [header, profile_idc, profile_iop, level_idc, ..]
                if header & TYPE_BITS == nal_type::SEQUENCE_PARAMETER_SET =>
            {
                Some(Self { profile_idc, profile_iop, level_idc })
            }
            _ => None,
        }
    }

    /// The 24 bits SDP writes as `profile-level-id` (RFC 6184 §8.1).
    #[must_use]
    pub const fn profile_level_id(&self) -> u32 {
        u32::from_be_bytes([0, self.profile_idc, self.profile_iop, self.level_idc])
    }
}

/// Writes NAL units as one STAP-A (RFC 6184 §5.7.1). `None` when there are none, one is empty or longer than 65,535
/// bytes, or they do not fit.
#[must_use]
pub fn write_stap_a(out: &mut [u8], units: &[&[u8]]) -> Option<usize> {
    // RFC 6184 §5.3, §5.7: F if any has it, NRI the highest.
    let (forbidden, reference) = units.iter().try_fold((0, 0), |(forbidden, reference), unit| {
        let header = unit.first()?;
        Some((forbidden | header & FORBIDDEN_BIT, (header & REFERENCE_BITS).max(reference)))
    })?;
    if units.is_empty() {
        return None;
    }
    let mut writer = Writer::new(out);
    writer.u8(forbidden | reference | nal_type::STAP_A)?;
    for unit in units {
        writer.u16(u16::try_from(unit.len()).ok()?)?;
        writer.bytes(unit)?;
    }
    Some(writer.len())
}

/// Updates `hints` for one NAL unit of which at least the beginning is present: its type and the bytes after its
/// header.
fn note(hints: &mut PayloadHints, nal_type: u8, body: &[u8]) {
    // A slice header begins with first_mb_in_slice, ue(v): its first bit is set exactly when it is zero.
    let first_slice = body.first().is_some_and(|byte| byte & 0x80 != 0);
    match nal_type {
        nal_type::SLICE | nal_type::SLICE_PARTITION_A => hints.frame_start |= first_slice,
        nal_type::SLICE_IDR => {
            hints.frame_start |= first_slice;
            hints.key_frame_start |= first_slice;
        }
        nal_type::SEQUENCE_PARAMETER_SET | nal_type::PICTURE_PARAMETER_SET => hints.has_parameter_sets = true,
        _ => {}
    }
}

/// See [`super::inspect`].
pub(super) fn inspect(payload: &[u8]) -> PayloadHints {
    let mut hints = PayloadHints::default();
    if let [indicator, header, ref body @ ..] = *payload
        && indicator & TYPE_BITS == nal_type::FU_A
    {
        // RFC 6184 §5.8: S, E, R and the type of the fragmented unit.
        let nal_type = header & TYPE_BITS;
        if header & 0x80 != 0 {
            note(&mut hints, nal_type, body);
            // A parameter set in fragments is not a whole one.
            hints.has_parameter_sets = false;
        }
        hints.paddable = header & 0x40 == 0 && matches!(nal_type, nal_type::SLICE..=nal_type::SLICE_IDR);
        return hints;
    }
    for unit in nal_units(payload) {
        if let [header, ref body @ ..] = *unit {
            note(&mut hints, header & TYPE_BITS, body);
        }
    }
    hints
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x20, 0x8c, 0x8d];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
    const AUD: &[u8] = &[0x09, 0x10];
    const IDR: &[u8] = &[0x65, 0xb8, 0x00, 0x04];
    const IDR_SECOND_SLICE: &[u8] = &[0x65, 0x00, 0x39, 0x88];

    fn stap_a(units: &[&[u8]]) -> Vec<u8> {
        let mut out = [0; 256];
        let len = write_stap_a(&mut out, units).unwrap();
        out[..len].to_vec()
    }

    #[test]
    fn an_idr_slice_is_found_in_every_packet_type() {
        let key = PayloadHints { key_frame_start: true, frame_start: true, ..PayloadHints::default() };
        assert_eq!(inspect(IDR), key);
        assert_eq!(inspect(&stap_a(&[AUD, SPS, PPS, IDR])), PayloadHints { has_parameter_sets: true, ..key });
        assert_eq!(inspect(&[0x7c, 0x85, 0xb8, 0x00]), PayloadHints { paddable: true, ..key });
    }

    #[test]
    fn later_slices_and_fragments_do_not_begin_a_frame() {
        for payload in [IDR_SECOND_SLICE, &[0x7c, 0x85, 0x00, 0x39], &[0x7c, 0x05, 0xb8, 0x00], &[0x41, 0x00]] {
            let hints = inspect(payload);
            assert!(!hints.frame_start && !hints.key_frame_start, "{payload:02x?}");
        }
    }

    #[test]
    fn a_delta_frame_begins_without_a_key() {
        for payload in [&[0x41, 0x9b, 0x00][..], &[0x5c, 0x81, 0x9b, 0x00], &stap_a(&[AUD, &[0x41, 0x9b]])] {
            let hints = inspect(payload);
            assert!(hints.frame_start && !hints.key_frame_start, "{payload:02x?}");
        }
    }

    #[test]
    fn only_inner_fragments_of_slices_are_paddable() {
        assert!(inspect(&[0x7c, 0x85, 0xb8]).paddable); // start
        assert!(inspect(&[0x5c, 0x01, 0x00]).paddable); // middle
        assert!(!inspect(&[0x5c, 0x41, 0x00]).paddable); // end
        assert!(!inspect(&[0x7c, 0x87, 0x00]).paddable); // a fragmented SPS
        for payload in [SPS, PPS, AUD, IDR, &[0x41, 0x9b], &stap_a(&[SPS, PPS])] {
            assert!(!inspect(payload).paddable, "{payload:02x?}");
        }
    }

    #[test]
    fn parameter_sets_are_found_alone_and_aggregated() {
        let sets = |payload: &[u8]| parameter_sets(payload).map(|set| format!("{set:?}")).collect::<Vec<_>>();
        let (sps, pps) = (format!("{:?}", ParameterSet::Sequence(SPS)), format!("{:?}", ParameterSet::Picture(PPS)));
        assert_eq!(sets(&stap_a(&[AUD, SPS, PPS])), [sps.clone(), pps]);
        assert_eq!(sets(SPS), [sps]);
        assert!(sets(IDR).is_empty() && sets(&[0x7c, 0x87, 0x42]).is_empty());
        assert!(inspect(SPS).has_parameter_sets && inspect(PPS).has_parameter_sets);
        assert!(!inspect(&[0x7c, 0x87, 0x42]).has_parameter_sets);
    }

    #[test]
    fn profile_level_id_is_that_of_sdp() {
        // RFC 6184 §8.1.
        assert_eq!(SequenceParameterSet::parse(SPS).unwrap().profile_level_id(), 0x42_c020);
        assert_eq!(SequenceParameterSet::parse(PPS), None);
        assert_eq!(SequenceParameterSet::parse(&SPS[..3]), None);
    }

    #[test]
    fn an_aggregate_takes_the_highest_reference_and_any_forbidden_bit() {
        // RFC 6184 §5.7.
        assert_eq!(stap_a(&[AUD, PPS]), [0x78, 0, 2, 0x09, 0x10, 0, 4, 0x68, 0xce, 0x3c, 0x80]);
        assert_eq!(stap_a(&[&[0x89], &[0x21]])[0], 0xb8);
        assert_eq!(stap_a(&[&[0x81], &[0x81]])[0], 0x98);
        assert_eq!(write_stap_a(&mut [0; 64], &[]), None);
        assert_eq!(write_stap_a(&mut [0; 64], &[SPS, &[]]), None);
        assert_eq!(write_stap_a(&mut [0; 8], &[SPS]), None);
        assert_eq!(write_stap_a(&mut [0; 9], &[SPS]), Some(9));
    }

    #[test]
    fn containers_and_reserved_types_are_no_units() {
        // RFC 6184 §5.2, table 1: STAP-B, MTAP and FU are not unpacked here; 0, 30 and 31 are reserved.
        for nal_type in [0, 25, 26, 27, 28, 29, 30, 31] {
            assert_eq!(nal_units(&[0x60 | nal_type, 0x88, 0x80]).count(), 0, "type {nal_type}");
        }
        assert_eq!(nal_units(&[0x60 | 23, 0x88]).count(), 1);
    }

    #[test]
    fn an_aggregate_cut_short_gives_what_came_before() {
        let payload = stap_a(&[SPS, IDR]);
        assert_eq!(nal_units(&payload[..payload.len() - 1]).collect::<Vec<_>>(), [SPS]);
        assert_eq!(nal_units(&[0x78, 0, 0, 0, 1, 0x65]).count(), 0);
    }

    proptest! {
        #[test]
        fn an_aggregate_reads_back(units in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..10)) {
            let borrowed: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
            let mut out = [0; 512];
            let len = write_stap_a(&mut out, &borrowed).unwrap();
            prop_assert_eq!(nal_units(&out[..len]).collect::<Vec<_>>(), borrowed);
        }
    }
}

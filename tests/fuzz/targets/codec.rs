//! What forwarding reads of payloads (H.264, H.265, VP8, VP9, AV1, Opus): hints, parameter sets and what is put before a
//! key frame that comes without them.

use corecast::limits;
use corecast::relay::publish::parameter_sets::ParameterSets;
use corecast::wire::codec::av1::AggregationHeader;
use corecast::wire::codec::picture_numbers::{self, NumberShift};
use corecast::wire::codec::vp8::Vp8Descriptor;
use corecast::wire::codec::vp9::Vp9Descriptor;
use corecast::wire::codec::{self, Codec, h264, h265, vp8};

use super::Seed;
use super::script::{Script, ScriptWriter};

/// Payloads of one track, one after the other.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let codec = Codec::ALL[usize::from(script.byte()) % Codec::ALL.len()];
    let mut sets = ParameterSets::default();
    let mut frame = 0;
    while !script.is_over() {
        frame += u32::from(script.byte() & 1);
        let payload = script.chunk();
        inspect(payload);
        renumber(payload, NumberShift { picture: 0x7ff0 + frame as u16, base_layer: frame as u8, key_frame: 5 });
        sets.observe(codec, frame, payload);
        before_key_frame(&sets, codec, frame);
    }
}

fn inspect(payload: &[u8]) {
    for codec in Codec::ALL {
        let hints = codec::inspect(codec, payload);
        assert!(hints.frame_start || !hints.key_frame_start, "a key frame is a frame");
        assert!(!payload.is_empty() || hints == codec::PayloadHints::default());
    }
    let whole = |units: &[&[u8]]| {
        assert!(units.iter().all(|unit| !unit.is_empty()));
        assert!(units.iter().map(|unit| unit.len()).sum::<usize>() <= payload.len());
    };
    whole(&h264::nal_units(payload).collect::<Vec<_>>());
    whole(&h265::nal_units(payload).collect::<Vec<_>>());
    for set in h264::parameter_sets(payload) {
        if let h264::ParameterSet::Sequence(unit) = set {
            let profile = h264::SequenceParameterSet::parse(unit).map(|set| set.profile_level_id());
            assert!(profile.is_none_or(|profile| profile < 1 << 24));
        }
    }
    h265::parameter_sets(payload).for_each(drop);
    if let Some((_, elements)) = AggregationHeader::parse(payload) {
        assert!(elements.map(<[u8]>::len).sum::<usize>() < payload.len().max(1));
    }
    let rest =
        [Vp8Descriptor::parse(payload).map(|(_, rest)| rest), Vp9Descriptor::parse(payload).map(|(_, rest)| rest)];
    assert!(rest.into_iter().flatten().all(|rest| rest.len() < payload.len()));
    assert!(vp8::key_frame_size(payload).is_none() || codec::inspect(Codec::Vp8, payload).key_frame_start);
}

/// The parsers read the shifted numbers, everything else as before, and a shift back gives the payload.
fn renumber(payload: &[u8], shift: NumberShift) {
    let NumberShift { picture, base_layer, key_frame } = shift;
    let back = NumberShift {
        picture: 0_u16.wrapping_sub(picture),
        base_layer: 0_u8.wrapping_sub(base_layer),
        key_frame: 0_u8.wrapping_sub(key_frame),
    };
    for codec in Codec::ALL {
        let mut shifted = payload.to_vec();
        picture_numbers::rewrite(codec, &mut shifted, shift);
        match picture_numbers::read(codec, payload) {
            None => assert_eq!(shifted, payload),
            Some(before) => {
                let after = picture_numbers::read(codec, &shifted).unwrap();
                let expected = before.picture.map(|(number, is_long)| {
                    (number.wrapping_add(picture) & if is_long { 0x7fff } else { 0x7f }, is_long)
                });
                assert_eq!(after.picture, expected);
                assert_eq!(after.base_layer, before.base_layer.map(|number| number.wrapping_add(base_layer)));
                assert_eq!(after.key_frame, before.key_frame.map(|number| number.wrapping_add(key_frame) & 31));
            }
        }
        assert_eq!(codec::layer_of(codec, &shifted), codec::layer_of(codec, payload));
        assert_eq!(codec::inspect(codec, &shifted), codec::inspect(codec, payload));
        picture_numbers::rewrite(codec, &mut shifted, back);
        assert_eq!(shifted, payload);
    }
    let numbers = picture_numbers::read(Codec::Vp8, payload);
    let parsed = Vp8Descriptor::parse(payload).map(|(descriptor, _)| descriptor);
    assert_eq!(
        numbers.map(|numbers| (numbers.picture, numbers.base_layer, numbers.key_frame)),
        parsed.map(|vp8| (vp8.picture_id.map(|id| (id, vp8.picture_id_long)), vp8.tl0_picture_index, vp8.key_index))
    );
    if let Some((vp9, _)) = Vp9Descriptor::parse(payload) {
        let numbers = picture_numbers::read(Codec::Vp9, payload).unwrap();
        assert_eq!(numbers.picture, vp9.picture_id.map(|id| (id, vp9.picture_id_long)));
        assert_eq!(numbers.base_layer, vp9.tl0_picture_index);
    }
}

/// What would be put before a key frame is one aggregate of whole parameter sets, and fits a record.
fn before_key_frame(sets: &ParameterSets, codec: Codec, frame: u32) {
    let mut out = [0; limits::DATAGRAM_IN_BYTES_MAX];
    assert_eq!(sets.missing_before(codec, frame, &mut [0; 2]), None);
    let Some(len) = sets.missing_before(codec, frame + 1, &mut out) else { return };
    let kept = match codec {
        Codec::H264 => h264::nal_units(&out[..len]).collect::<Vec<_>>(),
        Codec::H265 => h265::nal_units(&out[..len]).collect(),
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Opus | Codec::Red => {
            panic!("{codec:?} has no parameter sets in the stream")
        }
    };
    assert!((1..=limits::PARAMETER_SETS_MAX).contains(&kept.len()));
    assert!(kept.iter().all(|unit| unit.len() <= limits::PARAMETER_SET_BYTES_MAX));
    assert!(codec::inspect(codec, &out[..len]).has_parameter_sets);
    let again = |unit: &&[u8]| {
        let (h264, h265) = (h264::parameter_sets(unit).count(), h265::parameter_sets(unit).count());
        if codec == Codec::H264 { h264 == 1 } else { h265 == 1 }
    };
    assert!(kept.iter().all(again), "nothing but parameter sets");
}

/// The first bytes of real payloads, by the file that has them; see `tests/data/traces/README.md`.
pub fn traces() -> Vec<(&'static str, Codec, Vec<Vec<u8>>)> {
    macro_rules! trace {
        ($name:literal, $codec:expr) => {
            ($name, $codec, heads(include_str!(concat!("../../data/traces/", $name, ".csv"))))
        };
    }
    vec![
        trace!("chromium-H264-2500", Codec::H264),
        trace!("gst-sliced-2500", Codec::H264),
        trace!("chromium-VP8-2500", Codec::Vp8),
        trace!("chromium-VP9-2500", Codec::Vp9),
        trace!("chromium-AV1-2500", Codec::Av1),
    ]
}

fn heads(csv: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let head = |line: &str| line.rsplit(',').next().unwrap().as_bytes().chunks_exact(2).map(byte).collect();
    csv.lines().skip(1).map(head).collect()
}

pub fn seeds() -> Vec<Seed> {
    let number = |codec| Codec::ALL.iter().position(|&other| other == codec).unwrap() as u8;
    let script = |codec, payloads: &[&[u8]]| {
        let steps = payloads.iter().fold(ScriptWriter::default().byte(number(codec)), |script, payload| {
            script.byte(u8::from(payload.len() > 8)).chunk(payload)
        });
        steps.done()
    };
    let mut seeds: Vec<Seed> = traces()
        .iter()
        .map(|(name, codec, heads)| {
            let heads: Vec<&[u8]> = heads.iter().take(12).map(Vec::as_slice).collect();
            ((*name).to_owned(), script(*codec, &heads))
        })
        .collect();
    let (sps, pps) = (&[0x67, 0x42, 0xc0, 0x20, 0x8c, 0x8d][..], &[0x68, 0xce, 0x3c, 0x80][..]);
    let idr = &[0x65, 0xb8, 0, 4][..];
    let aggregate = [&[0x78, 0, 6][..], sps, &[0, 4], pps, &[0, 4], idr].concat();
    seeds.push(("h264-sets".into(), script(Codec::H264, &[sps, pps, idr, &aggregate, &[0x7c, 0x87, 1]])));
    let h265 =
        [&[0x60, 1, 0, 4][..], &[0x40, 1, 0xc, 1], &[0, 4], &[0x42, 1, 1, 1], &[0, 3], &[0x44, 1, 0xc0]].concat();
    let slice = &[0x26, 1, 0xaf, 0x06][..];
    seeds.push(("h265-sets".into(), script(Codec::H265, &[&h265, slice, &[0x62, 1, 0x93, 0xaf], &[0x62, 1, 0x53, 1]])));
    seeds.push(("opus".into(), script(Codec::Opus, &[&[0x78; 40], &[]])));
    seeds
}

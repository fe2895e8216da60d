//! The hints against what real publishers sent (`tests/data/traces`), and against arbitrary bytes.

use proptest::prelude::*;

use super::*;

/// A packet of a trace: its payload is the recorded head, filled up with zeros to the recorded length.
struct Row {
    marker: bool,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

fn rows(csv: &str) -> Vec<Row> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [marker, sequence, timestamp, len, head] = fields[..] else { panic!("{line}") };
        let byte = |at: usize| u8::from_str_radix(&head[at..at + 2], 16).unwrap();
        let mut payload: Vec<u8> = (0..head.len()).step_by(2).map(byte).collect();
        payload.resize(len.parse().unwrap(), 0);
        Row {
            marker: marker == "1",
            sequence: sequence.parse().unwrap(),
            timestamp: timestamp.parse().unwrap(),
            payload,
        }
    };
    csv.lines().skip(1).map(row).collect()
}

/// A trace's frames in order, whole.
fn frames(csv: &str) -> Vec<Vec<Row>> {
    let mut frames: Vec<Vec<Row>> = Vec::new();
    for row in rows(csv) {
        match frames.last_mut() {
            Some(frame) if frame[0].timestamp == row.timestamp => frame.push(row),
            _ => frames.push(vec![row]),
        }
    }
    frames
}

macro_rules! traces {
    ($($name:ident: $codec:ident, $file:literal, frames $frames:literal, key frames $keys:expr;)+) => {
        $(mod $name {
            use super::*;

            #[test]
            fn frames_and_key_frames_begin_once_and_where_the_timestamp_changes() {
                let trace = include_str!(concat!("../../../tests/data/traces/", $file, ".csv"));
                let frames = frames(trace);
                assert_eq!(frames.len(), $frames);
                let keys = check(Codec::$codec, &frames);
                assert_eq!(keys, $keys);
            }
        })+
    };
}

/// Checks every frame and returns the indices of the key frames.
fn check(codec: Codec, frames: &[Vec<Row>]) -> Vec<usize> {
    let mut keys = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        let hints: Vec<PayloadHints> = frame.iter().map(|row| inspect(codec, &row.payload)).collect();
        let place = format!("frame {index}, from sequence number {}", frame[0].sequence);

        let starts = || hints.iter().filter(|hints| hints.frame_start);
        assert_eq!(starts().count(), 1, "{place}");
        let first = hints.iter().position(|hints| hints.frame_start).unwrap();
        if !matches!(codec, Codec::H264 | Codec::H265) {
            assert_eq!(first, 0, "{place}");
        }
        // What comes before the first slice is parameter sets or an access unit delimiter.
        for row in &frame[..first] {
            assert!(matches!(row.payload[0] & 0x1f, 7 | 8 | 9 | 24), "{place}");
        }

        let key_starts = hints.iter().filter(|hints| hints.key_frame_start).count();
        assert!(key_starts <= 1, "{place}");
        if key_starts == 1 {
            assert!(hints[first].key_frame_start, "{place}");
            let with_sets = matches!(codec, Codec::H264 | Codec::Av1);
            assert_eq!(hints[..=first].iter().any(|hints| hints.has_parameter_sets), with_sets, "{place}");
            keys.push(index);
        } else {
            assert!(!hints.iter().any(|hints| hints.has_parameter_sets), "{place}");
        }

        // Equal-size runs come from padding all but the last; that one never needs it.
        for (row, hints) in frame.iter().zip(&hints) {
            assert!(!(row.marker && hints.paddable) || codec == Codec::Vp8, "{place}");
        }
        let paddable = hints.iter().filter(|hints| hints.paddable).count();
        assert!(frame.len() < 4 || paddable >= frame.len() / 2, "{place}: {paddable} of {}", frame.len());
    }
    keys
}

// The indices were found apart from this code, by a script over the whole recordings.
traces! {
    chromium_av1_2500: Av1, "chromium-AV1-2500", frames 35, key frames [0, 26];
    chromium_h264_1000: H264, "chromium-H264-1000", frames 76, key frames [0, 70];
    chromium_h264_2500: H264, "chromium-H264-2500", frames 33, key frames [4, 27];
    chromium_h264_4000: H264, "chromium-H264-4000", frames 12, key frames [7];
    chromium_vp8_2500: Vp8, "chromium-VP8-2500", frames 12, key frames [7];
    chromium_vp9_2500: Vp9, "chromium-VP9-2500", frames 30, key frames [0, 8];
    firefox_vp8_2500: Vp8, "firefox-VP8-2500", frames 20, key frames [0, 1];
    gstreamer_h264_single: H264, "gst-single-2500", frames 15, key frames [5, 10];
    gstreamer_h264_sliced: H264, "gst-sliced-2500", frames 19, key frames [5, 14];
}

#[test]
fn the_sequence_parameter_set_of_a_browser_gives_its_profile() {
    let frames = frames(include_str!("../../../tests/data/traces/chromium-H264-1000.csv"));
    let sets: Vec<_> = h264::parameter_sets(&frames[0][0].payload).collect();
    let h264::ParameterSet::Sequence(unit) = sets[0] else { panic!("{sets:?}") };
    assert_eq!(h264::SequenceParameterSet::parse(unit).unwrap().profile_level_id(), 0x42_c020);
}

#[test]
fn vp8_key_frames_of_a_browser_tell_their_width() {
    let frames = frames(include_str!("../../../tests/data/traces/chromium-VP8-2500.csv"));
    let sizes: Vec<_> = frames.iter().flatten().filter_map(|row| vp8::key_frame_size(&row.payload)).collect();
    // The recorded heads end before the height.
    assert_eq!(sizes, [(1280, 0)]);
}

#[test]
fn sequence_headers_of_a_browser_tell_the_size() {
    let sizes = |codec, csv| -> Vec<_> {
        frames(csv).iter().flatten().filter_map(|row| picture_size(codec, &row.payload)).collect()
    };
    let (vp9, av1) = (
        include_str!("../../../tests/data/traces/chromium-VP9-2500.csv"),
        include_str!("../../../tests/data/traces/chromium-AV1-2500.csv"),
    );
    assert_eq!(sizes(Codec::Vp9, vp9), [(1280, 720); 2]);
    // It was too slow for the whole picture and encoded three quarters of it.
    assert_eq!(sizes(Codec::Av1, av1), [(960, 540); 2]);
}

#[test]
fn clocks_are_those_of_the_payload_formats() {
    // RFC 7587 §4.1: always 48 kHz, whatever the sampling rate. Every video format: 90 kHz.
    for codec in Codec::ALL {
        assert_eq!(codec.clock_rate_hz(), if matches!(codec, Codec::Opus | Codec::Red) { 48_000 } else { 90_000 });
    }
}

#[test]
fn names_are_found_in_any_case() {
    for codec in Codec::ALL {
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
        assert_eq!(Codec::from_name(&codec.name().to_lowercase()), Some(codec));
    }
    assert_eq!(Codec::from_name("OPUS"), Some(Codec::Opus));
    assert_eq!(Codec::from_name("rtx"), None);
}

proptest! {
    #[test]
    fn any_payload_is_read_without_panic(
        first in any::<[u8; 3]>(),
        // Small numbers make plausible lengths.
        rest in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..8], 0..200),
        len in 0_usize..204,
    ) {
        let mut payload = [&first[..], &rest].concat();
        payload.truncate(len);
        for codec in Codec::ALL {
            let hints = inspect(codec, &payload);
            prop_assert!(hints.frame_start || !hints.key_frame_start);
            prop_assert!(!payload.is_empty() || hints == PayloadHints::default());
        }
        for aggregate in [&[0x78][..], &[0x60, 0x01]] {
            let payload = [aggregate, &payload].concat();
            prop_assert!(h264::nal_units(&payload).count() <= payload.len());
            prop_assert!(h265::nal_units(&payload).count() <= payload.len());
            let _ = (h264::parameter_sets(&payload).count(), h265::parameter_sets(&payload).count());
        }
        for codec in Codec::ALL {
            let _ = picture_size(codec, &payload);
        }
        for header in [&[0x67, 0x64, 0x00, 0x28][..], &[0x42, 0x01, 0x01], &[0x8c, 0x80, 0x01, 0x82, 0x49, 0x83, 0x42], &[0x18, 0x08]] {
            let payload = [header, &payload].concat();
            for codec in Codec::ALL {
                let _ = picture_size(codec, &payload);
            }
        }
    }
}

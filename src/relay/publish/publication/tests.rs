//! Whose packet is it, is it new, and what of it is forwarded: the publisher's side against the RFCs it cites.

use super::*;
use crate::description::{ExtensionIds, MediaKind, SsrcPair};
use crate::relay::store::record::MediaRecord;
use crate::wire::bytes::{ImportError, StateReader, StateWriter, refuses_damage};
use crate::wire::codec::Codec;
use crate::wire::rtp::{self, HeaderFields};

mod simulcast;

const AUDIO_TYPE: u8 = 111;
const VIDEO_TYPE: u8 = 96;
const RTX_TYPE: u8 = 97;
const MID: u8 = 4;
const TRANSPORT_CC: u8 = 5;

/// A slice of an IDR picture and one that is none (ITU-T H.264 §7.3.1), each the first of its picture.
const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x00];
const SLICE: &[u8] = &[0x41, 0x9a, 0x24, 0x00];
const SPS: &[u8] = &[0x67, 0x42, 0xe0, 0x1f, 0xda];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

fn codec(codec: Codec) -> NegotiatedCodec {
    let is_video = codec != Codec::Opus;
    NegotiatedCodec {
        codec,
        format: match codec {
            Codec::H264 => CodecFormat::H264 { profile_level_id: 0x42_e01f, packetization_mode: 1 },
            _ => CodecFormat::Plain,
        },
        payload_type: if is_video { VIDEO_TYPE } else { AUDIO_TYPE },
        rtx_payload_type: is_video.then_some(RTX_TYPE),
        clock_rate_hz: if is_video { 90_000 } else { 48_000 },
        nack: is_video,
        pli: is_video,
        fir: is_video,
        transport_cc: false,
        remb: false,
    }
}

fn section(mid: &str, agreed: NegotiatedCodec) -> NegotiatedMedia {
    NegotiatedMedia {
        kind: if agreed.codec == Codec::Opus { MediaKind::Audio } else { MediaKind::Video },
        mid: mid.into(),
        codecs: vec![agreed],
        extensions: ExtensionIds { mid: Some(MID), ..ExtensionIds::default() },
        ssrcs: Vec::new(),
        rids: Vec::new(),
        parameter_sets: Vec::new(),
    }
}

/// Sound, then a picture in H.264.
fn publication() -> Publication {
    Publication::new(&[section("0", codec(Codec::Opus)), section("1", codec(Codec::H264))], 7, 1)
}

fn video(ssrc: u32, sequence: u16) -> HeaderFields {
    let timestamp = u32::from(sequence) * 3_000;
    HeaderFields { marker: false, padding: false, payload_type: VIDEO_TYPE, sequence, timestamp, ssrc }
}

fn sound(ssrc: u32, sequence: u16) -> HeaderFields {
    HeaderFields { payload_type: AUDIO_TYPE, ..video(ssrc, sequence) }
}

/// What a test looks at of a stored record.
#[derive(Debug, PartialEq, Eq)]
enum Stored {
    Begin(usize),
    Format(CodecFormat),
    Media { track: usize, sequence: u64, payload: Vec<u8>, marker: bool, key_frame: bool, padding: u8 },
}

/// A packet of a frame's middle.
fn media(track: usize, sequence: u64, payload: &[u8]) -> Stored {
    Stored::Media { track, sequence, payload: payload.into(), marker: false, key_frame: false, padding: 0 }
}

fn key_frame(sequence: u64, payload: &[u8]) -> Stored {
    Stored::Media { track: 1, sequence, payload: payload.into(), marker: false, key_frame: true, padding: 0 }
}

fn receive_with(
    publication: &mut Publication,
    fields: HeaderFields,
    extensions: &[(u8, &[u8])],
    payload: &[u8],
) -> Result<Vec<Stored>, NotForwarded> {
    let mut bytes = vec![0; 2_000];
    let len = rtp::write_header(&mut bytes, &fields, extensions).unwrap();
    bytes.truncate(len);
    bytes.extend_from_slice(payload);
    let mut stored = Vec::new();
    let now = Timestamp::from_millis(1_000 + u64::from(fields.sequence) * 33);
    publication.receive(&RtpPacket::parse(&bytes).unwrap(), now, |track, record| {
        stored.push(match record {
            Record::Format(published) => Stored::Format(published.format),
            Record::Media(MediaRecord {
                sequence, payload, marker, key_frame, padding, timestamp, arrival, ..
            }) => {
                assert_eq!((timestamp, arrival), (fields.timestamp, now));
                Stored::Media { track, sequence, payload: payload.into(), marker, key_frame, padding }
            }
            Record::Begin => Stored::Begin(track),
            Record::Replay(_) => panic!("nothing is of the past here"),
            Record::Data(_) => panic!("a track has no data channels"),
            Record::Clock { .. } => panic!("clocks come with sender reports"),
            Record::Rung(_) => panic!("what is measured is asked for"),
        });
    })?;
    Ok(stored)
}

fn receive(publication: &mut Publication, fields: HeaderFields, payload: &[u8]) -> Result<Vec<Stored>, NotForwarded> {
    receive_with(publication, fields, &[], payload)
}

/// Extended sequence numbers of a source begin one rollover up.
const UP: u64 = 1 << 16;

#[test]
fn the_first_packet_is_preceded_by_its_format() {
    let mut publication = publication();
    assert_eq!(publication.tracks[1].introduction().count(), 0, "nobody has to know before there is a packet");
    let format = CodecFormat::H264 { profile_level_id: 0x42_e01f, packetization_mode: 1 };
    assert_eq!(
        receive(&mut publication, video(10, 1), SLICE),
        Ok(vec![Stored::Format(format), media(1, UP + 1, SLICE)])
    );
    assert_eq!(receive(&mut publication, video(10, 2), SLICE), Ok(vec![media(1, UP + 2, SLICE)]));
    assert_eq!(publication.tracks[1].published().format, format);
    let introduction: Vec<_> = publication.tracks[1].introduction().collect();
    let measured = *publication.tracks[1].measured().unwrap();
    assert_eq!(introduction, [Record::Format(*publication.tracks[1].published()), Record::Rung(measured)]);
    assert_eq!((publication.tracks[0].ssrc(), publication.tracks[1].ssrc()), (None, Some(10)));
    assert_eq!((publication.track_of(10), publication.track_of(11)), (Some(1), None));
}

#[test]
fn a_source_is_bound_by_its_mid_even_where_its_payload_type_fits_two_tracks() {
    // RFC 8843 §9.2: the MID decides; with it seen once, the SSRC stands for it.
    let mut publication = Publication::new(&[section("a", codec(Codec::Vp8)), section("b", codec(Codec::Vp8))], 7, 1);
    assert_eq!(receive(&mut publication, video(10, 1), &[0x10, 1]), Err(NotForwarded::UnknownSource));
    let no_mid: &[(u8, &[u8])] = &[(MID, b"c"), (MID + 1, b"b")];
    assert_eq!(receive_with(&mut publication, video(10, 1), no_mid, &[0x10, 1]), Err(NotForwarded::UnknownSource));
    let stored = receive_with(&mut publication, video(10, 1), &[(MID, b"b")], &[0x10, 1]).unwrap();
    assert!(matches!(stored[..], [Stored::Format(_), Stored::Media { track: 1, .. }]), "{stored:?}");
    assert!(receive(&mut publication, video(10, 2), &[0x10, 1]).is_ok());
    let repair = HeaderFields { payload_type: RTX_TYPE, ..video(11, 1) };
    assert_eq!(receive_with(&mut publication, repair, &[(MID, b"b")], &[]), Err(NotForwarded::Probe));
    assert_eq!(publication.track_of(11), Some(1));
    assert_eq!(publication.tracks[1].ssrc(), Some(10), "a repair stream is not the media's");
}

#[test]
fn a_payload_type_that_only_one_track_has_tells_the_track() {
    let mut publication = publication();
    assert!(receive(&mut publication, sound(20, 1), &[1]).is_ok());
    assert!(receive(&mut publication, video(10, 1), SLICE).is_ok());
    assert_eq!((publication.track_of(20), publication.track_of(10)), (Some(0), Some(1)));
    let repair = HeaderFields { payload_type: RTX_TYPE, ..video(11, 1) };
    assert_eq!(receive(&mut publication, repair, &[]), Err(NotForwarded::Probe));
    assert_eq!(publication.track_of(11), Some(1));
    let unknown = HeaderFields { payload_type: 35, ..video(12, 1) };
    assert_eq!(receive(&mut publication, unknown, SLICE), Err(NotForwarded::UnknownSource));
}

#[test]
fn declared_sources_are_bound_before_they_send() {
    let pairs = [SsrcPair { media: 10, rtx: Some(11) }, SsrcPair { media: 12, rtx: None }];
    let declared = NegotiatedMedia { ssrcs: pairs.to_vec(), ..section("1", codec(Codec::Vp8)) };
    // Both tracks have the same payload types: only the declaration can tell.
    let mut publication = Publication::new(&[section("0", codec(Codec::Vp8)), declared], 7, 1);
    for ssrc in 10..13 {
        assert_eq!(publication.track_of(ssrc), Some(1));
    }
    assert!(receive(&mut publication, video(10, 1), &[0x10, 1]).is_ok());
    // What is declared as a repair stream is no media, and the other way round.
    assert_eq!(receive(&mut publication, video(11, 2), &[0x10, 1]), Err(NotForwarded::UnknownPayloadType));
    let repair = HeaderFields { payload_type: RTX_TYPE, ..video(10, 2) };
    assert_eq!(receive(&mut publication, repair, &[0, 1, 0x10, 1]), Err(NotForwarded::UnknownPayloadType));
}

#[test]
fn sections_without_a_codec_are_no_tracks() {
    let refused = NegotiatedMedia { codecs: Vec::new(), ..section("0", codec(Codec::Opus)) };
    let publication = Publication::new(&[refused, section("1", codec(Codec::Vp8))], 7, 1);
    assert_eq!(publication.tracks.len(), 1);
    assert_eq!(publication.tracks[0].kind, MediaKind::Video);
}

#[test]
fn bindings_are_bounded_and_the_oldest_goes() {
    let mut publication = publication();
    let max = limits::SOURCES_PER_TRACK_MAX as u32 * 2 * 2;
    for ssrc in 0..max {
        publication.goodbye(100 + ssrc.saturating_sub(1), Timestamp::ZERO);
        receive(&mut publication, video(100 + ssrc, 1), SLICE).unwrap();
    }
    assert_eq!(publication.track_of(100), Some(1));
    publication.goodbye(100 + max - 1, Timestamp::ZERO);
    receive(&mut publication, video(99, 1), SLICE).unwrap();
    assert_eq!((publication.track_of(100), publication.track_of(101)), (None, Some(1)));
    assert_eq!(publication.bindings.len(), max as usize);
}

#[test]
fn a_repair_fills_the_gap_it_names() {
    let mut publication = publication();
    receive(&mut publication, video(10, 1), SLICE).unwrap();
    receive(&mut publication, video(10, 3), SLICE).unwrap();
    let repair = |sequence| HeaderFields { payload_type: RTX_TYPE, timestamp: 6_000, ..video(11, sequence) };
    assert_eq!(receive(&mut publication, repair(500), &[2]), Err(NotForwarded::Malformed));
    assert_eq!(receive(&mut publication, repair(501), &[]), Err(NotForwarded::Probe));
    // RFC 4588 §4: the original sequence number comes first.
    let payload = [&[0, 2], SLICE].concat();
    assert_eq!(receive(&mut publication, repair(502), &payload), Ok(vec![media(1, UP + 2, SLICE)]));
    assert_eq!(receive(&mut publication, repair(503), &payload), Err(NotForwarded::Duplicate));
    assert_eq!(receive(&mut publication, video(10, 2), SLICE), Err(NotForwarded::Duplicate));
}

#[test]
fn probes_are_left_out_without_a_hole() {
    let mut publication = publication();
    receive(&mut publication, video(10, 1), SLICE).unwrap();
    assert_eq!(receive(&mut publication, video(10, 2), &[]), Err(NotForwarded::Probe));
    assert_eq!(receive(&mut publication, video(10, 3), SLICE), Ok(vec![media(1, UP + 2, SLICE)]));
}

#[test]
fn another_ssrc_begins_another_run_of_numbers() {
    let mut publication = publication();
    assert_eq!(receive(&mut publication, video(10, 500), &[]), Err(NotForwarded::Probe));
    receive(&mut publication, video(10, 501), SLICE).unwrap();
    let before = publication.tracks[1].incarnation;
    receive(&mut publication, video(10, 502), SLICE).unwrap();
    assert_eq!(publication.tracks[1].incarnation, before);
    publication.goodbye(10, Timestamp::ZERO);
    assert_eq!(receive(&mut publication, video(30, 9), SLICE), Ok(vec![Stored::Begin(1), media(1, UP + 9, SLICE)]));
    assert_eq!(publication.tracks[1].ssrc(), Some(30));
    assert_eq!(publication.tracks[1].reception.report(30, Timestamp::ZERO).unwrap().cumulative_lost, 0);
    let after = publication.tracks[1].incarnation;
    publication.goodbye(30, Timestamp::ZERO);
    receive(&mut publication, video(31, 9), SLICE).unwrap();
    let all = [publication.tracks[0].incarnation, before, after, publication.tracks[1].incarnation];
    for (n, incarnation) in all.iter().enumerate() {
        assert!(!all[..n].contains(incarnation), "{all:?}");
        assert_eq!(incarnation.0 >> 16, 7, "those of another publication are others");
    }
}

#[test]
fn of_several_encodings_the_first_living_is_forwarded_and_only_its_own_repairs() {
    // Firefox declares the sources of three encodings, and Chromium sends them where an answer's refusal is overlooked.
    let pairs = [(10, 11), (20, 21)].map(|(media, rtx)| SsrcPair { media, rtx: Some(rtx) });
    let declared = NegotiatedMedia { ssrcs: pairs.to_vec(), ..section("1", codec(Codec::H264)) };
    let mut publication = Publication::new(&[section("0", codec(Codec::Opus)), declared], 7, 1);
    receive(&mut publication, video(10, 1), SLICE).unwrap();
    let before = publication.tracks[1].incarnation;
    assert_eq!(receive(&mut publication, video(20, 1), SLICE), Err(NotForwarded::OtherEncoding));
    receive(&mut publication, video(10, 3), SLICE).unwrap();
    let repair = |ssrc| HeaderFields { payload_type: RTX_TYPE, timestamp: 6_000, ..video(ssrc, 4) };
    let payload = [&[0, 2], SLICE].concat();
    assert_eq!(receive(&mut publication, repair(21), &payload), Err(NotForwarded::OtherEncoding));
    assert_eq!(receive(&mut publication, repair(11), &payload), Ok(vec![media(1, UP + 2, SLICE)]));
    assert_eq!(publication.tracks[1].incarnation, before, "one unbroken run");
    // The first is turned off: what comes of the second is forwarded once it is clear that it is the one that lives.
    let forwarded: Vec<bool> =
        (4..20).map(|sequence| receive(&mut publication, video(20, sequence), SLICE).is_ok()).collect();
    let from = forwarded.iter().position(|&is| is).expect("it is forwarded");
    assert!(from == 10 && forwarded[from..].iter().all(|&is| is), "{forwarded:?}");
    assert_eq!(publication.tracks[1].ssrc(), Some(20));
}

#[test]
fn a_key_frame_without_parameter_sets_is_sent_with_the_newest() {
    let mut publication = publication();
    receive(&mut publication, video(10, 1), SPS).unwrap();
    receive(&mut publication, video(10, 2), PPS).unwrap();
    assert_eq!(receive(&mut publication, video(10, 3), SLICE), Ok(vec![media(1, UP + 3, SLICE)]));
    // STAP-A (RFC 6184 §5.7.1), which takes the key frame's number and moves it up.
    let aggregate = [&[0x78, 0, 5], SPS, &[0, 4], PPS].concat();
    assert_eq!(
        receive(&mut publication, video(10, 4), IDR),
        Ok(vec![media(1, UP + 4, &aggregate), key_frame(UP + 5, IDR)])
    );
    assert_eq!(receive(&mut publication, video(10, 5), SLICE), Ok(vec![media(1, UP + 6, SLICE)]));
    // One that brings its own gets none.
    receive(&mut publication, video(10, 6), SPS).unwrap();
    let same_frame = HeaderFields { timestamp: 18_000, ..video(10, 7) };
    assert_eq!(receive(&mut publication, same_frame, IDR), Ok(vec![key_frame(UP + 8, IDR)]));
}

#[test]
fn parameter_sets_of_the_offer_are_put_before_key_frames_until_the_stream_brings_its_own() {
    let high: &[u8] = &[0x67, 0x64, 0x00, 0x28, 0xda];
    let parameter_sets = vec![high.to_vec(), PPS.to_vec()];
    let declared = NegotiatedMedia { parameter_sets, ..section("1", codec(Codec::H264)) };
    let mut publication = Publication::new(&[section("0", codec(Codec::Opus)), declared], 7, 1);
    let format = CodecFormat::H264 { profile_level_id: 0x64_0028, packetization_mode: 1 };
    let aggregate = [&[0x78, 0, 5], high, &[0, 4], PPS].concat();
    assert_eq!(
        receive(&mut publication, video(10, 1), IDR),
        Ok(vec![Stored::Format(format), media(1, UP + 1, &aggregate), key_frame(UP + 2, IDR)])
    );
    assert_eq!(receive(&mut publication, video(10, 2), SLICE), Ok(vec![media(1, UP + 3, SLICE)]));
    // The stream's own replaces it, profile and all.
    receive(&mut publication, video(10, 3), SPS).unwrap();
    let aggregate = [&[0x78, 0, 5], SPS, &[0, 4], PPS].concat();
    let before = receive(&mut publication, video(10, 4), IDR).unwrap();
    assert_eq!(before[0], media(1, UP + 5, &aggregate));
}

#[test]
fn the_sps_decides_what_profile_is_announced() {
    // RFC 6184 §8.1: profile_idc, profile_iop and level_idc, as in the SPS.
    let mut publication = publication();
    receive(&mut publication, video(10, 1), SLICE).unwrap();
    assert_eq!(receive(&mut publication, video(10, 2), SPS), Ok(vec![media(1, UP + 2, SPS)]), "what the SDP said");
    let high = &[0x67, 0x64, 0x00, 0x28, 0xda];
    let format = CodecFormat::H264 { profile_level_id: 0x64_0028, packetization_mode: 1 };
    assert_eq!(receive(&mut publication, video(10, 3), high), Ok(vec![Stored::Format(format), media(1, UP + 3, high)]));
    assert_eq!(receive(&mut publication, video(10, 4), high), Ok(vec![media(1, UP + 4, high)]));
}

#[test]
fn a_profile_that_alternates_is_told_a_few_times_and_media_goes_on() {
    let mut publication = publication();
    let high: &[u8] = &[0x67, 0x64, 0x00, 0x28, 0xda];
    let (mut told, mut forwarded) = (0, 0);
    // 1,000 frames in 33 s, another profile with each.
    for sequence in 1..=1_000 {
        let parameter_sets = if sequence % 2 == 0 { high } else { SPS };
        let stored = receive(&mut publication, video(10, sequence), parameter_sets).unwrap();
        told += stored.iter().filter(|stored| matches!(stored, Stored::Format(_))).count();
        forwarded += stored.iter().filter(|stored| matches!(stored, Stored::Media { .. })).count();
    }
    assert!((5..=12).contains(&told), "told {told} times");
    assert_eq!(forwarded, 1_000);
    assert!(publication.tracks[1].take_changes_ignored() > 400);
}

#[test]
fn only_pictures_have_key_frames_and_padding() {
    let mut publication = publication();
    for sequence in 1..4 {
        let marked = HeaderFields { marker: sequence == 2, ..sound(20, sequence) };
        let stored = receive(&mut publication, marked, &vec![1; 100 + usize::from(sequence)]).unwrap();
        let Some(Stored::Media { marker, key_frame, padding, .. }) = stored.last() else { panic!("{stored:?}") };
        assert_eq!((*marker, *key_frame, *padding), (sequence == 2, false, 0));
    }
    // Fragments of a slice (FU-A, RFC 6184 §5.8) that differ by a byte; the end of the frame is left alone.
    let mut paddings = Vec::new();
    for (sequence, len, marker) in [(1, 1_000, false), (2, 1_001, false), (3, 1_000, false), (4, 999, true)] {
        let mut fragment = vec![0x5c; len];
        fragment[1] = 0x01;
        let fields = HeaderFields { marker, timestamp: 9, ..video(10, sequence) };
        let stored = receive(&mut publication, fields, &fragment).unwrap();
        let Some(Stored::Media { marker: stored_marker, padding, .. }) = stored.last() else { panic!("{stored:?}") };
        assert_eq!(*stored_marker, marker);
        paddings.push(*padding);
    }
    assert_eq!(paddings, [1, 0, 1, 0]);
}

#[test]
fn arrivals_are_noted_where_transport_wide_feedback_was_agreed() {
    let agreed = |feedback, id| {
        let mut media = section("1", NegotiatedCodec { transport_cc: feedback, ..codec(Codec::H264) });
        media.extensions.transport_cc = id;
        Publication::new(&[media], 7, 1)
    };
    assert!(agreed(true, None).arrivals.is_none());
    assert!(agreed(false, Some(TRANSPORT_CC)).arrivals.is_none());
    let mut publication = agreed(true, Some(TRANSPORT_CC));
    receive_with(&mut publication, video(10, 1), &[(TRANSPORT_CC + 1, &[1, 2])], SLICE).unwrap();
    assert_eq!(publication.arrivals.as_ref().unwrap().next_deadline(), None);
    receive_with(&mut publication, video(10, 2), &[(TRANSPORT_CC, &[1, 2])], SLICE).unwrap();
    let due = publication.arrivals.as_ref().unwrap().next_deadline().unwrap();
    assert_eq!(due, Timestamp::from_millis(1_066) + limits::TRANSPORT_FEEDBACK_INTERVAL);
    assert_eq!(publication.arrivals.as_mut().unwrap().poll(due).unwrap().base_sequence, 0x0102);
}

#[test]
fn a_key_frame_is_asked_for_in_the_way_that_was_agreed() {
    for (pli, fir, expected) in [
        (true, true, KeyFrameFeedback::PictureLossIndication),
        (true, false, KeyFrameFeedback::PictureLossIndication),
        (false, true, KeyFrameFeedback::FullIntraRequest),
        (false, false, KeyFrameFeedback::None),
    ] {
        let publication = Publication::new(&[section("1", NegotiatedCodec { pli, fir, ..codec(Codec::Vp8) })], 7, 1);
        assert_eq!(publication.tracks[0].key_frame_feedback(), expected);
    }
    // RFC 5104 §4.3.1.1: the command sequence number rises by one with each, modulo 256.
    let mut publication = publication();
    let numbers: Vec<u8> = (0..257).map(|_| publication.next_full_intra_request()).collect();
    assert_eq!((numbers[0], numbers[1], numbers[255], numbers[256]), (1, 2, 0, 1));
}

#[test]
fn a_sender_report_gives_viewers_the_publishers_clock() {
    let mut publication = publication();
    receive(&mut publication, sound(20, 1), &[1]).unwrap();
    receive(&mut publication, video(10, 1), SLICE).unwrap();
    let now = Timestamp::from_millis(2_000);
    let info = SenderInfo { ntp: NtpTime(0x1234_5678 << 16), rtp_timestamp: 42, packet_count: 1, octet_count: 1 };
    let wall_clock = NtpTime(9_000 << 32);
    assert_eq!(publication.sender_report(99, &info, wall_clock, now), None);
    assert_eq!(publication.sender_report(10, &info, wall_clock, now), Some(1));
    let incarnation = publication.tracks[1].incarnation;
    assert_eq!(
        publication.tracks[1].introduction().nth(1),
        Some(Record::Clock { incarnation, ntp: wall_clock, timestamp: 42, arrival: now })
    );
    assert_eq!(publication.tracks[0].introduction().count(), 2, "the other track has not reported");
    // RFC 3550 §6.4.1: LSR is the middle of its NTP time.
    assert_eq!(publication.tracks[1].reception.report(10, now).unwrap().last_sender_report, 0x1234_5678);
}

#[test]
fn the_next_thing_to_do_is_the_earliest_of_reports_repairs_and_feedback() {
    let mut media = section("1", NegotiatedCodec { transport_cc: true, ..codec(Codec::H264) });
    media.extensions.transport_cc = Some(TRANSPORT_CC);
    let mut publication = Publication::new(&[section("0", codec(Codec::Opus)), media], 7, 1);
    assert_eq!(publication.next_deadline(), None, "nobody to report to");
    receive(&mut publication, video(10, 1), SLICE).unwrap();
    assert_eq!(publication.next_deadline(), Some(Timestamp::ZERO), "the first report is due at once");
    let now = Timestamp::from_millis(1_033);
    publication.tracks[1].reported(now);
    let report = now + limits::RECEIVER_REPORT_INTERVAL;
    assert_eq!(publication.tracks[1].next_report(), report);
    assert_eq!(publication.next_deadline(), Some(report));
    receive_with(&mut publication, video(10, 2), &[(TRANSPORT_CC, &[1, 2])], SLICE).unwrap();
    assert_eq!(publication.next_deadline(), Some(Timestamp::from_millis(1_066) + limits::TRANSPORT_FEEDBACK_INTERVAL));
    receive(&mut publication, video(10, 4), SLICE).unwrap();
    assert_eq!(publication.next_deadline(), publication.arrivals.as_ref().unwrap().next_deadline());
    let poll = publication.next_deadline().unwrap();
    publication.arrivals.as_mut().unwrap().poll(poll).unwrap();
    assert_eq!(publication.next_deadline(), Some(Timestamp::from_millis(1_132) + limits::NACK_GRACE));
}

#[test]
fn a_publication_goes_on_in_another_process() {
    let media = [section("0", codec(Codec::Opus)), section("1", codec(Codec::H264))];
    let mut before = publication();
    receive(&mut before, sound(20, 1), &[1]).unwrap();
    let high = &[0x67, 0x64, 0x00, 0x28, 0xda];
    receive(&mut before, video(10, 1), high).unwrap();
    assert_eq!(receive(&mut before, video(10, 2), &[]), Err(NotForwarded::Probe));
    receive(&mut before, video(10, 5), SLICE).unwrap();
    let now = Timestamp::from_millis(2_000);
    let mut out = StateWriter::new();
    before.export(now, &mut out);
    let bytes = out.finish();
    let import_with = |media: &[NegotiatedMedia], bytes: &[u8]| {
        let mut from = StateReader::new(bytes);
        let publication = Publication::import(media, 1, now, &mut from)?;
        from.finish()?;
        Ok(publication)
    };
    let import = |bytes: &[u8]| import_with(&media, bytes);
    refuses_damage(&bytes, import);
    assert_eq!(import_with(&media[..1], bytes.as_slice()).err(), Some(ImportError::Malformed), "other tracks");
    let mut after = import(bytes.as_slice()).unwrap();
    assert_eq!(after.tracks[1].published(), before.tracks[1].published());
    // The next packets are numbered as they would have been: the one that is missing, one that came, and a new one.
    let forwarded = |publication: &mut Publication| {
        let of = |publication: &mut Publication, sequence| {
            receive(publication, video(10, sequence), SLICE).map(|stored| {
                stored.last().map(|last| match last {
                    Stored::Media { track, sequence, .. } => (*track, *sequence),
                    Stored::Format(_) | Stored::Begin(_) => panic!("a packet"),
                })
            })
        };
        [4, 5, 6].map(|sequence| of(publication, sequence))
    };
    assert_eq!(forwarded(&mut after), forwarded(&mut before));
    // Another source is another run of numbers, under another name than any before.
    for publication in [&mut before, &mut after] {
        publication.goodbye(10, Timestamp::ZERO);
        receive(publication, video(30, 1), SLICE).unwrap();
    }
    assert_eq!(after.tracks[1].incarnation, before.tracks[1].incarnation);
}

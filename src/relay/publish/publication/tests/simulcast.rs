//! A publisher of three rids: whose source it is, whose repair, and what is told of each encoding.

use super::*;
use crate::relay::store::ladder::Measured;

const RID: u8 = 10;
const REPAIRED_RID: u8 = 11;

/// Sound, then a picture in three encodings; the offer says that 31 repairs 30.
fn simulcast() -> Publication {
    let extensions =
        ExtensionIds { mid: Some(MID), rid: Some(RID), repaired_rid: Some(REPAIRED_RID), ..ExtensionIds::default() };
    let rids = ["h", "m", "l"].map(str::to_owned).to_vec();
    let ssrcs = vec![SsrcPair { media: 30, rtx: Some(31) }];
    let video = NegotiatedMedia { extensions, rids, ssrcs, ..section("1", codec(Codec::H264)) };
    Publication::new(&[section("0", codec(Codec::Opus)), video], 7, 1)
}

fn tracks_of(stored: &Result<Vec<Stored>, NotForwarded>) -> Vec<usize> {
    let track = |stored: &Stored| match stored {
        Stored::Begin(track) | Stored::Media { track, .. } => Some(*track),
        Stored::Format(_) => None,
    };
    stored.as_ref().map(|stored| stored.iter().filter_map(track).collect()).unwrap_or_default()
}

#[test]
fn each_rid_is_a_track_and_its_source_is_known_once_it_was_named() {
    let mut publication = simulcast();
    assert_eq!(publication.tracks.len(), 4);
    assert_eq!(publication.tracks.iter().map(|track| track.rid_place).collect::<Vec<_>>(), [0, 0, 1, 2]);
    for (ssrc, rid, track) in [(10, b"h", 1), (20, b"m", 2), (30, b"l", 3)] {
        let named = receive_with(&mut publication, video(ssrc, 1), &[(MID, b"1"), (RID, rid)], SLICE);
        assert_eq!(tracks_of(&named), [track]);
        // RFC 8852 §3: not in every packet.
        assert_eq!(tracks_of(&receive(&mut publication, video(ssrc, 2), SLICE)), [track]);
        assert_eq!((publication.tracks[track].ssrc(), publication.track_of(ssrc)), (Some(ssrc), Some(track)));
    }
    // Nobody named it, it is named otherwise, or after another section's mid.
    assert_eq!(receive(&mut publication, video(40, 1), SLICE), Err(NotForwarded::UnknownSource));
    let wrong = receive_with(&mut publication, video(41, 1), &[(MID, b"1"), (RID, b"x")], SLICE);
    assert_eq!(wrong, Err(NotForwarded::UnknownSource));
    // Without a mid the payload type says which section it is.
    let named = receive_with(&mut publication, video(42, 1), &[(RID, b"m")], SLICE);
    assert_eq!(named, Err(NotForwarded::OtherEncoding), "the track has its source");
}

#[test]
fn a_repair_fills_the_gap_of_the_encoding_that_it_names_or_whose_source_the_offer_names() {
    for (rtx, extensions) in [(91, &[(MID, &b"1"[..]), (REPAIRED_RID, b"l")][..]), (92, &[(RID, b"l")]), (31, &[])] {
        let mut publication = simulcast();
        for sequence in [1, 3] {
            for (ssrc, rid) in [(10, b"h"), (30, b"l")] {
                receive_with(&mut publication, video(ssrc, sequence), &[(RID, rid)], SLICE).unwrap();
            }
        }
        let fields = HeaderFields { payload_type: RTX_TYPE, ..video(rtx, 500) };
        let repair = [&[0, 2][..], SLICE].concat();
        assert_eq!(tracks_of(&receive_with(&mut publication, fields, extensions, &repair)), [3], "{rtx}");
        let again = HeaderFields { sequence: 501, ..fields };
        assert_eq!(receive(&mut publication, again, &repair), Err(NotForwarded::Duplicate), "{rtx}");
    }
    let mut publication = simulcast();
    let stranger = HeaderFields { payload_type: RTX_TYPE, ..video(93, 500) };
    assert_eq!(receive(&mut publication, stranger, &[0, 2, 1]), Err(NotForwarded::UnknownSource));
}

/// One picture of each of these encodings; what is told.
fn picture(publication: &mut Publication, number: u16, rids: &[&str]) -> Vec<(usize, Measured)> {
    let mut told = Vec::new();
    for rid in rids {
        let ssrc = u32::from(rid.as_bytes()[0]);
        receive_with(publication, video(ssrc, number), &[(RID, rid.as_bytes())], SLICE).unwrap();
        told.extend(std::iter::from_fn(|| publication.take_rung()));
    }
    told
}

#[test]
fn an_encoding_that_its_siblings_leave_behind_is_told_as_stopped_and_as_back_with_its_first_packet() {
    let mut publication = simulcast();
    let mut lives = [None; 4];
    let note = |told: Vec<(usize, Measured)>, lives: &mut [Option<bool>; 4]| {
        told.into_iter().for_each(|(track, measured)| lives[track] = Some(measured.alive));
    };
    for number in 1..30 {
        note(picture(&mut publication, number, &["h", "m", "l"]), &mut lives);
    }
    assert_eq!(lives, [None, Some(true), Some(true), Some(true)], "there was no sound");
    let mut died = 0;
    for number in 30..60 {
        note(picture(&mut publication, number, &["m", "l"]), &mut lives);
        if lives[1] == Some(false) && died == 0 {
            died = number;
        }
    }
    // Pictures are 33 ms apart.
    let pictures = limits::ENCODING_SILENCE_MAX.as_millis() as u16 / 33;
    assert!((29 + pictures..=31 + pictures).contains(&died), "{died}");
    assert_eq!(lives[2..], [Some(true); 2]);
    note(picture(&mut publication, 60, &["h", "m", "l"]), &mut lives);
    assert_eq!(lives[1], Some(true));
    publication.goodbye(u32::from(b'h'), Timestamp::from_millis(4_000));
    note(std::iter::from_fn(|| publication.take_rung()).collect(), &mut lives);
    assert_eq!(lives[1..], [Some(false), Some(true), Some(true)]);
}

#[test]
fn a_publication_of_several_rids_goes_on_in_another_process() {
    let mut publication = simulcast();
    picture(&mut publication, 1, &["h", "m", "l"]);
    let mut out = StateWriter::new();
    publication.export(Timestamp::from_millis(2_000), &mut out);
    let bytes = out.finish();
    let media: Vec<_> = {
        let mut seen = Vec::new();
        publication
            .tracks
            .iter()
            .map(|track| track.media.clone())
            .filter(|media| {
                let new = !seen.contains(&media.mid);
                seen.push(media.mid.clone());
                new
            })
            .collect()
    };
    let mut from = StateReader::new(bytes.as_slice());
    let mut moved = Publication::import(&media, 1, Timestamp::from_millis(2_000), &mut from).unwrap();
    // It knows the sources without their names.
    for (ssrc, track) in [(b'h', 1), (b'm', 2), (b'l', 3)] {
        assert_eq!(tracks_of(&receive(&mut moved, video(ssrc.into(), 2), SLICE)), [track]);
    }
}

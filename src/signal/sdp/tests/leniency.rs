//! What real clients leave out or write in another way, and are answered all the same.

use super::*;
use crate::description::CodecFormat;
use crate::wire::codec::Codec;

#[test]
fn gstreamers_players_that_leave_channels_and_packetisation_mode_out_are_answered_with_both_media() {
    let answer = play(GSTREAMER_PLAY);
    assert_eq!(audio(&answer).codecs[0].codec, Codec::Opus);
    let format = CodecFormat::H264 { profile_level_id: 0x42_000a, packetization_mode: 0 };
    assert_eq!(video(&answer).codecs[0].format, format);
    assert!(answer.sdp.contains("a=rtpmap:97 opus/48000/2\r\n") && !answer.sdp.contains("packetization-mode"));
}

#[test]
fn a_line_that_says_nothing_of_its_payload_type_is_ignored_and_the_offer_is_not() {
    for (from, to) in [
        ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111  OPUS/48000"),
        ("a=rtpmap:111 opus/48000/2", "a=rtpmap: 111 oPuS/48000/2"),
        ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111\topus/48000/2 "),
        ("a=rtpmap:111 opus/48000/2", "a=rtpmap:\r\na=rtpmap:x\r\na=rtpmap:999 a/1\r\na=rtpmap:111 opus/48000/2"),
        ("a=rtpmap:108 H264/90000", "a=rtpmap:108 h264/90000\r\na=fmtp:\r\na=fmtp:108\r\na=fmtp:108 "),
        ("a=rtcp-fb:108 nack\r\n", "a=rtcp-fb:108\r\na=rtcp-fb:\r\na=rtcp-fb: \r\na=rtcp-fb:108  nack\r\n"),
        ("a=rtcp-fb:108 nack\r\n", "a=rtcp-fb\r\na=rtcp-fb:*\r\na=rtcp-fb:x nack\r\na=rtcp-fb:108 nack \r\n"),
        ("a=rtpmap:109 rtx/90000", "a=rtpmap:109 RTX/90000"),
    ] {
        let offer = with(CHROMIUM_PUBLISH, from, to);
        let answer = answered(&offer, Direction::Publish).unwrap_or_else(|refused| panic!("{to:?}: {refused}"));
        assert_eq!(answer.description.media, publish(CHROMIUM_PUBLISH).description.media, "{to:?}");
    }
}

#[test]
fn a_section_alone_needs_no_group_and_no_mid() {
    // RFC 9429 §5.3.1. Bare webrtcbin and simple-whip-client offer one so.
    let session: Vec<&str> = CHROMIUM_PUBLISH.lines().take_while(|line| !line.starts_with("m=")).collect();
    let video_alone = [session, sections(CHROMIUM_PUBLISH)[1].clone()].concat().join("\r\n") + "\r\n";
    let alone = with(&video_alone, "a=group:BUNDLE 0 1\r\n", "");
    let anonymous = with(&alone, "a=mid:1\r\n", "");
    for (offer, mid) in [(&alone, "1"), (&anonymous, "")] {
        let answer = publish(offer);
        assert_eq!((answer.description.media.len(), video(&answer).mid.as_str()), (1, mid));
        assert_eq!(video(&answer).extensions.mid.is_some(), !mid.is_empty(), "a mid that is not there is not sent");
        assert!(!answer.sdp.contains("a=group") && answer.sdp.contains("a=end-of-candidates"), "{}", answer.sdp);
        assert_eq!(answer.sdp.contains("a=mid:"), !mid.is_empty());
    }
}

#[test]
fn of_sections_on_several_transports_the_first_is_served_and_the_rest_are_rejected() {
    for (from, to, served) in [
        ("a=group:BUNDLE 0 1\r\n", "", ""),
        ("a=group:BUNDLE 0 1", "a=group:BUNDLE 0", "0"),
        ("a=group:BUNDLE 0 1", "a=group:BUNDLE 0\r\na=group:BUNDLE 1", "0"),
        ("a=mid:1\r\n", "", "0"),
    ] {
        let answer = publish(&with(CHROMIUM_PUBLISH, from, to));
        assert_eq!(answer.description.media.len(), 1, "{to:?}");
        assert_eq!(audio(&answer).mid, "0");
        let written = sections(&answer.sdp);
        assert!(written[0][0].starts_with("m=audio 9 ") && written[1][0].starts_with("m=video 0 "), "{to:?}");
        assert!(has(&written[0], "a=end-of-candidates"));
        let group = answer.sdp.lines().find_map(|line| line.strip_prefix("a=group:BUNDLE ")).unwrap_or_default();
        assert_eq!(group, served, "{to:?}");
    }
}

#[test]
fn parameter_sets_in_the_offer_reach_the_relay() {
    let sets = |offer: &str| video(&publish(offer)).parameter_sets.clone();
    let written = "sprop-parameter-sets=Z0LAFdkBQfsBagwMDUoAAAMAAgAAAwB5HixckA==,aMuMsg==";
    let found = sets(GSTREAMER_PUBLISH);
    assert_eq!(found.iter().map(|unit| (unit[0] & 31, unit.len())).collect::<Vec<_>>(), [(7, 28), (8, 4)]);
    let without_padding = with(GSTREAMER_PUBLISH, written, &written.replace("==", ""));
    assert_eq!(sets(&without_padding), found);
    for (broken, kept) in [("sprop-parameter-sets=", 0), ("sprop-parameter-sets=,!,aMuMsg==", 1)] {
        assert_eq!(sets(&with(GSTREAMER_PUBLISH, written, broken)).len(), kept, "{broken}");
    }
    let many = format!("sprop-parameter-sets={}", vec!["aMuMsg=="; 50].join(","));
    assert_eq!(sets(&with(GSTREAMER_PUBLISH, written, &many)).len(), crate::limits::PARAMETER_SETS_MAX);
    assert!(sets(CHROMIUM_PUBLISH).is_empty() && video(&play(CHROMIUM_PLAY)).parameter_sets.is_empty());
}

//! What is refused, with which status.

use super::*;
use crate::description::MediaKind;
use crate::limits;

fn refused(offer: &str, direction: Direction) -> SdpRefused {
    answered(offer, direction).map(|answer| answer.sdp).expect_err("refused")
}

/// The offer with `from` replaced once.
fn once(offer: &str, from: &str, to: &str) -> String {
    assert!(offer.contains(from), "the fixture has no {from:?}");
    offer.replacen(from, to, 1)
}

#[test]
fn what_cannot_be_read_is_400() {
    let chromium = CHROMIUM_PUBLISH;
    let table: &[(String, Malformed)] = &[
        (String::new(), Malformed::Syntax),
        ("{\"type\":\"offer\"}".to_owned(), Malformed::Syntax),
        ("v=0\r\n".to_owned(), Malformed::Syntax),
        (once(chromium, "v=0", "v=1"), Malformed::Syntax),
        (once(chromium, "a=mid:0", "a=mid:0\0"), Malformed::Syntax),
        (once(chromium, "m=audio 57711", "m=audio 99999"), Malformed::Syntax),
        (once(chromium, "a=mid:0", "a=mid:0 1"), Malformed::Mid),
        (once(chromium, "a=mid:0", "a=mid:"), Malformed::Mid),
        (once(chromium, "a=mid:0", "a=mid:1"), Malformed::Mid),
        (with(chromium, "a=ice-ufrag:hzX0\r\n", ""), Malformed::IceCredentialsMissing),
        (with(chromium, "a=ice-pwd:y2V1EJxWHz1LeeZPr6U5u3nG\r\n", ""), Malformed::IceCredentialsMissing),
        (with(chromium, "ice-ufrag:hzX0", "ice-ufrag:hzX"), Malformed::IceCredentials),
        (with(chromium, "ice-ufrag:hzX0", "ice-ufrag:hz-0"), Malformed::IceCredentials),
        (with(chromium, "ice-ufrag:hzX0", &format!("ice-ufrag:{}", "x".repeat(257))), Malformed::IceCredentials),
        (with(chromium, "ice-pwd:y2V1EJxWHz1LeeZPr6U5u3nG", "ice-pwd:short"), Malformed::IceCredentials),
        (with(FIREFOX_PUBLISH, "a=fingerprint:", "a=fingerpaint:"), Malformed::FingerprintMissing),
        (with(chromium, "sha-256 0A:E8", "sha-256 0A"), Malformed::Fingerprint),
        (with(chromium, "sha-256 0A:E8", "sha-384 0A:E8"), Malformed::Fingerprint),
        (with(chromium, "sha-256 0A:E8", "sha-256 0AE8"), Malformed::Fingerprint),
        (with(chromium, "sha-256 0A:E8", "sha-256 +A:E8"), Malformed::Fingerprint),
        (with(chromium, "sha-256 0A:E8", "sha-256"), Malformed::Fingerprint),
        (with(chromium, "a=setup:actpass", "a=setup:both"), Malformed::Setup),
        (once(chromium, "SAVPF 111 63", "SAVPF 111 x"), Malformed::PayloadType),
        (once(chromium, "SAVPF 111 63", "SAVPF 111 128"), Malformed::PayloadType),
        (once(chromium, "a=extmap:4 ", "a=extmap:four "), Malformed::ExtensionMap),
        (once(chromium, "a=extmap:4 ", "a=extmap:4"), Malformed::ExtensionMap),
        (once(chromium, "a=ssrc:3495569669 ", "a=ssrc:4294967296 "), Malformed::Ssrc),
        (once(chromium, "FID 1116787860 3213124974", "FID 1116787860"), Malformed::Ssrc),
        // RFC 9143 §9.1.1: Opus on the payload type of the video; §12: mid on the id of another extension.
        (with(chromium, " 111 63", " 108 63").replace("rtpmap:111 ", "rtpmap:108 "), Malformed::PayloadTypeTwice),
        (once(chromium, "a=extmap:4 urn", "a=extmap:10 urn"), Malformed::ExtensionTwice),
    ];
    for (offer, expected) in table {
        let found = refused(offer, Direction::Publish);
        assert_eq!(found, SdpRefused::Malformed(*expected), "{found}");
        assert_eq!(found.status(), 400);
    }
}

#[test]
fn what_is_understood_and_not_served_is_422() {
    let (publish, play) = (Direction::Publish, Direction::Play);
    let table: &[(String, Direction, Unsupported)] = &[
        (CHROMIUM_PLAY.to_owned(), publish, Unsupported::WrongDirection(publish)),
        (CHROMIUM_PUBLISH.to_owned(), play, Unsupported::WrongDirection(play)),
        (with(CHROMIUM_PUBLISH, "a=sendonly", "a=inactive"), publish, Unsupported::WrongDirection(publish)),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned(), publish, Unsupported::NoMedia),
        (once(&with(CHROMIUM_PUBLISH, "m=video", "m=text"), "m=audio", "m=message"), publish, Unsupported::NoMedia),
        (with(CHROMIUM_PUBLISH, "UDP/TLS/RTP/SAVPF", "RTP/AVP"), publish, Unsupported::Transport),
        (once(CHROMIUM_PUBLISH, "a=rtcp-mux\r\n", ""), publish, Unsupported::NoRtcpMux),
        (with(CHROMIUM_PUBLISH, "a=setup:actpass", "a=setup:holdconn"), publish, Unsupported::Holdconn),
        (with(CHROMIUM_PUBLISH, "sha-256 ", "sha-1 "), publish, Unsupported::FingerprintHash),
        (with(CHROMIUM_PUBLISH, "a=extmap-allow-mixed", "a=ice-lite"), publish, Unsupported::IceLite),
        (once(CHROMIUM_PUBLISH, "a=mid:0", "a=mid:seventeen-bytes-x"), publish, Unsupported::MidTooLong),
    ];
    for (offer, direction, expected) in table {
        let found = refused(offer, *direction);
        assert_eq!(found, SdpRefused::Unsupported(*expected), "{found}");
        assert_eq!(found.status(), 422);
    }
}

#[test]
fn no_codec_in_common_is_406_even_where_the_other_medium_has_one() {
    for (offer, direction, kind) in [
        (with(CHROMIUM_PUBLISH, "opus/48000/2", "L16/48000/2"), Direction::Publish, MediaKind::Audio),
        (with(CHROMIUM_PUBLISH, "a=rtpmap:111 opus", "a=rtpmap:opus"), Direction::Publish, MediaKind::Audio),
        (with(OBS_PUBLISH, "H264/90000", "H263-1998/90000"), Direction::Publish, MediaKind::Video),
        (with(OBS_PUBLISH, "packetization-mode=1", "packetization-mode=2"), Direction::Publish, MediaKind::Video),
        (with(OBS_PUBLISH, "profile-level-id=42e01f", "profile-level-id=42e0"), Direction::Publish, MediaKind::Video),
        (with(AIORTC_PLAY, "/90000", "/8000"), Direction::Play, MediaKind::Video),
    ] {
        let found = refused(&offer, direction);
        assert_eq!(found, SdpRefused::NoCommonCodec(kind));
        assert_eq!(found.status(), 406);
    }
}

#[test]
fn every_count_in_an_offer_is_bounded() {
    let many = |count: usize, line: &str| -> String { (0..count).map(|n| line.replace('#', &n.to_string())).collect() };
    let before = |line: &str, added: String| once(CHROMIUM_PUBLISH, line, &(added + line));
    let cases = [
        (before("m=audio", many(limits::SDP_ATTRIBUTES_PER_SECTION_MAX, "a=x:#\r\n")), "attributes in one section"),
        (
            CHROMIUM_PUBLISH.to_owned() + &many(limits::SDP_ATTRIBUTES_PER_SECTION_MAX, "a=x:#\r\n"),
            "attributes in one section",
        ),
        (
            CHROMIUM_PUBLISH.to_owned() + &many(limits::SDP_MEDIA_SECTIONS_MAX, "m=text 9 RTP/AVP 0\r\n"),
            "media sections",
        ),
        (
            once(
                CHROMIUM_PUBLISH,
                "SAVPF 111",
                &("SAVPF 111".to_owned() + &many(limits::SDP_PAYLOAD_TYPES_PER_SECTION_MAX, " #")),
            ),
            "payload types in one section",
        ),
        (
            before("a=sendonly", many(limits::SDP_EXTENSIONS_PER_SECTION_MAX, "a=extmap:1 urn:#\r\n")),
            "header extensions in one section",
        ),
        (before("a=sendonly", many(limits::SDP_CANDIDATES_MAX, "a=candidate:#\r\n")), "candidates"),
        (before("a=sendonly", many(limits::SDP_FINGERPRINTS_MAX, "a=fingerprint:sha-1 #\r\n")), "fingerprints"),
        (before("a=sendonly", many(limits::SDP_SSRCS_PER_SECTION_MAX, "a=ssrc:#\r\n")), "SSRCs in one section"),
        (
            before("a=sendonly", many(limits::SDP_SSRCS_PER_SECTION_MAX + 1, "a=ssrc-group:FID 1 1\r\n")),
            "SSRCs in one section",
        ),
    ];
    for (offer, expected) in cases {
        match refused(&offer, Direction::Publish) {
            SdpRefused::Unsupported(Unsupported::TooMany { what, .. }) => assert_eq!(what, expected),
            other => panic!("{expected}: {other}"),
        }
    }
    let long = CHROMIUM_PUBLISH.to_owned() + &many(7000, "a=x:#####\r\n");
    assert!(long.len() > limits::SDP_BYTES_MAX);
    assert_eq!(refused(&long, Direction::Publish), SdpRefused::TooLong);
    assert_eq!(refused(&long, Direction::Publish).status(), 413);
}

#[test]
fn a_refusal_says_what_to_do_and_repeats_nothing_of_the_offer() {
    let offer = with(CHROMIUM_PUBLISH, "a=setup:actpass", "a=setup:<script>");
    assert!(!refused(&offer, Direction::Publish).to_string().contains("script"));
    let sentence = refused(CHROMIUM_PLAY, Direction::Publish).to_string();
    assert!(sentence.contains("a=sendonly") && sentence.contains("WHEP"), "{sentence}");
    assert_eq!(SdpRefused::TooLong.name(), "sdp_too_long");
}

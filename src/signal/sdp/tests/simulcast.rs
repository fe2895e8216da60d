//! Publishers that send several encodings: browsers, OBS, and offers that nobody sends.

use super::*;

const RECEIVED: &str = "a=simulcast:recv h;m;l";

/// Chromium's offer with other lines in the place of its rids.
fn offering(lines: &str) -> String {
    let rids = "a=rid:h send\r\na=rid:m send\r\na=rid:l send\r\na=simulcast:send h;m;l\r\n";
    let offer = CHROMIUM_PUBLISH_SIMULCAST.replace("\r\n", "\n").replace('\n', "\r\n");
    with(&offer, rids, lines)
}

fn rids(lines: &str) -> Vec<String> {
    let answer = publish(&offering(lines));
    let rids = video(&answer).rids.clone();
    let section = &sections(&answer.sdp)[1];
    for rid in &rids {
        assert!(has(section, &format!("a=rid:{rid} recv")), "{section:?}");
    }
    let named = section.iter().filter(|line| line.starts_with("a=rid:")).count();
    let list = format!("a=simulcast:recv {}", rids.join(";"));
    assert_eq!((named, has(section, &list)), (rids.len(), !rids.is_empty()), "{section:?}");
    rids
}

#[test]
fn every_encoding_of_a_browser_is_accepted_with_what_names_it() {
    for (offer, repaired) in [(CHROMIUM_PUBLISH_SIMULCAST, true), (FIREFOX_PUBLISH_SIMULCAST, false)] {
        let answer = publish(offer);
        let section = &sections(&answer.sdp)[1];
        assert!(has(section, RECEIVED), "{section:?}");
        assert_eq!(video(&answer).rids, ["h", "m", "l"]);
        let ids = &video(&answer).extensions;
        assert!(ids.rid.is_some() && ids.mid.is_some());
        assert!(ids.repaired_rid.is_some() || !repaired);
        assert!(audio(&answer).rids.is_empty());
    }
    // Firefox offers the rid extension one-way, which is answered the other way round (RFC 8285 §7).
    let answer = publish(FIREFOX_PUBLISH_SIMULCAST).sdp;
    assert!(answer.contains("a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"));
}

#[test]
fn two_to_four_encodings_are_accepted_as_obs_names_them_and_of_more_the_first_four() {
    let offer = |count: usize| {
        let names: Vec<String> = (0..count).map(|rid| rid.to_string()).collect();
        let lines: String = names.iter().map(|name| format!("a=rid:{name} send\r\n")).collect();
        format!("{lines}a=simulcast:send {}\r\n", names.join(";"))
    };
    for count in 1..=4 {
        assert_eq!(rids(&offer(count)).len(), count);
    }
    assert_eq!(rids(&offer(6)), ["0", "1", "2", "3"]);
    assert_eq!(rids(&offer(100)), ["0", "1", "2", "3"]);
}

#[test]
fn alternatives_pauses_and_directions_are_read_as_rfc_8853_writes_them() {
    for (lines, expected) in [
        ("a=rid:1 send\r\na=rid:2 send\r\na=simulcast:send 1;~2\r\n", ["1", "2"].as_slice()),
        ("a=rid:1 send\r\na=rid:2 send\r\na=simulcast:recv 3 send 1,2;2\r\n", &["1", "2"]),
        ("a=rid:1 send max-width=1280;max-br=2000000\r\na=simulcast:send 1;1\r\n", &["1"]),
        // Not named, named for the other direction, not named so that an extension could carry it, or not sent.
        ("a=rid:1 recv\r\na=simulcast:send 1;2\r\n", &[]),
        ("a=rid:abcdefghijklmnopq send\r\na=simulcast:send abcdefghijklmnopq\r\n", &[]),
        ("a=rid:a/b send\r\na=simulcast:send a/b\r\n", &[]),
        ("a=rid:1 send\r\na=simulcast:recv 1\r\n", &[]),
        ("a=rid:1 send\r\na=simulcast:send\r\n", &[]),
        ("a=rid:1 send\r\n", &[]),
        ("a=simulcast:send ;;,~;\r\na=rid:\r\na=rid: send\r\n", &[]),
    ] {
        assert_eq!(rids(lines), expected, "{lines}");
    }
    // The first alternative is of other payload types than the one that is accepted.
    let chosen = video(&publish(CHROMIUM_PUBLISH_SIMULCAST)).codecs[0].payload_type;
    let lines = format!("a=rid:1 send pt=1,2\r\na=rid:2 send max-fs=9;pt=1,{chosen}\r\na=simulcast:send 1,2\r\n");
    assert_eq!(rids(&lines), ["2"]);
}

#[test]
fn simulcast_is_declined_where_no_extension_names_encodings_and_towards_viewers() {
    let offer =
        CHROMIUM_PUBLISH_SIMULCAST.replace("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "urn:example:other");
    let answer = publish(&offer);
    assert!(video(&answer).rids.is_empty());
    assert!(!answer.sdp.contains("a=simulcast") && !answer.sdp.contains("a=rid"));
    let play = play(&with(CHROMIUM_PLAY, "a=rtcp-rsize", "a=rid:h send\r\na=simulcast:send h\r\na=rtcp-rsize"));
    assert!(video(&play).rids.is_empty() && !play.sdp.contains("a=simulcast"));
}

#[test]
fn a_browser_is_told_to_begin_at_nine_tenths_of_its_layers() {
    let start = |lines: &str| {
        let answer = publish(&offering(lines)).sdp;
        let at = answer.find("x-google-start-bitrate=")?;
        answer[at..].lines().next()?.split_once('=')?.1.parse::<u32>().ok()
    };
    let three = "a=rid:h send\r\na=rid:m send\r\na=rid:l send\r\na=simulcast:send h;m;l\r\n";
    assert_eq!(start(three), Some((150 + 500 + 2_500) * 9 / 10));
    let told = "a=rid:h send max-br=1000000\r\na=rid:l send max-br=200000\r\na=simulcast:send h;l\r\n";
    assert_eq!(start(told), Some(1_080));
    let some = told.replace("max-br=200000", "max-br=many");
    assert_eq!(start(&some), Some(650 * 9 / 10), "not all of them say it");
    let greedy = told.replace("1000000", "4294967295");
    assert_eq!(start(&greedy), Some(650 * 9 / 10), "no sum");
    assert_eq!(start(&told.replace("1000000", "4000000000")), Some(crate::limits::START_KBPS_MAX * 9 / 10));
    assert_eq!(start("a=rid:h send\r\na=simulcast:send h\r\n"), None, "one encoding");
    assert!(!publish(CHROMIUM_PUBLISH).sdp.contains("x-google"));
}

/// A browser's offer with its picture once more under mid 9, in the payload types of `codecs`, said to be the twin of `of`.
fn with_a_second_picture(offer: &str, codecs: &[(u8, &str)], of: &str) -> String {
    let offer = offer.replace("\r\n", "\n").replace('\n', "\r\n");
    let video = &sections(&offer)[1];
    let types: Vec<_> = codecs.iter().map(|(number, _)| number.to_string()).collect();
    let left_out = ["m=", "a=mid:", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=ssrc", "a=rid:", "a=simulcast:"];
    let kept = video.iter().filter(|line| !left_out.iter().any(|name| line.starts_with(name)));
    let mut second = vec![format!("m=video 9 UDP/TLS/RTP/SAVPF {}", types.join(" ")), "a=mid:9".to_owned()];
    second.extend(codecs.iter().map(|(number, name)| format!("a=rtpmap:{number} {name}/90000")));
    second.extend(kept.map(|line| (*line).to_owned()));
    second.push(format!("a=x-corecast-twin-of:{of}"));
    let group = offer.lines().find(|line| line.starts_with("a=group:BUNDLE")).unwrap();
    let offer = with(&offer, group, &format!("{group} 9"));
    format!("{offer}{}\r\n", second.join("\r\n"))
}

fn twin(answer: &Answer) -> Option<&NegotiatedMedia> {
    answer.description.media.iter().find(|media| media.mid == "9")
}

#[test]
fn a_picture_that_is_sent_in_two_codecs_is_accepted_in_both() {
    // As the fixture has them: the first picture becomes H.264.
    for offer in [CHROMIUM_PUBLISH, CHROMIUM_PUBLISH_SIMULCAST] {
        let answer = publish(&with_a_second_picture(offer, &[(96, "VP8"), (102, "H264")], "1"));
        let first = video(&answer);
        assert_eq!((first.codecs[0].codec, first.mid.as_str()), (Codec::H264, "1"));
        let twin = twin(&answer).expect("it is accepted");
        assert_eq!((twin.codecs.len(), twin.codecs[0].codec, twin.codecs[0].payload_type), (1, Codec::Vp8, 96));
        let section = &sections(&answer.sdp)[2];
        assert!(section[0].starts_with("m=video 9 ") && has(section, "a=recvonly"), "{section:?}");
        assert!(answer.sdp.lines().any(|line| line.starts_with("a=group:BUNDLE") && line.ends_with(" 9")));
    }
}

#[test]
fn a_second_picture_that_is_no_twin_is_another_camera_and_is_left_out() {
    for (codecs, of) in [
        (&[(96, "VP8")][..], "7"),   // no section of that name
        (&[(96, "VP8")], "0"),       // the twin of the sound
        (&[(102, "H264")], "1"),     // the same codec
        (&[(96, "x-unknown")], "1"), // none that is served
        (&[(96, "VP8")], "9"),       // its own
    ] {
        let answer = publish(&with_a_second_picture(CHROMIUM_PUBLISH, codecs, of));
        assert!(twin(&answer).is_none(), "{codecs:?} {of}");
        assert!(sections(&answer.sdp)[2][0].starts_with("m=video 0 "));
        assert!(!answer.sdp.lines().any(|line| line.starts_with("a=group:BUNDLE") && line.ends_with(" 9")));
    }
    // A viewer asks for one picture.
    let offer = with_a_second_picture(CHROMIUM_PLAY, &[(96, "VP8")], "1");
    assert_eq!(play(&offer).description.media.iter().filter(|media| media.kind == MediaKind::Video).count(), 1);
}

#[test]
fn a_twin_has_as_many_encodings_as_its_picture_has_left() {
    let rids = |first: usize, second: usize| {
        let lines = |count: usize| {
            let names: Vec<String> = (0..count).map(|rid| rid.to_string()).collect();
            let lines: String = names.iter().map(|name| format!("a=rid:{name} send\r\n")).collect();
            format!("{lines}a=simulcast:send {}\r\n", names.join(";"))
        };
        let offer = with_a_second_picture(&offering(&lines(first)), &[(96, "VP8")], "1");
        let answer = publish(&format!("{offer}{}", lines(second)));
        (video(&answer).rids.len(), twin(&answer).map(|twin| twin.rids.len()))
    };
    assert_eq!(rids(3, 3), (3, Some(1)));
    assert_eq!(rids(2, 3), (2, Some(2)));
    assert_eq!(rids(4, 1), (4, None), "there is no room");
}

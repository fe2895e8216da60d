//! What is agreed with real clients.

use super::*;
use crate::description::{CodecFormat, DtlsRole, FingerprintHash, SsrcPair};
use crate::wire::codec::Codec;

#[test]
fn every_client_gets_an_answer_with_its_sections_in_order() {
    for (name, direction, offer) in FIXTURES {
        let answer = answered(offer, *direction).unwrap_or_else(|refused| panic!("{name}: {refused}"));
        let (offered, written) = (sections(offer), sections(&answer.sdp));
        assert_eq!(offered.len(), written.len(), "{name}");
        for (offered, written) in offered.iter().zip(&written) {
            let media = |section: &[&str]| section[0].split(' ').next().unwrap().to_owned();
            let mid =
                |section: &[&str]| section.iter().find(|line| line.starts_with("a=mid:")).copied().unwrap().to_owned();
            assert_eq!(media(offered), media(written), "{name}");
            assert_eq!(mid(offered), mid(written), "{name}");
            assert_eq!(written[0].split(' ').nth(1), Some("9"), "{name}: {}", written[0]);
        }
        assert_eq!(answer.description.media.len(), 2, "{name}");
        assert_eq!(answer.description.direction, *direction);
        assert!(answer.sdp.lines().all(|line| line.as_bytes()[1] == b'='), "{name}");
        assert!(answer.sdp.ends_with("\r\n"));
    }
}

#[test]
fn chromium_publishes_constrained_baseline_h264_with_rtx_and_opus() {
    let answer = publish(CHROMIUM_PUBLISH);
    let video = video(&answer);
    assert_eq!(video.codecs.len(), 1);
    let codec = &video.codecs[0];
    assert_eq!(codec.codec, Codec::H264);
    assert_eq!(codec.format, CodecFormat::H264 { profile_level_id: 0x42_e01f, packetization_mode: 1 });
    assert_eq!((codec.payload_type, codec.rtx_payload_type, codec.clock_rate_hz), (108, Some(109), 90_000));
    assert!(codec.nack && codec.pli && codec.fir && codec.transport_cc);
    assert_eq!(video.ssrcs, [SsrcPair { media: 1_116_787_860, rtx: Some(3_213_124_974) }]);
    assert_eq!(video.extensions.mid, Some(4));
    assert_eq!(video.extensions.rid, Some(10));
    assert_eq!(video.extensions.repaired_rid, Some(11));
    assert_eq!(video.extensions.transport_cc, Some(3));
    assert!(video.rids.is_empty());

    let audio = audio(&answer);
    assert_eq!(audio.codecs.len(), 1);
    assert_eq!((audio.codecs[0].codec, audio.codecs[0].payload_type), (Codec::Opus, 111));
    assert!(audio.codecs[0].transport_cc && !audio.codecs[0].pli);
    assert!(audio.codecs[0].nack, "sound is asked for again, though Chromium does not offer it");
    assert_eq!(audio.ssrcs, [SsrcPair { media: 3_495_569_669, rtx: None }]);

    assert_eq!(answer.description.remote_ice.ufrag, "hzX0");
    assert_eq!(answer.description.remote_ice.password, "y2V1EJxWHz1LeeZPr6U5u3nG");
    assert_eq!(answer.description.dtls_role, DtlsRole::Server);
    assert_eq!(answer.description.remote_fingerprints.len(), 1);
    assert_eq!(answer.description.remote_fingerprints[0].value[..3], [0x0a, 0xe8, 0xab]);
}

#[test]
fn the_answer_to_a_publisher_says_what_was_agreed_and_no_more() {
    let answer = publish(CHROMIUM_PUBLISH);
    let session: Vec<&str> = answer.sdp.lines().take_while(|line| !line.starts_with("m=")).collect();
    assert_eq!(
        session,
        [
            "v=0",
            "o=- 4611686018427387905 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0 1",
            "a=extmap-allow-mixed",
            "a=ice-lite",
            "a=ice-options:trickle ice2",
        ]
    );
    let sections = sections(&answer.sdp);
    let [audio, video] = sections.as_slice() else { panic!("two sections") };
    assert_eq!(audio[0], "m=audio 9 UDP/TLS/RTP/SAVPF 111");
    assert_eq!(video[0], "m=video 9 UDP/TLS/RTP/SAVPF 108 109");
    let fingerprint = format!("a=fingerprint:sha-256 {}", ["A5"; 32].join(":"));
    for section in [audio, video] {
        for line in [
            "a=ice-ufrag:w003LocalUfrag",
            "a=ice-pwd:localPassword0123456789+",
            fingerprint.as_str(),
            "a=setup:passive",
            "a=recvonly",
            "a=rtcp-mux",
            "a=rtcp-rsize",
            "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        ] {
            assert!(has(section, line), "{line} in {section:?}");
        }
    }
    for line in [
        "a=rtpmap:108 H264/90000",
        "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "a=rtcp-fb:108 goog-remb",
        "a=rtcp-fb:108 transport-cc",
        "a=rtcp-fb:108 ccm fir",
        "a=rtcp-fb:108 nack",
        "a=rtcp-fb:108 nack pli",
        "a=rtpmap:109 rtx/90000",
        "a=fmtp:109 apt=108",
    ] {
        assert!(has(video, line), "{line}");
    }
    // Candidates stand in the group's first section only (RFC 9143 §7.1.3).
    assert!(has(audio, "a=candidate:1 1 udp 2130706431 192.0.2.10 20003 typ host"));
    assert!(has(audio, "a=candidate:2 1 udp 2130706175 2001:db8::10 20003 typ host"));
    assert!(has(audio, "a=end-of-candidates"));
    assert!(!video.iter().any(|line| line.contains("candidate")));
    for never in [" red/", "ulpfec", "flexfec", "b=", "3gpp", "a=ssrc", "a=msid", "toffset", "abs-send-time"] {
        assert!(!answer.sdp.contains(never), "{never}");
    }
}

#[test]
fn firefox_sections_on_port_0_are_accepted_on_port_9() {
    // RFC 9143 §6: bundle-only.
    let answer = publish(FIREFOX_PUBLISH);
    let sections = sections(&answer.sdp);
    assert_eq!(sections[1][0], "m=video 9 UDP/TLS/RTP/SAVPF 120 124");
    let video = video(&answer);
    assert_eq!((video.codecs[0].codec, video.codecs[0].rtx_payload_type), (Codec::Vp8, Some(124)));
    assert_eq!(video.ssrcs, [SsrcPair { media: 693_190_172, rtx: Some(706_476_404) }]);
    // The fingerprint is the session's, extmap-allow-mixed the sections' own, rtcp-rsize the video's only.
    assert_eq!(answer.description.remote_fingerprints[0].value[0], 0x07);
    assert!(has(&sections[0], "a=extmap-allow-mixed") && has(&sections[1], "a=extmap-allow-mixed"));
    assert!(!has(&sections[0], "a=rtcp-rsize") && has(&sections[1], "a=rtcp-rsize"));
}

#[test]
fn a_section_on_port_0_that_is_not_bundle_only_stays_off() {
    let outside = with(FIREFOX_PUBLISH, "a=group:BUNDLE 0 1", "a=group:BUNDLE 0");
    // RFC 9143 §7.5.3: inside it, but not bundle-only.
    let disabled = with(FIREFOX_PUBLISH, "a=bundle-only\r\n", "");
    for offer in [outside, disabled] {
        let answer = publish(&offer);
        assert_eq!(answer.description.media.len(), 1);
        assert!(sections(&answer.sdp)[1][0].starts_with("m=video 0 "));
        assert!(answer.sdp.contains("a=group:BUNDLE 0\r\n"));
    }
}

#[test]
fn the_transport_stands_in_a_section_with_a_port() {
    // RFC 9143 §7.3.1.
    let answer = publish(&with(FIREFOX_PUBLISH, "a=group:BUNDLE 0 1", "a=group:BUNDLE 1 0"));
    assert!(answer.sdp.contains("a=group:BUNDLE 0 1\r\n"));
    assert!(has(&sections(&answer.sdp)[0], "a=end-of-candidates"));
}

#[test]
fn data_channels_are_accepted_beside_media_in_its_group() {
    for offer in [CHROMIUM_PUBLISH_DATA, FIREFOX_PUBLISH_DATA] {
        let answer = publish(offer);
        assert!(answer.sdp.contains("a=group:BUNDLE 0 1 2\r\n"));
        let sections = sections(&answer.sdp);
        assert_eq!(sections[2][0], "m=application 9 UDP/DTLS/SCTP webrtc-datachannel");
        for line in ["a=mid:2", "a=setup:passive", "a=sctp-port:5000", "a=max-message-size:65536"] {
            assert!(has(&sections[2], line), "{line}");
        }
        assert!(!has(&sections[2], "a=rtcp-mux") && !has(&sections[2], "a=end-of-candidates"));
        // addTrack makes sendrecv sections; they are answered recvonly.
        assert!(has(&sections[0], "a=recvonly") && has(&sections[1], "a=recvonly"));
        assert_eq!(answer.description.data.unwrap().sctp_port, 5000);
        assert!(answer.description.data.unwrap().message_bytes_max >= 262_144);
    }
    assert_eq!(publish(CHROMIUM_PUBLISH).description.data, None);
}

#[test]
fn a_node_that_takes_no_data_channels_refuses_their_section_and_accepts_the_others() {
    for offer in [CHROMIUM_PUBLISH_DATA, FIREFOX_PUBLISH_DATA] {
        let mut next = 0;
        let mut fresh = || {
            next += 1;
            next
        };
        let answer = answered_where(false, offer, Direction::Publish, "stream", &mut fresh).unwrap();
        assert_eq!((answer.description.data, answer.description.media.len()), (None, 2));
        let section = &sections(&answer.sdp)[2];
        assert!(section[0].starts_with("m=application 0 ") && has(section, "a=inactive"), "{section:?}");
        assert!(answer.sdp.contains("a=group:BUNDLE 0 1\r\n"));
    }
}

#[test]
fn data_channels_outside_the_group_of_old_forms_or_alone_are_refused() {
    let offer = CHROMIUM_PUBLISH_DATA;
    let port = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel";
    for offer in [
        with(offer, "a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1"),
        with(offer, port, "m=application 9 DTLS/SCTP 5000"),
        with(offer, port, "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"),
        with(offer, port, "m=application 9 UDP/BFCP *"),
        with(offer, "a=sctp-port:5000", "a=sctp-port:70000"),
        with(offer, "a=sctp-port:5000", "a=sctpmap:5000 webrtc-datachannel 1024"),
        with(offer, "a=max-message-size:262144", "a=max-message-size:many"),
    ] {
        let answer = publish(&offer);
        assert_eq!(answer.description.data, None, "{offer}");
        let section = &sections(&answer.sdp)[2];
        assert!(section[0].starts_with("m=application 0 ") && has(section, "a=inactive"), "{section:?}");
        assert!(answer.sdp.contains("a=group:BUNDLE 0 1\r\n"));
    }
    // Without the attribute 64 KiB (RFC 8841 §6.1); 0 is any length.
    for (line, bytes) in [("", 65_536), ("a=max-message-size:0\r\n", u32::MAX)] {
        let answer = publish(&with(offer, "a=max-message-size:262144\r\n", line));
        assert_eq!(answer.description.data.unwrap().message_bytes_max, bytes);
    }
    // A second section of that kind has nothing to carry.
    let second = format!("{offer}{}", offer[offer.find("m=application").unwrap()..].replace("a=mid:2", "a=mid:3"));
    let answer = publish(&with(&second, "a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1 2 3"));
    assert!(answer.sdp.contains("a=group:BUNDLE 0 1 2\r\n"));
}

#[test]
fn a_viewer_is_offered_every_codec_h264_first() {
    let answer = play(CHROMIUM_PLAY);
    let found: Vec<_> = video(&answer)
        .codecs
        .iter()
        .map(|codec| match codec.format {
            CodecFormat::H264 { profile_level_id, packetization_mode } => {
                format!("H264 {profile_level_id:06x}/{packetization_mode}")
            }
            format => format!("{:?} {format:?}", codec.codec),
        })
        .collect();
    assert_eq!(
        found,
        [
            "H264 42e01f/1",
            "H264 42001f/1",
            "H264 4d001f/1",
            "H264 f4001f/1",
            "H264 42e01f/0",
            "H264 42001f/0",
            "H264 4d001f/0",
            "H264 f4001f/0",
            "Vp8 Plain",
            "Vp9 Vp9 { profile: 0 }",
            "Av1 Av1 { profile: 0 }",
            "Av1 Av1 { profile: 1 }",
            "Vp9 Vp9 { profile: 1 }",
            "Vp9 Vp9 { profile: 2 }",
            "Vp9 Vp9 { profile: 3 }",
        ]
    );
    assert!(video(&answer).codecs.iter().all(|codec| codec.rtx_payload_type.is_some() && codec.transport_cc));
    let safari = play(SAFARI_PLAY);
    let codecs: Vec<_> = video(&safari).codecs.iter().map(|codec| codec.codec).collect();
    assert_eq!(codecs, [Codec::H264, Codec::H264, Codec::H264, Codec::H264, Codec::Vp8, Codec::Vp9, Codec::H265]);
    assert!(safari.sdp.contains("a=fmtp:104 level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST\r\n"));
}

#[test]
fn a_viewer_gets_one_stream_one_cname_and_one_ssrc_pair_for_each_track() {
    let answer = play(CHROMIUM_PLAY);
    assert_eq!(audio(&answer).ssrcs, [SsrcPair { media: 1001, rtx: None }]);
    assert_eq!(video(&answer).ssrcs, [SsrcPair { media: 1002, rtx: Some(1003) }]);
    assert_eq!(answer.description.cname, "corecast-7");
    let sections = sections(&answer.sdp);
    assert!(has(&sections[0], "a=msid:stream stream-audio") && has(&sections[1], "a=msid:stream stream-video"));
    assert!(has(&sections[0], "a=sendonly") && has(&sections[1], "a=sendonly"));
    let of_ssrcs = |index: usize| -> Vec<_> {
        sections[index].iter().copied().filter(|line: &&str| line.starts_with("a=ssrc")).collect()
    };
    assert_eq!(of_ssrcs(0), ["a=ssrc:1001 cname:corecast-7", "a=ssrc:1001 msid:stream stream-audio"]);
    assert_eq!(
        of_ssrcs(1),
        [
            "a=ssrc-group:FID 1002 1003",
            "a=ssrc:1002 cname:corecast-7",
            "a=ssrc:1002 msid:stream stream-video",
            "a=ssrc:1003 cname:corecast-7",
            "a=ssrc:1003 msid:stream stream-video",
        ]
    );
    assert_eq!(video(&answer).extensions.mid, Some(4));
}

#[test]
fn a_viewer_is_asked_to_report_on_pictures_and_to_ask_for_lost_sound() {
    let answer = answered(CHROMIUM_PLAY, Direction::Play).unwrap();
    let [sound, picture] = [audio(&answer), video(&answer)];
    // Sound is repeated as it was sent, so that its packets carry no numbers of their own.
    assert_eq!(
        (sound.extensions.transport_cc, sound.codecs[0].transport_cc, sound.codecs[0].nack),
        (None, false, true)
    );
    assert!(picture.extensions.transport_cc.is_some());
    assert!(picture.codecs.iter().all(|codec| codec.transport_cc && codec.remb && codec.rtx_payload_type.is_some()));
    let sections = sections(&answer.sdp);
    let count = |section: &[&str], what: &str| section.iter().filter(|line| line.contains(what)).count();
    let opus = sound.codecs[0].payload_type;
    assert!(sections[0].contains(&format!("a=rtcp-fb:{opus} nack").as_str()), "{:?}", sections[0]);
    assert_eq!((count(&sections[0], "transport-"), count(&sections[0], "a=extmap:")), (0, 1));
    // The extension, and a line for each codec.
    assert_eq!(count(&sections[1], "transport-cc"), picture.codecs.len());
    assert_eq!((count(&sections[1], "transport-wide-cc"), count(&sections[1], "a=extmap:")), (1, 2));
    assert_eq!(count(&sections[1], "goog-remb"), picture.codecs.len());
}

#[test]
fn a_viewer_whose_repeats_are_the_packets_themselves_gets_no_numbers_on_them() {
    // Without RTX a repeat must be the very packet that was sent (RFC 7714 §8).
    let offer = CHROMIUM_PLAY.replace(" rtx/90000", " other/90000");
    let picture = video(&answered(&offer, Direction::Play).unwrap()).clone();
    assert!(picture.codecs.iter().all(|codec| codec.nack && codec.rtx_payload_type.is_none() && !codec.transport_cc));
    assert_eq!(picture.extensions.transport_cc, None);
    // One without NACK is sent nothing again.
    let offer: String =
        offer.lines().filter(|line| !line.ends_with(" nack")).map(|line| format!("{line}\r\n")).collect();
    let picture = video(&answered(&offer, Direction::Play).unwrap()).clone();
    assert!(picture.codecs.iter().all(|codec| !codec.nack && codec.transport_cc), "{picture:?}");
    assert!(picture.extensions.transport_cc.is_some());
}

#[test]
fn ssrcs_of_one_answer_differ_whatever_the_random_source_gives() {
    // RFC 7714 §8: a nonce holds the SSRC.
    let answer = answered_with(CHROMIUM_PLAY, Direction::Play, "stream", &mut || u32::MAX).unwrap();
    assert_eq!(audio(&answer).ssrcs, [SsrcPair { media: u32::MAX, rtx: None }]);
    assert_eq!(video(&answer).ssrcs, [SsrcPair { media: 1, rtx: Some(2) }]);
}

#[test]
fn names_are_written_as_tokens() {
    let stream = "my stream\r\na=inactive \u{e9}".repeat(5);
    let answer = answered_with(CHROMIUM_PLAY, Direction::Play, &stream, &mut || 7).unwrap();
    assert!(!answer.sdp.contains("inactive \u{e9}") && !answer.sdp.lines().any(|line| line == "a=inactive"));
    let msid = answer.sdp.lines().find(|line| line.starts_with("a=msid:my-stream--a-inactive---")).unwrap();
    assert!(msid.split(' ').all(|id| id.trim_start_matches("a=msid:").len() <= 64), "{msid}");
    let unnamed = answered_with(CHROMIUM_PLAY, Direction::Play, "", &mut || 7).unwrap();
    assert!(unnamed.sdp.contains("a=msid:- --audio\r\n"));
}

#[test]
fn encoders_get_the_profile_they_offer() {
    let obs = publish(OBS_PUBLISH);
    let codec = &video(&obs).codecs[0];
    assert_eq!(codec.rtx_payload_type, None);
    assert!(codec.nack && codec.pli && !codec.fir && !codec.transport_cc);
    assert_eq!(video(&obs).extensions, Default::default());
    assert_eq!(video(&obs).ssrcs, [SsrcPair { media: 3_391_220_735, rtx: None }]);
    assert!(obs.sdp.contains("a=fmtp:111 stereo=1;sprop-stereo=1;useinbandfec=1\r\n"));

    let high = publish(&with(OBS_PUBLISH, "42e01f", "640034"));
    let format = CodecFormat::H264 { profile_level_id: 0x64_0034, packetization_mode: 1 };
    assert_eq!(video(&high).codecs[0].format, format);
    assert!(high.sdp.contains("profile-level-id=640034\r\n"));

    let gstreamer = publish(GSTREAMER_PUBLISH);
    assert!(gstreamer.sdp.contains("a=group:BUNDLE video0 audio1\r\n"));
    let codec = &audio(&gstreamer).codecs[0];
    // RTX for audio too; transport-cc feedback without the extension is of no use.
    assert_eq!((codec.payload_type, codec.rtx_payload_type, codec.transport_cc), (97, Some(99), false));
    assert!(gstreamer.sdp.contains("a=rtpmap:99 rtx/48000\r\n"));
    assert!(!gstreamer.sdp.contains("sprop-parameter-sets"));
    assert_eq!(audio(&gstreamer).ssrcs, [SsrcPair { media: 1_719_818_750, rtx: Some(1_988_307_596) }]);
}

#[test]
fn an_offer_without_profile_level_id_is_baseline_and_is_answered_without() {
    // RFC 6184 §8.1: the inferred value.
    let offer = with(OBS_PUBLISH, "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1", "x=1");
    let answer = publish(&offer);
    let format = CodecFormat::H264 { profile_level_id: 0x42_000a, packetization_mode: 0 };
    assert_eq!(video(&answer).codecs[0].format, format);
    assert!(!answer.sdp.contains("a=fmtp:96"));
}

#[test]
fn a_viewer_takes_redundant_sound_of_the_opus_that_it_is_made_of_and_a_publisher_sends_none() {
    let formats = |sdp: &str| sdp.lines().find_map(|line| line.strip_prefix("m=audio ")).map(str::to_owned).unwrap();
    let answer = play(CHROMIUM_PLAY);
    let codecs: Vec<_> = audio(&answer).codecs.iter().map(|codec| (codec.codec, codec.payload_type)).collect();
    assert_eq!(codecs, [(Codec::Opus, 111), (Codec::Red, 63)]);
    assert!(formats(&answer.sdp).ends_with(" 111 63"), "{}", formats(&answer.sdp));
    assert!(answer.sdp.contains("a=rtpmap:63 red/48000/2\r\n") && answer.sdp.contains("a=fmtp:63 111/111\r\n"));
    // Blocks of something else, of an Opus with another number, or of nothing at all.
    for (line, other) in [("a=fmtp:63 111/111", "a=fmtp:63 111/0"), ("a=rtpmap:63 red/48000/2", "a=rtpmap:63 red/8000")]
    {
        let answer = play(&with(CHROMIUM_PLAY, line, other)).sdp;
        assert!(!answer.contains("a=rtpmap:63"), "{other}");
    }
    let alone = with(CHROMIUM_PLAY, "a=rtpmap:111 opus/48000/2", "a=rtpmap:111 x/48000/2");
    assert!(answered(&alone, Direction::Play).is_err());
    let publisher = publish(CHROMIUM_PUBLISH);
    assert_eq!(audio(&publisher).codecs.iter().map(|codec| codec.codec).collect::<Vec<_>>(), [Codec::Opus]);
    assert!(formats(&publisher.sdp).ends_with(" 111"));
}

#[test]
fn opus_is_stereo_when_the_offer_mentions_stereo() {
    // RFC 7587 §7.1: stereo is what the writer of the line wants to receive.
    for (offered, expected) in [
        ("minptime=10;useinbandfec=1", Some("useinbandfec=1")),
        ("stereo=1", Some("stereo=1;sprop-stereo=1")),
        ("sprop-stereo=1;useinbandfec=1", Some("stereo=1;sprop-stereo=1;useinbandfec=1")),
        ("useinbandfec=0; Stereo=1", Some("stereo=1;sprop-stereo=1")),
        ("stereo=0;sprop-stereo=0", None),
        ("usedtx=1;stereo=1", Some("stereo=1;sprop-stereo=1;usedtx=1")),
        ("", None),
    ] {
        let offer = with(CHROMIUM_PUBLISH, "a=fmtp:111 minptime=10;useinbandfec=1", &format!("a=fmtp:111 {offered}"));
        // A parameterless a=fmtp has no space after the number once lines are trimmed.
        let offer = if offered.is_empty() { offer.replace("a=fmtp:111 \r\n", "") } else { offer };
        let answer = publish(&offer);
        let found = answer.sdp.lines().find_map(|line| line.strip_prefix("a=fmtp:111 "));
        assert_eq!(found, expected, "{offered}");
    }
}

#[test]
fn the_node_begins_dtls_only_when_the_peer_will_not() {
    for (setup, role, written) in [
        ("a=setup:actpass\r\n", DtlsRole::Server, "a=setup:passive"),
        ("a=setup:active\r\n", DtlsRole::Server, "a=setup:passive"),
        ("a=setup:passive\r\n", DtlsRole::Client, "a=setup:active"),
        ("", DtlsRole::Server, "a=setup:passive"), // RFC 4145 §4: active is the default
    ] {
        let answer = publish(&with(CHROMIUM_PUBLISH, "a=setup:actpass\r\n", setup));
        assert_eq!(answer.description.dtls_role, role, "{setup}");
        assert_eq!(answer.sdp.matches(written).count(), 2, "{setup}");
    }
}

#[test]
fn several_fingerprints_are_taken_weak_ones_passed_over() {
    let hashes = |answer: &Answer| -> Vec<_> {
        answer
            .description
            .remote_fingerprints
            .iter()
            .map(|fingerprint| (fingerprint.hash, fingerprint.value.len()))
            .collect()
    };
    let aiortc = play(AIORTC_PLAY);
    let all = [(FingerprintHash::Sha256, 32), (FingerprintHash::Sha384, 48), (FingerprintHash::Sha512, 64)];
    assert_eq!(hashes(&aiortc), all);
    let line = "a=fingerprint:sha-256 0A:";
    let weak = with(CHROMIUM_PUBLISH, line, "a=fingerprint:sha-1 00:11\r\na=fingerprint:SHA-256 0a:");
    assert_eq!(hashes(&publish(&weak)), [(FingerprintHash::Sha256, 32)]);
}

#[test]
fn the_transport_is_that_of_the_first_accepted_section_of_the_group() {
    // RFC 9143 §7.3.1. Audio refused (its direction is wrong): the transport is then the video section's.
    let offer =
        CHROMIUM_PUBLISH.replacen("a=sendonly", "a=recvonly", 1).replacen("a=ice-ufrag:hzX0", "a=ice-ufrag:audio", 1);
    let answer = publish(&offer);
    assert_eq!(answer.description.remote_ice.ufrag, "hzX0");
    assert!(answer.sdp.contains("a=group:BUNDLE 1\r\n"));
    let video = &sections(&answer.sdp)[1];
    assert!(has(video, "a=end-of-candidates"));
    // bundle-only sections may leave it to the first section, even to one that is refused.
    let mut first = true;
    let offer: String = CHROMIUM_PUBLISH
        .replacen("a=sendonly", "a=recvonly", 1)
        .split_inclusive("\r\n")
        .filter(|line| {
            first = first && !line.starts_with("m=video");
            first || !(line.contains("ice-") || line.contains("fingerprint") || line.contains("setup"))
        })
        .collect();
    assert_eq!(publish(&offer).description.remote_ice.ufrag, "hzX0");
}

#[test]
fn one_audio_and_one_video_are_accepted_the_first_that_can_be() {
    let one = sections(CHROMIUM_PUBLISH)[1].join("\r\n");
    let second = one.replace("a=mid:1", "a=mid:2");
    let two = with(CHROMIUM_PUBLISH, "BUNDLE 0 1", "BUNDLE 0 1 2") + &second + "\r\n";
    let answer = publish(&two);
    assert_eq!(answer.description.media.len(), 2);
    assert!(answer.sdp.contains("a=group:BUNDLE 0 1\r\n"));
    assert!(sections(&answer.sdp)[2][0].starts_with("m=video 0 "));
    // The first has nothing in common: the second is taken.
    let blind = two.replacen(&one, &one.replace("/90000", "/1"), 1);
    let answer = publish(&blind);
    assert!(answer.sdp.contains("a=group:BUNDLE 0 2\r\n"));
    assert!(sections(&answer.sdp)[1][0].starts_with("m=video 0 "));
}

#[test]
fn payload_types_that_look_like_rtcp_are_not_taken() {
    // RFC 5761 §4.
    let offer = with(OBS_PUBLISH, "SAVPF 96", "SAVPF 96 72")
        .replace("a=rtpmap:96 H264/90000", "a=rtpmap:72 H264/90000\r\na=rtpmap:96 VP8/90000");
    assert_eq!(video(&publish(&offer)).codecs[0].codec, Codec::Vp8);
}

#[test]
fn rtx_is_agreed_only_together_with_nack() {
    let offer = CHROMIUM_PUBLISH.replace("a=rtcp-fb:108 nack\r\n", "");
    let answer = publish(&offer);
    assert_eq!(video(&answer).codecs[0].rtx_payload_type, None);
    assert!(answer.sdp.contains("m=video 9 UDP/TLS/RTP/SAVPF 108\r\n"));
    // RFC 4585 §4.2: the wildcard stands for every payload type.
    let offer = with(&offer, "a=rtpmap:108", "a=rtcp-fb:* nack\r\na=rtpmap:108");
    assert_eq!(video(&publish(&offer)).codecs[0].rtx_payload_type, Some(109));
}

#[test]
fn extension_ids_above_14_need_extmap_allow_mixed() {
    let mid = "urn:ietf:params:rtp-hdrext:sdes:mid";
    let two_byte = with(CHROMIUM_PLAY, &format!("a=extmap:4 {mid}"), &format!("a=extmap:200 {mid}"));
    assert_eq!(video(&play(&two_byte)).extensions.mid, Some(200));
    let not_mixed = with(&two_byte, "a=extmap-allow-mixed\r\n", "");
    assert_eq!(video(&play(&not_mixed)).extensions.mid, None);
    assert!(!play(&not_mixed).sdp.contains(mid));
}

#[test]
fn a_mid_above_the_downlink_budget_is_not_written_into_packets() {
    for (mid, agreed) in [("fifteen-bytes-x", true), ("sixteen-bytes-xy", false)] {
        let offer = with(CHROMIUM_PLAY, "a=mid:1\r\n", &format!("a=mid:{mid}\r\n"))
            .replace("BUNDLE 0 1", &format!("BUNDLE 0 {mid}"));
        let answer = play(&offer);
        assert_eq!(video(&answer).mid, mid);
        assert_eq!(video(&answer).extensions.mid.is_some(), agreed, "{mid}");
    }
}

#[test]
fn the_table_of_extensions_names_each_uri_once_and_gives_a_reason() {
    for (index, rule) in extensions::TABLE.iter().enumerate() {
        assert!(!rule.why.is_empty() && !rule.uri.contains(char::is_whitespace));
        assert!(extensions::TABLE[..index].iter().all(|other| other.uri != rule.uri), "{}", rule.uri);
    }
    // Every URI that a fixture offers is decided on.
    for (name, _, offer) in FIXTURES {
        for line in offer.lines().filter(|line| line.starts_with("a=extmap:")) {
            let uri = line.split(' ').nth(1).unwrap();
            assert!(extensions::TABLE.iter().any(|rule| rule.uri == uri), "{name}: {uri}");
        }
    }
}

#[test]
fn a_line_may_end_in_lf_alone() {
    assert_eq!(publish(&CHROMIUM_PUBLISH.replace("\r\n", "\n")), publish(CHROMIUM_PUBLISH));
}

#[test]
fn forward_error_correction_ssrcs_are_not_media() {
    let offer = with(
        CHROMIUM_PUBLISH,
        "a=ssrc-group:FID 1116787860 3213124974",
        "a=ssrc-group:FEC-FR 1116787860 5\r\na=ssrc:5 cname:x\r\na=ssrc-group:FID 1116787860 3213124974",
    );
    assert_eq!(video(&publish(&offer)).ssrcs, [SsrcPair { media: 1_116_787_860, rtx: Some(3_213_124_974) }]);
}

#[test]
fn an_ssrc_declared_twice_belongs_to_the_first_section() {
    let offer = with(CHROMIUM_PUBLISH, "3213124974", "3495569669");
    assert_eq!(video(&publish(&offer)).ssrcs, [SsrcPair { media: 1_116_787_860, rtx: None }]);
}

#[test]
fn feedback_on_request_is_agreed_with_viewers_that_offer_it_and_then_alone() {
    let second = "http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02";
    let first = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    let both = |offer: &str, id: u8| with(offer, "a=rtcp-rsize", &format!("a=rtcp-rsize\r\na=extmap:{id} {second}"));
    let answer = play(&both(CHROMIUM_PLAY, 14));
    let ids = video(&answer).extensions;
    assert_eq!((ids.transport_cc, ids.feedback_on_request), (Some(14), true));
    assert!(answer.sdp.contains(&format!("a=extmap:14 {second}")) && !answer.sdp.contains(first));
    // Firefox refuses an answer with what it has not offered.
    for offer in [CHROMIUM_PLAY, FIREFOX_PLAY] {
        let answer = play(offer);
        assert!(!video(&answer).extensions.feedback_on_request && answer.sdp.contains(first));
    }
    let from_publisher = publish(&both(CHROMIUM_PUBLISH, 14));
    assert!(!video(&from_publisher).extensions.feedback_on_request && !from_publisher.sdp.contains(second));
    // No room beside a long mid.
    let long =
        both(CHROMIUM_PLAY, 14).replace("a=mid:1", "a=mid:123456789").replace("BUNDLE 0 1", "BUNDLE 0 123456789");
    let answer = play(&long);
    assert_eq!(video(&answer).mid, "123456789");
    assert!(!video(&answer).extensions.feedback_on_request && answer.sdp.contains(first));
}

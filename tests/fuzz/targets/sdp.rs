//! SDP offers and trickle fragments: any text is refused with its status or answered whole, and nothing of the offer
//! becomes a line of the answer that this node would not write.

use std::io::Cursor;

use corecast::description::{Direction, IceCredentials};
use corecast::limits;
use corecast::signal::sdp::{self, Answer, Fragment, LocalParameters, SdpRefused};
use corecast::transport::Candidate;
use rtc_sdp::SessionDescription;

use super::Seed;

/// The first byte's lowest bit is the direction, the rest is the text.
pub fn run(data: &[u8]) {
    let Some((&first, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let direction = if first & 1 == 0 { Direction::Publish } else { Direction::Play };
    match answered(&text, direction) {
        Ok(answer) => check(&text, direction, &answer),
        Err(refused) => {
            assert!(matches!(refused.status(), 400 | 406 | 413 | 422));
            assert!(!refused.to_string().is_empty() && refused.to_string().len() < 1_000, "{refused}");
        }
    }
    if let Ok(fragment) = Fragment::parse(&text) {
        assert!(fragment.candidates <= limits::SDP_CANDIDATES_MAX);
        assert!(
            fragment
                .credentials
                .is_none_or(|ice| { (4..=256).contains(&ice.ufrag.len()) && (22..=256).contains(&ice.password.len()) })
        );
    }
}

fn answered(offer: &str, direction: Direction) -> Result<Answer, SdpRefused> {
    let ice = local_ice();
    let ips = ["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()];
    let candidates: Vec<Candidate> =
        Candidate::udp_hosts(ips.map(|ip: std::net::IpAddr| (ip, 20_003).into())).collect();
    let local = LocalParameters {
        ice: &ice,
        fingerprint_sha256: [0xa5; 32],
        candidates: &candidates,
        cname: "corecast-7",
        stream_id: "stream",
        session_id: 4_611_686_018_427_387_905,
        session_version: 1,
        data: true,
    };
    let mut ssrc = 1_000;
    sdp::answer(offer, direction, &local, &mut || {
        ssrc += 1;
        ssrc
    })
}

fn local_ice() -> IceCredentials {
    IceCredentials { ufrag: "w003LocalUfrag".to_owned(), password: "localPassword0123456789+".to_owned() }
}

/// Keys of `a=` lines this node writes.
const KEYS: [&str; 25] = [
    "candidate",
    "end-of-candidates",
    "extmap",
    "extmap-allow-mixed",
    "fingerprint",
    "fmtp",
    "group",
    "ice-lite",
    "ice-options",
    "ice-pwd",
    "ice-ufrag",
    "inactive",
    "mid",
    "msid",
    "recvonly",
    "rid",
    "rtcp-fb",
    "rtcp-mux",
    "rtcp-rsize",
    "rtpmap",
    "sendonly",
    "setup",
    "simulcast",
    "ssrc",
    "ssrc-group",
];

fn check(offer: &str, direction: Direction, answer: &Answer) {
    let parse = |text: &str| SessionDescription::unmarshal(&mut Cursor::new(text)).expect("it was read before");
    let (offered, written) = (parse(offer), parse(&answer.sdp));
    assert_eq!(offered.media_descriptions.len(), written.media_descriptions.len());
    let media = &answer.description.media;
    assert!((1..=limits::TRACKS_PER_SESSION_MAX).contains(&media.len()));
    let mut accepted = media.iter();
    for (offered, written) in offered.media_descriptions.iter().zip(&written.media_descriptions) {
        assert_eq!(offered.media_name.media, written.media_name.media);
        if written.media_name.port.value == 0 {
            continue;
        }
        let media = accepted.next().expect("a section of the description");
        // A section alone need not have one (RFC 9429 §5.3.1).
        let is_alone = answer.description.media.len() == 1;
        let mid = written.attribute("mid").flatten();
        assert!(mid.is_some() || is_alone);
        assert_eq!(mid.unwrap_or_default(), media.mid);
        assert!(media.mid.len() <= limits::SDP_MID_BYTES_MAX);
        let numbers = media.codecs.iter().flat_map(|codec| [Some(codec.payload_type), codec.rtx_payload_type]);
        let numbers: Vec<String> = numbers.flatten().map(|number| number.to_string()).collect();
        assert_eq!(written.media_name.formats, numbers);
        assert!(!numbers.is_empty() && numbers.iter().all(|number| number.parse::<u8>().is_ok_and(|n| n < 128)));
        let expected = if direction == Direction::Publish { media.codecs.len() } else { media.ssrcs.len() };
        assert_eq!(expected, 1);
        assert!(media.ssrcs.len() <= limits::SDP_SSRCS_PER_SECTION_MAX);
    }
    assert!(accepted.next().is_none());
    let fingerprints = &answer.description.remote_fingerprints;
    assert!((1..=limits::SDP_FINGERPRINTS_MAX).contains(&fingerprints.len()));
    let own = written.media_descriptions.iter().flat_map(|media| &media.attributes);
    for attribute in written.attributes.iter().chain(own) {
        assert!(KEYS.contains(&attribute.key.as_str()), "{}", attribute.key);
    }
    // What was agreed can be restarted, and the restart's answer is itself a fragment.
    let restart = sdp::restart_answer(&answer.description, &local_ice(), &[]);
    let fragment = Fragment::parse(&restart).expect("a fragment");
    assert_eq!(fragment.credentials, Some(local_ice()));
}

/// Offers of real clients; see `tests/data/sdp/README.md`.
pub fn offers() -> Vec<(&'static str, Direction, &'static str)> {
    macro_rules! offer {
        ($name:literal, $direction:expr) => {
            ($name, $direction, include_str!(concat!("../../data/sdp/", $name, ".sdp")))
        };
    }
    vec![
        offer!("chromium-publish", Direction::Publish),
        offer!("chromium-publish-simulcast", Direction::Publish),
        offer!("chromium-play", Direction::Play),
        offer!("firefox-publish", Direction::Publish),
        offer!("firefox-play", Direction::Play),
        offer!("safari-publish", Direction::Publish),
        offer!("obs-publish", Direction::Publish),
        offer!("gstreamer-publish", Direction::Publish),
        offer!("gstreamer-play", Direction::Play),
        offer!("aiortc-play", Direction::Play),
        offer!("werift-play", Direction::Play),
    ]
}

/// RFC 9725 figure 5, as Chromium's candidates look.
pub const TRICKLE: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
    a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
    a=candidate:3471623853 1 udp 2122194687 6d1d3c1b-9f0a.local 61765 typ host generation 0\r\n\
    a=end-of-candidates\r\n";

pub fn seeds() -> Vec<Seed> {
    let prefixed = |direction, text: &str| {
        let mut bytes = vec![u8::from(direction == Direction::Play)];
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    let offers = offers().into_iter().map(|(name, direction, text)| (name.to_owned(), prefixed(direction, text)));
    offers.chain([("trickle".to_owned(), prefixed(Direction::Publish, TRICKLE))]).collect()
}

//! Offers of real clients, answered; and what each module does with single lines.

mod answers;
mod leniency;
mod mutations;
mod refusals;
mod simulcast;

use super::*;
use crate::description::{Direction, IceCredentials, MediaKind, NegotiatedMedia};
use crate::transport::Candidate;
use crate::wire::codec::Codec;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sdp/", $name, ".sdp"))
    };
}
fn video(answer: &Answer) -> &NegotiatedMedia {
    answer.description.media.iter().find(|media| media.kind == MediaKind::Video).unwrap()
}

fn audio(answer: &Answer) -> &NegotiatedMedia {
    answer.description.media.iter().find(|media| media.kind == MediaKind::Audio).unwrap()
}

fn has(section: &[&str], line: &str) -> bool {
    section.contains(&line)
}

/// Name, direction, text. How each was made: `tests/data/sdp/README.md`.
const FIXTURES: &[(&str, Direction, &str)] = &[
    ("chromium-publish", Direction::Publish, CHROMIUM_PUBLISH),
    ("chromium-publish-data", Direction::Publish, CHROMIUM_PUBLISH_DATA),
    ("chromium-publish-simulcast", Direction::Publish, CHROMIUM_PUBLISH_SIMULCAST),
    ("chromium-play", Direction::Play, CHROMIUM_PLAY),
    ("firefox-publish", Direction::Publish, FIREFOX_PUBLISH),
    ("firefox-publish-data", Direction::Publish, FIREFOX_PUBLISH_DATA),
    ("firefox-publish-simulcast", Direction::Publish, FIREFOX_PUBLISH_SIMULCAST),
    ("firefox-play", Direction::Play, FIREFOX_PLAY),
    ("safari-publish", Direction::Publish, fixture!("safari-publish")),
    ("safari-play", Direction::Play, SAFARI_PLAY),
    ("obs-publish", Direction::Publish, OBS_PUBLISH),
    ("gstreamer-publish", Direction::Publish, GSTREAMER_PUBLISH),
    ("gstreamer-play", Direction::Play, GSTREAMER_PLAY),
    ("aiortc-publish", Direction::Publish, fixture!("aiortc-publish")),
    ("aiortc-play", Direction::Play, AIORTC_PLAY),
    ("werift-play", Direction::Play, fixture!("werift-play")),
];

const CHROMIUM_PUBLISH: &str = fixture!("chromium-publish");
const CHROMIUM_PUBLISH_DATA: &str = fixture!("chromium-publish-data");
const CHROMIUM_PUBLISH_SIMULCAST: &str = fixture!("chromium-publish-simulcast");
const CHROMIUM_PLAY: &str = fixture!("chromium-play");
const FIREFOX_PUBLISH: &str = fixture!("firefox-publish");
const FIREFOX_PUBLISH_DATA: &str = fixture!("firefox-publish-data");
const FIREFOX_PUBLISH_SIMULCAST: &str = fixture!("firefox-publish-simulcast");
const FIREFOX_PLAY: &str = fixture!("firefox-play");
const SAFARI_PLAY: &str = fixture!("safari-play");
const OBS_PUBLISH: &str = fixture!("obs-publish");
const GSTREAMER_PUBLISH: &str = fixture!("gstreamer-publish");
const GSTREAMER_PLAY: &str = fixture!("gstreamer-play");
const AIORTC_PLAY: &str = fixture!("aiortc-play");

fn local_ice() -> IceCredentials {
    IceCredentials { ufrag: "w003LocalUfrag".to_owned(), password: "localPassword0123456789+".to_owned() }
}

/// Answers with fixed local parameters; SSRCs count up from 1001.
fn answered(offer: &str, direction: Direction) -> Result<Answer, SdpRefused> {
    let mut ssrc = 1000;
    answered_with(offer, direction, "stream", &mut || {
        ssrc += 1;
        ssrc
    })
}

fn answered_with(
    offer: &str,
    direction: Direction,
    stream_id: &str,
    fresh_ssrc: &mut dyn FnMut() -> u32,
) -> Result<Answer, SdpRefused> {
    answered_where(true, offer, direction, stream_id, fresh_ssrc)
}

/// The same by a node that takes data channels or does not.
fn answered_where(
    data: bool,
    offer: &str,
    direction: Direction,
    stream_id: &str,
    fresh_ssrc: &mut dyn FnMut() -> u32,
) -> Result<Answer, SdpRefused> {
    let ips: [std::net::IpAddr; 2] = ["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()];
    let candidates: Vec<Candidate> = Candidate::udp_hosts(ips.map(|ip| (ip, 20_003).into())).collect();
    let local = LocalParameters {
        ice: &local_ice(),
        fingerprint_sha256: [0xa5; 32],
        candidates: &candidates,
        cname: "corecast-7",
        stream_id,
        session_id: 4_611_686_018_427_387_905,
        session_version: 1,
        data,
    };
    answer(offer, direction, &local, fresh_ssrc)
}

fn publish(offer: &str) -> Answer {
    answered(offer, Direction::Publish).unwrap()
}

fn play(offer: &str) -> Answer {
    answered(offer, Direction::Play).unwrap()
}

/// The offer with every `from` replaced, which must be there.
fn with(offer: &str, from: &str, to: &str) -> String {
    assert!(offer.contains(from), "the fixture has no {from:?}");
    offer.replace(from, to)
}

/// The `m=` sections of a text, each with its lines.
fn sections(sdp: &str) -> Vec<Vec<&str>> {
    let mut sections: Vec<Vec<&str>> = Vec::new();
    for line in sdp.lines() {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    sections
}

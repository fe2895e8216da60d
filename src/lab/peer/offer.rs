//! Offers as Chromium makes them: the recorded offers of the test fixtures, with this client's own parameters.
//!
//! A template is used, and not a generator, so that a server gets what real browsers send: every codec, extension and
//! feedback line, in Chromium's order and spelling. The credentials, the fingerprint, the candidates, the session's
//! number and, in a publisher's offer, the SSRCs are replaced. A publisher's video section keeps the one codec that
//! will be sent (as after `setCodecPreferences` in a page).
//!
//! Left out: IPv6 and TCP candidates beside the one host candidate, and trickling: the offer is complete.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::terms::Sources;
use crate::description::IceCredentials;
use crate::wire::codec::Codec;

const PLAY: &str = include_str!("../../../tests/data/sdp/chromium-play.sdp");
const PUBLISH: &str = include_str!("../../../tests/data/sdp/chromium-publish.sdp");
/// Of this one only the section of data channels is used.
const DATA: &str = include_str!("../../../tests/data/sdp/chromium-publish-data.sdp");

/// What one client puts into its offer.
#[derive(Clone, Copy, Debug)]
pub struct LocalOffer<'a> {
    /// Its credentials.
    pub ice: &'a IceCredentials,
    /// SHA-256 of its DTLS certificate.
    pub fingerprint_sha256: [u8; 32],
    /// Its host candidate.
    pub candidate: SocketAddr,
    /// `sess-id`: a random number below 2⁶³.
    pub session_id: u64,
    /// With a section of data channels behind the others.
    pub data: bool,
}

/// What a publisher sends.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    /// The video codec: H.264, VP8, VP9 or AV1.
    pub codec: Codec,
    /// Whether there is an audio section.
    pub audio: bool,
    /// SSRCs; [`Sources::video_rtx`] is written when it is there.
    pub sources: Sources,
    /// Canonical name (RFC 3550 §6.5.1).
    pub cname: &'a str,
    /// The encodings of a simulcast (RFC 8853), whose SSRCs are not offered; none without.
    pub rids: &'a [&'a str],
}

/// The offer of a viewer.
#[must_use]
pub fn play(local: &LocalOffer<'_>) -> String {
    render(PLAY, local, None)
}

/// The offer of a publisher.
#[must_use]
pub fn publish(local: &LocalOffer<'_>, published: &Published<'_>) -> String {
    render(PUBLISH, local, Some(published))
}

fn render(template: &str, local: &LocalOffer<'_>, published: Option<&Published<'_>>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut sections = sections(template);
    if local.data {
        sections.extend(self::sections(DATA).into_iter().filter(|section| Kind::of(section) == Kind::Data));
    }
    let audio = published.is_none_or(|published| published.audio);
    let mut first = true;
    for section in &sections {
        let kind = Kind::of(section);
        if kind == Kind::Audio && !audio {
            continue;
        }
        let formats = match (kind, published) {
            (Kind::Video, Some(published)) => Some(formats_of(section, published.codec)),
            _ => None,
        };
        for line in section.iter().filter(|line| kept(line, formats.as_deref())) {
            own_line(&mut out, line, local, formats.as_deref(), first, audio);
        }
        if let (Some(published), Kind::Audio | Kind::Video) = (published, kind) {
            ssrc_lines(&mut out, section, kind, published);
        }
        first &= kind == Kind::Session;
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Session,
    Audio,
    Video,
    Data,
}

impl Kind {
    fn of(section: &[&str]) -> Self {
        match section.first() {
            Some(line) if line.starts_with("m=audio") => Self::Audio,
            Some(line) if line.starts_with("m=video") => Self::Video,
            Some(line) if line.starts_with("m=application") => Self::Data,
            _ => Self::Session,
        }
    }
}

/// The lines before the first `m=`, and those of each `m=`.
fn sections(template: &str) -> Vec<Vec<&str>> {
    let mut sections = vec![Vec::new()];
    for line in template.lines() {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    sections
}

/// Payload types of `codec` in this section and of their retransmissions; of H.264 those in packetisation mode 1.
fn formats_of<'a>(section: &[&'a str], codec: Codec) -> Vec<&'a str> {
    let attribute = |key: &'static str| {
        section.iter().filter_map(move |line| line.strip_prefix("a=")?.strip_prefix(key)?.split_once(' '))
    };
    let name = format!("{}/", codec.name());
    let mut kept: Vec<&str> = attribute("rtpmap:")
        .filter(|(_, map)| map.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(&name)))
        .map(|(payload_type, _)| payload_type)
        .filter(|payload_type| {
            let mut parameters = attribute("fmtp:").filter(|(of, _)| of == payload_type);
            codec != Codec::H264 || parameters.any(|(_, text)| text.contains("packetization-mode=1"))
        })
        .collect();
    let repairs: Vec<&str> = attribute("fmtp:")
        .filter(|(_, text)| text.strip_prefix("apt=").is_some_and(|of| kept.contains(&of)))
        .map(|(payload_type, _)| payload_type)
        .collect();
    kept.extend(repairs);
    kept
}

/// Whether a line of the template stays, perhaps changed.
fn kept(line: &str, formats: Option<&[&str]>) -> bool {
    if line.starts_with("a=ssrc") {
        return false;
    }
    let of_format = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().find_map(|key| line.strip_prefix(key));
    match (of_format, formats) {
        (Some(rest), Some(formats)) => formats.contains(&rest.split(' ').next().unwrap_or_default()),
        _ => true,
    }
}

fn own_line(
    out: &mut String,
    line: &str,
    local: &LocalOffer<'_>,
    formats: Option<&[&str]>,
    bundle_first: bool,
    audio: bool,
) {
    let (ip, port) = (local.candidate.ip(), local.candidate.port());
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    // Writing to a String does not fail.
    let _ = if line.starts_with("o=") {
        write!(out, "o=- {} 2 IN IP4 127.0.0.1", local.session_id & (u64::MAX >> 1))
    } else if line.starts_with("a=group:BUNDLE") {
        let (audio, data) = (if audio { " 0" } else { "" }, if local.data { " 2" } else { "" });
        write!(out, "a=group:BUNDLE{audio} 1{data}")
    } else if let Some(media) = line.strip_prefix("m=") {
        let mut words = media.split(' ');
        let (kind, _, protocol) = (words.next(), words.next(), words.next());
        let offered: Vec<&str> = formats.map_or_else(|| words.collect(), <[&str]>::to_vec);
        let port = if bundle_first { port } else { 9 };
        write!(out, "m={} {port} {} {}", kind.unwrap_or_default(), protocol.unwrap_or_default(), offered.join(" "))
    } else if line.starts_with("c=") && bundle_first {
        write!(out, "c=IN {family} {ip}")
    } else if line.starts_with("a=candidate:") {
        Ok(())
    } else if line.starts_with("a=rtcp:") && bundle_first {
        // Chromium writes its candidates behind this line.
        write!(out, "{line}\r\na=candidate:1195935679 1 udp 2122194687 {ip} {port} typ host generation 0 network-id 1")
    } else if line.starts_with("a=ice-ufrag:") {
        write!(out, "a=ice-ufrag:{}", local.ice.ufrag)
    } else if line.starts_with("a=ice-pwd:") {
        write!(out, "a=ice-pwd:{}", local.ice.password)
    } else if line.starts_with("a=fingerprint:") {
        let pairs: Vec<String> = local.fingerprint_sha256.iter().map(|byte| format!("{byte:02X}")).collect();
        write!(out, "a=fingerprint:sha-256 {}", pairs.join(":"))
    } else {
        write!(out, "{line}")
    };
    if !line.starts_with("a=candidate:") {
        out.push_str("\r\n");
    }
}

fn ssrc_lines(out: &mut String, section: &[&str], kind: Kind, published: &Published<'_>) {
    if kind == Kind::Video && !published.rids.is_empty() {
        for rid in published.rids {
            let _ = write!(out, "a=rid:{rid} send\r\n");
        }
        let _ = write!(out, "a=simulcast:send {}\r\n", published.rids.join(";"));
        return;
    }
    let Sources { audio, video, video_rtx } = published.sources;
    let ssrcs = match kind {
        Kind::Audio => [Some(audio), None],
        _ => [Some(video), video_rtx],
    };
    if let [Some(media), Some(rtx)] = ssrcs {
        let _ = write!(out, "a=ssrc-group:FID {media} {rtx}\r\n");
    }
    let msid = section.iter().find_map(|line| line.strip_prefix("a=msid:")).unwrap_or("-");
    for ssrc in ssrcs.into_iter().flatten() {
        let _ = write!(out, "a=ssrc:{ssrc} cname:{}\r\na=ssrc:{ssrc} msid:{msid}\r\n", published.cname);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{Direction, MediaKind};
    use crate::signal::sdp::{LocalParameters, answer};
    use crate::transport::Candidate;

    const SOURCES: Sources = Sources { audio: 11, video: 22, video_rtx: Some(33) };

    fn ice() -> IceCredentials {
        IceCredentials { ufrag: "abcd".to_owned(), password: "a-password-of-enough+bytes".replace('-', "x") }
    }

    fn with_local<T>(make: impl FnOnce(&LocalOffer<'_>) -> T) -> T {
        let ice = ice();
        let candidate = ([192, 0, 2, 9], 4_444).into();
        make(&LocalOffer { ice: &ice, fingerprint_sha256: [0xab; 32], candidate, session_id: 5, data: false })
    }

    fn node_answers(offer: &str, direction: Direction) -> crate::signal::sdp::Answer {
        let node = IceCredentials { ufrag: "node".to_owned(), password: "n".repeat(24) };
        let candidates: Vec<Candidate> = Candidate::udp_hosts([([192, 0, 2, 1], 20_000).into()]).collect();
        let local = LocalParameters {
            ice: &node,
            fingerprint_sha256: [7; 32],
            candidates: &candidates,
            cname: "cname",
            stream_id: "stream",
            session_id: 1,
            session_version: 1,
            data: true,
        };
        let mut next = 0;
        answer(offer, direction, &local, &mut || {
            next += 1;
            next
        })
        .unwrap()
    }

    #[test]
    fn a_viewers_offer_is_chromiums_with_its_own_parameters() {
        let offer = with_local(play);
        for (ours, theirs) in offer.lines().zip(PLAY.lines().filter(|line| !line.starts_with("a=candidate:"))) {
            // The lines keep the template's order up to the one candidate, which replaces four.
            if ours.starts_with("a=candidate:") {
                break;
            }
            assert_eq!(ours.split_once(['=', ':']).unwrap().0, theirs.split_once(['=', ':']).unwrap().0);
        }
        assert_eq!(offer.lines().count(), PLAY.lines().count() - 3);
        for line in [
            "m=audio 4444 UDP",
            "c=IN IP4 192.0.2.9\r\n",
            "a=ice-ufrag:abcd\r\n",
            "sha-256 AB:AB:",
            " 192.0.2.9 4444 typ host",
        ] {
            assert!(offer.contains(line), "{line} is not in\n{offer}");
        }
        let description = node_answers(&offer, Direction::Play).description;
        assert_eq!(description.remote_ice, ice());
        assert!(description.media.iter().any(|media| media.codecs.len() >= 4), "it offers every codec");
    }

    #[test]
    fn a_publishers_offer_holds_the_one_codec_it_sends() {
        for (codec, rtx) in [(Codec::H264, Some(33)), (Codec::Vp8, None), (Codec::Av1, Some(33))] {
            let sources = Sources { video_rtx: rtx, ..SOURCES };
            let published = Published { codec, audio: true, sources, cname: "me", rids: &[] };
            let offer = with_local(|local| publish(local, &published));
            let description = node_answers(&offer, Direction::Publish).description;
            let video = description.media.iter().find(|media| media.kind == MediaKind::Video).unwrap();
            assert_eq!(video.codecs[0].codec, codec);
            assert_eq!((video.ssrcs[0].media, video.ssrcs[0].rtx), (22, rtx));
            assert_eq!(description.media.len(), 2);
        }
    }

    #[test]
    fn a_simulcast_is_offered_by_its_rids() {
        let rids = ["l", "m", "h"];
        let published = Published { codec: Codec::H264, audio: true, sources: SOURCES, cname: "me", rids: &rids };
        let offer = with_local(|local| publish(local, &published));
        let (audio, video) = offer.split_once("m=video").unwrap();
        assert!(
            video.ends_with("a=rid:l send\r\na=rid:m send\r\na=rid:h send\r\na=simulcast:send l;m;h\r\n"),
            "{video}"
        );
        assert!(audio.contains("a=ssrc:11 ") && !video.contains("a=ssrc"));
        for uri in ["sdes:rtp-stream-id", "sdes:repaired-rtp-stream-id"] {
            assert!(video.contains(uri), "{uri}");
        }
    }

    #[test]
    fn the_section_of_data_channels_stands_behind_the_others_with_this_clients_parameters() {
        let published = Published { codec: Codec::H264, audio: false, sources: SOURCES, cname: "me", rids: &[] };
        for offer in [
            with_local(|local| play(&LocalOffer { data: true, ..*local })),
            with_local(|local| publish(&LocalOffer { data: true, ..*local }, &published)),
        ] {
            let (media, data) = offer.split_once("m=application ").unwrap();
            assert!(media.lines().any(|line| line.starts_with("a=group:BUNDLE ") && line.ends_with(" 1 2")), "{media}");
            assert!(data.contains("a=ice-ufrag:abcd\r\n") && data.contains("sha-256 AB:AB:"), "{data}");
            let direction = if media.contains("a=recvonly") { Direction::Play } else { Direction::Publish };
            let answer = node_answers(&offer, direction);
            assert!(answer.description.data.is_some());
            assert!(super::super::answer::RemoteAnswer::parse(&answer.sdp).unwrap().data);
        }
        let without = node_answers(&with_local(play), Direction::Play);
        assert!(!super::super::answer::RemoteAnswer::parse(&without.sdp).unwrap().data);
    }

    #[test]
    fn without_audio_the_video_section_carries_the_transport() {
        let published = Published { codec: Codec::H264, audio: false, sources: SOURCES, cname: "me", rids: &[] };
        let offer = with_local(|local| publish(local, &published));
        assert!(!offer.contains("m=audio") && offer.contains("a=group:BUNDLE 1\r\n"), "{offer}");
        assert!(offer.contains("m=video 4444 ") && offer.contains(" 192.0.2.9 4444 typ host"), "{offer}");
        assert_eq!(node_answers(&offer, Direction::Publish).description.media.len(), 1);
    }
}

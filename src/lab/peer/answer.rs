//! Parses the SDP answer of any WHIP or WHEP server into the values that a client needs to connect and to read what
//! arrives.
//!
//! It assumes nothing that only this node does: the server may be a full ICE agent, have several candidates, leave out
//! SSRCs, or accept one section only. `rtc-sdp` does the lexing.
//!
//! Left out: relayed and mDNS candidates, and candidate pairs, because a client talks to one candidate.

use std::fmt;
use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};

use rtc_sdp::SessionDescription;
use rtc_sdp::description::common::Attribute;
use rtc_sdp::description::media::MediaDescription;

use crate::description::{DtlsRole, ExtensionIds, Fingerprint, FingerprintHash, IceCredentials, MediaKind, SsrcPair};
use crate::wire::codec::Codec;

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// The answer is not SDP.
    NotSdp,
    /// An attribute that a connection needs is missing or cannot be read.
    Attribute(&'static str),
    /// The answer accepts no audio or video section.
    NothingAccepted,
    /// The answer has no UDP candidate with an address.
    NoCandidate,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSdp => f.write_str("the server's answer is not SDP"),
            Self::Attribute(name) => write!(f, "the server's answer has no usable a={name}"),
            Self::NothingAccepted => f.write_str("the server's answer accepts neither audio nor video"),
            Self::NoCandidate => {
                f.write_str("the server's answer has no UDP candidate with an IP address: is it reachable over UDP?")
            }
        }
    }
}

impl std::error::Error for AnswerError {}

/// One codec of an accepted section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnsweredCodec {
    /// Which.
    pub codec: Codec,
    /// RTP payload type.
    pub payload_type: u8,
    /// Payload type of its retransmissions.
    pub rtx_payload_type: Option<u8>,
    /// Generic NACK was agreed.
    pub nack: bool,
    /// Picture loss indication was agreed.
    pub pli: bool,
    /// Transport-wide feedback was agreed.
    pub transport_cc: bool,
    /// REMB was agreed.
    pub remb: bool,
}

/// One accepted section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredMedia {
    /// Audio or video.
    pub kind: MediaKind,
    /// `a=mid`; empty without.
    pub mid: String,
    /// In the answer's order.
    pub codecs: Vec<AnsweredCodec>,
    /// Header extensions agreed.
    pub extensions: ExtensionIds,
    /// What the server says it will send; none where it does not say.
    pub ssrcs: Vec<SsrcPair>,
    /// The encodings of a simulcast that it receives (RFC 8853), in the answer's order; none without.
    pub rids: Vec<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteAnswer {
    /// The server's credentials.
    pub ice: IceCredentials,
    /// The certificates it may present.
    pub fingerprints: Vec<Fingerprint>,
    /// This client's end of the handshake.
    pub dtls_role: DtlsRole,
    /// UDP candidates in the answer's order.
    pub candidates: Vec<SocketAddr>,
    /// Passive TCP candidates (RFC 6544) in the answer's order.
    pub tcp_candidates: Vec<SocketAddr>,
    /// Accepted audio and video sections.
    pub media: Vec<AnsweredMedia>,
    /// It accepts data channels.
    pub data: bool,
}

impl RemoteAnswer {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`AnswerError`]
    pub fn parse(text: &str) -> Result<Self, AnswerError> {
        let session = SessionDescription::unmarshal(&mut Cursor::new(text)).map_err(|_| AnswerError::NotSdp)?;
        let mut levels = vec![Lines(&session.attributes)];
        levels.extend(session.media_descriptions.iter().map(|media| Lines(&media.attributes)));
        let find = |key| levels.iter().find_map(|level| level.value(key));

        let ice = IceCredentials {
            ufrag: find("ice-ufrag").ok_or(AnswerError::Attribute("ice-ufrag"))?.to_owned(),
            password: find("ice-pwd").ok_or(AnswerError::Attribute("ice-pwd"))?.to_owned(),
        };
        let mut fingerprints: Vec<Fingerprint> = Vec::new();
        for fingerprint in levels.iter().flat_map(|level| level.values("fingerprint")).filter_map(fingerprint) {
            if !fingerprints.contains(&fingerprint) {
                fingerprints.push(fingerprint);
            }
        }
        if fingerprints.is_empty() {
            return Err(AnswerError::Attribute("fingerprint"));
        }
        // RFC 8842 §5.3: an answer is active or passive.
        let dtls_role = match find("setup") {
            Some("passive") | None => DtlsRole::Client,
            Some("active") => DtlsRole::Server,
            Some(_) => return Err(AnswerError::Attribute("setup")),
        };
        let (mut candidates, mut tcp_candidates): (Vec<SocketAddr>, Vec<SocketAddr>) = Default::default();
        for (is_tcp, candidate) in levels.iter().flat_map(|level| level.values("candidate")).filter_map(candidate) {
            let of_kind = if is_tcp { &mut tcp_candidates } else { &mut candidates };
            if !of_kind.contains(&candidate) {
                of_kind.push(candidate);
            }
        }
        let media: Vec<AnsweredMedia> = session
            .media_descriptions
            .iter()
            .filter(|media| media.media_name.port.value != 0)
            .filter_map(|media| {
                let kind = match media.media_name.media.as_str() {
                    "audio" => MediaKind::Audio,
                    "video" => MediaKind::Video,
                    _ => return None,
                };
                let lines = Lines(&media.attributes);
                let codecs = codecs(&media.media_name.formats, &lines);
                (!codecs.is_empty() && !lines.has("inactive")).then(|| AnsweredMedia {
                    kind,
                    mid: lines.value("mid").unwrap_or_default().to_owned(),
                    codecs,
                    extensions: extensions(&lines),
                    ssrcs: ssrcs(&lines),
                    rids: simulcast(&lines),
                })
            })
            .collect();
        if media.is_empty() {
            return Err(AnswerError::NothingAccepted);
        }
        let is_data =
            |media: &MediaDescription| media.media_name.media == "application" && media.media_name.port.value != 0;
        let data = session.media_descriptions.iter().any(is_data);
        Ok(Self { ice, fingerprints, dtls_role, candidates, tcp_candidates, media, data })
    }

    /// The candidate to use by a client that reached the server's HTTP at `server`: that address itself, else one of
    /// its family (a loopback one only for a server on loopback), else any.
    ///
    /// # Errors
    /// [`AnswerError::NoCandidate`]
    pub fn candidate_near(&self, server: IpAddr) -> Result<SocketAddr, AnswerError> {
        near(&self.candidates, server).ok_or(AnswerError::NoCandidate)
    }

    /// As [`Self::candidate_near`], of the TCP candidates.
    #[must_use]
    pub fn tcp_candidate_near(&self, server: IpAddr) -> Option<SocketAddr> {
        near(&self.tcp_candidates, server)
    }

    /// The accepted section of this kind.
    #[must_use]
    pub fn section(&self, kind: MediaKind) -> Option<&AnsweredMedia> {
        self.media.iter().find(|media| media.kind == kind)
    }
}

fn near(candidates: &[SocketAddr], server: IpAddr) -> Option<SocketAddr> {
    let worth = |candidate: &&SocketAddr| {
        let ip = candidate.ip();
        (ip == server, ip.is_ipv4() == server.is_ipv4(), ip.is_loopback() == server.is_loopback())
    };
    let usable = candidates.iter().filter(|candidate| !candidate.ip().is_loopback() || server.is_loopback());
    // The first of the best: the answer's order is the server's preference.
    usable.rev().max_by_key(worth).copied()
}

/// The `a=` lines of one level.
struct Lines<'a>(&'a [Attribute]);

impl<'a> Lines<'a> {
    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|line| line.key == key)
    }

    fn value(&self, key: &'static str) -> Option<&'a str> {
        self.values(key).next()
    }

    fn values(&self, key: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.iter().filter(move |line| line.key == key).filter_map(|line| line.value.as_deref().map(str::trim))
    }
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    let (name, value) = text.split_once(' ')?;
    let (hash, bytes) = match name.to_ascii_lowercase().as_str() {
        "sha-256" => (FingerprintHash::Sha256, 32),
        "sha-384" => (FingerprintHash::Sha384, 48),
        "sha-512" => (FingerprintHash::Sha512, 64),
        _ => return None,
    };
    let value: Option<Vec<u8>> =
        value.trim().split(':').map(|pair| u8::from_str_radix(pair, 16).ok().filter(|_| pair.len() == 2)).collect();
    Some(Fingerprint { hash, value: value.filter(|value| value.len() == bytes)? })
}

/// RFC 8839 §5.1: foundation, component, transport, priority, address, port, `typ`, type; whether it is TCP, where it must be
/// passive (RFC 6544 §4.5). Relayed ones are left out.
fn candidate(text: &str) -> Option<(bool, SocketAddr)> {
    let mut words = text.split_ascii_whitespace();
    let (_, component, transport, _) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let (address, port) = (words.next()?.parse::<IpAddr>().ok()?, words.next()?.parse::<u16>().ok()?);
    let kind = (words.next()? == "typ").then(|| words.next())??;
    let is_tcp = transport.eq_ignore_ascii_case("tcp");
    let carries = transport.eq_ignore_ascii_case("udp") || is_tcp && text.contains("tcptype passive");
    let wanted = component == "1" && carries && kind != "relay" && port != 0;
    // A link-local address needs a scope that SDP does not carry.
    let reachable = !matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    (wanted && reachable).then_some((is_tcp, SocketAddr::new(address, port)))
}

fn codecs(formats: &[String], lines: &Lines<'_>) -> Vec<AnsweredCodec> {
    let of = |key, payload_type: u8| {
        lines.values(key).filter_map(move |value| {
            let (number, rest) = value.split_once(' ')?;
            (number.parse::<u8>() == Ok(payload_type)).then_some(rest.trim())
        })
    };
    let formats = || formats.iter().filter_map(|format| format.parse::<u8>().ok().filter(|number| *number < 128));
    let rtx_of = |payload_type: u8| {
        formats().find(|rtx| {
            of("fmtp", *rtx).any(|text| {
                text.split(';').any(|part| part.trim().strip_prefix("apt=") == Some(payload_type.to_string().as_str()))
            })
        })
    };
    formats()
        .filter_map(|payload_type| {
            let name = of("rtpmap", payload_type).next()?.split('/').next()?;
            let feedback = |wanted: &str| {
                lines.values("rtcp-fb").any(|line| {
                    line.split_once(' ').is_some_and(|(number, text)| {
                        (number == "*" || number.parse() == Ok(payload_type)) && text.trim() == wanted
                    })
                })
            };
            Some(AnsweredCodec {
                codec: Codec::from_name(name)?,
                payload_type,
                rtx_payload_type: rtx_of(payload_type),
                nack: feedback("nack"),
                pli: feedback("nack pli"),
                transport_cc: feedback("transport-cc"),
                remb: feedback("goog-remb"),
            })
        })
        .collect()
}

fn extensions(lines: &Lines<'_>) -> ExtensionIds {
    let id = |uri: &str| {
        lines.values("extmap").find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let id = words.next()?.split('/').next()?.parse().ok()?;
            (words.next()? == uri).then_some(id)
        })
    };
    let transport_cc = id(TRANSPORT_CC);
    ExtensionIds {
        mid: id(MID),
        rid: id(RID),
        repaired_rid: id(REPAIRED_RID),
        transport_cc,
        feedback_on_request: false,
    }
}

/// RFC 8853 §5.1: streams behind `recv`, without alternatives and marks of a pause.
fn simulcast(lines: &Lines<'_>) -> Vec<String> {
    let Some(text) = lines.value("simulcast") else { return Vec::new() };
    let mut words = text.split_ascii_whitespace();
    let streams = words.by_ref().find(|word| *word == "recv").and_then(|_| words.next()).unwrap_or_default();
    let first = |stream: &str| stream.split(',').next().unwrap_or_default().trim_start_matches('~').to_owned();
    streams.split(';').map(first).filter(|rid| !rid.is_empty()).collect()
}

fn ssrcs(lines: &Lines<'_>) -> Vec<SsrcPair> {
    let pairs: Vec<(u32, u32)> = lines
        .values("ssrc-group")
        .filter_map(|line| {
            let mut words = line.strip_prefix("FID ")?.split_ascii_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect();
    let mut found: Vec<SsrcPair> = Vec::new();
    for ssrc in lines.values("ssrc").filter_map(|line| line.split(' ').next()?.parse::<u32>().ok()) {
        let is_rtx = pairs.iter().any(|(_, rtx)| *rtx == ssrc);
        if !is_rtx && found.iter().all(|pair| pair.media != ssrc) {
            let rtx = pairs.iter().find(|(media, _)| *media == ssrc).map(|(_, rtx)| *rtx);
            found.push(SsrcPair { media: ssrc, rtx });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::Direction;
    use crate::signal::sdp::{LocalParameters, answer};
    use crate::transport::Candidate;

    #[test]
    fn this_nodes_answer_reads_back_as_what_was_agreed() {
        let ice = IceCredentials { ufrag: "node".to_owned(), password: "n".repeat(24) };
        let ips = ["2001:db8::1".parse().unwrap(), [192, 0, 2, 1].into()];
        let candidates: Vec<Candidate> = Candidate::udp_hosts(ips.map(|ip| (ip, 20_000).into())).collect();
        let local = LocalParameters {
            ice: &ice,
            fingerprint_sha256: [7; 32],
            candidates: &candidates,
            cname: "cname",
            stream_id: "stream",
            session_id: 1,
            session_version: 1,
            data: true,
        };
        let mut next = 100;
        let offer = include_str!("../../../tests/data/sdp/chromium-play.sdp");
        let made = answer(offer, Direction::Play, &local, &mut || {
            next += 1;
            next
        })
        .unwrap();
        let read = RemoteAnswer::parse(&made.sdp).unwrap();
        assert_eq!((read.ice, read.dtls_role), (ice, DtlsRole::Client));
        assert_eq!(read.candidates, ips.map(|ip| SocketAddr::new(ip, 20_000)));
        assert_eq!(read.fingerprints[0].value, [7; 32]);
        for (read, agreed) in read.media.iter().zip(&made.description.media) {
            assert_eq!((&read.mid, &read.ssrcs), (&agreed.mid, &agreed.ssrcs));
            assert_eq!(read.extensions.mid, agreed.extensions.mid);
            let pairs = |codec: &AnsweredCodec| (codec.payload_type, codec.rtx_payload_type, codec.nack, codec.pli);
            let agreed: Vec<_> = agreed
                .codecs
                .iter()
                .map(|codec| (codec.payload_type, codec.rtx_payload_type, codec.nack, codec.pli))
                .collect();
            assert_eq!(read.codecs.iter().map(pairs).collect::<Vec<_>>(), agreed);
        }
    }

    /// An answer to a viewer as aiortc makes it: a full agent with several candidates, transport lines in every
    /// section.
    const AIORTC: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
        m=audio 40001 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 10.0.0.2\r\na=sendonly\r\na=mid:0\r\na=rtcp-mux\r\n\
        a=ssrc:1 cname:x\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
        a=candidate:b 1 tcp 1 10.0.0.2 9 typ host tcptype active\r\n\
        a=candidate:e 1 TCP 1 10.0.0.2 443 typ host tcptype passive\r\n\
        a=candidate:a 1 udp 2130706431 172.17.0.1 40000 typ host\r\n\
        a=candidate:a 1 udp 2130706431 10.0.0.2 40001 typ host\r\na=candidate:c 1 udp 1 9.9.9.9 1 typ relay\r\n\
        a=candidate:d 1 udp 1 0f5c.local 40002 typ host\r\na=end-of-candidates\r\na=ice-ufrag:uf3z\r\n\
        a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-1 00:11\r\na=setup:active\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 97\r\na=mid:1\r\na=inactive\r\na=rtpmap:97 VP8/90000\r\n";

    #[test]
    fn a_full_agents_answer_is_read_too() {
        let text = AIORTC.replace("sha-1 00:11", &format!("sha-256 {}", ["0a"; 32].join(":")));
        let read = RemoteAnswer::parse(&text).unwrap();
        assert_eq!(read.dtls_role, DtlsRole::Server);
        let expected: [SocketAddr; 2] = [([172, 17, 0, 1], 40_000).into(), ([10, 0, 0, 2], 40_001).into()];
        assert_eq!(read.candidates, expected);
        assert_eq!(read.candidate_near([10, 0, 0, 2].into()), Ok(([10, 0, 0, 2], 40_001).into()));
        assert_eq!(read.candidate_near([127, 0, 0, 1].into()), Ok(([172, 17, 0, 1], 40_000).into()));
        assert_eq!(read.tcp_candidate_near([10, 0, 0, 9].into()), Some(([10, 0, 0, 2], 443).into()));
        assert_eq!(read.media.len(), 1, "port 0 is refused");
        assert_eq!(read.media[0].codecs.len(), 1, "PCMU is no codec of ours");
        assert_eq!(read.media[0].ssrcs, [SsrcPair { media: 1, rtx: None }]);
    }

    #[test]
    fn the_encodings_that_are_received_are_read() {
        let with = |line: &str| {
            let text = AIORTC.replace("sha-1 00:11", &format!("sha-256 {}", ["0a"; 32].join(":")));
            let text = text.replace("a=sendonly\r\n", &format!("a=sendonly\r\n{line}\r\n"));
            RemoteAnswer::parse(&text).unwrap().media.remove(0)
        };
        assert_eq!(with("a=simulcast:recv h;~m,x;l").rids, ["h", "m", "l"]);
        assert_eq!(with("a=simulcast: send a;b recv c").rids, ["c"]);
        assert_eq!(with("a=simulcast:send a;b").rids.len(), 0);
        let agreed = with("a=rtcp-fb:111 transport-cc\r\na=rtcp-fb:* goog-remb").codecs[0];
        assert!(agreed.transport_cc && agreed.remb && !with("a=x").codecs[0].transport_cc);
    }

    #[test]
    fn a_missing_part_of_an_answer_is_named() {
        assert_eq!(RemoteAnswer::parse("<html>"), Err(AnswerError::NotSdp));
        assert_eq!(RemoteAnswer::parse(AIORTC), Err(AnswerError::Attribute("fingerprint")));
        let text = AIORTC.replace("a=ice-pwd:", "a=x:");
        assert_eq!(RemoteAnswer::parse(&text), Err(AnswerError::Attribute("ice-pwd")));
    }
}

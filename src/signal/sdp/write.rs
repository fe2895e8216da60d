//! Writes the text of an answer. Nothing is decided here, and no text of the peer is copied that was not checked
//! before.

use rtc_sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc_sdp::description::media::{MediaName, RangedPort};
use rtc_sdp::description::session::{Origin, TimeDescription};
use rtc_sdp::{MediaDescription, SessionDescription};

use super::local::LocalParameters;
use super::negotiate::{Accepted, Agreement};
use super::offer::{MediaSection, Offer, token};
use super::transport::fingerprint_text;
use crate::data::SCTP_PORT;
use crate::description::{Direction, DtlsRole, MediaKind, NegotiatedMedia};
use crate::limits;

/// The ICE options of this node (RFC 8838 §3, RFC 8445 §10). It accepts trickled candidates, which it ignores.
pub(super) const ICE_OPTIONS: &str = "trickle ice2";

/// The answer to `offer`.
pub(super) fn answer(offer: &Offer, agreement: &Agreement, local: &LocalParameters<'_>) -> String {
    let mut lines = Lines::default();
    if !agreement.bundle.is_empty() {
        lines.value("group", format!("BUNDLE {}", agreement.bundle.join(" ")));
    }
    if offer.attributes.has("extmap-allow-mixed") {
        lines.flag("extmap-allow-mixed");
    }
    lines.flag("ice-lite");
    lines.value("ice-options", ICE_OPTIONS);

    let sections = offer.sections.iter().enumerate().map(|(index, section)| {
        let accepted = agreement.accepted.iter().zip(&agreement.description.media);
        match accepted.into_iter().find(|(accepted, _)| accepted.index == index) {
            Some((accepted, media)) => accepted_section(section, accepted, media, agreement, local),
            None if agreement.data == Some(index) => data_section(section, agreement, local),
            None => refused_section(section),
        }
    });
    SessionDescription {
        version: 0,
        origin: Origin {
            username: "-".to_owned(),
            // RFC 8829 §5.2.1: the highest bit is 0.
            session_id: local.session_id & (u64::MAX >> 1),
            session_version: local.session_version,
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            unicast_address: "127.0.0.1".to_owned(),
        },
        session_name: "-".to_owned(),
        time_descriptions: vec![TimeDescription::default()],
        attributes: lines.0,
        media_descriptions: sections.collect(),
        ..SessionDescription::default()
    }
    .marshal()
}

fn accepted_section(
    offered: &MediaSection,
    accepted: &Accepted,
    media: &NegotiatedMedia,
    agreement: &Agreement,
    local: &LocalParameters<'_>,
) -> MediaDescription {
    let direction = agreement.description.direction;
    let mut lines = transport_lines(agreement, local);
    if offered.mid.is_some() {
        lines.value("mid", &media.mid);
    }
    for (_, line) in &accepted.extensions.lines {
        lines.value("extmap", line);
    }
    if offered.attributes.has("extmap-allow-mixed") {
        lines.flag("extmap-allow-mixed");
    }
    lines.flag(match direction {
        Direction::Publish => "recvonly",
        Direction::Play => "sendonly",
    });
    let track = track(media, local);
    if direction == Direction::Play {
        lines.value("msid", &track);
    }
    lines.flag("rtcp-mux");
    if offered.attributes.has("rtcp-rsize") {
        lines.flag("rtcp-rsize");
    }
    let formats = codec_lines(&mut lines, accepted);
    // RFC 8853 §5.3.2: the names the offer gave them, in its order.
    for rid in &media.rids {
        lines.value("rid", format!("{rid} recv"));
    }
    if !media.rids.is_empty() {
        lines.value("simulcast", format!("recv {}", media.rids.join(";")));
    }
    if direction == Direction::Play {
        ssrc_lines(&mut lines, media, &agreement.description.cname, &track);
    }
    if agreement.transport == accepted.index {
        candidate_lines(&mut lines, local);
    }
    section(offered, 9, formats, lines)
}

/// The transport's attributes. RFC 9143 §7.1.3 requires them in the group's first section only. They are written into each
/// section for older readers, as browsers do.
fn transport_lines(agreement: &Agreement, local: &LocalParameters<'_>) -> Lines {
    let mut lines = Lines::default();
    lines.value("ice-ufrag", &local.ice.ufrag);
    lines.value("ice-pwd", &local.ice.password);
    lines.value("fingerprint", format!("sha-256 {}", fingerprint_text(&local.fingerprint_sha256)));
    lines.value(
        "setup",
        match agreement.description.dtls_role {
            DtlsRole::Server => "passive",
            DtlsRole::Client => "active",
        },
    );
    lines
}

fn candidate_lines(lines: &mut Lines, local: &LocalParameters<'_>) {
    for candidate in local.candidates {
        lines.value("candidate", candidate.to_string());
    }
    lines.flag("end-of-candidates");
}

/// The section of data channels (RFC 8841 §8.3).
fn data_section(offered: &MediaSection, agreement: &Agreement, local: &LocalParameters<'_>) -> MediaDescription {
    let mut lines = transport_lines(agreement, local);
    if let Some(mid) = &offered.mid {
        lines.value("mid", mid);
    }
    lines.value("sctp-port", SCTP_PORT.to_string());
    lines.value("max-message-size", limits::DATA_MESSAGE_BYTES_ANNOUNCED.to_string());
    if agreement.data == Some(agreement.transport) {
        candidate_lines(&mut lines, local);
    }
    section(offered, 9, vec!["webrtc-datachannel".to_owned()], lines)
}

/// `a=rtpmap`, `a=rtcp-fb` and `a=fmtp` of every codec and its retransmissions; returns the formats of the `m=` line.
fn codec_lines(lines: &mut Lines, accepted: &Accepted) -> Vec<String> {
    let mut formats = Vec::new();
    for answered in &accepted.codecs {
        let codec = &answered.codec;
        let payload_type = codec.payload_type;
        formats.push(payload_type.to_string());
        lines.value("rtpmap", format!("{payload_type} {}", answered.rtpmap()));
        for (agreed, feedback) in [
            (codec.remb, "goog-remb"),
            (codec.transport_cc, "transport-cc"),
            (codec.fir, "ccm fir"),
            (codec.nack, "nack"),
            (codec.pli, "nack pli"),
        ] {
            if agreed {
                lines.value("rtcp-fb", format!("{payload_type} {feedback}"));
            }
        }
        // Of libwebrtc; who does not know it ignores it (RFC 3264 §6.1, RFC 6838).
        let start = answered.start_kbps.map(|kbps| format!("x-google-start-bitrate={kbps}"));
        let parameters = [answered.parameters.as_str(), start.as_deref().unwrap_or_default()];
        let parameters: Vec<&str> = parameters.into_iter().filter(|parameters| !parameters.is_empty()).collect();
        if !parameters.is_empty() {
            lines.value("fmtp", format!("{payload_type} {}", parameters.join(";")));
        }
        if let Some(rtx) = codec.rtx_payload_type {
            formats.push(rtx.to_string());
            lines.value("rtpmap", format!("{rtx} rtx/{}", codec.clock_rate_hz));
            lines.value("fmtp", format!("{rtx} apt={payload_type}"));
        }
    }
    formats
}

/// Writes the SSRCs that will be sent to a viewer (RFC 5576). Players from before RFC 8830 read `msid` from the
/// `a=ssrc` lines.
fn ssrc_lines(lines: &mut Lines, media: &NegotiatedMedia, cname: &str, track: &str) {
    for pair in &media.ssrcs {
        if let Some(rtx) = pair.rtx {
            lines.value("ssrc-group", format!("FID {} {rtx}", pair.media));
        }
        for ssrc in [Some(pair.media), pair.rtx].into_iter().flatten() {
            lines.value("ssrc", format!("{ssrc} cname:{cname}"));
            lines.value("ssrc", format!("{ssrc} msid:{track}"));
        }
    }
}

/// The value of `a=msid` (RFC 8830 §2): the stream's id, which is the same for audio and video, and the track's.
fn track(media: &NegotiatedMedia, local: &LocalParameters<'_>) -> String {
    // An id has at most 64 bytes; 8 are left for the kind.
    let stream = token(local.stream_id, 56);
    let kind = match media.kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    };
    format!("{stream} {stream}-{kind}")
}

/// A section that is not accepted keeps its position, on port 0 and outside the group (RFC 3264 §6).
fn refused_section(offered: &MediaSection) -> MediaDescription {
    let mut lines = Lines::default();
    if let Some(mid) = &offered.mid {
        lines.value("mid", mid);
    }
    lines.flag("inactive");
    let formats = offered.formats.first().map_or_else(|| "0".to_owned(), |format| token(format, 32));
    section(offered, 0, vec![formats], lines)
}

fn section(offered: &MediaSection, port: isize, formats: Vec<String>, lines: Lines) -> MediaDescription {
    MediaDescription {
        media_name: MediaName {
            media: offered.media.clone(),
            port: RangedPort { value: port, range: None },
            protos: offered.protocols.iter().map(|protocol| token(protocol, 16)).collect(),
            formats,
        },
        connection_information: Some(ConnectionInformation {
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            address: Some(Address { address: "0.0.0.0".to_owned(), ttl: None, range: None }),
        }),
        attributes: lines.0,
        ..MediaDescription::default()
    }
}

/// `a=` lines being written.
#[derive(Default)]
struct Lines(Vec<Attribute>);

impl Lines {
    fn flag(&mut self, key: &str) {
        self.0.push(Attribute::new(key.to_owned(), None));
    }

    fn value(&mut self, key: &str, value: impl Into<String>) {
        self.0.push(Attribute::new(key.to_owned(), Some(value.into())));
    }
}

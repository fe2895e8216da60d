//! RTP header extensions: how each URI is treated on the way from publisher to viewer, and why.
//!
//! | Treatment | Means |
//! |---|---|
//! | terminate | agreed on this leg, read here, not passed on |
//! | rewrite | agreed on this leg, written here for each viewer |
//! | forward | agreed on both legs, the value passed on unchanged (none yet) |
//! | refuse | left out of the answer, so that the peer neither sends nor expects it |
//!
//! A URI that is not in the table is refused.

use super::offer::MediaSection;
use super::refused::{Malformed, SdpRefused};
use crate::description::{Direction, ExtensionIds};
use crate::limits;

/// How an extension is treated on one leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Read here, not passed on.
    Terminate,
    /// Written here for each viewer.
    Rewrite,
    /// Passed on unchanged.
    Forward,
    /// Not agreed.
    Refuse,
}

/// One row of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The URI of `a=extmap`.
    pub uri: &'static str,
    /// Publisher to node.
    pub uplink: Treatment,
    /// Node to viewer.
    pub downlink: Treatment,
    /// The reason.
    pub why: &'static str,
}

/// RFC 9143 §15.2: names the media section of a packet.
pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// RFC 8852 §3.1: names the encoding of a packet.
pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// RFC 8852 §3.2: names the encoding that a retransmission repairs.
pub const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// draft-holmer-rmcat-transport-wide-cc-extensions-01: a sequence number over the whole transport.
pub const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
/// The same with a field that asks for feedback, which comes at no other time (libwebrtc, `transport-wide-cc-02`).
pub const TRANSPORT_CC_ON_REQUEST: &str = "http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02";

/// Every extension that browsers and encoders offer, and its treatment.
pub const TABLE: &[Rule] = {
    use Treatment::{Refuse, Rewrite, Terminate};
    const fn rule(uri: &'static str, uplink: Treatment, downlink: Treatment, why: &'static str) -> Rule {
        Rule { uri, uplink, downlink, why }
    }
    &[
        rule(MID, Terminate, Rewrite, "finds the track without declared SSRCs; viewers have mids of their own"),
        rule(RID, Terminate, Refuse, "finds the encoding; a viewer gets one encoding at a time"),
        rule(REPAIRED_RID, Terminate, Refuse, "finds the encoding a retransmission belongs to"),
        rule(
            TRANSPORT_CC,
            Terminate,
            Rewrite,
            "lets a publisher send at full quality; on sampled packets to a viewer it tells what its network carries",
        ),
        rule(
            TRANSPORT_CC_ON_REQUEST,
            Refuse,
            Rewrite,
            "the same, and feedback comes at once when it is asked for, not up to 250 ms later",
        ),
        rule(
            "urn:3gpp:video-orientation",
            Refuse,
            Refuse,
            "refused, so that phones rotate before encoding and every viewer sees the picture upright",
        ),
        rule(
            "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Refuse,
            Refuse,
            "transport-wide feedback takes its place; as a value of another clock it means nothing downstream",
        ),
        rule(
            "urn:ietf:params:rtp-hdrext:toffset",
            Refuse,
            Refuse,
            "tells when a packet left the publisher, which is not when it leaves here",
        ),
        rule("urn:ietf:params:rtp-hdrext:ssrc-audio-level", Refuse, Refuse, "nothing here chooses by loudness"),
        rule("urn:ietf:params:rtp-hdrext:csrc-audio-level", Refuse, Refuse, "nothing here mixes"),
        rule(
            "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Refuse,
            Refuse,
            "the viewer's own jitter buffer decides its delay",
        ),
        rule(
            "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            Refuse,
            Refuse,
            "a hint for statistics, not worth its bytes to each viewer",
        ),
        rule(
            "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
            Refuse,
            Refuse,
            "13 bytes of the publisher's clocks, of use to its developers only",
        ),
        rule(
            "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            Refuse,
            Refuse,
            "up to 28 bytes; the bitstream carries the same (VUI, sequence header)",
        ),
        rule(
            "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
            Refuse,
            Refuse,
            "describes simulcast layers, of which one is taken",
        ),
        rule(
            "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
            Refuse,
            Refuse,
            "needed to drop layers, which is not done",
        ),
        rule(
            "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Refuse,
            Refuse,
            "sender reports carry the publisher's clock to the viewers",
        ),
    ]
};

/// The `a=extmap` lines of an answer, and their ids.
#[derive(Debug, Default)]
pub(super) struct Agreed {
    pub(super) ids: ExtensionIds,
    /// Values of `a=extmap`, in the offer's order.
    pub(super) lines: Vec<(&'static str, String)>,
}

impl Agreed {
    /// Removes the mid, for a section that has none.
    pub(super) fn without_mid(mut self) -> Self {
        self.ids.mid = None;
        self.lines.retain(|(uri, _)| *uri != MID);
        self
    }

    /// Removes transport-wide feedback, for a section in which no codec has it.
    pub(super) fn without_transport_cc(mut self) -> Self {
        (self.ids.transport_cc, self.ids.feedback_on_request) = (None, false);
        self.lines.retain(|(uri, _)| ![TRANSPORT_CC, TRANSPORT_CC_ON_REQUEST].contains(uri));
        self
    }
}

/// Decides which of a section's extensions are agreed. `mixed` says that `extmap-allow-mixed` was offered for it (RFC
/// 8285 §6).
pub(super) fn agree(section: &MediaSection, direction: Direction, mixed: bool) -> Result<Agreed, SdpRefused> {
    let mut agreed = Agreed::default();
    let mut on_request = None;
    for (count, line) in section.attributes.values("extmap").enumerate() {
        if count >= limits::SDP_EXTENSIONS_PER_SECTION_MAX {
            return Err(SdpRefused::too_many(
                "header extensions in one section",
                limits::SDP_EXTENSIONS_PER_SECTION_MAX,
            ));
        }
        let OfferedExtension { id, way, uri } = OfferedExtension::parse(line)?;
        let Some(rule) = TABLE.iter().find(|rule| rule.uri == uri) else { continue };
        let treatment = match direction {
            Direction::Publish => rule.uplink,
            Direction::Play => rule.downlink,
        };
        // RFC 8285 §7: an offered direction is answered with its reverse.
        let (usable, answered_way) = match (way, direction) {
            (None, _) => (true, ""),
            (Some("sendrecv"), _) => (true, "/sendrecv"),
            (Some("sendonly"), Direction::Publish) => (true, "/recvonly"),
            (Some("recvonly"), Direction::Play) => (true, "/sendonly"),
            _ => (false, ""),
        };
        // RFC 8285 §4.2: an element with a one-byte header has an id of 1 to 14. Higher ids need the two-byte form, and
        // both forms may be mixed only if that was agreed.
        let Some(id) = u8::try_from(id).ok().filter(|id| (1..=14).contains(id) || (mixed && *id != 0)) else {
            continue;
        };
        let mid_bytes = section.mid.as_ref().map_or(0, String::len);
        let fits = match rule.uri {
            MID => fits_downlink(id, mid_bytes),
            TRANSPORT_CC_ON_REQUEST => mid_bytes <= MID_BYTES_BESIDE_REQUEST_MAX,
            _ => true,
        };
        if treatment == Treatment::Refuse || !usable || (direction == Direction::Play && !fits) {
            continue;
        }
        let slot = match rule.uri {
            MID => &mut agreed.ids.mid,
            RID => &mut agreed.ids.rid,
            REPAIRED_RID => &mut agreed.ids.repaired_rid,
            TRANSPORT_CC => &mut agreed.ids.transport_cc,
            TRANSPORT_CC_ON_REQUEST => &mut on_request,
            _ => continue,
        };
        // The first of two lines for one URI wins.
        if slot.is_none() {
            *slot = Some(id);
            agreed.lines.push((rule.uri, format!("{id}{answered_way} {}", rule.uri)));
        }
    }
    // Of the two forms one.
    if on_request.is_some() {
        (agreed.ids.transport_cc, agreed.ids.feedback_on_request) = (on_request, true);
        agreed.lines.retain(|(uri, _)| *uri != TRANSPORT_CC);
    }
    Ok(agreed)
}

/// A longer mid leaves no room for a transport-wide number with a request beside it: a head of four bytes, two of two, four of
/// value.
const MID_BYTES_BESIDE_REQUEST_MAX: usize = 8;
const _: () = assert!(4 + MID_BYTES_BESIDE_REQUEST_MAX + 2 + 2 + 4 <= limits::DOWNLINK_EXTENSION_BYTES_MAX);

/// Whether a mid of `mid_bytes` fits the downlink's budget. RFC 8285 §4.1 to §4.3: a header of 4 bytes, 1 or 2 per element,
/// padded to 4. A transport-wide sequence number beside it takes 4 more at most.
fn fits_downlink(id: u8, mid_bytes: usize) -> bool {
    let element_head = if id <= 14 { 1usize } else { 2 };
    let element = element_head.saturating_add(mid_bytes).next_multiple_of(4);
    element.saturating_add(4) <= limits::DOWNLINK_EXTENSION_BYTES_MAX
}

/// Checks that within one BUNDLE group an id means one extension (RFC 9143 §12).
pub(super) fn check_unique<'a>(sections: impl Iterator<Item = &'a ExtensionIds>) -> Result<(), SdpRefused> {
    let mut seen: Vec<(u8, &str)> = Vec::new();
    for ids in sections {
        let transport_cc = if ids.feedback_on_request { TRANSPORT_CC_ON_REQUEST } else { TRANSPORT_CC };
        let named =
            [(ids.mid, MID), (ids.rid, RID), (ids.repaired_rid, REPAIRED_RID), (ids.transport_cc, transport_cc)];
        for (id, uri) in named {
            let Some(id) = id else { continue };
            if seen.iter().any(|&(other_id, other_uri)| other_id == id && other_uri != uri) {
                return Err(Malformed::ExtensionTwice.into());
            }
            seen.push((id, uri));
        }
    }
    Ok(())
}

/// `a=extmap:<id>[/<direction>] <URI> [<attributes>]`
struct OfferedExtension<'a> {
    id: u16,
    way: Option<&'a str>,
    uri: &'a str,
}

impl<'a> OfferedExtension<'a> {
    fn parse(line: &'a str) -> Result<Self, SdpRefused> {
        let mut words = line.split_ascii_whitespace();
        let (Some(mapping), Some(uri)) = (words.next(), words.next()) else {
            return Err(Malformed::ExtensionMap.into());
        };
        let (id, way) = match mapping.split_once('/') {
            Some((id, way)) => (id, Some(way)),
            None => (mapping, None),
        };
        let id = id.parse().map_err(|_| Malformed::ExtensionMap)?;
        Ok(Self { id, way, uri })
    }
}

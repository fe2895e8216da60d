//! Decides which sections of an offer are accepted, and combines them into a description.

use super::codecs::{self, AnsweredCodec};
use super::data;
use super::extensions::{self, Agreed};
use super::local::LocalParameters;
use super::offer::{MediaSection, Offer, token};
use super::refused::{Malformed, SdpRefused, Unsupported};
use super::simulcast;
use super::transport;
use super::twin::{self, Twin};
use crate::description::{DataTerms, Description, Direction, MediaKind, NegotiatedMedia, SsrcPair};
use crate::limits;

/// One accepted section: what the answer needs in addition to its [`NegotiatedMedia`].
#[derive(Debug)]
pub(super) struct Accepted {
    /// Its index among the offer's sections.
    pub(super) index: usize,
    pub(super) codecs: Vec<AnsweredCodec>,
    pub(super) extensions: Agreed,
}

/// The result of a negotiation.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) description: Description,
    /// One for each of the description's media, in the same order.
    pub(super) accepted: Vec<Accepted>,
    /// The index of the section of data channels among the offer's, where it is accepted.
    pub(super) data: Option<usize>,
    /// The mids of the answer's BUNDLE group, the one with the transport first (RFC 9143 §7.3.1); empty without a group.
    pub(super) bundle: Vec<String>,
    /// The index of the section with the transport among the offer's.
    pub(super) transport: usize,
}

/// Decides what is accepted of an offer.
pub(super) fn negotiate(
    offer: &Offer,
    direction: Direction,
    local: &LocalParameters<'_>,
    fresh_ssrc: &mut dyn FnMut() -> u32,
) -> Result<Agreement, SdpRefused> {
    let mut chosen = choose(offer, direction)?;
    let Shared { sections: mut accepted_sections, others, is_group, data } =
        share_transport(offer, &mut chosen, local.data)?;
    // RFC 9143 §7.3.1: the transport is that of the first accepted section with a port. Candidates are written into one
    // of media, which every reader knows.
    accepted_sections.sort_by_key(|(_, section)| (section.port_is_zero, section.kind.is_none()));
    let levels: Vec<&MediaSection> = accepted_sections.iter().map(|(_, section)| *section).collect();
    let transport = transport::transport(offer, &levels, &others)?;
    let transport_index = accepted_sections.first().map_or(0, |(index, _)| *index);

    let mut media: Vec<NegotiatedMedia> = Vec::with_capacity(chosen.len());
    let mut accepted = Vec::with_capacity(chosen.len());
    for (index, mut codecs) in chosen {
        let Some((section, kind)) = offer.sections.get(index).and_then(|section| Some((section, section.kind?))) else {
            continue;
        };
        let mixed = section.attributes.has("extmap-allow-mixed") || offer.attributes.has("extmap-allow-mixed");
        let mut extensions = extensions::agree(section, direction, mixed)?;
        // Transport-wide feedback needs both the numbers in the packets and the reports about them.
        // Towards a viewer without RTX a repeat must be the very packet that was sent (RFC 7714 §8), which nobody knows where
        // packets carry numbers of their own.
        let repeats_as_sent =
            |answered: &AnsweredCodec| answered.codec.nack && answered.codec.rtx_payload_type.is_none();
        let repeats = direction == Direction::Play && codecs.iter().any(repeats_as_sent);
        if extensions.ids.transport_cc.is_none() || repeats {
            codecs.iter_mut().for_each(|answered| answered.codec.transport_cc = false);
        }
        if !codecs.iter().any(|answered| answered.codec.transport_cc) {
            extensions = extensions.without_transport_cc();
        }
        if section.mid.is_none() {
            extensions = extensions.without_mid();
        }
        // Without the extension nothing would tell one encoding from another.
        let rids = match (direction, extensions.ids.rid, codecs.first_mut()) {
            (Direction::Publish, Some(_), Some(answered)) => {
                let taken: usize = media.iter().filter(|other| other.kind == kind).map(twin::encodings).sum();
                let room = limits::ENCODINGS_PER_TRACK_MAX.saturating_sub(taken);
                let rids = simulcast::rids(section, answered.codec.payload_type, room);
                answered.start_kbps = simulcast::start_kbps(section, &rids)
                    .filter(|_| answered.codec.transport_cc || answered.codec.remb);
                rids
            }
            _ => Vec::new(),
        };
        let ssrcs = match direction {
            Direction::Publish => declared_ssrcs(section, &media)?,
            Direction::Play => {
                let rtx = codecs.iter().any(|answered| answered.codec.rtx_payload_type.is_some());
                vec![fresh_pair(rtx, &media, fresh_ssrc)]
            }
        };
        media.push(NegotiatedMedia {
            kind,
            mid: section.mid.clone().unwrap_or_default(),
            codecs: codecs.iter().map(|answered| answered.codec.clone()).collect(),
            extensions: extensions.ids,
            ssrcs,
            rids,
            parameter_sets: match (direction, codecs.first()) {
                (Direction::Publish, Some(answered)) => codecs::parameter_sets(section, &answered.codec),
                _ => Vec::new(),
            },
        });
        accepted.push(Accepted { index, codecs, extensions });
    }
    codecs::check_unique(media.iter().flat_map(|media| &media.codecs))?;
    extensions::check_unique(media.iter().map(|media| &media.extensions))?;

    let mids = accepted_sections.iter().filter_map(|(_, section)| section.mid.clone());
    let bundle = mids.filter(|_| is_group).collect();
    let description = Description {
        direction,
        remote_ice: transport.ice,
        remote_fingerprints: transport.fingerprints,
        dtls_role: transport.role,
        media,
        cname: token(local.cname, CNAME_BYTES_MAX),
        data: data.map(|(_, terms)| terms),
    };
    Ok(Agreement { description, accepted, data: data.map(|(index, _)| index), bundle, transport: transport_index })
}

/// An SDES item holds at most this many bytes (RFC 3550 §6.5).
const CNAME_BYTES_MAX: usize = 255;

/// The first audio and the first video section that can be served, and a publisher's [`twin`] of that, with their codecs, in the
/// offer's order.
fn choose(offer: &Offer, direction: Direction) -> Result<Vec<(usize, Vec<AnsweredCodec>)>, SdpRefused> {
    let mut chosen: Vec<(usize, Vec<AnsweredCodec>)> = Vec::new();
    let mut served: Vec<MediaKind> = Vec::new();
    // Why sections were passed over.
    let mut without_codec: Vec<MediaKind> = Vec::new();
    let mut wrong_transport = None;
    let mut wrong_direction = None;
    for (index, section) in offer.sections.iter().enumerate() {
        let Some(kind) = section.kind else { continue };
        // RFC 9143 §6 and §7.5.3: a section on port 0 is offered if it is bundle-only in a group; else it is not in
        // use.
        let bundled = section.attributes.has("bundle-only")
            && section.mid.as_ref().is_some_and(|mid| offer.bundle_of(mid).is_some());
        let twin = match direction {
            Direction::Publish => twin::of(section, offer, &chosen),
            Direction::Play => None,
        };
        if (served.contains(&kind) && twin.is_none()) || (section.port_is_zero && !bundled) {
            continue;
        }
        if !is_secure_rtp(&section.protocols) {
            wrong_transport = Some(Unsupported::Transport);
        } else if !section.flow.serves(direction) {
            wrong_direction = Some(Unsupported::WrongDirection(direction));
        } else {
            let codecs = codecs::common(section, kind, direction, twin.map(|Twin { of }| of))?;
            if codecs.is_empty() {
                without_codec.push(kind);
            } else {
                served.push(kind);
                chosen.push((index, codecs));
            }
        }
    }
    if let Some(kind) = without_codec.into_iter().find(|kind| !served.contains(kind)) {
        return Err(SdpRefused::NoCommonCodec(kind));
    }
    if chosen.is_empty() {
        return Err(wrong_direction.or(wrong_transport).unwrap_or(Unsupported::NoMedia).into());
    }
    Ok(chosen)
}

/// Whether an answerer accepts this profile (RFC 8829 §5.1.2). All accepted ones mean the same on the wire.
fn is_secure_rtp(protocols: &[String]) -> bool {
    let protocols: Vec<&str> = protocols.iter().map(String::as_str).collect();
    matches!(protocols.as_slice(), ["UDP" | "TCP", "TLS" | "DTLS", "RTP", "SAVPF" | "SAVP"] | ["RTP", "SAVPF" | "SAVP"])
}

/// The sections on the one transport of a session.
struct Shared<'a> {
    /// Those that are accepted, with their indexes, in the group's order.
    sections: Vec<(usize, &'a MediaSection)>,
    /// Those of the group that are not.
    others: Vec<&'a MediaSection>,
    /// Whether they are in a BUNDLE group. A section alone need not be (RFC 9429 §5.3.1).
    is_group: bool,
    /// The section of data channels among them, if there is one that is accepted.
    data: Option<(usize, DataTerms)>,
}

/// Leaves in `chosen` those that share the first one's transport. The others would need one of their own, which this node
/// does not have for them: they are rejected.
fn share_transport<'a>(
    offer: &'a Offer,
    chosen: &mut Vec<(usize, Vec<AnsweredCodec>)>,
    data: bool,
) -> Result<Shared<'a>, SdpRefused> {
    let (first, section) = chosen
        .first()
        .and_then(|(index, _)| Some((*index, offer.sections.get(*index)?)))
        .ok_or(Unsupported::NoMedia)?;
    let group = section.mid.as_deref().and_then(|mid| offer.bundle_of(mid));
    let mut shared = Shared { sections: Vec::new(), others: Vec::new(), is_group: group.is_some(), data: None };
    match group {
        None => shared.sections.push((first, section)),
        Some(mids) => {
            for mid in mids {
                let mut sections = offer.sections.iter().enumerate();
                let Some(member) = sections.find(|(_, section)| section.mid.as_ref() == Some(mid)) else { continue };
                let terms = data::terms(member.1).filter(|_| data && shared.data.is_none());
                if let Some(terms) = terms {
                    shared.data = Some((member.0, terms));
                    shared.sections.push(member);
                } else if chosen.iter().any(|(index, _)| *index == member.0) {
                    shared.sections.push(member);
                } else {
                    shared.others.push(member.1);
                }
            }
        }
    }
    chosen.retain(|(index, _)| shared.sections.iter().any(|(shared, _)| shared == index));
    let media = |section: &MediaSection| section.kind.is_some();
    if shared.sections.iter().any(|(_, section)| media(section) && !section.attributes.has("rtcp-mux")) {
        return Err(Unsupported::NoRtcpMux.into());
    }
    Ok(shared)
}

/// The SSRCs that a publisher's section declares (RFC 5576), each with that of its retransmissions, except those that
/// an earlier section already has. Several are sent where there are rids; else the offerer decides which.
fn declared_ssrcs(section: &MediaSection, earlier: &[NegotiatedMedia]) -> Result<Vec<SsrcPair>, SdpRefused> {
    let number = |text: Option<&str>| -> Result<u32, SdpRefused> {
        text.and_then(|text| text.parse().ok()).ok_or(Malformed::Ssrc.into())
    };
    let mut media: Vec<u32> = Vec::new();
    let mut retransmissions: Vec<(u32, u32)> = Vec::new();
    let mut not_media: Vec<u32> = Vec::new();
    for (key, value) in section.attributes.lines() {
        let mut words = value.split_ascii_whitespace();
        let mut declare = |ssrc: u32| {
            if !media.contains(&ssrc) {
                media.push(ssrc);
            }
        };
        match key {
            "ssrc" => declare(number(words.next())?),
            "ssrc-group" => {
                // RFC 5576 §4.2, RFC 5956 §4.3: the first is the media, the second repairs it.
                if let Some(semantics @ ("FID" | "FEC-FR")) = words.next() {
                    let (original, repair) = (number(words.next())?, number(words.next())?);
                    declare(original);
                    declare(repair);
                    not_media.push(repair);
                    if semantics == "FID" && original != repair {
                        retransmissions.push((original, repair));
                    }
                }
            }
            _ => {}
        }
        if media.len().max(not_media.len()) > limits::SDP_SSRCS_PER_SECTION_MAX {
            return Err(SdpRefused::too_many("SSRCs in one section", limits::SDP_SSRCS_PER_SECTION_MAX));
        }
    }
    let rtx_of = |ssrc: u32| retransmissions.iter().find(|(original, _)| *original == ssrc).map(|(_, rtx)| *rtx);
    Ok(media
        .into_iter()
        .filter(|ssrc| !not_media.contains(ssrc) && !is_used(*ssrc, earlier))
        .map(|ssrc| SsrcPair { media: ssrc, rtx: rtx_of(ssrc).filter(|rtx| !is_used(*rtx, earlier)) })
        .collect())
}

/// New SSRCs for one section towards a viewer. All of a viewer's SSRCs share a key, so two equal ones would repeat a
/// nonce (RFC 7714 §8). Therefore a value that is 0 or taken is counted up to the next free one.
fn fresh_pair(rtx: bool, earlier: &[NegotiatedMedia], fresh_ssrc: &mut dyn FnMut() -> u32) -> SsrcPair {
    let mut next = |other: Option<u32>| {
        let mut ssrc = fresh_ssrc();
        while ssrc == 0 || other == Some(ssrc) || is_used(ssrc, earlier) {
            ssrc = ssrc.wrapping_add(1);
        }
        ssrc
    };
    let media = next(None);
    SsrcPair { media, rtx: rtx.then(|| next(Some(media))) }
}

fn is_used(ssrc: u32, media: &[NegotiatedMedia]) -> bool {
    media.iter().flat_map(|media| &media.ssrcs).any(|pair| pair.media == ssrc || pair.rtx == Some(ssrc))
}

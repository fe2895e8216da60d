//! A publisher's simulcast (RFC 8853) and its encodings' names (RFC 8851): which of them are accepted, and at which rate a
//! browser is to begin.
//!
//! Every offered stream is accepted, because senders take a refused one for a failure of the whole (OBS does). Of more than
//! [`limits::ENCODINGS_PER_TRACK_MAX`] the first ones are, and of a [`super::twin`] as many as its picture has left. Of alternatives for one stream the first that can be served is.
//!
//! Left out: what restrictions of a rid promise (`max-width` and the like; the picture itself tells), `a=simulcast` towards
//! viewers, who get one encoding at a time, `a=ssrc-group:SIM`, and the syntax of drafts before the RFC (`rid=`).

use super::offer::{MediaSection, is_token_byte};
use crate::limits;

/// What an `a=rid:<name> send` says.
struct OfferedRid<'a> {
    name: &'a str,
    restrictions: &'a str,
}

impl<'a> OfferedRid<'a> {
    /// RFC 8851 §10: `<name> send [<restriction>;…]`.
    fn parse(line: &'a str) -> Option<Self> {
        let (name, rest) = line.trim().split_once(' ')?;
        let (direction, restrictions) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_rid = !name.is_empty() && name.len() <= limits::RID_BYTES_MAX && name.bytes().all(is_name);
        debug_assert!(!is_rid || name.bytes().all(is_token_byte));
        (is_rid && direction == "send").then_some(Self { name, restrictions: restrictions.trim() })
    }

    fn restriction(&self, name: &str) -> Option<&'a str> {
        self.restrictions
            .split(';')
            .find_map(|pair| Some(pair.trim().split_once('=')?).filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }

    /// Whether it may be sent as `payload_type`: `pt` lists those it is restricted to.
    fn may_be(&self, payload_type: u8) -> bool {
        let listed = self.restriction("pt");
        listed.is_none_or(|listed| listed.split(',').any(|number| number.trim().parse() == Ok(payload_type)))
    }
}

/// The rids of a publisher's section that are accepted for its codec, in the order of `a=simulcast`, at most `most`; empty where
/// it offers none.
pub(super) fn rids(section: &MediaSection, payload_type: u8, most: usize) -> Vec<String> {
    let Some(streams) = section.attributes.value("simulcast").and_then(sent) else { return Vec::new() };
    let offered: Vec<_> = section.attributes.values("rid").filter_map(OfferedRid::parse).collect();
    let is_served = |name: &&str| offered.iter().any(|rid| rid.name == *name && rid.may_be(payload_type));
    let mut accepted: Vec<String> = Vec::new();
    for alternatives in streams.split(';').take(limits::SDP_SIMULCAST_STREAMS_MAX) {
        // RFC 8853 §5.1: `~` says that it begins paused.
        let mut names = alternatives.split(',').map(|name| name.trim().trim_start_matches('~'));
        let Some(name) = names.find(is_served) else { continue };
        if accepted.len() < most && !accepted.iter().any(|other| other == name) {
            accepted.push(name.to_owned());
        }
    }
    accepted
}

/// The list behind `send` in the value of `a=simulcast` (RFC 8853 §5.1).
fn sent(value: &str) -> Option<&str> {
    let mut words = value.split_ascii_whitespace();
    while let (Some(direction), Some(streams)) = (words.next(), words.next()) {
        if direction == "send" {
            return Some(streams);
        }
    }
    None
}

/// What libwebrtc means to send of a picture of 720 lines in layers that halve, the lowest first, in kbit/s
/// (`video/config/simulcast.cc`).
const LAYER_KBPS: [u32; limits::ENCODINGS_PER_TRACK_MAX] = [150, 500, 2_500, 4_000];

/// The rate in kbit/s at which a browser is to begin (`x-google-start-bitrate`): nine tenths of what all its layers take, as
/// far as it says that (`max-br`, RFC 8851 §5), else of what libwebrtc takes for so many. It begins at 300 kbit/s otherwise,
/// and sends no upper layer before it has probed for more.
pub(super) fn start_kbps(section: &MediaSection, rids: &[String]) -> Option<u32> {
    let usual = LAYER_KBPS.get(..rids.len()).filter(|layers| layers.len() > 1)?.iter().sum::<u32>();
    let rates = section.attributes.values("rid").filter_map(OfferedRid::parse);
    let rates = rates.filter(|rid| rids.iter().any(|accepted| accepted == rid.name));
    let told = rates.map(|rid| rid.restriction("max-br")?.parse::<u32>().ok());
    let told = told.take(limits::ENCODINGS_PER_TRACK_MAX).try_fold(0_u32, |sum, rate| sum.checked_add(rate?));
    let sum_kbps = told.map_or(usual, |sum| sum / 1_000).clamp(1, limits::START_KBPS_MAX);
    Some(sum_kbps.saturating_mul(9) / 10)
}

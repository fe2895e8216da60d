//! The section of data channels (RFC 8841): `m=application … UDP/DTLS/SCTP webrtc-datachannel`.
//!
//! It is accepted beside media, in its BUNDLE group: data alone is no stream. The forms from before the RFC
//! (`DTLS/SCTP 5000` with `a=sctpmap`) are refused like any other section.

use super::offer::MediaSection;
use crate::description::DataTerms;

/// Bytes of the longest message of a peer that does not say (§6.1).
const MESSAGE_BYTES_DEFAULT: u32 = 64 * 1024;

/// What a section offers, or `None` for one that is not of data channels, not in use, or cannot be read.
pub(super) fn terms(section: &MediaSection) -> Option<DataTerms> {
    let protocols: Vec<&str> = section.protocols.iter().map(String::as_str).collect();
    let is_sctp = matches!(protocols.as_slice(), ["UDP" | "TCP", "DTLS", "SCTP"]);
    let is_data =
        section.media == "application" && section.formats.first().is_some_and(|it| it == "webrtc-datachannel");
    if !is_sctp || !is_data || (section.port_is_zero && !section.attributes.has("bundle-only")) {
        return None;
    }
    let sctp_port = section.attributes.value("sctp-port")?.trim().parse().ok().filter(|port| *port != 0)?;
    let message_bytes_max = match section.attributes.value("max-message-size").map(|value| value.trim().parse::<u64>())
    {
        None => MESSAGE_BYTES_DEFAULT,
        // Any length (§6.1).
        Some(Ok(0)) => u32::MAX,
        Some(Ok(bytes)) => u32::try_from(bytes).unwrap_or(u32::MAX),
        Some(Err(_)) => return None,
    };
    Some(DataTerms { sctp_port, message_bytes_max, may_speak: false })
}

//! SRTP and SRTCP (RFC 3711) with the three profiles WebRTC uses: AEAD_AES_128_GCM and AEAD_AES_256_GCM (RFC 7714), and
//! AES_CM_128_HMAC_SHA1_80 (RFC 5764 §4.1.2).
//!
//! One side of one session is an [`SrtpSender`] and an [`SrtpReceiver`], made from the [`SrtpKeys`] that DTLS exported.
//! Packets are bytes; there is no clock, no I/O and no random source. The sending side allocates nothing after it is
//! made; the receiving side only when an authenticated packet brings a new SSRC, a bounded number of times.
//!
//! **A (key, SSRC, packet index) is sealed once.** The relay passes the index of each RTP packet and guarantees that it
//! never repeats (RFC 7714 §8.1: a repeated GCM nonce gives the authentication key away). The sender itself counts
//! SRTCP indexes.
//!
//! **What a session costs.** With the default backend a keyed GCM transform is 40 bytes here and 632 on aws-lc's heap
//! ([`AwsLcKey`](crate::crypto::aead::AwsLcKey)). A sender is 136 bytes and holds two transforms. A receiver is 184
//! bytes and holds one for RTCP; it makes one for RTP when the first RTP packet comes, which a viewer never sends. Each
//! SSRC received adds 144 bytes for RTP and 32 for RTCP. So a viewer costs about 2.2 KB. With AES_CM a transform is 320
//! bytes, boxed. The test `contexts_stay_small` checks these sizes.
//!
//! Left out, because WebRTC does not negotiate them: the master key identifier, key derivation rates other than zero,
//! unencrypted SRTP and SRTCP (a cleared E flag is refused: there is no plaintext mode), 32-bit tags, encrypted header
//! extensions (RFC 6904, RFC 9335) and `<From, To>` lifetimes. Re-keying makes new values from new [`SrtpKeys`].
//!
//! **Export.** [`SrtpSender::export`] and [`SrtpReceiver::export`] consume the value, so what was exported seals and
//! opens nothing more in this process. Each keeps its master key for this (46 bytes), because the keyed transforms do
//! not give it back.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod key_derivation;
mod profile;
mod receiver;
mod replay;
mod sender;
#[cfg(test)]
mod tests;
mod transform;

pub use profile::{MasterKey, SrtpKeys, SrtpProfile};
pub use receiver::{OpenedRtp, SrtpReceiver};
pub use sender::SrtpSender;

use std::fmt;

/// Why a received packet was refused. A refused packet changes no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SrtpError {
    /// Not RTP or RTCP version 2, or shorter than its header and tag.
    Malformed,
    /// The tag is wrong: damaged, forged, or sealed under other keys or another rollover counter.
    Authentication,
    /// This packet was accepted before (RFC 3711 §3.3.2).
    Replayed,
    /// Too far behind the newest packet to know whether it was accepted before.
    TooOld,
    /// A new SSRC while the session has as many as it may
    /// ([`SRTP_SOURCES_PER_SESSION_MAX`](crate::limits::SRTP_SOURCES_PER_SESSION_MAX)).
    TooManySources,
    /// SRTCP with the E flag cleared: authenticated, but in plaintext (RFC 3711 §3.4).
    Unencrypted,
    /// The 48-bit packet index is used up: the key must be changed (RFC 3711 §9.2).
    KeyExhausted,
}

impl fmt::Display for SrtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not an SRTP or SRTCP packet",
            Self::Authentication => "wrong authentication tag",
            Self::Replayed => "replayed packet",
            Self::TooOld => "packet older than the replay window",
            Self::TooManySources => "too many SSRCs in one session",
            Self::Unencrypted => "SRTCP packet that is not encrypted",
            Self::KeyExhausted => "packet index used up",
        })
    }
}

impl std::error::Error for SrtpError {}

/// Bytes of the fixed RTP header.
const RTP_FIXED_HEADER_LEN: usize = 12;

/// Bytes of an RTCP packet that stay in plaintext: the first header and the sender's SSRC (RFC 3711 §3.4).
const RTCP_HEADER_LEN: usize = 8;

/// The sender's SSRC of the first packet of a compound; `None` where it is not version 2 or too short.
fn parse_rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let [first, _, _, _, c0, c1, c2, c3] = *packet.first_chunk::<RTCP_HEADER_LEN>()?;
    (first >> 6 == 2).then_some(u32::from_be_bytes([c0, c1, c2, c3]))
}

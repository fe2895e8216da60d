//! SDP offer → answer for WHIP (RFC 9725) and WHEP, after RFC 3264, 8829 and 9143.
//!
//! [`answer`] is a pure function: the offer's text and this node's own parameters in; the answer's text and a
//! [`Description`] out, or an [`SdpRefused`] with its HTTP status and a sentence. Nothing below `signal` sees SDP.
//! [`Fragment::parse`] and [`restart_answer`] do the same for the bodies of `PATCH` (RFC 8840).
//!
//! ```text
//! offer.rs       text → sections, bounded (lines by the rtc-sdp crate)
//!   negotiate.rs which sections, in which BUNDLE group     → Description
//!     codecs.rs  payload types → codecs in order             ↘
//!     extensions.rs  header extensions, URI by URI          write.rs → the answer's text
//!     transport.rs   ICE, DTLS                               ↗
//! ```
//!
//! # What is agreed
//! - One BUNDLE group and rtcp-mux, both required. Sections keep their order; those not accepted (`m=application`,
//!   second cameras, what flows the other way) are answered on port 0 and leave the group. At most one audio and one
//!   video section are accepted. Firefox offers bundled sections on port 0; they are answered on port 9.
//! - An offer whose audio, or whose video, has no codec in common is refused as a whole (RFC 9725 §4.4.3): half a
//!   stream would look like a fault of the network.
//! - From a publisher exactly one video codec with its RTX, and Opus; towards a viewer every codec both can handle.
//! - ICE-lite, all candidates in the answer; `setup:passive` unless the offer is `passive` itself.
//!
//! # Left out, and why
//! - **Simulcast** (RFC 8853) is declined: the answer has no `a=rid` and no `a=simulcast`, which is always allowed
//!   (§5.3.2), and the publisher sends the first of its encodings as a plain stream. So a page that offers several
//!   should name its best one first. [`NegotiatedMedia::rids`] stays empty until the relay has several encodings.
//! - **Re-offers**: WHIP has none. **Data channels** are refused for now.
//! - **`a=ssrc` attributes** other than `cname` and `msid`, `a=rtcp`, `a=rtcp-xr`, `b=`: of no effect here.
//!
//! [`NegotiatedMedia::rids`]: crate::description::NegotiatedMedia::rids
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod codecs;
pub mod extensions;
mod fragment;
mod negotiate;
mod offer;
mod refused;
mod transport;
mod write;

#[cfg(test)]
mod tests;

use crate::description::{Description, Direction, IceCredentials};
use crate::transport::Candidate;
pub use fragment::{Fragment, restart_answer};
pub use refused::{Malformed, SdpRefused, Unsupported};

/// What this node brings to one session. The three names are written as SDP tokens: other characters become `-`.
#[derive(Clone, Copy, Debug)]
pub struct LocalParameters<'a> {
    /// This node's credentials for the session (RFC 8445 §5.3).
    pub ice: &'a IceCredentials,
    /// SHA-256 of this node's DTLS certificate.
    pub fingerprint_sha256: [u8; 32],
    /// Candidates of the session's worker, the most preferred first.
    pub candidates: &'a [Candidate],
    /// Canonical name (RFC 3550 §6.5.1) towards this peer, one for audio and video.
    pub cname: &'a str,
    /// Play: the id of the one `MediaStream` that the viewer's tracks are in (RFC 8830), at most 56 bytes of it used.
    pub stream_id: &'a str,
    /// `sess-id` of the `o=` line: a random number below 2⁶³ (RFC 8829 §5.2.1).
    pub session_id: u64,
    /// `sess-version` of the `o=` line.
    pub session_version: u64,
}

/// What was agreed, for a worker and for the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For the worker.
    pub description: Description,
    /// For the peer: the body of the `201` response, `application/sdp`.
    pub sdp: String,
}

/// Answers an offer.
///
/// `fresh_ssrc` gives random 32-bit numbers; it is asked at most four times, for a viewer's answer only. What it
/// gives is made different from the SSRCs already given in this answer and never 0.
///
/// # Errors
/// What is wrong with the offer, or why it is not served. No input panics.
pub fn answer(
    offer: &str,
    direction: Direction,
    local: &LocalParameters<'_>,
    fresh_ssrc: &mut dyn FnMut() -> u32,
) -> Result<Answer, SdpRefused> {
    let offer = offer::Offer::parse(offer)?;
    let agreement = negotiate::negotiate(&offer, direction, local, fresh_ssrc)?;
    let sdp = write::answer(&offer, &agreement, local);
    Ok(Answer { description: agreement.description, sdp })
}

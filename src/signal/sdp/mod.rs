//! Answers SDP offers for WHIP (RFC 9725) and WHEP, following RFC 3264, 8829 and 9143.
//!
//! [`answer()`] is a pure function. It takes the offer's text and this node's own parameters. It returns the answer's text
//! and a [`Description`](crate::description::Description), or an [`SdpRefused`] with its HTTP status and a sentence.
//! [`Fragment::parse`] and [`restart_answer`] do the same for the bodies of `PATCH` (RFC 8840). Nothing below `signal` sees
//! SDP.
//!
//! ```text
//! answer.rs      the three steps below, one after the other
//! offer.rs       text → sections, bounded (lines by the rtc-sdp crate)
//!   negotiate.rs which sections, in which BUNDLE group     → Description
//!     codecs.rs  payload types → codecs in order             ↘
//!     extensions.rs  header extensions, URI by URI          write.rs → the answer's text
//!     simulcast.rs   rids
//!     twin.rs        a picture in two codecs
//!     data.rs        SCTP over DTLS                          ↗
//!     transport.rs   ICE, DTLS                              ↗
//! ```
//!
//! # What is agreed
//! - There is one transport, and rtcp-mux is required. Accepted are the sections of the BUNDLE group of the first one that
//!   can be served, or that one alone if it is in none (RFC 9429 §5.3.1). Sections keep their order. At most one audio and
//!   one video section are accepted, and beside them a publisher's twin of the picture in another codec (`twin.rs`) and one
//!   section of data channels in the same group. Sections that are not
//!   accepted (second cameras, the wrong direction, another transport) are answered on port 0 and leave the group. Firefox offers bundled sections on port 0; they are
//!   answered on port 9.
//! - A viewer of a stream that is published already must have a payload type of its codecs ([`super::opening`]).
//! - An offer whose audio, or whose video, has no codec in common is refused as a whole (RFC 9725 §4.4.3), because half
//!   a stream would look like a network fault.
//! - From a publisher exactly one video codec with its RTX, and Opus; towards a viewer every codec both can handle.
//! - Of a publisher's simulcast every rid, four at most, with `a=rid` and `a=simulcast` in the answer and the header extensions
//!   that name them (RFC 8852). Without those extensions simulcast is declined, which is always allowed (RFC 8853 §5.3.2), and of
//!   several sources the first living one is forwarded (`relay/publish/source.rs`).
//! - ICE-lite, all candidates in the answer; `setup:passive` unless the offer is `passive` itself.
//!
//! # Left out, and why
//! - **Re-offers**: WHIP has none, so that whoever wants data channels offers them at the beginning.
//! - **`a=ssrc` attributes** other than `cname` and `msid`, `a=rtcp`, `a=rtcp-xr`, `b=`: of no effect here.
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

mod answer;
mod codecs;
mod data;
pub mod extensions;
mod fragment;
mod local;
mod negotiate;
mod offer;
mod refused;
mod simulcast;
mod transport;
mod twin;
mod write;

#[cfg(test)]
mod tests;

pub use answer::{Answer, answer};
pub use fragment::{Fragment, restart_answer};
pub use local::LocalParameters;
pub use refused::{Malformed, SdpRefused, Unsupported};

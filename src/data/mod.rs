//! Data channels (RFC 8831): SCTP over DTLS, the protocol that opens channels, and what is relayed of a publisher's.
//!
//! ```text
//! publisher ─DTLS─▶ session ─record─▶ Channels ─message─▶ ChannelRing of its stream ─lane─▶ rings of other workers
//!                                                              │ cursor of each viewer
//! viewer ◀─DTLS── session ◀──packet── Channels ◀────message────┘
//! ```
//!
//! A publisher's channels are mirrored to each viewer that negotiated data: label, protocol, order and reliability. The
//! node opens them, on odd streams as a DTLS server. A message is stored once on each worker with viewers
//! ([`ring`]), and a viewer is given it when its association has room: a slow viewer lags behind alone. An unreliable
//! channel drops what a viewer has no room for. A reliable one never loses silently: a viewer that lags too far behind
//! has the channel closed, and is counted.
//!
//! A viewer that comes later gets nothing of what was sent before. Only where the publisher has opened the channel with the
//! protocol [`RETAIN`], it gets the last message.
//!
//! | file | holds |
//! |---|---|
//! | [`dcep`] | RFC 8832: a channel's terms, and the messages that open it |
//! | `chunks` | a packet is looked at before the library has it |
//! | `association` | SCTP, by the `dcsctp` library |
//! | [`channels`] | a peer's channels over its association |
//! | [`ring`] | the messages of a channel that viewers are still to get |
//! | [`record`] | what crosses between workers |
//!
//! Nothing here knows sessions, streams or workers: packets, messages and `now` go in, and packets, events and the next
//! deadline come out.
//!
//! # Left out, and why
//! - messages of viewers whose permission does not let them speak: they are acknowledged, dropped and counted. Those of the
//!   others go to the publisher, on the channel they were said on, and to nobody else; no reply, and no word of who said it;
//! - interleaving of messages (RFC 8260): the longest that is relayed takes 15 packets;
//! - zero checksums (RFC 9653): no browser asks for them by default;
//! - sleeping associations: 3.8 kB each are kept beside the 9 kB of DTLS.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod association;
pub mod channels;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
mod chunks;
#[cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
pub mod dcep;
pub mod record;
pub mod ring;

pub use chunks::PacketRefused;

/// The SCTP port of this node (RFC 8841 §5): one association for each DTLS association, so that it tells nothing apart.
pub const SCTP_PORT: u16 = 5_000;

/// The protocol of a channel whose last message is given to whoever comes later.
pub const RETAIN: &str = "corecast.retain";

pub use crate::description::DataTerms;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

//! Signalling over WebSocket (RFC 6455): one connection for many streams, with events about them.
//!
//! `../README.md` describes the protocol, message by message. The message types and the outboxes are in
//! [`super::messages`]. A *socket* is a connection that was upgraded at `/ws`. It *owns* the sessions that it opened
//! ([`super::sessions`] knows which). When it drops, they continue until another socket takes them over or the grace is
//! over. [`super::opening`] opens sessions, as for WHIP.
//!
//! | File | Holds |
//! |---|---|
//! | `handshake.rs` | what must be asked for at `/ws`, and what is answered |
//! | `connection.rs` | one socket from its first byte to its last: reading, writing, limits, the close handshake |
//! | `end.rs` | how a socket ends, as logs and metrics call it |
//! | `requests.rs` | what each message does |
//! | `service.rs` | what they need of the node |
//! | `places.rs` | how many sockets there may be |
//! | `io.rs` | the bytes below the frames: fairness, and the memory of messages that have not ended |
//!
//! Left out: `permessage-deflate` (RFC 7692), because messages are few and a compressor per socket takes 40 KB; and
//! WebSocket over HTTP/2 (RFC 8441), which the node does not announce, so browsers open a separate connection.

mod connection;
mod end;
pub(super) mod handshake;
mod io;
pub(super) mod places;
mod requests;
pub(super) mod service;

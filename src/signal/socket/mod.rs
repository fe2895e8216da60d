//! Signalling over WebSocket (RFC 6455): many streams over one connection, told of what happens to them.
//!
//! The protocol, message by message, is in `../README.md`; the messages themselves and what waits to be written are in
//! [`super::messages`]. A *socket* is a connection that was upgraded at `/ws`; it
//! *owns* the sessions it opened ([`super::sessions`] knows which), and when it drops, they go on until another socket takes them over or the grace is
//! over. Opening itself is [`super::opening`], the same as for WHIP.
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
//! Left out: `permessage-deflate` (RFC 7692), because messages are few and a compressor per socket is 40 KB; WebSocket
//! over HTTP/2 (RFC 8441): the node does not announce it, and browsers then open a connection of their own.

mod connection;
mod end;
pub(super) mod handshake;
mod io;
pub(super) mod places;
mod requests;
pub(super) mod service;

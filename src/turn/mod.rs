//! A TURN server for this node's own media (a subset of RFC 8656), without I/O: for networks that let nothing out but TLS.
//!
//! The relay is *virtual*. No relay socket is bound; the relayed transport address that a client is told is a label. What a
//! client sends to a peer that is this node's own media port is handed to the worker as a datagram on a path
//! ([`crate::transport::path::RelayedPath`]), and the answer goes back on the same connection. Every other peer is refused,
//! so the node relays nothing for anybody.
//!
//! ```text
//!   browser                         signalling                                 the session's worker
//!     Allocate ──TCP or TLS──────▶  Greeting: 401, realm, nonce
//!     Allocate + credentials ────▶  Greeting: right, and the session lives
//!                                      └── connection, TLS state, Client, these bytes ──▶ Client: allocated
//!     CreatePermission, ChannelBind ─────────────────────────────────────────────────▶ Client: permitted, bound
//!     ChannelData [check, DTLS, SRTP] ───────────────────────────────────────────────▶ datagram on a relayed path
//!         ◀──────────────────────────────────────────────── ChannelData [media] ────── train to that path
//! ```
//!
//! A connection carries at most one allocation, which is of one session: [`credentials`] are given with the session's answer,
//! work while it lives, and name it. So what a client may hold is bounded by what sessions it has.
//!
//! | file | holds |
//! |---|---|
//! | `attribute` | numbers of methods and attributes |
//! | `frame` | where a message ends in a stream of bytes (RFC 8656 §12.4–12.5) |
//! | `credentials` | user names, passwords, keys and nonces (RFC 8489 §9.2) |
//! | `answer` | success and error responses |
//! | `greeting` | a connection until its Allocate is authentic |
//! | `client` | a connection from then on, and what it is sent |
//! | `inbound` | what it sends |
//! | `requests` | what it may ask for |
//!
//! Left out, and why: relaying to others (it is the point); TURN over UDP (whoever has UDP needs none); TCP allocations
//! (RFC 6062), RESERVATION-TOKEN, DONT-FRAGMENT (420: there is no socket that they could mean something to);
//! two families in one allocation (a second allocation does the same); MESSAGE-INTEGRITY-SHA256 and other password algorithms
//! (no browser has them).
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod answer;
mod attribute;
mod client;
mod credentials;
mod frame;
mod greeting;
mod inbound;
mod requests;

pub use client::{Client, Received};
pub use credentials::{Credentials, Secret};
pub use frame::{Framed, first};
pub use greeting::{Greeted, Greeting};

/// What the node calls itself to TURN clients (RFC 8489 §14.9). Part of their key, so it never changes.
pub const REALM: &str = "corecast";

#[cfg(test)]
mod tests;

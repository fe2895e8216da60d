//! ICE, the server's side: a lite agent (RFC 8445 §2.5) that answers connectivity checks and keeps the paths they
//! validated.
//!
//! ```text
//!  peer (full agent, controlling)                     this node (lite, controlled)
//!    binding request ────────────────────────────────▶  USERNAME, MESSAGE-INTEGRITY, FINGERPRINT checked
//!            ◀──────────────────────────────── success   the path is validated
//!    binding request + USE-CANDIDATE ────────────────▶  the path is selected
//!            ◀──────────────────────────────── success
//! ```
//!
//! Left out, and why: candidate pairs, our own checks and triggered checks (a lite agent has none: RFC 8445 §6.1.4,
//! §7.2); the frozen algorithm; TURN (the peer may use one; this node sees its relayed address); several components
//! (rtcp-mux is required). The peer renews consent (RFC 7675): the session ends when nothing authenticated arrives any
//! more.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod lite;

pub use lite::{CheckOutcome, CheckRefused, IceLite};

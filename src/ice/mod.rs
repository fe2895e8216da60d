//! ICE, the server's side: a lite agent (RFC 8445 §2.5) that answers connectivity checks and keeps the paths they
//! validated.
//!
//! ```text
//!  peer (full agent, controlling)                     this node (lite, controlled)
//!    binding request ────────────────────────────────▶  USERNAME, MESSAGE-INTEGRITY, FINGERPRINT checked
//!            ◀──────────────────────────────── success   the path is validated
//!    binding request + USE-CANDIDATE ────────────────▶  the path is selected
//!            ◀──────────────────────────────── success
//!            ◀──────────────────────── binding request   is the peer really there? (consent.rs)
//!    success ────────────────────────────────────────▶  the path is proven: media may be sent on it
//! ```
//!
//! Left out, and why: candidate pairs and the checks that find them (a lite agent has none: RFC 8445 §6.1.4, §7.2); the
//! frozen algorithm; TURN (the peer may use one; this node sees its relayed address); several components (rtcp-mux is
//! required). The peer's checks keep the session alive; the node's own requests, on paths that the peer has checked, say
//! where media may go ([`IceLite::open_path`]). Who owns a path that two sessions claim is the worker's to say.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod agent;
mod checks;
mod consent;
mod export;
mod validated;

pub use agent::IceLite;
pub use checks::{CheckOutcome, CheckRefused};
pub use consent::AnswerOutcome;

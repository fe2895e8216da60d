//! One peer: ICE, DTLS and SRTP joined into a state machine without I/O.
//!
//! ```text
//!        new ──valid ICE check──▶ checking ──DTLS flights──▶ connected ──close alert, silence, close()──▶ ended
//! ```
//!
//! Two rules hold throughout. Only STUN is accepted from a path that no valid ICE check came from. No key is used
//! before the peer's certificate matched a fingerprint of its SDP. A session knows nothing of streams; the worker joins
//! the two.
//!
//! | file | holds |
//! |---|---|
//! | `event` | what a session answers: [`Inbound`], [`Rejected`], [`SessionEvent`], [`SessionState`] |
//! | `inbox` | application data that came and was not taken yet |
//! | `epoch` | an [`Epoch`] of keys: one DTLS association and what it gave |
//! | `other` | the epoch beside the current one, while keys change |
//! | `peer` | the [`Session`]: what it holds and what can be asked of it |
//! | `rekey` | how a second epoch begins, takes over and ends |
//! | `in_place` | a peer that says hello once more on its path begins one |
//! | `drive` | datagrams, time, and the close |
//! | `data` | application data, where the peers agreed on it |
//! | `export` | a session as bytes, and back |
//!
//! A worker begins a second epoch only in place. Epochs with paths of their own and `export` are prepared for later use and are
//! covered by this module's tests.
//!
//! This module uses [`crate::transport`] for plain data only: path identifiers, and the slots that outgoing datagrams
//! are written into. Neither does I/O.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod data;
mod drive;
mod epoch;
mod event;
mod export;
mod in_place;
mod inbox;
mod other;
mod peer;
mod rekey;

pub use epoch::{Epoch, EpochNumber};
pub use event::{Inbound, Rejected, SessionEvent, SessionState};
pub use export::{ExportRefused, NotExported};
pub use peer::Session;
pub use rekey::EpochRefused;

#[cfg(all(test, feature = "peer"))]
mod tests;

//! Bytes ↔ values: the formats of the wire and nothing else.
//!
//! Everything here is a pure function of its arguments: no state, no clock, no I/O. Nothing allocates, except in
//! [`bytes`], which is not a wire format: it writes the node's own state for another process.
//!
//! Parsers borrow from the datagram and check every length once, at the start, so that the accessors cannot fail.
//! Writers fill a caller's `&mut [u8]` and return how many bytes they wrote, or `None` when the value does not fit (the
//! buffer's contents are then unspecified).
//!
//! Not here: what a value *means* to a session or a stream. The layers above decide whether a STUN check is expected, a
//! sequence number is fresh or a report is plausible.
//!
//! All of this reads bytes that an attacker chose, so the lints below forbid what could panic or wrap by accident.
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod bytes;
pub mod codec;
mod cursor;
pub mod demux;
pub mod red;
pub mod rtcp;
pub mod rtp;
pub mod rtp_extension;
pub mod sequence;
pub mod stun;

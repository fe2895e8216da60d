//! The table of this node's sessions and its indexes. They are plain values: no clock, no channel to a worker, no I/O.
//!
//! | File | Holds |
//! |---|---|
//! | `table.rs` | every session, one row each; the only way to change an index |
//! | `streams.rs` | by stream: publisher, viewers, waits, and what workers are to be told |
//! | `former.rs` | sessions with a URL that have ended |
//! | `sockets.rs` | by socket: whose session it is, who hears of which stream |
//!
//! [`super::keeper`] handles the consequences of a change: messages to workers, events to sockets, counters.

mod former;
pub(super) mod sockets;
pub(super) mod streams;
pub(super) mod table;

#[cfg(test)]
mod tests;

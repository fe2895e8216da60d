//! What must hold at every step. Each rule has its file, and in `proofs.rs` a fault that makes it fire.
//!
//! | File | Rule |
//! |---|---|
//! | `sealed_once` | under one key, a (synchronisation source, packet index) belongs to one sequence of bytes |
//! | `content` | a viewer gets what its own stream's publisher published, in its order, with no invented gap; time goes on |
//! | `timeline` | a viewer's two transports have one timeline and no gap between them; a publisher's next one goes on in time; nothing lives after its keys |
//! | `silence` | a live stream is not silent for long while its links are up |
//! | `addresses` | media goes to a session's own addresses; one that never answered gets three times its bytes at most |
//! | `over_tcp` | over a connection nothing old is played, and little waits |
//! | `data` | a viewer hears what its publisher said on data channels, in their order, once, and whole where it is promised |
//! | `queues` | every table, set and queue is within its limit; buffers have one owner; at the end nothing is left |
//!
//! That a viewer gets nothing sealed with another's key needs no file: a packet that does not open is the violation
//! (`own key`, in `world.rs`). One worker against several is a test (`scale.rs`).
//!
//! **One owner per buffer.** The node has three pools. The receive buffers lent to the kernel exist with real sockets
//! only (`src/net/uring/buffers.rs`, tested there). The send batch's slots: every byte handed over belongs to exactly one
//! train (`SimIo::send`). The packet ring's bytes: no two stored packets share one (`Worker::rings_are_disjoint`).

pub(crate) mod addresses;
pub(crate) mod content;
pub(crate) mod data;
pub(crate) mod over_tcp;
pub(crate) mod queues;
pub(crate) mod sealed_once;
pub(crate) mod silence;
pub(crate) mod timeline;

use std::fmt;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Which rule.
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

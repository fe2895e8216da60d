//! A peer that begins another DTLS association on the path it plays by (RFC 6347 §4.2.8): other keys without another connection.
//!
//! ```text
//! connected ──ClientHello──▶ another epoch's handshake ──keys──▶ the other epoch seals; the old one opens until its time is over
//!     │                         └── fails: as it was
//!     └──close alert──▶ waits for a ClientHello ──in vain──▶ closed
//! ```
//!
//! Only where it is allowed ([`Session::allow_in_place`](super::Session::allow_in_place)), because it is not gapless: Chromium is deaf
//! from its hello to its keys, and closes the old association just before it says hello. So a close alert ends such a session only
//! after [`limits::IN_PLACE_CLOSE_PATIENCE`].
//!
//! **What a stranger can do.** A ClientHello is plaintext: whoever can send from the peer's address can begin a handshake, which never
//! comes to keys, because the certificate must be the one of the session's SDP. It costs a place among the handshakes under way, and its
//! datagrams count there; the peer's own hello goes into the same epoch, whose association lets the hello win that comes to keys
//! ([`crate::dtls`]). There is one such attempt in [`limits::IN_PLACE_PAUSE`].
//!
//! The peer's packet indexes begin anew with the keys, in both directions (RFC 3711 §3.3.1: the rollover counter is part of a
//! cryptographic context): [`SrtpReceiver::continue_from`](crate::srtp::SrtpReceiver::continue_from) gives those that come the numbers
//! that follow, and the worker takes the rollovers from those that it sends.

use std::time::Duration;

use crate::description::Fingerprint;
use crate::limits;
use crate::time::Timestamp;

/// What a session that may change its keys in place keeps for that.
pub(super) struct InPlace {
    /// One of these the peer will have to show again.
    fingerprints: Vec<Fingerprint>,
    /// When the last attempt began.
    tried: Option<Timestamp>,
    /// When the peer closed the association that has the keys.
    closed: Option<Timestamp>,
}

impl InPlace {
    pub(super) fn new(fingerprints: Vec<Fingerprint>) -> Self {
        Self { fingerprints, tried: None, closed: None }
    }

    /// Whether an attempt may begin, with keys of that age. A hello of the first handshake may come late.
    pub(super) fn may_begin(&self, age: Duration, now: Timestamp) -> bool {
        let has_paused = self.tried.is_none_or(|tried| now.since(tried) >= limits::IN_PLACE_PAUSE);
        age >= limits::IN_PLACE_AGE_MIN && has_paused
    }

    /// An attempt begins; what the peer has to show.
    pub(super) fn begin(&mut self, now: Timestamp) -> Vec<Fingerprint> {
        self.tried = Some(now);
        self.fingerprints.clone()
    }

    /// The keys are others now.
    pub(super) fn over(&mut self) {
        self.closed = None;
    }

    /// The peer has closed its association: whether it says hello is waited for.
    pub(super) fn closed(&mut self, now: Timestamp) {
        self.closed.get_or_insert(now);
    }

    /// When that wait is over.
    pub(super) fn closes_at(&self) -> Option<Timestamp> {
        self.closed.map(|closed| closed + limits::IN_PLACE_CLOSE_PATIENCE)
    }
}

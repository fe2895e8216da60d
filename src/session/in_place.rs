//! A peer that begins another DTLS association on the path it plays by (RFC 6347 §4.2.8): other keys without another connection.
//!
//! ```text
//! connected ──ClientHello──▶ another epoch's handshake ──keys──▶ the other epoch seals; the old one opens until its time is over
//!     │                         └── fails: as it was
//!     └──close alert──▶ waits for a ClientHello ──in vain──▶ closed
//! ```
//!
//! Only where it is allowed ([`Session::allow_in_place`]), because it is not gapless: Chromium is deaf from its hello to its keys, and
//! closes the old association just before it says hello. So a close alert ends such a session only after
//! [`limits::IN_PLACE_CLOSE_PATIENCE`].
//!
//! **What a stranger can do.** A ClientHello is plaintext: whoever can send from the peer's address can begin a handshake, which never
//! comes to keys, because the certificate must be the one of the session's SDP. It costs a place among the handshakes under way, and its
//! datagrams count there; the peer's own hello goes into the same epoch, whose association lets the hello win that comes to keys
//! ([`crate::dtls`]). There is one such attempt in [`limits::IN_PLACE_PAUSE`].
//!
//! The peer's packet indexes begin anew with the keys, in both directions (RFC 3711 §3.3.1: the rollover counter is part of a
//! cryptographic context): [`SrtpReceiver::continue_from`](crate::srtp::SrtpReceiver::continue_from) gives those that come the numbers
//! that follow, and the worker takes the rollovers from those that it sends.

use super::epoch::EpochNumber;
use super::event::{SessionEvent, SessionState};
use super::peer::Session;
use super::rekey::EpochRefused;
use crate::description::{DtlsRole, Fingerprint};
use crate::dtls::{self, DtlsIdentity};
use crate::limits;
use crate::time::Timestamp;
use crate::transport::TrainBatch;

/// What a session that may change its keys in place keeps for that.
pub(super) struct InPlace {
    /// One of these the peer will have to show again.
    fingerprints: Vec<Fingerprint>,
    /// When the last attempt began.
    tried: Option<Timestamp>,
    /// When the peer closed the association that has the keys.
    closed: Option<Timestamp>,
}

impl Session {
    /// Allows the peer to begin another association on its path, with a certificate of `fingerprints`. Not for sessions that carry data.
    pub fn allow_in_place(&mut self, fingerprints: Vec<Fingerprint>) {
        if self.current.data.is_none() {
            self.in_place = Some(Box::new(InPlace { fingerprints, tried: None, closed: None }));
        }
    }

    /// Whether a DTLS datagram begins another association, and may.
    #[must_use]
    pub fn is_greeted_anew(&self, datagram: &[u8], now: Timestamp) -> bool {
        let Some(in_place) = self.in_place.as_deref() else { return false };
        let pause = |since: Timestamp| now.since(since) >= limits::IN_PLACE_PAUSE;
        // A hello of the first handshake may come late.
        self.state == SessionState::Connected
            && self.other.is_none()
            && self.current.age(now) >= limits::IN_PLACE_AGE_MIN
            && in_place.tried.is_none_or(pause)
            && dtls::starts_association(datagram)
    }

    /// Begins the epoch that a hello asks for, which is to be given to [`Self::handle_datagram`] then. The outcome comes as
    /// [`SessionEvent::EpochConnected`] or [`SessionEvent::EpochFailed`].
    ///
    /// # Errors
    /// As [`Self::begin_epoch`].
    pub fn begin_in_place(
        &mut self,
        identity: &DtlsIdentity,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<EpochNumber, EpochRefused> {
        let in_place = self.in_place.as_deref_mut().ok_or(EpochRefused::NotConnected)?;
        in_place.tried = Some(now);
        let fingerprints = in_place.fingerprints.clone();
        self.begin_epoch(identity, DtlsRole::Server, fingerprints, out, now)
    }

    /// The epoch that was begun in place has keys: they seal from now on.
    ///
    /// # Errors
    /// As [`Self::switch_epoch`].
    pub fn take_over_in_place(&mut self, now: Timestamp) -> Result<EpochNumber, EpochRefused> {
        let number = self.switch_epoch(limits::EPOCH_OVERLAP_MAX, now)?;
        if let Some(in_place) = self.in_place.as_deref_mut() {
            in_place.closed = None;
        }
        let older = self.other.as_deref().and_then(|other| other.epoch.receiver.as_deref());
        if let (Some(newer), Some(older)) = (self.current.receiver.as_deref_mut(), older) {
            newer.continue_from(older);
        }
        Ok(number)
    }

    /// The peer has closed its association. Whether the session waits whether it says hello.
    pub(super) fn waits_for_hello(&mut self, now: Timestamp) -> bool {
        let Some(in_place) = self.in_place.as_deref_mut().filter(|_| self.state == SessionState::Connected) else {
            return false;
        };
        in_place.closed.get_or_insert(now);
        true
    }

    /// When a session that was closed ends, unless its peer says hello; `None` where it was not, and while a handshake is under way.
    pub(super) fn closes_at(&self) -> Option<Timestamp> {
        let closed = self.in_place.as_deref()?.closed.filter(|_| self.state == SessionState::Connected)?;
        self.other.is_none().then(|| closed + limits::IN_PLACE_CLOSE_PATIENCE)
    }

    /// Ends a session whose peer has closed and said no hello.
    pub(super) fn close_if_due(&mut self, now: Timestamp) {
        if self.closes_at().is_some_and(|at| at <= now) {
            self.state = SessionState::Ended;
            self.events.push_back(SessionEvent::Closed);
        }
    }
}

//! The [`Session`]: its state, its accessors, and the steps that [`super::drive`] and [`super::rekey`] share.

use std::collections::VecDeque;

use super::epoch::{Epoch, EpochNews, EpochNumber};
use super::event::{Inbound, Rejected, SessionEvent, SessionState};
use super::in_place::InPlace;
use super::other::{Other, Stage};
use crate::description::{DtlsRole, Fingerprint, IceCredentials};
use crate::dtls::DtlsError;
use crate::ice::{CheckOutcome, CheckRefused, IceLite};
use crate::limits;
#[cfg(any(test, feature = "peer"))]
use crate::srtp::SrtpKeys;
use crate::srtp::{SrtpProfile, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{Arrival, PathId, TrainBatch};
use crate::wire::demux::DatagramKind;
use crate::wire::stun::StunMessage;

/// One peer.
pub struct Session {
    pub(super) ice: IceLite,
    /// The epoch whose keys seal.
    pub(super) current: Epoch,
    /// A newer or older epoch beside it, while keys change.
    pub(super) other: Option<Box<Other>>,
    /// What a change of keys in place needs; `None` where it is not allowed.
    pub(super) in_place: Option<Box<InPlace>>,
    /// The ICE agent of an epoch that has ended, kept until [`Self::retired_ufrag`] has returned its user fragments.
    pub(super) retired_ice: Option<Box<IceLite>>,
    pub(super) state: SessionState,
    pub(super) last_heard: Timestamp,
    pub(super) events: VecDeque<SessionEvent>,
    /// Authenticated packets received under epochs that have ended.
    pub(super) retired_packets: u64,
    /// Their bytes.
    pub(super) retired_bytes: u64,
    /// Datagrams refused.
    pub rejected: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that waits for its first connectivity check. `ice_secret`: see [`IceLite::new`].
    #[must_use]
    pub fn new(
        local: IceCredentials,
        remote: IceCredentials,
        dtls_role: DtlsRole,
        remote_fingerprints: Vec<Fingerprint>,
        ice_secret: [u8; limits::ICE_SECRET_BYTES],
        now: Timestamp,
    ) -> Self {
        Self {
            ice: IceLite::new(local, remote, ice_secret),
            current: Epoch::new(EpochNumber::default(), dtls_role, remote_fingerprints, now),
            other: None,
            in_place: None,
            retired_ice: None,
            state: SessionState::New,
            last_heard: now,
            events: VecDeque::new(),
            retired_packets: 0,
            retired_bytes: 0,
            rejected: 0,
        }
    }

    /// A session that has its keys already, for benches and simulated viewers.
    #[cfg(any(test, feature = "peer"))]
    #[must_use]
    pub fn with_keys(
        local: IceCredentials,
        remote: IceCredentials,
        keys: &SrtpKeys,
        path: PathId,
        ice_secret: [u8; limits::ICE_SECRET_BYTES],
        now: Timestamp,
    ) -> Self {
        let mut session = Self::new(local, remote, DtlsRole::Server, Vec::new(), ice_secret, now);
        session.ice.adopt(path, now);
        session.current.use_keys(keys, now);
        session.state = SessionState::Connected;
        session
    }

    /// The session's state.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// When the session ends unless something authenticated arrives first. That is [`limits::SESSION_SILENCE_MAX`]
    /// after the last such arrival, or [`limits::SESSION_DOUBT_MAX`] after a DTLS record that can no longer be read and
    /// may have been the peer's close alert. Anyone who can send from the peer's address can cause the shorter
    /// deadline; a live peer cancels it by its next consent check or report.
    #[must_use]
    pub fn silent_at(&self) -> Timestamp {
        let silent = self.last_heard + limits::SESSION_SILENCE_MAX;
        match self.current.unread_since() {
            Some(since) if since >= self.last_heard => silent.min(since + limits::SESSION_DOUBT_MAX),
            _ => silent,
        }
    }

    /// When something authentic last came from the peer: media, a report or a connectivity check.
    #[must_use]
    pub fn last_heard(&self) -> Timestamp {
        self.last_heard
    }

    /// The ICE agent.
    #[must_use]
    pub fn ice(&self) -> &IceLite {
        &self.ice
    }

    /// The negotiated SRTP profile, once connected.
    #[must_use]
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.current.srtp_profile()
    }

    /// The DTLS version as `1.2` or `1.3`, once known.
    #[must_use]
    pub fn dtls_version(&self) -> Option<&'static str> {
        self.current.dtls_version()
    }

    /// Authenticated packets received under all epochs.
    #[must_use]
    pub fn received_packets(&self) -> u64 {
        self.retired_packets
            + self.current.opened_packets
            + self.other.as_ref().map_or(0, |other| other.epoch.opened_packets)
    }

    /// Their bytes.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.retired_bytes + self.current.opened_bytes + self.other.as_ref().map_or(0, |other| other.epoch.opened_bytes)
    }

    /// The sender that seals media and the path it goes to. `None` before the session is connected, and while no path
    /// has the peer's consent.
    #[inline]
    #[must_use]
    pub fn egress(&self) -> Option<(&SrtpSender, PathId)> {
        Some((self.current.sender.as_deref()?, self.ice.open_path()?))
    }

    /// Counts `packets` as sealed with the sender from [`Self::egress`]. Called once for a batch, not once for each
    /// packet.
    #[inline]
    pub fn note_sealed(&mut self, packets: u64) {
        self.current.sealed_packets += packets;
    }

    /// New ICE credentials (RFC 8445 §9). Returns a user fragment that stops working at once, if any.
    pub fn restart_ice(&mut self, local: IceCredentials, remote: IceCredentials) -> Option<String> {
        self.ice.restart(local, remote)
    }

    /// Takes a user fragment that has stopped working. Call this until it returns `None`.
    pub fn retired_ufrag(&mut self) -> Option<String> {
        if let Some(mut ice) = self.retired_ice.take() {
            let Some(previous) = ice.forget_previous() else { return Some(ice.local_ufrag().to_owned()) };
            self.retired_ice = Some(ice);
            return Some(previous);
        }
        self.ice.retire_previous()
    }

    /// Takes the number of handshake datagrams that were not sent, because their path is not proven.
    pub fn take_withheld(&mut self) -> u32 {
        let other = self.other.as_mut().map_or(0, |other| std::mem::take(&mut other.epoch.withheld));
        other + std::mem::take(&mut self.current.withheld)
    }

    /// Takes the next event for the worker.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// Whether one of its agents has validated `path`.
    #[must_use]
    pub fn holds(&self, path: PathId) -> bool {
        self.ice.is_validated(path) || self.other_has_validated(path)
    }

    /// Whether an epoch with an agent of its own has validated `path`.
    pub(super) fn other_has_validated(&self, path: PathId) -> bool {
        let ice = self.other.as_ref().and_then(|other| other.ice.as_ref());
        ice.is_some_and(|ice| ice.is_validated(path))
    }

    /// The paths that its agents have validated.
    pub fn paths(&self) -> impl Iterator<Item = PathId> {
        let other = self.other.as_ref().and_then(|other| other.ice.as_ref());
        self.ice.paths().chain(other.into_iter().flat_map(IceLite::paths))
    }

    /// Whether an epoch newer than the current one is under way.
    pub(super) fn next_is_coming(&self) -> bool {
        self.other.as_ref().is_some_and(|other| matches!(other.stage, Stage::Next { .. }))
    }

    /// Records an accepted check: the peer was heard, and paths may have been added or removed.
    pub(super) fn note_check(&mut self, outcome: &CheckOutcome, path: PathId, now: Timestamp) {
        self.last_heard = now;
        // The other agent may still hold the path that this one gave up.
        if let Some(evicted) = outcome.evicted.filter(|path| !self.holds(*path)) {
            self.events.push_back(SessionEvent::PathRemoved(evicted));
        }
        if outcome.validated {
            self.events.push_back(SessionEvent::PathAdded(path));
        }
    }

    /// Queues the datagrams of the current epoch's association and handles what it reports.
    pub(super) fn drain_current(&mut self, path: PathId, out: &mut TrainBatch, now: Timestamp) {
        while let Some(news) = self.current.drain(&mut self.ice, path, out, now) {
            match news {
                EpochNews::Connected => {
                    self.ice.handshake_completed(now);
                    self.state = SessionState::Connected;
                    self.events.push_back(SessionEvent::Connected);
                }
                // A peer that re-keys on the same path closes the old association before the new one is connected
                // (Chromium does). The current epoch's keys stay in use until the next epoch is connected or fails.
                EpochNews::Closed | EpochNews::Failed(_) if self.next_is_coming() => {}
                EpochNews::Closed if self.waits_for_hello(now) => {}
                EpochNews::Closed => {
                    self.state = SessionState::Ended;
                    self.events.push_back(SessionEvent::Closed);
                }
                EpochNews::Failed(error) => self.fail(error),
            }
        }
    }

    /// The peer has closed its association. Whether the session waits whether it says hello.
    fn waits_for_hello(&mut self, now: Timestamp) -> bool {
        let Some(in_place) = self.in_place.as_deref_mut().filter(|_| self.state == SessionState::Connected) else {
            return false;
        };
        in_place.closed(now);
        true
    }

    fn fail(&mut self, error: DtlsError) {
        self.state = SessionState::Ended;
        self.events.push_back(SessionEvent::Failed(error));
    }

    /// Seals the compound RTCP packet that `write` puts into the slot and queues it; false when there are no keys or
    /// no room, or `write` wrote nothing.
    pub fn send_rtcp(&mut self, out: &mut TrainBatch, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
        let path = self.ice.open_path()?;
        let sender = self.current.sender.as_mut()?;
        if !out.has_room(limits::DATAGRAM_OUT_BYTES_MAX) {
            return None;
        }
        let slot = out.slot();
        let room = slot.get_mut(..limits::DATAGRAM_OUT_BYTES_MAX - limits::SRTCP_OVERHEAD_BYTES_MAX)?;
        let len = write(room)?;
        let len = sender.seal_rtcp(slot, len)?;
        self.current.sealed_packets += 1;
        out.commit(path, len);
        Some(len)
    }
}

/// Answers a check. Some refusals are answered too, with an error response.
pub(super) fn answer_check(
    ice: &mut IceLite,
    message: &StunMessage<'_>,
    from: Arrival,
    out: &mut TrainBatch,
    now: Timestamp,
) -> Result<CheckOutcome, CheckRefused> {
    let outcome = ice.handle_check(message, from, now, out.slot());
    match outcome {
        Ok(CheckOutcome { reply_len: len, .. }) => {
            send_requests_before_reply(ice, len, out, now);
            out.commit(from.path, len);
        }
        Err(CheckRefused::RoleConflict(len) | CheckRefused::UnknownAttribute(len)) => out.commit(from.path, len),
        Err(_) => {}
    }
    outcome
}

/// Queues the requests that are due before the reply of `reply_len` bytes that is in the slot. A peer that gets its
/// reply begins DTLS; when its answer to the request comes first, its path is proven by then and the node's flight fits.
fn send_requests_before_reply(ice: &mut IceLite, reply_len: usize, out: &mut TrainBatch, now: Timestamp) {
    if !out.has_room(2 * limits::STUN_REPLY_BYTES_MAX) {
        return;
    }
    let mut kept = [0; limits::STUN_REPLY_BYTES_MAX];
    let (Some(kept), Some(reply)) = (kept.get_mut(..reply_len), out.slot().get(..reply_len)) else { return };
    kept.copy_from_slice(reply);
    send_requests(ice, 2, out, now);
    if let Some(slot) = out.slot().get_mut(..reply_len) {
        slot.copy_from_slice(kept);
    }
}

/// Queues the requests of an agent that are due, while there is room for `slots_left` more datagrams.
pub(super) fn send_requests(ice: &mut IceLite, slots_left: usize, out: &mut TrainBatch, now: Timestamp) {
    while out.has_room(slots_left * limits::STUN_REPLY_BYTES_MAX)
        && let Some((path, len)) = ice.poll_request(now, out.slot())
    {
        out.commit(path, len);
    }
}

/// Opens a packet under one epoch.
pub(super) fn open(epoch: &mut Epoch, kind: DatagramKind, bytes: &mut [u8]) -> Result<Inbound, Rejected> {
    match kind {
        DatagramKind::Rtp => epoch.open_rtp(bytes).map(|opened| opened.map(Inbound::Rtp)),
        DatagramKind::Rtcp => epoch.open_rtcp(bytes).map(|opened| opened.map(Inbound::Rtcp)),
        DatagramKind::Stun | DatagramKind::Dtls | DatagramKind::Unknown => return Err(Rejected::Unknown),
    }
    .ok_or(Rejected::NoKeys)?
    .map_err(Rejected::Srtp)
}

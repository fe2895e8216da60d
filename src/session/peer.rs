//! The state machine of one peer.

use std::collections::VecDeque;

use super::epoch::{Epoch, EpochNews, EpochNumber};
use super::rekey::{Other, open};
use crate::description::{DtlsRole, Fingerprint, IceCredentials};
use crate::dtls::{self, DtlsError, DtlsIdentity};
use crate::ice::{CheckOutcome, CheckRefused, IceLite};
use crate::limits;
#[cfg(any(test, feature = "peer"))]
use crate::srtp::SrtpKeys;
use crate::srtp::{OpenedRtp, SrtpError, SrtpProfile, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{Arrival, PathId, TrainBatch};
use crate::wire::demux::DatagramKind;
use crate::wire::stun::StunMessage;

/// What a datagram was, after its session opened it in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// Dealt with inside.
    Handled,
    /// An authenticated RTP packet: header and payload lie where [`OpenedRtp`] says.
    Rtp(OpenedRtp),
    /// An authenticated compound RTCP packet of this many bytes.
    Rtcp(usize),
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejected {
    /// No valid ICE check has come from its path.
    PathNotValidated,
    /// A STUN message that is not for this session or not authentic.
    Check(CheckRefused),
    /// It is none of STUN, DTLS, RTP, RTCP.
    Unknown,
    /// A DTLS datagram that is not whole records.
    Dtls,
    /// Media before the keys.
    NoKeys,
    /// SRTP or SRTCP refused it.
    Srtp(SrtpError),
    /// No room to answer in.
    NoRoom,
}

/// What the worker must know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A path was validated: its datagrams belong to this session.
    PathAdded(PathId),
    /// A path is forgotten.
    PathRemoved(PathId),
    /// A connected peer is reached by another path from now on.
    Moved,
    /// The keys are there.
    Connected,
    /// The peer closed DTLS.
    Closed,
    /// DTLS failed.
    Failed(DtlsError),
    /// The next epoch has keys; the current one still seals.
    EpochConnected(EpochNumber),
    /// The next epoch's handshake failed. The session goes on.
    EpochFailed(EpochNumber, DtlsError),
    /// An epoch beside the current one is over, and its keys are gone.
    EpochEnded(EpochNumber),
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// No valid check has come.
    New,
    /// A path is validated, DTLS runs.
    Handshaking,
    /// Media may flow.
    Connected,
    /// Over.
    Ended,
}

/// One peer.
pub struct Session {
    pub(super) ice: IceLite,
    /// The keys that seal, and their association.
    pub(super) current: Epoch,
    /// A newer or older one beside it, while keys change.
    pub(super) other: Option<Box<Other>>,
    /// The agent of an epoch that is over, until its user fragments were told.
    pub(super) retired_ice: Option<Box<IceLite>>,
    pub(super) state: SessionState,
    pub(super) last_heard: Timestamp,
    pub(super) events: VecDeque<SessionEvent>,
    /// Authenticated packets received under epochs that are over.
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
    /// A session that waits for its first connectivity check.
    #[must_use]
    pub fn new(
        local: IceCredentials,
        remote: IceCredentials,
        dtls_role: DtlsRole,
        remote_fingerprints: Vec<Fingerprint>,
        now: Timestamp,
    ) -> Self {
        Self {
            ice: IceLite::new(local, remote),
            current: Epoch::new(EpochNumber::default(), dtls_role, remote_fingerprints, now),
            other: None,
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
        now: Timestamp,
    ) -> Self {
        let mut session = Self::new(local, remote, DtlsRole::Server, Vec::new(), now);
        session.ice.adopt(path, now);
        session.current.use_keys(keys, now);
        session.state = SessionState::Connected;
        session
    }

    /// How far it is.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// When the session is over unless something authenticated comes before: [`limits::SESSION_SILENCE_MAX`] after the
    /// last time; or [`limits::SESSION_DOUBT_MAX`] after a DTLS record that can no longer be read and may have been the
    /// peer's close alert. Anyone who can send from the peer's address can raise that doubt; a peer that lives dispels
    /// it by its next consent check or report.
    #[must_use]
    pub fn silent_at(&self) -> Timestamp {
        let silent = self.last_heard + limits::SESSION_SILENCE_MAX;
        match self.current.unread_since() {
            Some(since) if since >= self.last_heard => silent.min(since + limits::SESSION_DOUBT_MAX),
            _ => silent,
        }
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

    /// Authenticated packets received, under whatever epoch.
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

    /// Where media goes and with which key; `None` before the session is connected.
    #[inline]
    #[must_use]
    pub fn egress(&self) -> Option<(&SrtpSender, PathId)> {
        Some((self.current.sender.as_deref()?, self.ice.selected()?))
    }

    /// Notes that `packets` were sealed with what [`Self::egress`] gave: once for a visit, not for each.
    #[inline]
    pub fn note_sealed(&mut self, packets: u64) {
        self.current.sealed_packets += packets;
    }

    /// New ICE credentials (RFC 8445 §9). Returns a user fragment that stops working at once, if any.
    pub fn restart_ice(&mut self, local: IceCredentials, remote: IceCredentials) -> Option<String> {
        self.ice.restart(local, remote)
    }

    /// A user fragment that no longer works since the last call. To be called until there is none.
    pub fn retired_ufrag(&mut self) -> Option<String> {
        if let Some(mut ice) = self.retired_ice.take() {
            let Some(previous) = ice.forget_previous() else { return Some(ice.local_ufrag().to_owned()) };
            self.retired_ice = Some(ice);
            return Some(previous);
        }
        self.ice.retire_previous()
    }

    /// The next thing the worker must know.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// Takes a connectivity check: a STUN message that was read to find out whose it is, and is not read again.
    ///
    /// # Errors
    /// Why it was dropped. Nothing changed then but counters.
    pub fn handle_check(
        &mut self,
        identity: &DtlsIdentity,
        check: &StunMessage<'_>,
        from: Arrival,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let answered = self.answer_check(identity, check, from, out, now);
        self.rejected += u64::from(answered.is_err());
        answered
    }

    /// Takes one datagram, opens it in place where it is media, answers into `out` where an answer is due.
    ///
    /// # Errors
    /// Why it was dropped. Nothing changed then but counters.
    pub fn handle_datagram(
        &mut self,
        identity: &DtlsIdentity,
        kind: DatagramKind,
        from: Arrival,
        bytes: &mut [u8],
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<Inbound, Rejected> {
        let inbound = self.dispatch(identity, kind, from, bytes, out, now);
        match &inbound {
            Ok(Inbound::Rtp(_) | Inbound::Rtcp(_)) => {
                self.last_heard = now;
            }
            Ok(Inbound::Handled) => {}
            Err(_) => self.rejected += 1,
        }
        inbound
    }

    fn dispatch(
        &mut self,
        identity: &DtlsIdentity,
        kind: DatagramKind,
        from: Arrival,
        bytes: &mut [u8],
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<Inbound, Rejected> {
        if kind == DatagramKind::Stun {
            let check = StunMessage::parse(bytes).map_err(|_| Rejected::Unknown)?;
            return self.answer_check(identity, &check, from, out, now).map(|()| Inbound::Handled);
        }
        if !self.ice.is_validated(from.path) && !self.other_has_validated(from.path) {
            return Err(Rejected::PathNotValidated);
        }
        match kind {
            DatagramKind::Dtls => {
                if !dtls::is_whole(bytes) {
                    return Err(Rejected::Dtls);
                }
                if self.other.is_some() {
                    self.handle_dtls_of_two(from.path, bytes, out, now);
                } else if self.current.dtls.is_none() {
                    return Err(Rejected::PathNotValidated);
                } else if self.current.take_dtls(bytes, now) {
                    self.drain_current(from.path, out, now);
                } else {
                    self.current.note_unread(self.last_heard, now);
                }
                Ok(Inbound::Handled)
            }
            DatagramKind::Rtp | DatagramKind::Rtcp if self.other.is_some() => self.open_under_either(kind, bytes),
            DatagramKind::Rtp | DatagramKind::Rtcp => open(&mut self.current, kind, bytes),
            DatagramKind::Stun | DatagramKind::Unknown => Err(Rejected::Unknown),
        }
    }

    fn answer_check(
        &mut self,
        identity: &DtlsIdentity,
        check: &StunMessage<'_>,
        from: Arrival,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        if !out.has_room(limits::STUN_REPLY_BYTES_MAX) {
            return Err(Rejected::NoRoom);
        }
        let outcome = match answer_check(&mut self.ice, check, from, out, now) {
            // An epoch on paths of its own has credentials of its own.
            Err(CheckRefused::Username) if self.other.is_some() => {
                return self.handle_others_check(identity, check, from, out, now);
            }
            outcome => outcome.map_err(Rejected::Check)?,
        };
        self.note_check(&outcome, from.path, now);
        if outcome.selected && self.state == SessionState::Connected {
            self.events.push_back(SessionEvent::Moved);
        }
        if self.current.dtls.is_none() && self.state == SessionState::New {
            self.state = SessionState::Handshaking;
            self.current.begin_handshake(identity, now);
            self.drain_current(from.path, out, now);
        }
        Ok(())
    }

    /// Takes note of an accepted check.
    pub(super) fn note_check(&mut self, outcome: &CheckOutcome, path: PathId, now: Timestamp) {
        self.last_heard = now;
        if let Some(evicted) = outcome.evicted {
            self.events.push_back(SessionEvent::PathRemoved(evicted));
        }
        if outcome.validated {
            self.events.push_back(SessionEvent::PathAdded(path));
        }
    }

    /// What the current epoch's association has to send and to tell.
    pub(super) fn drain_current(&mut self, path: PathId, out: &mut TrainBatch, now: Timestamp) {
        while let Some(news) = self.current.drain(path, out, now) {
            match news {
                EpochNews::Connected => {
                    self.state = SessionState::Connected;
                    self.events.push_back(SessionEvent::Connected);
                }
                // A peer that changes its keys in place closes the old association before the new one is connected
                // (Chromium). The keys of the current epoch hold until the next one is there or fails.
                EpochNews::Closed | EpochNews::Failed(_) if self.next_is_coming() => {}
                EpochNews::Closed => {
                    self.state = SessionState::Ended;
                    self.events.push_back(SessionEvent::Closed);
                }
                EpochNews::Failed(error) => self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: DtlsError) {
        self.state = SessionState::Ended;
        self.events.push_back(SessionEvent::Failed(error));
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let Some(path) = self.ice.selected() else { return };
        self.current.handle_timeout(now);
        self.drain_current(path, out, now);
        self.handle_other_timeout(out, now);
        if self.current.shrink(now) {
            self.events.shrink_to_fit();
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.current.next_deadline(), self.other_deadline()].into_iter().flatten().min()
    }

    /// Seals the compound RTCP packet that `write` puts into the slot and queues it; false when there are no keys or
    /// no room, or `write` wrote nothing.
    pub fn send_rtcp(&mut self, out: &mut TrainBatch, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
        let path = self.ice.selected()?;
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

    /// Ends the session: a close alert is queued for each DTLS association.
    pub fn close(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let path = self.ice.selected();
        self.current.close(path, out, now);
        if let Some(other) = &mut self.other {
            let path = other.path(&self.ice);
            other.epoch.close(path, out, now);
        }
        self.state = SessionState::Ended;
    }
}

/// Answers a check, also one that is refused with a reason.
pub(super) fn answer_check(
    ice: &mut IceLite,
    message: &StunMessage<'_>,
    from: Arrival,
    out: &mut TrainBatch,
    now: Timestamp,
) -> Result<CheckOutcome, CheckRefused> {
    let outcome = ice.handle_check(message, from, now, out.slot());
    match outcome {
        Ok(CheckOutcome { reply_len: len, .. })
        | Err(CheckRefused::RoleConflict(len) | CheckRefused::UnknownAttribute(len)) => out.commit(from.path, len),
        Err(_) => {}
    }
    outcome
}

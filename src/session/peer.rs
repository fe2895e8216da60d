//! The state machine of one peer.

use std::collections::VecDeque;

use crate::description::{DtlsRole, Fingerprint, IceCredentials};
use crate::dtls::{self, Dtls, DtlsError, DtlsEvent, DtlsIdentity};
use crate::ice::{CheckRefused, IceLite};
use crate::limits;
use crate::srtp::{OpenedRtp, SrtpError, SrtpKeys, SrtpProfile, SrtpReceiver, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{Path, TrainBatch};
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
    PathAdded(Path),
    /// A path is forgotten.
    PathRemoved(Path),
    /// A connected peer is reached by another path from now on.
    Moved,
    /// The keys are there.
    Connected,
    /// The peer closed DTLS.
    Closed,
    /// DTLS failed.
    Failed(DtlsError),
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
    ice: IceLite,
    dtls: Option<Box<Dtls>>,
    dtls_role: DtlsRole,
    remote_fingerprints: Vec<Fingerprint>,
    sender: Option<Box<SrtpSender>>,
    receiver: Option<Box<SrtpReceiver>>,
    state: SessionState,
    last_heard: Timestamp,
    /// When the DTLS engine may be given up; `None` before the handshake is complete and once it is gone.
    shrink_due: Option<Timestamp>,
    /// When a DTLS record came that nobody can read any more: perhaps a close alert.
    unread_since: Option<Timestamp>,
    events: VecDeque<SessionEvent>,
    /// Authenticated packets and bytes received.
    pub received_packets: u64,
    /// Their bytes.
    pub received_bytes: u64,
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
            dtls: None,
            dtls_role,
            remote_fingerprints,
            sender: None,
            receiver: None,
            state: SessionState::New,
            last_heard: now,
            shrink_due: None,
            unread_since: None,
            events: VecDeque::new(),
            received_packets: 0,
            received_bytes: 0,
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
        path: Path,
        now: Timestamp,
    ) -> Self {
        let mut session = Self::new(local, remote, DtlsRole::Server, Vec::new(), now);
        session.ice.adopt(path, now);
        session.use_keys(keys);
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
        match self.unread_since {
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
        self.sender.as_ref().map(|sender| sender.profile())
    }

    /// The DTLS version as `1.2` or `1.3`, once known.
    #[must_use]
    pub fn dtls_version(&self) -> Option<&'static str> {
        self.dtls.as_ref().and_then(|dtls| dtls.version())
    }

    /// Where media goes and with which key; `None` before the session is connected.
    #[inline]
    #[must_use]
    pub fn egress(&self) -> Option<(&SrtpSender, &Path)> {
        Some((self.sender.as_deref()?, self.ice.selected()?))
    }

    /// New ICE credentials (RFC 8445 §9). Returns a user fragment that stops working at once, if any.
    pub fn restart_ice(&mut self, local: IceCredentials, remote: IceCredentials) -> Option<String> {
        self.ice.restart(local, remote)
    }

    /// A user fragment that no longer works since the last call.
    pub fn retired_ufrag(&mut self) -> Option<String> {
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
        path: &Path,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let answered = self.answer_check(identity, check, path, out, now);
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
        path: &Path,
        bytes: &mut [u8],
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<Inbound, Rejected> {
        let inbound = self.dispatch(identity, kind, path, bytes, out, now);
        match &inbound {
            Ok(Inbound::Rtp(_) | Inbound::Rtcp(_)) => {
                self.last_heard = now;
                self.received_packets += 1;
                self.received_bytes += bytes.len() as u64;
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
        path: &Path,
        bytes: &mut [u8],
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<Inbound, Rejected> {
        if kind == DatagramKind::Stun {
            let check = StunMessage::parse(bytes).map_err(|_| Rejected::Unknown)?;
            return self.answer_check(identity, &check, path, out, now).map(|()| Inbound::Handled);
        }
        if !self.ice.is_validated(path) {
            return Err(Rejected::PathNotValidated);
        }
        match kind {
            DatagramKind::Dtls => {
                if !dtls::is_whole(bytes) {
                    return Err(Rejected::Dtls);
                }
                let dtls = self.dtls.as_mut().ok_or(Rejected::PathNotValidated)?;
                if dtls.is_shrunk() {
                    // Only the first since the peer was last heard, or a stream of them would put the end off.
                    if self.unread_since.is_none_or(|since| since < self.last_heard) {
                        self.unread_since = Some(now);
                    }
                    return Ok(Inbound::Handled);
                }
                dtls.handle_datagram(bytes, now);
                self.drain_dtls(path, out);
                if self.state == SessionState::Connected && self.shrink_due.is_none() {
                    self.shrink_due = Some(now + limits::DTLS_ENGINE_KEPT);
                }
                Ok(Inbound::Handled)
            }
            DatagramKind::Rtp => {
                let receiver = self.receiver.as_mut().ok_or(Rejected::NoKeys)?;
                receiver.open_rtp(bytes).map(Inbound::Rtp).map_err(Rejected::Srtp)
            }
            DatagramKind::Rtcp => {
                let receiver = self.receiver.as_mut().ok_or(Rejected::NoKeys)?;
                receiver.open_rtcp(bytes).map(Inbound::Rtcp).map_err(Rejected::Srtp)
            }
            DatagramKind::Stun | DatagramKind::Unknown => Err(Rejected::Unknown),
        }
    }

    fn answer_check(
        &mut self,
        identity: &DtlsIdentity,
        check: &StunMessage<'_>,
        path: &Path,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        if !out.has_room(limits::STUN_REPLY_BYTES_MAX) {
            return Err(Rejected::NoRoom);
        }
        let outcome = match self.ice.handle_check(check, path, now, out.slot()) {
            Ok(outcome) => outcome,
            Err(refused) => {
                if let CheckRefused::RoleConflict(len) | CheckRefused::UnknownAttribute(len) = refused {
                    out.commit(path, len);
                }
                return Err(Rejected::Check(refused));
            }
        };
        out.commit(path, outcome.reply_len);
        self.last_heard = now;
        if let Some(evicted) = outcome.evicted {
            self.events.push_back(SessionEvent::PathRemoved(evicted));
        }
        if outcome.validated {
            self.events.push_back(SessionEvent::PathAdded(*path));
        }
        if outcome.selected && self.state == SessionState::Connected {
            self.events.push_back(SessionEvent::Moved);
        }
        if self.dtls.is_none() && self.state == SessionState::New {
            self.state = SessionState::Handshaking;
            let fingerprints = self.remote_fingerprints.clone();
            self.dtls = Some(Box::new(Dtls::new(identity, self.dtls_role, fingerprints, now)));
            self.drain_dtls(path, out);
        }
        Ok(())
    }

    fn drain_dtls(&mut self, path: &Path, out: &mut TrainBatch) {
        loop {
            // A flight that finds no room is lost, as on a network: DTLS sends it again.
            if !out.has_room(limits::DATAGRAM_OUT_BYTES_MAX) {
                return;
            }
            let Some(dtls) = self.dtls.as_mut() else { return };
            match dtls.poll(out.slot()) {
                None => return,
                Some(DtlsEvent::Datagram(len)) => out.commit(path, len),
                Some(DtlsEvent::Connected(exported)) => {
                    let keys = SrtpKeys::from_exported(exported.profile(), exported.material(), exported.is_client());
                    match keys {
                        Some(keys) => {
                            self.use_keys(&keys);
                            self.events.push_back(SessionEvent::Connected);
                        }
                        None => self.fail(DtlsError::Internal),
                    }
                }
                Some(DtlsEvent::Failed(error)) => self.fail(error),
                Some(DtlsEvent::Closed) => {
                    self.state = SessionState::Ended;
                    self.events.push_back(SessionEvent::Closed);
                }
            }
        }
    }

    fn use_keys(&mut self, keys: &SrtpKeys) {
        self.sender = Some(Box::new(SrtpSender::new(keys.profile, &keys.local)));
        self.receiver = Some(Box::new(SrtpReceiver::new(keys.profile, &keys.remote)));
        self.state = SessionState::Connected;
    }

    fn fail(&mut self, error: DtlsError) {
        self.state = SessionState::Ended;
        self.events.push_back(SessionEvent::Failed(error));
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let Some(path) = self.ice.selected().copied() else { return };
        if let Some(dtls) = self.dtls.as_mut() {
            dtls.handle_timeout(now);
            self.drain_dtls(&path, out);
        }
        self.shrink_dtls(now);
    }

    /// Gives up the DTLS engine, most of what a viewer costs in memory, once it has done its work: the peer has proved
    /// by SRTP or SRTCP that it has its keys, and had time to repeat its last flight in case our answer was lost.
    fn shrink_dtls(&mut self, now: Timestamp) {
        if self.shrink_due.is_none_or(|due| due > now) {
            return;
        }
        let shrunk = self.received_packets > 0 && self.dtls.as_mut().is_some_and(|dtls| dtls.shrink(now));
        self.shrink_due = if shrunk { None } else { Some(now + limits::DTLS_ENGINE_KEPT) };
        if shrunk {
            self.remote_fingerprints = Vec::new();
            self.events.shrink_to_fit();
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let dtls = self.dtls.as_ref().and_then(|dtls| dtls.next_deadline());
        [dtls, self.shrink_due].into_iter().flatten().min()
    }

    /// Seals the compound RTCP packet that `write` puts into the slot and queues it; false when there are no keys or
    /// no room, or `write` wrote nothing.
    pub fn send_rtcp(&mut self, out: &mut TrainBatch, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
        let path = *self.ice.selected()?;
        let sender = self.sender.as_mut()?;
        if !out.has_room(limits::DATAGRAM_OUT_BYTES_MAX) {
            return None;
        }
        let slot = out.slot();
        let room = slot.get_mut(..limits::DATAGRAM_OUT_BYTES_MAX - limits::SRTCP_OVERHEAD_BYTES_MAX)?;
        let len = write(room)?;
        let len = sender.seal_rtcp(slot, len)?;
        out.commit(&path, len);
        Some(len)
    }

    /// Ends the session: a close alert is queued where there is a DTLS association.
    pub fn close(&mut self, out: &mut TrainBatch, now: Timestamp) {
        if let (Some(path), Some(dtls)) = (self.ice.selected().copied(), self.dtls.as_mut()) {
            dtls.close(now);
            self.drain_dtls(&path, out);
        }
        self.state = SessionState::Ended;
    }
}

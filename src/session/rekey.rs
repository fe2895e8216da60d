//! Two epochs in one session: a second one is begun beside the current one, takes over, and the older one ends.
//!
//! ```text
//!            begin_epoch        connected          switch_epoch             its time, or end_other_epoch
//! current 0 ────────────▶ 0 + next 1 ───▶ 0 and 1 seal ────────▶ 1 seals, 0 opens ────────────▶ current 1
//! ```
//!
//! The second one comes by the session's own path (a handshake in place), or by paths of its own with credentials of its own
//! (a client with a second connection, which plays on by the first until the second shows a picture). Its agent goes with
//! it: the switch makes it the session's, and the older one ends with the older epoch.
//!
//! While two are alive on one path, a DTLS datagram goes to both associations: a connected one reads no plaintext and drops
//! what it cannot authenticate, so each keeps its own. An SRTP packet is opened by the epoch whose tag is right: the newer one is
//! tried first once a packet has come under it. A packet that opens under neither is refused once.
//!
//! A session with one epoch pays a null pointer for all this.

use std::time::Duration;

use super::epoch::{Epoch, EpochNews, EpochNumber};
use super::event::{Inbound, Rejected, SessionEvent, SessionState};
use super::other::{Other, Stage};
use super::peer::{Session, answer_check, open};
use crate::description::{DtlsRole, Fingerprint, IceCredentials};
use crate::dtls::{DtlsError, DtlsIdentity};
use crate::ice::{CheckRefused, IceLite};
use crate::limits;
use crate::srtp::{SrtpError, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{Arrival, PathId, TrainBatch};
use crate::wire::demux::DatagramKind;
use crate::wire::stun::StunMessage;

/// Why a session begins or switches no epoch now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochRefused {
    /// The session is not connected.
    NotConnected,
    /// Two epochs are alive already.
    Busy,
    /// There is no next epoch with keys.
    NoNext,
}

impl Session {
    /// The epoch whose keys seal.
    #[must_use]
    pub fn epoch(&self) -> &Epoch {
        &self.current
    }

    /// The epoch beside it, newer or older, while there is one.
    #[must_use]
    pub fn other_epoch(&self) -> Option<&Epoch> {
        self.other.as_ref().map(|other| &other.epoch)
    }

    /// Begins a second epoch on the session's path, with a handshake of its own. The current one goes on, also when its
    /// peer closes the old association. [`SessionEvent::EpochConnected`] or [`SessionEvent::EpochFailed`] will tell.
    ///
    /// # Errors
    /// When the session is not connected, or two epochs are alive.
    pub fn begin_epoch(
        &mut self,
        identity: &DtlsIdentity,
        role: DtlsRole,
        fingerprints: Vec<Fingerprint>,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<EpochNumber, EpochRefused> {
        let number = self.add_next(None, role, fingerprints, now)?;
        if let (Some(other), Some(path)) = (&mut self.other, self.ice.selected()) {
            other.epoch.begin_handshake(identity, now);
            self.drain_other(path, out, now);
        }
        Ok(number)
    }

    /// Begins a second epoch that waits for its first check, on paths of its own with these credentials.
    ///
    /// # Errors
    /// As [`Self::begin_epoch`].
    pub fn begin_epoch_on_its_own_paths(
        &mut self,
        local: IceCredentials,
        remote: IceCredentials,
        role: DtlsRole,
        fingerprints: Vec<Fingerprint>,
        now: Timestamp,
    ) -> Result<EpochNumber, EpochRefused> {
        self.add_next(Some(IceLite::new(local, remote)), role, fingerprints, now)
    }

    fn add_next(
        &mut self,
        ice: Option<IceLite>,
        role: DtlsRole,
        fingerprints: Vec<Fingerprint>,
        now: Timestamp,
    ) -> Result<EpochNumber, EpochRefused> {
        if self.state != SessionState::Connected {
            return Err(EpochRefused::NotConnected);
        }
        if self.other.is_some() || self.retired_ice.is_some() {
            return Err(EpochRefused::Busy);
        }
        let number = self.current.number.next();
        let mut epoch = Epoch::new(number, role, fingerprints, now);
        epoch.data = self.current.data.as_ref().map(|_| Box::default());
        let stage = Stage::Next { until: now + limits::SESSION_SETUP_MAX };
        self.other = Some(Box::new(Other::new(epoch, stage, ice)));
        Ok(number)
    }

    /// The next epoch's keys and path, once it is connected: what is sent to a peer that is to show its first packet
    /// before the current epoch ends.
    #[must_use]
    pub fn next_egress(&self) -> Option<(&SrtpSender, PathId)> {
        let other = self.other.as_ref().filter(|_| self.next_is_coming())?;
        Some((other.epoch.sender.as_deref()?, other.path(&self.ice)?))
    }

    /// Notes that `packets` were sealed with what [`Self::next_egress`] gave.
    pub fn note_next_sealed(&mut self, packets: u64) {
        if let Some(other) = &mut self.other {
            other.epoch.sealed_packets += packets;
        }
    }

    /// Makes the next epoch the current one. Nothing is sealed under the older one from here on; what comes under it is
    /// still opened for `overlap`, at most [`limits::EPOCH_OVERLAP_MAX`].
    ///
    /// # Errors
    /// When there is no next epoch, or it is not connected.
    pub fn switch_epoch(&mut self, overlap: Duration, now: Timestamp) -> Result<EpochNumber, EpochRefused> {
        let other = self.other.as_mut().ok_or(EpochRefused::NoNext)?;
        if !matches!(other.stage, Stage::Next { .. }) || !other.epoch.is_connected() {
            return Err(EpochRefused::NoNext);
        }
        std::mem::swap(&mut self.current, &mut other.epoch);
        if let Some(ice) = &mut other.ice {
            std::mem::swap(&mut self.ice, ice);
        }
        other.epoch.give_up_sealing();
        other.stage = Stage::Retiring { until: now + overlap.min(limits::EPOCH_OVERLAP_MAX) };
        Ok(self.current.number)
    }

    /// Ends the epoch beside the current one now: a next one is given up, a retiring one opens nothing any more.
    pub fn end_other_epoch(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let Some(mut other) = self.other.take() else { return };
        let path = other.path(&self.ice);
        other.epoch.close(path, out, now);
        if let Some(ice) = other.ice {
            let gone = ice.paths().filter(|path| !self.ice.is_validated(*path));
            self.events.extend(gone.map(SessionEvent::PathRemoved));
            self.retired_ice = Some(Box::new(ice));
        }
        self.retired_packets += other.epoch.opened_packets;
        self.retired_bytes += other.epoch.opened_bytes;
        self.events.push_back(SessionEvent::EpochEnded(other.epoch.number));
        self.end_without_association();
    }

    /// What the next epoch's association has to send and to tell.
    pub(super) fn drain_other(&mut self, path: PathId, out: &mut TrainBatch, now: Timestamp) {
        while let Some(other) = self.other.as_mut()
            && let Some(news) = other.epoch.drain(path, out, now)
        {
            let (number, is_next) = (other.epoch.number, matches!(other.stage, Stage::Next { .. }));
            match news {
                EpochNews::Connected => self.events.push_back(SessionEvent::EpochConnected(number)),
                EpochNews::Failed(error) if is_next => self.next_failed(error, out, now),
                EpochNews::Closed if is_next && !other.epoch.is_connected() => {
                    self.next_failed(DtlsError::PeerMisbehaved, out, now);
                }
                // The newer one is closed: its peer is gone, or wants the older one back. The caller hears of its end.
                // Or the older one, whose peer has left it early.
                EpochNews::Failed(_) | EpochNews::Closed => self.end_other_epoch(out, now),
            }
        }
    }

    fn next_failed(&mut self, error: DtlsError, out: &mut TrainBatch, now: Timestamp) {
        if let Some(other) = &self.other {
            self.events.push_back(SessionEvent::EpochFailed(other.epoch.number, error));
        }
        self.end_other_epoch(out, now);
    }

    /// A session whose current association the peer has closed, and which has no next one, is over.
    fn end_without_association(&mut self) {
        if self.other.is_none() && self.current.association_over() && self.state == SessionState::Connected {
            self.state = SessionState::Ended;
            self.events.push_back(SessionEvent::Closed);
        }
    }

    /// Whether an epoch with an agent of its own has validated `path`.
    pub(super) fn other_has_validated(&self, path: PathId) -> bool {
        let ice = self.other.as_ref().and_then(|other| other.ice.as_ref());
        ice.is_some_and(|ice| ice.is_validated(path))
    }

    /// A check with credentials that are not the current epoch's.
    pub(super) fn handle_others_check(
        &mut self,
        identity: &DtlsIdentity,
        message: &StunMessage<'_>,
        from: Arrival,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let ice = self.other.as_mut().and_then(|other| other.ice.as_mut());
        let ice = ice.ok_or(Rejected::Check(CheckRefused::Username))?;
        let outcome = answer_check(ice, message, from, out, now).map_err(Rejected::Check)?;
        self.note_check(&outcome, from.path, now);
        if let Some(other) = self.other.as_mut().filter(|other| other.epoch.dtls.is_none()) {
            other.epoch.begin_handshake(identity, now);
            self.drain_other(from.path, out, now);
        }
        Ok(())
    }

    /// A DTLS datagram while two epochs are alive: for the association whose path it is, or for both.
    pub(super) fn handle_dtls_of_two(&mut self, path: PathId, bytes: &[u8], out: &mut TrainBatch, now: Timestamp) {
        let apart = self.other.as_ref().is_some_and(|other| other.ice.is_some());
        if apart && self.other_has_validated(path) {
            if let Some(other) = &mut self.other {
                other.epoch.take_dtls(bytes, now);
            }
            return self.drain_other(path, out, now);
        }
        if !self.current.take_dtls(bytes, now) && (apart || self.next_is_coming()) {
            // Of the next association, or the old one's close alert: should the next one fail, the session is in doubt.
            self.current.note_unread(self.last_heard, now);
        }
        self.drain_current(path, out, now);
        if let Some(other) = self.other.as_mut().filter(|_| !apart) {
            other.epoch.take_dtls(bytes, now);
            self.drain_other(path, out, now);
        }
    }

    /// Opens an SRTP or SRTCP packet under whichever of two epochs it was sealed.
    pub(super) fn open_under_either(&mut self, kind: DatagramKind, bytes: &mut [u8]) -> Result<Inbound, Rejected> {
        let Some(Other { epoch, stage, sealed, .. }) = self.other.as_deref_mut() else { return Err(Rejected::NoKeys) };
        let (newer, older) = match stage {
            Stage::Next { .. } => (epoch, &mut self.current),
            Stage::Retiring { .. } => (&mut self.current, epoch),
        };
        let (first, second) = if newer.opened_packets > 0 { (newer, older) } else { (older, newer) };
        if !second.is_connected() {
            return open(first, kind, bytes);
        }
        sealed.clear();
        sealed.extend_from_slice(bytes);
        match open(first, kind, bytes) {
            Err(Rejected::Srtp(refused)) if refused != SrtpError::Malformed => {
                bytes.copy_from_slice(sealed);
                match open(second, kind, bytes) {
                    // The other reason says more: there was such an SSRC.
                    Err(Rejected::Srtp(SrtpError::Authentication)) => Err(Rejected::Srtp(refused)),
                    opened => opened,
                }
            }
            opened => opened,
        }
    }

    /// What is due of the other epoch.
    pub(super) fn handle_other_timeout(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let Some(other) = self.other.as_mut() else { return };
        other.epoch.handle_timeout(now);
        let path = other.path(&self.ice);
        match other.stage {
            Stage::Retiring { until } if until <= now => self.end_other_epoch(out, now),
            Stage::Next { until } if until <= now && !other.epoch.is_connected() => {
                self.next_failed(DtlsError::Timeout, out, now);
            }
            _ => {
                if let Some(path) = path {
                    self.drain_other(path, out, now);
                }
            }
        }
    }

    /// When [`Self::handle_other_timeout`] is due.
    pub(super) fn other_deadline(&self) -> Option<Timestamp> {
        let other = self.other.as_ref()?;
        let stage = match other.stage {
            Stage::Next { .. } if other.epoch.is_connected() => None,
            Stage::Next { until } | Stage::Retiring { until } => Some(until),
        };
        let dtls = other.epoch.dtls.as_ref().and_then(|dtls| dtls.next_deadline());
        [stage, dtls].into_iter().flatten().min()
    }
}

//! Two epochs in one session. A second epoch is begun beside the current one and takes over; the older one then ends.
//!
//! ```text
//!            begin_epoch        connected          switch_epoch             its time, or end_other_epoch
//! current 0 ────────────▶ 0 + next 1 ───▶ 0 and 1 seal ────────▶ 1 seals, 0 opens ────────────▶ current 1
//! ```
//!
//! The second epoch uses either the session's own path (a handshake in place), or paths and ICE credentials of its own.
//! The latter is for a client that opens a second connection and keeps playing from the first until the second shows a
//! picture. The second epoch's ICE agent belongs to it: the switch makes that agent the session's, and the older agent
//! ends together with the older epoch.
//!
//! While two epochs share one path, a DTLS datagram is given to both associations. A connected association ignores
//! plaintext records and drops what it cannot authenticate, so each one keeps only its own. An SRTP packet belongs to
//! the epoch under which its tag verifies; the newer epoch is tried first once a packet has been opened under it. A
//! packet that opens under neither counts as one refusal.
//!
//! A session with one epoch pays only a null pointer for this.

use std::time::Duration;

use super::epoch::{Epoch, EpochNews, EpochNumber};
use super::event::{Inbound, Rejected, SessionEvent, SessionState};
use super::in_place::InPlace;
use super::other::{Other, Stage};
use super::peer::{Session, answer_check, open, send_requests};
use crate::description::{DtlsRole, Fingerprint, IceCredentials};
use crate::dtls::{self, DtlsError, DtlsIdentity};
use crate::ice::{CheckRefused, IceLite};
use crate::limits;
use crate::srtp::{SrtpError, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{Arrival, PathId, TrainBatch};
use crate::wire::demux::DatagramKind;
use crate::wire::stun::StunMessage;

/// Why an epoch was not begun or switched to.
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

    /// Begins a second epoch on the session's path, with a handshake of its own. The current epoch stays in use, even
    /// when the peer closes the old association. The outcome is reported as [`SessionEvent::EpochConnected`] or
    /// [`SessionEvent::EpochFailed`].
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

    /// Begins a second epoch on paths of its own. It waits for its first connectivity check with these credentials.
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
        let secret = self.ice.further_secret(&local.ufrag);
        self.add_next(Some(IceLite::new(local, remote, secret)), role, fingerprints, now)
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

    /// Allows the peer to begin another association on its path ([`super::in_place`]), with a certificate of `fingerprints`. Not for
    /// sessions that carry data.
    pub fn allow_in_place(&mut self, fingerprints: Vec<Fingerprint>) {
        if self.current.data.is_none() {
            self.in_place = Some(Box::new(InPlace::new(fingerprints)));
        }
    }

    /// Whether a DTLS datagram begins another association, and may.
    #[must_use]
    pub fn is_greeted_anew(&self, datagram: &[u8], now: Timestamp) -> bool {
        self.state == SessionState::Connected
            && self.other.is_none()
            && self.in_place.as_deref().is_some_and(|in_place| in_place.may_begin(self.current.age(now), now))
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
        let fingerprints = self.in_place.as_deref_mut().ok_or(EpochRefused::NotConnected)?.begin(now);
        self.begin_epoch(identity, DtlsRole::Server, fingerprints, out, now)
    }

    /// The epoch that was begun in place has keys: they seal from now on.
    ///
    /// # Errors
    /// As [`Self::switch_epoch`].
    pub fn take_over_in_place(&mut self, now: Timestamp) -> Result<EpochNumber, EpochRefused> {
        let number = self.switch_epoch(limits::EPOCH_OVERLAP_MAX, now)?;
        if let Some(in_place) = self.in_place.as_deref_mut() {
            in_place.over();
        }
        let older = self.other.as_deref().and_then(|other| other.epoch.receiver.as_deref());
        if let (Some(newer), Some(older)) = (self.current.receiver.as_deref_mut(), older) {
            newer.continue_from(older);
        }
        Ok(number)
    }

    /// When a session that was closed ends, unless its peer says hello; `None` where it was not, and while a handshake is under way.
    pub(super) fn closes_at(&self) -> Option<Timestamp> {
        let is_alone = self.state == SessionState::Connected && self.other.is_none();
        self.in_place.as_deref().filter(|_| is_alone)?.closes_at()
    }

    /// Ends a session whose peer has closed and said no hello.
    pub(super) fn close_if_due(&mut self, now: Timestamp) {
        if self.closes_at().is_some_and(|at| at <= now) {
            self.state = SessionState::Ended;
            self.events.push_back(SessionEvent::Closed);
        }
    }

    /// The next epoch's sender and path, once it is connected. A peer that must receive a packet under the new keys
    /// before the current epoch ends is sent to with these.
    #[must_use]
    pub fn next_egress(&self) -> Option<(&SrtpSender, PathId)> {
        let other = self.other.as_ref().filter(|_| self.next_is_coming())?;
        Some((other.epoch.sender.as_deref()?, other.ice.as_ref().unwrap_or(&self.ice).open_path()?))
    }

    /// Counts `packets` as sealed with the sender from [`Self::next_egress`].
    pub fn note_next_sealed(&mut self, packets: u64) {
        if let Some(other) = &mut self.other {
            other.epoch.sealed_packets += packets;
        }
    }

    /// Makes the next epoch the current one. Nothing more is sealed under the older epoch. Its packets are still opened
    /// for `overlap`, which is cut to [`limits::EPOCH_OVERLAP_MAX`].
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

    /// Ends the epoch beside the current one at once: a next epoch is abandoned, and a retiring one opens nothing more.
    pub fn end_other_epoch(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let Some(mut other) = self.other.take() else { return };
        other.epoch.close(other.ice.as_mut().unwrap_or(&mut self.ice), out, now);
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

    /// Queues the datagrams of the other epoch's association and handles what it reports.
    pub(super) fn drain_other(&mut self, path: PathId, out: &mut TrainBatch, now: Timestamp) {
        while let Some(other) = self.other.as_deref_mut()
            && let Some(news) = other.epoch.drain(other.ice.as_mut().unwrap_or(&mut self.ice), path, out, now)
        {
            let (number, is_next) = (other.epoch.number, matches!(other.stage, Stage::Next { .. }));
            match news {
                EpochNews::Connected => {
                    if let Some(ice) = &mut other.ice {
                        ice.handshake_completed(now);
                    }
                    self.events.push_back(SessionEvent::EpochConnected(number));
                }
                EpochNews::Failed(error) if is_next => self.next_failed(error, out, now),
                EpochNews::Closed if is_next && !other.epoch.is_connected() => {
                    self.next_failed(DtlsError::PeerMisbehaved, out, now);
                }
                // A connected next epoch was closed, because its peer is gone or falls back to the older one; or a
                // retiring epoch was closed early. Either way the caller learns of it by [`SessionEvent::EpochEnded`].
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

    /// Ends a session whose current association the peer has closed and which has no other epoch.
    fn end_without_association(&mut self) {
        if self.other.is_none() && self.current.association_over() && self.state == SessionState::Connected {
            self.state = SessionState::Ended;
            self.events.push_back(SessionEvent::Closed);
        }
    }

    /// Answers a check whose username is not the current epoch's.
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

    /// Handles a DTLS datagram while two epochs are alive. It goes to the association whose path it came from, or to
    /// both where they share a path.
    pub(super) fn handle_dtls_of_two(&mut self, path: PathId, bytes: &[u8], out: &mut TrainBatch, now: Timestamp) {
        let apart = self.other.as_ref().is_some_and(|other| other.ice.is_some());
        if apart && self.other_has_validated(path) {
            if let Some(other) = &mut self.other {
                other.epoch.take_dtls(bytes, now);
                other.ice.iter_mut().for_each(|ice| ice.received(path, bytes.len()));
            }
            return self.drain_other(path, out, now);
        }
        if !self.current.take_dtls(bytes, now) && (apart || self.next_is_coming()) {
            // The record may belong to the next association, or be the old one's close alert. Should the next epoch
            // fail, the peer may be gone.
            self.current.note_unread(self.last_heard, now);
        }
        self.drain_current(path, out, now);
        if let Some(other) = self.other.as_mut().filter(|_| !apart) {
            other.epoch.take_dtls(bytes, now);
            self.drain_other(path, out, now);
        }
    }

    /// Opens an SRTP or SRTCP packet while two epochs are alive, under the one it was sealed with.
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
                    // The first epoch's reason is more specific here: it knew the SSRC.
                    Err(Rejected::Srtp(SrtpError::Authentication)) => Err(Rejected::Srtp(refused)),
                    opened => opened,
                }
            }
            opened => opened,
        }
    }

    /// Runs the timers of the other epoch.
    pub(super) fn handle_other_timeout(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let Some(other) = self.other.as_mut() else { return };
        if let Some(ice) = &mut other.ice {
            ice.handle_timeout(now);
            send_requests(ice, 1, out, now);
        }
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
        let ice = other.ice.as_ref().and_then(IceLite::next_deadline);
        [stage, dtls, ice].into_iter().flatten().min()
    }
}

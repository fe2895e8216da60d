//! One epoch of keys: a DTLS association, the SRTP keys it exported for both directions, and the state that depends on
//! those keys (packet indexes, rollover counters, replay windows, age, counters). Two epochs share no key, index or
//! window.
//!
//! An epoch has no path of its own. ICE belongs to the [`super::Session`], which decides where an epoch's datagrams go.
//! An epoch's life:
//!
//! ```text
//! waiting ──▶ handshaking ──▶ connected: seals and opens ──give_up_sealing()──▶ opens only ──▶ dropped
//! ```
//!
//! Giving up sealing drops the SRTP sender together with its keys, so nothing can be sealed under the epoch afterwards.
//! Export and import are in [`super::export`].

use std::time::Duration;

use super::inbox::DataInbox;
use crate::description::{DtlsRole, Fingerprint};
use crate::dtls::{Dtls, DtlsError, DtlsEvent, DtlsIdentity, DtlsState};
use crate::ice::IceLite;
use crate::limits;
use crate::srtp::{OpenedRtp, SrtpError, SrtpKeys, SrtpProfile, SrtpReceiver, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{PathId, TrainBatch};

/// The number of an epoch within its session. The first is 0, and each one after it is one higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochNumber(pub u32);

impl EpochNumber {
    /// The number of the epoch that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// What an epoch's association reports to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EpochNews {
    /// The keys are there.
    Connected,
    /// The peer closed the association by an alert.
    Closed,
    /// The association failed.
    Failed(DtlsError),
}

/// One epoch of keys; see the module documentation.
pub struct Epoch {
    pub(super) number: EpochNumber,
    pub(super) dtls: Option<Box<Dtls>>,
    pub(super) sender: Option<Box<SrtpSender>>,
    pub(super) receiver: Option<Box<SrtpReceiver>>,
    role: DtlsRole,
    /// Held until the association is created, which takes them.
    fingerprints: Vec<Fingerprint>,
    /// When the epoch got its keys. Before that, when it was created.
    pub(super) began: Timestamp,
    pub(super) sealed_packets: u64,
    pub(super) opened_packets: u64,
    pub(super) opened_bytes: u64,
    /// Datagrams of the handshake that were not sent, because their path is not proven.
    pub(super) withheld: u32,
    /// When the DTLS engine may be given up. `None` before the handshake is complete and after the engine is gone.
    pub(super) shrink_due: Option<Timestamp>,
    /// When a DTLS record arrived after the engine was gone. It may have been the peer's close alert.
    pub(super) unread_since: Option<Timestamp>,
    /// The received application data. `None` unless the peers agreed on it.
    pub(super) data: Option<Box<DataInbox>>,
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoch").field("number", &self.number).field("dtls", &self.dtls).finish_non_exhaustive()
    }
}

impl Epoch {
    /// An epoch without an association yet, whose peer will have to show one of `fingerprints`.
    pub(super) fn new(number: EpochNumber, role: DtlsRole, fingerprints: Vec<Fingerprint>, now: Timestamp) -> Self {
        Self {
            number,
            dtls: None,
            sender: None,
            receiver: None,
            role,
            fingerprints,
            began: now,
            sealed_packets: 0,
            opened_packets: 0,
            opened_bytes: 0,
            withheld: 0,
            shrink_due: None,
            unread_since: None,
            data: None,
        }
    }

    /// The epoch's number within its session.
    #[must_use]
    pub fn number(&self) -> EpochNumber {
        self.number
    }

    /// Whether it has keys.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.receiver.is_some()
    }

    /// Whether packets can be sealed under it: only from when it has keys until a newer epoch takes over.
    #[must_use]
    pub fn seals(&self) -> bool {
        self.sender.is_some()
    }

    /// How long its keys have been in use; zero before it has any.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        if self.is_connected() { now.since(self.began) } else { Duration::ZERO }
    }

    /// Packets sealed under its keys. RTP counts as [reported by the caller](super::Session::note_sealed), RTCP as
    /// sealed.
    #[must_use]
    pub fn sealed_packets(&self) -> u64 {
        self.sealed_packets
    }

    /// Packets that authenticated under its keys.
    #[must_use]
    pub fn opened_packets(&self) -> u64 {
        self.opened_packets
    }

    /// The negotiated SRTP profile, once connected.
    #[must_use]
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.receiver.as_ref().map(|receiver| receiver.profile())
    }

    /// The DTLS version as `1.2` or `1.3`, once known.
    #[must_use]
    pub fn dtls_version(&self) -> Option<&'static str> {
        self.dtls.as_ref().and_then(|dtls| dtls.version())
    }

    /// Whether the association was closed or failed; its keys may still be in use.
    pub(super) fn association_over(&self) -> bool {
        self.dtls.as_ref().is_some_and(|dtls| matches!(dtls.state(), DtlsState::Closed | DtlsState::Failed))
    }

    /// Begins the handshake: a client's first flight can be drained at once.
    pub(super) fn begin_handshake(&mut self, identity: &DtlsIdentity, now: Timestamp) {
        let fingerprints = std::mem::take(&mut self.fingerprints);
        let dtls = self.dtls.insert(Box::new(Dtls::new(identity, self.role, fingerprints, now)));
        dtls.expect_application_data(self.data.is_some());
    }

    pub(super) fn use_keys(&mut self, keys: &SrtpKeys, now: Timestamp) {
        self.sender = Some(Box::new(SrtpSender::new(keys.profile, &keys.local)));
        self.receiver = Some(Box::new(SrtpReceiver::new(keys.profile, &keys.remote)));
        self.began = now;
    }

    /// Drops the sender and its keys. From now on the epoch only opens.
    pub(super) fn give_up_sealing(&mut self) {
        self.sender = None;
    }

    /// Gives a DTLS datagram to the association. Returns `false` when there is no association yet or its engine is
    /// gone.
    pub(super) fn take_dtls(&mut self, bytes: &[u8], now: Timestamp) -> bool {
        match &mut self.dtls {
            Some(dtls) if !dtls.is_shrunk() => {
                dtls.handle_datagram(bytes, now);
                true
            }
            _ => false,
        }
    }

    /// Notes a record that arrived after the engine was gone. Only the first one since the peer was last heard counts.
    /// Otherwise a stream of such records would keep postponing the end of the session.
    pub(super) fn note_unread(&mut self, last_heard: Timestamp, now: Timestamp) {
        if self.unread_since.is_none_or(|since| since < last_heard) {
            self.unread_since = Some(now);
        }
    }

    /// When the first unreadable record arrived, from which the peer may have closed.
    pub(super) fn unread_since(&self) -> Option<Timestamp> {
        self.unread_since
    }

    /// Opens an RTP packet in place and counts it.
    pub(super) fn open_rtp(&mut self, bytes: &mut [u8]) -> Option<Result<OpenedRtp, SrtpError>> {
        let opened = self.receiver.as_mut()?.open_rtp(bytes);
        self.count(opened.is_ok(), bytes.len());
        Some(opened)
    }

    /// Opens a compound RTCP packet in place and counts it.
    pub(super) fn open_rtcp(&mut self, bytes: &mut [u8]) -> Option<Result<usize, SrtpError>> {
        let opened = self.receiver.as_mut()?.open_rtcp(bytes);
        self.count(opened.is_ok(), bytes.len());
        Some(opened)
    }

    fn count(&mut self, opened: bool, bytes: usize) {
        if opened {
            self.opened_packets += 1;
            self.opened_bytes += bytes as u64;
        }
    }

    /// Queues the association's datagrams on `path` until it has something to report, which is returned. `ice` is the
    /// agent of the path: before the path is proven, no more is sent there than it allows.
    pub(super) fn drain(
        &mut self,
        ice: &mut IceLite,
        path: PathId,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Option<EpochNews> {
        loop {
            // A flight that finds no room is lost as if on the network; DTLS retransmits it.
            if !out.has_room(limits::DATAGRAM_OUT_BYTES_MAX) {
                return None;
            }
            match self.dtls.as_mut()?.poll(out.slot())? {
                DtlsEvent::Datagram(len) if len <= ice.allowance(path) as usize => {
                    ice.sent_of_handshake(path, len);
                    out.commit(path, len);
                }
                DtlsEvent::Datagram(_) => self.withheld += 1,
                DtlsEvent::Connected(exported) => {
                    let keys = SrtpKeys::from_exported(exported.profile(), exported.material(), exported.is_client());
                    let Some(keys) = keys else { return Some(EpochNews::Failed(DtlsError::Internal)) };
                    self.use_keys(&keys, now);
                    // What carries data is not given up.
                    self.shrink_due = self.data.is_none().then(|| now + limits::DTLS_ENGINE_KEPT);
                    return Some(EpochNews::Connected);
                }
                DtlsEvent::ApplicationData(data) => {
                    if let Some(inbox) = &mut self.data {
                        inbox.put(data);
                    }
                }
                DtlsEvent::Failed(error) => return Some(EpochNews::Failed(error)),
                DtlsEvent::Closed => return Some(EpochNews::Closed),
            }
        }
    }

    /// Runs the association's timers.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
        }
    }

    /// When [`Self::handle_timeout`] or [`Self::shrink`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let dtls = self.dtls.as_ref().and_then(|dtls| dtls.next_deadline());
        [dtls, self.shrink_due].into_iter().flatten().min()
    }

    /// Gives up the DTLS engine, which is most of a viewer's memory, once it is no longer needed: the peer has proved
    /// by SRTP or SRTCP that it has its keys, and had time to repeat its last flight in case our answer was lost.
    /// Returns whether the engine was given up.
    pub(super) fn shrink(&mut self, now: Timestamp) -> bool {
        if self.shrink_due.is_none_or(|due| due > now) {
            return false;
        }
        let shrunk = self.opened_packets > 0 && self.dtls.as_mut().is_some_and(|dtls| dtls.shrink(now));
        self.shrink_due = if shrunk { None } else { Some(now + limits::DTLS_ENGINE_KEPT) };
        shrunk
    }

    /// Gives up the DTLS engine at once, because only an association without one can be exported.
    pub(super) fn shrink_now(&mut self, now: Timestamp) {
        if let Some(dtls) = &mut self.dtls {
            dtls.shrink(now);
        }
        self.shrink_due = None;
    }

    /// Ends the association and queues its close alert, if it can still send one.
    pub(super) fn close(&mut self, ice: &mut IceLite, out: &mut TrainBatch, now: Timestamp) {
        if let (Some(path), Some(dtls)) = (ice.selected(), &mut self.dtls) {
            dtls.close(now);
            while self.drain(ice, path, out, now).is_some() {}
        }
    }
}

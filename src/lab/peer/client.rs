//! [`ClientPeer`]: one client of the node, whether it publishes or plays.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::checks::Checks;
use crate::description::{DtlsRole, Fingerprint, IceCredentials};
use crate::dtls::{Dtls, DtlsError, DtlsEvent, DtlsIdentity, DtlsVersions, ExportedKeys};
use crate::limits;
use crate::session::Inbound;
use crate::srtp::{OpenedRtp, SrtpError, SrtpKeys, SrtpProfile, SrtpReceiver, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{PathId, TrainBatch};
use crate::wire::demux::{self, DatagramKind};
use crate::wire::rtp::{self, HeaderFields};
use crate::wire::stun::{StunClass, StunMessage};

/// What a peer is made with.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Its own credentials.
    pub local_ice: IceCredentials,
    /// The node's.
    pub remote_ice: IceCredentials,
    /// Its own end of the DTLS handshake; browsers are clients of a node that answers `setup:passive`.
    pub dtls_role: DtlsRole,
    /// What a DTLS client offers.
    pub versions: DtlsVersions,
    /// The certificates the node may present.
    pub remote_fingerprints: Vec<Fingerprint>,
    /// The node's candidate. A client has one path, over a socket connected to it: its trains go on the first of a book.
    pub node: SocketAddr,
    /// The seed of its transaction ids and tie-breaker; a real client takes it from the system's random source.
    pub seed: u64,
}

/// What happened to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// The first check with the present credentials and address was answered; the peer's address as the node sees it.
    PathValidated(SocketAddr),
    /// The SRTP keys have been derived: media may flow.
    Connected,
    /// The node closed DTLS.
    Closed,
    /// DTLS failed.
    Failed(DtlsError),
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is neither STUN, DTLS, RTP nor RTCP.
    Unknown,
    /// A STUN message that answers no check.
    Stun,
    /// DTLS before the path was validated, or media before the keys.
    TooEarly,
    /// SRTP or SRTCP refused it.
    Srtp(SrtpError),
}

/// A packet to send.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutgoingRtp<'a> {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Rollover counter and sequence number.
    pub index: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// 0 to 127.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Header extension elements.
    pub extensions: &'a [(u8, &'a [u8])],
    /// The payload; empty for a padding-only probe.
    pub payload: &'a [u8],
    /// Bytes of padding behind it, the count byte included.
    pub padding: u8,
}

/// One client of the node. After each call that may raise events, drain [`Self::poll_event`].
pub struct ClientPeer {
    identity: DtlsIdentity,
    config: PeerConfig,
    checks: Checks,
    path_reported: bool,
    dtls: Option<Box<Dtls>>,
    /// The keys were given, so no handshake is made.
    dtls_done: bool,
    sender: Option<Box<SrtpSender>>,
    receiver: Option<Box<SrtpReceiver>>,
    /// That of keys before, whose numbers go on.
    former: Option<Box<SrtpReceiver>>,
    /// What indexes of each SSRC have counted under keys before.
    rolled: Vec<(u32, u64)>,
    events: VecDeque<PeerEvent>,
    closed: bool,
    /// Received application data, where it was agreed on.
    data: Option<VecDeque<Box<[u8]>>>,
    /// What DTLS exported, where it is to be kept.
    exported: Option<Option<Box<ExportedKeys>>>,
    /// Round-trip time of the last answered check.
    pub rtt: Option<Duration>,
}

impl std::fmt::Debug for ClientPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientPeer").field("connected", &self.is_connected()).finish_non_exhaustive()
    }
}

impl ClientPeer {
    /// A peer whose first check is due at once.
    #[must_use]
    pub fn new(identity: &DtlsIdentity, config: PeerConfig, now: Timestamp) -> Self {
        Self {
            identity: identity.clone(),
            checks: Checks::new(config.local_ice.clone(), config.remote_ice.clone(), config.seed, now),
            path_reported: false,
            dtls: None,
            dtls_done: false,
            sender: None,
            receiver: None,
            former: None,
            rolled: Vec::new(),
            events: VecDeque::new(),
            closed: false,
            data: None,
            exported: None,
            rtt: None,
            config,
        }
    }

    /// A peer that has its keys already, for the simulation: the node's end is opened by
    /// [`crate::worker::Worker::open_connected`]. Checks go on as usual.
    #[must_use]
    pub fn connected(identity: &DtlsIdentity, config: PeerConfig, keys: &SrtpKeys, now: Timestamp) -> Self {
        let mut peer = Self::new(identity, config, now);
        peer.use_keys(keys);
        // No handshake is started.
        peer.dtls_done = true;
        peer
    }

    fn use_keys(&mut self, keys: &SrtpKeys) {
        self.sender = Some(Box::new(SrtpSender::new(keys.profile, &keys.local)));
        let mut receiver = Box::new(SrtpReceiver::new(keys.profile, &keys.remote));
        if let Some(former) = self.former.take() {
            receiver.continue_from(&former);
        }
        self.receiver = Some(receiver);
        self.events.push_back(PeerEvent::Connected);
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// Whether media may flow.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.sender.is_some() && !self.closed
    }

    /// When the node answered a check last.
    #[must_use]
    pub fn last_answer(&self) -> Option<Timestamp> {
        self.checks.last_answer()
    }

    /// The SRTP profile, once connected.
    #[must_use]
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        self.sender.as_ref().map(|sender| sender.profile())
    }

    /// Where it reaches the node.
    #[must_use]
    pub fn node(&self) -> SocketAddr {
        self.config.node
    }

    /// Its ICE credentials.
    #[must_use]
    pub fn local_ice(&self) -> &IceCredentials {
        &self.config.local_ice
    }

    /// Takes one datagram and opens it in place where it is media; see [`Inbound`].
    ///
    /// # Errors
    /// Why it was dropped.
    pub fn handle_datagram(
        &mut self,
        bytes: &mut [u8],
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<Inbound, Refused> {
        match demux::classify(bytes) {
            DatagramKind::Stun => self.handle_stun(bytes, out, now),
            DatagramKind::Dtls => {
                self.dtls.as_mut().ok_or(Refused::TooEarly)?.handle_datagram(bytes, now);
                self.drain_dtls(out);
                Ok(Inbound::Handled)
            }
            DatagramKind::Rtp => self.open_rtp(bytes).map(Inbound::Rtp),
            DatagramKind::Rtcp => self.open_rtcp(bytes).map(Inbound::Rtcp),
            DatagramKind::Unknown => Err(Refused::Unknown),
        }
    }

    /// Opens an RTP packet in place.
    ///
    /// # Errors
    /// Why it was dropped.
    pub fn open_rtp(&mut self, bytes: &mut [u8]) -> Result<OpenedRtp, Refused> {
        self.receiver.as_mut().ok_or(Refused::TooEarly)?.open_rtp(bytes).map_err(Refused::Srtp)
    }

    /// Opens a compound RTCP packet in place; the length of its plaintext.
    ///
    /// # Errors
    /// Why it was dropped.
    pub fn open_rtcp(&mut self, bytes: &mut [u8]) -> Result<usize, Refused> {
        self.receiver.as_mut().ok_or(Refused::TooEarly)?.open_rtcp(bytes).map_err(Refused::Srtp)
    }

    fn handle_stun(&mut self, bytes: &[u8], out: &mut TrainBatch, now: Timestamp) -> Result<Inbound, Refused> {
        let message = StunMessage::parse(bytes).map_err(|_| Refused::Stun)?;
        if message.class() == StunClass::Request {
            if self.closed {
                return Err(Refused::Stun);
            }
            let room = out.has_room(limits::STUN_REPLY_BYTES_MAX);
            let reply = room.then(|| self.checks.answer(&message, self.config.node, out.slot())).flatten();
            out.commit(PathId::default(), reply.ok_or(Refused::Stun)?);
            return Ok(Inbound::Handled);
        }
        let answer = self.checks.handle(&message, now).map_err(|_| Refused::Stun)?;
        self.rtt = Some(answer.rtt);
        if !std::mem::replace(&mut self.path_reported, true) {
            self.events.push_back(PeerEvent::PathValidated(answer.mapped));
        }
        if self.dtls.is_none() && !self.dtls_done && !self.closed {
            self.begin_dtls(out, now);
        }
        Ok(Inbound::Handled)
    }

    fn drain_dtls(&mut self, out: &mut TrainBatch) {
        while out.has_room(limits::DATAGRAM_OUT_BYTES_MAX)
            && let Some(dtls) = self.dtls.as_mut()
            && let Some(event) = dtls.poll(out.slot())
        {
            match event {
                DtlsEvent::Datagram(len) => out.commit(PathId::default(), len),
                DtlsEvent::Connected(exported) => {
                    let keys = SrtpKeys::from_exported(exported.profile(), exported.material(), exported.is_client());
                    let Some(keys) = keys else { continue };
                    if let Some(kept) = &mut self.exported {
                        *kept = Some(Box::new(exported));
                    }
                    self.use_keys(&keys);
                }
                DtlsEvent::Failed(error) => {
                    self.closed = true;
                    self.events.push_back(PeerEvent::Failed(error));
                }
                DtlsEvent::ApplicationData(record) => {
                    if let Some(records) = self.data.as_mut().filter(|records| records.len() < limits::DTLS_INBOX_MAX) {
                        records.push_back(record);
                    }
                }
                DtlsEvent::Closed => {
                    self.closed = true;
                    self.events.push_back(PeerEvent::Closed);
                }
            }
        }
    }

    /// Does what is due: checks, DTLS retransmissions.
    pub fn handle_timeout(&mut self, out: &mut TrainBatch, now: Timestamp) {
        if self.closed {
            return;
        }
        if out.has_room(limits::STUN_REPLY_BYTES_MAX)
            && let Some(len) = self.checks.poll(out.slot(), now)
        {
            out.commit(PathId::default(), len);
        }
        if let Some(dtls) = self.dtls.as_mut() {
            dtls.handle_timeout(now);
            self.drain_dtls(out);
        }
    }

    /// Keeps what DTLS exports, for tests that open what was captured: call this before the first datagram.
    pub fn keep_exported(&mut self) {
        self.exported = Some(None);
    }

    /// What was kept, once it is connected.
    #[must_use]
    pub fn exported(&self) -> Option<&ExportedKeys> {
        self.exported.as_ref()?.as_deref()
    }

    /// Agrees to carry application data: call this before the first datagram.
    pub fn carry_data(&mut self) {
        self.data = Some(VecDeque::new());
    }

    /// Takes the next received record of application data.
    pub fn poll_data(&mut self) -> Option<Box<[u8]>> {
        self.data.as_mut()?.pop_front()
    }

    /// Sends a record of application data; whether it was taken.
    pub fn send_data(&mut self, record: &[u8], out: &mut TrainBatch, now: Timestamp) -> bool {
        let taken = self.dtls.as_mut().is_some_and(|dtls| dtls.send_application_data(record, now).is_ok());
        self.drain_dtls(out);
        taken
    }

    /// When [`Self::handle_timeout`] is due; `None` once closed.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.closed {
            return None;
        }
        let checks = self.checks.next_deadline();
        Some(self.dtls.as_ref().and_then(|dtls| dtls.next_deadline()).map_or(checks, |dtls| dtls.min(checks)))
    }

    /// Begins another DTLS association on its path, as Chromium does: the old one is closed, and nothing is opened or sealed until the
    /// new one has keys. `sources` are the SSRCs it sends with the index that each has come to: with other keys rollover counters begin
    /// anew, also of what it receives.
    pub fn restart_dtls(&mut self, sources: &[(u32, u64)], out: &mut TrainBatch, now: Timestamp) {
        self.rolled = sources.iter().map(|&(ssrc, index)| (ssrc, index & !0xffff)).collect();
        if let Some(mut old) = self.dtls.take() {
            old.close(now);
            while out.has_room(limits::DATAGRAM_OUT_BYTES_MAX)
                && let Some(DtlsEvent::Datagram(len)) = old.poll(out.slot())
            {
                out.commit(PathId::default(), len);
            }
        }
        self.sender = None;
        self.former = self.receiver.take().or(self.former.take());
        self.begin_dtls(out, now);
    }

    fn begin_dtls(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let fingerprints = self.config.remote_fingerprints.clone();
        let dtls = match self.config.dtls_role {
            DtlsRole::Client => Dtls::new_client(&self.identity, self.config.versions, fingerprints, now),
            DtlsRole::Server => Dtls::new(&self.identity, DtlsRole::Server, fingerprints, now),
        };
        let dtls = self.dtls.insert(Box::new(dtls));
        dtls.expect_application_data(self.data.is_some());
        self.drain_dtls(out);
    }

    /// New credentials on both sides (RFC 8445 §9): the next check uses them.
    pub fn restart_ice(&mut self, local: IceCredentials, remote: IceCredentials, now: Timestamp) {
        self.config.local_ice = local.clone();
        self.config.remote_ice = remote.clone();
        self.path_reported = false;
        self.checks.restart(Some((local, remote)), now);
    }

    /// The peer's address changed, or it shall reach the node elsewhere: a nominating check is due at once.
    pub fn change_path(&mut self, node: SocketAddr, now: Timestamp) {
        self.config.node = node;
        self.path_reported = false;
        self.checks.restart(None, now);
    }

    /// Seals a packet and queues it; the datagram's length. `None` without keys or room, or for what cannot be
    /// written.
    pub fn send_rtp(&self, out: &mut TrainBatch, packet: &OutgoingRtp<'_>) -> Option<usize> {
        let sender = self.sender.as_deref()?;
        let rolled = self.rolled.iter().find(|(ssrc, _)| *ssrc == packet.ssrc).map_or(0, |&(_, rolled)| rolled);
        let index = packet.index.checked_sub(rolled)?;
        if !out.has_room(limits::DATAGRAM_IN_BYTES_MAX) {
            return None;
        }
        let fields = HeaderFields {
            marker: packet.marker,
            padding: packet.padding > 0,
            payload_type: packet.payload_type,
            sequence: (packet.index & 0xffff) as u16,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
        };
        let slot = out.slot().get_mut(..limits::DATAGRAM_IN_BYTES_MAX)?;
        let header_len = rtp::write_header(slot, &fields, packet.extensions)?;
        let len = if usize::from(packet.padding) <= limits::RTP_PADDING_BYTES_MAX {
            sender.seal_rtp(index, header_len, slot, packet.payload, packet.padding)?
        } else {
            let mut padded = packet.payload.to_vec();
            padded.resize(packet.payload.len() + usize::from(packet.padding), 0);
            rtp::write_padding(padded.get_mut(packet.payload.len()..)?)?;
            sender.seal_rtp(index, header_len, slot, &padded, 0)?
        };
        out.commit(PathId::default(), len);
        Some(len)
    }

    /// Seals the compound RTCP packet that `write` puts into the slot and queues it; the datagram's length.
    pub fn send_rtcp(&mut self, out: &mut TrainBatch, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
        let sender = self.sender.as_mut()?;
        if !out.has_room(limits::DATAGRAM_OUT_BYTES_MAX) {
            return None;
        }
        let slot = out.slot();
        let len = write(slot.get_mut(..limits::DATAGRAM_OUT_BYTES_MAX - limits::SRTCP_OVERHEAD_BYTES_MAX)?)?;
        let len = sender.seal_rtcp(slot, len)?;
        out.commit(PathId::default(), len);
        Some(len)
    }

    /// Closes the session: a close alert is queued, and nothing is sent afterwards.
    pub fn close(&mut self, out: &mut TrainBatch, now: Timestamp) {
        if let Some(dtls) = self.dtls.as_mut() {
            dtls.close(now);
            self.drain_dtls(out);
        }
        self.closed = true;
    }
}

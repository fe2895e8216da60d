//! A datagram arrives: whose is it, is it authentic, and what is in it.

use crate::limits;
use crate::placement;
use crate::session::{Inbound, SessionEvent};
use crate::time::Timestamp;
use crate::transport::Datagram;
use crate::wire::demux::{self, DatagramKind};
use crate::wire::rtcp;
use crate::wire::rtp::RtpPacket;
use crate::wire::stun::{self, StunClass, StunMessage, StunWriter};
use crate::worker::counters::not_forwarded_name;
use crate::worker::feedback;
use crate::worker::mailbox::{EndReason, Notice};
use crate::worker::peer::{PeerKey, Role};
use crate::worker::round::Worker;
use crate::worker::stream::{EncodingKey, encoding_index};

impl Worker {
    /// Takes one datagram: sorts it (RFC 7983), finds its session, lets the session open it, and acts on what it was.
    pub(super) fn handle_datagram(&mut self, datagram: Datagram<'_>, now: Timestamp) {
        let Datagram { bytes, path, received } = datagram;
        let kind = demux::classify(bytes);
        let key = match kind {
            DatagramKind::Stun => match self.find_by_ufrag(bytes) {
                Some(key) => key,
                None => {
                    self.answer_plain_binding(bytes, &path, now);
                    return;
                }
            },
            DatagramKind::Unknown => {
                self.counters.dropped("not_demultiplexed");
                return;
            }
            // An address that no valid check came from may only do STUN.
            _ => match self.flows.find(&path) {
                Some(key) => key,
                None => {
                    self.counters.dropped("unknown_address");
                    return;
                }
            },
        };
        if kind == DatagramKind::Dtls && self.defer_handshake(key, &path, bytes) {
            return;
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        match peer.session.handle_datagram(&peer.identity, kind, &path, bytes, &mut self.out, now) {
            Ok(Inbound::Handled) => {
                self.handle_session_events(key, now);
                self.arm(key);
            }
            Ok(Inbound::Rtp(opened)) => {
                let end = opened.header_len + opened.payload_len;
                if let Some(packet) = bytes.get(..end) {
                    self.handle_rtp(key, packet, received);
                }
            }
            Ok(Inbound::Rtcp(len)) => {
                if let Some(compound) = bytes.get(..len) {
                    self.handle_rtcp(key, compound, now);
                }
            }
            Err(rejected) => self.counters.dropped(rejected.name()),
        }
    }

    fn find_by_ufrag(&self, bytes: &[u8]) -> Option<PeerKey> {
        let message = StunMessage::parse(bytes).ok()?;
        // RFC 8445 §7.2.2: our user fragment, a colon, the peer's.
        let username = std::str::from_utf8(message.username()?).ok()?;
        let (ufrag, _) = username.split_once(':')?;
        self.by_ufrag.get(ufrag).copied()
    }

    /// Answers a binding request without credentials (RFC 8489 §2: the node is the STUN server of its own clients),
    /// at a bounded rate. Everything else that reaches here is counted and dropped.
    fn answer_plain_binding(&mut self, bytes: &[u8], path: &crate::transport::Path, now: Timestamp) {
        let Ok(message) = StunMessage::parse(bytes) else {
            self.counters.dropped("stun_malformed");
            return;
        };
        if let Some(username) = message.username() {
            let other_worker = std::str::from_utf8(username)
                .ok()
                .and_then(|name| placement::worker_of(name.split(':').next().unwrap_or_default()))
                .is_some_and(|worker| worker != self.config.index);
            self.counters.dropped(if other_worker { "stun_wrong_worker" } else { "stun_unknown_user" });
            return;
        }
        if message.class() != StunClass::Request || message.method() != stun::BINDING {
            self.counters.dropped("stun_not_a_request");
            return;
        }
        if now.since(self.binding_credit_at).as_secs() >= 1 {
            self.binding_credit_at = now;
            self.binding_credit = limits::PLAIN_BINDINGS_PER_SECOND_MAX;
        }
        if self.binding_credit == 0 || !self.out.has_room(limits::STUN_REPLY_BYTES_MAX) {
            self.counters.dropped("plain_bindings_over_rate");
            return;
        }
        self.binding_credit -= 1;
        let reply = StunWriter::binding_success(self.out.slot(), message.transaction_id())
            .xor_mapped_address(path.remote)
            .fingerprint()
            .finish();
        if let Some(len) = reply {
            self.out.commit(path, len);
        }
    }

    /// Acts on what a session has to tell.
    pub(super) fn handle_session_events(&mut self, key: PeerKey, now: Timestamp) {
        while let Some(peer) = self.peers.get_mut(key)
            && let Some(event) = peer.session.poll_event()
        {
            match event {
                SessionEvent::PathAdded(path) => self.flows.insert(path, key),
                SessionEvent::PathRemoved(path) => self.flows.remove(&path, key),
                SessionEvent::Moved => {
                    // A peer that nominates two paths in turn must not choose how many notices there are.
                    if peer.moved_told.is_none_or(|told| now.since(told) >= limits::MOVED_NOTICE_INTERVAL) {
                        peer.moved_told = Some(now);
                        let session = peer.id;
                        self.notify(Notice::Moved { session });
                    }
                }
                SessionEvent::Connected => {
                    let session = peer.id;
                    self.handshake_over(key);
                    self.counters.connected += 1;
                    self.notify(Notice::Connected { session });
                    self.start_viewer(key, now);
                }
                SessionEvent::Closed => self.end_peer(key, EndReason::PeerClosed, now),
                SessionEvent::Failed(error) => {
                    let reason = match error {
                        crate::dtls::DtlsError::FingerprintMismatch => EndReason::FingerprintMismatch,
                        _ => EndReason::DtlsFailed,
                    };
                    self.end_peer(key, reason, now);
                }
                // No worker begins a second epoch yet.
                SessionEvent::EpochConnected(_) | SessionEvent::EpochFailed(..) | SessionEvent::EpochEnded(_) => {}
            }
        }
        if let Some(peer) = self.peers.get_mut(key)
            && let Some(retired) = peer.session.retired_ufrag()
        {
            self.by_ufrag.remove(&retired);
        }
    }

    /// Takes a publisher's packet. Its time is the kernel's, not the round's: bandwidth estimation and jitter measure
    /// the network, and a worker's own delay must not be taken for the network's.
    fn handle_rtp(&mut self, key: PeerKey, packet: &[u8], received: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Role::Publisher(publication) = &mut peer.role else {
            self.counters.dropped("media_from_viewer");
            return;
        };
        let Ok(packet) = RtpPacket::parse(packet) else {
            self.counters.dropped("rtp_malformed");
            return;
        };
        let stream = peer.stream;
        let (streams, lanes) = (&mut self.streams, &mut self.lanes);
        let kinds: [Option<crate::description::MediaKind>; limits::TRACKS_PER_SESSION_MAX] =
            std::array::from_fn(|track| publication.tracks.get(track).map(|track| track.kind));
        let result = publication.receive(&packet, received, |track, record| {
            let Some(kind) = kinds.get(track).copied().flatten() else { return };
            let encoding = EncodingKey { stream, encoding: encoding_index(kind) };
            super::publisher::distribute(streams, lanes, encoding, &record);
        });
        if let Err(reason) = result {
            self.counters.dropped(not_forwarded_name(reason));
        }
        self.arm(key);
    }

    fn handle_rtcp(&mut self, key: PeerKey, compound: &[u8], now: Timestamp) {
        let mut handled = 0;
        for packet in rtcp::packets(compound) {
            handled += 1;
            if handled > limits::RTCP_PACKETS_PER_COMPOUND_MAX {
                self.counters.dropped("rtcp_compound_too_long");
                return;
            }
            let Ok(packet) = packet else {
                self.counters.dropped("rtcp_malformed");
                return;
            };
            let is_publisher = self.peers.get(key).is_some_and(|peer| matches!(peer.role, Role::Publisher(_)));
            if is_publisher {
                self.handle_publisher_rtcp(key, &packet, now);
            } else {
                self.handle_viewer_rtcp(key, &packet, now);
            }
        }
    }

    /// Ends a session: BYE and a close alert are queued, everything it held is released, signalling is told.
    pub(super) fn end_peer(&mut self, key: PeerKey, reason: EndReason, now: Timestamp) {
        self.send_goodbye(key);
        self.handshake_over(key);
        let Some(mut peer) = self.peers.remove(key) else { return };
        peer.session.close(&mut self.out, now);
        for path in peer.session.ice().paths() {
            self.flows.remove(path, key);
        }
        self.by_session.remove(&peer.id);
        self.by_ufrag.remove(peer.session.ice().local_ufrag());
        if let Some(previous) = peer.session.ice().previous_ufrag() {
            self.by_ufrag.remove(previous);
        }
        let peers = &self.peers;
        if let Some(stream) = self.streams.get_mut(peer.stream) {
            match &peer.role {
                Role::Publisher(_) if stream.publisher == Some(key) => stream.publisher = None,
                Role::Publisher(_) => {}
                Role::Viewer(viewer) => {
                    stream.viewer_left(|key| peers.contains_key(key));
                    // The counter outlives whom it counted.
                    self.counters.cursor_skips +=
                        viewer.tracks.iter().map(|track| track.subscription.skips).sum::<u64>();
                }
            }
        }
        self.streams.drop_if_unused(peer.stream);
        self.counters.ended(reason);
        self.notify(Notice::Ended { session: peer.id, reason, totals: peer.totals() });
    }

    fn send_goodbye(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let mut sources = [0u32; limits::TRACKS_PER_SESSION_MAX];
        let mut count = 0;
        let mut add = |ssrc| {
            if let Some(slot) = sources.get_mut(count) {
                *slot = ssrc;
                count += 1;
            }
        };
        match &peer.role {
            Role::Publisher(publication) => add(publication.feedback_ssrc),
            Role::Viewer(viewer) => viewer.tracks.iter().for_each(|track| add(track.subscription.ssrc())),
        }
        let Some(sources) = sources.get(..count) else { return };
        peer.session.send_rtcp(&mut self.out, |slot| feedback::goodbye(slot, sources));
    }
}

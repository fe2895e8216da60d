//! A session's life on its worker: it is opened, it tells what happened to it, it ends.
//!
//! Datagrams, control messages and timers all lead here; each lends the parts that a session's life changes.

use crate::crypto::random::Random;
use crate::description::Direction;
use crate::dtls::DtlsError;
use crate::limits;
use crate::relay::store::numbers::EncodingSet;
use crate::session::SessionEvent;
use crate::time::Timestamp;
use crate::worker::compound_rtcp;
use crate::worker::mailbox::{EndReason, Notice, OpenRefused, OpenSession, Origin};
use crate::worker::outbox::Outbox;
use crate::worker::peer::{Peer, PeerKey, Role};
use crate::worker::reason::DropReason;
pub(super) use crate::worker::transports::Lifecycle;

impl Lifecycle<'_> {
    /// Opens a session that waits for its first connectivity check.
    ///
    /// # Errors
    /// The worker has as many sessions, or as many that are not connected yet, as it may.
    pub(super) fn open(
        &mut self,
        request: OpenSession,
        random: &mut dyn Random,
        now: Timestamp,
    ) -> Result<PeerKey, OpenRefused> {
        if self.peers.sessions() >= self.config.sessions_max {
            return Err(OpenRefused::Full);
        }
        if !self.handshakes.has_place() {
            return Err(OpenRefused::TooManyHandshakes);
        }
        let (id, direction) = (request.session, request.description.direction);
        let (stream_key, _) = self.streams.get_or_create(request.stream, &request.stream_name);
        let mut peer = self.make_transport(request, stream_key, 0, random, now);
        let published: EncodingSet = match &peer.role {
            Role::Publisher(publication) => publication.tracks.iter().map(|track| track.encoding).collect(),
            Role::Viewer(_) => EncodingSet::NONE,
        };
        self.handshakes.began(&mut peer);
        let key = self.peers.insert(peer);
        if let Some(stream) = self.streams.get_mut(stream_key) {
            match direction {
                Direction::Publish => {
                    stream.publisher = Some(key);
                    stream.next_publisher = None;
                    stream.origin = Some(Origin::Worker(self.config.index));
                    self.streams.publication_began(stream_key, published.iter());
                }
                Direction::Play => stream.viewers += 1,
            }
        }
        self.counters.session_opened();
        self.mail.notify(Notice::Opened { session: id, worker: self.config.index });
        self.peers.arm(key);
        Ok(key)
    }

    /// Acts on what a session has to tell.
    pub(super) fn handle_events(&mut self, key: PeerKey, now: Timestamp) {
        while let Some(peer) = self.peers.get_mut(key)
            && let Some(event) = peer.session.poll_event()
        {
            match event {
                SessionEvent::PathAdded(path) => {
                    self.peers.claim_path(path, key);
                }
                SessionEvent::PathRemoved(path) => self.peers.remove_path(path, key),
                SessionEvent::Moved => {
                    // A peer that nominates two paths in turn must not choose how many notices there are.
                    if peer.moved_told.is_none_or(|told| now.since(told) >= limits::MOVED_NOTICE_INTERVAL) {
                        peer.moved_told = Some(now);
                        self.mail.notify(Notice::Moved { session: peer.id });
                    }
                }
                SessionEvent::Connected if peer.rekeying.is_new() => self.new_transport_connected(key, now),
                SessionEvent::Connected => {
                    self.mail.notify(Notice::Connected { session: peer.id });
                    self.connected(key, now);
                }
                SessionEvent::EpochConnected(_) => self.keys_changed_in_place(key, now),
                SessionEvent::EpochFailed(..) => self.keys_stay_in_place(key),
                SessionEvent::EpochEnded(_) => {}
                SessionEvent::Closed => self.end(key, EndReason::PeerClosed, now),
                SessionEvent::Failed(error) => self.end(key, why_dtls_failed(error), now),
            }
        }
        if let Some(peer) = self.peers.get_mut(key) {
            let withheld = peer.session.take_withheld();
            self.counters.dropped_many(DropReason::PathUnproven, withheld.into());
        }
        while let Some(peer) = self.peers.get_mut(key)
            && let Some(retired) = peer.session.retired_ufrag()
        {
            self.peers.remove_ufrag(&retired);
        }
    }

    /// Ends a session: BYE and a close alert are queued, everything it held is released, signalling is told.
    pub(super) fn end(&mut self, key: PeerKey, reason: EndReason, now: Timestamp) {
        if self.other_transport_goes_on(key, reason, now) {
            return;
        }
        let Some(mut peer) = self.peers.remove(key) else { return };
        send_goodbye(&mut peer, self.outbox);
        self.release_transport(key, &mut peer, now);
        let peers = &*self.peers;
        if let Some(stream) = self.streams.get_mut(peer.stream) {
            match &peer.role {
                Role::Publisher(_) if stream.publisher == Some(key) => {
                    stream.publisher = None;
                    stream.next_publisher = None;
                }
                Role::Publisher(_) => {}
                Role::Viewer(_) => stream.viewer_left(|key| peers.contains(key)),
            }
        }
        self.streams.drop_if_unused(peer.stream);
        self.peers.ended(peer.id);
        self.counters.ended(reason);
        self.mail.notify(Notice::Ended { session: peer.id, reason, totals: peer.totals() });
    }
}

/// The end of a session whose DTLS has failed.
fn why_dtls_failed(error: DtlsError) -> EndReason {
    match error {
        DtlsError::FingerprintMismatch => EndReason::FingerprintMismatch,
        DtlsError::NoCommonProfile => EndReason::DtlsNoProfile,
        DtlsError::NoCommonVersion => EndReason::DtlsNoVersion,
        DtlsError::NoCommonParameters => EndReason::DtlsNoParameters,
        DtlsError::NoCertificate => EndReason::DtlsNoCertificate,
        DtlsError::UnsupportedCertificate => EndReason::DtlsCertificate,
        DtlsError::MessageTooLong => EndReason::DtlsTooLong,
        DtlsError::PeerAlert(_) => EndReason::DtlsRefused,
        DtlsError::Timeout | DtlsError::PeerMisbehaved | DtlsError::Internal => EndReason::DtlsFailed,
    }
}

fn send_goodbye(peer: &mut Peer, outbox: &mut Outbox) {
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
        Role::Viewer(playback) => playback.tracks.iter().for_each(|track| add(track.subscription.ssrc())),
    }
    let Some(sources) = sources.get(..count) else { return };
    peer.session.send_rtcp(outbox.batch(), |slot| compound_rtcp::goodbye(slot, sources));
}

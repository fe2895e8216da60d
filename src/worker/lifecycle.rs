//! A session's life on its worker: it is opened, it tells what happened to it, it ends.
//!
//! Datagrams, control messages and timers all lead here; each lends the parts that a session's life changes.

use crate::crypto::random::Random;
use crate::description::Direction;
use crate::dtls::DtlsError;
use crate::limits;
use crate::relay::publish::ceiling::Ceiling;
use crate::relay::publish::publication::Publication;
use crate::relay::store::numbers::EncodingSet;
use crate::session::{Session, SessionEvent};
use crate::time::Timestamp;
use crate::worker::compound_rtcp;
use crate::worker::config::WorkerConfig;
use crate::worker::counters::Counters;
use crate::worker::handshakes::Handshakes;
use crate::worker::mail::Mail;
use crate::worker::mailbox::{EndReason, Notice, OpenRefused, OpenSession, Origin};
use crate::worker::outbound::ladder;
use crate::worker::outbox::Outbox;
use crate::worker::peer::{Peer, PeerKey, Playback, Role, Subscriber};
use crate::worker::peer_channels::PeerChannels;
use crate::worker::peers::Peers;
use crate::worker::reason::DropReason;
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;
use crate::worker::tracks::track_of;

/// What a session's life changes.
pub(super) struct Lifecycle<'a> {
    pub(super) config: &'a WorkerConfig,
    pub(super) peers: &'a mut Peers,
    pub(super) streams: &'a mut Streams,
    pub(super) handshakes: &'a mut Handshakes,
    pub(super) mail: &'a mut Mail,
    pub(super) outbox: &'a mut Outbox,
    pub(super) counters: &'a mut Counters,
}

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
        if self.peers.len() >= self.config.sessions_max {
            return Err(OpenRefused::Full);
        }
        if !self.handshakes.has_place() {
            return Err(OpenRefused::TooManyHandshakes);
        }
        let OpenSession { session: id, stream: stream_id, stream_name, local_ice, identity, description, .. } = request;
        let role = match description.direction {
            Direction::Publish => {
                let feedback_ssrc = random.u32();
                let mut publication = Publication::new(&description.media, id.0, feedback_ssrc);
                publication.ceiling = Ceiling::new(self.config.publisher_bits_per_second_max);
                for track in &mut publication.tracks {
                    let stream_track = track_of(track.kind);
                    track.encoding = stream_track.encoding(track.rid_place).unwrap_or(stream_track.only_encoding());
                }
                Role::Publisher(Box::new(publication))
            }
            Direction::Play => Role::Viewer(Playback::new(&description, || random.u64(), now)),
        };
        let mut ice_secret = [0; limits::ICE_SECRET_BYTES];
        random.fill(&mut ice_secret);
        let mut session = Session::new(
            local_ice,
            description.remote_ice,
            description.dtls_role,
            description.remote_fingerprints,
            ice_secret,
            now,
        );
        let data = description.data.map(|terms| {
            session.carry_data();
            Box::new(PeerChannels::new(terms, description.dtls_role, description.direction, random.u64(), now))
        });
        let published = match &role {
            Role::Publisher(publication) => publication.tracks.iter().map(|track| track.encoding).collect(),
            Role::Viewer(_) => EncodingSet::NONE,
        };
        let (stream_key, stream) = self.streams.get_or_create(stream_id, &stream_name);
        let mut peer = Peer::new(id, stream_key, session, identity, role, description.cname, now);
        peer.data = data;
        self.handshakes.began(&mut peer);
        let key = self.peers.insert(peer);
        match description.direction {
            Direction::Publish => {
                stream.publisher = Some(key);
                stream.origin = Some(Origin::Worker(self.config.index));
                self.streams.publication_began(stream_key, published.iter());
            }
            Direction::Play => stream.viewers += 1,
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
                SessionEvent::Connected => {
                    self.mail.notify(Notice::Connected { session: peer.id });
                    self.connected(key, now);
                }
                // No worker begins a second epoch yet.
                SessionEvent::EpochConnected(_) | SessionEvent::EpochFailed(..) | SessionEvent::EpochEnded(_) => {}
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

    /// The keys are there: a viewer's tracks take their places among those to be visited.
    pub(super) fn connected(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Some(data) = &mut peer.data {
            data.connected(now);
        }
        self.handshakes.over(peer);
        self.counters.session_connected();
        let stream = peer.stream;
        let Role::Viewer(playback) = &mut peer.role else { return };
        for (index, track) in playback.tracks.iter_mut().enumerate().filter(|(_, track)| !track.is_paused) {
            let ladder = self.streams.get(stream).map(|stream| stream.ladder_for(track)).unwrap_or_default();
            if let Some(encoding) = ladder::due(&ladder, ladder::begins_with(track, &ladder)) {
                track.begin_with(encoding);
            }
            let encoding = EncodingKey { stream, encoding: track.encoding() };
            track.listed.insert(encoding.encoding);
            self.streams.demand_moved(stream, EncodingSet::NONE, track.wants());
            self.streams.add_subscriber(encoding, Subscriber { peer: key, track: index as u8 });
        }
    }

    /// Takes what a peer's session has received for its data channels.
    pub(super) fn take_data(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Some(data) = &mut peer.data
            && data.take_records(&mut peer.session, self.counters, now)
        {
            self.streams.channel_work.list(key, data);
        }
    }

    /// A peer's data channels may have something to do.
    pub(super) fn list_channels(&mut self, key: PeerKey) {
        if let Some(data) = self.peers.get_mut(key).and_then(|peer| peer.data.as_deref_mut()) {
            self.streams.channel_work.list(key, data);
        }
    }

    /// A peer with data channels leaves.
    fn end_channels(&mut self, key: PeerKey, peer: &Peer, now: Timestamp) {
        match peer.role {
            Role::Publisher(_) => {
                if !self.streams.end_channels(peer.stream, peer.id.0, now) {
                    self.counters.dropped(DropReason::DataDeparturesFull);
                }
            }
            Role::Viewer(_) => {
                if let Some(channels) = self.streams.channels_mut(peer.stream) {
                    channels.leave(key);
                }
            }
        }
    }

    /// Ends a session: BYE and a close alert are queued, everything it held is released, signalling is told.
    pub(super) fn end(&mut self, key: PeerKey, reason: EndReason, now: Timestamp) {
        let Some(mut peer) = self.peers.remove(key) else { return };
        send_goodbye(&mut peer, self.outbox);
        self.handshakes.over(&mut peer);
        peer.session.close(self.outbox.batch(), now);
        if peer.data.is_some() {
            self.end_channels(key, &peer, now);
        }
        if let Role::Viewer(playback) = &peer.role {
            for track in &playback.tracks {
                self.streams.demand_moved(peer.stream, track.wants(), EncodingSet::NONE);
            }
        }
        let peers = &*self.peers;
        if let Some(stream) = self.streams.get_mut(peer.stream) {
            match &peer.role {
                Role::Publisher(_) if stream.publisher == Some(key) => stream.publisher = None,
                Role::Publisher(_) => {}
                Role::Viewer(playback) => {
                    stream.viewer_left(|key| peers.contains(key));
                    self.counters.cursor_skips_of_departed(playback.skips());
                }
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

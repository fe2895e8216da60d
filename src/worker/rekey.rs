//! A session's keys change: it gets a second transport, with ICE credentials, DTLS, SRTP keys and numbers of its own, and the
//! first one ends when that one is in use (make before break).
//!
//! ```text
//!   Control::Rekey     connected                 Control::Switched, or EPOCH_OVERLAP_MAX
//! old ──────────▶ old + new ──▶ both carry media ──────────────────────────────────────▶ new
//!                     └── never connected, DTLS failed, given up: old goes on
//! ```
//!
//! Each transport is a [`Peer`] of its own, because a client's second connection has sources, sequence numbers, bandwidth
//! and data channels of its own; a [`crate::session::Session`] shares none of that between its epochs. What makes them one
//! session is here: one number, which names the old one until it ends; one entry in reports, limits and counts; one
//! [`Notice::Ended`], with what all of its transports carried.
//!
//! A viewer's new transport begins as a join does, at the key frame in the ring; it is sent what the old one was sent, with the same
//! RTP timestamps, so that the viewer knows which of two pictures is the later one.
//! A publisher's goes over encoding by encoding ([`super::next_publisher`]).
//!
//! When a transport ends it is dropped with its keys, which are wiped then. Nothing is sealed under them afterwards.

use crate::crypto::random::Random;
use crate::limits;
use crate::relay::play::wish::Wish;
use crate::relay::store::numbers::{EncodingId, EncodingSet, TrackId};
use crate::session::SessionState;
use crate::time::Timestamp;
use crate::worker::mailbox::{EndReason, Notice, OpenSession, RekeyRefused, Rekeyed, SessionId};
use crate::worker::next_publisher::NextPublisher;
use crate::worker::outbound::{key_frame_requests, layers_told};
use crate::worker::peer::{Peer, PeerKey, Rekeying, Role};
use crate::worker::stream::EncodingKey;
use crate::worker::transports::Lifecycle;

/// What a viewer's track on a new transport takes over from the old one.
struct Inherited {
    track: TrackId,
    wish: Wish,
    is_paused: bool,
    is_withheld: bool,
    chosen: Option<EncodingId>,
    encoding: EncodingId,
    timestamp_offset: u32,
}

impl Lifecycle<'_> {
    /// Gives a session a second transport, which waits for its first connectivity check.
    ///
    /// # Errors
    /// Why not. Nothing has changed then.
    pub(super) fn begin_rekey(
        &mut self,
        request: OpenSession,
        random: &mut dyn Random,
        now: Timestamp,
    ) -> Result<(), RekeyRefused> {
        let old_key = self.peers.find_session(request.session).ok_or(RekeyRefused::NotConnected)?;
        let is_busy =
            self.peers.len() - self.peers.sessions() >= limits::REKEYS_PER_WORKER_MAX || !self.handshakes.may_rekey();
        let old = self.peers.get_mut(old_key).ok_or(RekeyRefused::NotConnected)?;
        let is_publisher = matches!(old.role, Role::Publisher(_));
        if old.session.state() != SessionState::Connected {
            return Err(RekeyRefused::NotConnected);
        }
        if old.rekeying != Rekeying::No {
            return Err(RekeyRefused::UnderWay);
        }
        if is_busy {
            self.counters.rekeyed(Rekeyed::Refused);
            return Err(RekeyRefused::Busy);
        }
        let (stream, serial, rekeys) = (old.stream, old.next_serial, old.rekeys + 1);
        old.next_serial += 1;
        let mut new = self.make_transport(request, stream, serial, random, now);
        if matches!(new.role, Role::Publisher(_)) != is_publisher {
            // Signalling asks for the same direction.
            return Err(RekeyRefused::NotConnected);
        }
        new.rekeys = rekeys;
        new.rekeying = Rekeying::New { old: old_key, overlap_ends: None };
        self.handshakes.began(&mut new);
        let encodings: EncodingSet = match &new.role {
            Role::Publisher(publication) => publication.tracks.iter().map(|track| track.encoding).collect(),
            Role::Viewer(_) => EncodingSet::NONE,
        };
        let key = self.peers.insert_new_transport(new);
        if let Some(old) = self.peers.get_mut(old_key) {
            old.rekeying = Rekeying::Old { new: key };
        }
        if let Some(stream) = self.streams.get_mut(stream).filter(|_| is_publisher) {
            encodings.iter().for_each(|encoding| _ = stream.ensure(encoding));
            stream.next_publisher = Some(Box::new(NextPublisher::new(key, encodings, now)));
        }
        self.peers.arm(key);
        Ok(())
    }

    /// A session's second transport has its keys: both carry media from now on.
    pub(super) fn new_transport_connected(&mut self, key: PeerKey, now: Timestamp) {
        let Some(Rekeying::New { old, .. }) = self.peers.get(key).map(|peer| peer.rekeying) else { return };
        let inherited = self.peers.get(old).map(inherited).unwrap_or_default();
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.rekeying = Rekeying::New { old, overlap_ends: Some(now + limits::EPOCH_OVERLAP_MAX) };
        if let Some(next) = self.streams.get_mut(peer.stream).and_then(|stream| stream.next_publisher.as_deref_mut())
            && next.key == key
        {
            next.connected(now);
        }
        if let Role::Viewer(playback) = &mut peer.role {
            for Inherited { track, wish, is_paused, is_withheld, chosen, encoding, timestamp_offset } in inherited {
                let Some(track) = playback.tracks.iter_mut().find(|other| other.track == track) else { continue };
                (track.wish, track.is_paused, track.is_withheld, track.chosen) = (wish, is_paused, is_withheld, chosen);
                track.begin_with(encoding);
                track.subscription.begin_with_timestamp_offset(timestamp_offset);
            }
        }
        self.connected(key, now);
    }

    /// The client uses its new transport.
    pub(super) fn switched(&mut self, session: SessionId, now: Timestamp) {
        if let Some(new) = self.new_transport_of(session)
            && self.is_connected(new)
        {
            self.switch_transport(new, Rekeyed::Switched, now);
        }
    }

    /// The client does without its new transport.
    pub(super) fn abandon_rekey(&mut self, session: SessionId, now: Timestamp) {
        if let Some(new) = self.new_transport_of(session) {
            self.end_new_transport(new, Rekeyed::Abandoned, now);
        }
    }

    fn new_transport_of(&self, session: SessionId) -> Option<PeerKey> {
        match self.peers.get(self.peers.find_session(session)?)?.rekeying {
            Rekeying::Old { new } => Some(new),
            Rekeying::No | Rekeying::New { .. } => None,
        }
    }

    fn is_connected(&self, key: PeerKey) -> bool {
        self.peers.get(key).is_some_and(|peer| peer.session.state() == SessionState::Connected)
    }

    /// When something last came from a session's peer, on whichever transport.
    pub(super) fn last_heard(&self, session: SessionId) -> Option<Timestamp> {
        let first = self.peers.find_session(session)?;
        let keys = [Some(first), self.new_transport_of(session)].into_iter().flatten();
        keys.filter_map(|key| self.peers.get(key)).map(|peer| peer.session.last_heard()).max()
    }

    /// Looks at a session's second transport because its time has come.
    pub(super) fn look_after_rekey(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.rekeying.is_new()) else { return };
        let is_over = peer.overlap_ends().is_some_and(|ends| ends <= now);
        let next = self.streams.get_mut(peer.stream).and_then(|stream| stream.next_publisher.as_deref_mut());
        let next = next.filter(|next| next.key == key);
        if is_over {
            let brings_nothing = next.is_some_and(|next| !next.has_any());
            match brings_nothing {
                true => self.end_new_transport(key, Rekeyed::NoKeyFrame, now),
                false => self.switch_transport(key, Rekeyed::OverlapOver, now),
            }
            return;
        }
        if let Some(next) = next.filter(|_| peer.session.state() == SessionState::Connected)
            && !next.has_all()
            && next.asks(now)
        {
            for encoding in next.missing().iter() {
                key_frame_requests::request(peer, encoding, self.outbox);
            }
        }
    }

    /// Asks a session's client for other keys when its own are old or used up. What does not follow is asked again, ever more
    /// rarely, and plays on; but under no key more is sent than may be: returns whether its keys are used up.
    pub(super) fn look_after_keys(&mut self, key: PeerKey, now: Timestamp) -> bool {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.session.state() == SessionState::Connected) else {
            return false;
        };
        let (policy, epoch) = (self.config.keys, peer.session.epoch());
        let used = epoch.sealed_packets().max(epoch.opened_packets());
        if used >= policy.packets_max {
            return true;
        }
        let is_worn = used >= policy.packets_max - policy.packets_max / 8;
        let is_due = match peer.ask_for_keys {
            Some(at) => at <= now || is_worn && peer.asked_for_keys == 0,
            None => is_worn,
        };
        if !is_due {
            return false;
        }
        if peer.rekeying != Rekeying::No || !self.handshakes.may_ask_for_keys(now) {
            peer.ask_for_keys = Some(now + limits::REKEY_POSTPONED);
            return false;
        }
        let pause = limits::REKEY_WITHIN * (1 << peer.asked_for_keys.min(6));
        peer.ask_for_keys = Some(now + pause);
        peer.asked_for_keys = peer.asked_for_keys.saturating_add(1);
        self.mail.notify(Notice::KeysDue { session: peer.id, is_first: peer.asked_for_keys == 1 });
        false
    }

    /// The new transport takes the session over, and the old one ends with its keys. Its peer is told by a close alert only.
    pub(super) fn switch_transport(&mut self, new: PeerKey, outcome: Rekeyed, now: Timestamp) {
        let Some(Rekeying::New { old, .. }) = self.peers.get(new).map(|peer| peer.rekeying) else { return };
        let Some(mut before) = self.remove_transport(old, now) else { return };
        let Some(peer) = self.peers.get_mut(new) else { return };
        peer.rekeying = Rekeying::No;
        peer.former = before.totals();
        let (session, stream) = (peer.id, peer.stream);
        if let (Role::Viewer(was), Role::Viewer(is)) = (&mut before.role, &mut peer.role) {
            // Told anew: it may be sent something else.
            is.told = was.told.take().map(|_| Box::default());
        }
        let is_publisher = matches!(peer.role, Role::Publisher(_));
        if is_publisher && let Some(data) = &mut peer.data {
            data.connected(now);
        }
        self.peers.name(session, new);
        if is_publisher {
            self.pass_stream(stream, new);
        }
        self.told_outcome(session, outcome);
        // A viewer's channels that waited for the old one's wait no more.
        self.list_channels(new);
        self.peers.arm(new);
        layers_told::tell(new, self.peers, self.streams, self.mail);
    }

    /// A publisher's new transport has the stream. What it has not brought a key frame of is asked for where it is wanted.
    fn pass_stream(&mut self, key: crate::worker::peer::StreamKey, new: PeerKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.publisher = Some(new);
        let missing = stream.next_publisher.as_ref().map(|next| next.missing()).unwrap_or_default();
        if missing.is_empty() {
            stream.next_publisher = None;
        }
        for encoding in missing.iter() {
            self.streams.want_key_frame(EncodingKey { stream: key, encoding });
        }
    }

    /// A session's second transport ends, and the first one goes on.
    pub(super) fn end_new_transport(&mut self, new: PeerKey, outcome: Rekeyed, now: Timestamp) {
        let Some(Rekeying::New { old, .. }) = self.peers.get(new).map(|peer| peer.rekeying) else { return };
        let Some(peer) = self.remove_transport(new, now) else { return };
        let (session, stream) = (peer.id, peer.stream);
        let next =
            self.streams.get_mut(stream).and_then(|stream| stream.next_publisher.take_if(|next| next.key == new));
        let taken_back = next.map(|next| next.passed()).unwrap_or_default();
        if let Some(old) = self.peers.get_mut(old) {
            old.rekeying = Rekeying::No;
            old.former = old.former.plus(peer.totals());
            if let Some(data) = &mut old.data {
                // Its channels are its own again.
                data.is_replaced = false;
            }
            if let Role::Publisher(publication) = &mut old.role {
                taken_back.iter().for_each(|encoding| publication.begin_anew(encoding));
            }
        }
        // What the old one has sent of these meanwhile was dropped: viewers go on with its next key frame.
        for encoding in taken_back.iter() {
            self.streams.interrupt(EncodingKey { stream, encoding });
        }
        self.told_outcome(session, outcome);
    }

    fn told_outcome(&mut self, session: SessionId, outcome: Rekeyed) {
        self.counters.rekeyed(outcome);
        self.mail.notify(Notice::Rekeyed { session, outcome });
    }

    /// Takes one of a session's transports out: a close alert is queued, and everything it held is released. What belongs to
    /// the session stays.
    fn remove_transport(&mut self, key: PeerKey, now: Timestamp) -> Option<Peer> {
        let mut peer = self.peers.remove(key)?;
        self.release_transport(key, &mut peer, now);
        let other = match peer.rekeying {
            Rekeying::Old { new: other } | Rekeying::New { old: other, .. } => Some(other),
            Rekeying::No => None,
        };
        self.peers.leave_relays(&peer, other);
        let peers = &*self.peers;
        if let Some(stream) = self.streams.get_mut(peer.stream) {
            stream.sweep(|key| peers.contains(key));
        }
        Some(peer)
    }

    /// Whether the end of one transport for `reason` is settled here, because its session has another one.
    pub(super) fn other_transport_goes_on(&mut self, key: PeerKey, reason: EndReason, now: Timestamp) -> bool {
        match self.peers.get(key).map(|peer| peer.rekeying) {
            Some(Rekeying::New { .. }) => {
                self.end_new_transport(key, outcome_of(reason), now);
                true
            }
            Some(Rekeying::Old { new }) if is_of_transport(reason) && self.is_connected(new) => {
                self.switch_transport(new, Rekeyed::OldEnded, now);
                true
            }
            Some(Rekeying::Old { new }) => {
                self.end_new_transport(new, Rekeyed::SessionEnded, now);
                false
            }
            Some(Rekeying::No) | None => false,
        }
    }
}

/// What a viewer's tracks hand on.
fn inherited(old: &Peer) -> Vec<Inherited> {
    let Role::Viewer(playback) = &old.role else { return Vec::new() };
    let tracks = playback.tracks.iter().map(|track| Inherited {
        track: track.track,
        wish: track.wish,
        is_paused: track.is_paused,
        is_withheld: track.is_withheld,
        chosen: track.chosen,
        timestamp_offset: track.subscription.timestamp_offset(),
        encoding: match track.kind {
            crate::description::MediaKind::Video => track.encoding(),
            // Whether its sound is repeated is found out anew.
            crate::description::MediaKind::Audio => track.track.only_encoding(),
        },
    });
    tracks.collect()
}

/// Whether a session ends because nothing comes by its transport, and not because somebody wants it to end.
const fn is_of_transport(reason: EndReason) -> bool {
    matches!(
        reason,
        EndReason::PeerClosed
            | EndReason::TimedOut
            | EndReason::DtlsFailed
            | EndReason::DtlsRefused
            | EndReason::KeysUsedUp
    )
}

const fn outcome_of(reason: EndReason) -> Rekeyed {
    match reason {
        EndReason::NeverConnected => Rekeyed::NeverConnected,
        EndReason::PeerClosed | EndReason::TimedOut => Rekeyed::Abandoned,
        EndReason::FingerprintMismatch
        | EndReason::DtlsNoProfile
        | EndReason::DtlsNoVersion
        | EndReason::DtlsNoParameters
        | EndReason::DtlsNoCertificate
        | EndReason::DtlsCertificate
        | EndReason::DtlsTooLong
        | EndReason::DtlsRefused
        | EndReason::DtlsFailed => Rekeyed::DtlsFailed,
        EndReason::Left
        | EndReason::ShuttingDown
        | EndReason::Operator
        | EndReason::NoPublisher
        | EndReason::LeaveExpired
        | EndReason::SignallingLost
        | EndReason::KeysUsedUp
        | EndReason::KeysTooOld
        | EndReason::Replaced => Rekeyed::SessionEnded,
    }
}

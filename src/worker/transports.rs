//! A transport of a session on its worker: it is made, it is connected, it is released. What both an ordinary session's life
//! ([`super::lifecycle`]) and a change of its keys ([`super::rekey`]) are made of.

use std::time::Duration;

use crate::crypto::random::Random;
use crate::description::Direction;
use crate::limits;
use crate::relay::publish::ceiling::Ceiling;
use crate::relay::publish::publication::Publication;
use crate::relay::store::numbers::EncodingSet;
use crate::session::Session;
use crate::time::Timestamp;
use crate::worker::config::WorkerConfig;
use crate::worker::counters::Counters;
use crate::worker::handshakes::Handshakes;
use crate::worker::mail::Mail;
use crate::worker::mailbox::OpenSession;
use crate::worker::outbound::ladder;
use crate::worker::outbox::Outbox;
use crate::worker::peer::{Peer, PeerKey, Playback, Role, StreamKey, Subscriber};
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
    /// Makes the `serial`-th transport of a session, which waits for its first connectivity check.
    pub(super) fn make_transport(
        &self,
        request: OpenSession,
        stream: StreamKey,
        serial: u64,
        random: &mut dyn Random,
        now: Timestamp,
    ) -> Peer {
        let OpenSession { session: id, local_ice, identity, description, .. } = request;
        let role = match description.direction {
            Direction::Publish => {
                let feedback_ssrc = random.u32();
                let mut publication =
                    Publication::new(&description.media, id.0.wrapping_add(serial << 32), feedback_ssrc);
                publication.ceiling = Ceiling::new(self.config.publisher_bits_per_second_max);
                for track in &mut publication.tracks {
                    let stream_track = track_of(track.kind);
                    track.encoding = stream_track.encoding(track.rid_place).unwrap_or(stream_track.only_encoding());
                }
                Role::Publisher(Box::new(publication))
            }
            Direction::Play => Role::Viewer(Playback::new(&description, || random.u64(), now)),
        };
        let fingerprints = if self.config.keys.in_place { description.remote_fingerprints.clone() } else { Vec::new() };
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
        if self.config.keys.in_place && description.data.is_none() {
            session.allow_in_place(fingerprints);
        }
        let data = description.data.map(|terms| {
            session.carry_data();
            Box::new(PeerChannels::new(terms, description.dtls_role, description.direction, random.u64(), now))
        });
        let mut peer = Peer::new(id, stream, session, identity, role, description.cname, now);
        peer.data = data;
        (peer.serial, peer.next_serial) = (serial, serial + 1);
        peer
    }

    /// The keys are there: a viewer's tracks take their places among those to be visited.
    pub(super) fn connected(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let is_new_transport = peer.rekeying.is_new();
        // The channels of a publisher's new transport are its stream's when the old one has ended.
        if let Some(data) = &mut peer.data
            && !(is_new_transport && matches!(peer.role, Role::Publisher(_)))
        {
            data.connected(now);
        }
        self.handshakes.over(peer);
        peer.ask_for_keys = self.config.keys.lifetime.map(|lifetime| now + spread(lifetime, peer.channels_of()));
        if !is_new_transport {
            self.counters.session_connected();
        }
        let stream = peer.stream;
        let Role::Viewer(playback) = &mut peer.role else { return };
        for (index, track) in playback.tracks.iter_mut().enumerate().filter(|(_, track)| !track.is_paused) {
            let ladder = self.streams.get(stream).map(|stream| stream.ladder_for(track)).unwrap_or_default();
            let begins = match is_new_transport {
                // With what the old one is sent.
                true => Some(track.encoding()),
                false => ladder::begins_with(track, &ladder),
            };
            if let Some(encoding) = ladder::due(&ladder, begins) {
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
                if !self.streams.end_channels(peer.stream, peer.channels_of(), now) {
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

    /// Releases what a peer held that was taken out, and queues its close alert.
    pub(super) fn release_transport(&mut self, key: PeerKey, peer: &mut Peer, now: Timestamp) {
        self.handshakes.over(peer);
        peer.session.close(self.outbox.batch(), now);
        if peer.data.is_some() {
            self.end_channels(key, peer, now);
        }
        if let Role::Viewer(playback) = &peer.role {
            for track in &playback.tracks {
                self.streams.demand_moved(peer.stream, track.wants(), EncodingSet::NONE);
            }
            self.counters.cursor_skips_of_departed(playback.skips());
        }
    }
}

/// A lifetime of keys that differs from session to session and from transport to transport, by which `number` is meant.
pub(super) fn spread(lifetime: Duration, number: u64) -> Duration {
    // Numbers that follow each other are far apart in the upper bits (Knuth's multiplicative hashing).
    let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let width = lifetime.as_millis() as u64 * 2 * limits::KEY_LIFETIME_SPREAD_PERCENT / 100;
    let earliest = lifetime.as_millis() as u64 - width / 2;
    Duration::from_millis(earliest + ((width * place) >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_spread_evenly_over_a_fifth_of_the_configured_one() {
        let lifetimes: Vec<u64> = (0..1_000).map(|number| spread(Duration::from_secs(60), number).as_secs()).collect();
        assert!(lifetimes.iter().all(|seconds| (54..66).contains(seconds)));
        for second in 54..66 {
            let count = lifetimes.iter().filter(|&&other| other == second).count();
            assert!((60..110).contains(&count), "{count} of 1,000 in second {second}");
        }
    }
}

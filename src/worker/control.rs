//! What signalling asks of a worker, and what a worker tells.

use crate::description::Direction;
use crate::limits;
use crate::net::Io;
use crate::relay::publish::publication::Publication;
use crate::relay::store::record::RecordAddress;
use crate::session::Session;
use crate::time::Timestamp;
use crate::worker::mailbox::{
    Control, EndReason, Listener, Notice, OpenRefused, OpenSession, StreamId, Totals, WorkerIndex,
};
use crate::worker::peer::{Peer, PeerKey, Role, Viewer, viewer_tracks};
use crate::worker::publisher::introduce;
use crate::worker::report::Traffic;
use crate::worker::round::Worker;
use crate::worker::stream::{Audience, encoding_index};
use crate::worker::timers;

impl Worker {
    /// Takes a bounded number of control messages. Returns whether more wait.
    pub(super) fn handle_control<I: Io>(&mut self, io: &mut I, now: Timestamp) -> bool {
        for _ in 0..limits::CONTROL_PER_ROUND_MAX {
            match self.control.try_recv() {
                Ok(message) => self.handle_message(io, message, now),
                Err(flume::TryRecvError::Empty) => return false,
                Err(flume::TryRecvError::Disconnected) => {
                    // Signalling is gone, so is the node.
                    self.end_all(io, now);
                    return false;
                }
            }
        }
        true
    }

    fn handle_message<I: Io>(&mut self, io: &mut I, message: Control, now: Timestamp) {
        match message {
            Control::Open(request) => {
                let reply = request.reply.clone();
                let answer = self.open(*request, now);
                // The asker may have given up; then the session expires by itself.
                let _ = reply.try_send(answer);
            }
            Control::RestartIce { session, local_ice, remote_ice } => {
                let Some(&key) = self.by_session.get(&session) else { return };
                let Some(peer) = self.peers.get_mut(key) else { return };
                self.by_ufrag.insert(local_ice.ufrag.clone(), key);
                if let Some(retired) = peer.session.restart_ice(local_ice, remote_ice) {
                    self.by_ufrag.remove(&retired);
                }
            }
            Control::Close { session, reason } => {
                match self.by_session.get(&session) {
                    Some(&key) => self.end_peer(key, reason, now),
                    // Ended meanwhile, or never opened: signalling waits for the answer all the same.
                    None => self.notify(Notice::Ended { session, reason, totals: Totals::default() }),
                }
            }
            Control::Route { stream, origin, audience } => self.route(stream, origin, audience),
            Control::Report(reply) => {
                let report = self.report(io, now);
                let _ = reply.try_send(Box::new(report));
            }
            Control::Heartbeat(reply) => {
                let _ = reply.try_send(());
            }
            Control::Shutdown => self.end_all(io, now),
        }
    }

    pub(super) fn open(&mut self, request: OpenSession, now: Timestamp) -> Result<(), OpenRefused> {
        if self.shutting_down {
            return Err(OpenRefused::ShuttingDown);
        }
        if self.peers.len() >= self.config.sessions_max {
            return Err(OpenRefused::Full);
        }
        if !self.handshakes.has_place() {
            return Err(OpenRefused::TooManyHandshakes);
        }
        let OpenSession { session: id, stream: stream_id, stream_name, local_ice, identity, description, .. } = request;
        let ufrag = local_ice.ufrag.clone();
        let role = match description.direction {
            Direction::Publish => {
                let feedback_ssrc = self.random.u32();
                Role::Publisher(Box::new(Publication::new(&description.media, id.0, feedback_ssrc)))
            }
            Direction::Play => Role::Viewer(Viewer {
                tracks: viewer_tracks(&description, || self.random.u64()),
                next_report: None,
                rtt_us: 0,
                retransmissions_waiting: 0,
                retransmission_credit: limits::RETRANSMISSION_BYTES_PER_SECOND_MAX,
                credit_at: now,
                retransmitted: Traffic::default(),
            }),
        };
        let session = Session::new(
            local_ice,
            description.remote_ice,
            description.dtls_role,
            description.remote_fingerprints,
            now,
        );
        let key = self.peers.insert(Peer {
            id,
            stream: stream_id,
            session,
            identity,
            role,
            cname: description.cname,
            opened: now,
            armed: timers::NEVER,
            handshaking: true,
            handshake_datagrams: 0,
            moved_told: None,
            sent: Traffic::default(),
        });
        self.handshakes.under_way += 1;
        self.by_session.insert(id, key);
        self.by_ufrag.insert(ufrag, key);
        let stream = self.streams.get_or_create(stream_id, &stream_name);
        match description.direction {
            Direction::Publish => {
                stream.publisher = Some(key);
                stream.origin = Some(self.config.index);
                self.streams.publisher_came(stream_id);
            }
            Direction::Play => stream.viewers += 1,
        }
        self.counters.joins += 1;
        self.notify(Notice::Opened { session: id, worker: self.config.index });
        self.arm(key);
        Ok(())
    }

    fn route(&mut self, id: StreamId, origin: Option<WorkerIndex>, listeners: Vec<Listener>) {
        let own = self.config.index;
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.origin = origin;
        let before = std::mem::take(&mut stream.audience);
        if origin.is_some() {
            self.streams.publisher_came(id);
        }
        if origin != Some(own) {
            return;
        }
        let Self { streams, peers, lanes, .. } = self;
        let Some(stream) = streams.get_mut(id) else { return };
        let publisher = stream.publisher.and_then(|key| peers.get(key)).map(|peer| &peer.role);
        for listener in listeners.into_iter().filter(|listener| listener.worker != own) {
            if let Some(known) = before.iter().find(|audience| audience.listener == listener) {
                stream.audience.push(*known);
                continue;
            }
            let mut audience = Audience { listener, introduced: Default::default() };
            if let Some(Role::Publisher(publication)) = publisher {
                for track in &publication.tracks {
                    let encoding = encoding_index(track.kind);
                    let address = RecordAddress { stream: id.0, encoding: encoding as u32 };
                    audience.introduced[encoding] = introduce(lanes, listener.worker, address, track.introduction());
                }
            }
            stream.audience.push(audience);
        }
    }

    /// Ends every session: BYE and close alerts go out at once.
    fn end_all<I: Io>(&mut self, io: &mut I, now: Timestamp) {
        self.shutting_down = true;
        let keys: Vec<PeerKey> = self.peers.keys().collect();
        for key in keys {
            // A BYE and a close alert, each perhaps a train of its own: neither may find the batch full.
            if !self.out.has_room_for(4) {
                self.flush(io);
            }
            self.end_peer(key, EndReason::ShuttingDown, now);
        }
        self.flush(io);
    }
}

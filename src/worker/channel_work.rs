//! Who has something to do for data channels: peers with packets or events, streams with viewers to visit, and other
//! workers that are to be told that a publisher has left.

use std::collections::VecDeque;

use crate::limits;
use crate::relay::store::address::{StreamId, WorkerIndex};
use crate::worker::peer::{PeerKey, StreamKey};
use crate::worker::peer_channels::PeerChannels;
use crate::worker::stream_channels::StreamChannels;

/// A publisher with channels has left.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) stream: StreamId,
    pub(super) session: u64,
    /// Who is still to be told.
    pub(super) workers: Vec<WorkerIndex>,
}

/// The queues of a worker's channels.
#[derive(Debug, Default)]
pub(super) struct ChannelWork {
    peers: VecDeque<PeerKey>,
    streams: VecDeque<StreamKey>,
    /// Streams whose publishers have something to hear of viewers; one for each message, so that there are never many.
    hearers: VecDeque<StreamKey>,
    pub(super) departures: VecDeque<Departure>,
}

impl ChannelWork {
    /// Whether a round has anything to do.
    pub(super) fn any(&self) -> bool {
        !self.peers.is_empty() || !self.streams.is_empty() || !self.hearers.is_empty() || !self.departures.is_empty()
    }

    /// Lists a peer with events or packets.
    pub(super) fn list(&mut self, key: PeerKey, peer: &mut PeerChannels) {
        if !std::mem::replace(&mut peer.is_listed, true) {
            self.peers.push_back(key);
        }
    }

    pub(super) fn peers_len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn next_peer(&mut self) -> Option<PeerKey> {
        self.peers.pop_front()
    }

    /// Queues a stream whose viewers are to be visited.
    pub(super) fn queue(&mut self, key: StreamKey, stream: &mut StreamChannels) {
        if !std::mem::replace(&mut stream.is_queued, true) {
            self.streams.push_back(key);
        }
    }

    pub(super) fn next_stream(&mut self) -> Option<StreamKey> {
        self.streams.pop_front()
    }

    /// A stream's publisher, which is on this worker, has something to hear.
    pub(super) fn hear(&mut self, key: StreamKey) {
        if self.hearers.back() != Some(&key) {
            self.hearers.push_back(key);
        }
    }

    pub(super) fn hearers_len(&self) -> usize {
        self.hearers.len()
    }

    pub(super) fn next_hearer(&mut self) -> Option<StreamKey> {
        self.hearers.pop_front()
    }

    /// Keeps who is to be told of a departure; `false` where there is no room.
    pub(super) fn depart(&mut self, stream: StreamId, session: u64, workers: Vec<WorkerIndex>) -> bool {
        let has_room = self.departures.len() < limits::DATA_ENDS_WAITING_MAX;
        if has_room && !workers.is_empty() {
            self.departures.push_back(Departure { stream, session, workers });
        }
        has_room
    }

    /// Entries of all queues.
    #[cfg(any(test, feature = "peer"))]
    pub(super) fn len(&self) -> usize {
        self.peers.len() + self.streams.len() + self.hearers.len() + self.departures.len()
    }
}

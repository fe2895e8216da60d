//! How much a worker holds, counted where it is held: what the simulation compares with the limits while it runs and
//! with nothing at its end. Walks the streams, not the sessions.

use crate::worker::round::Worker;

/// Entries of a worker's tables, sets and queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Sessions.
    pub sessions: usize,
    /// Sessions by their name.
    pub session_names: usize,
    /// ICE user fragments.
    pub user_fragments: usize,
    /// Validated paths.
    pub flows: usize,
    /// Timers, superseded ones among them.
    pub timers: usize,
    /// Streams.
    pub streams: usize,
    /// Viewers, as the streams count them.
    pub viewers: usize,
    /// Entries of the fan-out sets, those of viewers that left among them.
    pub subscribers: usize,
    /// Encodings queued for fan-out, held, or waiting for a key frame.
    pub queued_encodings: usize,
    /// Packets to be sent again.
    pub retransmissions: usize,
    /// Viewers whose first sender report is due.
    pub reports_due: usize,
    /// Notices that signalling had no room for.
    pub notices: usize,
    /// Bytes of the packet rings.
    pub ring_bytes: usize,
    /// Packets in them.
    pub ring_packets: usize,
}

impl Worker {
    /// What it holds now.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let mut holdings = Holdings {
            sessions: self.peers.len(),
            session_names: self.by_session.len(),
            user_fragments: self.by_ufrag.len(),
            flows: self.flows.len(),
            timers: self.timers.len(),
            streams: self.streams.len(),
            queued_encodings: self.streams.queued_len(),
            retransmissions: self.retransmissions.len(),
            reports_due: self.reports_due.len(),
            notices: self.notices_waiting.len(),
            ..Holdings::default()
        };
        for (_, stream) in self.streams.iter() {
            holdings.viewers += stream.viewers;
            for encoding in &stream.encodings {
                holdings.subscribers += encoding.fan_out.len();
                holdings.ring_bytes += encoding.ring.allocated_bytes();
                holdings.ring_packets += (encoding.ring.head() - encoding.ring.tail()) as usize;
            }
        }
        holdings
    }

    /// Whether in every packet ring each stored packet has its bytes to itself. Sorts them: now and then, not every
    /// round.
    #[must_use]
    pub fn rings_are_disjoint(&self) -> bool {
        self.streams.iter().flat_map(|(_, stream)| &stream.encodings).all(|encoding| encoding.ring.is_disjoint())
    }
}

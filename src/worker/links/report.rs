//! What the links of a node tell about themselves when asked.

use serde::{Deserialize, Serialize};

use crate::srtp::SrtpError;

/// What passed on one link, counted from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCounts {
    /// Packets sent, those that were sent again among them.
    pub sent_packets: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Authentic packets received.
    pub received_packets: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Packets sent again.
    pub repeated: u64,
    /// Packets asked for, each time that they were.
    pub asked: u64,
    /// Packets that could not be had any more.
    pub lost: u64,
    /// Packets that were asked for and are gone.
    pub gone: u64,
    /// Packets of a run before, or that waited too long for what was told.
    pub late: u64,
    /// Times that an encoding was begun anew because the other end was too far behind.
    pub skipped: u64,
    /// Packets that are too long for a link.
    pub too_long: u64,
    /// Packets that came once more.
    pub duplicates: u64,
    /// What was not authentic, or no packet of a link.
    pub refused: u64,
}

impl LinkCounts {
    pub(super) fn sent(&mut self, len: usize) {
        self.sent_packets += 1;
        self.sent_bytes += len as u64;
    }

    pub(super) fn not_opened(&mut self, error: SrtpError) {
        match error {
            SrtpError::Replayed => self.duplicates += 1,
            _ => self.refused += 1,
        }
    }

    pub(super) fn received(&mut self, len: usize) {
        self.received_packets += 1;
        self.received_bytes += len as u64;
    }
}

/// One link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The stream's name.
    pub stream: String,
    /// The other node.
    pub node: String,
    /// Whether the other node sends the stream to this one.
    pub is_parent: bool,
    /// Since how many milliseconds nothing was heard of it.
    pub silent_ms: u64,
    /// How long a packet and its answer take, in microseconds; null where this end does not measure it.
    pub round_trip_us: Option<u64>,
    /// How many encodings are wanted by the end that is sent them.
    pub encodings: usize,
    /// What passed.
    pub counts: LinkCounts,
}

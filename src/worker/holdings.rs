//! How much a worker holds, counted where it is held: what the simulation compares with the limits while it runs and
//! with nothing at its end. Walks the streams, not the sessions.

use crate::worker::mail::Mail;
use crate::worker::peer::PeerKey;
use crate::worker::peer_channels::{MirrorState, Side};
use crate::worker::peers::Peers;
use crate::worker::repairs::Repairs;
use crate::worker::stream_channels::StreamChannels;
use crate::worker::streams::Streams;

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

/// What a worker holds for data channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataHoldings {
    /// Bytes of one channel's ring, the longest.
    pub ring_bytes_max: usize,
    /// Bytes of one viewer's channel that its network has not taken, the most.
    pub buffered_bytes_max: usize,
    /// Channels of one peer, the most.
    pub channels_max: usize,
}

impl DataHoldings {
    /// Walks the sessions.
    pub(super) fn of(peers: &Peers, streams: &Streams) -> Self {
        let mut holdings = Self::default();
        for channel in streams.iter().filter_map(|stream| stream.channels.as_deref()).flat_map(StreamChannels::iter) {
            holdings.ring_bytes_max = holdings.ring_bytes_max.max(channel.ring.bytes());
        }
        for data in peers.keys().into_iter().filter_map(|key| peers.get(key)?.data.as_deref()) {
            holdings.channels_max = holdings.channels_max.max(data.open_channels());
            if let (Side::Viewer(mirrors), Some(channels)) = (&data.side, &data.channels) {
                for mirror in mirrors {
                    let MirrorState::Open(at) = mirror.state else { continue };
                    holdings.buffered_bytes_max = holdings.buffered_bytes_max.max(channels.buffered(at));
                }
            }
        }
        holdings
    }
}

impl Holdings {
    /// What these parts hold now.
    pub(super) fn of(
        peers: &Peers,
        streams: &Streams,
        repairs: &Repairs,
        mail: &Mail,
        reports_due: &[PeerKey],
    ) -> Self {
        let (session_names, user_fragments, flows, timers) = peers.table_lens();
        let mut holdings = Self {
            sessions: peers.len(),
            session_names,
            user_fragments,
            flows,
            timers,
            streams: streams.len(),
            queued_encodings: streams.queued_len(),
            retransmissions: repairs.len(),
            reports_due: reports_due.len(),
            notices: mail.waiting(),
            ..Self::default()
        };
        for stream in streams.iter() {
            holdings.viewers += stream.viewers;
            for encoding in &stream.encodings {
                holdings.subscribers += encoding.fan_out.len();
                holdings.ring_bytes += encoding.ring.allocated_bytes();
                holdings.ring_packets += encoding.ring.len();
            }
        }
        holdings
    }
}

//! What a worker is given of a picture that its viewers begin to want: all since the newest key frame, so that they start at once and
//! the publisher is asked for nothing.
//!
//! The packets are in the publisher's worker's ring. They go into the lane in their order, a bounded number in a round and only while
//! the lane is at most half full; what arrives meanwhile waits for its turn there, in the ring. The reader lets nobody start before
//! it has them all ([`Record::Replay`](crate::relay::store::record::Record)), because where the live edge is decides how fast a viewer is sent what lies before it.
//! Where that cannot be done in [`limits::REPLAY_TIME_MAX`], packets go on as they come, behind a gap as after a full lane.
//!
//! Not here: the turns (`outbound/replay`).

use crate::limits;
use crate::relay::play::broadcast::Broadcast;
use crate::relay::store::numbers::{EncodingSet, Position};
use crate::relay::store::packet_ring::Start;
use crate::time::Timestamp;
use crate::worker::mailbox::WorkerIndex;
use crate::worker::peer::{StreamKey, Subscriber};
use crate::worker::stream::{Audience, EncodingKey};

/// An encoding that goes into a lane from a key frame on.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) key: EncodingKey,
    pub(super) worker: WorkerIndex,
    pub(super) start: Start,
    pub(super) packets: u16,
    /// `None` before the reader was told of it.
    pub(super) next: Option<Position>,
    pub(super) began: Timestamp,
}

impl Replay {
    /// Begins one, where there is a key frame to begin with and it was not done a moment ago.
    pub(super) fn begin(
        stream: StreamKey,
        encoding: &Broadcast<Subscriber>,
        audience: &mut Audience,
        now: Timestamp,
    ) -> Option<Self> {
        let (mut lately, at) = audience.replays;
        if now.since(at) > limits::REPLAY_PAUSE {
            lately = EncodingSet::NONE;
        }
        let id = encoding.id();
        let (start, packets) = encoding.replay(now).filter(|_| !lately.contains(id))?;
        lately.insert(id);
        audience.replays = (lately, now);
        audience.replayed.insert(id);
        let key = EncodingKey { stream, encoding: id };
        Some(Self { key, worker: audience.listener.worker, start, packets, next: None, began: now })
    }
}

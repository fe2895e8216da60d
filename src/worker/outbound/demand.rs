//! What workers want of each other's streams: the encodings that their viewers are sent, and key frames of them; and that another
//! publisher has begun.

use crate::relay::store::ladder::Measured;
use crate::relay::store::record::Record;
use crate::relay::store::upstream::{Upstream, Wish};
use crate::time::Timestamp;
use crate::worker::counters::Counters;
use crate::worker::distribution::distribute;
use crate::worker::lane::Lanes;
use crate::worker::mailbox::{Origin, WorkerIndex};
use crate::worker::outbound::replay;
use crate::worker::reason::DropReason;
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;

/// Takes what other workers want of streams that are published here, and tells where others are published what is wanted here.
pub(in crate::worker) fn run(
    own: WorkerIndex,
    streams: &mut Streams,
    lanes: &mut Lanes,
    counters: &mut Counters,
    now: Timestamp,
) {
    while let Some((from, Upstream { stream, wish })) = lanes.receive_upstream() {
        match (streams.find(stream), wish) {
            (Some(stream), Wish::KeyFrame(encoding)) => {
                let wanted = EncodingKey { stream, encoding };
                if streams.is_replayed_to(wanted, from, now) {
                    counters.dropped(DropReason::KeyFrameOnItsWay);
                } else {
                    streams.want_key_frame(wanted);
                }
            }
            (Some(stream), Wish::Encodings(wanted)) => streams.audience_wants(stream, from, wanted, now),
            // Between workers nothing is lost that could be sent again.
            (_, Wish::Packets { .. }) => counters.dropped(DropReason::UpstreamNotServed),
            (None, Wish::KeyFrame(_) | Wish::Encodings(_)) => {}
        }
    }
    replay::run(streams, lanes, now);
    // Told as nothing: an encoding is measured anew.
    while let Some(key) = streams.take_begun() {
        distribute(streams, lanes, key, &Record::Rung(Measured::default()));
    }
    streams.tell_demands(now, |origin, stream, wanted| match origin {
        Origin::Worker(worker) if worker != own => {
            lanes.send_upstream(worker, Upstream { stream, wish: Wish::Encodings(wanted) })
        }
        _ => true,
    });
}

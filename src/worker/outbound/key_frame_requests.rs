//! Key frames that viewers wait for: asked of the publisher where it is on this worker, else of the worker that has it.

use crate::relay::publish::publication::KeyFrameFeedback;
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::upstream::{Upstream, Wish};
use crate::time::Timestamp;
use crate::wire::rtcp;
use crate::worker::compound_rtcp;
use crate::worker::lane::Lanes;
use crate::worker::mailbox::{Origin, WorkerIndex};
use crate::worker::outbox::Outbox;
use crate::worker::peer::{Peer, Role};
use crate::worker::peers::Peers;
use crate::worker::streams::Streams;

/// What key-frame requests touch.
pub(in crate::worker) struct KeyFramePhase<'a> {
    pub(in crate::worker) own: WorkerIndex,
    pub(in crate::worker) streams: &'a mut Streams,
    pub(in crate::worker) peers: &'a mut Peers,
    pub(in crate::worker) lanes: &'a mut Lanes,
    pub(in crate::worker) outbox: &'a mut Outbox,
}

impl KeyFramePhase<'_> {
    /// Asks for what is due.
    pub(in crate::worker) fn run(&mut self, now: Timestamp) {
        let Self { own, streams, peers, lanes, outbox } = self;
        streams.poll_key_frame_requests(now, |key, stream| match (stream.publisher_of(key.encoding), stream.origin) {
            (Some(publisher), _) => {
                if let Some(peer) = peers.get_mut(publisher) {
                    request(peer, key.encoding, outbox);
                }
            }
            (None, Some(Origin::Worker(worker))) if worker != *own => {
                lanes.send_upstream(worker, Upstream { stream: stream.id, wish: Wish::KeyFrame(key.encoding) });
            }
            _ => {}
        });
    }
}

/// Asks a publisher for a key frame of one of its encodings.
pub(in crate::worker) fn request(peer: &mut Peer, encoding: EncodingId, outbox: &mut Outbox) {
    let Role::Publisher(publication) = &mut peer.role else { return };
    let own = publication.feedback_ssrc;
    let sequence = publication.next_full_intra_request();
    let Some(track) = publication.tracks.iter().find(|track| track.encoding == encoding) else { return };
    let Some(ssrc) = track.ssrc() else { return };
    match track.key_frame_feedback() {
        KeyFrameFeedback::PictureLossIndication => {
            let write = |slot: &mut [u8]| rtcp::picture_loss_indication::write(slot, own, ssrc);
            peer.session.send_rtcp(outbox.batch(), write);
        }
        KeyFrameFeedback::FullIntraRequest => {
            let write = |slot: &mut [u8]| compound_rtcp::full_intra_request(slot, own, ssrc, sequence);
            peer.session.send_rtcp(outbox.batch(), write);
        }
        KeyFrameFeedback::None => {}
    }
}

//! Where a stream comes from, and which workers have viewers of it.

use crate::relay::store::address::RecordAddress;
use crate::worker::channels::uplink::introduce_listener;
use crate::worker::distribution::introduce;
use crate::worker::lane::Lanes;
use crate::worker::mailbox::{Listener, Origin, StreamId, WorkerIndex};
use crate::worker::peer::Role;
use crate::worker::peers::Peers;
use crate::worker::stream::Audience;
use crate::worker::streams::Streams;

/// Takes a stream's newest route. On the publisher's worker, those who begin to listen are introduced.
pub(super) fn set(
    id: StreamId,
    origin: Option<Origin>,
    listeners: Vec<Listener>,
    own: WorkerIndex,
    peers: &Peers,
    streams: &mut Streams,
    lanes: &mut Lanes,
) {
    let Some(key) = streams.find(id) else { return };
    let Some(stream) = streams.get_mut(key) else { return };
    if stream.origin.is_some_and(|before| Some(before) != origin) {
        // What was measured is of somebody else's encodings. After nobody's, what the new origin tells may be here already.
        stream.forget_measured();
    }
    stream.origin = origin;
    let before = std::mem::take(&mut stream.audience);
    if origin == Some(Origin::Worker(own)) {
        let publisher = stream.publisher.and_then(|key| peers.get(key)).map(|peer| &peer.role);
        for listener in listeners.into_iter().filter(|listener| listener.worker != own) {
            if let Some(known) = before.iter().find(|audience| audience.listener == listener) {
                stream.audience.push(*known);
                continue;
            }
            let mut audience = Audience::new(listener);
            if let Some(Role::Publisher(publication)) = publisher {
                for track in &publication.tracks {
                    let address = RecordAddress { stream: id, encoding: track.encoding };
                    let introduced = introduce(lanes, listener.worker, address, track.introduction());
                    audience.introduced.set(track.encoding, introduced);
                }
            }
            audience.knows_channels = introduce_listener(stream, lanes, listener.worker);
            stream.audience.push(audience);
        }
    }
    if origin.is_some() {
        streams.publisher_came(key);
        streams.list_demand(key);
    }
}

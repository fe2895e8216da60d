//! Viewers of a track one of whose encodings has come to life or has stopped: who is sent it falls to another one, and rises
//! again when it is back.
//!
//! A viewer for which an encoding was chosen keeps to it as long as it lives. One for which none was is sent the middle one
//! ([`Ladder::start`]). Either is sent the next lower one that lives meanwhile ([`Ladder::stand_in`]).

use crate::relay::store::ladder::Ladder;
use crate::relay::store::numbers::{EncodingId, TrackId};
use crate::time::Timestamp;
use crate::worker::outbound::switch;
use crate::worker::peer::{Role, StreamKey, Subscriber};
use crate::worker::peers::Peers;
use crate::worker::streams::Streams;

/// Looks at the viewers of every track whose ladder has changed: each of those that are sent something else than they should
/// goes over to it.
pub(in crate::worker) fn run(peers: &mut Peers, streams: &mut Streams, now: Timestamp) {
    while let Some((stream, track)) = streams.take_changed_ladder(now) {
        let subscribers = match streams.get(stream) {
            Some(stream) => stream.subscribers_of(track),
            None => continue,
        };
        for subscriber in subscribers {
            place(stream, track, subscriber, peers, streams);
        }
    }
}

fn place(stream: StreamKey, track: TrackId, subscriber: Subscriber, peers: &mut Peers, streams: &mut Streams) {
    let Some(ladder) = streams.get(stream).map(|stream| stream.ladder(track)) else { return };
    let Some(peer) = peers.get(subscriber.peer) else { return };
    let Role::Viewer(playback) = &peer.role else { return };
    let Some(viewer) = playback.tracks.get(usize::from(subscriber.track)) else { return };
    let present = viewer.awaited().unwrap_or(viewer.encoding());
    // Where its network is known, it begins elsewhere than others.
    let chosen = viewer.chosen.or(playback.adaptation.is_some().then_some(present));
    let Some(encoding) = due(&ladder, chosen) else { return };
    if present != encoding {
        remember(subscriber, chosen, peers);
        switch::go_to(subscriber.peer, encoding, peers, streams);
    }
}

/// Keeps where a viewer comes back to: its network let it have that.
fn remember(subscriber: Subscriber, chosen: Option<EncodingId>, peers: &mut Peers) {
    let Some(Role::Viewer(playback)) = peers.get_mut(subscriber.peer).map(|peer| &mut peer.role) else { return };
    if let Some(track) = playback.tracks.get_mut(usize::from(subscriber.track)) {
        track.chosen = chosen;
    }
}

/// What a viewer is to be sent for which `chosen` was chosen; `None` where nothing is sent.
pub(in crate::worker) fn due(ladder: &Ladder, chosen: Option<EncodingId>) -> Option<EncodingId> {
    let wanted = chosen.filter(|&chosen| ladder.rung(chosen).is_some()).or_else(|| ladder.start())?;
    ladder.stand_in(wanted)
}

//! Viewers of a track one of whose encodings has come to life or has stopped: who is sent it falls to another one, and rises
//! again when it is back.
//!
//! A viewer for which an encoding was chosen keeps to it as long as it lives. One for which none was begins with the lowest where
//! its network will be known soon, and else with the middle one ([`begins_with`]). Either is sent the next lower one that lives
//! meanwhile ([`Ladder::stand_in`]).

use crate::description::MediaKind;
use crate::relay::store::ladder::Ladder;
use crate::relay::store::numbers::EncodingId;
use crate::time::Timestamp;
use crate::worker::outbound::switch;
use crate::worker::peer::{Role, StreamKey, Subscriber, ViewerTrack};
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
            place(stream, subscriber, peers, streams);
        }
    }
}

fn place(stream: StreamKey, subscriber: Subscriber, peers: &mut Peers, streams: &mut Streams) {
    let Some(peer) = peers.get(subscriber.peer) else { return };
    let Role::Viewer(playback) = &peer.role else { return };
    let Some(viewer) = playback.tracks.get(usize::from(subscriber.track)) else { return };
    let Some(ladder) = streams.get(stream).map(|stream| stream.ladder_for(viewer)) else { return };
    let present = viewer.awaited().unwrap_or(viewer.encoding());
    // The encodings of a publisher that comes after its viewers come one after the other, in any order.
    let is_new = playback.adaptation.as_ref().is_some_and(|adaptation| adaptation.bandwidth.is_new());
    if is_new || !viewer.has_begun() {
        if let Some(encoding) = due(&ladder, begins_with(viewer, &ladder)).filter(|&encoding| encoding != present) {
            switch::go_to(subscriber.peer, encoding, peers, streams);
        }
        return;
    }
    // Where its network is known, it is elsewhere than others.
    let chosen = viewer.chosen.or(playback.adaptation.is_some().then_some(present));
    let Some(encoding) = due(&ladder, chosen) else { return };
    if present != encoding {
        remember(subscriber, chosen, peers);
        switch::go_to(subscriber.peer, encoding, peers, streams);
    }
}

/// Where a viewer's picture begins, before anything of it was sent. Where its network will be known within seconds: at the lowest
/// encoding, which the thinnest network carries, and whose key frame is the smallest. Else in the middle, as nothing will tell.
pub(in crate::worker) fn begins_with(track: &ViewerTrack, ladder: &Ladder) -> Option<EncodingId> {
    let lowest = || {
        let (allowed, _) = track.wish.allowed(ladder);
        let living = allowed.iter().find(|rung| rung.alive).or_else(|| ladder.living().next());
        living.map(|rung| rung.encoding)
    };
    let will_be_known = track.kind == MediaKind::Video && track.subscription.has_transport_sequence();
    track.chosen.or_else(|| lowest().filter(|_| will_be_known)).or_else(|| ladder.start())
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

//! Which of a track's encodings a viewer is sent by its page's wish.
//!
//! Not here: how it goes over ([`super::switch`]), and what its page is told ([`super::layers_told`]).

use crate::relay::play::wish::Choice;
use crate::relay::store::ladder::Ladder;
use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::session::SessionState;
use crate::worker::mail::Mail;
use crate::worker::outbound::layers_told;
use crate::worker::outbound::switch;
use crate::worker::peer::{PeerKey, Role, Subscriber, ViewerTrack};
use crate::worker::peers::Peers;
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;

/// What a viewer is due, of what its publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// No picture.
    SoundOnly,
    /// This encoding.
    Encoding(EncodingId),
}

/// What a viewer's track is due; `None` where it has that or nothing was published yet. `at_once`: the best that the page wants, and
/// not only what it does not rule out; its network has not been heard, or is to be tried.
fn due(ladder: &Ladder, track: &ViewerTrack, at_once: bool) -> Option<Due> {
    if track.wish.choice == Choice::SoundOnly {
        return Some(Due::SoundOnly);
    }
    let (allowed, _) = track.wish.allowed(ladder);
    let sent = track.awaited().unwrap_or(track.encoding());
    let keeps = allowed.iter().any(|rung| rung.alive && rung.encoding == sent);
    if keeps && !at_once {
        return Some(Due::Encoding(sent));
    }
    ladder.stand_in(allowed.last()?.encoding).map(Due::Encoding)
}

/// Gives a viewer's picture what it is due, and tells its page where that changes anything. `chosen`: its person has just chosen.
pub(in crate::worker) fn place(key: PeerKey, chosen: bool, peers: &mut Peers, streams: &mut Streams, mail: &mut Mail) {
    let Some(peer) = peers.get_mut(key) else { return };
    let stream = peer.stream;
    let Role::Viewer(playback) = &peer.role else { return };
    let is_unknown = playback.adaptation.as_ref().is_none_or(|adaptation| adaptation.decided == 0);
    let Some((index, track)) = peer.picture() else { return };
    let Some(ladder) = streams.get(stream).map(|stream| stream.ladder_for(track)) else { return };
    let is_forced = (chosen || is_unknown) && track.wish.choice != Choice::Auto;
    match due(&ladder, track, is_forced) {
        None => {}
        Some(Due::SoundOnly) => pause(key, peers, streams),
        Some(Due::Encoding(encoding)) => {
            let before = track.wants();
            track.is_withheld &= !is_forced;
            let after = track.wants();
            let is_paused = std::mem::take(&mut track.is_paused);
            let is_elsewhere = track.awaited().unwrap_or(track.encoding()) != encoding;
            streams.demand_moved(stream, before, after);
            if is_paused || is_elsewhere {
                switch::select(key, encoding, peers, streams);
            }
            if is_paused {
                resume(key, index, peers, streams);
            }
        }
    }
    layers_told::tell(key, peers, streams, mail);
}

/// Sends a viewer no picture any more: it is listed nowhere, as before it had connected.
fn pause(key: PeerKey, peers: &mut Peers, streams: &mut Streams) {
    let Some(peer) = peers.get_mut(key) else { return };
    let stream = peer.stream;
    let Some((index, track)) = peer.picture() else { return };
    if std::mem::replace(&mut track.is_paused, true) {
        return;
    }
    track.subscription.await_key_frame();
    let before = track.wants();
    let subscriber = Subscriber { peer: key, track: index as u8 };
    let listed = std::mem::take(&mut track.listed);
    streams.demand_moved(stream, before, EncodingSet::NONE);
    for encoding in listed.iter() {
        streams.remove_subscriber(EncodingKey { stream, encoding }, subscriber);
    }
}

/// Lists a viewer's picture again. It goes on at the newest key frame, or at the next.
fn resume(key: PeerKey, index: usize, peers: &mut Peers, streams: &mut Streams) {
    let Some(peer) = peers.get_mut(key) else { return };
    if peer.session.state() != SessionState::Connected {
        return;
    }
    let stream = peer.stream;
    let Some((_, track)) = peer.picture() else { return };
    let before = track.wants();
    let wanted = [Some(track.encoding()), track.awaited()];
    for encoding in wanted.into_iter().flatten() {
        if track.listed.insert(encoding) {
            let subscriber = Subscriber { peer: key, track: index as u8 };
            streams.add_subscriber(EncodingKey { stream, encoding }, subscriber);
        }
    }
    streams.demand_moved(stream, before, track.wants());
}

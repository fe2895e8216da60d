//! A viewer goes over to another encoding of a track: it is listed with the fan-out of both until a key frame of the wanted one
//! is there, and then with that alone.

use crate::description::MediaKind;
use crate::relay::play::alignment::EncodingView;
use crate::relay::play::fan_out::{AfterVisit, Carried};
use crate::relay::play::selection::{Decision, PacketHints};
use crate::relay::play::subscription::Cursor;
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::packet_ring::{Layers, Start};
use crate::time::Timestamp;
use crate::worker::mail::Mail;
use crate::worker::outbound::layers_told;
use crate::worker::outbound::payload_type;
use crate::worker::outbound::visit::hurry;
use crate::worker::peer::{Peer, PeerKey, Role, StreamKey, Subscriber, ViewerTrack};
use crate::worker::peers::Peers;
use crate::worker::starts::key_frame_age_max;
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;
use crate::worker::tracks::kind_of;

/// Chooses `encoding` for the viewer's track that it belongs to; while it is not sent, another one stands in for it. Nothing
/// happens where the stream does not have it.
pub(in crate::worker) fn select(key: PeerKey, encoding: EncodingId, peers: &mut Peers, streams: &mut Streams) {
    let Some(peer) = peers.get_mut(key) else { return };
    let Some(stream) = streams.get(peer.stream).filter(|stream| stream.encoding(encoding).is_some()) else { return };
    let Some((_, track)) = track_of(peer, encoding) else { return };
    track.chosen = Some(encoding);
    // One that no ladder has is made on this worker, or was not sent yet.
    let ladder = stream.ladder_for(track);
    let due = ladder.rung(encoding).and_then(|_| ladder.stand_in(encoding)).unwrap_or(encoding);
    go_to(key, due, peers, streams);
}

/// The viewer's track that an encoding belongs to, and its index.
fn track_of(peer: &mut Peer, encoding: EncodingId) -> Option<(usize, &mut ViewerTrack)> {
    let Role::Viewer(playback) = &mut peer.role else { return None };
    playback.tracks.iter_mut().enumerate().find(|(_, track)| track.track == encoding.track())
}

/// Brings a viewer's track to an encoding: at a key frame of it, or at once where nothing was sent yet.
pub(super) fn go_to(key: PeerKey, encoding: EncodingId, peers: &mut Peers, streams: &mut Streams) {
    let Some(peer) = peers.get_mut(key) else { return };
    let stream = peer.stream;
    let wanted = EncodingKey { stream, encoding };
    let Some((index, track)) = track_of(peer, encoding) else { return };
    if streams.encoding(wanted).is_none() {
        return;
    }
    let before = track.wants();
    if track.subscription.encoding().is_none() {
        track.begin_with(encoding);
    } else {
        track.select(encoding);
        // Back to what it is sent.
        track.is_held &= track.awaited().is_some();
    }
    // Before it has connected it is listed nowhere.
    if track.listed.is_empty() {
        return;
    }
    let awaits = track.awaited().is_some() || track.subscription.cursor() == Cursor::AwaitsKeyFrame;
    let after = track.wants();
    let is_new = track.listed.insert(encoding);
    streams.demand_moved(stream, before, after);
    if is_new {
        streams.add_subscriber(wanted, Subscriber { peer: key, track: index as u8 });
    }
    // Who takes back a wish to go over needs none.
    if awaits {
        streams.want_key_frame(wanted);
    }
}

/// What becomes of one that was visited in an encoding that is not the one it is sent: it goes over to it, waits for its key
/// frame, or is let go. Whether it is to be visited again.
pub(super) fn arrive(
    key: EncodingKey,
    subscriber: Subscriber,
    peers: &mut Peers,
    streams: &mut Streams,
    mail: &mut Mail,
    now: Timestamp,
) -> bool {
    let Some(peer) = peers.get_mut(subscriber.peer) else { return false };
    let Role::Viewer(playback) = &mut peer.role else { return false };
    let Some(track) = playback.tracks.get_mut(usize::from(subscriber.track)) else { return false };
    if track.awaited() != Some(key.encoding) {
        track.listed.remove(key.encoding);
        return false;
    }
    let before = track.wants();
    let is_paced = peer.session.egress().is_some_and(|(_, path)| !path.is_connection());
    let went = go_over(key.stream, key.encoding, track, streams, is_paced, now);
    streams.demand_moved(key.stream, before, track.wants());
    let Some(target) = streams.get_mut(key.stream).and_then(|stream| stream.encoding_mut(key.encoding)) else {
        return false;
    };
    if went {
        if let Some(notice) = payload_type::decide(peer, subscriber.track, target) {
            mail.notify(notice);
        }
        target.switches += 1;
        target.fan_out.add_ready(subscriber);
        layers_told::tell(subscriber.peer, peers, streams, mail);
    } else {
        let is_video = target.kind() == MediaKind::Video;
        // Sound goes over with the next packet.
        let after = if is_video { AfterVisit::NeedsKeyFrame } else { AfterVisit::CaughtUp };
        target.fan_out.visited(subscriber, after, Carried::ByDatagrams);
        if is_video {
            streams.want_key_frame(key);
        }
    }
    went
}

/// Puts a viewer's track at the newest key frame of `encoding`, or at its newest sound, where there is one that it may start
/// with.
fn go_over(
    stream: StreamKey,
    encoding: EncodingId,
    track: &mut ViewerTrack,
    streams: &Streams,
    is_paced: bool,
    now: Timestamp,
) -> bool {
    let Some(stream) = streams.get(stream) else { return false };
    let start = stream.encoding(encoding).and_then(|target| match target.kind() {
        MediaKind::Video => target.key_frame_within(key_frame_age_max(!is_paced), now),
        MediaKind::Audio => target.fresh_sound(now),
    });
    let Some(start) = start.filter(|start| track.subscription.is_ahead(encoding, start.sequence)) else { return false };
    let hints = PacketHints { encoding, key_frame_start: true, timestamp: 0, layers: Layers::UNKNOWN };
    let mut selection = track.selection;
    if selection.decide(&hints) != Decision::SwitchHere {
        return false;
    }
    let view_of = |id| stream.encoding(id).map(|encoding| EncodingView::of(encoding));
    let newest = track.subscription.newest_timestamp(|id| stream.encoding(id).map(|encoding| &encoding.ring));
    let mut went = track.subscription.switch_to(encoding, start, now, view_of);
    if !went && kind_of(encoding.track()) == Some(MediaKind::Audio) {
        // It was sent the newest sound in its present form already: it goes on with the next packet, on the same timeline.
        let next = Start { position: start.position.next(), sequence: start.sequence.next() };
        track.subscription.start_at(encoding, next, now);
        went = true;
    }
    if went {
        track.selection = selection;
        track.is_held = false;
        if let Some(target) = stream.encoding(encoding).filter(|target| target.kind() == MediaKind::Video) {
            hurry(track, target, start, newest, is_paced, now);
        }
    }
    went
}

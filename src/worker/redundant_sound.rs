//! Who is sent sound that repeats itself ([`crate::relay::store::redundancy`]): a viewer that loses packets and is too far away
//! for a repeat on request to come in time.
//!
//! Loss is what was asked for again and sent again: a hole that came from the publisher's side is asked for as well, and no
//! copy of it would fill it.

use std::time::Duration;

use crate::description::MediaKind;
use crate::limits;
use crate::relay::store::numbers::EncodingId;
use crate::time::Timestamp;
use crate::wire::codec::Codec;
use crate::worker::outbound::switch;
use crate::worker::peer::{PeerKey, Playback, Role};
use crate::worker::peers::Peers;
use crate::worker::streams::Streams;

/// Asked with every feedback of a peer: has its sound go over to what suits it.
pub(super) fn judge(key: PeerKey, peers: &mut Peers, streams: &mut Streams, now: Timestamp) {
    let Some(peer) = peers.get_mut(key) else { return };
    let Role::Viewer(playback) = &peer.role else { return };
    let Some((source, wants)) = wish(playback, now) else { return };
    let Some(stream) = streams.get_mut(peer.stream) else { return };
    let target = if wants { stream.want_redundant(source) } else { Some(source) };
    if let Some(target) = target {
        switch::select(key, target, peers, streams);
    }
}

/// The sound that a viewer is to be sent from now on, and whether it is to repeat itself; `None` where nothing changes.
fn wish(playback: &Playback, now: Timestamp) -> Option<(EncodingId, bool)> {
    let track = playback.tracks.iter().find(|track| track.kind == MediaKind::Audio)?;
    if !track.codecs.iter().any(|codec| codec.codec == Codec::Red) {
        return None;
    }
    let source = track.track.only_encoding();
    let repeats_itself = track.awaited().unwrap_or(track.encoding()) != source;
    let round_trip = Duration::from_micros(playback.rtt_us);
    if repeats_itself {
        let needs =
            track.repeated.any_within(limits::RED_AFTER_LOSS, now) && round_trip >= limits::RED_ROUND_TRIP_MIN / 2;
        return (!needs).then_some((source, false));
    }
    let needs = track.repeated.two_within(limits::RED_LOSS_WITHIN, now) && round_trip >= limits::RED_ROUND_TRIP_MIN;
    needs.then_some((source, true))
}

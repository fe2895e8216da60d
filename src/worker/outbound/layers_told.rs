//! What a viewer's page is told of the picture's layers.

use crate::description::MediaKind;
use crate::relay::play::wish::{Choice, Limited};
use crate::relay::store::ladder::{Ladder, RidName};
use crate::relay::store::numbers::EncodingId;
use crate::worker::adaptation::Adaptation;
use crate::worker::layers::{LayerChoice, LayerTold, LayersTold};
use crate::worker::mail::Mail;
use crate::worker::mailbox::Notice;
use crate::worker::peer::{PeerKey, Role, ViewerTrack};
use crate::worker::peers::Peers;
use crate::worker::stream::Stream;
use crate::worker::streams::Streams;

/// Tells a viewer's page what there is, where it wants to know and something has changed.
pub(in crate::worker) fn tell(key: PeerKey, peers: &mut Peers, streams: &Streams, mail: &mut Mail) {
    let Some(peer) = peers.get_mut(key) else { return };
    let session = peer.id;
    let Some(stream) = streams.get(peer.stream) else { return };
    let Role::Viewer(playback) = &mut peer.role else { return };
    let Some(known) = &mut playback.told else { return };
    let Some(track) = playback.tracks.iter().find(|track| track.kind == MediaKind::Video) else { return };
    let told = of(track, playback.adaptation.as_deref(), stream);
    if told.differs(known) {
        **known = told.clone();
        mail.notify(Notice::Layers { session, told: Box::new(told) });
    }
}

/// What a page is told.
fn of(track: &ViewerTrack, adaptation: Option<&Adaptation>, stream: &Stream) -> LayersTold {
    let ladder = stream.ladder_for(track);
    let layers: Vec<_> = ladder
        .rungs()
        .iter()
        .filter_map(|rung| stream.encoding(rung.encoding)?.measured())
        .map(|measured| LayerTold {
            rid: measured.rid.as_str().to_owned(),
            width: measured.width,
            height: measured.height,
            bits_per_second: measured.bits_per_second,
            frames_per_second: measured.frames_per_second,
            alive: measured.alive,
        })
        .collect();
    let place = |encoding| ladder.rungs().iter().position(|rung| rung.encoding == encoding).map(|place| place as u8);
    let is_sent = !track.is_paused && !track.is_withheld && track.subscription.encoding().is_some();
    let current = if is_sent { place(track.encoding()) } else { None };
    let (why, because) = why(track, adaptation, &ladder, current);
    let choice = match track.wish.choice {
        Choice::Auto => LayerChoice::Auto,
        Choice::SoundOnly => LayerChoice::SoundOnly,
        Choice::HeightMax(height) => LayerChoice::HeightMax(height),
        Choice::Encoding(encoding) => {
            let measured = stream.encoding(encoding).and_then(|encoding| encoding.measured());
            measured.map_or(LayerChoice::Auto, |measured| LayerChoice::Rid(measured.rid))
        }
    };
    LayersTold { layers, current, choice, why, because }
}

fn why(
    track: &ViewerTrack,
    adaptation: Option<&Adaptation>,
    ladder: &Ladder,
    current: Option<u8>,
) -> (&'static str, &'static str) {
    let (allowed, limited) = track.wish.allowed(ladder);
    if ladder.rungs().is_empty() {
        return ("not_published", "nothing is published yet");
    }
    let network = adaptation
        .filter(|adaptation| adaptation.decided > 0)
        .map(|adaptation| adaptation.bandwidth.controller().why());
    if let Some(network) = network.filter(|_| track.is_withheld) {
        return (network.name(), network.sentence());
    }
    if track.awaited().is_some() {
        return ("switching", "another one was asked for, and begins with its next key frame");
    }
    let highest = allowed.iter().rev().find(|rung| rung.alive);
    match (allowed.last(), highest, current) {
        (Some(last), Some(alive), _) if last.encoding != alive.encoding => {
            ("stopped", "the publisher does not send the better one now")
        }
        (Some(_), None, Some(_)) => ("stopped", "the publisher does not send the chosen one now"),
        (_, Some(alive), Some(_)) if alive.encoding != track.encoding() => {
            network.map_or(("start", "nothing is known of its network yet"), |why| (why.name(), why.sentence()))
        }
        _ if limited == Limited::Not && !ladder.is_simulcast() => ("only", "it is the only one that is published"),
        _ => (limited.name(), limited.sentence()),
    }
}

/// The names of the encodings that a viewer's track may be sent.
pub(in crate::worker) fn names(stream: &Stream, track: &ViewerTrack) -> Vec<(EncodingId, RidName)> {
    let rungs = stream.ladder_for(track);
    let name = |encoding| stream.encoding(encoding)?.measured().map(|measured| (encoding, measured.rid));
    rungs.rungs().iter().filter_map(|rung| name(rung.encoding)).collect()
}

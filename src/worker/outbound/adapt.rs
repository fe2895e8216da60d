//! What a viewer is sent of a picture, as far as its network decides: asks its estimate ([`crate::bandwidth`]), and does what that
//! says.
//!
//! Asked when feedback has come, and with every sender report, so that a viewer of which nothing is heard is looked at too.
//!
//! Not here: what the viewer's page has chosen ([`Wish`]). It rules encodings out, and its network decides among the others.

use crate::bandwidth::controller::{Decision, Place, Step};
use crate::bandwidth::rate::Rate;
use crate::description::MediaKind;
use crate::limits;
use crate::relay::play::wish::Wish;
use crate::relay::store::ladder::Ladder;
use crate::relay::store::numbers::EncodingId;
use crate::time::Timestamp;
use crate::worker::adaptation::{Adaptation, Switch};
use crate::worker::counters::Counters;
use crate::worker::mail::Mail;
use crate::worker::mailbox::Notice;
use crate::worker::outbound::{layers_told, switch};
use crate::worker::peer::{PeerKey, Playback, Role, Subscriber, ViewerTrack};
use crate::worker::peers::Peers;
use crate::worker::repairs::{Repair, Repairs};
use crate::worker::stream::Stream;
use crate::worker::streams::Streams;
use crate::worker::tracks::track_of;

/// The encodings a viewer's track may be sent, the least first.
#[derive(Clone, Copy, Debug)]
struct Steps {
    steps: [Step; limits::ENCODINGS_PER_TRACK_MAX],
    len: usize,
}

impl Steps {
    fn of(ladder: &Ladder, wish: &Wish, sound: Rate) -> Self {
        let none = Step { encoding: EncodingId::default(), rate: Rate::default() };
        let mut steps = Self { steps: [none; limits::ENCODINGS_PER_TRACK_MAX], len: 0 };
        let (allowed, _) = wish.allowed(ladder);
        let living = allowed.iter().filter(|rung| rung.alive);
        // What stands in where none of these is sent.
        let other = allowed.last().filter(|_| !allowed.iter().any(|rung| rung.alive));
        let other = other.and_then(|highest| ladder.rung(ladder.stand_in(highest.encoding)?));
        for (place, rung) in steps.steps.iter_mut().zip(living.chain(other)) {
            // Of one that has just begun nothing is known: nobody goes up to it yet.
            let bits = u64::from(rung.bits_per_second)
                .checked_add(sound.bits_per_second())
                .filter(|_| rung.bits_per_second > 0);
            *place = Step { encoding: rung.encoding, rate: bits.map_or(Rate::MAX, Rate::from_bits_per_second) };
            steps.len += 1;
        }
        steps
    }

    fn rate_of(&self, encoding: Option<EncodingId>) -> u32 {
        let step = self.as_slice().iter().find(|step| Some(step.encoding) == encoding);
        step.map_or(0, |step| u32::try_from(step.rate.bits_per_second()).unwrap_or(u32::MAX))
    }

    fn as_slice(&self) -> &[Step] {
        self.steps.get(..self.len).unwrap_or_default()
    }
}

/// What a stream's sound takes.
fn sound_of(stream: &Stream) -> Rate {
    let ladder = stream.ladder(track_of(MediaKind::Audio));
    Rate::from_bits_per_second(ladder.rungs().first().map_or(0, |rung| rung.bits_per_second.into()))
}

fn place_of<'a>(track: &ViewerTrack, steps: &'a Steps) -> Place<'a> {
    let has_rtx = track.subscription.format().is_some_and(|format| format.rtx_payload_type.is_some());
    Place {
        ladder: steps.as_slice(),
        sent: track.encoding(),
        awaited: track.awaited(),
        can_probe: has_rtx && track.subscription.has_transport_sequence(),
        is_sound_only: track.is_withheld,
    }
}

/// What deciding for a viewer may change.
pub(in crate::worker) struct AdaptPhase<'a> {
    pub(in crate::worker) peers: &'a mut Peers,
    pub(in crate::worker) streams: &'a mut Streams,
    pub(in crate::worker) counters: &'a mut Counters,
    pub(in crate::worker) mail: &'a mut Mail,
}

impl AdaptPhase<'_> {
    /// Decides for a viewer, and does it.
    pub(in crate::worker) fn decide(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Role::Viewer(playback) = &mut peer.role else { return };
        let Some(stream) = self.streams.get(peer.stream) else { return };
        let Playback { tracks, adaptation, .. } = playback;
        let Some(track) = tracks.iter_mut().find(|track| track.kind == MediaKind::Video) else { return };
        track.unsampled_until = Timestamp::ZERO;
        let ladder = stream.ladder_for(track);
        if track.listed.is_empty() || adaptation.is_none() && !ladder.is_simulcast() {
            return;
        }
        let adaptation = adaptation.get_or_insert_with(|| Box::new(Adaptation::new(now)));
        if let Some(capacity) = adaptation.bandwidth.estimator().capacity() {
            // Held while nothing new is known.
            track.pacer.set_capacity(Some(u32::try_from(capacity.bits_per_second()).unwrap_or(u32::MAX)));
        }
        if !track.has_begun() && !track.is_withheld {
            // Where it begins is decided elsewhere, and nothing is known yet.
            return;
        }
        let steps = Steps::of(&ladder, &track.wish, sound_of(stream));
        let place = place_of(track, &steps);
        let Some(Decision { encoding, why, drain }) = adaptation.bandwidth.decide(&place, now) else { return };
        adaptation.note(Switch { at: now, from: place.sent, to: encoding, why });
        self.counters.switched(why);
        self.mail.notify(Notice::Adapted { session: peer.id, from: place.sent, to: encoding, why });
        let before = track.wants();
        track.is_withheld = encoding.is_none();
        // Who is sent sound only keeps no encoding coming over a lane.
        self.streams.demand_moved(peer.stream, before, track.wants());
        track.has_let_go = drain.is_some();
        if let Some(drain) = drain {
            track.subscription.await_key_frame();
            track.is_held = true;
            track.pacer.narrowed(steps.rate_of(encoding), now + drain);
        }
        match encoding {
            None => track.subscription.await_key_frame(),
            // One that had sound only waits for a key frame, which is asked for here.
            Some(encoding) => switch::select(key, encoding, self.peers, self.streams),
        }
        layers_told::tell(key, self.peers, self.streams, self.mail);
    }
}

/// Queues a viewer's probe where one is due: its last packet once more, a few times at once, each with a number.
pub(in crate::worker) fn probe(
    key: PeerKey,
    peers: &mut Peers,
    streams: &Streams,
    repairs: &mut Repairs,
    now: Timestamp,
) {
    let Some(peer) = peers.get_mut(key) else { return };
    let Role::Viewer(Playback { tracks, adaptation: Some(adaptation), .. }) = &mut peer.role else { return };
    let Some(stream) = streams.get(peer.stream) else { return };
    let Some((index, track)) = tracks.iter().enumerate().find(|(_, track)| track.kind == MediaKind::Video) else {
        return;
    };
    let steps = Steps::of(&stream.ladder_for(track), &track.wish, sound_of(stream));
    let Some(sequence_number) = track.subscription.newest_sequence_number() else { return };
    if !repairs.has_room_for(limits::PROBE_PACKETS_SURE) {
        return;
    }
    for left in (0..adaptation.bandwidth.probe(&place_of(track, &steps), now)).rev() {
        let subscriber = Subscriber { peer: key, track: index as u8 };
        repairs.push(Repair { subscriber, sequence_number, probe: Some(left as u8) });
    }
}

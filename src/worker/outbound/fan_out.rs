//! Fan-out: encodings take turns, and a turn visits those whose cursors are behind.
//!
//! One call fills at most one batch, so that the network, timers and audio are looked at again every few hundred
//! packets. Audio goes first; video encodings take turns by bytes. Viewers on connections come when nobody else is behind, a
//! few in a round: a packet that arrives meanwhile shall find the worker back at the network soon.

use crate::limits;
use crate::net::prefetch::prefetch;
use crate::relay::play::broadcast::Broadcast;
use crate::relay::play::fan_out::{AfterVisit, Carried};
use crate::relay::play::subscription::Cursor;
use crate::time::Timestamp;
use crate::worker::counters::Counters;
use crate::worker::mail::Mail;
use crate::worker::outbound::payload_type;
use crate::worker::outbound::switch;
use crate::worker::outbound::visit::Visit;
use crate::worker::outbox::Outbox;
use crate::worker::peer::{Peer, PeerKey, Role, Subscriber};
use crate::worker::peers::Peers;
use crate::worker::reason::DropReason;
use crate::worker::residence::Note;
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;

/// Why serving an encoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// Nobody is behind.
    AllCaughtUp,
    /// It had its share.
    TurnOver,
    /// Only viewers on connections are.
    ConnectionsBehind,
    /// The batch is full.
    BatchFull,
}

/// What fan-out touches.
pub(in crate::worker) struct FanOutPhase<'a> {
    pub(in crate::worker) streams: &'a mut Streams,
    pub(in crate::worker) peers: &'a mut Peers,
    pub(in crate::worker) outbox: &'a mut Outbox,
    pub(in crate::worker) counters: &'a mut Counters,
    pub(in crate::worker) mail: &'a mut Mail,
    /// Viewers that got their first packet: their first sender report is due.
    pub(in crate::worker) reports_due: &'a mut Vec<PeerKey>,
    /// How long video is held for its frame's end now, if at all.
    pub(in crate::worker) hold: Option<std::time::Duration>,
}

impl FanOutPhase<'_> {
    /// Sends what cursors are behind of, until nobody is or the batch is full.
    pub(in crate::worker) fn run(&mut self, now: Timestamp) {
        // Nobody, where nobody has a connection: nothing is allocated.
        let mut behind = Vec::new();
        self.run_datagrams(&mut behind, now);
        let mut visits = limits::CONNECTION_VISITS_PER_ROUND_MAX;
        for key in behind {
            match self.serve(key, limits::BYTES_PER_TURN_MAX, Some(&mut visits), now) {
                (Served::AllCaughtUp, Some(due)) => self.streams.hold(key, due),
                (Served::AllCaughtUp, _) => self.streams.done(key),
                (Served::TurnOver | Served::ConnectionsBehind | Served::BatchFull, _) => self.streams.requeue(key),
            }
        }
    }

    /// Visits those who are sent datagrams. Encodings of which only others are behind are left in `behind`.
    fn run_datagrams(&mut self, behind: &mut Vec<EncodingKey>, now: Timestamp) {
        while let Some(key) = self.streams.next_audio() {
            match self.serve(key, usize::MAX, None, now) {
                // A viewer whose connection was full is tried again before the next packet: that comes when its picture has just
                // filled the connection anew, perhaps each time.
                (Served::AllCaughtUp, Some(due)) => self.streams.hold(key, due),
                (Served::AllCaughtUp, None) => self.streams.done(key),
                (Served::TurnOver, _) => self.streams.requeue(key),
                (Served::ConnectionsBehind, _) => behind.push(key),
                (Served::BatchFull, _) => {
                    self.streams.requeue(key);
                    return;
                }
            }
        }
        while let Some(key) = self.streams.next_video() {
            match self.serve(key, limits::BYTES_PER_TURN_MAX, None, now) {
                (Served::AllCaughtUp, Some(due)) => self.streams.hold(key, due),
                (Served::AllCaughtUp, None) => self.streams.done(key),
                (Served::TurnOver, _) => self.streams.requeue(key),
                (Served::ConnectionsBehind, _) => behind.push(key),
                (Served::BatchFull, _) => {
                    self.streams.requeue(key);
                    return;
                }
            }
        }
    }

    /// One turn of an encoding: lets its cursors move on, and visits those that are behind. Says with why it stopped when it
    /// is to be looked at again: when the newest frame is held no longer, or a paced viewer may go on. `connections` is how many
    /// visits there may be of viewers on connections; without it they are left.
    fn serve(
        &mut self,
        key: EncodingKey,
        bytes_max: usize,
        mut connections: Option<&mut usize>,
        now: Timestamp,
    ) -> (Served, Option<Timestamp>) {
        // Each part is borrowed anew: the loop then reads it through one pointer instead of two.
        let (streams, peers, outbox) = (&mut *self.streams, &mut *self.peers, &mut *self.outbox);
        let (counters, mail, reports_due) = (&mut *self.counters, &mut *self.mail, &mut *self.reports_due);
        let Some((encoding, progress)) = streams.turn(key) else { return (Served::AllCaughtUp, None) };
        let held_until = encoding.release(self.hold, now);
        encoding.fan_out.release_due(now);
        let all_decided = decide_formats(encoding, peers, mail);
        let fresh_from = encoding.fresh_from(now);
        let mut bytes = 0;
        let mut key_frame_wanted = false;
        // Nobody, but for those that switch: nothing is allocated.
        let mut arriving = Vec::new();
        let mut served = loop {
            if bytes >= bytes_max {
                break Served::TurnOver;
            }
            let out = outbox.batch();
            let enough = out.trains().len() >= limits::FAN_OUT_TRAINS_PER_ROUND_MAX;
            if enough || !out.has_room_for(limits::PACKETS_PER_VISIT_MAX) {
                break Served::BatchFull;
            }
            let mut next = encoding.fan_out.take_next();
            if next.is_none() && encoding.fan_out.is_connection_ready() {
                let Some(visits) = connections.as_deref_mut().filter(|visits| **visits > 0) else {
                    break Served::ConnectionsBehind;
                };
                *visits -= 1;
                next = encoding.fan_out.take_connection();
            }
            let Some(subscriber) = next else {
                break if all_decided { Served::AllCaughtUp } else { Served::TurnOver };
            };
            look_ahead(encoding, peers);
            let Some(peer) = peers.get_mut(subscriber.peer) else { continue };
            let mut visit = Visit::new(encoding, fresh_from, peer, out, now);
            let after = visit.run(usize::from(subscriber.track));
            let sent = visit.finish();
            if let Some(run) = sent.sampled {
                outbox.sampled(subscriber.peer, run);
            }
            progress.reached(sent.reached);
            counters.dropped_many(DropReason::DatagramTooLong, sent.too_long);
            bytes += sent.bytes as usize;
            counters.forwarded(sent.packets, sent.bytes);
            encoding.forwarded_packets += sent.packets;
            encoding.forwarded_bytes += sent.bytes;
            if sent.packets > 0
                && let Role::Viewer(playback) = &mut peer.role
                && playback.next_report.is_none()
            {
                playback.next_report = Some(now);
                reports_due.push(subscriber.peer);
            }
            if sent.is_elsewhere {
                arriving.push(subscriber);
            }
            key_frame_wanted |= after == AfterVisit::NeedsKeyFrame && wants_key_frame(peer, subscriber);
            let carried = if sent.by_connection { Carried::ByConnection } else { Carried::ByDatagrams };
            encoding.fan_out.visited(subscriber, after, carried);
        };
        let due = [held_until, encoding.fan_out.next_due()].into_iter().flatten().min();
        // Who is paced is behind by intent: its packets' time here says nothing of this worker.
        let caught_up = served == Served::AllCaughtUp;
        progress.turn_over(caught_up, encoding.released(), |passage| outbox.note(Note { key, passage }));
        if key_frame_wanted {
            streams.want_key_frame(key);
        }
        for subscriber in arriving {
            if switch::arrive(key, subscriber, peers, streams, mail, now) && served == Served::AllCaughtUp {
                served = Served::TurnOver;
            }
        }
        (served, due)
    }
}

/// Decides what those are sent for whom that is open, a bounded number in a turn: a publisher that changes its codec with
/// every frame must not make each turn a walk of all viewers. Whether nobody is left.
#[inline]
fn decide_formats(encoding: &mut Broadcast<Subscriber>, peers: &mut Peers, mail: &mut Mail) -> bool {
    if !encoding.fan_out.anyone_undecided() {
        return true;
    }
    for _ in 0..limits::FORMATS_DECIDED_PER_TURN_MAX {
        let Some(subscriber) = encoding.fan_out.take_undecided() else { return true };
        let Some(peer) = peers.get_mut(subscriber.peer) else { continue };
        if let Some(notice) = payload_type::decide(peer, subscriber.track, encoding) {
            mail.notify(notice);
        }
        encoding.fan_out.add_ready(subscriber);
    }
    !encoding.fan_out.anyone_undecided()
}

/// Brings what the coming visits will read into the cache while this one seals: with a thousand viewers each is cold, and
/// one thing leads to the next (peer, then track and keys). In six pairs of runs on a loaded machine relay ÷ floor was 1.27 to
/// 1.37 with it and 1.33 to 1.48 without (null sink, trains of eight to 1,000 viewers, `corecast bench --sink null`).
#[inline]
fn look_ahead(encoding: &Broadcast<Subscriber>, peers: &Peers) {
    if let Some(peer) = encoding.fan_out.upcoming(2).and_then(|later| peers.get(later.peer)) {
        prefetch(peer);
    }
    if let Some(next) = encoding.fan_out.upcoming(0)
        && let Some(peer) = peers.get(next.peer)
    {
        if let Role::Viewer(playback) = &peer.role
            && let Some(track) = playback.tracks.get(usize::from(next.track))
        {
            prefetch(track);
        }
        if let Some((sender, path)) = peer.session.egress() {
            prefetch(sender);
            peers.path_book().address(path).into_iter().for_each(prefetch);
        }
    }
}

fn wants_key_frame(peer: &Peer, subscriber: Subscriber) -> bool {
    match &peer.role {
        Role::Viewer(playback) => playback.tracks.get(usize::from(subscriber.track)).is_some_and(|track| {
            let could_begin = track.subscription.format().is_some() && !track.is_withheld && !track.is_held;
            could_begin && track.subscription.cursor() == Cursor::AwaitsKeyFrame
        }),
        Role::Publisher(_) => false,
    }
}

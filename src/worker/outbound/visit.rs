//! One visit: a bounded run of packets for one viewer, headers written and payloads sealed straight into the send slots.

use std::time::Duration;

use crate::description::MediaKind;
use crate::limits;
use crate::relay::play::alignment::EncodingView;
use crate::relay::play::broadcast::Broadcast;
use crate::relay::play::fan_out::AfterVisit;
use crate::relay::play::leaving_out::leaves_out;
use crate::relay::play::pacing::{self, Turn};
use crate::relay::play::renumbering::Renumbering;
use crate::relay::play::subscription::{Cursor, EgressHeader, Subscription};
use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::Position;
use crate::relay::store::packet_ring::{PacketInfo, Start};
use crate::session::SessionState;
use crate::srtp::SrtpSender;
use crate::time::Timestamp;
use crate::transport::{PathId, TrainBatch};
use crate::worker::outbox::SampledRun;
use crate::worker::peer::{Peer, Playback, Role, Subscriber, ViewerTrack};
use crate::worker::starts::key_frame_age_max;

/// One visit of one subscriber: a bounded run of packets from its cursor towards the head.
pub(super) struct Visit<'a> {
    encoding: &'a Broadcast<Subscriber>,
    /// [`Encoding::fresh_from`].
    fresh_from: Position,
    peer: &'a mut Peer,
    out: &'a mut TrainBatch,
    now: Timestamp,
    sent: Sent,
}

/// What a visit sent.
#[derive(Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// The position after the last packet sent; 0 before one.
    pub(super) reached: Position,
    /// Packets left out because they would be longer than a datagram may be.
    pub(super) too_long: u64,
    /// The viewer is sent another encoding than the one it was visited in.
    pub(super) is_elsewhere: bool,
    /// Its path is a connection.
    pub(super) by_connection: bool,
    /// The packets with transport-wide numbers.
    pub(super) sampled: Option<SampledRun>,
}

impl<'a> Visit<'a> {
    #[inline]
    pub(super) fn new(
        encoding: &'a Broadcast<Subscriber>,
        fresh_from: Position,
        peer: &'a mut Peer,
        out: &'a mut TrainBatch,
        now: Timestamp,
    ) -> Self {
        Self { encoding, fresh_from, peer, out, now, sent: Sent::default() }
    }

    /// What it sent.
    #[inline]
    pub(super) fn finish(self) -> Sent {
        self.sent
    }

    /// Visits one track of the viewer.
    pub(super) fn run(&mut self, track: usize) -> AfterVisit {
        let Role::Viewer(playback) = &mut self.peer.role else { return AfterVisit::Gone };
        let Playback { tracks, adaptation, .. } = playback;
        let Some(track) = tracks.get_mut(track) else { return AfterVisit::Gone };
        let Some((sender, path)) = self.peer.session.egress() else {
            // Without consent nothing is sent; the cursor waits, and skips to where it belongs when consent is back.
            let connected = self.peer.session.state() == SessionState::Connected;
            return if connected { AfterVisit::CaughtUp } else { AfterVisit::Gone };
        };
        self.sent.by_connection = path.is_connection();
        let is_full = self.peer.full_path == Some(path);
        if let Some(adaptation) = adaptation.as_deref_mut().filter(|_| path.is_connection()) {
            adaptation.bandwidth.blocked(is_full, self.now);
        }
        if is_full {
            // Its packets wait in the ring; the cursor skips what gets old.
            return AfterVisit::Later(self.now + limits::CONNECTION_FULL_RETRY);
        }
        let encoding = self.encoding;
        if track.encoding() != encoding.id() {
            self.sent.is_elsewhere = true;
            return AfterVisit::Gone;
        }
        let is_video = encoding.kind() == MediaKind::Video;
        if track.subscription.format().is_none() || track.is_withheld || track.is_held {
            // Woken again by the next key frame or change of codec.
            return if is_video { AfterVisit::NeedsKeyFrame } else { AfterVisit::CaughtUp };
        }
        let is_paced = is_video && !path.is_connection();
        let mut more_at_once = 0;
        if !track.subscription.goes_from(self.fresh_from) {
            match place_cursor(track, encoding, is_video, path.is_connection(), self.now) {
                Err(after) => return after,
                Ok(Placed::Goes) => {}
                Ok(Placed::Started { start, newest }) => {
                    hurry(track, encoding, start, newest, is_paced, self.now);
                    if newest.is_none() {
                        more_at_once = limits::FIRST_TRAIN_MORE_PACKETS;
                    }
                }
            }
        }
        let behind = behind(track, encoding);
        let train_max = if !is_paced || track.pacer.is_free(behind, self.now) {
            limits::PACKETS_PER_VISIT_MAX
        } else {
            match track.pacer.turn(encoding.pace(), behind, self.now) {
                Turn::Now(packets) => packets,
                Turn::Later(due) => return AfterVisit::Later(due),
            }
        };
        // Of its first picture only: what follows that may come at its pace.
        let mut packets_max = (train_max + more_at_once).min(limits::PACKETS_PER_VISIT_MAX);
        let tag_len = sender.profile().tag_len();
        let mut sampling = None;
        // Sound is not sampled: its packets come alone, and would take the turns of frames, whose packets show the rate.
        if let Some(adaptation) = adaptation.as_deref_mut()
            && is_video
            && track.unsampled_until <= self.now
            && track.subscription.has_transport_sequence()
        {
            if adaptation.bandwidth.samples(self.now) {
                sampling = Some(adaptation);
            } else if !path.is_connection() {
                // Of a connection that takes nothing something is learnt here, and nobody is told.
                track.unsampled_until = adaptation.bandwidth.next_sample(self.now);
            }
        }
        let mut packets = 0;
        if sampling.is_none()
            && more_at_once == 0
            && !track.selection.looks_at_packets()
            && track.subscription.is_plain()
        {
            packets =
                plain_run(&mut track.subscription, encoding, (sender, path), packets_max, self.out, &mut self.sent);
        }
        while let Cursor::At(position) = track.subscription.cursor()
            && position < encoding.released()
        {
            if packets == packets_max {
                break;
            }
            let Some((info, payload)) = encoding.ring.get(position) else { break };
            track.subscription.advance();
            packets += 1;
            if info.marker && packets_max > train_max {
                packets_max = train_max.max(packets);
            }
            if track.selection.looks_at_packets()
                && leaves_out(&mut track.selection, &mut track.subscription, encoding, info, payload)
            {
                continue;
            }
            let slot = self.out.slot();
            let Some(header) = track.subscription.write_header(slot, info) else { continue };
            let len = header.len + payload.len() + usize::from(info.padding) + tag_len;
            if len > limits::DATAGRAM_OUT_BYTES_MAX {
                self.sent.too_long += 1;
                continue;
            }
            let mut number = None;
            if let Some(adaptation) = &mut sampling
                && adaptation.bandwidth.is_sampling()
            {
                let stamped = adaptation.bandwidth.stamp(len, info.marker, self.now);
                let asked =
                    if track.subscription.asks_for_feedback() { adaptation.bandwidth.asked(self.now) } else { 0 };
                track.subscription.write_transport_sequence(slot, stamped, asked);
                number = Some(stamped);
            }
            let len = match header.renumbering {
                Renumbering::NONE => sender.seal_rtp(header.index.0, header.len, slot, payload, info.padding),
                _ => seal_renumbered(sender, header, slot, payload, info.padding),
            };
            let Some(len) = len else { continue };
            self.out.commit(path, len);
            if let Some(number) = number {
                let train = self.out.trains().len() - 1;
                self.sent.sampled.get_or_insert(SampledRun { number, from: train, to: train }).to = train;
            }
            track.subscription.sent(header.index, payload.len());
            self.sent.packets += 1;
            self.sent.bytes += len as u64;
        }
        self.peer.session.note_sealed(self.sent.packets);
        self.peer.sent.packets += self.sent.packets;
        self.peer.sent.bytes += self.sent.bytes;
        if let Cursor::At(position) = track.subscription.cursor()
            && self.sent.packets > 0
        {
            self.sent.reached = position;
        }
        let after = match track.subscription.cursor() {
            // What a connection takes at a time is known when it has left.
            Cursor::At(position) if position < encoding.released() && path.is_connection() => {
                AfterVisit::Later(self.now + limits::CONNECTION_PAUSE)
            }
            Cursor::At(position) if position < encoding.released() => AfterVisit::Behind,
            Cursor::At(_) => AfterVisit::CaughtUp,
            Cursor::AwaitsKeyFrame => AfterVisit::NeedsKeyFrame,
        };
        if !is_paced {
            return after;
        }
        let beyond_pace = packets.saturating_sub(train_max) as u64 * u64::from(limits::PACED_PACKET_BYTES);
        track.pacer.sent(encoding.pace(), self.sent.bytes.saturating_sub(beyond_pace), self.now);
        let after = match after {
            AfterVisit::Behind => after_train(track, encoding, self.now),
            AfterVisit::CaughtUp => {
                track.pacer.caught_up();
                after
            }
            _ => after,
        };
        if let (Some(adaptation), AfterVisit::Later(_)) = (sampling, after) {
            adaptation.bandwidth.paused();
        }
        after
    }
}

/// Sends a viewer whose packets go out as they are stored the next ones, `packets_max` at most. Returns how many; what is not as a
/// rule is left where it is.
#[inline]
fn plain_run(
    subscription: &mut Subscription,
    encoding: &Encoding,
    (sender, path): (&SrtpSender, PathId),
    packets_max: usize,
    out: &mut TrainBatch,
    sent: &mut Sent,
) -> usize {
    let Cursor::At(first) = subscription.cursor() else { return 0 };
    let end = encoding.released().0.min(first.0.saturating_add(packets_max as u64));
    let tag_len = sender.profile().tag_len();
    let mut position = first.0;
    while position < end
        && let Some((info, payload)) = encoding.ring.get(Position(position))
    {
        let slot = out.slot();
        let Some(header) = subscription.write_plain_header(slot, info) else { break };
        if header.len + payload.len() + usize::from(info.padding) + tag_len > limits::DATAGRAM_OUT_BYTES_MAX {
            break;
        }
        let Some(len) = sender.seal_rtp(header.index.0, header.len, slot, payload, info.padding) else { break };
        out.commit(path, len);
        subscription.sent(header.index, payload.len());
        position += 1;
        sent.bytes += len as u64;
    }
    let packets = position.saturating_sub(first.0);
    subscription.advance_by(packets);
    sent.packets += packets;
    packets as usize
}

/// How many packets the viewer has not been sent yet.
#[inline]
fn behind(track: &ViewerTrack, encoding: &Encoding) -> u64 {
    match track.subscription.cursor() {
        Cursor::At(position) => encoding.released().0.saturating_sub(position.0),
        Cursor::AwaitsKeyFrame => 0,
    }
}

/// Where a paced track goes that has more to send: it waits until it may. One that is far behind is hurried.
#[cold]
fn after_train(track: &mut ViewerTrack, encoding: &Broadcast<Subscriber>, now: Timestamp) -> AfterVisit {
    let behind = behind(track, encoding);
    if behind > limits::PACED_BEHIND_PACKETS_MAX {
        let bytes = behind * u64::from(limits::PACED_PACKET_BYTES);
        let wanted = pacing::catch_up_bits_per_second(encoding.rate(), bytes, limits::CATCH_UP_TIME);
        track.pacer.catch_up(wanted, now);
    }
    track.pacer.hurry_due(now);
    match track.pacer.turn(encoding.pace(), behind, now) {
        Turn::Now(_) => AfterVisit::Behind,
        Turn::Later(due) => AfterVisit::Later(due),
    }
}

/// What became of a cursor.
enum Placed {
    /// It goes on where it was, or with the newest sound.
    Goes,
    /// It was put at a key frame. The timestamp that the viewer was sent last, if any.
    Started { start: Start, newest: Option<u32> },
}

/// A viewer that was put at `start` in the picture is sent what lies between that and the live edge faster than the stream
/// comes, and its timestamps say so.
pub(super) fn hurry(
    track: &mut ViewerTrack,
    encoding: &Broadcast<Subscriber>,
    start: Start,
    newest: Option<u32>,
    is_paced: bool,
    now: Timestamp,
) {
    track.starts.started(now);
    let bytes = encoding.ring.bytes_from(start.position);
    let lasts = if is_paced {
        let reports = track.subscription.has_transport_sequence();
        let from = if reports { now + limits::HURRIED_UNHEARD_AFTER } else { now };
        // Who is started again has waited already.
        let time = if track.starts.is_again() { limits::CATCH_UP_AGAIN_TIME } else { limits::CATCH_UP_TIME };
        track.pacer.catch_up(pacing::catch_up_bits_per_second(encoding.rate(), bytes, time), from);
        track.pacer.hurry_due(now);
        track.pacer.time_to_send(encoding.pace(), encoding.rate(), bytes, now)
    } else {
        Duration::ZERO
    };
    track.subscription.squeeze(&encoding.ring, start, lasts, newest, encoding.clock_rate_hz());
}

/// Seals a packet that goes out other than it is stored.
#[cold]
fn seal_renumbered(
    sender: &SrtpSender,
    header: EgressHeader,
    slot: &mut [u8],
    payload: &[u8],
    padding: u8,
) -> Option<usize> {
    let mut copy = [0; limits::DATAGRAM_OUT_BYTES_MAX];
    let payload = header.renumbering.apply(slot, payload, &mut copy)?;
    sender.seal_rtp(header.index.0, header.len, slot, payload, padding)
}

/// Moves a cursor to where its next packet is; `Err` says where the subscriber waits when there is none.
#[inline]
fn place_cursor(
    track: &mut ViewerTrack,
    encoding: &Encoding,
    is_video: bool,
    by_connection: bool,
    now: Timestamp,
) -> Result<Placed, AfterVisit> {
    let ViewerTrack { subscription, starts, .. } = track;
    let skips = subscription.skips;
    if let Cursor::At(position) = subscription.settle(&encoding.ring, is_video, now) {
        let is_old = |(info, _): (&PacketInfo, _)| now.since(info.arrival) > limits::RING_HISTORY;
        if by_connection && is_video && encoding.ring.get(position).is_some_and(is_old) {
            // The ring may hold more, for those that join. What is as old is not played.
            subscription.await_key_frame();
        } else if encoding.continues_at(position) {
            if is_video && subscription.skips != skips {
                let start = encoding.ring.key_frame().ok_or(AfterVisit::NeedsKeyFrame)?;
                return Ok(started(subscription, encoding, start));
            }
            return Ok(Placed::Goes);
        } else {
            // Of another codec, or what follows it never came here.
            subscription.await_key_frame();
        }
    }
    let start = if is_video {
        encoding.key_frame_within(key_frame_age_max(by_connection), now).ok_or(AfterVisit::NeedsKeyFrame)?
    } else {
        // Audio starts with the newest packet, or with the next one.
        encoding.fresh_sound(now).ok_or(AfterVisit::CaughtUp)?
    };
    if subscription.is_ahead(encoding.id(), start.sequence) {
        subscription.start_at(encoding.id(), start, now);
    } else if is_video && starts.is_due() {
        subscription.start_again(&EncodingView::of(encoding), start, now);
    } else {
        return Err(if is_video { AfterVisit::NeedsKeyFrame } else { AfterVisit::CaughtUp });
    }
    Ok(if is_video { started(subscription, encoding, start) } else { Placed::Goes })
}

#[cold]
fn started(subscription: &Subscription, encoding: &Encoding, start: Start) -> Placed {
    let ring_of = |id| (id == encoding.id()).then_some(&encoding.ring);
    Placed::Started { start, newest: subscription.newest_timestamp(ring_of) }
}

//! Fan-out: cursors are visited, headers written, payloads sealed straight into the send slots.
//!
//! One call fills at most one batch, so that the network, timers and audio are looked at again every few hundred
//! packets. Audio goes first; video encodings take turns by bytes.

use crate::description::MediaKind;
use crate::description::codec_match;
use crate::limits;
use crate::net::prefetch::prefetch;
use crate::relay::play::fan_out::AfterVisit;
use crate::relay::play::subscription::{Cursor, EgressFormat};
use crate::relay::store::encoding::Encoding;
use crate::time::Timestamp;
use crate::transport::TrainBatch;
use crate::worker::mailbox::Notice;
use crate::worker::peer::{Peer, PeerKey, Role, Subscriber, ViewerTrack};
use crate::worker::round::Worker;
use crate::worker::stream::EncodingKey;

/// Why serving an encoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// Nobody is behind.
    AllCaughtUp,
    /// It had its share.
    TurnOver,
    /// The batch is full.
    BatchFull,
}

impl Worker {
    /// Sends what cursors are behind of, until nobody is or the batch is full.
    pub(super) fn fan_out(&mut self, now: Timestamp) {
        while let Some(key) = self.streams.next_audio() {
            match self.serve(key, usize::MAX, now) {
                Served::AllCaughtUp => self.streams.done(key),
                Served::TurnOver => self.streams.requeue(key),
                Served::BatchFull => {
                    self.streams.requeue(key);
                    return;
                }
            }
        }
        while let Some(key) = self.streams.next_video() {
            let held_until = self.release(key, now);
            match self.serve(key, limits::BYTES_PER_TURN_MAX, now) {
                Served::AllCaughtUp => match held_until {
                    Some(due) => self.streams.hold(key, due),
                    None => self.streams.done(key),
                },
                Served::TurnOver => self.streams.requeue(key),
                Served::BatchFull => {
                    self.streams.requeue(key);
                    return;
                }
            }
        }
    }

    /// Lets an encoding's cursors move on; `Some` while its newest frame is held, with the time it is held to.
    fn release(&mut self, key: EncodingKey, now: Timestamp) -> Option<Timestamp> {
        let busy = self.load.busy_permille() >= limits::HOLD_ABOVE_BUSY_PERMILLE;
        let hold = (busy && !self.config.hold_max.is_zero()).then_some(self.config.hold_max);
        let encoding = self.streams.get_mut(key.stream)?.encodings.get_mut(key.encoding)?;
        encoding.release(hold, now)
    }

    fn serve(&mut self, key: EncodingKey, bytes_max: usize, now: Timestamp) -> Served {
        let Self { streams, peers, out, counters, live, reports_due, notices_waiting, .. } = self;
        let Some(stream) = streams.get_mut(key.stream) else { return Served::AllCaughtUp };
        let (Some(encoding), Some(progress)) =
            (stream.encodings.get_mut(key.encoding), stream.progress.get_mut(key.encoding))
        else {
            return Served::AllCaughtUp;
        };
        if encoding.kind() == MediaKind::Audio {
            encoding.release(None, now);
        }
        let mut bytes = 0;
        let mut key_frame_wanted = false;
        let served = loop {
            if bytes >= bytes_max {
                break Served::TurnOver;
            }
            let enough = out.trains().len() >= limits::FAN_OUT_TRAINS_PER_ROUND_MAX;
            if enough || !out.has_room_for(limits::PACKETS_PER_VISIT_MAX) {
                break Served::BatchFull;
            }
            let Some(subscriber) = encoding.fan_out.take_next() else { break Served::AllCaughtUp };
            look_ahead(encoding, peers);
            let Some(peer) = peers.get_mut(subscriber.peer) else { continue };
            let mut visit = Visit {
                encoding,
                peer,
                out,
                now,
                sent_packets: 0,
                sent_bytes: 0,
                reached: 0,
                too_long: 0,
                notice: None,
            };
            let after = visit.run(usize::from(subscriber.track));
            progress.reached = progress.reached.max(visit.reached);
            let (sent_packets, sent_bytes, notice) = (visit.sent_packets, visit.sent_bytes, visit.notice.take());
            counters.dropped_many("datagram_too_long", visit.too_long);
            bytes += sent_bytes as usize;
            counters.forwarded.packets += sent_packets;
            counters.forwarded.bytes += sent_bytes;
            encoding.forwarded_packets += sent_packets;
            encoding.forwarded_bytes += sent_bytes;
            notices_waiting.extend(notice);
            if sent_packets > 0
                && let Role::Viewer(viewer) = &mut peer.role
                && viewer.next_report.is_none()
            {
                viewer.next_report = Some(now);
                reports_due.push(subscriber.peer);
            }
            key_frame_wanted |= after == AfterVisit::NeedsKeyFrame && wants_key_frame(peer, subscriber);
            encoding.fan_out.visited(subscriber, after);
        };
        progress.notes(key, served == Served::AllCaughtUp, encoding.released(), |note| live.notes.push(note));
        if key_frame_wanted {
            streams.want_key_frame(key);
        }
        served
    }

    /// Puts a newly connected viewer's tracks where their first packet will come from.
    pub(super) fn start_viewer(&mut self, key: PeerKey, _now: Timestamp) {
        let Some(peer) = self.peers.get(key) else { return };
        let Role::Viewer(viewer) = &peer.role else { return };
        let stream_id = peer.stream;
        let kinds: Vec<MediaKind> = viewer.tracks.iter().map(|track| track.kind).collect();
        for (track, kind) in kinds.into_iter().enumerate() {
            let encoding = super::stream::encoding_index(kind);
            let Some(stream) = self.streams.get_mut(stream_id) else { return };
            stream.encodings[encoding].fan_out.add_ready(Subscriber { peer: key, track: track as u8 });
            self.streams.queue(EncodingKey { stream: stream_id, encoding });
        }
    }

    /// Sends the first sender reports of viewers that just got their first packet.
    pub(super) fn send_due_reports(&mut self, now: Timestamp) {
        while let Some(key) = self.reports_due.pop() {
            self.send_sender_report(key, now);
            self.arm(key);
        }
    }
}

/// Brings what the coming visits will read into the cache while this one seals: with a thousand viewers each is cold, and
/// one thing leads to the next (peer, then track and keys). In six pairs of runs on a loaded machine relay ÷ floor was 1.27 to
/// 1.37 with it and 1.33 to 1.48 without (null sink, trains of eight to 1,000 viewers, `corecast bench --sink null`).
#[inline]
fn look_ahead(encoding: &Encoding<Subscriber>, peers: &slotmap::SlotMap<PeerKey, Peer>) {
    if let Some(peer) = encoding.fan_out.upcoming(2).and_then(|later| peers.get(later.peer)) {
        prefetch(peer);
    }
    if let Some(next) = encoding.fan_out.upcoming(0)
        && let Some(peer) = peers.get(next.peer)
    {
        if let Role::Viewer(viewer) = &peer.role
            && let Some(track) = viewer.tracks.get(usize::from(next.track))
        {
            prefetch(track);
        }
        if let Some((sender, path)) = peer.session.egress() {
            prefetch(sender);
            prefetch(path);
        }
    }
}

fn wants_key_frame(peer: &Peer, subscriber: Subscriber) -> bool {
    match &peer.role {
        Role::Viewer(viewer) => viewer.tracks.get(usize::from(subscriber.track)).is_some_and(|track| {
            track.subscription.format().is_some() && track.subscription.cursor() == Cursor::AwaitsKeyFrame
        }),
        Role::Publisher(_) => false,
    }
}

/// One visit of one subscriber: a bounded run of packets from its cursor towards the head.
struct Visit<'a> {
    encoding: &'a Encoding<Subscriber>,
    peer: &'a mut Peer,
    out: &'a mut TrainBatch,
    now: Timestamp,
    sent_packets: u64,
    sent_bytes: u64,
    /// The position after the last packet sent; 0 before one.
    reached: u64,
    too_long: u64,
    notice: Option<Notice>,
}

impl Visit<'_> {
    fn run(&mut self, track: usize) -> AfterVisit {
        let session = self.peer.id;
        let Role::Viewer(viewer) = &mut self.peer.role else { return AfterVisit::Gone };
        let Some(track) = viewer.tracks.get_mut(track) else { return AfterVisit::Gone };
        let Some((sender, path)) = self.peer.session.egress() else { return AfterVisit::Gone };
        let encoding = self.encoding;
        if track.codec_generation != encoding.codec_generation() {
            self.notice = choose_format(track, encoding, session);
        }
        let is_video = encoding.kind() == MediaKind::Video;
        if track.subscription.format().is_none() {
            // Woken again by the next key frame or change of codec.
            return if is_video { AfterVisit::NeedsKeyFrame } else { AfterVisit::CaughtUp };
        }
        if let Err(after) = place_cursor(track, encoding, is_video, self.now) {
            return after;
        }
        let tag_len = sender.profile().tag_len();
        let mut packets = 0;
        while let Cursor::At(position) = track.subscription.cursor()
            && position < encoding.released()
        {
            if packets == limits::PACKETS_PER_VISIT_MAX {
                break;
            }
            let Some((info, payload)) = encoding.ring.get(position) else { break };
            track.subscription.advance();
            packets += 1;
            let slot = self.out.slot();
            let Some(header) = track.subscription.write_header(slot, info) else { continue };
            let len = header.len + payload.len() + usize::from(info.padding) + tag_len;
            if len > limits::DATAGRAM_OUT_BYTES_MAX {
                self.too_long += 1;
                continue;
            }
            let Some(len) = sender.seal_rtp(header.index, header.len, slot, payload, info.padding) else { continue };
            self.out.commit(path, len);
            track.subscription.sent(header.index, payload.len());
            self.sent_packets += 1;
            self.sent_bytes += len as u64;
        }
        self.peer.session.note_sealed(self.sent_packets);
        self.peer.sent.packets += self.sent_packets;
        self.peer.sent.bytes += self.sent_bytes;
        if let Cursor::At(position) = track.subscription.cursor()
            && self.sent_packets > 0
        {
            self.reached = position;
        }
        match track.subscription.cursor() {
            Cursor::At(position) if position < encoding.released() => AfterVisit::Behind,
            Cursor::At(_) => AfterVisit::CaughtUp,
            Cursor::AwaitsKeyFrame => AfterVisit::NeedsKeyFrame,
        }
    }
}

/// Moves a cursor to where its next packet is; `Err` says where the subscriber waits when there is none.
fn place_cursor(
    track: &mut ViewerTrack,
    encoding: &Encoding<Subscriber>,
    is_video: bool,
    now: Timestamp,
) -> Result<(), AfterVisit> {
    let subscription = &mut track.subscription;
    if let Cursor::At(position) = subscription.settle(&encoding.ring, is_video, now) {
        if encoding.continues_at(position) {
            return Ok(());
        }
        // Of another codec, or what follows it never came here.
        subscription.await_key_frame();
    }
    let start = if is_video {
        encoding.fresh_key_frame(now).ok_or(AfterVisit::NeedsKeyFrame)?
    } else {
        // Audio starts with the newest packet, or with the next one.
        let newest = encoding.ring.newest().ok_or(AfterVisit::CaughtUp)?;
        let (info, _) = encoding.ring.get(newest.position).ok_or(AfterVisit::CaughtUp)?;
        if !encoding.may_start_at(newest.position) || now.since(info.arrival) > limits::AUDIO_START_AGE_MAX {
            return Err(AfterVisit::CaughtUp);
        }
        newest
    };
    if !subscription.is_ahead(start.sequence) {
        return Err(if is_video { AfterVisit::NeedsKeyFrame } else { AfterVisit::CaughtUp });
    }
    subscription.start_at(start);
    Ok(())
}

/// Chooses among what the viewer can decode; a notice when nothing fits.
fn choose_format(
    track: &mut ViewerTrack,
    encoding: &Encoding<Subscriber>,
    session: crate::worker::mailbox::SessionId,
) -> Option<Notice> {
    track.codec_generation = encoding.codec_generation();
    let published = encoding.codec()?;
    let chosen =
        codec_match::fits(published.codec, published.format, &track.codecs).and_then(|index| track.codecs.get(index));
    track.subscription.set_format(chosen.map(|codec| EgressFormat {
        payload_type: codec.payload_type,
        rtx_payload_type: codec.rtx_payload_type,
        clock_rate_hz: codec.clock_rate_hz,
    }));
    chosen.is_none().then(|| Notice::NothingFits { session, published: published.to_string() })
}

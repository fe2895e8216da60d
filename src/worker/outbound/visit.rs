//! One visit: a bounded run of packets for one viewer, headers written and payloads sealed straight into the send slots.

use crate::description::MediaKind;
use crate::limits;
use crate::relay::play::fan_out::AfterVisit;
use crate::relay::play::leaving_out::leaves_out;
use crate::relay::play::pacing::Pacer;
use crate::relay::play::renumbering::Renumbering;
use crate::relay::play::subscription::{Cursor, EgressHeader};
use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::Position;
use crate::session::SessionState;
use crate::srtp::SrtpSender;
use crate::time::Timestamp;
use crate::transport::TrainBatch;
use crate::worker::outbox::SampledRun;
use crate::worker::peer::{Peer, Playback, Role, ViewerTrack};

/// One visit of one subscriber: a bounded run of packets from its cursor towards the head.
pub(super) struct Visit<'a> {
    encoding: &'a Encoding,
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
    pub(super) fn new(encoding: &'a Encoding, peer: &'a mut Peer, out: &'a mut TrainBatch, now: Timestamp) -> Self {
        Self { encoding, peer, out, now, sent: Sent::default() }
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
        if track.subscription.format().is_none() || track.is_withheld {
            // Woken again by the next key frame or change of codec.
            return if is_video { AfterVisit::NeedsKeyFrame } else { AfterVisit::CaughtUp };
        }
        if let Err(after) = place_cursor(track, encoding, is_video, self.now) {
            return after;
        }
        let packets_max = match track.pacer.as_deref_mut().map(|pacer| packets_due(pacer, self.now)) {
            None => limits::PACKETS_PER_VISIT_MAX,
            Some(Ok(packets)) => packets,
            Some(Err(later)) => return later,
        };
        let tag_len = sender.profile().tag_len();
        let mut sampling = None;
        if let Some(adaptation) = adaptation.as_deref_mut()
            && track.subscription.has_transport_sequence()
            && adaptation.bandwidth.samples(self.now)
        {
            sampling = Some(adaptation);
        }
        let mut packets = 0;
        while let Cursor::At(position) = track.subscription.cursor()
            && position < encoding.released()
        {
            if packets == packets_max {
                break;
            }
            let Some((info, payload)) = encoding.ring.get(position) else { break };
            track.subscription.advance();
            packets += 1;
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
                track.subscription.write_transport_sequence(slot, stamped);
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
        let after =
            track.pacer.as_deref_mut().map_or(after, |pacer| after_paced(pacer, self.sent.bytes, after, self.now));
        if let (Some(adaptation), AfterVisit::Later(_)) = (sampling, after) {
            adaptation.bandwidth.paused();
        }
        after
    }
}

/// How many packets a paced track may send now, counted as the longest there are, the last of them in part on credit; `Err`
/// says until when it waits where that is none.
#[cold]
fn packets_due(pacer: &mut Pacer, now: Timestamp) -> Result<usize, AfterVisit> {
    match pacer.budget(now).div_ceil(limits::DATAGRAM_OUT_BYTES_MAX) {
        0 => Err(AfterVisit::Later(pacer.due())),
        packets => Ok(packets.min(limits::PACKETS_PER_VISIT_MAX)),
    }
}

/// Where a paced track goes that was sent so much: one that has more to send waits until it may.
#[cold]
fn after_paced(pacer: &mut Pacer, bytes: u64, after: AfterVisit, now: Timestamp) -> AfterVisit {
    pacer.spent(bytes as usize);
    let due = pacer.due();
    if after == AfterVisit::Behind && due > now { AfterVisit::Later(due) } else { after }
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
fn place_cursor(
    track: &mut ViewerTrack,
    encoding: &Encoding,
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
        encoding.fresh_sound(now).ok_or(AfterVisit::CaughtUp)?
    };
    if !subscription.is_ahead(encoding.id(), start.sequence) {
        return Err(if is_video { AfterVisit::NeedsKeyFrame } else { AfterVisit::CaughtUp });
    }
    subscription.start_at(encoding.id(), start, now);
    Ok(())
}

//! A compound RTCP packet: a publisher's sender reports; a viewer's receiver reports, NACKs and key-frame requests.

use std::time::Duration;

use crate::description::MediaKind;
use crate::limits;
use crate::relay::play::subscription::Cursor;
use crate::relay::publish::publication::Publication;
use crate::relay::store::encoding::Encoding;
use crate::session::Session;
use crate::time::{NtpTime, Timestamp};
use crate::wire::rtcp::nack::Nack;
use crate::wire::rtcp::{self, ReportBlock, RtcpPacket};
use crate::worker::counters::Counters;
use crate::worker::distribution::{publish, tell_rungs};
use crate::worker::lane::Lanes;
use crate::worker::peer::{Peer, PeerKey, Playback, Role, StreamKey, Subscriber, ViewerTrack};
use crate::worker::reason::DropReason;
use crate::worker::repairs::{Repair, Repairs};
use crate::worker::starts::{Wished, key_frame_age_max};
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;

/// Whose feedback it is.
#[derive(Clone, Copy)]
struct From<'a> {
    key: PeerKey,
    stream: StreamKey,
    session: &'a Session,
}

/// What feedback may change.
pub(super) struct Feedback<'a> {
    pub(super) wall_clock: NtpTime,
    pub(super) streams: &'a mut Streams,
    pub(super) lanes: &'a mut Lanes,
    pub(super) repairs: &'a mut Repairs,
    pub(super) counters: &'a mut Counters,
}

impl Feedback<'_> {
    /// Takes a peer's compound. Whether it says something of the peer's network, by which is to be decided what it is sent.
    pub(super) fn handle(&mut self, key: PeerKey, peer: &mut Peer, compound: &[u8], now: Timestamp) -> bool {
        let mut tells = false;
        for (handled, packet) in rtcp::packets(compound).enumerate() {
            if handled >= limits::RTCP_PACKETS_PER_COMPOUND_MAX {
                self.counters.dropped(DropReason::RtcpCompoundTooLong);
                break;
            }
            let Ok(packet) = packet else {
                self.counters.dropped(DropReason::RtcpMalformed);
                break;
            };
            match &mut peer.role {
                Role::Publisher(publication) => self.of_publisher((peer.stream, key), publication, &packet, now),
                Role::Viewer(playback) => {
                    tells |= self.estimate(playback, peer.sent.bytes, &packet, now);
                    let from = From { key, stream: peer.stream, session: &peer.session };
                    tells |= self.of_viewer(from, playback, &packet, now);
                }
            }
        }
        tells
    }

    /// Folds what a viewer says of its network into its estimate. Whether it said something.
    fn estimate(&mut self, playback: &mut Playback, sent_bytes: u64, packet: &RtcpPacket<'_>, now: Timestamp) -> bool {
        let Some(adaptation) = playback.adaptation.as_deref_mut() else { return false };
        match packet {
            RtcpPacket::TransportFeedback(feedback) => {
                let folded = adaptation.bandwidth.transport_feedback(feedback, sent_bytes, now);
                if folded.over_rate {
                    self.counters.dropped(DropReason::FeedbackOverRate);
                }
                self.counters.dropped_many(DropReason::FeedbackOfNeverSent, folded.never_sent.into());
                self.counters.dropped_many(DropReason::FeedbackTooLong, folded.left_out.into());
                !folded.over_rate
            }
            RtcpPacket::Remb(remb) => {
                adaptation.bandwidth.remb(remb.bitrate_bps, now);
                true
            }
            _ => false,
        }
    }

    fn of_publisher(
        &mut self,
        (stream, from): (StreamKey, PeerKey),
        publication: &mut Publication,
        packet: &RtcpPacket<'_>,
        now: Timestamp,
    ) {
        match packet {
            RtcpPacket::SenderReport(report) => {
                let track = publication.sender_report(report.ssrc, &report.info, self.wall_clock, now);
                let Some(track) = track.and_then(|track| publication.tracks.get(track)) else { return };
                let encoding = EncodingKey { stream, encoding: track.encoding };
                // The format again with every clock: a worker whose lane was full may have lost it.
                for record in track.introduction() {
                    publish(self.streams, self.lanes, from, encoding, &record);
                }
            }
            RtcpPacket::Goodbye(goodbye) => {
                goodbye.sources().for_each(|ssrc| publication.goodbye(ssrc, now));
                tell_rungs(publication, (stream, from), self.streams, self.lanes);
                self.counters.dropped(DropReason::PublisherGoodbye);
            }
            _ => {}
        }
    }

    fn of_viewer(&mut self, from: From<'_>, playback: &mut Playback, packet: &RtcpPacket<'_>, now: Timestamp) -> bool {
        match packet {
            RtcpPacket::ReceiverReport(report) => {
                report
                    .reports
                    .into_iter()
                    .for_each(|block| take_report(playback, &block, self.wall_clock.middle(), now));
            }
            RtcpPacket::SenderReport(report) => {
                report
                    .reports
                    .into_iter()
                    .for_each(|block| take_report(playback, &block, self.wall_clock.middle(), now));
            }
            RtcpPacket::Nack(nack) => {
                self.queue_repairs(from.key, playback, nack);
                return self.take_loss(from.stream, playback, nack, now);
            }
            RtcpPacket::PictureLossIndication(request) => {
                self.want_key_frame(from, playback, request.media_ssrc, now);
            }
            RtcpPacket::FullIntraRequest(request) => {
                request.entries().for_each(|entry| self.want_key_frame(from, playback, entry.ssrc, now));
            }
            _ => {}
        }
        false
    }

    /// Takes what a viewer asks for again for a sign of loss, as far as it was sent: what the uplink lost was not. Whether that says
    /// that something is to be decided.
    fn take_loss(&self, stream: StreamKey, playback: &mut Playback, nack: &Nack<'_>, now: Timestamp) -> bool {
        let Some(index) = playback.track_of(nack.media_ssrc) else { return false };
        let Playback { tracks, adaptation: Some(adaptation), rtt_us, .. } = playback else { return false };
        let Some(track) = tracks.get(index).filter(|track| track.kind == MediaKind::Video) else { return false };
        let Some(encoding) = self.streams.get(stream).and_then(|stream| stream.encoding(track.encoding())) else {
            return false;
        };
        let sent = |sequence_number| {
            let located = track.subscription.locate(sequence_number)?;
            let (_, info, _) = encoding.ring.find(located.sequence).filter(|_| located.encoding == encoding.id())?;
            Some(info.arrival)
        };
        let mut newest = None;
        for sequence_number in nack.sequences().take(limits::NACKS_PER_PACKET_MAX) {
            if sent(sequence_number).is_some() && adaptation.bandwidth.missed(sequence_number, now) {
                newest = Some(sequence_number);
            }
        }
        // What came behind it and showed that it is missing.
        let behind = newest.map(|newest: u16| sent(newest.wrapping_add(1)));
        let waited = behind.map(|behind| {
            let ago = behind.filter(|_| *rtt_us > 0).map(|behind| now.since(behind)).unwrap_or_default();
            ago.saturating_sub(Duration::from_micros(*rtt_us))
        });
        waited.is_some_and(|waited| adaptation.bandwidth.missed_late(waited, now))
    }

    /// Queues what a viewer asks for again, as far as there is room for it.
    fn queue_repairs(&mut self, peer: PeerKey, playback: &mut Playback, nack: &Nack<'_>) {
        let Some(index) = playback.track_of(nack.media_ssrc) else { return };
        let Playback { tracks, repairs: budget, .. } = playback;
        let Some(track) = tracks.get_mut(index) else { return };
        for sequence_number in nack.sequences().take(limits::NACKS_PER_PACKET_MAX) {
            track.nacks_received += 1;
            let subscriber = Subscriber { peer, track: index as u8 };
            let repair = Repair { subscriber, sequence_number, probe: None };
            if self.repairs.is_waiting(&repair) {
                self.counters.dropped(DropReason::RetransmissionWaits);
                continue;
            }
            if !budget.has_place() {
                self.counters.dropped(DropReason::RetransmissionViewerOverShare);
                continue;
            }
            if !self.repairs.has_room() {
                self.counters.dropped(DropReason::RetransmissionQueueFull);
                break;
            }
            budget.take_place();
            self.repairs.push(repair);
        }
        track.pacer.lost();
    }

    /// Passes on a viewer's wish, unless it is answered from the ring or the viewer has had too many: a key frame costs the publisher
    /// and every other viewer.
    fn want_key_frame(&mut self, from: From<'_>, playback: &mut Playback, ssrc: u32, now: Timestamp) {
        let Some(index) = playback.track_of(ssrc) else { return };
        // Who is sent no picture misses one; browsers ask for it again and again.
        let Some(track) = playback.tracks.get_mut(index).filter(|track| !track.is_paused) else { return };
        // Of what it is not sent any more it needs none.
        let held_for = track.awaited().filter(|_| track.is_held);
        let wanted = EncodingKey { stream: from.stream, encoding: held_for.unwrap_or(track.encoding()) };
        let encoding = self.streams.encoding(wanted).filter(|_| held_for.is_none());
        match encoding.map(|encoding| wished(track, encoding, from.session, now)) {
            Some(Wished::Again) => {
                self.counters.dropped(DropReason::KeyFrameFromRing);
                self.streams.wake(wanted, Subscriber { peer: from.key, track: index as u8 });
                return;
            }
            Some(Wished::OnItsWay) => {
                self.counters.dropped(DropReason::KeyFrameOnItsWay);
                return;
            }
            Some(Wished::Upstream) | None => {}
        }
        let (at_once, pause) = (limits::KEY_FRAME_REQUESTS_AT_ONCE, limits::KEY_FRAME_REQUEST_PAUSE);
        if self.streams.is_key_frame_wanted(wanted) {
            return;
        }
        if !playback.key_frame_requests.take(at_once, pause, now) {
            self.counters.dropped(DropReason::KeyFrameRequestsOverRate);
            return;
        }
        self.streams.want_key_frame(wanted);
    }
}

/// What becomes of a viewer's wish for a key frame; where it is to be started again, that is prepared.
fn wished(track: &mut ViewerTrack, encoding: &Encoding, session: &Session, now: Timestamp) -> Wished {
    let by_connection = session.egress().is_some_and(|(_, path)| path.is_connection());
    let Some(start) = encoding.key_frame_within(key_frame_age_max(by_connection), now) else { return Wished::Upstream };
    let is_of_key_frame =
        |position| encoding.ring.get(position).is_some_and(|(info, _)| encoding.is_of_key_frame(info));
    let has_passed = match track.subscription.cursor() {
        Cursor::At(position) => position > start.position && !is_of_key_frame(position),
        Cursor::AwaitsKeyFrame => false,
    };
    let wished = track.starts.wished(has_passed, now);
    if wished == Wished::Again {
        track.subscription.await_key_frame();
    }
    wished
}

/// Round-trip time from a report block (RFC 3550 §6.4.1, figure 2): arrival less LSR less DLSR, in 1/65,536 s.
fn take_report(playback: &mut Playback, block: &ReportBlock, ntp_middle: u32, now: Timestamp) {
    let track = playback.track_of(block.ssrc).and_then(|index| playback.tracks.get_mut(index));
    let Some(track) = track else { return };
    track.fraction_lost = block.fraction_lost;
    let is_video = track.kind == MediaKind::Video;
    if block.last_sender_report == 0 {
        return;
    }
    let round_trip =
        ntp_middle.wrapping_sub(block.last_sender_report).wrapping_sub(block.delay_since_last_sender_report);
    // Clocks of peers are theirs to set: more than ten seconds is not a round trip.
    if round_trip < 10 << 16 {
        playback.rtt_us = u64::from(round_trip) * 1_000_000 / 65_536;
        if let Some(adaptation) = playback.adaptation.as_deref_mut().filter(|_| is_video) {
            adaptation.bandwidth.receiver_report(playback.rtt_us, block.fraction_lost, now);
        }
    }
}

//! What a viewer makes of the packets of media that come: which of them are opened, what is counted, and what is watched.

use super::{OPEN_AT_LEAST_EVERY, SETTLING, Viewer};
use crate::crypto::random::Random;
use crate::description::MediaKind;
use crate::lab::peer::answer::AnsweredMedia;
use crate::lab::peer::client::Refused;
use crate::lab::peer::decoder::VideoPacket;
use crate::lab::peer::reception::PacketArrival;
use crate::lab::peer::record::{LoadRecord, note};
use crate::lab::peer::stamp::Stamp;
use crate::srtp::SrtpError;
use crate::time::Timestamp;
use crate::wire::codec::inspect;
use crate::wire::rtp::{RtpHeader, RtpPacket};

impl Viewer {
    pub(super) fn handle_rtp(&mut self, bytes: &mut [u8], received: Timestamp, record: &mut LoadRecord) {
        let Ok(header) = RtpHeader::parse(bytes) else {
            record.counts.unknown += 1;
            return;
        };
        let tracks = self.tracks.len();
        let Some(at) = self.track(&header) else {
            record.counts.unknown += 1;
            return;
        };
        if self.ended && self.may_be_ended() {
            record.counts.rekey_after_end += 1;
        }
        record.counts.received_bytes += bytes.len() as u64;
        self.note_feedback(&header, bytes, received);
        let is_new = self.tracks.len() > tracks;
        let Some(track) = self.tracks.get_mut(at) else { return };
        if track.is_rtx {
            self.handle_rtx(bytes, received, record);
            return;
        }
        let index = track.reception.extend(header.sequence);
        // The first packet was noted when its track was made.
        if !is_new {
            let arrival = track.reception.note(index, track.nack, received);
            let missing = track.nack && matches!(arrival, PacketArrival::New { skipped: 1.. });
            if !count(arrival, false, record) {
                return;
            }
            if missing {
                self.next_request = Some(received);
            }
        }
        let is_second = self.is_second();
        let track = &mut self.tracks[at];
        track.reception.bytes += bytes.len() as u64;
        let kind = track.kind;
        let clock_rate_hz = match kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        };
        track.reception.note_time(header.timestamp, clock_rate_hz, received);
        match kind {
            MediaKind::Audio => record.counts.received_audio += 1,
            MediaKind::Video => record.counts.received_video += 1,
        }
        if self.first_packet.is_none() {
            self.first_packet = Some(received);
            self.needs_key_frame = Some(received);
            self.settled = Some(received + SETTLING);
            if !is_second {
                note(&mut record.first_packet_us, received.since(self.intended));
            }
        }
        let looking = kind == MediaKind::Video && self.needs_key_frame.is_some();
        let unknown_since = track.opened.map_or(u64::MAX, |opened| index.saturating_sub(opened));
        let all = looking || self.handover.is_some();
        if all || unknown_since >= OPEN_AT_LEAST_EVERY || self.random.u64() < self.open_below {
            self.open(at, index, &header, bytes, received, record);
        }
        if looking {
            self.look_for_key_frame(at, index, &header, received, record);
        }
    }

    fn handle_rtx(&mut self, bytes: &mut [u8], received: Timestamp, record: &mut LoadRecord) {
        let Some((header, payload)) = self.decrypt(bytes, record) else { return };
        // RFC 4588 §4: the original sequence number comes first. An empty payload is a probe.
        let Some((original, rest)) = payload.split_first_chunk::<2>().filter(|(_, rest)| !rest.is_empty()) else {
            return;
        };
        let original = u16::from_be_bytes(*original);
        let of_rtx = |media: &AnsweredMedia| {
            let codec = media.codecs.iter().find(|codec| codec.rtx_payload_type == Some(header.payload_type))?;
            Some((media.kind, codec.codec))
        };
        let Some((kind, codec)) = self.media.iter().find_map(of_rtx) else { return };
        let Some(at) = self.tracks.iter().position(|track| track.kind == kind && !track.is_rtx) else { return };
        let index = self.tracks[at].reception.extend(original);
        let arrival = self.tracks[at].reception.note(index, true, received);
        if !count(arrival, true, record) {
            return;
        }
        match kind {
            MediaKind::Audio => record.counts.received_audio += 1,
            MediaKind::Video => record.counts.received_video += 1,
        }
        let hints = inspect(codec, rest);
        let stamp = Stamp::read(rest);
        if let Some(handover) = &mut self.handover {
            handover.note(kind, index, stamp.map(|stamp| stamp.number));
        }
        let stamp = stamp.map(|stamp| (stamp.layer, stamp.sent));
        self.note_key_frame_start(hints.key_frame_start, index, header.timestamp);
        if kind == MediaKind::Video {
            let (timestamp, marker, key) = (header.timestamp, header.marker, hints.key_frame_start);
            self.watch(VideoPacket { index, timestamp, marker, key, stamp, repeated: false }, received, record);
        }
        self.look_for_key_frame(at, index, &header, received, record);
    }

    /// Opens a packet in place: its header and its payload without padding.
    fn decrypt<'a>(&mut self, bytes: &'a mut [u8], record: &mut LoadRecord) -> Option<(RtpHeader, &'a [u8])> {
        match self.peer.open_rtp(bytes) {
            Ok(opened) => {
                record.counts.opened += 1;
                self.opened = Some(opened);
                let plain = bytes.get(..opened.plain_len())?;
                let packet = RtpPacket::parse(plain).ok()?;
                Some((*packet.header(), packet.payload()))
            }
            Err(Refused::Srtp(SrtpError::Replayed | SrtpError::TooOld)) => {
                record.counts.too_old += 1;
                None
            }
            Err(Refused::TooEarly) => None,
            Err(_) => {
                record.counts.unauthentic += 1;
                None
            }
        }
    }

    fn open(
        &mut self,
        at: usize,
        index: u64,
        header: &RtpHeader,
        bytes: &mut [u8],
        received: Timestamp,
        record: &mut LoadRecord,
    ) {
        let Some((_, payload)) = self.decrypt(bytes, record) else { return };
        let stamp = Stamp::read(payload);
        let kind = self.tracks[at].kind;
        let opened = &mut self.tracks[at].opened;
        *opened = (*opened).max(Some(index));
        if let Some(handover) = &mut self.handover {
            handover.note(kind, index, stamp.map(|stamp| stamp.number));
        }
        if let Some(stamp) =
            stamp.filter(|_| !self.is_second() && self.settled.is_some_and(|settled| settled <= received))
        {
            let histogram = match kind {
                MediaKind::Audio => &mut record.audio_latency_us,
                MediaKind::Video => &mut record.video_latency_us,
            };
            note(histogram, received.since(stamp.sent));
        }
        if kind == MediaKind::Video
            && let Some(codec) = self.codec(kind, header.payload_type)
        {
            let key = inspect(codec, payload).key_frame_start;
            self.note_key_frame_start(key, index, header.timestamp);
            let (timestamp, marker) = (header.timestamp, header.marker);
            let stamp = stamp.map(|stamp| (stamp.layer, stamp.sent));
            self.watch(VideoPacket { index, timestamp, marker, key, stamp, repeated: true }, received, record);
        }
    }
}

/// Counts an arrival; whether the packet is new to the viewer.
fn count(arrival: PacketArrival, by_rtx: bool, record: &mut LoadRecord) -> bool {
    let counts = &mut record.counts;
    match arrival {
        PacketArrival::New { skipped } => {
            counts.gaps += u64::from(skipped > 0);
            counts.missing += u64::from(skipped);
        }
        PacketArrival::Filled => {
            counts.filled += 1;
            if by_rtx { counts.recovered += 1 } else { counts.reordered += 1 }
        }
        PacketArrival::Duplicate => counts.duplicates += 1,
        PacketArrival::TooOld => counts.too_old += 1,
    }
    matches!(arrival, PacketArrival::New { .. } | PacketArrival::Filled)
}

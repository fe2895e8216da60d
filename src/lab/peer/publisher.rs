//! A publisher of a load test: plays a script of frames at their times, adds Opus, sends sender reports, answers
//! requests for key frames and retransmissions.
//!
//! Open loop: frame *n* is due at start + *n* intervals, whatever the server does. A packet is stamped with its send
//! time ([`super::stamp`]) when it leaves, not when it was due. How late it leaves is recorded, because lateness is the
//! tester's fault and not the server's.
//!
//! Simulcast (RFC 8853): each encoding is a script and an SSRC of its own, and says which it is by its rid in every packet.
//!
//! Left out: bandwidth estimation (the bitrate is the asked one, whatever the server's feedback says), padding probes.

use std::collections::VecDeque;
use std::time::Duration;

use super::answer::{AnsweredMedia, RemoteAnswer};
use super::audio;
use super::client::{ClientPeer, PeerEvent};
use super::data::{DataScript, DataSource};
use super::fleet::Agent;
use super::record::{LoadRecord, note};
use super::source::Source;
use super::stamp::{BYTES, Stamp};
use super::terms::Sources;
use crate::crypto::random::{Random, SeededRandom};
use crate::description::MediaKind;
use crate::limits;
use crate::session::Inbound;
use crate::time::{NtpTime, Timestamp};
use crate::transport::train::TrainBatch;
use crate::wire::rtcp::sender_report::{self, SenderInfo};
use crate::wire::rtcp::{RtcpPacket, packets, source_description};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
/// Chromium's Opus at 32–48 kbit/s.
const AUDIO_PAYLOAD_BYTES: usize = 110;
const _: () = assert!(AUDIO_PAYLOAD_BYTES > BYTES + 4);
/// A requested key frame comes no sooner after the previous one than this, as with real encoders.
const KEY_FRAME_DISTANCE_MIN: Duration = Duration::from_millis(100);
const CONSENT: Duration = Duration::from_secs(30);

/// One packet of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptPacket {
    /// Time after the frame's first packet.
    pub after: Duration,
    /// RTP payload.
    pub payload: Vec<u8>,
    /// The payload's end may be overwritten by a stamp.
    pub stampable: bool,
}

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptFrame {
    /// In order of sending; the last has the marker.
    pub packets: Vec<ScriptPacket>,
    /// It is a key frame.
    pub key: bool,
}

/// Where frames come from.
pub trait Script: Send {
    /// Frame `number`, a key frame where `key` asks for one and the script can make one.
    fn frame(&mut self, number: u64, key: bool) -> ScriptFrame;

    /// Time from one frame to the next.
    fn interval(&self) -> Duration;
}

/// One encoding of a publisher's video.
pub struct Encoding {
    /// Its `a=rid` (RFC 8852); `None` where it is the only one.
    pub rid: Option<String>,
    /// Its SSRC, and that of its retransmissions.
    pub ssrc: u32,
    /// See [`Encoding::ssrc`].
    pub rtx_ssrc: Option<u32>,
    /// Its frames.
    pub script: Box<dyn Script>,
}

impl Encoding {
    /// The only encoding of a track.
    #[must_use]
    pub fn only(sources: &Sources, script: Box<dyn Script>) -> Self {
        Self { rid: None, ssrc: sources.video, rtx_ssrc: sources.video_rtx, script }
    }
}

/// What a publisher is made with beside its [`ClientPeer`].
pub struct PublisherConfig {
    /// What the server agreed to.
    pub answer: RemoteAnswer,
    /// The SSRCs it offered.
    pub sources: Sources,
    /// The canonical name it offered.
    pub cname: String,
    /// Its video. Of several, those the server did not accept are not sent.
    pub encodings: Vec<Encoding>,
    /// Whether it has audio.
    pub audio: bool,
    /// What it sends on a data channel; used where the server agreed to data.
    pub data: Option<DataScript>,
    /// NTP time of the monotonic clock's zero, for sender reports.
    pub ntp_at_zero: NtpTime,
    /// The seed of its first sequence numbers.
    pub seed: u64,
}

struct Stream {
    source: Source,
    mid: String,
    mid_id: Option<u8>,
    transport_cc_id: Option<u8>,
    clock_rate_hz: u64,
    timestamp_base: u32,
    /// The rid with the extensions of media and of retransmissions.
    rid: Option<(String, Option<u8>, Option<u8>)>,
    /// What its stamps say.
    layer: u8,
    /// Packets stamped so far.
    number: u32,
}

impl Stream {
    fn new(media: &AnsweredMedia, ssrc: u32, rtx_ssrc: Option<u32>, random: &mut SeededRandom) -> Option<Self> {
        let codec = media.codecs.first()?;
        // RFC 3711 §3.3.1: below 2¹⁵, so that the receiver estimates the rollover counter correctly even if the first
        // packets are lost.
        let first = random.u64() % 0x4000 + 1;
        Some(Self {
            source: Source::new(ssrc, codec.payload_type, rtx_ssrc.zip(codec.rtx_payload_type), first),
            mid: media.mid.clone(),
            mid_id: media.extensions.mid,
            transport_cc_id: media.extensions.transport_cc,
            clock_rate_hz: codec.codec.clock_rate_hz().into(),
            timestamp_base: random.u64() as u32,
            rid: None,
            layer: 0,
            number: 0,
        })
    }

    fn timestamp(&self, since_start: Duration) -> u32 {
        let ticks = since_start.as_micros() as u64 * self.clock_rate_hz / 1_000_000;
        self.timestamp_base.wrapping_add(ticks as u32)
    }
}

/// One encoding as it is sent.
struct Video {
    stream: Stream,
    script: Box<dyn Script>,
    frames: u64,
    queue: VecDeque<Queued>,
    key_frame_asked: bool,
    last_key_frame: Timestamp,
    repairs: VecDeque<u16>,
    /// It sends nothing, as a browser's top encoding does when its network is thin.
    paused: bool,
}

struct Queued {
    due: Timestamp,
    timestamp: u32,
    marker: bool,
    packet: ScriptPacket,
}

/// A publisher.
pub struct Publisher {
    peer: ClientPeer,
    video: Vec<Video>,
    audio: Option<Stream>,
    data: Option<DataSource>,
    cname: String,
    ntp_at_zero: NtpTime,
    begun: Timestamp,
    /// When the first frame was due.
    started: Option<Timestamp>,
    audio_packets: u64,
    audio_base: u64,
    next_report: Timestamp,
    transport_sequence: u16,
    /// It sends no new frames, and only answers requests that still come.
    stopped: bool,
    ended: bool,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("peer", &self.peer)
            .field("encodings", &self.video.len())
            .finish_non_exhaustive()
    }
}

impl Video {
    fn next_frame(&self, started: Timestamp) -> Option<Timestamp> {
        Some(started + self.script.interval() * u32::try_from(self.frames).ok()?)
    }

    fn queue_frames(&mut self, started: Timestamp, now: Timestamp, record: &mut LoadRecord) {
        while let Some(due) = self.next_frame(started).filter(|due| *due <= now) {
            if self.paused {
                self.frames += 1;
                continue;
            }
            let timestamp = self.stream.timestamp(due.since(started));
            let asked = self.key_frame_asked && due.since(self.last_key_frame) >= KEY_FRAME_DISTANCE_MIN;
            let frame = self.script.frame(self.frames, asked);
            self.frames += 1;
            if frame.key {
                record.counts.key_frames_asked += u64::from(self.key_frame_asked);
                (self.key_frame_asked, self.last_key_frame) = (false, due);
            }
            let last = frame.packets.len().saturating_sub(1);
            for (at, packet) in frame.packets.into_iter().enumerate() {
                // A frame never overtakes the one before it.
                let earliest = self.queue.back().map_or(due, |queued| queued.due);
                let due = (due + packet.after).max(earliest);
                self.queue.push_back(Queued { due, timestamp, marker: at == last, packet });
            }
        }
    }
}

impl Publisher {
    /// A publisher whose first check is due at once and whose first frame is sent when it is connected.
    #[must_use]
    pub fn new(mut peer: ClientPeer, config: PublisherConfig, now: Timestamp) -> Self {
        let mut random = SeededRandom::new(config.seed);
        let mut video = Vec::new();
        for (layer, encoding) in (0..).zip(config.encodings) {
            let Some(media) = config.answer.section(MediaKind::Video) else { break };
            // RFC 8853 §5.3: what is not in the answer was refused.
            if encoding.rid.as_ref().is_some_and(|rid| !media.rids.contains(rid)) {
                continue;
            }
            let Some(mut stream) = Stream::new(media, encoding.ssrc, encoding.rtx_ssrc, &mut random) else { break };
            stream.layer = layer;
            stream.rid = encoding.rid.map(|rid| (rid, media.extensions.rid, media.extensions.repaired_rid));
            video.push(Video {
                stream,
                script: encoding.script,
                frames: 0,
                queue: VecDeque::new(),
                key_frame_asked: false,
                last_key_frame: Timestamp::ZERO,
                repairs: VecDeque::new(),
                paused: false,
            });
        }
        let section = config.answer.section(MediaKind::Audio).filter(|_| config.audio);
        let audio = section.and_then(|media| Stream::new(media, config.sources.audio, None, &mut random));
        let script = config.data.filter(|_| config.answer.data);
        let data = script.map(|script| DataSource::new(&mut peer, config.answer.dtls_role, script, config.seed));
        Self {
            peer,
            video,
            audio,
            data,
            cname: config.cname,
            ntp_at_zero: config.ntp_at_zero,
            begun: now,
            started: None,
            audio_packets: 0,
            // Drawn last, so that the numbers above stay the same for a seed. The audio of two publishers differs.
            audio_base: random.u64() >> 1,
            next_report: now,
            transport_sequence: 0,
            stopped: false,
            ended: false,
        }
    }

    /// Whether it is connected and so sends.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.started.is_some()
    }

    /// The number that makes its audio differ from another publisher's; see [`audio_payload`].
    #[must_use]
    pub fn audio_base(&self) -> u64 {
        self.audio_base
    }

    /// Its connection.
    pub fn peer_mut(&mut self) -> &mut ClientPeer {
        &mut self.peer
    }

    /// Whether it left or lost its connection.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Stops sending frames and audio; reports and retransmissions go on.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Encodings that it sends.
    #[must_use]
    pub fn encodings(&self) -> usize {
        self.video.len()
    }

    /// Lets an encoding, counted among those that it sends, be silent or go on. It goes on with a key frame.
    pub fn pause(&mut self, encoding: usize, paused: bool) {
        if let Some(video) = self.video.get_mut(encoding) {
            video.key_frame_asked |= video.paused && !paused;
            video.paused = paused;
        }
    }

    fn next_frame(&self) -> Option<Timestamp> {
        let started = self.started.filter(|_| !self.stopped)?;
        self.video.iter().filter_map(|video| video.next_frame(started)).min()
    }

    fn next_audio(&self) -> Option<Timestamp> {
        let packets = u32::try_from(self.audio_packets).ok()?;
        Some(self.started? + AUDIO_INTERVAL * packets).filter(|_| self.audio.is_some() && !self.stopped)
    }

    fn send_video(&mut self, out: &mut TrainBatch, now: Timestamp, record: &mut LoadRecord) {
        let Some(started) = self.started else { return };
        for video in &mut self.video {
            if !self.stopped {
                video.queue_frames(started, now, record);
            }
            while out.has_room(limits::DATAGRAM_IN_BYTES_MAX)
                && video.queue.front().is_some_and(|queued| queued.due <= now)
                && let Some(queued) = video.queue.pop_front()
            {
                let Queued { due, timestamp, marker, packet } = queued;
                note(&mut record.send_late_us, now.since(due));
                let what = (timestamp, marker, packet.payload, packet.stampable);
                let len = send(&self.peer, &mut video.stream, &mut self.transport_sequence, out, now, what);
                record.counts.sent_video += u64::from(len.is_some());
                record.counts.sent_bytes += len.unwrap_or(0) as u64;
            }
        }
    }

    fn send_audio(&mut self, out: &mut TrainBatch, now: Timestamp, record: &mut LoadRecord) {
        while out.has_room(limits::DATAGRAM_IN_BYTES_MAX)
            && let Some(due) = self.next_audio().filter(|due| *due <= now)
            && let Some(stream) = self.audio.as_mut()
        {
            note(&mut record.send_late_us, now.since(due));
            let timestamp = stream.timestamp(due.since(self.started.unwrap_or(due)));
            let payload = audio_payload(self.audio_base, self.audio_packets);
            self.audio_packets += 1;
            let len =
                send(&self.peer, stream, &mut self.transport_sequence, out, now, (timestamp, false, payload, true));
            record.counts.sent_audio += u64::from(len.is_some());
            record.counts.sent_bytes += len.unwrap_or(0) as u64;
        }
    }

    fn send_repairs(&mut self, out: &mut TrainBatch, record: &mut LoadRecord) {
        for Video { stream, repairs, .. } in &mut self.video {
            while out.has_room(limits::DATAGRAM_IN_BYTES_MAX)
                && let Some(sequence) = repairs.pop_front()
            {
                let Some((packet, (ssrc, payload_type))) = stream.source.repair(sequence) else { continue };
                let mid = stream.mid_id.map(|id| (id, stream.mid.as_bytes()));
                let rid = stream.rid.as_ref().and_then(|(rid, _, repaired)| Some(((*repaired)?, rid.as_bytes())));
                let extensions: Vec<_> = mid.into_iter().chain(rid).collect();
                let mut outgoing = stream.source.outgoing(&packet, &extensions);
                (outgoing.ssrc, outgoing.payload_type) = (ssrc, payload_type);
                record.counts.sent_again += u64::from(self.peer.send_rtp(out, &outgoing).is_some());
            }
        }
    }

    fn send_reports(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let since_start = now.since(self.started.unwrap_or(now));
        let cname = &self.cname;
        for stream in self.video.iter().map(|video| &video.stream).chain(&self.audio) {
            let info = SenderInfo {
                ntp: self.ntp_at_zero + now.since(Timestamp::ZERO),
                rtp_timestamp: stream.timestamp(since_start),
                packet_count: stream.source.sent.0,
                octet_count: stream.source.sent.1,
            };
            let ssrc = stream.source.ssrc;
            self.peer.send_rtcp(out, |slot| {
                let report = sender_report::write(slot, ssrc, &info, &[])?;
                Some(report + source_description::write(slot.get_mut(report..)?, ssrc, cname)?)
            });
        }
    }

    fn handle_rtcp(&mut self, compound: &[u8]) {
        // A server that knows of one source only may name none.
        let alone = self.video.len() == 1;
        for packet in packets(compound).flatten() {
            for video in &mut self.video {
                let own = video.stream.source.ssrc;
                match &packet {
                    RtcpPacket::PictureLossIndication(request) => {
                        video.key_frame_asked |= alone || request.media_ssrc == own
                    }
                    RtcpPacket::FullIntraRequest(request) => {
                        video.key_frame_asked |= alone || request.entries().any(|entry| entry.ssrc == own);
                    }
                    RtcpPacket::Nack(request) if request.media_ssrc == own => {
                        video.repairs.extend(request.sequences());
                        video.repairs.truncate(limits::PEER_HISTORY_PACKETS_MAX);
                    }
                    _ => {}
                }
            }
        }
    }

    fn drain_events(&mut self, now: Timestamp, record: &mut LoadRecord) {
        while let Some(event) = self.peer.poll_event() {
            match event {
                PeerEvent::Connected => {
                    self.started = Some(now);
                    self.next_report = now + REPORT_INTERVAL / 2;
                    record.counts.publishing += 1;
                }
                PeerEvent::Closed | PeerEvent::Failed(_) => self.end_early(record),
                PeerEvent::PathValidated(_) => {}
            }
        }
    }

    fn serve_data(&mut self, now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord) {
        if let Some(data) = &mut self.data {
            data.serve(&mut self.peer, out, now, self.stopped, record);
        }
    }

    fn end_early(&mut self, record: &mut LoadRecord) {
        if !std::mem::replace(&mut self.ended, true) {
            record.counts.ended_early += 1;
        }
    }

    fn consent_expires(&self) -> Timestamp {
        self.peer.last_answer().unwrap_or(self.begun) + CONSENT
    }
}

/// The payload of audio packet `number` of the publisher with this [`Publisher::audio_base`], before it is stamped.
#[must_use]
pub fn audio_payload(base: u64, number: u64) -> Vec<u8> {
    audio::opus_payload(base + number, AUDIO_PAYLOAD_BYTES)
}

/// Numbers, stamps, seals and queues one packet; the datagram's length.
fn send(
    peer: &ClientPeer,
    stream: &mut Stream,
    transport_sequence: &mut u16,
    out: &mut TrainBatch,
    now: Timestamp,
    (timestamp, marker, mut payload, stampable): (u32, bool, Vec<u8>, bool),
) -> Option<usize> {
    let stamp = Stamp { sent: now, layer: stream.layer, number: stream.number & (Stamp::NUMBERS - 1) };
    stream.number = stream.number.wrapping_add(1);
    if stampable {
        match payload.split_last_mut() {
            // An SEI's trailing bits stay behind the stamp.
            Some((0x80, body)) => stamp.write(body),
            _ => stamp.write(&mut payload),
        };
    }
    let packet = stream.source.packet(timestamp, marker, payload).clone();
    *transport_sequence = transport_sequence.wrapping_add(1);
    let counter = transport_sequence.to_be_bytes();
    let mid = stream.mid_id.filter(|_| !stream.mid.is_empty()).map(|id| (id, stream.mid.as_bytes()));
    let transport_cc = stream.transport_cc_id.map(|id| (id, &counter[..]));
    let rid = stream.rid.as_ref().and_then(|(rid, id, _)| Some(((*id)?, rid.as_bytes())));
    let extensions: Vec<_> = [transport_cc, mid, rid].into_iter().flatten().collect();
    peer.send_rtp(out, &stream.source.outgoing(&packet, &extensions))
}

impl Agent for Publisher {
    fn handle_datagram(
        &mut self,
        bytes: &mut [u8],
        received: Timestamp,
        out: &mut TrainBatch,
        record: &mut LoadRecord,
    ) {
        match self.peer.handle_datagram(bytes, out, received) {
            Ok(Inbound::Rtcp(len)) => self.handle_rtcp(bytes.get(..len).unwrap_or_default()),
            Ok(Inbound::Rtp(_)) => record.counts.unknown += 1,
            Ok(Inbound::Handled) | Err(_) => {
                self.drain_events(received, record);
                self.serve_data(received, out, record);
            }
        }
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord) {
        if self.peer.next_deadline().is_some_and(|due| due <= now) {
            self.peer.handle_timeout(out, now);
            self.drain_events(now, record);
        }
        if self.started.is_some() && !self.ended {
            self.send_audio(out, now, record);
            self.send_repairs(out, record);
            self.send_video(out, now, record);
            if self.next_report <= now {
                self.next_report = now + REPORT_INTERVAL;
                self.send_reports(out, now);
            }
            if self.data.as_ref().and_then(|data| data.next_deadline(self.stopped)).is_some_and(|due| due <= now) {
                self.serve_data(now, out, record);
            }
        }
        if self.consent_expires() <= now {
            self.end_early(record);
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        if self.ended {
            return None;
        }
        let repairs = self.video.iter().any(|video| !video.repairs.is_empty()).then_some(Timestamp::ZERO);
        let queued = self.video.iter().filter_map(|video| Some(video.queue.front()?.due)).min();
        let media = [queued, self.next_frame(), self.next_audio(), repairs];
        let data = self.data.as_ref().and_then(|data| data.next_deadline(self.stopped));
        let media = media.into_iter().chain([Some(self.next_report), data]).filter(|_| self.started.is_some());
        [self.peer.next_deadline(), Some(self.consent_expires())].into_iter().chain(media).flatten().min()
    }

    fn leave(&mut self, now: Timestamp, out: &mut TrainBatch) {
        self.ended = true;
        self.peer.close(out, now);
    }
}

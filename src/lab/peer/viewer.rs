//! A viewer of a load test: it connects as a browser does, counts every packet, decrypts some, sends reports, and
//! requests retransmissions and key frames.
//!
//! Of a packet that is not opened, the header is read and the sequence number recorded. These packets are opened
//! (decrypted and authenticated): all until the first complete key frame, the first of every SSRC, every retransmission
//! (its original number is encrypted), and all RTCP. Of the rest a fraction chosen at random is opened, but no two
//! further apart than [`OPEN_AT_LEAST_EVERY`], so that the rollover counter is always known (RFC 3711 §3.3.1).
//!
//! RTCP is sent as Chromium sends it: a receiver report with SDES about once a second; a NACK as soon as there is a
//! gap, repeated until it is filled or given up; PLI while a key frame is needed; transport-wide feedback and REMB
//! ([`super::feedback`]) where they were agreed on.
//!
//! One that watches its picture ([`super::decoder`]) opens every packet.
//!
//! Left out: decoding.

mod asking;
mod handover;
mod receiving;

use std::time::Duration;

use self::handover::Handover;
pub use self::handover::Ledger;
use super::answer::{AnsweredMedia, RemoteAnswer};
use super::client::{ClientPeer, PeerEvent, Refused};
use super::data::{DataSink, DataViewer};
use super::decoder::{Decoder, Shown, VideoPacket};
use super::feedback::{Agreed, Feedback};
use super::fleet::Agent;
use super::reception::Reception;
use super::record::{LIVE, LoadRecord, note};
use crate::crypto::random::{Random, SeededRandom};
use crate::description::MediaKind;
use crate::limits;
use crate::srtp::{OpenedRtp, SrtpError};
use crate::time::Timestamp;
use crate::transport::train::TrainBatch;
use crate::wire::codec::Codec;
use crate::wire::demux::{self, DatagramKind};
use crate::wire::rtcp::{RtcpPacket, packets};
use crate::wire::rtp::RtpHeader;

/// Packets of a stream of which at least one is opened.
pub const OPEN_AT_LEAST_EVERY: u64 = 4_096;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Without an answered check for this long consent has expired (RFC 7675 §5.1).
const CONSENT: Duration = Duration::from_secs(30);
/// Time from a viewer's first packet until its latency is recorded.
const SETTLING: Duration = Duration::from_secs(2);

/// One SSRC.
#[derive(Debug)]
struct Track {
    ssrc: u32,
    kind: MediaKind,
    /// The SSRC's sequence numbers are those of retransmissions.
    is_rtx: bool,
    nack: bool,
    reception: Reception,
    opened: Option<u64>,
    /// Middle 32 bits of the last sender report's time, and when it came.
    sender_report: Option<(u32, Timestamp)>,
}

/// A key frame on its way.
#[derive(Clone, Copy, Debug)]
struct KeyFrame {
    timestamp: u32,
    first: u64,
    last: Option<u64>,
}

/// A viewer.
#[derive(Debug)]
pub struct Viewer {
    peer: ClientPeer,
    media: Vec<AnsweredMedia>,
    tracks: Vec<Track>,
    random: SeededRandom,
    /// A packet is opened when a random number lies below this.
    open_below: u64,
    ssrc: u32,
    cname: String,
    /// Its intended start; delays count from then.
    intended: Timestamp,
    begun: Timestamp,
    first_packet: Option<Timestamp>,
    connected: Option<Timestamp>,
    key_frame: Option<KeyFrame>,
    key_frame_complete: bool,
    /// From then on latency is recorded. Not earlier, because packets that a server replays to a newcomer are old when
    /// they are sent.
    settled: Option<Timestamp>,
    /// Since when a key frame is needed.
    needs_key_frame: Option<Timestamp>,
    pli_sent: Option<Timestamp>,
    plis: u32,
    next_report: Timestamp,
    next_request: Option<Timestamp>,
    opened: Option<OpenedRtp>,
    data: Option<Box<DataSink>>,
    agreed: Agreed,
    feedback: Box<Feedback>,
    picture: Option<Box<Picture>>,
    /// Its session's keys change, and it is one of two transports.
    handover: Option<Box<Handover>>,
    ended: bool,
}

/// What a viewer that watches its picture sees.
#[derive(Debug, Default)]
struct Picture {
    decoder: Decoder,
    shown: Vec<Shown>,
    is_live: bool,
}

/// What a viewer is made with beside its [`ClientPeer`].
#[derive(Clone, Debug)]
pub struct ViewerConfig {
    /// What the server agreed to.
    pub answer: RemoteAnswer,
    /// Its intended start.
    pub intended: Timestamp,
    /// The part of packets to open, 0 to 1.
    pub verify_fraction: f64,
    /// The seed of its random numbers.
    pub seed: u64,
    /// What it does with data channels; used where the server agreed to data.
    pub data: Option<DataViewer>,
    /// It watches its picture.
    pub watches: bool,
}

impl Viewer {
    /// A viewer whose first check is due at once.
    #[must_use]
    pub fn new(mut peer: ClientPeer, config: ViewerConfig, now: Timestamp) -> Self {
        let mut random = SeededRandom::new(config.seed);
        let ssrc = random.u64() as u32;
        let data = config.data.filter(|_| config.answer.data);
        let data = data.map(|what| DataSink::new(&mut peer, config.answer.dtls_role, what, config.seed));
        let agreed = agreed(&config.answer);
        Self {
            peer,
            media: config.answer.media,
            tracks: Vec::new(),
            open_below: match config.watches {
                true => u64::MAX,
                false => (config.verify_fraction.clamp(0.0, 1.0) * u64::MAX as f64) as u64,
            },
            ssrc,
            cname: format!("viewer-{ssrc:08x}"),
            random,
            intended: config.intended,
            begun: now,
            first_packet: None,
            connected: None,
            key_frame: None,
            key_frame_complete: false,
            settled: None,
            needs_key_frame: None,
            pli_sent: None,
            plis: 0,
            next_report: now + REPORT_INTERVAL,
            next_request: None,
            opened: None,
            data: data.map(Box::new),
            agreed,
            feedback: Box::default(),
            picture: config.watches.then(Box::default),
            handover: None,
            ended: false,
        }
    }

    /// Where header and payload lie in the datagram that was handled last, when it was an RTP packet and was opened.
    #[must_use]
    pub fn opened(&self) -> Option<OpenedRtp> {
        self.opened
    }

    /// Its connection.
    pub fn peer_mut(&mut self) -> &mut ClientPeer {
        &mut self.peer
    }

    /// How often it has asked for a key frame.
    #[must_use]
    pub fn key_frames_asked(&self) -> u32 {
        self.plis
    }

    /// Whether it left or lost its connection.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether its DTLS handshake completed.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected.is_some()
    }

    /// Whether a complete key frame has arrived.
    #[must_use]
    pub fn has_picture(&self) -> bool {
        self.key_frame_complete
    }

    /// The frames that were shown since the last call, to one that watches its picture.
    pub fn take_shown(&mut self) -> Vec<Shown> {
        self.picture.as_mut().map(|picture| std::mem::take(&mut picture.shown)).unwrap_or_default()
    }

    /// How long its picture has stood still by now, where that is a freeze.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> Option<Duration> {
        self.picture.as_ref()?.decoder.stands(now)
    }

    /// Shows what a packet of video completes.
    fn watch(&mut self, packet: VideoPacket, received: Timestamp, record: &mut LoadRecord) {
        let Some(picture) = &mut self.picture else { return };
        let before = picture.shown.len();
        picture.decoder.note(packet, received, &mut picture.shown);
        for shown in picture.shown.iter().skip(before) {
            let counts = &mut record.counts;
            counts.frames += 1;
            match shown.layer {
                Some(0) => counts.frames_of_0 += 1,
                Some(1) => counts.frames_of_1 += 1,
                Some(2) => counts.frames_of_2 += 1,
                Some(_) => counts.frames_of_3 += 1,
                None => {}
            }
            counts.switches += u64::from(shown.switched);
            counts.freezes += u64::from(shown.froze.is_some());
            counts.frozen_ms += shown.froze.unwrap_or_default().as_millis() as u64;
            let is_second = self.handover.is_some();
            if !picture.is_live && !is_second && shown.sent.is_some_and(|sent| shown.at.since(sent) < LIVE) {
                picture.is_live = true;
                note(&mut record.live_us, shown.at.since(self.intended));
            }
        }
        if picture.shown.len() > limits::SHOWN_FRAMES_MAX {
            picture.shown.clear();
        }
    }

    /// Takes note of a packet for the reports on the network.
    fn note_feedback(&mut self, header: &RtpHeader, bytes: &[u8], received: Timestamp) {
        if self.agreed == Agreed::default() {
            return;
        }
        let number = self.agreed.transport_cc.and_then(|id| {
            let (_, value) = header.extensions(bytes).find(|(of, _)| *of == id)?;
            Some(u16::from_be_bytes(value.first_chunk().copied()?))
        });
        self.feedback.note(self.agreed, header.ssrc, number, bytes.len(), received);
    }

    fn codec(&self, kind: MediaKind, payload_type: u8) -> Option<Codec> {
        let media = self.media.iter().find(|media| media.kind == kind)?;
        media.codecs.iter().find(|codec| codec.payload_type == payload_type).map(|codec| codec.codec)
    }

    /// The track of an SSRC. A new track is recognised by the SSRCs or the payload types of the answer.
    fn track(&mut self, header: &RtpHeader) -> Option<usize> {
        if let Some(at) = self.tracks.iter().position(|track| track.ssrc == header.ssrc) {
            return Some(at);
        }
        if self.tracks.len() >= limits::VIEWER_TRACKS_MAX {
            return None;
        }
        let (media, is_rtx, nack) = self.media.iter().find_map(|media| {
            media.codecs.iter().find_map(|codec| {
                let is_rtx = codec.rtx_payload_type == Some(header.payload_type);
                (is_rtx || codec.payload_type == header.payload_type).then_some((media, is_rtx, codec.nack))
            })
        })?;
        self.tracks.push(Track {
            ssrc: header.ssrc,
            kind: media.kind,
            is_rtx,
            nack,
            reception: Reception::starting_at(header.sequence),
            opened: None,
            sender_report: None,
        });
        Some(self.tracks.len() - 1)
    }

    fn note_key_frame_start(&mut self, starts: bool, index: u64, timestamp: u32) {
        if starts && self.needs_key_frame.is_some() && self.key_frame.is_none_or(|frame| frame.timestamp != timestamp) {
            self.key_frame = Some(KeyFrame { timestamp, first: index, last: None });
        }
    }

    /// Whether the key frame is complete now.
    fn look_for_key_frame(
        &mut self,
        at: usize,
        index: u64,
        header: &RtpHeader,
        received: Timestamp,
        record: &mut LoadRecord,
    ) {
        let Some(frame) = self.key_frame.as_mut() else { return };
        if header.marker && header.timestamp == frame.timestamp {
            frame.last = Some(index);
        }
        let KeyFrame { first, last: Some(last), .. } = *frame else { return };
        let reception = &self.tracks[at].reception;
        if !(first..=last).all(|index| reception.has(index)) {
            return;
        }
        (self.key_frame, self.needs_key_frame, self.pli_sent) = (None, None, None);
        if !std::mem::replace(&mut self.key_frame_complete, true) && !self.is_second() {
            note(&mut record.key_frame_us, received.since(self.intended));
        }
    }

    fn handle_rtcp(&mut self, bytes: &mut [u8], received: Timestamp, record: &mut LoadRecord) {
        match self.peer.open_rtcp(bytes) {
            Ok(len) => {
                for packet in packets(bytes.get(..len).unwrap_or_default()).flatten() {
                    if let RtcpPacket::SenderReport(report) = packet {
                        record.counts.sender_reports += 1;
                        if let Some(track) = self.tracks.iter_mut().find(|track| track.ssrc == report.ssrc) {
                            track.sender_report = Some((report.info.ntp.middle(), received));
                        }
                    }
                }
            }
            Err(Refused::TooEarly) => {}
            // The network duplicates RTCP as it does media.
            Err(Refused::Srtp(SrtpError::Replayed | SrtpError::TooOld)) => record.counts.too_old += 1,
            Err(_) => record.counts.unauthentic += 1,
        }
    }

    fn drain_events(&mut self, now: Timestamp, record: &mut LoadRecord) {
        while let Some(event) = self.peer.poll_event() {
            match event {
                PeerEvent::Connected => {
                    self.connected = Some(now);
                    if self.is_second() {
                        record.counts.seconds_connected += 1;
                        note(&mut record.second_connect_us, now.since(self.intended));
                    } else {
                        record.counts.connected += 1;
                        record.last_connected = Some(now);
                        note(&mut record.connect_us, now.since(self.intended));
                    }
                    // Reports are spread over the interval, as those of viewers that joined at different times are.
                    self.next_report = now + REPORT_INTERVAL.mul_f64(0.5 + self.random.u64() as f64 / u64::MAX as f64);
                }
                PeerEvent::Closed if self.may_be_ended() => self.ended = true,
                PeerEvent::Closed | PeerEvent::Failed(_) => self.end_early(record),
                PeerEvent::PathValidated(_) => {}
            }
        }
    }

    fn serve_data(&mut self, now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord) {
        if let Some(data) = &mut self.data {
            data.serve(&mut self.peer, out, now, record);
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

/// What a viewer may say of its network. The number of a transport has one extension in all of its sections.
fn agreed(answer: &RemoteAnswer) -> Agreed {
    let mut codecs = answer.media.iter().flat_map(|media| media.codecs.iter().map(move |codec| (media, codec)));
    let transport_cc =
        codecs.clone().find_map(|(media, codec)| media.extensions.transport_cc.filter(|_| codec.transport_cc));
    Agreed { transport_cc, remb: codecs.any(|(_, codec)| codec.remb) }
}

impl Agent for Viewer {
    fn handle_datagram(
        &mut self,
        bytes: &mut [u8],
        received: Timestamp,
        out: &mut TrainBatch,
        record: &mut LoadRecord,
    ) {
        self.opened = None;
        match demux::classify(bytes) {
            DatagramKind::Rtp => self.handle_rtp(bytes, received, record),
            DatagramKind::Rtcp => self.handle_rtcp(bytes, received, record),
            DatagramKind::Unknown => record.counts.unknown += 1,
            DatagramKind::Stun | DatagramKind::Dtls => {
                let _ = self.peer.handle_datagram(bytes, out, received);
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
        if self.connected.is_some() && !self.ended {
            if self.next_report <= now {
                self.next_report = now + REPORT_INTERVAL;
                self.send_reports(out, now);
            }
            if self.next_request.is_some_and(|due| due <= now) {
                self.ask_again(out, now, record);
            }
            if self.feedback.next_deadline().is_some_and(|due| due <= now) {
                self.send_feedback(out, now, record);
            }
            if self.next_pli().is_some_and(|due| due <= now) {
                self.ask_for_key_frame(out, now, record);
            }
            if self.data.as_ref().and_then(|data| data.next_deadline()).is_some_and(|due| due <= now) {
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
        let media = self.connected.map(|_| self.next_report);
        let data = self.data.as_ref().and_then(|data| data.next_deadline());
        let feedback = self.connected.and(self.feedback.next_deadline());
        let media = [media, self.connected.and(self.next_request), self.connected.and(self.next_pli()), data, feedback];
        [self.peer.next_deadline(), Some(self.consent_expires())].into_iter().chain(media).flatten().min()
    }

    fn leave(&mut self, now: Timestamp, out: &mut TrainBatch) {
        self.ended = true;
        self.peer.close(out, now);
    }
}

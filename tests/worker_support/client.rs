//! A client in the simulated network: the real peer, and what a publisher or a viewer does with it.

use std::net::SocketAddr;
use std::time::Duration;

use corecast::data::channels::Channels;
use corecast::description::{Direction, DtlsRole, MediaKind};
use corecast::lab::peer::source::Source;
use corecast::lab::peer::terms::{self, PLAY, PUBLISH, Sources};
use corecast::lab::peer::{ClientPeer, OutgoingRtp, PeerEvent, audio, video};
use corecast::session::Inbound;
use corecast::time::{NtpTime, Timestamp};
use corecast::transport::TrainBatch;
use corecast::wire::rtcp::sender_report::SenderInfo;
use corecast::wire::rtcp::{self, RtcpPacket, nack, picture_loss_indication, sender_report};
use corecast::wire::rtp::RtpPacket;
use corecast::worker::mailbox::{SessionId, StreamId};

use super::bottleneck::Reporter;
use super::publisher::Publisher;
use super::{MS, Opening};

const FRAME_INTERVAL: Duration = Duration::from_nanos(33_333_333);
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);

/// A media packet a publisher made or a viewer received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) at: Timestamp,
    pub(crate) ssrc: u32,
    pub(crate) index: u64,
    pub(crate) timestamp: u32,
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) padding: u8,
    pub(crate) mid: Vec<u8>,
    /// The transport-wide sequence number of a packet that was received with one.
    pub(crate) transport: Option<u16>,
    /// Where feedback comes on request: of how many packets this one asks for it.
    pub(crate) asks_for: Option<u16>,
    pub(crate) payload: Vec<u8>,
}

/// A sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) at: Timestamp,
    pub(crate) ssrc: u32,
    pub(crate) ntp: NtpTime,
    pub(crate) timestamp: u32,
    pub(crate) packets: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Viewer {
    /// Media packets in the order of their arrival, without retransmissions.
    pub(crate) received: Vec<Packet>,
    /// Retransmissions.
    pub(crate) repairs: Vec<Packet>,
    pub(crate) reports: Vec<Report>,
    pub(crate) goodbyes: Vec<u32>,
    /// It asks for missing video packets by itself, every 20 ms, while this is set.
    pub(crate) nacks: bool,
    /// It reports on packets with transport-wide numbers.
    pub(crate) reporter: Option<Reporter>,
    next_nack: Timestamp,
}

#[derive(Debug)]
pub(crate) enum Role {
    Publisher(Box<Publisher>),
    Viewer(Viewer),
}

pub(crate) struct Client {
    pub(crate) peer: ClientPeer,
    pub(crate) session: SessionId,
    pub(crate) stream: StreamId,
    pub(crate) worker: usize,
    pub(crate) direction: Direction,
    pub(crate) sources: Sources,
    pub(crate) address: SocketAddr,
    pub(crate) is_open: bool,
    pub(crate) out: TrainBatch,
    pub(crate) events: Vec<PeerEvent>,
    pub(crate) refused: u64,
    pub(crate) role: Role,
    /// Every datagram that reached it.
    pub(crate) datagrams: Vec<(Timestamp, Vec<u8>)>,
    pub(crate) keeps_datagrams: bool,
    /// Its data channels: its part in DTLS and a seed before it is connected.
    data: Option<Data>,
}

enum Data {
    Agreed(DtlsRole, u64),
    Carried(Box<Channels>),
}

impl Client {
    pub(crate) fn new(
        peer: ClientPeer,
        session: SessionId,
        opening: &Opening,
        sources: Sources,
        address: SocketAddr,
    ) -> Self {
        let role = match opening.direction {
            Direction::Play => {
                let reporter = opening.transport_cc.then(Reporter::default);
                Role::Viewer(Viewer { reporter, ..Viewer::default() })
            }
            Direction::Publish => {
                let (first_index, timestamp_base) = opening.first;
                let rtx = sources.video_rtx.map(|ssrc| (ssrc, PUBLISH.video_rtx));
                Role::Publisher(Box::new(Publisher {
                    video: Source::new(sources.video, PUBLISH.video, rtx, first_index),
                    audio: Source::new(sources.audio, PUBLISH.audio, None, first_index / 2 + 1),
                    fragments: None,
                    parameter_sets: true,
                    answers_requests: true,
                    answers_nacks: true,
                    published: Vec::new(),
                    key_frame_requests: Vec::new(),
                    key_frames_of: Vec::new(),
                    reported_on: Vec::new(),
                    nacked: Vec::new(),
                    transport_feedback: 0,
                    receiver_reports: 0,
                    goodbyes: 0,
                    ceilings: Vec::new(),
                    reports: true,
                    timestamp_base,
                    started: Timestamp::ZERO,
                    frames: u64::from(timestamp_base) << 20,
                    audio_packets: u64::from(timestamp_base) << 20,
                    next_frame: Timestamp::ZERO,
                    next_audio: Timestamp::ZERO,
                    next_report: None,
                    transport_sequence: 65_000,
                    key_frame_wanted: false,
                }))
            }
        };
        Self {
            peer,
            session,
            stream: opening.stream,
            worker: opening.worker,
            direction: opening.direction,
            sources,
            address,
            is_open: true,
            out: TrainBatch::new(),
            events: Vec::new(),
            refused: 0,
            role,
            datagrams: Vec::new(),
            keeps_datagrams: false,
            data: None,
        }
    }

    /// Agrees to data channels: before the first datagram.
    pub(crate) fn carry_data(&mut self, role: DtlsRole, seed: u64) {
        self.peer.carry_data();
        self.data = Some(Data::Agreed(role, seed));
    }

    /// Its data channels, once it is connected. [`Self::serve_data`] sends what is done with them.
    pub(crate) fn channels(&mut self) -> Option<&mut Channels> {
        match &mut self.data {
            Some(Data::Carried(channels)) => Some(channels),
            _ => None,
        }
    }

    /// Takes what came for its data channels, does what is due, and sends.
    pub(crate) fn serve_data(&mut self, now: Timestamp) {
        if let (Some(Data::Agreed(role, seed)), true) = (&self.data, self.peer.is_connected()) {
            self.data = Some(Data::Carried(Box::new(Channels::connecting(*role, *seed, now))));
        }
        let Some(Data::Carried(channels)) = &mut self.data else { return };
        while let Some(record) = self.peer.poll_data() {
            channels.handle_packet(&record, now);
        }
        if channels.next_deadline().is_some_and(|at| at <= now) {
            channels.handle_timeout(now);
        }
        while self.out.has_room_for(1)
            && let Some(packet) = channels.poll_packet()
        {
            self.peer.send_data(&packet, &mut self.out, now);
        }
    }

    #[track_caller]
    pub(crate) fn publisher(&mut self) -> &mut Publisher {
        match &mut self.role {
            Role::Publisher(publisher) => publisher,
            Role::Viewer(_) => panic!("a viewer"),
        }
    }

    #[track_caller]
    pub(crate) fn viewer(&mut self) -> &mut Viewer {
        match &mut self.role {
            Role::Viewer(viewer) => viewer,
            Role::Publisher(_) => panic!("a publisher"),
        }
    }

    /// Media packets that a viewer received, whatever they carry.
    pub(crate) fn viewer_packets(&self) -> u64 {
        let Role::Viewer(viewer) = &self.role else { panic!("a publisher") };
        (viewer.received.len() + viewer.repairs.len()) as u64
    }

    /// What a viewer received of a kind, in order of arrival.
    #[track_caller]
    pub(crate) fn received(&self, kind: MediaKind) -> Vec<Packet> {
        let Role::Viewer(viewer) = &self.role else { panic!("a publisher") };
        let ssrc = self.ssrc(kind);
        viewer.received.iter().filter(|packet| packet.ssrc == ssrc).cloned().collect()
    }

    /// What a publisher made of a kind, in order.
    #[track_caller]
    pub(crate) fn published(&self, kind: MediaKind) -> Vec<Packet> {
        let Role::Publisher(publisher) = &self.role else { panic!("a viewer") };
        let ssrc = self.ssrc(kind);
        publisher.published.iter().filter(|packet| packet.ssrc == ssrc).cloned().collect()
    }

    pub(crate) fn ssrc(&self, kind: MediaKind) -> u32 {
        match kind {
            MediaKind::Audio => self.sources.audio,
            MediaKind::Video => self.sources.video,
        }
    }

    /// When the node answered its last check.
    pub(crate) fn peer_answered(&self) -> Timestamp {
        self.peer.last_answer().expect("it was answered once")
    }

    // --- what it does by itself ---

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let own = match &self.role {
            _ if !self.peer.is_connected() => None,
            Role::Publisher(publisher) if publisher.fragments.is_some() => {
                Some(publisher.next_frame.min(publisher.next_audio))
            }
            Role::Publisher(_) => None,
            Role::Viewer(viewer) => {
                let reporter = viewer.reporter.as_ref().map(Reporter::next_deadline);
                viewer.nacks.then_some(viewer.next_nack).into_iter().chain(reporter).min()
            }
        };
        let data = match &self.data {
            Some(Data::Carried(channels)) => channels.next_deadline(),
            _ => None,
        };
        self.peer.next_deadline().into_iter().chain(own).chain(data).min()
    }

    /// Does what is due; whether anything was.
    pub(crate) fn act(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        self.serve_data(now);
        if self.peer.next_deadline().is_some_and(|due| due <= now) {
            self.peer.handle_timeout(&mut self.out, now);
            self.drain_events();
            any = true;
        }
        if !self.peer.is_connected() {
            return any;
        }
        let due = match &mut self.role {
            Role::Publisher(publisher) => {
                if publisher.fragments.is_some() && publisher.started == Timestamp::ZERO {
                    publisher.start(now);
                }
                publisher.fragments.filter(|_| publisher.next_frame.min(publisher.next_audio) <= now)
            }
            Role::Viewer(viewer) => {
                if viewer.nacks && viewer.next_nack <= now {
                    viewer.next_nack = now + 20 * MS;
                    self.ask_for_missing();
                }
                self.report_arrivals(now);
                None
            }
        };
        if let Some(fragments) = due {
            any = true;
            let publisher = self.publisher();
            if publisher.next_audio <= now {
                publisher.next_audio = publisher.next_audio + AUDIO_INTERVAL;
                self.publish_audio(now);
            }
            let publisher = self.publisher();
            if publisher.next_frame <= now {
                publisher.next_frame = publisher.next_frame + FRAME_INTERVAL;
                let first = publisher.video.sent.0 == 0;
                let key_frame = std::mem::take(&mut publisher.key_frame_wanted) || first;
                self.publish_frame(if key_frame { fragments * 3 } else { fragments }, key_frame, now);
            }
            if self.publisher().reports && self.publisher().next_report.is_some_and(|due| due <= now) {
                self.send_sender_reports(now);
            }
        }
        any
    }

    /// Sends one frame now.
    pub(crate) fn publish_frame(&mut self, fragments: usize, key_frame: bool, now: Timestamp) {
        let publisher = self.publisher();
        let parameter_sets = publisher.parameter_sets;
        publisher.frames += 1;
        let payloads = video::frame(publisher.frames, video::bytes_for(fragments), key_frame, parameter_sets);
        let timestamp = publisher.timestamp(MediaKind::Video, now);
        let last = payloads.len() - 1;
        for (at, payload) in payloads.into_iter().enumerate() {
            let packet = self.publisher().video.packet(timestamp, at == last, payload).clone();
            self.send_source_packet(MediaKind::Video, &packet, now);
        }
    }

    /// Sends one Opus packet now.
    pub(crate) fn publish_audio(&mut self, now: Timestamp) {
        let publisher = self.publisher();
        publisher.audio_packets += 1;
        let payload = audio::opus_payload(publisher.audio_packets, 120);
        let timestamp = publisher.timestamp(MediaKind::Audio, now);
        let packet = publisher.audio.packet(timestamp, false, payload).clone();
        self.send_source_packet(MediaKind::Audio, &packet, now);
    }

    fn send_source_packet(
        &mut self,
        kind: MediaKind,
        packet: &corecast::lab::peer::source::SourcePacket,
        now: Timestamp,
    ) {
        let ssrc = self.ssrc(kind);
        let Role::Publisher(publisher) = &mut self.role else { panic!("a viewer") };
        let transport = publisher.next_transport_sequence();
        let [audio_mid, video_mid] = terms::MIDS;
        let (source, mid) = match kind {
            MediaKind::Audio => (&publisher.audio, audio_mid),
            MediaKind::Video => (&publisher.video, video_mid),
        };
        let extensions: [(u8, &[u8]); 2] = [(3, &transport), (PUBLISH.mid, mid.as_bytes())];
        self.peer.send_rtp(&mut self.out, &source.outgoing(packet, &extensions)).expect("room and keys");
        publisher.published.push(Packet {
            at: now,
            ssrc,
            index: packet.index,
            timestamp: packet.timestamp,
            payload_type: source.payload_type,
            marker: packet.marker,
            padding: 0,
            mid: mid.into(),
            transport: None,
            asks_for: None,
            payload: packet.payload.clone(),
        });
    }

    /// Sends a padding-only packet on the media's own source, as Chromium does before RTX is known to work.
    pub(crate) fn publish_probe(&mut self, now: Timestamp) {
        let publisher = self.publisher();
        let transport = publisher.next_transport_sequence();
        let probe = OutgoingRtp {
            ssrc: publisher.video.ssrc,
            index: publisher.video.skip(),
            timestamp: publisher.timestamp(MediaKind::Video, now),
            payload_type: PUBLISH.video,
            extensions: &[(3, &transport)],
            padding: 255,
            ..OutgoingRtp::default()
        };
        self.peer.send_rtp(&mut self.out, &probe).expect("room and keys");
    }

    /// Sends reports of both streams now, audio and video with one clock.
    pub(crate) fn send_sender_reports(&mut self, now: Timestamp) {
        let publisher = self.publisher();
        publisher.next_report = Some(now + 1_000 * MS);
        // The publisher's own clock, far from the node's.
        let ntp = NtpTime(1_000_000 << 32) + now.since(Timestamp::ZERO);
        let infos = [MediaKind::Audio, MediaKind::Video].map(|kind| {
            let source = if kind == MediaKind::Audio { &publisher.audio } else { &publisher.video };
            let (packet_count, octet_count) = source.sent;
            let rtp_timestamp = publisher.timestamp(kind, now);
            (source.ssrc, SenderInfo { ntp, rtp_timestamp, packet_count, octet_count })
        });
        for (ssrc, info) in infos {
            self.peer.send_rtcp(&mut self.out, |slot| sender_report::write(slot, ssrc, &info, &[])).expect("room");
        }
    }

    /// A viewer's NACK for video.
    pub(crate) fn nack(&mut self, sequences: &[u16]) {
        let media = self.sources.video;
        self.peer.send_rtcp(&mut self.out, |slot| nack::write(slot, 1, media, sequences)).expect("room and keys");
    }

    /// What a viewer reports of transport-wide numbers by itself.
    fn report_arrivals(&mut self, now: Timestamp) {
        let Role::Viewer(Viewer { reporter: Some(reporter), .. }) = &mut self.role else { return };
        if let Some(feedback) = reporter.poll(now) {
            self.send_rtcp(&feedback);
        }
    }

    /// Any RTCP.
    pub(crate) fn send_rtcp(&mut self, packet: &[u8]) {
        let write = |slot: &mut [u8]| {
            slot.get_mut(..packet.len())?.copy_from_slice(packet);
            Some(packet.len())
        };
        self.peer.send_rtcp(&mut self.out, write).expect("room and keys");
    }

    /// A viewer's request for a key frame.
    pub(crate) fn request_key_frame(&mut self) {
        let media = self.sources.video;
        let write = |slot: &mut [u8]| picture_loss_indication::write(slot, 1, media);
        self.peer.send_rtcp(&mut self.out, write).expect("room and keys");
    }

    /// The video indexes a viewer still misses between its first packet and its newest.
    pub(crate) fn missing(&self) -> Vec<u64> {
        let video = self.received(MediaKind::Video);
        let Role::Viewer(viewer) = &self.role else { panic!("a publisher") };
        let mut have: Vec<u64> = video.iter().map(|packet| packet.index).collect();
        let Some(&first) = have.first() else { return Vec::new() };
        let newest = have.iter().copied().max().unwrap_or(first);
        have.extend(viewer.repairs.iter().map(|repair| {
            let original = u16::from_be_bytes([repair.payload[0], repair.payload[1]]);
            corecast::wire::sequence::extend(newest, original)
        }));
        have.sort_unstable();
        (first..=newest).filter(|index| have.binary_search(index).is_err()).collect()
    }

    fn ask_for_missing(&mut self) {
        let missing: Vec<u16> = self.missing().iter().map(|index| (index & 0xffff) as u16).collect();
        for sequences in missing.chunks(60) {
            self.nack(sequences);
        }
    }

    // --- what reaches it ---

    pub(crate) fn handle_datagram(&mut self, bytes: &mut [u8], now: Timestamp) {
        if self.keeps_datagrams {
            self.datagrams.push((now, bytes.to_vec()));
        }
        match self.peer.handle_datagram(bytes, &mut self.out, now) {
            Ok(Inbound::Handled) => {}
            Ok(Inbound::Rtp(opened)) => {
                let packet = &bytes[..opened.plain_len()];
                let packet = RtpPacket::parse(packet).expect("the node sends whole packets");
                let header = packet.header();
                let mid = packet.extensions().find(|&(id, _)| id == PLAY.mid).map(|(_, mid)| mid.to_vec());
                let packet = Packet {
                    at: now,
                    ssrc: header.ssrc,
                    index: opened.packet_index,
                    timestamp: header.timestamp,
                    payload_type: header.payload_type,
                    marker: header.marker,
                    padding: packet.padding_len(),
                    mid: mid.unwrap_or_default(),
                    transport: Reporter::number_of(&packet),
                    asks_for: Reporter::asked_by(&packet),
                    payload: packet.payload().to_vec(),
                };
                let is_repair = Some(packet.ssrc) == self.sources.video_rtx;
                let viewer = self.viewer();
                if let (Some(number), Some(reporter)) = (packet.transport, &mut viewer.reporter) {
                    reporter.arrived(number, packet.asks_for, now);
                }
                if is_repair { &mut viewer.repairs } else { &mut viewer.received }.push(packet);
            }
            Ok(Inbound::Rtcp(len)) => self.handle_rtcp(&bytes[..len], now),
            Err(_) => self.refused += 1,
        }
        self.drain_events();
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.peer.poll_event() {
            self.events.push(event);
        }
    }

    fn handle_rtcp(&mut self, compound: &[u8], now: Timestamp) {
        for packet in rtcp::packets(compound) {
            let packet = packet.expect("the node sends whole compounds");
            match &mut self.role {
                Role::Viewer(viewer) => match packet {
                    RtcpPacket::SenderReport(report) => viewer.reports.push(Report {
                        at: now,
                        ssrc: report.ssrc,
                        ntp: report.info.ntp,
                        timestamp: report.info.rtp_timestamp,
                        packets: report.info.packet_count,
                    }),
                    RtcpPacket::Goodbye(goodbye) => viewer.goodbyes.extend(goodbye.sources()),
                    _ => {}
                },
                Role::Publisher(publisher) => match packet {
                    RtcpPacket::PictureLossIndication(_) | RtcpPacket::FullIntraRequest(_) => {
                        if let RtcpPacket::PictureLossIndication(request) = &packet {
                            publisher.key_frames_of.push(request.media_ssrc);
                        }
                        publisher.key_frame_requests.push(now);
                        publisher.key_frame_wanted |= publisher.answers_requests;
                    }
                    RtcpPacket::Nack(nack) => {
                        let sequences: Vec<u16> = nack.sequences().collect();
                        for sequence in sequences {
                            publisher.nacked.push((now, sequence));
                            if publisher.answers_nacks
                                && let Some((repair, (ssrc, payload_type))) = publisher.video.repair(sequence)
                            {
                                let packet = OutgoingRtp {
                                    ssrc,
                                    payload_type,
                                    ..publisher.video.outgoing(&repair, &[(PUBLISH.mid, b"1")])
                                };
                                self.peer.send_rtp(&mut self.out, &packet).expect("room and keys");
                            }
                        }
                    }
                    RtcpPacket::TransportFeedback(_) => publisher.transport_feedback += 1,
                    RtcpPacket::ReceiverReport(report) => {
                        publisher.receiver_reports += 1;
                        publisher.reported_on.extend(report.reports.into_iter().map(|block| block.ssrc));
                    }
                    RtcpPacket::Remb(remb) => publisher.ceilings.push(remb.bitrate_bps),
                    RtcpPacket::Goodbye(_) => publisher.goodbyes += 1,
                    _ => {}
                },
            }
        }
    }
}

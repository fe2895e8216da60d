//! A worker with real sockets, one publisher and many viewers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use corecast::crypto::random::SystemRandom;
use corecast::description::{Direction, Fingerprint, FingerprintHash, IceCredentials, MediaKind};
use corecast::dtls::DtlsIdentity;
use corecast::limits;
use corecast::net::{self, Io, IoKind, MediaSockets, Path};
use corecast::peer::source::{Source, SourcePacket};
use corecast::peer::terms::{self, MIDS, Offer, PUBLISH, Sources};
use corecast::peer::{audio, video};
use corecast::placement;
use corecast::srtp::{SrtpKeys, SrtpProfile, SrtpSender};
use corecast::time::{NtpTime, Timestamp};
use corecast::wire::rtcp::sender_report::{self, SenderInfo};
use corecast::wire::rtp::{HeaderFields, write_header};
use corecast::worker::lane::Lanes;
use corecast::worker::mailbox::{Control, OpenSession, SessionId, StreamId, WorkerHandle, WorkerIndex};
use corecast::worker::report::WorkerReport;
use corecast::worker::{WallClock, Worker, WorkerConfig};

use super::watched::Watched;

/// A worker with one publisher and many viewers.
pub(crate) struct Bench {
    pub(crate) worker: Worker,
    pub(crate) io: Watched,
    pub(crate) handle: WorkerHandle,
    pub(crate) publisher: Publisher,
    _sink: UdpSocket,
}

/// The publisher's socket, keys and streams.
pub(crate) struct Publisher {
    socket: UdpSocket,
    sender: SrtpSender,
    video: Source,
    audio: Source,
    frames: u64,
    audio_packets: u64,
    report_due: Timestamp,
}

pub(crate) fn keys(seed: u64, is_client: bool) -> SrtpKeys {
    let mut material = [0; 56];
    for (at, byte) in material.iter_mut().enumerate() {
        *byte = (seed >> (at % 8 * 8)) as u8 ^ (at as u8).wrapping_mul(37);
    }
    SrtpKeys::from_exported(SrtpProfile::AeadAes128Gcm, &material, is_client).expect("56 bytes")
}

pub(crate) fn ice(name: &str, number: usize) -> IceCredentials {
    IceCredentials {
        ufrag: placement::ufrag(WorkerIndex(0), &format!("{name}{number:08}")),
        password: format!("{name}-password-{number:08}-long-enough"),
    }
}

fn sources(number: usize) -> Sources {
    let base = 0x0100_0000 + number as u32 * 4;
    Sources { audio: base, video: base + 1, video_rtx: Some(base + 2) }
}

/// An address of its own for each viewer, all of which reach one socket.
pub(crate) fn viewer_address(viewer: usize, sink_port: u16) -> SocketAddr {
    let [_, a, b, c] = (viewer as u32).to_be_bytes();
    SocketAddr::from(([127, 1 + a, b, c], sink_port))
}

pub(crate) fn request(direction: Direction, number: usize) -> OpenSession {
    let offer = Offer {
        direction,
        ice: ice("peer", number),
        fingerprint: Fingerprint { hash: FingerprintHash::Sha256, value: vec![0; 32] },
        sources: sources(number),
    };
    OpenSession {
        session: SessionId(number as u64),
        stream: StreamId(1),
        stream_name: "bench".to_owned(),
        local_ice: ice("node", number),
        description: terms::answer(&offer),
        reply: flume::bounded(1).0,
    }
}

impl Bench {
    pub(crate) fn new(kind: IoKind, viewers: usize) -> Self {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let sockets = MediaSockets::open(&[localhost], 0).expect("a socket");
        for warning in sockets.warnings() {
            eprintln!("note: {warning}");
        }
        let port = sockets.port();
        let opened = net::open_io(kind, sockets).expect("the backend may be used");
        let now = net::now();
        let (handle, control) = WorkerHandle::new(WorkerIndex(0), port, opened.io.waker());
        let config = WorkerConfig {
            index: WorkerIndex(0),
            core: 0,
            media_port: port,
            io: opened.io.name(),
            sessions_max: viewers + 2,
            hold_max: limits::FRAME_HOLD_MAX,
            wall_clock: WallClock { at_zero: NtpTime(1 << 63) },
        };
        let identity = DtlsIdentity::generate(SystemTime::now()).expect("a certificate");
        let lanes = Lanes::connect(&[opened.io.waker()]).pop().expect("one worker");
        let (notices, _) = flume::bounded(1);
        let mut worker = Worker::new(config, identity, Box::new(SystemRandom), lanes, control, notices, now);

        let path = |remote| Path { remote, local_ip: localhost, socket: 0 };
        let socket = UdpSocket::bind((localhost, 0)).expect("a socket");
        socket.connect((localhost, port)).expect("a socket connects");
        let own = path(socket.local_addr().expect("it is bound"));
        worker.open_connected(request(Direction::Publish, 0), &keys(0, false), own, now).expect("there is room");

        let sink = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
        let sink_port = sink.local_addr().expect("it is bound").port();
        for viewer in 1..=viewers {
            let remote = viewer_address(viewer, sink_port);
            let keys = keys(viewer as u64, false);
            worker.open_connected(request(Direction::Play, viewer), &keys, path(remote), now).expect("there is room");
        }
        let Sources { audio, video, .. } = sources(0);
        let publisher = Publisher {
            sender: SrtpSender::new(SrtpProfile::AeadAes128Gcm, &keys(0, true).local),
            video: Source::new(video, PUBLISH.video, None, 1),
            audio: Source::new(audio, PUBLISH.audio, None, 1),
            frames: 0,
            audio_packets: 0,
            report_due: now,
            socket,
        };
        let io = Watched::new(opened.io);
        Self { worker, io, handle, publisher, _sink: sink }
    }

    /// As the event loop does.
    pub(crate) fn round(&mut self) {
        let before = net::now();
        // At most a millisecond, so that a bench which has nothing to do can give the worker something.
        let deadline = self.worker.next_deadline(before).min(before + Duration::from_millis(1));
        self.io.wait(deadline).expect("the backend works");
        self.worker.waited(before, net::now());
        self.worker.round(&mut self.io);
    }

    pub(crate) fn is_idle(&self) -> bool {
        let now = net::now();
        self.worker.next_deadline(now) > now
    }

    /// Runs rounds until nobody is behind.
    pub(crate) fn run_idle(&mut self) {
        self.round();
        while !self.is_idle() {
            self.round();
        }
    }

    pub(crate) fn report(&mut self) -> WorkerReport {
        let (reply, answer) = flume::bounded(1);
        assert!(self.handle.try_send(Control::Report(reply)).is_ok(), "the mailbox has room");
        loop {
            self.round();
            if let Ok(report) = answer.try_recv() {
                return *report;
            }
        }
    }
}

impl Publisher {
    fn timestamp(rate: u64) -> u32 {
        (u128::from(net::now().as_nanos()) * u128::from(rate) / 1_000_000_000) as u32
    }

    fn send(&self, kind: MediaKind, packet: &SourcePacket) {
        let (source, mid) = match kind {
            MediaKind::Audio => (&self.audio, MIDS[0]),
            MediaKind::Video => (&self.video, MIDS[1]),
        };
        let fields = HeaderFields {
            marker: packet.marker,
            padding: false,
            payload_type: source.payload_type,
            sequence: (packet.index & 0xffff) as u16,
            timestamp: packet.timestamp,
            ssrc: source.ssrc,
        };
        let mut slot = [0; 1_500];
        let header = write_header(&mut slot, &fields, &[(PUBLISH.mid, mid.as_bytes())]).expect("it fits");
        let len = self.sender.seal_rtp(packet.index, header, &mut slot, &packet.payload, 0).expect("it fits");
        self.socket.send(&slot[..len]).expect("loopback takes it");
    }

    pub(crate) fn frame(&mut self, fragments: usize, key_frame: bool) {
        self.frames += 1;
        let payloads = video::frame(self.frames, video::bytes_for(fragments), key_frame, true);
        let (timestamp, last) = (Self::timestamp(90_000), payloads.len() - 1);
        for (at, payload) in payloads.into_iter().enumerate() {
            let packet = self.video.packet(timestamp, at == last, payload).clone();
            self.send(MediaKind::Video, &packet);
        }
        self.reports();
    }

    pub(crate) fn audio(&mut self) {
        self.audio_packets += 1;
        let payload = audio::opus_payload(self.audio_packets, 120);
        let packet = self.audio.packet(Self::timestamp(48_000), false, payload).clone();
        self.send(MediaKind::Audio, &packet);
    }

    /// Sender reports once a second, so that viewers get theirs.
    fn reports(&mut self) {
        let now = net::now();
        if now < self.report_due {
            return;
        }
        self.report_due = now + Duration::from_secs(1);
        for (source, rate) in [(&self.audio, 48_000), (&self.video, 90_000)] {
            let info = SenderInfo {
                ntp: NtpTime(1 << 62) + now.since(Timestamp::ZERO),
                rtp_timestamp: Self::timestamp(rate),
                packet_count: source.sent.0,
                octet_count: source.sent.1,
            };
            let mut slot = [0; 128];
            let len = sender_report::write(&mut slot, source.ssrc, &info, &[]).expect("it fits");
            let len = self.sender.seal_rtcp(&mut slot, len).expect("it fits");
            self.socket.send(&slot[..len]).expect("loopback takes it");
        }
    }
}

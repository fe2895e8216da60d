//! What one worker does at saturation, over real sockets on the loopback interface, with both I/O backends.
//! `cargo bench --bench saturation [-- --io uring|mmsg] [-- --seconds N]`; `benches/README.md` explains the figures.
//!
//! 1. 1,000 viewers in one process, frames of nine fragments as fast as they can be forwarded: packets a second, CPU
//!    time per forwarded packet, segments per message.
//! 2. 5,000 viewers and a key frame of 40 packets in fan-out, with STUN checks and audio arriving meanwhile: how long
//!    each waits.
//!
//! The worker, its sockets and its way from datagram to train are the production ones; viewers are connected without
//! a handshake. They all live behind one socket that nobody reads, each at an address of its own in 127.0.0.0/8, so
//! the kernel drops what they receive after doing all the work of delivering it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use corecast::crypto::random::SystemRandom;
use corecast::dtls::DtlsIdentity;
use corecast::limits;
use corecast::net::{self, AnyIo, Datagram, Io, IoCounters, IoKind, MediaSockets, Path, TrainBatch, Waker, process};
use corecast::peer::source::Source;
use corecast::peer::terms::{self, MIDS, Offer, PUBLISH, Sources};
use corecast::peer::{audio, video};
use corecast::placement;
use corecast::session::description::{Direction, Fingerprint, FingerprintHash, IceCredentials, MediaKind};
use corecast::srtp::{SrtpKeys, SrtpProfile, SrtpSender};
use corecast::time::{NtpTime, Timestamp};
use corecast::wire::rtcp::sender_report::{self, SenderInfo};
use corecast::wire::rtp::{HeaderFields, write_header};
use corecast::wire::stun::StunWriter;
use corecast::worker::lane::Lanes;
use corecast::worker::mailbox::{Control, OpenSession, SessionId, StreamId, WorkerHandle, WorkerIndex};
use corecast::worker::report::WorkerReport;
use corecast::worker::{WallClock, Worker, WorkerConfig};

/// Fragments of a frame, and the frames between two key frames.
const FRAGMENTS: usize = 9;
const FRAMES_PER_KEY_FRAME: u64 = 60;

/// Datagrams shorter than this are audio (or shorter still: STUN, RTCP); video fragments are four times as long.
const AUDIO_BYTES_MAX: usize = 300;

/// Within this, what arrives during a fan-out shall be served.
const BUDGET: Duration = Duration::from_millis(2);

/// The worker's sockets, watched: when did it last look at the network, and when did what go out?
struct Watched {
    io: AnyIo,
    checker: SocketAddr,
    /// When the previous receive ended: what arrived since then had to wait for the next one.
    looked: Timestamp,
    /// A check may have waited since then.
    check_since: Option<Timestamp>,
    looked_before: Timestamp,
    check_waits: Vec<Duration>,
    rounds: Vec<Duration>,
    audio_sent: u64,
    audio_first: Option<Timestamp>,
    audio_last: Timestamp,
}

impl Io for Watched {
    fn now(&self) -> Timestamp {
        net::now()
    }

    fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        self.io.wait(deadline)
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, mut visit: F) -> usize {
        let (checker, mut checked) = (self.checker, false);
        let taken = self.io.receive(limit, |datagram| {
            checked |= datagram.path.remote == checker;
            visit(datagram);
        });
        let now = net::now();
        self.rounds.push(now.since(self.looked));
        self.looked_before = std::mem::replace(&mut self.looked, now);
        if checked {
            // The worst case: it arrived the moment the previous look had ended.
            self.check_since = Some(self.looked_before);
        }
        taken
    }

    fn send(&mut self, batch: &mut TrainBatch) {
        self.io.send(batch);
        let now = net::now();
        for train in batch.trains() {
            if train.path.remote == self.checker
                && let Some(since) = self.check_since.take()
            {
                self.check_waits.push(now.since(since));
            }
            let size = usize::from(train.segment_size);
            if (100..AUDIO_BYTES_MAX).contains(&size) && train.path.remote != self.checker {
                self.audio_sent += u64::from(train.segments);
                self.audio_first.get_or_insert(now);
                self.audio_last = now;
            }
        }
    }

    fn counters(&self) -> IoCounters {
        self.io.counters()
    }

    fn waker(&self) -> Waker {
        self.io.waker()
    }
}

/// A worker with one publisher and many viewers.
struct Bench {
    worker: Worker,
    io: Watched,
    handle: WorkerHandle,
    publisher: Publisher,
    _sink: UdpSocket,
}

/// The publisher's socket, keys and streams.
struct Publisher {
    socket: UdpSocket,
    sender: SrtpSender,
    video: Source,
    audio: Source,
    frames: u64,
    audio_packets: u64,
    report_due: Timestamp,
}

fn keys(seed: u64, is_client: bool) -> SrtpKeys {
    let mut material = [0; 56];
    for (at, byte) in material.iter_mut().enumerate() {
        *byte = (seed >> (at % 8 * 8)) as u8 ^ (at as u8).wrapping_mul(37);
    }
    SrtpKeys::from_exported(SrtpProfile::AeadAes128Gcm, &material, is_client).expect("56 bytes")
}

fn ice(name: &str, number: usize) -> IceCredentials {
    IceCredentials {
        ufrag: placement::ufrag(WorkerIndex(0), &format!("{name}{number:08}")),
        password: format!("{name}-password-{number:08}-long-enough"),
    }
}

fn request(direction: Direction, number: usize) -> OpenSession {
    let base = 0x0100_0000 + number as u32 * 4;
    let offer = Offer {
        direction,
        ice: ice("peer", number),
        fingerprint: Fingerprint { hash: FingerprintHash::Sha256, value: vec![0; 32] },
        sources: Sources { audio: base, video: base + 1, video_rtx: Some(base + 2) },
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
    fn new(kind: IoKind, viewers: usize) -> Self {
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
            let [_, a, b, c] = (viewer as u32).to_be_bytes();
            let remote = SocketAddr::from(([127, 1 + a, b, c], sink_port));
            let keys = keys(viewer as u64, false);
            worker.open_connected(request(Direction::Play, viewer), &keys, path(remote), now).expect("there is room");
        }
        let Sources { audio, video, .. } = Sources { audio: 0x0100_0000, video: 0x0100_0001, video_rtx: None };
        let publisher = Publisher {
            sender: SrtpSender::new(SrtpProfile::AeadAes128Gcm, &keys(0, true).local),
            video: Source::new(video, PUBLISH.video, None, 1),
            audio: Source::new(audio, PUBLISH.audio, None, 1),
            frames: 0,
            audio_packets: 0,
            report_due: now,
            socket,
        };
        let io = Watched {
            io: opened.io,
            checker: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            looked: now,
            looked_before: now,
            check_since: None,
            check_waits: Vec::new(),
            rounds: Vec::new(),
            audio_sent: 0,
            audio_first: None,
            audio_last: now,
        };
        Self { worker, io, handle, publisher, _sink: sink }
    }

    /// As the event loop does.
    fn round(&mut self) {
        let before = net::now();
        // At most a millisecond, so that a bench which has nothing to do can give the worker something.
        let deadline = self.worker.next_deadline(before).min(before + Duration::from_millis(1));
        self.io.wait(deadline).expect("the backend works");
        self.worker.waited(before, net::now());
        self.worker.round(&mut self.io);
    }

    fn is_idle(&self) -> bool {
        let now = net::now();
        self.worker.next_deadline(now) > now
    }

    /// Runs rounds until nobody is behind.
    fn run_idle(&mut self) {
        self.round();
        while !self.is_idle() {
            self.round();
        }
    }

    fn report(&mut self) -> WorkerReport {
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

    fn send(&self, kind: MediaKind, packet: &corecast::peer::source::SourcePacket) {
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

    fn frame(&mut self, fragments: usize, key_frame: bool) {
        self.frames += 1;
        let payloads = video::frame(self.frames, video::bytes_for(fragments), key_frame, true);
        let (timestamp, last) = (Self::timestamp(90_000), payloads.len() - 1);
        for (at, payload) in payloads.into_iter().enumerate() {
            let packet = self.video.packet(timestamp, at == last, payload).clone();
            self.send(MediaKind::Video, &packet);
        }
        self.reports();
    }

    fn audio(&mut self) {
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

/// Mode 1. Returns a row of the table.
fn saturate(kind: IoKind, viewers: usize, duration: Duration) -> String {
    let mut bench = Bench::new(kind, viewers);
    bench.publisher.frame(FRAGMENTS * 3, true);
    bench.run_idle();
    for _ in 1..FRAMES_PER_KEY_FRAME {
        bench.publisher.frame(FRAGMENTS, false);
        bench.run_idle();
    }
    let before = bench.report();
    let (started, cpu) = (net::now(), process::thread_cpu_time());
    let mut frames = 0_u64;
    while net::now().since(started) < duration {
        frames += 1;
        let key_frame = frames.is_multiple_of(FRAMES_PER_KEY_FRAME);
        bench.publisher.frame(if key_frame { FRAGMENTS * 3 } else { FRAGMENTS }, key_frame);
        bench.run_idle();
    }
    let (elapsed, cpu) = (net::now().since(started), process::thread_cpu_time() - cpu);
    let after = bench.report();
    let packets = after.forwarded.packets - before.forwarded.packets;
    let bytes = after.forwarded.bytes - before.forwarded.bytes;
    let segments = after.segments_sent - before.segments_sent;
    let messages = after.messages_sent - before.messages_sent;
    let trains = segments as f64 / messages as f64;
    let dropped: u64 = after.dropped.values().sum();
    format!(
        "| {:5} | {viewers:7} | {:9.0} | {:6.2} | {:13.0} | {trains:16.2} | {:>6} | {dropped:7} |",
        after.io,
        packets as f64 / elapsed.as_secs_f64(),
        bytes as f64 * 8.0 / elapsed.as_secs_f64() / 1e9,
        cpu.as_nanos() as f64 / packets as f64,
        if trains >= 6.0 { "yes" } else { "NO" },
    )
}

/// Mode 2. Returns the lines of the table.
fn key_frame_storm(kind: IoKind, viewers: usize, repeats: usize) -> Vec<String> {
    let mut bench = Bench::new(kind, viewers);
    // One more viewer, which checks its path.
    let number = viewers + 1;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.connect((Ipv4Addr::LOCALHOST, bench.handle.media_port)).expect("a socket connects");
    bench.io.checker = socket.local_addr().expect("it is bound");
    let path = Path { remote: bench.io.checker, local_ip: IpAddr::V4(Ipv4Addr::LOCALHOST), socket: 0 };
    let mut other = request(Direction::Play, number);
    other.stream = StreamId(2);
    let (node, peer) = (ice("node", number), ice("peer", number));
    bench.worker.open_connected(other, &keys(number as u64, false), path, net::now()).expect("there is room");
    let check = |transaction: u64| {
        let mut id = [0; 12];
        id[..8].copy_from_slice(&transaction.to_be_bytes());
        let mut out = [0; 256];
        let len = StunWriter::binding_request(&mut out, &id)
            .username(format!("{}:{}", node.ufrag, peer.ufrag).as_bytes())
            .priority(1)
            .ice_controlling(1)
            .use_candidate()
            .integrity(node.password.as_bytes())
            .fingerprint()
            .finish()
            .expect("it fits");
        out[..len].to_vec()
    };
    bench.publisher.frame(40, true);
    bench.publisher.audio();
    bench.run_idle();

    let (mut storms, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    bench.io.check_waits.clear();
    bench.io.rounds.clear();
    let mut transaction = 0;
    for repeat in 0..repeats {
        let started = net::now();
        bench.publisher.frame(40, true);
        let mut rounds = 0;
        let mut audio_at: Option<Timestamp> = None;
        loop {
            transaction += 1;
            socket.send(&check(transaction)).expect("loopback takes it");
            // Audio arrives at another point of each fan-out.
            if rounds == 10 + 7 * (repeat % 12) {
                (bench.io.audio_sent, bench.io.audio_first) = (0, None);
                audio_at = Some(bench.io.looked);
                bench.publisher.audio();
            }
            bench.round();
            rounds += 1;
            if bench.is_idle() {
                break;
            }
        }
        storms.push(net::now().since(started));
        if let (Some(at), Some(first)) = (audio_at, bench.io.audio_first)
            && bench.io.audio_sent >= viewers as u64
        {
            firsts.push(first.since(at));
            lasts.push(bench.io.audio_last.since(at));
        }
    }
    let name = bench.io.io.name();
    let row = |what: &str, mut times: Vec<Duration>, judged: bool| {
        times.sort_unstable();
        let at = |permille: usize| {
            let index = (times.len().saturating_sub(1)) * permille / 1000;
            times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        let verdict = match judged {
            true if times.last().is_some_and(|&longest| longest <= BUDGET) => "yes",
            true => "NO",
            false => "",
        };
        format!(
            "| {name:5} | {what:44} | {:6} | {:7.3} | {:7.3} | {:7.3} | {verdict:6} |",
            times.len(),
            at(500),
            at(990),
            at(1000)
        )
    };
    vec![
        row("key frame to all viewers", storms, false),
        row("between two looks at the network", std::mem::take(&mut bench.io.rounds), true),
        row("STUN check available -> answer sent", std::mem::take(&mut bench.io.check_waits), true),
        row("audio available -> sent to the first viewer", firsts, true),
        row("audio available -> sent to the last viewer", lasts, true),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)).cloned();
    let kinds: Vec<IoKind> = match value("--io") {
        Some(kind) => vec![kind.parse().expect("--io uring or mmsg")],
        None => vec![IoKind::Uring, IoKind::Mmsg],
    };
    let seconds: u64 = value("--seconds").map_or(5, |text| text.parse().expect("--seconds N"));
    let _ = process::pin_current_thread(0);

    println!(
        "\n1. Saturation: frames of {FRAGMENTS} fragments of about 1,140 bytes, one after the other, GCM-128, one thread, loopback\n"
    );
    println!("| io    | viewers | packets/s | Gbit/s | CPU ns/packet | segments/message | >= 6 ? | dropped |");
    println!("|-------|---------|-----------|--------|---------------|------------------|--------|---------|");
    for &kind in &kinds {
        for viewers in [100, 1_000, 5_000] {
            println!("{}", saturate(kind, viewers, Duration::from_secs(seconds)));
        }
    }
    println!(
        "\nCPU is the worker's thread: opening, sealing, sending, and on loopback the kernel's delivery to the viewers'"
    );
    println!(
        "socket too. \"dropped\" is what the worker could not send or refused; what the viewers' socket drops is not seen."
    );

    println!(
        "\n2. 5,000 viewers, a key frame of 40 packets in fan-out; a STUN check every round, audio in the middle (ms)\n"
    );
    println!(
        "| io    | what                                         |  times |    half |  99 %   | longest | <= 2 ? |"
    );
    println!(
        "|-------|----------------------------------------------|--------|---------|---------|---------|--------|"
    );
    for &kind in &kinds {
        for line in key_frame_storm(kind, 5_000, 24) {
            println!("{line}");
        }
    }
    println!(
        "\n\"available\" is the worst case: the moment after the worker's previous look at the network. Audio to the last of"
    );
    println!(
        "5,000 viewers is 5,000 messages of one packet each, about a microsecond apiece, whatever the order of service."
    );
}

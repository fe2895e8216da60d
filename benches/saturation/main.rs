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

mod node;
mod watched;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use corecast::description::Direction;
use corecast::net::{self, AnyIo, Io, IoKind, MediaSockets, Path, TrainBatch, process};
use corecast::peer::terms::PLAY;
use corecast::peer::video;
use corecast::srtp::{SrtpProfile, SrtpSender};
use corecast::wire::rtp::{HeaderFields, write_header};
use corecast::wire::stun::StunWriter;
use corecast::worker::mailbox::StreamId;
use node::{Bench, ice, keys, request, viewer_address};
use watched::{Moment, Span};

/// Fragments of a frame, and the frames between two key frames.
const FRAGMENTS: usize = 9;
const FRAMES_PER_KEY_FRAME: u64 = 60;

/// Within this, what arrives during a fan-out shall be served.
const BUDGET: Duration = Duration::from_millis(2);

/// The control of mode 1: as many packets to the same viewers through the same sockets, sealed and sent and nothing
/// else. No relay, no sessions, no receiving. Returns a row of the table.
fn floor(kind: IoKind, viewers: usize, duration: Duration) -> String {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut io = net::open_io(kind, MediaSockets::open(&[localhost], 0).expect("a socket")).expect("a backend").io;
    let sink = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    let sink_port = sink.local_addr().expect("it is bound").port();
    let senders: Vec<(Path, SrtpSender)> = (1..=viewers)
        .map(|viewer| {
            let remote = viewer_address(viewer, sink_port);
            let sender = SrtpSender::new(SrtpProfile::AeadAes128Gcm, &keys(viewer as u64, false).local);
            (Path { remote, local_ip: localhost, socket: 0 }, sender)
        })
        .collect();
    let payload = vec![7; video::FRAGMENT_BYTES_MAX - 20];
    let mut batch = TrainBatch::new();
    let mut first_index = 1;
    let mut frame = |io: &mut AnyIo| {
        for (path, sender) in &senders {
            if !batch.has_room_for(FRAGMENTS) {
                io.send(&mut batch);
                batch.clear();
            }
            for index in first_index..first_index + FRAGMENTS as u64 {
                let fields = HeaderFields { sequence: (index & 0xffff) as u16, ssrc: 1, ..HeaderFields::default() };
                let slot = batch.slot();
                let header = write_header(slot, &fields, &[(PLAY.mid, b"1")]).expect("it fits");
                let len = sender.seal_rtp(index, header, slot, &payload, 0).expect("it fits");
                batch.commit(path, len);
            }
        }
        first_index += FRAGMENTS as u64;
    };
    frame(&mut io);
    let before = io.counters();
    let (started, cpu) = (net::now(), process::thread_cpu_time());
    while net::now().since(started) < duration {
        frame(&mut io);
    }
    let (elapsed, cpu) = (net::now().since(started), process::thread_cpu_time() - cpu);
    let after = io.counters();
    let segments = after.segments_sent - before.segments_sent;
    let trains = segments as f64 / (after.messages_sent - before.messages_sent) as f64;
    let traffic = (segments, after.bytes_sent - before.bytes_sent);
    let refused = after.sends_full + after.sends_failed;
    table_row(&format!("{} floor", io.name()), viewers, traffic, (elapsed, cpu), trains, refused)
}

fn table_row(
    name: &str,
    viewers: usize,
    (packets, bytes): (u64, u64),
    (elapsed, cpu): (Duration, Duration),
    trains: f64,
    dropped: u64,
) -> String {
    format!(
        "| {name:11} | {viewers:7} | {:9.0} | {:6.2} | {:13.0} | {trains:16.2} | {:>6} | {dropped:7} |",
        packets as f64 / elapsed.as_secs_f64(),
        bytes as f64 * 8.0 / elapsed.as_secs_f64() / 1e9,
        cpu.as_nanos() as f64 / packets as f64,
        if trains >= 6.0 { "yes" } else { "NO" },
    )
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
    table_row(after.io, viewers, (packets, bytes), (elapsed, cpu), trains, dropped)
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
        let started = Moment::now();
        bench.publisher.frame(40, true);
        let mut rounds = 0;
        let mut audio_at: Option<Moment> = None;
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
        storms.push(Moment::now().since(started));
        if let (Some(at), Some(first)) = (audio_at, bench.io.audio_first)
            && bench.io.audio_sent >= viewers as u64
        {
            firsts.push(first.since(at));
            lasts.push(bench.io.audio_last.since(at));
        }
    }
    let name = bench.io.io.name();
    let row = |what: &str, spans: &[Span], judged: bool| {
        let sorted = |of: fn(&Span) -> Duration| {
            let mut times: Vec<Duration> = spans.iter().map(of).collect();
            times.sort_unstable();
            move |permille: usize| {
                times.get(times.len().saturating_sub(1) * permille / 1000).copied().unwrap_or_default()
            }
        };
        let (wall, cpu) = (sorted(|span| span.wall), sorted(|span| span.cpu));
        let verdict = match judged {
            true if cpu(999) <= BUDGET => "yes",
            true => "NO",
            false => "",
        };
        let ms = |time: Duration| format!("{:7.3}", time.as_secs_f64() * 1e3);
        let times = [wall(500), wall(990), wall(1000), cpu(500), cpu(999), cpu(1000)].map(ms).join(" | ");
        format!("| {name:5} | {what:43} | {:6} | {times} | {verdict:6} |", spans.len())
    };
    vec![
        row("key frame to all viewers", &storms, false),
        row("between two looks at the network", &bench.io.rounds, true),
        row("STUN check available -> answer sent", &bench.io.check_waits, true),
        row("audio available -> sent to the first viewer", &firsts, true),
        row("audio available -> sent to the last viewer", &lasts, false),
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
    let core = value("--core").map_or(0, |text| text.parse().expect("--core N"));
    if let Err(error) = process::pin_current_thread(&[core]) {
        eprintln!("note: not pinned to core {core}: {error}");
    }

    println!(
        "\n1. Saturation: frames of {FRAGMENTS} fragments of about 1,140 bytes, back to back, GCM-128, one thread\n"
    );
    println!("| io          | viewers | packets/s | Gbit/s | CPU ns/packet | segments/message | >= 6 ? | dropped |");
    println!("|-------------|---------|-----------|--------|---------------|------------------|--------|---------|");
    for viewers in [100, 1_000, 5_000] {
        for &kind in &kinds {
            println!("{}", floor(kind, viewers, Duration::from_secs(seconds)));
            println!("{}", saturate(kind, viewers, Duration::from_secs(seconds)));
        }
    }
    println!("{AFTER_SATURATION}");

    println!("{BEFORE_STORM}");
    for &kind in &kinds {
        for line in key_frame_storm(kind, 5_000, 24) {
            println!("{line}");
        }
    }
    println!("{AFTER_STORM}");
}

const AFTER_SATURATION: &str = "
CPU is the worker's thread: receiving, opening, sealing, sending, and on loopback the kernel's delivery to the viewers'
socket too. \"floor\" seals and sends as many packets and does nothing else. \"dropped\" is what the worker could not send
or refused; what the viewers' socket drops is not seen.";

const BEFORE_STORM: &str = "
2. 5,000 viewers, a key frame of 40 packets in fan-out; a STUN check in every round, audio in the middle. Milliseconds.

|       |                                             |        | wall clock                  | CPU time of the thread      |        |
| io    | what                                        |  times |    half |    99 % | longest |    half |  99.9 % | longest | <= 2 ? |
|-------|---------------------------------------------|--------|---------|---------|---------|---------|---------|---------|--------|";

const AFTER_STORM: &str = "
\"available\" is the worst case: the moment after the worker's previous look at the network. The budget is judged by the
99.9 % of CPU time: what other programs take from this core shows on the wall clock, what the kernel does for them in
this thread's name in the longest. Audio to the last of 5,000 viewers is 5,000 messages of one packet each, about a
microsecond apiece, whatever the order of service: not judged.";

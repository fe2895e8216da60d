//! What one packet costs in each I/O backend: nanoseconds of this thread's CPU, the median of interleaved rounds.
//!
//! `cargo bench --bench io [-- DESTINATION]`. Without an argument trains go to a loopback socket that nobody reads,
//! which charges the receive path to the sender; with one (as `10.9.0.2:9`) they go there, for a sink that looks
//! like a network card: a `dummy` or `ifb` interface. Receiving is always over loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use corecast::net::process::{allowed_cores, pin_current_thread, thread_cpu_time};
use corecast::net::uring::{SendBy, Uring};
use corecast::net::{AnyIo, Io, IoKind, MediaSockets, now, open_io};
use corecast::transport::{PathBook, SendResult, TrainBatch, UdpPath};

const ROUNDS: usize = 41;
const PACKETS_PER_BATCH: usize = 128;
const BATCHES_PER_ROUND: usize = 40;
const DATAGRAMS_PER_ROUND: usize = 1_000;

fn main() {
    // Cargo adds `--bench`.
    let destination = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let sink = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
    let destination = match destination {
        Some(address) => address.parse().expect("an address and port"),
        None => sink.local_addr().expect("its address"),
    };
    if let Some(core) = allowed_cores().ok().and_then(|cores| cores.last().copied()) {
        pin_current_thread(&[core]).expect("an allowed core");
    }
    println!("send to {destination}, 1,200 bytes a packet, ns per packet");
    println!("{:<34}{:>8}{:>10}{:>8}", "", "uring", "(entries)", "mmsg");
    let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
    let bound = if destination.ip() == loopback { vec![loopback] } else { Vec::new() };
    for segments in [1, 4, 8, 16, 32] {
        let mut backends = BACKENDS.map(|backend| open(backend, &bound).0);
        row(&format!("trains of {segments}"), &mut backends, |io| send(io, destination, segments));
    }
    println!("receive on loopback, ns per datagram");
    for (name, ips) in [("one socket", vec![loopback]), ("two sockets, one busy", Vec::new())] {
        for bytes in [120, 1_200] {
            let mut backends = BACKENDS.map(|backend| open(backend, &ips));
            let sender = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
            row(&format!("{name}, {bytes} bytes"), &mut backends, |(io, port)| {
                receive(io, &sender, (loopback, *port).into(), bytes)
            });
        }
    }
    println!("nothing to do, ns per round of wait (deadline passed) and receive");
    for (name, ips) in [("one socket", vec![loopback]), ("two sockets", Vec::new())] {
        let mut backends = BACKENDS.map(|backend| open(backend, &ips).0);
        row(name, &mut backends, idle);
    }
}

/// A kind, and how a ring sends.
type Backend = (IoKind, SendBy);

/// The ring sends by calls by default; by entries it is the column in parentheses.
const BACKENDS: [Backend; 3] =
    [(IoKind::Uring, SendBy::Calls), (IoKind::Uring, SendBy::Entries), (IoKind::Mmsg, SendBy::Calls)];

fn open((kind, send_by): Backend, ips: &[IpAddr]) -> (AnyIo, u16) {
    let sockets = MediaSockets::open(ips, 0).expect("sockets");
    let port = sockets.port();
    let io = match kind {
        IoKind::Uring => AnyIo::Uring(Box::new(Uring::open(sockets, send_by).expect("a ring"))),
        kind => open_io(kind, sockets).expect("a backend").io,
    };
    (io, port)
}

fn row<T>(name: &str, backends: &mut [T; 3], mut measure: impl FnMut(&mut T) -> f64) {
    let mut figures = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (backend, figures) in backends.iter_mut().zip(&mut figures) {
            figures.push(measure(backend));
        }
    }
    let [uring, entries, mmsg] = figures.map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    });
    println!("{name:<34}{uring:>8.0}{entries:>10.0}{mmsg:>8.0}");
}

fn send(io: &mut AnyIo, destination: SocketAddr, segments: usize) -> f64 {
    let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
    let path = book.enter(UdpPath::to(destination)).expect("room");
    for packet in 0..PACKETS_PER_BATCH {
        // The last of a train is shorter, which ends it; a train of one is ended by a longer one after it.
        let len = if segments == 1 {
            1_137 + packet
        } else if (packet + 1) % segments == 0 {
            1_199
        } else {
            1_200
        };
        batch.slot()[..len].fill(packet as u8);
        batch.commit(path, len);
    }
    assert_eq!(batch.trains().len(), PACKETS_PER_BATCH / segments);
    let start = thread_cpu_time();
    for _ in 0..BATCHES_PER_ROUND {
        io.send(&mut batch, &book);
    }
    let spent = thread_cpu_time() - start;
    assert!(batch.trains().iter().all(|train| train.result == SendResult::Sent), "{:?}", batch.trains()[0]);
    spent.as_nanos() as f64 / (BATCHES_PER_ROUND * PACKETS_PER_BATCH) as f64
}

fn receive(io: &mut AnyIo, sender: &UdpSocket, to: SocketAddr, bytes: usize) -> f64 {
    let payload = vec![7; bytes];
    for _ in 0..DATAGRAMS_PER_ROUND {
        sender.send_to(&payload, to).expect("sent");
    }
    let start = thread_cpu_time();
    let mut received = 0;
    while received < DATAGRAMS_PER_ROUND {
        io.wait(now()).expect("a working backend");
        received += io.receive(64, |datagram| assert_eq!(datagram.bytes[0], 7));
    }
    (thread_cpu_time() - start).as_nanos() as f64 / DATAGRAMS_PER_ROUND as f64
}

fn idle(io: &mut AnyIo) -> f64 {
    const TURNS: u32 = 2_000;
    let start = thread_cpu_time();
    for _ in 0..TURNS {
        io.wait(now()).expect("a working backend");
        io.receive(64, |_| panic!("nobody sends"));
    }
    (thread_cpu_time() - start).as_nanos() as f64 / f64::from(TURNS)
}

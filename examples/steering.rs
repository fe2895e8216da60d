//! What it would cost if all workers shared one UDP port: the kernel then gives a datagram to any of them, and one that is
//! another's has to be handed over. Two workers' real I/O, each with a port of its own; a datagram that the kernel would have
//! misplaced is sent to the wrong port, so that exactly half of them are.
//!
//! ```text
//!   cargo run --release --example steering
//! ```
//!
//! Prints the CPU time of both threads per datagram, without and with the hand-over (a byte ring, one wake a round, as the
//! lanes between workers have them), in interleaved rounds: medians. What is found in it is not looked at, so this is the cost
//! of steering alone.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use corecast::net::process::{allowed_cores, pin_current_thread, thread_cpu_time};
use corecast::net::{Io as _, IoKind, MediaSockets, Waker, now, open_io};

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(1);
/// Datagrams a second: a few viewers, a full worker's viewers, and far more than one will have.
const RATES: [u64; 3] = [1_000, 10_000, 40_000];
/// A receiver report with its tag, and a check, are about this long.
const BYTES: usize = 120;
const RING_BYTES: usize = 1 << 20;
/// Before a record: its length, and whom it came from.
const HEAD_BYTES: usize = 2 + 18;

/// What both threads share in a round.
struct Round {
    ended: AtomicBool,
    taken: AtomicU64,
}

fn main() {
    let cores = allowed_cores().expect("cores");
    let mut sockets: Vec<_> =
        (0..2).map(|_| MediaSockets::open(&[Ipv4Addr::LOCALHOST.into()], 0).expect("sockets")).collect();
    let ports: Vec<u16> = sockets.iter().map(MediaSockets::port).collect();
    let wakers: Vec<Waker> = sockets.iter().map(MediaSockets::waker).collect();
    let (to_one, from_zero) = rtrb::RingBuffer::<u8>::new(RING_BYTES);
    let (to_zero, from_one) = rtrb::RingBuffer::<u8>::new(RING_BYTES);
    let mut ends = vec![(to_one, from_one), (to_zero, from_zero)];
    let (orders, results) = (flume::unbounded::<Arc<Round>>(), flume::unbounded::<Duration>());
    let begin = Arc::new(Barrier::new(3));
    for index in (0..2).rev() {
        let (socket, (mut to, mut from)) = (sockets.pop().expect("sockets"), ends.pop().expect("ends"));
        let (inbox, results, begin) = (orders.1.clone(), results.0.clone(), begin.clone());
        let (other, core) = (wakers[1 - index].clone(), cores[index % cores.len()]);
        std::thread::spawn(move || {
            pin_current_thread(&[core]).expect("an allowed core");
            let mut io = open_io(IoKind::Auto, socket).expect("a backend").io;
            while let Ok(round) = inbox.recv() {
                begin.wait();
                let start = thread_cpu_time();
                while !round.ended.load(Ordering::Relaxed) {
                    io.wait(now() + Duration::from_millis(50)).expect("a working backend");
                    let (mut taken, mut handed) = (0, false);
                    while io.receive(64, |datagram| match usize::from(datagram.bytes[0]) == index {
                        true => taken += 1,
                        false => {
                            let len = HEAD_BYTES + datagram.bytes.len();
                            if let Ok(mut chunk) = to.write_chunk(len) {
                                let (first, second) = chunk.as_mut_slices();
                                let mut record = [0; HEAD_BYTES + BYTES];
                                record[..2].copy_from_slice(&(datagram.bytes.len() as u16).to_be_bytes());
                                record[HEAD_BYTES..].copy_from_slice(datagram.bytes);
                                let (head, tail) = record.split_at(first.len());
                                first.copy_from_slice(head);
                                second.copy_from_slice(tail);
                                chunk.commit_all();
                                handed = true;
                            }
                        }
                    }) == 64
                    {}
                    if handed {
                        other.wake();
                    }
                    while let Ok(chunk) = from.read_chunk(HEAD_BYTES + BYTES) {
                        taken += 1;
                        chunk.commit_all();
                    }
                    round.taken.fetch_add(taken, Ordering::Relaxed);
                }
                results.send(thread_cpu_time() - start).expect("somebody waits");
            }
        });
    }
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    println!("{:>12} {:>16} {:>16} {:>10}", "datagrams/s", "own port, ns", "one port, ns", "more, ns");
    for rate in RATES {
        let mut figures = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            for (steers, figures) in figures.iter_mut().enumerate() {
                let round = Arc::new(Round { ended: AtomicBool::new(false), taken: AtomicU64::new(0) });
                orders.0.send(round.clone()).and_then(|()| orders.0.send(round.clone())).expect("both wait");
                begin.wait();
                let sent = send(&sender, &ports, rate, steers == 1);
                std::thread::sleep(Duration::from_millis(500));
                round.ended.store(true, Ordering::Relaxed);
                wakers.iter().for_each(Waker::wake);
                let spent: Duration = (0..2).map(|_| results.1.recv().expect("a result")).sum();
                let taken = round.taken.load(Ordering::Relaxed);
                assert!(taken * 100 >= sent * 95, "{taken} of {sent} arrived");
                figures.push(spent.as_nanos() as f64 / taken as f64);
            }
        }
        let [own, one] = figures.map(|mut figures| {
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        });
        println!("{rate:>12} {own:>16.0} {one:>16.0} {:>10.0}", one - own);
    }
}

/// Sends for a round at an even rate, a millisecond's worth at a time; returns how many.
fn send(sender: &UdpSocket, ports: &[u16], rate: u64, misplaces: bool) -> u64 {
    let (start, mut sent) = (Instant::now(), 0);
    while start.elapsed() < ROUND {
        let due = (start.elapsed().as_micros() as u64 * rate / 1_000_000).min(sent + 64);
        while sent < due {
            let owner = (sent % 2) as usize;
            // Of each owner's, every second one.
            let place = if misplaces && sent / 2 % 2 == 1 { 1 - owner } else { owner };
            let mut datagram = [0; BYTES];
            datagram[0] = owner as u8;
            let _ = sender.send_to(&datagram, (Ipv4Addr::LOCALHOST, ports[place]));
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    sent
}

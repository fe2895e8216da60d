//! Tests of what loopback cannot show, each in a network namespace of its own: a path that is too narrow, a full send
//! buffer, an offload that the kernel refuses. They need root and `ip` (iproute2). A namespace ends with its thread.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::syscall::{check, set_option};
use super::uring::{SendBy, Uring};
use super::*;
use crate::limits;
use crate::transport::{PathBook, PathId, SendResult, UdpPath};

/// Runs `body` on a thread of its own in a fresh network namespace whose loopback interface is up.
fn in_namespace(body: impl FnOnce() + Send + 'static) {
    let run = move || {
        // SAFETY: no pointers are passed; it concerns the calling thread only.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).expect("a network namespace (needs root)");
        ip("link set lo up");
        body();
    };
    if let Err(panic) = thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip (package iproute2)");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The kernel adds the local route of a new IPv6 address only after the command has returned. Datagrams sent to the
/// address before that are lost silently.
fn wait_until_local(address: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_local = || {
        let output = Command::new("ip").args(["route", "get", address]).output().unwrap();
        output.stdout.starts_with(b"local ")
    };
    while !is_local() {
        assert!(Instant::now() < deadline, "{address} is nobody's");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Both backends, and the ring with its other way to send.
fn backends() -> [fn(MediaSockets) -> AnyIo; 3] {
    [
        |sockets| open_io(IoKind::Mmsg, sockets).unwrap().io,
        |sockets| open_io(IoKind::Uring, sockets).unwrap().io,
        |sockets| AnyIo::Uring(Box::new(Uring::open(sockets, SendBy::Entries).unwrap())),
    ]
}

fn open(ips: &[&str]) -> MediaSockets {
    let ips: Vec<_> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    MediaSockets::open(&ips, 0).unwrap()
}

fn peer(ip: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn commit(batch: &mut TrainBatch, path: PathId, number: u8, len: usize) {
    assert!(batch.has_room(len));
    batch.slot()[..len].fill(number);
    batch.commit(path, len);
}

fn results(batch: &TrainBatch) -> Vec<SendResult> {
    batch.trains().iter().map(|train| train.result).collect()
}

/// Reads `count` datagrams: the number each is filled with, and its length.
fn read(socket: &UdpSocket, count: usize) -> Vec<(u8, usize)> {
    let mut buffer = [0; 4_096];
    (0..count)
        .map(|_| {
            let len = socket.recv(&mut buffer).expect("a datagram");
            (buffer[0], len)
        })
        .collect()
}

#[test]
fn a_datagram_above_the_path_mtu_is_too_long_and_is_not_fragmented() {
    in_namespace(|| {
        ip("link set lo mtu 1400");
        for (make, ip, headers) in backends().into_iter().flat_map(|make| [(make, "127.0.0.1", 28), (make, "::1", 48)])
        {
            let mut io = make(open(&[ip]));
            let (socket, address) = peer(ip);
            let mut book = PathBook::new();
            let path = book.enter(UdpPath::to(address)).unwrap();
            let fits = 1_400 - headers;
            let mut batch = TrainBatch::new();
            commit(&mut batch, path, 1, fits);
            commit(&mut batch, path, 1, fits);
            // Does not grow the train before it: longer.
            commit(&mut batch, path, 2, fits + 1);
            commit(&mut batch, path, 2, fits + 1);
            commit(&mut batch, path, 2, 10);
            commit(&mut batch, path, 3, fits + 2);
            commit(&mut batch, path, 4, fits);
            // A train of one segment, so that no offload is asked for.
            commit(&mut batch, path, 5, fits + 3);
            io.send(&mut batch, &book);
            let (sent, long) = (SendResult::Sent, SendResult::TooLong);
            // Number 4 is shorter than 3, so it is the end of 3's train and is refused with it.
            assert_eq!(results(&batch), [sent, long, long, long], "{ip} {}", io.name());
            assert_eq!(read(&socket, 2), [(1, fits), (1, fits)]);
            assert_eq!((io.counters().sends_too_long, io.counters().offload_refused), (3, 0));
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut [0; 10]).is_err(), "nothing of a refused train arrived");
        }
    });
}

#[test]
fn a_full_send_buffer_is_reported_at_once_and_no_train_is_overtaken() {
    in_namespace(|| {
        // Nobody answers for the neighbour's address, so datagrams stay charged to the socket while the kernel looks
        // for it.
        ip("link add near type veth peer name far");
        ip("address add 10.9.0.1/24 dev near");
        ip("link set near up");
        ip("link set far up");
        for (index, make) in backends().into_iter().enumerate() {
            let sockets = open(&["10.9.0.1"]);
            for descriptor in sockets.descriptors() {
                set_option(descriptor, libc::SOL_SOCKET, libc::SO_SNDBUF, 1).unwrap();
            }
            let mut io = make(sockets);
            let mut book = PathBook::new();
            let neighbour = SocketAddr::new(std::net::IpAddr::from([10, 9, 0, 2 + index as u8]), 9);
            let path = book.enter(UdpPath::to(neighbour)).unwrap();
            let mut batch = TrainBatch::new();
            for train in 0..20 {
                for _ in 0..3 {
                    commit(&mut batch, path, train, 1_000);
                }
                commit(&mut batch, path, train, 999);
            }
            let start = now();
            io.send(&mut batch, &book);
            // The kernel looks for the neighbour for three seconds; a send that waited for room would wait that long.
            assert!(now().since(start) < Duration::from_millis(2_500));
            let results = results(&batch);
            let sent = results.iter().take_while(|result| **result == SendResult::Sent).count();
            assert!((1..20).contains(&sent), "{results:?}");
            assert!(results[sent..].iter().all(|result| *result == SendResult::Full), "{results:?}");
            assert_eq!(io.counters().sends_full, (20 - sent) as u64);
            assert_eq!(io.counters().segments_sent, 4 * sent as u64);
        }
    });
}

/// With checksums turned off on the socket every kernel answers a segmented send with `EINVAL`.
fn open_refusing_offload() -> MediaSockets {
    let sockets = open(&["127.0.0.1"]);
    for descriptor in sockets.descriptors() {
        set_option(descriptor, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
    }
    sockets
}

#[test]
fn a_refused_offload_is_resent_unsegmented_then_suspended_then_retried() {
    for make in backends() {
        let mut io = make(open_refusing_offload());
        let (socket, address) = peer("127.0.0.1");
        let mut book = PathBook::new();
        let path = book.enter(UdpPath::to(address)).unwrap();
        let asked = u64::from(limits::OFFLOAD_REFUSALS_IN_A_ROW_MAX);
        let skipped = u64::from(limits::OFFLOAD_SUSPENDED_TRAINS);
        for round in 0..=asked + skipped {
            let mut batch = TrainBatch::new();
            for len in [500, 500, 100] {
                commit(&mut batch, path, round as u8, len);
            }
            io.send(&mut batch, &book);
            assert_eq!(results(&batch), [SendResult::Sent]);
            assert_eq!(read(&socket, 3), [500, 500, 100].map(|len| (round as u8, len)));
        }
        let counters = io.counters();
        assert_eq!((counters.offload_refused, counters.offload_skipped), (asked + 1, skipped), "{}", io.name());
        assert_eq!(counters.messages_sent, 3 * (asked + skipped + 1));
        assert_eq!(counters.segments_sent, counters.messages_sent);
    }
}

#[test]
fn a_train_resent_after_a_refusal_never_comes_behind_a_later_one() {
    for make in backends() {
        let mut io = make(open_refusing_offload());
        let ((first, first_address), (second, second_address)) = (peer("127.0.0.1"), peer("127.0.0.1"));
        let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
        let [first_path, second_path] =
            [first_address, second_address].map(|address| book.enter(UdpPath::to(address)).unwrap());
        // Trains of two segments and single datagrams in turn to one destination; one train to the other.
        for number in (0..10).step_by(2) {
            commit(&mut batch, first_path, number, 100);
            commit(&mut batch, first_path, number, 99);
            commit(&mut batch, first_path, number + 1, 200);
            commit(&mut batch, second_path, number, 100);
            commit(&mut batch, second_path, number, 99);
        }
        io.send(&mut batch, &book);
        let taken = |path| {
            let trains = batch.trains().iter().filter(move |train| train.path == path);
            trains.filter(|train| train.result == SendResult::Sent).map(|train| usize::from(train.segments)).sum()
        };
        for (socket, path) in [(&first, first_path), (&second, second_path)] {
            let arrived = read(socket, taken(path));
            assert!(arrived.is_sorted_by_key(|(number, _)| *number), "{arrived:?}");
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut [0; 10]).is_err(), "a train told as lost did not arrive");
        }
        assert!(taken(second_path) > 0);
        if matches!(io, AnyIo::Mmsg(_)) {
            assert!(results(&batch).iter().all(|result| *result == SendResult::Sent));
        }
    }
}

#[test]
fn a_wildcard_socket_sends_from_the_local_address_of_the_path() {
    in_namespace(|| {
        ip("address add 10.9.0.1/24 dev lo");
        ip("address add 10.9.0.2/24 dev lo");
        for own in ["fd09::1", "fd09::2"] {
            ip(&format!("address add {own}/64 dev lo nodad"));
            wait_until_local(own);
        }
        for make in backends() {
            let mut io = make(MediaSockets::open(&[], 0).unwrap());
            for (own, remote) in [("10.9.0.2", "10.9.0.1"), ("fd09::2", "fd09::1")] {
                let (socket, address) = peer(remote);
                let own: std::net::IpAddr = own.parse().unwrap();
                let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
                let path = UdpPath { remote: address, local_ip: own, socket: u8::from(own.is_ipv6()) };
                let path = book.enter(path).unwrap();
                commit(&mut batch, path, 1, 50);
                commit(&mut batch, path, 1, 50);
                io.send(&mut batch, &book);
                assert_eq!(results(&batch), [SendResult::Sent]);
                let (_, from) = socket.recv_from(&mut [0; 50]).unwrap_or_else(|error| panic!("from {own}: {error}"));
                assert_eq!(from.ip(), own);
            }
        }
    });
}

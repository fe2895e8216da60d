//! The I/O backends over real loopback sockets: every test body runs on each, and on the ring with both ways to send.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use corecast::limits;
use corecast::net::uring::{SendBy, Uring};
use corecast::net::{AnyIo, Io, IoKind, MediaSockets, Waker, now, open_io};
use corecast::transport::{PathBook, PathId, SendResult, TrainBatch, UdpPath};

/// Far enough away that a test which waits for it has failed, however busy the machine is.
const LONG: Duration = Duration::from_secs(20);

/// A backend under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Uring,
    UringEntries,
    Mmsg,
}

impl Backend {
    fn open(self, sockets: MediaSockets) -> AnyIo {
        match self {
            Self::Uring => open_io(IoKind::Uring, sockets).unwrap().io,
            Self::UringEntries => AnyIo::Uring(Box::new(Uring::open(sockets, SendBy::Entries).unwrap())),
            Self::Mmsg => open_io(IoKind::Mmsg, sockets).unwrap().io,
        }
    }
}

macro_rules! on_every_backend {
    ($($name:ident)*) => {
        mod uring { $(#[test] fn $name() { super::$name(super::Backend::Uring); })* }
        mod uring_entries { $(#[test] fn $name() { super::$name(super::Backend::UringEntries); })* }
        mod mmsg { $(#[test] fn $name() { super::$name(super::Backend::Mmsg); })* }
    };
}

on_every_backend! {
    datagrams_are_echoed_in_order
    equal_segments_of_a_train_arrive_as_datagrams_of_their_own
    both_families_and_several_destinations_share_one_batch
    a_wildcard_socket_answers_from_the_address_it_was_asked_at
    a_specific_socket_tells_its_own_address
    a_wait_ends_at_its_deadline_and_not_before
    a_wait_ends_when_a_datagram_comes
    a_wait_ends_when_another_thread_wakes_it
    a_wake_before_the_wait_is_not_lost
    no_wake_of_many_threads_is_lost
    more_datagrams_than_receive_buffers_are_all_received
    a_limit_leaves_the_rest_for_the_next_call
    a_datagram_longer_than_the_buffer_is_dropped_and_counted
    received_bytes_may_be_changed_in_place
    an_empty_datagram_is_a_datagram
    a_train_for_a_socket_that_does_not_exist_fails_alone
    a_destination_without_a_route_fails_alone
    nothing_waiting_is_told_at_once
    a_batch_with_as_many_trains_as_it_may_have_is_sent
}

fn open(backend: Backend, ips: &[&str]) -> (AnyIo, Vec<SocketAddr>) {
    let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
    let sockets = MediaSockets::open(&ips, 0).unwrap();
    let addresses = sockets.local_addresses().collect();
    let io = backend.open(sockets);
    assert_eq!(io.name() == "mmsg", backend == Backend::Mmsg);
    (io, addresses)
}

fn peer(ip: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn commit(batch: &mut TrainBatch, path: PathId, bytes: &[u8]) {
    assert!(batch.has_room(bytes.len()));
    batch.slot()[..bytes.len()].copy_from_slice(bytes);
    batch.commit(path, bytes.len());
}

/// A path entered into a book.
fn enter(book: &mut PathBook, path: UdpPath) -> PathId {
    book.enter(path).unwrap()
}

fn results(batch: &TrainBatch) -> Vec<SendResult> {
    batch.trains().iter().map(|train| train.result).collect()
}

/// Receives until `count` datagrams have come, waiting for them; copies them out.
fn receive(io: &mut AnyIo, count: usize) -> Vec<(UdpPath, Vec<u8>)> {
    let deadline = now() + LONG;
    let mut datagrams = Vec::new();
    while datagrams.len() < count {
        assert!(now() < deadline, "only {} of {count} datagrams came", datagrams.len());
        io.wait(deadline).unwrap();
        io.receive(64, |datagram| datagrams.push((*datagram.from.udp().unwrap(), datagram.bytes.to_vec())));
    }
    datagrams
}

fn datagram(socket: &UdpSocket) -> io::Result<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 4_096];
    let (len, from) = socket.recv_from(&mut buffer)?;
    Ok((buffer[..len].to_vec(), from))
}

fn datagrams_are_echoed_in_order(backend: Backend) {
    let (mut io, addresses) = open(backend, &["127.0.0.1"]);
    let (peer, peer_address) = peer("127.0.0.1");
    for number in 0..300_u32 {
        peer.send_to(&number.to_be_bytes(), addresses[0]).unwrap();
    }
    let before = now();
    let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
    let mut ours = None;
    for (path, bytes) in receive(&mut io, 300) {
        assert_eq!(path, UdpPath { remote: peer_address, local_ip: addresses[0].ip(), socket: 0 });
        commit(&mut batch, *ours.get_or_insert_with(|| enter(&mut book, path)), &bytes);
    }
    io.send(&mut batch, &book);
    assert!(results(&batch).iter().all(|result| *result == SendResult::Sent));
    for number in 0..300_u32 {
        assert_eq!(datagram(&peer).unwrap(), (number.to_be_bytes().to_vec(), addresses[0]));
    }
    let counters = io.counters();
    assert_eq!((counters.datagrams_received, counters.bytes_received), (300, 1_200));
    assert_eq!((counters.segments_sent, counters.bytes_sent), (300, 1_200));
    assert_eq!(counters.messages_sent, 300_u64.div_ceil(limits::SEGMENTS_PER_TRAIN_MAX as u64));
    assert!(io.now() >= before);
}

fn equal_segments_of_a_train_arrive_as_datagrams_of_their_own(backend: Backend) {
    let (mut io, _) = open(backend, &["127.0.0.1"]);
    let (peer, peer_address) = peer("127.0.0.1");
    for (equal, last) in [(1, 0), (8, 0), (7, 300), (1, 1), (64, 0), (63, 999)] {
        let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
        let path = enter(&mut book, UdpPath::to(peer_address));
        let mut sizes = vec![1_000; equal];
        sizes.extend((last > 0).then_some(last));
        for (number, size) in sizes.iter().enumerate() {
            commit(&mut batch, path, &vec![number as u8; *size]);
        }
        assert_eq!(batch.trains().len(), 1);
        let before = io.counters().messages_sent;
        io.send(&mut batch, &book);
        assert_eq!(results(&batch), [SendResult::Sent]);
        assert_eq!(io.counters().messages_sent, before + 1, "one message");
        for (number, size) in sizes.iter().enumerate() {
            assert_eq!(datagram(&peer).unwrap().0, vec![number as u8; *size]);
        }
    }
    assert_eq!(io.counters().offload_refused, 0);
}

fn both_families_and_several_destinations_share_one_batch(backend: Backend) {
    let (mut io, addresses) = open(backend, &["127.0.0.1", "::1"]);
    let peers: Vec<_> = ["127.0.0.1", "::1", "127.0.0.1", "::1"].map(peer).into();
    for (socket, address) in &peers {
        let to = addresses.iter().find(|own| own.is_ipv4() == address.is_ipv4()).unwrap();
        socket.send_to(&address.port().to_be_bytes(), to).unwrap();
    }
    let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
    for round in 0..3_u8 {
        for (path, _) in if round == 0 { receive(&mut io, 4) } else { paths(&peers) } {
            let path = enter(&mut book, path);
            for part in 0..5 {
                commit(&mut batch, path, &[round, part]);
            }
        }
    }
    io.send(&mut batch, &book);
    assert!(results(&batch).iter().all(|result| *result == SendResult::Sent), "{:?}", results(&batch));
    for (socket, _) in &peers {
        for expected in (0..3).flat_map(|round| (0..5).map(move |part| vec![round, part])) {
            assert_eq!(datagram(socket).unwrap().0, expected);
        }
    }
}

fn paths(peers: &[(UdpSocket, SocketAddr)]) -> Vec<(UdpPath, Vec<u8>)> {
    let path = |remote: SocketAddr| UdpPath { socket: u8::from(remote.is_ipv6()), ..UdpPath::to(remote) };
    peers.iter().map(|(_, address)| (path(*address), Vec::new())).collect()
}

fn a_wildcard_socket_answers_from_the_address_it_was_asked_at(backend: Backend) {
    let (mut io, addresses) = open(backend, &[]);
    let port = addresses[0].port();
    for (own, remote) in [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.1"), ("::1", "::1")] {
        let (peer, peer_address) = peer(remote);
        let own: IpAddr = own.parse().unwrap();
        peer.send_to(b"check", (own, port)).unwrap();
        let (path, _) = receive(&mut io, 1)[0];
        assert_eq!((path.remote, path.local_ip), (peer_address, own));
        let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
        let path = enter(&mut book, path);
        for segment in [b"one", b"two"] {
            commit(&mut batch, path, segment);
        }
        io.send(&mut batch, &book);
        assert_eq!(results(&batch), [SendResult::Sent]);
        for segment in [b"one", b"two"] {
            assert_eq!(datagram(&peer).unwrap(), (segment.to_vec(), SocketAddr::new(own, port)));
        }
    }
}

fn a_specific_socket_tells_its_own_address(backend: Backend) {
    let (mut io, addresses) = open(backend, &["127.0.0.3", "::1"]);
    for (index, address) in addresses.iter().enumerate() {
        let (peer, peer_address) = peer(if address.is_ipv4() { "127.0.0.1" } else { "::1" });
        peer.send_to(b"x", address).unwrap();
        let (path, _) = receive(&mut io, 1)[0];
        assert_eq!(path, UdpPath { remote: peer_address, local_ip: address.ip(), socket: index as u8 });
    }
}

fn a_wait_ends_at_its_deadline_and_not_before(backend: Backend) {
    let (mut io, _) = open(backend, &["127.0.0.1"]);
    let pause = Duration::from_millis(30);
    // The machine may hold up any of them, a defect all.
    let mut shortest = [LONG; 2];
    for _ in 0..20 {
        let start = now();
        let deadline = start + pause;
        // It may return early, but not often.
        for _ in 0..3 {
            io.wait(deadline).unwrap();
        }
        let waited = now().since(start);
        assert!(waited >= pause, "{waited:?}");
        let start = now();
        io.wait(start).unwrap();
        io.wait(start - LONG).unwrap();
        shortest = [shortest[0].min(waited), shortest[1].min(now().since(start))];
    }
    assert!(shortest[0] < 2 * pause && shortest[1] < pause, "{shortest:?}");
}

fn a_wait_ends_when_a_datagram_comes(backend: Backend) {
    let (mut io, addresses) = open(backend, &[]);
    for (index, ip) in ["127.0.0.1", "::1"].into_iter().enumerate() {
        let (peer, _) = peer(ip);
        let to = SocketAddr::new(ip.parse().unwrap(), addresses[0].port());
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            peer.send_to(b"x", to).unwrap();
        });
        let start = now();
        assert_eq!(usize::from(receive(&mut io, 1)[0].0.socket), index);
        assert!(now().since(start) < LONG / 2);
        sender.join().unwrap();
    }
}

fn a_wait_ends_when_another_thread_wakes_it(backend: Backend) {
    let (mut io, _) = open(backend, &["127.0.0.1"]);
    for round in 0..20 {
        let (start, waker, woken) = (now(), io.waker(), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let woken = Arc::clone(&woken);
            move || {
                thread::sleep(Duration::from_millis(5));
                woken.store(true, Ordering::SeqCst);
                waker.wake();
                waker.wake();
            }
        });
        while !woken.load(Ordering::SeqCst) {
            io.wait(start + LONG).unwrap();
        }
        assert!(now().since(start) < LONG / 2, "round {round}");
        thread.join().unwrap();
    }
}

fn a_wake_before_the_wait_is_not_lost(backend: Backend) {
    let sockets = MediaSockets::open(&["127.0.0.1".parse().unwrap()], 0).unwrap();
    let waker = sockets.waker();
    waker.wake();
    let mut io = backend.open(sockets);
    let start = now();
    io.wait(start + LONG).unwrap();
    waker.wake();
    io.wait(start + LONG).unwrap();
    assert!(now().since(start) < LONG / 2);
}

/// Four threads put 5,000 messages each into a channel and wake; the worker sleeps whenever it finds the channel
/// empty. A lost wake shows as a wait that lasts.
fn no_wake_of_many_threads_is_lost(backend: Backend) {
    let (mut io, _) = open(backend, &["127.0.0.1"]);
    let (sender, receiver) = std::sync::mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (sender, waker): (_, Waker) = (sender.clone(), io.waker());
            thread::spawn(move || {
                for number in 0..5_000 {
                    sender.send(()).unwrap();
                    waker.wake();
                    if number % 16 == 0 {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut messages = 0;
    while messages < 4 * 5_000 {
        let start = now();
        io.wait(start + LONG).unwrap();
        assert!(now().since(start) < LONG / 2, "a wake was lost after {messages} messages");
        messages += receiver.try_iter().count();
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

fn more_datagrams_than_receive_buffers_are_all_received(backend: Backend) {
    const COUNT: u32 = 3_000;
    let (mut io, addresses) = open(backend, &["127.0.0.1"]);
    let (peer, _) = peer("127.0.0.1");
    for round in 0..2 {
        for number in 0..COUNT {
            peer.send_to(&number.to_be_bytes(), addresses[0]).unwrap();
        }
        for (number, (_, bytes)) in receive(&mut io, COUNT as usize).into_iter().enumerate() {
            assert_eq!(bytes, (number as u32).to_be_bytes(), "round {round}");
        }
    }
    assert_eq!(io.counters().datagrams_received, 2 * u64::from(COUNT));
}

fn a_limit_leaves_the_rest_for_the_next_call(backend: Backend) {
    let (mut io, addresses) = open(backend, &["127.0.0.1", "::1"]);
    for (ip, address) in ["127.0.0.1", "::1"].into_iter().zip(&addresses) {
        let (peer, _) = peer(ip);
        for _ in 0..100 {
            peer.send_to(b"x", address).unwrap();
        }
    }
    let deadline = now() + LONG;
    let mut visited = 0;
    while visited < 200 {
        assert!(now() < deadline, "only {visited} came");
        let taken = io.receive(10, |_| visited += 1);
        assert!(taken <= 10, "{taken} at once");
        if taken == 0 {
            io.wait(deadline).unwrap();
        }
    }
    assert_eq!(visited, 200);
    assert_eq!(io.receive(10, |_| visited += 1), 0);
    assert_eq!(io.receive(0, |_| visited += 1), 0);
}

fn a_datagram_longer_than_the_buffer_is_dropped_and_counted(backend: Backend) {
    let (mut io, addresses) = open(backend, &["127.0.0.1", "::1"]);
    for (ip, address) in ["127.0.0.1", "::1"].into_iter().zip(&addresses) {
        let (peer, _) = peer(ip);
        let longest = limits::DATAGRAM_IN_BYTES_MAX;
        for len in [longest, longest + 1, 60_000, 7] {
            peer.send_to(&vec![9; len], address).unwrap();
        }
        let lengths: Vec<_> = receive(&mut io, 2).into_iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(lengths, [longest, 7]);
    }
    assert_eq!((io.counters().datagrams_truncated, io.counters().datagrams_received), (4, 4));
}

fn received_bytes_may_be_changed_in_place(backend: Backend) {
    let (mut io, addresses) = open(backend, &["127.0.0.1"]);
    let (peer, _) = peer("127.0.0.1");
    // More rounds than there are buffers: each is used again, and shows only what came last.
    for round in 0..3 * u32::from(limits::RECEIVE_BUFFERS) {
        peer.send_to(&round.to_be_bytes(), addresses[0]).unwrap();
        let deadline = now() + LONG;
        let mut taken = 0;
        // A wait may end early.
        while taken == 0 {
            assert!(now() < deadline, "round {round}");
            io.wait(deadline).unwrap();
            taken = io.receive(8, |datagram| {
                assert_eq!(datagram.bytes, round.to_be_bytes());
                datagram.bytes.fill(0xff);
            });
        }
        assert_eq!(taken, 1);
    }
}

fn an_empty_datagram_is_a_datagram(backend: Backend) {
    let (mut io, addresses) = open(backend, &["127.0.0.1"]);
    let (peer, peer_address) = peer("127.0.0.1");
    peer.send_to(&[], addresses[0]).unwrap();
    let (path, bytes) = receive(&mut io, 1).remove(0);
    assert_eq!((path.remote, bytes.len()), (peer_address, 0));
}

fn a_train_for_a_socket_that_does_not_exist_fails_alone(backend: Backend) {
    let (mut io, _) = open(backend, &["127.0.0.1"]);
    let (peer, peer_address) = peer("127.0.0.1");
    let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
    commit(&mut batch, enter(&mut book, UdpPath { socket: 9, ..UdpPath::to(peer_address) }), b"nowhere");
    commit(&mut batch, enter(&mut book, UdpPath::to(peer_address)), b"here");
    io.send(&mut batch, &book);
    assert_eq!(results(&batch), [SendResult::Failed(9), SendResult::Sent], "9 is EBADF");
    assert_eq!(datagram(&peer).unwrap().0, b"here");
    assert_eq!(io.counters().sends_failed, 1);
}

fn a_destination_without_a_route_fails_alone(backend: Backend) {
    let (mut io, _) = open(backend, &["127.0.0.1"]);
    let (peer, peer_address) = peer("127.0.0.1");
    let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
    for remote in [peer_address, "[::1]:9".parse().unwrap(), peer_address, "255.255.255.255:9".parse().unwrap()] {
        let path = enter(&mut book, UdpPath::to(remote));
        commit(&mut batch, path, b"first");
        commit(&mut batch, path, b"second, which is longer");
    }
    io.send(&mut batch, &book);
    for train in batch.trains() {
        let reachable = book.udp(train.path).unwrap().remote == peer_address;
        assert_eq!(train.result == SendResult::Sent, reachable, "{train:?}");
        assert_eq!(matches!(train.result, SendResult::Failed(_)), !reachable, "{train:?}");
    }
    for _ in 0..2 {
        assert_eq!(datagram(&peer).unwrap().0, b"first");
        assert_eq!(datagram(&peer).unwrap().0, b"second, which is longer");
    }
    assert_eq!((io.counters().sends_failed, io.counters().messages_sent), (4, 4));
}

/// In a process of its own: a program that another test starts has this process's sockets until it runs, and so the port.
#[test]
fn the_port_is_free_as_soon_as_the_backend_is_dropped() {
    const ALONE: &str = "CORECAST_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return [Backend::Uring, Backend::UringEntries, Backend::Mmsg].into_iter().for_each(is_free_when_dropped);
    }
    let test = "net_io::the_port_is_free_as_soon_as_the_backend_is_dropped";
    let alone =
        Command::new(std::env::current_exe().unwrap()).args(["--exact", test]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&alone.stderr));
}

fn is_free_when_dropped(backend: Backend) {
    // An address of this process and a port that the kernel gives to nobody by itself.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = SocketAddr::from(([127, 4, high, low], 27_170));
    let open = || backend.open(MediaSockets::open(&[address.ip()], address.port()).unwrap());
    let mut io = open();
    for _ in 0..50 {
        io.wait(now()).unwrap();
        drop(io);
        // No retry here: an armed receive would still hold the port.
        let holder = UdpSocket::bind(address).unwrap();
        drop(holder);
        io = open();
    }
}

fn nothing_waiting_is_told_at_once(backend: Backend) {
    let (mut io, _) = open(backend, &[]);
    let start = now();
    for _ in 0..100 {
        assert_eq!(io.receive(64, |_| panic!("nobody sent anything")), 0);
    }
    assert!(now().since(start) < LONG / 10);
}

fn a_batch_with_as_many_trains_as_it_may_have_is_sent(backend: Backend) {
    let (mut io, _) = open(backend, &["127.0.0.1"]);
    let peers: Vec<_> = (0..8).map(|_| peer("127.0.0.1")).collect();
    let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
    let paths: Vec<_> = peers.iter().map(|(_, address)| enter(&mut book, UdpPath::to(*address))).collect();
    let mut sent = 0_u32;
    while batch.has_room(4) {
        commit(&mut batch, paths[sent as usize % paths.len()], &sent.to_be_bytes());
        sent += 1;
    }
    assert_eq!(sent as usize, limits::TRAINS_PER_BATCH_MAX);
    for _ in 0..2 {
        io.send(&mut batch, &book);
    }
    assert!(results(&batch).iter().all(|result| *result == SendResult::Sent));
    for number in (0..sent).chain(0..sent) {
        let (socket, _) = &peers[number as usize % peers.len()];
        assert_eq!(datagram(socket).unwrap().0, number.to_be_bytes());
    }
}

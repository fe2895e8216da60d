//! Real connections over loopback, through both backends.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::super::connection::TurnConnection;
use super::super::{AnyIo, Io, IoKind, MediaSockets, now, open_io};
use super::*;
use crate::transport::PathId;
use crate::turn;
use crate::wire::stun::{StunClass, StunMessage, StunWriter, attribute};

const IOS: [IoKind; 2] = [IoKind::Uring, IoKind::Mmsg];

/// A backend, and both ends of a connection that it has adopted.
struct Rig {
    io: AnyIo,
    peer: TcpStream,
    book: PathBook,
    path: PathId,
}

fn rig(kind: IoKind, first: &[u8]) -> Rig {
    let sockets = MediaSockets::open(&["127.0.0.1".parse().unwrap()], 0).unwrap();
    let mut io = open_io(kind, sockets).unwrap().io;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.write_all(first).unwrap();
    let (stream, remote) = listener.accept().unwrap();
    let local_ip = stream.local_addr().unwrap().ip();
    io.adopt(Accepted { stream: stream.into(), remote, local_ip, carries: Carries::Frames }).unwrap();
    // What the node learns with the first datagram.
    let mut book = PathBook::new();
    let path = book.enter(TcpPath { remote, local_ip, connection: ConnectionId(0) }).unwrap();
    Rig { io, peer, book, path }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u16).to_be_bytes(), payload].concat()
}

/// What arrives until `enough` says so, for ten seconds at most.
fn receive(io: &mut AnyIo, mut enough: impl FnMut(&[(PathAddress, Vec<u8>)], &[ConnectionEvent]) -> bool) {
    let (mut datagrams, mut events) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + Duration::from_secs(10);
    while !enough(&datagrams, &events) {
        assert!(Instant::now() < deadline, "{} datagrams, {events:?}", datagrams.len());
        let wake = io.now() + Duration::from_millis(100);
        io.wait(wake).unwrap();
        io.receive(64, |datagram| datagrams.push((datagram.from, datagram.bytes.to_vec())));
        events.extend(std::iter::from_fn(|| io.connection_event()));
    }
}

fn send(rig: &mut Rig, payload: &[u8], times: usize) -> SendResult {
    let mut batch = TrainBatch::new();
    for _ in 0..times {
        batch.slot()[..payload.len()].copy_from_slice(payload);
        batch.commit(rig.path, payload.len());
    }
    rig.io.send(&mut batch, &rig.book);
    let results: Vec<_> = batch.trains().iter().map(|train| train.result).collect();
    assert_eq!(results.len(), 1);
    results[0]
}

#[test]
fn frames_arrive_whole_however_the_stream_is_cut() {
    for kind in IOS {
        let payloads: Vec<Vec<u8>> = (0..400_usize).map(|number| vec![number as u8; 8 + number * 37 % 1_400]).collect();
        let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
        let mut rig = rig(kind, &stream[..11]);
        let mut writer = rig.peer.try_clone().unwrap();
        let rest = stream[11..].to_vec();
        let writing = std::thread::spawn(move || {
            for (at, piece) in rest.chunks(997).enumerate() {
                writer.write_all(piece).unwrap();
                if at % 16 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        receive(&mut rig.io, |datagrams, events| {
            assert!(events.is_empty());
            let same = datagrams.iter().zip(&payloads).all(|((_, datagram), payload)| datagram == payload);
            assert!(same, "{kind}: cut elsewhere");
            datagrams.len() == payloads.len()
        });
        writing.join().unwrap();
    }
}

#[test]
fn a_train_leaves_as_frames_and_a_peer_that_does_not_read_fills_its_own_connection_only() {
    for kind in IOS {
        let mut rig = rig(kind, &frame(&[9; 20]));
        assert_eq!(send(&mut rig, &[7; 1_200], 10), SendResult::Sent);
        let mut got = vec![0; 12_020];
        rig.peer.read_exact(&mut got).unwrap();
        assert!(got.chunks(1_202).all(|piece| piece[..2] == 1_200_u16.to_be_bytes() && piece[2..] == [7; 1_200]));
        // Nobody reads: it is told full, then what is sent all the same is dropped, and memory stays bounded.
        let mut results = Vec::new();
        for _ in 0..2_000 {
            results.push(send(&mut rig, &[8; 1_200], 10));
        }
        let first_full = results.iter().position(|result| *result != SendResult::Sent).expect("it fills");
        assert_eq!(results[first_full], SendResult::SentLast);
        assert_eq!(results.last(), Some(&SendResult::Full));
        // It reads again: the rest comes whole, and the worker is told.
        let sent = results.iter().filter(|result| **result != SendResult::Full).count();
        let mut reader = rig.peer.try_clone().unwrap();
        let reading = std::thread::spawn(move || {
            let mut got = vec![0; sent * 12_020];
            reader.read_exact(&mut got).unwrap();
            got.chunks(1_202).all(|piece| piece[..2] == 1_200_u16.to_be_bytes() && piece[2..] == [8; 1_200])
        });
        receive(&mut rig.io, |_, events| matches!(events, [ConnectionEvent::Drained(_)]));
        assert!(reading.join().unwrap());
        assert_eq!(send(&mut rig, &[8; 100], 1), SendResult::Sent);
    }
}

#[test]
fn what_is_no_frame_and_a_peer_that_leaves_close_the_connection_and_its_number_is_not_used_again() {
    let (none, long): (&[u8], &[u8]) = (&[0, 0, 1, 2, 3], &[0xff, 0xff, 1]);
    for kind in IOS {
        for first in [none, long, b"GET / HTTP/1.1\r\n\r\n", &[]] {
            let mut rig = rig(kind, first);
            if first.is_empty() {
                rig.peer.shutdown(std::net::Shutdown::Both).unwrap();
            }
            receive(&mut rig.io, |datagrams, events| {
                assert!(datagrams.is_empty());
                matches!(events, [ConnectionEvent::Closed(PathAddress::Tcp(_))])
            });
            assert!(matches!(send(&mut rig, &[1; 30], 1), SendResult::Failed(_)));
            rig.io.close(ConnectionId(0));
            // The next one has the place, and another number.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (stream, remote) = listener.accept().unwrap();
            rig.io
                .adopt(Accepted { stream: stream.into(), remote, local_ip: remote.ip(), carries: Carries::Frames })
                .unwrap();
            peer.write_all(&frame(&[3; 20])).unwrap();
            receive(&mut rig.io, |datagrams, _| match datagrams {
                [(PathAddress::Tcp(path), _)] => {
                    assert_ne!(path.connection, ConnectionId(0));
                    true
                }
                _ => false,
            });
        }
    }
}

/// A TURN client of a session, admitted; and its Allocate.
fn admitted(session: u64) -> (Box<turn::Client>, Vec<u8>) {
    let secret = turn::Secret::new(&[1; 32]);
    let turn::Credentials { username, password } = secret.credentials(session, 0);
    let key = crate::crypto::digest::md5(format!("{username}:{}:{password}", turn::REALM).as_bytes());
    let mut greeting = turn::Greeting::new("192.0.2.1:5".parse().unwrap(), [2; 16], now());
    let allocate = |nonce: &[u8]| {
        let mut bytes = [0; 300];
        let len = StunWriter::new(&mut bytes, StunClass::Request, 0x003, &[3; 12])
            .attribute(0x0019, &[17, 0, 0, 0])
            .username(username.as_bytes())
            .attribute(attribute::REALM, turn::REALM.as_bytes())
            .attribute(attribute::NONCE, nonce)
            .integrity(&key)
            .finish();
        bytes[..len.unwrap()].to_vec()
    };
    let mut out = Vec::new();
    greeting.receive(&allocate(b"none"), &secret, |_| true, (now(), 0), &mut out);
    let nonce = StunMessage::parse(&out).unwrap().attribute(attribute::NONCE).unwrap().to_vec();
    let allocate = allocate(&nonce);
    match greeting.receive(&allocate, &secret, |_| true, (now(), 0), &mut out) {
        turn::Greeted::Admitted(mut client) => {
            client.reach(["198.51.100.7:7000".parse().unwrap()]);
            (client, allocate)
        }
        other => panic!("{other:?}"),
    }
}

fn join(connections: &mut Connections, session: u64) -> TcpStream {
    let (client, early) = admitted(session);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (stream, remote) = listener.accept().unwrap();
    let carries = Carries::Turn(Box::new(TurnConnection { client, tls: None, early }));
    connections.adopt(Accepted { stream: stream.into(), remote, local_ip: remote.ip(), carries }).unwrap();
    connections.receive(64, &mut IoCounters::default(), &mut |_| panic!("no datagram"));
    peer
}

/// The error code of the answer; 0 for success. `None` at the end of the stream.
fn answer(peer: &mut TcpStream) -> Option<u16> {
    let mut bytes = [0; 500];
    let len = peer.read(&mut bytes).unwrap();
    (len > 0).then(|| StunMessage::parse(&bytes[..len]).unwrap().error_code().unwrap_or(0))
}

#[test]
fn a_turn_client_that_carries_nothing_is_closed_after_a_while_and_gives_way_to_newcomers() {
    let mut connections = Connections::new().unwrap();
    let mut first = join(&mut connections, 7);
    assert_eq!(answer(&mut first), Some(0));
    connections.close_unused(now() + limits::TURN_UNUSED_MAX / 2);
    assert_eq!(connections.open, 1);
    connections.close_unused(now() + limits::TURN_UNUSED_MAX * 2);
    assert_eq!((connections.open, answer(&mut first)), (0, None));
    // As many as one session may have; and as many as all may.
    let mut of_one: Vec<_> =
        (0..limits::TURN_ALLOCATIONS_PER_SESSION_MAX + 1).map(|_| join(&mut connections, 7)).collect();
    assert_eq!(connections.open, limits::TURN_ALLOCATIONS_PER_SESSION_MAX);
    assert_eq!((answer(&mut of_one[0]), answer(&mut of_one[0])), (Some(0), None));
    connections.clients = limits::TURN_CLIENTS_PER_WORKER_MAX;
    let mut last = join(&mut connections, 8);
    assert_eq!((answer(&mut of_one[1]), answer(&mut of_one[1])), (Some(0), None));
    // The session ends.
    connections.close_of(7);
    assert_eq!((answer(&mut of_one[2]), answer(&mut of_one[2])), (Some(0), None));
    assert_eq!((connections.open, answer(&mut last)), (1, Some(0)));
    // Nobody is unused among so many: the newcomer is refused.
    connections.close_of(8);
    connections.clients = limits::TURN_CLIENTS_PER_WORKER_MAX;
    let mut refused = join(&mut connections, 9);
    assert_eq!((answer(&mut refused), answer(&mut refused)), (Some(486), None));
    assert_eq!(connections.open, 0);
}

//! Real sockets on loopback.

use std::net::Ipv4Addr;

use super::*;

fn fleet_with_a_client(server: &UdpSocket) -> (FleetSockets, u32, SocketAddr) {
    let remote = server.local_addr().unwrap();
    let socket = FleetSocket::towards(remote, limits::FLEET_SOCKET_BUFFER_BYTES).unwrap();
    socket.connect(remote).unwrap();
    let local = socket.local_address().unwrap();
    let mut fleet = FleetSockets::new(8).unwrap();
    let client = fleet.add(socket).unwrap();
    // Armed before anything is sent, as in a running fleet.
    fleet.wait(now()).unwrap();
    (fleet, client, local)
}

fn server() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// Far longer than anything here takes, on a machine that stands still now and then too.
const PATIENCE: Duration = Duration::from_secs(20);

/// Length and segment length of every message, until `datagrams` have come.
fn receive(fleet: &mut FleetSockets, datagrams: u64) -> Vec<(u32, usize, usize)> {
    let (mut seen, deadline) = (Vec::new(), now() + PATIENCE);
    while fleet.counters().datagrams_received < datagrams && now() < deadline {
        fleet.wait(deadline).unwrap();
        fleet.receive(usize::MAX, |client, _, message| {
            assert!(now().since(message.received) < PATIENCE);
            seen.push((client, message.bytes.len(), message.segment_bytes));
        });
    }
    seen
}

#[test]
fn a_train_arrives_as_one_message_with_the_length_to_cut_it_at() {
    let server = server();
    let (mut fleet, client, local) = fleet_with_a_client(&server);
    set_option(server.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 1_200).unwrap();
    server.send_to(&[7; 40 * 1_200 + 5], local).unwrap();
    assert_eq!(receive(&mut fleet, 41), [(client, 48_005, 1_200)]);
    assert_eq!(fleet.counters().truncated, 0);
}

#[test]
fn more_datagrams_than_buffers_all_arrive() {
    let server = server();
    let (mut fleet, ..) = fleet_with_a_client(&server);
    let remote = server.local_addr().unwrap();
    let mut locals = Vec::new();
    for _ in 0..4 {
        let socket = FleetSocket::towards(remote, limits::FLEET_SOCKET_BUFFER_BYTES).unwrap();
        socket.connect(remote).unwrap();
        locals.push(socket.local_address().unwrap());
        fleet.add(socket).unwrap();
    }
    fleet.wait(now()).unwrap();
    let each = u64::from(limits::FLEET_RECEIVE_BUFFERS);
    for _ in 0..each {
        for local in &locals {
            server.send_to(&[1; 100], local).unwrap();
        }
    }
    receive(&mut fleet, 4 * each);
    assert_eq!(fleet.counters().datagrams_received, 4 * each);
}

#[test]
fn a_full_receive_buffer_is_counted_by_the_socket() {
    let server = server();
    let remote = server.local_addr().unwrap();
    let socket = FleetSocket::towards(remote, 4_096).unwrap();
    socket.connect(remote).unwrap();
    for _ in 0..100 {
        server.send_to(&[1; 1_000], socket.local_address().unwrap()).unwrap();
    }
    assert!((50..100).contains(&socket.drops()), "{}", socket.drops());
}

#[test]
fn a_place_is_used_again_after_its_client_left() {
    let server = server();
    let (mut fleet, first, local) = fleet_with_a_client(&server);
    let remote = server.local_addr().unwrap();
    server.send_to(b"to the first", local).unwrap();
    fleet.remove(first);
    assert!(fleet.socket(first).is_none());
    let free_before = fleet.free.len();
    let deadline = now() + PATIENCE;
    while fleet.free.len() == free_before && now() < deadline {
        fleet.wait(now() + Duration::from_millis(20)).unwrap();
        fleet.receive(usize::MAX, |_, _, _| panic!("it has left"));
    }
    assert_eq!(fleet.free.len(), free_before + 1);
    let socket = FleetSocket::towards(remote, 4_096).unwrap();
    socket.connect(remote).unwrap();
    let local = socket.local_address().unwrap();
    let second = fleet.add(socket).unwrap();
    assert_eq!(second, first);
    fleet.wait(now()).unwrap();
    server.send_to(b"to the second", local).unwrap();
    assert_eq!(receive(&mut fleet, 1), [(second, 13, 13)]);
}

#[test]
fn another_thread_ends_a_wait() {
    let mut fleet = FleetSockets::new(1).unwrap();
    let (waker, start) = (fleet.waker(), now());
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        waker.wake();
    });
    fleet.wait(start + 3 * PATIENCE).unwrap();
    other.join().unwrap();
    assert!(now().since(start) < PATIENCE);
}

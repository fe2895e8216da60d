//! Tests of the ring with the real kernel: running out of buffers, older sets of flags, a broken ring, releasing its
//! resources.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::receive::{COMPLETIONS, SUBMISSIONS};
use super::ring::{Enter, FLAVOURS};
use super::*;
use crate::limits;
use crate::transport::{PathBook, SendResult, UdpPath};

fn sockets() -> (MediaSockets, UdpSocket) {
    let sockets = MediaSockets::open(&["127.0.0.1".parse().unwrap()], 0).unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.connect(sockets.local_addresses().next().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    (sockets, peer)
}

fn numbers(io: &mut Uring) -> Vec<u32> {
    let mut numbers = Vec::new();
    while io.receive(100, |datagram| numbers.push(u32::from_be_bytes(*datagram.bytes.first_chunk().unwrap()))) > 0 {}
    numbers
}

#[test]
fn a_receive_that_ran_out_of_buffers_is_armed_again_and_nothing_is_lost() {
    const COUNT: u32 = 4 * limits::RECEIVE_BUFFERS as u32;
    let (sockets, peer) = sockets();
    let mut io = Uring::open(sockets, SendBy::Calls).unwrap();
    for round in 1..=3 {
        for number in 0..COUNT {
            peer.send(&number.to_be_bytes()).unwrap();
        }
        // The kernel is asked for completions without any buffer being given back.
        for _ in 0..COUNT {
            io.receiver.enter(Enter::Poll);
            io.receiver.reap();
        }
        assert_eq!(numbers(&mut io), (0..COUNT).collect::<Vec<_>>());
        assert!(io.counters().receive_rearmed >= round, "{:?}", io.counters());
    }
    peer.send(&7_u32.to_be_bytes()).unwrap();
    io.wait(now() + Duration::from_secs(5)).unwrap();
    assert_eq!(numbers(&mut io), [7]);
}

#[test]
fn every_set_of_flags_receives_wakes_and_sends() {
    for flavour in &FLAVOURS {
        let (sockets, peer) = sockets();
        let ring = Ring::of_flavour(flavour, SUBMISSIONS, COMPLETIONS).unwrap();
        let receiver = Receiver::arm_on(ring, &sockets).unwrap();
        let mut io = Uring::new(receiver, sockets, SendBy::Entries);
        assert_eq!(io.describe(), flavour.name);
        for number in 0..2_000_u32 {
            peer.send(&number.to_be_bytes()).unwrap();
        }
        io.wait(now() + Duration::from_secs(5)).unwrap();
        assert_eq!(numbers(&mut io), (0..2_000).collect::<Vec<_>>(), "{}", flavour.name);

        let (start, waker, woken) = (now(), io.waker(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(10));
                woken.store(true, Ordering::SeqCst);
                waker.wake();
            });
            while !woken.load(Ordering::SeqCst) {
                io.wait(start + Duration::from_secs(60)).unwrap();
            }
        });
        assert!(now().since(start) < Duration::from_secs(20), "{}", flavour.name);

        let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
        batch.commit(book.enter(UdpPath::to(peer.local_addr().unwrap())).unwrap(), 100);
        io.send(&mut batch, &book);
        assert_eq!(batch.trains()[0].result, SendResult::Sent);
        assert_eq!(peer.recv(&mut [0; 200]).unwrap(), 100);
    }
}

#[test]
fn a_ring_that_broke_ends_the_wait_with_the_error_and_fails_every_train() {
    let (sockets, peer) = sockets();
    let mut io = Uring::open(sockets, SendBy::Entries).unwrap();
    io.receiver.break_with(libc::EBADF);
    let error = io.wait(now() + Duration::from_secs(5)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
    batch.commit(book.enter(UdpPath::to(peer.local_addr().unwrap())).unwrap(), 100);
    io.send(&mut batch, &book);
    assert_eq!(batch.trains()[0].result, SendResult::Failed(libc::EBADF));
    assert_eq!(io.counters().sends_failed, 1);
    assert_eq!(io.receive(10, |_| panic!("nothing came")), 0);
}

#[test]
fn disarming_releases_sockets_and_buffers_with_datagrams_unread() {
    let (sockets, peer) = sockets();
    let mut io = Uring::open(sockets, SendBy::Calls).unwrap();
    for _ in 0..2_000 {
        peer.send(b"unread").unwrap();
    }
    io.wait(now() + Duration::from_secs(5)).unwrap();
    assert_eq!(io.receive(1, |_| ()), 1);
    assert!(io.receiver.disarm());
    assert!(!io.receiver.disarm(), "there was something to let go of only once");
}

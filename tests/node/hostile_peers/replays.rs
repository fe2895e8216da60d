//! An attacker on the path, who cannot read what passes but can keep it and send it again: from the peers' own addresses
//! and from another one.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use corecast::wire::demux::{DatagramKind, classify};

use super::ATTACK;
use super::scene::Scene;
use crate::honest::{self, Honest};
use crate::hostile;

/// What it does, and what it has seen.
#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    attacking: AtomicBool,
    sent_again: AtomicU64,
    checks_sent_again: AtomicU64,
    bytes_to_the_other_address: AtomicU64,
}

/// Stands between one honest peer and the node: passes everything on, and while it attacks sends every datagram of the
/// peer's again, soon and much later, from here and from elsewhere.
pub(super) struct OnPath {
    pub(super) address: SocketAddr,
    /// What the node sees the peer at.
    to_node: UdpSocket,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for OnPath {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl OnPath {
    /// Stands before a node.
    pub(super) fn stand(node: SocketAddr) -> Self {
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let to_peer = honest::socket_between();
        to_peer.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let (to_node, elsewhere) = (hostile::socket(here, node), hostile::socket(here, node));
        // What arrives while the machine holds this thread up must not be lost here.
        for socket in [&to_peer, &to_node] {
            socket2::SockRef::from(socket).set_recv_buffer_size(4 << 20).unwrap();
        }
        let address = to_peer.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let kept = to_node.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            honest::beside_the_worker();
            pass(&of_thread, &to_peer, &to_node, &elsewhere);
        });
        Self { address, to_node: kept, shared, thread: Some(thread) }
    }

    /// Sends the node something in the peer's name.
    pub(super) fn forge(&self, bytes: &[u8]) {
        let _ = self.to_node.send(bytes);
    }
}

fn pass(shared: &Shared, to_peer: &UdpSocket, to_node: &UdpSocket, elsewhere: &UdpSocket) {
    let mut peer = None;
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut buffer = [0; 2_048];
    while !shared.ended.load(Ordering::Relaxed) {
        // A millisecond at most: what comes back must not wait.
        if let Ok((len, from)) = to_peer.recv_from(&mut buffer) {
            peer = Some(from);
            let datagram = buffer[..len].to_vec();
            let _ = to_node.send(&datagram);
            kept.push(datagram);
            if shared.attacking.load(Ordering::Relaxed) {
                send_again(shared, &kept, to_node, elsewhere);
            }
        }
        while let Ok(len) = to_node.recv(&mut buffer) {
            if let Some(peer) = peer {
                let _ = to_peer.send_to(&buffer[..len], peer);
            }
        }
        while let Ok(len) = elsewhere.recv(&mut buffer) {
            shared.bytes_to_the_other_address.fetch_add(len as u64, Ordering::Relaxed);
        }
    }
}

/// The newest twice from each address, and some older ones.
fn send_again(shared: &Shared, kept: &[Vec<u8>], to_node: &UdpSocket, elsewhere: &UdpSocket) {
    let newest = kept.len() - 1;
    let older = [1, 2, 7, 64, 300].into_iter().filter_map(|back| newest.checked_sub(back));
    for at in [newest, newest].into_iter().chain(older) {
        for socket in [to_node, elsewhere] {
            let _ = socket.send(&kept[at]);
            shared.sent_again.fetch_add(1, Ordering::Relaxed);
        }
    }
    // Every check it has seen in the last 30 s: would one move media to the other address?
    let recent = kept.iter().rev().take(2_000).filter(|datagram| classify(datagram) == DatagramKind::Stun);
    for check in recent.take(8) {
        let _ = elsewhere.send(check);
        shared.checks_sent_again.fetch_add(1, Ordering::Relaxed);
    }
}

/// The attack as one of the list: on a scene where nobody stands on the path, a hostile publisher's own packets again.
pub(crate) fn send_again_own(scene: &Scene, time: Duration) {
    use corecast::description::Direction;
    use corecast::lab::peer::OutgoingRtp;
    let mut hostile = hostile::Hostile::connect(&scene.node, Direction::Publish, hostile::STREAM);
    let section = hostile.opened.answer.section(corecast::description::MediaKind::Video).unwrap();
    let payload_type = section.codecs[0].payload_type;
    let ssrc = hostile.opened.sources.video;
    // The same index sealed twice is the same packet twice: what a replay is, without anybody on the path.
    super::scene::paced(&scene.node, 4_000, time, |at| {
        let index = 1_000 + at / 8;
        let packet = OutgoingRtp {
            ssrc,
            index,
            timestamp: index as u32 * 90,
            payload_type,
            payload: &[0x61; 200],
            ..OutgoingRtp::default()
        };
        hostile.send_rtp(&packet);
        hostile.step(|_| {});
    });
    assert!(
        scene.node.dropped("srtp_replayed") + scene.node.dropped("replayed") > 0,
        "{}",
        scene.node.worker()["dropped"]
    );
    hostile.leave(&scene.node);
}

#[test]
fn media_and_checks_that_are_sent_again_move_nothing_and_reach_nobody() {
    let mut on_path = Vec::new();
    let scene = Scene::with(|node| {
        on_path.extend([OnPath::stand(node.media), OnPath::stand(node.media)]);
        Honest::play(node.doors(), [Some(on_path[0].address), Some(on_path[1].address)])
    });
    on_path.iter().for_each(|attacker| attacker.shared.attacking.store(true, Ordering::Relaxed));
    // Long enough for a consent check of each, which is every 2.5 s.
    std::thread::sleep(ATTACK + Duration::from_secs(2));
    on_path.iter().for_each(|attacker| attacker.shared.attacking.store(false, Ordering::Relaxed));
    let assert_not_moved = || {
        for attacker in &on_path {
            let moved = attacker.shared.bytes_to_the_other_address.load(Ordering::Relaxed);
            assert_eq!(moved, 0, "a replayed check was answered or believed");
        }
    };
    // First, as what was moved is missed as well.
    assert_not_moved();
    scene.assert_undisturbed();
    assert_not_moved();
    for attacker in &on_path {
        let shared = &attacker.shared;
        assert!(shared.sent_again.load(Ordering::Relaxed) > 20);
        assert!(shared.checks_sent_again.load(Ordering::Relaxed) > 0);
    }
    let dropped = scene.node.worker()["dropped"].take();
    for reason in ["stun_replayed", "unknown_address"] {
        assert!(dropped[reason].as_u64().unwrap_or(0) > 0, "{reason} in {dropped}");
    }
    assert!(dropped.to_string().contains("replayed\":"), "{dropped}");
    scene.assert_released(Duration::from_secs(20));
}

#[test]
fn a_publisher_that_says_everything_eight_times_is_forwarded_once() {
    let scene = Scene::set();
    send_again_own(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(20));
}

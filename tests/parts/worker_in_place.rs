//! A client that begins DTLS anew on the path it has: other keys without another transport. Through production workers.

use std::time::Duration;

use crate::worker_support::{Client, MS, Opening, Packet, World};
use corecast::description::{Direction, MediaKind};
use corecast::limits;
use corecast::wire::demux::{self, DatagramKind};
use corecast::worker::KeyPolicy;
use corecast::worker::mailbox::EndReason;

fn playing(in_place: bool, worker: usize) -> (World, usize, usize) {
    let mut world = World::with_keys(2, KeyPolicy { in_place, ..KeyPolicy::default() });
    // Its sequence numbers go round soon.
    let publisher = world.join(&Opening { first: (65_300, 77), ..Opening::publisher(0) });
    world.clients[publisher].publisher().fragments = Some(4);
    let viewer = world.join(&Opening::viewer(worker));
    world.run(limits::IN_PLACE_AGE_MIN + 1_000 * MS);
    (world, publisher, viewer)
}

/// The client closes its association and says hello.
fn restart(world: &mut World, client: usize) {
    let now = world.now;
    let sources = match world.clients[client].direction {
        Direction::Publish => {
            let publisher = world.clients[client].publisher();
            [&publisher.video, &publisher.audio].map(|source| (source.ssrc, source.next_index())).to_vec()
        }
        Direction::Play => Vec::new(),
    };
    let Client { peer, out, .. } = &mut world.clients[client];
    peer.restart_dtls(&sources, out, now);
    world.settle();
}

fn video_after(world: &World, client: usize, since: corecast::time::Timestamp) -> Vec<Packet> {
    world.clients[client].received(MediaKind::Video).into_iter().filter(|packet| packet.at > since).collect()
}

#[track_caller]
fn assert_unbroken(packets: &[Packet]) {
    assert!(packets.len() > 100, "{}", packets.len());
    assert!(packets.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "numbers are one run");
}

#[test]
fn a_viewer_that_says_hello_again_plays_on_with_other_keys() {
    // The second time its engine was given up before: its close alert cannot be read.
    for (worker, later) in [(0, Duration::ZERO), (1, Duration::from_secs(25))] {
        let (mut world, publisher, viewer) = playing(true, worker);
        world.run(later);
        let asked = world.clients[publisher].publisher().key_frame_requests.len();
        restart(&mut world, viewer);
        world.run(1_000 * MS);
        assert!(world.clients[viewer].peer.is_connected(), "{later:?}: {:?}", world.clients[viewer].events);
        let connected = world.now;
        world.run(2_000 * MS);
        assert_unbroken(&video_after(&world, viewer, connected));
        assert_eq!(world.ended(viewer), None);
        let session = world.session(viewer).expect("it is one session");
        assert_eq!((session.rekeys, session.rekeying), (1, false));
        assert!(session.key_age_s <= 3, "{session:?}");
        let report = world.report(worker);
        assert_eq!((report.rekeys["in_place"], report.ended.values().sum::<u64>()), (1, 0));
        assert_eq!(world.clients[publisher].publisher().key_frame_requests.len(), asked, "nobody asks for a key frame");
        // And once more, when the time between two has passed.
        world.run(limits::IN_PLACE_PAUSE);
        restart(&mut world, viewer);
        world.run(1_000 * MS);
        let connected = world.now;
        world.run(1_000 * MS);
        assert_unbroken(&video_after(&world, viewer, connected));
        assert_eq!(world.session(viewer).unwrap().rekeys, 2);
    }
}

#[test]
fn a_publisher_whose_sequence_numbers_went_round_goes_on_under_other_keys_on_one_timeline() {
    let (mut world, publisher, viewer) = playing(true, 1);
    assert!(world.clients[publisher].publisher().video.next_index() > 65_536, "they went round before");
    restart(&mut world, publisher);
    world.run(1_000 * MS);
    let connected = world.now;
    let now = world.now;
    world.clients[publisher].publish_frame(4, true, now);
    world.run(2_000 * MS);
    let video = video_after(&world, viewer, connected);
    assert_unbroken(&video);
    let back = video.windows(2).any(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) > u32::MAX / 2);
    assert!(!back, "time never goes back");
    assert_eq!((world.ended(publisher), world.session(publisher).unwrap().rekeys), (None, 1));
}

#[test]
fn a_viewer_that_closes_and_says_no_hello_has_left() {
    let (mut world, _, viewer) = playing(true, 0);
    let now = world.now;
    let Client { peer, out, .. } = &mut world.clients[viewer];
    peer.close(out, now);
    world.settle();
    world.run(limits::IN_PLACE_CLOSE_PATIENCE - 100 * MS);
    assert_eq!(world.ended(viewer), None);
    world.run(200 * MS);
    assert_eq!(world.ended(viewer), Some(EndReason::PeerClosed));
}

#[test]
fn where_it_is_not_allowed_a_hello_changes_nothing_and_a_close_ends_the_session() {
    let (mut world, _, viewer) = playing(false, 0);
    restart(&mut world, viewer);
    world.run(100 * MS);
    assert_eq!(world.ended(viewer), Some(EndReason::PeerClosed));
    assert!(!world.clients[viewer].peer.is_connected());
}

#[test]
fn a_strangers_hello_changes_nothing_and_the_clients_own_comes_through() {
    let (mut world, _, viewer) = playing(true, 0);
    // Somebody's hello, which comes to the node as if from the viewer.
    let stranger = world.join(&Opening::viewer(0));
    world.clients[stranger].keeps_datagrams = true;
    let hello = hello_of(&mut world, stranger);
    let address = world.clients[viewer].address;
    let before = world.now;
    for _ in 0..50 {
        world.inject(0, address, &hello);
        world.run(20 * MS);
    }
    assert_unbroken(&video_after(&world, viewer, before));
    assert_eq!(world.session(viewer).unwrap().rekeys, 0);
    assert_eq!(world.report(0).handshakes, 1, "one place among the handshakes under way");
    restart(&mut world, viewer);
    world.run(2_000 * MS);
    assert_eq!(world.session(viewer).unwrap().rekeys, 1, "its own hello is not blocked");
    let connected = world.now;
    world.run(1_000 * MS);
    assert_unbroken(&video_after(&world, viewer, connected));
    // One that nobody follows up is over after its time, and is counted.
    world.run(limits::IN_PLACE_PAUSE);
    world.inject(0, address, &hello);
    world.run(limits::SESSION_SETUP_MAX + 1_000 * MS);
    let report = world.report(0);
    assert_eq!((report.rekeys["dtls_failed"], report.handshakes), (1, 0));
    assert_eq!(world.ended(viewer), None);
    let at = world.now;
    world.run(1_000 * MS);
    assert_unbroken(&video_after(&world, viewer, at));
}

/// A client's ClientHello, which does not reach the node.
fn hello_of(world: &mut World, client: usize) -> Vec<u8> {
    use std::cell::RefCell;
    use std::rc::Rc;
    let caught = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&caught);
    world.filter = Box::new(move |hop| {
        let is_of_it = hop.client == client && !hop.to_client && demux::classify(hop.bytes) == DatagramKind::Dtls;
        if is_of_it && corecast::dtls::starts_association(hop.bytes) && kept.borrow().is_empty() {
            *kept.borrow_mut() = hop.bytes.to_vec();
        }
        !is_of_it
    });
    restart(world, client);
    world.run(50 * MS);
    let hello = caught.borrow().clone();
    assert!(!hello.is_empty(), "it said hello");
    world.delete(client);
    world.filter = Box::new(|_| true);
    hello
}

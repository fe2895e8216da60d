//! Whose path it is and where media may go: forged source addresses, addresses that pass on, paths that die.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::worker_support::{Hop, MS, Opening, World, stranger};
use corecast::description::MediaKind;
use corecast::limits;
use corecast::wire::demux::{self, DatagramKind};

fn video_without_a_hole(world: &World, viewer: usize) -> usize {
    let video = world.clients[viewer].received(MediaKind::Video);
    assert!(video.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "without a hole");
    video.len()
}

#[test]
fn a_forged_check_takes_neither_a_publishers_path_nor_a_viewers() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewers: Vec<usize> = (0..20).map(|_| world.join(&Opening::viewer(0))).collect();
    let attacker = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(4);
    world.run(300 * MS);
    let before = video_without_a_hole(&world, viewers[0]);
    let victims = [world.clients[publisher].address, world.clients[viewers[0]].address];
    for _ in 0..200 {
        for victim in victims {
            let check = world.check_of(attacker, true);
            world.inject(0, victim, &check);
        }
        world.run(50 * MS);
    }
    for viewer in viewers {
        assert!(video_without_a_hole(&world, viewer) > before + 1_000, "media goes on for ten seconds");
    }
    assert!(world.dropped(0, "path_disputed") >= 100);
    assert_eq!(world.dropped(0, "unknown_address"), 0);
    // The attacker leaves; nobody else does.
    world.delete(attacker);
    world.run(1_000 * MS);
    assert!(world.ended(publisher).is_none() && world.ended(attacker).is_some());
}

#[test]
fn an_address_that_somebody_claimed_before_its_holder_came_is_the_holders() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let squatter = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(4);
    let honest = world.open(&Opening::viewer(0));
    let address = world.clients[honest].address;
    for _ in 0..40 {
        let check = world.check_of(squatter, true);
        world.inject(0, address, &check);
        world.run(50 * MS);
    }
    assert!(world.clients[honest].peer.is_connected());
    world.run(1_000 * MS);
    assert!(video_without_a_hole(&world, honest) > 50);
}

/// His session has no keys yet, and answers hellos. The holder's own answer, which would show whose the address is, is lost.
#[test]
fn a_stranger_who_claims_an_address_first_gets_none_of_its_handshake() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(4);
    let (squatter, honest) = (world.open(&Opening::viewer(0)), world.open(&Opening::viewer(0)));
    let mut has_lost_answer = false;
    world.filter = Box::new(move |hop: &Hop<'_>| {
        let kind = demux::classify(hop.bytes);
        let is_answer = hop.client == honest && !hop.to_client && hop.bytes.starts_with(&[1, 1]);
        let is_lost = is_answer && !has_lost_answer;
        has_lost_answer |= is_answer;
        !(is_lost || hop.client == squatter && kind == DatagramKind::Dtls)
    });
    let address = world.clients[honest].address;
    for _ in 0..60 {
        let check = world.check_of(squatter, true);
        world.inject(0, address, &check);
        world.run(50 * MS);
    }
    assert!(world.clients[honest].peer.is_connected());
    assert!(video_without_a_hole(&world, honest) > 50, "{:?}", world.report(0).dropped);
}

#[test]
fn an_address_that_passes_to_another_client_is_the_new_ones_within_seconds_and_the_old_one_gets_no_more() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(4);
    let gone = world.join(&Opening::viewer(0));
    world.run(500 * MS);
    world.filter = Box::new(move |hop: &Hop<'_>| hop.client != gone);
    let address = world.clients[gone].address;
    // The same socket, another session: the client was started again and binds the same port.
    let new = world.open(&Opening::viewer(0));
    world.move_client(new, address, true);
    world.run(limits::PATH_DISPUTE + 2_500 * MS);
    assert!(world.clients[new].peer.is_connected(), "{:?}", world.report(0).dropped);
    let refused = world.clients[new].refused;
    world.run(500 * MS);
    assert!(video_without_a_hole(&world, new) > 30);
    assert_eq!(world.clients[new].refused, refused, "it is sent nothing any more that was sealed for the old session");
}

#[test]
fn a_third_party_gets_at_most_three_times_the_bytes_that_seemed_to_come_from_it() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let attacker = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(4);
    // Its own reports, with the third party's address in front.
    let reports = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&reports);
    world.filter = Box::new(move |hop: &Hop<'_>| {
        let diverted = hop.client == attacker && !hop.to_client && demux::classify(hop.bytes) == DatagramKind::Rtcp;
        if diverted {
            kept.borrow_mut().push(hop.bytes.to_vec());
        }
        !diverted
    });
    let (mut from, mut to) = (0, 0);
    for second in 0..75 {
        let check = world.check_of(attacker, true);
        let mut forged = std::mem::take(&mut *reports.borrow_mut());
        forged.push(check);
        for datagram in forged {
            from += datagram.len();
            world.inject(0, stranger(), &datagram);
        }
        if second == 20 {
            // From here on it is not to be seen at its own address any more.
            let kept = Rc::clone(&reports);
            world.filter = Box::new(move |hop: &Hop<'_>| {
                if hop.client == attacker && !hop.to_client && demux::classify(hop.bytes) == DatagramKind::Rtcp {
                    kept.borrow_mut().push(hop.bytes.to_vec());
                }
                hop.client != attacker
            });
        }
        world.run(1_000 * MS);
        to += world.bytes_to(0, stranger());
    }
    assert!(from > 5_000 && to <= 3 * from, "{to} bytes for {from}");
}

#[test]
fn a_handshake_with_a_forged_address_is_given_no_more_than_it_sends() {
    let mut world = World::new(1);
    let nobody = world.open(&Opening { node_role: corecast::description::DtlsRole::Client, ..Opening::viewer(0) });
    world.filter = Box::new(|_| false);
    let check = world.check_of(nobody, true);
    world.inject(0, stranger(), &check);
    world.run(limits::SESSION_SETUP_MAX - 1_000 * MS);
    let to = world.bytes_to(0, stranger());
    assert!(
        to <= 3 * check.len(),
        "{to} bytes for {}: DTLS repeats its flights to an address that never answered",
        check.len()
    );
    assert!(to > check.len() / 2, "the check was answered");
    assert!(world.dropped(0, "path_unproven") > 0);
}

#[test]
fn the_last_flight_of_a_handshake_from_a_forged_address_proves_nothing_of_it() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(4);
    let attacker = world.open(&Opening::viewer(0));
    // It reads the node's flight at its own address. What it answers there comes from the third party's, as its reports do,
    // and the node's requests it never answers.
    let diverted = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&diverted);
    world.filter = Box::new(move |hop: &Hop<'_>| {
        if hop.client != attacker || hop.to_client {
            return true;
        }
        let (is_hello, is_answer) = (hop.bytes.get(13) == Some(&1), hop.bytes[..2] == [1, 1]);
        let kind = demux::classify(hop.bytes);
        let passes = kind == DatagramKind::Stun && !is_answer || kind == DatagramKind::Dtls && is_hello;
        if !passes && !is_answer {
            kept.borrow_mut().push(hop.bytes.to_vec());
        }
        passes
    });
    let (mut from, mut to) = (0, 0);
    for step in 0..2_000 {
        let mut forged = std::mem::take(&mut *diverted.borrow_mut());
        if step % 200 == 0 {
            forged.push(world.check_of(attacker, true));
        }
        for datagram in forged {
            from += datagram.len();
            world.inject(0, stranger(), &datagram);
        }
        world.run(5 * MS);
        to += world.bytes_to(0, stranger());
    }
    assert!(world.session(attacker).is_some_and(|session| session.state == "connected"), "the handshake was completed");
    assert!(to <= 3 * from, "{to} bytes for {from}");
}

#[test]
fn media_to_a_path_stops_with_its_consent_while_checks_from_elsewhere_keep_the_session() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(4);
    world.run(500 * MS);
    let address = world.clients[viewer].address;
    world.filter = Box::new(move |hop: &Hop<'_>| hop.client != viewer || hop.to_client);
    world.take_trains(0);
    let mut last = 0;
    for second in 0..40 {
        let check = world.check_of(viewer, false);
        world.inject(0, stranger(), &check);
        world.run(1_000 * MS);
        if world.bytes_to(0, address) > 2_000 {
            last = second;
        }
    }
    assert!((5..=15).contains(&last), "media until second {last}");
    assert_eq!(world.ended(viewer), None, "it is the session's credentials that are heard");
    // Its own path comes back, and media with it.
    world.filter = Box::new(|_| true);
    world.run(3_000 * MS);
    assert!(world.bytes_to(0, address) > 20_000);
}

#[test]
fn a_viewer_whose_nominated_path_dies_is_followed_to_the_one_that_lives() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(4);
    world.run(500 * MS);
    let (old, new) = (world.clients[viewer].address, SocketAddr::from(([203, 0, 113, 7], 7_000)));
    // The client goes on at another address, and its checks there do not nominate.
    world.move_client(viewer, new, false);
    let plain = world.check_of(viewer, false);
    world.inject(0, new, &plain);
    let moved = world.now;
    while world.bytes_to(0, new) < 5_000 {
        world.run(100 * MS);
        assert!(world.now.since(moved) < Duration::from_secs(10), "media is still sent to {old}");
    }
}

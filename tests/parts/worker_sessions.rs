//! Sessions' lives: silence, shutdown, ICE restarts and changes of address, through production workers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::worker_support::{MS, Opening, World};
use corecast::description::{DtlsRole, MediaKind};
use corecast::lab::peer::PeerEvent;
use corecast::limits;
use corecast::wire::demux::{self, DatagramKind};
use corecast::worker::mailbox::{Control, EndReason, Notice, OpenRefused, Totals};

#[test]
fn thirty_seconds_of_silence_end_a_session_and_release_what_it_held() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let stays = world.join(&Opening::viewer(0));
    let silent = world.join(&Opening::viewer(1));
    world.clients[publisher].publisher().fragments = Some(2);
    world.run(1_000 * MS);
    // It hears media, but no close alert: it goes on checking later.
    world.filter =
        Box::new(move |hop| hop.client != silent || hop.to_client && demux::classify(hop.bytes) != DatagramKind::Dtls);
    let silent_since = world.now;
    world.run(limits::SESSION_SILENCE_MAX - 3_000 * MS);
    assert_eq!(world.ended(silent), None, "its last check was less than three seconds before");
    world.run(3_100 * MS);
    assert_eq!(world.ended(silent), Some(EndReason::TimedOut));
    assert!(world.clients[silent].viewer().goodbyes.is_empty(), "without consent it is told nothing either");
    let last = world.clients[silent].received(MediaKind::Audio).last().unwrap().at;
    assert!(last.since(silent_since) <= limits::PATH_CONSENT + 5 * MS, "media stops when consent is over");

    let report = world.report(1);
    assert!(report.sessions.is_empty() && report.streams.is_empty(), "nothing of it is left");
    let address = world.clients[silent].address;
    world.inject(1, address, &[0x80; 60]);
    assert_eq!(world.dropped(1, "unknown_address"), 1, "its flow is forgotten");
    world.filter = Box::new(|_| true);
    world.run(5_000 * MS);
    assert!(world.dropped(1, "stun_unknown_user") > 0, "its credentials are forgotten");
    let sent = world.report(0).lane_packets_sent;
    world.route(crate::worker_support::STREAM);
    world.run(1_000 * MS);
    assert!(world.report(0).lane_packets_sent <= sent, "nothing goes to a worker without viewers");
    assert!(world.clients[stays].received(MediaKind::Video).windows(2).all(|p| p[1].index == p[0].index + 1));
    assert_eq!(world.ended(stays), None);
}

#[test]
fn a_session_that_never_connects_is_ended() {
    let mut world = World::new(1);
    world.filter = Box::new(|_| false);
    let client = world.open(&Opening::viewer(0));
    world.run(limits::SESSION_SETUP_MAX + 100 * MS);
    assert_eq!(world.ended(client), Some(EndReason::NeverConnected));
    assert!(world.report(0).sessions.is_empty());
}

#[test]
fn a_join_storm_waits_for_its_turn_and_everybody_connects() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(8);
    let stays = world.join(&Opening::viewer(0));
    world.run(500 * MS);
    let viewers: Vec<usize> = (0..60).map(|_| world.open(&Opening::viewer(0))).collect();
    assert_eq!(world.report(0).handshakes, 60);
    world.run(1_000 * MS);
    assert!(viewers.iter().all(|&viewer| world.clients[viewer].peer.is_connected()));
    let report = world.report(0);
    assert!(report.handshakes_deferred > 0, "more than a round's share came at once");
    assert_eq!(report.handshakes, 0);
    assert!(world.clients[stays].received(MediaKind::Video).windows(2).all(|p| p[1].index == p[0].index + 1));
    for viewer in viewers {
        world.delete(viewer);
    }
    assert_eq!(world.report(0).handshakes, 0, "a place is given back once");
}

#[test]
fn one_session_cannot_take_the_places_of_all_that_wait() {
    let mut world = World::new(1);
    world.filter = Box::new(|_| true);
    let client = world.join(&Opening::viewer(0));
    let other = world.open(&Opening::viewer(0));
    world.run(2 * MS);
    let from = world.clients[other].address;
    assert_ne!(from, world.clients[client].address);
    // A piece of a message that lies ahead and never ends (RFC 6347 §4.2.2): one of 100 bytes, 4 of which are here.
    let head = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 16];
    let record = [&head[..], &[16, 0, 0, 100, 0, 5, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]].concat();
    world.nodes[0].stalled = true;
    for _ in 0..100 {
        world.inject(0, from, &record);
    }
    world.nodes[0].stalled = false;
    world.run(200 * MS);
    assert!(world.dropped(0, "handshake_session_over_share") > 0, "{:?}", world.report(0).dropped);
    world.run(3_000 * MS);
    assert!(world.clients[other].peer.is_connected(), "and it repairs what it lost");
}

#[test]
fn as_many_handshakes_as_may_be_are_refused_by_name_until_one_is_over() {
    let mut world = World::new(1);
    let max = limits::HANDSHAKES_PER_WORKER_MAX as u64;
    for number in 0..max {
        assert_eq!(world.open_for_nobody(number), Ok(()));
    }
    assert_eq!(world.open_for_nobody(max), Err(OpenRefused::TooManyHandshakes));
    world.run(MS);
    let is_refusal = |notice: &&Notice| matches!(notice, Notice::Refused { why: OpenRefused::TooManyHandshakes, .. });
    assert_eq!(world.noticed.iter().filter(is_refusal).count(), 1, "signalling hears it once, and of nobody else");
    world.run(limits::SESSION_SETUP_MAX + 1_000 * MS);
    assert_eq!(world.report(0).handshakes, 0);
    assert_eq!(world.open_for_nobody(max), Ok(()));
}

#[test]
fn shutdown_says_goodbye_to_everyone() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(2);
    // More than one batch of trains, one session that is not connected in between.
    let mut viewers: Vec<usize> = (0..130).map(|_| world.open(&Opening::viewer(0))).collect();
    world.run(1_000 * MS);
    world.filter = Box::new(|_| true);
    world.open(&Opening::viewer(0));
    viewers.extend((0..130).map(|_| world.open(&Opening::viewer(0))));
    let unconnected = viewers[0] + 130;
    world.filter = Box::new(move |hop| hop.client != unconnected);
    world.run(1_000 * MS);
    assert!(viewers.iter().all(|&viewer| world.clients[viewer].peer.is_connected()));
    let at = world.now;
    world.control(0, Control::Shutdown);
    world.run(10 * MS);
    assert!(world.nodes[0].worker.is_finished());
    for &viewer in &viewers {
        let client = &mut world.clients[viewer];
        assert_eq!(client.events.last(), Some(&PeerEvent::Closed), "a close alert reaches viewer {viewer}");
        let (audio, video) = (client.sources.audio, client.sources.video);
        assert_eq!(client.viewer().goodbyes, [audio, video], "BYE for both sources");
        assert_eq!(world.ended(viewer), Some(EndReason::ShuttingDown));
    }
    assert_eq!(world.clients[publisher].publisher().goodbyes, 1);
    assert!(world.now.since(at) <= Duration::from_secs(2));
}

#[test]
fn the_node_is_the_dtls_client_of_a_peer_that_is_passive() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening { node_role: DtlsRole::Client, ..Opening::publisher(0) });
    let viewer = world.join(&Opening { node_role: DtlsRole::Client, ..Opening::viewer(0) });
    world.clients[publisher].publisher().fragments = Some(2);
    world.run(500 * MS);
    assert!(world.clients[viewer].received(MediaKind::Video).len() > 30);
    let wrong = world.open(&Opening { node_role: DtlsRole::Client, wrong_fingerprint: true, ..Opening::viewer(0) });
    world.run(1_000 * MS);
    assert_eq!(world.ended(wrong), Some(EndReason::FingerprintMismatch));
    assert!(world.clients[wrong].viewer().received.is_empty());
}

#[test]
fn a_peer_that_closes_is_gone_at_once() {
    let mut world = World::new(1);
    let viewer = world.join(&Opening::viewer(0));
    let now = world.now;
    let client = &mut world.clients[viewer];
    client.peer.close(&mut client.out, now);
    world.run(5 * MS);
    assert_eq!(world.ended(viewer), Some(EndReason::PeerClosed));
}

#[test]
fn the_end_of_a_session_tells_what_it_carried() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(2);
    world.run(500 * MS);
    let [played, published] = [viewer, publisher].map(|client| {
        let report = world.session(client).unwrap();
        let session = world.clients[client].session;
        world.control(0, Control::Close { session, reason: EndReason::Left });
        world.run(5 * MS);
        let totals = world.totals(client).unwrap();
        assert_eq!(totals, Totals { received: report.received, sent: report.sent });
        totals
    });
    let media = world.clients[viewer].viewer().received.len() as u64;
    assert!(media > 30 && published.received.packets >= media && played.sent.packets >= media, "{media} packets");
}

/// A publisher and a viewer, so long after they joined that the node has given up its end of their DTLS associations.
fn long_after_joining() -> (World, usize, usize) {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(2);
    // What proves that the viewer has its keys.
    world.clients[viewer].request_key_frame();
    world.run(2 * limits::DTLS_ENGINE_KEPT + 1_000 * MS);
    (world, publisher, viewer)
}

#[test]
fn a_viewer_that_closes_long_after_it_joined_is_gone_sooner_than_a_silent_one() {
    let (mut world, publisher, viewer) = long_after_joining();
    let now = world.now;
    let client = &mut world.clients[viewer];
    client.peer.close(&mut client.out, now);
    world.run(limits::SESSION_DOUBT_MAX - 100 * MS);
    assert_eq!(world.ended(viewer), None, "nobody can read its close alert any more");
    world.run(200 * MS);
    assert_eq!(world.ended(viewer), Some(EndReason::TimedOut));
    assert_eq!(world.ended(publisher), None);
}

#[test]
fn dtls_records_from_a_living_peers_address_do_not_end_its_session() {
    let (mut world, _, viewer) = long_after_joining();
    // A protected alert of DTLS 1.2 (RFC 6347 §4.1), of which nothing is authentic.
    let mut alert = vec![21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 26];
    alert.resize(13 + 26, 0x5a);
    for _ in 0..40 {
        let address = world.clients[viewer].address;
        world.inject(0, address, &alert);
        world.run(500 * MS);
    }
    assert_eq!(world.ended(viewer), None);
    let (first, last) = (world.clients[viewer].received(MediaKind::Video), world.now);
    assert!(last.since(first.last().unwrap().at) < 100 * MS, "media flows");
}

#[test]
fn media_flows_through_an_ice_restart_and_both_credentials_work_until_the_new_nominate() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(1));
    world.clients[publisher].publisher().fragments = Some(4);
    world.run(500 * MS);
    for (client, worker) in [(publisher, 0), (viewer, 1)] {
        // The node has its new credentials; the client goes on with the old ones for a while.
        let session = world.clients[client].session;
        let fresh = |name: &str| corecast::description::IceCredentials {
            ufrag: corecast::placement::ufrag(corecast::worker::mailbox::WorkerIndex(worker as u16), name),
            password: format!("{name}-a-password-of-enough-length"),
        };
        let (node_ice, peer_ice) = (fresh("restarted1"), fresh("peerside01"));
        let message = Control::RestartIce { session, local_ice: node_ice.clone(), remote_ice: peer_ice.clone() };
        world.control(worker, message);
        let unknown = world.dropped(worker, "stun_unknown_user");
        world.run(6_000 * MS);
        assert_eq!(world.dropped(worker, "stun_unknown_user"), unknown, "old credentials still work");
        assert!(world.now.since(world.clients[client].peer_answered()) <= 2_600 * MS);

        let now = world.now;
        let before = world.clients[client].events.len();
        world.clients[client].peer.restart_ice(peer_ice, node_ice, now);
        world.run(10 * MS);
        assert!(matches!(world.clients[client].events[before..], [PeerEvent::PathValidated(_)]));
        world.run(3_000 * MS);
        assert_eq!(world.ended(client), None);
    }
    let received = world.clients[viewer].received(MediaKind::Video);
    assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1));
    assert!(received.windows(2).all(|pair| pair[1].at.since(pair[0].at) <= 40 * MS), "no pause");
}

#[test]
fn after_the_new_credentials_nominated_the_old_ones_are_forgotten() {
    let mut world = World::new(1);
    let viewer = world.join(&Opening::viewer(0));
    world.restart_ice(viewer, 1);
    world.run(10 * MS);
    // A second client with the old credentials of the first.
    let before = world.dropped(0, "stun_unknown_user");
    world.restart_ice(viewer, 2);
    world.run(10 * MS);
    assert_eq!(world.dropped(0, "stun_unknown_user"), before);
    let now = world.now;
    let old = corecast::description::IceCredentials {
        ufrag: corecast::placement::ufrag(corecast::worker::mailbox::WorkerIndex(0), &format!("node{viewer:05}g1")),
        password: "irrelevant-here-and-long-enough".to_owned(),
    };
    let local = world.clients[viewer].peer.local_ice().clone();
    world.clients[viewer].peer.restart_ice(local, old, now);
    world.run(40 * MS);
    assert_eq!(world.dropped(0, "stun_unknown_user"), before + 1);
}

#[test]
fn media_moves_to_a_new_address_after_a_nominating_check() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(1));
    world.clients[publisher].publisher().fragments = Some(4);
    world.run(500 * MS);
    let new = [SocketAddr::from(([100, 64, 0, 1], 1_111)), SocketAddr::from(([100, 64, 0, 2], 2_222))];

    // The viewer's address changes under it: what is sent to the old one is lost until it checks.
    let count = |world: &World| world.clients[viewer].received(MediaKind::Video).len();
    world.move_client(viewer, new[0], false);
    let before = count(&world);
    world.run(300 * MS);
    assert_eq!(count(&world), before);
    world.clients[viewer].viewer().nacks = true;
    world.move_client(viewer, new[0], true);
    let moved = world.now;
    world.run(400 * MS);
    let received = world.clients[viewer].received(MediaKind::Video);
    let resumed = received[before].at;
    assert!(resumed.since(moved) <= 40 * MS, "the next frame goes to the new address");
    assert!(world.clients[viewer].missing().is_empty(), "what was lost meanwhile is asked for again");

    // The publisher's: its media is refused until the new address is validated.
    world.move_client(publisher, new[1], false);
    world.run(100 * MS);
    assert!(world.dropped(0, "unknown_address") > 10);
    world.move_client(publisher, new[1], true);
    world.run(20 * MS);
    let refused = world.dropped(0, "unknown_address");
    world.run(1_000 * MS);
    assert_eq!(world.dropped(0, "unknown_address"), refused);
    assert!(world.clients[viewer].missing().is_empty(), "the uplink's gap was closed by NACK");
    let newest = world.clients[viewer].received(MediaKind::Video).last().unwrap().at;
    assert!(world.now.since(newest) <= 40 * MS);
    assert_eq!((world.moves(viewer), world.moves(publisher)), (1, 1), "signalling was told of each move once");

    // One that nominates two addresses in turn, ten times a second, is not told of as often.
    for round in 0..10 {
        world.move_client(viewer, SocketAddr::from(([100, 64, 0, 3], 3_000 + round % 2)), true);
        world.run(100 * MS);
    }
    let moves = world.moves(viewer);
    assert!((2..=3).contains(&moves), "{moves}");
}

#[test]
fn a_publisher_that_was_silent_for_two_seconds_yields_and_one_that_sends_does_not() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(3);
    let viewer = world.join(&Opening::viewer(0));
    world.run(Duration::from_secs(3));
    let session = world.clients[publisher].session;
    let yields = |world: &mut World| {
        let (reply, ends) = flume::bounded(1);
        let silence = limits::PUBLISHER_SILENCE_MAX;
        world.control(0, Control::CloseIfSilent { session, silence, reason: EndReason::Replaced, reply });
        ends.try_recv().expect("the worker answers at once")
    };
    assert!(!yields(&mut world), "it sends");
    // Killed: not even a close alert comes.
    world.filter = Box::new(move |hop| hop.client != publisher || hop.to_client);
    world.run(Duration::from_millis(1_900));
    assert!(!yields(&mut world), "for less than two seconds");
    world.run(Duration::from_millis(200));
    assert!(yields(&mut world));
    let is_end = |notice: &&Notice| matches!(notice, Notice::Ended { reason: EndReason::Replaced, .. });
    assert_eq!(world.noticed.iter().filter(is_end).count(), 1);
    assert!(yields(&mut world), "it is gone already");
    assert_eq!(world.noticed.iter().filter(is_end).count(), 1, "and is not told of twice");
    // The viewer is still there, and the next one plays on.
    let second = world.join(&Opening { first: (5, 42), ..Opening::publisher(0) });
    world.clients[second].publisher().fragments = Some(3);
    let before = world.clients[viewer].received(MediaKind::Video).len();
    world.run(Duration::from_secs(1));
    let all = world.clients[viewer].received(MediaKind::Video);
    assert!(all.len() > before + 30, "{} after {before}", all.len());
    assert!(all.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "no hole in its numbers");
}

#[test]
fn a_report_of_many_sessions_is_made_in_several_rounds_and_all_who_ask_get_it() {
    let mut world = World::new(1);
    let sessions = 3 * limits::REPORT_SESSIONS_PER_ROUND;
    for number in 0..sessions as u64 {
        world.open_for_nobody(number).unwrap();
    }
    let (reply, answer) = flume::bounded(1);
    let (second_reply, second_answer) = flume::bounded(1);
    world.control(0, Control::Report(reply));
    assert!(answer.is_empty(), "the first round did all of it");
    assert!(world.nodes[0].worker.next_deadline(world.now) <= world.now, "the next round is due at once");
    world.control(0, Control::Report(second_reply));
    assert!(answer.is_empty());
    world.settle();
    for answer in [answer, second_answer] {
        assert_eq!(answer.try_recv().unwrap().sessions.len(), sessions);
    }
}

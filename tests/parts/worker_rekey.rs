//! A session's keys change: it has two transports for a while, and stays one session. Through production workers.

use std::time::Duration;

use crate::worker_support::{Client, MS, Opening, Packet, World};
use corecast::data::channels::ChannelEvent;
use corecast::description::{Direction, MediaKind};
use corecast::limits;
use corecast::wire::demux::{self, DatagramKind};
use corecast::worker::KeyPolicy;
use corecast::worker::mailbox::{Control, EndReason, Notice, RekeyRefused, Rekeyed, Totals};

/// Lets a client close its end.
fn close(world: &mut World, client: usize) {
    let now = world.now;
    let Client { peer, out, .. } = &mut world.clients[client];
    peer.close(out, now);
    world.settle();
}

/// The client says that it uses its second transport.
fn switched(world: &mut World, client: usize) {
    let (worker, session) = (world.clients[client].worker, world.clients[client].session);
    world.control(worker, Control::Switched { session });
}

/// A publisher that has been playing for a second, and a viewer on a worker.
fn playing(worker: usize) -> (World, usize, usize) {
    playing_in(World::new(2), worker)
}

fn playing_in(mut world: World, worker: usize) -> (World, usize, usize) {
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(4);
    let viewer = world.join(&Opening::viewer(worker));
    world.run(1_000 * MS);
    (world, publisher, viewer)
}

/// A second client with the session of the first, connected.
fn second(world: &mut World, client: usize) -> usize {
    let first = &world.clients[client];
    let opening = Opening {
        direction: first.direction,
        // Another connection numbers from elsewhere.
        first: (40_000, 2_222_222_222),
        ..Opening::publisher(first.worker)
    };
    let new = world.rekey(client, &opening).expect("it may");
    for _ in 0..100 {
        world.run(5 * MS);
        if world.clients[new].peer.is_connected() {
            return new;
        }
    }
    panic!("it did not connect: {:?}", world.clients[new].events);
}

#[track_caller]
fn assert_unbroken(packets: &[Packet]) {
    assert!(packets.len() > 10, "{}", packets.len());
    assert!(packets.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "numbers are one run");
    let back = packets.windows(2).find(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) > u32::MAX / 2);
    assert_eq!(back, None, "time never goes back");
}

/// Media that reached a client after `since`.
fn media_since(world: &World, client: usize, since: corecast::time::Timestamp) -> usize {
    let is_media = |bytes: &[u8]| matches!(demux::classify(bytes), DatagramKind::Rtp | DatagramKind::Rtcp);
    let datagrams = world.clients[client].datagrams.iter();
    datagrams.filter(|(at, bytes)| *at > since && is_media(bytes)).count()
}

#[test]
fn a_viewers_transports_both_play_until_it_says_that_it_has_switched_and_they_are_one_session() {
    for worker in [0, 1] {
        let (mut world, publisher, old) = playing(worker);
        let asked = world.clients[publisher].publisher().key_frame_requests.len();
        world.clients[old].keeps_datagrams = true;
        let new = second(&mut world, old);
        world.run(1_000 * MS);
        let report = world.report(worker);
        let session = world.session(old).unwrap();
        assert_eq!(report.sessions.len(), 2 - worker, "one session, two transports");
        assert_eq!(report.streams[0].viewers, 1);
        assert_eq!((report.joins, report.connected), (2 - worker as u64, 2 - worker as u64), "nobody has joined");
        assert!(session.rekeying && session.key_age_s >= 2, "{session:?}");
        for client in [old, new] {
            assert_unbroken(&world.clients[client].received(MediaKind::Video));
            assert_unbroken(&world.clients[client].received(MediaKind::Audio));
        }
        let first = &world.clients[new].received(MediaKind::Video)[0];
        assert_eq!(first.payload[0] & 0x1f, 24, "it begins with the parameter sets of the ring's key frame");
        let last =
            |client: usize| world.clients[client].received(MediaKind::Video).last().map(|packet| packet.timestamp);
        assert_eq!(last(old), last(new), "the viewer can tell which of two pictures is the later one");
        assert_eq!(world.clients[publisher].publisher().key_frame_requests.len(), asked, "nobody asks for another one");

        switched(&mut world, old);
        let at = world.now;
        world.run(2_000 * MS);
        assert_eq!(world.rekeyed(old), [Rekeyed::Switched]);
        assert_eq!(world.ended(old), None);
        assert!(media_since(&world, old, at + 2 * MS) == 0, "nothing is sealed under the old keys");
        assert!(world.clients[old].viewer().goodbyes.is_empty(), "nobody has left");
        assert_unbroken(&world.clients[new].received(MediaKind::Video));
        let session = world.session(old).unwrap();
        assert_eq!((session.rekeys, session.rekeying, session.key_age_s), (1, false, 3), "{session:?}");
        let report = world.report(worker);
        assert_eq!((report.rekeys["switched"], report.streams[0].viewers), (1, 1));
        assert_eq!(report.ended.values().sum::<u64>(), 0);

        let sent = |client: usize| world.clients[client].viewer_packets();
        let carried = sent(old) + sent(new);
        world.delete(new);
        let Totals { sent, .. } = world.totals(old).unwrap();
        assert!(sent.packets >= carried, "{sent:?} is what both transports carried: {carried}");
        assert!(world.report(worker).sessions.iter().all(|session| session.direction == "publish"));
        let holdings = world.nodes[worker].worker.holdings();
        assert_eq!((holdings.sessions, holdings.viewers), (1 - worker, 0), "{holdings:?}");
        assert_eq!((holdings.session_names, holdings.user_fragments), (1 - worker, 1 - worker), "{holdings:?}");
    }
}

#[test]
fn the_old_transport_ends_by_itself_where_the_client_does_not_say_that_it_has_switched() {
    let (mut world, _, old) = playing(1);
    let new = second(&mut world, old);
    let connected = world.now;
    world.run(limits::EPOCH_OVERLAP_MAX - 100 * MS);
    assert_eq!(world.rekeyed(old), []);
    world.run(200 * MS);
    assert_eq!(world.rekeyed(old), [Rekeyed::OverlapOver]);
    world.clients[old].keeps_datagrams = true;
    world.run(1_000 * MS);
    assert_eq!(media_since(&world, old, connected + limits::EPOCH_OVERLAP_MAX + 5 * MS), 0);
    assert_unbroken(&world.clients[new].received(MediaKind::Video));
    assert_eq!(world.ended(old), None);
    // A word that comes late means nothing.
    switched(&mut world, old);
    world.run(1_000 * MS);
    assert_eq!((world.rekeyed(old).len(), world.ended(old)), (1, None));
}

#[test]
fn a_transport_that_never_connects_costs_the_session_nothing_and_it_may_try_again() {
    let (mut world, _, old) = playing(1);
    let silent = world.clients.len();
    world.filter = Box::new(move |hop| hop.client != silent);
    world.rekey(old, &Opening::viewer(1)).unwrap();
    world.run(limits::SESSION_SETUP_MAX - 1_000 * MS);
    assert_eq!(world.rekey(old, &Opening::viewer(1)), Err(RekeyRefused::UnderWay));
    switched(&mut world, old);
    assert_eq!(world.rekeyed(old), [], "what is not connected is not switched to");
    world.run(1_200 * MS);
    assert_eq!(world.rekeyed(old), [Rekeyed::NeverConnected]);
    assert_eq!(world.report(1).ended.values().sum::<u64>(), 0);
    assert_eq!(world.report(1).handshakes, 0, "its place is given back");
    let wrong = world.rekey(old, &Opening { wrong_fingerprint: true, ..Opening::viewer(1) }).unwrap();
    world.run(3_000 * MS + limits::DTLS_DOUBT_MAX);
    assert!(!world.clients[wrong].peer.is_connected());
    assert_eq!(world.rekeyed(old), [Rekeyed::NeverConnected, Rekeyed::DtlsFailed]);
    assert_unbroken(&world.clients[old].received(MediaKind::Video));
    let new = second(&mut world, old);
    switched(&mut world, old);
    world.run(500 * MS);
    assert_unbroken(&world.clients[new].received(MediaKind::Video));
    assert_eq!(world.session(old).unwrap().rekeys, 1);
}

#[test]
fn whichever_transport_its_client_closes_the_session_goes_on_with_the_other() {
    let (mut world, _, old) = playing(1);
    let new = second(&mut world, old);
    world.run(200 * MS);
    close(&mut world, old);
    world.run(500 * MS);
    assert_eq!(world.rekeyed(old), [Rekeyed::OldEnded], "it has the new one");
    assert_unbroken(&world.clients[new].received(MediaKind::Video));
    let newer = second(&mut world, new);
    world.run(200 * MS);
    close(&mut world, newer);
    world.run(500 * MS);
    assert_eq!(world.rekeyed(old), [Rekeyed::OldEnded, Rekeyed::Abandoned], "it goes on with that one");
    assert_unbroken(&world.clients[new].received(MediaKind::Video));
    assert_eq!(world.ended(old), None);
    close(&mut world, new);
    world.run(500 * MS);
    assert_eq!(world.ended(old), Some(EndReason::PeerClosed), "now nothing is left");
}

#[test]
fn a_session_that_ends_meanwhile_ends_once_with_both_transports() {
    for direction in [Direction::Play, Direction::Publish] {
        let (mut world, publisher, viewer) = playing(0);
        let client = if direction == Direction::Play { viewer } else { publisher };
        second(&mut world, client);
        world.run(200 * MS);
        world.delete(client);
        world.run(200 * MS);
        assert_eq!(world.ended(client), Some(EndReason::Left));
        let session = world.clients[client].session;
        let ends =
            world.noticed.iter().filter(|notice| matches!(notice, Notice::Ended { session: of, .. } if *of == session));
        assert_eq!(ends.count(), 1);
        assert_eq!(world.rekeyed(client), [Rekeyed::SessionEnded]);
        let holdings = world.nodes[0].worker.holdings();
        assert_eq!((holdings.sessions, holdings.session_names, holdings.user_fragments), (1, 1, 1), "{holdings:?}");
    }
}

#[test]
fn sessions_that_join_come_before_those_that_change_their_keys() {
    let (mut world, _, viewer) = playing(0);
    for number in 0..limits::REKEY_HANDSHAKES_MAX as u64 {
        world.open_for_nobody(number).unwrap();
    }
    assert_eq!(world.rekey(viewer, &Opening::viewer(0)), Err(RekeyRefused::Busy));
    assert_eq!(world.report(0).rekeys["refused"], 1);
    world.open_for_nobody(1 << 20).expect("a join is served");
    world.run(limits::SESSION_SETUP_MAX + 100 * MS);
    second(&mut world, viewer);
}

#[test]
fn a_publishers_stream_goes_over_with_the_new_transports_key_frame_on_one_timeline() {
    for worker in [0, 1] {
        let (mut world, old, viewer) = playing(worker);
        let new = second(&mut world, old);
        world.clients[new].publisher().fragments = Some(4);
        world.run(1_000 * MS);
        assert!(!world.clients[new].publisher().published.is_empty());
        let asked = world.clients[new].publisher().key_frame_requests.len();
        assert_eq!(asked, 0, "its first frame is a key frame");
        switched(&mut world, old);
        let at = world.now;
        world.clients[old].publisher().fragments = None;
        world.run(1_000 * MS);
        assert_eq!(world.rekeyed(old), [Rekeyed::Switched]);
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let received = world.clients[viewer].received(kind);
            assert_unbroken(&received);
            assert!(received.last().unwrap().at > at + 900 * MS, "the new one's is played");
            let gap = received.windows(2).map(|pair| pair[1].at.since(pair[0].at)).max().unwrap();
            assert!(gap <= Duration::from_millis(45), "{kind:?}: {gap:?}");
        }
        assert_eq!(world.ended(old), None);
        assert!(world.clients[viewer].viewer().goodbyes.is_empty());
        let report = world.report(0);
        assert_eq!(report.streams[0].encodings[1].lost, 0);
        assert!(report.streams[0].origin);
        let reports = world.clients[viewer].viewer().reports.iter().filter(|report| report.at > at).count();
        assert!(reports > 0, "sender reports go on");
    }
}

#[test]
fn a_publishers_transport_without_a_key_frame_is_given_up_and_the_old_one_was_never_interrupted() {
    let (mut world, old, viewer) = playing(1);
    let new = second(&mut world, old);
    world.run(limits::EPOCH_OVERLAP_MAX + 100 * MS);
    assert_eq!(world.rekeyed(old), [Rekeyed::NoKeyFrame]);
    world.run(500 * MS);
    assert_unbroken(&world.clients[viewer].received(MediaKind::Video));
    assert!(world.clients[viewer].received(MediaKind::Video).last().unwrap().at.since(world.now) < 50 * MS);
    assert_eq!(world.ended(old), None);
    assert!(world.clients[new].publisher().published.is_empty());
}

#[test]
fn a_publishers_new_transport_that_fails_after_it_took_over_gives_the_stream_back_with_a_key_frame() {
    for worker in [0, 1] {
        let (mut world, old, viewer) = playing(worker);
        let new = second(&mut world, old);
        world.clients[new].publisher().fragments = Some(4);
        world.run(500 * MS);
        let asked = world.clients[old].publisher().key_frame_requests.len();
        world.clients[new].publisher().fragments = None;
        close(&mut world, new);
        let at = world.now;
        world.run(1_000 * MS);
        assert_eq!(world.rekeyed(old), [Rekeyed::Abandoned]);
        assert!(world.clients[old].publisher().key_frame_requests.len() > asked);
        let received = world.clients[viewer].received(MediaKind::Video);
        assert_unbroken(&received);
        let after: Vec<_> = received.iter().filter(|packet| packet.at > at + 5 * MS).collect();
        assert!(after.len() > 50, "{}", after.len());
        assert_eq!(after[0].payload[0] & 0x1f, 24, "it goes on with parameter sets and a key frame");
        // The next try is taken as if there had been none.
        let newer = second(&mut world, old);
        world.clients[newer].publisher().fragments = Some(4);
        world.run(500 * MS);
        switched(&mut world, old);
        world.clients[old].publisher().fragments = None;
        let at = world.now;
        world.run(500 * MS);
        let received = world.clients[viewer].received(MediaKind::Video);
        assert_unbroken(&received);
        assert!(received.last().unwrap().at > at + 400 * MS);
    }
}

#[test]
fn channels_of_a_viewer_and_of_a_publisher_come_back_on_the_new_transport() {
    let mut world = World::new(1);
    let data = |opening: Opening| Opening { data: true, ..opening };
    let publisher = world.join(&data(Opening::publisher(0)));
    let viewer = world.join(&data(Opening::viewer(0)));
    world.clients[publisher].publisher().fragments = Some(2);
    world.run(500 * MS);
    for client in [viewer, publisher] {
        let opening = Opening { direction: world.clients[client].direction, ..data(Opening::publisher(0)) };
        let new = world.rekey(client, &opening).unwrap();
        world.run(300 * MS);
        assert!(world.clients[new].peer.is_connected());
        if world.clients[new].direction == Direction::Publish {
            world.clients[new].publisher().fragments = Some(2);
            world.run(300 * MS);
        }
        switched(&mut world, client);
        // SCTP repeats an INIT that was not answered after three seconds.
        world.run(5_000 * MS);
        let channels = world.clients[new].channels().expect("they were agreed on");
        let events: Vec<_> = std::iter::from_fn(|| channels.poll_event()).collect();
        assert!(events.iter().any(|event| matches!(event, ChannelEvent::Connected)), "{client}: {events:?}");
        assert_eq!(world.ended(client), None);
    }
}

/// When a client was to be asked for other keys, in seconds since `since`, and whether for the first time.
fn asked(world: &mut World, client: usize, seconds: u64) -> Vec<(u64, bool)> {
    let (session, mut asked) = (world.clients[client].session, Vec::new());
    for second in 0..seconds {
        let before = world.noticed.len();
        world.run(1_000 * MS);
        asked.extend(world.noticed[before..].iter().filter_map(|notice| match notice {
            Notice::KeysDue { session: of, is_first } if *of == session => Some((second, *is_first)),
            _ => None,
        }));
    }
    asked
}

#[test]
fn a_client_whose_keys_are_old_is_asked_again_ever_more_rarely_until_it_changes_them() {
    let lifetime = Some(Duration::from_secs(60));
    let (mut world, publisher, viewer) =
        playing_in(World::with_keys(2, KeyPolicy { lifetime, ..KeyPolicy::default() }), 1);
    world.clients[publisher].publisher().fragments = None;
    let times = asked(&mut world, viewer, 200);
    let [(first, true), (again, false), (later, false)] = times[..] else { panic!("{times:?}") };
    assert!((52..66).contains(&first), "a tenth more or less: {times:?}");
    assert!((29..32).contains(&(again - first)) && (59..62).contains(&(later - again)), "{times:?}");
    assert_eq!(world.ended(viewer), None, "it plays on");
    let new = second(&mut world, viewer);
    switched(&mut world, viewer);
    let times = asked(&mut world, viewer, 66);
    assert!(matches!(times[..], [(52..66, true)]), "the new ones are young: {times:?}");
    assert_eq!(world.ended(new), None);
}

#[test]
fn who_joins_comes_before_who_is_asked_for_other_keys() {
    let lifetime = Some(Duration::from_secs(60));
    let (mut world, _, viewer) = playing_in(World::with_keys(2, KeyPolicy { lifetime, ..KeyPolicy::default() }), 0);
    world.run(Duration::from_secs(50));
    for number in 0..limits::REKEY_HANDSHAKES_MAX as u64 {
        world.open_for_nobody(number).unwrap();
    }
    let times = asked(&mut world, viewer, 30);
    let waited = limits::SESSION_SETUP_MAX.as_secs();
    assert!(matches!(times[..], [(at, true)] if at >= waited - 1), "not before those are gone: {times:?}");
}

#[test]
fn no_more_packets_are_sent_under_a_key_than_may_be() {
    let packets_max = 4_000;
    let (mut world, publisher, viewer) =
        playing_in(World::with_keys(2, KeyPolicy { packets_max, ..KeyPolicy::default() }), 1);
    let times = asked(&mut world, viewer, 60);
    assert!(matches!(times[..], [(_, true), ..]), "{times:?}");
    assert_eq!(world.ended(viewer), Some(EndReason::KeysUsedUp));
    assert_eq!(world.ended(publisher), Some(EndReason::KeysUsedUp), "what it seals counts too");
    let sent = world.totals(viewer).unwrap().sent.packets;
    // Reports count too, and it is looked at every second or so.
    assert!((packets_max * 9 / 10..packets_max * 5 / 4).contains(&sent), "{sent}");
}

#[test]
fn a_session_whose_keys_are_used_up_goes_on_with_those_that_it_has_changed_to() {
    let packets_max = 4_000;
    let (mut world, publisher, viewer) =
        playing_in(World::with_keys(2, KeyPolicy { packets_max, ..KeyPolicy::default() }), 1);
    while asked(&mut world, viewer, 1).is_empty() {}
    // The publisher has changed its own before.
    let newer = second(&mut world, publisher);
    world.clients[newer].publisher().fragments = Some(4);
    world.run(200 * MS);
    switched(&mut world, publisher);
    let new = second(&mut world, viewer);
    for _ in 0..limits::EPOCH_OVERLAP_MAX.as_secs() - 1 {
        world.run(1_000 * MS);
        if !world.rekeyed(viewer).is_empty() {
            break;
        }
    }
    assert_eq!(world.rekeyed(viewer), [Rekeyed::OldEnded]);
    assert_eq!(world.ended(viewer), None);
    assert_eq!(world.ended(publisher), None);
    assert_unbroken(&world.clients[new].received(MediaKind::Video));
}

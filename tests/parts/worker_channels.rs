//! Data channels through whole workers: a publisher's are mirrored to viewers on its own and on other workers, late ones get
//! what is retained, slow ones lag alone, and what is too much is refused and counted.

use std::time::Duration;

use corecast::data::channels::ChannelEvent;
use corecast::data::dcep::{ChannelTerms, Delivery, Reliability};
use corecast::data::{MessageKind, RETAIN};
use corecast::description::DtlsRole;
use corecast::limits;
use corecast::wire::demux::{self, DatagramKind};
use corecast::worker::mailbox::{Control, StreamId};

use crate::worker_support::{MS, Opening, World};

const RELIABLE: Delivery = Delivery { ordered: true, reliability: Reliability::Reliable };
const FAST: Delivery = Delivery { ordered: false, reliability: Reliability::Retransmits(0) };

fn terms(label: &str, protocol: &str, delivery: Delivery) -> ChannelTerms {
    ChannelTerms { label: label.to_owned(), protocol: protocol.to_owned(), delivery }
}

fn publisher(worker: usize) -> Opening {
    Opening { data: true, ..Opening::publisher(worker) }
}

fn viewer(worker: usize) -> Opening {
    Opening { data: true, ..Opening::viewer(worker) }
}

/// A publisher with these channels, and their streams.
fn publish(world: &mut World, opening: &Opening, channels: &[ChannelTerms]) -> (usize, Vec<u16>) {
    let publisher = world.join(opening);
    world.run(100 * MS);
    let now = world.now;
    let streams = channels
        .iter()
        .map(|terms| world.clients[publisher].channels().unwrap().open(terms, now).expect("a free stream"));
    let streams = streams.collect();
    send_now(world, publisher);
    world.run(100 * MS);
    (publisher, streams)
}

fn send_now(world: &mut World, client: usize) {
    let now = world.now;
    world.clients[client].serve_data(now);
}

fn say(world: &mut World, client: usize, stream: u16, payload: &[u8]) {
    let now = world.now;
    let channels = world.clients[client].channels().unwrap();
    assert!(channels.send(stream, MessageKind::Binary, payload, None, now));
    send_now(world, client);
}

/// What happened to a client's channels since the last call.
fn events(world: &mut World, client: usize) -> Vec<ChannelEvent> {
    let channels = world.clients[client].channels().unwrap();
    std::iter::from_fn(|| channels.poll_event()).collect()
}

fn opened(events: &[ChannelEvent]) -> Vec<(u16, ChannelTerms)> {
    let opened = events.iter().filter_map(|event| match event {
        ChannelEvent::Opened { stream, terms } => Some((*stream, terms.clone())),
        _ => None,
    });
    opened.collect()
}

fn messages(events: &[ChannelEvent]) -> Vec<(u16, Vec<u8>)> {
    let messages = events.iter().filter_map(|event| match event {
        ChannelEvent::Message { stream, payload, .. } => Some((*stream, payload.clone())),
        _ => None,
    });
    messages.collect()
}

#[test]
fn channels_are_mirrored_to_viewers_of_every_worker_with_their_terms_and_messages() {
    for node_role in [DtlsRole::Server, DtlsRole::Client] {
        let mut world = World::new(2);
        let before = world.join(&Opening { node_role, ..viewer(0) });
        let elsewhere = world.join(&Opening { node_role, ..viewer(1) });
        let without = world.join(&Opening::viewer(0));
        let all = [terms("chat", "a", RELIABLE), terms("cursor", "", FAST)];
        let (publisher, streams) = publish(&mut world, &Opening { node_role, ..publisher(0) }, &all);
        say(&mut world, publisher, streams[0], b"to all");
        say(&mut world, publisher, streams[1], &[7; 9_000]);
        world.run(200 * MS);
        for viewer in [before, elsewhere] {
            let events = events(&mut world, viewer);
            let first = u16::from(node_role == DtlsRole::Server);
            assert_eq!(opened(&events), [(first, all[0].clone()), (first + 2, all[1].clone())]);
            let mut messages = messages(&events);
            messages.sort();
            assert_eq!(messages, [(first, b"to all".to_vec()), (first + 2, vec![7; 9_000])]);
        }
        assert!(world.clients[without].channels().is_none());
        // The publisher closes one; its viewers lose that one.
        let now = world.now;
        world.clients[publisher].channels().unwrap().close(streams[0], now);
        send_now(&mut world, publisher);
        world.run(500 * MS);
        for viewer in [before, elsewhere] {
            assert_eq!(events(&mut world, viewer), [ChannelEvent::Closed(u16::from(node_role == DtlsRole::Server))]);
        }
        // It leaves.
        world.delete(publisher);
        world.run(500 * MS);
        for viewer in [before, elsewhere] {
            let closed = events(&mut world, viewer);
            assert!(matches!(closed[..], [ChannelEvent::Closed(_)]), "{closed:?}");
        }
    }
}

#[test]
fn who_comes_late_gets_nothing_but_what_is_retained() {
    let mut world = World::new(2);
    let all = [terms("chat", "", RELIABLE), terms("poll", RETAIN, RELIABLE)];
    let (publisher, streams) = publish(&mut world, &publisher(0), &all);
    for stream in &streams {
        say(&mut world, publisher, *stream, b"before");
        say(&mut world, publisher, *stream, b"last");
    }
    world.run(60_000 * MS);
    for worker in [0, 1] {
        let late = world.join(&viewer(worker));
        world.run(200 * MS);
        let events = events(&mut world, late);
        assert_eq!(opened(&events).len(), 2);
        assert_eq!(messages(&events), [(3, b"last".to_vec())], "on worker {worker}");
    }
}

#[test]
fn another_publisher_closes_the_channels_of_the_one_before_it_on_every_worker() {
    let mut world = World::new(2);
    let viewers = [world.join(&viewer(0)), world.join(&viewer(1))];
    let (first, _) = publish(&mut world, &publisher(0), &[terms("first", "", RELIABLE)]);
    world.delete(first);
    let (second, streams) = publish(&mut world, &publisher(1), &[terms("second", "", RELIABLE)]);
    say(&mut world, second, streams[0], b"hello");
    world.run(500 * MS);
    for viewer in viewers {
        let events = events(&mut world, viewer);
        let labels: Vec<String> = opened(&events).into_iter().map(|(_, terms)| terms.label).collect();
        assert_eq!(labels, ["first", "second"]);
        let closed = events.iter().filter(|event| matches!(event, ChannelEvent::Closed(_))).count();
        assert_eq!((closed, messages(&events).len()), (1, 1));
    }
}

#[test]
fn with_one_packet_in_twenty_lost_reliable_is_complete_and_unreliable_does_not_wait() {
    let mut world = World::new(1);
    let viewer = world.join(&viewer(0));
    let all = [terms("chat", "", RELIABLE), terms("cursor", "", FAST)];
    let (publisher, streams) = publish(&mut world, &publisher(0), &all);
    world.filter = Box::new(|hop| !(hop.number % 19 == 7 && demux::classify(hop.bytes) == DatagramKind::Dtls));
    let mut gaps = Vec::new();
    let mut received = Vec::new();
    for round in 0..500_u32 {
        for stream in &streams {
            say(&mut world, publisher, *stream, &round.to_be_bytes());
        }
        world.run(20 * MS);
        let new = messages(&events(&mut world, viewer));
        gaps.push(new.iter().filter(|(stream, _)| *stream == 3).count());
        received.extend(new);
    }
    world.run(5_000 * MS);
    received.extend(messages(&events(&mut world, viewer)));
    let of = |stream| received.iter().filter(move |(of, _)| *of == stream).map(|(_, payload)| payload.clone());
    assert!(of(1).eq((0..500_u32).map(|round| round.to_be_bytes().to_vec())), "complete and in order");
    let arrived = of(3).count();
    assert!((350..500).contains(&arrived), "{arrived}");
    // Where one is lost the next one comes in its own time.
    let longest = gaps.split(|count| *count > 0).map(<[usize]>::len).max();
    assert!(longest <= Some(3), "{longest:?} rounds without one");
}

#[test]
fn a_stalled_viewer_lags_alone_loses_its_reliable_channel_and_gets_a_new_one_when_it_is_back() {
    let mut world = World::new(1);
    let (stalled, prompt) = (world.join(&viewer(0)), world.join(&viewer(0)));
    let all = [terms("chat", "", RELIABLE), terms("cursor", "", FAST)];
    let (publisher, streams) = publish(&mut world, &publisher(0), &all);
    events(&mut world, stalled);
    let is_stalled = std::rc::Rc::new(std::cell::Cell::new(true));
    let stalls = std::rc::Rc::clone(&is_stalled);
    // Its SCTP goes nowhere; its consent checks do.
    world.filter = Box::new(move |hop| {
        !(stalls.get() && hop.client == stalled && demux::classify(hop.bytes) == DatagramKind::Dtls)
    });
    let mut got = 0;
    for _ in 0..300 {
        for stream in &streams {
            say(&mut world, publisher, *stream, &[1; 1_000]);
        }
        world.run(20 * MS);
        got += messages(&events(&mut world, prompt)).len();
    }
    assert_eq!(got, 600, "nobody else waits");
    assert_eq!(world.dropped(0, "data_channel_lagged"), 1);
    assert!(world.dropped(0, "data_viewer_behind") > 200);
    is_stalled.set(false);
    world.run(15_000 * MS);
    let back = events(&mut world, stalled);
    assert!(back.contains(&ChannelEvent::Closed(1)), "it is told that it missed something");
    assert_eq!(opened(&back).into_iter().map(|(_, terms)| terms).collect::<Vec<_>>(), [all[0].clone()]);
    say(&mut world, publisher, streams[0], b"after");
    world.run(200 * MS);
    let after = messages(&events(&mut world, stalled));
    assert!(after.iter().any(|(_, payload)| payload == b"after"), "{}", after.len());
}

#[test]
fn what_a_publisher_sends_too_much_of_is_refused_and_counted() {
    let mut world = World::new(1);
    let viewer = world.join(&viewer(0));
    let all: Vec<_> = (0..=limits::DATA_CHANNELS_MAX).map(|n| terms(&n.to_string(), "", RELIABLE)).collect();
    let (publisher, streams) = publish(&mut world, &publisher(0), &all);
    assert_eq!(opened(&events(&mut world, viewer)).len(), limits::DATA_CHANNELS_MAX);
    assert_eq!(world.dropped(0, "data_channels_full"), 1);
    assert!(events(&mut world, publisher).contains(&ChannelEvent::Closed(streams[limits::DATA_CHANNELS_MAX])));
    // As many as may be at once, and one more; the longest, and one byte more.
    for _ in 0..=limits::DATA_MESSAGES_PER_SECOND {
        say(&mut world, publisher, streams[0], b"x");
    }
    say(&mut world, publisher, streams[1], &vec![2; limits::DATA_MESSAGE_BYTES_MAX]);
    say(&mut world, publisher, streams[2], &vec![3; limits::DATA_MESSAGE_BYTES_MAX + 1]);
    world.run(900 * MS);
    let received = messages(&events(&mut world, viewer));
    assert_eq!(received.len() as u32, limits::DATA_MESSAGES_PER_SECOND + 1);
    assert_eq!(received.iter().map(|(_, payload)| payload.len()).max(), Some(limits::DATA_MESSAGE_BYTES_MAX));
    assert_eq!(world.dropped(0, "data_messages_over_rate"), 1);
    assert_eq!(world.dropped(0, "data_message_too_long"), 1);
}

#[test]
fn what_a_viewer_sends_goes_nowhere_and_is_counted_and_a_flood_of_it_is_cut() {
    let mut world = World::new(1);
    let (publisher, _) = publish(&mut world, &publisher(0), &[terms("chat", "", RELIABLE)]);
    let viewer = world.join(&viewer(0));
    world.run(200 * MS);
    let now = world.now;
    let own = world.clients[viewer].channels().unwrap().open(&terms("mine", "", FAST), now).unwrap();
    send_now(&mut world, viewer);
    world.run(100 * MS);
    assert!(events(&mut world, viewer).contains(&ChannelEvent::Acknowledged(own)), "it is acknowledged");
    say(&mut world, viewer, own, b"hello?");
    world.run(100 * MS);
    assert_eq!(world.dropped(0, "data_from_viewer"), 1);
    for _ in 0..1_000 {
        say(&mut world, viewer, own, b"flood");
    }
    world.run(500 * MS);
    assert!(world.dropped(0, "data_from_viewer") <= u64::from(limits::DATA_VIEWER_CHUNKS_BURST) + 20);
    assert!(world.dropped(0, "data_packets_over_rate") > 0);
    assert!(messages(&events(&mut world, publisher)).is_empty());
    assert_eq!(world.ended(viewer), None);
}

#[test]
fn what_a_viewer_may_say_reaches_the_publisher_and_nobody_else_from_every_worker() {
    let mut world = World::new(2);
    let speaks = |worker| Opening { may_speak: true, ..viewer(worker) };
    let viewers = [world.join(&speaks(0)), world.join(&speaks(1))];
    let hears = world.join(&viewer(0));
    let (publisher, streams) = publish(&mut world, &publisher(0), &[terms("a", "", FAST), terms("poll", "", RELIABLE)]);
    for (at, viewer) in viewers.into_iter().enumerate() {
        let mirrored = opened(&events(&mut world, viewer));
        let (stream, _) = mirrored.iter().find(|(_, terms)| terms.label == "poll").unwrap();
        say(&mut world, viewer, *stream, &[at as u8; 5]);
        // Not of the publisher's: its own channel, and one too long.
        let now = world.now;
        let own = world.clients[viewer].channels().unwrap().open(&terms("own", "", RELIABLE), now).unwrap();
        say(&mut world, viewer, own, b"to nobody");
        say(&mut world, viewer, *stream, &[9; limits::DATA_BACK_MESSAGE_BYTES_MAX + 1]);
    }
    // The third may not.
    say(&mut world, hears, 3, b"let me");
    world.run(300 * MS);
    let mut heard = messages(&events(&mut world, publisher));
    heard.sort();
    assert_eq!(heard, [(streams[1], vec![0; 5]), (streams[1], vec![1; 5])]);
    assert!(messages(&events(&mut world, hears)).is_empty());
    assert_eq!(world.dropped(0, "data_from_viewer") + world.dropped(1, "data_from_viewer"), 3);
    assert_eq!(world.dropped(0, "data_message_too_long") + world.dropped(1, "data_message_too_long"), 2);
}

#[test]
fn what_viewers_say_is_bounded_for_each_and_for_their_publisher() {
    let mut world = World::new(1);
    let speaker = world.join(&Opening { may_speak: true, ..viewer(0) });
    let (publisher, _) = publish(&mut world, &publisher(0), &[terms("poll", "", RELIABLE)]);
    events(&mut world, speaker);
    for _ in 0..20 {
        say(&mut world, speaker, 1, b"x");
    }
    world.run(100 * MS);
    assert_eq!(messages(&events(&mut world, publisher)).len() as u32, limits::DATA_BACK_VIEWER_BURST);
    assert_eq!(world.dropped(0, "data_messages_over_rate"), 20 - u64::from(limits::DATA_BACK_VIEWER_BURST));
    world.run(1_000 * MS);
    say(&mut world, speaker, 1, b"again");
    world.run(100 * MS);
    assert_eq!(messages(&events(&mut world, publisher)).len(), 1);
    // A publisher that takes nothing is sent no more than it may have waiting; the rest is dropped.
    world.filter = Box::new(move |hop| !(hop.client == publisher && demux::classify(hop.bytes) == DatagramKind::Dtls));
    for _ in 0..60 {
        say(&mut world, speaker, 1, &[1; limits::DATA_BACK_MESSAGE_BYTES_MAX]);
        world.run(260 * MS);
    }
    // Eight wait, and a window's are on their way: the association itself would take three times that.
    let behind = world.dropped(0, "data_publisher_behind");
    assert!((40..60).contains(&behind), "{behind} of 60 dropped");
    // It has gone: what is said then goes nowhere.
    world.filter = Box::new(|_| true);
    world.delete(publisher);
    world.run(500 * MS);
    assert_eq!(world.nodes[0].worker.holdings().queued_encodings, 0);
}

#[test]
fn a_worker_whose_lane_was_full_is_told_anew_and_its_viewers_see_that_something_is_missing() {
    let mut world = World::new(2);
    let viewer = world.join(&viewer(1));
    let (publisher, streams) = publish(&mut world, &publisher(0), &[terms("chat", "", RELIABLE)]);
    say(&mut world, publisher, streams[0], b"first");
    world.run(100 * MS);
    // The other worker stands still until the lane has no room.
    world.nodes[1].stalled = true;
    let mut round = 0;
    while world.dropped(0, "lane_full") == 0 {
        round += 1;
        assert!(round < 10_000, "the lane is never full");
        say(&mut world, publisher, streams[0], &[4; 15_000]);
        world.run(20 * MS);
    }
    world.nodes[1].stalled = false;
    world.run(1_000 * MS);
    say(&mut world, publisher, streams[0], b"after");
    world.run(2_000 * MS);
    let events = events(&mut world, viewer);
    assert!(events.contains(&ChannelEvent::Closed(1)), "it is told that it missed something");
    // Each time that the lane had room for the introduction, and not for the message after it.
    assert!((2..5).contains(&opened(&events).len()), "{}", opened(&events).len());
    assert_eq!(messages(&events).last().unwrap().1, b"after");
}

#[test]
fn a_viewer_sees_that_one_message_is_missing_for_which_a_lane_had_no_room() {
    let mut world = World::new(2);
    let viewer = world.join(&viewer(1));
    let (publisher, streams) = publish(&mut world, &publisher(0), &[terms("chat", "", RELIABLE)]);
    // Another stream's media fill the lane, so that no viewer lags: what is missing, only the lane has lost.
    let other = StreamId(2);
    let loud = world.join(&Opening { stream: other, ..Opening::publisher(0) });
    world.join(&Opening { stream: other, ..Opening::viewer(1) });
    world.clients[loud].publisher().fragments = Some(14);
    world.run(500 * MS);
    assert_eq!(opened(&events(&mut world, viewer)).len(), 1);
    world.nodes[1].stalled = true;
    world.run(6_000 * MS);
    assert!(world.dropped(0, "lane_full") > 0);
    say(&mut world, publisher, streams[0], &[4; 15_000]);
    world.run(100 * MS);
    world.nodes[1].stalled = false;
    world.run(1_000 * MS);
    say(&mut world, publisher, streams[0], b"after");
    world.run(2_000 * MS);
    let events = events(&mut world, viewer);
    assert!(events.contains(&ChannelEvent::Closed(1)), "it is told that it missed something");
    assert_eq!(opened(&events).len(), 1);
    assert_eq!(messages(&events).iter().map(|(_, payload)| payload.as_slice()).collect::<Vec<_>>(), [b"after"]);
}

#[test]
fn nothing_is_left_of_channels_when_everybody_has_gone_and_idle_channels_send_nothing() {
    let mut world = World::new(2);
    let viewers = [world.join(&viewer(0)), world.join(&viewer(1))];
    let (publisher, streams) = publish(&mut world, &publisher(0), &[terms("chat", RETAIN, RELIABLE)]);
    say(&mut world, publisher, streams[0], b"hello");
    world.run(2_000 * MS);
    // Neither SCTP nor DTLS sends anything while nobody says anything.
    let records = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = std::rc::Rc::clone(&records);
    world.filter = Box::new(move |hop| {
        counted.set(counted.get() + usize::from(demux::classify(hop.bytes) == DatagramKind::Dtls));
        true
    });
    world.run(60_000 * MS);
    assert_eq!(records.get(), 0);
    for client in [viewers[0], publisher, viewers[1]] {
        world.delete(client);
    }
    world.run(Duration::from_secs(1));
    for node in &world.nodes {
        let holdings = node.worker.holdings();
        assert_eq!((holdings.sessions, holdings.streams, holdings.queued_encodings), (0, 0, 0));
    }
}

/// Numbers of the messages that came to a client, in order, since the last call; and whether a channel was opened.
fn numbers(world: &mut World, client: usize) -> (Vec<u16>, bool) {
    let events = events(world, client);
    let numbers = messages(&events).iter().map(|(_, payload)| u16::from_be_bytes([payload[0], payload[1]])).collect();
    (numbers, !opened(&events).is_empty())
}

/// Says so many messages, no faster than a publisher may.
fn count(world: &mut World, publisher: usize, stream: u16, from: u16, to: u16) {
    for number in from..to {
        say(world, publisher, stream, &number.to_be_bytes());
        world.run(20 * MS);
    }
}

#[test]
fn a_viewers_channels_pass_to_its_second_transport_with_every_message_once_and_in_order() {
    for (worker, lost) in [(0, 0), (1, 0), (0, 5), (1, 5)] {
        let mut world = World::new(2);
        let (publisher, streams) = publish(&mut world, &publisher(0), &[terms("count", "", RELIABLE)]);
        let old = world.join(&viewer(worker));
        world.run(300 * MS);
        events(&mut world, old);
        count(&mut world, publisher, streams[0], 0, 20);
        let new = world.rekey(old, &viewer(worker)).expect("it may");
        // One datagram in so many of the viewer's is lost, either way.
        let mut passed = 0_u64;
        world.filter = Box::new(move |hop| {
            passed += u64::from(hop.client == old || hop.client == new);
            lost == 0 || demux::classify(hop.bytes) != DatagramKind::Dtls || !passed.is_multiple_of(lost)
        });
        // In the order in which they came, on whichever transport.
        let (mut all, mut of_new) = (numbers(&mut world, old).0, 0);
        let mut look = |world: &mut World| {
            all.extend(numbers(world, old).0);
            if world.clients[new].channels().is_some() {
                let (after, _) = numbers(world, new);
                of_new += after.len();
                all.extend(after);
            }
        };
        for number in 20..200 {
            count(&mut world, publisher, streams[0], number, number + 1);
            look(&mut world);
        }
        world.filter = Box::new(|_| true);
        for _ in 0..400 {
            world.run(50 * MS);
            look(&mut world);
        }
        assert!(of_new >= 20, "{of_new} came on the new one");
        assert_eq!(all, (0..200).collect::<Vec<u16>>(), "{lost} on {worker}");
    }
}

#[test]
fn a_viewers_channels_are_its_first_transports_again_where_the_second_is_given_up() {
    let mut world = World::new(1);
    let (publisher, streams) = publish(&mut world, &publisher(0), &[terms("count", "", RELIABLE)]);
    let old = world.join(&viewer(0));
    world.run(300 * MS);
    events(&mut world, old);
    let new = world.rekey(old, &viewer(0)).expect("it may");
    count(&mut world, publisher, streams[0], 0, 100);
    assert!(!numbers(&mut world, new).0.is_empty(), "they had passed");
    let session = world.clients[old].session;
    world.control(0, Control::AbandonRekey { session });
    count(&mut world, publisher, streams[0], 100, 150);
    world.run(500 * MS);
    assert_eq!(numbers(&mut world, old).0, (0..150).collect::<Vec<u16>>(), "nothing is missing of what the other had");
}

#[test]
fn a_viewers_channels_open_anew_where_the_old_transport_ends_with_messages_on_their_way() {
    let mut world = World::new(1);
    let (publisher, streams) = publish(&mut world, &publisher(0), &[terms("count", "", RELIABLE)]);
    let old = world.join(&viewer(0));
    world.run(300 * MS);
    events(&mut world, old);
    // What the old one is given is not acknowledged.
    world.filter = Box::new(move |hop| hop.client != old || demux::classify(hop.bytes) != DatagramKind::Dtls);
    let new = world.rekey(old, &viewer(0)).expect("it may");
    count(&mut world, publisher, streams[0], 0, 50);
    assert_eq!(numbers(&mut world, new), (Vec::new(), false), "they wait");
    let session = world.clients[old].session;
    world.control(0, Control::Switched { session });
    world.run(200 * MS);
    assert!(numbers(&mut world, new).1, "they open though nobody says anything");
    count(&mut world, publisher, streams[0], 50, 60);
    assert_eq!(numbers(&mut world, new).0, (50..60).collect::<Vec<u16>>());
}

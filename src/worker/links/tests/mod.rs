//! Two and three nodes on virtual time, with a network between them that loses and delays. Each node's one worker is played by the
//! test: it writes into a lane what a publisher's worker would, and reads from one what a viewer's would be given.

mod rig;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::mailbox::{LinkControl, LinkEnd, LinkNotice};
use super::packet::Handle;
use crate::crypto::random::SeededRandom;
use crate::data::MessageKind;
use crate::data::dcep::{Delivery, Reliability};
use crate::data::record::{DataNews, DataRecord};
use crate::description::CodecFormat;
use crate::limits;
use crate::net::Io as _;
use crate::relay::store::numbers::EncodingSet;
use crate::relay::store::record::{PublishedCodec, Record};
use crate::relay::store::upstream::{Upstream, Wish};
use crate::transport::{PathAddress, UdpPath};
use crate::wire::codec::Codec;

use rig::{LINKS, Node, STREAM, Seen, WORKER, World, set, video};

/// A world of two whose link is there, and whose viewers want the picture.
fn joined() -> World {
    let mut world = World::new(2);
    world.link(0, 1);
    world.nodes[0].route(Some(WORKER), &[LINKS]);
    world.nodes[1].route(Some(LINKS), &[WORKER]);
    world.nodes[1].wants(set(video()));
    world.nodes[0].introduce();
    world
}

fn missing(packets: &[u64], to: u64) -> Vec<u64> {
    let seen: BTreeSet<u64> = packets.iter().copied().collect();
    let first = seen.first().copied().unwrap_or(0);
    (first..to).filter(|sequence| !seen.contains(sequence)).collect()
}

#[test]
fn what_is_published_at_one_node_comes_to_the_viewers_of_another_with_its_numbers_and_times() {
    let mut world = joined();
    world.run(200);
    assert!(
        world.nodes[0].wishes().contains(&Wish::Encodings(set(video()))),
        "the publisher's worker knows what is wanted"
    );
    let end = world.play(50, 70_000);
    world.run(200);
    let node = &world.nodes[1];
    assert_eq!(node.packets(), (70_000..end).collect::<Vec<_>>());
    let told = node.seen.iter().position(|seen| *seen == Seen::Format(Codec::Vp8));
    assert!(node.seen[0] == Seen::Begin && told.is_some_and(|told| told < 4), "{:?}", &node.seen[..4]);
    let ages: Vec<Duration> = node
        .seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Packet { age, incarnation: 1, .. } => Some(*age),
            _ => None,
        })
        .collect();
    assert_eq!(ages.len(), 200);
    let wrong = ages.iter().filter(|age| age.abs_diff(Duration::from_millis(25)) > Duration::from_millis(6)).count();
    assert!(wrong == 0, "{wrong} of 200 arrived at another time by the clock of the other node: {ages:?}");
    let notices: Vec<_> = world.nodes.iter().map(|node| node.notices.try_iter().collect::<Vec<_>>()).collect();
    assert_eq!(notices, [[LinkNotice::Heard(Handle(101))], [LinkNotice::Heard(Handle(200))]]);
    let reports = [world.nodes[0].report(), world.nodes[1].report()];
    assert_eq!((reports[0].len(), reports[1].len()), (1, 1));
    assert!(reports[1][0].is_parent && reports[1][0].round_trip_us.unwrap().abs_diff(50_000) <= 4_000);
    assert_eq!((reports[0][0].encodings, reports[0][0].counts.repeated), (1, 0));
}

#[test]
fn what_the_network_loses_is_whole_again_in_time_and_never_sealed_twice() {
    for seed in 0..4 {
        let mut world = joined();
        (world.loss_percent, world.random) = (3, SeededRandom::new(seed));
        world.run(400);
        let end = world.play(250, 70_000);
        world.loss_percent = 0;
        world.run(400);
        let node = &mut world.nodes[1];
        let packets = node.packets();
        assert_eq!(missing(&packets, end), [0_u64; 0], "seed {seed}");
        assert_eq!(packets.len() as u64, end - 70_000, "each once");
        let mut ages: Vec<Duration> = node
            .seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Packet { age, .. } => Some(*age),
                _ => None,
            })
            .collect();
        ages.sort_unstable();
        // One way, and for what was lost once more a grace and a round trip; twice for very few.
        let p99 = ages[ages.len() * 99 / 100];
        assert!(p99 <= Duration::from_millis(150), "seed {seed}: {p99:?}");
        let report = node.report();
        assert!(report[0].counts.asked > 5 && report[0].counts.lost == 0, "{report:?}");
    }
}

#[test]
fn what_is_told_while_packets_are_on_their_way_costs_none_of_them() {
    let mut world = joined();
    world.loss_percent = 5;
    world.run(400);
    let mut end = 70_000;
    for number in 0..40 {
        end = world.play(2, end);
        let codec = PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 };
        // The same codec, and another that comes and goes.
        assert!(world.nodes[0].tell(&Record::Format(codec)));
        if number % 4 == 0 {
            let other = PublishedCodec { clock_rate_hz: 90_001 + number, ..codec };
            assert!(world.nodes[0].tell(&Record::Format(other)));
        }
    }
    world.loss_percent = 0;
    world.run(500);
    let packets = world.nodes[1].packets();
    assert_eq!((missing(&packets, end), packets.len() as u64), (vec![], end - 70_000));
    let report = world.nodes[1].report();
    assert!(report[0].counts.late == 0 && report[0].counts.asked > 10, "{report:?}");
}

#[test]
fn who_comes_later_is_given_all_since_the_newest_key_frame_and_the_publisher_is_asked_for_nothing() {
    let mut world = World::new(2);
    world.link(0, 1);
    world.nodes[0].route(Some(WORKER), &[LINKS]);
    world.nodes[1].route(Some(LINKS), &[]);
    world.nodes[0].introduce();
    // Somebody wants it: the ring fills.
    world.nodes[1].wants(set(video()));
    let end = world.play(15, 70_000);
    assert_eq!(world.nodes[1].packets(), [0_u64; 0], "nobody listens there");
    world.nodes[1].route(Some(LINKS), &[WORKER]);
    world.nodes[1].wants(EncodingSet::NONE);
    world.run(100);
    world.nodes[1].wants(set(video()));
    world.run(100);
    let node = &mut world.nodes[1];
    assert!(node.seen.contains(&Seen::Replay(20)), "{:?}", node.seen);
    assert_eq!(node.packets(), (70_040..end).collect::<Vec<_>>(), "from the key frame on");
    // The same for a node that links itself now.
    let wishes = world.nodes[0].wishes();
    assert!(!wishes.iter().any(|wish| matches!(wish, Wish::KeyFrame(_))), "{wishes:?}");
}

#[test]
fn what_is_wanted_before_its_codec_is_known_comes_as_soon_as_it_is() {
    let mut world = World::new(2);
    world.link(0, 1);
    world.nodes[0].route(Some(WORKER), &[LINKS]);
    world.nodes[1].route(Some(LINKS), &[WORKER]);
    world.nodes[1].wants(set(video()));
    // A publisher's encodings begin with its route, and what they are is known with their first packet.
    assert!(world.nodes[0].tell(&Record::Begin));
    world.run(300);
    let codec = PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 };
    assert!(world.nodes[0].tell(&Record::Format(codec)));
    let end = world.play(10, 70_000);
    world.run(200);
    assert_eq!(missing(&world.nodes[1].packets(), end), [0_u64; 0]);
    assert_eq!(world.nodes[1].packets().len(), 40);
}

#[test]
fn a_key_frame_that_a_viewer_there_waits_for_is_asked_of_the_publishers_worker_once() {
    let mut world = joined();
    world.run(200);
    world.play(2, 70_000);
    // The key frame is too old to start with.
    world.run(u64::try_from(limits::KEY_FRAME_AGE_MAX.as_millis()).unwrap() + 2_000);
    world.nodes[0].wishes();
    let wish = Upstream { stream: STREAM, wish: Wish::KeyFrame(video()) };
    for _ in 0..5 {
        assert!(world.nodes[1].lanes.send_upstream(LINKS, wish));
        world.run(20);
    }
    world.run(100);
    let wishes = world.nodes[0].wishes();
    assert_eq!(wishes.iter().filter(|wish| **wish == Wish::KeyFrame(video())).count(), 1, "{wishes:?}");
}

#[test]
fn a_publisher_that_returns_begins_another_run_and_what_is_wanted_no_more_does_not_cross() {
    let mut world = joined();
    world.run(200);
    world.play(5, 70_000);
    for sequence in 5..9 {
        world.nodes[0].publish(2, sequence, sequence == 5);
    }
    world.run(100);
    let packets = world.nodes[1].packets();
    assert_eq!(packets[packets.len() - 4..], [5, 6, 7, 8]);
    world.nodes[1].wants(EncodingSet::NONE);
    world.run(200);
    let before = world.nodes[1].packets().len();
    for sequence in 9..40 {
        world.nodes[0].publish(2, sequence, false);
    }
    world.run(200);
    assert_eq!(world.nodes[1].packets().len(), before);
    world.nodes[1].wants(set(video()));
    world.run(200);
    assert_eq!(missing(&world.nodes[1].packets()[20..], 40), [0_u64; 0], "from the key frame on, in the same run");
}

#[test]
fn a_link_that_falls_silent_is_over_at_both_ends_and_one_that_is_closed_at_once() {
    let mut world = joined();
    world.run(200);
    world.nodes.iter().for_each(|node| _ = node.notices.drain().count());
    world.cut = true;
    world.run(u64::try_from(limits::LINK_SILENCE_MAX.as_millis()).unwrap() + 200);
    for (node, handle) in world.nodes.iter().zip([101, 200]) {
        assert_eq!(node.notices.try_recv(), Ok(LinkNotice::Ended(Handle(handle), LinkEnd::Silent)));
    }
    world.cut = false;
    let (_, of_child) = world.link(0, 1);
    world.run(200);
    world.nodes.iter().for_each(|node| _ = node.notices.drain().count());
    world.nodes[1].links.send(LinkControl::Close(of_child)).unwrap();
    world.run(60);
    assert_eq!(world.nodes[0].notices.try_recv(), Ok(LinkNotice::Ended(Handle(101), LinkEnd::Bye)));
    assert!(world.nodes[0].report().is_empty() && world.nodes[1].report().is_empty());
    let crossed = world.crossed;
    world.run(1_000);
    assert_eq!(world.crossed, crossed, "nothing is left that sends");
}

#[test]
fn a_link_that_is_lost_and_made_anew_has_the_viewers_that_the_first_had() {
    let mut world = joined();
    world.run(200);
    let end = world.play(5, 70_000);
    world.cut = true;
    world.run(u64::try_from(limits::LINK_SILENCE_MAX.as_millis()).unwrap() + 200);
    world.cut = false;
    let before = world.nodes[1].packets().len();
    world.link(0, 1);
    world.run(200);
    // Its publisher's node is told of the new one; here nothing is routed anew.
    world.nodes[0].route(Some(WORKER), &[LINKS]);
    world.nodes[0].introduce();
    world.run(200);
    let end = world.play(10, end);
    world.run(200);
    let packets = world.nodes[1].packets();
    assert!(packets.len() >= before + 40 && packets.last() == Some(&(end - 1)), "{} after {before}", packets.len());
}

#[test]
fn a_node_in_between_passes_it_on_with_losses_on_both_links() {
    let mut world = World::new(3);
    world.link(0, 1);
    world.link(1, 2);
    world.loss_percent = 2;
    world.nodes[0].route(Some(WORKER), &[LINKS]);
    world.nodes[1].route(Some(LINKS), &[WORKER]);
    world.nodes[2].route(Some(LINKS), &[WORKER]);
    world.nodes[1].wants(set(video()));
    world.nodes[2].wants(set(video()));
    world.nodes[0].introduce();
    world.run(600);
    let end = world.play(100, 70_000);
    world.loss_percent = 0;
    world.run(400);
    for number in [1, 2] {
        let packets = world.nodes[number].packets();
        assert_eq!((missing(&packets, end), packets.len() as u64), (vec![], end - 70_000), "node {number}");
    }
}

#[test]
fn a_second_parent_goes_on_where_the_first_fell_silent_and_no_packet_is_missing() {
    for seed in 0..4 {
        let mut world = with_a_second_parent();
        (world.loss_percent, world.random) = (seed, SeededRandom::new(seed));
        let end = world.play(25, 70_000);
        world.nodes[0].wishes();
        let begins = world.nodes[2].seen.iter().filter(|seen| **seen == Seen::Begin).count();
        world.silent = Some(1);
        let end = world.play(50, end);
        world.loss_percent = 0;
        world.run(300);
        let node = &world.nodes[2];
        assert_eq!((missing(&node.packets(), end), node.packets().len() as u64), (vec![], end - 70_000), "seed {seed}");
        let again = node.seen.iter().filter(|seen| **seen == Seen::Begin).count();
        assert_eq!(again, begins, "its viewers saw no gap");
        assert!(!world.nodes[0].wishes().iter().any(|wish| matches!(wish, Wish::KeyFrame(_))));
        assert_eq!(world.nodes[2].worker.failed_over, 1);
        let oldest = world.nodes[2].seen.iter().filter_map(|seen| match seen {
            Seen::Packet { age, .. } => Some(*age),
            _ => None,
        });
        let oldest = oldest.max().unwrap();
        assert!(oldest <= Duration::from_millis(400), "seed {seed}: {oldest:?}");
    }
}

#[test]
fn a_publishers_channels_and_messages_come_whole_and_in_order_and_who_comes_later_is_told_of_them() {
    let mut world = joined();
    (world.loss_percent, world.random) = (5, SeededRandom::new(3));
    world.run(400);
    let tell = |node: &mut Node, what| assert!(node.tell(&Record::Data(DataRecord { session: 7, what })));
    let delivery = Delivery { ordered: true, reliability: Reliability::Reliable };
    tell(&mut world.nodes[0], DataNews::Begin);
    tell(&mut world.nodes[0], DataNews::Open { channel: 2, delivery, label: "scores", protocol: "" });
    let messages: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; 1 + 400 * usize::from(n)]).collect();
    for message in &messages {
        let arrival = world.nodes[0].io.now();
        let what = DataNews::Message { channel: 2, kind: MessageKind::Binary, arrival, payload: message };
        tell(&mut world.nodes[0], what);
        world.run(20);
    }
    world.loss_percent = 0;
    world.run(400);
    let heard = |node: &Node| -> Vec<Vec<u8>> {
        let messages = node.seen.iter().filter_map(|seen| match seen {
            Seen::Message(payload) => Some(payload.clone()),
            _ => None,
        });
        messages.collect()
    };
    let heard = heard(&world.nodes[1]);
    assert!(heard == messages, "{} of {} messages, or others", heard.len(), messages.len());
    // A worker that begins to listen later is told of the channel, and of its last message, as that is retained.
    world.nodes[1].seen.clear();
    world.nodes[1].route(Some(LINKS), &[]);
    world.run(10);
    world.nodes[1].route(Some(LINKS), &[WORKER]);
    world.run(50);
    let seen = &world.nodes[1].seen;
    assert!(seen.contains(&Seen::ChannelsBegin) && seen.contains(&Seen::Channel("scores".into())), "{seen:?}");
}

#[test]
fn a_viewer_that_asks_for_a_key_frame_leads_no_other_one_back_to_the_last() {
    let mut world = joined();
    world.run(200);
    world.play(12, 70_000);
    world.nodes[0].wishes();
    let begins = |node: &Node| node.seen.iter().filter(|seen| matches!(seen, Seen::Begin | Seen::Replay(_))).count();
    let before = begins(&world.nodes[1]);
    // The key frame in the ring is 80 ms old.
    let wish = Upstream { stream: STREAM, wish: Wish::KeyFrame(video()) };
    assert!(world.nodes[1].lanes.send_upstream(LINKS, wish));
    world.run(100);
    assert_eq!(begins(&world.nodes[1]), before);
    let asked = world.nodes[0].wishes();
    assert_eq!(asked.iter().filter(|wish| **wish == Wish::KeyFrame(video())).count(), 1, "{asked:?}");
}

/// The origin, a node in between, and one that has the stream from there and the origin as its second.
fn with_a_second_parent() -> World {
    let mut world = World::new(3);
    world.link(0, 1);
    world.link(1, 2);
    world.link(0, 2);
    world.nodes[0].route(Some(WORKER), &[LINKS]);
    world.nodes[1].route(Some(LINKS), &[]);
    world.nodes[2].route(Some(LINKS), &[WORKER]);
    world.nodes[2].wants(set(video()));
    world.nodes[0].introduce();
    world.run(600);
    world
}

#[test]
fn a_node_in_between_that_has_lost_the_stream_is_left_although_it_lives() {
    let mut world = with_a_second_parent();
    let end = world.play(25, 70_000);
    world.apart = Some((0, 1));
    let end = world.play(50, end);
    world.run(300);
    let node = &world.nodes[2];
    assert_eq!((missing(&node.packets(), end), node.packets().len() as u64), (vec![], end - 70_000));
    assert_eq!(node.worker.failed_over, 1);
}

#[test]
fn with_two_parents_a_message_of_a_publisher_comes_once() {
    let mut world = with_a_second_parent();
    let tell = |node: &mut Node, what| assert!(node.tell(&Record::Data(DataRecord { session: 7, what })));
    let delivery = Delivery { ordered: true, reliability: Reliability::Reliable };
    tell(&mut world.nodes[0], DataNews::Begin);
    tell(&mut world.nodes[0], DataNews::Open { channel: 2, delivery, label: "scores", protocol: "" });
    let payloads: Vec<[u8; 1]> = (0..10).map(|number| [number]).collect();
    for payload in &payloads {
        let arrival = world.nodes[0].io.now();
        let what = DataNews::Message { channel: 2, kind: MessageKind::Binary, arrival, payload };
        tell(&mut world.nodes[0], what);
        world.run(20);
    }
    world.run(200);
    let seen = &world.nodes[2].seen;
    let messages: Vec<u8> =
        seen.iter().filter_map(|seen| if let Seen::Message(of) = seen { Some(of[0]) } else { None }).collect();
    assert_eq!(messages, (0..10).collect::<Vec<u8>>());
    assert_eq!(seen.iter().filter(|seen| matches!(seen, Seen::Channel(_))).count(), 1);
}

#[test]
fn when_nobody_publishes_any_more_those_who_have_it_from_here_are_told() {
    let mut world = joined();
    world.run(200);
    world.nodes.iter().for_each(|node| _ = node.notices.drain().count());
    world.nodes[0].route(None, &[LINKS]);
    world.run(60);
    for (node, handle) in world.nodes.iter().zip([101, 200]) {
        assert_eq!(node.notices.try_recv(), Ok(LinkNotice::Ended(Handle(handle), LinkEnd::Bye)));
    }
}

#[test]
fn packets_of_strangers_and_packets_that_are_sent_again_change_nothing() {
    let mut world = joined();
    world.run(200);
    world.play(3, 70_000);
    let before = world.nodes[1].packets();
    let old: Vec<Vec<u8>> = world.sent.values().cloned().collect();
    let stranger = PathAddress::Udp(UdpPath::to(SocketAddr::from(([6, 6, 6, 6], 6))));
    for node in &mut world.nodes {
        for bytes in &old {
            node.io.deliver(stranger, bytes.clone());
            for wrong in [0, 1, 9, 20, bytes.len() - 1] {
                let mut bytes = bytes.clone();
                bytes[wrong] ^= 0x11;
                node.io.deliver(stranger, bytes);
            }
            node.io.deliver(stranger, bytes[..bytes.len() / 2].to_vec());
        }
        for len in 0..40 {
            node.io.deliver(stranger, vec![0x80; len]);
        }
    }
    world.run(50);
    assert_eq!(world.nodes[1].packets(), before);
    let end = world.play(3, 70_012);
    world.run(100);
    assert_eq!(missing(&world.nodes[1].packets(), end), [0_u64; 0], "what is sent does not follow a stranger");
}

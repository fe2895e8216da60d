//! A viewer that comes in the middle of a group of pictures: it starts at once, is soon where everybody is, and costs the
//! publisher nothing.

use std::time::Duration;

use crate::worker_support::{MS, Opening, Packet, World};
use corecast::description::MediaKind;
use corecast::limits;
use corecast::wire::codec::{Codec, inspect};

/// A publisher of 2.5 Mbit/s that has sent a key frame of 30 packets and no other since, and one viewer for whom it did.
fn world_with_one_key_frame(age: Duration) -> (World, usize) {
    world_of(1, age)
}

fn world_of(workers: usize, age: Duration) -> (World, usize) {
    let mut world = World::new(workers);
    let publisher = world.join(&Opening::publisher(0));
    world.join(&Opening::viewer(0));
    world.run(600 * MS);
    world.clients[publisher].publisher().fragments = Some(9);
    let now = world.now;
    world.clients[publisher].publish_frame(30, true, now);
    world.run(600 * MS);
    // Whoever asks for one now is counted, and gets none.
    world.clients[publisher].publisher().answers_requests = false;
    world.clients[publisher].publisher().key_frame_requests.clear();
    world.clients[publisher].publisher().published.clear();
    let now = world.now;
    world.clients[publisher].publish_frame(30, true, now);
    world.run(age);
    (world, publisher)
}

fn published_as<'a>(published: &'a [Packet], packet: &Packet) -> &'a Packet {
    published.iter().rfind(|original| original.payload == packet.payload).expect("it was published")
}

#[test]
fn who_comes_in_the_middle_sees_a_picture_at_once_and_is_at_the_live_edge_in_six_tenths_of_a_second() {
    for age_ms in [100, 1_000, 1_900] {
        let (mut world, publisher) = world_with_one_key_frame(age_ms * MS);
        let viewer = world.join(&Opening::viewer(0));
        let connected = world.now;
        world.run(Duration::from_secs(3));
        let published = world.clients[publisher].published(MediaKind::Video);
        let received = world.clients[viewer].received(MediaKind::Video);
        // Parameter sets, and then the picture.
        assert!(inspect(Codec::H264, &received[1].payload).key_frame_start, "{age_ms} ms");
        let first = received[29].at.since(connected);
        assert!(first <= 100 * MS, "{age_ms} ms: its key frame was there after {first:?}");
        assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "nothing is left out");
        // At the edge: what came last had been published just before.
        let is_live = |packet: &Packet| packet.at.since(published_as(&published, packet).at) <= 5 * MS;
        let live_at = received.iter().find(|packet| is_live(packet)).expect("it is at the edge").at;
        assert!(live_at.since(connected) <= 600 * MS, "{age_ms} ms: {:?}", live_at.since(connected));
        assert!(received.iter().filter(|packet| packet.at > live_at + 20 * MS).all(is_live), "and it stays there");
        // In trains, not in one burst.
        let at_once = received.iter().filter(|packet| packet.at == received[0].at).count();
        assert!((10..=limits::PACKETS_PER_VISIT_MAX).contains(&at_once), "{at_once}");
        // The times it is told pass as the time does in which it is told them: to two pictures, from the first one on.
        for packet in &received {
            let told_ms = f64::from(packet.timestamp.wrapping_sub(received[0].timestamp) as i32) / 90.0;
            let passed_ms = packet.at.since(received[0].at).as_secs_f64() * 1e3;
            assert!(
                (told_ms - passed_ms).abs() < 70.0,
                "{age_ms} ms: {told_ms} ms told when {passed_ms} ms had passed"
            );
        }
        assert!(received.windows(2).all(|pair| (pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32) >= 0));
        assert_eq!(world.clients[publisher].publisher().key_frame_requests, [], "{age_ms} ms");
    }
}

#[test]
fn sound_and_picture_of_who_comes_in_the_middle_are_together() {
    let (mut world, publisher) = world_with_one_key_frame(1_500 * MS);
    world.run(2_000 * MS);
    let viewer = world.join(&Opening::viewer(0));
    world.run(2_000 * MS);
    // What a receiver does: a stream's report says which instant a timestamp is, and both are played by it.
    let reports = world.clients[viewer].viewer().reports.clone();
    let instant_us = |kind, rate: i64| {
        let ssrc = world.clients[viewer].ssrc(kind);
        let Some(report) = reports.iter().find(|report| report.ssrc == ssrc).copied() else {
            panic!("no report of {kind:?}")
        };
        let received = world.clients[viewer].received(kind);
        let last = received.last().expect("it plays");
        let published = world.clients[publisher].published(kind);
        let ticks = i64::from(last.timestamp.wrapping_sub(report.timestamp) as i32);
        let played = ((report.ntp.0 as i128 * 1_000_000) >> 32) as i64 + ticks * 1_000_000 / rate;
        played - published_as(&published, last).at.as_nanos() as i64 / 1_000
    };
    let apart = instant_us(MediaKind::Video, 90_000) - instant_us(MediaKind::Audio, 48_000);
    assert!(apart.abs() < 20_000, "{apart} us");
    // And sound began with the newest there was.
    let sound = &world.clients[viewer].received(MediaKind::Audio)[0];
    let published = world.clients[publisher].published(MediaKind::Audio);
    assert!(sound.at.since(published_as(&published, sound).at) <= limits::AUDIO_START_AGE_MAX);
}

#[test]
fn a_hundred_joins_ask_for_nothing_while_a_key_frame_is_there_and_then_for_one() {
    let (mut world, publisher) = world_with_one_key_frame(100 * MS);
    for _ in 0..50 {
        world.open(&Opening::viewer(0));
        world.run(80 * MS);
    }
    assert_eq!(world.clients[publisher].publisher().key_frame_requests, [], "its key frame is 4 s old");
    world.run(limits::KEY_FRAME_AGE_MAX - 4_000 * MS);
    for _ in 0..50 {
        world.open(&Opening::viewer(0));
        world.run(8 * MS);
    }
    let requests = world.clients[publisher].publisher().key_frame_requests.len();
    assert_eq!(requests, 1, "now it is too old");
}

#[test]
fn the_first_viewer_of_another_worker_starts_at_once_and_so_does_the_next_first_one() {
    for age_ms in [100, 1_000, 1_900] {
        let (mut world, publisher) = world_of(2, age_ms * MS);
        for time in ["first", "second"] {
            let viewer = world.join(&Opening::viewer(1));
            let connected = world.now;
            world.run(1_000 * MS);
            let published = world.clients[publisher].published(MediaKind::Video);
            let received = world.clients[viewer].received(MediaKind::Video);
            assert!(received.len() > 30, "{time}, {age_ms} ms: {} packets", received.len());
            assert!(inspect(Codec::H264, &received[1].payload).key_frame_start, "{time}, {age_ms} ms");
            let first = received[29].at.since(connected);
            assert!(first <= 100 * MS, "{time}, {age_ms} ms: its key frame was there after {first:?}");
            assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "nothing is left out");
            let is_live = |packet: &Packet| packet.at.since(published_as(&published, packet).at) <= 5 * MS;
            let live_at = received.iter().find(|packet| is_live(packet)).expect("it is at the edge").at;
            assert!(live_at.since(connected) <= 600 * MS, "{time}, {age_ms} ms: {:?}", live_at.since(connected));
            for packet in &received {
                let told_ms = f64::from(packet.timestamp.wrapping_sub(received[0].timestamp) as i32) / 90.0;
                let passed_ms = packet.at.since(received[0].at).as_secs_f64() * 1e3;
                assert!((told_ms - passed_ms).abs() < 70.0, "{time}: {told_ms} ms told when {passed_ms} ms had passed");
            }
            world.delete(viewer);
            world.run(300 * MS);
        }
        assert_eq!(world.clients[publisher].publisher().key_frame_requests, [], "{age_ms} ms");
        assert_eq!(world.dropped(0, "lane_full"), 0);
    }
}

#[test]
fn who_lost_its_first_packets_is_started_again_from_the_ring_and_the_publisher_is_asked_for_nothing() {
    for age_ms in [1, 300, 1_900] {
        let (mut world, publisher) = world_with_one_key_frame(age_ms * MS);
        let viewer = world.clients.len();
        world.filter = Box::new(move |hop| {
            let is_media = matches!(hop.bytes.first(), Some(128..192)) && hop.bytes[1] & 0x7f == 102;
            !(hop.to_client && hop.client == viewer && is_media)
        });
        assert_eq!(world.join(&Opening::viewer(0)), viewer);
        // It has no keys for a moment more.
        world.run(8 * MS);
        world.filter = Box::new(|_| true);
        // It asks as soon as it has a picture that it cannot decode.
        world.run(70 * MS);
        let before = world.clients[viewer].received(MediaKind::Video);
        assert!(before.len() > 10 && !inspect(Codec::H264, &before[0].payload).key_frame_start, "{age_ms} ms");
        let asked = world.now;
        // Twice, and in the other way: it is one wish.
        world.clients[viewer].request_key_frame();
        world.clients[viewer].request_key_frame();
        world.run(2_000 * MS);
        assert_eq!(world.dropped(0, "key_frame_from_ring"), 1, "{age_ms} ms");
        assert_eq!(world.dropped(0, "key_frame_on_its_way"), 1, "{age_ms} ms");
        let received = world.clients[viewer].received(MediaKind::Video);
        let begins =
            before.len() + received[before.len()..].iter().position(|packet| packet.at > asked + MS).expect("goes on");
        let again = received[begins..].iter().position(|packet| inspect(Codec::H264, &packet.payload).key_frame_start);
        let again = begins + again.expect("it is sent its key frame once more");
        assert!(again - begins <= 3, "at once, behind what was on its way: {}", again - begins);
        let whole = received[again + 29].at.since(asked);
        assert!(whole <= 60 * MS, "{age_ms} ms: its key frame was there after {whole:?}");
        let hole = received.windows(2).find(|pair| pair[1].index != pair[0].index + 1);
        assert!(
            hole.is_none(),
            "{age_ms} ms: no number is left out: {:?}",
            hole.map(|pair| [pair[0].index, pair[1].index])
        );
        let goes_on = |pair: &[Packet]| (pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32) >= 0;
        assert!(received.windows(2).all(goes_on), "{age_ms} ms: time does not go back");
        let step = received[again].timestamp.wrapping_sub(received[again - 2].timestamp) as i32;
        assert!(step > 0, "{age_ms} ms: the key frame is a picture of its own");
        let published = world.clients[publisher].published(MediaKind::Video);
        let is_live = |packet: &Packet| packet.at.since(published_as(&published, packet).at) <= 5 * MS;
        let live_at = received[again..].iter().find(|packet| is_live(packet)).expect("it is at the edge").at;
        assert!(live_at.since(asked) <= 500 * MS, "{age_ms} ms: {:?}", live_at.since(asked));
        assert!(received.iter().filter(|packet| packet.at > live_at + 20 * MS).all(is_live), "and it stays there");
        assert_eq!(world.clients[publisher].publisher().key_frame_requests, [], "{age_ms} ms");
    }
}

#[test]
fn who_is_started_again_is_at_the_live_edge_in_six_tenths_of_a_second_as_well() {
    for (asks_after, transport_cc) in [(80, false), (80, true), (150, true), (280, true)] {
        let (mut world, publisher) = world_with_one_key_frame(1_900 * MS);
        let (viewer, connected) = (world.clients.len(), world.now);
        world.filter = Box::new(move |hop| {
            let is_media = matches!(hop.bytes.first(), Some(128..192)) && hop.bytes[1] & 0x7f == 102;
            !(hop.to_client && hop.client == viewer && is_media)
        });
        world.join(&Opening { transport_cc, ..Opening::viewer(0) });
        world.run(8 * MS);
        world.filter = Box::new(|_| true);
        world.run(asks_after * MS);
        world.clients[viewer].request_key_frame();
        world.run(2_000 * MS);
        assert_eq!(world.dropped(0, "key_frame_from_ring"), 1);
        let published = world.clients[publisher].published(MediaKind::Video);
        let received = world.clients[viewer].received(MediaKind::Video);
        let is_live = |packet: &Packet| packet.at.since(published_as(&published, packet).at) <= 5 * MS;
        let behind = received.iter().rposition(|packet| !is_live(packet)).expect("it began with the past");
        let live = received[behind].at.since(connected);
        // Who reports is as fast as its first report says; the other one has waited already, and took 475 ms at a first start's pace.
        let most = if transport_cc { 600 } else { 430 };
        assert!(live <= most * MS, "asks after {asks_after} ms, reports: {transport_cc}: {live:?}");
    }
}

#[test]
fn a_repeat_is_of_the_start_that_it_was_sent_with() {
    for rtx in [true, false] {
        let (mut world, _) = world_with_one_key_frame(1_200 * MS);
        let viewer = world.join(&Opening { rtx, ..Opening::viewer(0) });
        world.run(100 * MS);
        world.clients[viewer].request_key_frame();
        world.run(100 * MS);
        let received = world.clients[viewer].received(MediaKind::Video);
        let first = received[0].index;
        let starts: Vec<_> =
            received.iter().filter(|packet| inspect(Codec::H264, &packet.payload).key_frame_start).cloned().collect();
        assert_eq!(starts.len(), 2, "it was sent its key frame twice");
        assert_eq!(starts[0].payload, starts[1].payload);
        assert_ne!(starts[0].timestamp, starts[1].timestamp);
        world.clients[viewer].nack(&starts.iter().map(|packet| packet.index as u16).collect::<Vec<_>>());
        world.run(100 * MS);
        if rtx {
            let repairs = &world.clients[viewer].viewer().repairs;
            let of = |start: &Packet| {
                let number = (start.index as u16).to_be_bytes();
                repairs.iter().filter(move |repair| repair.payload[..2] == number).map(|repair| repair.timestamp)
            };
            for start in &starts {
                assert_eq!(of(start).collect::<Vec<_>>(), [start.timestamp], "counted from {first}");
            }
        }
        // Without, the world sees to it that nothing is sealed twice but as it was.
        assert_eq!(world.dropped(0, "retransmission_never_sent"), 0);
    }
}

#[test]
fn who_has_caught_up_is_started_again_before_the_next_picture_comes() {
    let (mut world, _) = world_with_one_key_frame(100 * MS);
    let viewer = world.join(&Opening::viewer(0));
    world.run(600 * MS);
    // A picture has just come, and the next one is a thirtieth of a second away.
    let pictures = world.clients[viewer].received(MediaKind::Video).len();
    while world.clients[viewer].received(MediaKind::Video).len() == pictures {
        world.run(MS);
    }
    world.run(5 * MS);
    let (before, asked) = (world.clients[viewer].received(MediaKind::Video).len(), world.now);
    world.clients[viewer].request_key_frame();
    world.run(100 * MS);
    let first = &world.clients[viewer].received(MediaKind::Video)[before];
    let took = first.at.since(asked);
    assert!(took <= 2 * world.latency + 4 * MS, "{took:?}");
}

#[test]
fn who_asks_while_its_key_frame_is_being_sent_is_not_started_again() {
    let (mut world, _) = world_with_one_key_frame(100 * MS);
    let viewer = world.join(&Opening::viewer(0));
    // Thirty packets leave in three trains.
    let received = world.clients[viewer].received(MediaKind::Video).len();
    assert!(received < 28, "{received}");
    world.clients[viewer].request_key_frame();
    world.run(300 * MS);
    assert_eq!((world.dropped(0, "key_frame_from_ring"), world.dropped(0, "key_frame_on_its_way")), (0, 1));
}

#[test]
fn a_viewer_that_has_just_started_asks_nobody_for_a_key_frame_and_afterwards_it_may() {
    let (mut world, publisher) = world_with_one_key_frame(1_000 * MS);
    let viewer = world.join(&Opening::viewer(0));
    for _ in 0..5 {
        world.run(200 * MS);
        world.clients[viewer].request_key_frame();
    }
    world.run(100 * MS);
    assert_eq!(world.clients[publisher].publisher().key_frame_requests, []);
    let from_ring = u64::from(limits::STARTS_AGAIN_MAX);
    assert_eq!(world.dropped(0, "key_frame_from_ring"), from_ring, "as often as may be");
    assert_eq!(world.dropped(0, "key_frame_on_its_way"), 5 - from_ring);
    world.run(1_000 * MS);
    world.clients[viewer].request_key_frame();
    world.run(100 * MS);
    assert_eq!(world.clients[publisher].publisher().key_frame_requests.len(), 1);
}

#[test]
fn a_repeat_of_what_was_squeezed_says_what_was_said() {
    for rtx in [true, false] {
        let (mut world, _) = world_with_one_key_frame(1_200 * MS);
        let viewer = world.join(&Opening { rtx, ..Opening::viewer(0) });
        let ssrc = world.clients[viewer].sources.video;
        // Every ninth packet is lost on its way, until everything has arrived once.
        let connected = world.now;
        world.filter = Box::new(move |hop| {
            let is_video = hop.bytes.get(8..12) == Some(&ssrc.to_be_bytes()) && hop.bytes[1] & 0x7f == 102;
            !(hop.to_client && hop.client == viewer && is_video && hop.number % 9 == 3)
        });
        world.run(400 * MS);
        world.filter = Box::new(|_| true);
        let received = world.clients[viewer].received(MediaKind::Video);
        let (first, last) = (received[0].index, received.last().expect("packets").index);
        let lost: Vec<u16> = (first..last)
            .filter(|index| received.iter().all(|packet| packet.index != *index))
            .map(|index| index as u16)
            .collect();
        assert!(lost.len() > 10, "{} lost since {connected:?}", lost.len());
        world.clients[viewer].nack(&lost);
        // Again before all have left: those that wait are not sent twice.
        world.run(10 * MS);
        world.clients[viewer].nack(&lost[lost.len() - 5..]);
        world.run(300 * MS);
        let repairs = if rtx {
            world.clients[viewer].viewer().repairs.clone()
        } else {
            let all = world.clients[viewer].received(MediaKind::Video);
            all.into_iter().filter(|packet| lost.contains(&(packet.index as u16)) && packet.index < last).collect()
        };
        assert_eq!(repairs.len(), lost.len());
        assert_eq!(world.dropped(0, "retransmission_waits"), 5);
        // Repeats leave at the pace.
        let at_once = repairs.iter().filter(|repair| repair.at == repairs[0].at).count();
        assert!(at_once <= limits::PACKETS_PER_VISIT_MAX, "{at_once}");
        // Packets of one picture share a timestamp.
        let all = world.clients[viewer].received(MediaKind::Video);
        for repair in &repairs {
            let index =
                if rtx { u64::from(u16::from_be_bytes([repair.payload[0], repair.payload[1]])) } else { repair.index };
            let neighbours =
                all.iter().filter(|packet| packet.index as u16 == (index as u16).wrapping_sub(1) && !packet.marker);
            neighbours.for_each(|neighbour| assert_eq!(neighbour.timestamp, repair.timestamp));
        }
    }
}

/// What follows an older key frame cannot be dropped on its way: a thin connection would be busy with it, and its sound would wait.
#[test]
fn who_comes_on_a_connection_begins_with_a_key_frame_of_now() {
    for (age_ms, is_asked_for) in [(100, false), (1_000, true), (1_900, true)] {
        let (mut world, publisher) = world_with_one_key_frame(age_ms * MS);
        let viewer = world.join(&Opening { tcp: true, ..Opening::viewer(0) });
        world.run(500 * MS);
        let asked = !world.clients[publisher].publisher().key_frame_requests.is_empty();
        assert_eq!(asked, is_asked_for, "{age_ms} ms: its publisher is asked for one");
        let begun = !world.clients[viewer].received(MediaKind::Video).is_empty();
        assert_eq!(begun, !is_asked_for, "{age_ms} ms: it is sent the ring's");
        let now = world.now;
        world.clients[publisher].publish_frame(30, true, now);
        world.run(500 * MS);
        let received = world.clients[viewer].received(MediaKind::Video);
        assert!(received.len() > 30, "{age_ms} ms: {} packets", received.len());
        if is_asked_for {
            assert!(inspect(Codec::H264, &received[1].payload).key_frame_start && received[0].at >= now, "{age_ms} ms");
        }
    }
}

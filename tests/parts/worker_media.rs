//! Media through production workers on a simulated network: what is published is what every viewer gets.

use std::collections::HashSet;
use std::time::Duration;

use crate::worker_support::{MS, Opening, Packet, STREAM, World};
use corecast::description::MediaKind;
use corecast::time::Timestamp;
use corecast::transport::PathAddress;
use corecast::wire::codec::{Codec, h264, inspect};

/// Where in `published` the received packets begin. Parameter sets are the same in every key frame: two packets tell.
fn start_of(published: &[Packet], received: &[Packet]) -> Option<usize> {
    let len = received.len().min(2);
    published.windows(len).position(|window| window.iter().zip(received).all(|(p, r)| p.payload == r.payload))
}

/// What the viewer's timestamps are more than the publisher's, in the end: the first may be squeezed.
fn offset_in_the_end(published: &[Packet], received: &[Packet]) -> u32 {
    let last = received.last().expect("something came");
    let original = published.iter().rfind(|packet| packet.payload == last.payload).expect("it was published");
    last.timestamp.wrapping_sub(original.timestamp)
}

/// The received packets are the published ones from some key frame (audio: packet) on, without a hole, once each.
#[track_caller]
fn assert_forwarded(published: &[Packet], received: &[Packet], what: &str) {
    assert!(!received.is_empty(), "{what}: nothing arrived");
    let start = start_of(published, received).unwrap_or_else(|| panic!("{what}: what arrived was never published"));
    let offset = offset_in_the_end(published, received);
    for (at, packet) in received.iter().enumerate() {
        let original = &published[start + at];
        assert!(packet.payload == original.payload, "{what}: payload of packet {at}");
        assert_eq!(packet.index, received[0].index + at as u64, "{what}: a hole before packet {at}");
        assert_eq!(packet.marker, original.marker, "{what}: marker of packet {at}");
        let moved = packet.timestamp.wrapping_sub(original.timestamp).wrapping_sub(offset) as i32;
        let is_live = original.at > received[0].at + 600 * MS;
        assert!(moved == 0 || moved > 0 && !is_live, "{what}: timestamp of packet {at} is {moved} ticks off");
    }
    let after = &published[start + received.len()..];
    assert!(after.iter().all(|packet| packet.at + 5 * MS > received.last().unwrap().at), "{what}: it stopped early");
}

#[track_caller]
fn assert_plays(world: &World, publisher: usize, viewer: usize) {
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let published = world.clients[publisher].published(kind);
        let received = world.clients[viewer].received(kind);
        assert_forwarded(&published, &received, &format!("viewer {viewer}, {kind:?}"));
    }
    let first = &world.clients[viewer].received(MediaKind::Video)[0];
    assert!(h264::parameter_sets(&first.payload).count() == 2, "a viewer starts with parameter sets");
}

#[test]
fn every_viewer_on_every_worker_gets_what_is_published() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(9);
    world.run(500 * MS);
    let viewers: Vec<usize> = (0..6).map(|i| world.join(&Opening { rtx: i < 4, ..Opening::viewer(i % 2) })).collect();
    world.run(Duration::from_secs(3));
    for &viewer in &viewers {
        assert_plays(&world, publisher, viewer);
        let client = &world.clients[viewer];
        assert!(client.received(MediaKind::Video).len() > 700 && client.received(MediaKind::Audio).len() > 130);
        for (kind, payload_type, mid) in [(MediaKind::Audio, 109, b"0"), (MediaKind::Video, 102, b"1")] {
            assert!(client.received(kind).iter().all(|p| p.payload_type == payload_type && p.mid == mid));
        }
        let (video, audio) = (client.received(MediaKind::Video), client.received(MediaKind::Audio));
        assert!(video[0].index <= 0x7fff && audio[0].index <= 0x7fff, "RFC 3711 §3.3.1");
        assert_eq!(client.refused, 0);
    }
    let firsts: HashSet<u64> =
        viewers.iter().map(|&viewer| world.clients[viewer].received(MediaKind::Video)[0].index).collect();
    assert_eq!(firsts.len(), viewers.len(), "every viewer has numbers of its own");
    let (origin, edge) = (world.report(0), world.report(1));
    assert!(origin.lane_packets_sent > 0 && origin.lane_packets_sent == edge.lane_packets_received);
    let dropped: u64 = origin.dropped.values().chain(edge.dropped.values()).sum();
    assert_eq!(dropped, 0, "{:?} {:?}", origin.dropped, edge.dropped);
    let feedback = world.clients[publisher].publisher();
    assert!(feedback.transport_feedback >= 30, "every 60 ms: {}", feedback.transport_feedback);
    assert!(feedback.receiver_reports >= 6 && feedback.nacked.is_empty());
}

#[test]
fn what_a_late_viewer_is_sent_from_the_ring_is_not_told_as_time_in_the_node() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(9);
    for _ in 0..2 {
        // The first viewer comes 200 ms after a key frame, the second much later.
        world.run(200 * MS);
        let before = world.clients[publisher].published(MediaKind::Video).len();
        let viewer = world.join(&Opening::viewer(0));
        world.run(600 * MS);
        let published = world.clients[publisher].published(MediaKind::Video);
        let received = world.clients[viewer].received(MediaKind::Video);
        assert!(start_of(&published, &received).is_some_and(|start| start < before) || world.clients.len() > 2);
        let residence = world.report(0).residence;
        let classes: HashSet<(&str, &str)> = residence.iter().map(|told| (told.class, told.viewer)).collect();
        assert!(classes.is_superset(&HashSet::from([("delta", "first"), ("delta", "last"), ("audio", "first")])));
        assert!(residence.iter().all(|told| told.max_us < 5_000), "{residence:?}");
    }
}

#[test]
fn one_byte_of_padding_makes_a_frame_one_train() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(9);
    world.run(300 * MS);
    world.take_trains(0);
    let before = world.clients[viewer].received(MediaKind::Video).len();
    world.run(1_000 * MS);
    let address = world.clients[viewer].address;
    let trains = world.take_trains(0);
    let runs: Vec<usize> =
        trains.iter().filter(|train| train.path.remote() == address).map(|train| train.datagrams.len()).collect();
    let frames = runs.iter().filter(|&&run| run > 1).count();
    assert_eq!(runs.iter().filter(|&&run| run == 9).count(), frames, "each frame is one run of nine: {runs:?}");
    assert!(frames >= 29);
    let received = world.clients[viewer].received(MediaKind::Video);
    let padded = received[before..].iter().filter(|packet| packet.padding > 0).count();
    assert!(padded > 0 && received.iter().all(|packet| packet.padding <= 1 && !(packet.marker && packet.padding > 0)));
}

#[test]
fn a_busy_worker_holds_video_for_its_frames_end_and_never_audio() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(0));
    let now = world.now;
    world.clients[publisher].publish_frame(12, true, now);
    world.run(20 * MS);
    for _ in 0..5 {
        world.nodes[0].busy = true;
        world.run(210 * MS);
    }
    // The first packets of a frame arrive, its last ones are late.
    let mut number = 0;
    let publisher_at = publisher;
    world.filter = Box::new(move |hop| {
        if hop.client == publisher_at && !hop.to_client && hop.bytes.len() > 1_000 {
            number += 1;
            return number <= 4;
        }
        true
    });
    let before = world.clients[viewer].received(MediaKind::Video).len();
    let sent_at = world.now;
    world.clients[publisher].publish_frame(9, false, sent_at);
    world.clients[publisher].publish_audio(sent_at);
    world.run(20 * MS);
    let arrived = |packets: &[Packet]| packets.last().map(|packet| packet.at.since(sent_at));
    let video = world.clients[viewer].received(MediaKind::Video)[before..].to_vec();
    assert_eq!(video.len(), 4);
    assert_eq!(arrived(&video), Some(2 * MS + corecast::limits::FRAME_HOLD_MAX));
    assert_eq!(arrived(&world.clients[viewer].received(MediaKind::Audio)), Some(2 * MS));
}

#[test]
fn sender_reports_follow_the_publishers_and_keep_audio_and_video_together() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let viewers = [world.join(&Opening::viewer(0)), world.join(&Opening::viewer(1))];
    world.clients[publisher].publisher().fragments = Some(4);
    world.run(90 * MS);
    for viewer in viewers {
        assert!(!world.clients[viewer].received(MediaKind::Audio).is_empty());
        assert!(world.clients[viewer].viewer().reports.is_empty(), "nothing is claimed before the publisher has");
    }
    world.run(Duration::from_secs(4));
    // Who joins later gets one at once.
    let late = world.join(&Opening::viewer(1));
    world.run(1_500 * MS);
    for viewer in [viewers[0], viewers[1], late] {
        let reports = world.clients[viewer].viewer().reports.clone();
        let first_media = world.clients[viewer].viewer().received[0].at;
        if viewer == late {
            assert!(reports[0].at.since(first_media) <= MS, "the first report comes with the first packet");
        }
        let of = |kind| -> Vec<_> {
            let ssrc = world.clients[viewer].ssrc(kind);
            reports.iter().filter(|report| report.ssrc == ssrc).collect()
        };
        let (audio, video) = (of(MediaKind::Audio), of(MediaKind::Video));
        assert!(audio.len() >= 2 && video.len() >= 2 || viewer == late && !audio.is_empty());
        // Each report maps its stream to one wall clock; the publisher made both from one clock, so the wall-clock
        // time of its instant zero must be the same for both and all reports (to a tick of the audio clock).
        let started = |reports: &[&crate::worker_support::client::Report], rate: u128, kind| -> Vec<i128> {
            let published = world.clients[publisher].published(kind);
            let received = world.clients[viewer].received(kind);
            let offset = offset_in_the_end(&published, &received);
            let zero = published[0].timestamp.wrapping_add(offset);
            let map = |report: &&crate::worker_support::client::Report| {
                let ticks = u128::from(report.timestamp.wrapping_sub(zero));
                let ntp_us = (u128::from(report.ntp.0) * 1_000_000) >> 32;
                ntp_us as i128 - (ticks * 1_000_000 / rate) as i128
            };
            reports.iter().map(map).collect()
        };
        let zeros: Vec<i128> = started(&audio, 48_000, MediaKind::Audio)
            .into_iter()
            .chain(started(&video, 90_000, MediaKind::Video))
            .collect();
        let spread = zeros.iter().max().unwrap() - zeros.iter().min().unwrap();
        assert!(spread <= 50, "audio and video drift apart: {spread} us");
        let packets: Vec<u32> = video.iter().map(|report| report.packets).collect();
        assert!(packets.is_sorted() && packets[0] > 0);
    }
}

#[test]
fn a_viewer_may_wait_for_the_publisher_on_any_worker() {
    let mut world = World::new(2);
    let viewers = [world.join(&Opening::viewer(0)), world.join(&Opening::viewer(1))];
    world.run(Duration::from_secs(5));
    let publisher = world.join(&Opening::publisher(1));
    world.clients[publisher].publisher().fragments = Some(5);
    world.run(Duration::from_secs(1));
    for viewer in viewers {
        assert_plays(&world, publisher, viewer);
        assert!(world.clients[viewer].received(MediaKind::Video).len() > 100);
    }
}

#[test]
fn another_publisher_continues_the_viewers_numbers_and_time() {
    let mut world = World::new(2);
    let first = world.join(&Opening::publisher(0));
    let viewers = [world.join(&Opening::viewer(0)), world.join(&Opening::viewer(1))];
    world.clients[first].publisher().fragments = Some(6);
    world.run(Duration::from_secs(1));
    world.clients[first].publisher().fragments = None;
    world.run(10 * MS);
    let left_at = world.now;
    world.delete(first);
    let counts: Vec<usize> =
        viewers.iter().map(|&viewer| world.clients[viewer].received(MediaKind::Video).len()).collect();
    world.run(Duration::from_secs(3));

    // Another SSRC, other numbers, the other worker.
    let second = world.join(&Opening { first: (30_000, 3_000_000_000), ..Opening::publisher(1) });
    world.clients[second].publisher().fragments = Some(8);
    world.run(Duration::from_secs(1));
    for (&viewer, count) in viewers.iter().zip(counts) {
        for (kind, rate) in [(MediaKind::Audio, 48_000_u64), (MediaKind::Video, 90_000)] {
            let all = world.clients[viewer].received(kind);
            for pair in all.windows(2) {
                assert_eq!(pair[1].index, pair[0].index + 1, "{kind:?}: the numbers continue");
            }
            let at = all.iter().position(|packet| packet.at > left_at).expect("it plays on");
            let passed = all[at].at.since(all[at - 1].at);
            let ticks = u64::from(all[at].timestamp.wrapping_sub(all[at - 1].timestamp));
            let expected = passed.as_millis() as u64 * rate / 1_000;
            assert!(ticks.abs_diff(expected) <= rate / 100, "{kind:?}: {ticks} ticks for {passed:?}");
            let published = world.clients[second].published(kind);
            assert_forwarded(&published, &all[at..], "the second publisher");
        }
        let at = count;
        let all = world.clients[viewer].received(MediaKind::Video);
        assert_eq!(h264::parameter_sets(&all[at].payload).count(), 2, "it goes on with a key frame");
    }
    // The reports speak of the second publisher's numbers: never of both.
    world.run(Duration::from_secs(2));
    for viewer in viewers {
        let client = &mut world.clients[viewer];
        let (ssrc, last) = (client.sources.video, client.received(MediaKind::Video).last().unwrap().clone());
        let report = *client.viewer().reports.iter().rev().find(|report| report.ssrc == ssrc).unwrap();
        let behind = last.timestamp.wrapping_sub(report.timestamp) as i32;
        assert!(behind.abs() < 2 * 90_000, "the report is {behind} ticks from the media");
    }
}

#[test]
fn a_publisher_that_returns_at_once_on_the_same_worker_continues_too() {
    let mut world = World::new(2);
    let first = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(1));
    world.clients[first].publisher().fragments = Some(3);
    world.run(500 * MS);
    world.delete(first);
    let second = world.join(&Opening { first: (5, 42), ..Opening::publisher(0) });
    world.clients[second].publisher().fragments = Some(3);
    world.run(500 * MS);
    let all = world.clients[viewer].received(MediaKind::Video);
    assert!(all.windows(2).all(|pair| pair[1].index == pair[0].index + 1));
    let since = world.clients[second].published(MediaKind::Video)[0].at;
    let at = all.iter().position(|packet| packet.at > since).expect("it plays on");
    assert_forwarded(&world.clients[second].published(MediaKind::Video), &all[at..], "the second publisher");
}

#[test]
fn padding_only_probes_leave_no_hole() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let viewers = [world.join(&Opening::viewer(0)), world.join(&Opening::viewer(1))];
    for frame in 0..30 {
        let now = world.now;
        world.clients[publisher].publish_frame(3, frame == 0, now);
        for _ in 0..frame % 5 {
            world.clients[publisher].publish_probe(now);
        }
        world.run(33 * MS);
    }
    for viewer in viewers {
        let received = world.clients[viewer].received(MediaKind::Video);
        assert_forwarded(&world.clients[publisher].published(MediaKind::Video), &received, "after probes");
    }
    assert_eq!(world.dropped(0, "uplink_probe"), 60);
    assert!(world.clients[publisher].publisher().nacked.is_empty());
}

#[test]
fn parameter_sets_are_put_before_a_key_frame_that_lacks_them() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let early = world.join(&Opening::viewer(0));
    let now = world.now;
    world.clients[publisher].publish_frame(3, true, now);
    world.run(33 * MS);
    // The encoder announced them once and never again.
    world.clients[publisher].publisher().parameter_sets = false;
    let now = world.now;
    world.clients[publisher].publish_frame(3, false, now);
    world.run(2_000 * MS);
    let late = world.join(&Opening::viewer(1));
    let now = world.now;
    world.clients[publisher].publish_frame(3, true, now);
    world.run(33 * MS);
    let received = world.clients[late].received(MediaKind::Video);
    assert_eq!(received.len(), 4 + 3 + 4, "what came since the key frame before, too");
    let received = &received[4 + 3..];
    assert_eq!(h264::parameter_sets(&received[0].payload).count(), 2);
    assert!(inspect(Codec::H264, &received[1].payload).key_frame_start);
    assert!(received.iter().all(|packet| packet.timestamp == received[0].timestamp));
    let received = world.clients[early].received(MediaKind::Video);
    assert_eq!(received.len(), 4 + 3 + 4);
    assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1));
}

#[test]
fn streams_do_not_mix() {
    let mut world = World::new(2);
    let other = corecast::worker::mailbox::StreamId(2);
    let publishers = [
        world.join(&Opening::publisher(0)),
        world.join(&Opening { stream: other, first: (9, 9_000), ..Opening::publisher(0) }),
    ];
    let viewers = [world.join(&Opening::viewer(1)), world.join(&Opening { stream: other, ..Opening::viewer(1) })];
    for publisher in publishers {
        world.clients[publisher].publisher().fragments = Some(3);
    }
    world.run(1_000 * MS);
    for (publisher, viewer) in publishers.into_iter().zip(viewers) {
        assert_plays(&world, publisher, viewer);
    }
    assert_eq!(world.clients[viewers[0]].stream, STREAM);
    assert!(world.now > Timestamp::ZERO);
}

#[test]
fn however_many_start_with_one_key_frame_each_gets_its_first_report_soon() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let now = world.now;
    world.clients[publisher].publish_frame(1, true, now);
    world.clients[publisher].send_sender_reports(now);
    world.run(1_000 * MS);
    let viewers: Vec<usize> = (0..300).map(|_| world.open(&Opening::viewer(0))).collect();
    world.run(1_000 * MS);
    // They all wait for this one; their reports compete with its packets for room in the batch.
    let now = world.now;
    world.clients[publisher].publish_frame(1, true, now);
    world.run(900 * MS);
    for viewer in viewers {
        let first_media = world.clients[viewer].viewer().received[0].at;
        let first = world.clients[viewer].viewer().reports.first().expect("a report").at;
        assert!(first.since(first_media) <= corecast::limits::SENDER_REPORT_RETRY, "viewer {viewer}");
    }
}

#[test]
fn sessions_on_a_connection_and_on_udp_share_a_worker_and_each_keeps_to_its_path() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening { tcp: true, ..Opening::publisher(0) });
    world.clients[publisher].publisher().fragments = Some(9);
    world.run(500 * MS);
    let over_tcp = world.join(&Opening { tcp: true, ..Opening::viewer(0) });
    let over_udp = world.join(&Opening::viewer(0));
    world.take_trains(0);
    world.run(Duration::from_secs(2));
    for viewer in [over_tcp, over_udp] {
        assert_plays(&world, publisher, viewer);
    }
    // The same bytes: what both have is equal to the last packet.
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let payloads = |viewer: usize| -> Vec<Vec<u8>> {
            let received = world.clients[viewer].received(kind);
            received.into_iter().rev().take(80).map(|packet| packet.payload).collect()
        };
        assert_eq!(payloads(over_tcp), payloads(over_udp));
        assert_eq!(payloads(over_tcp).len(), 80);
    }
    let trains = world.take_trains(0);
    for (client, is_tcp) in [(publisher, true), (over_tcp, true), (over_udp, false)] {
        let address = world.clients[client].address;
        let own: Vec<_> = trains.iter().filter(|train| train.path.remote() == address).collect();
        assert!(own.len() > 1, "something was sent to client {client}");
        assert!(own.iter().all(|train| matches!(train.path, PathAddress::Tcp(_)) == is_tcp));
        assert!(client == publisher || own.iter().any(|train| train.datagrams.len() > 3), "fragments travel as trains");
    }
    // Nothing is left of the paths with their sessions.
    for client in [over_tcp, over_udp, publisher] {
        world.delete(client);
    }
    assert_eq!(world.nodes[0].worker.holdings().flows, 0);
}

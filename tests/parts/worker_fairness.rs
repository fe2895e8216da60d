//! What one client can make a worker spend for it, and what a worker does for a client that lacks something.

use std::time::Duration;

use corecast::description::MediaKind;
use corecast::limits;
use corecast::time::Timestamp;
use corecast::worker::mailbox::{Notice, StreamId};

use crate::worker_support::{Hop, MS, Opening, World};

/// Bytes of media that reached a viewer, and of repeats.
fn bytes_of(world: &mut World, viewer: usize) -> (usize, usize) {
    let viewer = world.clients[viewer].viewer();
    let sum = |packets: &[crate::worker_support::Packet]| packets.iter().map(|packet| packet.payload.len()).sum();
    (sum(&viewer.received), sum(&viewer.repairs))
}

#[test]
fn a_publisher_over_its_ceiling_is_told_and_what_is_over_it_goes_nowhere() {
    let mut world = World::with_ceiling(1, 3_000);
    let flood = world.join(&Opening::publisher(0));
    let audience = world.join(&Opening::viewer(0));
    let honest = world.join(&Opening { stream: StreamId(2), ..Opening::publisher(0) });
    let neighbour = world.join(&Opening { stream: StreamId(2), ..Opening::viewer(0) });
    world.clients[honest].publisher().fragments = Some(4);
    // 40 packets of 1,150 bytes in a frame, 30 frames a second: 11 Mbit/s of a ceiling of 3.
    world.clients[flood].publisher().fragments = Some(40);
    world.run(3_000 * MS);
    let (received, _) = bytes_of(&mut world, audience);
    let ceiling = 3_000 * 125;
    assert!(received < ceiling * 4 + ceiling / 50, "a second at once and then the ceiling: {received}");
    assert!(received > ceiling * 2, "{received}");
    assert!(world.dropped(0, "uplink_over_bitrate") > 1_000);
    let told = world.clients[flood].publisher().ceilings.clone();
    assert!(told.iter().all(|told| told.abs_diff(3_000_000) < 3_000), "{told:?}");
    assert!((1..=4).contains(&told.len()), "{told:?}");
    assert!(world.session(flood).unwrap().why.contains("publisher_bitrate_max_kbps = 3000"));
    // Nobody asks for what it was not sent, and the neighbours notice nothing.
    assert!(world.clients[flood].publisher().nacked.is_empty());
    assert!(world.clients[honest].publisher().ceilings.is_empty());
    world.run(50 * MS);
    let (published, played) =
        (world.clients[honest].published(MediaKind::Video), world.clients[neighbour].received(MediaKind::Video));
    assert!(published.len() - played.len() < 20, "{} of {}", played.len(), published.len());
}

#[test]
fn a_publisher_without_sender_reports_is_given_a_clock_from_arrival_until_it_sends_one() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(1));
    world.clients[publisher].publisher().reports = false;
    world.clients[publisher].publisher().fragments = Some(2);
    world.run(limits::SENDER_REPORT_MISSING - 100 * MS);
    assert!(world.clients[viewer].viewer().reports.is_empty(), "nothing is claimed so soon");
    world.run(4_000 * MS);
    let why = world.session(publisher).unwrap().why;
    assert!(why.contains("audio comes without sender reports") && why.contains("video"), "{why}");
    let reports = world.clients[viewer].viewer().reports.clone();
    // The wall-clock time of one instant, as each kind's newest report has it.
    let instant_us = |kind, rate: i128| {
        let ssrc = world.clients[viewer].ssrc(kind);
        let report = reports.iter().rfind(|report| report.ssrc == ssrc).expect("a report of each kind");
        let (published, received) = (world.clients[publisher].published(kind), world.clients[viewer].received(kind));
        let sent = published.iter().find(|packet| packet.payload == received[0].payload).unwrap();
        let offset = received[0].timestamp.wrapping_sub(sent.timestamp);
        let ticks = i128::from(report.timestamp.wrapping_sub(offset).wrapping_sub(sent.timestamp).cast_signed());
        let sent_us = sent.at.since(Timestamp::ZERO).as_micros() as i128;
        (((u128::from(report.ntp.0) * 1_000_000) >> 32) as i128) - ticks * 1_000_000 / rate - sent_us
    };
    let (audio, video) = (instant_us(MediaKind::Audio, 48_000), instant_us(MediaKind::Video, 90_000));
    assert!((audio - video).abs() < 2_000, "sound and picture are {} us apart", audio - video);
    // It reports after all: nothing is made any more.
    world.clients[publisher].publisher().reports = true;
    world.run(3_000 * MS);
    assert_eq!(world.session(publisher).unwrap().why, "");
}

#[test]
fn a_path_that_passes_no_full_packet_is_named_once_and_no_longer_repeated_for() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let [tunnelled, honest] = [(); 2].map(|()| world.join(&Opening::viewer(0)));
    world.clients[publisher].publisher().fragments = Some(5);
    let mut last_of_frame = 0;
    world.filter = Box::new(move |hop: &Hop<'_>| {
        // One full packet in two hundred comes through, so that the client knows of a stream at all.
        last_of_frame += u64::from(hop.bytes.len() > 1_000);
        hop.client != tunnelled || !hop.to_client || hop.bytes.len() <= 1_000 || last_of_frame % 200 == 0
    });
    for viewer in [tunnelled, honest] {
        world.clients[viewer].viewer().nacks = true;
    }
    let session = world.clients[tunnelled].session;
    let mut repeated = Vec::new();
    for _ in 0..12 {
        world.run(2_000 * MS);
        repeated.push(world.session(tunnelled).unwrap().retransmitted.packets);
    }
    let told = world.noticed.iter().filter(|notice| **notice == Notice::PathTooNarrow { session }).count();
    assert_eq!(told, 1);
    assert!(world.dropped(0, "retransmission_path_too_narrow") > 100);
    assert_eq!(repeated[5], repeated[11], "not one full packet more: {repeated:?}");
    assert!(world.session(tunnelled).unwrap().why.contains("passes no full packet"));
    assert!(world.session(honest).unwrap().why.is_empty());
    assert!(world.clients[honest].missing().is_empty());
}

#[test]
fn a_viewer_has_half_of_what_it_is_sent_again_and_a_lossy_one_lacks_nothing() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let [greedy, lossy] = [(); 2].map(|()| world.join(&Opening::viewer(0)));
    world.clients[publisher].publisher().fragments = Some(8);
    world.clients[lossy].viewer().nacks = true;
    let mut count = 0;
    world.filter = Box::new(move |hop: &Hop<'_>| {
        let is_media = hop.client == lossy && hop.to_client && hop.bytes.len() > 1_000;
        count += u64::from(is_media);
        !is_media || count % 4 != 1
    });
    for _ in 0..120 {
        world.run(100 * MS);
        // Everything again.
        let newest = world.clients[greedy].received(MediaKind::Video).last().map_or(0, |packet| packet.index);
        let asked: Vec<u16> = (newest.saturating_sub(23)..=newest).map(|index| (index & 0xffff) as u16).collect();
        world.clients[greedy].nack(&asked);
    }
    let (media, again) = bytes_of(&mut world, greedy);
    let most = media * limits::REPAIR_PERCENT_MAX as usize / 100 + limits::REPAIR_CREDIT_BYTES_MAX as usize;
    assert!(again <= most + most / 50, "{again} of {media}");
    assert!(again > media / 3, "{again} of {media}");
    assert!(world.dropped(0, "retransmission_over_rate") > 100);
    world.clients[publisher].publisher().fragments = None;
    world.run(500 * MS);
    assert!(world.clients[lossy].missing().is_empty());
}

#[test]
fn after_a_stop_of_the_node_no_sound_is_sent_that_lay_in_its_socket_for_longer_than_a_viewer_may_lag() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(2);
    world.run(2_000 * MS);
    let before = world.clients[viewer].received(MediaKind::Audio).len();
    world.nodes[0].stalled = true;
    world.run(Duration::from_secs(5));
    world.nodes[0].stalled = false;
    world.run(1_000 * MS);
    let published = world.clients[publisher].published(MediaKind::Audio);
    let received = world.clients[viewer].received(MediaKind::Audio);
    assert!(received.len() > before + 40, "it goes on");
    let first = received[before].index;
    for (number, packet) in (first..).zip(&received[before..]) {
        let sent = published.iter().find(|sent| sent.payload == packet.payload).unwrap();
        let age = packet.at.since(sent.at);
        assert!(age <= limits::CURSOR_LAG_MAX + 10 * MS, "{age:?} old");
        assert_eq!(packet.index, number, "without a hole");
    }
}

//! Sound towards a viewer that loses packets: repeated on request where it is near, and redundant (RFC 2198) where it is far.

use std::time::Duration;

use crate::worker_support::{MS, Opening, Packet, World};
use corecast::description::MediaKind;
use corecast::limits;
use corecast::wire::red;
use corecast::wire::rtcp::{ReportBlock, nack, receiver_report};

const RED: u8 = 63;

/// A publisher, and a viewer that takes redundant sound, this far away.
fn world(one_way: Duration) -> (World, usize, usize) {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(1));
    let viewer = world.join(&Opening { red: Some(RED), ..Opening::viewer(0) });
    world.route(crate::worker_support::STREAM);
    world.latency = one_way;
    world.clients[publisher].publisher().fragments = Some(2);
    world.run(3_000 * MS);
    (world, publisher, viewer)
}

/// The viewer's receiver report for sound: what tells the node how far away it is.
fn report(world: &mut World, viewer: usize) {
    let now = world.now;
    let client = &mut world.clients[viewer];
    let ssrc = client.ssrc(MediaKind::Audio);
    let heard = *client.viewer().reports.iter().rfind(|report| report.ssrc == ssrc).expect("the node reports");
    let block = ReportBlock {
        ssrc,
        last_sender_report: heard.ntp.middle(),
        delay_since_last_sender_report: (now.since(heard.at).as_micros() * 65_536 / 1_000_000) as u32,
        ..ReportBlock::default()
    };
    client.peer.send_rtcp(&mut client.out, |slot| receiver_report::write(slot, 1, &[block])).expect("room");
}

/// The viewer asks for its newest packets of sound again.
fn ask_again(world: &mut World, viewer: usize, count: usize) {
    let client = &mut world.clients[viewer];
    let ssrc = client.ssrc(MediaKind::Audio);
    let heard = client.received(MediaKind::Audio);
    let missing: Vec<u16> = heard.iter().rev().take(count).map(|packet| packet.index as u16).collect();
    client.peer.send_rtcp(&mut client.out, |slot| nack::write(slot, 1, ssrc, &missing)).expect("room");
}

/// What of the sound is heard, by its RTP timestamp, when each packet's blocks are played; having checked its numbers.
fn heard(received: &[Packet]) -> Vec<(u32, Vec<u8>)> {
    let mut heard = std::collections::BTreeMap::new();
    for packet in received {
        if packet.payload_type != RED {
            heard.insert(packet.timestamp, packet.payload.clone());
            continue;
        }
        for block in red::read(&packet.payload, limits::RED_BLOCK_PAYLOAD_TYPE).expect("RFC 2198") {
            let timestamp = packet.timestamp.wrapping_sub(block.timestamp_offset);
            let before = heard.insert(timestamp, block.payload.to_vec());
            assert!(before.is_none_or(|before| before == block.payload), "a copy is what it is a copy of");
        }
    }
    heard.into_iter().collect()
}

#[test]
fn who_is_far_and_loses_sound_gets_it_redundant_until_nothing_is_lost_any_more() {
    let (mut world, publisher, viewer) = world(80 * MS);
    report(&mut world, viewer);
    world.run(400 * MS);
    ask_again(&mut world, viewer, 2);
    world.run(200 * MS);
    report(&mut world, viewer);
    world.run(2_000 * MS);
    let received = world.clients[viewer].received(MediaKind::Audio);
    let first = received.iter().position(|packet| packet.payload_type == RED).expect("it is redundant now");
    let redundant = &received[first + 2..];
    assert!(redundant.len() > 50 && redundant.iter().all(|packet| packet.payload_type == RED));
    for packet in redundant {
        let blocks = red::read(&packet.payload, limits::RED_BLOCK_PAYLOAD_TYPE).expect("RFC 2198");
        let offsets: Vec<u32> = blocks.iter().map(|block| block.timestamp_offset).collect();
        assert_eq!(offsets, [1_920, 960, 0]);
    }
    // Two packets of three lost, and all is heard.
    let thinned: Vec<Packet> = received[..first].iter().chain(received[first..].iter().step_by(3)).cloned().collect();
    let (all, thinned) = (heard(&received), heard(&thinned));
    assert!(all.len() - thinned.len() <= 2, "{} of {}", thinned.len(), all.len());
    assert!(all.windows(2).all(|pair| pair[1].0 - pair[0].0 == 960), "no gap where it went over");
    let published = world.clients[publisher].published(MediaKind::Audio);
    assert!(all.iter().all(|(_, payload)| published.iter().any(|packet| packet.payload == *payload)));
    assert!(received.windows(2).filter(|pair| pair[1].index == pair[0].index + 1).count() >= received.len() - 3);
    for _ in 0..35 {
        report(&mut world, viewer);
        world.run(1_000 * MS);
    }
    let received = world.clients[viewer].received(MediaKind::Audio);
    assert_ne!(received.last().expect("sound").payload_type, RED, "nothing was lost for a while");
    assert!(heard(&received).windows(2).all(|pair| pair[1].0 - pair[0].0 == 960), "nor where it came back");
}

#[test]
fn who_is_near_has_what_it_lost_repeated_and_who_is_far_and_loses_nothing_has_neither() {
    for (one_way, asks) in [(10 * MS, true), (80 * MS, false)] {
        let (mut world, _, viewer) = world(one_way);
        for _ in 0..3 {
            report(&mut world, viewer);
            if asks {
                ask_again(&mut world, viewer, 2);
            }
            world.run(500 * MS);
        }
        let received = world.clients[viewer].received(MediaKind::Audio);
        assert!(received.iter().all(|packet| packet.payload_type != RED), "{one_way:?}");
        // It has them already, and its SRTP says so.
        assert_eq!(world.clients[viewer].refused > 0, asks, "{one_way:?}");
    }
}

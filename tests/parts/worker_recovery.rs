//! Loss on either side, key-frame requests, and viewers that fall behind.

use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

use crate::worker_support::sealed_once::SealedTwice;
use crate::worker_support::{Hop, MS, Opening, Packet, STREAM, SealedOnce, World};
use corecast::description::MediaKind;
use corecast::limits;
use corecast::transport::SendResult;
use corecast::wire::codec::{Codec, h264, inspect};
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::rtp::RtpHeader;
use corecast::worker::mailbox::{Control, EndReason, StreamId};

/// What a viewer has in the end, repairs put where they belong: index and payload.
fn assembled(world: &World, viewer: usize) -> Vec<(u64, Vec<u8>)> {
    let client = &world.clients[viewer];
    let mut all: Vec<(u64, Vec<u8>)> =
        client.received(MediaKind::Video).into_iter().map(|packet| (packet.index, packet.payload)).collect();
    let newest = all.iter().map(|&(index, _)| index).max().unwrap();
    let crate::worker_support::client::Role::Viewer(role) = &client.role else { panic!("a publisher") };
    for repair in &role.repairs {
        let (original, payload) = repair.payload.split_at(2);
        let index = corecast::wire::sequence::extend(newest, u16::from_be_bytes([original[0], original[1]]));
        all.push((index, payload.to_vec()));
    }
    all.sort();
    all.dedup();
    all
}

/// The viewer has everything published since its first packet, in its place.
#[track_caller]
fn assert_complete(world: &World, publisher: usize, viewer: usize) {
    let published = world.clients[publisher].published(MediaKind::Video);
    let all = assembled(world, viewer);
    assert!(all.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "viewer {viewer}: a hole is left");
    let start = published.windows(2).position(|pair| pair[0].payload == all[0].1 && pair[1].payload == all[1].1);
    for ((index, payload), original) in all.iter().zip(&published[start.expect("it was published")..]) {
        assert!(*payload == original.payload, "viewer {viewer}: the payload of {index}");
    }
}

fn is_video(bytes: &[u8], ssrc: u32) -> bool {
    demux::classify(bytes) == DatagramKind::Rtp && RtpHeader::parse(bytes).is_ok_and(|header| header.ssrc == ssrc)
}

#[test]
fn a_nack_is_answered_with_rtx_of_the_same_payload() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(1));
    world.clients[publisher].publisher().fragments = Some(5);
    world.run(1_000 * MS);
    let received = world.clients[viewer].received(MediaKind::Video);
    let asked: Vec<&Packet> = received.iter().skip(received.len() - 30).step_by(7).collect();
    let sequences: Vec<u16> = asked.iter().map(|packet| (packet.index & 0xffff) as u16).collect();
    world.clients[viewer].nack(&sequences);
    world.run(5 * MS);
    let rtx = world.clients[viewer].sources.video_rtx.unwrap();
    let repairs = &world.clients[viewer].viewer().repairs;
    assert_eq!(repairs.len(), asked.len());
    for (repair, original) in repairs.iter().zip(asked) {
        assert_eq!(repair.payload[..2], ((original.index & 0xffff) as u16).to_be_bytes(), "RFC 4588 §4");
        assert!(repair.payload[2..] == original.payload);
        assert_eq!((repair.ssrc, repair.payload_type), (rtx, 103));
        assert_eq!((repair.timestamp, repair.marker), (original.timestamp, original.marker));
        assert_eq!(repair.mid, original.mid);
    }
    let report = world.session(viewer).unwrap();
    assert_eq!((report.retransmitted.packets, report.nacks_received), (5, 5));
}

#[test]
fn a_viewer_without_rtx_gets_the_identical_datagram() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening { rtx: false, ..Opening::viewer(0) });
    world.clients[viewer].keeps_datagrams = true;
    world.clients[publisher].publisher().fragments = Some(5);
    world.run(500 * MS);
    world.clients[publisher].publisher().fragments = None;
    world.run(10 * MS);
    // Padded and unpadded packets, and one with the marker.
    let received = world.clients[viewer].received(MediaKind::Video);
    let newest = received.last().unwrap().index;
    let sequences: Vec<u16> = (newest - 12..=newest).map(|index| (index & 0xffff) as u16).collect();
    assert!(received.iter().rev().take(13).any(|packet| packet.padding > 0));
    let before = world.clients[viewer].datagrams.len();
    let repeats = world.sealed_once.repeats;
    world.clients[viewer].nack(&sequences);
    world.run(10 * MS);
    let ssrc = world.clients[viewer].sources.video;
    let (first, again) = world.clients[viewer].datagrams.split_at(before);
    let again: Vec<_> = again.iter().filter(|(_, bytes)| is_video(bytes, ssrc)).collect();
    assert_eq!(again.len(), sequences.len());
    for (_, bytes) in again {
        assert!(first.iter().any(|(_, original)| original == bytes), "byte for byte what was sent");
    }
    assert_eq!(world.sealed_once.repeats - repeats, sequences.len() as u64);
    assert_eq!(world.clients[viewer].refused, sequences.len() as u64, "the client had them already");
}

#[test]
fn one_viewer_that_asks_for_everything_does_not_take_the_others_place() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let [greedy, honest] = [0, 0].map(|worker| world.join(&Opening::viewer(worker)));
    world.clients[publisher].publisher().fragments = Some(5);
    world.run(1_000 * MS);
    let asked = world.clients[honest].received(MediaKind::Video);
    let asked = asked[asked.len() - 10].clone();
    let newest = world.clients[greedy].received(MediaKind::Video).last().unwrap().index as u16;
    let everything: Vec<u16> = (0..100).map(|back| newest.wrapping_sub(back)).rev().collect();
    for _ in 0..250 {
        world.clients[greedy].nack(&everything);
    }
    world.clients[honest].nack(&[asked.index as u16]);
    world.run(20 * MS);
    assert!(world.dropped(0, "retransmission_viewer_over_share") > 10_000, "{:?}", world.report(0).dropped);
    assert_eq!(world.dropped(0, "retransmission_queue_full"), 0);
    assert!(world.clients[honest].viewer().repairs.iter().any(|repair| repair.payload[2..] == asked.payload));
}

#[test]
fn a_nack_for_what_was_never_sent_is_not_answered() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(5);
    world.run(300 * MS);
    let received = world.clients[viewer].received(MediaKind::Video);
    let (first, newest) = (received[0].index as u16, received.last().unwrap().index as u16);
    let never = [newest + 500, newest + 501, newest + 0x7000, first - 1, first.wrapping_sub(900)];
    for sequence in never {
        world.clients[viewer].nack(&[sequence]);
    }
    world.run(5 * MS);
    assert!(world.clients[viewer].viewer().repairs.is_empty());
    assert_eq!(world.dropped(0, "retransmission_never_sent"), never.len() as u64);
}

#[test]
fn what_the_uplink_loses_is_asked_for_and_forwarded_late_once() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let viewers = [world.join(&Opening::viewer(0)), world.join(&Opening { rtx: false, ..Opening::viewer(1) })];
    let ssrc = world.clients[publisher].sources.video;
    let lost = Rc::new(Cell::new(0));
    let counter = Rc::clone(&lost);
    world.filter = Box::new(move |hop: &Hop<'_>| {
        let lose = hop.client == publisher && !hop.to_client && is_video(hop.bytes, ssrc) && hop.number % 13 == 6;
        counter.set(counter.get() + u64::from(lose));
        !lose
    });
    world.clients[publisher].publisher().fragments = Some(7);
    world.run(3_000 * MS);
    world.filter = Box::new(|_| true);
    world.clients[publisher].publisher().fragments = None;
    world.run(200 * MS);
    assert!(lost.get() > 40);
    for viewer in viewers {
        assert_complete(&world, publisher, viewer);
        let mut indexes: Vec<u64> =
            world.clients[viewer].received(MediaKind::Video).iter().map(|packet| packet.index).collect();
        let count = indexes.len();
        indexes.sort_unstable();
        indexes.dedup();
        assert_eq!(indexes.len(), count, "each once");
    }
    let report = world.report(0);
    let video = report.streams[0].encodings.iter().find(|encoding| encoding.kind == "video").unwrap();
    assert_eq!((video.recovered, video.lost), (lost.get(), 0));
    let asked = world.clients[publisher].publisher().nacked.clone();
    assert_eq!(asked.len() as u64, lost.get(), "each is asked for once on a fast path");
    assert!(world.clients[publisher].publisher().key_frame_requests.len() <= 2);
}

#[test]
fn a_distant_publisher_is_asked_once_for_each_packet_as_soon_as_its_round_trip_is_known() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    world.latency = 100 * MS;
    let ssrc = world.clients[publisher].sources.video;
    world.filter = Box::new(move |hop: &Hop<'_>| {
        !(hop.client == publisher && !hop.to_client && is_video(hop.bytes, ssrc) && hop.number % 13 == 6)
    });
    world.clients[publisher].publisher().fragments = Some(7);
    world.run(3_000 * MS);
    let known = world.now;
    world.run(3_000 * MS);
    let asked = world.clients[publisher].publisher().nacked.clone();
    let early: Vec<u16> = asked.iter().filter(|(at, _)| *at < known).map(|&(_, sequence)| sequence).collect();
    assert!(early.iter().collect::<HashSet<_>>().len() < early.len(), "50 ms are assumed at first, and it is 200");
    let late: Vec<u16> = asked.iter().filter(|(at, _)| *at >= known).map(|&(_, sequence)| sequence).collect();
    assert!(late.len() > 40, "{}", late.len());
    assert_eq!(late.iter().collect::<HashSet<_>>().len(), late.len(), "each is asked for once: {late:?}");
    let rtt_us = world.session(publisher).unwrap().rtt_us;
    assert!((200_000..=202_000).contains(&rtt_us), "{rtt_us}");
}

#[test]
fn each_gap_is_asked_for_after_its_own_grace() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().answers_nacks = false;
    let ssrc = world.clients[publisher].sources.video;
    let mut number = 0;
    world.filter = Box::new(move |hop: &Hop<'_>| {
        if hop.client == publisher && !hop.to_client && is_video(hop.bytes, ssrc) {
            number += 1;
            // One packet of the second frame, one of the third, 15 ms later: the first is being waited for then.
            return number != 7 && number != 12;
        }
        true
    });
    let mut sent = Vec::new();
    for frame in 0..6 {
        let now = world.now;
        sent.push(now);
        world.clients[publisher].publish_frame(if frame == 0 { 4 } else { 5 }, frame == 0, now);
        world.run(15 * MS);
    }
    world.run(20 * MS);
    let asked = world.clients[publisher].publisher().nacked.clone();
    let first_of = |sequence: u16| asked.iter().find(|&&(_, asked)| asked == sequence).expect("it is asked for").0;
    let mut sequences: Vec<u16> = asked.iter().map(|&(_, sequence)| sequence).collect();
    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), 2, "{asked:?}");
    for (sequence, frame) in sequences.into_iter().zip([1, 2]) {
        let waited = first_of(sequence).since(sent[frame]);
        assert_eq!(waited, limits::NACK_GRACE + 2 * MS, "sequence {sequence}");
    }
}

#[test]
fn a_hundred_viewers_requests_become_one_per_interval_until_the_key_frame() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(2);
    world.run(200 * MS);
    let viewers: Vec<usize> = (0..100).map(|i| world.open(&Opening::viewer(i % 2))).collect();
    world.run(2_000 * MS);
    assert!(viewers.iter().all(|&viewer| !world.clients[viewer].received(MediaKind::Video).is_empty()));
    world.run(1_000 * MS);
    let role = world.clients[publisher].publisher();
    role.answers_requests = false;
    role.key_frame_requests.clear();
    let asked_at = world.now;
    // All of them ask once; nobody repeats it. The node does.
    for &viewer in &viewers {
        world.clients[viewer].request_key_frame();
    }
    world.run(2_600 * MS);
    let requests = world.clients[publisher].publisher().key_frame_requests.clone();
    assert_eq!(requests.len(), 6, "at 0, 0.5, 1, 1.5, 2 and 2.5 s: {requests:?}");
    assert!(requests[0].since(asked_at) <= 3 * MS);
    for pair in requests.windows(2) {
        assert!(pair[1].since(pair[0]) >= limits::KEY_FRAME_REQUEST_INTERVAL - MS, "{pair:?}");
    }
    // The encoder gives in; nobody asks any more.
    world.clients[publisher].publisher().answers_requests = true;
    world.run(600 * MS);
    world.clients[publisher].publisher().key_frame_requests.clear();
    world.run(3_000 * MS);
    assert!(world.clients[publisher].publisher().key_frame_requests.is_empty());

    // A request inside the interval is deferred, not dropped.
    for delay in [0, 100] {
        world.run(delay * MS);
        world.clients[viewers[0]].request_key_frame();
        world.run(40 * MS);
    }
    world.run(1_000 * MS);
    assert_eq!(world.clients[publisher].publisher().key_frame_requests.len(), 2);
}

#[test]
fn one_viewer_does_not_set_the_rate_of_everybodys_key_frames() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let [greedy, honest] = [(); 2].map(|()| world.join(&Opening::viewer(0)));
    world.clients[publisher].publisher().fragments = Some(4);
    world.clients[publisher].publisher().answers_requests = true;
    world.run(2_000 * MS);
    world.clients[publisher].publisher().key_frame_requests.clear();
    for _ in 0..24 {
        world.clients[greedy].request_key_frame();
        world.run(500 * MS);
    }
    let requests = world.clients[publisher].publisher().key_frame_requests.len();
    assert!((4..=7).contains(&requests), "{requests} key frames in 12 s");
    assert!(world.dropped(0, "key_frame_requests_over_rate") > 10);
    // Another one's wish is not refused for it.
    world.clients[honest].request_key_frame();
    world.run(600 * MS);
    assert_eq!(world.clients[publisher].publisher().key_frame_requests.len(), requests + 1);
}

#[test]
fn a_viewer_whose_trains_were_refused_recovers_by_nack_and_nobody_else_notices() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening::publisher(0));
    let [slow, plain, other] = [true, false, true].map(|rtx| world.join(&Opening { rtx, ..Opening::viewer(0) }));
    world.clients[publisher].publisher().fragments = Some(6);
    world.run(500 * MS);
    for viewer in [slow, plain] {
        world.clients[viewer].viewer().nacks = true;
    }
    let refused = [world.clients[slow].address, world.clients[plain].address];
    let mut left = 14;
    world.nodes[0].io.set_verdict(Some(Box::new(move |to, train, _| {
        if refused.contains(&to.remote()) && train.segments > 1 && left > 0 {
            left -= 1;
            return if left % 4 == 0 { SendResult::Failed(1) } else { SendResult::Full };
        }
        SendResult::Sent
    })));
    world.run(2_000 * MS);
    world.clients[publisher].publisher().fragments = None;
    world.run(200 * MS);
    for viewer in [slow, plain, other] {
        assert_complete(&world, publisher, viewer);
    }
    assert!(world.dropped(0, "socket_buffer_full") > 30 && world.dropped(0, "send_failed") > 0);
    assert!(world.clients[other].viewer().repairs.is_empty());
    assert!(!world.clients[slow].viewer().repairs.is_empty());
    assert!(world.sealed_once.repeats > 0, "without RTX the same ciphertext goes out again");
}

#[test]
fn a_viewer_that_lags_skips_to_a_key_frame_without_a_hole_in_its_numbers() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let [near, far] = [0, 1].map(|worker| world.join(&Opening::viewer(worker)));
    world.clients[publisher].publisher().fragments = Some(6);
    world.run(1_000 * MS);
    world.nodes[1].stalled = true;
    for _ in 0..4 {
        world.run(500 * MS);
        world.clients[near].request_key_frame();
    }
    world.run(100 * MS);
    world.nodes[1].stalled = false;
    world.run(1_000 * MS);
    let published = world.clients[publisher].published(MediaKind::Video);
    let received = world.clients[far].received(MediaKind::Video);
    assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "no gap is invented");
    let places: Vec<usize> = {
        let mut from = published.iter().position(|p| p.payload == received[1].payload).unwrap() - 1;
        let find = |packet: &Packet| {
            let at = from + published[from..].iter().position(|p| p.payload == packet.payload).expect("in order");
            from = at + 1;
            at
        };
        received.iter().map(find).collect()
    };
    // Parameter sets are the same each time, so a jump to them may be found one packet later.
    let begins = |at: usize| {
        let hints = inspect(Codec::H264, &published[at].payload);
        hints.key_frame_start || hints.has_parameter_sets
    };
    let jumps: Vec<usize> = places.windows(2).filter(|pair| pair[1] != pair[0] + 1).map(|pair| pair[1]).collect();
    assert!(!jumps.is_empty() && jumps.iter().all(|&at| begins(at)), "{jumps:?}");
    assert!(places.last().unwrap() + 20 > published.len(), "it is at the live edge again");
    assert!(world.dropped(1, "cursor_skips") > 0);
    assert_eq!(world.dropped(0, "cursor_skips"), 0);
    // What was skipped lay before; what was sent is still repeated, and right.
    let asked = received[received.len() - 10].clone();
    world.clients[far].nack(&[asked.index as u16]);
    world.run(5 * MS);
    assert!(world.clients[far].viewer().repairs[0].payload[2..] == asked.payload);
}

#[test]
fn what_was_sent_before_a_skip_is_still_repeated_by_the_numbers_it_had() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let [near, far] = [0, 1].map(|worker| world.join(&Opening::viewer(worker)));
    world.clients[publisher].publisher().fragments = Some(2);
    world.run(1_000 * MS);
    let before = world.clients[far].received(MediaKind::Video).last().unwrap().clone();
    world.nodes[1].stalled = true;
    world.run(1_300 * MS);
    world.clients[near].request_key_frame();
    world.run(100 * MS);
    world.nodes[1].stalled = false;
    world.run(200 * MS);
    assert!(world.dropped(1, "cursor_skips") > 0);
    let after = world.clients[far].received(MediaKind::Video).last().unwrap().clone();
    assert!(after.index > before.index + 2);
    for asked in [before, after] {
        world.clients[far].viewer().repairs.clear();
        world.clients[far].nack(&[asked.index as u16]);
        world.run(5 * MS);
        let repairs = &world.clients[far].viewer().repairs;
        assert_eq!(repairs.len(), 1, "{}", asked.index);
        assert!(repairs[0].payload[2..] == asked.payload && repairs[0].timestamp == asked.timestamp);
    }
}

#[test]
fn a_full_lane_is_counted_and_its_viewers_go_on_from_a_key_frame_without_a_hole() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let [near, far] = [0, 1].map(|worker| world.join(&Opening::viewer(worker)));
    world.clients[publisher].publisher().fragments = Some(14);
    world.run(500 * MS);
    world.nodes[1].stalled = true;
    world.run(6_000 * MS);
    assert!(world.dropped(0, "lane_full") > 100);
    let resumed = world.now;
    world.nodes[1].stalled = false;
    // Nobody asks: the worker knows of the gap.
    world.run(1_550 * MS);
    assert_complete(&world, publisher, near);
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let received = world.clients[far].received(kind);
        assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "{kind:?}");
        assert!(received.last().is_some_and(|packet| packet.at > resumed + 1_400 * MS), "{kind:?}");
    }
    let received = world.clients[far].received(MediaKind::Video);
    let published = world.clients[publisher].published(MediaKind::Video);
    let live = published.iter().position(|packet| packet.at > resumed).expect("it goes on");
    let is_live = |packet: &Packet| published[live..].iter().any(|live| live.payload == packet.payload);
    let fresh = received.iter().position(is_live).expect("video came");
    let tail = &received[fresh..];
    assert_eq!(h264::parameter_sets(&tail[0].payload).count(), 2, "it begins with a key frame");
    assert!(tail.len() > 300 && tail[0].at < resumed + 300 * MS);
    assert!(published.windows(2).any(|pair| pair[0].payload == tail[0].payload && pair[1].payload == tail[1].payload));
}

#[test]
fn a_format_lost_in_a_full_lane_comes_before_the_next_packet_that_finds_room() {
    let mut world = World::new(2);
    let other = StreamId(2);
    let loud = world.join(&Opening { stream: other, ..Opening::publisher(0) });
    world.join(&Opening { stream: other, ..Opening::viewer(1) });
    let waiting = world.join(&Opening::viewer(1));
    world.clients[loud].publisher().fragments = Some(14);
    world.run(500 * MS);
    world.nodes[1].stalled = true;
    world.run(6_000 * MS);
    // The last free bytes of the lane, to less than a format takes.
    for _ in 0..40 {
        let now = world.now;
        world.clients[loud].send_sender_reports(now);
        world.run(MS);
    }
    let publisher = world.open(&Opening::publisher(0));
    world.clients[publisher].publisher().fragments = Some(3);
    world.run(500 * MS);
    assert!(!world.clients[publisher].published(MediaKind::Video).is_empty());
    world.nodes[1].stalled = false;
    world.run(500 * MS);
    assert!(!world.clients[waiting].received(MediaKind::Video).is_empty(), "video");
    assert!(!world.clients[waiting].received(MediaKind::Audio).is_empty(), "audio");
}

/// Nothing of its stream waits in the lane when packets begin to be lost there: it has sent all before the gap.
#[test]
fn a_viewer_that_has_sent_all_before_a_gap_goes_on_from_a_key_frame() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(1));
    world.clients[publisher].publisher().fragments = Some(3);
    world.run(500 * MS);
    world.clients[publisher].publisher().fragments = None;
    let other = StreamId(2);
    let loud = world.join(&Opening { stream: other, ..Opening::publisher(0) });
    world.join(&Opening { stream: other, ..Opening::viewer(1) });
    world.clients[loud].publisher().fragments = Some(14);
    world.run(500 * MS);
    world.nodes[1].stalled = true;
    world.run(6_000 * MS);
    let (before, full) = (world.dropped(0, "lane_full"), world.now);
    assert!(before > 0);
    world.clients[publisher].publisher().fragments = Some(3);
    world.run(300 * MS);
    world.nodes[1].stalled = false;
    world.run(1_500 * MS);
    let published = world.clients[publisher].published(MediaKind::Video);
    let received = world.clients[viewer].received(MediaKind::Video);
    let first = received.iter().find(|packet| packet.at > full).expect("it goes on");
    assert_eq!(h264::parameter_sets(&first.payload).count(), 2, "with a key frame");
    let after = published.iter().find(|packet| packet.at > full).expect("it was sent");
    assert!(received.iter().all(|packet| packet.payload != after.payload), "and something was lost");
}

/// Signalling's routes overtake each other's workers: the publisher's worker hears that nobody listens and that somebody
/// listens again while the listening worker has had a viewer all the time.
#[test]
fn a_viewer_that_comes_as_the_last_one_leaves_starts_behind_what_its_worker_missed() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let first = world.join(&Opening::viewer(1));
    world.clients[publisher].publisher().fragments = Some(3);
    world.run(300 * MS);
    // It opens while the first one leaves: the stream stays on its worker, with the packets it has.
    let second = world.open(&Opening::viewer(1));
    world.delete(first);
    world.route_to(STREAM, &[]);
    world.run(100 * MS);
    world.route(STREAM);
    world.run(2_000 * MS);
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let received = world.clients[second].received(kind);
        assert!(received.len() > 50, "{kind:?}: {} packets", received.len());
        assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "{kind:?} has a hole");
    }
}

/// The same when the publisher's worker is told only that somebody listens, as before.
#[test]
fn a_worker_that_lost_its_last_viewer_and_got_another_unnoticed_is_introduced_again() {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let first = world.join(&Opening::viewer(1));
    world.clients[publisher].publisher().fragments = Some(3);
    world.run(300 * MS);
    let (worker, session) = (world.clients[first].worker, world.clients[first].session);
    world.control(worker, Control::Close { session, reason: EndReason::Left });
    world.clients[first].is_open = false;
    world.rejoined(STREAM, 1);
    let second = world.open(&Opening::viewer(1));
    // Less than the time to the publisher's next report, which would tell the format as well.
    world.run(400 * MS);
    assert!(!world.clients[second].received(MediaKind::Video).is_empty(), "video");
    assert!(!world.clients[second].received(MediaKind::Audio).is_empty(), "audio");
}

#[test]
fn sequence_numbers_wrap_and_retransmission_goes_on() {
    let mut world = World::new(1);
    let publisher = world.join(&Opening { first: (32_700, 1), ..Opening::publisher(0) });
    let viewer = world.join(&Opening::viewer(0));
    world.clients[publisher].publisher().fragments = Some(60);
    let mut packets = 0;
    while packets < 70_000 {
        world.run(500 * MS);
        let received = world.clients[viewer].received(MediaKind::Video);
        assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1));
        packets += received.len();
        world.clients[viewer].viewer().received.clear();
        world.clients[publisher].publisher().published.clear();
    }
    world.run(100 * MS);
    let received = world.clients[viewer].received(MediaKind::Video);
    let asked = received[received.len() - 5].clone();
    assert!(asked.index > 1 << 16);
    assert!(world.clients[publisher].publisher().video.next_index() > 1 << 16);
    world.clients[viewer].nack(&[(asked.index & 0xffff) as u16]);
    world.run(5 * MS);
    assert!(world.clients[viewer].viewer().repairs[0].payload[2..] == asked.payload);
    assert_eq!(world.clients[viewer].refused, 0);
}

#[test]
fn the_checker_finds_two_packets_under_one_nonce() {
    let packet = |sequence: u16, ssrc: u32, payload: u8| {
        let [high, low] = sequence.to_be_bytes();
        let mut bytes = vec![0x80, 102, high, low, 0, 0, 0, 9];
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend([payload; 20]);
        bytes
    };
    let mut checker = SealedOnce::default();
    assert_eq!(checker.observe(1, &packet(65_535, 7, 1)), Ok(()));
    assert_eq!(checker.observe(1, &packet(65_535, 7, 1)), Ok(()), "the same bytes may go out again");
    assert_eq!(checker.observe(1, &packet(0, 7, 2)), Ok(()), "the rollover counter moved on");
    assert_eq!(checker.observe(1, &packet(65_535, 8, 3)), Ok(()), "another source");
    assert_eq!(checker.observe(2, &packet(65_535, 7, 4)), Ok(()), "another key");
    let violation = checker.observe(1, &packet(65_535, 7, 2));
    assert_eq!(violation, Err(SealedTwice { key: 1, ssrc: 7, index: 65_535 }));
    let report = |index: u8, payload: u8| {
        [vec![0x80, 200, 0, 1, 0, 0, 0, 7], vec![payload; 20], vec![0x80, 0, 0, index]].concat()
    };
    assert_eq!(checker.observe(1, &report(1, 1)), Ok(()));
    assert_eq!(checker.observe(1, &report(2, 2)), Ok(()));
    assert!(checker.observe(1, &report(1, 2)).is_err());
}

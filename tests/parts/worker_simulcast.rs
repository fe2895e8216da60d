//! A publisher whose picture comes in three encodings, some of which stop and come back, and viewers on its worker and on another.

use std::time::Duration;

use crate::worker_support::{MS, Opening, Packet, RID, World};
use corecast::description::MediaKind;
use corecast::lab::peer::client::OutgoingRtp;
use corecast::lab::peer::terms::PUBLISH;
use corecast::relay::store::numbers::{EncodingId, TrackId};
use corecast::worker::mailbox::Control;
use corecast::worker::report::EncodingReport;

const FRAME: Duration = Duration::from_millis(33);
const RIDS: &[&str] = &["h", "m", "l"];
/// Bytes of each encoding's packets, three a picture.
const BYTES: [usize; 3] = [1_100, 500, 150];
/// What an encoder takes for a key frame that it is asked for, with the way there and back.
const KEY_FRAME_PICTURES: u64 = 2;

fn encoding(rid: usize) -> EncodingId {
    TrackId::new(1).expect("video is the second track").encoding(rid).expect("there are three")
}

fn ssrc(rid: usize) -> u32 {
    0x5000 + rid as u32
}

/// A browser with three encodings, of which some are paused.
struct Browser {
    client: usize,
    picture: u64,
    next_index: [u64; 3],
    sending: [bool; 3],
    /// When a key frame of each encoding is due.
    key_frame: [Option<u64>; 3],
}

impl Browser {
    fn join(world: &mut World, worker: usize) -> Self {
        let client = world.join(&Opening { rids: RIDS, ..Opening::publisher(worker) });
        let publisher = world.clients[client].publisher();
        (publisher.fragments, publisher.reports) = (None, false);
        Self { client, picture: 0, next_index: [500, 9_000, 30_000], sending: [true; 3], key_frame: [Some(0); 3] }
    }

    /// Pauses an encoding or goes on with it: with a key frame, as encoders do.
    fn send(&mut self, rid: usize, sending: bool) {
        self.sending[rid] = sending;
        self.key_frame[rid] = Some(self.picture);
    }

    /// So many pictures of every encoding that is not paused.
    fn publish(&mut self, world: &mut World, pictures: u64) {
        for _ in 0..pictures {
            let n = self.picture;
            self.picture += 1;
            for wanted in std::mem::take(&mut world.clients[self.client].publisher().key_frames_of) {
                let rid = (0..3).find(|&rid| ssrc(rid) == wanted).expect("a source of its own");
                self.key_frame[rid].get_or_insert(n + KEY_FRAME_PICTURES);
            }
            for rid in (0..3).filter(|&rid| self.sending[rid]) {
                let is_key = self.key_frame[rid].is_some_and(|due| due <= n);
                if is_key {
                    self.key_frame[rid] = None;
                }
                for packet in 0..3_u8 {
                    let mut payload = vec![if is_key && packet == 0 { 0x65 } else { 0x41 }, 0x80 | rid as u8, n as u8];
                    payload.resize(BYTES[rid], packet);
                    let outgoing = OutgoingRtp {
                        ssrc: ssrc(rid),
                        index: self.next_index[rid],
                        timestamp: (rid as u32 * 1_000_000).wrapping_add(n as u32 * 33 * 90),
                        payload_type: PUBLISH.video,
                        marker: packet == 2,
                        extensions: &[(PUBLISH.mid, b"1"), (RID, RIDS[rid].as_bytes())],
                        payload: &payload,
                        padding: 0,
                    };
                    self.next_index[rid] += 1;
                    let client = &mut world.clients[self.client];
                    client.peer.send_rtp(&mut client.out, &outgoing).expect("room and keys");
                }
            }
            world.run(FRAME);
        }
    }

    /// The sources that key frames were asked of, taken before they are answered.
    fn asked(&self, world: &mut World) -> Vec<usize> {
        let asked = &world.clients[self.client].publisher().key_frames_of;
        (0..3).filter(|&rid| asked.contains(&ssrc(rid))).collect()
    }
}

fn rid_of(packet: &Packet) -> usize {
    usize::from(packet.payload[1] & 0x7f)
}

/// The rids that a viewer was sent, one after the other, having checked its numbers, and its longest wait for a packet.
fn seen(world: &World, viewer: usize) -> (Vec<usize>, Duration) {
    let received = world.clients[viewer].received(MediaKind::Video);
    let mut longest = Duration::ZERO;
    for pair in received.windows(2) {
        assert_eq!(pair[1].index, pair[0].index + 1, "no hole and nothing twice");
        assert!(pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 1 << 31, "time goes on");
        longest = longest.max(pair[1].at.since(pair[0].at));
    }
    let mut rids: Vec<usize> = received.iter().map(rid_of).collect();
    rids.dedup();
    (rids, longest)
}

fn encodings(world: &mut World, worker: usize) -> Vec<EncodingReport> {
    let report = world.report(worker);
    let encodings = report.streams.into_iter().flat_map(|stream| stream.encodings);
    let mut video: Vec<_> = encodings.filter(|encoding| encoding.kind == "video").collect();
    video.sort_by_key(|encoding| RIDS.iter().position(|rid| *rid == encoding.rid));
    video
}

#[test]
fn every_encoding_is_received_measured_and_reported_on() {
    let mut world = World::new(1);
    let mut browser = Browser::join(&mut world, 0);
    browser.publish(&mut world, 90);
    let encodings = encodings(&mut world, 0);
    let told: Vec<_> = encodings.iter().map(|encoding| (encoding.rid.as_str(), encoding.alive)).collect();
    assert_eq!(told, [("h", true), ("m", true), ("l", true)]);
    for (encoding, bytes) in encodings.iter().zip(BYTES) {
        // Three packets a picture, 30.3 pictures a second, with what a viewer's packet has beside the payload.
        let expected = (bytes + corecast::limits::VIEWER_PACKET_OVERHEAD_BYTES) as u64 * 3 * 8 * 1_000 / 33;
        assert!(encoding.bits_per_second.abs_diff(expected) < expected / 10, "{encoding:?} {expected}");
        assert!((29..=31).contains(&encoding.frames_per_second), "{encoding:?}");
        assert_eq!((encoding.stored.packets, encoding.lost), (270, 0), "{encoding:?}");
    }
    let publisher = world.clients[browser.client].publisher();
    assert!((0..3).all(|rid| publisher.reported_on.contains(&ssrc(rid))), "{:x?}", publisher.reported_on);
}

#[test]
fn a_viewer_begins_in_the_middle_and_each_is_sent_the_one_that_was_chosen_for_it() {
    let mut world = World::new(1);
    let mut browser = Browser::join(&mut world, 0);
    browser.publish(&mut world, 30);
    let viewers = [0; 4].map(|worker| world.join(&Opening::viewer(worker)));
    browser.publish(&mut world, 10);
    for (rid, viewer) in viewers.into_iter().take(3).enumerate() {
        let session = world.clients[viewer].session;
        world.control(0, Control::Select { session, encoding: encoding(rid) });
    }
    browser.publish(&mut world, 30);
    for (viewer, expected) in viewers.into_iter().zip([&[1, 0][..], &[1], &[1, 2], &[1]]) {
        assert_eq!(seen(&world, viewer).0, expected);
    }
    let viewers: Vec<_> = encodings(&mut world, 0).iter().map(|encoding| encoding.viewers).collect();
    assert_eq!(viewers, [1, 2, 1]);
}

#[test]
fn a_viewer_whose_network_will_be_known_begins_at_the_lowest() {
    for publisher_worker in [0, 1] {
        let mut world = World::new(2);
        let mut browser = Browser::join(&mut world, publisher_worker);
        browser.publish(&mut world, 30);
        let viewer = world.join(&Opening { transport_cc: true, ..Opening::viewer(0) });
        browser.publish(&mut world, 15);
        assert_eq!(seen(&world, viewer).0, [2]);
    }
}

#[test]
fn a_viewer_falls_when_its_encoding_stops_and_rises_when_it_is_back() {
    for publisher_worker in [0, 1] {
        let mut world = World::new(2);
        let mut browser = Browser::join(&mut world, publisher_worker);
        browser.publish(&mut world, 30);
        let [high, other] = [0, 1].map(|_| world.join(&Opening::viewer(0)));
        browser.publish(&mut world, 10);
        let session = world.clients[high].session;
        world.control(0, Control::Select { session, encoding: encoding(0) });
        browser.publish(&mut world, 60);
        assert_eq!(seen(&world, high).0, [1, 0]);
        browser.send(0, false);
        browser.publish(&mut world, 60);
        assert_eq!(seen(&world, high).0, [1, 0, 1]);
        // The last encodings but one stops as well.
        browser.send(1, false);
        browser.publish(&mut world, 60);
        assert_eq!(seen(&world, high).0, [1, 0, 1, 2]);
        assert_eq!(seen(&world, other).0, [1, 2], "who chose nothing falls too");
        browser.send(0, true);
        browser.send(1, true);
        browser.publish(&mut world, 60);
        let ((rids, longest), (of_other, _)) = (seen(&world, high), seen(&world, other));
        assert_eq!(rids.last(), Some(&0), "{rids:?}");
        assert_eq!(of_other, [1, 2, 1]);
        // What nothing came of for 200 ms has stopped; the key frame takes two pictures.
        assert!(longest <= Duration::from_millis(400), "{longest:?}");
    }
}

#[test]
fn packets_of_an_encoding_cross_only_to_workers_whose_viewers_want_it() {
    let mut world = World::new(2);
    let mut browser = Browser::join(&mut world, 0);
    browser.publish(&mut world, 30);
    let viewer = world.join(&Opening::viewer(1));
    browser.publish(&mut world, 30);
    let stored = |world: &mut World| -> Vec<u64> {
        encodings(world, 1).iter().map(|encoding| encoding.stored.packets).collect()
    };
    let crossed = |world: &mut World, browser: &mut Browser| -> Vec<u64> {
        let before = stored(world);
        browser.publish(world, 30);
        stored(world).into_iter().zip(before).map(|(after, before)| after - before).collect()
    };
    assert_eq!(crossed(&mut world, &mut browser), [0, 90, 0]);
    // The worker knows of all of them nonetheless.
    let told = encodings(&mut world, 1);
    assert!(told.iter().all(|encoding| encoding.alive && encoding.bits_per_second > 0), "{told:?}");
    let session = world.clients[viewer].session;
    world.control(1, Control::Select { session, encoding: encoding(0) });
    browser.publish(&mut world, 30);
    assert_eq!(crossed(&mut world, &mut browser), [90, 0, 0]);
    assert_eq!(seen(&world, viewer).0, [1, 0]);
    world.delete(viewer);
    world.run(50 * MS);
    let sent = world.report(0).lane_packets_sent;
    browser.publish(&mut world, 30);
    assert_eq!(world.report(0).lane_packets_sent, sent, "nobody listens");
}

#[test]
fn nobody_is_asked_for_key_frames_of_an_encoding_that_no_viewer_wants_any_more() {
    let mut world = World::new(2);
    let mut browser = Browser::join(&mut world, 0);
    browser.publish(&mut world, 30);
    let viewers = [0, 1].map(|worker| world.join(&Opening::viewer(worker)));
    browser.publish(&mut world, 60);
    assert!(browser.asked(&mut world).is_empty(), "they play");
    for viewer in viewers {
        let (session, worker) = (world.clients[viewer].session, world.clients[viewer].worker);
        world.control(worker, Control::Select { session, encoding: encoding(0) });
    }
    world.run(100 * MS);
    assert_eq!(browser.asked(&mut world), [0]);
    // Both take their wish back before it was fulfilled.
    world.clients[browser.client].publisher().key_frames_of.clear();
    for viewer in viewers {
        let (session, worker) = (world.clients[viewer].session, world.clients[viewer].worker);
        world.control(worker, Control::Select { session, encoding: encoding(1) });
    }
    world.run(2_000 * MS);
    assert!(browser.asked(&mut world).is_empty());
}

#[test]
fn viewers_of_a_simulcast_publisher_go_on_when_another_publishes_one_encoding() {
    let mut world = World::new(2);
    let mut browser = Browser::join(&mut world, 0);
    browser.publish(&mut world, 30);
    let viewers = [0, 1].map(|worker| world.join(&Opening::viewer(worker)));
    browser.publish(&mut world, 30);
    world.delete(browser.client);
    world.run(100 * MS);
    let next = world.join(&Opening { first: (2_000, 5), ..Opening::publisher(0) });
    world.clients[next].publisher().fragments = Some(3);
    world.run(2_000 * MS);
    let published = world.clients[next].published(MediaKind::Video);
    let newest: Vec<_> = published.iter().rev().take(20).map(|packet| &packet.payload).collect();
    for viewer in viewers {
        let received = world.clients[viewer].received(MediaKind::Video);
        assert!(newest.contains(&&received.last().expect("packets").payload), "viewer {viewer}");
    }
}

//! Pictures' own numbers (VP8's and VP9's) across the change of a publisher's keys: its second transport counts from elsewhere, in each
//! of three encodings, and viewers see one run of numbers. Through production workers.

use std::time::Duration;

use crate::worker_support::{MS, Opening, RID, World};
use corecast::description::{CodecFormat, Description, MediaKind};
use corecast::lab::peer::client::OutgoingRtp;
use corecast::lab::peer::terms::PUBLISH;
use corecast::relay::store::numbers::TrackId;
use corecast::wire::codec::picture_numbers::{self, PictureNumbers};
use corecast::wire::codec::{self, Codec};
use corecast::worker::mailbox::{Control, Rekeyed};

const FRAME: Duration = Duration::from_millis(33);
const RIDS: &[&str] = &["h", "m", "l"];
const PACKETS: u8 = 3;
/// Temporal layers, a base layer every fourth picture.
const TEMPORAL: [u8; 4] = [0, 2, 1, 2];

fn takes(description: &mut Description, wanted: Codec) {
    for media in description.media.iter_mut().filter(|media| media.kind == MediaKind::Video) {
        for codec in &mut media.codecs {
            (codec.codec, codec.format) = (wanted, CodecFormat::Plain);
        }
    }
}

fn takes_vp8(description: &mut Description) {
    takes(description, Codec::Vp8);
}

fn takes_vp9(description: &mut Description) {
    takes(description, Codec::Vp9);
}

/// One of a publisher's transports: its encoders count from where they like.
struct Transport {
    client: usize,
    /// Of each encoding: the next picture's number, TL0PICIDX and KEYIDX, and the picture in the pattern of layers.
    next: [(u16, u8, u8, usize); 3],
    index: u64,
}

impl Transport {
    fn new(client: usize, begin: u16) -> Self {
        let next =
            [0, 1, 2].map(|rid| (begin.wrapping_mul(rid + 1), (begin >> 3) as u8 ^ rid as u8, rid as u8 * 9 + 1, 0));
        Self { client, next, index: 100 + u64::from(begin) }
    }

    fn payload(&mut self, codec: Codec, rid: usize, packet: u8, is_key: bool) -> Vec<u8> {
        let (picture, base, key, place) = &mut self.next[rid];
        if packet == 0 {
            *picture = picture.wrapping_add(1) & 0x7fff;
            *place = if is_key { 0 } else { *place + 1 };
            *base = base.wrapping_add(u8::from(TEMPORAL[*place % 4] == 0));
            *key = key.wrapping_add(u8::from(is_key)) & 31;
        }
        let temporal = TEMPORAL[*place % 4];
        let [high, low] = (*picture | 0x8000).to_be_bytes();
        let mut payload = match codec {
            // RFC 7741 §4.2: X, S; I, L, T and K; P of the frame's header is 0 in a key frame (RFC 6386 §9.1).
            Codec::Vp8 => {
                let first = if packet == 0 { 0x90 } else { 0x80 };
                vec![first, 0xf0, high, low, *base, temporal << 6 | *key, u8::from(!is_key)]
            }
            // RFC 9628 §4.2: I, P, L, B and E; not flexible.
            _ => {
                let begins = u8::from(packet == 0) << 3 | u8::from(packet + 1 == PACKETS) << 2;
                vec![0xa0 | u8::from(!is_key) << 6 | begins, high, low, temporal << 5, *base]
            }
        };
        payload.resize(300 + 100 * rid, rid as u8);
        payload
    }

    /// One picture of each encoding; key frames of those that `keys` names.
    fn publish(&mut self, world: &mut World, codec: Codec, n: u32, keys: &[usize]) {
        for (rid, name) in RIDS.iter().enumerate() {
            for packet in 0..PACKETS {
                let payload = self.payload(codec, rid, packet, keys.contains(&rid));
                let outgoing = OutgoingRtp {
                    ssrc: 0x5000 + rid as u32 + self.client as u32 * 16,
                    index: self.index + rid as u64 * 7_000 + u64::from(n) * u64::from(PACKETS) + u64::from(packet),
                    timestamp: (self.client as u32 * 77_777_777).wrapping_add(n * 33 * 90),
                    payload_type: PUBLISH.video,
                    marker: packet + 1 == PACKETS,
                    extensions: &[(PUBLISH.mid, b"1"), (RID, name.as_bytes())],
                    payload: &payload,
                    padding: 0,
                };
                let client = &mut world.clients[self.client];
                client.peer.send_rtp(&mut client.out, &outgoing).expect("room and keys");
            }
        }
    }
}

/// Lets `of` connect, and both transports publish, `pictures` of each. The new one's first key frames come one encoding after the
/// other, as encoders make them.
struct Publisher {
    codec: Codec,
    n: u32,
}

impl Publisher {
    fn publish(&mut self, world: &mut World, transports: &mut [&mut Transport], pictures: u32) {
        for picture in 0..pictures {
            for transport in transports.iter_mut() {
                let first = transport.next[0].3 == 0 && transport.next[2].3 == 0 && picture == 0;
                let keys: &[usize] = match picture {
                    _ if first => &[0, 1, 2],
                    8 => &[2],
                    16 => &[0],
                    24 => &[1],
                    _ => &[],
                };
                transport.publish(world, self.codec, self.n, keys);
            }
            self.n += 1;
            world.run(FRAME);
        }
    }
}

fn connected(world: &mut World, client: usize) {
    for _ in 0..100 {
        if world.clients[client].peer.is_connected() {
            return;
        }
        world.run(5 * MS);
    }
    panic!("it did not connect");
}

/// What a viewer was sent, picture by picture: one run of numbers, in which up to `left_out` pictures before a key frame may be
/// missing. Returns how many.
#[track_caller]
fn assert_counted(world: &World, viewer: usize, codec: Codec, left_out: u16) -> usize {
    let received = world.clients[viewer].received(MediaKind::Video);
    assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "packets are one run");
    let mut pictures: Vec<(PictureNumbers, bool, u8)> = Vec::new();
    for packet in &received {
        let numbers = picture_numbers::read(codec, &packet.payload).expect("a descriptor");
        let layer = codec::layer_of(codec, &packet.payload).map_or(0, |layer| layer.temporal);
        let is_key = codec::inspect(codec, &packet.payload).key_frame_start;
        match pictures.last() {
            Some((last, ..)) if last.picture == numbers.picture => assert_eq!(*last, numbers, "of one picture"),
            _ => pictures.push((numbers, is_key, layer)),
        }
    }
    for pair in pictures.windows(2) {
        let [(before, ..), (after, is_key, layer)] = pair else { unreachable!() };
        let number = |numbers: &PictureNumbers| numbers.picture.expect("it has one").0;
        let ahead = number(after).wrapping_sub(number(before)) & 0x7fff;
        if *is_key && (2..=left_out + 1).contains(&ahead) {
            continue;
        }
        assert_eq!(ahead, 1, "{codec:?}: no picture is missing, none comes back");
        let base = before.base_layer.unwrap().wrapping_add(u8::from(*layer == 0));
        assert_eq!(after.base_layer, Some(base), "{codec:?}: {before:?}, {after:?}");
        if codec == Codec::Vp8 {
            let key = (before.key_frame.unwrap() + u8::from(*is_key)) & 31;
            assert_eq!(after.key_frame, Some(key), "{before:?}, {after:?}");
        }
    }
    pictures.len()
}

#[test]
fn viewers_see_one_run_of_picture_numbers_whichever_transport_of_the_publisher_they_are_of() {
    for (codec, terms) in [(Codec::Vp8, takes_vp8 as fn(&mut Description)), (Codec::Vp9, takes_vp9)] {
        let mut world = World::new(2);
        let opening = Opening { rids: RIDS, terms, ..Opening::publisher(0) };
        let first = world.join(&opening);
        let mut publisher = Publisher { codec, n: 0 };
        let mut old = Transport::new(first, 32_700);
        publisher.publish(&mut world, &mut [&mut old], 30);
        let viewers = [(0, 0), (0, 2), (1, 1)].map(|(worker, rid)| {
            let viewer = world.join(&Opening { terms, ..Opening::viewer(worker) });
            let session = world.clients[viewer].session;
            let encoding = TrackId::new(1).unwrap().encoding(rid).unwrap();
            world.control(worker, Control::Select { session, encoding });
            viewer
        });
        publisher.publish(&mut world, &mut [&mut old], 40);
        // Numbers far below, far above, and near to those of the one before.
        for begin in [90, 20_000, 20_200] {
            let new = world.rekey(first, &Opening { first: (1, 1), ..opening.clone() }).expect("it may");
            connected(&mut world, new);
            let mut new = Transport::new(new, begin);
            publisher.publish(&mut world, &mut [&mut old, &mut new], 30);
            let session = world.clients[first].session;
            world.control(0, Control::Switched { session });
            old = new;
            publisher.publish(&mut world, &mut [&mut old], 40);
        }
        assert_eq!(world.rekeyed(first), [Rekeyed::Switched; 3]);
        for viewer in viewers {
            let pictures = assert_counted(&world, viewer, codec, 0);
            assert!(pictures >= 240, "{codec:?}: {pictures}");
        }
    }
}

#[test]
fn numbers_go_on_where_the_old_transport_takes_its_stream_back() {
    let mut world = World::new(1);
    let opening = Opening { rids: RIDS, terms: takes_vp8, ..Opening::publisher(0) };
    let first = world.join(&opening);
    let mut publisher = Publisher { codec: Codec::Vp8, n: 0 };
    let mut old = Transport::new(first, 500);
    publisher.publish(&mut world, &mut [&mut old], 30);
    let viewer = world.join(&Opening { terms: takes_vp8, ..Opening::viewer(0) });
    publisher.publish(&mut world, &mut [&mut old], 30);
    let new = world.rekey(first, &opening).expect("it may");
    connected(&mut world, new);
    let mut new = Transport::new(new, 9_000);
    publisher.publish(&mut world, &mut [&mut old, &mut new], 30);
    let session = world.clients[first].session;
    world.control(0, Control::AbandonRekey { session });
    publisher.publish(&mut world, &mut [&mut old], 60);
    assert_eq!(world.rekeyed(first), [Rekeyed::Abandoned]);
    // What came of the old one until its next key frame is not sent.
    assert!(assert_counted(&world, viewer, Codec::Vp8, 30) > 100);
}

//! A publisher whose picture comes in two codecs (H.264 in two sizes, and a twin in VP8), by records over a lane: every viewer
//! is sent the first that it decodes, and the other while that one is not sent.

use std::time::Duration;

use crate::worker_support::{MS, Opening, Packet, STREAM, World};
use corecast::description::{CodecFormat, Description, MediaKind, NegotiatedCodec};
use corecast::relay::store::address::RecordAddress;
use corecast::relay::store::ladder::{Measured, RidName};
use corecast::relay::store::numbers::{EncodingId, TrackId};
use corecast::relay::store::packet_ring::Layers;
use corecast::relay::store::record::{MediaRecord, PublishedCodec, Record};
use corecast::relay::store::timeline::Incarnation;
use corecast::wire::codec::Codec;
use corecast::worker::mailbox::Notice;

const FRAME: Duration = Duration::from_millis(33);
const VP8_TYPE: u8 = 120;

/// Two sizes of the picture and its twin, in the order of the offer.
const ENCODINGS: [(&str, Codec, u16); 3] = [("l", Codec::H264, 180), ("h", Codec::H264, 720), ("", Codec::Vp8, 720)];

fn encoding(place: usize) -> EncodingId {
    TrackId::new(1).expect("video is the second track").encoding(place).expect("there are three")
}

fn address(place: usize) -> RecordAddress {
    RecordAddress { stream: STREAM, encoding: encoding(place) }
}

fn measured(world: &mut World, alive: [bool; 3]) {
    for (place, (name, codec, height)) in ENCODINGS.into_iter().enumerate() {
        let measured = Measured {
            rid: RidName::new(name.as_bytes()).unwrap(),
            codec: Some(codec),
            bits_per_second: u32::from(height) * 2_000,
            frames_per_second: 30,
            width: height / 9 * 16,
            height,
            alive: alive[place],
        };
        world.tell(address(place), &Record::Rung(measured));
    }
}

/// One picture of each encoding that is sent, of which so many were sent before; its last byte names it.
fn publish(world: &mut World, sent: &mut [u64; 3], n: u64, is_key: bool, alive: [bool; 3]) {
    for (place, _) in alive.into_iter().enumerate().filter(|(_, alive)| *alive) {
        let record = Record::Media(MediaRecord {
            incarnation: Incarnation(9),
            sequence: 100_000 * (place as u64 + 1) + sent[place],
            timestamp: 7_000_000 * place as u32 + n as u32 * 33 * 90,
            arrival: world.now,
            marker: true,
            key_frame: is_key,
            padding: 0,
            layers: Layers::UNKNOWN,
            payload: &[0x10, 0x20, place as u8],
        });
        world.tell(address(place), &record);
        sent[place] += 1;
    }
    world.run(FRAME);
}

/// Every codec of its picture becomes VP8.
fn only_vp8(description: &mut Description) {
    for media in description.media.iter_mut().filter(|media| media.kind == MediaKind::Video) {
        media.codecs.truncate(1);
        for codec in &mut media.codecs {
            (codec.codec, codec.format) = (Codec::Vp8, CodecFormat::Plain);
        }
    }
}

/// VP8 beside what it has, and before that: the publisher's order counts, not the viewer's.
fn also_vp8(description: &mut Description) {
    for media in description.media.iter_mut().filter(|media| media.kind == MediaKind::Video) {
        let vp8 = NegotiatedCodec {
            codec: Codec::Vp8,
            format: CodecFormat::Plain,
            payload_type: VP8_TYPE,
            rtx_payload_type: None,
            ..media.codecs[0].clone()
        };
        media.codecs.insert(0, vp8);
    }
}

/// A stream on which those were measured, and viewers.
fn begin<const N: usize>(alive: Option<[bool; 3]>, openings: [Opening; N]) -> (World, [usize; N]) {
    let mut world = World::with_origin_elsewhere(1);
    for (place, (_, codec, _)) in ENCODINGS.into_iter().enumerate() {
        world.tell(address(place), &Record::Begin);
        let format = match codec {
            Codec::H264 => CodecFormat::H264 { profile_level_id: 0x42_e01f, packetization_mode: 1 },
            _ => CodecFormat::Plain,
        };
        world.tell(address(place), &Record::Format(PublishedCodec { codec, format, clock_rate_hz: 90_000 }));
    }
    if let Some(alive) = alive {
        measured(&mut world, alive);
    }
    let viewers = openings.map(|opening| world.join(&opening));
    world.route(STREAM);
    (world, viewers)
}

/// The places of the encodings a viewer was sent one after the other, without a hole.
fn places(received: &[Packet]) -> Vec<u8> {
    let numbers: Vec<_> = received.iter().map(|packet| (packet.index, packet.payload[2])).collect();
    assert!(numbers.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "a hole, or something twice: {numbers:?}");
    assert!(received.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() >= 0));
    let mut places: Vec<u8> = received.iter().map(|packet| packet.payload[2]).collect();
    places.dedup();
    places
}

fn nothing_fits(world: &World) -> bool {
    world.noticed.iter().any(|notice| matches!(notice, Notice::NothingFits { .. }))
}

#[test]
fn each_viewer_is_sent_the_first_codec_that_it_decodes() {
    const ALL: [bool; 3] = [true; 3];
    let (mut world, [h264, vp8, both]) = begin(
        Some(ALL),
        [
            Opening::viewer(0),
            Opening { terms: only_vp8, ..Opening::viewer(0) },
            Opening { terms: also_vp8, ..Opening::viewer(0) },
        ],
    );
    world.run(10 * MS);
    let mut sent = [0; 3];
    for n in 0..10 {
        publish(&mut world, &mut sent, n, n == 0, ALL);
    }
    let received = |world: &World, viewer: usize| world.clients[viewer].received(MediaKind::Video);
    assert_eq!(places(&received(&world, vp8)), [2]);
    for viewer in [h264, both] {
        let places = places(&received(&world, viewer));
        assert!(!places.is_empty() && !places.contains(&2), "{places:?}");
    }
    assert!(!nothing_fits(&world), "{:?}", world.noticed);

    // The first codec is not sent any more, and then again.
    let only_twin = [false, false, true];
    for (alive, from) in [(only_twin, 10), (ALL, 30)] {
        measured(&mut world, alive);
        world.run(10 * MS);
        for n in from..from + 20 {
            publish(&mut world, &mut sent, n, n == from + 5, alive);
        }
    }
    let seen = places(&received(&world, both));
    assert_eq!(seen.iter().filter(|&&place| place == 2).count(), 1, "{seen:?}");
    assert_ne!(seen.last(), Some(&2), "it comes back");
    let types: Vec<u8> = received(&world, both).iter().filter(|p| p.payload[2] == 2).map(|p| p.payload_type).collect();
    assert!(types.iter().all(|&payload_type| payload_type == VP8_TYPE), "{types:?}");
    assert!(!places(&received(&world, h264)).contains(&2), "it would see nothing");
}

#[test]
fn a_viewer_that_came_before_the_twin_was_sent_goes_over_to_it() {
    let (mut world, [vp8]) = begin(None, [Opening { terms: only_vp8, ..Opening::viewer(0) }]);
    let first = [true, true, false];
    for (place, (_, codec, height)) in ENCODINGS.into_iter().enumerate().filter(|(place, _)| first[*place]) {
        let measured = Measured { codec: Some(codec), height, width: height, alive: true, ..Measured::default() };
        world.tell(address(place), &Record::Rung(measured));
    }
    let mut sent = [0; 3];
    for n in 0..5 {
        publish(&mut world, &mut sent, n, n == 0, first);
    }
    assert_eq!(world.clients[vp8].received(MediaKind::Video).len(), 0);
    assert!(nothing_fits(&world), "its page is told why it sees nothing");
    measured(&mut world, [true; 3]);
    world.run(10 * MS);
    for n in 5..15 {
        publish(&mut world, &mut sent, n, n == 6, [true; 3]);
    }
    assert_eq!(places(&world.clients[vp8].received(MediaKind::Video)), [2]);
}

//! A publisher of three video encodings, whose records come over a lane, and viewers whose pages choose among them: by name, by
//! height, by how large they show the picture, sound only and back. Payloads are VP8, whose pictures must be counted without a gap.

use std::time::Duration;

use crate::worker_support::{MS, Opening, Packet, STREAM, World};
use corecast::description::{CodecFormat, Description, MediaKind};
use corecast::relay::play::selection::HighestLayers;
use corecast::relay::store::address::RecordAddress;
use corecast::relay::store::ladder::{Measured, RidName};
use corecast::relay::store::numbers::{EncodingId, TrackId};
use corecast::relay::store::packet_ring::Layers;
use corecast::relay::store::record::{MediaRecord, PublishedCodec, Record};
use corecast::relay::store::timeline::Incarnation;
use corecast::relay::store::upstream::Wish;
use corecast::wire::codec::vp8::Vp8Descriptor;
use corecast::wire::codec::{self, Codec};
use corecast::worker::layers::{LayerChoice, LayerRequest, LayersTold, NotChosen};
use corecast::worker::mailbox::{Control, Notice, SessionId};

const FRAME: Duration = Duration::from_millis(33);
const PACKETS_PER_FRAME: u64 = 3;
const RIDS: [(&str, u16); 3] = [("q", 180), ("h", 360), ("f", 720)];

fn encoding(rid: usize) -> EncodingId {
    TrackId::new(1).expect("video is the second track").encoding(rid).expect("there are three")
}

fn address(rid: usize) -> RecordAddress {
    RecordAddress { stream: STREAM, encoding: encoding(rid) }
}

fn rid(name: &str) -> LayerChoice {
    LayerChoice::Rid(RidName::new(name.as_bytes()).unwrap())
}

/// A VP8 payload (RFC 7741 §4.2) of picture `n` of an encoding, which counts from its own beginning; its last byte names the
/// encoding.
fn payload(rid: usize, n: u64, packet: u64, temporal: u8, is_key: bool) -> Vec<u8> {
    let picture = (0x7f00 + 100 * rid as u64 + n) as u16 | 0x8000;
    let [high, low] = picture.to_be_bytes();
    let tl0 = (7 * rid as u64 + n / 4) as u8;
    let first = if packet == 0 { 0x90 } else { 0x80 };
    // P of the frame header is 0 in a key frame (RFC 6386 §9.1).
    vec![first, 0xf0, high, low, tl0, temporal << 6 | 0x20 | (rid as u8 + 1), u8::from(!is_key), rid as u8]
}

fn measured(world: &mut World, alive: [bool; 3]) {
    for (place, (name, height)) in RIDS.into_iter().enumerate() {
        let measured = Measured {
            codec: Some(Codec::Vp8),
            rid: RidName::new(name.as_bytes()).unwrap(),
            bits_per_second: u32::from(height) * 2_000,
            frames_per_second: 30,
            width: height / 9 * 16,
            height,
            alive: alive[place],
        };
        world.tell(address(place), &Record::Rung(measured));
    }
}

/// Every encoding's picture number `n`, of the pattern of three temporal layers; a key frame in all of them if `is_key`.
fn publish(world: &mut World, n: u64, is_key: bool) {
    for place in 0..RIDS.len() {
        let temporal = if is_key { 0 } else { [0, 2, 1, 2][(n % 4) as usize] };
        for packet in 0..PACKETS_PER_FRAME {
            let payload = payload(place, n, packet, temporal, is_key);
            let record = Record::Media(MediaRecord {
                incarnation: Incarnation(9),
                sequence: 100_000 * (place as u64 + 1) + n * PACKETS_PER_FRAME + packet,
                timestamp: 7_000_000 * place as u32 + n as u32 * 33 * 90,
                arrival: world.now,
                marker: packet + 1 == PACKETS_PER_FRAME,
                key_frame: is_key && packet == 0,
                padding: 0,
                layers: codec::layer_of(Codec::Vp8, &payload).map_or(Layers::UNKNOWN, Layers::new),
                payload: &payload,
            });
            world.tell(address(place), &record);
        }
    }
    world.run(FRAME);
}

/// The viewer has VP8 under its one payload type of video.
fn takes_vp8(description: &mut Description) {
    for media in description.media.iter_mut().filter(|media| media.kind == MediaKind::Video) {
        for codec in &mut media.codecs {
            (codec.codec, codec.format) = (Codec::Vp8, CodecFormat::Plain);
        }
    }
}

/// A stream on which nothing was sent yet, and a viewer.
fn begin() -> (World, usize, SessionId) {
    let mut world = World::with_origin_elsewhere(1);
    for place in 0..RIDS.len() {
        world.tell(address(place), &Record::Begin);
        let codec = PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 };
        world.tell(address(place), &Record::Format(codec));
    }
    let viewer = world.join(&Opening { terms: takes_vp8, ..Opening::viewer(0) });
    world.route(STREAM);
    measured(&mut world, [true; 3]);
    world.run(10 * MS);
    let session = world.clients[viewer].session;
    (world, viewer, session)
}

fn ask(world: &mut World, session: SessionId, request: LayerRequest) -> Result<(), NotChosen> {
    let (reply, answered) = flume::bounded(1);
    world.control(0, Control::Layers { session, request, reply });
    world.run(MS);
    answered.try_recv().expect("it is answered")
}

fn choose(world: &mut World, session: SessionId, choice: LayerChoice) -> Result<(), NotChosen> {
    ask(world, session, LayerRequest { choice: Some(choice), ..LayerRequest::default() })
}

/// What the viewer's page was told last.
fn told(world: &World) -> LayersTold {
    let told = world.noticed.iter().rev().find_map(|notice| match notice {
        Notice::Layers { told, .. } => Some(told.as_ref().clone()),
        _ => None,
    });
    told.expect("it was told")
}

/// The encodings a viewer was sent one after the other, having checked that its pictures are counted without a gap.
fn rids(received: &[Packet]) -> Vec<usize> {
    let mut before: Option<u16> = None;
    for pair in received.windows(2) {
        assert_eq!(pair[1].index, pair[0].index + 1, "no hole and nothing twice");
    }
    for packet in received {
        let (descriptor, _) = Vp8Descriptor::parse(&packet.payload).unwrap();
        if descriptor.partition_start {
            let number = descriptor.picture_id.unwrap();
            assert!(before.is_none_or(|before| number == (before + 1) & 0x7fff), "{before:?}, then {number}");
            before = Some(number);
        } else {
            assert_eq!(descriptor.picture_id, before, "a picture has one number");
        }
    }
    let mut rids: Vec<usize> = received.iter().map(|packet| usize::from(packet.payload[7])).collect();
    rids.dedup();
    rids
}

#[test]
fn a_page_that_chooses_by_name_is_sent_that_encoding_from_its_key_frame_on() {
    let (mut world, viewer, session) = begin();
    publish(&mut world, 0, true);
    for n in 1..5 {
        publish(&mut world, n, false);
    }
    // It began in the middle.
    choose(&mut world, session, rid("f")).unwrap();
    let heights: Vec<_> = told(&world).layers.iter().map(|layer| (layer.rid.clone(), layer.height)).collect();
    assert_eq!(heights, RIDS.map(|(name, height)| (name.to_owned(), height)));
    publish(&mut world, 5, false);
    assert_eq!(told(&world).current, Some(1), "until its key frame the present one goes on");
    publish(&mut world, 6, true);
    for n in 7..10 {
        publish(&mut world, n, false);
    }
    let told = told(&world);
    assert_eq!((told.current, told.choice, told.why), (Some(2), rid("f"), "chosen"));
    assert_eq!(rids(&world.clients[viewer].received(MediaKind::Video)).last(), Some(&2));
    let unknown = choose(&mut world, session, rid("x"));
    assert_eq!(unknown, Err(NotChosen::NoSuchRid(RIDS.map(|(name, _)| name.to_owned()).to_vec())));
}

#[test]
fn a_height_is_the_most_and_the_shown_height_is_rounded_up() {
    let (mut world, viewer, session) = begin();
    publish(&mut world, 0, true);
    let mut n = 1;
    for (request, current, why) in [
        (LayerRequest { choice: Some(LayerChoice::HeightMax(400)), ..LayerRequest::default() }, 1, "chosen"),
        (LayerRequest { shown_height: Some(100), ..LayerRequest::default() }, 0, "shown_height"),
        (LayerRequest { shown_height: Some(2_000), ..LayerRequest::default() }, 1, "chosen"),
        (LayerRequest { choice: Some(LayerChoice::HeightMax(720)), ..LayerRequest::default() }, 2, "top"),
        (LayerRequest { shown_height: Some(361), ..LayerRequest::default() }, 2, "top"),
        (LayerRequest { shown_height: Some(360), ..LayerRequest::default() }, 1, "shown_height"),
    ] {
        ask(&mut world, session, request).unwrap();
        for is_key in [false, true, false] {
            publish(&mut world, n, is_key);
            n += 1;
        }
        let told = told(&world);
        assert_eq!((told.current, told.why), (Some(current), why), "{request:?}");
    }
    rids(&world.clients[viewer].received(MediaKind::Video));
}

#[test]
fn sound_only_stops_the_picture_and_a_choice_brings_it_back() {
    let (mut world, viewer, session) = begin();
    publish(&mut world, 0, true);
    publish(&mut world, 1, false);
    choose(&mut world, session, LayerChoice::SoundOnly).unwrap();
    assert_eq!((told(&world).current, told(&world).why), (None, "chosen"));
    let before = world.clients[viewer].received(MediaKind::Video).len();
    publish(&mut world, 2, true);
    publish(&mut world, 3, false);
    assert_eq!(world.clients[viewer].received(MediaKind::Video).len(), before, "not even a key frame");
    // Its browser misses a picture and asks for one, again and again.
    world.asked_elsewhere();
    world.clients[viewer].request_key_frame();
    // Requests follow one another with a pause.
    world.run(2_000 * MS);
    assert!(world.asked_elsewhere().iter().all(|asked| !matches!(asked.wish, Wish::KeyFrame(_))));
    choose(&mut world, session, LayerChoice::HeightMax(720)).unwrap();
    for n in 4..8 {
        publish(&mut world, n, n == 5);
    }
    let received = world.clients[viewer].received(MediaKind::Video);
    assert!(received.len() > before);
    assert_eq!((rids(&received[before..]).last(), told(&world).current), (Some(&2), Some(2)));
    for pair in received.windows(2) {
        assert_eq!(pair[1].index, pair[0].index + 1, "its numbers go on");
    }
}

#[test]
fn higher_temporal_layers_are_left_out_and_taken_up_again_without_a_key_frame_or_a_gap() {
    let (mut world, viewer, session) = begin();
    choose(&mut world, session, rid("q")).unwrap();
    publish(&mut world, 0, true);
    for n in 1..8 {
        publish(&mut world, n, false);
    }
    let pictures = |world: &World| {
        let received = world.clients[viewer].received(MediaKind::Video);
        rids(&received);
        received.iter().filter(|packet| packet.payload[0] & 0x10 != 0).count()
    };
    let all = pictures(&world);
    let temporal =
        |highest| LayerRequest { highest: Some(HighestLayers::temporal(highest)), ..LayerRequest::default() };
    ask(&mut world, session, temporal(0)).unwrap();
    for n in 8..16 {
        publish(&mut world, n, false);
    }
    assert_eq!(pictures(&world) - all, 2, "every fourth");
    ask(&mut world, session, temporal(2)).unwrap();
    for n in 16..24 {
        publish(&mut world, n, false);
    }
    assert_eq!(pictures(&world) - all, 2 + 8, "all, from the first layer sync on");
}

#[test]
fn a_session_without_a_picture_and_one_that_has_ended_have_nothing_to_choose() {
    let (mut world, _, _) = begin();
    assert_eq!(choose(&mut world, SessionId(77), LayerChoice::Auto), Err(NotChosen::NoSession));
    let hears: fn(&mut Description) = |description| description.media.retain(|media| media.kind == MediaKind::Audio);
    let sound = world.join(&Opening { terms: hears, ..Opening::viewer(0) });
    let session = world.clients[sound].session;
    assert_eq!(choose(&mut world, session, LayerChoice::Auto), Err(NotChosen::NoPicture));
}

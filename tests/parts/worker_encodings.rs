//! A publisher of three video encodings, whose records come over a lane, and viewers that are told to switch between them;
//! and at which pace a key frame leaves.

use std::time::Duration;

use crate::worker_support::{MS, Opening, Packet, STREAM, World};
use corecast::description::{CodecFormat, MediaKind};
use corecast::lab::peer::terms::H264_PROFILE_LEVEL_ID;
use corecast::relay::store::address::RecordAddress;
use corecast::relay::store::numbers::{EncodingId, TrackId};
use corecast::relay::store::packet_ring::Layers;
use corecast::relay::store::record::{MediaRecord, PublishedCodec, Record};
use corecast::relay::store::timeline::Incarnation;
use corecast::relay::store::upstream::Wish;
use corecast::time::{NtpTime, Timestamp};
use corecast::wire::codec::Codec;
use corecast::worker::mailbox::{Control, Notice};

const FRAME: Duration = Duration::from_millis(33);
const PACKETS_PER_FRAME: u64 = 4;
/// Where each encoding's RTP clock stood at the first picture.
const CLOCKS: [u32; 3] = [5_000, u32::MAX - 30_000, 1 << 30];

fn encoding(rid: usize) -> EncodingId {
    TrackId::new(1).expect("video is the second track").encoding(rid).expect("there are three")
}

fn address(rid: usize) -> RecordAddress {
    RecordAddress { stream: STREAM, encoding: encoding(rid) }
}

/// Every encoding's picture number `n`; a key frame in those of `key_frames`.
fn publish(world: &mut World, n: u64, key_frames: &[usize]) {
    for (rid, clock) in CLOCKS.into_iter().enumerate() {
        let timestamp = clock.wrapping_add(n as u32 * 33 * 90);
        let arrival = world.now;
        for packet in 0..PACKETS_PER_FRAME {
            let is_first = packet == 0 && key_frames.contains(&rid);
            // What is in it says what it is: an IDR or another slice, its encoding and its number.
            let payload = [if is_first { 0x65 } else { 0x41 }, 0x80 | rid as u8, n as u8, packet as u8];
            let record = Record::Media(MediaRecord {
                incarnation: Incarnation(9),
                sequence: 100_000 * (rid as u64 + 1) + n * PACKETS_PER_FRAME + packet,
                timestamp,
                arrival,
                marker: packet + 1 == PACKETS_PER_FRAME,
                key_frame: is_first,
                padding: 0,
                layers: Layers::UNKNOWN,
                payload: &payload,
            });
            world.tell(address(rid), &record);
        }
        if n == 1 {
            let ntp = NtpTime(7_000 << 32);
            world.tell(address(rid), &Record::Clock { incarnation: Incarnation(9), ntp, timestamp, arrival });
        }
    }
    world.run(FRAME);
}

fn begin(world: &mut World) {
    begin_as(world, H264_PROFILE_LEVEL_ID);
}

fn begin_as(world: &mut World, profile_level_id: u32) {
    let format = CodecFormat::H264 { profile_level_id, packetization_mode: 1 };
    for rid in 0..3 {
        world.tell(address(rid), &Record::Begin);
        let codec = PublishedCodec { codec: Codec::H264, format, clock_rate_hz: 90_000 };
        world.tell(address(rid), &Record::Format(codec));
    }
}

fn rid_of(packet: &Packet) -> usize {
    usize::from(packet.payload[1] & 0x7f)
}

/// The rids a viewer was sent one after the other, having checked that its numbers and its time are unbroken.
fn rids(received: &[Packet]) -> Vec<usize> {
    for pair in received.windows(2) {
        assert_eq!(pair[1].index, pair[0].index + 1, "no hole and nothing twice");
        let step = i64::from(pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32);
        let pictures = i64::from(pair[1].payload[2]) - i64::from(pair[0].payload[2]);
        assert!(step >= 0 && (step - pictures * 33 * 90).abs() <= 1, "{step} ticks for {pictures} pictures");
    }
    let mut rids: Vec<usize> = received.iter().map(rid_of).collect();
    rids.dedup();
    rids
}

#[test]
fn a_viewer_of_constrained_baseline_is_sent_high_and_everyone_is_told() {
    // What OBS and FFmpeg encode by default; the viewer offers what Firefox and aiortc do, and no more.
    let mut world = World::with_origin_elsewhere(1);
    begin_as(&mut world, 0x64_0028);
    let viewer = world.join(&Opening::viewer(0));
    world.route(STREAM);
    world.run(10 * MS);
    for picture in 0..3 {
        publish(&mut world, picture, &[0]);
    }
    assert_eq!(rids(&world.clients[viewer].received(MediaKind::Video)), [0]);
    let session = world.clients[viewer].session;
    let (published, sent_as) = ("H264 profile-level-id=640028", "H264 profile-level-id=42e01f");
    let [published, sent_as] = [published, sent_as].map(|what| format!("{what} packetization-mode=1"));
    let why = format!("{published} is sent as {sent_as}, the nearest that the viewer offered");
    assert!(world.noticed.contains(&Notice::NearestFits { session, published, sent_as }), "{:?}", world.noticed);
    let report = world.report(0);
    let told: Vec<&str> = report.sessions.iter().map(|session| session.why.as_str()).collect();
    assert_eq!(told, [why]);
}

#[test]
fn a_viewer_that_is_told_to_switch_goes_over_at_a_key_frame_and_sees_one_unbroken_stream() {
    let mut world = World::with_origin_elsewhere(1);
    begin(&mut world);
    let [switcher, other] = [0, 1].map(|_| world.join(&Opening::viewer(0)));
    world.route(STREAM);
    world.run(10 * MS);
    world.asked_elsewhere();
    let session = world.clients[switcher].session;
    let mut pictures = 0;
    let mut publish_some = |world: &mut World, count: u64, key_frames: &[usize]| {
        for picture in 0..count {
            publish(world, pictures, if picture == 0 { key_frames } else { &[] });
            pictures += 1;
        }
    };
    publish_some(&mut world, 5, &[0, 1, 2]);
    for (rid, key_frames) in [(2, [2].as_slice()), (1, &[0, 1]), (0, &[0, 1, 2])] {
        world.control(0, Control::Select { session, encoding: encoding(rid) });
        publish_some(&mut world, 15, &[]);
        let asked: Vec<_> = world.asked_elsewhere().iter().map(|message| message.wish).collect();
        assert!(asked.contains(&Wish::KeyFrame(encoding(rid))), "{asked:?}");
        publish_some(&mut world, 10, key_frames);
    }
    let received = world.clients[switcher].received(MediaKind::Video);
    assert_eq!(rids(&received), [0, 2, 1, 0]);
    assert_eq!(rids(&world.clients[other].received(MediaKind::Video)), [0], "nobody else is moved");
    // Repeats from before and after each switch are what was sent.
    let switches = (1..received.len()).filter(|&n| rid_of(&received[n]) != rid_of(&received[n - 1]));
    for asked in switches.flat_map(|n| [&received[n - 1], &received[n]]).rev().take(4) {
        world.clients[switcher].viewer().repairs.clear();
        world.clients[switcher].nack(&[asked.index as u16]);
        world.run(5 * MS);
        let repairs = &world.clients[switcher].viewer().repairs;
        assert_eq!(repairs.len(), 1, "{}", asked.index);
        assert!(repairs[0].payload[2..] == asked.payload && repairs[0].timestamp == asked.timestamp);
    }
}

#[test]
fn a_wish_for_an_encoding_that_is_not_there_changes_nothing_and_one_may_be_taken_back() {
    let mut world = World::with_origin_elsewhere(1);
    begin(&mut world);
    let viewer = world.join(&Opening::viewer(0));
    world.route(STREAM);
    let session = world.clients[viewer].session;
    publish(&mut world, 0, &[0, 1, 2]);
    world.control(0, Control::Select { session, encoding: encoding(3) });
    (1..4).for_each(|n| publish(&mut world, n, &[]));
    world.control(0, Control::Select { session, encoding: encoding(1) });
    publish(&mut world, 4, &[]);
    world.control(0, Control::Select { session, encoding: encoding(0) });
    (5..20).for_each(|n| publish(&mut world, n, if n == 10 { &[1, 2] } else { &[] }));
    let received = world.clients[viewer].received(MediaKind::Video);
    assert_eq!((rids(&received), received.len() as u64), (vec![0], 20 * PACKETS_PER_FRAME));
}

const KEY_FRAME_PACKETS: u64 = 46;

fn part_of_key_frame(sequence: u64, arrival: Timestamp, payload: &[u8]) -> Record<'_> {
    Record::Media(MediaRecord {
        incarnation: Incarnation(9),
        sequence: 1_000 + sequence,
        timestamp: 7_000,
        arrival,
        marker: sequence + 1 == KEY_FRAME_PACKETS,
        key_frame: sequence == 0,
        padding: 0,
        layers: Layers::UNKNOWN,
        payload,
    })
}

fn sound(sequence: u64, arrival: Timestamp) -> Record<'static> {
    Record::Media(MediaRecord {
        incarnation: Incarnation(9),
        sequence: 1_000 + sequence,
        timestamp: 480 * sequence as u32,
        arrival,
        marker: false,
        key_frame: false,
        padding: 0,
        layers: Layers::UNKNOWN,
        payload: &[1, 2, 3],
    })
}

#[test]
fn a_key_frame_is_sent_in_trains_and_sound_does_not_wait() {
    const PAYLOAD_BYTES: usize = 1_100;
    let mut world = World::with_origin_elsewhere(1);
    begin(&mut world);
    let audio = RecordAddress { stream: STREAM, encoding: TrackId::new(0).expect("audio").encoding(0).expect("one") };
    world.tell(audio, &Record::Begin);
    let opus = PublishedCodec { codec: Codec::Opus, format: CodecFormat::Plain, clock_rate_hz: 48_000 };
    world.tell(audio, &Record::Format(opus));
    let viewers = [0, 1].map(|_| world.join(&Opening::viewer(0)));
    world.route(STREAM);
    world.run(10 * MS);
    let began = world.now;
    for sequence in 0..KEY_FRAME_PACKETS {
        let mut payload = vec![0x80 | sequence as u8; PAYLOAD_BYTES];
        payload[0] = if sequence == 0 { 0x65 } else { 0x41 };
        world.tell(address(0), &part_of_key_frame(sequence, began, &payload));
    }
    for sequence in 0..7 {
        let arrival = world.now;
        world.tell(audio, &sound(sequence, arrival));
        world.run(10 * MS);
    }
    for client in viewers {
        let received = world.clients[client].received(MediaKind::Video);
        assert_eq!(received.len() as u64, KEY_FRAME_PACKETS, "nothing is lost");
        assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "and nothing out of order");
        let mut trains: Vec<(_, usize)> = Vec::new();
        for packet in &received {
            match trains.last_mut() {
                Some((at, packets)) if *at == packet.at => *packets += 1,
                _ => trains.push((packet.at, 1)),
            }
        }
        // It has just come: of its first picture six more leave at once.
        assert_eq!(trains.iter().map(|train| train.1).collect::<Vec<_>>(), [16, 10, 10, 10]);
        for (number, pair) in trains.windows(2).enumerate() {
            // Ten packets of 1,100 and their heads at 5 Mbit/s, and a tick. Six of the first train count as full ones.
            let (pause, least) = (pair[1].0.since(pair[0].0), if number == 0 { 16 * MS } else { 17 * MS });
            assert!(pause > least && pause < 20 * MS, "{pause:?}");
        }
        let sound = world.clients[client].received(MediaKind::Audio);
        assert!(sound.len() == 7 && sound.windows(2).all(|pair| pair[1].at.since(pair[0].at) == 10 * MS), "{sound:?}");
    }
}

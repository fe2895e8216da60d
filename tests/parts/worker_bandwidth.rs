//! Viewers behind links of their own, who report what arrives: each is sent the encoding that its link carries, and what one of
//! them claims is nobody else's business. A viewer that reports nothing of the kind plays all the same.

use std::time::Duration;

use crate::worker_support::bottleneck::feedback;
use crate::worker_support::{Bottleneck, MS, Opening, STREAM, World};
use corecast::description::{CodecFormat, Description, MediaKind};
use corecast::lab::peer::terms::H264_PROFILE_LEVEL_ID;
use corecast::relay::store::address::RecordAddress;
use corecast::relay::store::ladder::{Measured, RidName};
use corecast::relay::store::numbers::{EncodingId, EncodingSet, TrackId};
use corecast::relay::store::packet_ring::Layers;
use corecast::relay::store::record::{MediaRecord, PublishedCodec, Record};
use corecast::relay::store::timeline::Incarnation;
use corecast::relay::store::upstream::Wish;
use corecast::time::NtpTime;
use corecast::wire::codec::Codec;
use corecast::wire::rtcp::nack;
use corecast::worker::mailbox::Notice;

const FRAME: Duration = Duration::from_micros(33_333);
/// Kilobits a second, height, and name of three encodings of one picture.
const ENCODINGS: [(u64, u16, &str); 3] = [(150, 180, "q"), (500, 360, "h"), (1_700, 720, "f")];
const KEY_FRAME_TIMES: u64 = 5;
const PACKET_BYTES: u64 = 1_100;

fn encoding(rid: usize) -> EncodingId {
    TrackId::new(1).expect("video is the second track").encoding(rid).expect("there are three")
}

fn video(rid: usize) -> RecordAddress {
    RecordAddress { stream: STREAM, encoding: encoding(rid) }
}

fn audio() -> RecordAddress {
    let encoding = TrackId::new(0).expect("audio is the first track").only_encoding();
    RecordAddress { stream: STREAM, encoding }
}

fn h264() -> PublishedCodec {
    let format = CodecFormat::H264 { profile_level_id: H264_PROFILE_LEVEL_ID, packetization_mode: 1 };
    PublishedCodec { codec: Codec::H264, format, clock_rate_hz: 90_000 }
}

fn measured((kbps, height, name): (u64, u16, &str)) -> Measured {
    Measured {
        codec: Some(Codec::H264),
        rid: RidName::new(name.as_bytes()).expect("a short name"),
        bits_per_second: kbps as u32 * 1_000,
        frames_per_second: 30,
        width: height * 16 / 9,
        height,
        alive: true,
    }
}

/// A publisher on a worker that the test plays, and the worker with its viewers.
struct Broadcast {
    world: World,
    encodings: usize,
    pictures: u64,
    sounds: u64,
    sequences: [u64; 3],
    key_frames: [bool; 3],
    /// With which picture a key frame comes that was asked for.
    wished: [Option<u64>; 3],
    /// What the viewers' worker said last that it wants.
    wanted: EncodingSet,
}

impl Broadcast {
    fn of(encodings: usize) -> Self {
        let mut world = World::with_origin_elsewhere(1);
        for (rid, encoding) in ENCODINGS.into_iter().enumerate().take(encodings) {
            world.tell(video(rid), &Record::Begin);
            world.tell(video(rid), &Record::Format(h264()));
            world.tell(video(rid), &Record::Rung(measured(encoding)));
        }
        world.tell(audio(), &Record::Begin);
        let codec = PublishedCodec { codec: Codec::Opus, format: CodecFormat::Plain, clock_rate_hz: 48_000 };
        world.tell(audio(), &Record::Format(codec));
        Self {
            world,
            encodings,
            pictures: 0,
            sounds: 0,
            sequences: [1_000; 3],
            key_frames: [true; 3],
            wished: [None; 3],
            wanted: EncodingSet::NONE,
        }
    }

    fn join(&mut self, kbps: Option<u64>, transport_cc: bool) -> usize {
        self.join_by(kbps, Opening { transport_cc, ..Opening::viewer(0) })
    }

    fn join_by(&mut self, kbps: Option<u64>, opening: Opening) -> usize {
        let client = self.world.join(&opening);
        if let Some(kbps) = kbps {
            self.world.bottlenecks.insert(client, Bottleneck::new(kbps));
        }
        self.world.route(STREAM);
        client
    }

    /// Publishes for so long; a key frame that is asked for comes with the third picture after.
    fn run(&mut self, duration: Duration) {
        let until = self.world.now + duration;
        while self.world.now < until {
            for message in self.world.asked_elsewhere() {
                if let Wish::Encodings(wanted) = message.wish {
                    self.wanted = wanted;
                }
                for (rid, wished) in self.wished.iter_mut().enumerate() {
                    if message.wish == Wish::KeyFrame(encoding(rid)) {
                        wished.get_or_insert(self.pictures + 3);
                    }
                }
            }
            for (rid, wished) in self.wished.iter_mut().enumerate() {
                if wished.is_some_and(|at| at <= self.pictures) {
                    self.key_frames[rid] = true;
                    *wished = None;
                }
            }
            self.picture();
            self.world.run(FRAME);
        }
    }

    fn picture(&mut self) {
        let arrival = self.world.now;
        for (rid, (kbps, _, _)) in ENCODINGS.into_iter().enumerate().take(self.encodings) {
            let is_key = std::mem::take(&mut self.key_frames[rid]);
            let bytes = kbps * 1_000 / 30 / 8 * if is_key { KEY_FRAME_TIMES } else { 1 };
            let packets = bytes.div_ceil(PACKET_BYTES);
            let timestamp = (7_000 * rid as u64 + self.pictures * 3_000) as u32;
            for packet in 0..packets {
                let mut payload = vec![rid as u8; (bytes / packets) as usize];
                payload[0] = if is_key && packet == 0 { 0x65 } else { 0x41 };
                let media = MediaRecord {
                    incarnation: Incarnation(9),
                    sequence: self.sequences[rid],
                    timestamp,
                    arrival,
                    marker: packet + 1 == packets,
                    key_frame: is_key && packet == 0,
                    padding: 0,
                    layers: Layers::UNKNOWN,
                    payload: &payload,
                };
                self.sequences[rid] += 1;
                self.world.tell(video(rid), &Record::Media(media));
            }
            if self.pictures == 1 {
                let clock =
                    Record::Clock { incarnation: Incarnation(9), ntp: NtpTime(7_000 << 32), timestamp, arrival };
                self.world.tell(video(rid), &clock);
            }
        }
        self.pictures += 1;
        // A packet of sound every 20 ms, on the whole.
        while self.sounds * 3 < self.pictures * 5 {
            let sequence = 1_000 + self.sounds;
            let media = MediaRecord {
                incarnation: Incarnation(9),
                sequence,
                timestamp: 960 * self.sounds as u32,
                arrival,
                marker: false,
                key_frame: false,
                padding: 0,
                layers: Layers::UNKNOWN,
                payload: &sequence.to_be_bytes(),
            };
            self.sounds += 1;
            self.world.tell(audio(), &Record::Media(media));
        }
    }

    /// Which encoding a viewer got last.
    fn plays(&self, client: usize) -> Option<usize> {
        let received = self.world.clients[client].received(MediaKind::Video);
        received.iter().rev().take(1).map(|packet| usize::from(packet.payload[2])).next()
    }

    /// Packets of a kind that a viewer got in the last second.
    fn got_lately(&self, client: usize, kind: MediaKind) -> usize {
        let now = self.world.now;
        let received = self.world.clients[client].received(kind);
        received.iter().rev().take_while(|packet| now.since(packet.at) < Duration::from_secs(1)).count()
    }

    fn decisions(&self, client: usize) -> Vec<(EncodingId, Option<EncodingId>, &'static str)> {
        let of = self.world.clients[client].session;
        let decision = |notice: &Notice| match notice {
            Notice::Adapted { session, from, to, why } if *session == of => Some((*from, *to, why.name())),
            _ => None,
        };
        self.world.noticed.iter().filter_map(decision).collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Feedback comes when a packet asks for it.
fn on_request(description: &mut Description) {
    let video = description.media.iter_mut().filter(|media| media.kind == MediaKind::Video);
    video.for_each(|media| media.extensions.feedback_on_request = true);
}

#[test]
fn a_calm_viewer_is_asked_for_feedback_thrice_a_second_and_one_that_has_just_come_more_often() {
    let mut broadcast = Broadcast::of(1);
    let opening = Opening { transport_cc: true, terms: on_request, ..Opening::viewer(0) };
    let asked = broadcast.join_by(Some(20_000), opening);
    broadcast.run(SECOND);
    let reports = |broadcast: &mut Broadcast, viewer: usize| {
        let reporter = broadcast.world.clients[viewer].viewer().reporter.as_ref();
        reporter.expect("it reports").reports
    };
    let joining = reports(&mut broadcast, asked);
    assert!((4..=10).contains(&joining), "{joining} at first: of three packets each");
    broadcast.run(5 * SECOND);
    let before = reports(&mut broadcast, asked);
    broadcast.run(10 * SECOND);
    let calm = reports(&mut broadcast, asked) - before;
    assert!((27..=33).contains(&calm), "{calm} in 10 s");

    let received = broadcast.world.clients[asked].received(MediaKind::Video);
    let asking: Vec<_> = received.iter().filter(|packet| packet.asks_for.is_some_and(|asked| asked > 0)).collect();
    assert!(asking.iter().all(|packet| packet.marker), "what ends a frame asks");
    let numbered = received.iter().filter(|packet| packet.transport.is_some()).count();
    let told: usize = asking.iter().map(|packet| usize::from(packet.asks_for.unwrap_or_default())).sum();
    assert_eq!(told, numbered, "every numbered packet is asked for once where nothing is lost");
}

#[test]
fn each_of_three_viewers_is_sent_what_its_link_carries_and_follows_it() {
    for terms in [|_: &mut Description| {}, on_request as fn(&mut Description)] {
        each_on_its_layer(terms);
    }
}

fn each_on_its_layer(terms: fn(&mut Description)) {
    let mut broadcast = Broadcast::of(3);
    let opening = || Opening { transport_cc: true, terms, ..Opening::viewer(0) };
    let viewers = [5_000, 1_200, 400].map(|kbps| broadcast.join_by(Some(kbps), opening()));
    broadcast.run(8 * SECOND);
    let plays = |broadcast: &Broadcast| viewers.map(|viewer| broadcast.plays(viewer));
    assert_eq!(plays(&broadcast), [Some(2), Some(1), Some(0)]);
    let settled = viewers.map(|viewer| broadcast.decisions(viewer).len());
    broadcast.run(20 * SECOND);
    assert_eq!(plays(&broadcast), [Some(2), Some(1), Some(0)]);
    assert_eq!(viewers.map(|viewer| broadcast.decisions(viewer).len()), settled, "nobody moves");

    let report = broadcast.world.session(viewers[1]).and_then(|session| session.network).expect("measured");
    assert_eq!((report.layer.as_str(), report.wanted.as_str(), report.source), ("h", "", "transport-cc"));
    assert!((1_000_000..1_300_000).contains(&report.capacity_bits_per_second), "{report:?}");
    assert!(report.why_layer.starts_with("360p, 500 kbit/s: its network has room for it"), "{}", report.why_layer);
    assert_eq!((report.switches[0].to.as_str(), report.switches[0].reason), ("h", "room"));

    // The narrowest widens, the widest narrows.
    broadcast.world.bottlenecks.insert(viewers[2], Bottleneck::new(5_000));
    broadcast.run(8 * SECOND);
    assert_eq!(broadcast.plays(viewers[2]), Some(2), "{:?}", broadcast.decisions(viewers[2]));
    let before = broadcast.decisions(viewers[0]).len();
    broadcast.world.bottlenecks.insert(viewers[0], Bottleneck::new(400));
    broadcast.run(SECOND);
    assert!(broadcast.decisions(viewers[0]).len() > before, "it is decided within a second");
    broadcast.run(3 * SECOND);
    assert_eq!(broadcast.plays(viewers[0]), Some(0), "{:?}", broadcast.decisions(viewers[0]));
    assert_eq!(broadcast.plays(viewers[1]), Some(1), "and nobody else moved");
    let switches = broadcast.world.report(0).switches;
    assert!(switches.get("room") >= Some(&3) && switches.contains_key("queue"), "{switches:?}");
}

#[test]
fn who_waits_for_a_publisher_begins_at_the_lowest_though_a_higher_one_comes_first() {
    let mut world = World::with_origin_elsewhere(1);
    let viewer = world.join(&Opening { transport_cc: true, ..Opening::viewer(0) });
    world.route(STREAM);
    world.run(SECOND);
    let mut key_frames = [true; 3];
    for picture in 0..15 {
        for message in world.asked_elsewhere() {
            let asked = (0..3).find(|&rid| message.wish == Wish::KeyFrame(encoding(rid)));
            asked.into_iter().for_each(|rid| key_frames[rid] = true);
        }
        // The largest is the first in the offer, and the first that comes.
        for (rid, encoding) in ENCODINGS.into_iter().rev().enumerate() {
            if picture == 0 {
                world.tell(video(rid), &Record::Begin);
                world.tell(video(rid), &Record::Format(h264()));
            }
            let mut payload = vec![rid as u8; 900];
            let key_frame = std::mem::take(&mut key_frames[rid]);
            payload[0] = if key_frame { 0x65 } else { 0x41 };
            let media = MediaRecord {
                incarnation: Incarnation(9),
                sequence: 1_000 + picture,
                timestamp: picture as u32 * 3_000,
                arrival: world.now,
                marker: true,
                key_frame,
                padding: 0,
                layers: Layers::UNKNOWN,
                payload: &payload,
            };
            world.tell(video(rid), &Record::Media(media));
            world.run(MS);
            if picture == 0 {
                world.tell(video(rid), &Record::Rung(measured(encoding)));
                world.run(MS);
            }
        }
        world.run(FRAME - 3 * MS);
    }
    let received = world.clients[viewer].received(MediaKind::Video);
    let mut rids: Vec<_> = received.iter().map(|packet| packet.payload[2]).collect();
    let others = rids.iter().filter(|&&rid| rid != 2).count();
    rids.dedup();
    assert!(rids.last() == Some(&2) && others <= 5, "{rids:?}, {others} of another");
    let noticed = &world.noticed;
    assert!(noticed.iter().all(|notice| !matches!(notice, Notice::Adapted { .. })), "its network decided nothing");
}

#[test]
fn a_network_that_becomes_far_too_narrow_is_sent_nothing_until_it_has_drained() {
    let mut broadcast = Broadcast::of(3);
    let viewer = broadcast.join(Some(5_000), true);
    broadcast.run(12 * SECOND);
    assert_eq!(broadcast.plays(viewer), Some(2));
    let before = broadcast.decisions(viewer).len();
    broadcast.world.bottlenecks.insert(viewer, Bottleneck::new(400));
    let narrowed = broadcast.world.now;
    while broadcast.decisions(viewer).len() == before && broadcast.world.now.since(narrowed) < 2 * SECOND {
        broadcast.run(10 * MS);
    }
    let took = broadcast.world.now.since(narrowed);
    assert!(took < SECOND, "{took:?}");
    let (_, to, _) = broadcast.decisions(viewer)[before];
    assert_eq!(to, Some(encoding(0)), "the lowest at once: {:?}", broadcast.decisions(viewer));
    // Three pictures of the largest are 21 packets; sound goes on.
    let sent = |broadcast: &mut Broadcast| broadcast.world.session(viewer).expect("it plays").sent.packets;
    let at_first = sent(&mut broadcast);
    broadcast.run(100 * MS);
    let more = sent(&mut broadcast) - at_first;
    assert!((3..14).contains(&more), "{more} packets");
    broadcast.run(SECOND);
    assert_eq!(broadcast.plays(viewer), Some(0));
    assert!(broadcast.got_lately(viewer, MediaKind::Video) > 10);
}

#[test]
fn numbers_are_on_sampled_frames_only_and_few_of_those() {
    let mut broadcast = Broadcast::of(1);
    let [asked, other] = [true, false].map(|transport_cc| broadcast.join(None, transport_cc));
    broadcast.run(10 * SECOND);
    let numbered = |broadcast: &Broadcast, client: usize| -> Vec<(u32, u16)> {
        let received = broadcast.world.clients[client].received(MediaKind::Video);
        received.iter().filter_map(|packet| Some((packet.timestamp, packet.transport?))).collect()
    };
    assert_eq!(numbered(&broadcast, other), []);
    let mut all = numbered(&broadcast, asked);
    assert!(all.windows(2).all(|pair| pair[1].1 == pair[0].1.wrapping_add(1)), "without a hole");
    let before = all.len();
    broadcast.run(10 * SECOND);
    all = numbered(&broadcast, asked).split_off(before);
    all.dedup_by_key(|&mut (timestamp, _)| timestamp);
    assert!((25..=35).contains(&all.len()), "{} frames in ten seconds", all.len());
}

#[test]
fn sound_carries_no_numbers() {
    let mut broadcast = Broadcast::of(1);
    let viewer = broadcast.world.join(&Opening {
        transport_cc: true,
        terms: |description| {
            let extension = description.media[1].extensions.transport_cc;
            description.media[0].extensions.transport_cc = extension;
        },
        ..Opening::viewer(0)
    });
    broadcast.world.route(STREAM);
    broadcast.run(10 * SECOND);
    let [sound, picture] = [MediaKind::Audio, MediaKind::Video].map(|kind| {
        let received = broadcast.world.clients[viewer].received(kind);
        (received.iter().filter(|packet| packet.transport.is_some()).count(), received.len())
    });
    assert!(sound.0 == 0 && sound.1 > 400 && picture.0 > 20, "{sound:?} {picture:?}");
}

#[test]
fn a_key_frame_leaves_at_the_pace_of_the_path_when_that_is_known() {
    let mut broadcast = Broadcast::of(3);
    let viewer = broadcast.join(Some(30_000), true);
    broadcast.run(8 * SECOND);
    assert_eq!(broadcast.plays(viewer), Some(2));
    let before = broadcast.world.clients[viewer].received(MediaKind::Video).len();
    broadcast.key_frames[2] = true;
    broadcast.picture();
    broadcast.world.run(FRAME);
    // 33 packets: 60 ms at the pace of who is not known.
    let received = broadcast.world.clients[viewer].received(MediaKind::Video);
    let key_frame = &received[before..];
    assert!(key_frame.len() > 30, "{} packets within a frame's time", key_frame.len());
}

#[test]
fn a_worker_that_stalls_when_the_kernel_has_its_packets_takes_nobody_to_be_late() {
    let mut broadcast = Broadcast::of(3);
    let client = broadcast.join(Some(5_000), true);
    broadcast.run(300 * MS);
    broadcast.world.nodes[0].io.stall_after_send(40 * MS);
    broadcast.run(Duration::from_secs(7));
    assert_eq!(broadcast.plays(client), Some(2), "{:?}", broadcast.decisions(client));
}

#[test]
fn what_carries_no_picture_gets_sound_alone_and_the_picture_again() {
    let mut broadcast = Broadcast::of(3);
    let viewer = broadcast.join(Some(400), true);
    broadcast.run(5 * SECOND);
    broadcast.world.bottlenecks.insert(viewer, Bottleneck::new(60));
    let is_silent = |broadcast: &Broadcast| broadcast.decisions(viewer).iter().any(|decision| decision.1.is_none());
    for _ in 0..120 {
        if !is_silent(&broadcast) {
            broadcast.run(100 * MS);
        }
    }
    assert!(is_silent(&broadcast), "{:?}", broadcast.decisions(viewer));
    broadcast.run(3 * SECOND);
    let [sound, picture] = [MediaKind::Audio, MediaKind::Video].map(|kind| broadcast.got_lately(viewer, kind));
    assert!(sound > 40 && picture == 0, "{sound} packets of sound and {picture} of the picture in a second");
    let is_picture_wanted = |broadcast: &Broadcast| (0..3).any(|rid| broadcast.wanted.contains(encoding(rid)));
    assert!(!is_picture_wanted(&broadcast), "no picture crosses for who is sent none: {:?}", broadcast.wanted);
    broadcast.world.bottlenecks.insert(viewer, Bottleneck::new(5_000));
    broadcast.run(40 * SECOND);
    assert_eq!(broadcast.plays(viewer), Some(2), "{:?}", broadcast.decisions(viewer));
    assert!(broadcast.got_lately(viewer, MediaKind::Video) > 100);
    assert!(is_picture_wanted(&broadcast));
}

#[test]
fn a_viewer_that_reports_nothing_of_the_kind_plays() {
    for encodings in [1, 3] {
        let mut broadcast = Broadcast::of(encodings);
        let viewer = broadcast.join(None, false);
        broadcast.run(5 * SECOND);
        assert!(broadcast.got_lately(viewer, MediaKind::Video) > 25);
        let report = broadcast.world.session(viewer).expect("it is there");
        assert_eq!(report.network.is_some(), encodings > 1);
    }
}

#[test]
fn one_that_lies_about_what_arrives_harms_nobody_but_itself() {
    let mut broadcast = Broadcast::of(3);
    let [honest, liar] = [1_200, 400].map(|kbps| broadcast.join(Some(kbps), true));
    broadcast.world.clients[liar].viewer().reporter = None;
    let mut base = 1_u16;
    for round in 0..300_u64 {
        broadcast.run(50 * MS);
        // Everything arrived, a microsecond apart, and more than was ever sent; told over and over again.
        let arrivals: Vec<Option<u64>> = (0..400).map(|number| Some(round * 50_000 + number)).collect();
        for _ in 0..20 {
            let lie = feedback(base, round as u8, &arrivals);
            broadcast.world.clients[liar].send_rtcp(&lie);
        }
        base = base.wrapping_add(if round % 3 == 0 { 7 } else { 9_999 });
    }
    let dropped = broadcast.world.report(0).dropped;
    for reason in ["feedback_of_never_sent", "feedback_over_rate"] {
        assert!(dropped.get(reason) > Some(&1_000), "{reason}: {dropped:?}");
    }
    assert_eq!(broadcast.plays(honest), Some(1), "{:?}", broadcast.decisions(honest));
    let sent = broadcast.world.session(honest).expect("it is there").sent.packets;
    assert!(sent > 1_000, "{sent}");
}

#[test]
fn lost_sound_is_sent_again_as_it_was() {
    let mut broadcast = Broadcast::of(1);
    let viewer = broadcast.join(None, true);
    let ssrc = broadcast.world.clients[viewer].ssrc(MediaKind::Audio);
    broadcast.run(SECOND);
    let drops = std::rc::Rc::new(std::cell::Cell::new(true));
    let drop = std::rc::Rc::clone(&drops);
    // SRTP leaves the header in the clear.
    broadcast.world.filter = Box::new(move |hop| {
        let is_sound = hop.to_client && hop.bytes.get(8..12) == Some(&ssrc.to_be_bytes());
        !(drop.get() && is_sound)
    });
    broadcast.run(20 * MS);
    drops.set(false);
    let before = broadcast.world.clients[viewer].received(MediaKind::Audio);
    broadcast.run(SECOND);
    let received = broadcast.world.clients[viewer].received(MediaKind::Audio);
    let (last, next) = (&before[before.len() - 1], &received[before.len()]);
    assert!(next.index > last.index + 1, "something was lost");
    let missing: Vec<u16> = (last.index + 1..next.index).map(|index| index as u16).collect();
    let mut request = [0; 64];
    let len = nack::write(&mut request, 1, ssrc, &missing).expect("room");
    broadcast.world.clients[viewer].send_rtcp(&request[..len]);
    broadcast.world.run(20 * MS);
    let again = &broadcast.world.clients[viewer].received(MediaKind::Audio)[received.len()..];
    assert_eq!(again.len(), missing.len());
    let sequence = |packet: &[u8]| u64::from_be_bytes(packet.try_into().expect("eight bytes"));
    for (packet, index) in again.iter().zip(last.index + 1..) {
        assert_eq!((packet.index, sequence(&packet.payload)), (index, sequence(&last.payload) + index - last.index));
    }
}

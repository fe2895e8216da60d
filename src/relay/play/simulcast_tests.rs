//! A stream of three encodings and a viewer that goes from one to another and is sent fewer layers at times: its numbers are
//! unbroken, its time goes on, and a repeat is the very packet that was sent, across switches, drops and late packets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::description::{CodecFormat, MediaKind};
use crate::limits;
use crate::relay::play::alignment::EncodingView;
use crate::relay::play::extension::ExtensionTemplate;
use crate::relay::play::leaving_out::leaves_out;
use crate::relay::play::selection::{Decision, HighestLayers, PacketHints, Selection};
use crate::relay::play::subscription::{Cursor, EgressFormat, Subscription};
use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::{EncodingId, PacketIndex, Sequence, TrackId};
use crate::relay::store::packet_ring::{Layers, PacketInfo};
use crate::relay::store::record::{MediaRecord, PublishedCodec};
use crate::relay::store::timeline::Incarnation;
use crate::time::{NtpTime, Timestamp};
use crate::wire::codec::vp8::Vp8Descriptor;
use crate::wire::codec::{Codec, LayerIds};
use crate::wire::rtp::RtpHeader;
use crate::wire::sequence::timestamp_distance;

const FRAME_MS: u64 = 33;
const TICKS_PER_MS: u32 = 90;
/// The network's jitter between two encodings' packets of one picture.
const JITTER_MS: u64 = 9;

fn id(rid: usize) -> EncodingId {
    TrackId::new(1).unwrap().encoding(rid).unwrap()
}

/// What the test chooses for one picture.
#[derive(Clone, Copy, Debug)]
struct Picture {
    /// Wants this encoding from now on.
    want: Option<usize>,
    /// Wants temporal layers up to this one.
    layers: Option<u8>,
    /// Key frames of these encodings, one bit each.
    key_frames: u8,
    /// The second packet of each encoding's frame: 0 comes in time, 1 behind the next frame, 2 never.
    fate: [u8; 3],
    /// The publisher reports its clocks.
    reports: bool,
    jitter_ms: [u64; 3],
}

fn pictures() -> impl Strategy<Value = Vec<Picture>> {
    let fate = prop_oneof![6 => Just(0_u8), 2 => Just(1), 1 => Just(2)];
    let picture = (
        prop::option::weighted(0.15, 0..3_usize),
        prop::option::weighted(0.1, 0..3_u8),
        prop_oneof![4 => Just(0_u8), 1 => 1..8_u8],
        [fate.clone(), fate.clone(), fate],
        prop::bool::weighted(0.1),
        [0..JITTER_MS, 0..JITTER_MS, 0..JITTER_MS],
    );
    let picture = picture.prop_map(|(want, layers, key_frames, fate, reports, jitter_ms)| Picture {
        want,
        layers,
        key_frames,
        fate,
        reports,
        jitter_ms,
    });
    prop::collection::vec(picture, 20..120)
}

/// One packet as the viewer got it.
#[derive(Debug, PartialEq)]
struct SentPacket {
    encoding: EncodingId,
    sequence: Sequence,
    header: Vec<u8>,
    payload: Vec<u8>,
    arrival: Timestamp,
}

/// The descriptor of VP8 (RFC 7741 §4.2) as the publisher's encoder counts.
#[derive(Clone, Copy, Default)]
struct Counts {
    picture: u16,
    tl0: u8,
    key: u8,
}

impl Counts {
    /// The next picture's.
    fn next(&mut self, temporal: u8, is_key_frame: bool) -> Self {
        self.picture = (self.picture + 1) & 0x7fff;
        self.tl0 = self.tl0.wrapping_add(u8::from(temporal == 0));
        self.key = (self.key + u8::from(is_key_frame)) & 31;
        *self
    }

    fn payload(self, temporal: u8, begins: bool) -> Vec<u8> {
        let [high, low] = (self.picture | 0x8000).to_be_bytes();
        vec![if begins { 0x90 } else { 0x80 }, 0xf0, high, low, self.tl0, temporal << 6 | self.key, 0]
    }
}

struct World {
    encodings: Vec<Encoding>,
    /// The publisher's next sequence number in each.
    next: [u64; 3],
    /// Packets on their way that come behind the next frame.
    late: Vec<(usize, Stored)>,
    viewer: Subscription,
    selection: Selection,
    counts: [Counts; 3],
    sent: BTreeMap<PacketIndex, SentPacket>,
    dropped: BTreeSet<(EncodingId, Sequence)>,
    switches: usize,
    newest_timestamp: Option<u32>,
    /// Capture time, and the viewer's timestamp of the first picture it was sent.
    origin: Option<(u64, u32)>,
}

type Stored = (MediaRecord<'static>, Vec<u8>);

fn store(encoding: &mut Encoding, (record, payload): &Stored) {
    encoding.store(&MediaRecord { payload, ..*record }).unwrap();
}

/// Where each encoding's RTP clock stood when the first picture was taken, and its first number.
const CLOCKS: [u32; 3] = [7, u32::MAX - 90_000, 1 << 31];
const FIRST: [u64; 3] = [70_000, 65_600, 99_000];

impl World {
    fn new() -> Self {
        let mut viewer = Subscription::new(0xa, None, ExtensionTemplate::with_mid(Some(4), "v0"), 12_345 << 32 | 77);
        viewer.set_format(Some(EgressFormat { payload_type: 96, rtx_payload_type: None, clock_rate_hz: 90_000 }));
        let mut selection = Selection::default();
        selection.want(id(0), id(0));
        let codec = PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 };
        let mut encodings: Vec<_> = (0..3).map(|rid| Encoding::new(id(rid), MediaKind::Video)).collect();
        for encoding in &mut encodings {
            encoding.set_codec(codec);
        }
        Self {
            encodings,
            next: FIRST,
            late: Vec::new(),
            viewer,
            selection,
            counts: [(0x7ff0, 250, 30), (3, 7, 0), (0x7fff, 0, 31)].map(|(picture, tl0, key)| Counts {
                picture,
                tl0,
                key,
            }),
            sent: BTreeMap::new(),
            dropped: BTreeSet::new(),
            switches: 0,
            newest_timestamp: None,
            origin: None,
        }
    }

    fn take_picture(&mut self, n: u64, picture: &Picture) {
        let taken_ms = 1_000 + n * FRAME_MS;
        let before = std::mem::take(&mut self.late);
        for (rid, clock) in CLOCKS.into_iter().enumerate() {
            let ticks = (n * FRAME_MS) as u32 * TICKS_PER_MS;
            let layer = [0, 2, 1, 2][(n % 4) as usize];
            let key_frame = n == 0 || picture.key_frames & 1 << rid != 0;
            let temporal = if key_frame { 0 } else { layer };
            let record = |offset: u64, marker| MediaRecord {
                incarnation: Incarnation(1),
                sequence: self.next[rid] + offset,
                timestamp: clock.wrapping_add(ticks),
                arrival: Timestamp::from_millis(taken_ms + picture.jitter_ms[rid]),
                marker,
                key_frame: key_frame && offset == 0,
                padding: 0,
                layers: Layers::new(LayerIds { temporal, up_here: true, ..LayerIds::default() }),
                payload: &[],
            };
            let counts = self.counts[rid].next(temporal, key_frame);
            let record = |offset, marker| (record(offset, marker), counts.payload(temporal, offset == 0));
            let [first, second, third] = [record(0, false), record(1, false), record(2, true)];
            self.next[rid] += 3;
            store(&mut self.encodings[rid], &first);
            match picture.fate[rid] {
                0 => {
                    store(&mut self.encodings[rid], &second);
                }
                1 => self.late.push((rid, second)),
                _ => {}
            }
            store(&mut self.encodings[rid], &third);
            if picture.reports {
                let ntp = NtpTime(5_000 << 32) + Duration::from_millis(taken_ms);
                self.encodings[rid].set_clock(Incarnation(1), ntp, first.0.timestamp, first.0.arrival);
            }
        }
        for (rid, record) in before {
            store(&mut self.encodings[rid], &record);
        }
        self.encodings.iter_mut().for_each(|encoding| {
            encoding.release(None, Timestamp::ZERO);
        });
    }

    /// A key frame of the wanted encoding takes the viewer there, as a worker does it.
    fn switch(&mut self, now: Timestamp) {
        let target = match self.viewer.encoding() {
            None => id(0),
            Some(_) => match self.selection.awaited() {
                Some(target) => target,
                None => return,
            },
        };
        let Some(start) = self.encodings[target.rid()].fresh_key_frame(now) else { return };
        if !self.viewer.is_ahead(target, start.sequence) {
            return;
        }
        let hints = PacketHints { encoding: target, key_frame_start: true, timestamp: 0, layers: Layers::UNKNOWN };
        let mut selection = self.selection;
        let decision = selection.decide(&hints);
        assert!(matches!(decision, Decision::SwitchHere | Decision::Send));
        let encodings = &self.encodings;
        let newest = self.viewer.newest_timestamp(|id| encodings.get(id.rid()).map(|encoding| &encoding.ring));
        if self.viewer.switch_to(target, start, now, |id| encodings.get(id.rid()).map(EncodingView::of)) {
            let lasts = Duration::from_millis(start.sequence.0 % 5 * 100);
            self.viewer.squeeze(&encodings[target.rid()].ring, start, lasts, newest, 90_000);
            self.selection = selection;
            self.switches += usize::from(decision == Decision::SwitchHere);
        }
    }

    fn visit(&mut self, now: Timestamp) {
        self.switch(now);
        while let Some(encoding) = self.viewer.encoding()
            && let Cursor::At(position) = self.viewer.settle(&self.encodings[encoding.rid()].ring, true, now)
            && let Some((info, payload)) = self.encodings[encoding.rid()].ring.get(position)
        {
            let (info, payload) = (*info, payload.to_vec());
            self.viewer.advance();
            let encoding = &self.encodings[encoding.rid()];
            if self.selection.looks_at_packets()
                && leaves_out(&mut self.selection, &mut self.viewer, encoding, &info, &payload)
            {
                self.dropped.insert((encoding.id(), info.sequence));
                continue;
            }
            self.send(encoding.id(), &info, &payload);
        }
    }

    fn send(&mut self, encoding: EncodingId, info: &PacketInfo, payload: &[u8]) {
        let (mut slot, mut copy) = ([0; 64], [0; 64]);
        let Some(header) = self.viewer.write_header(&mut slot, info) else { return };
        let payload = header.renumbering.apply(&mut slot, payload, &mut copy).unwrap();
        self.viewer.sent(header.index, 3);
        let read = RtpHeader::parse(&slot).unwrap();
        assert_eq!(read.sequence, header.index.sequence_number());
        if self.sent.last_key_value().is_none_or(|(newest, _)| header.index > *newest) {
            let step = self.newest_timestamp.map_or(0, |newest| timestamp_distance(newest, read.timestamp));
            assert!(step >= 0, "time went back by {step} ticks");
            self.newest_timestamp = Some(read.timestamp);
        }
        // The picture's own time, which the viewer's clock must show whichever encoding it came from.
        let taken = info.timestamp.wrapping_sub(CLOCKS[encoding.rid()]);
        let (first_taken, first_timestamp) = *self.origin.get_or_insert((u64::from(taken), read.timestamp));
        let passed = read.timestamp.wrapping_sub(first_timestamp);
        let error = timestamp_distance(taken.wrapping_sub(first_taken as u32), passed).unsigned_abs();
        // Before the publisher has reported, each switch may be wrong by the jitter; and each may have to step by a tick.
        let most = (self.switches as u32 + 1) * (2 * JITTER_MS as u32 * TICKS_PER_MS + 1);
        let is_squeezed = self.viewer.locate(read.sequence).is_some_and(|located| !located.squeeze.is_none())
            && timestamp_distance(taken.wrapping_sub(first_taken as u32), passed) > 0;
        assert!(error <= most || is_squeezed, "{error} ticks off after {} switches", self.switches);
        let sent = SentPacket {
            encoding,
            sequence: info.sequence,
            header: slot[..header.len].to_vec(),
            payload: payload.to_vec(),
            arrival: info.arrival,
        };
        assert_eq!(self.sent.insert(header.index, sent), None, "one number for two packets");
    }

    /// Asks for everything that was sent as long ago as rings remember, and for what was not.
    fn ask_for_everything(&self, now: Timestamp) {
        let Some((&newest, _)) = self.sent.last_key_value() else { return };
        let first = *self.sent.first_key_value().unwrap().0;
        for index in (first.0..=newest.0).map(PacketIndex) {
            let sent = self.sent.get(&index);
            let Some(located) = self.viewer.locate(index.sequence_number()) else {
                let age = sent.map(|sent| now.since(sent.arrival));
                assert!(age.is_none_or(|age| age > limits::RING_HISTORY), "forgotten after {age:?}");
                continue;
            };
            let Some(sent) = sent else {
                let packet = (located.encoding, located.sequence);
                assert!(!self.dropped.contains(&packet), "a hole where a packet was dropped");
                continue;
            };
            assert_eq!((located.encoding, located.sequence, located.index), (sent.encoding, sent.sequence, index));
            let ring = &self.encodings[located.encoding.rid()].ring;
            let (_, info, payload) = ring.find(located.sequence).expect("the ring still has it");
            let (mut slot, mut copy) = ([0; 64], [0; 64]);
            let header = self.viewer.write_repeat(&mut slot, located, info).unwrap();
            let payload = header.renumbering.apply(&mut slot, payload, &mut copy).unwrap();
            assert_eq!((header.index, &slot[..header.len]), (index, sent.header.as_slice()));
            assert_eq!(payload, sent.payload, "a repeat is the same packet");
        }
    }

    /// The pictures as the viewer's decoder sees them count as one encoder's would: no number twice, and none missing.
    fn check_numbers(&self) {
        let mut before: Option<Vp8Descriptor> = None;
        for sent in self.sent.values() {
            let (now, _) = Vp8Descriptor::parse(&sent.payload).unwrap();
            if !now.partition_start {
                continue;
            }
            if let Some(before) = before {
                let (_, info, _) = self.encodings[sent.encoding.rid()].ring.find(sent.sequence).unwrap();
                assert_eq!(now.picture_id, before.picture_id.map(|id| (id + 1) & 0x7fff), "{sent:?}");
                let base = u8::from(now.temporal_id == Some(0));
                assert_eq!(now.tl0_picture_index, before.tl0_picture_index.map(|index| index.wrapping_add(base)));
                let key = u8::from(info.key_frame);
                assert_eq!(now.key_index, before.key_index.map(|index| (index + key) & 31));
            }
            before = Some(now);
        }
    }
}

fn play(pictures: &[Picture]) -> World {
    let mut world = World::new();
    for (n, picture) in (0..).zip(pictures) {
        if let Some(rid) = picture.want {
            world.selection.want(id(rid), id(0));
        }
        if let Some(highest) = picture.layers {
            let all = highest == 2;
            world.selection.want_layers(if all { HighestLayers::ALL } else { HighestLayers::temporal(highest) });
        }
        world.take_picture(n, picture);
        let now = Timestamp::from_millis(1_000 + n * FRAME_MS + JITTER_MS);
        world.visit(now);
        world.ask_for_everything(now);
    }
    world.check_numbers();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_viewer_that_switches_between_three_encodings_sees_one_unbroken_stream(pictures in pictures()) {
        let world = play(&pictures);
        prop_assert!(!world.sent.is_empty());
    }
}

#[test]
fn with_the_publishers_clock_a_viewer_that_switches_is_not_a_tick_off() {
    let picture = |n: usize| Picture {
        want: (n % 10 == 5).then_some(n / 10 % 3),
        layers: n.is_multiple_of(25).then_some(if n.is_multiple_of(2) { 1 } else { 2 }),
        key_frames: if n % 10 == 7 { 7 } else { 0 },
        fate: [(n % 3) as u8 % 2, 0, 1],
        reports: n < 2,
        jitter_ms: [n as u64 * 5 % 9, n as u64 * 7 % 9, n as u64 * 3 % 9],
    };
    let pictures: Vec<Picture> = (0..60).map(picture).collect();
    let world = play(&pictures);
    assert!(world.switches >= 4 && !world.dropped.is_empty(), "{} switches", world.switches);
    let first = *world.sent.first_key_value().unwrap().0;
    let newest = *world.sent.last_key_value().unwrap().0;
    // All but the last late packets, and those on their way at a switch, came.
    let holes = newest.0 + 1 - first.0 - world.sent.len() as u64;
    assert!(holes <= world.switches as u64 + 1, "{holes} holes");
    let error = |sent: &SentPacket| {
        let header = RtpHeader::parse(&sent.header).unwrap();
        let (_, info, _) = world.encodings[sent.encoding.rid()].ring.find(sent.sequence).unwrap();
        let taken = info.timestamp.wrapping_sub(CLOCKS[sent.encoding.rid()]);
        timestamp_distance(taken, header.timestamp.wrapping_sub(world.origin.unwrap().1)).unsigned_abs()
    };
    let worst = world.sent.values().map(error).max().unwrap();
    assert!(worst <= world.switches as u32, "{worst} ticks off");
}

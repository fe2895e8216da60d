//! A stream of three encodings and a viewer that goes from one to another and is sent fewer layers at times: its numbers are
//! unbroken, its time goes on, and a repeat is the very packet that was sent, across switches, drops and late packets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::description::MediaKind;
use crate::limits;
use crate::relay::play::alignment::EncodingView;
use crate::relay::play::extension::ExtensionTemplate;
use crate::relay::play::selection::{Decision, PacketHints, Selection, Simulcast, Temporal};
use crate::relay::play::subscription::{Cursor, EgressFormat, Subscription};
use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::{EncodingId, PacketIndex, Sequence, TrackId};
use crate::relay::store::packet_ring::{Layers, PacketInfo};
use crate::relay::store::record::MediaRecord;
use crate::relay::store::timeline::Incarnation;
use crate::time::{NtpTime, Timestamp};
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
    arrival: Timestamp,
}

struct World {
    encodings: Vec<Encoding>,
    /// The publisher's next sequence number in each.
    next: [u64; 3],
    /// Packets on their way that come behind the next frame.
    late: Vec<(usize, MediaRecord<'static>)>,
    viewer: Subscription,
    selection: Selection,
    layers: Selection,
    sent: BTreeMap<PacketIndex, SentPacket>,
    dropped: BTreeSet<(EncodingId, Sequence)>,
    switches: usize,
    newest_timestamp: Option<u32>,
    /// Capture time, and the viewer's timestamp of the first picture it was sent.
    origin: Option<(u64, u32)>,
}

/// Where each encoding's RTP clock stood when the first picture was taken, and its first number.
const CLOCKS: [u32; 3] = [7, u32::MAX - 90_000, 1 << 31];
const FIRST: [u64; 3] = [70_000, 65_600, 99_000];

impl World {
    fn new() -> Self {
        let mut viewer = Subscription::new(0xa, None, ExtensionTemplate::with_mid(Some(4), "v0"), 12_345 << 32 | 77);
        viewer.set_format(Some(EgressFormat { payload_type: 96, rtx_payload_type: None, clock_rate_hz: 90_000 }));
        Self {
            encodings: (0..3).map(|rid| Encoding::new(id(rid), MediaKind::Video)).collect(),
            next: FIRST,
            late: Vec::new(),
            viewer,
            selection: Selection::Simulcast(Simulcast::new(id(0))),
            layers: Selection::Temporal(Temporal::new(2)),
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
            let record = |offset: u64, marker| MediaRecord {
                incarnation: Incarnation(1),
                sequence: self.next[rid] + offset,
                timestamp: clock.wrapping_add(ticks),
                arrival: Timestamp::from_millis(taken_ms + picture.jitter_ms[rid]),
                marker,
                key_frame: key_frame && offset == 0,
                padding: 0,
                layers: Layers::new(if key_frame { 0 } else { layer }, 0, true),
                payload: &[1, 2, 3],
            };
            let [first, second, third] = [record(0, false), record(1, false), record(2, true)];
            self.next[rid] += 3;
            self.encodings[rid].store(&first).unwrap();
            match picture.fate[rid] {
                0 => {
                    self.encodings[rid].store(&second).unwrap();
                }
                1 => self.late.push((rid, second)),
                _ => {}
            }
            self.encodings[rid].store(&third).unwrap();
            if picture.reports {
                let ntp = NtpTime(5_000 << 32) + Duration::from_millis(taken_ms);
                self.encodings[rid].set_clock(Incarnation(1), ntp, first.timestamp, first.arrival);
            }
        }
        for (rid, record) in before {
            self.encodings[rid].store(&record).unwrap();
        }
        self.encodings.iter_mut().for_each(|encoding| {
            encoding.release(None, Timestamp::ZERO);
        });
    }

    /// A key frame of the wanted encoding takes the viewer there, as a worker does it.
    fn switch(&mut self, now: Timestamp) {
        let Selection::Simulcast(simulcast) = &mut self.selection else { unreachable!() };
        let target = match self.viewer.encoding() {
            None => simulcast.current(),
            Some(_) => match simulcast.awaited() {
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
        if self.viewer.switch_to(target, start, now, |id| encodings.get(id.rid()).map(EncodingView::of)) {
            self.selection = selection;
            self.switches += usize::from(decision == Decision::SwitchHere);
        }
    }

    fn visit(&mut self, now: Timestamp) {
        self.switch(now);
        while let Some(encoding) = self.viewer.encoding()
            && let Cursor::At(position) = self.viewer.cursor()
            && let Some((info, _)) = self.encodings[encoding.rid()].ring.get(position)
        {
            let info = *info;
            self.viewer.advance();
            let decision = self.layers.decide(&PacketHints::of(encoding, &info));
            if decision == Decision::Drop && self.viewer.leave_out(&info) {
                self.dropped.insert((encoding, info.sequence));
                continue;
            }
            self.send(encoding, &info);
        }
    }

    fn send(&mut self, encoding: EncodingId, info: &PacketInfo) {
        let mut slot = [0; 64];
        let Some(header) = self.viewer.write_header(&mut slot, info) else { return };
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
        assert!(error <= most, "{error} ticks off after {} switches", self.switches);
        let sent = SentPacket {
            encoding,
            sequence: info.sequence,
            header: slot[..header.len].to_vec(),
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
            let (_, info, _) = ring.find(located.sequence).expect("the ring still has it");
            let mut slot = [0; 64];
            let header = self.viewer.write_repeat(&mut slot, located, info).unwrap();
            assert_eq!((header.index, &slot[..header.len]), (index, sent.header.as_slice()));
        }
    }
}

fn play(pictures: &[Picture]) -> World {
    let mut world = World::new();
    for (n, picture) in (0..).zip(pictures) {
        if let Some(rid) = picture.want
            && let Selection::Simulcast(simulcast) = &mut world.selection
        {
            simulcast.want(id(rid));
        }
        if let Some(highest) = picture.layers
            && let Selection::Temporal(temporal) = &mut world.layers
        {
            temporal.want(highest);
        }
        world.take_picture(n, picture);
        let now = Timestamp::from_millis(1_000 + n * FRAME_MS + JITTER_MS);
        world.visit(now);
        world.ask_for_everything(now);
    }
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

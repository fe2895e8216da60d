//! A small world for tests: a publisher of a few encodings, one viewer's link, and a receiver that reports as browsers do.
//!
//! The link is a queue of bytes that drains at a rate, with a delay, random loss, other traffic, and where asked a token bucket.
//! All is told by one seed. Time goes in steps of a millisecond.

use std::collections::VecDeque;
use std::time::Duration;

use super::Bandwidth;
use super::controller::{Place, Step};
use super::rate::Rate;
use super::why::Why;
use crate::relay::store::numbers::{EncodingId, TrackId};
use crate::time::Timestamp;
use crate::wire::rtcp::transport_feedback::{self, FeedbackHeader};
use crate::wire::rtcp::{self, RtcpPacket};

const PACKET_BYTES: u64 = 1_200;
const FRAME_US: u64 = 33_333;
const TRAIN_PACKETS: u64 = 10;
/// As long as what is rated of a short probe takes behind 0.4 Mbit/s.
const BUSY_US: u64 = 40_000;

pub(super) fn encoding(rid: usize) -> EncodingId {
    TrackId::new(1).unwrap().encoding(rid).unwrap()
}

pub(super) fn ladder(kbps: &[u64]) -> Vec<Step> {
    let step =
        |(rid, kbps): (usize, &u64)| Step { encoding: encoding(rid), rate: Rate::from_bits_per_second(kbps * 1_000) };
    kbps.iter().enumerate().map(step).collect()
}

/// A viewer's link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) kbps: u64,
    pub(super) queue_bytes: u64,
    pub(super) delay_ms: u64,
    /// Of a thousand packets.
    pub(super) loss: u64,
    /// Of a thousand reports.
    pub(super) feedback_loss: u64,
    /// Other traffic through the same queue.
    pub(super) cross_kbps: u64,
    /// Bytes that may leave at once.
    pub(super) bucket_bytes: u64,
    /// How much later than others whatever arrives within the same ten milliseconds may be.
    pub(super) jitter_ms: u64,
    /// Of a thousand times of [`BUSY_US`] those in which the receiver does something else: it takes what comes in one for what came at
    /// its end.
    pub(super) busy: u64,
    /// How far apart the publisher's uplink spaces a frame's packets.
    pub(super) uplink_kbps: u64,
}

impl Link {
    pub(super) const fn of(kbps: u64) -> Self {
        Self {
            kbps,
            // 300 ms of a narrow one, no less than 30 kB.
            queue_bytes: if kbps * 300 / 8 > 30_000 { kbps * 300 / 8 } else { 30_000 },
            delay_ms: 25,
            loss: 0,
            feedback_loss: 0,
            cross_kbps: 0,
            bucket_bytes: 0,
            jitter_ms: 0,
            busy: 0,
            uplink_kbps: 1_000_000,
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

/// A packet on its way to the link.
#[derive(Clone, Copy, Debug)]
struct Packet {
    at_us: u64,
    bytes: u64,
    ends_frame: bool,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// When what was decided on; `None` is sound only.
    pub(super) decisions: Vec<(u64, Option<usize>, Why)>,
    /// Of each packet, in milliseconds.
    pub(super) queues: Vec<u64>,
    pub(super) dropped: u64,
    pub(super) sent: u64,
    pub(super) reports: u64,
    pub(super) probed_bytes: u64,
    pub(super) sent_bytes: u64,
    /// Which encoding was sent each 100 ms.
    pub(super) sent_by_time: Vec<Option<usize>>,
}

impl Seen {
    /// Milliseconds of the first decision from `from_ms` on.
    pub(super) fn first_after(&self, from_ms: u64) -> Option<(u64, Option<usize>)> {
        self.decisions.iter().find(|decision| decision.0 >= from_ms).map(|decision| (decision.0 - from_ms, decision.1))
    }

    pub(super) fn queue_p95(&self) -> u64 {
        let mut queues = self.queues.clone();
        queues.sort_unstable();
        queues.get(queues.len() * 95 / 100).copied().unwrap_or(0)
    }

    /// What was sent most of the time between two points in milliseconds, and for which share.
    pub(super) fn mostly(&self, from_ms: u64, to_ms: u64) -> (Option<usize>, f64) {
        let part = &self.sent_by_time[(from_ms / 100) as usize..(to_ms / 100) as usize];
        let most = *part.iter().max_by_key(|&&which| part.iter().filter(|&&other| other == which).count()).unwrap();
        (most, part.iter().filter(|&&which| which == most).count() as f64 / part.len() as f64)
    }
}

/// One viewer of a publisher of several encodings.
pub(super) struct World {
    pub(super) bandwidth: Bandwidth,
    pub(super) link: Link,
    pub(super) steps: Vec<Step>,
    pub(super) seen: Seen,
    /// A frame in eight seconds.
    pub(super) is_still: bool,
    random: Random,
    now_us: u64,
    sent: usize,
    awaited: Option<(usize, u64)>,
    sound_only: bool,
    next_frame_us: u64,
    key_frame_due: bool,
    queue: VecDeque<Packet>,
    sent_bytes: u64,
    /// When the link has sent all it has.
    busy_until_us: u64,
    tokens: u64,
    cross_due_us: u64,
    /// Numbers on their way and when they arrive.
    arriving: VecDeque<(u64, u16)>,
    arrived: Vec<(u16, u64)>,
    next_report_us: u64,
    reported_to: Option<u16>,
    feedback_count: u8,
    feedback: VecDeque<(u64, Vec<u8>)>,
}

impl World {
    pub(super) fn new(kbps: &[u64], link: Link, seed: u64) -> Self {
        let steps = ladder(kbps);
        Self {
            bandwidth: Bandwidth::new(Timestamp::from_millis(1_000)),
            link,
            steps,
            seen: Seen::default(),
            is_still: false,
            random: Random(seed.max(1)),
            now_us: 1_000_000,
            sent: 0,
            awaited: None,
            sound_only: false,
            next_frame_us: 1_000_000,
            key_frame_due: true,
            queue: VecDeque::new(),
            sent_bytes: 0,
            busy_until_us: 0,
            tokens: link.bucket_bytes,
            cross_due_us: 0,
            arriving: VecDeque::new(),
            arrived: Vec::new(),
            next_report_us: 0,
            reported_to: None,
            feedback_count: 0,
            feedback: VecDeque::new(),
        }
    }

    /// Milliseconds since the viewer came.
    pub(super) fn now_ms(&self) -> u64 {
        (self.now_us - 1_000_000) / 1_000
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.now_us * 1_000)
    }

    pub(super) fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now_us += 1_000;
        if self.now_ms().is_multiple_of(100) {
            self.seen.sent_by_time.push((!self.sound_only).then_some(self.sent));
        }
        self.take_frames();
        self.visit();
        self.cross();
        while self.arriving.front().is_some_and(|&(at, _)| at <= self.now_us) {
            let (at, number) = self.arriving.pop_front().unwrap();
            self.arrived.push((number, at));
        }
        self.report();
        while self.feedback.front().is_some_and(|&(at, _)| at <= self.now_us) {
            let (_, bytes) = self.feedback.pop_front().unwrap();
            self.hear(&bytes);
        }
        if self.now_ms().is_multiple_of(1_000) {
            self.decide();
        }
    }

    fn take_frames(&mut self) {
        while self.next_frame_us <= self.now_us {
            self.next_frame_us += if self.is_still { 8_000_000 } else { FRAME_US };
            if let Some((target, due)) = self.awaited
                && due <= self.now_us
            {
                (self.sent, self.awaited, self.key_frame_due) = (target, None, true);
            }
            if self.sound_only {
                continue;
            }
            let rate = self.steps[self.sent].rate.bits_per_second();
            let spread = 80 + self.random.below(40);
            let mut bytes = rate * FRAME_US / 8_000_000 * spread / 100;
            if std::mem::take(&mut self.key_frame_due) {
                bytes *= 6;
            }
            let packets = bytes.div_ceil(PACKET_BYTES).max(1);
            let pace_kbps = (rate * 5 / 2 / 1_000).max(self.link.kbps * 85 / 100);
            for packet in 0..packets {
                let train = packet / TRAIN_PACKETS * TRAIN_PACKETS * PACKET_BYTES * 8_000 / pace_kbps;
                let uplink = packet * PACKET_BYTES * 8_000 / self.link.uplink_kbps;
                let at_us = self.now_us + train.max(uplink);
                self.queue.push_back(Packet { at_us, bytes: bytes / packets, ends_frame: packet + 1 == packets });
            }
        }
    }

    fn visit(&mut self) {
        let now = self.now();
        let mut sampled = None;
        let mut stamped_any = None;
        while self.queue.front().is_some_and(|packet| packet.at_us <= self.now_us) {
            let packet = self.queue.pop_front().unwrap();
            let samples = *sampled.get_or_insert_with(|| self.bandwidth.samples(now));
            let number = samples.then(|| self.bandwidth.stamp(packet.bytes as usize, packet.ends_frame, now));
            stamped_any = stamped_any.or(number);
            if packet.ends_frame {
                sampled = None;
            }
            self.sent_bytes += packet.bytes;
            self.seen.sent_bytes += packet.bytes;
            self.seen.sent += 1;
            if let Some(at) = self.pass(packet.bytes) {
                self.seen.queues.push((at - self.now_us) / 1_000);
                if let Some(number) = number
                    && self.random.below(1_000) >= self.link.loss
                {
                    self.arrive(at, number);
                }
            } else {
                self.seen.dropped += 1;
            }
        }
        if let Some(number) = stamped_any {
            self.bandwidth.left(number, true, now);
        }
    }

    /// When a packet has passed the bottleneck; `None` where its queue is full.
    fn pass(&mut self, bytes: u64) -> Option<u64> {
        let waits_us = self.busy_until_us.saturating_sub(self.now_us);
        if waits_us * self.link.kbps / 8_000 + bytes > self.link.queue_bytes {
            return None;
        }
        let takes = if self.tokens >= bytes {
            self.tokens -= bytes;
            0
        } else {
            bytes * 8_000 / self.link.kbps
        };
        self.busy_until_us = self.busy_until_us.max(self.now_us) + takes;
        Some(self.busy_until_us)
    }

    /// A packet that passed the bottleneck then arrives, in order.
    fn arrive(&mut self, passed_us: u64, number: u16) {
        let slot = passed_us / 10_000;
        let jitter_us = Random(slot.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).below(self.link.jitter_ms * 1_000 + 1);
        let mut at = passed_us + self.link.delay_ms * 1_000 + jitter_us;
        let slot = at / BUSY_US;
        if Random(slot.wrapping_mul(0xd134_2543_de82_ef95) | 1).below(1_000) < self.link.busy {
            at = (slot + 1) * BUSY_US;
        }
        let earliest = self.arriving.back().map_or(0, |&(at, _)| at);
        self.arriving.push_back((at.max(earliest), number));
    }

    fn cross(&mut self) {
        if self.busy_until_us <= self.now_us {
            self.tokens = (self.tokens + self.link.kbps / 8).min(self.link.bucket_bytes);
        }
        if self.link.cross_kbps == 0 {
            return;
        }
        self.cross_due_us = self.cross_due_us.max(self.now_us.saturating_sub(2_000));
        while self.cross_due_us <= self.now_us {
            let mean = PACKET_BYTES * 8_000 / self.link.cross_kbps;
            self.cross_due_us += mean / 2 + self.random.below(mean);
            let _ = self.pass(PACKET_BYTES);
        }
    }

    fn report(&mut self) {
        if self.now_us < self.next_report_us {
            return;
        }
        self.next_report_us = self.now_us + 50_000 + self.random.below(50_000);
        if self.arrived.is_empty() {
            return;
        }
        self.arrived.sort_by_key(|&(number, _)| number);
        let base = self.reported_to.map_or(self.arrived[0].0, |number| number.wrapping_add(1));
        let last = self.arrived.last().unwrap().0;
        let count = usize::from(last.wrapping_sub(base)) + 1;
        let mut arrivals = vec![None; count];
        for (number, at) in self.arrived.drain(..) {
            // Another clock than the node's.
            if let Some(place) = arrivals.get_mut(usize::from(number.wrapping_sub(base))) {
                *place = Some(at + 77_777_777);
            }
        }
        let mut statuses = vec![None; count];
        let quantised = transport_feedback::quantise(&arrivals, &mut statuses);
        let header = FeedbackHeader {
            sender_ssrc: 1,
            media_ssrc: 2,
            base_sequence: base,
            reference_time: quantised.reference_time,
            feedback_count: self.feedback_count,
        };
        let mut bytes = vec![0; 1_200];
        let written = transport_feedback::write(&mut bytes, &header, &statuses[..quantised.statuses]).unwrap();
        bytes.truncate(written.len);
        self.reported_to = Some(last);
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.seen.reports += 1;
        if self.random.below(1_000) >= self.link.feedback_loss {
            self.feedback.push_back((self.now_us + self.link.delay_ms * 1_000, bytes));
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let now = self.now();
        for packet in rtcp::packets(bytes) {
            let RtcpPacket::TransportFeedback(feedback) = packet.unwrap() else { panic!() };
            let folded = self.bandwidth.transport_feedback(&feedback, self.sent_bytes, now);
            assert_eq!(folded, super::history::Folded::default());
        }
        self.decide();
    }

    fn decide(&mut self) {
        let now = self.now();
        let steps = self.steps.clone();
        let place = Place {
            ladder: &steps,
            sent: encoding(self.sent),
            awaited: self.awaited.map(|(rid, _)| encoding(rid)),
            can_probe: true,
            is_sound_only: self.sound_only,
        };
        let packets = self.bandwidth.probe(&place, now);
        if packets > 0 {
            let first = self.bandwidth.next_number();
            for packet in 1..=packets {
                let number = self.bandwidth.stamp(600, packet == packets, now);
                self.seen.probed_bytes += 600;
                if let Some(at) = self.pass(600) {
                    self.arrive(at, number);
                }
            }
            self.bandwidth.left(first, true, now);
        }
        let Some(decision) = self.bandwidth.decide(&place, now) else { return };
        let rid = decision.encoding.map(EncodingId::rid);
        self.seen.decisions.push((self.now_ms(), rid, decision.why));
        match rid {
            None => (self.sound_only, self.awaited) = (true, None),
            // The key frame comes a round trip to the publisher and a frame later.
            Some(rid) if rid != self.sent || self.sound_only => {
                self.sound_only = false;
                self.awaited = Some((rid, self.now_us + 100_000));
            }
            Some(_) => self.awaited = None,
        }
    }

    pub(super) fn figures(&self) -> String {
        let estimator = self.bandwidth.estimator();
        format!(
            "{} kbit/s capacity, {} free, {} delivered, queue {:?}, loss {:?}, usually {}",
            estimator.capacity().map_or(0, |rate| rate.bits_per_second() / 1_000),
            estimator.free_share().map_or(0, |rate| rate.bits_per_second() / 1_000),
            estimator.delivered().bits_per_second() / 1_000,
            estimator.queue_ms(),
            estimator.loss_permille(),
            estimator.usual_loss(),
        )
    }
}

/// Runs a world for so long.
pub(super) fn run(kbps: &[u64], link: Link, seed: u64, time: Duration) -> World {
    let mut world = World::new(kbps, link, seed);
    world.run(time.as_millis() as u64);
    world
}

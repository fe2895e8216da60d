//! The relay's own work: the packet ring, header rewriting, and one frame of eight to 1,000 and to 5,000 viewers through
//! the production worker, sealed and dropped in front of the kernel. `cargo bench --bench relay`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use corecast::lab::bench::rig::{Rig, RigConfig, Sink};
use corecast::limits;
use corecast::net::{Io as _, IoKind};
use corecast::relay::play::extension::ExtensionTemplate;
use corecast::relay::play::subscription::{Cursor, EgressFormat, Subscription};
use corecast::relay::play::wheel::Wheel;
use corecast::relay::store::numbers::{EncodingId, Position, Sequence};
use corecast::relay::store::packet_ring::{Layers, PacketInfo, PacketRing, Start};
use corecast::time::Timestamp;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn info(sequence: u64) -> PacketInfo {
    PacketInfo {
        sequence: Sequence(sequence),
        timestamp: 0,
        arrival: Timestamp::from_nanos(sequence * 4_000_000),
        marker: false,
        key_frame: false,
        padding: 0,
        layers: Layers::UNKNOWN,
    }
}

fn ring(c: &mut Criterion) {
    let payload = vec![7; 1_160];
    let mut ring = PacketRing::new(limits::VIDEO_RING_PACKETS_MAX, limits::VIDEO_RING_BYTES_MAX);
    let mut sequence = 0;
    c.bench_function("relay/ring, store a packet", |b| {
        b.iter(|| {
            sequence += 1;
            ring.store(info(sequence), black_box(&payload))
        });
    });
    c.bench_function("relay/ring, the next packet of a cursor", |b| {
        let mut position = ring.tail();
        b.iter(|| {
            position = if position.next() < ring.head() { position.next() } else { ring.tail() };
            ring.get(black_box(position)).map(|(info, payload)| info.sequence.0 + payload.len() as u64)
        });
    });
    c.bench_function("relay/ring, a packet by its sequence", |b| {
        let newest = ring.newest_sequence().expect("there are packets");
        let mut back = 0;
        b.iter(|| {
            back = (back + 13) % 400;
            ring.find(black_box(Sequence(newest.0 - back))).map(|(position, ..)| position)
        });
    });
}

fn header(c: &mut Criterion) {
    let mut subscription = Subscription::new(7, Some(8), ExtensionTemplate::with_mid(Some(1), "1"), 99);
    let format = EgressFormat { payload_type: 102, rtx_payload_type: Some(103), clock_rate_hz: 90_000 };
    subscription.set_format(Some(format));
    let start = Start { position: Position(0), sequence: Sequence(1) };
    subscription.start_at(EncodingId::default(), start, Timestamp::ZERO);
    let mut slot = [0; 64];
    let mut sequence = 1;
    c.bench_function("relay/rewrite a header", |b| {
        b.iter(|| {
            let header = subscription.write_header(&mut slot, black_box(&info(sequence))).expect("it fits");
            subscription.sent(header.index, 1_160);
            sequence += 1;
            header.index
        });
    });
    assert!(matches!(subscription.cursor(), Cursor::At(_)));
}

fn fan_out(c: &mut Criterion) {
    const PACKETS: usize = 8;
    let mut group = c.benchmark_group("relay/a frame of eight to every viewer");
    for viewers in [1_000, 5_000] {
        let config = RigConfig { sink: Sink::Null, io: IoKind::Mmsg, virtual_time: true, viewers, idle: 0, part: None };
        let mut rig = Rig::new(config).expect("a worker");
        let now = rig.io.now();
        rig.io.inbox = rig.arrivals(PACKETS, true, now);
        rig.run_idle();
        group.throughput(Throughput::Elements((PACKETS * viewers) as u64));
        group.bench_function(BenchmarkId::from_parameter(viewers), |b| {
            b.iter_custom(|count| {
                // Making what arrives is not the relay's time.
                let mut took = Duration::ZERO;
                for _ in 0..count {
                    let now = rig.io.now();
                    rig.io.inbox = rig.arrivals(PACKETS, false, now);
                    let started = Instant::now();
                    rig.run_idle();
                    took += started.elapsed();
                    rig.io.advance(Duration::from_micros(33_333));
                }
                took
            });
        });
    }
}

/// 5,000 viewers in the middle of a key frame: each is taken out when it is due, and filed again 20 ms later. The heap is what
/// the wheel is measured against.
fn later(c: &mut Criterion) {
    const VIEWERS: u64 = 5_000;
    const PAUSE_NANOS: u64 = 20_000_000;
    // Visits follow one another every 4 µs.
    let first = |viewer: u64| Timestamp::from_nanos(viewer * (PAUSE_NANOS / VIEWERS));
    let mut group = c.benchmark_group("relay/later, one of 5,000 taken out and filed again");
    let mut wheel = Wheel::default();
    (0..VIEWERS).for_each(|viewer| wheel.push(first(viewer), (viewer, 0_u8)));
    let mut now = Timestamp::ZERO;
    group.bench_function("wheel", |b| {
        b.iter(|| {
            let viewer = loop {
                match wheel.pop_due(now) {
                    Some((viewer, _)) => break viewer,
                    None => now = wheel.next_due().expect("all of them wait"),
                }
            };
            wheel.push(now + Duration::from_nanos(PAUSE_NANOS), (black_box(viewer), 0));
        });
    });
    let mut heap: BinaryHeap<Reverse<(Timestamp, u64, u64, u8)>> = BinaryHeap::new();
    (0..VIEWERS).for_each(|viewer| heap.push(Reverse((first(viewer), viewer, viewer, 0))));
    let mut filed = VIEWERS;
    group.bench_function("heap", |b| {
        b.iter(|| {
            let Some(Reverse((at, _, viewer, _))) = heap.pop() else { return };
            filed += 1;
            heap.push(Reverse((at + Duration::from_nanos(PAUSE_NANOS), filed, black_box(viewer), 0)));
        });
    });
}

criterion_group! {
    name = relay;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    targets = ring, header, fan_out, later
}
criterion_main!(relay);

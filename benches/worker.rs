//! What a worker has between its sockets and its streams: demultiplexing and the flow table, lanes between cores, timers,
//! and idle sessions. `cargo bench --bench worker`. The two rows of idle sessions must be equal.

use std::hint::black_box;
use std::time::Duration;

use corecast::lab::bench::rig::{Rig, RigConfig, Sink};
use corecast::net::{Io as _, IoKind, Waker};
use corecast::relay::store::address::{RecordAddress, StreamId};
use corecast::relay::store::numbers::EncodingId;
use corecast::relay::store::record::{MediaRecord, Record};
use corecast::relay::store::timeline::Incarnation;
use corecast::time::Timestamp;
use corecast::transport::{PathAddress, PathTable, UdpPath};
use corecast::wire::demux;
use corecast::worker::lane::Lanes;
use corecast::worker::mailbox::WorkerIndex;
use corecast::worker::timers::{NEVER, Timers};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn flows(c: &mut Criterion) {
    let datagram = [0x80_u8; 100];
    for count in [100_u32, 10_000] {
        let address = |number: u32| -> PathAddress {
            let [_, a, b, c] = number.to_be_bytes();
            UdpPath::to(([10, a, b, c], 4_000).into()).into()
        };
        let mut table = PathTable::default();
        for number in 0..count {
            let path = table.arrive(&address(number)).expect("room");
            table.claim(path, number);
        }
        let mut next = 0;
        c.bench_function(&format!("worker/demux and find one of {count} flows"), |b| {
            b.iter(|| {
                next = (next + 7_919) % count;
                (demux::classify(black_box(&datagram)), table.find(&address(next)))
            });
        });
    }
}

fn lanes(c: &mut Criterion) {
    let mut pair = Lanes::connect(&[Waker::noop(), Waker::noop()]);
    let (mut to, mut from) = (pair.pop().expect("two"), pair.pop().expect("two"));
    let payload = vec![7; 1_160];
    let mut sequence = 0;
    let mut group = c.benchmark_group("worker");
    group.throughput(Throughput::Elements(8));
    group.bench_function("lane, a frame of 8 written and read", |b| {
        b.iter(|| {
            for _ in 0..8 {
                sequence += 1;
                let record = Record::Media(MediaRecord {
                    incarnation: Incarnation(1),
                    sequence,
                    timestamp: 0,
                    arrival: Timestamp::ZERO,
                    marker: false,
                    key_frame: false,
                    padding: 0,
                    layers: corecast::relay::store::packet_ring::Layers::UNKNOWN,
                    payload: &payload,
                });
                from.send(
                    WorkerIndex(1),
                    RecordAddress { stream: StreamId(1), encoding: EncodingId::default() },
                    &record,
                );
            }
            let mut bytes = 0;
            to.receive(8, |_, record| {
                if let Record::Media(media) = record {
                    bytes += media.payload.len();
                }
            });
            bytes
        });
    });
    group.finish();
}

fn timers(c: &mut Criterion) {
    for count in [100_usize, 10_000] {
        let mut timers = Timers::default();
        let mut armed = vec![NEVER; count];
        let mut now = Timestamp::ZERO;
        for (key, armed) in armed.iter_mut().enumerate() {
            timers.arm(key, armed, now + Duration::from_micros(1 + key as u64 * 7));
        }
        c.bench_function(&format!("worker/timer, one of {count} comes up and is armed again"), |b| {
            b.iter(|| {
                now = timers.next_deadline();
                if let Some((_, key)) = timers.pop_due(now) {
                    armed[key] = NEVER;
                    timers.arm(key, &mut armed[key], now + Duration::from_secs(1));
                }
            });
        });
    }
}

fn idle_sessions(c: &mut Criterion) {
    let mut group = c.benchmark_group("worker/a frame to one viewer beside idle sessions");
    for idle in [100, 10_000] {
        let config = RigConfig { sink: Sink::Null, io: IoKind::Mmsg, virtual_time: true, viewers: 1, idle, part: None };
        let mut rig = Rig::new(config).expect("a worker");
        let now = rig.io.now();
        rig.io.inbox = rig.arrivals(8, true, now);
        rig.run_idle();
        group.bench_function(BenchmarkId::from_parameter(idle), |b| {
            b.iter_custom(|count| {
                // Making what arrives is not the worker's time.
                (0..count).map(|_| frame(&mut rig, 8)).sum()
            });
        });
    }
}

/// The time to receive a frame and send it to everyone.
fn frame(rig: &mut Rig, packets: usize) -> Duration {
    let now = rig.io.now();
    rig.io.inbox = rig.arrivals(packets, false, now);
    let started = std::time::Instant::now();
    rig.run_idle();
    let took = started.elapsed();
    rig.io.advance(Duration::from_micros(33_333));
    took
}

criterion_group! {
    name = worker;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    targets = flows, lanes, timers, idle_sessions
}
criterion_main!(worker);

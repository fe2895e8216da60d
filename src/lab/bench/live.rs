//! A run at the pace of a real stream: `corecast bench --live`. A stream of 30 frames of eight packets and 50 audio
//! packets a second goes in real time to as many viewers as fill 30, 70 and 95 % of a core. It measures how long trains
//! are, how long packets stay in the worker, and how much capacity is left.
//!
//! Capacity is measured first: the CPU time of a media second. Arrivals are scheduled beforehand and keep to the schedule
//! whatever the worker does (a late worker does not slow them), and a packet's residence counts from its scheduled
//! arrival. They are handed in from memory; what is sent goes over loopback.
//!
//! Left out: pacing as browsers have it. A frame arrives at once here, so its train is whole; one that trickles in over
//! milliseconds is held together only when the worker is more than half busy.

use std::time::Duration;

use serde::Serialize;

use super::compare::{Pair, round};
use super::rig::{Inbox, PACKETS_PER_MEDIA_SECOND, Rig, RigConfig, Sink};
use super::{BenchError, BenchSettings, Progress, with_sink};
use crate::limits;
use crate::net::process::thread_cpu_time;
use crate::net::{Io as _, IoKind};
use crate::time::Timestamp;
use crate::worker::report::{ResidenceReport, TrainsReport};

const FRAME_PACKETS: usize = 8;
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const KEY_FRAME_PACKETS: usize = 40;

/// Loads, as shares of the measured capacity.
const LOADS: [f64; 3] = [0.30, 0.70, 0.95];

/// The cost of a packet in a train of k packets, as a + b/k nanoseconds, fitted to measured trains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Model {
    /// Nanoseconds of every packet.
    pub a_ns: f64,
    /// Nanoseconds of every train.
    pub b_ns: f64,
}

impl Model {
    /// Least squares through (k, nanoseconds per packet).
    #[must_use]
    pub fn fit(points: &[(usize, f64)]) -> Self {
        let n = points.len() as f64;
        let (mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0);
        for &(k, ns) in points {
            let inverse = 1.0 / k as f64;
            x += inverse;
            y += ns;
            xx += inverse * inverse;
            xy += inverse * ns;
        }
        let b_ns = (n * xy - x * y) / (n * xx - x * x);
        Self { a_ns: (y - b_ns * x) / n, b_ns }
    }

    /// Nanoseconds of a packet in a train of `k`.
    #[must_use]
    pub fn packet_ns(self, k: f64) -> f64 {
        self.a_ns + self.b_ns / k
    }
}

/// One load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Share of the capacity that was asked for.
    pub load: f64,
    /// Viewers.
    pub viewers: usize,
    /// Share of the wall clock that the thread had the CPU for.
    pub cpu: f64,
    /// More viewers of the same stream the core could take by that, as a share of those it has.
    pub headroom: f64,
    /// The same by the model if all trains were as long as a visit allows: what the worker would gain by falling
    /// behind.
    pub headroom_in_long_trains: f64,
    /// Packets forwarded.
    pub packets: u64,
    /// Packets that a cursor skipped, or for which there was no room.
    pub dropped: u64,
    /// Lengths of trains.
    pub trains: TrainsReport,
    /// Residence by class and viewer.
    pub residence: Vec<ResidenceReport>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveRun {
    /// `uring` or `mmsg`.
    pub io: &'static str,
    /// Capacity of trains.
    pub model: Model,
    /// Viewers that would fill the core.
    pub capacity_viewers: usize,
    /// The loads.
    pub levels: Vec<Level>,
}

/// The datagrams of a run and their times of arrival.
struct Schedule(Vec<(Duration, Inbox)>);

impl Schedule {
    /// `media` of the stream, with a key frame every two seconds.
    fn new(rig: &mut Rig, start: Timestamp, media: Duration) -> Self {
        let mut arrivals = Vec::new();
        let tick = Duration::from_secs(1) * FRAME_PACKETS as u32 / PACKETS_PER_MEDIA_SECOND as u32;
        let (mut video, mut audio, mut frames) = (Duration::ZERO, Duration::from_millis(7), 0_u32);
        while video < media {
            if audio < video {
                let path = rig.path(0);
                let mut inbox = Inbox::default();
                rig.publisher.audio(start + audio, &mut |bytes| inbox.push(path, bytes));
                arrivals.push((audio, inbox));
                audio += AUDIO_INTERVAL;
                continue;
            }
            let key_frame = frames.is_multiple_of(60);
            let packets = if key_frame { KEY_FRAME_PACKETS } else { FRAME_PACKETS };
            arrivals.push((video, rig.arrivals(packets, key_frame, start + video)));
            frames += 1;
            video = tick * frames;
        }
        Self(arrivals)
    }
}

/// CPU seconds per second of media and viewer.
fn cost(io: IoKind, viewers: usize) -> Result<f64, BenchError> {
    let mut rig = Rig::new(RigConfig { sink: Sink::Loopback, io, virtual_time: true, viewers, idle: 0, part: None })?;
    let media = Duration::from_secs(2);
    let mut costs = Vec::new();
    for _ in 0..4 {
        let start = rig.io.now();
        let schedule = Schedule::new(&mut rig, start, media);
        let before = thread_cpu_time();
        let mut at = Duration::ZERO;
        for (due, inbox) in schedule.0 {
            rig.io.advance(due - at);
            at = due;
            rig.io.inbox = inbox;
            rig.run_idle();
        }
        rig.io.advance(media - at);
        costs.push((thread_cpu_time() - before).as_secs_f64());
    }
    // The first run has cold caches.
    let least = costs.into_iter().skip(1).fold(f64::INFINITY, f64::min);
    Ok(least / media.as_secs_f64() / viewers as f64)
}

/// Serves `viewers` viewers in real time.
fn level(io: IoKind, load: f64, viewers: usize, model: Model, media: Duration) -> Result<Level, BenchError> {
    let rig = Rig::new(RigConfig { sink: Sink::Loopback, io, virtual_time: false, viewers, idle: 0, part: None })?;
    Ok(level_of(rig, load, model, media))
}

/// Serves the rig's viewers at the pace of its own clock.
fn level_of(mut rig: Rig, load: f64, model: Model, media: Duration) -> Level {
    let viewers = rig.viewers();
    let start = rig.io.now() + Duration::from_millis(100) + Duration::from_micros(20) * viewers as u32;
    let schedule = Schedule::new(&mut rig, start, media);
    let start = start.max(rig.io.now() + Duration::from_millis(5));
    let cpu = thread_cpu_time();
    for (due, inbox) in schedule.0 {
        // Serves earlier arrivals until then.
        rig.serve_until(start + due);
        rig.io.inbox.append(&inbox, start + due);
    }
    rig.run_idle();
    let (wall, cpu) = (rig.io.now().since(start), thread_cpu_time() - cpu);
    let share = cpu.as_secs_f64() / wall.as_secs_f64();
    let report = rig.report();
    let per_viewer = PACKETS_PER_MEDIA_SECOND as f64 * model.packet_ns(limits::PACKETS_PER_VISIT_MAX as f64)
        + model.packet_ns(1.0) / AUDIO_INTERVAL.as_secs_f64();
    Level {
        load,
        viewers,
        cpu: round(share, 3),
        headroom: round(1.0 / share - 1.0, 2),
        headroom_in_long_trains: round(1e9 / per_viewer / viewers as f64 - 1.0, 2),
        packets: report.forwarded.packets,
        dropped: report.dropped.values().sum(),
        trains: report.trains,
        residence: report.residence,
    }
}

/// Measures the capacity, then serves at each load.
///
/// # Errors
/// Sockets or backend could not be made.
pub fn measure(settings: &BenchSettings, mut step: impl FnMut(&str) + Send) -> Result<LiveRun, BenchError> {
    let io = settings.io.unwrap_or_default();
    let media = Duration::from_secs(if settings.quick { 3 } else { 10 });
    let run = move || {
        step("the cost of trains");
        let mut pair = Pair::new(Sink::Loopback, io, 1_000)?;
        let points: Vec<_> =
            [1, 2, 4, 8, 16].map(|train| (train, pair.compare(Sink::Loopback, train, 5).relay_ns)).to_vec();
        drop(pair);
        let model = Model::fit(&points);
        step("the cost of a media second");
        let capacity = 1.0 / cost(io, 2_000)?;
        let mut levels = Vec::new();
        for load in LOADS {
            step(&format!("{:.0} % load", load * 100.0));
            levels.push(level(io, load, (capacity * load) as usize, model, media)?);
        }
        let model = Model { a_ns: round(model.a_ns, 0), b_ns: round(model.b_ns, 0) };
        let io = if io == IoKind::Mmsg { "mmsg" } else { "uring" };
        Ok(LiveRun { io, model, capacity_viewers: capacity as usize, levels })
    };
    with_sink(Sink::Loopback, run).unwrap_or_else(|reason| unreachable!("loopback is always permitted, not {reason:?}"))
}

/// Prints it.
///
/// # Errors
/// Sockets or backend could not be made.
pub fn run(settings: &BenchSettings) -> Result<(), BenchError> {
    let mut progress = Progress::new(2 + LOADS.len());
    let live = measure(settings, |what| progress.step(what))?;
    if settings.json {
        println!("{}", super::json(&live));
        return Ok(());
    }
    println!(
        "One core ({}), loopback: a packet in a train of k costs {:.0} + {:.0}/k ns of CPU. A stream of 240 video and 50 \
         audio packets a second fills the core with {} viewers.\n",
        live.io, live.model.a_ns, live.model.b_ns, live.capacity_viewers
    );
    println!("| load | viewers | CPU   | headroom | in long trains | train p1 / p50 / p99 | dropped |");
    println!("|------|---------|-------|----------|----------------|----------------------|---------|");
    for level in &live.levels {
        let TrainsReport { p1, p50, p99, .. } = level.trains;
        println!(
            "| {:3.0}% | {:7} | {:4.0}% | {:7.0}% | {:13.0}% | {p1:6} / {p50:3} / {p99:3}   | {:7} |",
            level.load * 100.0,
            level.viewers,
            level.cpu * 100.0,
            level.headroom * 100.0,
            level.headroom_in_long_trains * 100.0,
            level.dropped
        );
    }
    println!("\nResidence in milliseconds: from a packet's arrival until the send that carried it had returned.\n");
    println!("| load | class | viewer |  packets |      p50 |      p99 |    p99.9 |  longest |");
    println!("|------|-------|--------|----------|----------|----------|----------|----------|");
    for level in &live.levels {
        for r in &level.residence {
            let ms = |us: u64| us as f64 / 1e3;
            println!(
                "| {:3.0}% | {:5} | {:6} | {:8} | {:8.3} | {:8.3} | {:8.3} | {:8.3} |",
                level.load * 100.0,
                r.class,
                r.viewer,
                r.packets,
                ms(r.p50_us),
                ms(r.p99_us),
                ms(r.p999_us),
                ms(r.max_us)
            );
        }
    }
    println!(
        "\n\"First\" and \"last\" are the first and the last viewer of a packet. Sending one frame to everyone takes time \
         whatever is done; what the last one waits is mostly that. \"In long trains\" is the room by the model, were every \
         video train {} packets long.",
        limits::PACKETS_PER_VISIT_MAX
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_fitted_to_the_points() {
        let model = Model { a_ns: 440.0, b_ns: 590.0 };
        let points: Vec<_> = [1, 2, 4, 8, 16].map(|k| (k, model.packet_ns(k as f64))).to_vec();
        let fitted = Model::fit(&points);
        assert!((fitted.a_ns - 440.0).abs() < 1e-6 && (fitted.b_ns - 590.0).abs() < 1e-6, "{fitted:?}");
    }

    #[test]
    fn a_paced_run_counts_every_packet_by_class_for_first_and_last_viewer() {
        let model = Model { a_ns: 400.0, b_ns: 600.0 };
        // The run is in virtual time, because in real time a worker that is not scheduled for a while rightly skips
        // packets that have become old.
        let (sink, io) = (Sink::Loopback, IoKind::Mmsg);
        let rig = Rig::new(RigConfig { sink, io, virtual_time: true, viewers: 20, idle: 0, part: None }).unwrap();
        let level = level_of(rig, 0.1, model, Duration::from_millis(500));
        let told: Vec<_> = level.residence.iter().map(|r| (r.class, r.viewer, r.packets)).collect();
        // 16 frames (the last one falls just short of 500 ms), the first of them a key frame of 40 and its parameter
        // sets; audio at 7, 27, … 487 ms.
        let (audio, delta, key) = (25, 15 * 8, 41);
        let expected = [
            ("audio", "first", audio),
            ("audio", "last", audio),
            ("delta", "first", delta),
            ("delta", "last", delta),
            ("key", "first", key),
            ("key", "last", key),
        ];
        assert_eq!(told, expected);
        assert_eq!((level.packets, level.dropped), (20 * (audio + delta + key), 0));
    }

    #[test]
    fn a_run_in_real_time_takes_the_time_of_its_media() {
        let model = Model { a_ns: 400.0, b_ns: 600.0 };
        let before = crate::net::now();
        let level = level(IoKind::Mmsg, 0.1, 20, model, Duration::from_millis(200)).unwrap();
        // The last audio packet is due at 187 ms.
        assert!(crate::net::now().since(before) >= Duration::from_millis(187), "{level:?}");
        assert_eq!(level.viewers, 20);
    }
}

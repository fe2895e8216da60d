//! One stream on two cores against one: does the relay gain as much from the second core as sealing and sending with
//! nothing else does?
//!
//! Two workers as the node has them, each on its own core with its own socket, joined by lanes: the publisher is on the
//! first, each serves its own viewers. Rates are packets per second of CPU time, added up over the cores, so that what
//! else runs on the machine takes nothing from them; what the cores take from each other (caches, memory, clock, the
//! other half of a physical core, the lanes) is in them, for relay and floor alike.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::BenchError;
use super::compare::quantile;
use super::floor::{Floor, Work};
use super::rig::{Rig, RigConfig, STREAM, Sink};
use crate::lab::peer::video;
use crate::limits;
use crate::net::process::{allowed_cores, pin_current_thread, thread_cpu_time};
use crate::net::{self, Io as _, IoKind, MediaSockets};
use crate::worker::lane::Lanes;
use crate::worker::mailbox::{Control, Listener, Origin, WorkerIndex};

const TRAIN: usize = 8;

/// Frames that the second worker may be behind the first: far less than a lane holds.
const FRAMES_AHEAD_MAX: u64 = 4;

/// Stored in place of the frames that a follower has sent when it has failed; larger than any such number.
const FOLLOWER_FAILED: u64 = u64::MAX / 2;

/// How one stream spreads over two cores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scaling {
    /// Viewers of each core.
    pub viewers_per_core: usize,
    /// Packets per CPU second: floor on one core and on two, relay on one and on two.
    pub floor: [f64; 2],
    /// The same of the relay.
    pub relay: [f64; 2],
    /// Median of (relay 2 ÷ 1) ÷ (floor 2 ÷ 1).
    pub ratio: f64,
}

/// Measures in `turns` turns of floor 1, relay 1, floor 2, relay 2. `None` where there is one core only.
///
/// # Errors
/// Sockets or backend could not be made.
pub fn measure(
    sink: Sink,
    io: IoKind,
    viewers: usize,
    frames: u64,
    turns: usize,
) -> Result<Option<Scaling>, BenchError> {
    let cores = allowed_cores().map_err(BenchError::Socket)?;
    let &[.., first, second] = cores.as_slice() else { return Ok(None) };
    let cores = [first, second];
    let mut turn = Vec::new();
    for _ in 0..turns {
        turn.push([
            floor(sink, viewers, frames, &cores[..1])?,
            relay(sink, io, viewers, frames, &cores[..1])?,
            floor(sink, viewers, frames, &cores)?,
            relay(sink, io, viewers, frames, &cores)?,
        ]);
    }
    let over = |of: &dyn Fn(&[f64; 4]) -> f64| quantile(turn.iter().map(of), 0.5);
    Ok(Some(Scaling {
        viewers_per_core: viewers,
        floor: [over(&|t| t[0]), over(&|t| t[2])],
        relay: [over(&|t| t[1]), over(&|t| t[3])],
        ratio: over(&|t| (t[3] / t[1]) / (t[2] / t[0])),
    }))
}

/// Packets per CPU second, all cores together.
fn floor(sink: Sink, viewers: usize, frames: u64, cores: &[u16]) -> Result<f64, BenchError> {
    let start = Barrier::new(cores.len());
    let running = AtomicU64::new(cores.len() as u64);
    let one = |core: u16| {
        // An error is ignored: unpinned, the figure only varies more.
        let _ = pin_current_thread(&[core]);
        let unread = (sink == Sink::Loopback).then(super::rig::unread_socket).transpose();
        let floor = unread.map_err(BenchError::Socket).and_then(|unread| {
            let port = unread.as_ref().and_then(|socket| socket.local_addr().ok()).map_or(9, |address| address.port());
            Ok((Floor::new(sink, viewers, port)?, unread))
        });
        start.wait();
        let (mut floor, _unread) = floor?;
        floor.set_payloads(video::frame(1, TRAIN * (video::FRAGMENT_BYTES_MAX - 2), false, false));
        let tuning = floor.tune();
        let before = thread_cpu_time();
        (0..frames).for_each(|_| floor.frame(tuning, Work::SealAndSend));
        let cpu = thread_cpu_time() - before;
        // Keeps this core busy until the other one has finished, so that both run under load for all their frames.
        running.fetch_sub(1, Ordering::Relaxed);
        while running.load(Ordering::Relaxed) > 0 {
            floor.frame(tuning, Work::SealAndSend);
        }
        Ok((viewers * TRAIN) as f64 * frames as f64 / cpu.as_secs_f64())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = cores.iter().map(|&core| scope.spawn(move || one(core))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a bench's thread does not panic")).sum()
    })
}

/// Packets per CPU second, all cores together.
fn relay(sink: Sink, io: IoKind, viewers: usize, frames: u64, cores: &[u16]) -> Result<f64, BenchError> {
    let workers = relay_on_each(sink, io, viewers, frames, cores)?;
    Ok(workers.into_iter().map(|(sent, cpu)| sent as f64 / cpu.as_secs_f64()).sum())
}

/// What the worker on each core sent, and its CPU time.
fn relay_on_each(
    sink: Sink,
    io: IoKind,
    viewers: usize,
    frames: u64,
    cores: &[u16],
) -> Result<Vec<(u64, Duration)>, BenchError> {
    let open = |_| MediaSockets::open(&[sink.local()], 0).map_err(BenchError::Net);
    let sockets = cores.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let wakers: Vec<_> = sockets.iter().map(MediaSockets::waker).collect();
    let lanes = Lanes::connect(&wakers);
    // Frames that the other workers have sent to all their viewers.
    let behind = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    let ready = Barrier::new(cores.len());
    let listener = |index| Listener { worker: WorkerIndex(index), membership: 1 };
    let audience: Vec<Listener> = (0..cores.len() as u16).map(listener).collect();
    let run = |index: u16, core: u16, sockets: MediaSockets, lanes: Lanes| {
        let _ = pin_current_thread(&[core]);
        let part = Some((WorkerIndex(index), sockets, lanes));
        let rig = Rig::new(RigConfig { sink, io, virtual_time: false, viewers, idle: 0, part });
        if rig.is_err() {
            // The publisher must not wait for a worker that will never follow.
            behind.store(FOLLOWER_FAILED, Ordering::Release);
        }
        ready.wait();
        let mut rig = rig?;
        let route =
            Control::Route { stream: STREAM, origin: Some(Origin::Worker(WorkerIndex(0))), audience: audience.clone() };
        assert!(rig.handle.try_send(route).is_ok(), "a mailbox has room for its first message");
        rig.round();
        let cpu = if index == 0 {
            publish(&mut rig, frames, cores.len() > 1, &behind)
        } else {
            follow(&mut rig, &behind, &ended)
        };
        if index == 0 {
            ended.store(true, Ordering::Release);
        }
        let report = rig.report();
        // The key frame that starts the viewers is not among the frames.
        let sent = report.forwarded.packets.saturating_sub((viewers * (TRAIN + 1)) as u64);
        Ok((sent, cpu))
    };
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = (0_u16..)
            .zip(cores)
            .zip(sockets.into_iter().zip(lanes))
            .map(|((index, &core), (sockets, lanes))| scope.spawn(move || run(index, core, sockets, lanes)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a bench's thread does not panic")).collect()
    })
}

/// Publishes on this worker and serves its viewers; CPU time of its rounds.
fn publish(rig: &mut Rig, frames: u64, followed: bool, behind: &AtomicU64) -> Duration {
    let mut cpu = Duration::ZERO;
    publish_key_frame(rig);
    let mut key_frame_at = net::now();
    for frame in 1..=frames {
        while followed && frame > behind.load(Ordering::Acquire) + FRAMES_AHEAD_MAX {
            // A worker that was not scheduled meanwhile has found the key frame too old for its viewers to start with.
            if behind.load(Ordering::Acquire) == 0 && net::now().since(key_frame_at) > limits::KEY_FRAME_AGE_MAX {
                publish_key_frame(rig);
                key_frame_at = net::now();
            }
            thread::yield_now();
        }
        rig.io.inbox = rig.arrivals(TRAIN, false, net::now());
        let before = thread_cpu_time();
        rig.run_idle();
        cpu += thread_cpu_time() - before;
    }
    cpu
}

/// Publishes a key frame for viewers to start with; another where this thread did not run until it was too old for them.
fn publish_key_frame(rig: &mut Rig) {
    let before = rig.io.counters().segments_sent;
    for _ in 0..5 {
        rig.io.inbox = rig.arrivals(TRAIN, true, net::now());
        rig.run_idle();
        if rig.io.counters().segments_sent - before >= (rig.viewers() * TRAIN) as u64 {
            return;
        }
    }
}

/// Serves the viewers of this worker from its lane until the publisher has ended; CPU time of all it does once the first
/// frame has passed.
fn follow(rig: &mut Rig, behind: &AtomicU64, ended: &AtomicBool) -> Duration {
    let packets_per_frame = (rig.viewers() * TRAIN) as u64;
    let (mut before, mut seen) = (thread_cpu_time(), 0);
    while !(ended.load(Ordering::Acquire) && rig.is_idle()) {
        rig.round();
        let done = rig.io.counters().segments_sent / packets_per_frame;
        if seen == 0 && done > 0 {
            before = thread_cpu_time();
        }
        seen = done;
        behind.store(done, Ordering::Release);
    }
    thread_cpu_time() - before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_on_two_workers_reaches_the_viewers_of_both() {
        let Some(scaling) = measure(Sink::Null, IoKind::Mmsg, 40, 30, 1).unwrap() else { return };
        assert!(scaling.relay.into_iter().chain(scaling.floor).all(|rate| rate > 0.0), "{scaling:?}");
        // The test checks packets and not rates, because two cores with other load may be no faster than one.
        let (viewers, frames, cores) = (40, 30, allowed_cores().unwrap());
        let sent = relay_on_each(Sink::Null, IoKind::Mmsg, viewers, frames, &cores[..2]).unwrap();
        let all = (viewers * TRAIN) as u64 * frames;
        // The second worker may be told of the end while it still has a few frames to send.
        assert!(sent.len() == 2 && sent.iter().all(|(sent, _)| *sent >= all / 2), "{all}: {sent:?}");
    }
}

//! The cost of idle sessions. A worker sends one stream to one viewer, in turns beside a hundred and beside ten
//! thousand connected sessions whose stream nobody publishes. Nothing the worker does may walk over sessions, so both
//! must cost the same.

use std::time::Duration;

use serde::Serialize;

use super::BenchError;
use super::compare::quantile;
use super::rig::{PACKETS_PER_MEDIA_SECOND, Rig, RigConfig, Sink};
use crate::net::process::thread_cpu_time;
use crate::net::{Io as _, IoKind};

/// Packets of the stream's frames.
const FRAME_PACKETS: usize = 8;

/// Frames of one part of a turn: two thirds of a second of media.
const FRAMES: usize = 20;

/// CPU time beside few and beside many idle sessions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Idle {
    /// Idle sessions of the two workers.
    pub sessions: [usize; 2],
    /// Nanoseconds of CPU per frame.
    pub frame_ns: [f64; 2],
    /// Median of many ÷ few.
    pub ratio: f64,
    /// Median of few ÷ few.
    pub control: f64,
}

/// Runs both for `turns` turns of media time.
///
/// # Errors
/// Sockets or backend could not be made.
pub fn measure(io: IoKind, sessions: [usize; 2], turns: usize) -> Result<Idle, BenchError> {
    let rig = |idle| {
        let mut rig = Rig::new(RigConfig { sink: Sink::Null, io, virtual_time: true, viewers: 1, idle, part: None })?;
        let now = rig.io.now();
        rig.io.inbox = rig.arrivals(FRAME_PACKETS, true, now);
        rig.run_idle();
        Ok(rig)
    };
    let (mut few, mut many) = (rig(sessions[0])?, rig(sessions[1])?);
    let mut turn: Vec<[f64; 3]> = Vec::new();
    for at in 0..=turns {
        let costs = [part(&mut few), part(&mut many), part(&mut few)];
        // The first turn runs with cold caches.
        if at > 0 {
            turn.push(costs);
        }
    }
    let over = |of: &dyn Fn(&[f64; 3]) -> f64| quantile(turn.iter().map(of), 0.5);
    Ok(Idle {
        sessions,
        frame_ns: [over(&|t| (t[0] + t[2]) / 2.0), over(&|t| t[1])],
        ratio: over(&|t| t[1] * 2.0 / (t[0] + t[2])),
        control: over(&|t| t[2] / t[0]),
    })
}

fn part(rig: &mut Rig) -> f64 {
    let tick = Duration::from_secs(1) * FRAME_PACKETS as u32 / PACKETS_PER_MEDIA_SECOND as u32;
    let now = rig.io.now();
    let inboxes: Vec<_> =
        (1..=FRAMES as u32).map(|frame| rig.arrivals(FRAME_PACKETS, false, now + tick * frame)).collect();
    let before = thread_cpu_time();
    for inbox in inboxes {
        rig.io.inbox = inbox;
        rig.io.advance(tick);
        rig.run_idle();
    }
    (thread_cpu_time() - before).as_nanos() as f64 / FRAMES as f64
}

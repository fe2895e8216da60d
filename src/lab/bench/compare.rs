//! The relay beside the floor: the same packets, the same viewers, the same sink, in turns of a few milliseconds.
//!
//! One turn is floor, relay, floor again. The second floor is the control: its difference from the first is this
//! machine's noise, and a difference of the relay that is smaller means nothing. Times are CPU time of the thread;
//! figures are medians over the turns, differences and ratios taken within a turn.

use std::time::Duration;

use serde::Serialize;

use super::BenchError;
use super::floor::{Floor, Tuning, Work};
use super::rig::{PACKETS_PER_MEDIA_SECOND, Rig, RigConfig, Sink};
use crate::lab::peer::video;
use crate::net::lab::bare::BareMode;
use crate::net::process::thread_cpu_time;
use crate::net::{Io as _, IoKind};

/// Approximate CPU time of one part of a turn.
const PART: Duration = Duration::from_millis(8);

/// One line of the comparison; times are nanoseconds of CPU for each packet sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `null`, `loopback` or `nic`.
    pub sink: &'static str,
    /// Packets in a train.
    pub train: usize,
    /// Viewers, each with a key and an address of its own.
    pub viewers: usize,
    /// `uring` or `mmsg`: the relay's backend. The floor uses whatever is fastest.
    pub io: &'static str,
    /// The floor.
    pub floor_ns: f64,
    /// The relay.
    pub relay_ns: f64,
    /// Median of relay ÷ floor.
    pub ratio: f64,
    /// Median of relay − floor.
    pub difference_ns: f64,
    /// Median of floor ÷ floor: 1 except for drift.
    pub control: f64,
    /// Half the range that contains 80 % of the floor ÷ floor values.
    pub control_spread: f64,
    /// Sealing alone.
    pub seal_ns: f64,
    /// Sending alone; zero on the null sink.
    pub send_ns: f64,
    /// Trains in one of the floor's batches.
    pub floor_batch: usize,
    /// `sendmmsg` or `ring`: how the floor sends.
    pub floor_send: &'static str,
    /// Packets in one of the relay's messages, as they came out.
    pub packets_per_message: f64,
    /// Packets that the relay should have sent and did not. If it is not zero, the row compares unequal work.
    pub missing: u64,
}

/// Loads that are compared on one rig.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to.
    pub sink: Sink,
    /// By which backend.
    pub io: IoKind,
    /// To how many.
    pub viewers: usize,
    /// In trains of how many.
    pub trains: Vec<usize>,
    /// Turns of each.
    pub turns: usize,
}

/// A relay and a floor that take turns.
#[derive(Debug)]
pub struct Pair {
    rig: Rig,
    floor: Floor,
    viewers: usize,
    _unread: Option<std::net::UdpSocket>,
}

impl Pair {
    /// Both, with every viewer connected and past its first key frame.
    ///
    /// # Errors
    /// Sockets or backend could not be made.
    pub fn new(sink: Sink, io: IoKind, viewers: usize) -> Result<Self, BenchError> {
        let mut rig = Rig::new(RigConfig { sink, io, virtual_time: true, viewers, idle: 0, part: None })?;
        let unread =
            (sink == Sink::Loopback).then(super::rig::unread_socket).transpose().map_err(BenchError::Socket)?;
        let port = match &unread {
            Some(socket) => socket.local_addr().map_err(BenchError::Socket)?.port(),
            None => 9,
        };
        let floor = Floor::new(sink, viewers, port)?;
        let now = rig.io.now();
        rig.io.inbox = rig.arrivals(8, true, now);
        rig.run_idle();
        Ok(Self { rig, floor, viewers, _unread: unread })
    }

    /// Frames of `train` packets made, delivered and forwarded; returns CPU time per packet.
    fn relay(&mut self, train: usize, frames: usize) -> f64 {
        let tick = Duration::from_secs(1) * train as u32 / PACKETS_PER_MEDIA_SECOND as u32;
        let now = self.rig.io.now();
        let inboxes: Vec<_> =
            (1..=frames as u32).map(|frame| self.rig.arrivals(train, false, now + tick * frame)).collect();
        let before = thread_cpu_time();
        for inbox in inboxes {
            self.rig.io.inbox = inbox;
            self.rig.io.advance(tick);
            self.rig.run_idle();
        }
        per_packet(thread_cpu_time() - before, self.viewers * train * frames)
    }

    fn floor(&mut self, train: usize, frames: usize, tuning: Tuning, work: Work) -> f64 {
        let before = thread_cpu_time();
        for _ in 0..frames {
            self.floor.frame(tuning, work);
        }
        per_packet(thread_cpu_time() - before, self.viewers * train * frames)
    }

    /// Compares them at one length of train.
    pub fn compare(&mut self, sink: Sink, train: usize, turns: usize) -> Row {
        self.floor.set_payloads(video::frame(1, train * (video::FRAGMENT_BYTES_MAX - 2), false, false));
        let tuning = self.floor.tune();
        // As many frames as fill a part, judged by the slower of the two.
        let once = self.relay(train, 2).max(1.0) * (self.viewers * train) as f64;
        let frames = ((PART.as_nanos() as f64 / once) as usize).clamp(1, 2_000);
        self.relay(train, frames);
        let before = (self.rig.report(), self.rig.io.counters());

        let mut turn: Vec<[f64; 5]> = Vec::with_capacity(turns);
        for _ in 0..turns {
            let floor = self.floor(train, frames, tuning, Work::SealAndSend);
            let relay = self.relay(train, frames);
            let again = self.floor(train, frames, tuning, Work::SealAndSend);
            let (seal, send) = match sink {
                Sink::Null => (floor, 0.0),
                _ => (self.floor(train, frames, tuning, Work::Seal), self.floor(train, frames, tuning, Work::Send)),
            };
            turn.push([floor, relay, again, seal, send]);
        }

        let after = (self.rig.io.counters(), self.rig.report());
        let forwarded = after.1.forwarded.packets - before.0.forwarded.packets;
        let messages = after.0.messages_sent - before.1.messages_sent;
        let segments = after.0.segments_sent - before.1.segments_sent;
        let over = |of: &dyn Fn(&[f64; 5]) -> f64| quantile(turn.iter().map(of), 0.5);
        let controls = || turn.iter().map(|t| t[2] / t[0]);
        Row {
            sink: sink.name(),
            train,
            viewers: self.viewers,
            io: self.rig.io.inner.name(),
            floor_ns: round(over(&|t| (t[0] + t[2]) / 2.0), 1),
            relay_ns: round(over(&|t| t[1]), 1),
            ratio: round(over(&|t| t[1] * 2.0 / (t[0] + t[2])), 3),
            difference_ns: round(over(&|t| t[1] - (t[0] + t[2]) / 2.0), 1),
            control: round(over(&|t| t[2] / t[0]), 3),
            control_spread: round((quantile(controls(), 0.9) - quantile(controls(), 0.1)) / 2.0, 3),
            seal_ns: round(over(&|t| t[3]), 1),
            send_ns: round(over(&|t| t[4]), 1),
            floor_batch: tuning.batch,
            floor_send: match tuning.mode {
                BareMode::Calls => "sendmmsg",
                BareMode::Entries => "ring",
            },
            packets_per_message: round(segments as f64 / messages.max(1) as f64, 2),
            missing: ((self.viewers * train * frames * turns) as u64).saturating_sub(forwarded) + self.floor.refused(),
        }
    }
}

/// Compares at every length of train of the plan.
///
/// # Errors
/// Sockets or backend could not be made.
pub fn compare(plan: &Plan, mut done: impl FnMut(Row)) -> Result<(), BenchError> {
    let mut pair = Pair::new(plan.sink, plan.io, plan.viewers)?;
    for &train in &plan.trains {
        done(pair.compare(plan.sink, train, plan.turns));
    }
    Ok(())
}

fn per_packet(time: Duration, packets: usize) -> f64 {
    time.as_nanos() as f64 / packets as f64
}

/// The value below which this share of the values lies.
pub(super) fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len().saturating_sub(1)) as f64 * share).round() as usize).copied().unwrap_or(0.0)
}

/// Rounds for reading: digits after the point.
pub(super) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_and_relay_send_equally_many_packets_in_equally_long_trains() {
        for io in [IoKind::Uring, IoKind::Mmsg] {
            let mut pair = Pair::new(Sink::Null, io, 50).unwrap();
            for train in [1, 4, 16] {
                // The reports of all viewers are due at once; they would be half of a single frame's messages.
                let row = pair.compare(Sink::Null, train, 5);
                assert_eq!((row.missing, row.train), (0, train), "{row:?}");
                // Sender reports are messages of their own.
                assert!((train as f64 * 0.8..=train as f64).contains(&row.packets_per_message), "{row:?}");
            }
        }
    }

    #[test]
    fn the_relay_loses_no_packet_on_loopback() {
        // Medians over many turns, because other load on the machine affects one part of a turn and not another.
        let row = Pair::new(Sink::Loopback, IoKind::Mmsg, 20).unwrap().compare(Sink::Loopback, 8, 9);
        assert_eq!(row.missing, 0, "{row:?}");
        assert!(row.send_ns > 0.0 && row.floor_ns > row.seal_ns);
    }

    #[test]
    fn quantiles_are_values_of_the_list() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!([0.0, 0.5, 1.0].map(|share| quantile(values.into_iter(), share)), [1.0, 3.0, 5.0]);
        assert_eq!(quantile(std::iter::empty(), 0.5), 0.0);
    }
}

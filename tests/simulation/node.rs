//! One production worker of the simulated node, when its next round is due, and signalling's bounded mailboxes to it.

use std::collections::VecDeque;
use std::time::Duration;

use corecast::crypto::random::SeededRandom;
use corecast::limits;
use corecast::net::SimulatedSleeper;
use corecast::time::{NtpTime, Timestamp};
use corecast::worker::lane::Lanes;
use corecast::worker::mailbox::{Control, Notice, WorkerHandle, WorkerIndex};
use corecast::worker::report::WorkerReport;
use corecast::worker::timers::NEVER;
use corecast::worker::{WallClock, Worker, WorkerConfig};

use crate::client::node_address;
use crate::cost::Cost;
use crate::faults::{Fault, Faults};
use crate::io::SimIo;

/// What a node is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeParams {
    pub(crate) workers: usize,
    pub(crate) cost: Cost,
    pub(crate) sessions_max: usize,
    pub(crate) lane_bytes: usize,
    pub(crate) upstream_messages: usize,
    pub(crate) notices: usize,
    pub(crate) hold_max: Duration,
}

/// One worker.
pub(crate) struct Node {
    pub(crate) worker: Worker,
    pub(crate) io: SimIo,
    handle: WorkerHandle,
    sleeper: SimulatedSleeper,
    /// What must reach it and found no room (signalling awaits room for these).
    waiting: VecDeque<Control>,
    /// The world's time at which its last round ended.
    busy_until: Timestamp,
    /// When it wants the next one, in the node's time.
    deadline: Timestamp,
    /// Since when it is woken.
    woken: Option<Timestamp>,
    pub(crate) stalled_until: Timestamp,
    /// Its viewers' silence counts from here on.
    pub(crate) excused: Timestamp,
}

impl Node {
    /// The workers of a node, and what they tell signalling.
    pub(crate) fn make(params: &NodeParams, seed: u64, now: Timestamp) -> (Vec<Self>, flume::Receiver<Notice>) {
        let (notices_in, notices) = flume::bounded(params.notices);
        let sleepers: Vec<_> = (0..params.workers).map(|_| SimulatedSleeper::new().expect("an eventfd")).collect();
        let wakers: Vec<_> = sleepers.iter().map(SimulatedSleeper::waker).collect();
        let lanes = Lanes::connect_sized(&wakers, params.lane_bytes, params.upstream_messages);
        let nodes = lanes.into_iter().zip(sleepers).enumerate().map(|(number, (lanes, sleeper))| {
            let index = WorkerIndex(number as u16);
            let port = node_address(number).port();
            let (handle, control) = WorkerHandle::new(index, port, sleeper.waker());
            let config = WorkerConfig {
                index,
                core: index.0,
                media_port: port,
                io: "simulated",
                sessions_max: params.sessions_max,
                hold_max: params.hold_max,
                publisher_bits_per_second_max: u64::from(limits::PUBLISHER_BITRATE_DEFAULT_KBPS) * 1_000,
                keys: corecast::worker::KeyPolicy::default(),
                wall_clock: WallClock { at_zero: NtpTime(3_944_678_400 << 32) },
            };
            let random = Box::new(SeededRandom::new(seed ^ (0x0001_0000 + number as u64)));
            let worker = Worker::new(config, random, lanes, control, notices_in.clone(), now);
            Self {
                worker,
                io: SimIo::new(now, params.cost, seed ^ (0x0002_0000 + number as u64), sleeper.waker()),
                handle,
                sleeper,
                waiting: VecDeque::new(),
                busy_until: now,
                deadline: NEVER,
                woken: Some(now),
                stalled_until: Timestamp::ZERO,
                excused: Timestamp::ZERO,
            }
        });
        (nodes.collect(), notices)
    }

    /// When its next round begins, in the world's time, of which the node is `ahead`: when its last one has ended and a
    /// wait would end.
    pub(crate) fn next_round(&self, now: Timestamp, ahead: Duration) -> Timestamp {
        let deadline = if self.deadline == NEVER { NEVER } else { self.deadline - ahead };
        let arrival = if self.io.has_arrivals() { now } else { NEVER };
        let connection = self.io.connections_due(now + ahead).unwrap_or(NEVER);
        let connection = if connection == NEVER { NEVER } else { (now + ahead).max(connection) - ahead };
        let wanted = deadline.min(arrival).min(connection).min(self.woken.unwrap_or(NEVER));
        wanted.max(self.busy_until).max(self.stalled_until)
    }

    /// Takes note that it was woken.
    pub(crate) fn look_for_wakes(&mut self, now: Timestamp) {
        if self.sleeper.take() {
            self.woken.get_or_insert(now);
        }
    }

    /// Its state was changed from outside a round.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        self.woken.get_or_insert(now);
    }

    pub(crate) fn is_stalled(&self, now: Timestamp) -> bool {
        self.stalled_until > now
    }

    /// One turn of the event loop at `now`, the end of a wait that began when the last round ended.
    pub(crate) fn round(&mut self, now: Timestamp, ahead: Duration) {
        use corecast::net::Io;
        let (before, after) = (self.busy_until + ahead, now + ahead);
        // A stall is no wait: the thread was taken off its processor.
        let waited_from = if self.stalled_until > self.busy_until { after } else { before.min(after) };
        self.worker.waited(waited_from, after);
        self.woken = None;
        self.io.begin_round(after);
        self.worker.round(&mut self.io);
        let ended = self.io.now();
        self.busy_until = ended - ahead;
        self.deadline = self.worker.next_deadline(ended);
    }

    /// A request that is refused when the mailbox is full; false then.
    pub(crate) fn try_control(&mut self, message: Control, faults: &mut Faults) -> bool {
        let sent = self.waiting.is_empty() && self.handle.try_send(message).is_ok();
        if !sent {
            faults.count(Fault::ControlFull);
        }
        sent
    }

    /// A request that waits for room.
    pub(crate) fn control(&mut self, message: Control, faults: &mut Faults) {
        self.waiting.push_back(message);
        self.send_waiting(faults);
    }

    pub(crate) fn send_waiting(&mut self, faults: &mut Faults) {
        while let Some(message) = self.waiting.pop_front() {
            if let Err(message) = self.handle.try_send(message) {
                faults.count(Fault::ControlFull);
                self.waiting.push_front(message);
                return;
            }
        }
    }

    /// Fills the mailbox with what costs nothing but room.
    pub(crate) fn flood(&mut self, faults: &mut Faults) {
        let (reply, _) = flume::bounded(1);
        for _ in 0..=limits::CONTROL_MESSAGES_MAX {
            if !self.try_control(Control::Heartbeat(reply.clone()), faults) {
                return;
            }
        }
    }

    /// Its report, by a round of its own outside time.
    pub(crate) fn report(&mut self) -> WorkerReport {
        let (reply, answer) = flume::bounded(1);
        assert!(self.handle.try_send(Control::Report(reply)).is_ok(), "the mailbox has room at the end");
        for _ in 0..1_000 {
            self.worker.round(&mut self.io);
            if let Ok(report) = answer.try_recv() {
                return *report;
            }
        }
        panic!("a worker answers within a thousand rounds");
    }
}

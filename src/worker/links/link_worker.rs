//! The worker that has the links: its parts, and the batch that it fills.

use std::collections::HashMap;

use super::mailbox::{LinkControl, LinkNotice};
use super::packet::Handle;
use super::parent::Parent;
use super::table::Table;
use crate::limits;
use crate::net::Io;
use crate::relay::store::address::WorkerIndex;
use crate::relay::store::clock_map::HostClocks;
use crate::relay::store::record::RECORD_BYTES_MAX;
use crate::time::Timestamp;
use crate::transport::{PathBook, PathId, SendResult, TrainBatch};
use crate::worker::config::WallClock;
use crate::worker::lane::Lanes;
use crate::worker::mailbox::Control;
use crate::worker::streams::Streams;
use crate::worker::timers::{NEVER, Timers};

/// The ends of the channels to who decides.
#[derive(Debug)]
pub struct LinkMail {
    /// Routes, and what every worker is asked.
    pub control: flume::Receiver<Control>,
    /// Links that are to be opened and closed.
    pub links: flume::Receiver<LinkControl>,
    /// What becomes of them.
    pub notices: flume::Sender<LinkNotice>,
}

/// One that has all links of a node, and no sessions.
pub struct LinkWorker {
    pub(super) own: WorkerIndex,
    pub(super) wall_clock: WallClock,
    pub(super) table: Table,
    pub(super) lanes: Lanes,
    pub(super) mail: LinkMail,
    pub(super) paths: PathBook,
    pub(super) parents: HashMap<Handle, Parent>,
    /// Deadlines of links, and what each one's is.
    pub(super) timers: Timers<Handle>,
    pub(super) armed: HashMap<Handle, Timestamp>,
    /// Children that asked for something again.
    pub(super) repeating: Vec<Handle>,
    pub(super) out: TrainBatch,
    /// Paths whose links are over: struck when the batch has left.
    pub(super) struck: Vec<PathId>,
    pub(super) more: bool,
    pub(super) is_ending: bool,
    /// When the next round was due as the last one ended.
    pub(super) due: Timestamp,
    /// Packets that the kernel did not take.
    pub unsent: u64,
    /// Packets of no link.
    pub unknown: u64,
    /// Times that another parent took the place of one that was silent.
    pub failed_over: u64,
}

impl LinkWorker {
    /// One without links.
    #[must_use]
    pub fn new(own: WorkerIndex, wall_clock: WallClock, lanes: Lanes, mail: LinkMail) -> Self {
        Self {
            own,
            wall_clock,
            table: Table {
                streams: Streams::default(),
                by_stream: HashMap::new(),
                children: HashMap::new(),
                telling: Vec::new(),
                scratch: vec![0; RECORD_BYTES_MAX],
            },
            lanes,
            mail,
            paths: PathBook::new(),
            parents: HashMap::new(),
            timers: Timers::default(),
            armed: HashMap::new(),
            repeating: Vec::new(),
            out: TrainBatch::new(),
            struck: Vec::new(),
            more: false,
            is_ending: false,
            due: NEVER,
            unsent: 0,
            unknown: 0,
            failed_over: 0,
        }
    }

    pub(super) fn clocks(&self, now: Timestamp) -> HostClocks {
        HostClocks { monotonic: now, wall: self.wall_clock.at(now) }
    }

    pub(super) fn arm(&mut self, handle: Handle, deadline: Timestamp) {
        let armed = self.armed.entry(handle).or_insert(NEVER);
        self.timers.arm(handle, armed, deadline);
    }

    pub(super) fn tell(&self, notice: LinkNotice) {
        // Unbounded by its maker: there are as many as links are opened.
        let _ = self.mail.notices.try_send(notice);
    }

    pub(super) fn flush_if_half_full<I: Io>(&mut self, io: &mut I) {
        if !self.out.has_room(limits::SEND_BUFFER_BYTES / 2) {
            self.flush(io);
        }
    }

    pub(super) fn flush<I: Io>(&mut self, io: &mut I) {
        Self::send(io, &mut self.out, &self.paths, &mut self.unsent);
        for path in self.struck.drain(..) {
            self.paths.strike(path);
        }
    }

    pub(super) fn send<I: Io>(io: &mut I, out: &mut TrainBatch, paths: &PathBook, unsent: &mut u64) {
        if out.is_empty() {
            return;
        }
        io.send(out, paths);
        for train in out.trains() {
            if !matches!(train.result, SendResult::Sent | SendResult::SentLast | SendResult::Pending) {
                *unsent += u64::from(train.segments);
            }
        }
        out.clear();
    }
}

//! The worker's sockets, watched: when did it last look at the network, and when did what go out?

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use corecast::net::{self, AnyIo, Datagram, Io, IoCounters, TrainBatch, Waker, process};
use corecast::peer::terms::PLAY;
use corecast::time::Timestamp;

/// An instant on two clocks: the wall's, and the thread's own CPU time, which stands still while the machine runs
/// something else. A worker with a core of its own sees no difference.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    wall: Timestamp,
    cpu: Duration,
}

/// A time on both clocks.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { wall: net::now(), cpu: process::thread_cpu_time() }
    }

    pub(crate) fn since(self, earlier: Self) -> Span {
        Span { wall: self.wall.since(earlier.wall), cpu: self.cpu.saturating_sub(earlier.cpu) }
    }
}

/// A backend and what was seen of it.
pub(crate) struct Watched {
    pub(crate) io: AnyIo,
    /// Who sends checks.
    pub(crate) checker: SocketAddr,
    /// When the previous receive ended: what arrived since then had to wait for the next one.
    pub(crate) looked: Moment,
    /// A check may have waited since then.
    check_since: Option<Moment>,
    pub(crate) check_waits: Vec<Span>,
    /// From the end of one receive to the end of the next.
    pub(crate) rounds: Vec<Span>,
    pub(crate) audio_sent: u64,
    pub(crate) audio_first: Option<Moment>,
    pub(crate) audio_last: Moment,
}

impl Watched {
    pub(crate) fn new(io: AnyIo) -> Self {
        let now = Moment::now();
        Self {
            io,
            checker: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            looked: now,
            check_since: None,
            check_waits: Vec::new(),
            rounds: Vec::new(),
            audio_sent: 0,
            audio_first: None,
            audio_last: now,
        }
    }
}

impl Io for Watched {
    fn now(&self) -> Timestamp {
        net::now()
    }

    fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        self.io.wait(deadline)
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, mut visit: F) -> usize {
        let (checker, mut checked) = (self.checker, false);
        let taken = self.io.receive(limit, |datagram| {
            checked |= datagram.path.remote == checker;
            visit(datagram);
        });
        let now = Moment::now();
        self.rounds.push(now.since(self.looked));
        if checked {
            // The worst case: it arrived the moment the previous look had ended.
            self.check_since = Some(self.looked);
        }
        self.looked = now;
        taken
    }

    fn send(&mut self, batch: &mut TrainBatch) {
        self.io.send(batch);
        let now = Moment::now();
        for train in batch.trains() {
            if train.path.remote == self.checker {
                if let Some(since) = self.check_since.take() {
                    self.check_waits.push(now.since(since));
                }
            } else if batch.bytes(train).get(1).is_some_and(|byte| byte & 0x7f == PLAY.audio) {
                self.audio_sent += u64::from(train.segments);
                self.audio_first.get_or_insert(now);
                self.audio_last = now;
            }
        }
    }

    fn counters(&self) -> IoCounters {
        self.io.counters()
    }

    fn waker(&self) -> Waker {
        self.io.waker()
    }
}

//! [`Io`] over queues in memory, with a clock that stands still until it is told to move: the production worker runs
//! on it in tests, unchanged.
//!
//! It is one worker's sockets and nothing more. The network between the sockets (latency, loss, who has which address)
//! is the test's. Every train that a worker hands over is kept with its [`SendResult`], refused ones too: a refused
//! train was sealed, and a check of the sealing rules must see it.
//!
//! Left out: truncation and offload fallbacks (properties of the real sockets, tested there) and the waker (a
//! simulated worker is run, not woken).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::time::Duration;

use crate::limits;
use crate::net::{ConnectionEvent, Io, IoCounters, Waker};
use crate::time::Timestamp;
use crate::transport::path::ConnectionId;
use crate::transport::{Datagram, PathAddress, PathBook, SendResult, Train, TrainBatch};

/// A train that a worker handed over.
#[derive(Clone, Debug)]
pub struct SentTrain {
    /// Where it went.
    pub path: PathAddress,
    /// When.
    pub at: Timestamp,
    /// Its datagrams.
    pub datagrams: Vec<Vec<u8>>,
    /// What the worker was told. Only [`SendResult::Sent`] is on its way.
    pub result: SendResult,
}

/// Decides what becomes of each train, by where it goes, itself and its bytes.
pub type Verdict = Box<dyn FnMut(&PathAddress, &Train, &[u8]) -> SendResult + Send>;

/// One worker's simulated sockets.
pub struct SimulatedIo {
    now: Timestamp,
    arrivals: BTreeMap<(Timestamp, u64), (PathAddress, Vec<u8>)>,
    serial: u64,
    sent: Vec<SentTrain>,
    verdict: Option<Verdict>,
    stall: Duration,
    connection_events: VecDeque<ConnectionEvent>,
    closed: Vec<ConnectionId>,
    counters: IoCounters,
}

impl fmt::Debug for SimulatedIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedIo").field("now", &self.now).field("arrivals", &self.arrivals.len()).finish()
    }
}

impl SimulatedIo {
    /// Sockets at which nothing has arrived yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            arrivals: BTreeMap::new(),
            serial: 0,
            sent: Vec::new(),
            verdict: None,
            stall: Duration::ZERO,
            connection_events: VecDeque::new(),
            closed: Vec::new(),
            counters: IoCounters::default(),
        }
    }

    /// Moves the clock; it never goes back.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Lets a datagram arrive at `at`, after those that arrive at the same time and were delivered before.
    pub fn deliver_at(&mut self, at: Timestamp, from: impl Into<PathAddress>, bytes: Vec<u8>) {
        self.serial += 1;
        self.arrivals.insert((at, self.serial), (from.into(), bytes));
    }

    /// Lets a datagram arrive now.
    pub fn deliver(&mut self, from: impl Into<PathAddress>, bytes: Vec<u8>) {
        self.deliver_at(self.now, from, bytes);
    }

    /// Something happened to a connection.
    pub fn connection_happened(&mut self, event: ConnectionEvent) {
        self.connection_events.push_back(event);
    }

    /// The connections that the worker closed since the last call.
    pub fn take_closed(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.closed)
    }

    /// When the next datagram arrives; a time in the past when one waits to be received.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Timestamp> {
        self.arrivals.keys().next().map(|&(at, _)| at)
    }

    /// The trains handed over since the last call, in order.
    pub fn take_sent(&mut self) -> Vec<SentTrain> {
        std::mem::take(&mut self.sent)
    }

    /// The worker does not run for so long once the next batch has left.
    pub fn stall_after_send(&mut self, time: Duration) {
        self.stall = time;
    }

    /// Lets `verdict` decide about every train from now on; `None` lets all of them pass.
    pub fn set_verdict(&mut self, verdict: Option<Verdict>) {
        self.verdict = verdict;
    }
}

impl Io for SimulatedIo {
    fn now(&self) -> Timestamp {
        self.now
    }

    /// Moves the clock to the deadline or the next arrival, whichever is first.
    fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        let until = self.next_arrival().map_or(deadline, |arrival| arrival.min(deadline));
        self.set_now(until);
        Ok(())
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, mut visit: F) -> usize {
        let mut taken = 0;
        while taken < limit
            && let Some(arrival) = self.arrivals.first_entry()
            && arrival.key().0 <= self.now
        {
            let received = arrival.key().0;
            let (from, mut bytes) = arrival.remove();
            taken += 1;
            self.counters.datagrams_received += 1;
            self.counters.bytes_received += bytes.len() as u64;
            if bytes.len() > limits::DATAGRAM_IN_BYTES_MAX {
                self.counters.datagrams_truncated += 1;
                continue;
            }
            visit(Datagram { bytes: &mut bytes, from, received });
        }
        taken
    }

    fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook) {
        let (bytes, trains) = batch.parts_mut();
        for train in trains {
            let all = &bytes[train.start as usize..(train.start + train.len) as usize];
            let path = *paths.address(train.path).expect("whoever sends on a path holds it");
            train.result = self.verdict.as_mut().map_or(SendResult::Sent, |verdict| verdict(&path, train, all));
            match train.result {
                SendResult::Sent | SendResult::SentLast | SendResult::Pending => {
                    self.counters.messages_sent += 1;
                    self.counters.segments_sent += u64::from(train.segments);
                    self.counters.bytes_sent += u64::from(train.len);
                }
                SendResult::Full => self.counters.sends_full += 1,
                SendResult::TooLong => self.counters.sends_too_long += 1,
                SendResult::Failed(_) => self.counters.sends_failed += 1,
            }
            let datagrams: Vec<Vec<u8>> = all.chunks(usize::from(train.segment_size)).map(<[u8]>::to_vec).collect();
            assert_eq!(datagrams.len(), usize::from(train.segments), "a train is cut where its segments end");
            self.sent.push(SentTrain { path, at: self.now, datagrams, result: train.result });
        }
        let awake = self.now + std::mem::take(&mut self.stall);
        self.set_now(awake);
    }

    fn close(&mut self, connection: ConnectionId) {
        self.closed.push(connection);
    }

    fn connection_event(&mut self) -> Option<ConnectionEvent> {
        self.connection_events.pop_front()
    }

    fn counters(&self) -> IoCounters {
        self.counters
    }

    fn waker(&self) -> Waker {
        Waker::noop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::UdpPath;

    fn path(port: u16) -> UdpPath {
        UdpPath::to(([192, 0, 2, 1], port).into())
    }

    fn receive_all(io: &mut SimulatedIo) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        io.receive(usize::MAX, |datagram| all.push(datagram.bytes.to_vec()));
        all
    }

    #[test]
    fn datagrams_arrive_in_order_and_not_before_their_time() {
        let mut io = SimulatedIo::new(Timestamp::from_millis(5));
        io.deliver_at(Timestamp::from_millis(9), path(1), vec![3]);
        io.deliver(path(1), vec![1]);
        io.deliver(path(1), vec![2]);
        assert_eq!(receive_all(&mut io), [[1], [2]]);
        io.wait(Timestamp::from_millis(8)).unwrap();
        assert_eq!((io.now(), receive_all(&mut io).len()), (Timestamp::from_millis(8), 0));
        io.wait(Timestamp::from_millis(20)).unwrap();
        assert_eq!((io.now(), receive_all(&mut io)), (Timestamp::from_millis(9), vec![vec![3]]));
    }

    #[test]
    fn trains_are_cut_into_datagrams_and_refusals_are_kept() {
        let mut io = SimulatedIo::new(Timestamp::ZERO);
        let (mut batch, mut book) = (TrainBatch::new(), PathBook::new());
        let [first, second] = [1, 2].map(|port| book.enter(path(port)).unwrap());
        for len in [4, 4, 2] {
            batch.slot()[..len].fill(len as u8);
            batch.commit(first, len);
        }
        batch.commit(second, 1);
        io.set_verdict(Some(Box::new(
            |to, _, _| {
                if *to == path(2).into() { SendResult::Full } else { SendResult::Sent }
            },
        )));
        io.send(&mut batch, &book);
        let sent = io.take_sent();
        assert_eq!(sent[0].datagrams, [vec![4; 4], vec![4; 4], vec![2; 2]]);
        assert_eq!((sent[0].result, sent[1].result), (SendResult::Sent, SendResult::Full));
        assert_eq!((io.counters().segments_sent, io.counters().sends_full), (3, 1));
        assert_eq!(batch.trains()[1].result, SendResult::Full);
    }
}

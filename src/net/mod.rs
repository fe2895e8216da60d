//! The edge to the machine: sockets, rings, control messages, limits of the process. The only module with `unsafe`
//! code.
//!
//! Everything above calls [`Io`], which is synchronous and has plain data on both sides ([`crate::transport`]). There
//! are three backends. [`uring`] waits and receives by a ring of the worker's own, multishot into a buffer ring, and
//! sends by `sendmmsg`. [`mmsg`] uses `epoll`, `recvmmsg` and `sendmmsg`; it is the control that every claim is
//! measured against. `simulated` has queues in memory, for tests. All of them send a train as one message.
//!
//! A worker's sockets and backend are made in two steps, so that errors an operator can mend occur in the main thread
//! before anything runs. [`MediaSockets::open`] is called there (ports, buffers, the [`Waker`]); [`open_io`] is called
//! on the worker's own pinned thread, because a ring belongs to the thread that made it.
//!
//! | File | Holds |
//! |---|---|
//! | [`socket`] | opening and configuring the worker's UDP sockets |
//! | [`mmsg`], [`uring`], [`open`] | the two backends and the choice between them |
//! | `send`, `offload`, `message` | what both share: trains as messages, the offload ladder, names and control messages as bytes |
//! | [`clock`] | the time of signalling and authorisation, which a test may move itself |
//! | [`listener`] | listening TCP sockets for signalling |
//! | [`waker`], `sleep_word` | ending a wait from another thread |
//! | [`connection`], `connections` | TCP connections that carry framed datagrams, for both backends |
//! | `lab` | what only tests, benches and the load tester use |
//! | [`prefetch`] | a hint to the processor |
//! | [`process`], [`ring_probe`], [`ring_unavailable`], [`host`] | limits and threads of the process, whether io_uring may be used, interfaces and kernel counters |
//! | [`ethtool`] | offloads, queues and rings of an interface |
//!
//! Left out: `UDP_GRO` (it pays on a publisher's uplink only, needs 64 KiB buffers, and viewers' RTCP never
//! coalesces), `SEND_ZC` and `SQPOLL` (measured slower), `IP_RECVERR` (it turns one viewer's ICMP
//! into errors on the socket all viewers share).
#![allow(unsafe_code)]

pub mod clock;
pub mod connection;
mod connections;
pub mod control_group;
pub mod ethtool;
pub mod host;
#[cfg(any(test, feature = "peer"))]
pub mod lab;
pub mod listener;
mod message;
pub mod mmsg;
mod offload;
pub mod open;
pub mod prefetch;
pub mod process;
pub mod ring_probe;
pub mod ring_unavailable;
mod send;
mod sleep_word;
pub mod socket;
pub mod start_error;
mod syscall;
pub mod uring;
pub mod waker;

#[cfg(test)]
mod namespace_tests;

/// The atomics that [`sleep_word`] is built on. `tests/waker_loom.rs` puts loom's in their place.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicU32, Ordering, fence};
}

use std::io;

use crate::time::Timestamp;
use crate::transport::path::ConnectionId;
use crate::transport::{Datagram, PathBook, TrainBatch};
pub use connection::{Accepted, AcceptedStream, Carries, ConnectionEvent, TlsSession, TurnConnection};
pub use open::{AnyIo, IoKind, OpenedIo, open_io};
pub use process::now;
pub use socket::MediaSockets;
pub use start_error::StartError;
#[cfg(any(test, feature = "peer"))]
pub use waker::SimulatedSleeper;
pub use waker::Waker;

/// A worker's sockets and clock. One value per worker; never shared.
pub trait Io {
    /// The monotonic clock (virtual in the simulation).
    fn now(&self) -> Timestamp;

    /// Returns when a datagram is there, when [`Waker::wake`] was called, or at `deadline`; at once when
    /// `deadline` has passed. May return early.
    ///
    /// # Errors
    /// Only what ends the worker (the ring or the poll descriptor broke).
    fn wait(&mut self, deadline: Timestamp) -> io::Result<()>;

    /// Hands over at most `limit` datagrams that have arrived, in order; returns how many it took. (A truncated
    /// datagram is taken and counted, but not handed over.) Zero means that none waits.
    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, visit: F) -> usize;

    /// Sends every train of the batch and fills in each [`crate::transport::Train::result`]; the slots are free on
    /// return. Trains to one destination leave in their order: a refused train may be lost, but is never sent after a
    /// later one. A train whose offload the kernel refuses is resent unsegmented and counted. A train fails when its
    /// path is not in `paths` or is not one that the backend carries. The batch is not cleared.
    fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook);

    /// Takes a TCP connection over whose datagrams are framed (RFC 4571). A backend that carries none closes it.
    ///
    /// # Errors
    /// The system's, or that there are too many. The connection is closed then.
    fn adopt(&mut self, connection: Accepted) -> io::Result<()> {
        drop(connection);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Closes a connection. One that is closed already stays so.
    fn close(&mut self, _connection: ConnectionId) {}

    /// Closes the connections that are of a session, which has ended.
    fn close_of(&mut self, _session: u64) {}

    /// What happened to connections since this was last asked, the oldest first.
    fn connection_event(&mut self) -> Option<ConnectionEvent> {
        None
    }

    /// Cumulative counters.
    fn counters(&self) -> IoCounters;

    /// A handle that ends a [`Self::wait`] from any thread.
    fn waker(&self) -> Waker;
}

impl<T: Io> Io for &mut T {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        (**self).wait(deadline)
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, visit: F) -> usize {
        (**self).receive(limit, visit)
    }

    fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook) {
        (**self).send(batch, paths);
    }

    fn adopt(&mut self, connection: Accepted) -> io::Result<()> {
        (**self).adopt(connection)
    }

    fn close(&mut self, connection: ConnectionId) {
        (**self).close(connection);
    }

    fn close_of(&mut self, session: u64) {
        (**self).close_of(session);
    }

    fn connection_event(&mut self) -> Option<ConnectionEvent> {
        (**self).connection_event()
    }

    fn counters(&self) -> IoCounters {
        (**self).counters()
    }

    fn waker(&self) -> Waker {
        (**self).waker()
    }
}

/// Cumulative counters of one worker's sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounters {
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Datagrams longer than the receive buffer, dropped.
    pub datagrams_truncated: u64,
    /// Times a multishot receive ended, for lack of buffers, and was armed again.
    pub receive_rearmed: u64,
    /// Messages handed to the kernel (a train is one message when offloaded).
    pub messages_sent: u64,
    /// Datagrams handed to the kernel.
    pub segments_sent: u64,
    /// Bytes handed to the kernel.
    pub bytes_sent: u64,
    /// Trains refused because the socket buffer was full.
    pub sends_full: u64,
    /// Trains refused as too long for the path.
    pub sends_too_long: u64,
    /// Trains refused for another reason.
    pub sends_failed: u64,
    /// Trains whose offload the kernel refused and that were resent unsegmented.
    pub offload_refused: u64,
    /// Trains sent unsegmented without trying the offload, while it is suspended or where the kernel lacks it.
    pub offload_skipped: u64,
}

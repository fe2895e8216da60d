//! The machine's edge: sockets, rings, control messages, limits of the process. The only home of `unsafe`.
//!
//! The seam is [`Io`]: synchronous, plain data on both sides ([`batch`]). Backends: `uring` (a ring of the
//! worker's own: multishot receive into a buffer ring, one `SENDMSG` per train), `mmsg` (`epoll`, `recvmmsg`,
//! `sendmmsg`: the control every claim is measured against) and the simulated network of the tests.
#![allow(unsafe_code)]

pub mod batch;

use std::io;

use crate::time::Timestamp;
pub use batch::{Datagram, Path, SendResult, Train, TrainBatch};

/// What a worker does to its sockets. One value per worker; never shared.
pub trait Io {
    /// The monotonic clock (virtual in the simulation).
    fn now(&self) -> Timestamp;

    /// Returns when a datagram is there, when [`Waker::wake`] was called, or at `deadline`; at once when
    /// `deadline` has passed. May return early.
    ///
    /// # Errors
    /// Only what ends the worker (the ring or the poll descriptor broke).
    fn wait(&mut self, deadline: Timestamp) -> io::Result<()>;

    /// Hands over at most `limit` datagrams that have arrived, in order; returns how many. Zero means none waits.
    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, visit: F) -> usize;

    /// Sends every train of the batch in order and fills in each [`Train::result`]; the slots are free on return.
    /// An offload that the kernel refuses is resent unsegmented and counted. Does not clear the batch.
    fn send(&mut self, batch: &mut TrainBatch);

    /// Cumulative counters.
    fn counters(&self) -> IoCounters;

    /// A handle that ends a [`Self::wait`] from any thread.
    fn waker(&self) -> Waker;
}

/// Ends a worker's wait from another thread. Cheap to clone; a wake before the wait is not lost.
#[derive(Clone, Debug)]
pub struct Waker {
    _private: (),
}

impl Waker {
    /// Ends the present or the next wait.
    pub fn wake(&self) {}
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
    /// Times a multishot receive ended for want of buffers and was armed again.
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
    /// Trains resent unsegmented because the kernel refused the offload.
    pub offload_refused: u64,
}

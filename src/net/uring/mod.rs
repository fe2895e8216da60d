//! The backend on an io_uring of the worker's own.
//!
//! **Receive**: one multishot `RECVMSG` per socket stays armed and fills buffers of a ring lent to the kernel
//! (`buffers`). 512 × 2 KiB without `UDP_GRO`, because viewers' RTCP never coalesces and wants many small buffers:
//! with 1,000 senders 16 × 66 KB ran out 62 times, 64 × 16 KiB 15 times and lost the rest of longer datagrams,
//! 512 × 2 KiB never did, and 1 MiB stays in the cache. When they do run out the receive ends; it is armed again as
//! soon as buffers have come back, and the socket's own buffer holds what arrives meanwhile.
//!
//! **Wait**: one `io_uring_enter` with the deadline as its argument. Completions are made only inside such a call
//! (`DEFER_TASKRUN`): arrivals do not interrupt the worker, and a flag in shared memory shows, without a system call,
//! that completions are due.
//!
//! **Send** ([`SendBy`]): `sendmmsg`, as the other backend does, because it measured 2–12 % cheaper at every
//! train length towards a NIC-like sink (`benches/io.rs` has both). Or one `SENDMSG` per train, all in one submission and
//! with `MSG_DONTWAIT`, so that each completes inside the submission, in order.
//!
//! ## What is shared with the kernel, and for how long
//! | Memory | Until |
//! |---|---|
//! | receive buffers, their ring | the receives were cancelled and their last completions seen; [`Receiver`]'s `drop` waits for that, and leaks the memory rather than free it if it cannot |
//! | message headers of the receives | the submission (the kernel copies them); they live as long as the ring all the same |
//! | a batch's messages and bytes | the completion of each send, which [`Io::send`] waits for |
//!
//! Fields are dropped in order: the receives, the ring, the buffers, then the sockets. Since nothing stays armed, the
//! port is free as soon as the sockets are closed.

mod buffers;
mod receive;
mod ring;
mod send;
#[cfg(test)]
mod tests;

use std::io;

#[cfg(feature = "peer")]
pub(super) use buffers::Buffers;
pub(super) use receive::Receiver;
#[cfg(feature = "peer")]
pub(super) use ring::Enter;
pub(super) use ring::Ring;

use super::send::{SendSlots, send_by_sendmmsg};
use super::socket::MediaSockets;
use super::start_error::StartError;
use super::{Accepted, ConnectionEvent, Io, IoCounters, Waker, now};
use crate::time::Timestamp;
use crate::transport::path::ConnectionId;
use crate::transport::{Datagram, PathBook, TrainBatch};

/// How a ring's trains leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendBy {
    /// By `sendmmsg`, beside the ring. A refused train is handled before the next one leaves.
    #[default]
    Calls,
    /// By one ring entry per train. A train whose offload was refused is lost when a later one to the same destination
    /// has left already.
    Entries,
}

/// A worker's sockets on a ring.
#[derive(Debug)]
pub struct Uring {
    receiver: Receiver,
    send_by: SendBy,
    send: SendSlots,
    counters: IoCounters,
    sockets: MediaSockets,
}

impl Uring {
    /// Joins a ring to the sockets it was armed on.
    pub(super) fn new(receiver: Receiver, sockets: MediaSockets, send_by: SendBy) -> Self {
        Self { receiver, send_by, send: SendSlots::new(), counters: IoCounters::default(), sockets }
    }

    /// Makes the ring on the calling thread, with an explicit choice of how to send ([`super::open_io`] takes the
    /// default).
    ///
    /// # Errors
    /// [`StartError::Ring`], [`StartError::EventLoop`].
    pub fn open(sockets: MediaSockets, send_by: SendBy) -> Result<Self, StartError> {
        Ok(Self::new(Receiver::arm(&sockets)?, sockets, send_by))
    }

    /// What kind of ring it is, for the log.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        self.receiver.ring.flavour()
    }
}

impl Io for Uring {
    fn now(&self) -> Timestamp {
        now()
    }

    fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        if !self.receiver.is_ready() {
            let timeout = deadline.since(now());
            if !timeout.is_zero() && self.sockets.sleeper.begin() {
                self.receiver.sleep(timeout);
                self.sockets.sleeper.end();
            }
        }
        self.receiver.broken().map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, visit: F) -> usize {
        self.receiver.receive(limit, &mut self.counters, visit)
    }

    fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook) {
        match self.send_by {
            SendBy::Calls => {
                send_by_sendmmsg(&mut self.send, &mut self.sockets.sockets, batch, paths, &mut self.counters);
            }
            SendBy::Entries => {
                let sockets = &mut self.sockets.sockets;
                send::send_by_entries(&mut self.receiver, &mut self.send, sockets, batch, paths, &mut self.counters);
            }
        }
        // Encrypting for them takes time that the others need not wait for.
        self.receiver.connections.send(batch, paths, &mut self.counters);
    }

    fn adopt(&mut self, connection: Accepted) -> io::Result<()> {
        self.receiver.connections.adopt(connection)
    }

    fn close(&mut self, connection: ConnectionId) {
        self.receiver.connections.close(connection);
    }

    fn close_of(&mut self, session: u64) {
        self.receiver.connections.close_of(session);
    }

    fn connection_event(&mut self) -> Option<ConnectionEvent> {
        self.receiver.connections.next_event()
    }

    fn counters(&self) -> IoCounters {
        self.counters
    }

    fn waker(&self) -> Waker {
        self.sockets.waker()
    }
}

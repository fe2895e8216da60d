//! What [`super::Connections`] needs of whatever carries their bytes: the kernel ([`super::kernel`]), or a network in memory
//! ([`crate::net::lab::simulated_connections`]).

use std::fmt;
use std::io;

use crate::net::connection::AcceptedStream;
use crate::time::Timestamp;

/// How many connections are told of at once.
pub(in crate::net) const READY_MAX: usize = 64;

/// A connection that has something.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::net) struct Ready {
    /// The place that it is watched under.
    pub(in crate::net) place: usize,
    /// It has bytes, or has ended.
    pub(in crate::net) readable: bool,
    /// It takes bytes again.
    pub(in crate::net) writable: bool,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Got {
    Bytes(usize),
    Nothing,
    /// The peer has closed, or the connection is broken.
    End,
}

/// How a connection is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum Watch {
    /// Newly: for what it has.
    Begin,
    /// For what it has.
    Readable,
    /// For room as well.
    Writable,
}

/// Streams and their readiness.
pub(in crate::net) trait Wire {
    /// One connection. Dropped, it is closed.
    type Stream: fmt::Debug;

    /// The time.
    fn now(&self) -> Timestamp;

    /// Makes an accepted connection one that this carries.
    fn take(&mut self, accepted: AcceptedStream) -> io::Result<Self::Stream>;

    /// Watches a connection under a place, until it is dropped.
    fn watch(&mut self, stream: &Self::Stream, place: usize, how: Watch) -> io::Result<()>;

    /// Tells which connections have something; how many. Level-triggered: who has more is told of again.
    fn ready(&mut self, ready: &mut [Ready; READY_MAX]) -> usize;

    /// Reads what is there into `buffer`.
    fn read(&self, stream: &Self::Stream, buffer: &mut [u8]) -> Got;

    /// Writes what it takes; a full one takes nothing.
    ///
    /// # Errors
    /// The system's number of why it is lost.
    fn write(&self, stream: &Self::Stream, bytes: &[u8]) -> Result<usize, i32>;

    /// Bytes that were taken and not sent once.
    fn unsent_bytes(&self, stream: &Self::Stream) -> usize;
}

//! A worker's TCP connections over streams in memory: what carries datagrams over real ones
//! (`connections`), unchanged, on a clock and over streams that a test makes.
//!
//! A test offers a stream by number, and hands the worker an [`Accepted`] with that number
//! ([`AcceptedStream::Simulated`](crate::net::AcceptedStream)). What a stream takes, when, and how it ends, is the test's
//! ([`SimulatedStream`]).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::rc::Rc;

use crate::net::IoCounters;
use crate::net::connection::{Accepted, AcceptedStream, ConnectionEvent};
use crate::net::connections::Connections;
use crate::net::connections::wire::{Got, READY_MAX, Ready, Watch, Wire};
use crate::time::Timestamp;
use crate::transport::path::ConnectionId;
use crate::transport::{Datagram, PathBook, TrainBatch};

/// What a read of a stream gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRead {
    /// So many bytes.
    Bytes(usize),
    /// Nothing is there yet.
    Nothing,
    /// The peer has closed, or the connection is broken.
    End,
}

/// The kernel's end of one connection.
pub trait SimulatedStream: fmt::Debug {
    /// Reads what is there.
    fn read(&mut self, now: Timestamp, buffer: &mut [u8]) -> StreamRead;

    /// Takes bytes from the node; how many.
    ///
    /// # Errors
    /// The system's number of why the connection is lost.
    fn write(&mut self, now: Timestamp, bytes: &[u8]) -> Result<usize, i32>;

    /// Bytes that were taken and not sent once.
    fn unsent_bytes(&mut self, now: Timestamp) -> usize;

    /// Whether there are bytes, or it has ended.
    fn is_readable(&self, now: Timestamp) -> bool;

    /// When it takes bytes again; a time in the past if it does.
    fn writable_at(&self, now: Timestamp) -> Timestamp;

    /// The node has closed it.
    fn closed(&mut self, now: Timestamp);
}

/// A stream that the test keeps an end of.
pub type SharedStream = Rc<RefCell<dyn SimulatedStream>>;

/// The node's end of a stream.
#[derive(Debug)]
struct End {
    number: u32,
    stream: SharedStream,
    now: Rc<Cell<Timestamp>>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.stream.borrow_mut().closed(self.now.get());
    }
}

/// A stream that is watched.
#[derive(Debug)]
struct Watched {
    number: u32,
    place: usize,
    for_room: bool,
    stream: SharedStream,
}

#[derive(Debug, Default)]
struct Streams {
    now: Rc<Cell<Timestamp>>,
    offered: HashMap<u32, SharedStream>,
    watched: Vec<Watched>,
}

impl Watched {
    fn ready(&self, now: Timestamp) -> Option<Ready> {
        let stream = self.stream.borrow();
        let readable = stream.is_readable(now);
        let writable = self.for_room && stream.writable_at(now) <= now;
        (readable || writable).then_some(Ready { place: self.place, readable, writable })
    }
}

impl Wire for Streams {
    type Stream = End;

    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn take(&mut self, accepted: AcceptedStream) -> io::Result<End> {
        let AcceptedStream::Simulated(number) = accepted else { return Err(io::ErrorKind::Unsupported.into()) };
        let stream = self.offered.remove(&number).ok_or(io::ErrorKind::NotFound)?;
        Ok(End { number, stream, now: Rc::clone(&self.now) })
    }

    fn watch(&mut self, stream: &End, place: usize, how: Watch) -> io::Result<()> {
        match how {
            Watch::Begin => {
                // A place is given again when its connection has been dropped.
                self.watched.retain(|watched| watched.place != place);
                let (number, stream) = (stream.number, Rc::clone(&stream.stream));
                self.watched.push(Watched { number, place, for_room: false, stream });
            }
            Watch::Readable | Watch::Writable => {
                let found = self.watched.iter_mut().find(|watched| watched.number == stream.number);
                found.ok_or(io::ErrorKind::NotFound)?.for_room = how == Watch::Writable;
            }
        }
        Ok(())
    }

    fn ready(&mut self, ready: &mut [Ready; READY_MAX]) -> usize {
        let now = self.now.get();
        let mut seen = 0;
        for (slot, found) in ready.iter_mut().zip(self.watched.iter().filter_map(|watched| watched.ready(now))) {
            *slot = found;
            seen += 1;
        }
        seen
    }

    fn read(&self, stream: &End, buffer: &mut [u8]) -> Got {
        match stream.stream.borrow_mut().read(self.now.get(), buffer) {
            StreamRead::Bytes(bytes) => Got::Bytes(bytes),
            StreamRead::Nothing => Got::Nothing,
            StreamRead::End => Got::End,
        }
    }

    fn write(&self, stream: &End, bytes: &[u8]) -> Result<usize, i32> {
        stream.stream.borrow_mut().write(self.now.get(), bytes)
    }

    fn unsent_bytes(&self, stream: &End) -> usize {
        stream.stream.borrow_mut().unsent_bytes(self.now.get())
    }
}

/// One worker's connections.
#[derive(Debug)]
pub struct SimulatedConnections(Connections<Streams>);

impl Default for SimulatedConnections {
    fn default() -> Self {
        Self(Connections::over(Streams::default()))
    }
}

impl SimulatedConnections {
    /// Moves the clock.
    pub fn set_now(&mut self, now: Timestamp) {
        self.0.wire.now.set(now);
    }

    /// A stream that is going to be accepted under this number.
    pub fn offer(&mut self, number: u32, stream: SharedStream) {
        self.0.wire.offered.insert(number, stream);
    }

    /// When something is to be done for a connection; [`Timestamp::ZERO`] at once, `None` not before something arrives.
    #[must_use]
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.0.is_ready() {
            return Some(Timestamp::ZERO);
        }
        let due = |watched: &Watched| {
            let stream = watched.stream.borrow();
            let room = watched.for_room.then(|| stream.writable_at(now));
            if stream.is_readable(now) { Some(Timestamp::ZERO) } else { room }
        };
        self.0.wire.watched.iter().filter_map(due).min()
    }

    /// See [`crate::net::Io::adopt`].
    ///
    /// # Errors
    /// There are too many, or no stream was offered under the number.
    pub fn adopt(&mut self, accepted: Accepted) -> io::Result<()> {
        self.0.adopt(accepted)
    }

    /// See [`crate::net::Io::close`].
    pub fn close(&mut self, connection: ConnectionId) {
        self.0.close(connection);
        self.forget_closed();
    }

    /// See [`crate::net::Io::close_of`].
    pub fn close_of(&mut self, session: u64) {
        self.0.close_of(session);
        self.forget_closed();
    }

    /// See [`crate::net::Io::connection_event`].
    pub fn next_event(&mut self) -> Option<ConnectionEvent> {
        self.0.next_event()
    }

    /// See [`crate::net::Io::receive`]; of connections alone.
    pub fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, counters: &mut IoCounters, visit: &mut F) -> usize {
        if self.next_due(self.0.wire.now.get()).is_some_and(|due| due <= self.0.wire.now.get()) {
            self.0.woke();
        }
        let handed = self.0.receive(limit, counters, visit);
        self.forget_closed();
        handed
    }

    /// See [`crate::net::Io::send`]; of the trains that go over connections.
    pub fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook, counters: &mut IoCounters) {
        self.0.send(batch, paths, counters);
        self.forget_closed();
    }

    /// What a connection was dropped for is not watched any more.
    fn forget_closed(&mut self) {
        if self.0.wire.watched.is_empty() {
            return;
        }
        let held: Vec<u32> = self.0.streams().map(|end| end.number).collect();
        self.0.wire.watched.retain(|watched| held.contains(&watched.number));
    }

    /// The number that a connection's stream was offered under.
    #[must_use]
    pub fn number_of(&self, connection: ConnectionId) -> Option<u32> {
        self.0.stream_of(connection).map(|end| end.number)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.streams().count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The most bytes that wait for one of them, to be sent or to be completed.
    #[must_use]
    pub fn waiting_bytes_max(&self) -> usize {
        self.0.waiting_bytes_max()
    }
}

//! A worker's TCP connections, for peers whose network drops UDP: datagrams framed by RFC 4571 (two bytes of length before
//! each; RFC 6544), or in the messages of a TURN client ([`crate::turn`]), which may be in TLS. Both backends share this
//! file.
//!
//! All connections are in one `epoll` descriptor, which a backend watches as one more of its own. Reading is one `recv` per
//! readable connection and turn, sending one `send` per train; a train is one write however many segments it has.
//!
//! # Nothing queues here
//!
//! A connection is *full* while the kernel holds more than [`limits::CONNECTION_UNSENT_BYTES_MAX`] that it has not sent, or
//! did not take a whole train. The sender's caller is told ([`SendResult::SentLast`]) and sends no media until
//! [`ConnectionEvent::Drained`]: packets wait in the relay's ring, where a cursor that lags skips to the next key frame. So a
//! slow connection delays nobody, holds no memory and never plays old packets. What is sent to a full connection all the same
//! (checks, reports, handshakes) waits here up to [`limits::CONNECTION_QUEUE_BYTES_MAX`]; beyond, it is dropped as by a
//! network.
//!
//! # TURN
//!
//! A TURN client's connection is of one session, and closed with it ([`Connections::close_of`]). It is also closed when its
//! allocation has run out or was not used for a while, which is looked at every half of that time.

mod kernel;
mod relay;
pub(super) mod wire;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use super::IoCounters;
use super::connection::{Accepted, Carries, ConnectionEvent};
use super::send::{count_refusal, payload};
use super::start_error::StartError;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::path::{ConnectionId, TcpPath};
use crate::transport::{Datagram, PathAddress, PathBook, SendResult, Train, TrainBatch};
use crate::turn;
use kernel::Kernel;
use relay::{FRAME_BYTES_MIN, Relay, Served};
use wire::{Got, READY_MAX, Ready, Watch, Wire};

/// Bytes of the length before each datagram (RFC 4571 §2).
const LENGTH_BYTES: usize = 2;

/// Bytes read from a connection in one turn.
const READ_BYTES: usize = 16 * 1024;

const NUMBER_BITS: u32 = 16;
const _: () = assert!(limits::CONNECTIONS_PER_WORKER_MAX <= 1 << NUMBER_BITS);

/// A relayed address is a label whose port is this and twice the connection's place, so that it is even (RFC 8656 §18.7).
const LABEL_PORT_MIN: u16 = 16_384;
const _: () = assert!(2 * (limits::CONNECTIONS_PER_WORKER_MAX - 1) + LABEL_PORT_MIN as usize <= u16::MAX as usize);

#[derive(Debug)]
struct Connection<S> {
    stream: S,
    remote: SocketAddr,
    local_ip: IpAddr,
    id: ConnectionId,
    carrier: Carrier,
    /// The beginning of a frame whose rest has not come.
    partial: Vec<u8>,
    /// Framed bytes that the kernel has not taken.
    pending: Vec<u8>,
    /// The worker sends no media until it is told.
    full: bool,
}

/// How datagrams lie in the stream.
#[derive(Debug)]
enum Carrier {
    Frames,
    Relay(Box<Relay>),
}

impl<S> Connection<S> {
    /// The paths that it is.
    fn paths(&self) -> Vec<PathAddress> {
        match &self.carrier {
            Carrier::Frames => vec![self.frame_path().into()],
            Carrier::Relay(relay) => relay.paths(self.id).collect(),
        }
    }

    const fn frame_path(&self) -> TcpPath {
        TcpPath { remote: self.remote, local_ip: self.local_ip, connection: self.id }
    }
}

/// The connections of one worker.
#[derive(Debug)]
pub(super) struct Connections<W: Wire = Kernel> {
    pub(super) wire: W,
    places: Vec<Option<Connection<W::Stream>>>,
    /// How often each place was used.
    generations: Vec<u16>,
    free: Vec<u32>,
    open: usize,
    /// The `epoll` descriptor may have something to tell.
    ready: bool,
    events: Vec<ConnectionEvent>,
    /// One read, behind the partial frame before it; and one train, framed.
    scratch: Vec<u8>,
    /// Places of TURN clients who came with bytes that were read elsewhere.
    begun: Vec<usize>,
    /// TURN clients.
    clients: usize,
    /// The same by session, the oldest first.
    of_session: HashMap<u64, Vec<ConnectionId>>,
    /// TURN clients, and when each is looked at next.
    looks: VecDeque<(Timestamp, ConnectionId)>,
}

impl Connections {
    pub(super) fn new() -> Result<Self, StartError> {
        Kernel::new().map(Self::over)
    }

    /// The descriptor to watch: it is readable while a connection has something.
    pub(super) fn watched(&self) -> RawFd {
        self.wire.watched()
    }
}

impl<W: Wire> Connections<W> {
    pub(super) fn over(wire: W) -> Self {
        Self {
            wire,
            places: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            open: 0,
            ready: false,
            events: Vec::new(),
            scratch: Vec::new(),
            begun: Vec::new(),
            clients: 0,
            of_session: HashMap::new(),
            looks: VecDeque::new(),
        }
    }

    /// A connection has something: [`Self::watched`] became readable.
    pub(super) fn woke(&mut self) {
        self.ready = true;
    }

    /// Whether there is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// The streams of all.
    #[cfg(any(test, feature = "peer"))]
    pub(super) fn streams(&self) -> impl Iterator<Item = &W::Stream> {
        self.places.iter().flatten().map(|connection| &connection.stream)
    }

    /// The stream of one.
    #[cfg(any(test, feature = "peer"))]
    pub(super) fn stream_of(&self, id: ConnectionId) -> Option<&W::Stream> {
        self.places.get(self.place_of(id)?)?.as_ref().map(|connection| &connection.stream)
    }

    /// The most bytes that wait for one connection, in one direction.
    #[cfg(any(test, feature = "peer"))]
    pub(super) fn waiting_bytes_max(&self) -> usize {
        let waiting = |connection: &Connection<W::Stream>| connection.pending.len().max(connection.partial.len());
        self.places.iter().flatten().map(waiting).max().unwrap_or(0)
    }

    /// Whether [`Self::receive`] or [`Self::next_event`] may have something.
    pub(super) fn is_ready(&self) -> bool {
        self.ready || !self.events.is_empty()
    }

    /// Takes a connection over. It is closed where there are too many.
    pub(super) fn adopt(&mut self, accepted: Accepted) -> io::Result<()> {
        let Accepted { stream, remote, local_ip, carries } = accepted;
        let stream = self.wire.take(stream)?;
        let place = match self.free.pop() {
            Some(place) => place as usize,
            None if self.places.len() < limits::CONNECTIONS_PER_WORKER_MAX => {
                self.places.push(None);
                self.generations.push(0);
                self.places.len() - 1
            }
            None => return Err(io::Error::from_raw_os_error(libc::EMFILE)),
        };
        let id = ConnectionId(u32::from(self.generations[place]) << NUMBER_BITS | place as u32);
        if let Err(error) = self.wire.watch(&stream, place, Watch::Begin) {
            self.free.push(place as u32);
            return Err(error);
        }
        let (carrier, partial) = match carries {
            Carries::Frames => (Carrier::Frames, Vec::new()),
            Carries::Turn(turn) => {
                let mut turn = *turn;
                turn.client.label(LABEL_PORT_MIN + 2 * place as u16);
                self.enlist(&mut turn.client, id);
                self.begun.push(place);
                (Carrier::Relay(Box::new(Relay { client: turn.client, tls: turn.tls })), turn.early)
            }
        };
        let connection =
            Connection { stream, remote, local_ip, id, carrier, partial, pending: Vec::new(), full: false };
        self.places[place] = Some(connection);
        self.open += 1;
        // Its first frames are there already.
        self.ready = true;
        Ok(())
    }

    /// Closes a connection: what the kernel holds of it is still sent. One that is gone already stays gone.
    pub(super) fn close(&mut self, id: ConnectionId) {
        if let Some(place) = self.place_of(id) {
            drop(self.take(place));
        }
    }

    fn place_of(&self, id: ConnectionId) -> Option<usize> {
        let place = (id.0 & ((1 << NUMBER_BITS) - 1)) as usize;
        let connection = self.places.get(place)?.as_ref()?;
        (connection.id == id).then_some(place)
    }

    fn take(&mut self, place: usize) -> Option<Connection<W::Stream>> {
        let connection = self.places.get_mut(place)?.take()?;
        self.generations[place] = self.generations[place].wrapping_add(1);
        self.free.push(place as u32);
        self.open -= 1;
        if let Carrier::Relay(relay) = &connection.carrier {
            self.strike_off(relay.client.session(), connection.id);
        }
        Some(connection)
    }

    fn lost(&mut self, place: usize) {
        if let Some(connection) = self.take(place) {
            self.events.extend(connection.paths().into_iter().map(ConnectionEvent::Closed));
        }
    }

    /// The oldest event that was not asked for yet.
    pub(super) fn next_event(&mut self) -> Option<ConnectionEvent> {
        if self.events.is_empty() { None } else { Some(self.events.remove(0)) }
    }

    /// Serves each connection that has something, once, and hands over at most about `limit` datagrams; how many.
    pub(super) fn receive<F: FnMut(Datagram<'_>)>(
        &mut self,
        limit: usize,
        counters: &mut IoCounters,
        visit: &mut F,
    ) -> usize {
        if !self.looks.is_empty() {
            self.close_unused(self.wire.now());
        }
        if !self.ready || limit == 0 {
            return 0;
        }
        let mut ready = [Ready::default(); READY_MAX];
        let seen = self.wire.ready(&mut ready);
        // Who has more is told of again. Only silence says that nobody has.
        self.ready = seen > 0;
        let now = self.wire.now();
        let mut handed = self.serve_begun(now, counters, visit);
        for Ready { place, readable, writable } in ready.into_iter().take(seen) {
            if writable {
                self.drain(place);
            }
            if readable && handed < limit {
                handed += self.read(place, now, counters, visit);
            }
        }
        handed
    }

    /// Reads once from a connection and hands over the whole frames, or serves the whole messages.
    fn read<F: FnMut(Datagram<'_>)>(
        &mut self,
        place: usize,
        now: Timestamp,
        counters: &mut IoCounters,
        visit: &mut F,
    ) -> usize {
        let Some(Some(connection)) = self.places.get_mut(place) else { return 0 };
        // The beginning of a frame lies before what comes. That of a client's message is kept decrypted, elsewhere.
        let begun = match connection.carrier {
            Carrier::Frames => &connection.partial[..],
            Carrier::Relay(_) => &[],
        };
        let before = begun.len();
        let mut scratch = std::mem::take(&mut self.scratch);
        if scratch.len() < before + READ_BYTES {
            scratch.resize(limits::DATAGRAM_IN_BYTES_MAX + READ_BYTES, 0);
        }
        scratch[..before].copy_from_slice(begun);
        let handed = match self.wire.read(&connection.stream, &mut scratch[before..before + READ_BYTES]) {
            Got::Nothing => 0,
            Got::End => {
                self.lost(place);
                0
            }
            Got::Bytes(got) => match connection.carrier {
                Carrier::Frames => self.serve_frames(place, &mut scratch[..before + got], now, counters, visit),
                Carrier::Relay(_) => self.serve_relay(place, &scratch[..got], now, counters, visit),
            },
        };
        self.scratch = scratch;
        handed
    }

    /// Hands over the whole frames of a stream, and keeps the beginning of another one.
    fn serve_frames<F: FnMut(Datagram<'_>)>(
        &mut self,
        place: usize,
        stream: &mut [u8],
        now: Timestamp,
        counters: &mut IoCounters,
        visit: &mut F,
    ) -> usize {
        let Some(Some(connection)) = self.places.get_mut(place) else { return 0 };
        let from = connection.frame_path();
        let (mut at, mut handed) = (0, 0);
        let is_frames = loop {
            let Some(length) = stream[at..].first_chunk::<LENGTH_BYTES>() else { break true };
            let length = usize::from(u16::from_be_bytes(*length));
            if !(FRAME_BYTES_MIN..=limits::FRAME_IN_BYTES_MAX).contains(&length) {
                break false;
            }
            let Some(bytes) = stream.get_mut(at + LENGTH_BYTES..at + LENGTH_BYTES + length) else {
                break true;
            };
            counters.datagrams_received += 1;
            counters.bytes_received += length as u64;
            visit(Datagram { bytes, from: from.into(), received: now });
            handed += 1;
            at += LENGTH_BYTES + length;
        };
        if is_frames {
            connection.partial.clear();
            connection.partial.extend_from_slice(&stream[at..]);
            if connection.partial.is_empty() {
                connection.partial = Vec::new();
            }
        } else {
            self.lost(place);
        }
        handed
    }

    /// Sends the trains of a batch that go over connections, and leaves the others as they are.
    pub(super) fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook, counters: &mut IoCounters) {
        if !batch.any_by_connection() {
            return;
        }
        let (bytes, trains) = batch.parts_mut();
        for train in trains.iter_mut().filter(|train| train.path.is_connection()) {
            let (connection, relayed_ip) = match paths.address(train.path) {
                Some(PathAddress::Tcp(path)) => (path.connection, None),
                Some(PathAddress::Relayed(path)) => (path.connection, Some(path.local_ip)),
                Some(PathAddress::Udp(_)) | None => continue,
            };
            train.result = self.send_train(connection, relayed_ip, payload(bytes, train), train, counters);
            count_refusal(train.result, counters);
        }
    }

    fn send_train(
        &mut self,
        connection: ConnectionId,
        relayed_ip: Option<IpAddr>,
        bytes: &[u8],
        train: &Train,
        counters: &mut IoCounters,
    ) -> SendResult {
        let Some(place) = self.place_of(connection) else { return SendResult::Failed(libc::ENOTCONN) };
        let Some(Some(connection)) = self.places.get_mut(place) else { return SendResult::Failed(libc::ENOTCONN) };
        let head_bytes = if relayed_ip.is_some() { relay::HEAD_BYTES_MAX } else { LENGTH_BYTES };
        let framed_len = bytes.len() + head_bytes * usize::from(train.segments);
        if connection.pending.len() + framed_len > limits::CONNECTION_QUEUE_BYTES_MAX && !connection.pending.is_empty()
        {
            return SendResult::Full;
        }
        let framed = &mut self.scratch;
        framed.clear();
        let segments = bytes.chunks(usize::from(train.segment_size).max(1));
        match (&mut connection.carrier, relayed_ip) {
            (Carrier::Frames, None) => {
                for segment in segments {
                    framed.extend_from_slice(&(segment.len() as u16).to_be_bytes());
                    framed.extend_from_slice(segment);
                }
            }
            (Carrier::Relay(relay), Some(ip)) => {
                if !relay.wrap(ip, segments, self.wire.now(), framed) {
                    return SendResult::Failed(libc::EACCES);
                }
            }
            (Carrier::Frames, Some(_)) | (Carrier::Relay(_), None) => return SendResult::Failed(libc::EBADF),
        }
        counters.segments_sent += u64::from(train.segments);
        counters.bytes_sent += bytes.len() as u64;
        let framed = std::mem::take(&mut self.scratch);
        let result = self.put(place, &framed, counters);
        self.scratch = framed;
        result
    }

    /// Writes bytes behind those that wait.
    fn put(&mut self, place: usize, bytes: &[u8], counters: &mut IoCounters) -> SendResult {
        let Some(Some(connection)) = self.places.get_mut(place) else { return SendResult::Failed(libc::ENOTCONN) };
        if !connection.pending.is_empty() {
            connection.pending.extend_from_slice(bytes);
            return SendResult::SentLast;
        }
        counters.messages_sent += 1;
        match self.wire.write(&connection.stream, bytes) {
            Ok(written) if written == bytes.len() => {
                if !connection.full && self.wire.unsent_bytes(&connection.stream) <= limits::CONNECTION_UNSENT_BYTES_MAX
                {
                    return SendResult::Sent;
                }
            }
            // A short write keeps its rest: a frame that was begun must be ended.
            Ok(written) => connection.pending.extend_from_slice(&bytes[written..]),
            Err(errno) => {
                self.lost(place);
                return SendResult::Failed(errno);
            }
        }
        self.fill(place);
        SendResult::SentLast
    }

    /// Marks a connection as full and waits for it to drain.
    fn fill(&mut self, place: usize) {
        let Some(Some(connection)) = self.places.get_mut(place) else { return };
        if !std::mem::replace(&mut connection.full, true)
            && self.wire.watch(&connection.stream, place, Watch::Writable).is_err()
        {
            self.lost(place);
        }
    }

    /// A full connection is writable again: its rest goes first.
    fn drain(&mut self, place: usize) {
        let Some(Some(connection)) = self.places.get_mut(place) else { return };
        if !connection.pending.is_empty() {
            match self.wire.write(&connection.stream, &connection.pending) {
                Ok(written) => drop(connection.pending.drain(..written)),
                Err(_) => return self.lost(place),
            }
            if !connection.pending.is_empty() {
                return;
            }
            connection.pending = Vec::new();
            if self.wire.unsent_bytes(&connection.stream) > limits::CONNECTION_UNSENT_BYTES_MAX {
                return;
            }
        }
        if std::mem::take(&mut connection.full) {
            let paths = connection.paths();
            if self.wire.watch(&connection.stream, place, Watch::Readable).is_err() {
                return self.lost(place);
            }
            self.events.extend(paths.into_iter().map(ConnectionEvent::Drained));
        }
    }
}

/// TURN clients: whose they are, how many there may be, and how long they stay.
impl<W: Wire> Connections<W> {
    /// Notes whose the client is. Where its session or the worker has as many as it may, the oldest that nothing went through
    /// makes place.
    fn enlist(&mut self, client: &mut turn::Client, id: ConnectionId) {
        let of_session = self.of_session.get(&client.session()).map_or(&[][..], Vec::as_slice);
        let unused = if of_session.len() >= limits::TURN_ALLOCATIONS_PER_SESSION_MAX {
            Some(self.first_unused(of_session.iter().copied()))
        } else if self.clients >= limits::TURN_CLIENTS_PER_WORKER_MAX {
            let next = self.looks.iter().take(limits::TURN_CLIENTS_LOOKED_AT_MAX);
            Some(self.first_unused(next.map(|(_, id)| *id)))
        } else {
            None
        };
        match unused {
            Some(Some(place)) => self.lost(place),
            Some(None) => client.deny(),
            None => {}
        }
        self.clients += 1;
        self.of_session.entry(client.session()).or_default().push(id);
        self.looks.push_back((self.wire.now() + limits::TURN_UNUSED_MAX / 2, id));
    }

    /// The place of the first client that nothing went through.
    fn first_unused(&self, mut ids: impl Iterator<Item = ConnectionId>) -> Option<usize> {
        ids.find_map(|id| {
            let place = self.place_of(id)?;
            let Carrier::Relay(relay) = &self.places.get(place)?.as_ref()?.carrier else { return None };
            relay.client.used_ips().next().is_none().then_some(place)
        })
    }

    /// Forgets whose a client was.
    fn strike_off(&mut self, session: u64, id: ConnectionId) {
        self.clients -= 1;
        if let Some(ids) = self.of_session.get_mut(&session) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of_session.remove(&session);
            }
        }
    }

    /// Closes the TURN connections of a session that has ended.
    pub(super) fn close_of(&mut self, session: u64) {
        for id in self.of_session.remove(&session).unwrap_or_default() {
            self.close(id);
        }
    }

    /// Closes clients whose allocation has run out or is not used. Each is looked at once in a while, so no walk.
    fn close_unused(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.looks.front().copied()
            && due <= now
        {
            self.looks.pop_front();
            let Some(place) = self.place_of(id) else { continue };
            let Some(Some(Connection { carrier: Carrier::Relay(relay), .. })) = self.places.get(place) else {
                continue;
            };
            if relay.client.kept_until() <= now {
                self.lost(place);
            } else {
                self.looks.push_back((now + limits::TURN_UNUSED_MAX / 2, id));
            }
        }
    }

    /// Serves what came with clients from elsewhere.
    fn serve_begun<F: FnMut(Datagram<'_>)>(
        &mut self,
        now: Timestamp,
        counters: &mut IoCounters,
        visit: &mut F,
    ) -> usize {
        let begun = std::mem::take(&mut self.begun);
        begun.into_iter().map(|place| self.serve_relay(place, &[], now, counters, visit)).sum()
    }

    /// Serves the whole messages in what came of a client.
    fn serve_relay<F: FnMut(Datagram<'_>)>(
        &mut self,
        place: usize,
        wire: &[u8],
        now: Timestamp,
        counters: &mut IoCounters,
        visit: &mut F,
    ) -> usize {
        let Some(Some(connection)) = self.places.get_mut(place) else { return 0 };
        let Carrier::Relay(relay) = &mut connection.carrier else { return 0 };
        let Served { handed, answer, is_open } =
            relay.serve(connection.id, wire, &mut connection.partial, now, counters, visit);
        let has_room = connection.pending.len() <= limits::CONNECTION_QUEUE_BYTES_MAX;
        if !answer.is_empty() && has_room {
            self.put(place, &answer, counters);
        }
        // Who asks on and never reads the answers.
        if !is_open || !has_room {
            self.lost(place);
        }
        handed
    }
}

#[cfg(test)]
mod tests;

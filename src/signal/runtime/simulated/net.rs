//! TCP in memory: bytes in order, and everything that TCP does not promise. They are cut anywhere, come late, stand still,
//! and the connection is reset, or swallows what is sent from some time on without a word.
//!
//! Left out: a window that depends on the round trip, acknowledgements (what was read makes room at once).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::io::{AsyncRead, AsyncWrite};

use super::random;
use crate::net::clock;
use crate::signal::runtime::timers::Sleep;

/// Bytes of one direction that may be under way or unread.
const WINDOW_BYTES: usize = 64 * 1024;

/// Connections that wait to be accepted.
const BACKLOG: usize = 1_024;

/// What accepting, one read and one write cost the node, and each byte of it.
const ACCEPT_COST: Duration = Duration::from_micros(20);
const CALL_COST: Duration = Duration::from_micros(3);
const BYTE_COST: Duration = Duration::from_nanos(10);

thread_local! {
    static LISTENERS: RefCell<Option<BTreeMap<SocketAddr, Weak<Backlog>>>> = const { RefCell::new(None) };
    static PORT: Cell<u16> = const { Cell::new(0) };
}

pub(super) fn start() {
    LISTENERS.set(Some(BTreeMap::new()));
    PORT.set(10_000);
}

pub(super) fn end() {
    LISTENERS.set(None);
}

fn next_port() -> u16 {
    PORT.set(PORT.get().checked_add(1).unwrap_or(10_000));
    PORT.get()
}

/// How a connection's network is.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// From one end to the other.
    pub latency: Duration,
    /// How much more a segment may take.
    pub jitter: Duration,
    /// The longest piece that arrives together. Each is of a random length up to it; from 64 KiB on nothing is cut.
    pub segment_bytes_max: usize,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { latency: Duration::from_millis(5), jitter: Duration::ZERO, segment_bytes_max: 1_460 }
    }
}

/// Bytes, or the end of the stream, and when they arrive.
type Segment = (Instant, Option<Vec<u8>>);

struct Direction {
    segments: VecDeque<Segment>,
    /// Bytes that were written and not read.
    unread: usize,
    last: Instant,
    is_ended: bool,
    /// Nobody will read it any more.
    is_abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn new() -> Self {
        Self {
            segments: VecDeque::new(),
            unread: 0,
            last: clock::now(),
            is_ended: false,
            is_abandoned: false,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

struct Wire {
    conditions: Conditions,
    /// From the client, and to it.
    directions: [Direction; 2],
    is_reset: bool,
    is_silent: bool,
    stalled_until: Instant,
}

impl Wire {
    /// Sends bytes, or the end, on their way.
    fn send(&mut self, direction: usize, mut bytes: Option<&[u8]>) {
        let (is_silent, conditions, stalled_until) = (self.is_silent, self.conditions, self.stalled_until);
        let direction = &mut self.directions[direction];
        loop {
            let piece = match &mut bytes {
                None => None,
                Some([]) => return,
                Some(bytes) => {
                    let max = conditions.segment_bytes_max;
                    let len = if max < WINDOW_BYTES { (1 + random::below(max)).min(bytes.len()) } else { bytes.len() };
                    let (piece, rest) = bytes.split_at(len);
                    *bytes = rest;
                    Some(piece.to_vec())
                }
            };
            let is_end = piece.is_none();
            direction.unread += piece.as_ref().map_or(0, Vec::len);
            if !is_silent {
                let jitter = match conditions.jitter {
                    Duration::ZERO => Duration::ZERO,
                    jitter => jitter.mul_f64(random::below(1_000) as f64 / 1_000.0),
                };
                let arrives = (clock::now() + conditions.latency + jitter).max(direction.last).max(stalled_until);
                direction.last = arrives;
                direction.segments.push_back((arrives, piece));
                if let Some(reader) = direction.reader.take() {
                    reader.wake();
                }
            }
            if is_end {
                return;
            }
        }
    }

    fn reset(&mut self) {
        self.is_reset = true;
        for direction in &mut self.directions {
            direction.segments.clear();
            direction.wake();
        }
    }
}

/// What a test does to a connection.
#[derive(Clone)]
pub struct Cable(Rc<RefCell<Wire>>);

impl Cable {
    /// Both ends find the connection reset.
    pub fn reset(&self) {
        if !self.0.borrow().is_silent {
            self.0.borrow_mut().reset();
        }
    }

    /// From now on nothing arrives, and neither end is told.
    pub fn swallow(&self) {
        let mut wire = self.0.borrow_mut();
        wire.is_silent = true;
        let now = clock::now();
        for direction in &mut wire.directions {
            // What has arrived is there to be read.
            direction.segments.retain(|(at, _)| *at <= now);
        }
    }

    /// What is sent meanwhile arrives when this time is over.
    pub fn stall(&self, time: Duration) {
        self.0.borrow_mut().stalled_until = clock::now() + time;
    }
}

impl std::fmt::Debug for Cable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cable")
    }
}

/// Which end of a connection: also the direction that it writes to.
const CLIENT: usize = 0;
const NODE: usize = 1;

/// One end of a connection.
pub struct Stream {
    wire: Rc<RefCell<Wire>>,
    end: usize,
    peer: SocketAddr,
    local: SocketAddr,
    sleep: Option<Sleep>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({} to {})", self.local, self.peer)
    }
}

/// What is there for a reader.
enum There {
    /// So many bytes were copied.
    Bytes(usize),
    /// Something arrives at that time.
    At(Instant),
    Nothing,
}

impl Stream {
    /// The address of the other end.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The address of this end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn costs(&self, bytes: usize) {
        if self.end == NODE {
            // What an operator reads has a length that depends on the machine, on which no run may depend.
            let bytes = if self.peer.ip().is_loopback() { 0 } else { bytes };
            clock::simulated::spend(CALL_COST + BYTE_COST * bytes as u32);
        }
    }

    fn look(&self, buffer: &mut [u8], takes: bool) -> io::Result<There> {
        let mut wire = self.wire.borrow_mut();
        if wire.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let direction = &mut wire.directions[1 - self.end];
        let now = clock::now();
        let Some((at, piece)) = direction.segments.front_mut() else { return Ok(There::Nothing) };
        if *at > now {
            return Ok(There::At(*at));
        }
        let Some(piece) = piece else { return Ok(There::Bytes(0)) };
        let mut len = piece.len().min(buffer.len());
        buffer[..len].copy_from_slice(&piece[..len]);
        if !takes {
            // Who only looks sees all that is there, however it was cut.
            for (at, piece) in direction.segments.iter().skip(1) {
                let Some(piece) = piece.as_ref().filter(|_| *at <= now) else { break };
                let more = piece.len().min(buffer.len() - len);
                buffer[len..len + more].copy_from_slice(&piece[..more]);
                len += more;
            }
        } else {
            piece.drain(..len);
            if piece.is_empty() {
                direction.segments.pop_front();
            }
            direction.unread -= len;
            if let Some(writer) = direction.writer.take() {
                writer.wake();
            }
        }
        Ok(There::Bytes(len))
    }

    fn poll_look(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
        takes: bool,
        sleep: &mut Option<Sleep>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.look(buffer, takes)? {
                There::Bytes(len) => return Poll::Ready(Ok(len)),
                There::Nothing => {
                    self.wire.borrow_mut().directions[1 - self.end].reader = Some(context.waker().clone());
                    return Poll::Pending;
                }
                There::At(at) => {
                    // A reset comes earlier.
                    self.wire.borrow_mut().directions[1 - self.end].reader = Some(context.waker().clone());
                    let sleep = sleep.insert(Sleep::until(at));
                    if Pin::new(sleep).poll(context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Waits for bytes and copies what is there, without taking it.
    ///
    /// # Errors
    /// The connection was reset.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut sleep = None;
        poll_fn(|context| self.poll_look(context, buffer, false, &mut sleep)).await
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut sleep = self.sleep.take();
        let read = self.poll_look(context, buffer, true, &mut sleep);
        self.sleep = if read.is_pending() { sleep } else { None };
        if let Poll::Ready(Ok(bytes)) = &read {
            self.costs(*bytes);
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.borrow_mut();
        if wire.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let direction = &mut wire.directions[self.end];
        if direction.is_ended || direction.is_abandoned {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW_BYTES.saturating_sub(direction.unread).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            direction.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        wire.send(self.end, Some(&bytes[..room]));
        drop(wire);
        self.costs(room);
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire.borrow_mut();
        if !std::mem::replace(&mut wire.directions[self.end].is_ended, true) && !wire.is_reset {
            wire.send(self.end, None);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut wire = self.wire.borrow_mut();
        if wire.is_reset {
            return;
        }
        let now = clock::now();
        let incoming = &mut wire.directions[1 - self.end];
        incoming.is_abandoned = true;
        let has_unread = incoming.segments.front().is_some_and(|(at, piece)| *at <= now && piece.is_some());
        incoming.segments.clear();
        if let Some(writer) = incoming.writer.take() {
            writer.wake();
        }
        // As the kernel does: what nobody has read resets the connection (RFC 9293 §3.6.1).
        if has_unread && !wire.is_silent {
            wire.reset();
        } else if !std::mem::replace(&mut wire.directions[self.end].is_ended, true) {
            wire.send(self.end, None);
        }
    }
}

/// Connections that wait to be accepted.
struct Backlog {
    waiting: RefCell<VecDeque<Stream>>,
    acceptor: RefCell<Option<Waker>>,
}

/// A listener.
pub struct Listener {
    address: SocketAddr,
    backlog: Rc<Backlog>,
}

/// Listens. `None` on a thread that is not simulated.
pub(in crate::signal::runtime) fn listen(mut address: SocketAddr) -> Option<io::Result<Listener>> {
    LISTENERS.with_borrow_mut(|listeners| {
        let listeners = listeners.as_mut()?;
        if address.port() == 0 {
            address.set_port(next_port());
        }
        if listeners.get(&address).is_some_and(|other| other.strong_count() > 0) {
            return Some(Err(io::ErrorKind::AddrInUse.into()));
        }
        let backlog = Rc::new(Backlog { waiting: RefCell::default(), acceptor: RefCell::default() });
        listeners.insert(address, Rc::downgrade(&backlog));
        Some(Ok(Listener { address, backlog }))
    })
}

impl Listener {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next connection.
    ///
    /// # Errors
    /// None.
    pub async fn accept(&self) -> io::Result<Stream> {
        poll_fn(|context| match self.backlog.waiting.borrow_mut().pop_front() {
            Some(stream) => {
                clock::simulated::spend(ACCEPT_COST);
                Poll::Ready(Ok(stream))
            }
            None => {
                self.backlog.acceptor.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// Connects a client at `from` to who listens at `to`.
///
/// # Errors
/// Nobody listens there, or too many wait.
pub async fn connect(from: IpAddr, to: SocketAddr, conditions: Conditions) -> io::Result<(Stream, Cable)> {
    Sleep::until(clock::now() + conditions.latency).await;
    let backlog = LISTENERS.with_borrow(|listeners| listeners.as_ref()?.get(&to)?.upgrade());
    let backlog = backlog.filter(|backlog| backlog.waiting.borrow().len() < BACKLOG);
    let Some(backlog) = backlog else {
        Sleep::until(clock::now() + conditions.latency).await;
        return Err(io::ErrorKind::ConnectionRefused.into());
    };
    let wire = Wire {
        conditions,
        directions: [Direction::new(), Direction::new()],
        is_reset: false,
        is_silent: false,
        stalled_until: clock::now(),
    };
    let (wire, client) = (Rc::new(RefCell::new(wire)), SocketAddr::new(from, next_port()));
    let stream = |end, local, peer| Stream { wire: wire.clone(), end, peer, local, sleep: None };
    let (node, client) = (stream(NODE, to, client), stream(CLIENT, client, to));
    backlog.waiting.borrow_mut().push_back(node);
    if let Some(acceptor) = backlog.acceptor.take() {
        acceptor.wake();
    }
    drop(backlog);
    Sleep::until(clock::now() + conditions.latency).await;
    Ok((client, Cable(wire)))
}

#[cfg(test)]
mod tests {
    use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::signal::runtime::{self, simulated};

    const TO: ([u8; 4], u16) = ([192, 0, 2, 1], 80);

    /// A client's end, its cable, and the node's end.
    async fn pair() -> (Stream, Cable, runtime::TcpStream) {
        let listener = runtime::Listener::bind(TO.into()).unwrap();
        let conditions =
            Conditions { jitter: Duration::from_millis(20), segment_bytes_max: 7, ..Conditions::default() };
        let (client, cable) = connect([203, 0, 113, 9].into(), TO.into(), conditions).await.unwrap();
        let node = listener.accept().await.unwrap();
        assert_eq!((node.peer_addr().unwrap().ip(), node.local_addr().unwrap()), ([203, 0, 113, 9].into(), TO.into()));
        (client, cable, node)
    }

    #[test]
    fn bytes_come_in_order_late_and_in_pieces_and_then_the_end() {
        simulated::run(5, || async {
            let (mut client, _, mut node) = pair().await;
            let sent: Vec<u8> = (0..200).collect();
            client.write_all(&sent).await.unwrap();
            client.close().await.unwrap();
            let before = clock::now();
            let mut first = [0; 100];
            let peeked = node.peek(&mut first).await.unwrap();
            assert!(clock::now() - before >= Duration::from_millis(5) && (1..=7).contains(&peeked));
            let (mut received, mut pieces, mut buffer) = (Vec::new(), 0, [0; 100]);
            loop {
                let read = node.read(&mut buffer).await.unwrap();
                if read == 0 {
                    break;
                }
                pieces += 1;
                received.extend_from_slice(&buffer[..read]);
            }
            assert_eq!(received, sent);
            assert!(pieces >= 200 / 7);
            // The other direction is still open.
            node.write_all(b"yes").await.unwrap();
            client.read_exact(&mut buffer[..3]).await.unwrap();
        });
    }

    #[test]
    fn a_reset_ends_both_ends_and_a_silent_cable_none() {
        simulated::run(5, || async {
            let (mut client, cable, mut node) = pair().await;
            let mut buffer = [0; 8];
            let reading = runtime::timeout(Duration::from_secs(1), node.read(&mut buffer));
            let resetting = async {
                runtime::sleep(Duration::from_millis(100)).await;
                cable.reset();
            };
            let (read, ()) = futures_util::future::join(reading, resetting).await;
            assert_eq!(read.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(client.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            drop((client, node));
            let (mut client, cable, mut node) = pair().await;
            cable.swallow();
            let all = vec![0; WINDOW_BYTES + 1];
            assert!(
                runtime::timeout(Duration::from_secs(60), client.write_all(&all)).await.is_none(),
                "no room is made"
            );
            drop(client);
            assert!(runtime::timeout(Duration::from_secs(60), node.read(&mut [0; 8])).await.is_none());
        });
    }

    #[test]
    fn what_was_not_read_resets_and_what_nobody_listens_to_is_refused() {
        simulated::run(5, || async {
            let (mut client, _, mut node) = pair().await;
            client.write_all(b"hello").await.unwrap();
            node.write_all(b"hello").await.unwrap();
            runtime::sleep(Duration::from_secs(1)).await;
            drop(node);
            assert_eq!(client.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            let refused = connect([203, 0, 113, 9].into(), TO.into(), Conditions::default()).await;
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        });
    }
}

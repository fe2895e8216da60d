//! One worker's sockets in the simulation: what [`corecast::net::lab::simulated`] is to the worker tests, made for a hundred
//! million packets and with a price.
//!
//! It differs from that one in five things: time passes inside a round ([`Cost`]), buffers are used again instead of
//! allocated per datagram, the receive buffer is bounded, sends fail by chance, and DTLS datagrams make no trains. Clock and arrivals are the node's
//! time, which may jump ahead of the world's.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::limits;
use corecast::net::lab::simulated_connections::SimulatedConnections;
use corecast::net::{Accepted, ConnectionEvent, Io, IoCounters, Waker};
use corecast::time::Timestamp;
use corecast::transport::path::ConnectionId;
use corecast::transport::{Datagram, PathAddress, PathBook, SendResult, Train, TrainBatch, UdpPath};
use corecast::wire::demux::{self, DatagramKind};

use crate::cost::Cost;
use crate::faults::{Fault, Faults};
use crate::link::Chance;
use crate::turn::FOREIGN;

/// Room for the longest datagram that is carried.
pub(crate) const BUFFER_BYTES: usize = limits::DATAGRAM_IN_BYTES_MAX;

/// The bytes of one datagram, used again and again.
pub(crate) type Buffer = Box<[u8; BUFFER_BYTES]>;

/// Bytes the kernel counts for a waiting datagram beside its own.
const KERNEL_BYTES: usize = 768;

const EIO: i32 = 5;

/// Record type of a DTLS handshake message (RFC 6347 §4.1); of DTLS 1.3's, which are encrypted, the first bits (RFC 9147 §4).
fn is_dtls_handshake(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| *first == 22 || *first & 0xe0 == 0x20)
}

/// Of a batch that was taken in part, less than so many trains were.
const PARTIAL_TRAINS: usize = 16;

/// A train in parts, as begin and length: each DTLS datagram alone, what is between them together. Two DTLS datagrams make
/// one train in one run and two in another, as their lengths happen to be, and a seed must be one run.
fn parts_of(bytes: &[u8], segment_size: usize) -> Vec<(usize, usize)> {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    let mut joins = false;
    for (number, segment) in bytes.chunks(segment_size).enumerate() {
        let is_dtls = demux::classify(segment) == DatagramKind::Dtls;
        match parts.last_mut() {
            Some(last) if joins && !is_dtls => last.1 += segment.len(),
            _ => parts.push((number * segment_size, segment.len())),
        }
        joins = !is_dtls;
    }
    parts
}

struct Arrived {
    path: UdpPath,
    at: Timestamp,
    len: usize,
    is_forged: bool,
    buffer: Buffer,
}

/// Where a train went.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    Udp(UdpPath),
    /// A connection, by the number of its stream; `None` for one that the node has lost.
    Connection(Option<u32>),
}

/// Defects of the sockets, to prove that they are found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SocketSabotage {
    /// Connections are not closed.
    pub(crate) keeps_open: bool,
    /// One train of media to a connection is refused.
    pub(crate) refuses_media: bool,
}

/// A train that was handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) to: To,
    /// In the node's time.
    pub(crate) at: Timestamp,
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) segment_size: usize,
    pub(crate) result: SendResult,
}

/// Chances of a send's failing, per train; of the last, per batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SendFaults {
    pub(crate) full: Chance,
    pub(crate) no_buffers: Chance,
    pub(crate) too_long: Chance,
    pub(crate) error: Chance,
    pub(crate) partial: Chance,
}

/// One worker's sockets.
pub(crate) struct SimIo {
    now: Timestamp,
    cost: Cost,
    inbox: VecDeque<Arrived>,
    inbox_bytes: usize,
    pub(crate) receive_buffer_bytes: usize,
    /// Handed over since the last [`Self::clear_sent`], and the bytes.
    pub(crate) sent: Vec<Sent>,
    pub(crate) bytes: Vec<u8>,
    /// Buffers that were read.
    pub(crate) spent: Vec<Buffer>,
    pub(crate) send_faults: SendFaults,
    pub(crate) faults: Faults,
    /// Batches in which a byte belonged to two trains or to none.
    pub(crate) torn_batches: u64,
    pub(crate) connections: SimulatedConnections,
    /// Datagrams that a TURN client sent to a foreign peer, and that were handed to the worker.
    pub(crate) foreign_datagrams: u64,
    pub(crate) sabotage: SocketSabotage,
    random: SeededRandom,
    counters: IoCounters,
    waker: Waker,
}

impl SimIo {
    pub(crate) fn new(now: Timestamp, cost: Cost, seed: u64, waker: Waker) -> Self {
        Self {
            now,
            cost,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            receive_buffer_bytes: limits::SOCKET_BUFFER_BYTES,
            sent: Vec::new(),
            bytes: Vec::new(),
            spent: Vec::new(),
            send_faults: SendFaults::default(),
            faults: Faults::default(),
            torn_batches: 0,
            connections: SimulatedConnections::default(),
            foreign_datagrams: 0,
            sabotage: SocketSabotage::default(),
            random: SeededRandom::new(seed),
            counters: IoCounters::default(),
            waker,
        }
    }

    /// A round begins: time moves, and an empty round has a price.
    pub(crate) fn begin_round(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.spend(Duration::from_nanos(self.cost.round));
    }

    fn spend(&mut self, time: Duration) {
        self.now = self.now + time;
        self.connections.set_now(self.now);
    }

    /// When a connection wants the worker, in the node's time, which is `now`.
    pub(crate) fn connections_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.connections.next_due(now)
    }

    /// A datagram arrives; false, and its buffer is spent, when the receive buffer is full.
    pub(crate) fn deliver(
        &mut self,
        path: UdpPath,
        at: Timestamp,
        len: usize,
        is_forged: bool,
        buffer: Buffer,
    ) -> bool {
        if self.inbox_bytes + len + KERNEL_BYTES > self.receive_buffer_bytes {
            self.faults.count(Fault::ReceiveBufferFull);
            self.spent.push(buffer);
            return false;
        }
        self.inbox_bytes += len + KERNEL_BYTES;
        self.inbox.push_back(Arrived { path, at, len, is_forged, buffer });
        true
    }

    /// Whether a wait would end at once.
    pub(crate) fn has_arrivals(&self) -> bool {
        !self.inbox.is_empty()
    }

    pub(crate) fn clear_sent(&mut self) {
        self.sent.clear();
        self.bytes.clear();
    }

    fn judge(&mut self, segments: u64, segment_size: u16) -> SendResult {
        let SendFaults { full, no_buffers, too_long, error, .. } = self.send_faults;
        let draw = self.random.u64();
        let chance = |which: u32, of: Chance| ((draw >> (16 * which)) as u16) < of;
        let (result, fault) = if chance(0, full) {
            (SendResult::Full, Fault::SendFull)
        } else if chance(1, no_buffers) {
            // Both backends tell it as a full buffer.
            (SendResult::Full, Fault::SendNoBuffers)
        } else if chance(2, too_long) && (segments > 1 || segment_size > 576) {
            (SendResult::TooLong, Fault::SendTooLong)
        } else if chance(3, error) {
            (SendResult::Failed(EIO), Fault::SendError)
        } else {
            return SendResult::Sent;
        };
        self.faults.count(fault);
        result
    }
}

fn price_of(cost: &Cost, bytes: &[u8], is_forged: bool) -> Duration {
    let more = match demux::classify(bytes) {
        DatagramKind::Rtp | DatagramKind::Rtcp => cost.packet_opened,
        DatagramKind::Stun => cost.check_answered,
        // A forged one fails at its first check.
        DatagramKind::Dtls if is_forged => cost.packet_opened,
        DatagramKind::Dtls if is_dtls_handshake(bytes) => cost.handshake_datagram,
        DatagramKind::Dtls | DatagramKind::Unknown => 0,
    };
    Duration::from_nanos(cost.datagram_received + more)
}

/// Connections.
impl SimIo {
    fn receive_of_connections<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, visit: &mut F) -> usize {
        let (cost, mut spent, mut foreign) = (self.cost, Duration::ZERO, 0);
        let taken = self.connections.receive(limit, &mut self.counters, &mut |datagram: Datagram<'_>| {
            spent += price_of(&cost, datagram.bytes, false);
            foreign += u64::from(datagram.bytes.starts_with(&FOREIGN));
            visit(datagram);
        });
        self.foreign_datagrams += foreign;
        self.spend(spent);
        taken
    }

    fn send_on_connections(&mut self, batch: &mut TrainBatch, paths: &PathBook) {
        let is_media = |bytes: &[u8]| demux::classify(bytes) == DatagramKind::Rtp;
        let refused = self.sabotage.refuses_media.then(|| {
            batch.trains().iter().position(|train| train.path.is_connection() && is_media(batch.bytes(train)))
        });
        self.connections.send(batch, paths, &mut self.counters);
        if let Some(at) = refused.flatten() {
            batch.trains_mut()[at].result = SendResult::Full;
        }
    }

    fn destination(&self, paths: &PathBook, train: &Train) -> To {
        match paths.address(train.path).expect("whoever sends on a path holds it") {
            PathAddress::Udp(path) => To::Udp(*path),
            PathAddress::Tcp(path) => To::Connection(self.connections.number_of(path.connection)),
            PathAddress::Relayed(path) => To::Connection(self.connections.number_of(path.connection)),
        }
    }
}

impl Io for SimIo {
    fn now(&self) -> Timestamp {
        self.now
    }

    /// Never called: the world decides when a wait would end.
    fn wait(&mut self, _deadline: Timestamp) -> io::Result<()> {
        unreachable!("the world runs rounds, not the event loop")
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, mut visit: F) -> usize {
        let mut taken = self.receive_of_connections(limit, &mut visit);
        while taken < limit
            && let Some(mut arrived) = self.inbox.pop_front()
        {
            taken += 1;
            self.inbox_bytes -= arrived.len + KERNEL_BYTES;
            self.counters.datagrams_received += 1;
            self.counters.bytes_received += arrived.len as u64;
            let price = price_of(&self.cost, &arrived.buffer[..arrived.len], arrived.is_forged);
            self.spend(price);
            visit(Datagram {
                bytes: &mut arrived.buffer[..arrived.len],
                from: arrived.path.into(),
                received: arrived.at,
            });
            self.spent.push(arrived.buffer);
        }
        taken
    }

    fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook) {
        let partial = self.send_faults.partial > 0 && (self.random.u64() as u16) < self.send_faults.partial;
        let taken = if partial { self.random.u64() as usize % PARTIAL_TRAINS } else { usize::MAX };
        if partial {
            self.faults.count(Fault::SendPartial);
        }
        let base = self.bytes.len();
        self.send_on_connections(batch, paths);
        let (mut end, mut parts) = (0, 0);
        for number in 0..batch.trains().len() {
            let train = batch.trains()[number];
            let (start, len) = (train.start as usize, train.len as usize);
            // A slot of the batch has one owner.
            if start != end || len.div_ceil(usize::from(train.segment_size)) != usize::from(train.segments) {
                self.torn_batches += 1;
            }
            end = start + len;
            let segment_size = usize::from(train.segment_size);
            let to = self.destination(paths, &train);
            if matches!(to, To::Connection(_)) {
                self.spend(self.cost.train(u64::from(train.segments)));
                let (result, start) = (train.result, base + start);
                self.sent.push(Sent { to, at: self.now, start, len, segment_size, result });
                continue;
            }
            let mut result = None;
            for (from, len) in parts_of(batch.bytes(&train), segment_size) {
                let segments = len.div_ceil(segment_size) as u64;
                self.spend(self.cost.train(segments));
                let is_dtls = demux::classify(&batch.bytes(&train)[from..from + len]) == DatagramKind::Dtls;
                let judged = match parts < taken {
                    true if is_dtls => SendResult::Sent,
                    true => self.judge(segments, train.segment_size),
                    false => SendResult::Full,
                };
                parts += 1;
                let result = *result.get_or_insert(judged);
                match result {
                    SendResult::Sent | SendResult::SentLast | SendResult::Pending => {
                        self.counters.messages_sent += 1;
                        self.counters.segments_sent += segments;
                        self.counters.bytes_sent += len as u64;
                    }
                    SendResult::Full => self.counters.sends_full += 1,
                    SendResult::TooLong => self.counters.sends_too_long += 1,
                    SendResult::Failed(_) => self.counters.sends_failed += 1,
                }
                let start = base + start + from;
                self.sent.push(Sent { to, at: self.now, start, len, segment_size, result });
            }
            batch.trains_mut()[number].result = result.unwrap_or(SendResult::Sent);
        }
        let (bytes, _) = batch.parts_mut();
        self.torn_batches += u64::from(end != bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    fn adopt(&mut self, connection: Accepted) -> io::Result<()> {
        self.connections.adopt(connection)
    }

    fn close(&mut self, connection: ConnectionId) {
        if !self.sabotage.keeps_open {
            self.connections.close(connection);
        }
    }

    fn close_of(&mut self, session: u64) {
        if !self.sabotage.keeps_open {
            self.connections.close_of(session);
        }
    }

    fn connection_event(&mut self) -> Option<ConnectionEvent> {
        self.connections.next_event()
    }

    fn counters(&self) -> IoCounters {
        self.counters
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }
}

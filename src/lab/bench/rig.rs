//! One production worker with one publisher and many viewers, and the sockets it has in a bench.
//!
//! The worker, its rounds and its way from datagram to train are the real ones; viewers are connected without a
//! handshake ([`Worker::open_connected`]), and their paths are known to take anything, so that nobody is paced. Two things
//! differ from a running node:
//!
//! - **Time** may be virtual ([`Clock::Virtual`]): it goes on with the media, not with the wall, so that timers, reports
//!   and feedback cost as much *per packet* as they do at the stream's own pace, however fast the bench runs.
//! - **What arrives** may be handed in from memory ([`RigIo::inbox`]) in front of the real sockets, which are looked at
//!   as well. So the kernel's receive path is not in the figures of such a run. At 1,000 viewers it would be about
//!   2 ns per packet sent: one datagram in per 1,000 out, and a report per 240.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use super::BenchError;
use super::publisher::{Reporters, RigPublisher, keys, sources};
use crate::crypto::random::SystemRandom;
use crate::description::{Description, Direction, Fingerprint, FingerprintHash, IceCredentials};
use crate::dtls::DtlsIdentity;
use crate::lab::peer::terms::{self, Offer};
use crate::limits;
use crate::net::lab::namespace::{SINK_LOCAL, SINK_PREFIX};
use crate::net::{self, AnyIo, Io, IoCounters, IoKind, MediaSockets, Waker};
use crate::placement;
use crate::time::{NtpTime, Timestamp};
use crate::transport::{Datagram, PathBook, TrainBatch, UdpPath};
use crate::wire::rtp::RtpHeader;
use crate::worker::lane::Lanes;
use crate::worker::mailbox::{Control, OpenSession, SessionId, StreamId, WorkerHandle, WorkerIndex};
use crate::worker::report::WorkerReport;
use crate::worker::{WallClock, Worker, WorkerConfig};

/// Packets of one viewer in a second of media: a 2.3 Mbit/s stream of 1,200-byte packets, 30 frames of eight.
pub const PACKETS_PER_MEDIA_SECOND: u64 = 240;

/// What becomes of the trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Dropped in front of the kernel, so that only the relay's own work and the sealing remain.
    Null,
    /// To one socket on the loopback interface that nobody reads. The kernel charges the sender for cutting the train,
    /// for the receiver's path up to the socket, and for the drop there.
    Loopback,
    /// Out of an interface that frees them (see [`net::lab::namespace`]).
    Nic,
}

impl Sink {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Null, Self::Loopback, Self::Nic];

    /// The name in tables and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Loopback => "loopback",
            Self::Nic => "nic",
        }
    }

    /// The local address a worker has with this sink.
    #[must_use]
    pub const fn local(self) -> IpAddr {
        match self {
            Self::Null | Self::Loopback => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Self::Nic => SINK_LOCAL,
        }
    }

    /// An address of its own for each viewer, on loopback all of one socket.
    #[must_use]
    pub fn viewer_address(self, viewer: usize, port: u16) -> SocketAddr {
        let [_, a, b, c] = (viewer as u32).to_be_bytes();
        let network = if self == Self::Nic { SINK_PREFIX } else { 127 };
        SocketAddr::from(([network, 1 + a, b, c], port))
    }
}

/// Which clock the worker uses.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clock.
    Real,
    /// The rig's: it stands still until [`RigIo::advance`].
    Virtual(Timestamp),
}

/// A datagram in an inbox.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    path: UdpPath,
    start: usize,
    len: usize,
    /// When it arrived; `None`: when it is received.
    arrived: Option<Timestamp>,
}

/// Datagrams that wait to be received.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    datagrams: Vec<Waiting>,
    next: usize,
}

impl Inbox {
    /// Adds one that arrives when it is received.
    pub fn push(&mut self, path: UdpPath, bytes: &[u8]) {
        self.datagrams.push(Waiting { path, start: self.bytes.len(), len: bytes.len(), arrived: None });
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds all of another's, which arrive at `at`.
    pub fn append(&mut self, other: &Self, at: Timestamp) {
        if self.is_empty() {
            // Its buffer is used again.
            self.bytes.clear();
            self.datagrams.clear();
            self.next = 0;
        }
        for waiting in &other.datagrams {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&other.bytes[waiting.start..waiting.start + waiting.len]);
            self.datagrams.push(Waiting { start, arrived: Some(at), ..*waiting });
        }
    }

    /// Whether all were received.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == self.datagrams.len()
    }
}

/// A worker's backend with an inbox before it and a sink behind it.
#[derive(Debug)]
pub struct RigIo {
    /// The real sockets.
    pub inner: AnyIo,
    sink: Sink,
    clock: Clock,
    /// What is received first.
    pub inbox: Inbox,
    dropped: IoCounters,
    /// The viewers' packets that carry transport-wide numbers, where somebody asked for them.
    numbers: Option<Vec<(usize, u16)>>,
}

impl RigIo {
    /// Reads the transport-wide numbers in what goes to the null sink from now on.
    pub fn watch_numbers(&mut self) {
        self.numbers = Some(Vec::new());
    }

    /// Viewers and numbers of the packets that went to the null sink since the last call.
    pub fn take_numbers(&mut self) -> Vec<(usize, u16)> {
        self.numbers.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Moves virtual time on.
    pub fn advance(&mut self, by: Duration) {
        if let Clock::Virtual(now) = &mut self.clock {
            *now = *now + by;
        }
    }
}

impl Io for RigIo {
    fn now(&self) -> Timestamp {
        match self.clock {
            Clock::Real => net::now(),
            Clock::Virtual(now) => now,
        }
    }

    fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        // Virtual time does not pass while waiting; the rig's driver advances it.
        let deadline = if matches!(self.clock, Clock::Virtual(_)) { Timestamp::ZERO } else { deadline };
        self.inner.wait(deadline)
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, mut visit: F) -> usize {
        let now = self.now();
        let Inbox { bytes, datagrams, next } = &mut self.inbox;
        let taken = limit.min(datagrams.len() - *next);
        for &Waiting { path, start, len, arrived } in &datagrams[*next..*next + taken] {
            visit(Datagram {
                bytes: &mut bytes[start..start + len],
                from: path.into(),
                received: arrived.unwrap_or(now),
            });
        }
        *next += taken;
        taken + self.inner.receive(limit - taken, visit)
    }

    fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook) {
        if self.sink != Sink::Null {
            self.inner.send(batch, paths);
            return;
        }
        if let Some(numbers) = &mut self.numbers {
            read_numbers(batch, paths, numbers);
        }
        for train in batch.trains_mut() {
            train.result = crate::transport::SendResult::Sent;
            self.dropped.messages_sent += 1;
            self.dropped.segments_sent += u64::from(train.segments);
            self.dropped.bytes_sent += u64::from(train.len);
        }
    }

    fn counters(&self) -> IoCounters {
        let mut counters = self.inner.counters();
        counters.messages_sent += self.dropped.messages_sent;
        counters.segments_sent += self.dropped.segments_sent;
        counters.bytes_sent += self.dropped.bytes_sent;
        counters
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }
}

/// The transport-wide numbers of a batch, which are in the clear, with the viewers they go to.
fn read_numbers(batch: &TrainBatch, paths: &PathBook, numbers: &mut Vec<(usize, u16)>) {
    for train in batch.trains() {
        let Some(SocketAddr::V4(remote)) = paths.udp(train.path).map(|path| path.remote) else { continue };
        let [_, a, b, c] = remote.ip().octets();
        let viewer = u32::from_be_bytes([0, a.wrapping_sub(1), b, c]) as usize;
        for packet in batch.bytes(train).chunks(usize::from(train.segment_size).max(1)) {
            let Ok(header) = RtpHeader::parse(packet) else { continue };
            let value = header.extensions(packet).find(|(id, _)| *id == PLAY_TRANSPORT_CC);
            if let Some(number) = value.and_then(|(_, value)| value.first_chunk()) {
                numbers.push((viewer, u16::from_be_bytes(*number)));
            }
        }
    }
}

/// The extension of transport-wide numbers that viewers agree on here.
const PLAY_TRANSPORT_CC: u8 = 5;

/// Lets a viewer agree on transport-wide feedback.
pub fn with_transport_feedback(description: &mut Description) {
    for media in &mut description.media {
        media.extensions.transport_cc = Some(PLAY_TRANSPORT_CC);
        media.codecs.iter_mut().for_each(|codec| codec.transport_cc = true);
    }
}

/// ICE credentials of one end of session `number`.
#[must_use]
pub fn ice(end: &str, number: usize) -> IceCredentials {
    IceCredentials {
        ufrag: placement::ufrag(WorkerIndex(0), &format!("{end}{number:08}")),
        password: format!("{end}-password-{number:08}-long-enough"),
    }
}

/// What signalling would ask for session `number`, which makes no handshake.
#[must_use]
pub fn request(identity: &DtlsIdentity, direction: Direction, number: usize, stream: StreamId) -> OpenSession {
    let offer = Offer {
        direction,
        ice: ice("peer", number),
        fingerprint: Fingerprint { hash: FingerprintHash::Sha256, value: vec![0; 32] },
        sources: sources(number),
    };
    OpenSession {
        session: SessionId(number as u64),
        stream,
        stream_name: format!("bench-{}", stream.0),
        local_ice: ice("node", number),
        identity: identity.clone(),
        description: terms::answer(&offer),
        reply: None,
    }
}

/// The stream that is published.
pub const STREAM: StreamId = StreamId(1);

/// A worker, its sockets and what its clients would send.
pub struct Rig {
    /// The worker.
    pub worker: Worker,
    /// Its sockets.
    pub io: RigIo,
    /// Its mailbox.
    pub handle: WorkerHandle,
    /// What its sessions are opened with.
    pub identity: DtlsIdentity,
    /// The publisher.
    pub publisher: RigPublisher,
    /// The viewers' reports.
    pub reporters: Reporters,
    publisher_path: UdpPath,
    sink: Sink,
    sink_port: u16,
    viewers: usize,
    reports_owed: u64,
    _unread: Option<UdpSocket>,
}

impl std::fmt::Debug for Rig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rig").field("sink", &self.sink).field("viewers", &self.viewers).finish_non_exhaustive()
    }
}

/// What a rig is made with.
#[derive(Debug)]
pub struct RigConfig {
    /// Where trains go.
    pub sink: Sink,
    /// The backend.
    pub io: IoKind,
    /// Whose time it has.
    pub virtual_time: bool,
    /// Viewers of the stream.
    pub viewers: usize,
    /// Sessions beside them, connected to a stream that nobody publishes.
    pub idle: usize,
    /// Which worker of the node it is, its sockets and lanes; `None`: the only one.
    pub part: Option<(WorkerIndex, MediaSockets, Lanes)>,
}

impl Rig {
    /// A worker whose sessions are all connected.
    ///
    /// # Errors
    /// The sockets or the backend could not be made.
    pub fn new(config: RigConfig) -> Result<Self, BenchError> {
        Self::new_with(config, |_| ())
    }

    /// As [`Self::new`], with viewers that agree on more.
    ///
    /// # Errors
    /// See there.
    pub fn new_with(config: RigConfig, agree: impl Fn(&mut Description)) -> Result<Self, BenchError> {
        let RigConfig { sink, io, virtual_time, viewers, idle, part } = config;
        let local = sink.local();
        let (index, sockets, lanes) = match part {
            Some((index, sockets, lanes)) => (index, sockets, lanes),
            None => {
                let sockets = MediaSockets::open(&[local], 0).map_err(BenchError::Net)?;
                let lanes = Lanes::connect(&[sockets.waker()]).pop().expect("one waker makes one worker's lanes");
                (WorkerIndex(0), sockets, lanes)
            }
        };
        let port = sockets.port();
        let opened = net::open_io(io, sockets).map_err(BenchError::Net)?;
        let now = net::now();
        let (handle, control) = WorkerHandle::new(index, port, opened.io.waker());
        let config = WorkerConfig {
            index,
            core: 0,
            media_port: port,
            io: opened.io.name(),
            sessions_max: viewers + idle + 16,
            hold_max: limits::FRAME_HOLD_DEFAULT,
            publisher_bits_per_second_max: u64::from(limits::PUBLISHER_BITRATE_DEFAULT_KBPS) * 1_000,
            keys: crate::worker::KeyPolicy::default(),
            wall_clock: WallClock { at_zero: NtpTime(1 << 63) },
        };
        let identity = DtlsIdentity::generate(SystemTime::now()).map_err(BenchError::Dtls)?;
        let (notices, _) = flume::bounded(1);
        let mut worker = Worker::new(config, Box::new(SystemRandom), lanes, control, notices, now);
        // The smallest possible buffer, so that datagrams, which nobody reads, are dropped at once and do not fill the
        // cache.
        let unread = (sink != Sink::Nic).then(unread_socket).transpose().map_err(BenchError::Socket)?;
        let sink_port = match &unread {
            Some(socket) => socket.local_addr().map_err(BenchError::Socket)?.port(),
            None => 9,
        };
        let path = |remote| UdpPath { remote, local_ip: local, socket: 0 };
        let publisher_path = path(sink.viewer_address(0, sink_port));
        if index == WorkerIndex(0) {
            let publish = request(&identity, Direction::Publish, 0, STREAM);
            worker.open_connected(publish, &keys(0, false), publisher_path, now).map_err(BenchError::Open)?;
        }
        for number in 1..=viewers + idle {
            let stream = if number <= viewers { STREAM } else { StreamId(2) };
            let remote = sink.viewer_address(number, sink_port);
            let mut play = request(&identity, Direction::Play, number, stream);
            agree(&mut play.description);
            let keys = keys(number as u64, false);
            let session = play.session;
            worker.open_connected(play, &keys, path(remote), now).map_err(BenchError::Open)?;
            // What is measured is the relay: nobody waits by intent.
            worker.set_capacity(session, Some(u32::MAX));
        }
        Ok(Self {
            worker,
            io: RigIo {
                inner: opened.io,
                sink,
                clock: if virtual_time { Clock::Virtual(now) } else { Clock::Real },
                inbox: Inbox::default(),
                dropped: IoCounters::default(),
                numbers: None,
            },
            handle,
            identity,
            publisher: RigPublisher::new(now),
            reporters: Reporters::new(viewers),
            publisher_path,
            sink,
            sink_port,
            viewers,
            reports_owed: 0,
            _unread: unread,
        })
    }

    /// Viewers of the stream.
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.viewers
    }

    /// The path of session `number`.
    #[must_use]
    pub fn path(&self, number: usize) -> UdpPath {
        let remote = self.sink.viewer_address(number, self.sink_port);
        UdpPath { remote, local_ip: self.sink.local(), socket: 0 }
    }

    /// What arrives with one frame of `fragments` packets at time `at`: the frame, and its share of the viewers'
    /// reports, one from each in a second of media.
    pub fn arrivals(&mut self, fragments: usize, key_frame: bool, at: Timestamp) -> Inbox {
        let mut inbox = Inbox::default();
        let path = self.publisher_path;
        self.publisher.frame(fragments, key_frame, at, &mut |bytes| inbox.push(path, bytes));
        self.reports_owed += (fragments * self.viewers) as u64;
        while self.reports_owed >= PACKETS_PER_MEDIA_SECOND {
            self.reports_owed -= PACKETS_PER_MEDIA_SECOND;
            let (sink, port, local_ip) = (self.sink, self.sink_port, self.sink.local());
            self.reporters.report(&mut |viewer, bytes| {
                let remote = sink.viewer_address(viewer, port);
                inbox.push(UdpPath { remote, local_ip, socket: 0 }, bytes);
            });
        }
        inbox
    }

    /// One turn of the event loop. Waits at most a millisecond, so that a rig which has nothing to do can be given
    /// something.
    pub fn round(&mut self) {
        self.round_until(self.io.now() + Duration::from_millis(1));
    }

    /// One turn of the event loop, waiting at most until `latest`.
    pub fn round_until(&mut self, latest: Timestamp) {
        let before = self.io.now();
        let deadline = if self.io.inbox.is_empty() { self.worker.next_deadline(before).min(latest) } else { before };
        self.io.wait(deadline).expect("the backend works as long as its ring or poll descriptor does");
        self.worker.waited(before, self.io.now());
        self.worker.round(&mut self.io);
    }

    /// Runs rounds until `until`. Virtual time gets there as soon as nothing is left to do.
    pub fn serve_until(&mut self, until: Timestamp) {
        while self.io.now() < until {
            self.round_until(until);
            if matches!(self.io.clock, Clock::Virtual(_)) && self.is_idle() {
                let before = self.io.now();
                self.io.advance(until.since(before));
                self.worker.waited(before, until);
            }
        }
    }

    /// Whether nothing is left to receive, to send or to time out now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let now = self.io.now();
        self.io.inbox.is_empty() && self.worker.next_deadline(now) > now
    }

    /// Runs rounds until nobody is behind.
    pub fn run_idle(&mut self) {
        self.round();
        while !self.is_idle() {
            self.round();
        }
    }

    /// The worker's report. It walks over every session, so it must not be part of a measurement.
    pub fn report(&mut self) -> WorkerReport {
        let (reply, answer) = flume::bounded(1);
        assert!(self.handle.try_send(Control::Report(reply)).is_ok(), "the mailbox has room");
        loop {
            self.round();
            if let Ok(report) = answer.try_recv() {
                return *report;
            }
        }
    }
}

/// A socket on all loopback addresses with a receive buffer of almost nothing.
pub(super) fn unread_socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(1)?;
    Ok(socket)
}

//! The backend on plain system calls: `epoll` waits, `recvmmsg` receives, `sendmmsg` sends. It needs no system call
//! that containers forbid, and is the control that every claim about the ring is measured against.
//!
//! All descriptors are watched edge-triggered. A socket that had an edge stays *readable* until a call on it returns
//! fewer datagrams than it could have: only then is its queue known to be empty, and the next arrival raises a new
//! edge.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::connections::Connections;
use super::message::{CONTROL_IN_BYTES, NAME_BYTES, Name, parse_control, parse_name};
use super::send::{SendSlots, send_by_sendmmsg};
use super::socket::MediaSockets;
use super::start_error::StartError;
use super::syscall::{check, check_long, errno};
use super::{Accepted, ConnectionEvent, Io, IoCounters, Waker, now};
use crate::limits;
use crate::net::process::ArrivalClock;
use crate::time::Timestamp;
use crate::transport::path::ConnectionId;
use crate::transport::{Datagram, PathBook, TrainBatch, UdpPath};

/// Marks the wake-up event among the descriptors watched.
const WAKE: u64 = u64::MAX;

/// Marks the descriptor that watches the connections.
const CONNECTIONS: u64 = u64::MAX - 1;

/// A worker's sockets by `epoll`, `recvmmsg` and `sendmmsg`.
#[derive(Debug)]
pub struct Mmsg {
    epoll: OwnedFd,
    /// Whether the kernel has `epoll_pwait2`; without it deadlines are kept to the millisecond.
    nanoseconds: bool,
    /// One bit per socket: its queue may hold datagrams.
    readable: u32,
    /// The socket that is read first in the next call. It changes with every call, so that a busy socket does not
    /// starve the others.
    first: usize,
    receive: ReceiveSlots,
    send: SendSlots,
    counters: IoCounters,
    connections: Connections,
    sockets: MediaSockets,
}

const _: () = assert!(limits::SOCKETS_PER_WORKER_MAX <= u32::BITS as usize);

impl Mmsg {
    /// Watches the sockets.
    ///
    /// # Errors
    /// [`StartError::EventLoop`].
    pub fn new(sockets: MediaSockets) -> Result<Self, StartError> {
        let connections = Connections::new()?;
        let epoll = open_epoll(&sockets, &connections)
            .map_err(|source| StartError::EventLoop { what: "the worker's epoll descriptor", source })?;
        Ok(Self {
            epoll,
            nanoseconds: true,
            readable: 0,
            first: 0,
            receive: ReceiveSlots::new(),
            send: SendSlots::new(),
            counters: IoCounters::default(),
            connections,
            sockets,
        })
    }

    /// Waits at most `timeout` and notes what became readable.
    fn poll(&mut self, timeout: std::time::Duration) -> io::Result<()> {
        const EVENTS: usize = limits::SOCKETS_PER_WORKER_MAX + 2;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let seen = match self.epoll_wait(&mut events, timeout) {
            Ok(seen) => seen,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        for event in &events[..seen] {
            match event.u64 {
                WAKE => {}
                CONNECTIONS => self.connections.woke(),
                socket => self.readable |= 1 << socket,
            }
        }
        Ok(())
    }

    fn epoll_wait(&mut self, events: &mut [libc::epoll_event], timeout: std::time::Duration) -> io::Result<usize> {
        let capacity = events.len() as libc::c_int;
        if self.nanoseconds {
            let limit = libc::timespec {
                tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
                tv_nsec: timeout.subsec_nanos().into(),
            };
            // SAFETY: the descriptor is open; `events` has room for `capacity` entries; the timeout outlives the
            // call; there is no signal mask.
            let result = check_long(unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    self.epoll.as_raw_fd(),
                    events.as_mut_ptr(),
                    capacity,
                    &raw const limit,
                    std::ptr::null::<libc::sigset_t>(),
                    0_usize,
                )
            });
            match result {
                // Before Linux 5.11, or a seccomp profile that does not know it.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.nanoseconds = false;
                }
                result => return result.map(|seen| seen as usize),
            }
        }
        let millis = timeout.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(libc::c_int::MAX);
        // SAFETY: the descriptor is open and `events` has room for `capacity` entries.
        check(unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), capacity, millis) })
            .map(|seen| seen as usize)
    }
}

fn open_epoll(sockets: &MediaSockets, connections: &Connections) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let raw = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the descriptor was just made and nothing else owns it.
    let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
    let watched = sockets.sockets.iter().map(AsRawFd::as_raw_fd).zip(0..);
    for (fd, token) in watched.chain([(sockets.sleeper.as_raw_fd(), WAKE), (connections.watched(), CONNECTIONS)]) {
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: token };
        // SAFETY: both descriptors are open and the kernel copies the event.
        check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
    }
    Ok(epoll)
}

impl Io for Mmsg {
    fn now(&self) -> Timestamp {
        now()
    }

    fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        if self.readable != 0 || self.connections.is_ready() {
            return Ok(());
        }
        let timeout = deadline.since(now());
        if timeout.is_zero() {
            return self.poll(timeout);
        }
        if !self.sockets.sleeper.begin() {
            return Ok(());
        }
        let result = self.poll(timeout);
        self.sockets.sleeper.end();
        result
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, mut visit: F) -> usize {
        if self.readable == 0 && limit > 0 {
            // A broken descriptor is reported by `wait`.
            let _ = self.poll(std::time::Duration::ZERO);
        }
        let clock = ArrivalClock::read();
        let mut seen = self.connections.receive(limit, &mut self.counters, &mut visit);
        let sockets = &self.sockets.sockets;
        self.first = (self.first + 1) % sockets.len().max(1);
        for index in (self.first..sockets.len()).chain(0..self.first) {
            let socket = &sockets[index];
            while self.readable & (1 << index) != 0 && seen < limit {
                let want = (limit - seen).min(limits::RECEIVE_MESSAGES_PER_CALL);
                match self.receive.call(socket.as_raw_fd(), want) {
                    Ok(got) => {
                        seen += got;
                        if got < want {
                            self.readable &= !(1 << index);
                        }
                        self.receive.visit(got, index, socket.local, &clock, &mut self.counters, &mut visit);
                    }
                    Err(libc::EINTR) => {}
                    Err(errno) => {
                        if errno == libc::EAGAIN {
                            self.readable &= !(1 << index);
                        }
                        // Any other error of an unconnected socket is temporary; the next round tries again.
                        break;
                    }
                }
            }
        }
        seen
    }

    fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook) {
        send_by_sendmmsg(&mut self.send, &mut self.sockets.sockets, batch, paths, &mut self.counters);
        // Encrypting for them takes time that the others need not wait for.
        self.connections.send(batch, paths, &mut self.counters);
    }

    fn adopt(&mut self, connection: Accepted) -> io::Result<()> {
        self.connections.adopt(connection)
    }

    fn close(&mut self, connection: ConnectionId) {
        self.connections.close(connection);
    }

    fn close_of(&mut self, session: u64) {
        self.connections.close_of(session);
    }

    fn connection_event(&mut self) -> Option<ConnectionEvent> {
        self.connections.next_event()
    }

    fn counters(&self) -> IoCounters {
        self.counters
    }

    fn waker(&self) -> Waker {
        self.sockets.waker()
    }
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct ControlIn([u8; CONTROL_IN_BYTES]);

/// The messages of one `recvmmsg` and the memory they point into.
struct ReceiveSlots {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[Name]>,
    controls: Box<[ControlIn]>,
    buffers: Box<[[u8; limits::RECEIVE_BUFFER_BYTES]]>,
}

impl std::fmt::Debug for ReceiveSlots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveSlots").field("slots", &self.headers.len()).finish_non_exhaustive()
    }
}

impl ReceiveSlots {
    fn new() -> Self {
        const SLOTS: usize = limits::RECEIVE_MESSAGES_PER_CALL;
        // SAFETY: both are plain C structures of integers and pointers, for which all zeroes is a valid value.
        let (header, vector): (libc::mmsghdr, libc::iovec) = unsafe { (mem::zeroed(), mem::zeroed()) };
        Self {
            headers: vec![header; SLOTS].into_boxed_slice(),
            vectors: vec![vector; SLOTS].into_boxed_slice(),
            names: vec![Name::EMPTY; SLOTS].into_boxed_slice(),
            controls: vec![ControlIn([0; CONTROL_IN_BYTES]); SLOTS].into_boxed_slice(),
            buffers: vec![[0; limits::RECEIVE_BUFFER_BYTES]; SLOTS].into_boxed_slice(),
        }
    }

    /// Takes at most `want` datagrams; the error as the kernel's number.
    fn call(&mut self, socket: RawFd, want: usize) -> Result<usize, i32> {
        let headers = &mut self.headers[..want];
        let memory = self.vectors.iter_mut().zip(&mut self.names).zip(&mut self.controls).zip(&mut self.buffers);
        for (header, (((vector, name), control), buffer)) in headers.iter_mut().zip(memory) {
            *vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: limits::DATAGRAM_IN_BYTES_MAX };
            let header = &mut header.msg_hdr;
            // The kernel overwrote the lengths with what it wrote.
            header.msg_name = name.0.as_mut_ptr().cast();
            header.msg_namelen = NAME_BYTES as libc::socklen_t;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_IN_BYTES as _;
        }
        // SAFETY: every header points at a name, a vector, control bytes and a buffer of its own slot, with their
        // true lengths; all live in boxes of `self`, which is borrowed for the call.
        let got = unsafe {
            libc::recvmmsg(
                socket,
                headers.as_mut_ptr(),
                want as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(got).map_err(|_| errno())
    }

    fn visit<F: FnMut(Datagram<'_>)>(
        &mut self,
        got: usize,
        socket: usize,
        local: SocketAddr,
        clock: &ArrivalClock,
        counters: &mut IoCounters,
        visit: &mut F,
    ) {
        for slot in 0..got {
            let header = &self.headers[slot];
            if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                counters.datagrams_truncated += 1;
                continue;
            }
            let Some(remote) = parse_name(&self.names[slot].0[..(header.msg_hdr.msg_namelen as usize).min(NAME_BYTES)])
            else {
                continue;
            };
            #[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
            let control = (header.msg_hdr.msg_controllen as usize).min(CONTROL_IN_BYTES);
            let ancillary = parse_control(&self.controls[slot].0[..control]);
            let from = UdpPath { remote, local_ip: ancillary.local_ip.unwrap_or(local.ip()), socket: socket as u8 };
            let received = clock.arrival(ancillary.realtime_ns);
            let bytes = &mut self.buffers[slot][..header.msg_len as usize];
            counters.datagrams_received += 1;
            counters.bytes_received += bytes.len() as u64;
            visit(Datagram { bytes, from: from.into(), received });
        }
    }
}

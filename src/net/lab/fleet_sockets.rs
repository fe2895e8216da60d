//! Thousands of client sockets on one ring: the sockets of a load thread (feature `peer`).
//!
//! Each client has a UDP socket, and so a port, of its own, as browsers have, connected to the one address it talks to.
//! All of them receive into one small ring of buffers: a multishot `RECVMSG` stays armed on every socket, so that a
//! thread with thousands of sockets makes no system call per socket. `UDP_GRO` is on: a train that the server sent as
//! one message arrives (over loopback, or from a device that coalesces) as one completion, with the length to cut it
//! at. When the buffers run out, the receives end; they are armed again as soon as buffers have come back. The sockets'
//! own buffers hold what arrives meanwhile, and each socket counts what it had to drop ([`FleetSocket::drops`]).
//!
//! A client whose network drops UDP has a TCP connection instead ([`FleetSocket::over`]), which is received from in the same
//! way and taken apart in `stream`.
//!
//! Sends are plain `send(2)`: a client sends a few reports a second, a publisher some hundred packets.
//!
//! What is shared with the kernel, and for how long, is as in [`crate::net::uring`]: buffers and message header until every
//! receive was cancelled and its last completion seen.
//!
//! Left out: segmentation on sending, and sends by the ring. Both pay only on a server, which sends to thousands.

mod stream;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fixed, Timespec};
use io_uring::{cqueue, opcode};
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits;
use crate::net::message::{CONTROL_COALESCED_BYTES, parse_control};
use crate::net::now;
use crate::net::process::ArrivalClock;
use crate::net::start_error::StartError;
use crate::net::syscall::{check, set_option};
use crate::net::uring::{Buffers, Enter, Ring};
use crate::net::waker::{Sleeper, Waker};
use crate::time::Timestamp;
use crate::transport::SendResult;
use stream::Stream;

pub use stream::{Carrier, Datagrams};

/// What a completion belongs to: the upper half of its user data. The lower half is a client's place.
const RECEIVE: u64 = 1 << 32;
const WAKE: u64 = 2 << 32;
const CANCEL: u64 = 3 << 32;
const KIND_MASK: u64 = !0 << 32;

const BUFFER_GROUP: u16 = 0;
const SUBMISSIONS: u32 = limits::FLEET_SUBMISSIONS;
const COMPLETIONS: u32 = 2 * SUBMISSIONS;

/// `struct io_uring_recvmsg_out` precedes control messages and payload in each buffer; no name is asked for, since the
/// sockets are connected.
const HEADER_BYTES: usize = 16;
const PAYLOAD_AT: usize = HEADER_BYTES + CONTROL_COALESCED_BYTES;

/// `SK_MEMINFO_DROPS` of `SO_MEMINFO`, and how many numbers there are.
const MEMINFO_DROPS: usize = 8;
const MEMINFO_VALUES: usize = 9;

/// One client's socket.
#[derive(Debug)]
pub struct FleetSocket {
    socket: Socket,
    /// It is a connection.
    stream: Option<Box<Stream>>,
}

impl FleetSocket {
    /// A socket on the local address that reaches `remote` (nothing is sent), not connected yet. Its receive buffer is
    /// `receive_buffer_bytes` where the process may have that.
    ///
    /// # Errors
    /// What the kernel says: no route, no descriptors left.
    pub fn towards(remote: SocketAddr, receive_buffer_bytes: usize) -> io::Result<Self> {
        let any: SocketAddr = match remote {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let route = UdpSocket::bind(any)?;
        route.connect(remote)?;
        let mut local = route.local_addr()?;
        local.set_port(0);
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        let value = libc::c_int::try_from(receive_buffer_bytes).unwrap_or(libc::c_int::MAX);
        set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, value)?;
        // A size beyond the sysctl needs CAP_NET_ADMIN. Without it the buffer is smaller, and the socket counts what it
        // drops.
        let _ = set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, value);
        set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        // Where the kernel lacks the option, every datagram arrives by itself.
        let _ = set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1);
        socket.bind(&local.into())?;
        Ok(Self { socket, stream: None })
    }

    /// A connection as a client's socket, with what its datagrams lie in. Nothing of it may wait to be read elsewhere.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn over(stream: TcpStream, carrier: Box<dyn Carrier>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = Socket::from(stream);
        // Of what came last; what is read at once may have come earlier.
        set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        Ok(Self { socket, stream: Some(Box::new(Stream::new(carrier))) })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Connects a UDP socket: from now on it exchanges datagrams with `remote` only.
    ///
    /// # Errors
    /// What the kernel says: `remote` cannot be reached from the address it is bound to.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<()> {
        self.socket.connect(&remote.into())
    }

    /// Sends one datagram; it is lost where the kernel has no room for it.
    pub fn send(&self, datagram: &[u8]) -> SendResult {
        if let Some(stream) = &self.stream {
            return stream.send(&self.socket, datagram);
        }
        match self.socket.send_with_flags(datagram, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) {
            Ok(_) => SendResult::Sent,
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS) => SendResult::Full,
                Some(libc::EMSGSIZE) => SendResult::TooLong,
                errno => SendResult::Failed(errno.unwrap_or(0)),
            },
        }
    }

    /// Messages that the kernel dropped because this socket's receive buffer was full. A coalesced train is one message.
    #[must_use]
    pub fn drops(&self) -> u64 {
        if self.stream.is_some() {
            return 0;
        }
        let mut values = [0_u32; MEMINFO_VALUES];
        let mut len = size_of_val(&values) as libc::socklen_t;
        // SAFETY: the descriptor is open while `self` lives; the kernel writes at most `len` bytes into `values`.
        let result = check(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                values.as_mut_ptr().cast(),
                &raw mut len,
            )
        });
        if result.is_ok() { values[MEMINFO_DROPS].into() } else { 0 }
    }
}

/// What one completion brought: one datagram of a socket, or a coalesced train.
#[derive(Debug)]
pub struct Coalesced<'a> {
    /// One datagram, or several one after the other.
    pub bytes: &'a mut [u8],
    /// Bytes of each but the last.
    pub segment_bytes: usize,
    /// When the kernel took it.
    pub received: Timestamp,
}

/// Cumulative counters of a fleet's sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetCounters {
    /// Completions with data: a datagram or a coalesced train each.
    pub messages_received: u64,
    /// Datagrams.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Coalesced datagrams cut off, which cannot happen with buffers of 66 KiB.
    pub truncated: u64,
    /// Receives armed again, because there were no buffers or the socket had an error.
    pub rearmed: u64,
    /// Calls into the kernel that waited.
    pub waits: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    client: u32,
    buffer: u16,
    bytes: u32,
}

#[derive(Debug, Default)]
struct Slot {
    socket: Option<FleetSocket>,
    armed: bool,
    /// The client has left; the place is free when the receive has ended.
    leaving: bool,
    errors_in_a_row: u32,
}

struct MessageHeader(libc::msghdr);

impl std::fmt::Debug for MessageHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageHeader").finish_non_exhaustive()
    }
}

type FleetBuffers = Buffers<{ limits::FLEET_RECEIVE_BUFFERS }, { limits::FLEET_RECEIVE_BUFFER_BYTES }>;

/// The sockets of one load thread and their ring. It stays on the thread that made it.
#[derive(Debug)]
pub struct FleetSockets {
    ring: Ring,
    buffers: FleetBuffers,
    header: Box<MessageHeader>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Receives to arm.
    to_arm: Vec<u32>,
    arrived: VecDeque<Arrived>,
    wake_armed: bool,
    sleeper: Sleeper,
    /// Datagrams of one read of a connection.
    datagrams: Datagrams,
    counters: FleetCounters,
    broken: Option<i32>,
}

impl FleetSockets {
    /// Makes the ring on the calling thread, with room for `clients` sockets.
    ///
    /// # Errors
    /// [`StartError::Ring`] where io_uring may not be used; [`StartError::EventLoop`].
    pub fn new(clients: u32) -> Result<Self, StartError> {
        let failed = |what| move |source| StartError::EventLoop { what, source };
        let clients = clients.min(limits::FLEET_CLIENTS_MAX);
        let ring = Ring::new(SUBMISSIONS, COMPLETIONS).map_err(StartError::Ring)?;
        let buffers = FleetBuffers::new().map_err(failed("the fleet's receive buffers"))?;
        let sleeper = Sleeper::new().map_err(failed("the fleet's wake-up event"))?;
        ring.submitter().register_files_sparse(clients + 1).map_err(failed("the fleet's table of sockets"))?;
        ring.submitter()
            .register_files_update(clients, &[sleeper.as_raw_fd()])
            .map_err(failed("the fleet's wake-up event"))?;
        // SAFETY: the mapping holds that many descriptors and stays mapped until `drop` has unregistered it.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.ring_address(),
                limits::FLEET_RECEIVE_BUFFERS,
                BUFFER_GROUP,
                0,
            )
        }
        .map_err(failed("the fleet's ring of receive buffers"))?;
        // SAFETY: a plain C structure of integers and pointers, for which all zeroes is a valid value.
        let mut header = Box::new(MessageHeader(unsafe { std::mem::zeroed() }));
        header.0.msg_controllen = CONTROL_COALESCED_BYTES as _;
        let mut slots = Vec::new();
        slots.resize_with(clients as usize, Slot::default);
        Ok(Self {
            ring,
            buffers,
            header,
            slots,
            free: (0..clients).rev().collect(),
            to_arm: Vec::new(),
            arrived: VecDeque::with_capacity(limits::FLEET_RECEIVE_BUFFERS.into()),
            wake_armed: false,
            sleeper,
            datagrams: Datagrams::default(),
            counters: FleetCounters::default(),
            broken: None,
        })
    }

    /// Ends a [`Self::wait`] from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.sleeper.waker()
    }

    /// Cumulative counters.
    #[must_use]
    pub fn counters(&self) -> FleetCounters {
        self.counters
    }

    /// Adds a connected socket and returns its place. Receiving from it begins at the next [`Self::wait`] or
    /// [`Self::receive`].
    ///
    /// # Errors
    /// The socket back, where there is no place left or the kernel does not take it.
    pub fn add(&mut self, socket: FleetSocket) -> Result<u32, FleetSocket> {
        let Some(client) = self.free.pop() else { return Err(socket) };
        if self.register(client, socket.socket.as_raw_fd()).is_err() {
            self.free.push(client);
            return Err(socket);
        }
        self.slots[client as usize] = Slot { socket: Some(socket), ..Slot::default() };
        self.to_arm.push(client);
        Ok(client)
    }

    fn register(&self, client: u32, descriptor: RawFd) -> io::Result<usize> {
        self.ring.submitter().register_files_update(client, &[descriptor])
    }

    /// A client's socket, until it was removed.
    #[must_use]
    pub fn socket(&self, client: u32) -> Option<&FleetSocket> {
        let slot = self.slots.get(client as usize)?;
        slot.socket.as_ref().filter(|_| !slot.leaving)
    }

    /// Stops receiving for a client; its place is free again when the kernel has let go of it.
    pub fn remove(&mut self, client: u32) {
        let Some(slot) = self.slots.get_mut(client as usize) else { return };
        if slot.socket.is_none() || slot.leaving {
            return;
        }
        slot.leaving = true;
        if slot.armed {
            let entry = opcode::AsyncCancel::new(RECEIVE | u64::from(client)).build().user_data(CANCEL);
            // SAFETY: the entry points at nothing.
            unsafe { self.push(&entry) };
        } else {
            self.release(client);
        }
    }

    fn release(&mut self, client: u32) {
        let _ = self.register(client, -1);
        self.to_arm.retain(|waiting| *waiting != client);
        self.slots[client as usize] = Slot::default();
        self.free.push(client);
    }

    /// # Safety
    /// As for [`Ring::push`].
    unsafe fn push(&mut self, entry: &io_uring::squeue::Entry) {
        if self.broken.is_none() {
            // SAFETY: as promised by the caller; a ring that breaks is never entered again.
            if let Err(error) = unsafe { self.ring.push(entry) } {
                self.broken = Some(error.raw_os_error().unwrap_or(libc::EIO));
            }
        }
    }

    fn enter(&mut self, why: Enter) {
        if self.broken.is_none()
            && let Err(error) = self.ring.enter(why)
        {
            self.broken = Some(error.raw_os_error().unwrap_or(libc::EIO));
        }
    }

    fn arm(&mut self) {
        while let Some(client) = self.to_arm.pop() {
            let slot = &mut self.slots[client as usize];
            if slot.armed || slot.leaving || slot.socket.is_none() {
                continue;
            }
            slot.armed = true;
            let entry = opcode::RecvMsgMulti::new(Fixed(client), &raw const self.header.0, BUFFER_GROUP)
                .build()
                .user_data(RECEIVE | u64::from(client));
            // SAFETY: the header is in a box that lives as long as the ring; the buffers until `drop` has cancelled
            // this receive.
            unsafe { self.push(&entry) };
        }
        if !self.wake_armed {
            self.wake_armed = true;
            let entry = opcode::PollAdd::new(Fixed(self.slots.len() as u32), libc::POLLIN as u32)
                .multi(true)
                .build()
                .user_data(WAKE);
            // SAFETY: the entry points at nothing.
            unsafe { self.push(&entry) };
        }
    }

    /// Sorts every completion made so far.
    fn reap(&mut self) {
        let mut ended = Vec::new();
        for completion in self.ring.completions() {
            let client = (completion.user_data() & !KIND_MASK) as u32;
            match completion.user_data() & KIND_MASK {
                RECEIVE => {
                    let slot = &mut self.slots[client as usize];
                    slot.armed = cqueue::more(completion.flags());
                    let buffer = cqueue::buffer_select(completion.flags());
                    match (u32::try_from(completion.result()), buffer) {
                        (Ok(bytes), Some(buffer)) => {
                            // A connection that has ended is readable for ever.
                            let is_stream = slot.socket.as_ref().is_some_and(|socket| socket.stream.is_some());
                            let ended = is_stream && bytes as usize <= PAYLOAD_AT;
                            slot.errors_in_a_row = if ended { limits::RECEIVE_ERRORS_IN_A_ROW_MAX } else { 0 };
                            self.arrived.push_back(Arrived { client, buffer, bytes });
                        }
                        _ if matches!(-completion.result(), libc::ENOBUFS | libc::ECANCELED) => {}
                        // An ICMP error is reported here once per datagram that caused it; if it persists, the client's
                        // receive is not armed again.
                        _ => slot.errors_in_a_row += 1,
                    }
                    if !slot.armed {
                        ended.push(client);
                    }
                }
                WAKE => self.wake_armed = cqueue::more(completion.flags()),
                _ => {}
            }
        }
        for client in ended {
            let slot = &self.slots[client as usize];
            if slot.leaving {
                self.release(client);
            } else if slot.errors_in_a_row < limits::RECEIVE_ERRORS_IN_A_ROW_MAX {
                self.counters.rearmed += 1;
                self.to_arm.push(client);
            }
        }
    }

    /// Makes what is due, without waiting; whether something has arrived.
    fn poll(&mut self) -> bool {
        self.reap();
        if self.arrived.is_empty() {
            self.buffers.publish();
            self.arm();
            if self.ring.has_work() {
                self.enter(Enter::Poll);
                self.reap();
            }
        }
        !self.arrived.is_empty()
    }

    /// Returns when a datagram is there, when woken, or at `deadline`.
    ///
    /// # Errors
    /// The ring broke.
    pub fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        if self.arrived.is_empty() && !self.poll() {
            let timeout = deadline.since(now());
            if !timeout.is_zero() && self.sleeper.begin() {
                self.counters.waits += 1;
                self.enter(Enter::Wait(timeout));
                self.reap();
                self.sleeper.end();
            }
        }
        self.broken.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }

    /// Hands over at most `limit` messages that have arrived, each with its client's place and socket; how many.
    pub fn receive<F: FnMut(u32, &FleetSocket, Coalesced<'_>)>(&mut self, limit: usize, mut visit: F) -> usize {
        let mut clock = None;
        let mut seen = 0;
        while seen < limit {
            let Some(arrived) = self.arrived.pop_front() else {
                if self.poll() {
                    // Read the clock again: the new datagrams may have arrived after the first reading.
                    clock = None;
                    continue;
                }
                break;
            };
            seen += 1;
            let clock = clock.get_or_insert_with(ArrivalClock::read);
            // SAFETY: a completion named the buffer, and it is given back below, after its last use.
            let buffer = unsafe { self.buffers.bytes_mut(arrived.buffer, arrived.bytes as usize) };
            let slot = &self.slots[arrived.client as usize];
            if let (Some(socket), Some(mut message)) = (&slot.socket, take_apart(buffer))
                && !slot.leaving
            {
                if message.truncated {
                    self.counters.truncated += 1;
                }
                let len = message.payload.len();
                let ancillary = parse_control(message.control);
                let segment_bytes = ancillary.segment_bytes.map_or(len, usize::from).clamp(1, len.max(1));
                self.counters.messages_received += 1;
                self.counters.bytes_received += len as u64;
                let received = clock.arrival(ancillary.realtime_ns);
                let bytes = std::mem::take(&mut message.payload);
                if let Some(stream) = &socket.stream {
                    stream.take(&socket.socket, bytes, &mut self.datagrams);
                    self.datagrams.drain(|bytes| {
                        self.counters.datagrams_received += 1;
                        let segment_bytes = bytes.len().max(1);
                        visit(arrived.client, socket, Coalesced { bytes, segment_bytes, received });
                    });
                } else {
                    self.counters.datagrams_received += len.div_ceil(segment_bytes) as u64;
                    visit(arrived.client, socket, Coalesced { bytes, segment_bytes, received });
                }
            }
            self.buffers.give_back(arrived.buffer);
            self.buffers.publish();
        }
        seen
    }

    /// Cancels everything armed and waits until the kernel has let go of sockets and buffers.
    fn disarm(&mut self) -> bool {
        let _ = self.ring.submitter().register_sync_cancel(Some(Timespec::new().sec(5)), CancelBuilder::any());
        for _ in 0..200 {
            if self.ring.enter(Enter::Poll).is_err() {
                return false;
            }
            self.reap();
            self.arrived.clear();
            if !self.wake_armed && self.slots.iter().all(|slot| !slot.armed) {
                return self.ring.submitter().unregister_buf_ring(BUFFER_GROUP).is_ok()
                    && self.ring.submitter().unregister_files().is_ok();
            }
            let _ = self.ring.enter(Enter::Wait(Duration::from_millis(10)));
        }
        false
    }
}

impl Drop for FleetSockets {
    fn drop(&mut self) {
        // Entries of a broken ring that the kernel never took must not be submitted now: what they point at is gone.
        if self.broken.is_some() || !self.disarm() {
            self.buffers.leak();
            std::mem::forget(std::mem::replace(
                &mut self.header,
                // SAFETY: as in `new`.
                Box::new(MessageHeader(unsafe { std::mem::zeroed() })),
            ));
        }
    }
}

struct Message<'a> {
    control: &'a [u8],
    payload: &'a mut [u8],
    truncated: bool,
}

/// One buffer taken apart: `struct io_uring_recvmsg_out`, control messages, payload at fixed places.
fn take_apart(buffer: &mut [u8]) -> Option<Message<'_>> {
    let (head, payload) = buffer.split_at_mut_checked(PAYLOAD_AT)?;
    let word = |at: usize| Some(u32::from_ne_bytes(*head.get(at..)?.first_chunk()?));
    let (control_len, payload_len, flags) = (word(4)? as usize, word(8)? as usize, word(12)?);
    Some(Message {
        truncated: flags & libc::MSG_TRUNC as u32 != 0 || payload_len > payload.len(),
        control: &head[HEADER_BYTES..HEADER_BYTES + control_len.min(CONTROL_COALESCED_BYTES)],
        payload,
    })
}

#[cfg(test)]
mod tests;

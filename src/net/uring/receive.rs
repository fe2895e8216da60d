//! The receiving half: armed multishot receives, the watch on the wake-up event, and the completions of everything.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::Fixed;
use io_uring::{cqueue, opcode, squeue, types};

use super::buffers;
use super::ring::{Enter, Ring};
use crate::limits;
use crate::net::IoCounters;
use crate::net::connections::Connections;
use crate::net::message::{CONTROL_IN_BYTES, NAME_BYTES, parse_control, parse_name};
use crate::net::process::ArrivalClock;
use crate::net::socket::MediaSockets;
use crate::net::start_error::StartError;
use crate::transport::{Datagram, UdpPath};

/// What a completion belongs to: the upper half of its user data. The lower half is a socket or a send's slot.
const RECEIVE: u64 = 1 << 32;
const WAKE: u64 = 2 << 32;
pub(super) const SEND: u64 = 3 << 32;
const CONNECTIONS: u64 = 4 << 32;
const KIND_MASK: u64 = !0 << 32;

/// The one group of buffers.
const BUFFER_GROUP: u16 = 0;

/// Room for a batch's sends and for everything that may have to be armed again.
pub(super) const SUBMISSIONS: u32 = (2 * limits::TRAINS_PER_BATCH_MAX) as u32;
/// Room for a completion per receive buffer, a batch's sends, and the ends of receives.
pub(super) const COMPLETIONS: u32 = 2048;
const _: () = assert!(limits::TRAINS_PER_BATCH_MAX + limits::SOCKETS_PER_WORKER_MAX < SUBMISSIONS as usize);
const _: () = assert!(SUBMISSIONS as usize + limits::RECEIVE_BUFFERS as usize <= COMPLETIONS as usize);

/// `struct io_uring_recvmsg_out` precedes name, control messages and payload in each buffer.
const HEADER_BYTES: usize = 16;
const CONTROL_AT: usize = HEADER_BYTES + NAME_BYTES;
const PAYLOAD_AT: usize = CONTROL_AT + CONTROL_IN_BYTES;
const _: () = assert!(PAYLOAD_AT + limits::DATAGRAM_IN_BYTES_MAX <= limits::RECEIVE_BUFFER_BYTES);

type Buffers = buffers::Buffers<{ limits::RECEIVE_BUFFERS }, { limits::RECEIVE_BUFFER_BYTES }>;

/// A datagram in a buffer that is ours until it is given back.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    socket: u8,
    buffer: u16,
    /// Bytes written into the buffer, header and all.
    bytes: u32,
}

/// One socket's receive.
#[derive(Clone, Copy, Debug)]
struct Armed {
    local: SocketAddr,
    armed: bool,
    errors_in_a_row: u32,
}

/// The ring with its receives. Sends go through the same ring and are in [`super`].
#[derive(Debug)]
pub(in crate::net) struct Receiver {
    pub(super) ring: Ring,
    buffers: Buffers,
    /// The message header of every receive: how much room to leave for name and control messages.
    header: Box<MessageHeader>,
    receives: Vec<Armed>,
    wake_armed: bool,
    /// TCP connections, whose one descriptor the ring watches.
    pub(super) connections: Connections,
    connections_armed: bool,
    arrived: VecDeque<Arrived>,
    /// Results of the present batch's sends by slot.
    pub(super) send_results: Vec<i32>,
    /// Sends of the present batch that have not completed.
    pub(super) sends_outstanding: usize,
    receives_rearmed: u64,
    /// The error that broke the ring, as the kernel's number. A broken ring is never entered again.
    broken: Option<i32>,
}

struct MessageHeader(libc::msghdr);

impl std::fmt::Debug for MessageHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageHeader").finish_non_exhaustive()
    }
}

impl Receiver {
    /// Makes the ring on the calling thread, lends it the buffers and arms a receive on every socket.
    pub(in crate::net) fn arm(sockets: &MediaSockets) -> Result<Self, StartError> {
        Self::arm_on(Ring::new(SUBMISSIONS, COMPLETIONS)?, sockets)
    }

    pub(super) fn arm_on(ring: Ring, sockets: &MediaSockets) -> Result<Self, StartError> {
        let failed = |what| move |source| StartError::EventLoop { what, source };
        let buffers = Buffers::new().map_err(failed("the receive buffers"))?;
        let descriptors: Vec<_> =
            sockets.sockets.iter().map(AsRawFd::as_raw_fd).chain([sockets.sleeper.as_raw_fd()]).collect();
        ring.submitter().register_files(&descriptors).map_err(failed("the ring's registered sockets"))?;
        // SAFETY: the mapping holds that many descriptors and stays mapped until `drop` has unregistered it.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.ring_address(),
                limits::RECEIVE_BUFFERS,
                BUFFER_GROUP,
                0,
            )
        }
        .map_err(failed("the ring of receive buffers"))?;
        // SAFETY: a plain C structure of integers and pointers, for which all zeroes is a valid value.
        let mut header = Box::new(MessageHeader(unsafe { std::mem::zeroed() }));
        header.0.msg_namelen = NAME_BYTES as libc::socklen_t;
        header.0.msg_controllen = CONTROL_IN_BYTES as _;
        let receives = sockets
            .sockets
            .iter()
            .map(|socket| Armed { local: socket.local, armed: false, errors_in_a_row: 0 })
            .collect();
        let connections = Connections::new()?;
        let mut receiver = Self {
            ring,
            buffers,
            header,
            receives,
            wake_armed: false,
            connections,
            connections_armed: false,
            arrived: VecDeque::with_capacity(limits::RECEIVE_BUFFERS.into()),
            send_results: vec![0; limits::TRAINS_PER_BATCH_MAX],
            sends_outstanding: 0,
            receives_rearmed: 0,
            broken: None,
        };
        receiver.rearm();
        receiver.enter(Enter::Poll);
        receiver.reap();
        match receiver.broken {
            None => Ok(receiver),
            Some(errno) => Err(failed("an armed receive")(io::Error::from_raw_os_error(errno))),
        }
    }

    pub(super) fn broken(&self) -> Option<i32> {
        self.broken
    }

    pub(super) fn break_with(&mut self, errno: i32) {
        self.broken.get_or_insert(errno);
    }

    /// Enters the kernel unless the ring is broken; an error breaks it.
    pub(super) fn enter(&mut self, why: Enter) {
        if self.broken.is_none()
            && let Err(error) = self.ring.enter(why)
        {
            self.break_with(error.raw_os_error().unwrap_or(libc::EIO));
        }
    }

    /// Queues an entry unless the ring is broken.
    ///
    /// # Safety
    /// As for [`Ring::push`].
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) {
        if self.broken.is_none() {
            // SAFETY: as promised by the caller; a ring that breaks is never entered again.
            if let Err(error) = unsafe { self.ring.push(entry) } {
                self.break_with(error.raw_os_error().unwrap_or(libc::EIO));
            }
        }
    }

    /// Queues what has ended: receives and the watch on the wake-up event.
    fn rearm(&mut self) {
        for index in 0..self.receives.len() {
            if !self.receives[index].armed {
                self.receives[index].armed = true;
                let entry = opcode::RecvMsgMulti::new(Fixed(index as u32), &raw const self.header.0, BUFFER_GROUP)
                    .build()
                    .user_data(RECEIVE | index as u64);
                // SAFETY: the header is in a box that lives as long as the ring; the buffers until `drop` has
                // cancelled this receive.
                unsafe { self.push(&entry) };
            }
        }
        if !self.wake_armed {
            self.wake_armed = true;
            let events = libc::POLLIN as u32;
            let entry =
                opcode::PollAdd::new(Fixed(self.receives.len() as u32), events).multi(true).build().user_data(WAKE);
            // SAFETY: the entry points at nothing.
            unsafe { self.push(&entry) };
        }
    }

    /// Queues the watch on the connections, once there are any.
    fn watch_connections(&mut self) {
        if !self.connections_armed && !self.connections.is_empty() {
            self.connections_armed = true;
            let watched = types::Fd(self.connections.watched());
            let entry = opcode::PollAdd::new(watched, libc::POLLIN as u32).multi(true).build().user_data(CONNECTIONS);
            // SAFETY: the entry points at nothing.
            unsafe { self.push(&entry) };
        }
    }

    /// Processes every completion made so far.
    pub(super) fn reap(&mut self) {
        let mut broke = None;
        for completion in self.ring.completions() {
            let index = (completion.user_data() & !KIND_MASK) as usize;
            match completion.user_data() & KIND_MASK {
                RECEIVE => {
                    let receive = &mut self.receives[index];
                    receive.armed = cqueue::more(completion.flags());
                    if !receive.armed {
                        self.receives_rearmed += 1;
                    }
                    if let (Ok(bytes), Some(buffer)) =
                        (u32::try_from(completion.result()), cqueue::buffer_select(completion.flags()))
                    {
                        receive.errors_in_a_row = 0;
                        self.arrived.push_back(Arrived { socket: index as u8, buffer, bytes });
                    } else if !matches!(-completion.result(), libc::ENOBUFS | libc::ECANCELED) {
                        receive.errors_in_a_row += 1;
                        // `EINVAL` is a programming error or a kernel that lacks the operation; other errors may be
                        // temporary.
                        if receive.errors_in_a_row >= limits::RECEIVE_ERRORS_IN_A_ROW_MAX
                            || completion.result() == -libc::EINVAL
                        {
                            broke = Some(-completion.result());
                        }
                    }
                }
                SEND => {
                    self.send_results[index] = completion.result();
                    self.sends_outstanding -= 1;
                }
                CONNECTIONS => {
                    self.connections_armed = cqueue::more(completion.flags());
                    self.connections.woke();
                }
                _ => self.wake_armed = cqueue::more(completion.flags()),
            }
        }
        if let Some(errno) = broke {
            self.break_with(errno);
        }
    }

    /// Makes and processes the completions that are due, without waiting; returns whether a datagram is there.
    fn poll(&mut self) -> bool {
        self.reap();
        if self.arrived.is_empty() {
            self.buffers.publish();
            self.rearm();
            self.watch_connections();
            if self.ring.has_work() {
                self.enter(Enter::Poll);
                self.reap();
            }
        }
        !self.arrived.is_empty()
    }

    /// Whether a datagram is there already, so that there is no need to wait. Arms receives that have ended.
    pub(super) fn is_ready(&mut self) -> bool {
        !self.arrived.is_empty() || self.connections.is_ready() || self.poll() || self.connections.is_ready()
    }

    /// Waits for a completion.
    pub(super) fn sleep(&mut self, limit: Duration) {
        self.enter(Enter::Wait(limit));
        self.reap();
    }

    /// Hands over what has arrived. See [`crate::net::Io::receive`].
    pub(super) fn receive<F: FnMut(Datagram<'_>)>(
        &mut self,
        limit: usize,
        counters: &mut IoCounters,
        mut visit: F,
    ) -> usize {
        let mut clock = None;
        let mut seen = self.connections.receive(limit, counters, &mut visit);
        while seen < limit {
            let Some(arrived) = self.arrived.pop_front() else {
                if self.poll() {
                    continue;
                }
                break;
            };
            seen += 1;
            let clock = clock.get_or_insert_with(ArrivalClock::read);
            self.hand_over(arrived, clock, counters, &mut visit);
            self.buffers.give_back(arrived.buffer);
        }
        self.buffers.publish();
        counters.receive_rearmed = self.receives_rearmed;
        seen
    }

    fn hand_over<F: FnMut(Datagram<'_>)>(
        &mut self,
        arrived: Arrived,
        clock: &ArrivalClock,
        counters: &mut IoCounters,
        visit: &mut F,
    ) {
        let local = self.receives[usize::from(arrived.socket)].local;
        // SAFETY: a completion named the buffer, and it is given back after this call only.
        let buffer = unsafe { self.buffers.bytes_mut(arrived.buffer, arrived.bytes as usize) };
        let Some(message) = Message::parse(buffer) else { return };
        if message.truncated || message.payload.len() > limits::DATAGRAM_IN_BYTES_MAX {
            counters.datagrams_truncated += 1;
            return;
        }
        let Some(remote) = parse_name(message.name) else { return };
        let ancillary = parse_control(message.control);
        let local_ip = ancillary.local_ip.unwrap_or(local.ip());
        let from = UdpPath { remote, local_ip, socket: arrived.socket };
        let received = clock.arrival(ancillary.realtime_ns);
        counters.datagrams_received += 1;
        counters.bytes_received += message.payload.len() as u64;
        visit(Datagram { bytes: message.payload, from: from.into(), received });
    }

    /// Cancels everything armed and waits until the kernel has let go of sockets and buffers.
    pub(super) fn disarm(&mut self) -> bool {
        let second = types::Timespec::new().sec(1);
        // It is no error when there is nothing to cancel.
        let _ = self.ring.submitter().register_sync_cancel(Some(second), types::CancelBuilder::any());
        for _ in 0..100 {
            if self.ring.enter(Enter::Poll).is_err() {
                return false;
            }
            self.reap();
            if !self.wake_armed && self.receives.iter().all(|receive| !receive.armed) {
                return self.ring.submitter().unregister_buf_ring(BUFFER_GROUP).is_ok()
                    && self.ring.submitter().unregister_files().is_ok();
            }
            let _ = self.ring.enter(Enter::Wait(Duration::from_millis(10)));
        }
        false
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Entries of a broken ring that the kernel never took must not be submitted now: what they point at is gone.
        if self.broken.is_some() || !self.disarm() {
            self.buffers.leak();
        }
    }
}

/// One buffer taken apart: `struct io_uring_recvmsg_out`, then name, control messages and payload at fixed places.
struct Message<'a> {
    name: &'a [u8],
    control: &'a [u8],
    payload: &'a mut [u8],
    truncated: bool,
}

impl<'a> Message<'a> {
    fn parse(buffer: &'a mut [u8]) -> Option<Self> {
        let (head, payload) = buffer.split_at_mut_checked(PAYLOAD_AT)?;
        let word = |at: usize| Some(u32::from_ne_bytes(*head.get(at..)?.first_chunk()?));
        let (name_len, control_len, payload_len, flags) = (word(0)?, word(4)?, word(8)?, word(12)?);
        Some(Self {
            name: &head[HEADER_BYTES..HEADER_BYTES + (name_len as usize).min(NAME_BYTES)],
            control: &head[CONTROL_AT..CONTROL_AT + (control_len as usize).min(CONTROL_IN_BYTES)],
            truncated: flags & libc::MSG_TRUNC as u32 != 0 || payload_len as usize > payload.len(),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_shorter_than_its_own_header_is_no_message() {
        assert!(Message::parse(&mut [0; PAYLOAD_AT - 1]).is_none());
        assert!(Message::parse(&mut [0; PAYLOAD_AT]).is_some_and(|message| message.payload.is_empty()));
    }

    #[test]
    fn lengths_larger_than_their_places_are_cut_to_them() {
        let mut buffer = [0xff; PAYLOAD_AT + 4];
        let message = Message::parse(&mut buffer).unwrap();
        assert_eq!((message.name.len(), message.control.len()), (NAME_BYTES, CONTROL_IN_BYTES));
        assert!(message.truncated);
    }
}

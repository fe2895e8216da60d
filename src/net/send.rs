//! Trains as `sendmsg` messages, for both backends.
//!
//! A train of several segments is one message with `UDP_SEGMENT`; `IP_PKTINFO` is added only where the socket is bound
//! to a wildcard. `sendmmsg` sends in order and stops at a refused message, which is handled before the next one
//! leaves. The ring submits all messages and handles refusals afterwards; therefore [`SendSlots::settle`] does not
//! resend a train that a later one to the same destination has overtaken.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::IoCounters;
use super::message::{Name, OutgoingControl};
use super::offload::{Refusal, classify};
use super::socket::MediaSocket;
use super::syscall::errno;
use crate::limits;
use crate::transport::{PathBook, SendResult, Train, TrainBatch, UdpPath};

/// Flags of every send: never wait, never raise `SIGPIPE`.
pub(super) const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Messages of one pass over a batch, and the memory they point into.
pub(super) struct SendSlots {
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    names: Box<[Name]>,
    controls: Box<[OutgoingControl]>,
    /// Which train of the batch each message is, and whether it asks for the offload.
    trains: Vec<Slot>,
    /// The socket of each train of the batch; [`NO_SOCKET`] for one that cannot be sent.
    sockets: Vec<u8>,
}

const NO_SOCKET: u8 = u8::MAX;

const _: () = assert!(limits::SOCKETS_PER_WORKER_MAX <= NO_SOCKET as usize);

#[derive(Clone, Copy, Debug)]
struct Slot {
    train: u16,
    offloaded: bool,
}

impl std::fmt::Debug for SendSlots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendSlots").field("slots", &self.headers.len()).finish_non_exhaustive()
    }
}

impl SendSlots {
    pub(super) fn new() -> Self {
        const SLOTS: usize = limits::TRAINS_PER_BATCH_MAX;
        // SAFETY: both are plain C structures of integers and pointers, for which all zeroes is a valid value.
        let (header, vector): (libc::mmsghdr, libc::iovec) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            headers: vec![header; SLOTS].into_boxed_slice(),
            vectors: vec![vector; SLOTS].into_boxed_slice(),
            names: vec![Name::EMPTY; SLOTS].into_boxed_slice(),
            controls: vec![OutgoingControl::EMPTY; SLOTS].into_boxed_slice(),
            trains: Vec::with_capacity(SLOTS),
            sockets: Vec::with_capacity(SLOTS),
        }
    }

    /// Finds the socket of each train; trains without one fail here, but for those of connections, which come later. As a side effect the paths' addresses are in the
    /// cache afterwards.
    pub(super) fn find_sockets(&mut self, pass: &mut Pass<'_>, sockets: usize) {
        self.sockets.clear();
        for train in pass.trains.iter_mut() {
            let socket =
                pass.paths.udp(train.path).map(|path| path.socket).filter(|&socket| usize::from(socket) < sockets);
            if socket.is_none() && train.result == SendResult::Pending && !train.path.is_connection() {
                train.result = SendResult::Failed(libc::EBADF);
                count_refusal(train.result, pass.counters);
            }
            self.sockets.push(socket.unwrap_or(NO_SOCKET));
        }
    }

    fn is_on(&self, train: usize, socket: usize) -> bool {
        self.sockets.get(train).is_some_and(|&own| usize::from(own) == socket)
    }

    /// The socket of a train, by its index in the batch; `None` where it has failed already.
    pub(super) fn socket_of(&self, train: usize) -> Option<u8> {
        self.sockets.get(train).copied().filter(|&socket| socket != NO_SOCKET)
    }

    pub(super) fn len(&self) -> usize {
        self.trains.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.trains.len() == self.headers.len()
    }

    pub(super) fn clear(&mut self) {
        self.trains.clear();
    }

    /// The message of a slot. Valid while neither the slots nor the batch they were filled from change.
    pub(super) fn message(&self, slot: usize) -> *const libc::msghdr {
        &raw const self.headers[slot].msg_hdr
    }

    /// The train of a slot, by its index in the batch.
    pub(super) fn train(&self, slot: usize) -> usize {
        usize::from(self.trains[slot].train)
    }

    /// Adds a train as a message.
    ///
    /// The pointers written stay valid as long as `self` and the batch do: everything but the payload lies in heap blocks
    /// that never move or grow.
    pub(super) fn push(&mut self, index: usize, pass: &Pass<'_>, socket: &MediaSocket, offloaded: bool) {
        let train = &pass.trains[index];
        let Some(path) = pass.paths.udp(train.path) else { return };
        let payload = payload(pass.bytes, train);
        let slot = self.trains.len();
        let control = &mut self.controls[slot];
        control.clear();
        if socket.is_wildcard() && !path.local_ip.is_unspecified() {
            control.push_local_ip(path.local_ip);
        }
        if offloaded {
            control.push_segment_size(train.segment_size);
        }
        let control = control.as_mut_bytes();
        let name = &mut self.names[slot];
        let name_len = name.write(&path.remote);
        // The kernel only reads it.
        self.vectors[slot] = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
        let header = &mut self.headers[slot].msg_hdr;
        header.msg_name = name.0.as_mut_ptr().cast();
        header.msg_namelen = name_len;
        header.msg_iov = &raw mut self.vectors[slot];
        header.msg_iovlen = 1;
        header.msg_controllen = control.len() as _;
        header.msg_control = if control.is_empty() { std::ptr::null_mut() } else { control.as_mut_ptr().cast() };
        self.trains.push(Slot { train: index as u16, offloaded });
    }

    /// One `sendmmsg` of the messages from slot `from`; how many the kernel took, or the error of the first.
    fn send_from(&mut self, socket: BorrowedFd<'_>, from: usize, payloads: &[u8]) -> Result<usize, i32> {
        let headers = &mut self.headers[from..self.trains.len()];
        debug_assert!(self.vectors[from..self.trains.len()].iter().all(|vector| {
            payloads.as_ptr_range().contains(&vector.iov_base.cast_const().cast()) || vector.iov_len == 0
        }));
        // SAFETY: the headers were filled by `push`: their names, vectors and control messages lie in boxes of
        // `self`, and their payloads in `payloads`, which is borrowed for the call. The kernel writes `msg_len` only.
        let taken = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as libc::c_uint, SEND_FLAGS as _)
        };
        usize::try_from(taken).map_err(|_| errno())
    }

    /// Records that the kernel took a slot's message.
    pub(super) fn sent(&self, slot: usize, train: &mut Train, socket: &mut MediaSocket, counters: &mut IoCounters) {
        train.result = SendResult::Sent;
        counters.messages_sent += 1;
        counters.segments_sent += u64::from(train.segments);
        counters.bytes_sent += u64::from(train.len);
        if self.trains[slot].offloaded {
            socket.offload.accepted();
        }
    }

    /// Handles a slot's message that the kernel refused. `overtaken`: a later train to the same destination has left
    /// already.
    pub(super) fn settle(
        &mut self,
        slot: usize,
        errno: i32,
        overtaken: bool,
        pass: &mut Pass<'_>,
        socket: &mut MediaSocket,
    ) {
        let Slot { train, offloaded } = self.trains[slot];
        let train = &mut pass.trains[usize::from(train)];
        match classify(errno, offloaded) {
            Refusal::Offload => {
                socket.offload.refused();
                if overtaken {
                    train.result = SendResult::Failed(errno);
                } else {
                    pass.counters.offload_refused += 1;
                    train.result = send_segments(pass.bytes, train, pass.paths, socket, pass.counters);
                }
            }
            refusal => train.result = result_of(refusal, errno),
        }
        count_refusal(train.result, pass.counters);
    }
}

/// A batch taken apart into bytes and trains, with the paths and counters needed to send it.
pub(super) struct Pass<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) trains: &'a mut [Train],
    pub(super) paths: &'a PathBook,
    pub(super) counters: &'a mut IoCounters,
}

/// The bytes of a train; empty for one that does not lie in the buffer.
pub(super) fn payload<'a>(bytes: &'a [u8], train: &Train) -> &'a [u8] {
    let start = train.start as usize;
    bytes.get(start..start.saturating_add(train.len as usize)).unwrap_or_default()
}

fn result_of(refusal: Refusal, errno: i32) -> SendResult {
    match refusal {
        Refusal::Full => SendResult::Full,
        Refusal::TooLong => SendResult::TooLong,
        Refusal::Again | Refusal::Offload | Refusal::Other => SendResult::Failed(errno),
    }
}

pub(super) fn count_refusal(result: SendResult, counters: &mut IoCounters) {
    match result {
        SendResult::Full => counters.sends_full += 1,
        SendResult::TooLong => counters.sends_too_long += 1,
        SendResult::Failed(_) => counters.sends_failed += 1,
        SendResult::Sent | SendResult::SentLast | SendResult::Pending => {}
    }
}

/// Sends a batch by `sendmmsg`, socket by socket, in order on each. (Trains to one destination share a socket.)
pub(super) fn send_by_sendmmsg(
    slots: &mut SendSlots,
    sockets: &mut [MediaSocket],
    batch: &mut TrainBatch,
    paths: &PathBook,
    counters: &mut IoCounters,
) {
    let (bytes, trains) = batch.parts_mut();
    let mut pass = Pass { bytes, trains, paths, counters };
    slots.find_sockets(&mut pass, sockets.len());
    for (index, socket) in sockets.iter_mut().enumerate() {
        let mut next = 0;
        while next < pass.trains.len() {
            next = fill_and_send(slots, index, socket, next, &mut pass);
        }
    }
}

/// Sends the trains from `next` on that belong to this socket, until the slots are full or one has to go
/// unsegmented; returns where to go on.
fn fill_and_send(
    slots: &mut SendSlots,
    index: usize,
    socket: &mut MediaSocket,
    mut next: usize,
    pass: &mut Pass<'_>,
) -> usize {
    slots.clear();
    let mut unsegmented = None;
    while next < pass.trains.len() && !slots.is_full() {
        let train = &pass.trains[next];
        if slots.is_on(next, index) {
            let several = train.segments > 1;
            if several && !socket.offload.may_ask() {
                unsegmented = Some(next);
                next += 1;
                break;
            }
            slots.push(next, pass, socket, several);
        }
        next += 1;
    }
    let full = send_slots(slots, socket, pass);
    if let Some(at) = unsegmented {
        let train = &mut pass.trains[at];
        if full {
            train.result = SendResult::Full;
        } else {
            pass.counters.offload_skipped += 1;
            train.result = send_segments(pass.bytes, train, pass.paths, socket, pass.counters);
        }
        count_refusal(train.result, pass.counters);
    }
    if !full {
        return next;
    }
    for (_, train) in (next..).zip(&mut pass.trains[next..]).filter(|(at, _)| slots.is_on(*at, index)) {
        train.result = SendResult::Full;
        count_refusal(train.result, pass.counters);
    }
    pass.trains.len()
}

/// Sends the filled slots. `true`: the socket's buffer is full, and further messages would be refused too (the kernel
/// compares what lies in the buffer with the limit, not what is added), so their trains become `Full` without a system
/// call.
fn send_slots(slots: &mut SendSlots, socket: &mut MediaSocket, pass: &mut Pass<'_>) -> bool {
    let mut done = 0;
    while done < slots.len() {
        match slots.send_from(socket.as_fd(), done, pass.bytes) {
            Ok(taken) => {
                for slot in done..done + taken {
                    slots.sent(slot, &mut pass.trains[slots.train(slot)], socket, pass.counters);
                }
                done += taken;
            }
            Err(libc::EINTR) => {}
            Err(libc::EAGAIN) => {
                for slot in done..slots.len() {
                    pass.trains[slots.train(slot)].result = SendResult::Full;
                    count_refusal(SendResult::Full, pass.counters);
                }
                return true;
            }
            Err(errno) => {
                slots.settle(done, errno, false, pass, socket);
                done += 1;
            }
        }
    }
    false
}

/// Sends a train segment by segment. Segments taken before a refusal stay sent: such a train is `Failed`, and must not
/// be sent again as a whole.
pub(super) fn send_segments(
    bytes: &[u8],
    train: &Train,
    paths: &PathBook,
    socket: &MediaSocket,
    counters: &mut IoCounters,
) -> SendResult {
    let Some(UdpPath { remote, local_ip, .. }) = paths.udp(train.path) else { return SendResult::Failed(libc::EBADF) };
    let mut name = Name::EMPTY;
    let mut control = OutgoingControl::EMPTY;
    if socket.is_wildcard() && !local_ip.is_unspecified() {
        control.push_local_ip(*local_ip);
    }
    let control = control.as_mut_bytes();
    // SAFETY: a plain C structure of integers and pointers, for which all zeroes is a valid value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_namelen = name.write(remote);
    header.msg_name = name.0.as_mut_ptr().cast();
    header.msg_controllen = control.len() as _;
    header.msg_control = if control.is_empty() { std::ptr::null_mut() } else { control.as_mut_ptr().cast() };
    header.msg_iovlen = 1;

    for (index, segment) in payload(bytes, train).chunks(usize::from(train.segment_size).max(1)).enumerate() {
        let mut vector = libc::iovec { iov_base: segment.as_ptr().cast_mut().cast(), iov_len: segment.len() };
        header.msg_iov = &raw mut vector;
        loop {
            // SAFETY: name, control messages, vector and segment are borrowed or owned by this function and outlive
            // the call; the kernel only reads them.
            if unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, SEND_FLAGS) } >= 0 {
                break;
            }
            let errno = errno();
            match classify(errno, false) {
                Refusal::Again => {}
                refusal if index == 0 => return result_of(refusal, errno),
                _ => return SendResult::Failed(errno),
            }
        }
        counters.messages_sent += 1;
        counters.segments_sent += 1;
        counters.bytes_sent += segment.len() as u64;
    }
    SendResult::Sent
}

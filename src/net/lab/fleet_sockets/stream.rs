//! A client's TCP connection in place of its UDP socket: datagrams in a stream, whatever they lie in ([`Carrier`]).
//!
//! What the kernel does not take waits here, up to [`limits::FLEET_STREAM_QUEUE_BYTES_MAX`]; beyond, datagrams are lost as on a
//! network. It is written when the client sends or receives next, which is every few seconds at the latest (consent).

use std::cell::RefCell;
use std::fmt;
use std::io;

use socket2::Socket;

use crate::limits;
use crate::transport::SendResult;

/// How datagrams lie in a stream. It does no I/O.
pub trait Carrier: fmt::Debug + Send {
    /// Appends a datagram to what is to be written.
    ///
    /// # Errors
    /// The stream can carry no more.
    fn wrap(&mut self, datagram: &[u8], wire: &mut Vec<u8>) -> io::Result<()>;

    /// Takes bytes that came. Appends the datagrams that are whole, and to `answer` what has to be written because of them.
    ///
    /// # Errors
    /// What came is not what this stream carries.
    fn unwrap(&mut self, wire: &[u8], datagrams: &mut Datagrams, answer: &mut Vec<u8>) -> io::Result<()>;
}

/// Datagrams one after the other.
#[derive(Debug, Default)]
pub struct Datagrams {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Datagrams {
    /// Adds one.
    pub fn push(&mut self, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.ends.push(self.bytes.len());
    }

    /// Hands each over and forgets them.
    pub fn drain(&mut self, mut visit: impl FnMut(&mut [u8])) {
        let mut begin = 0;
        for end in self.ends.drain(..) {
            visit(&mut self.bytes[begin..end]);
            begin = end;
        }
        self.bytes.clear();
    }
}

/// The stream's state beside its socket. One thread has both; the cell is for sends while datagrams are handed over.
#[derive(Debug)]
pub(super) struct Stream(RefCell<State>);

#[derive(Debug)]
struct State {
    carrier: Box<dyn Carrier>,
    pending: Vec<u8>,
    broken: bool,
}

impl Stream {
    pub(super) fn new(carrier: Box<dyn Carrier>) -> Self {
        Self(RefCell::new(State { carrier, pending: Vec::new(), broken: false }))
    }

    pub(super) fn send(&self, socket: &Socket, datagram: &[u8]) -> SendResult {
        let State { carrier, pending, broken } = &mut *self.0.borrow_mut();
        if *broken {
            return SendResult::Failed(libc::ENOTCONN);
        }
        if pending.len() > limits::FLEET_STREAM_QUEUE_BYTES_MAX {
            flush(socket, pending, broken);
            return SendResult::Full;
        }
        *broken |= carrier.wrap(datagram, pending).is_err();
        flush(socket, pending, broken);
        SendResult::Sent
    }

    /// Takes bytes that came; whether the stream goes on.
    pub(super) fn take(&self, socket: &Socket, wire: &[u8], datagrams: &mut Datagrams) -> bool {
        let State { carrier, pending, broken } = &mut *self.0.borrow_mut();
        *broken = *broken || wire.is_empty() || carrier.unwrap(wire, datagrams, pending).is_err();
        flush(socket, pending, broken);
        !*broken
    }
}

fn flush(socket: &Socket, pending: &mut Vec<u8>, broken: &mut bool) {
    while !pending.is_empty() && !*broken {
        match socket.send_with_flags(pending, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) {
            Ok(written) => drop(pending.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => *broken = true,
        }
    }
}

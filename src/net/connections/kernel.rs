//! The kernel as what carries connections: `epoll`, `recv`, `send`.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::wire::{Got, READY_MAX, Ready, Watch, Wire};
use crate::limits;
use crate::net::connection::AcceptedStream;
use crate::net::now;
use crate::net::send::SEND_FLAGS;
use crate::net::start_error::StartError;
use crate::net::syscall::{check, errno, set_option};
use crate::time::Timestamp;

/// One `epoll` descriptor for all connections.
#[derive(Debug)]
pub(in crate::net) struct Kernel {
    epoll: OwnedFd,
}

impl Kernel {
    pub(super) fn new() -> Result<Self, StartError> {
        let failed = |source| StartError::EventLoop { what: "the descriptor that watches connections", source };
        // SAFETY: no pointers are passed.
        let raw = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map_err(failed)?;
        // SAFETY: the descriptor was just made and nothing else owns it.
        Ok(Self { epoll: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    pub(super) fn watched(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

impl Wire for Kernel {
    type Stream = TcpStream;

    fn now(&self) -> Timestamp {
        now()
    }

    fn take(&mut self, accepted: AcceptedStream) -> io::Result<TcpStream> {
        let stream = match accepted {
            AcceptedStream::Tcp(stream) => stream,
            #[cfg(any(test, feature = "peer"))]
            AcceptedStream::Simulated(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        // The kernel then says "writable" only when little waits in it, so that what is written is new.
        let unsent = limits::CONNECTION_UNSENT_BYTES_MAX as libc::c_int;
        set_option(stream.as_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, unsent)?;
        Ok(stream)
    }

    fn watch(&mut self, stream: &TcpStream, place: usize, how: Watch) -> io::Result<()> {
        let operation = if how == Watch::Begin { libc::EPOLL_CTL_ADD } else { libc::EPOLL_CTL_MOD };
        let writable = if how == Watch::Writable { libc::EPOLLOUT } else { 0 };
        let events = libc::EPOLLIN | libc::EPOLLRDHUP | writable;
        let mut event = libc::epoll_event { events: events as u32, u64: place as u64 };
        // SAFETY: both descriptors are open and the kernel copies the event.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, stream.as_raw_fd(), &raw mut event) })
            .map(drop)
    }

    fn ready(&mut self, ready: &mut [Ready; READY_MAX]) -> usize {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; READY_MAX];
        // SAFETY: the descriptor is open and `events` has room for as many entries.
        let seen =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), READY_MAX as libc::c_int, 0) };
        let seen = usize::try_from(seen).unwrap_or(0).min(READY_MAX);
        let readable = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
        for (ready, event) in ready.iter_mut().zip(&events[..seen]) {
            *ready = Ready {
                place: event.u64 as usize,
                readable: event.events & readable as u32 != 0,
                writable: event.events & libc::EPOLLOUT as u32 != 0,
            };
        }
        seen
    }

    fn read(&self, stream: &TcpStream, buffer: &mut [u8]) -> Got {
        // SAFETY: the stream is open; the kernel writes at most that many bytes into the slice.
        let got =
            unsafe { libc::recv(stream.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
        match usize::try_from(got) {
            Ok(0) => Got::End,
            Ok(got) => Got::Bytes(got),
            Err(_) if matches!(errno(), libc::EAGAIN | libc::EINTR) => Got::Nothing,
            Err(_) => Got::End,
        }
    }

    fn write(&self, stream: &TcpStream, bytes: &[u8]) -> Result<usize, i32> {
        loop {
            // SAFETY: the stream is open and the kernel reads at most that many bytes of the slice.
            let written = unsafe { libc::send(stream.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), SEND_FLAGS) };
            match usize::try_from(written) {
                Ok(written) => return Ok(written),
                Err(_) => match errno() {
                    libc::EINTR => {}
                    libc::EAGAIN => return Ok(0),
                    errno => return Err(errno),
                },
            }
        }
    }

    /// `tcp(7)`, `SIOCOUTQNSD`. Zero where it does not say.
    fn unsent_bytes(&self, stream: &TcpStream) -> usize {
        let mut unsent: libc::c_int = 0;
        // SAFETY: the stream is open and the kernel writes one integer.
        let result = unsafe { libc::ioctl(stream.as_raw_fd(), SIOCOUTQNSD, &raw mut unsent) };
        if result == 0 { usize::try_from(unsent).unwrap_or(0) } else { 0 }
    }
}

/// `linux/sockios.h`; the C library's binding has no name for it.
const SIOCOUTQNSD: libc::Ioctl = 0x894B;

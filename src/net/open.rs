//! The choice of a worker's backend, and [`AnyIo`], which is either of them.

use std::fmt;
use std::io;
use std::str::FromStr;

use super::mmsg::Mmsg;
use super::socket::MediaSockets;
use super::start_error::StartError;
use super::uring::{Receiver, SendBy, Uring};
use super::{Accepted, ConnectionEvent, Io, IoCounters, Waker};
use crate::time::Timestamp;
use crate::transport::path::ConnectionId;
use crate::transport::{Datagram, PathBook, TrainBatch};

/// The `--io` setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoKind {
    /// A ring of the worker's own. It is an error when io_uring may not be used.
    Uring,
    /// Plain system calls.
    Mmsg,
    /// A ring, or plain system calls for a worker that cannot get one because no memory or descriptor is left. Where
    /// io_uring is forbidden to the process, the node does not start even so, because signalling needs io_uring.
    #[default]
    Auto,
}

impl fmt::Display for IoKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Mmsg => "mmsg",
            Self::Auto => "auto",
        })
    }
}

impl FromStr for IoKind {
    type Err = UnknownIoKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "uring" => Ok(Self::Uring),
            "mmsg" => Ok(Self::Mmsg),
            "auto" => Ok(Self::Auto),
            _ => Err(UnknownIoKind),
        }
    }
}

/// The text is none of `uring`, `mmsg` and `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownIoKind;

impl fmt::Display for UnknownIoKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be `uring`, `mmsg` or `auto`")
    }
}

impl std::error::Error for UnknownIoKind {}

/// Either backend, chosen by a branch and not by a virtual call. It stays on the thread that opened it.
#[derive(Debug)]
pub enum AnyIo {
    /// See [`super::uring`].
    Uring(Box<Uring>),
    /// See [`super::mmsg`].
    Mmsg(Box<Mmsg>),
}

/// What [`open_io`] made.
#[derive(Debug)]
pub struct OpenedIo {
    /// The backend.
    pub io: AnyIo,
    /// Why this one, as one line for the log.
    pub reason: String,
}

/// Makes a worker's backend. Call it on the worker's own thread: a ring belongs to the thread that made it.
///
/// # Errors
/// [`StartError::Ring`] with [`IoKind::Uring`] where io_uring may not be used; [`StartError::EventLoop`].
pub fn open_io(kind: IoKind, sockets: MediaSockets) -> Result<OpenedIo, StartError> {
    let refused = match kind {
        IoKind::Mmsg => "as configured".to_owned(),
        IoKind::Uring | IoKind::Auto => match Receiver::arm(&sockets) {
            Ok(receiver) => {
                let why = if kind == IoKind::Auto { "io_uring may be used here" } else { "as configured" };
                let uring = Uring::new(receiver, sockets, SendBy::default());
                let reason = format!("{why} ({})", uring.describe());
                return Ok(OpenedIo { io: AnyIo::Uring(Box::new(uring)), reason });
            }
            Err(error) if kind == IoKind::Uring => return Err(error),
            Err(error) => error.to_string(),
        },
    };
    Ok(OpenedIo { io: AnyIo::Mmsg(Box::new(Mmsg::new(sockets)?)), reason: refused })
}

impl AnyIo {
    /// `uring` or `mmsg`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Uring(_) => "uring",
            Self::Mmsg(_) => "mmsg",
        }
    }
}

impl Io for AnyIo {
    fn now(&self) -> Timestamp {
        super::now()
    }

    fn wait(&mut self, deadline: Timestamp) -> io::Result<()> {
        match self {
            Self::Uring(io) => io.wait(deadline),
            Self::Mmsg(io) => io.wait(deadline),
        }
    }

    fn receive<F: FnMut(Datagram<'_>)>(&mut self, limit: usize, visit: F) -> usize {
        match self {
            Self::Uring(io) => io.receive(limit, visit),
            Self::Mmsg(io) => io.receive(limit, visit),
        }
    }

    fn send(&mut self, batch: &mut TrainBatch, paths: &PathBook) {
        match self {
            Self::Uring(io) => io.send(batch, paths),
            Self::Mmsg(io) => io.send(batch, paths),
        }
    }

    fn adopt(&mut self, connection: Accepted) -> io::Result<()> {
        match self {
            Self::Uring(io) => io.adopt(connection),
            Self::Mmsg(io) => io.adopt(connection),
        }
    }

    fn close(&mut self, connection: ConnectionId) {
        match self {
            Self::Uring(io) => io.close(connection),
            Self::Mmsg(io) => io.close(connection),
        }
    }

    fn close_of(&mut self, session: u64) {
        match self {
            Self::Uring(io) => io.close_of(session),
            Self::Mmsg(io) => io.close_of(session),
        }
    }

    fn connection_event(&mut self) -> Option<ConnectionEvent> {
        match self {
            Self::Uring(io) => io.connection_event(),
            Self::Mmsg(io) => io.connection_event(),
        }
    }

    fn counters(&self) -> IoCounters {
        match self {
            Self::Uring(io) => io.counters(),
            Self::Mmsg(io) => io.counters(),
        }
    }

    fn waker(&self) -> Waker {
        match self {
            Self::Uring(io) => io.waker(),
            Self::Mmsg(io) => io.waker(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_io_setting_is_parsed_and_displayed_in_one_spelling() {
        for kind in [IoKind::Uring, IoKind::Mmsg, IoKind::Auto] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("epoll".parse::<IoKind>(), Err(UnknownIoKind));
    }

    #[test]
    fn the_choice_of_backend_is_explained_in_one_line() {
        for (kind, start) in [(IoKind::Auto, "io_uring may be used"), (IoKind::Mmsg, "as configured")] {
            let opened = open_io(kind, MediaSockets::open(&["127.0.0.1".parse().unwrap()], 0).unwrap()).unwrap();
            assert!(opened.reason.starts_with(start) && !opened.reason.contains('\n'), "{}", opened.reason);
        }
    }
}

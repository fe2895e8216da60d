//! The byte stream below the frames. It adds two things that the frame library does not have: fairness towards other
//! clients of this thread, and a bound on the memory of all unfinished messages of all sockets.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};

use crate::limits;
use crate::signal::http::Duplex;
use crate::signal::messages::budget::{Budget, Share};

/// The error when there is no memory left for unfinished messages.
pub(super) const NO_ROOM: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// The error when a message has more bytes, including frame headers, than any message may have.
pub(super) const TOO_LONG: io::ErrorKind = io::ErrorKind::FileTooLarge;

/// Counts the bytes of the present, unfinished message. The unfinished messages of all sockets share a budget. Bytes
/// that fit the read buffer, which exists anyway, are not charged to it. Otherwise clients that hold the whole budget
/// could silence every other socket, even its answers to pings.
pub(super) struct Unfinished {
    share: Share,
    bytes: Cell<usize>,
}

impl Unfinished {
    /// Nothing has arrived yet. Bytes will be charged to `all`.
    pub(super) fn of(all: Rc<Budget>) -> Self {
        Self { share: Share::of(all), bytes: Cell::new(0) }
    }

    fn arrived(&self, bytes: usize) -> io::Result<()> {
        let before = self.bytes.get();
        let now = before + bytes;
        if now > limits::SOCKET_MESSAGE_WIRE_BYTES_MAX {
            return Err(TOO_LONG.into());
        }
        let shared = |bytes: usize| bytes.saturating_sub(limits::SOCKET_READ_BUFFER_BYTES);
        if !self.share.grow(shared(now) - shared(before)) {
            return Err(NO_ROOM.into());
        }
        self.bytes.set(now);
        Ok(())
    }

    /// The present message is complete.
    pub(super) fn is_whole(&self) {
        self.share.shrink(self.share.bytes());
        self.bytes.set(0);
    }
}

/// A connection that counts the bytes that are read.
pub(super) struct Metered {
    io: Box<dyn Duplex>,
    unfinished: Rc<Unfinished>,
    /// Bytes read since this task last yielded.
    turn: usize,
}

impl Metered {
    /// Wraps `io`, and counts in `unfinished`.
    pub(super) fn new(io: Box<dyn Duplex>, unfinished: Rc<Unfinished>) -> Self {
        Self { io, unfinished, turn: 0 }
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // The library reads on while bytes come that complete no message. With a flood of empty fragments it would
        // never return, so this yields.
        if self.turn >= limits::SOCKET_BYTES_PER_TURN {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        match &read {
            Poll::Ready(Ok(bytes)) => {
                self.turn += bytes;
                if let Err(error) = self.unfinished.arrived(*bytes) {
                    return Poll::Ready(Err(error));
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.turn = 0,
        }
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::io::Cursor;
    use futures_util::{AsyncReadExt as _, FutureExt as _};

    use super::*;

    #[test]
    fn a_flood_yields_to_other_tasks_and_continues() {
        let bytes = Cursor::new(vec![0; limits::SOCKET_BYTES_PER_TURN + 10]);
        let mut metered = Metered::new(Box::new(bytes), Rc::new(Unfinished::of(Budget::new(1 << 20))));
        let mut buffer = vec![0; limits::SOCKET_BYTES_PER_TURN];
        assert_eq!(metered.read(&mut buffer).now_or_never().unwrap().unwrap(), buffer.len());
        assert!(metered.read(&mut buffer).now_or_never().is_none());
        assert_eq!(metered.read(&mut buffer).now_or_never().unwrap().unwrap(), 10);
    }

    const BUFFER: usize = limits::SOCKET_READ_BUFFER_BYTES;

    #[test]
    fn unfinished_messages_of_all_sockets_are_bounded_but_short_ones_are_free() {
        let all = Budget::new(100);
        let open = || {
            let unfinished = Rc::new(Unfinished::of(all.clone()));
            (Metered::new(Box::new(Cursor::new(vec![0; 10 * BUFFER])), unfinished.clone()), unfinished)
        };
        let ((mut one, unfinished), (mut other, _)) = (open(), open());
        let mut long = vec![0; BUFFER + 80];
        assert!(one.read(&mut long).now_or_never().unwrap().is_ok());
        assert!(other.read(&mut vec![0; BUFFER]).now_or_never().unwrap().is_ok(), "what its buffer holds anyway");
        assert_eq!(other.read(&mut [0; 80]).now_or_never().unwrap().unwrap_err().kind(), NO_ROOM);
        unfinished.is_whole();
        assert!(other.read(&mut [0; 80]).now_or_never().unwrap().is_ok(), "the first one's message was whole");
    }

    #[test]
    fn a_message_of_endless_empty_fragments_becomes_too_long() {
        let flood = Cursor::new(vec![0; 2 * limits::SOCKET_MESSAGE_WIRE_BYTES_MAX]);
        let unfinished = Rc::new(Unfinished::of(Budget::new(1 << 30)));
        let mut metered = Metered::new(Box::new(flood), unfinished);
        let mut buffer = [0; 4_096];
        let mut read = 0;
        let error = loop {
            match metered.read(&mut buffer).now_or_never() {
                Some(Ok(bytes)) => read += bytes,
                Some(Err(error)) => break error,
                None => {}
            }
        };
        assert_eq!(error.kind(), TOO_LONG);
        assert!(read <= limits::SOCKET_MESSAGE_WIRE_BYTES_MAX, "{read}");
    }
}

//! The bytes below the frames. Two things the frame library cannot know: that other clients wait for this thread too, and
//! how much memory the messages of all sockets that have begun and not ended take together.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};

use super::outbox::Share;
use crate::limits;
use crate::signal::http::Duplex;

/// The error of a socket that needs more memory than there is for messages under way.
pub(super) const NO_ROOM: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// A connection whose reads are counted.
pub(super) struct Metered {
    io: Box<dyn Duplex>,
    /// What of the present message has arrived; its reader gives it back with each whole message.
    unfinished: Rc<Share>,
    /// Bytes read since the others had their turn.
    turn: usize,
}

impl Metered {
    /// Of `io`, counted in `unfinished`.
    pub(super) fn new(io: Box<dyn Duplex>, unfinished: Rc<Share>) -> Self {
        Self { io, unfinished, turn: 0 }
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // The library reads on for as long as bytes come and make no message: a flood of empty fragments never ends.
        if self.turn >= limits::SOCKET_BYTES_PER_TURN {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        match &read {
            Poll::Ready(Ok(bytes)) if !self.unfinished.grow(*bytes) => return Poll::Ready(Err(NO_ROOM.into())),
            Poll::Ready(Ok(bytes)) => self.turn += bytes,
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

    use super::super::outbox::Budget;
    use super::*;

    #[test]
    fn a_flood_gives_the_others_their_turn_and_goes_on() {
        let bytes = Cursor::new(vec![0; limits::SOCKET_BYTES_PER_TURN + 10]);
        let mut metered = Metered::new(Box::new(bytes), Rc::new(Share::of(Budget::new(1 << 20))));
        let mut buffer = vec![0; limits::SOCKET_BYTES_PER_TURN];
        assert_eq!(metered.read(&mut buffer).now_or_never().unwrap().unwrap(), buffer.len());
        assert!(metered.read(&mut buffer).now_or_never().is_none());
        assert_eq!(metered.read(&mut buffer).now_or_never().unwrap().unwrap(), 10);
    }

    #[test]
    fn messages_that_do_not_end_are_bounded_over_all_sockets() {
        let all = Budget::new(100);
        let open = || {
            let share = Rc::new(Share::of(all.clone()));
            (Metered::new(Box::new(Cursor::new(vec![0; 1_000])), share.clone()), share)
        };
        let ((mut one, share), (mut other, _)) = (open(), open());
        let mut buffer = [0; 80];
        assert!(one.read(&mut buffer).now_or_never().unwrap().is_ok());
        assert_eq!(other.read(&mut buffer).now_or_never().unwrap().unwrap_err().kind(), NO_ROOM);
        share.shrink(share.bytes());
        assert!(other.read(&mut buffer).now_or_never().unwrap().is_ok(), "the first one's message was whole");
    }
}

//! What a stream does here besides: it ends so that alerts arrive, and keeps those that came.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use rustls::AlertDescription;

use crate::limits;
use crate::signal::runtime;

/// Ends a connection whose other end may have sent more than was read: what was sent to it before (an alert) would be lost, if it were
/// closed at once (RFC 1122 §4.2.2.13).
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let lingering = async {
        let _ = stream.close().await;
        let mut unread = [0; 4 * 1024];
        let mut left = limits::CHANNEL_LINGER_BYTES_MAX;
        while let Ok(read) = stream.read(&mut unread).await {
            left = left.saturating_sub(read);
            if read == 0 || left == 0 {
                return;
            }
        }
    };
    runtime::timeout(limits::CHANNEL_LINGER_TIME_MAX, lingering).await;
}

/// The TLS error in one of a stream's.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

/// The alert by which the other end closed a stream.
pub(super) fn alert_of(error: &io::Error) -> Option<AlertDescription> {
    match tls_error(error)? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// A stream that writes all buffers of a call together. TLS has one chance to write when a handshake fails, and of several records the
/// alert is the last.
pub(super) struct Together<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Together<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Together<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match buffers {
            [one] => Pin::new(&mut self.0).poll_write(context, one),
            several => {
                let together: Vec<u8> = several.iter().flat_map(|buffer| buffer.iter().copied()).collect();
                Pin::new(&mut self.0).poll_write(context, &together)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context)
    }
}

/// A stream that keeps the alert by which it ended: HTTP/2's library says only that it did.
pub(super) struct Telling<S> {
    io: S,
    alert: Rc<Cell<Option<AlertDescription>>>,
}

impl<S> Telling<S> {
    pub(super) const fn new(io: S, alert: Rc<Cell<Option<AlertDescription>>>) -> Self {
        Self { io, alert }
    }

    fn heard<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &done
            && let Some(alert) = alert_of(error)
        {
            self.alert.set(Some(alert));
        }
        done
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Telling<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        self.heard(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Telling<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.heard(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.heard(flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(context)
    }
}

//! Counts the HTTP/2 frames of a client that ask for nothing (RFC 9113 §10.5), and ends a connection that sends too many.
//!
//! HTTP/2's library reads whatever comes and answers it. PING, SETTINGS, WINDOW_UPDATE and the like cost the client less
//! than the node, and are no request that anything else bounds. Here only the frames' heads are read (§4.1): the client's
//! bytes pass through, decrypted, on their way to the library. What is wrong with a frame is found out there.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::io::{AsyncRead, AsyncWrite};

use crate::limits;
use crate::net::clock;

/// Octets of a client's connection preface before its first frame (RFC 9113 §3.4).
const PREFACE_OCTETS: usize = 24;

/// Octets of a frame's head.
const HEAD_OCTETS: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// The frames that a client has sent.
#[derive(Debug)]
struct Frames {
    /// Octets that belong to the preface or to a frame's payload.
    passing: usize,
    head: [u8; HEAD_OCTETS],
    head_len: usize,
    /// The highest stream that a request came on.
    last_stream: u32,
    /// Control frames that the requests have brought with them and that were not sent yet.
    of_requests: u32,
    /// How many more may come, as of `refilled`.
    allowed: u32,
    refilled: Instant,
}

/// The client has sent too many frames that ask for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooMany;

impl Frames {
    fn new(now: Instant) -> Self {
        Self {
            passing: PREFACE_OCTETS,
            head: [0; HEAD_OCTETS],
            head_len: 0,
            last_stream: 0,
            of_requests: 0,
            allowed: limits::HTTP2_CONTROL_FRAMES_BURST,
            refilled: now,
        }
    }

    /// The client's next octets, however they were cut.
    fn arrived(&mut self, mut octets: &[u8], now: Instant) -> Result<(), TooMany> {
        while !octets.is_empty() {
            let passing = self.passing.min(octets.len());
            self.passing -= passing;
            octets = octets.get(passing..).unwrap_or_default();
            while let Some((first, rest)) = octets.split_first().filter(|_| self.head_len < HEAD_OCTETS) {
                if let Some(octet) = self.head.get_mut(self.head_len) {
                    *octet = *first;
                }
                self.head_len += 1;
                octets = rest;
            }
            if self.head_len == HEAD_OCTETS {
                self.head_len = 0;
                self.frame(now)?;
            }
        }
        Ok(())
    }

    /// A frame's head is complete.
    fn frame(&mut self, now: Instant) -> Result<(), TooMany> {
        let [len @ .., kind, flags, s0, s1, s2, s3] = self.head;
        let len = len.iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        self.passing = len;
        match kind {
            HEADERS if stream > self.last_stream => {
                self.last_stream = stream;
                let of_requests = self.of_requests + limits::HTTP2_CONTROL_FRAMES_PER_REQUEST;
                self.of_requests = of_requests.min(limits::HTTP2_CONTROL_FRAMES_BURST);
                Ok(())
            }
            // The end of a request's body may be empty.
            DATA if len >= limits::HTTP2_DATA_BYTES_MIN || flags & END_STREAM != 0 => Ok(()),
            _ => self.control_frame(now),
        }
    }

    fn control_frame(&mut self, now: Instant) -> Result<(), TooMany> {
        if self.of_requests > 0 {
            self.of_requests -= 1;
            return Ok(());
        }
        let interval = Duration::from_secs(1) / limits::HTTP2_CONTROL_FRAMES_PER_SECOND;
        let more = now.saturating_duration_since(self.refilled).as_nanos() / interval.as_nanos();
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.allowed = self.allowed.saturating_add(more).min(limits::HTTP2_CONTROL_FRAMES_BURST);
            self.refilled += interval.saturating_mul(more);
        }
        self.allowed = self.allowed.checked_sub(1).ok_or(TooMany)?;
        Ok(())
    }
}

/// A connection whose client's frames are counted. Once there are too many, nothing more is read from it.
pub(super) struct Counted<S> {
    io: S,
    frames: Frames,
    too_many: Rc<Cell<bool>>,
}

impl<S> Counted<S> {
    /// Counts the frames that are read from `io`, from the preface on. `too_many` is set when the connection is ended.
    pub(super) fn new(io: S, too_many: Rc<Cell<bool>>) -> Self {
        Self { io, frames: Frames::new(clock::now()), too_many }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let read = Pin::new(&mut this.io).poll_read(context, buffer);
        if let Poll::Ready(Ok(bytes)) = read
            && this.frames.arrived(buffer.get(..bytes).unwrap_or_default(), clock::now()).is_err()
        {
            this.too_many.set(true);
            return Poll::Ready(Err(io::Error::other("too many frames that ask for nothing")));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
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
    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;
    const BURST: usize = limits::HTTP2_CONTROL_FRAMES_BURST as usize;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let mut octets = (payload as u32).to_be_bytes()[1..].to_vec();
        octets.extend([kind, flags]);
        octets.extend(stream.to_be_bytes());
        octets.resize(HEAD_OCTETS + payload, b'p');
        octets
    }

    fn preface() -> Vec<u8> {
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()
    }

    /// How many of a thousand times these frames pass at once, cut into pieces of that length.
    fn passed(of: &[Vec<u8>], cut: usize) -> usize {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        frames.arrived(&preface(), now).unwrap();
        let octets = of.concat();
        (0..1_000).take_while(|_| octets.chunks(cut).all(|piece| frames.arrived(piece, now).is_ok())).count()
    }

    #[test]
    fn frames_that_ask_for_nothing_end_the_connection_after_a_burst() {
        for kind in [2, 3, 4, 5, 6, 7, 8, 9, 0x10, 0xff] {
            for cut in [1, 7, 9, 17, 4_096] {
                assert_eq!(passed(&[frame(kind, 0, 0, 8)], cut), BURST, "frame type {kind} in pieces of {cut}");
            }
        }
        assert_eq!(passed(&[frame(DATA, 0, 1, 0)], 9), BURST, "empty DATA");
        assert_eq!(passed(&[frame(DATA, 0, 1, limits::HTTP2_DATA_BYTES_MIN - 1)], 9), BURST, "small DATA");
    }

    #[test]
    fn requests_with_their_bodies_and_what_belongs_to_them_pass() {
        let mut requests = Vec::new();
        for at in 0..1_000 {
            let stream = 2 * at + 1;
            requests.push(frame(HEADERS, 4, stream, 40));
            requests.push(frame(DATA, 0, stream, 16_384));
            requests.push(frame(DATA, END_STREAM, stream, 0));
            requests.push(frame(WINDOW_UPDATE, 0, stream, 4));
            requests.push(frame(WINDOW_UPDATE, 0, 0, 4));
        }
        let (octets, now) = ([preface(), requests.concat()].concat(), Instant::now());
        assert_eq!(Frames::new(now).arrived(&octets, now), Ok(()));
        // HEADERS on a stream that was there are its trailers, and no new request.
        let mut frames = Frames::new(now);
        frames.arrived(&preface(), now).unwrap();
        let trailers = [frame(HEADERS, 4, 1, 40), frame(PING, 0, 0, 8)].concat();
        let pairs = (0..1_000).take_while(|_| frames.arrived(&trailers, now).is_ok()).count();
        assert!(pairs < BURST, "{pairs}");
    }

    #[test]
    fn a_client_that_pings_now_and_then_is_served_for_ever() {
        let start = Instant::now();
        let mut frames = Frames::new(start);
        frames.arrived(&preface(), start).unwrap();
        let interval = Duration::from_secs(1) / limits::HTTP2_CONTROL_FRAMES_PER_SECOND;
        for at in 0..10 * limits::HTTP2_CONTROL_FRAMES_BURST {
            assert_eq!(frames.arrived(&frame(PING, 0, 0, 8), start + interval * at), Ok(()));
        }
    }
}

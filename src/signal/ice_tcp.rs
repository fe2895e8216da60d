//! Media over TCP on the port of HTTPS (RFC 6544): told from HTTP by its first bytes, and handed to its session's worker.
//!
//! ```text
//!   first bytes             what it is                                      goes to
//!   16 03                   TLS                                             HTTPS, which knows TURN by what is inside
//!   00..03, …, 21 12 a4 42  a STUN message with the cookie at 4             TURN over TCP
//!   00..05, …, 21 12 a4 42  a frame (RFC 4571) with a STUN message in it    the worker that its USERNAME names
//!   anything else           HTTP, or nonsense                               HTTP, which refuses nonsense
//! ```
//!
//! Nothing is read here, only looked at, so that whoever gets the connection finds it whole. A connection that begins like a
//! frame has [`limits::FIRST_FRAME_TIME_MAX`] for the rest of it. The worker checks what is in the frame: one that no
//! session knows is closed with its first datagram.

use std::io;

use super::runtime::{self, TcpStream};
use crate::net::{Accepted, Carries, clock};
use crate::wire::stun::StunMessage;
use crate::worker::mailbox::{Control, WorkerHandle, WorkerIndex};
use crate::{limits, placement};

/// Bytes of the length before each datagram (RFC 4571 §2).
const LENGTH_BYTES: usize = 2;

/// Bytes of a frame up to the end of STUN's magic cookie.
const COOKIE_END: usize = LENGTH_BYTES + 8;

/// STUN's magic cookie (RFC 8489 §5).
const COOKIE: [u8; 4] = 0x2112_a442_u32.to_be_bytes();

/// Where media connections go.
pub(super) struct IceTcp {
    workers: Vec<WorkerHandle>,
}

/// What a connection turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sorted {
    /// Not media: HTTP's to answer.
    Http,
    /// TURN over TCP: nothing of it was read.
    Turn,
    /// A worker has it.
    Taken,
    /// It began like media, and is for no worker.
    Refused,
}

/// What the bytes that are there say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    LikeHttp,
    LikeTurn,
    LikeAFrame,
    /// A whole frame with a check for a session of that worker.
    For(WorkerIndex),
    /// A whole frame that names no worker.
    ForNobody,
}

impl IceTcp {
    /// The workers, by index.
    pub(super) fn new(workers: Vec<WorkerHandle>) -> Self {
        Self { workers }
    }

    /// Looks at a new connection, and hands it over if it is media.
    pub(super) async fn sort(&self, stream: &TcpStream) -> Sorted {
        let mut seen = [0; LENGTH_BYTES + limits::FRAME_IN_BYTES_MAX];
        let Some(Ok(mut len)) = runtime::timeout(limits::TLS_HANDSHAKE_TIME_MAX, stream.peek(&mut seen)).await else {
            return Sorted::Refused;
        };
        let deadline = clock::now() + limits::FIRST_FRAME_TIME_MAX;
        loop {
            match look(seen.get(..len).unwrap_or_default()) {
                Looks::LikeHttp => return Sorted::Http,
                Looks::LikeTurn => return Sorted::Turn,
                Looks::ForNobody => return Sorted::Refused,
                Looks::For(worker) => {
                    return if self.hand_over(stream, worker).is_ok() { Sorted::Taken } else { Sorted::Refused };
                }
                Looks::LikeAFrame if clock::now() >= deadline => return Sorted::Refused,
                // What is there already would end a wait for more at once.
                Looks::LikeAFrame => runtime::sleep(limits::FIRST_FRAME_LOOK_INTERVAL).await,
            }
            let Ok(now_there) = stream.peek(&mut seen).await else { return Sorted::Refused };
            len = now_there;
        }
    }

    fn hand_over(&self, stream: &TcpStream, worker: WorkerIndex) -> io::Result<()> {
        let worker = self.workers.get(usize::from(worker.0)).ok_or(io::ErrorKind::NotFound)?;
        let (remote, local_ip) = (stream.peer_addr()?, stream.local_addr()?.ip());
        let stream = stream.duplicate()?;
        let message =
            Control::Connect(Box::new(Accepted { stream: stream.into(), remote, local_ip, carries: Carries::Frames }));
        worker.try_send(message).map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}

fn look(seen: &[u8]) -> Looks {
    let Some((&[high, low], datagram)) = seen.split_first_chunk::<LENGTH_BYTES>() else {
        // One byte, or none: the peer has left, or TLS and HTTP begin with another one.
        let may_be_frame = seen.first().is_some_and(|first| usize::from(*first) <= limits::FRAME_IN_BYTES_MAX >> 8);
        return if may_be_frame { Looks::LikeAFrame } else { Looks::LikeHttp };
    };
    // A frame's length, or the type of a TURN client's first message, which is a small number as well.
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > limits::FRAME_IN_BYTES_MAX {
        return Looks::LikeHttp;
    }
    match seen.get(COOKIE.len()..2 * COOKIE.len()) {
        None => return Looks::LikeAFrame,
        Some(cookie) if cookie == COOKIE => return Looks::LikeTurn,
        Some(_) => {}
    }
    if seen.get(COOKIE_END - COOKIE.len()..COOKIE_END).is_some_and(|bytes| bytes != COOKIE) {
        return Looks::LikeHttp;
    }
    let Some(datagram) = datagram.get(..len) else { return Looks::LikeAFrame };
    let worker = StunMessage::parse(datagram)
        .ok()
        .and_then(|message| Some(std::str::from_utf8(message.username()?).ok()?.split_once(':')?.0))
        .and_then(placement::worker_of);
    worker.map_or(Looks::ForNobody, Looks::For)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stun::StunWriter;

    #[test]
    fn a_check_names_its_worker_and_everything_else_is_https() {
        let mut check = [0; 200];
        let ufrag = placement::ufrag(WorkerIndex(7), "abcdefghij");
        let username = format!("{ufrag}:peer");
        let len = StunWriter::binding_request(&mut check, &[1; 12]).username(username.as_bytes()).finish().unwrap();
        let frame = [&(len as u16).to_be_bytes(), &check[..len]].concat();
        assert_eq!(look(&frame), Looks::For(WorkerIndex(7)));
        // More may follow; less is waited for.
        assert_eq!(look(&[&frame[..], b"more"].concat()), Looks::For(WorkerIndex(7)));
        assert!((1..frame.len()).all(|cut| look(&frame[..cut]) == Looks::LikeAFrame));
        let mut nobody = frame.clone();
        nobody[LENGTH_BYTES + 24] = b'-';
        assert_eq!(look(&nobody), Looks::ForNobody);
        for http in [&b"GET / HTTP/1.1\r\n"[..], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3], b"PRI * HTTP/2.0", b"", b"\x16"]
        {
            assert_eq!(look(http), Looks::LikeHttp, "{http:?}");
        }
        // A TURN client's message begins without a length before it; its eighth byte tells.
        let turn = &check[..len];
        assert!((8..=len).all(|cut| look(&turn[..cut]) == Looks::LikeTurn));
        assert!((1..8).all(|cut| look(&turn[..cut]) == Looks::LikeAFrame));
        // A length that could be, and no cookie.
        assert_eq!(look(&[0, 20, 0, 1, 0, 0, 1, 2, 3, 4]), Looks::LikeHttp);
    }
}

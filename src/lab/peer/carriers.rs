//! What a client's datagrams lie in on a TCP connection, and what it says first.
//!
//! [`Framed`] is RFC 4571, as ICE over TCP has it. [`Relayed`] is channel data of an allocation on the node's TURN server, which
//! [`Allocating`] makes beforehand: Allocate, which is refused and tells realm and nonce; Allocate with credentials; ChannelBind
//! to the node's media port. Either may be in TLS, which whoever connects brings along.
//!
//! Left out: Refresh, so a client over TURN is good for ten minutes ([`limits::TURN_CHANNEL_TIME`]).

use std::io;
use std::net::SocketAddr;

use crate::crypto::digest;
use crate::limits;
use crate::net::TlsSession;
use crate::net::lab::fleet_sockets::{Carrier, Datagrams};
use crate::turn::{self, first};
use crate::wire::stun::{StunClass, StunMessage, StunWriter, attribute};

const ALLOCATE: u16 = 0x003;
const CHANNEL_BIND: u16 = 0x009;
const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const REQUESTED_TRANSPORT: (u16, [u8; 4]) = (0x0019, [17, 0, 0, 0]);
const CHANNEL: [u8; 2] = [0x40, 0x00];
const CHANNEL_HEAD_BYTES: usize = 4;
const LENGTH_BYTES: usize = 2;

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Two bytes of length before each datagram.
#[derive(Debug, Default)]
pub struct Framed {
    partial: Vec<u8>,
}

impl Carrier for Framed {
    fn wrap(&mut self, datagram: &[u8], wire: &mut Vec<u8>) -> io::Result<()> {
        let len = u16::try_from(datagram.len()).map_err(|_| broken("a datagram is too long"))?;
        wire.extend_from_slice(&len.to_be_bytes());
        wire.extend_from_slice(datagram);
        Ok(())
    }

    fn unwrap(&mut self, wire: &[u8], datagrams: &mut Datagrams, _: &mut Vec<u8>) -> io::Result<()> {
        self.partial.extend_from_slice(wire);
        let mut rest = &self.partial[..];
        while let Some((len, behind)) = rest.split_first_chunk::<LENGTH_BYTES>()
            && let Some((datagram, behind)) = behind.split_at_checked(u16::from_be_bytes(*len).into())
        {
            datagrams.push(datagram);
            rest = behind;
        }
        let taken = self.partial.len() - rest.len();
        self.partial.drain(..taken);
        Ok(())
    }
}

/// Channel data, perhaps in TLS.
#[derive(Debug, Default)]
pub struct Relayed {
    tls: Option<Box<dyn TlsSession>>,
    /// Decrypted, up to the end of the last whole message.
    partial: Vec<u8>,
}

impl Relayed {
    /// On a connection whose channel is bound.
    #[must_use]
    pub fn new(tls: Option<Box<dyn TlsSession>>) -> Self {
        Self { tls, partial: Vec::new() }
    }
}

impl Carrier for Relayed {
    fn wrap(&mut self, datagram: &[u8], wire: &mut Vec<u8>) -> io::Result<()> {
        let len = u16::try_from(datagram.len()).map_err(|_| broken("a datagram is too long"))?;
        let mut message = [CHANNEL, len.to_be_bytes()].concat();
        message.extend_from_slice(datagram);
        message.resize(message.len().next_multiple_of(4), 0);
        match &mut self.tls {
            Some(tls) => tls.seal(&message, wire),
            None => {
                wire.extend_from_slice(&message);
                Ok(())
            }
        }
    }

    fn unwrap(&mut self, wire: &[u8], datagrams: &mut Datagrams, answer: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => {
                if !tls.open(wire, &mut self.partial, answer)? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            None => self.partial.extend_from_slice(wire),
        }
        let mut at = 0;
        loop {
            let len = match first(&self.partial[at..]) {
                turn::Framed::Whole(len) => len,
                turn::Framed::Partial => break,
                turn::Framed::Broken => return Err(broken("no TURN message")),
            };
            let message = &self.partial[at..at + len];
            if let Some(([c0, c1, l0, l1], data)) = message.split_first_chunk::<CHANNEL_HEAD_BYTES>()
                && [*c0, *c1] == CHANNEL
                && let Some(datagram) = data.get(..u16::from_be_bytes([*l0, *l1]).into())
            {
                datagrams.push(datagram);
            }
            at += len;
        }
        self.partial.drain(..at);
        Ok(())
    }
}

/// What has to be done next to get a channel.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this and read an answer.
    Ask(Vec<u8>),
    /// The answer is not whole yet: read on.
    Read,
    /// The channel is bound: [`Relayed`] goes on.
    Bound,
}

/// The way to a channel, without I/O.
#[derive(Debug)]
pub struct Allocating {
    username: String,
    password: String,
    /// The node's media port.
    peer: SocketAddr,
    key: Option<([u8; 16], Vec<u8>, Vec<u8>)>,
    allocated: bool,
    read: Vec<u8>,
}

impl Allocating {
    /// With the credentials of a session, towards the address that its datagrams shall reach.
    #[must_use]
    pub fn new(username: &str, password: &str, peer: SocketAddr) -> Self {
        let (username, password) = (username.to_owned(), password.to_owned());
        Self { username, password, peer, key: None, allocated: false, read: Vec::new() }
    }

    /// The first request.
    ///
    /// # Errors
    /// It does not fit: the credentials are longer than any server's.
    pub fn begin(&self) -> io::Result<Vec<u8>> {
        self.request()
    }

    fn request(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; limits::TURN_MESSAGE_BYTES_MAX];
        let method = if self.allocated { CHANNEL_BIND } else { ALLOCATE };
        let mut writer = StunWriter::new(&mut bytes, StunClass::Request, method, &[9; 12]);
        writer = match self.allocated {
            true => {
                let number = [CHANNEL[0], CHANNEL[1], 0, 0];
                writer.attribute(CHANNEL_NUMBER, &number).xor_address(XOR_PEER_ADDRESS, self.peer)
            }
            false => writer.attribute(REQUESTED_TRANSPORT.0, &REQUESTED_TRANSPORT.1),
        };
        if let Some((key, realm, nonce)) = &self.key {
            writer = writer.username(self.username.as_bytes()).attribute(attribute::REALM, realm);
            writer = writer.attribute(attribute::NONCE, nonce).integrity(key);
        }
        let len = writer.finish().ok_or_else(|| broken("the credentials are too long"))?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Takes bytes that came.
    ///
    /// # Errors
    /// The server refused, or speaks no TURN.
    pub fn take(&mut self, bytes: &[u8]) -> io::Result<Next> {
        self.read.extend_from_slice(bytes);
        let len = match first(&self.read) {
            turn::Framed::Whole(len) => len,
            turn::Framed::Partial => return Ok(Next::Read),
            turn::Framed::Broken => return Err(broken("no TURN server")),
        };
        let message: Vec<u8> = self.read.drain(..len).collect();
        let answer = StunMessage::parse(&message).map_err(|_| broken("no TURN server"))?;
        if answer.class() == StunClass::Error {
            let (realm, nonce) = (answer.attribute(attribute::REALM), answer.attribute(attribute::NONCE));
            // Once: with credentials 401 is a refusal.
            return match (answer.error_code(), realm, nonce, &self.key) {
                (Some(401), Some(realm), Some(nonce), None) => {
                    let Self { username, password, .. } = self;
                    let text = [username.as_bytes(), b":", realm, b":", password.as_bytes()].concat();
                    self.key = Some((digest::md5(&text), realm.to_vec(), nonce.to_vec()));
                    self.request().map(Next::Ask)
                }
                (code, ..) => Err(io::Error::other(format!("the TURN server refused: {}", code.unwrap_or(0)))),
            };
        }
        if std::mem::replace(&mut self.allocated, true) { Ok(Next::Bound) } else { self.request().map(Next::Ask) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(carrier: &mut dyn Carrier, wire: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut datagrams, mut all) = (Datagrams::default(), Vec::new());
        for piece in wire.chunks(piece) {
            carrier.unwrap(piece, &mut datagrams, &mut Vec::new()).unwrap();
            datagrams.drain(|datagram| all.push(datagram.to_vec()));
        }
        all
    }

    #[test]
    fn datagrams_come_out_as_they_went_in_however_the_stream_is_cut() {
        let datagrams: Vec<Vec<u8>> = (1..40_u8).map(|number| vec![number; usize::from(number) * 37]).collect();
        let carriers: [fn() -> Box<dyn Carrier>; 2] = [|| Box::new(Framed::default()), || Box::new(Relayed::new(None))];
        for make in carriers {
            let mut wire = Vec::new();
            let mut carrier = make();
            datagrams.iter().for_each(|datagram| carrier.wrap(datagram, &mut wire).unwrap());
            for piece in [1, 7, 1_000, wire.len()] {
                assert_eq!(unwrapped(make().as_mut(), &wire, piece), datagrams);
            }
        }
    }

    #[test]
    fn an_allocation_asks_twice_binds_a_channel_and_takes_no_second_refusal() {
        let peer = "192.0.2.1:20000".parse().unwrap();
        let answer = |method, class, code: Option<u16>| {
            let mut bytes = vec![0; 200];
            let mut writer = StunWriter::new(&mut bytes, class, method, &[9; 12]);
            if let Some(code) = code {
                writer = writer.error_code(code, "").attribute(attribute::REALM, b"here");
                writer = writer.attribute(attribute::NONCE, b"once");
            }
            let len = writer.finish().unwrap();
            bytes.truncate(len);
            bytes
        };
        let refusal = answer(ALLOCATE, StunClass::Error, Some(401));
        let mut allocating = Allocating::new("name", "word", peer);
        assert!(!StunMessage::parse(&allocating.begin().unwrap()).unwrap().has_integrity());
        assert_eq!(allocating.take(&refusal[..9]).unwrap(), Next::Read);
        let Next::Ask(request) = allocating.take(&refusal[9..]).unwrap() else { panic!("it asks again") };
        assert!(StunMessage::parse(&request).unwrap().verify_integrity(&digest::md5(b"name:here:word")));
        let Next::Ask(request) = allocating.take(&answer(ALLOCATE, StunClass::Success, None)).unwrap() else {
            panic!("it binds a channel")
        };
        let request = StunMessage::parse(&request).unwrap();
        assert_eq!(request.xor_address(request.attribute(XOR_PEER_ADDRESS).unwrap()), Some(peer));
        assert_eq!(allocating.take(&answer(CHANNEL_BIND, StunClass::Success, None)).unwrap(), Next::Bound);
        let mut allocating = Allocating::new("name", "word", peer);
        allocating.take(&refusal).unwrap();
        assert!(allocating.take(&refusal).unwrap_err().to_string().contains("401"));
    }
}

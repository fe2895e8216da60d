//! A TCP connection as the worker sees it: how it comes, and what is told of it. [`super::connections`] carries the datagrams.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::transport::PathAddress;
use crate::turn;

/// A connection that was accepted elsewhere.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: AcceptedStream,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The address it connected to.
    pub local_ip: IpAddr,
    /// What its bytes are.
    pub carries: Carries,
}

/// The stream of an accepted connection.
#[derive(Debug)]
pub enum AcceptedStream {
    /// The kernel's.
    Tcp(TcpStream),
    /// One of a network in memory, by its number there.
    #[cfg(any(test, feature = "peer"))]
    Simulated(u32),
}

impl From<TcpStream> for AcceptedStream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

/// How a connection carries datagrams.
#[derive(Debug)]
pub enum Carries {
    /// Framed by RFC 4571. Nothing of it was read.
    Frames,
    /// In messages of a TURN client that was admitted.
    Turn(Box<TurnConnection>),
}

/// The state that comes with a TURN client's connection.
#[derive(Debug)]
pub struct TurnConnection {
    /// The client.
    pub client: Box<turn::Client>,
    /// TLS, where its messages are in it.
    pub tls: Option<Box<dyn TlsSession>>,
    /// What was read of it and not served, decrypted: its Allocate first.
    pub early: Vec<u8>,
}

impl Accepted {
    /// The session that the connection is of, where it is known before its first datagram.
    #[must_use]
    pub fn session(&self) -> Option<u64> {
        match &self.carries {
            Carries::Frames => None,
            Carries::Turn(turn) => Some(turn.client.session()),
        }
    }
}

/// TLS after its handshake, without I/O. Whoever accepts connections knows the library.
pub trait TlsSession: fmt::Debug + Send {
    /// Takes bytes that came. Appends what was in them to `plain`, and what TLS itself answers to `answer`. `false` where the
    /// peer has closed.
    ///
    /// # Errors
    /// What came is no TLS of this session.
    fn open(&mut self, wire: &[u8], plain: &mut Vec<u8>, answer: &mut Vec<u8>) -> io::Result<bool>;

    /// Appends `plain` to `wire`, encrypted.
    ///
    /// # Errors
    /// The session has ended.
    fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> io::Result<()>;
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// It takes media again.
    Drained(PathAddress),
    /// It is closed: by the peer, by an error, or because what came was no frame.
    Closed(PathAddress),
}

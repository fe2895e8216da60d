//! What carries a session's datagrams: a UDP socket, frames on a TCP connection (RFC 4571), or a channel of a TURN server
//! (RFC 8656) on a connection, in TLS or not. Blocking, because one session is tried at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::node::TurnServer;
use crate::crypto::digest;
use crate::limits;
use crate::turn::{Framed, first};
use crate::wire::stun::{StunClass, StunMessage, StunWriter, attribute};

/// A way that has not answered by then does not lead to the node: viewers would have given up.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(6);

const ALLOCATE: u16 = 0x003;
const CHANNEL_BIND: u16 = 0x009;
const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
const REQUESTED_TRANSPORT: u16 = 0x0019;
/// UDP, and three bytes that mean nothing.
const OVER_UDP: [u8; 4] = [17, 0, 0, 0];
const IPV6: [u8; 4] = [2, 0, 0, 0];
const CHANNEL: u16 = 0x4000;
/// Before the data of a channel, or a frame's length and nothing.
const CHANNEL_HEAD_BYTES: usize = 4;
const LENGTH_BYTES: usize = 2;
/// The shortest wait that a socket takes for one.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Carries datagrams to the node and back.
pub(super) enum Carrier {
    Udp(UdpSocket),
    Frames(Connection),
    Channel(Connection),
}

/// A connection with what was read of it.
pub(super) struct Connection {
    stream: Stream,
    read: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Carrier {
    pub(super) fn udp(to: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        Ok(Self::Udp(socket))
    }

    pub(super) fn frames(to: SocketAddr, within: Duration) -> io::Result<Self> {
        Ok(Self::Frames(Connection::new(Stream::Plain(connect(to, within)?))))
    }

    /// Allocates at the server, and binds a channel to `peer`.
    pub(super) fn channel(
        server: &TurnServer,
        tls: Option<&Arc<ClientConfig>>,
        peer: SocketAddr,
        within: Duration,
    ) -> Result<Self, String> {
        let stream = server.addresses()?.into_iter().map(|address| connect(address, within)).reduce(Result::or);
        let stream = stream.unwrap_or_else(|| Err(io::ErrorKind::AddrNotAvailable.into()));
        let stream = stream.map_err(|error| format!("no connection to {server}: {error}"))?;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from(server.host.clone()).map_err(|error| format!("{server}: {error}"))?;
                let session =
                    ClientConnection::new(config.clone(), name).map_err(|error| format!("{server}: {error}"))?;
                Stream::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        };
        let mut connection = Connection::new(stream);
        connection.allocate(server, peer).map_err(|error| format!("{server}: {error}"))?;
        Ok(Self::Channel(connection))
    }

    pub(super) fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let len = u16::try_from(datagram.len()).map_err(|_| io::ErrorKind::InvalidInput)?.to_be_bytes();
        match self {
            // A port that is closed is told with the next call: it may be opened yet.
            Self::Udp(socket) => {
                let _ = socket.send(datagram);
                Ok(())
            }
            Self::Frames(connection) => connection.stream.write(&[&len, datagram].concat()),
            Self::Channel(connection) => {
                let mut message = [&CHANNEL.to_be_bytes()[..], &len, datagram].concat();
                message.resize(message.len().next_multiple_of(4), 0);
                connection.stream.write(&message)
            }
        }
    }

    /// Waits for a datagram. `None` when there was none in time.
    pub(super) fn receive(&mut self, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; limits::DATAGRAM_IN_BYTES_MAX];
                socket.set_read_timeout(Some(wait.max(WAIT_MIN)))?;
                match socket.recv(&mut buffer) {
                    Ok(len) => {
                        buffer.truncate(len);
                        Ok(Some(buffer))
                    }
                    Err(error) if is_late(&error) || error.kind() == io::ErrorKind::ConnectionRefused => {
                        // Told at once, each time: without a wait this would be a busy loop.
                        std::thread::sleep(wait.min(10 * WAIT_MIN));
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            }
            Self::Frames(connection) => {
                let whole = |read: &[u8]| {
                    let (len, rest) = read.split_first_chunk::<LENGTH_BYTES>()?;
                    rest.get(..u16::from_be_bytes(*len).into()).map(<[u8]>::len)
                };
                connection
                    .fill(wait, |read| Ok(whole(read).map(|len| LENGTH_BYTES + len)))
                    .map(|frame| frame.map(|mut frame| frame.split_off(LENGTH_BYTES)))
            }
            Self::Channel(connection) => {
                let Some(message) = connection.message(wait)? else { return Ok(None) };
                // What is no channel data (an indication, a late answer) carries nothing of this session.
                let Some(([c0, c1, l0, l1], data)) = message.split_first_chunk::<CHANNEL_HEAD_BYTES>() else {
                    return Ok(None);
                };
                let is_ours = [*c0, *c1] == CHANNEL.to_be_bytes();
                Ok(data.get(..u16::from_be_bytes([*l0, *l1]).into()).filter(|_| is_ours).map(<[u8]>::to_vec))
            }
        }
    }
}

impl Connection {
    const fn new(stream: Stream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Reads until the first bytes are something whole, and takes that. `None` when it was not so in time.
    fn fill(
        &mut self,
        wait: Duration,
        whole: impl Fn(&[u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(len) = whole(&self.read)? {
                return Ok(Some(self.read.drain(..len).collect()));
            }
            let mut buffer = [0; 4_096];
            match self.stream.read(&mut buffer, wait) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed")),
                Ok(len) => self.read.extend_from_slice(buffer.get(..len).unwrap_or_default()),
                Err(error) if is_late(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn message(&mut self, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        self.fill(wait, |read| match first(read) {
            Framed::Whole(len) => Ok(Some(len)),
            Framed::Partial => Ok(None),
            Framed::Broken => Err(io::Error::new(io::ErrorKind::InvalidData, "what answers is no TURN server")),
        })
    }

    /// RFC 8656 §7.1, §12.1: asks without credentials for realm and nonce, then with them, then for a channel.
    fn allocate(&mut self, server: &TurnServer, peer: SocketAddr) -> io::Result<()> {
        let family = if peer.is_ipv6() { Some((REQUESTED_ADDRESS_FAMILY, &IPV6[..])) } else { None };
        let transport = (REQUESTED_TRANSPORT, &OVER_UDP[..]);
        let asked: Vec<(u16, &[u8])> = [Some(transport), family].into_iter().flatten().collect();
        let challenge = self.ask(ALLOCATE, &asked, None, None)?;
        let message = StunMessage::parse(&challenge).map_err(|_| io::ErrorKind::InvalidData)?;
        let (Some(realm), Some(nonce)) = (message.attribute(attribute::REALM), message.attribute(attribute::NONCE))
        else {
            return Err(refused(&message));
        };
        let key = [server.username.as_bytes(), b":", realm, b":", server.credential.as_bytes()].concat();
        let login = Login { username: server.username.as_bytes(), realm, nonce, key: digest::md5(&key) };
        let number = [CHANNEL.to_be_bytes(), [0, 0]].concat();
        for (method, attributes, peer) in
            [(ALLOCATE, &asked[..], None), (CHANNEL_BIND, &[(CHANNEL_NUMBER, &number[..])][..], Some(peer))]
        {
            let answer = self.ask(method, attributes, peer, Some(&login))?;
            let message = StunMessage::parse(&answer).map_err(|_| io::ErrorKind::InvalidData)?;
            if message.class() != StunClass::Success {
                return Err(refused(&message));
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        method: u16,
        attributes: &[(u16, &[u8])],
        peer: Option<SocketAddr>,
        login: Option<&Login<'_>>,
    ) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; limits::TURN_MESSAGE_BYTES_MAX];
        let mut writer = StunWriter::new(&mut bytes, StunClass::Request, method, &[9; 12]);
        for (kind, value) in attributes {
            writer = writer.attribute(*kind, value);
        }
        if let Some(peer) = peer {
            writer = writer.xor_address(XOR_PEER_ADDRESS, peer);
        }
        if let Some(Login { username, realm, nonce, key }) = login {
            writer = writer.username(username).attribute(attribute::REALM, realm);
            writer = writer.attribute(attribute::NONCE, nonce).integrity(key);
        }
        let len = writer.finish().ok_or(io::ErrorKind::InvalidInput)?;
        self.stream.write(bytes.get(..len).unwrap_or_default())?;
        self.message(ANSWER_WITHIN)?.ok_or_else(|| io::ErrorKind::TimedOut.into())
    }
}

struct Login<'a> {
    username: &'a [u8],
    realm: &'a [u8],
    nonce: &'a [u8],
    key: [u8; 16],
}

fn refused(message: &StunMessage<'_>) -> io::Error {
    io::Error::other(format!("the TURN server refuses with {}", message.error_code().unwrap_or(0)))
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<usize> {
        self.socket().set_read_timeout(Some(wait.max(WAIT_MIN)))?;
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // The TLS handshake is made by the first write, and it reads.
        self.socket().set_read_timeout(Some(ANSWER_WITHIN))?;
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

fn connect(to: SocketAddr, within: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, within)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(within))?;
    Ok(stream)
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

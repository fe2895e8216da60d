//! Paths to peers: what a path is made of ([`PathAddress`]), its number ([`PathId`]), and the book that turns the number
//! back into the address ([`PathBook`]).
//!
//! Protocols and trains carry numbers; the sender's book holds the addresses. So ICE compares two paths by one integer,
//! a train's header is 24 bytes whatever carries it, and nothing above the sender knows how a path is reached.
//! [`super::path_table`] knows who owns a path.
//!
//! Not here: sockets and connections, and what has been proven about a path (today by ICE alone).

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::limits;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// A path's number in the [`PathBook`] it was entered into.
///
/// It combines a place in the book with a generation, which counts how often the place was used before. So a number
/// that is kept too long names nothing, instead of another peer's path (until its place has been used 2,048 times
/// more). One bit says whether it is a connection. The default is the number of a new book's first path; a client with one path over a connected socket needs no
/// book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(u32);

const SLOT_BITS: u32 = 20;
const CONNECTION_BIT: u32 = 1 << (u32::BITS - 1);
const GENERATION_MASK: u16 = (1 << (u32::BITS - 1 - SLOT_BITS)) - 1;

const _: () = assert!(limits::PATHS_PER_WORKER_MAX <= 1 << SLOT_BITS);

impl PathId {
    fn new(slot: usize, generation: u16, address: &PathAddress) -> Self {
        let connection = if address.udp().is_some() { 0 } else { CONNECTION_BIT };
        Self(connection | u32::from(generation & GENERATION_MASK) << SLOT_BITS | slot as u32)
    }

    /// Whether it is a connection, which takes only so much at a time.
    #[inline]
    #[must_use]
    pub const fn is_connection(self) -> bool {
        self.0 & CONNECTION_BIT != 0
    }

    /// The number that the `number`-th path entered into a new book gets, counted from 0. For tests that need different
    /// numbers and no addresses.
    #[cfg(any(test, feature = "peer"))]
    #[must_use]
    pub const fn numbered(number: u16) -> Self {
        Self(number as u32)
    }

    /// As [`Self::numbered`], of a connection.
    #[cfg(any(test, feature = "peer"))]
    #[must_use]
    pub const fn numbered_connection(number: u16) -> Self {
        Self(CONNECTION_BIT | number as u32)
    }

    /// The number as bytes, to make something of it that differs from path to path.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }

    fn generation(self) -> u16 {
        (self.0 >> SLOT_BITS) as u16 & GENERATION_MASK
    }
}

/// What a sender must know of a path. The local port is the worker's, and is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathAddress {
    /// Datagrams through one of the worker's UDP sockets.
    Udp(UdpPath),
    /// Datagrams framed by RFC 4571 on a connection that the peer opened (RFC 6544, passive).
    Tcp(TcpPath),
    /// Datagrams inside a TURN connection to this node.
    Relayed(RelayedPath),
}

/// Both ends of a UDP five-tuple as this node sees them, and the socket they go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpPath {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The local address the peer's datagrams arrive at; replies leave from it.
    pub local_ip: IpAddr,
    /// Index of the worker's socket, in the order the sockets were opened.
    pub socket: u8,
}

/// A connection of the worker's, as its number among the connections of that worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// A TCP connection that carries frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpPath {
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The address the peer connected to.
    pub local_ip: IpAddr,
    /// Which connection: the same pair of addresses may later belong to another one.
    pub connection: ConnectionId,
}

/// An allocation of this node's own TURN server. The relayed address is only a label; no socket is bound to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayedPath {
    /// The relayed transport address (RFC 8656 §2), from which the peer seems to send.
    pub relayed: SocketAddr,
    /// The node's address that the client sends to: the peer of its permission or channel.
    pub local_ip: IpAddr,
    /// The client's connection, which carries the data.
    pub connection: ConnectionId,
    /// Whether that is in TLS.
    pub is_tls: bool,
}

impl UdpPath {
    /// A path through the first socket; the route chooses the local address.
    #[must_use]
    pub const fn to(remote: SocketAddr) -> Self {
        Self { remote, local_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), socket: 0 }
    }
}

impl PathAddress {
    /// The address from which the peer seems to send. A connectivity check is answered with it as XOR-MAPPED-ADDRESS.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        match self {
            Self::Udp(path) => path.remote,
            Self::Tcp(path) => path.remote,
            Self::Relayed(path) => path.relayed,
        }
    }

    /// How it is reached, for reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Udp(_) => "udp",
            Self::Tcp(_) => "tcp",
            Self::Relayed(RelayedPath { is_tls: true, .. }) => "turn-tls",
            Self::Relayed(RelayedPath { is_tls: false, .. }) => "turn-tcp",
        }
    }

    /// The UDP path; `None` for the other kinds.
    #[must_use]
    pub const fn udp(&self) -> Option<&UdpPath> {
        match self {
            Self::Udp(path) => Some(path),
            Self::Tcp(_) | Self::Relayed(_) => None,
        }
    }
}

impl From<UdpPath> for PathAddress {
    fn from(path: UdpPath) -> Self {
        Self::Udp(path)
    }
}

impl From<TcpPath> for PathAddress {
    fn from(path: TcpPath) -> Self {
        Self::Tcp(path)
    }
}

impl From<RelayedPath> for PathAddress {
    fn from(path: RelayedPath) -> Self {
        Self::Relayed(path)
    }
}

/// What [`PathAddress::export`] writes.
const STATE_VERSION: u8 = 1;

impl PathAddress {
    /// Writes the kind, both addresses, and the socket's index or the connection's number. A path's number means
    /// nothing to another process, so the address is handed over instead.
    pub fn export(&self, out: &mut StateWriter) {
        out.version(STATE_VERSION);
        let (kind, local_ip, carrier) = match self {
            Self::Udp(path) => (0, path.local_ip, u32::from(path.socket)),
            Self::Tcp(path) => (1, path.local_ip, path.connection.0),
            Self::Relayed(path) => (2 + u8::from(path.is_tls), path.local_ip, path.connection.0),
        };
        out.u8(kind);
        export_ip(self.remote().ip(), out);
        out.u16(self.remote().port());
        export_ip(local_ip, out);
        out.u32(carrier);
    }

    /// Reads what [`Self::export`] wrote.
    ///
    /// # Errors
    /// When it is not that.
    pub fn import(from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        from.version("a path", STATE_VERSION)?;
        let kind = from.u8()?;
        let remote = SocketAddr::new(import_ip(from)?, from.u16()?);
        let (local_ip, carrier) = (import_ip(from)?, from.u32()?);
        let connection = ConnectionId(carrier);
        match kind {
            0 => {
                let socket = u8::try_from(carrier).map_err(|_| ImportError::Malformed)?;
                Ok(UdpPath { remote, local_ip, socket }.into())
            }
            1 => Ok(TcpPath { remote, local_ip, connection }.into()),
            2 | 3 => Ok(RelayedPath { relayed: remote, local_ip, connection, is_tls: kind == 3 }.into()),
            _ => Err(ImportError::Malformed),
        }
    }
}

fn export_ip(ip: IpAddr, out: &mut StateWriter) {
    match ip {
        IpAddr::V4(ip) => out.block(&ip.octets()),
        IpAddr::V6(ip) => out.block(&ip.octets()),
    }
}

fn import_ip(from: &mut StateReader<'_>) -> Result<IpAddr, ImportError> {
    let octets = from.block(16)?;
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).map_err(|_| ImportError::Malformed)
}

/// Written by hand, because it runs for every datagram that arrives: it hashes few and wide words. A UDP path over IPv4
/// is two words.
impl Hash for PathAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Udp(path) => hash_pair(&path.remote, path.local_ip, u32::from(path.socket), state),
            Self::Tcp(path) => hash_pair(&path.remote, path.local_ip, 1 << 8 | path.connection.0 << 10, state),
            Self::Relayed(path) => hash_pair(&path.relayed, path.local_ip, 2 << 8 | path.connection.0 << 10, state),
        }
    }
}

fn hash_pair<H: Hasher>(remote: &SocketAddr, local_ip: IpAddr, carrier: u32, state: &mut H) {
    let port = u64::from(remote.port());
    match remote {
        SocketAddr::V4(remote) => state.write_u64(u64::from(remote.ip().to_bits()) << 16 | port),
        SocketAddr::V6(remote) => {
            state.write_u128(remote.ip().to_bits());
            state.write_u64(u64::from(remote.scope_id()) << 32 | u64::from(remote.flowinfo()));
            state.write_u64(port);
        }
    }
    match local_ip {
        IpAddr::V4(local) => state.write_u64(u64::from(local.to_bits()) << 32 | u64::from(carrier)),
        IpAddr::V6(local) => {
            state.write_u128(local.to_bits());
            state.write_u32(carrier);
        }
    }
}

/// On which path a datagram came, for a protocol that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The path's number.
    pub path: PathId,
    /// [`PathAddress::remote`] of it.
    pub remote: SocketAddr,
}

/// Paths' numbers and their addresses, which a backend needs to send. The lookup is by index, once per train.
#[derive(Debug, Default)]
pub struct PathBook {
    slots: Vec<Slot>,
    /// Free places; the one freed longest ago is used first.
    free: VecDeque<u32>,
}

/// One cache line: a batch reads as many of them as it has trains.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Slot {
    address: Option<PathAddress>,
    generation: u16,
}

const _: () = assert!(size_of::<Slot>() == 64);

impl PathBook {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a path; `None` when [`limits::PATHS_PER_WORKER_MAX`] are entered. The same address entered twice is two
    /// paths.
    pub fn enter(&mut self, address: impl Into<PathAddress>) -> Option<PathId> {
        let address = address.into();
        if let Some(free) = self.free.pop_front()
            && let Some(slot) = self.slots.get_mut(free as usize)
        {
            slot.address = Some(address);
            return Some(PathId::new(free as usize, slot.generation, &address));
        }
        let place = self.slots.len();
        if place >= limits::PATHS_PER_WORKER_MAX {
            return None;
        }
        self.slots.push(Slot { address: Some(address), generation: 0 });
        Some(PathId::new(place, 0, &address))
    }

    /// Removes a path: its number names nothing any more.
    pub fn strike(&mut self, path: PathId) {
        if self.address(path).is_some()
            && let Some(slot) = self.slots.get_mut(path.slot())
        {
            slot.address = None;
            slot.generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
            self.free.push_back(path.slot() as u32);
        }
    }

    /// The address of a path that is entered.
    #[inline]
    #[must_use]
    pub fn address(&self, path: PathId) -> Option<&PathAddress> {
        self.slots.get(path.slot()).filter(|slot| slot.generation == path.generation())?.address.as_ref()
    }

    /// The address of a path, where it goes over UDP.
    #[inline]
    #[must_use]
    pub fn udp(&self, path: PathId) -> Option<&UdpPath> {
        self.address(path)?.udp()
    }

    /// Paths entered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    fn remote(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_number_names_its_address_until_it_is_removed() {
        let mut book = PathBook::new();
        let first = book.enter(UdpPath::to(remote(1))).unwrap();
        assert_eq!(first, PathId::default());
        let second = book.enter(UdpPath::to(remote(2))).unwrap();
        assert_eq!(book.udp(second).unwrap().remote, remote(2));
        book.strike(first);
        assert_eq!((book.address(first), book.len()), (None, 1));
        let third = book.enter(UdpPath::to(remote(3))).unwrap();
        assert_eq!(third.slot(), first.slot());
        assert_eq!((book.address(first), book.udp(third).unwrap().remote), (None, remote(3)));
        // Removing it twice frees its place once.
        book.strike(first);
        assert_eq!(book.len(), 2);
    }

    #[test]
    fn places_are_reused_in_the_order_they_were_freed() {
        let mut book = PathBook::new();
        let paths: Vec<_> = (0..3).map(|port| book.enter(UdpPath::to(remote(port))).unwrap()).collect();
        for place in [1, 0, 2] {
            book.strike(paths[place]);
        }
        let places: Vec<_> = (0..3).map(|port| book.enter(UdpPath::to(remote(port))).unwrap().slot()).collect();
        assert_eq!(places, [1, 0, 2]);
    }

    #[test]
    fn generations_of_a_place_wrap_around() {
        let mut book = PathBook::new();
        let mut seen = HashSet::new();
        for _ in 0..=GENERATION_MASK {
            let path = book.enter(UdpPath::to(remote(1))).unwrap();
            assert!(seen.insert(path));
            book.strike(path);
        }
        assert_eq!(book.enter(UdpPath::to(remote(1))), Some(PathId::default()));
    }

    #[test]
    fn a_full_book_takes_no_path_until_one_is_removed() {
        let mut book = PathBook::new();
        let first = book.enter(UdpPath::to(remote(1))).unwrap();
        while book.enter(UdpPath::to(remote(1))).is_some() {}
        assert_eq!(book.len(), limits::PATHS_PER_WORKER_MAX);
        book.strike(first);
        assert!(book.enter(UdpPath::to(remote(1))).is_some());
    }

    #[test]
    fn every_part_of_an_address_distinguishes_paths_and_changes_the_hash() {
        let state = std::hash::RandomState::new();
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.9".parse().unwrap(), "2001:db8::9".parse().unwrap());
        let mut addresses: Vec<PathAddress> = Vec::new();
        for remote in
            ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8::1]:2", "[fe80::1%2]:1"]
        {
            let remote: SocketAddr = remote.parse().unwrap();
            for local_ip in [v4, v6] {
                for number in [0, 1] {
                    let connection = ConnectionId(number);
                    addresses.push(UdpPath { remote, local_ip, socket: number as u8 }.into());
                    addresses.push(TcpPath { remote, local_ip, connection }.into());
                    addresses.push(RelayedPath { relayed: remote, local_ip, connection, is_tls: false }.into());
                }
            }
        }
        let hashes: HashSet<u64> = addresses.iter().map(|address| state.hash_one(address)).collect();
        assert_eq!(hashes.len(), addresses.len());
        assert!(addresses.iter().enumerate().all(|(at, address)| !addresses[at + 1..].contains(address)));
        assert_eq!(state.hash_one(addresses[0]), state.hash_one(addresses[0]));
    }

    #[test]
    fn the_address_a_peer_is_told_is_the_one_it_seems_to_send_from() {
        let (local_ip, connection) = (remote(0).ip(), ConnectionId(7));
        let tcp = PathAddress::from(TcpPath { remote: remote(1), local_ip, connection });
        let relayed = PathAddress::from(RelayedPath { relayed: remote(2), local_ip, connection, is_tls: true });
        assert_eq!((tcp.remote(), relayed.remote()), (remote(1), remote(2)));
        assert_eq!((tcp.udp(), relayed.udp()), (None, None));
    }

    #[test]
    fn an_exported_address_is_imported_unchanged() {
        let connection = ConnectionId(70_000);
        for (remote, local_ip) in [("192.0.2.1:5", "192.0.2.9"), ("[2001:db8::1]:6", "2001:db8::9")] {
            let (remote, local_ip) = (remote.parse().unwrap(), local_ip.parse().unwrap());
            let addresses: [PathAddress; 4] = [
                UdpPath { remote, local_ip, socket: 1 }.into(),
                TcpPath { remote, local_ip, connection }.into(),
                RelayedPath { relayed: remote, local_ip, connection, is_tls: false }.into(),
                RelayedPath { relayed: remote, local_ip, connection, is_tls: true }.into(),
            ];
            for address in addresses {
                let mut out = StateWriter::new();
                address.export(&mut out);
                let bytes = out.finish();
                let mut from = StateReader::new(bytes.as_slice());
                assert_eq!(PathAddress::import(&mut from), Ok(address));
                from.finish().unwrap();
                // An address that is cut short, of an unknown kind, or with a socket index above a byte is refused.
                for len in 0..bytes.as_slice().len() {
                    assert!(PathAddress::import(&mut StateReader::new(&bytes.as_slice()[..len])).is_err());
                }
                let mut other = bytes.as_slice().to_vec();
                other[1] = 4;
                assert_eq!(PathAddress::import(&mut StateReader::new(&other)), Err(ImportError::Malformed));
                other[1] = 0;
                *other.last_mut().unwrap() = 1;
                assert_eq!(PathAddress::import(&mut StateReader::new(&other)), Err(ImportError::Malformed));
            }
        }
    }
}

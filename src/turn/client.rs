//! A connection whose Allocate was authentic: one allocation, the peers it may reach, and the data of both directions.

use std::net::{IpAddr, SocketAddr};

use super::answer::{self, Refusal};
use super::attribute::{DATA, DATA_INDICATION, XOR_PEER_ADDRESS};
use super::credentials::Nonces;
use crate::limits;
use crate::rate::Allowance;
use crate::time::Timestamp;
use crate::wire::stun::{StunClass, StunMessage, StunWriter};

/// Bytes of a Data indication beside its data, with an IPv6 address and padding.
const INDICATION_BYTES_MAX: usize = 56;

/// A client.
#[derive(Debug)]
pub struct Client {
    pub(super) session: u64,
    pub(super) username: Box<str>,
    pub(super) key: [u8; 16],
    pub(super) nonces: Nonces,
    pub(super) mapped: SocketAddr,
    /// The port of the label that it is told as its relayed address.
    pub(super) label_port: u16,
    /// This node's own media addresses: all that can be reached.
    pub(super) peers: Vec<Peer>,
    pub(super) allocation: Option<Allocation>,
    /// The label of the allocation, or of the one before: paths are named by it.
    pub(super) relayed: Option<SocketAddr>,
    pub(super) requests: Allowance,
    pub(super) may_allocate: bool,
    /// Numbers the indications' transactions, which nobody answers.
    indications: u64,
    pub(super) last_data: Timestamp,
}

/// An address of this node.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) permitted_until: Timestamp,
    pub(super) channel: Option<(u16, Timestamp)>,
    /// A datagram went there.
    pub(super) used: bool,
}

/// An allocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allocation {
    pub(super) relayed: SocketAddr,
    pub(super) expires: Timestamp,
}

/// What a message led to. What was appended is to be sent in each case.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// Nothing more.
    Nothing,
    /// A datagram for this node's media port.
    Datagram {
        /// Which of the node's addresses it was sent to.
        local_ip: IpAddr,
        /// The datagram.
        bytes: &'a mut [u8],
    },
    /// The connection is to be closed.
    Closed,
}

impl Client {
    pub(super) fn new(
        session: u64,
        username: Box<str>,
        key: [u8; 16],
        nonces: Nonces,
        mapped: SocketAddr,
        now: Timestamp,
    ) -> Self {
        Self {
            session,
            username,
            key,
            nonces,
            mapped,
            label_port: 0,
            peers: Vec::new(),
            allocation: None,
            relayed: None,
            requests: Allowance::new(now),
            may_allocate: true,
            indications: 0,
            last_data: now,
        }
    }

    /// Lets it reach these addresses of the node, and no others.
    pub fn reach(&mut self, peers: impl IntoIterator<Item = SocketAddr>) {
        let peer = |address: SocketAddr| Peer {
            address: canonical(address),
            permitted_until: Timestamp::ZERO,
            channel: None,
            used: false,
        };
        self.peers = peers.into_iter().map(peer).collect();
    }

    /// Gives it the port of its relayed address: an even one, which nobody else on this worker has.
    pub const fn label(&mut self, port: u16) {
        self.label_port = port;
    }

    /// Its session has as many allocations as it may: it is told so.
    pub const fn deny(&mut self) {
        self.may_allocate = false;
    }

    /// The session that it is of.
    #[must_use]
    pub const fn session(&self) -> u64 {
        self.session
    }

    /// The address that it seems to send from, and seems to be reached at; also when it has given it back.
    #[must_use]
    pub const fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// The node's addresses that a datagram went to.
    pub fn used_ips(&self) -> impl Iterator<Item = IpAddr> {
        self.peers.iter().filter(|peer| peer.used).map(|peer| peer.address.ip())
    }

    /// Until when it may stay without a further datagram: nothing is held for who does not use it.
    #[must_use]
    pub fn kept_until(&self) -> Timestamp {
        let unused = self.last_data + limits::TURN_UNUSED_MAX;
        self.allocation.map_or(unused, |allocation| allocation.expires.min(unused))
    }

    pub(super) fn is_allocated(&self, now: Timestamp) -> bool {
        self.allocation.is_some_and(|allocation| now < allocation.expires)
    }

    /// Appends a datagram that the node sends from one of its addresses: on a channel, else as an indication. `false` where
    /// the client has permitted neither.
    pub fn wrap(&mut self, local_ip: IpAddr, datagram: &[u8], now: Timestamp, out: &mut Vec<u8>) -> bool {
        let local_ip = local_ip.to_canonical();
        let Some(peer) = self.peers.iter().find(|peer| peer.address.ip() == local_ip) else { return false };
        if !self.is_allocated(now) {
            return false;
        }
        if let Some((number, _)) = peer.channel.filter(|(_, until)| now < *until) {
            let len = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&number.to_be_bytes());
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(datagram);
            // RFC 8656 §12.5: over a stream, to a multiple of four.
            out.resize(out.len().saturating_add(datagram.len().wrapping_neg() & 3), 0);
            return true;
        }
        if now >= peer.permitted_until {
            return false;
        }
        let address = peer.address;
        self.indications = self.indications.wrapping_add(1);
        let mut transaction_id = [0; 12];
        if let Some(low) = transaction_id.last_chunk_mut() {
            *low = self.indications.to_be_bytes();
        }
        let start = out.len();
        out.resize(start.saturating_add(datagram.len()).saturating_add(INDICATION_BYTES_MAX), 0);
        let slot = out.get_mut(start..).unwrap_or_default();
        let written = StunWriter::new(slot, StunClass::Indication, DATA_INDICATION, &transaction_id)
            .xor_address(XOR_PEER_ADDRESS, address)
            .attribute(DATA, datagram)
            .finish();
        out.truncate(start.saturating_add(written.unwrap_or(0)));
        written.is_some()
    }

    pub(super) fn refuse(&self, request: &StunMessage<'_>, why: Refusal, now: Timestamp, out: &mut Vec<u8>) {
        let is_authentic = !matches!(why, Refusal::Unauthenticated | Refusal::StaleNonce);
        answer::refuse(out, request, why, is_authentic.then_some(self.key.as_slice()), &self.nonces.now(now));
    }
}

/// IPv4 within IPv6 is IPv4: `::ffff:127.0.0.1` is no other peer than `127.0.0.1`.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

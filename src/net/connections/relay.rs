//! A TURN client's connection: its messages to datagrams and back.

use std::net::IpAddr;

use super::super::IoCounters;
use super::super::connection::TlsSession;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::path::{ConnectionId, RelayedPath};
use crate::transport::{Datagram, PathAddress};
use crate::turn::{self, Framed, Received};

/// The shortest datagram that can be anything: an RTCP packet. Shorter ones would only cost turns.
pub(super) const FRAME_BYTES_MIN: usize = 8;

/// Bytes that a datagram takes beside its own: an indication with an IPv6 address and padding, and its part of TLS records.
pub(super) const HEAD_BYTES_MAX: usize = 80;

/// What came of bytes that were served.
#[derive(Debug)]
pub(super) struct Served {
    /// Datagrams handed over.
    pub(super) handed: usize,
    /// What the client is to be sent, as bytes for the wire.
    pub(super) answer: Vec<u8>,
    /// Whether it may stay.
    pub(super) is_open: bool,
}

/// A client and its TLS.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) client: Box<turn::Client>,
    pub(super) tls: Option<Box<dyn TlsSession>>,
}

impl Relay {
    /// The paths that it is: one for each of the node's addresses that it sent to.
    pub(super) fn paths(&self, connection: ConnectionId) -> impl Iterator<Item = PathAddress> {
        let relayed = self.client.relayed().into_iter();
        let is_tls = self.tls.is_some();
        relayed.flat_map(move |relayed| {
            self.client.used_ips().map(move |local_ip| RelayedPath { relayed, local_ip, connection, is_tls }.into())
        })
    }

    /// Makes datagrams from one of the node's addresses into bytes for the wire. `false` where the client permits none.
    pub(super) fn wrap<'d>(
        &mut self,
        local_ip: IpAddr,
        mut datagrams: impl Iterator<Item = &'d [u8]>,
        now: Timestamp,
        wire: &mut Vec<u8>,
    ) -> bool {
        let Some(tls) = &mut self.tls else {
            return datagrams.all(|datagram| self.client.wrap(local_ip, datagram, now, wire));
        };
        let mut plain = Vec::new();
        let all = datagrams.all(|datagram| self.client.wrap(local_ip, datagram, now, &mut plain));
        all && tls.seal(&plain, wire).is_ok()
    }

    /// Serves the whole messages in what came, and keeps the beginning of another one in `partial`.
    pub(super) fn serve<F: FnMut(Datagram<'_>)>(
        &mut self,
        connection: ConnectionId,
        wire: &[u8],
        partial: &mut Vec<u8>,
        now: Timestamp,
        counters: &mut IoCounters,
        visit: &mut F,
    ) -> Served {
        let mut plain = std::mem::take(partial);
        let (mut answer, mut told) = (Vec::new(), Vec::new());
        let mut is_open = match &mut self.tls {
            Some(tls) => tls.open(wire, &mut plain, &mut answer).unwrap_or(false),
            None => {
                plain.extend_from_slice(wire);
                true
            }
        };
        let (mut at, mut handed) = (0, 0);
        loop {
            let len = match turn::first(&plain[at..]) {
                Framed::Whole(len) => len,
                Framed::Partial => break,
                Framed::Broken => {
                    is_open = false;
                    break;
                }
            };
            match self.client.receive(&mut plain[at..at + len], now, &mut told) {
                Received::Nothing => {}
                Received::Datagram { local_ip, bytes } => {
                    if let Some(relayed) = self.client.relayed()
                        && (FRAME_BYTES_MIN..=limits::FRAME_IN_BYTES_MAX).contains(&bytes.len())
                    {
                        let from = RelayedPath { relayed, local_ip, connection, is_tls: self.tls.is_some() };
                        counters.datagrams_received += 1;
                        counters.bytes_received += bytes.len() as u64;
                        visit(Datagram { bytes, from: from.into(), received: now });
                        handed += 1;
                    }
                }
                Received::Closed => {
                    is_open = false;
                    break;
                }
            }
            at += len;
        }
        plain.drain(..at);
        if !plain.is_empty() {
            *partial = plain;
        }
        if !told.is_empty() {
            match &mut self.tls {
                Some(tls) => is_open &= tls.seal(&told, &mut answer).is_ok(),
                None => answer = told,
            }
        }
        Served { handed, answer, is_open }
    }
}

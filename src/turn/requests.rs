//! What an admitted client asks for: Allocate, Refresh, CreatePermission, ChannelBind (RFC 8656 §7–§12).

use std::net::SocketAddr;
use std::time::Duration;

use super::answer::{self, Refusal};
use super::attribute::{
    ALLOCATE, CHANNEL_BIND, CHANNEL_NUMBER, CREATE_PERMISSION, EVEN_PORT, LIFETIME, REFRESH, REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT, UDP, XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS,
};
use super::client::{Allocation, Client, Received, canonical};
use super::frame::CHANNELS;
use super::greeting::authenticate;
use crate::limits;
use crate::time::Timestamp;
use crate::wire::stun::{BINDING, StunClass, StunMessage, StunWriter};

impl Client {
    /// Answers a request.
    pub(super) fn answer(&mut self, request: &StunMessage<'_>, now: Timestamp, out: &mut Vec<u8>) -> Received<'static> {
        if request.method() == BINDING {
            answer::bind(out, request, self.mapped);
            return Received::Nothing;
        }
        let done = self.authenticated(request, now).and_then(|()| match request.method() {
            ALLOCATE => self.allocate(request, now, out),
            REFRESH => self.refresh(request, now, out),
            CREATE_PERMISSION => self.create_permission(request, now, out),
            CHANNEL_BIND => self.bind_channel(request, now, out),
            _ => Err(Refusal::BadRequest),
        });
        match done {
            Ok(()) => Received::Nothing,
            Err(why) => {
                self.refuse(request, why, now, out);
                if why == Refusal::QuotaReached { Received::Closed } else { Received::Nothing }
            }
        }
    }

    fn authenticated(&self, request: &StunMessage<'_>, now: Timestamp) -> Result<(), Refusal> {
        let nonce = self.nonces.now(now);
        let (username, _) = authenticate(request, &nonce, |_| Some(((), self.key)))?;
        if *username != *self.username {
            return Err(Refusal::WrongCredentials);
        }
        // RFC 8489 §6.3.1: only of who is authentic is it said what is not understood.
        if answer::unknown(request).next().is_some() {
            return Err(Refusal::UnknownAttribute);
        }
        Ok(())
    }

    /// RFC 8656 §7.2.
    fn allocate(&mut self, request: &StunMessage<'_>, now: Timestamp, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if self.is_allocated(now) {
            return Err(Refusal::AllocationMismatch);
        }
        match request.attribute(REQUESTED_TRANSPORT) {
            Some(&[UDP, ..]) => {}
            Some(_) => return Err(Refusal::UnsupportedTransport),
            None => return Err(Refusal::BadRequest),
        }
        // Every label is even, and none is reserved for who comes later (§18.7).
        if request.attribute(EVEN_PORT).is_some_and(|value| value.first().is_none_or(|flags| flags & 0x80 != 0)) {
            return Err(Refusal::InsufficientCapacity);
        }
        if !self.may_allocate {
            return Err(Refusal::QuotaReached);
        }
        let ips = self.peers.iter().map(|peer| peer.address.ip());
        let ip = match family(request)? {
            Some(is_v6) => ips.into_iter().find(|ip| ip.is_ipv6() == is_v6),
            // IPv4 where nothing is asked for (§7.1): but a node that has none has none to give.
            None => ips.clone().find(std::net::IpAddr::is_ipv4).or_else(|| ips.into_iter().next()),
        };
        let relayed = SocketAddr::new(ip.ok_or(Refusal::FamilyNotSupported)?, self.label_port);
        let lifetime = lifetime(request).max(limits::TURN_LIFETIME_DEFAULT);
        self.allocation = Some(Allocation { relayed, expires: now + lifetime });
        self.relayed = Some(relayed);
        let mapped = self.mapped;
        self.succeed(request, out, |response| {
            with_lifetime(response.xor_address(XOR_RELAYED_ADDRESS, relayed), lifetime).xor_mapped_address(mapped)
        });
        Ok(())
    }

    /// RFC 8656 §8.2. Nothing is left of an allocation that is given back.
    fn refresh(&mut self, request: &StunMessage<'_>, now: Timestamp, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let relayed = self.allocated(now)?;
        if family(request)?.is_some_and(|is_v6| is_v6 != relayed.is_ipv6()) {
            return Err(Refusal::PeerFamilyMismatch);
        }
        let lifetime = lifetime(request);
        if lifetime.is_zero() {
            self.allocation = None;
            for peer in &mut self.peers {
                (peer.permitted_until, peer.channel) = (Timestamp::ZERO, None);
            }
        } else {
            self.allocation = Some(Allocation { relayed, expires: now + lifetime });
        }
        self.succeed(request, out, |response| with_lifetime(response, lifetime));
        Ok(())
    }

    /// RFC 8656 §10.2. The port means nothing there; one that is not ours is refused all the same, since nobody honest asks
    /// for it.
    fn create_permission(
        &mut self,
        request: &StunMessage<'_>,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let relayed = self.allocated(now)?;
        let asked = || request.attributes().filter(|attribute| attribute.kind == XOR_PEER_ADDRESS);
        if asked().next().is_none() {
            return Err(Refusal::BadRequest);
        }
        let is = |own: SocketAddr, asked: SocketAddr| own.ip() == asked.ip() && (asked.port() == 0 || own == asked);
        let wanted = || asked().map(|attribute| request.xor_address(attribute.value).map(canonical));
        // All or none.
        for wanted in wanted() {
            let wanted = wanted.ok_or(Refusal::BadRequest)?;
            self.permits(relayed, wanted, |own| is(own, wanted))?;
        }
        for wanted in wanted().flatten() {
            for peer in self.peers.iter_mut().filter(|peer| is(peer.address, wanted)) {
                peer.permitted_until = now + limits::TURN_PERMISSION_TIME;
            }
        }
        self.succeed(request, out, |response| response);
        Ok(())
    }

    /// RFC 8656 §12.2.
    fn bind_channel(&mut self, request: &StunMessage<'_>, now: Timestamp, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let relayed = self.allocated(now)?;
        let number = match request.attribute(CHANNEL_NUMBER) {
            Some(&[n0, n1, ..]) => u16::from_be_bytes([n0, n1]),
            _ => return Err(Refusal::BadRequest),
        };
        let peer = request.attribute(XOR_PEER_ADDRESS).and_then(|value| request.xor_address(value));
        let wanted = canonical(peer.filter(|_| CHANNELS.contains(&number)).ok_or(Refusal::BadRequest)?);
        self.permits(relayed, wanted, |own| own == wanted)?;
        // A number is of one peer, and a peer has one number.
        let differs = |peer: &super::client::Peer| {
            let bound = peer.channel.filter(|(_, until)| now < *until);
            bound.is_some_and(|(bound, _)| (bound == number) != (peer.address == wanted))
        };
        if self.peers.iter().any(differs) {
            return Err(Refusal::BadRequest);
        }
        for peer in self.peers.iter_mut().filter(|peer| peer.address == wanted) {
            peer.channel = Some((number, now + limits::TURN_CHANNEL_TIME));
            peer.permitted_until = now + limits::TURN_PERMISSION_TIME;
        }
        self.succeed(request, out, |response| response);
        Ok(())
    }

    fn allocated(&self, now: Timestamp) -> Result<SocketAddr, Refusal> {
        let allocation = self.allocation.filter(|allocation| now < allocation.expires);
        Ok(allocation.ok_or(Refusal::AllocationMismatch)?.relayed)
    }

    /// This is what makes the server no open relay: a peer is one of the node's own addresses, or forbidden.
    fn permits(
        &self,
        relayed: SocketAddr,
        wanted: SocketAddr,
        is_it: impl Fn(SocketAddr) -> bool,
    ) -> Result<(), Refusal> {
        if wanted.is_ipv6() != relayed.is_ipv6() {
            return Err(Refusal::PeerFamilyMismatch);
        }
        match self.peers.iter().any(|peer| is_it(peer.address)) {
            true => Ok(()),
            false => Err(Refusal::Forbidden),
        }
    }

    fn succeed(
        &self,
        request: &StunMessage<'_>,
        out: &mut Vec<u8>,
        fill: impl FnOnce(StunWriter<'_>) -> StunWriter<'_>,
    ) {
        answer::write(out, StunClass::Success, request.method(), request.transaction_id(), |response| {
            fill(response).integrity(&self.key)
        });
    }
}

/// Whether REQUESTED-ADDRESS-FAMILY asks for IPv6; `None` where it is not there (RFC 8656 §18.6).
fn family(request: &StunMessage<'_>) -> Result<Option<bool>, Refusal> {
    match request.attribute(REQUESTED_ADDRESS_FAMILY) {
        None => Ok(None),
        Some(&[1, ..]) => Ok(Some(false)),
        Some(&[2, ..]) => Ok(Some(true)),
        Some(_) => Err(Refusal::FamilyNotSupported),
    }
}

/// The life that is asked for, within what is given.
fn lifetime(request: &StunMessage<'_>) -> Duration {
    let asked = request.attribute(LIFETIME).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes);
    asked.map_or(limits::TURN_LIFETIME_DEFAULT, |seconds| {
        Duration::from_secs(seconds.into()).min(limits::TURN_LIFETIME_MAX)
    })
}

fn with_lifetime(response: StunWriter<'_>, lifetime: Duration) -> StunWriter<'_> {
    response.attribute(LIFETIME, &(lifetime.as_secs() as u32).to_be_bytes())
}

//! A datagram arrives: whose is it, is it authentic, and what is in it.

use crate::net::ConnectionEvent;
use crate::session::Inbound;
use crate::time::Timestamp;
use crate::transport::{Arrival, Datagram, PathAddress};
use crate::wire::demux::{self, DatagramKind};
use crate::wire::stun::{StunClass, StunMessage};
use crate::worker::in_place;
use crate::worker::inbound::binding::{self, Addressee};
use crate::worker::inbound::feedback::Feedback;
use crate::worker::inbound::media::{self, MediaPhase};
use crate::worker::lane::Lanes;
use crate::worker::lifecycle::Lifecycle;
use crate::worker::outbound::adapt::{self, AdaptPhase};
use crate::worker::plain_bindings::PlainBindings;
use crate::worker::reason::DropReason;
use crate::worker::redundant_sound;
use crate::worker::repairs::Repairs;

/// What a datagram may change.
pub(in crate::worker) struct DatagramPhase<'a> {
    pub(in crate::worker) lifecycle: Lifecycle<'a>,
    pub(in crate::worker) lanes: &'a mut Lanes,
    pub(in crate::worker) repairs: &'a mut Repairs,
    pub(in crate::worker) plain_bindings: &'a mut PlainBindings,
}

impl DatagramPhase<'_> {
    /// Takes one datagram: sorts it (RFC 7983), finds its session, lets the session open it, and acts on what it was.
    pub(in crate::worker) fn handle(&mut self, datagram: Datagram<'_>, now: Timestamp) {
        let Datagram { bytes, from, received } = datagram;
        let kind = demux::classify(bytes);
        let outcome = match kind {
            DatagramKind::Stun => self.handle_stun(bytes, &from, now),
            DatagramKind::Unknown => Err(DropReason::NotDemultiplexed),
            DatagramKind::Dtls | DatagramKind::Rtp | DatagramKind::Rtcp => {
                self.handle_of_session(kind, bytes, &from, received, now)
            }
        };
        if let Err(reason) = outcome {
            self.lifecycle.counters.dropped(reason);
            self.lifecycle.peers.abandon(&from);
        }
    }

    /// Something happened to a connection that carries datagrams.
    pub(in crate::worker) fn handle_connection(&mut self, event: ConnectionEvent, now: Timestamp) {
        let peers = &mut *self.lifecycle.peers;
        match event {
            ConnectionEvent::Drained(address) => {
                if let Some((path, key)) = peers.find_path(&address) {
                    peers.set_full(path, false);
                    self.lifecycle.list_channels(key);
                }
            }
            ConnectionEvent::Closed(address) => peers.lose_path(&address, now),
        }
    }

    /// A connectivity check or a plain binding request.
    fn handle_stun(&mut self, bytes: &[u8], from: &PathAddress, now: Timestamp) -> Result<(), DropReason> {
        let Lifecycle { config, peers, outbox, .. } = &mut self.lifecycle;
        let message = StunMessage::parse(bytes).map_err(|_| DropReason::StunMalformed)?;
        if message.class() == StunClass::Success {
            return self.handle_answer(&message, from, now);
        }
        let addressee = binding::addressee(&message, peers, config.index)?;
        // An address that nobody holds gets a path for the answer only, until a check from it is authentic.
        let path = peers.arrive(from).ok_or(DropReason::PathsFull)?;
        let from = Arrival { path, remote: from.remote() };
        match addressee {
            Addressee::Node => binding::answer(self.plain_bindings, &message, from, outbox.batch(), now),
            Addressee::Session(key) => {
                let Some(peer) = peers.get_mut(key) else { return Ok(()) };
                let answered = peer.session.handle_check(&peer.identity, &message, from, outbox.batch(), now);
                answered?;
                self.lifecycle.handle_events(key, now);
                self.lifecycle.claim_path(key, path, now);
                self.lifecycle.peers.arm(key);
                Ok(())
            }
        }
    }

    /// The answer to a request of the node's own. It names no session, so those that hold its path are tried.
    fn handle_answer(
        &mut self,
        answer: &StunMessage<'_>,
        from: &PathAddress,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let peers = &mut *self.lifecycle.peers;
        let mut number = 0;
        while let Some((path, key)) = peers.holder_of_path(from, number) {
            number += 1;
            let arrival = Arrival { path, remote: from.remote() };
            if peers.get_mut(key).is_some_and(|peer| peer.session.handle_answer(answer, arrival, now)) {
                self.lifecycle.handle_events(key, now);
                self.lifecycle.claim_path(key, path, now);
                self.lifecycle.peers.arm(key);
                return Ok(());
            }
        }
        Err(DropReason::StunNotAnAnswer)
    }

    /// DTLS or media: an address that no valid check came from may do neither.
    fn handle_of_session(
        &mut self,
        kind: DatagramKind,
        bytes: &mut [u8],
        from: &PathAddress,
        received: Timestamp,
        now: Timestamp,
    ) -> Result<(), DropReason> {
        let Lifecycle { config, peers, outbox, counters, handshakes, streams, .. } = &mut self.lifecycle;
        let (path, key) = peers.find_path(from).ok_or(DropReason::UnknownAddress)?;
        let is_contested = kind == DatagramKind::Dtls && peers.is_contested(from);
        let from = Arrival { path, remote: from.remote() };
        let Some(peer) = peers.get_mut(key) else { return Ok(()) };
        // Two claim the path and its owner has not shown that it is there: the handshake would be with the wrong one, and a
        // client believes the first answer. It says hello again.
        if is_contested && peer.session.confirmed(path).is_none() {
            return Err(DropReason::PathDisputed);
        }
        if kind == DatagramKind::Dtls && config.keys.in_place {
            in_place::look_at(peer, bytes, handshakes, outbox.batch(), now);
        }
        if kind == DatagramKind::Dtls && handshakes.defer(key, peer, from, bytes, counters) {
            return Ok(());
        }
        let inbound = peer.session.handle_datagram(&peer.identity, kind, from, bytes, outbox.batch(), now);
        match inbound? {
            Inbound::Handled => {
                self.lifecycle.handle_events(key, now);
                self.lifecycle.take_data(key, now);
                self.lifecycle.peers.arm(key);
            }
            Inbound::Rtp(opened) => {
                let taken = media::receive(
                    key,
                    peer,
                    &opened,
                    bytes,
                    received,
                    MediaPhase { wall_clock: &config.wall_clock, streams, lanes: self.lanes },
                );
                peers.arm(key);
                taken?;
            }
            Inbound::Rtcp(len) => {
                let Some(compound) = bytes.get(..len) else { return Ok(()) };
                let wall_clock = config.wall_clock.at(now);
                let (lanes, repairs) = (&mut *self.lanes, &mut *self.repairs);
                let tells = Feedback { wall_clock, streams, lanes, repairs, counters }.handle(key, peer, compound, now);
                redundant_sound::judge(key, peers, streams, now);
                if tells {
                    let Lifecycle { peers, streams, counters, mail, .. } = &mut self.lifecycle;
                    AdaptPhase { peers, streams, counters, mail }.decide(key, now);
                    adapt::probe(key, peers, streams, self.repairs, now);
                }
            }
        }
        Ok(())
    }
}

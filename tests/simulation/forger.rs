//! Somebody with a session of his own who puts other people's addresses in front of his datagrams, keeps what others
//! send, and sends it again.
//!
//! | He sends | From |
//! |---|---|
//! | checks with his own credentials, nominating or not, of both roles, and plain binding requests | addresses of other clients, of nobody, of clients to come |
//! | what a client sent before: STUN, DTLS, SRTP, SRTCP, whether it arrived or was lost | the address it came from, his own, others |
//! | noise, cut copies, copies with a bit changed | addresses of other clients |
//!
//! His session is a viewer's like any other. It restarts ICE, leaves and comes again. He sees what clients send, but not
//! what the node sends to others, and he holds nothing back (that is loss, and an outage).
//!
//! One thing he can do: he who sees a client's hello and puts hellos in its name beside it can keep that client from this
//! handshake, because it is answered to the client what it did not ask. Such a session is excused when it never connects
//! ([`Client::handshake_forged`]); nobody else is.
//!
//! The rules about it: `check/addresses.rs`, those about silence and content, and that no session ends by his doing
//! (`signalling.rs`). His own session is free of them.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::description::Direction;
use corecast::time::Timestamp;
use corecast::transport::UdpPath;
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::stun::StunWriter;

use crate::client::{self, Client, ClientId, Joining, Wish, node_address};
use crate::faults::Fault;
use crate::scenario::between;
use crate::world::{Flight, TICK, World};

/// Datagrams of each kind that he keeps. Checks come every 2.5 s from each client: these last for a run.
const KEPT: usize = 512;

/// He keeps one of so many media datagrams.
const MEDIA_KEPT_EVERY: u64 = 8;

/// Addresses that nobody has.
const NOBODY: u64 = 12;

/// The bytes of a DTLS datagram that he changes: type, version, epoch and number of the record, type, number and offset of
/// the message. What is behind them, and the lengths, differ from run to run of a seed.
const DTLS_SAME: [usize; 19] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 17, 18, 19, 20, 21, 25, 26];

/// Where he cuts one at most.
const DTLS_CUT_MAX: u64 = 27;

const MS: Duration = Duration::from_millis(1);

/// A datagram that a client sent.
struct Seen {
    worker: usize,
    from: SocketAddr,
    bytes: Box<[u8]>,
}

pub(crate) struct Forger {
    random: SeededRandom,
    /// Tries that are due; the fraction waits.
    owed: f64,
    /// His own session.
    own: Option<ClientId>,
    leaves_at: Timestamp,
    returns_at: Timestamp,
    restarts_at: Timestamp,
    /// STUN, DTLS, media.
    seen: [VecDeque<Seen>; 3],
    media_seen: u64,
}

impl Forger {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: SeededRandom::new(seed ^ 0xf0_26e2),
            owed: 0.0,
            own: None,
            leaves_at: Timestamp::ZERO,
            returns_at: Timestamp::ZERO,
            restarts_at: Timestamp::ZERO,
            seen: Default::default(),
            media_seen: 0,
        }
    }

    /// Keeps what a client sends.
    pub(crate) fn see(&mut self, worker: usize, from: SocketAddr, bytes: &[u8]) {
        let place = match demux::classify(bytes) {
            DatagramKind::Stun => 0,
            DatagramKind::Dtls => 1,
            DatagramKind::Rtp | DatagramKind::Rtcp => {
                self.media_seen += 1;
                if !self.media_seen.is_multiple_of(MEDIA_KEPT_EVERY) {
                    return;
                }
                2
            }
            DatagramKind::Unknown => return,
        };
        let seen = &mut self.seen[place];
        if seen.len() == KEPT {
            seen.pop_front();
        }
        seen.push_back(Seen { worker, from, bytes: bytes.into() });
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.random.u64().is_multiple_of(count)
    }
}

fn nobody(number: u64) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, number as u8), 9_000 + number as u16))
}

impl World {
    /// His turn.
    pub(crate) fn forge(&mut self) {
        let Some(mut forger) = self.forger.take() else { return };
        self.keep_a_session(&mut forger);
        forger.owed += self.scenario.forgeries * TICK.as_secs_f64();
        while forger.owed >= 1.0 {
            forger.owed -= 1.0;
            self.attempt(&mut forger);
        }
        self.forger = Some(forger);
    }

    /// He has a session for some seconds, restarts its ICE, and opens another one.
    fn keep_a_session(&mut self, forger: &mut Forger) {
        let now = self.now;
        match forger.own {
            None if forger.returns_at <= now => {
                let stream = forger.random.u64() as usize % self.streams.len();
                let wish = Wish {
                    direction: Direction::Play,
                    stream,
                    joining: Joining::Handshake,
                    rtx: true,
                    verify: 0.0,
                    phantom: false,
                    way: Default::default(),
                    data: false,
                };
                let own = self.open(wish);
                self.clients[own].is_forger = true;
                forger.own = Some(own);
                forger.restarts_at = now + MS * between(&mut forger.random, 500, 6_000) as u32;
                forger.leaves_at = now + MS * between(&mut forger.random, 2_000, 20_000) as u32;
            }
            Some(own) if forger.leaves_at <= now || self.clients[own].agent.is_none() && self.clients[own].is_open => {
                if self.clients[own].is_open {
                    let goodbye = forger.one_in(2);
                    self.drop_agent(own, goodbye);
                    self.close(own);
                }
                forger.own = None;
                forger.returns_at = now + MS * between(&mut forger.random, 50, 1_500) as u32;
            }
            Some(own) if forger.restarts_at <= now && self.clients[own].is_connected => {
                forger.restarts_at = now + MS * between(&mut forger.random, 500, 6_000) as u32;
                self.restart_ice(own);
            }
            _ => {}
        }
    }

    fn attempt(&mut self, forger: &mut Forger) {
        match forger.random.u64() % 20 {
            0..=6 => self.try_own_check(forger),
            7 => self.try_plain_binding(forger),
            8..=11 => self.try_again(forger, 0),
            12..=13 => self.try_again(forger, 1),
            14..=15 => self.try_again(forger, 2),
            16..=17 => self.try_damaged(forger),
            _ => self.try_noise(forger),
        }
    }

    /// Another client's worker and address: of his own worker, if there are any, three times in four.
    fn a_victim(&mut self, forger: &mut Forger) -> Option<(usize, SocketAddr)> {
        let own_worker = forger.own.map(|own| self.clients[own].worker).filter(|_| !forger.one_in(4));
        let of = |worker: Option<usize>| {
            let clients = self.clients.iter();
            clients.filter(move |client| {
                client.is_open && !client.is_forger && worker.is_none_or(|worker| client.worker == worker)
            })
        };
        let mut worker = own_worker;
        let mut count = of(worker).count();
        if count == 0 {
            worker = None;
            count = of(worker).count();
        }
        let chosen = forger.random.u64() as usize % count.max(1);
        of(worker).nth(chosen).map(|client| (client.worker, client.address))
    }

    /// An address that nobody has; one in four is of a client to come.
    fn an_address(&self, forger: &mut Forger) -> SocketAddr {
        let draw = forger.random.u64();
        match draw % 4 {
            0 => client::address(self.addresses + 1 + (draw >> 8) as u32 % 4),
            _ => nobody((draw >> 8) % NOBODY),
        }
    }

    fn try_own_check(&mut self, forger: &mut Forger) {
        let Some(own) = forger.own else { return };
        let Client { worker, ice_generation, .. } = &self.clients[own];
        let (worker, newest) = (*worker, *ice_generation);
        let from = match forger.one_in(4) {
            true => self.an_address(forger),
            false => self.a_victim(forger).map_or_else(|| nobody(0), |(_, address)| address),
        };
        let generation = if forger.one_in(4) { newest.saturating_sub(1) } else { newest };
        let (node, peer) = (client::node_ice(worker, own, generation), client::peer_ice(own, generation));
        let mut transaction = [0; 12];
        forger.random.fill(&mut transaction);
        let nominates = forger.one_in(2);
        let username = format!("{}:{}", node.ufrag, peer.ufrag);
        let mut out = [0; 256];
        let mut check =
            StunWriter::binding_request(&mut out, &transaction).username(username.as_bytes()).priority(0x6e7f_1eff);
        if nominates {
            check = check.use_candidate();
        }
        check = if forger.one_in(16) { check.ice_controlled(3) } else { check.ice_controlling(3) };
        let len = check.integrity(node.password.as_bytes()).fingerprint().finish().expect("it fits");
        let kind = if nominates { Fault::ForgedNomination } else { Fault::ForgedCheck };
        // A copy at once is an answer that was lost.
        let copies = if forger.one_in(8) { 2 } else { 1 };
        for _ in 0..copies {
            self.send_forged(forger, kind, worker, from, &out[..len]);
        }
    }

    fn try_plain_binding(&mut self, forger: &mut Forger) {
        let Some((worker, address)) = self.a_victim(forger) else { return };
        let from = if forger.one_in(2) { self.an_address(forger) } else { address };
        let mut transaction = [0; 12];
        forger.random.fill(&mut transaction);
        let mut out = [0; 64];
        let len = StunWriter::binding_request(&mut out, &transaction).fingerprint().finish().expect("it fits");
        self.send_forged(forger, Fault::ForgedBinding, worker, from, &out[..len]);
    }

    /// Sends again what a client sent.
    fn try_again(&mut self, forger: &mut Forger, kind: usize) {
        let chosen = forger.random.u64() as usize % forger.seen[kind].len().max(1);
        let Some(Seen { worker, from, bytes }) = forger.seen[kind].get(chosen) else { return };
        let (worker, original, bytes) = (*worker, *from, bytes.clone());
        let own = forger.own.map(|own| self.clients[own].address);
        let (fault, from) = match forger.random.u64() % 8 {
            0..=2 => (Fault::ReplayedFromSame, original),
            3..=4 => (Fault::ReplayedFromOwn, own.unwrap_or(original)),
            5 => (Fault::ReplayedFromOther, self.an_address(forger)),
            _ => (Fault::ReplayedFromOther, self.a_victim(forger).map_or(original, |(_, address)| address)),
        };
        self.send_forged(forger, fault, worker, from, &bytes);
    }

    /// A copy that was cut or has a bit changed, from where it came or from another client's address.
    fn try_damaged(&mut self, forger: &mut Forger) {
        let kind = forger.random.u64() as usize % 3;
        let chosen = forger.random.u64() as usize % forger.seen[kind].len().max(1);
        let Some(Seen { worker, from, bytes }) = forger.seen[kind].get(chosen) else { return };
        let (worker, original, mut bytes) = (*worker, *from, bytes.to_vec());
        let from = match forger.one_in(2) {
            true => original,
            false => self.a_victim(forger).map_or(original, |(_, address)| address),
        };
        let draw = forger.random.u64();
        let fault = if draw.is_multiple_of(2) {
            let most = if kind == 1 { DTLS_CUT_MAX } else { bytes.len() as u64 - 1 };
            bytes.truncate((1 + (draw >> 8) % most) as usize);
            Fault::ForgedCut
        } else {
            let at = match kind {
                1 => DTLS_SAME[(draw >> 8) as usize % DTLS_SAME.len()],
                _ => (draw >> 8) as usize % bytes.len(),
            };
            let Some(byte) = bytes.get_mut(at) else { return };
            *byte ^= 1 << (draw >> 40 & 7);
            Fault::ForgedFlip
        };
        self.send_forged(forger, fault, worker, from, &bytes);
    }

    fn try_noise(&mut self, forger: &mut Forger) {
        let Some((worker, address)) = self.a_victim(forger) else { return };
        let from = if forger.one_in(4) { self.an_address(forger) } else { address };
        let mut noise = [0; 600];
        forger.random.fill(&mut noise);
        let len = between(&mut forger.random, 1, noise.len() as u64) as usize;
        // First bytes of STUN, DTLS records of every type, RTP and RTCP, and any (RFC 7983 §7).
        let draw = forger.random.u64();
        match draw % 6 {
            0 => noise[0] = 0,
            1 => noise[0] = 20 + (draw >> 8) as u8 % 4,
            2 => noise[0] = 0x2c + (draw >> 8) as u8 % 4,
            3 => noise[..2].copy_from_slice(&[0x80, 96 + (draw >> 8) as u8 % 8]),
            4 => noise[..2].copy_from_slice(&[0x80, 200 + (draw >> 8) as u8 % 7]),
            _ => {}
        }
        self.send_forged(forger, Fault::ForgedNoise, worker, from, &noise[..len]);
    }

    fn send_forged(&mut self, forger: &mut Forger, kind: Fault, worker: usize, from: SocketAddr, bytes: &[u8]) {
        self.faults.count(kind);
        self.totals.tries += 1;
        // One in eight goes to another worker, whose business it is not.
        let worker = if forger.one_in(8) { forger.random.u64() as usize % self.nodes.len() } else { worker };
        self.note(13, kind as u64, worker as u64);
        if demux::classify(bytes) == DatagramKind::Dtls {
            let under_way = |client: &&mut Client| !(client.is_connected && client.node_connected);
            let mut victims = self.clients.iter_mut().filter(|client| client.is_open && client.address == from);
            if let Some(victim) = victims.find(under_way) {
                victim.handshake_forged = true;
            }
        }
        let path = UdpPath { remote: from, local_ip: node_address(worker).ip(), socket: 0 };
        let at = self.now + Duration::from_micros(between(&mut forger.random, 200, 40_000));
        let buffer = self.buffer(bytes);
        self.fly(at, Flight::ToNode { worker, path, len: bytes.len(), is_forged: true, buffer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    /// Clean links and a forger: what viewers are sent is whole.
    fn forged(seed: u64, forgeries: f64) -> World {
        let mut world = World::new(Scenario { forgeries, ..Scenario::calm(seed) });
        let until = Timestamp::from_millis(10_000) + world.scenario.duration;
        world.received = Some(Default::default());
        assert_eq!(world.run_until(until), Ok(()), "seed {seed}");
        world
    }

    #[test]
    fn a_forger_costs_nobody_a_packet() {
        for seed in 1..=3 {
            let world = forged(seed, 1_500.0);
            assert!(world.totals.tries > 5_000, "{}", world.totals.tries);
            let mut numbers = std::collections::BTreeMap::<_, Vec<u64>>::new();
            for (client, video, publication, number) in world.received.iter().flatten() {
                numbers.entry((*client, *video, *publication)).or_default().push(*number);
            }
            let honest = |id: ClientId| world.clients[id].direction == Direction::Play && !world.clients[id].is_forger;
            let numbers: Vec<_> = numbers.into_iter().filter(|((client, ..), _)| honest(*client)).collect();
            // Parameter sets are told by no number: what nobody was sent is no hole.
            let mut sent = std::collections::BTreeSet::new();
            for ((_, video, publication), numbers) in &numbers {
                sent.extend(numbers.iter().map(|number| (*video, *publication, *number)));
            }
            assert!(numbers.len() >= 18, "{}", numbers.len());
            for (who, numbers) in numbers {
                assert!(numbers.len() > 60, "{who:?}: {}", numbers.len());
                let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
                let whole = sent.range((who.1, who.2, first)..=(who.1, who.2, last)).count();
                assert_eq!(numbers.len(), whole, "{who:?} has a hole");
            }
            assert!(world.faults.of(Fault::ForgedNomination) > 500, "{}", world.faults);
        }
    }
}

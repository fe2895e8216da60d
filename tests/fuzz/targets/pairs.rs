//! Two sessions on one worker and a script that lets each of them try to harm the other: checks with its own credentials
//! and the other's address in front, copies of what the other sent from anywhere, shared addresses, ICE restarts, leaving.
//!
//! The first session is honest: it publishes from one address and never moves. Whatever the second one does, the first
//! stays connected, its media goes on, what it is sent goes to its address, and an address that never answered is sent at
//! most three times the bytes that came from it.

use std::collections::HashMap;
use std::net::SocketAddr;

use corecast::limits;
use corecast::wire::stun::StunWriter;

use super::script::{Script, ScriptWriter};
use super::worker_support::{MS, Opening, World, stranger};
use super::{Seed, memory};

const STEPS_MAX: usize = 48;
const HELD_BYTES_MAX: isize = 48 * 1024 * 1024;
const HONEST: usize = 0;

/// Bytes from and to addresses that never answer.
#[derive(Default)]
struct Silent(HashMap<SocketAddr, (usize, usize)>);

struct Pair {
    world: World,
    other: usize,
    generation: u32,
    honest_address: SocketAddr,
    silent: Silent,
}

pub fn run(data: &[u8]) {
    let before = memory::held_bytes();
    let mut script = Script::new(data);
    let mut world = World::new(1);
    world.join(&Opening::publisher(0));
    world.clients[HONEST].publisher().fragments = Some(2);
    world.clients[HONEST].keeps_datagrams = true;
    let other = world.join(&Opening::viewer(0));
    world.clients[other].keeps_datagrams = true;
    let honest_address = world.clients[HONEST].address;
    let mut pair = Pair { world, other, generation: 0, honest_address, silent: Silent::default() };
    pair.world.run(MS * 100);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        pair.step(&mut script);
        pair.look();
        assert!(memory::held_bytes() - before < HELD_BYTES_MAX, "bytes held");
    }
    pair.end();
}

impl Pair {
    fn address(&self, choice: u8) -> SocketAddr {
        match choice % 4 {
            0 => self.honest_address,
            1 => self.world.clients[self.other].address,
            2 => stranger(),
            _ => SocketAddr::from(([192, 0, 2, 222], 6_000 + u16::from(choice >> 2) % 16)),
        }
    }

    fn inject(&mut self, address: SocketAddr, bytes: &[u8]) {
        self.silent.0.entry(address).or_default().0 += bytes.len();
        self.world.inject(0, address, bytes);
        self.look();
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let other = self.other;
        match script.byte() % 10 {
            0 => {
                let (ms, choice) = (script.byte(), script.byte());
                self.world.run(MS * u32::from(ms));
                if choice == 255 {
                    self.world.run(limits::PATH_DISPUTE);
                }
            }
            // The other's own credentials, anybody's address.
            1 | 2 => {
                let (choice, nominates) = (script.byte(), script.byte() & 1 == 0);
                let (address, check) = (self.address(choice), self.check(nominates));
                self.inject(address, &check);
            }
            // What the node sent to either comes back from anywhere, whole or with a bit changed.
            3 | 4 => {
                let (whose, which, choice) = (script.byte() & 1, usize::from(script.u16()), script.byte());
                let (at, bits) = (usize::from(script.u16()), script.byte());
                let kept = &self.world.clients[if whose == 0 { HONEST } else { other }].datagrams;
                if !kept.is_empty() {
                    let mut bytes = kept[which % kept.len()].1.clone();
                    let at = at % bytes.len();
                    bytes[at] ^= bits;
                    let address = self.address(choice);
                    self.inject(address, &bytes);
                }
            }
            5 => {
                let (address, bytes) = (self.address(script.byte()), script.chunk());
                self.inject(address, bytes);
            }
            6 => {
                self.generation += 1;
                self.world.restart_ice(other, self.generation);
            }
            7 => {
                let choice = script.byte();
                let address = SocketAddr::from(([192, 0, 2, 210], 4_000 + u16::from(choice)));
                self.world.move_client(other, address, choice & 1 == 0);
            }
            8 => {
                // It takes the honest one's address for its own, and what it sends comes from there.
                self.world.clients[other].address = self.honest_address;
                self.world.run(MS * 20);
                self.world.clients[other].address = SocketAddr::from(([192, 0, 2, 211], 5_000));
            }
            _ => {
                self.world.delete(other);
                self.world.run(MS * 10);
                if self.world.clients.len() < 4 {
                    self.generation = 0;
                    self.other = self.world.open(&Opening::viewer(0));
                    self.world.clients[self.other].keeps_datagrams = true;
                }
            }
        }
    }

    /// A check with the other's credentials.
    fn check(&mut self, nominates: bool) -> Vec<u8> {
        if self.generation == 0 {
            return self.world.check_of(self.other, nominates);
        }
        let mut out = [0; 256];
        let worker = corecast::worker::mailbox::WorkerIndex(0);
        let node = corecast::placement::ufrag(worker, &format!("node{:05}g{}", self.other, self.generation));
        let username = format!("{node}:{}", self.world.clients[self.other].peer.local_ice().ufrag);
        let len = StunWriter::binding_request(&mut out, &[self.generation as u8; 12])
            .username(username.as_bytes())
            .integrity(b"not the password")
            .fingerprint()
            .finish();
        out[..len.expect("room")].to_vec()
    }

    /// What must hold at every step.
    fn look(&mut self) {
        for train in self.world.take_trains(0) {
            let to = train.path.remote();
            let bytes: usize = train.datagrams.iter().map(Vec::len).sum();
            let is_clients = self.world.clients.iter().any(|client| client.address == to);
            // Addresses that a client had or has answer; the invented ones never do.
            if !is_clients && (to == stranger() || to.ip() == SocketAddr::from(([192, 0, 2, 222], 0)).ip()) {
                let (from, sent) = self.silent.0.entry(to).or_default();
                *sent += bytes;
                assert!(*sent <= *from * limits::UNPROVEN_BYTES_FACTOR as usize, "{to}: {sent} bytes for {from}");
            }
        }
        assert!(self.world.ended(HONEST).is_none(), "the honest session ended: {:?}", self.world.ended(HONEST));
    }

    /// The honest one still publishes on its path.
    fn end(&mut self) {
        let received = |world: &mut World| world.session(HONEST).expect("it is there").received.packets;
        let before = received(&mut self.world);
        self.world.run(MS * 500);
        self.look();
        let more = received(&mut self.world) - before;
        assert!(more > 20, "the honest session's media came to {more} packets in half a second");
        assert_eq!(self.world.moves(HONEST), 0, "the honest session's path moved");
        assert!(self.world.clients[HONEST].peer.is_connected());
    }
}

pub fn seeds() -> Vec<Seed> {
    let run = |script: ScriptWriter, ms: u8| script.byte(0).byte(ms).byte(0);
    let new = ScriptWriter::default;
    let theft = run(new().byte(1).byte(0).byte(0).byte(1).byte(0).byte(1), 200).byte(1).byte(0).byte(0);
    let theft = run(theft.byte(0).byte(100).byte(255).byte(1).byte(0).byte(0), 250);
    let reflection = (0..6).fold(new(), |script, _| run(script.byte(1).byte(2).byte(0).byte(1).byte(7).byte(0), 100));
    let replay = run(new().byte(3).byte(0).u16(1).byte(1).u16(0).byte(0), 50).byte(3).byte(1).u16(3).byte(0);
    let replay = run(replay.u16(0).byte(0).byte(4).byte(0).u16(9).byte(2).u16(40).byte(8), 90);
    let restart = run(new().byte(6).byte(1).byte(0).byte(0), 100).byte(6);
    let restart = run(restart, 250).byte(7).byte(4);
    let shared = run(new().byte(8).byte(1).byte(0).byte(0).byte(8), 200).byte(0).byte(200).byte(255).byte(8);
    let leaves = run(new().byte(1).byte(0).byte(0).byte(9), 150).byte(1).byte(0).byte(0).byte(9);
    let noise = new().byte(5).byte(0).chunk(&[22; 60]).byte(5).byte(1).chunk(&[128; 80]).byte(5).byte(0).chunk(&[0, 1]);
    let named = [
        ("theft", theft),
        ("reflection", reflection),
        ("replay", replay),
        ("restart", restart),
        ("shared-address", shared),
        ("leaves", leaves),
        ("noise", noise),
    ];
    named.into_iter().map(|(name, script)| (name.to_owned(), run(script, 200).done())).collect()
}

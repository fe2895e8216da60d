//! Whole sessions on simulated sockets, in virtual time: real clients that check, shake hands, publish and play, and a
//! script that does to them what networks, browsers and attackers do. After every step the harness checks what it always
//! checks ([`SealedOnce`](super::worker_support::SealedOnce), sizes, nothing spins); afterwards nothing is left.

use std::net::SocketAddr;
use std::time::Duration;

use corecast::description::{Direction, DtlsRole};
use corecast::dtls::DtlsVersions;
use corecast::limits;
use corecast::transport::SendResult;
use corecast::wire::stun::StunWriter;
use corecast::worker::mailbox::EndReason;

use super::script::{Script, ScriptWriter};
use super::worker_support::{MS, Opening, World, stranger};
use super::{Seed, memory};

const STEPS_MAX: usize = 40;
const CLIENTS_MAX: usize = 4;

/// Two workers with their lanes and batches, four sessions with both ends, and what the clients remember.
const HELD_BYTES_MAX: isize = 48 * 1024 * 1024;

pub fn run(data: &[u8]) {
    let before = memory::held_bytes();
    let mut script = Script::new(data);
    let mut world = World::new(2);
    // Restarts of each client, and the time that scripts may spend.
    let (mut generations, mut budget) = ([0; CLIENTS_MAX], Duration::from_secs(8));
    open(&mut world, script.byte(), true);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        step(&mut world, &mut script, &mut generations, &mut budget);
        let held = memory::held_bytes() - before;
        assert!(held < HELD_BYTES_MAX, "{held} bytes held");
    }
    end(&mut world);
}

fn open(world: &mut World, choice: u8, publish: bool) {
    let worker = usize::from(choice & 1);
    if world.clients.len() == CLIENTS_MAX || world.nodes[worker].stalled {
        return;
    }
    let opening = Opening {
        rtx: choice & 2 == 0,
        wrong_fingerprint: choice & 0xc0 == 0xc0,
        versions: [DtlsVersions::Any, DtlsVersions::Only12, DtlsVersions::Only13][usize::from(choice >> 2 & 3) % 3],
        node_role: if choice & 0x30 == 0x30 { DtlsRole::Client } else { DtlsRole::Server },
        ..if publish { Opening::publisher(worker) } else { Opening::viewer(worker) }
    };
    world.open(&opening);
}

fn pass(world: &mut World, time: Duration, budget: &mut Duration) {
    let time = time.min(*budget);
    *budget -= time;
    world.run(time);
}

fn step(world: &mut World, script: &mut Script<'_>, generations: &mut [u32; CLIENTS_MAX], budget: &mut Duration) {
    let action = script.byte() % 16;
    let client = usize::from(script.byte()) % world.clients.len();
    let worker = world.clients[client].worker;
    let connected = world.clients[client].peer.is_connected();
    match action {
        0 => open(world, script.byte(), client == 0),
        1 => open(world, script.byte(), false),
        2 => pass(world, MS * u32::from(script.byte()), budget),
        3 => pass(world, MS * u32::from(script.u16() % 2_048), budget),
        4 => {
            let address = if script.byte() & 1 == 0 { world.clients[client].address } else { stranger() };
            world.inject(worker, address, script.chunk());
        }
        5 => {
            // What the node sent to a client comes back to it, or to the node, damaged.
            world.clients[client].keeps_datagrams = true;
            let (which, at, bits) = (usize::from(script.byte()), usize::from(script.u16()), script.byte());
            let kept = world.clients[client].datagrams.len();
            if kept > 0 {
                let mut bytes = world.clients[client].datagrams[which % kept].1.clone();
                let at = at % bytes.len();
                bytes[at] ^= bits;
                let address = world.clients[client].address;
                world.inject(worker, address, &bytes);
                let now = world.now;
                world.clients[client].handle_datagram(&mut bytes, now);
            }
        }
        6 => {
            let pattern = script.u32();
            world.filter = Box::new(move |hop| pattern >> (hop.number % 32) & 1 == 0);
        }
        7 => forged_check(world, worker, client, script.byte(), script.chunk()),
        8 => {
            if world.clients[client].direction == Direction::Publish {
                let fragments = usize::from(script.byte() % 12);
                world.clients[client].publisher().fragments = (fragments > 0).then_some(fragments);
            } else {
                world.clients[client].viewer().nacks ^= true;
            }
        }
        9 => {
            let sequences: Vec<u16> =
                script.chunk().chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            if connected && !sequences.is_empty() && sequences.len() < 200 {
                world.clients[client].nack(&sequences);
                world.clients[client].request_key_frame();
            }
        }
        10 => {
            generations[client] += 1;
            world.restart_ice(client, generations[client]);
        }
        11 => {
            let choice = script.byte();
            let address = SocketAddr::from(([192, 0, 2, 200], 3_000 + u16::from(choice) + 256 * client as u16));
            world.move_client(client, address, choice & 1 == 0);
        }
        12 => world.delete(client),
        13 => {
            let (result, mut times) = (script.byte() % 4, script.byte());
            world.nodes[worker].io.set_verdict(Some(Box::new(move |_, _, _| {
                times = times.saturating_sub(1);
                match result {
                    _ if times == 0 => SendResult::Sent,
                    0 => SendResult::Full,
                    1 => SendResult::TooLong,
                    _ => SendResult::Failed(5),
                }
            })));
        }
        14 => world.nodes[worker].stalled ^= true,
        _ => {
            if connected {
                let now = world.now;
                if world.clients[client].direction == Direction::Publish {
                    world.clients[client].publish_probe(now);
                    world.clients[client].send_sender_reports(now);
                } else {
                    world.clients[client].request_key_frame();
                }
            }
        }
    }
}

/// A check from anywhere whose user name is right and whose integrity is not.
fn forged_check(world: &mut World, worker: usize, client: usize, choice: u8, extra: &[u8]) {
    let address = if choice & 1 == 0 { world.clients[client].address } else { stranger() };
    let username = format!("{}:{}", node_ufrag(world, client), world.clients[client].peer.local_ice().ufrag);
    let mut out = [0; 1_400];
    let extra = &extra[..extra.len().min(1_000)];
    let writer = StunWriter::binding_request(&mut out, &[choice; 12]).username(username.as_bytes()).use_candidate();
    let writer = writer.attribute(0x8022, extra).integrity(b"not the password").fingerprint();
    let len = writer.finish().expect("room");
    world.take_trains(worker);
    world.inject(worker, address, &out[..len]);
    let to_stranger = world.take_trains(worker).into_iter().filter(|train| train.path.remote() == stranger()).count();
    assert_eq!(to_stranger, 0, "an answer to a forged check");
}

fn node_ufrag(world: &World, client: usize) -> String {
    let worker = corecast::worker::mailbox::WorkerIndex(world.clients[client].worker as u16);
    corecast::placement::ufrag(worker, &format!("node{client:05}g0"))
}

/// Everyone leaves; nothing may be left, however it came to this.
fn end(world: &mut World) {
    world.filter = Box::new(|_| true);
    for node in &mut world.nodes {
        node.stalled = false;
        node.io.set_verdict(None);
    }
    world.run(MS * 50);
    for client in 0..world.clients.len() {
        if world.clients[client].direction == Direction::Publish {
            world.clients[client].publisher().fragments = None;
        }
        world.delete(client);
    }
    world.run(limits::NOTICE_RETRY + MS * 50);
    for client in 0..world.clients.len() {
        let reason = world.ended(client).expect("each end was told");
        if reason == EndReason::FingerprintMismatch && world.clients[client].direction == Direction::Play {
            let received = &world.clients[client].viewer().received;
            assert!(received.is_empty(), "media before the peer was known");
        }
    }
    for worker in 0..world.nodes.len() {
        let report = world.report(worker);
        assert!(report.sessions.is_empty() && report.streams.is_empty(), "{report:?}");
    }
}

pub fn seeds() -> Vec<Seed> {
    let run = |script: ScriptWriter, ms: u8| script.byte(2).byte(0).byte(ms);
    let playing = |publisher: u8, viewer: u8| {
        let script = ScriptWriter::default().byte(publisher).byte(1).byte(0).byte(viewer).byte(8).byte(0).byte(5);
        run(run(script, 200), 200)
    };
    let restart = run(playing(0, 1).byte(10).byte(1).byte(11).byte(1).byte(4), 250);
    let lossy = run(playing(4, 9).byte(8).byte(1).byte(6).byte(0).u32(0x1111_0101), 250);
    let wrong = run(playing(0, 0xc1), 250);
    let node_is_client = run(playing(0x34, 0x38), 250);
    let forged = playing(0, 0).byte(7).byte(1).byte(1).chunk(b"software").byte(4).byte(1).byte(0).chunk(&[22; 60]);
    let damaged = run(playing(8, 8).byte(5).byte(1).byte(0).u16(0).byte(0), 100);
    let damaged = damaged.byte(5).byte(1).byte(3).u16(9).byte(4).byte(5).byte(0).byte(1).u16(2).byte(1);
    let faults = run(playing(0, 1).byte(13).byte(1).byte(0).byte(40), 200).byte(14).byte(1);
    let faults = run(faults, 250).byte(14).byte(1);
    let gone = run(playing(2, 2).byte(9).byte(1).chunk(&[232, 3, 233, 3, 10, 4]), 40).byte(12).byte(0);
    let gone = run(gone, 200).byte(0).byte(0).byte(1).byte(8).byte(2).byte(3).byte(15).byte(2);
    let named = [
        ("restart-and-move", restart),
        ("lossy", lossy),
        ("wrong-fingerprint", wrong),
        ("node-is-client", node_is_client),
        ("forged", forged),
        ("damaged", damaged),
        ("faults", faults),
        ("publisher-gone", gone),
    ];
    named.into_iter().map(|(name, script)| (name.to_owned(), run(script, 250).done())).collect()
}

//! What an observer who has captured everything can open with one key: through production workers, with their own DTLS, the keys
//! that the clients' DTLS exports, and libsrtp (`pylibsrtp`) to open packets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::srtp_oracle::Oracle;
use crate::worker_support::{MS, Opening, World};
use corecast::limits;
use corecast::srtp::SrtpProfile;
use corecast::time::Timestamp;
use corecast::wire::demux::{self, DatagramKind};
use corecast::worker::mailbox::{Control, Rekeyed};

/// A captured datagram of SRTP or SRTCP.
#[derive(Debug)]
struct Captured {
    /// Of which client, and so of which of the session's transports.
    client: usize,
    to_client: bool,
    kind: DatagramKind,
    bytes: Vec<u8>,
    at: Timestamp,
}

/// Everything on the wire from now on. Times are those of the last [`run`].
fn capture(world: &mut World) -> Rc<RefCell<(Timestamp, Vec<Captured>)>> {
    let captured = Rc::new(RefCell::new((world.now, Vec::new())));
    let of_filter = Rc::clone(&captured);
    world.filter = Box::new(move |hop| {
        let kind = demux::classify(hop.bytes);
        if matches!(kind, DatagramKind::Rtp | DatagramKind::Rtcp) {
            let (at, all) = &mut *of_filter.borrow_mut();
            let (client, to_client, bytes) = (hop.client, hop.to_client, hop.bytes.to_vec());
            all.push(Captured { client, to_client, kind, bytes, at: *at });
        }
        true
    });
    captured
}

/// Runs in steps of ten milliseconds; clients say something in every second.
fn run(world: &mut World, wire: &Rc<RefCell<(Timestamp, Vec<Captured>)>>, viewers: &[usize], ms: u32) {
    for step in 0..ms / 10 {
        wire.borrow_mut().0 = world.now;
        for &viewer in viewers.iter().filter(|_| step % 100 == 0) {
            if world.clients[viewer].peer.is_connected() {
                world.clients[viewer].send_rtcp(&[0x80, 201, 0, 1, 0, 0, 0, 1]);
            }
        }
        world.run(10 * MS);
    }
}

/// RFC 5764 §4.2: both master keys, then both salts, the client's first. Returns what the client writes with, and the server.
fn write_keys(profile: SrtpProfile, material: &[u8]) -> [Vec<u8>; 2] {
    let (keys, salts) = material.split_at(profile.key_len() * 2);
    let [client, server] = [0, 1].map(|end| {
        let salt = &salts[end * profile.salt_len()..][..profile.salt_len()];
        [&keys[end * profile.key_len()..][..profile.key_len()], salt].concat()
    });
    [client, server]
}

/// Begins a session, or a second transport of `of`, whose client keeps its keys.
fn connect(world: &mut World, of: Option<usize>, opening: &Opening) -> usize {
    let client = match of {
        Some(first) => world.rekey(first, opening).expect("it may"),
        None => world.open(opening),
    };
    world.clients[client].peer.keep_exported();
    client
}

fn until_connected(world: &mut World, wire: &Rc<RefCell<(Timestamp, Vec<Captured>)>>, client: usize) {
    for _ in 0..200 {
        if world.clients[client].peer.is_connected() {
            return;
        }
        run(world, wire, &[], 10);
    }
    panic!("it did not connect: {:?}", world.clients[client].events);
}

/// Three sets of keys of one session: the first ends at the client's word, the second after ten seconds by itself. Returns what was
/// captured, the three clients, and when the first was left and the third was connected.
fn three_epochs(opening: &Opening) -> (World, Vec<Captured>, [usize; 3], [Timestamp; 2]) {
    let mut world = World::new(1);
    let wire = capture(&mut world);
    let publisher = if opening.direction == corecast::description::Direction::Publish {
        None
    } else {
        let publisher = world.join(&Opening::publisher(0));
        world.clients[publisher].publisher().fragments = Some(3);
        Some(publisher)
    };
    let again = Opening { first: (40_000, 2_222_222_222), ..opening.clone() };
    let plays = |world: &mut World, client: usize| {
        if publisher.is_none() {
            world.clients[client].publisher().fragments = Some(3);
        }
    };
    let first = connect(&mut world, None, opening);
    until_connected(&mut world, &wire, first);
    plays(&mut world, first);
    run(&mut world, &wire, &[first], 1_500);

    let second = connect(&mut world, Some(first), &again);
    until_connected(&mut world, &wire, second);
    plays(&mut world, second);
    run(&mut world, &wire, &[first, second], 1_000);
    let session = world.clients[first].session;
    world.control(0, Control::Switched { session });
    let left = world.now;
    run(&mut world, &wire, &[second], 1_500);

    let third = connect(&mut world, Some(first), &again);
    until_connected(&mut world, &wire, third);
    plays(&mut world, third);
    let connected = world.now;
    run(&mut world, &wire, &[second, third], 12_000);
    assert_eq!(world.rekeyed(first), [Rekeyed::Switched, Rekeyed::OverlapOver]);
    world.filter = Box::new(|_| true);
    let captured = std::mem::take(&mut wire.borrow_mut().1);
    (world, captured, [first, second, third], [left, connected])
}

/// How many of the captured packets of each transport and direction one key opens. Those of its `own` come to one receiver in the
/// order in which they were sent; each other packet comes to a fresh one, which refuses nothing for its number.
fn opened_by(
    oracle: &mut Oracle,
    (profile, key): (SrtpProfile, &[u8]),
    own: (usize, bool),
    captured: &[Captured],
) -> BTreeMap<(usize, bool), usize> {
    let name = match profile {
        SrtpProfile::AeadAes128Gcm => "AEAD_AES_128_GCM",
        SrtpProfile::AeadAes256Gcm => "AEAD_AES_256_GCM",
        SrtpProfile::AesCm128HmacSha1_80 => "AES128_CM_HMAC_SHA1_80",
    };
    oracle.ask(&format!("new own {name} in"), key).expect("a session");
    let mut opened = BTreeMap::new();
    for packet in captured {
        let of = (packet.client, packet.to_client);
        let command = if packet.kind == DatagramKind::Rtp { "unprotect" } else { "unprotect_rtcp" };
        let session = if of == own { "own" } else { "fresh" };
        if of != own {
            oracle.ask(&format!("new fresh {name} in"), key).expect("a session");
        }
        match oracle.ask(&format!("{command} {session}"), &packet.bytes) {
            Ok(_) => *opened.entry(of).or_default() += 1,
            Err(text) => assert!(text.contains("authentication"), "{of:?} with the key of {own:?}: {text}"),
        }
    }
    opened
}

fn assert_each_key_opens_its_own(opening: &Opening) {
    let (world, captured, epochs, [left, connected]) = three_epochs(opening);
    let of_session: Vec<Captured> = captured.into_iter().filter(|packet| epochs.contains(&packet.client)).collect();
    let count = |client: usize, to_client: bool| {
        of_session.iter().filter(|packet| (packet.client, packet.to_client) == (client, to_client)).count()
    };
    let mut oracle = Oracle::start();
    let mut keys = Vec::new();
    for &client in &epochs {
        let exported = world.clients[client].peer.exported().expect("it was connected");
        for (key, by_client) in write_keys(exported.profile(), exported.material()).into_iter().zip([true, false]) {
            let to_client = by_client != exported.is_client();
            let expected = count(client, to_client);
            assert!(expected > 1, "something was captured: {expected}");
            // Every packet of its own epoch and direction, and not one of another.
            let own = (client, to_client);
            let opened = opened_by(&mut oracle, (exported.profile(), &key), own, &of_session);
            assert_eq!(opened, BTreeMap::from([(own, expected)]), "transport {client}");
            keys.push(key);
        }
    }
    let different: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), 6, "two keys for each of three transports");
    let last = |client: usize| {
        of_session.iter().filter(|packet| packet.client == client && packet.to_client).map(|packet| packet.at).max()
    };
    let [first, second, _] = epochs;
    assert!(last(first) <= Some(left + 20 * MS), "the first is silent when the client has switched");
    let overlap = last(second).expect("it was sent something").since(connected);
    assert!(overlap <= limits::EPOCH_OVERLAP_MAX + 20 * MS && overlap > limits::EPOCH_OVERLAP_MAX / 2, "{overlap:?}");
    assert!(limits::EPOCH_OVERLAP_MAX.as_secs() <= 10);
}

#[test]
fn a_key_opens_what_its_own_transport_of_a_viewer_carried_and_nothing_else() {
    assert_each_key_opens_its_own(&Opening::viewer(0));
}

#[test]
fn a_key_opens_what_its_own_transport_of_a_publisher_carried_and_nothing_else() {
    assert_each_key_opens_its_own(&Opening::publisher(0));
}

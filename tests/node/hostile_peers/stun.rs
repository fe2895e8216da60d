//! STUN floods, and strangers: whatever comes from an address that no authentic check came from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use corecast::crypto::random::{Random as _, SystemRandom};
use corecast::description::Direction;
use corecast::limits;
use corecast::wire::stun::StunWriter;

use super::ATTACK;
use super::scene::{Scene, paced};
use crate::hostile::{self, Hostile};

const PER_SECOND: u32 = 8_000;

fn transaction() -> [u8; 12] {
    let mut id = [0; 12];
    SystemRandom.fill(&mut id);
    id
}

/// A binding request with credentials, right or wrong.
pub(super) fn check(out: &mut [u8], user: &str, password: &str) -> usize {
    StunWriter::binding_request(out, &transaction())
        .username(user.as_bytes())
        .priority(0x6e7f_1eff)
        .ice_controlling(7)
        .use_candidate()
        .integrity(password.as_bytes())
        .fingerprint()
        .finish()
        .unwrap()
}

/// What has arrived at a socket that does not wait.
pub(super) fn drain(socket: &UdpSocket) -> (u64, u64) {
    let (mut datagrams, mut bytes) = (0, 0);
    let mut buffer = [0; 2_048];
    while let Ok(len) = socket.recv(&mut buffer) {
        datagrams += 1;
        bytes += len as u64;
    }
    (datagrams, bytes)
}

/// Bindings without credentials, checks of users that are not there, checks with another's password, broken STUN.
pub(crate) fn flood_without_credentials(scene: &Scene, time: Duration) {
    let plain = hostile::socket(SocketAddr::from(([127, 0, 0, 1], 0)), scene.node.media);
    let forged = hostile::socket(SocketAddr::from(([127, 0, 0, 1], 0)), scene.node.media);
    let victim = Hostile::connect(&scene.node, Direction::Play, hostile::STREAM);
    let user = format!("{}:{}", victim.opened.peer.remote_ice.ufrag, victim.opened.peer.local_ice.ufrag);
    let mut answers = (0, 0);
    let mut out = [0; 512];
    let begun = Instant::now();
    paced(&scene.node, PER_SECOND, time, |at| {
        let (socket, len) = match at % 4 {
            0 => (&plain, StunWriter::binding_request(&mut out, &transaction()).fingerprint().finish().unwrap()),
            1 => (&forged, check(&mut out, "AAnobodyhere:peer", "a-password-that-nobody-has")),
            2 => (&forged, check(&mut out, &user, "a-password-that-nobody-has")),
            _ => {
                // A length that lies, an attribute cut off, a wrong cookie in turn.
                let len = check(&mut out, &user, "x");
                out[2 + 2 * (at as usize / 4 % 3)] ^= 0x10;
                (&forged, len)
            }
        };
        let _ = socket.send(&out[..len]);
        let new = drain(&plain);
        answers = (answers.0 + new.0, answers.1 + new.1);
    });
    std::thread::sleep(Duration::from_millis(100));
    answers.0 += drain(&plain).0;
    // Longer than the attack where the machine held somebody up.
    let time = begun.elapsed();
    assert_eq!(drain(&forged), (0, 0), "a check that is not authentic got an answer");
    let rate = u64::from(limits::PLAIN_BINDINGS_PER_SECOND_MAX);
    assert!(answers.0 > 0 && answers.0 <= rate * (time.as_secs() + 2), "{} plain bindings answered", answers.0);
    assert!(scene.node.dropped("plain_bindings_over_rate") > 0);
    assert!(scene.node.dropped("stun_unknown_user") > 0 && scene.node.dropped("stun_integrity") > 0);
    victim.leave(&scene.node);
}

/// Authentic checks of a session of the attacker's own, far more than anyone needs, from ever new ports.
pub(crate) fn flood_with_credentials(scene: &Scene, time: Duration) {
    let owner = Hostile::connect(&scene.node, Direction::Play, hostile::STREAM);
    let user = format!("{}:{}", owner.opened.peer.remote_ice.ufrag, owner.opened.peer.local_ice.ufrag);
    let password = owner.opened.peer.remote_ice.password.clone();
    let here = || hostile::socket(SocketAddr::from(([127, 0, 0, 1], 0)), scene.node.media);
    // Eight paths are kept for a session; sixty-four fight for them.
    let sockets: Vec<UdpSocket> = (0..64).map(|_| here()).collect();
    let (mut sent, mut received) = (0, 0);
    let mut out = [0; 512];
    paced(&scene.node, PER_SECOND, time, |at| {
        let socket = &sockets[at as usize % sockets.len()];
        let len = check(&mut out, &user, &password);
        sent += socket.send(&out[..len]).unwrap_or(0) as u64;
        received += drain(socket).1;
    });
    std::thread::sleep(Duration::from_millis(100));
    received += sockets.iter().map(|socket| drain(socket).1).sum::<u64>();
    assert!(received > 0 && received <= sent, "{received} bytes for {sent}");
    owner.leave(&scene.node);
}

/// Everything but an authentic check, from many addresses, as if each were a victim's: nobody gets a byte back.
pub(crate) fn strangers(scene: &Scene, time: Duration) {
    let address = |at: u8| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 66, 0, at)), 0);
    let victims: Vec<UdpSocket> = (1..=50).map(|at| hostile::socket(address(at), scene.node.media)).collect();
    let hello = client_hello();
    let (mut sent, mut received) = (0_u64, 0_u64);
    let mut out = [0; 1_200];
    paced(&scene.node, PER_SECOND, time, |at| {
        let victim = &victims[at as usize % victims.len()];
        let bytes: &[u8] = match at % 5 {
            0 => &hello,
            // RTP and RTCP (RFC 7983: 128 to 191), of any content.
            1 | 2 => {
                SystemRandom.fill(&mut out);
                (out[0], out[1]) = (0x80, if at % 5 == 1 { 96 } else { 200 });
                &out[..200 + at as usize % 1_000]
            }
            3 => {
                let len = check(&mut out, "AAnobodyhere:peer", "a-password-that-nobody-has");
                &out[..len]
            }
            _ => {
                SystemRandom.fill(&mut out);
                &out[..at as usize % 1_200]
            }
        };
        sent += victim.send(bytes).unwrap_or(0) as u64;
        received += drain(victim).1;
    });
    std::thread::sleep(Duration::from_millis(100));
    received += victims.iter().map(|victim| drain(victim).1).sum::<u64>();
    assert!(sent > 0);
    // One in five was random: one in 256 of those looks like STUN, and none is a binding request.
    assert_eq!(received, 0, "addresses that were never validated got {received} bytes for {sent}");
    assert!(scene.node.dropped("unknown_address") > 0);
}

/// A browser's first flight, or what looks like one to whoever reads the record's head only.
fn client_hello() -> Vec<u8> {
    use corecast::dtls::{Dtls, DtlsEvent, DtlsIdentity, DtlsVersions};
    let identity = DtlsIdentity::generate(std::time::SystemTime::now()).unwrap();
    let mut client = Dtls::new_client(&identity, DtlsVersions::Only12, Vec::new(), corecast::net::now());
    let mut out = vec![0; limits::DTLS_DATAGRAM_OUT_BYTES_MAX];
    match client.poll(&mut out) {
        Some(DtlsEvent::Datagram(len)) => out.truncate(len),
        other => panic!("a client begins with a hello: {other:?}"),
    }
    out
}

#[test]
fn a_stun_flood_without_credentials_is_answered_at_the_stated_rate_only() {
    let scene = Scene::set();
    flood_without_credentials(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(20));
}

#[test]
fn a_stun_flood_with_credentials_gets_no_more_bytes_than_it_sends() {
    let scene = Scene::set();
    flood_with_credentials(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(20));
}

#[test]
fn an_address_that_was_never_validated_gets_not_one_byte_whatever_it_sends() {
    let scene = Scene::set();
    strangers(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(20));
}

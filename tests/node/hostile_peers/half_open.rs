//! DTLS handshakes begun and left: by the thousand after an authentic check each, and pieces of hellos without end.

use std::time::{Duration, Instant, SystemTime};

use corecast::description::Direction;
use corecast::dtls::DtlsIdentity;
use corecast::limits;

use super::ATTACK;
use super::scene::{Scene, paced};
use crate::client::Http;
use crate::hostile::{self, Hostile};

/// Checks, ClientHello, and silence; then, from the last one, a hello in pieces that never ends.
pub(crate) fn begin_and_leave(scene: &Scene, time: Duration) {
    let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
    let mut http = Http::to(scene.node.http);
    let mut left = Vec::new();
    let end = Instant::now() + time * 3;
    while left.len() < 1_000 && Instant::now() < end {
        let play = Direction::Play;
        let Ok(mut hostile) = Hostile::open(&scene.node, &mut http, &identity, play, hostile::STREAM) else { continue };
        hostile.step(|_| {});
        left.push(hostile);
        // The answers to their checks, upon which they say hello, and no more: what comes after is not read.
        if left.len().is_multiple_of(16) {
            let from = left.len() - 16;
            std::thread::sleep(Duration::from_millis(5));
            left[from..].iter_mut().for_each(|hostile| hostile.step(|_| {}));
        }
    }
    assert!(left.len() >= 200, "{} handshakes were begun only", left.len());
    assert!(scene.node.worker()["handshakes"].as_u64().unwrap() > 150);
    let mut last = left.pop().unwrap();
    // In bursts, or each would be worked on before the next one comes.
    let mut burst = |at: u64| (0..64).for_each(|piece| last.send(&piece_of_hello(at * 64 + piece)));
    let bursts = paced(&scene.node, 100, time / 2, &mut burst);
    let over_share =
        || scene.node.dropped("handshake_session_over_share") + scene.node.dropped("handshake_queue_full") > 0;
    let deadline = Instant::now() + time * 4;
    for at in bursts.. {
        if over_share() {
            break;
        }
        assert!(Instant::now() < deadline, "one session's handshake had all the worker's time");
        burst(at);
    }
    // What each of them was sent: a flight and its repetitions, bounded.
    std::thread::sleep(Duration::from_millis(200));
    let repetitions = limits::DTLS_RETRANSMITS_MAX as u64 + 1;
    for hostile in &mut left {
        let mut buffer = [0; 2_048];
        let mut bytes = 0;
        while let Ok(len) = hostile.socket.recv(&mut buffer) {
            bytes += len as u64;
        }
        assert!(bytes <= repetitions * 4_000, "{bytes} bytes to one that has only said hello");
    }
}

/// A fragment of a ClientHello of 8,000 bytes (RFC 6347 §4.2.3), each at another place.
fn piece_of_hello(at: u64) -> Vec<u8> {
    const TOTAL: u32 = 8_000;
    const LEN: u32 = 20;
    let offset = (at as u32 * 37) % (TOTAL - LEN);
    let mut bytes = vec![22, 0xfe, 0xfd, 0, 0];
    bytes.extend_from_slice(&at.to_be_bytes()[2..]);
    bytes.extend_from_slice(&(12 + LEN as u16).to_be_bytes());
    bytes.push(1);
    bytes.extend_from_slice(&TOTAL.to_be_bytes()[1..]);
    bytes.extend_from_slice(&((at as u16 / 512) % 12).to_be_bytes());
    bytes.extend_from_slice(&offset.to_be_bytes()[1..]);
    bytes.extend_from_slice(&LEN.to_be_bytes()[1..]);
    bytes.resize(bytes.len() + LEN as usize, 0x41);
    bytes
}

#[test]
fn a_thousand_handshakes_begun_and_left_are_forgotten_after_their_time() {
    let scene = Scene::set();
    begin_and_leave(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(limits::SESSION_SETUP_MAX + Duration::from_secs(10));
}

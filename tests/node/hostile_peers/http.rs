//! Signalling under attack: connections that hardly move, bodies without end, garbage where TLS should be.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use corecast::crypto::random::{Random as _, SystemRandom};
use corecast::limits;

use super::ATTACK;
use super::scene::{Scene, paced};
use crate::client::{Http, connect};

/// An address whose connections are counted, unlike this host's own.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn status(stream: &mut TcpStream) -> u16 {
    let mut answer = [0; 256];
    let len = stream.read(&mut answer).unwrap_or(0);
    let text = String::from_utf8_lossy(&answer[..len]);
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Heads and bodies a byte at a time on as many connections as an address may have, and what is too long.
pub(crate) fn slow_and_oversized(scene: &Scene, time: Duration) {
    let node = &scene.node;
    let mut slow: Vec<TcpStream> = (0..250).filter_map(|_| connect(ELSEWHERE, node.http).ok()).collect();
    for (at, stream) in slow.iter_mut().enumerate() {
        let _ = stream.set_nonblocking(true);
        let head = match at % 3 {
            0 => "POST /whip/hostile HTTP/1.1\r\nx: ",
            1 => {
                "POST /whip/hostile HTTP/1.1\r\nhost: a\r\ncontent-type: application/sdp\r\ncontent-length: 60000\r\n\r\n"
            }
            _ => {
                "POST /whip/hostile HTTP/1.1\r\nhost: a\r\ncontent-type: application/sdp\r\ntransfer-encoding: chunked\r\n\r\n"
            }
        };
        let _ = stream.write_all(head.as_bytes());
    }
    let end = Instant::now() + time;
    let mut answered = 0;
    while Instant::now() < end || answered <= 3 {
        for (at, stream) in slow.iter_mut().enumerate() {
            let _ = stream.write_all(if at % 3 == 2 { b"1\r\nv\r\n" } else { b"v" });
        }
        // Honest clients are served all the while.
        let answer = Http::to(node.http).ask("POST", "/whep/hostile", &[("content-type", "text/plain")], "").unwrap();
        assert_eq!(answer.status, 415);
        answered += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    let long = "x".repeat(limits::REQUEST_BODY_BYTES_MAX + 1);
    let sdp = [("content-type", "application/sdp")];
    assert_eq!(Http::to(node.http).ask("POST", "/whip/hostile", &sdp, &long).map(|a| a.status).unwrap_or(413), 413);
    let mut stream = connect(ELSEWHERE, node.http).unwrap();
    // Closed at once: this address has its connections. From here the head is read until it is too long.
    assert_eq!(status(&mut stream), 0);
    let mut stream = TcpStream::connect(node.http).unwrap();
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024)).as_bytes());
    assert!(matches!(status(&mut stream), 431 | 0));
    // A length that is a lie, and chunks without end.
    let mut stream = TcpStream::connect(node.http).unwrap();
    let _ = stream.write_all(
        b"POST /whip/a HTTP/1.1\r\nhost: a\r\ncontent-type: application/sdp\r\ncontent-length: 99999999999\r\n\r\n",
    );
    assert_eq!(status(&mut stream), 413);
    let mut stream = TcpStream::connect(node.http).unwrap();
    let _ = stream.write_all(
        b"POST /whip/a HTTP/1.1\r\nhost: a\r\ncontent-type: application/sdp\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let chunk = [b"1000\r\n".as_slice(), &[b'z'; 0x1000], b"\r\n"].concat();
    for _ in 0..64 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    assert!(matches!(status(&mut stream), 413 | 0));
}

/// Random bytes, plain HTTP and hellos that stop, where TLS is spoken.
pub(crate) fn tls_garbage(scene: &Scene, time: Duration) {
    let node = &scene.node;
    let mut held: Vec<TcpStream> = Vec::new();
    let mut garbage = [0; 512];
    paced(node, 300, time, |at| {
        let Ok(mut stream) = connect(if at % 2 == 0 { ELSEWHERE } else { crate::client::HERE }, node.https) else {
            return;
        };
        SystemRandom.fill(&mut garbage);
        let bytes: &[u8] = match at % 4 {
            0 => &garbage,
            1 => b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            // A record of a hello that says it is 16 KiB, and is not.
            2 => &[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3],
            _ => {
                garbage[..6].copy_from_slice(&[22, 3, 1, 1, 0, 1]);
                &garbage
            }
        };
        let _ = stream.write_all(bytes);
        // Some are left hanging.
        if at % 4 == 2 && held.len() < 100 {
            held.push(stream);
        }
    });
    let answer = Http::to(node.http).ask("GET", "/", &[], "").unwrap();
    assert_eq!(answer.status, 200);
}

#[test]
fn slow_clients_keep_their_addresss_connections_busy_and_nobody_elses() {
    let scene = Scene::set();
    slow_and_oversized(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(25));
}

#[test]
fn what_is_no_tls_is_closed_and_given_back() {
    let scene = Scene::set();
    tls_garbage(&scene, ATTACK);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(25));
}

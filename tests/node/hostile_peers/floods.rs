//! Floods over TLS: HTTP/2 frames that ask for nothing, requests, handshakes, connections that are only held. Each comes
//! from several addresses at full speed, while others ask whether the node is well, and join.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use corecast::description::Direction;
use corecast::dtls::DtlsIdentity;
use corecast::net::process;
use socket2::SockRef;

use super::ATTACK;
use super::scene::Scene;
use super::tls::tls;
use crate::client::{self, Http};
use crate::honest;
use crate::node::Node;

/// What an attacker does on one connection until it fails; whether the node ended it.
type Flood = fn(&Node, IpAddr, &AtomicBool) -> bool;

const FLOODS: &[(&str, Flood)] = &[
    ("PING", |node, from, stop| frames(node, from, stop, &frame(6, 0, 0, &[7; 8]))),
    ("SETTINGS", |node, from, stop| frames(node, from, stop, &frame(4, 0, 0, &[]))),
    ("WINDOW_UPDATE", |node, from, stop| frames(node, from, stop, &frame(8, 0, 0, &[0, 0, 0, 1]))),
    ("empty DATA", |node, from, stop| frames(node, from, stop, &frame(0, 0, 1, &[]))),
    ("PRIORITY", |node, from, stop| frames(node, from, stop, &frame(2, 0, 1, &[0, 0, 0, 0, 1]))),
    ("RST_STREAM", |node, from, stop| frames(node, from, stop, &frame(3, 0, 1, &[0, 0, 0, 8]))),
    ("unknown frames", |node, from, stop| frames(node, from, stop, &frame(0x42, 0, 0, &[]))),
];

/// Floods that nothing but the attacker's part of the thread bounds.
const SLOWED: &[(&str, Flood)] =
    &[("requests without a pause", requests), ("handshakes", handshakes), ("connections", connections)];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Connects, begins a request whose body does not come, and sends a frame again and again without reading an answer more
/// than the kernel wants read.
fn frames(node: &Node, from: IpAddr, stop: &AtomicBool, frame_again: &[u8]) -> bool {
    let Ok(mut stream) = tls(from, node.https, "h2") else { return false };
    // :method POST, :scheme https, :path, :authority, content-type (RFC 7541 appendix A).
    let head: &[u8] = b"\x83\x87\x44\x0d/whip/hostile\x41\x09localhost\x5f\x0fapplication/sdp";
    let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), frame(1, 4, 1, head)].concat();
    write_on(&mut stream, &hello, &frame_again.repeat(16_000 / frame_again.len()), stop)
}

/// Requests, one behind the other.
fn requests(node: &Node, from: IpAddr, stop: &AtomicBool) -> bool {
    let Ok(mut stream) = tls(from, node.https, "http/1.1") else { return false };
    write_on(&mut stream, b"", &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(500), stop)
}

/// Handshakes, and nothing behind them.
fn handshakes(node: &Node, from: IpAddr, stop: &AtomicBool) -> bool {
    while !stop.load(Relaxed) {
        if tls(from, node.https, "h2").is_err() {
            return true;
        }
    }
    false
}

/// Connections that are reset as soon as they are made.
fn connections(node: &Node, from: IpAddr, stop: &AtomicBool) -> bool {
    while !stop.load(Relaxed) {
        if let Ok(stream) = client::connect(from, node.https) {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }
    false
}

fn write_on(stream: &mut super::tls::Tls, hello: &[u8], again: &[u8], stop: &AtomicBool) -> bool {
    // What the node says is thrown away unread by TLS, so that nothing holds its answers up.
    let mut raw = stream.sock.try_clone().unwrap();
    let drain = std::thread::spawn(move || while matches!(raw.read(&mut [0; 65_536]), Ok(1..)) {});
    let mut is_ended = stream.write_all(hello).is_err();
    while !is_ended && !stop.load(Relaxed) {
        is_ended = stream.write_all(again).is_err();
    }
    let _ = stream.sock.shutdown(std::net::Shutdown::Both);
    let _ = drain.join();
    is_ended
}

/// What those who ask meanwhile see.
#[derive(Debug, Default)]
struct Seen {
    /// How long each `GET /healthz` took, on a connection of its own.
    healthz: Vec<Duration>,
    joins: usize,
    unanswered: usize,
    ended: usize,
}

impl Seen {
    fn quantile(&self, quantile: f64) -> Duration {
        let mut sorted = self.healthz.clone();
        sorted.sort();
        sorted[((sorted.len() - 1) as f64 * quantile) as usize]
    }
}

/// An address of an attacker's, and one of who is none. Unlike this host's own they are counted.
fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// A page over a TLS connection of its own; nothing, if there is no answer.
fn page(node: &Node, from: IpAddr) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = tls(from, node.https, "http/1.1") {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let _ = stream.read_to_string(&mut answer);
    }
    answer
}

/// So many addresses flood for so long.
fn under(node: &Node, flood: Flood, addresses: u8, time: Duration) -> Seen {
    let (stop, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        for at in 0..addresses {
            let (stop, ended) = (&stop, &ended);
            scope.spawn(move || {
                honest::beside_the_worker();
                // The node's time is measured, not what its attackers leave of the machine.
                let _ = process::set_thread_nice(19);
                while !stop.load(Relaxed) {
                    ended.fetch_add(usize::from(flood(node, address(2 + at), stop)), Relaxed);
                }
            });
        }
        let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
        let end = Instant::now() + time;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
            let asked = Instant::now();
            let answer = Http::to(node.admin).ask("GET", "/healthz", &[], "");
            seen.unanswered += usize::from(answer.is_err());
            seen.healthz.push(asked.elapsed());
            if seen.healthz.len() % 8 == 0 {
                let mut http = Http::to(node.http).from(address(99));
                let candidate = ([127, 0, 0, 1], 9).into();
                let opened = client::open(&mut http, &identity, Direction::Play, "joined", candidate);
                let closed = opened.map(|opened| http.ask("DELETE", &opened.location, &[], ""));
                match closed {
                    Ok(Ok(answer)) if answer.status == 200 => seen.joins += 1,
                    _ => seen.unanswered += 1,
                }
                seen.unanswered += usize::from(!page(node, address(99)).starts_with("HTTP/1.1 200"));
            }
        }
        stop.store(true, Relaxed);
    });
    seen.ended = ended.load(Relaxed);
    seen
}

fn tell(name: &str, seen: &Seen) {
    let ms = |quantile| seen.quantile(quantile).as_secs_f64() * 1e3;
    let (p50, p99, max) = (ms(0.5), ms(0.99), ms(1.0));
    let (asked, joins, failed, ended) = (seen.healthz.len(), seen.joins, seen.unanswered, seen.ended);
    println!(
        "{name:<26} {asked:>6} asked {p50:>9.1} {p99:>9.1} {max:>9.1} ms {joins:>5} joins {failed:>3} failed {ended:>6} ended"
    );
}

/// For the changelog and the issue: `$CORECAST_BIN` under each flood.
#[test]
#[ignore = "a measurement: it asserts nothing about time and takes a minute"]
fn answers_under_each_flood() {
    let scene = Scene::set();
    println!("{:<26} {:>12} {:>9} {:>9} {:>9}", "flood", "healthz", "p50", "p99", "max");
    tell("none", &under(&scene.node, handshakes, 0, Duration::from_secs(3)));
    for (addresses, floods) in [(6, FLOODS), (8, SLOWED)] {
        for (name, flood) in floods {
            tell(name, &under(&scene.node, *flood, addresses, Duration::from_secs(4)));
        }
    }
}

#[test]
fn frames_that_ask_for_nothing_end_their_connection_and_hold_nobody_up() {
    let scene = Scene::set();
    for (name, flood) in FLOODS {
        let seen = under(&scene.node, *flood, 6, Duration::from_millis(700));
        tell(name, &seen);
        assert_eq!(seen.unanswered, 0, "{name}");
        assert!(seen.ended > 0, "no connection that floods with {name} was ended");
        // Unhindered a flood leaves no answer for seconds. One stall of the machine moves no median.
        assert!(seen.quantile(0.5) < Duration::from_secs(1), "{name}: {seen:?}");
    }
    assert!(scene.node.metric("corecast_http_connections_refused_total{reason=\"too_many_control_frames\"}") > 0.0);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(25));
}

#[test]
fn eight_addresses_that_ask_or_shake_hands_without_a_pause_hold_nobody_up() {
    let scene = Scene::set();
    for (name, flood) in SLOWED {
        let seen = under(&scene.node, *flood, 8, Duration::from_secs(2));
        tell(name, &seen);
        assert_eq!(seen.unanswered, 0, "{name}");
        assert!(seen.joins > 0 && seen.quantile(0.5) < Duration::from_secs(1), "{name}: {seen:?}");
    }
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(25));
}

#[test]
fn who_holds_connections_without_asking_gives_way_to_who_asks() {
    let scene = Scene::set();
    let node = &scene.node;
    // More than there are places, from four addresses, for a while; half of them have begun TLS.
    let mut held: Vec<TcpStream> = Vec::new();
    for at in 0..800_usize {
        let Ok(mut stream) = client::connect(address(2 + (at % 4) as u8), node.https) else { continue };
        if at % 8 < 4 {
            let _ = stream.write_all(&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3]);
        }
        held.push(stream);
        if at % 50 == 49 {
            let answer = page(node, address(99));
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?} beside {at} connections that are held");
            std::thread::sleep(ATTACK / 16);
        }
    }
    assert!(node.metric("corecast_http_connections_refused_total{reason=\"unfinished\"}") > 0.0);
    drop(held);
    scene.assert_undisturbed();
    scene.assert_released(Duration::from_secs(25));
}

//! `corecast doctor --from`: which ways lead to the real program, also through a network that maps its ports.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use corecast::doctor::finding::{Level, Report};
use corecast::lab::reach::{Target, examine};

use crate::honest::{Honest, STREAM};
use crate::node::Node;

fn target(node: &Node, stream: &str) -> Target {
    let url = format!("https://localhost:{}", node.https.port());
    Target { url, stream: stream.to_owned(), ca: Some(node.certificate()), ..Target::default() }
}

/// What was found of one way.
fn of<'r>(report: &'r Report, way: &str) -> (Level, &'r str) {
    let found = report.sections[0].findings.iter().find(|finding| finding.what == way);
    let found = found.unwrap_or_else(|| panic!("nothing of {way}: {}", report.to_text(false)));
    (found.level, &found.found)
}

#[track_caller]
fn assert_works(report: &Report, way: &str, at: &str) {
    let (level, found) = of(report, way);
    assert!(level == Level::Ok && found.starts_with("first packet ") && found.contains(at), "{way}: {found}");
}

fn program(node: &Node, arguments: &[&str]) -> std::process::Output {
    let program = std::env::var_os("CORECAST_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_corecast").into());
    let url = format!("https://localhost:{}", node.https.port());
    Command::new(program).args(["doctor", "--from", &url]).args(arguments).output().unwrap()
}

#[test]
fn every_way_is_tried_alone_and_none_leaves_a_session() {
    let _turn = crate::turn();
    let node = Node::start();
    let report = examine(&target(&node, "nobody")).unwrap();
    let (media, https) = (format!("at {}", node.media), format!("at {}", node.https));
    assert_works(&report, "UDP over IPv4", &media);
    assert_works(&report, "TCP", &https);
    assert_works(&report, "TURN over TCP", &format!("{media} by turn:localhost:{}", node.https.port()));
    assert_works(&report, "TURN over TLS", &format!("{media} by turns:localhost:{}", node.https.port()));
    let (_, found) = of(&report, "UDP over IPv6");
    assert!(found.starts_with("not offered: "), "{found}");
    assert_eq!(report.errors, 0, "{}", report.to_text(false));
    assert!(of(&report, "TCP").1.contains("no media (nobody publishes)"));
    assert!(node.worker()["sessions"].as_array().unwrap().is_empty(), "{:?}", node.worker()["sessions"]);
    // Each was a way of its own.
    assert_eq!(node.metric("corecast_turn_clients_admitted_total"), 2.0);

    let honest = Honest::play(node.doors(), [None; 2]);
    let report = examine(&target(&node, STREAM)).unwrap();
    for way in ["UDP over IPv4", "TCP", "TURN over TCP", "TURN over TLS"] {
        assert!(of(&report, way).1.contains(", first media "), "{way}: {:?}", of(&report, way));
    }
    assert_eq!(honest.record().counts.lost(), 0);
}

#[test]
fn the_program_says_what_is_wrong_with_the_fix() {
    let node = Node::start();
    let certificate = node.certificate();
    let certificate = certificate.to_str().unwrap();
    let works = program(&node, &["--ca", certificate, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&works.stdout).unwrap();
    assert_eq!((works.status.code(), &json["errors"]), (Some(0), &0.into()), "{json}");
    // A certificate that nobody here believes.
    let stranger = program(&node, &[]);
    let text = String::from_utf8(stranger.stdout).unwrap();
    assert_eq!(stranger.status.code(), Some(1), "{text}");
    assert!(text.contains("certificate") && text.contains("fix: ") && text.contains("--ca FILE"), "{text}");
    let wrong = program(&node, &["--ca", "/nothing"]);
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{text}");
    assert!(text.contains("--ca = /nothing: ") && text.contains("name a PEM file"), "{text}");
    assert_eq!(program(&node, &["--stream", "a/b"]).status.code(), Some(2));
}

/// Carries datagrams of several clients to one port.
fn map_udp(to: SocketAddr) -> SocketAddr {
    let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = outside.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut known: Vec<(SocketAddr, UdpSocket)> = Vec::new();
        let mut buffer = [0; 2_048];
        while let Ok((len, from)) = outside.recv_from(&mut buffer) {
            if known.iter().all(|(client, _)| *client != from) {
                let inside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                inside.connect(to).unwrap();
                let (back, answers) = (outside.try_clone().unwrap(), inside.try_clone().unwrap());
                std::thread::spawn(move || {
                    let mut buffer = [0; 2_048];
                    while let Ok(len) = answers.recv(&mut buffer) {
                        let _ = back.send_to(&buffer[..len], from);
                    }
                });
                known.push((from, inside));
            }
            let (_, inside) = known.iter().find(|(client, _)| *client == from).unwrap();
            let _ = inside.send(&buffer[..len]);
        }
    });
    address
}

/// Carries connections to a port that is known later.
fn map_tcp(outside: TcpListener, to: SocketAddr) {
    std::thread::spawn(move || {
        for near in outside.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(to) else { continue };
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
}

#[test]
fn a_network_that_maps_ports_is_announced_and_every_way_leads_through_it() {
    let _turn = crate::turn();
    let media_port = crate::ports::free();
    let udp = map_udp(([127, 0, 0, 1], media_port).into());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tcp = listener.local_addr().unwrap();
    let node = Node::start_at(media_port, &format!("announce = ['{udp}/udp', '{tcp}/tcp']\n"));
    map_tcp(listener, node.https);
    let report = examine(&target(&node, "nobody")).unwrap();
    assert_works(&report, "UDP over IPv4", &format!("at {udp}"));
    assert_works(&report, "TCP", &format!("at {tcp}"));
    assert_works(&report, "TURN over TCP", &format!("at {udp} by turn:localhost:{}", tcp.port()));
    assert_works(&report, "TURN over TLS", &format!("at {udp} by turns:localhost:{}", tcp.port()));
    assert_eq!(node.report()["node"]["announce"], serde_json::json!([format!("{udp}/udp"), format!("{tcp}/tcp")]));
}

#[test]
fn ways_that_lead_nowhere_are_told_from_those_that_do() {
    let _turn = crate::turn();
    let media_port = crate::ports::free();
    // Somebody listens there and says nothing, as behind a firewall that drops.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let closed = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap()
    };
    let silent = silent.local_addr().map(|address| (address, silent)).unwrap();
    let node = Node::start_at(media_port, &format!("announce = ['{}/udp', '{closed}/tcp']\n", silent.0));
    let report = examine(&target(&node, "nobody")).unwrap();
    let (level, found) = of(&report, "UDP over IPv4");
    assert!(level == Level::Warning && found.starts_with("no answer within 6 s"), "{found}");
    for way in ["TCP", "TURN over TCP", "TURN over TLS"] {
        let (level, found) = of(&report, way);
        assert!(level == Level::Warning && found.contains("no connection to "), "{way}: {found}");
    }
    let (level, found) = of(&report, "media");
    assert!(level == Level::Error && found.starts_with("no way leads"), "{found}");
}

#[test]
fn a_node_that_wants_tokens_is_asked_once() {
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    secret.write_all(b"0123456789abcdef0123456789abcdef").unwrap();
    let more = format!("[auth]\nsecret_file = '{}'\n", secret.path().display());
    let node = Node::start_at(crate::ports::free(), &more);
    let report = examine(&target(&node, "locked")).unwrap();
    let [only] = &report.sections[0].findings[..] else { panic!("{}", report.to_text(false)) };
    assert!(only.level == Level::Error && only.found.contains("status 401"), "{only:?}");
    assert!(only.fix.contains("--token-file FILE"), "{only:?}");
    let file = node.certificate().with_file_name("token");
    std::fs::write(&file, "no.real.token\n").unwrap();
    let report = examine(&Target { token_file: Some(file), ..target(&node, "locked") }).unwrap();
    assert!(report.sections[0].findings[0].found.contains("401"), "{}", report.to_text(false));
}

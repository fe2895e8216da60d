//! HTTP connections of the front end: what ends them, who gets their places, and that one holds up nobody else.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::signal_support::{Node, PATIENCE, Plan, exchange, start};
use socket2::{Domain, Socket, Type};

#[test]
fn a_panic_ends_its_connection_and_nothing_else() {
    let node = start(Plan::default());
    let other = node.open("whep", "other");
    assert_eq!(node.post("whip", "live", "panic").status, 0, "the connection is closed");
    assert_eq!(node.post("whip", "live", "ok").status, 201, "the name was not taken");
    assert_eq!(node.patch(&other.location, &other.etag, "candidate").status, 204);
    assert!(node.admin("/metrics").body.contains("corecast_http_connections_refused_total{reason=\"panicked\"} 1"));
}

/// A connection from one of this host's addresses with a request whose body does not come.
fn asking(node: &Node, from: [u8; 4]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&node.http.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let head = "POST /whip/a HTTP/1.1\r\nhost: a\r\ncontent-type: application/sdp\r\ncontent-length: 99\r\n";
    stream.write_all(format!("{head}expect: 100-continue\r\n\r\n").as_bytes()).unwrap();
    // The node reads the body: the request is under way.
    assert!(stream.read(&mut [0; 64]).unwrap() > 0);
    stream
}

#[test]
fn connections_above_the_bound_are_closed_at_once_and_counted() {
    let node = start(Plan { connections_max: 2, ..Plan::default() });
    let held = [[127, 0, 0, 1], [127, 0, 0, 2]].map(|from| asking(&node, from));
    assert_eq!(node.ask("GET", "/", &[], "").status, 0, "the third connection is served");
    drop(held);
    let deadline = Instant::now() + PATIENCE;
    while node.ask("GET", "/", &[], "").status != 200 {
        assert!(Instant::now() < deadline, "places are given back");
    }
    assert!(node.admin("/metrics").body.contains("http_connections_refused_total{reason=\"too_many\"}"));
}

#[test]
fn connections_that_ask_for_nothing_keep_nobody_out() {
    let node = start(Plan { connections_max: 2, ..Plan::default() });
    let mut held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(node.http).unwrap()).collect();
    for _ in 0..5 {
        assert_eq!(node.ask("GET", "/", &[], "").status, 200);
        held.push(TcpStream::connect(node.http).unwrap());
    }
    assert!(node.admin("/metrics").body.contains("http_connections_refused_total{reason=\"unfinished\"}"));
}

#[test]
fn an_oversized_head_is_431_and_an_oversized_chunked_body_is_413() {
    let node = start(Plan::default());
    let big = "x".repeat(20 * 1024);
    assert_eq!(node.ask("GET", "/", &[("x-big", &big)], "").status, 431);
    let mut bytes =
        b"POST /whip/a HTTP/1.1\r\nhost: a\r\ncontent-type: application/sdp\r\ntransfer-encoding: chunked\r\n\
        connection: close\r\n\r\n"
            .to_vec();
    for _ in 0..70 {
        bytes.extend_from_slice(b"400\r\n");
        bytes.extend_from_slice(&[b'x'; 1_024]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(exchange(TcpStream::connect(node.http).unwrap(), &bytes).status, 413);
}

#[test]
fn slow_peers_are_not_waited_for() {
    let node = start(Plan::default());
    let slow = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(node.http).unwrap();
        stream.write_all(bytes).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
        stream
    };
    let head = slow(b"POST /whip/a HTTP/1.1\r\nhost: a\r\n");
    let body =
        slow(b"POST /whip/a HTTP/1.1\r\nhost: a\r\ncontent-type: application/sdp\r\ncontent-length: 9\r\n\r\nok");
    let mut tls = TcpStream::connect(node.https).unwrap();
    tls.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
    let begin = Instant::now();
    let response = exchange(body, b"");
    assert_eq!((response.status, response.code().as_str()), (408, "body_too_slow"));
    assert_eq!(tls.read(&mut [0; 8]).unwrap(), 0, "a TLS handshake that does not begin is closed");
    let answer = exchange(head, b"");
    assert!(matches!(answer.status, 0 | 408), "a head that does not end is closed: {answer:?}");
    assert!(begin.elapsed() < Duration::from_secs(22), "{:?}", begin.elapsed());
    assert_eq!(node.post("whip", "a", "ok").status, 201);
}

#[test]
fn stopping_does_not_wait_for_idle_connections() {
    let mut node = start(Plan::default());
    let _idle: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(node.http).unwrap()).collect();
    node.open("whip", "live");
    let begin = Instant::now();
    node.signalling.take().unwrap().stop();
    // They would be waited for until their heads are late, which is fifteen seconds.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    // The kernel takes the ring apart, and closes the listener in it, a little after the thread has ended.
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(node.http).is_ok() {
        assert!(Instant::now() < deadline, "nobody listens any more");
        thread::sleep(Duration::from_millis(5));
    }
}

/// RFC 9113 by hand: a preface, settings, and one request per stream; hyper's client would prove hyper against itself.
#[test]
fn many_http2_streams_of_one_connection_are_all_answered() {
    const STREAMS: u32 = 50;
    let node = start(Plan::default());
    let mut stream = node.tls_stream(&[b"h2"]);
    let frame = |kind: u8, flags: u8, id: u32, payload: &[u8]| {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(id.to_be_bytes());
        bytes.extend(payload);
        bytes
    };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE, and the connection's window, so that no page waits for the client.
    bytes.extend(frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    bytes.extend(frame(8, 0, 0, &0x0100_0000_u32.to_be_bytes()));
    for number in 0..STREAMS {
        // RFC 7541 appendix A: 2 is GET, 7 is https, 4 is "/"; 1 is :authority with a literal value.
        bytes.extend(frame(1, 0x5, number * 2 + 1, b"\x82\x87\x84\x01\x04node"));
    }
    stream.write_all(&bytes).unwrap();
    stream.sock.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (mut answered, mut finished) = (HashSet::new(), HashSet::new());
    while finished.len() < STREAMS as usize {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; len];
        stream.read_exact(&mut payload).unwrap();
        match head[3] {
            // HEADERS whose first field is 8 of the static table: ":status: 200".
            1 => assert!(payload[0] == 0x88 && answered.insert(id)),
            3 | 7 => panic!("RST_STREAM or GOAWAY: {payload:?}"),
            _ => {}
        }
        if head[3] < 2 && head[4] & 1 == 1 {
            finished.insert(id);
        }
    }
    assert_eq!(answered, finished);
}

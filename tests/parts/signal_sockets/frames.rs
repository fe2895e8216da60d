//! What a client may send and how fast: each breach has its close code, and the node serves on.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::signal_support::client::{BINARY, CLOSE, PING, PONG, Received, Socket, TEXT};
use crate::signal_support::{Node, PATIENCE, Plan, start};

/// A node with `change` made to its terms.
fn node(change: impl FnOnce(&mut corecast::config::Sockets)) -> Node {
    let mut plan = Plan::default();
    change(&mut plan.sockets);
    start(plan)
}

/// Waits until the node has counted so many sockets that ended for that reason: each is, once its connection is gone.
fn wait_counted(node: &Node, reason: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    let line = format!("corecast_sockets_closed_total{{reason=\"{reason}\"}} {count}");
    while !node.admin("/metrics").body.lines().any(|have| have == line) {
        assert!(Instant::now() < deadline, "{line} is not in {}", node.admin("/metrics").body);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The reason in metrics, the close code, and what is sent.
type Case<'a> = (&'a str, u16, &'a dyn Fn(&mut Socket));

#[test]
fn every_breach_has_its_close_code() {
    let node = start(Plan::default());
    let long = format!("{{\"type\":\"ping\",\"id\":1,\"x\":\"{}\"}}", "x".repeat(65_536));
    let cases: [Case<'_>; 20] = [
        ("binary_message", 1003, &|s| s.frame(BINARY, b"{}")),
        ("not_utf8", 1007, &|s| s.frame(TEXT, b"\xff\xfe")),
        ("not_utf8", 1007, &|s| s.frame(TEXT, b"{\"type\":\"ping\",\"id\":1,\"x\":\"\xc3")),
        ("message_too_long", 1009, &|s| s.frame(TEXT, long.as_bytes())),
        ("message_too_long", 1009, &|s| {
            s.raw(&[TEXT, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])
        }),
        ("message_too_long", 1009, &|s| {
            s.frame(0x01, &[b' '; 40_000]);
            s.frame(0x80, &[b' '; 40_000]);
        }),
        ("malformed_message", 4004, &|s| s.frame(TEXT, b"")),
        ("malformed_message", 4004, &|s| s.frame(TEXT, b"hello")),
        ("malformed_message", 4004, &|s| s.frame(TEXT, b"[]")),
        ("malformed_message", 4004, &|s| s.frame(TEXT, b"{\"id\":1}")),
        ("protocol_error", 1002, &|s| s.raw(&[TEXT, 0x02, b'{', b'}'])),
        ("protocol_error", 1002, &|s| s.frame(TEXT | 0x40, b"{}")),
        ("protocol_error", 1002, &|s| s.frame(0x83, b"")),
        ("protocol_error", 1002, &|s| s.frame(0x8b, b"")),
        ("protocol_error", 1002, &|s| s.frame(0x80, b"continues nothing")),
        ("protocol_error", 1002, &|s| {
            s.frame(0x01, b"{");
            s.frame(TEXT, b"}");
        }),
        ("protocol_error", 1002, &|s| s.frame(0x09, b"a ping in parts")),
        ("protocol_error", 1002, &|s| s.frame(PING, &[0; 126])),
        ("protocol_error", 1002, &|s| s.frame(CLOSE, &[3])),
        ("left", 1002, &|s| s.frame(CLOSE, &1005_u16.to_be_bytes())),
    ];
    for (number, (reason, code, breach)) in cases.iter().enumerate() {
        let mut socket = Socket::open(&node);
        breach(&mut socket);
        assert_eq!(socket.closed(), *code, "case {number}: {reason}");
        assert_eq!(socket.receive(), Received::End, "case {number}: nothing after the close frame");
    }
    wait_counted(&node, "protocol_error", 9);
    Socket::open(&node).assert_silent();
}

#[test]
fn a_message_may_come_in_parts_with_pings_between_them_and_bytes_one_by_one() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let text = json!({"type": "follow", "id": 7, "stream": "ümlaut"}).to_string();
    // Cut inside the two bytes of ü as well.
    let cut = text.find('ü').unwrap() + 1;
    socket.frame(0x01, &text.as_bytes()[..cut]);
    socket.frame(PING, b"between");
    socket.frame(0x00, b"");
    socket.frame(0x80, &text.as_bytes()[cut..]);
    assert_eq!(socket.receive(), Received::Pong(b"between".to_vec()));
    let Received::Message(answer) = socket.receive() else { panic!() };
    assert_eq!((&answer["id"], &answer["code"]), (&json!(7), &json!("bad_stream_name")));
    let payload = json!({"type": "ping", "id": 8}).to_string();
    socket.raw(&[TEXT, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
    payload.bytes().for_each(|byte| socket.raw(&[byte]));
    assert_eq!(socket.receive(), Received::Message(json!({"type": "pong", "id": 8})));
}

#[test]
fn the_first_message_is_hello_and_comes_in_time() {
    let patient = start(Plan::default());
    for (message, code) in [
        (json!({"type": "ping", "id": 1}), "hello_missing"),
        (json!({"type": "hello", "id": 1, "version": 2}), "version_unknown"),
        (json!({"type": "hello", "id": 1}), "bad_message"),
    ] {
        let mut socket = Socket::connect(&patient);
        socket.send(&message);
        assert_eq!(socket.event()["code"], code);
        assert_eq!(socket.closed(), 4000, "{message}");
    }
    // Frames that are no message do not count as one: after one, a minute's silence would be waited for.
    let node = node(|terms| terms.hello_time = Duration::from_millis(200));
    let mut socket = Socket::connect(&node);
    socket.frame(PING, b"");
    socket.frame(PONG, b"");
    assert_eq!(socket.closed(), 4000);
}

/// The code it is closed with for sending so again and again, as fast as it is answered.
fn closed_for_sending(socket: &mut Socket, send: impl Fn(&mut Socket)) -> u16 {
    for _ in 0..1_000 {
        send(socket);
        match socket.receive() {
            Received::Close(code) => return code,
            Received::Message(_) | Received::Ping(_) | Received::Pong(_) => {}
            other => panic!("{other:?} in place of an answer"),
        }
    }
    panic!("a thousand in a row were not too many");
}

#[test]
fn a_client_that_sends_too_many_messages_is_closed_and_one_that_keeps_to_the_rate_is_not() {
    let node = node(|terms| terms.messages_per_second = 5);
    let mut socket = Socket::open(&node);
    // hello and these are the burst.
    for _ in 0..19 {
        assert_eq!(socket.ask(json!({"type": "ping"}))["type"], "pong");
    }
    let mut other = Socket::open(&node);
    // Five a second are given back: on a busy machine it takes some more.
    assert_eq!(closed_for_sending(&mut socket, |socket| socket.send(&json!({"type": "ping", "id": 99}))), 4002);
    wait_counted(&node, "too_many_messages", 1);
    // Pings of RFC 6455 are messages too.
    assert_eq!(closed_for_sending(&mut other, |socket| socket.frame(PING, b"")), 4002);
}

/// Longer than a busy machine keeps a client from answering a ping.
const IDLE_TIME: Duration = Duration::from_secs(3);

fn impatient() -> Node {
    node(|terms| {
        terms.ping_interval = Duration::from_millis(100);
        terms.idle_time = IDLE_TIME;
    })
}

#[test]
fn a_client_that_answers_pings_may_be_silent_and_one_that_does_not_is_gone() {
    let node = impatient();
    let mut socket = Socket::open(&node);
    let opened = Instant::now();
    while opened.elapsed() < IDLE_TIME * 3 / 2 {
        match socket.receive() {
            Received::Ping(payload) => socket.frame(PONG, &payload),
            other => panic!("{other:?}"),
        }
    }
    let silent_since = Instant::now();
    socket.assert_silent();
    assert_eq!(socket.closed(), 4003);
    assert!(silent_since.elapsed() >= IDLE_TIME - Duration::from_millis(100), "{:?}", silent_since.elapsed());
}

#[test]
fn a_message_that_never_ends_is_no_sign_of_life() {
    let node = impatient();
    let mut socket = Socket::open(&node);
    socket.frame(0x01, b"{");
    let end = Instant::now() + IDLE_TIME + PATIENCE;
    let code = loop {
        socket.frame(0x00, b" ");
        match socket.receive() {
            Received::Close(code) => break code,
            Received::Ping(_) if Instant::now() < end => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, 4003);
}

#[test]
fn a_client_that_does_not_read_is_closed_and_costs_nobody_else() {
    let node = node(|terms| {
        terms.messages_per_second = 1_000_000;
        terms.write_time = Duration::from_millis(300);
    });
    let mut deaf = Socket::open(&node);
    let mut flood = Vec::new();
    let wrong = json!({"type": "candidate", "session": "1", "candidate": "", "mid": "0"}).to_string();
    for _ in 0..500 {
        flood.extend([TEXT, 0x80 | wrong.len() as u8, 0, 0, 0, 0]);
        flood.extend(wrong.bytes());
    }
    let flooding = std::thread::spawn(move || {
        // 20 MB of answers that nobody takes; the node closes long before.
        for _ in 0..200 {
            deaf.raw(&flood);
        }
        deaf
    });
    let mut other = Socket::open(&node);
    // The machine may hold up one of them, or some; what the flood costs, it costs all.
    let mut waits: Vec<Duration> = (0..50)
        .map(|_| {
            let asked = Instant::now();
            assert_eq!(other.ask(json!({"type": "ping"}))["type"], "pong");
            asked.elapsed()
        })
        .collect();
    waits.sort_unstable();
    assert!(waits[25] < Duration::from_secs(1), "{waits:?}");
    wait_counted(&node, "too_slow", 1);
    drop(flooding.join());
    other.assert_silent();
}

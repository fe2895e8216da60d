//! WebSocket frames as bytes after the handshake, on a connection to the real front end in virtual time ([`front`]). Whatever
//! comes, the node writes whole unmasked frames, messages that are JSON with a type, at most one answer for an `id`, and one
//! close frame with a code of its own; nothing is kept of the socket, and others are served on.
//!
//! The first byte says how the bytes are cut, and whether a `hello` goes before them.
use std::collections::BTreeMap;
use std::time::Duration;

use corecast::signal::runtime;
use serde_json::Value;

use super::{Seed, front};

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nhost: node.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: corecast.v1\r\n\r\n";

const HELLO: &str = r#"{"type":"hello","id":1,"version":1}"#;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// The codes that the node closes with (RFC 6455 §7.4.1, and `src/signal/README.md`).
fn is_known(code: u16) -> bool {
    matches!(code, 1000 | 1001 | 1002 | 1003 | 1007 | 1008 | 1009 | 1011 | 1013 | 4000..=4099)
}

pub fn run(data: &[u8]) {
    let Some((&first, octets)) = data.split_first() else { return };
    let cut = [1, 2, 7, 50, 200, 1_460, 16_384, 65_536][usize::from(first & 7)];
    let mut bytes = if first & 8 == 0 { frame(TEXT, HELLO.as_bytes()) } else { Vec::new() };
    bytes.extend_from_slice(octets);
    front::with_front(u64::from(first), |node| async move {
        let mut io = node.plain(1, cut).await;
        let bytes = [HANDSHAKE.as_bytes(), &bytes[..]].concat();
        let (answer, ended) = front::exchange(&mut io, &bytes, Duration::from_secs(15)).await;
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer to the handshake") + 4;
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        // An id may be used again, but nothing is answered more often than it was asked.
        for (id, times) in check(&answer[head..], ended) {
            let id = format!("{id}");
            let asked = bytes.windows(id.len()).filter(|window| *window == id.as_bytes()).count() as u32;
            assert!(times <= asked, "{id} was asked {asked} times and answered {times} times");
        }
        drop(io);
        // A goodbye may take a second.
        runtime::sleep(Duration::from_secs(5)).await;
        assert_eq!(node.figure("corecast_sockets"), 0, "a socket whose connection is gone");
        node.serves_on().await;
    });
}

/// Returns how often each `id` was answered.
fn check(mut bytes: &[u8], ended: bool) -> BTreeMap<u64, u32> {
    let mut answers: BTreeMap<u64, u32> = BTreeMap::new();
    let mut is_closed = false;
    while let [first, second, ..] = *bytes {
        assert_eq!((first & 0x70, second & 0x80), (0, 0), "no reserved bits, no mask (RFC 6455 §5.1)");
        let (head, len) = match (second, bytes) {
            (126, [_, _, high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            (127, [_, _, len @ ..]) => {
                (10, len.first_chunk().map_or(usize::MAX / 2, |len| u64::from_be_bytes(*len) as usize))
            }
            (126, _) => (4, 126),
            (len, _) => (2, usize::from(len)),
        };
        let Some(payload) = bytes.get(head..head + len) else { break };
        assert!(!is_closed, "a frame after the close frame (RFC 6455 §5.5.1)");
        match first {
            TEXT => {
                let message: Value = serde_json::from_slice(payload).expect("JSON");
                let kind = message["type"].as_str().expect("a type");
                if let Some(id) = message["id"].as_u64().filter(|_| kind != "error") {
                    *answers.entry(id).or_default() += 1;
                }
            }
            PING | PONG => assert!(payload.len() <= 125),
            CLOSE => {
                is_closed = true;
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                assert!(code.is_none_or(is_known), "closed with {code:?}");
            }
            first => panic!("a frame that begins with {first:#x}"),
        }
        bytes = &bytes[head + len..];
    }
    assert!(ended || bytes.is_empty(), "{} bytes of a frame that never ends", bytes.len());
    answers
}

/// A frame masked with zeros, so that its payload can be read and changed as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

pub fn seeds() -> Vec<Seed> {
    let text = |message: &str| frame(TEXT, message.as_bytes());
    let seed = |first: u8, parts: &[Vec<u8>]| [&[first], &parts.concat()[..]].concat();
    let offer = serde_json::to_string(super::sdp::offers()[8].2).expect("a text");
    let subscribe = text(&format!(r#"{{"type":"subscribe","id":2,"stream":"a","sdp":{offer}}}"#));
    let follow = text(r#"{"type":"follow","id":3,"stream":"a"}"#);
    let ping = text(r#"{"type":"ping","id":4}"#);
    let (half, rest) = HELLO.as_bytes().split_at(9);
    vec![
        ("subscribe".into(), seed(6, &[subscribe.clone(), ping.clone()])),
        ("publish".into(), seed(5, &[text(&format!(r#"{{"type":"publish","id":2,"stream":"b","sdp":{offer}}}"#))])),
        ("follow".into(), seed(0, &[follow.clone(), text(r#"{"type":"unfollow","id":5,"stream":"a"}"#)])),
        (
            "resume".into(),
            seed(12, &[text(r#"{"type":"hello","id":1,"version":1,"resume":[{"session":"7","secret":"s"}]}"#)]),
        ),
        (
            "restart".into(),
            seed(4, &[text(r#"{"type":"restart","id":6,"session":"7","fragment":"a=ice-ufrag:abcd"}"#)]),
        ),
        ("candidate".into(), seed(4, &[text(r#"{"type":"candidate","session":"7","candidate":"","mid":"0"}"#)])),
        ("close".into(), seed(3, &[subscribe, text(r#"{"type":"close","id":8,"session":"7"}"#)])),
        ("fragments".into(), seed(9, &[frame(0x01, half), frame(0x00, b""), frame(PING, b"p"), frame(0x80, rest)])),
        ("control".into(), seed(2, &[frame(PING, b"hello"), frame(PONG, b""), frame(CLOSE, &[3, 0xe8])])),
        ("close-code".into(), seed(1, &[frame(CLOSE, &[0x0f, 0xa0, b'x'])])),
        ("binary".into(), seed(7, &[frame(0x82, b"\x00\xff")])),
        ("not-text".into(), seed(7, &[frame(TEXT, b"\xff\xfe")])),
        ("not-json".into(), seed(7, &[text("[1,2]"), text("{")])),
        ("unmasked".into(), seed(7, &[vec![TEXT, 2, b'{', b'}']])),
        ("reserved".into(), seed(7, &[frame(0xf1, b"{}")])),
        ("long".into(), seed(7, &[vec![TEXT, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]])),
        ("pings".into(), seed(7, &[ping.repeat(300)])),
        ("no-hello".into(), seed(15, &[ping, follow])),
    ]
}

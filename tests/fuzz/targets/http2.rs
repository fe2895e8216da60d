//! HTTP/2 frames as bytes inside TLS, on a connection to the real front end in virtual time ([`front`]). Whatever comes, the
//! node writes whole frames of sizes that the client allows, answers each stream once, ends a connection whose client sends
//! too much that asks for nothing, and serves others on.
//!
//! The first byte says how the bytes are cut, and whether the client's preface goes before them.

use std::collections::BTreeMap;
use std::time::Duration;

use corecast::limits;

use super::{Seed, front};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The least that every client allows (RFC 9113 §4.2), and this one never allows more than it has asked for in the input.
const FRAME_BYTES_MAX: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// A frame's head and payload.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

/// The whole frames in `bytes`, and what is left.
fn frames(mut bytes: &[u8]) -> (Vec<Frame<'_>>, &[u8]) {
    let mut frames = Vec::new();
    while let Some((&[l0, l1, l2, kind, flags, s0, s1, s2, s3], rest)) = bytes.split_first_chunk::<9>() {
        let len = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(len) else { break };
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        frames.push(Frame { kind, flags, stream, payload });
        bytes = rest;
    }
    (frames, bytes)
}

pub fn run(data: &[u8]) {
    let Some((&first, octets)) = data.split_first() else { return };
    let cut = [1, 3, 9, 17, 100, 1_460, 16_384, 65_536][usize::from(first & 7)];
    let mut bytes = if first & 8 == 0 { PREFACE.to_vec() } else { Vec::new() };
    bytes.extend_from_slice(octets);
    front::with_front(u64::from(first), |node| async move {
        let mut io = node.http2(1, cut).await;
        let (answer, ended) = front::exchange(&mut io, &bytes, Duration::from_secs(3)).await;
        let (written, rest) = frames(&answer);
        assert!(ended || rest.is_empty(), "{} bytes of a frame that never ends", rest.len());
        let mut headers: BTreeMap<u32, u32> = BTreeMap::new();
        let mut pings = 0;
        for (at, frame) in written.iter().enumerate() {
            assert!(frame.payload.len() <= FRAME_BYTES_MAX.max(largest_allowed(&bytes)), "{}", frame.payload.len());
            assert!(
                at > 0 || frame.kind == SETTINGS || frame.kind == GOAWAY,
                "its first frame is of type {}",
                frame.kind
            );
            match frame.kind {
                // Trailers are not sent.
                HEADERS => {
                    assert!(frame.stream % 2 == 1, "stream {} is not the client's", frame.stream);
                    *headers.entry(frame.stream).or_default() += 1;
                }
                DATA => assert!(headers.contains_key(&frame.stream), "DATA before HEADERS on {}", frame.stream),
                PING => pings += u32::from(frame.flags & 1 != 0),
                RST_STREAM | SETTINGS | GOAWAY | WINDOW_UPDATE | CONTINUATION => {}
                kind => panic!("the node wrote a frame of type {kind}"),
            }
        }
        assert!(headers.values().all(|times| *times == 1), "a stream was answered twice: {headers:?}");
        // A request brings some with it; nobody is answered more pings than the burst and what the time allows.
        let asked = bytes.windows(9).filter(|head| head[3] == HEADERS).count() as u32;
        let of_requests = asked * limits::HTTP2_CONTROL_FRAMES_PER_REQUEST;
        let allowed = limits::HTTP2_CONTROL_FRAMES_BURST + 4 * limits::HTTP2_CONTROL_FRAMES_PER_SECOND + of_requests;
        assert!(pings <= allowed, "{pings} pings were answered");
        drop(io);
        node.serves_on().await;
    });
}

/// The largest frame that a SETTINGS frame anywhere in these bytes might allow.
fn largest_allowed(bytes: &[u8]) -> usize {
    let settings = bytes.windows(6).filter(|setting| setting[..2] == [0, 5]);
    let sizes = settings.map(|setting| u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]) as usize);
    sizes.max().unwrap_or(0)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// A header block of literals without indexing and without Huffman (RFC 7541 §6.2.2).
fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.extend([0, name.len() as u8]);
        block.extend(name.bytes());
        block.push(value.len() as u8);
        block.extend(value.bytes());
    }
    block
}

pub fn seeds() -> Vec<Seed> {
    let get = block(&[(":method", "GET"), (":scheme", "https"), (":authority", "node.test"), (":path", "/")]);
    let post = block(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "node.test"),
        (":path", "/whep/live"),
        ("content-type", "application/sdp"),
    ]);
    let settings = frame(SETTINGS, 0, 0, &[]);
    let ping = frame(PING, 0, 0, &[7; 8]);
    let window = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]);
    let seed = |first: u8, parts: &[&[u8]]| [&[first], &parts.concat()[..]].concat();
    let offer = super::sdp::offers()[8].2.as_bytes();
    let (head, tail) = get.split_at(20);
    vec![
        ("get".into(), seed(7, &[&settings, &frame(HEADERS, 5, 1, &get)])),
        ("bytewise".into(), seed(0, &[&settings, &frame(HEADERS, 5, 1, &get), &ping])),
        ("post".into(), seed(5, &[&settings, &frame(HEADERS, 4, 1, &post), &frame(DATA, 1, 1, offer)])),
        (
            "post-in-two".into(),
            seed(
                3,
                &[
                    &settings,
                    &frame(HEADERS, 4, 1, &post),
                    &frame(DATA, 0, 1, &offer[..100]),
                    &frame(DATA, 1, 1, &offer[100..]),
                ],
            ),
        ),
        ("continuation".into(), seed(2, &[&settings, &frame(HEADERS, 1, 1, head), &frame(CONTINUATION, 4, 1, tail)])),
        (
            "reset".into(),
            seed(
                4,
                &[
                    &settings,
                    &frame(HEADERS, 4, 1, &post),
                    &frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
                    &frame(HEADERS, 5, 3, &get),
                ],
            ),
        ),
        ("pings".into(), seed(6, &[&settings, &ping.repeat(600)])),
        ("windows".into(), seed(1, &[&settings, &window.repeat(40), &frame(HEADERS, 5, 1, &get)])),
        (
            "settings".into(),
            seed(
                7,
                &[
                    &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0, 0, 5, 0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0]),
                    &frame(HEADERS, 5, 1, &get),
                    &frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
                ],
            ),
        ),
        (
            "padded".into(),
            seed(7, &[&settings, &frame(HEADERS, 0x2d, 1, &[&[3, 0, 0, 0, 0, 9], &get[..], &[0; 3]].concat())]),
        ),
        ("empty-data".into(), seed(7, &[&settings, &frame(HEADERS, 4, 1, &post), &frame(DATA, 0, 1, &[]).repeat(600)])),
        ("goaway".into(), seed(7, &[&settings, &frame(GOAWAY, 0, 0, &[0; 8]), &ping])),
        ("two".into(), seed(7, &[&settings, &frame(HEADERS, 5, 1, &get), &frame(HEADERS, 5, 3, &get)])),
        ("no-preface".into(), seed(15, &[b"GET / HTTP/1.1\r\n\r\n"])),
    ]
}

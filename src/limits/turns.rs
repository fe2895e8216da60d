//! Signalling's one thread, shared out: how long one connection works before the others have their turn, how much of the
//! thread one client may have ahead of others, and how many HTTP/2 frames it may send that ask for nothing.
//!
//! A connection that floods is therefore slow for itself only, whatever it floods with: TLS records, handshakes, frames
//! of HTTP/2, requests, fragments of messages.

use std::time::Duration;

use super::*;

/// Bytes that are read from one connection in one turn: two TLS records. With the smallest HTTP/2 frames, 9 bytes, this is
/// 3,600 frames, about a millisecond. More: they are read in the connection's next turn.
pub const TURN_BYTES_MAX: usize = 32 * 1024;

/// Time in one turn after which a connection reads no more: as much as two or three TLS handshakes (410 µs each) take. So
/// a round of a hundred busy connections takes a tenth of a second. Longer: as above.
pub const TURN_TIME_MAX: Duration = Duration::from_millis(1);

/// The part of the thread that one client (an IPv4 address, an IPv6 /56) has without waiting, one in this many: 5 ms a
/// second, 12 TLS handshakes. A hundred clients that use all of theirs leave half of the thread. More: its connections wait
/// for turns that are given out one at a time, to one client after the other ([`TURNS_PAUSE_DIVISOR`]).
pub const TURNS_SHARE_DIVISOR: u32 = 200;

/// Thread time that a client may use at once before its connections wait for turns: 120 TLS handshakes, or 40 viewers
/// that join. More: as above.
pub const TURNS_BURST: Duration = Duration::from_millis(50);

/// After [`TURN_TIME_MAX`] of turns given out to those who wait, nobody is given one for so long that all of them
/// together have at most two thirds of the thread: the pause is this part of what they used.
pub const TURNS_PAUSE_DIVISOR: u32 = 2;

/// Clients whose use of the thread is remembered, each for at most twice [`TURNS_BURST`] × [`TURNS_SHARE_DIVISOR`], 20 s.
/// More: not counted; each of their connections still has one turn after the other.
pub const TURNS_TRACKED_MAX: usize = 16_384;

/// IPv6 networks that share turns: what a provider gives to one site (RFC 6177 §2).
pub const IPV6_SITE_PREFIX_BITS: u32 = 56;

/// Larger IPv6 networks, which have the part of two sites in all: what a provider gives to one customer at most.
pub const IPV6_REGION_PREFIX_BITS: u32 = 48;

/// How long tasks that are ready may keep the executor from asking the kernel what has arrived.
pub const EXECUTOR_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Connections that a listener accepts before other tasks have their turn: 10 to 20 µs each.
pub const ACCEPTS_PER_TURN: usize = 16;

/// HTTP/2 frames that ask for nothing (PING, SETTINGS, WINDOW_UPDATE, PRIORITY, RST_STREAM, CONTINUATION, small DATA,
/// unknown ones) that a client may send at once. A browser sends a dozen when it connects. More: the connection ends,
/// counted.
pub const HTTP2_CONTROL_FRAMES_BURST: u32 = 512;

/// The same, a second, when the burst is used up. A client that measures its round trip sends one PING for each.
pub const HTTP2_CONTROL_FRAMES_PER_SECOND: u32 = 32;

/// Such frames that each new request brings with it, until they are sent: two WINDOW_UPDATE for its answer, PRIORITY and
/// RST_STREAM. So a proxy that passes on hundreds of requests a second is not taken for a flood.
pub const HTTP2_CONTROL_FRAMES_PER_REQUEST: u32 = 4;

/// Bytes below which a DATA frame that does not end its request counts as one that asks for nothing. Whoever has a body
/// to send fills frames.
pub const HTTP2_DATA_BYTES_MIN: usize = 64;

const _: () = assert!(TURNS_TRACKED_MAX >= 4 * CONNECTIONS_MAX);
const _: () = assert!(TURN_BYTES_MAX >= SOCKET_BYTES_PER_TURN);
const _: () = assert!(EXECUTOR_POLL_INTERVAL.as_millis() * 10 <= 100);

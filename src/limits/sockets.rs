//! Signalling over WebSocket: how many sockets, what each may send and hold, and how long it may take.
//!
//! A socket stays open: every viewer may have one for as long as it watches, so what a socket holds at rest matters
//! more than what it holds for a moment. Memory that is held for a moment is therefore bounded over all sockets
//! together; each socket alone is bounded only by what it needs.

use std::time::Duration;

use super::*;

/// Sockets open at once, unless configured: one for each viewer of more than half a worker, 235 MiB at
/// [`PLANNED_SOCKET_BYTES`]. Sockets do not count as HTTP connections any more. More: 503.
pub const SOCKETS_DEFAULT: u32 = 10_000;

/// Sockets of one client address, unless configured: as many as it may have sessions. More: 429.
pub const SOCKETS_PER_ADDRESS_DEFAULT: u32 = SESSIONS_PER_ADDRESS_DEFAULT;

/// Sessions of one socket: a wall of cameras. More: an error, 429.
pub const SOCKET_SESSIONS_MAX: usize = 32;

/// Streams one socket follows without playing them. More: an error, 429.
pub const SOCKET_FOLLOWS_MAX: usize = 64;

/// Bytes of a message: as large an offer as a request's body may hold. Longer: closed, 1009.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = REQUEST_BODY_BYTES_MAX;

/// Bytes that a message may take on the wire, frame headers included. With fragments of a hundred bytes or more,
/// headers are less than a tenth of it; without this bound a client could send any number of empty fragments. More:
/// closed, 1009.
pub const SOCKET_MESSAGE_WIRE_BYTES_MAX: usize = 2 * SOCKET_MESSAGE_BYTES_MAX;

/// Messages a second, pings among them. More: closed, 4002.
pub const SOCKET_MESSAGES_PER_SECOND: u32 = 50;

/// How many messages may come at once, as seconds of that rate. A page that opens a wall of cameras sends an offer and
/// some candidates for each of [`SOCKET_SESSIONS_MAX`] sessions: 200 messages at once.
pub const SOCKET_MESSAGES_BURST: Duration = Duration::from_secs(4);

/// Bytes of incomplete messages of all sockets, beyond what the read buffer of each holds. More: the socket that would
/// exceed the bound is closed, 1013.
pub const SOCKETS_INCOMING_BYTES_TOTAL: usize = REQUEST_BODIES_BYTES_TOTAL;

/// Bytes that wait to be written to one socket: some answers of 5 to 12 KB. From half of this on, nothing more is read
/// from the socket; events are still sent. More: the client does not read, closed, 4005.
pub const SOCKET_OUTBOX_BYTES_MAX: usize = 256 * 1024;

/// Messages that wait to be written to one socket: twice the end of each of its sessions and a change of each stream it
/// follows. More: as above.
pub const SOCKET_OUTBOX_MESSAGES_MAX: usize = 2 * (2 * SOCKET_SESSIONS_MAX + SOCKET_FOLLOWS_MAX);

/// Bytes that wait to be written to all sockets. More: the socket that would exceed the bound is closed as above.
pub const SOCKETS_OUTBOX_BYTES_TOTAL: usize = 64 * 1024 * 1024;

/// The part of the two totals above, one in this many (8 MiB of each), that the sockets of one client address may take,
/// unless the address is exempt. More: its socket that would exceed the part is closed as there, and no other client's.
pub const SOCKETS_SHARE_OF_ADDRESS: usize = 8;

/// Bytes read from one socket before the others have their turn.
pub const SOCKET_BYTES_PER_TURN: usize = 32 * 1024;

/// Bytes of a socket's read buffer; a longer frame makes it grow while it arrives.
pub const SOCKET_READ_BUFFER_BYTES: usize = 2 * 1024;

/// Time for the first message, which must be `hello`. Later: closed, 4000.
pub const SOCKET_HELLO_TIME_MAX: Duration = Duration::from_secs(10);

/// A socket is closed (4003) when no whole message has come for this long, not even the answer to a ping: the client is
/// gone, or sends a message so slowly that it never ends.
pub const SOCKET_IDLE_MAX: Duration = Duration::from_secs(60);

/// Time between two pings (RFC 6455 §5.5.2): below the minute after which home routers and proxies forget a silent
/// connection.
pub const SOCKET_PING_INTERVAL: Duration = Duration::from_secs(20);

/// Time in which the client's side must take one message. Longer: the client does not read, closed, 4005.
pub const SOCKET_WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// Time for the closing handshake: until our close frame is taken and the client's has come.
pub const SOCKET_CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// How long sessions continue without the socket they were opened on, unless configured: as long as media itself may be
/// silent. Later: they end with the reason `signalling_lost`.
pub const SIGNALLING_GRACE_DEFAULT: Duration = SESSION_SILENCE_MAX;

/// Bytes of a trickled candidate (the longest of RFC 8839 §5.1 with extensions is about 300). Longer: an error.
pub const CANDIDATE_BYTES_MAX: usize = 1_024;

/// Least time between two notices that a session's peer moved. Moves in between are not reported.
pub const MOVED_NOTICE_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a token that a socket keeps for the requests made over it. Longer: an error, even where tokens are not
/// checked. A shorter one that is still above [`TOKEN_BYTES_MAX`] is refused as everywhere else.
pub const SOCKET_TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a socket at rest, without its message and outbox: 19.7 KiB over TLS and 11.7 KiB without, measured
/// (`tests/interop/websocket_judge.py --idle 5000`), rounded up.
pub const PLANNED_SOCKET_BYTES: u64 = 24 * 1024;

const _: () = assert!(SOCKET_MESSAGE_BYTES_MAX >= SDP_BYTES_MAX);
const _: () = assert!(SOCKET_MESSAGE_BYTES_MAX * 100 < SOCKETS_INCOMING_BYTES_TOTAL);
// A page with a wall of cameras sends all its offers at once.
const _: () =
    assert!(SOCKETS_INCOMING_BYTES_TOTAL / SOCKETS_SHARE_OF_ADDRESS >= SOCKET_SESSIONS_MAX * SOCKET_MESSAGE_BYTES_MAX);
const _: () = assert!(SOCKETS_OUTBOX_BYTES_TOTAL / SOCKETS_SHARE_OF_ADDRESS >= 2 * SOCKET_OUTBOX_BYTES_MAX);
const _: () = assert!(SOCKET_OUTBOX_BYTES_MAX >= 4 * SDP_BYTES_MAX);
const _: () = assert!(SOCKET_OUTBOX_BYTES_MAX * 100 < SOCKETS_OUTBOX_BYTES_TOTAL);
const _: () = assert!(TOKEN_BYTES_MAX <= SOCKET_TOKEN_BYTES_MAX && SOCKET_TOKEN_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
// A live client has answered two pings before it could be taken for gone.
const _: () = assert!(SOCKET_PING_INTERVAL.as_secs() * 3 <= SOCKET_IDLE_MAX.as_secs());
// The last messages of a node that ends are written before it has ended.
const _: () = assert!(SOCKET_CLOSE_TIME_MAX.as_millis() <= SHUTDOWN_TIME_MAX.as_millis());

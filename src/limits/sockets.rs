//! Signalling over WebSocket: how many sockets, what each may send and hold, and how long it may take.
//!
//! A socket is a connection that stays: every viewer may have one for as long as it watches, so that what one holds at
//! rest matters more than what it may hold for a moment. What may be held for a moment is therefore bounded over all of
//! them together, and each alone only by what it needs.

use std::time::Duration;

use super::*;

/// Sockets open at once, unless configured: a viewer each for more than half a worker, 235 MiB at
/// [`PLANNED_SOCKET_BYTES`]. They are not HTTP connections any more and do not count as such. More: 503.
pub const SOCKETS_DEFAULT: u32 = 10_000;

/// Those of one client address, unless configured: as many as it may have sessions. More: 429.
pub const SOCKETS_PER_ADDRESS_DEFAULT: u32 = SESSIONS_PER_ADDRESS_DEFAULT;

/// Sessions of one socket: a wall of cameras. More: an error, 429.
pub const SOCKET_SESSIONS_MAX: usize = 32;

/// Streams one socket follows without playing them. More: an error, 429.
pub const SOCKET_FOLLOWS_MAX: usize = 64;

/// Bytes of a message: an offer as it may be in a request's body. Longer: closed, 1009.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = REQUEST_BODY_BYTES_MAX;

/// Bytes that a message may take on the wire, the headers of its frames included: fragments of a hundred bytes and more make
/// less than a tenth of it headers, and empty ones would make as many as a client likes. More: closed, 1009.
pub const SOCKET_MESSAGE_WIRE_BYTES_MAX: usize = 2 * SOCKET_MESSAGE_BYTES_MAX;

/// Messages a second, pings among them. More: closed, 4002.
pub const SOCKET_MESSAGES_PER_SECOND: u32 = 50;

/// What may come at once, as seconds of the above: a page that opens a wall of cameras sends an offer and some candidates
/// for each of [`SOCKET_SESSIONS_MAX`] sessions, 200 messages within a moment.
pub const SOCKET_MESSAGES_BURST: Duration = Duration::from_secs(4);

/// Bytes of messages of all sockets that have begun to arrive and not ended, beyond what the read buffer of each holds. More:
/// the socket that would need them is closed, 1013.
pub const SOCKETS_INCOMING_BYTES_TOTAL: usize = REQUEST_BODIES_BYTES_TOTAL;

/// Bytes that wait to be written to one socket: some answers of 5 to 12 KB. From half of them on nothing more is read
/// from it; events go on. More: the client does not read, closed, 4005.
pub const SOCKET_OUTBOX_BYTES_MAX: usize = 256 * 1024;

/// Messages that wait to be written to one socket: the end of each of its sessions and the changes of each stream it
/// hears of, twice over. More: as above.
pub const SOCKET_OUTBOX_MESSAGES_MAX: usize = 2 * (2 * SOCKET_SESSIONS_MAX + SOCKET_FOLLOWS_MAX);

/// Bytes that wait to be written to all sockets. More: the socket that would need them is closed as above.
pub const SOCKETS_OUTBOX_BYTES_TOTAL: usize = 64 * 1024 * 1024;

/// The sockets of one client address have this part of the two totals above, 8 MiB of each, unless it is exempt. More: the
/// socket that would need it is closed as there, and nobody else's.
pub const SOCKETS_SHARE_OF_ADDRESS: usize = 8;

/// Bytes read from one socket before the others have their turn.
pub const SOCKET_BYTES_PER_TURN: usize = 32 * 1024;

/// Bytes of a socket's read buffer; a longer frame makes it grow while it arrives.
pub const SOCKET_READ_BUFFER_BYTES: usize = 2 * 1024;

/// Time for the first message, which must be `hello`. Later: closed, 4000.
pub const SOCKET_HELLO_TIME_MAX: Duration = Duration::from_secs(10);

/// Nothing whole has come for this long, not even the answer to a ping: the client is gone, or sends a message so slowly
/// that it never ends. Closed, 4003.
pub const SOCKET_IDLE_MAX: Duration = Duration::from_secs(60);

/// Between two pings (RFC 6455 §5.5.2): below the minute after which home routers and proxies forget a silent connection.
pub const SOCKET_PING_INTERVAL: Duration = Duration::from_secs(20);

/// Time for one message to be taken by the client's side. Longer: it does not read, closed, 4005.
pub const SOCKET_WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// Time for the end: our close frame to be taken, the client's to come.
pub const SOCKET_CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// How long sessions go on without the socket they were opened on, unless configured: as long as media itself may be
/// silent. Later: they end with the reason `signalling_lost`.
pub const SIGNALLING_GRACE_DEFAULT: Duration = SESSION_SILENCE_MAX;

/// Bytes of a trickled candidate (the longest of RFC 8839 §5.1 with extensions is about 300). Longer: an error.
pub const CANDIDATE_BYTES_MAX: usize = 1_024;

/// Between two notices that a session's peer moved. More often: not told.
pub const MOVED_NOTICE_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a token that a socket keeps for what is asked over it. Longer: an error, whether anybody judges it or not; what
/// is shorter and still above [`TOKEN_BYTES_MAX`] is refused as everywhere else.
pub const SOCKET_TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Bytes of a socket at rest beside what its message and outbox may take: 19.7 KiB over TLS and 11.7 KiB without, measured
/// (`tests/interop/websocket_judge.py --idle 5000`), rounded up.
pub const PLANNED_SOCKET_BYTES: u64 = 24 * 1024;

const _: () = assert!(SOCKET_MESSAGE_BYTES_MAX >= SDP_BYTES_MAX);
const _: () = assert!(SOCKET_MESSAGE_BYTES_MAX * 100 < SOCKETS_INCOMING_BYTES_TOTAL);
// A page of a wall of cameras, and a crowd of them behind one address, sends its offers at once.
const _: () =
    assert!(SOCKETS_INCOMING_BYTES_TOTAL / SOCKETS_SHARE_OF_ADDRESS >= SOCKET_SESSIONS_MAX * SOCKET_MESSAGE_BYTES_MAX);
const _: () = assert!(SOCKETS_OUTBOX_BYTES_TOTAL / SOCKETS_SHARE_OF_ADDRESS >= 2 * SOCKET_OUTBOX_BYTES_MAX);
const _: () = assert!(SOCKET_OUTBOX_BYTES_MAX >= 4 * SDP_BYTES_MAX);
const _: () = assert!(SOCKET_OUTBOX_BYTES_MAX * 100 < SOCKETS_OUTBOX_BYTES_TOTAL);
const _: () = assert!(TOKEN_BYTES_MAX <= SOCKET_TOKEN_BYTES_MAX && SOCKET_TOKEN_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
// A live client answers two pings before it is taken for gone.
const _: () = assert!(SOCKET_PING_INTERVAL.as_secs() * 3 <= SOCKET_IDLE_MAX.as_secs());
// What is written as the node ends is written before it has ended.
const _: () = assert!(SOCKET_CLOSE_TIME_MAX.as_millis() <= SHUTDOWN_TIME_MAX.as_millis());

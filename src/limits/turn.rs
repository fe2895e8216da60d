//! Bounds of the node's own TURN server ([`crate::turn`]).

use std::time::Duration;

use super::*;

/// Time from a connection's first byte to its authenticated Allocate: two round trips of a bad mobile network. Later: closed.
pub const TURN_GREETING_TIME_MAX: Duration = Duration::from_secs(10);

/// Requests that a connection may send before it is admitted. A client sends two: one to learn realm and nonce, one with
/// credentials; a third where it asks for its address first. More: closed.
pub const TURN_GREETING_REQUESTS_MAX: u32 = 8;

/// Bytes of a message or of channel data with its head: a datagram of [`FRAME_IN_BYTES_MAX`] in a Send indication with IPv6
/// addresses takes 56 more, and some clients add SOFTWARE. Longer: the connection is closed.
pub const TURN_MESSAGE_BYTES_MAX: usize = FRAME_IN_BYTES_MAX + 156;

/// How long a session's credentials let somebody begin, from the answer that they were in. They end with the session all the
/// same. Later: 401.
pub const TURN_CREDENTIALS_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Allocations of one session. A client makes one for each of its interfaces and families: IPv4 and IPv6 over cable and
/// over radio are four. More: the oldest through which nothing has gone is closed; where there is none, 486. At
/// [`PLANNED_TURN_CLIENT_BYTES`] each, a session holds at most 160 KiB in them.
pub const TURN_ALLOCATIONS_PER_SESSION_MAX: usize = 4;

/// TURN clients of one worker: 80 MiB at [`PLANNED_TURN_CLIENT_BYTES`]. Each joining client holds one or two for
/// [`TURN_UNUSED_MAX`], used or not: this is for 17 joins a second. More: the oldest through which nothing has gone is closed;
/// where none is found among the next [`TURN_CLIENTS_LOOKED_AT_MAX`], 486.
pub const TURN_CLIENTS_PER_WORKER_MAX: usize = 2_048;

/// Clients that are looked at to find one that carries nothing.
pub const TURN_CLIENTS_LOOKED_AT_MAX: usize = 32;

/// Bytes of a TURN client in TLS: 37.5 KiB measured of resident memory more than a viewer over UDP (`benches/paths.py memory`),
/// and 1.5 KiB of the kernel's.
pub const PLANNED_TURN_CLIENT_BYTES: u64 = 40 * 1024;

/// An allocation's life where the client asks for none (RFC 8656 §3.2).
pub const TURN_LIFETIME_DEFAULT: Duration = Duration::from_secs(600);

/// The longest life that a client may ask for (RFC 8656 §7.2 recommends an hour). More: it is told so much.
pub const TURN_LIFETIME_MAX: Duration = Duration::from_secs(3600);

/// Life of a permission (RFC 8656 §9).
pub const TURN_PERMISSION_TIME: Duration = Duration::from_secs(300);

/// Life of a channel (RFC 8656 §12).
pub const TURN_CHANNEL_TIME: Duration = Duration::from_secs(600);

/// Age of a nonce (RFC 8656 §5: an hour at most). Older: 438, and the client takes the new one.
pub const TURN_NONCE_AGE_MAX: Duration = Duration::from_secs(3600);

/// An allocation through which no datagram has gone for so long is closed: the client found a better way, and what it holds
/// is for others. A path in use has a check at least every few seconds.
pub const TURN_UNUSED_MAX: Duration = Duration::from_secs(60);

/// Requests that an admitted client may send at once. A browser sends four when it begins. More: closed.
pub const TURN_REQUESTS_AT_ONCE: u32 = 64;

/// The same, once the burst is used up: one in so long. At 8 µs each, a flood of them takes 0.02 % of a core.
pub const TURN_REQUEST_PAUSE: Duration = Duration::from_millis(50);

const _: () = assert!(TURN_MESSAGE_BYTES_MAX >= FRAME_IN_BYTES_MAX + 56);
const _: () = assert!(TURN_UNUSED_MAX.as_secs() >= 2 * PATH_CONSENT.as_secs());
const _: () = assert!(TURN_CLIENTS_PER_WORKER_MAX < CONNECTIONS_PER_WORKER_MAX);
const _: () = assert!(TURN_LIFETIME_DEFAULT.as_secs() <= TURN_LIFETIME_MAX.as_secs());

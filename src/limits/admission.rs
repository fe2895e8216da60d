//! Admission: how many connections and sessions are let in, from whom, and how much of a worker's time their handshakes
//! may take. It is a file of its own so that an operator's questions ("how many from one address?") are answered in one
//! place.
//!
//! There are three lines of defence, from outside in: connections and request bodies (bytes, before anything is known
//! of the client); sessions by address, stream and rate (the response's status names the reason); handshakes on the
//! worker (CPU time that media needs).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;

/// Sessions of one client address, unless configured: a carrier's NAT puts some hundreds of viewers of one broadcast
/// behind an address, and one address can take at most a sixteenth of a worker's sessions from the others. An IPv6
/// client counts by its /64, which belongs to it alone. More: 429.
pub const SESSIONS_PER_ADDRESS_DEFAULT: u32 = 1_024;

/// A publisher from which nothing authentic came for so long is taken for dead where another one may have its name. One
/// that lives sends a report every second and media far more often; a person who starts an encoder again waits no longer
/// than that anyway. Others are told to ask again after this time.
pub const PUBLISHER_SILENCE_MAX: Duration = Duration::from_secs(2);

/// Sessions that have ended and whose URLs are still known, so that a `DELETE` that comes after the end is answered 200: as
/// many as end at once when a large stream does. Full: the oldest is forgotten, and its URL is 404.
pub const FORMER_SESSIONS_MAX: usize = 4_096;

/// HTTP connections of one client address and listener, unless configured: a quarter of [`CONNECTIONS_MAX`]. More:
/// closed at once, counted.
pub const CONNECTIONS_PER_ADDRESS_DEFAULT: u32 = 1_024;

/// A listener's connections are many when fewer than one place in this many is free. From then on a newcomer gets the
/// place of the oldest that has not asked for anything; when none is free, that of one that is idle.
pub const CONNECTIONS_FEW_LEFT_DIVISOR: usize = 4;

/// How long a connection may have asked for nothing before it can lose its place while others are free: three round
/// trips of a client that is 600 ms away.
pub const CONNECTION_UNFINISHED_MIN: Duration = Duration::from_secs(2);

/// Connections whose requests are under way lose their place only where their network has more than one in this many of
/// all places, and nobody else can make room. Otherwise the newcomer is closed.
pub const CONNECTIONS_LARGE_DIVISOR: usize = 16;

/// Addresses to which the two limits above do not apply, unless configured: loopback, where a proxy on this host (all
/// its clients then have its address) and the operator's tools connect from. They can be named one by one, not by
/// network.
pub const EXEMPT_ADDRESSES_DEFAULT: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Addresses that may be exempt. More: a start-up error.
pub const EXEMPT_ADDRESSES_MAX: usize = 64;

/// Proxies that may be trusted, as addresses and networks. More: a start-up error.
pub const TRUSTED_PROXIES_MAX: usize = 64;

/// Trusted proxies that a request is followed through to its client, from the last one: a content network, a load
/// balancer and a proxy on this host are three. More: it counts as a request of the proxy where that ends.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// Bytes of the resolver's file (`/etc/resolv.conf`) that are read for the domains of this machine's name; it has some lines.
/// What comes later is not read.
pub const RESOLVER_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bits of an IPv6 address that tell clients apart (RFC 6177 §2: a site gets at least a /64).
pub const IPV6_CLIENT_PREFIX_BITS: u32 = 64;

/// Larger networks that IPv6 clients are counted by as well, and how many times half of what one client may have they may
/// have: a /56 is a site, a /48 what a provider gives a customer at most (RFC 6177 §2). More: as for one client.
pub const IPV6_WIDER_NETWORKS: [(u32, usize); 2] = [(56, 3), (48, 4)];

/// Sessions opened per second for each worker of the node, unless configured. A handshake costs 200 to 400 µs of a
/// worker's core, so these joins take less than half of it. More: 503.
pub const JOINS_PER_SECOND_AND_WORKER_DEFAULT: u32 = 1_000;

/// The part of a second's joins that may come at the same moment: one in this many.
pub const JOINS_BURST_DIVISOR: u64 = 4;

/// The part of a second's joins that one client address (IPv6: its /64) may ask for, unless configured. It equals the
/// part of a worker's sessions that one address may have. More: 429.
pub const JOINS_ADDRESS_DIVISOR: u32 = 16;

/// The part of a second's joins that may be asked for with one token, unless configured. A whole audience may share a
/// token. More: 429.
pub const JOINS_TOKEN_DIVISOR: u32 = 4;

/// How many joins of one address, or with one token, may come at once, as the time in which their rate allows as many.
/// On a node with two workers these are 1,250 of one address, more than it may have sessions.
pub const JOINS_BURST_OF_ONE: Duration = Duration::from_secs(10);

/// Addresses, and tokens, whose joins are counted separately. An entry is kept for at most [`JOINS_BURST_OF_ONE`] after
/// its last join. More: let in uncounted; the rate of the whole node still applies to them.
pub const JOINS_TRACKED_MAX: usize = 16_384;

/// Streams published at once, unless configured. Each may take 4 MiB of packet ring on every worker. More: 503.
pub const STREAMS_DEFAULT: u32 = 256;

/// Viewers of one stream, unless configured: no fewer than a node of 256 workers can have. More: 503.
pub const VIEWERS_PER_STREAM_DEFAULT: u32 = SESSIONS_PER_WORKER_DEFAULT * WORKERS_MAX as u32;

/// Sessions of one worker that are open and not yet connected, each for at most [`SESSION_SETUP_MAX`]. That allows
/// about 200 joins per second of clients that never connect, or a hundred times as many of clients that do. More: the
/// second choice is asked, then 503.
pub const HANDSHAKES_PER_WORKER_MAX: usize = 4_096;

/// The part of all workers' places for handshakes that sessions of one client address (IPv6: of its /64, and more of its
/// /56 and /48) may hold, one in this many: 256 of a worker, four seconds of the joins that an address may ask for. More:
/// 429.
pub const HANDSHAKES_ADDRESS_DIVISOR: usize = 16;

/// The part of these places that sessions with one token, or tokens of one subject, may hold. A whole audience may share
/// one, and must not keep out those who have another. More: 429.
pub const HANDSHAKES_TOKEN_DIVISOR: usize = 2;

/// DTLS datagrams of handshakes that are processed in one round. A ClientHello or a client's last flight costs 100 to
/// 200 µs, so media waits for less than a millisecond. More: they wait for the next rounds, behind media.
pub const HANDSHAKE_DATAGRAMS_PER_ROUND_MAX: usize = 4;

/// While media is behind, one such datagram is processed in this many rounds. A round is then 100 to 200 µs of sealing
/// and sending, so handshakes take a fifth of the core and still complete at hundreds a second.
pub const BUSY_ROUNDS_PER_HANDSHAKE_DATAGRAM: usize = 4;

/// DTLS datagrams of handshakes that wait for a later round, at most 2 MiB. Full: dropped, counted; DTLS retransmits
/// them.
pub const HANDSHAKE_DATAGRAMS_WAITING_MAX: usize = 1_024;

/// Such datagrams of one session: a ClientHello with a post-quantum share is two, a client's last flight with a long
/// certificate four. More: dropped, counted; DTLS retransmits them.
pub const HANDSHAKE_DATAGRAMS_PER_SESSION_MAX: u8 = 8;

/// Retransmissions of one viewer that wait: eight full NACKs, more than a key frame. More: dropped, counted; the viewer
/// asks again. The bound keeps a viewer that asks for everything from filling the queue that all viewers share.
pub const RETRANSMISSIONS_WAITING_PER_VIEWER_MAX: u16 = 1_024;

/// Connectivity checks of one session whose transactions are remembered, so that a captured check that is replayed
/// opens no path and moves no media: 40 s of a browser's checks, 208 bytes. Older checks that are replayed are taken
/// for new.
pub const CHECKS_REMEMBERED: usize = 16;

/// Bytes of all request bodies that are being read. One body is at most [`REQUEST_BODY_BYTES_MAX`], but there may be
/// [`CONNECTIONS_MAX`] × [`HTTP2_STREAMS_MAX`] of them. More: 503.
pub const REQUEST_BODIES_BYTES_TOTAL: usize = 64 * 1024 * 1024;

/// Bytes an HTTP/2 client may send on one stream before they are read: a whole body.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = REQUEST_BODY_BYTES_MAX as u32;

/// Bytes an HTTP/2 client may send on one connection before they are read.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 2 * HTTP2_STREAM_WINDOW_BYTES;

const _: () = assert!(CONNECTIONS_PER_ADDRESS_DEFAULT as usize * 4 <= CONNECTIONS_MAX);
const _: () = assert!(
    2 * JOINS_PER_SECOND_AND_WORKER_DEFAULT / JOINS_ADDRESS_DIVISOR * JOINS_BURST_OF_ONE.as_secs() as u32
        >= SESSIONS_PER_ADDRESS_DEFAULT
);
const _: () =
    assert!(JOINS_TRACKED_MAX as u64 >= JOINS_PER_SECOND_AND_WORKER_DEFAULT as u64 * JOINS_BURST_OF_ONE.as_secs());
const _: () = assert!(SESSIONS_PER_ADDRESS_DEFAULT * 4 <= SESSIONS_PER_WORKER_DEFAULT);
// One address that opens sessions and abandons them cannot take all places from honest clients.
const _: () = assert!(SESSIONS_PER_ADDRESS_DEFAULT as usize * 4 <= HANDSHAKES_PER_WORKER_MAX);
const _: () = assert!(HANDSHAKES_ADDRESS_DIVISOR > 8 && HANDSHAKES_TOKEN_DIVISOR > 1);
const _: () = assert!(HANDSHAKES_PER_WORKER_MAX <= SESSIONS_PER_WORKER_DEFAULT as usize);
const _: () = assert!(WAITING_VIEWERS_DEFAULT <= SESSIONS_PER_WORKER_DEFAULT);
const _: () = assert!(HANDSHAKE_DATAGRAMS_PER_ROUND_MAX < DATAGRAMS_PER_ROUND_MAX);
const _: () = assert!(HANDSHAKE_DATAGRAMS_PER_SESSION_MAX as usize * 100 <= HANDSHAKE_DATAGRAMS_WAITING_MAX);
// The datagram that waits longest is processed long before its handshake is given up: 1,024 datagrams of 200 µs at a
// fifth of the core take a second.
const _: () = assert!(HANDSHAKE_DATAGRAMS_WAITING_MAX as u128 * 200 * 5 < DTLS_HANDSHAKE_MAX.as_micros() / 4);
const _: () =
    assert!(SDP_BYTES_MAX <= REQUEST_BODY_BYTES_MAX && REQUEST_BODY_BYTES_MAX * 100 < REQUEST_BODIES_BYTES_TOTAL);
const _: () = assert!(HTTP2_CONNECTION_WINDOW_BYTES >= HTTP2_STREAM_WINDOW_BYTES);
// A session's setup ends before its silence could, and a worker answers before the client gives up.
const _: () = assert!(SESSION_SETUP_MAX.as_secs() < SESSION_SILENCE_MAX.as_secs());
const _: () = assert!(PUBLISHER_SILENCE_MAX.as_secs() < SESSION_SILENCE_MAX.as_secs());
const _: () = assert!(WORKER_REPLY_TIME_MAX.as_secs() < REQUEST_BODY_TIME_MAX.as_secs());
const _: () = assert!(REQUEST_HEAD_TIME_MAX.as_secs() < CONNECTION_IDLE_MAX.as_secs());
// A packet that a viewer may still ask for is still in the ring: the ring's history is longer than a cursor may lag.
const _: () = assert!(RING_HISTORY.as_millis() >= 2 * CURSOR_LAG_MAX.as_millis());
const _: () = assert!(AUDIO_RING_PACKETS_MAX * 20 >= 2 * CURSOR_LAG_MAX.as_millis() as usize);
const _: () = assert!(
    RETRANSMISSIONS_WAITING_MAX >= RETRANSMISSIONS_PER_ROUND_MAX
        && NACKS_PER_PACKET_MAX * 16 <= RETRANSMISSIONS_WAITING_MAX
);
const _: () = assert!(RETRANSMISSIONS_WAITING_PER_VIEWER_MAX as usize * 8 <= RETRANSMISSIONS_WAITING_MAX);
const _: () = assert!(RING_BYTES_INITIAL <= AUDIO_RING_BYTES_MAX && AUDIO_RING_BYTES_MAX <= VIDEO_RING_BYTES_MAX);
const _: () = assert!(LANE_BYTES_MAX <= LANES_BYTES_TOTAL && LANE_BYTES_MIN <= LANE_BYTES_MAX);

// --- memory, planned: what a configuration may come to need ---

/// Bytes of a session that plays, as a share of the whole process: measured 23.6 KB (`corecast bench --budgets`),
/// rounded up.
pub const PLANNED_SESSION_BYTES: u64 = 24 * 1024;

/// Bytes that a session needs in addition while its handshake is under way: an engine, 11 to 15 KB measured, for each
/// attempt, and the messages that are put together.
pub const PLANNED_HANDSHAKE_BYTES: u64 = (DTLS_ATTEMPTS_MAX * 16 * 1024 + DTLS_REASSEMBLY_BYTES_MAX) as u64;

/// Bytes of one stream on one worker: the packets of sound and picture, a third more of the picture for smaller sizes of it
/// (simulcast in halves: a quarter and a sixteenth), the sound once more for who is sent it redundant, and 64 bytes of
/// bookkeeping for each packet.
pub const PLANNED_STREAM_BYTES: u64 = (VIDEO_RING_BYTES_MAX + VIDEO_RING_BYTES_MAX / 3 + 2 * AUDIO_RING_BYTES_MAX)
    as u64
    + 64 * (VIDEO_RING_PACKETS_MAX + 2 * AUDIO_RING_PACKETS_MAX) as u64;

/// Bytes of one stream that has viewers but no publisher: the index of its rings, without packets.
pub const PLANNED_WAITING_STREAM_BYTES: u64 = 48 * 1024;

/// Bytes of an HTTP connection: 35 KB of TLS state measured, the buffers of a request's head, HTTP/2's window.
pub const PLANNED_CONNECTION_BYTES: u64 =
    (40 * 1024 + REQUEST_HEAD_BYTES_MAX) as u64 + HTTP2_CONNECTION_WINDOW_BYTES as u64;

/// Bytes of the process before the first client: 8 MiB measured, doubled.
pub const PLANNED_PROCESS_BYTES: u64 = 16 * 1024 * 1024;

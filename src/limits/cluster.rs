//! What is asked of a cluster's engine, how often, and how much of it a node remembers: see [`crate::cluster`].

use std::time::Duration;

/// The client port of etcd.
pub const CLUSTER_ENGINE_PORT: u16 = 2_379;

/// A node's lease: a node that died blocks its names for so long.
pub const CLUSTER_LEASE: Duration = Duration::from_secs(10);

/// Pause between two renewals of it. Three may be lost.
pub const CLUSTER_LEASE_RENEWED: Duration = Duration::from_secs(3);

const _: () = assert!(3 * CLUSTER_LEASE_RENEWED.as_millis() < CLUSTER_LEASE.as_millis());

/// Pause between two heartbeats.
pub const CLUSTER_HEARTBEAT: Duration = Duration::from_secs(9);

/// A load that has moved by so many thousandths is told at the next renewal.
pub const CLUSTER_LOAD_MOVED_PERMILLE: u16 = 50;

/// When nothing was heard of a member for so long, not even this node's own heartbeat, another one is asked.
pub const CLUSTER_SILENCE_MAX: Duration = Duration::from_secs(15);

const _: () =
    assert!(CLUSTER_HEARTBEAT.as_millis() + CLUSTER_LEASE_RENEWED.as_millis() < CLUSTER_SILENCE_MAX.as_millis());

/// Time for one answer of one member. A member that is cut off from the others takes seven seconds to say so.
pub const CLUSTER_ENGINE_TIME_MAX: Duration = Duration::from_millis(1_500);

/// Time for a node to say what it knows of its cluster.
pub const CLUSTER_STATUS_TIME_MAX: Duration = Duration::from_secs(5);

/// Pause before the engine is asked once more.
pub const CLUSTER_TRY_AGAIN: Duration = Duration::from_millis(200);

/// Connections to a member that are kept while nobody uses them.
pub const CLUSTER_CONNECTIONS_IDLE_MAX: usize = 8;

/// Keys that are asked for at once.
pub const CLUSTER_PAGE_ENTRIES: i64 = 2_000;

/// Bytes of one answer of a member. More: it is not read, and counts as none.
pub const CLUSTER_ANSWER_BYTES_MAX: usize = 8 << 20;

/// Nodes that a node knows of. More are left out, counted.
pub const CLUSTER_NODES_MAX: usize = 4_096;

/// Streams that a node knows of. More are left out, counted.
pub const CLUSTER_STREAMS_MAX: usize = 200_000;

/// Bits of an epoch that are the engine's revision; above them is the generation.
pub const CLUSTER_REVISION_BITS: u32 = 48;

/// Bytes of a cluster's, a region's and a node's name.
pub const CLUSTER_NAME_BYTES_MAX: usize = 64;

/// The port on which nodes speak to each other, unless configured.
pub const CLUSTER_CHANNEL_PORT: u16 = 8_446;

/// Bytes of a host's name (RFC 1035 §2.3.4, as text).
pub const HOST_NAME_BYTES_MAX: usize = 253;

/// Connections of other nodes: one of each, and one that takes its place. More: the one that was there longest is closed.
pub const CHANNEL_CONNECTIONS_MAX: usize = 2 * CLUSTER_NODES_MAX;

/// Connections of one other node. It needs one; while that is lost and not found out yet, another. More: as above.
pub const CHANNEL_CONNECTIONS_PER_NODE_MAX: usize = 4;

/// Connections that have not shown a certificate yet. One needs some milliseconds. More: the one that began first gives way, so
/// that a stranger who opens many and leaves them there gives way to itself.
pub const CHANNEL_HANDSHAKES_MAX: usize = 64;

/// Handshakes of one address (IPv6: of one /64) that are begun at once; then one per [`CHANNEL_HANDSHAKE_PAUSE`]. Each takes a
/// millisecond of signalling's thread. More: closed.
pub const CHANNEL_HANDSHAKES_AT_ONCE: u32 = 64;

/// Pause after which an address may begin one more.
pub const CHANNEL_HANDSHAKE_PAUSE: Duration = Duration::from_millis(20);

/// Addresses whose handshakes are counted. More: all begin anew.
pub const CHANNEL_ADDRESSES_MAX: usize = 4_096;

/// Time for a connection's handshake at the node that takes it.
pub const CHANNEL_HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(3);

/// Time for a connection at the node that dials it: a name, TCP, TLS, and the first answer.
pub const CHANNEL_DIAL_TIME_MAX: Duration = Duration::from_secs(3);

/// A node that dials and is not in the directory here may have joined a moment ago: this is waited for it.
pub const CHANNEL_JOINED_WAIT_MAX: Duration = Duration::from_secs(1);

/// How often the directory is looked at meanwhile.
pub const CHANNEL_JOINED_LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a node that is refused by name is told so, when it asks.
pub const CHANNEL_REFUSED_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a connection whose certificate is refused is kept, so that the alert arrives.
pub const CHANNEL_LINGER_TIME_MAX: Duration = Duration::from_millis(500);

/// Bytes that are read from it meanwhile.
pub const CHANNEL_LINGER_BYTES_MAX: usize = 64 * 1024;

/// A node that could not be reached, or refused, is not dialled again for so long: whoever asks gets the same answer.
pub const CHANNEL_REDIAL_PAUSE: Duration = Duration::from_millis(500);

/// Time for an answer of another node, unless more is asked for.
pub const CHANNEL_ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Pause between two pings. A node that answers none of them for [`CHANNEL_PING_TIME_MAX`] is gone.
pub const CHANNEL_PING_INTERVAL: Duration = Duration::from_secs(1);

/// Time for the answer to a ping.
pub const CHANNEL_PING_TIME_MAX: Duration = Duration::from_secs(2);

/// A connection on which nothing was asked for so long is closed by who dialled it.
pub const CHANNEL_IDLE_MAX: Duration = Duration::from_secs(300);

/// A node that is not in the directory for so long has left, and its connections are closed. It is longer than a lease, because a
/// lease may be lost by mistake.
pub const CHANNEL_GONE_MAX: Duration = Duration::from_secs(30);

const _: () = assert!(CLUSTER_LEASE.as_millis() < CHANNEL_GONE_MAX.as_millis());

/// How often idle connections, and those of nodes that left, are looked for.
pub const CHANNEL_SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Requests under way on one connection: viewers' events, which each wait for seconds, and all else. More: an error at the node that
/// asks, and HTTP/2 lets them wait at the one that answers.
pub const CHANNEL_REQUESTS_MAX: u32 = 8_192;

/// Those of them that may take longer than [`CHANNEL_ANSWER_TIME_MAX`].
pub const CHANNEL_WAITING_MAX: u32 = CHANNEL_REQUESTS_MAX / 8 * 7;

const _: () = assert!(super::ELSEWHERE_ANSWER_TIME_MAX.as_millis() <= CHANNEL_ANSWER_TIME_MAX.as_millis());

/// Bytes of a request's body, and of an answer's: an offer, or a node's report. More: an error.
pub const CHANNEL_BODY_BYTES_MAX: usize = 256 * 1024;

/// Bytes of all bodies of requests, and of all of answers, that are being read. More: 503, or an error.
pub const CHANNEL_BODIES_BYTES_TOTAL: usize = 64 << 20;

/// Bytes a node may send on one connection before they are read.
pub const CHANNEL_WINDOW_BYTES: u32 = 4 * CHANNEL_BODY_BYTES_MAX as u32;

/// Bytes of a request's head.
pub const CHANNEL_HEAD_BYTES_MAX: u32 = 32 * 1024;

const _: () = assert!(CHANNEL_BODY_BYTES_MAX >= super::REQUEST_BODY_BYTES_MAX);
const _: () = assert!(CHANNEL_HEAD_BYTES_MAX as usize >= super::REQUEST_HEAD_BYTES_MAX);

/// Time for a request's body to arrive.
pub const CHANNEL_BODY_TIME_MAX: Duration = Duration::from_secs(3);

/// Connections that were refused, as they are shown. More: the one that was seen longest ago is forgotten.
pub const CHANNEL_REFUSALS_KEPT: usize = 32;

/// Refusals that are logged at once; then one per [`CHANNEL_REFUSALS_LOG_PAUSE`].
pub const CHANNEL_REFUSALS_LOGGED_AT_ONCE: u32 = 8;

/// Pause after which one more refusal is logged.
pub const CHANNEL_REFUSALS_LOG_PAUSE: Duration = Duration::from_secs(15);

/// Characters of what a stranger's certificate says, in logs and reports.
pub const CHANNEL_SHOWN_CHARS_MAX: usize = 160;

/// Threads that ask the system's resolver, which blocks. More: the name is not known.
pub const RESOLVER_THREADS_MAX: usize = 16;

/// Time for a node that ends to say so to the engine, which else finds out after [`CLUSTER_LEASE`].
pub const CLUSTER_LEAVE_TIME_MAX: Duration = Duration::from_millis(500);

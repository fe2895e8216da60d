//! Every bound of the node in one place: its unit in its name, the arithmetic behind it, and what happens at it.

use std::time::Duration;

/// Bytes of a worker's send buffer. 256 KiB stays inside the second-level cache with the packet rings' hot end;
/// full: the batch is sent and filled again.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Trains in one batch. Full: the batch is sent and filled again.
pub const TRAINS_PER_BATCH_MAX: usize = 256;

/// Segments in one train (the kernel's `UDP_MAX_SEGMENTS` is 128 since 6.9 and 64 before). Full: a new train.
pub const SEGMENTS_PER_TRAIN_MAX: usize = 64;

/// Bytes in one train: the UDP maximum of 65,507 with some to spare. Full: a new train.
pub const TRAIN_BYTES_MAX: usize = 65_000;

/// Bytes of the longest datagram that is sent: an Ethernet MTU less IPv6 and UDP headers. Longer: dropped, counted.
pub const DATAGRAM_OUT_BYTES_MAX: usize = 1_452;

/// Bytes of the longest datagram that is received. Longer: truncated by the kernel, dropped, counted.
pub const DATAGRAM_IN_BYTES_MAX: usize = 2_048;

/// Workers of a node. More cores than this: a start-up error.
pub const WORKERS_MAX: usize = 256;

const _: () = assert!(TRAIN_BYTES_MAX < SEND_BUFFER_BYTES);
const _: () = assert!(DATAGRAM_OUT_BYTES_MAX * 16 < TRAIN_BYTES_MAX);

/// Messages waiting for one worker. Full: see [`crate::worker::mailbox`].
pub const CONTROL_MESSAGES_MAX: usize = 1_024;

/// Messages waiting for signalling from one worker. Full: see [`crate::worker::mailbox`].
pub const NOTICES_MAX: usize = 4_096;

/// A session from which nothing authenticated has come for this long is ended (RFC 7675 §5.1).
pub const SESSION_SILENCE_MAX: Duration = Duration::from_secs(30);

/// A session that is not connected this long after its answer is ended.
pub const SESSION_SETUP_MAX: Duration = Duration::from_secs(20);

// --- signalling: HTTP connections, bodies and waiting ---

/// Bytes of a request body. A browser's offer with simulcast and every codec is about 12 KB. Longer: 413.
pub const REQUEST_BODY_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a request's head over HTTP/1.1 (hyper's smallest is 8 KiB). Longer: 431.
pub const REQUEST_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Time for a request's head to arrive, the wait on an idle HTTP/1.1 connection included. Later: closed.
pub const REQUEST_HEAD_TIME_MAX: Duration = Duration::from_secs(15);

/// Time for a request's body to arrive. Later: 408.
pub const REQUEST_BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Time for a TLS handshake. Later: closed.
pub const TLS_HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// A connection without a request under way for this long is closed. Clients open a new one for the next PATCH.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(60);

/// HTTP/2 streams open at once on one connection. More: refused by HTTP/2 itself, and the client waits.
pub const HTTP2_STREAMS_MAX: u32 = 64;

/// HTTP connections of one listener: 4,096 × 35 KiB of TLS state is 140 MiB. More: closed at once, counted.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Bytes of a stream's name. Longer: 400.
pub const STREAM_NAME_BYTES_MAX: usize = 128;

/// Time for a worker to answer an `Open` or a `Report`; its rounds are far below a millisecond. Later: 503 and a
/// `Close`, so that a session which did open does not linger.
pub const WORKER_REPLY_TIME_MAX: Duration = Duration::from_secs(2);

/// Time for a closed session to be gone before its `DELETE` is answered anyway.
pub const SESSION_CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Sessions of one worker, unless configured. Full: the second choice is asked, then 503.
pub const SESSIONS_PER_WORKER_DEFAULT: u32 = 16_384;

/// Viewers admitted to names that nobody publishes, unless configured. Full: 503. Viewers that lose their publisher
/// stay above this number too: they are bounded by the sessions, and by the time below.
pub const WAITING_VIEWERS_DEFAULT: u32 = 4_096;

/// Time a viewer waits for a publisher, unless configured. Later: its session ends with the reason `no_publisher`.
pub const WAITING_TIME_DEFAULT: Duration = Duration::from_secs(600);

/// Time the whole node may take to end. Later: it ends without waiting.
pub const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(2);

/// What a refused client is told to wait before it asks again.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

// --- net: sockets and rings ---

/// UDP sockets of one worker, one per local address (`Path::socket` is a byte; every round looks at each). More
/// addresses: a start-up error.
pub const SOCKETS_PER_WORKER_MAX: usize = 16;

/// Bytes asked for of each socket's receive and send buffer: 4 MiB holds 3,640 packets of 1,200 bytes, 10 ms at
/// 360,000 packets/s. Less granted: a warning that names the sysctl. Full: the kernel drops what arrives and counts
/// it (`RcvbufErrors`), and refuses what is sent (`Full`).
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Receive buffers a worker lends to the kernel. 512 × 2,176 bytes = 1.06 MiB stays in the cache (16 MiB costs three
/// times as much per packet) and was never exhausted by 1,000 senders. Exhausted: the receive ends, is armed again
/// once they have been read, and is counted; the socket's own buffer holds what arrives meanwhile.
pub const RECEIVE_BUFFERS: u16 = 512;

/// Bytes of one of them: a datagram, the kernel's header (16), the peer's name (32) and control messages (40). The
/// stride is deliberately no power of two, so that the headers of all buffers do not compete for the same cache sets.
pub const RECEIVE_BUFFER_BYTES: usize = DATAGRAM_IN_BYTES_MAX + 128;

/// Datagrams taken by one `recvmmsg`. More waiting: another call.
pub const RECEIVE_MESSAGES_PER_CALL: usize = 64;

/// How long a port in use is tried again before it is a start-up error.
pub const BIND_RETRY_MAX: Duration = Duration::from_secs(2);

/// Pause between two tries.
pub const BIND_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Refused offloads of one socket with none accepted between them, after which the interface is taken to lack it.
pub const OFFLOAD_REFUSALS_IN_A_ROW_MAX: u32 = 8;

/// Trains then sent unsegmented before the offload is tried again: about a second at full load, and eight failed
/// calls in 4,096 cost nothing.
pub const OFFLOAD_SUSPENDED_TRAINS: u32 = 4_096;

/// Errors of one socket's receive with no datagram between them, after which the worker ends.
pub const RECEIVE_ERRORS_IN_A_ROW_MAX: u32 = 16;

/// Bytes of locked memory below which glommio, the signalling executor, cannot start its rings.
pub const LOCKED_MEMORY_BYTES_MIN: u64 = 512 * 1024;

const _: () = assert!(RECEIVE_BUFFERS.is_power_of_two());
const _: () = assert!(SOCKETS_PER_WORKER_MAX <= 1 << u8::BITS);
const _: () = assert!(RECEIVE_BUFFER_BYTES.is_multiple_of(64));

// --- signal/sdp: what an offer may hold. All of it is read at once, and only while the request lasts. ---

/// Bytes of an SDP offer or fragment. Chromium with every codec offers 7 KB. Longer: refused, 413.
pub const SDP_BYTES_MAX: usize = 64 * 1024;

/// Media sections of an offer; one audio and one video are accepted. More: refused, 422.
pub const SDP_MEDIA_SECTIONS_MAX: usize = 16;

/// Attribute lines of the session or of one media section. Chromium's longest section has about 150. More: refused, 422.
pub const SDP_ATTRIBUTES_PER_SECTION_MAX: usize = 1_024;

/// Payload types of one media section: all there are in 7 bits. More: refused, 422.
pub const SDP_PAYLOAD_TYPES_PER_SECTION_MAX: usize = 128;

/// Header extensions of one media section. Chromium offers 14. More: refused, 422.
pub const SDP_EXTENSIONS_PER_SECTION_MAX: usize = 64;

/// Candidates of an offer or fragment, all sections together; an ICE-lite node uses none of them. More: refused, 422.
pub const SDP_CANDIDATES_MAX: usize = 256;

/// Certificate fingerprints of a peer. Browsers offer one. More: refused, 422.
pub const SDP_FINGERPRINTS_MAX: usize = 8;

/// SSRCs declared by one media section: three simulcast layers with RTX and FEC are 9. More: refused, 422.
pub const SDP_SSRCS_PER_SECTION_MAX: usize = 32;

/// Bytes of a `mid`, which must fit a one-byte header extension element (RFC 8285 §4.2). Longer: refused, 422.
pub const SDP_MID_BYTES_MAX: usize = 16;

/// Bytes of the header extension block of a packet to a viewer, its 4-byte head included (RFC 8285 §4.1), so that a
/// browser's 1,200-byte payload leaves at no more than 1,222 bytes. What does not fit is not agreed.
pub const DOWNLINK_EXTENSION_BYTES_MAX: usize = 20;

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

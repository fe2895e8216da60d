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

// --- SRTP (crate::srtp) ---

/// Packets behind the newest that a receiving RTP source still accepts once (RFC 3711 §3.3.2 asks for at least 64).
/// 1,024 packets are 2 s of a 5 Mbit/s uplink, so a retransmission without RTX still passes; 128 bytes per source.
/// Older: refused, counted.
pub const SRTP_REPLAY_WINDOW_PACKETS: usize = 1_024;

/// The same for RTCP: one side sends a few compound packets a second; 16 bytes per source. Older: refused, counted.
pub const SRTCP_REPLAY_WINDOW_PACKETS: usize = 128;

/// SSRCs one session receives from, for RTP and for RTCP each: audio and three video encodings, each with RTX, are 8,
/// and a publisher may restart its encoder three times. Only authenticated packets add one; at most 32 × 144 bytes.
/// Full: packets of further SSRCs are refused unread, counted.
pub const SRTP_SOURCES_PER_SESSION_MAX: usize = 32;

/// Bytes of RTP padding a sealed packet may get: enough to make the fragments of one frame equal (browsers need one).
/// More: the packet is not sealed, so whoever pads must not ask for more.
pub const RTP_PADDING_BYTES_MAX: usize = 16;

const _: () = assert!(SRTP_REPLAY_WINDOW_PACKETS.is_multiple_of(64) && SRTCP_REPLAY_WINDOW_PACKETS.is_multiple_of(64));
// A window of half the sequence space or more would accept what the rollover estimate calls the future.
const _: () = assert!(SRTP_REPLAY_WINDOW_PACKETS < 1 << 15);

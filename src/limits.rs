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

// --- dtls ---

/// Bytes of one DTLS handshake message from a peer: a ClientHello with a post-quantum share is 1.4 kB, an RSA-4096
/// certificate 1.5 kB, a chain of four 6 kB. Longer: the fragment is dropped and the handshake times out.
pub const DTLS_HANDSHAKE_MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Handshake messages held ahead of the next one in order (a server's longest plaintext flight is five, a client's
/// three). Further ahead: the fragment is dropped and comes again with the peer's retransmission. Together with the
/// message length this bounds what a handshake may hold to 64 KiB.
pub const DTLS_MESSAGES_AHEAD_MAX: usize = 8;

/// Separate runs of bytes received of one handshake message (64 pieces of a 1.4 kB hello are 22 bytes each, as
/// many again arriving in the worst order). More: the fragment is dropped.
pub const DTLS_FRAGMENT_RUNS_MAX: usize = 128;

/// Bytes of a datagram that DTLS sends: fits every path that carries WebRTC media. Handshake messages longer than
/// this are fragmented.
pub const DTLS_DATAGRAM_OUT_BYTES_MAX: usize = 1_200;

/// A handshake that takes longer than this, counted from the first ClientHello, has failed.
pub const DTLS_HANDSHAKE_MAX: Duration = Duration::from_secs(20);

/// The first retransmission of a flight; each further one waits twice as long. RFC 9147 §5.8.2 recommends 1 s and
/// allows less for media; the ICE check before DTLS has just shown that the path answers.
pub const DTLS_RETRANSMIT_FIRST: Duration = Duration::from_millis(200);

/// Retransmissions of one flight: 0.2 + 0.4 + … + 12.8 s goes past [`DTLS_HANDSHAKE_MAX`], which ends it first.
pub const DTLS_RETRANSMITS_MAX: usize = 7;

/// Protected records held while a DTLS 1.2 client's last flight is incomplete (it is one: Finished). Full: dropped;
/// they come again with the flight.
pub const DTLS_RECORDS_HELD_MAX: usize = 4;

/// Pieces of received datagrams that wait for the next poll (a server's 1.2 flight in one datagram is six). Full,
/// because the caller does not poll: dropped.
pub const DTLS_INBOX_MAX: usize = 32;

/// Handshake records accepted on a connected DTLS 1.2 association (repeats of the client's last flight; the library
/// keeps each one). More: dropped.
pub const DTLS_LATE_HANDSHAKE_RECORDS_MAX: u8 = 16;

const _: () = assert!(DTLS_DATAGRAM_OUT_BYTES_MAX <= DATAGRAM_OUT_BYTES_MAX);
const _: () = assert!(DTLS_HANDSHAKE_MAX.as_secs() <= SESSION_SETUP_MAX.as_secs());

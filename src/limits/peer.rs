//! The client side, for tests, benches and the load tester.

use std::time::Duration;

use super::*;

/// Pause between two connectivity checks of a connected peer, as in browsers; well inside the 30 s of consent.
pub const PEER_CHECK_INTERVAL: Duration = Duration::from_millis(2_500);

/// Time until a check that was not answered is repeated; each further repetition waits twice as long, up to
/// [`PEER_CHECK_INTERVAL`].
pub const PEER_CHECK_REPEAT_FIRST: Duration = Duration::from_millis(50);

/// Checks of a peer whose answer is still accepted. Full: the oldest is forgotten, and its answer is ignored.
pub const PEER_CHECKS_OUTSTANDING_MAX: usize = 8;

/// Packets a peer's source keeps for retransmission: 4 s at 256 packets a second. Full: the oldest goes.
pub const PEER_HISTORY_PACKETS_MAX: usize = 1_024;

const _: () = assert!(PEER_CHECK_INTERVAL.as_millis() * 4 < SESSION_SILENCE_MAX.as_millis());

// --- peer: a fleet of clients, for the load tester ---

/// Clients of one fleet thread. One core drives 2,000 viewers of 1 Mbit/s; the rest leaves room for slower streams.
/// Full: a client is refused.
pub const FLEET_CLIENTS_MAX: u32 = 16_384;

/// Receive buffers of one fleet thread. The kernel fills about 20 per entry (its limit on deferred work), and all are
/// used in turn: 128 times a train of 9 packets stays within 1.4 MiB of cache. All in use: the receives end and are armed
/// again; the sockets' own buffers hold what arrives meanwhile.
pub const FLEET_RECEIVE_BUFFERS: u16 = 128;

/// Bytes of one such buffer: the longest coalesced datagram (65,507), the kernel's header and control messages, rounded
/// up. A shorter buffer would cut off the rest of a train.
pub const FLEET_RECEIVE_BUFFER_BYTES: usize = 66 * 1024;

/// Kernel receive buffer asked for per client: 0.5 s of a 2.5 Mbit/s stream with the kernel's bookkeeping. It costs memory
/// only while it is filled. Full: datagrams are dropped and counted by the socket.
pub const FLEET_SOCKET_BUFFER_BYTES: usize = 1 << 20;

/// Packets of a track that a viewer notes while its session's keys change: a minute of 500 packets a second. Full: the oldest is
/// forgotten, and what was lost before is not seen.
pub const LEDGER_PACKETS_MAX: usize = 30_000;

/// Bytes that wait because a client's TCP connection does not take them: half a second of a 1 Mbit/s publisher. More: what is
/// sent is lost.
pub const FLEET_STREAM_QUEUE_BYTES_MAX: usize = 64 * 1024;

/// Completions and submissions of a fleet's ring: every client may have to be armed at once.
pub const FLEET_SUBMISSIONS: u32 = 4_096;

const _: () = assert!(FLEET_RECEIVE_BUFFERS.is_power_of_two());
const _: () = assert!(FLEET_RECEIVE_BUFFER_BYTES >= 65_507 + 128);

/// Packets behind the newest one of a stream whose arrival a client tracks: 4 s of 250 packets a second. Older: counted
/// as too old.
pub const RECEPTION_WINDOW_PACKETS: usize = 1_024;

/// Missing packets of a stream that a client asks for at a time. More: not asked for, they stay lost.
pub const RECEPTION_MISSING_MAX: usize = 256;

/// Times a missing packet is asked for, as Chromium does. Then it is given up, and a key frame asked for.
pub const RECEPTION_REQUESTS_MAX: u8 = 10;

/// How long a missing packet is waited for.
pub const RECEPTION_WAIT_MAX: Duration = Duration::from_secs(1);

/// SSRCs of one viewer: audio, video and their retransmissions, and room for a server that changes them. More: ignored
/// and counted.
pub const VIEWER_TRACKS_MAX: usize = 8;

/// Viewers that left may remain in a stream's fan-out sets until they are this many more than the stream's present
/// viewers; then they are removed. 64 × 16 bytes. Without the bound, a stream that nobody publishes kept every viewer
/// that ever waited.
pub const DEPARTED_SUBSCRIBERS_MAX: usize = 64;

// --- links of the laboratory ---

/// What may wait for a link's rate unless its script says so: the queue of RFC 8867 §5.
pub const LINK_QUEUE_DEFAULT: Duration = Duration::from_millis(300);

/// Steps of a link's script. More: the script is refused.
pub const LINK_STEPS_MAX: usize = 4_096;

/// One-way delay and jitter of a link. More: the script is refused.
pub const LINK_DELAY_MAX: Duration = Duration::from_secs(10);

/// Greedy TCP flows that share a link. More: the script is refused.
pub const LINK_TCP_FLOWS_MAX: u32 = 64;

/// Datagrams on a link at a time: 2 s of 25 Mbit/s. More: dropped and counted, as by a full queue.
pub const LINK_DATAGRAMS_MAX: usize = 6_144;

/// Packets of frames that are not complete, of one viewer that watches its picture: what its reception tracks. More: the oldest
/// is forgotten.
pub const DECODER_PACKETS_MAX: usize = RECEPTION_WINDOW_PACKETS;

/// Frames shown to a viewer that nobody has asked for. More: they are forgotten (what they count for is counted).
pub const SHOWN_FRAMES_MAX: usize = 4_096;

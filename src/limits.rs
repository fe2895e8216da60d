//! Every bound of the node in one place: its unit in its name, the arithmetic behind it, and what happens at it.
//! Relations between bounds are asserted when the crate is compiled. Here are those of sockets, the relay and the worker; other
//! topics have files of their own: [`admission`] (who is let in, and how much memory a configuration may need), [`authorisation`],
//! [`bandwidth`] (what a viewer's network carries), [`certificates`], [`connections`] (media over TCP), [`data`] (channels),
//! [`dtls`], [`fairness`] (what one may cost the others), [`offers`], [`pacing`] (how fast a viewer is
//! sent what), [`paths`] (what is believed of an address), [`peer`] (the
//! lab's client), [`signalling`], [`sockets`] (signalling over WebSocket), [`srtp`], [`turn`], and [`turns`] (of signalling's
//! thread).

use std::time::Duration;

pub mod admission;
pub mod authorisation;
pub mod bandwidth;
pub mod certificates;
pub mod cluster;
pub mod connections;
pub mod data;
pub mod dtls;
pub mod fairness;
pub mod links;
pub mod offers;
pub mod pacing;
pub mod paths;
pub mod peer;
pub mod signalling;
pub mod sockets;
pub mod srtp;
pub mod turn;
pub mod turns;

pub use admission::*;
pub use authorisation::*;
pub use bandwidth::*;
pub use certificates::*;
pub use cluster::*;
pub use connections::*;
pub use data::*;
pub use dtls::*;
pub use fairness::*;
pub use links::*;
pub use offers::*;
pub use pacing::*;
pub use paths::*;
pub use peer::*;
pub use signalling::*;
pub use sockets::*;
pub use srtp::*;
pub use turn::*;
pub use turns::*;

/// Bytes of a worker's send buffer. 256 KiB stays inside the second-level cache together with the packet rings' hot
/// end. Full: the batch is sent and filled again.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Trains in one batch. Full: the batch is sent and filled again.
pub const TRAINS_PER_BATCH_MAX: usize = 256;

/// Segments in one train (the kernel's `UDP_MAX_SEGMENTS` is 128 since 6.9 and 64 before). Full: a new train.
pub const SEGMENTS_PER_TRAIN_MAX: usize = 64;

/// Bytes in one train: the UDP maximum of 65,507 less a margin. Full: a new train.
pub const TRAIN_BYTES_MAX: usize = 65_000;

/// Bytes of the longest datagram that is sent: an Ethernet MTU less IPv6 and UDP headers. Longer: dropped, counted.
pub const DATAGRAM_OUT_BYTES_MAX: usize = 1_452;

/// Bytes of the longest datagram that is received. Longer: truncated by the kernel, dropped, counted.
pub const DATAGRAM_IN_BYTES_MAX: usize = 2_048;

/// Workers of a node. More cores than this: a start-up error.
pub const WORKERS_MAX: usize = 256;

const _: () = assert!(TRAIN_BYTES_MAX < SEND_BUFFER_BYTES);
const _: () = assert!(DATAGRAM_OUT_BYTES_MAX * 16 < TRAIN_BYTES_MAX);

/// Nice value of the signalling thread. It gets a tenth of a worker's weight when both want the same core, and the
/// whole core while the worker sleeps.
pub const SIGNALLING_NICE_DEFAULT: u8 = 10;

/// Messages waiting for one worker. Full: see [`crate::worker::mailbox`].
pub const CONTROL_MESSAGES_MAX: usize = 1_024;

/// Messages waiting for signalling from one worker. Full: see [`crate::worker::mailbox`].
pub const NOTICES_MAX: usize = 4_096;

/// A session is ended when nothing authenticated has arrived from its peer for this long (RFC 7675 §5.1).
pub const SESSION_SILENCE_MAX: Duration = Duration::from_secs(30);

/// A session is ended after this much silence following a DTLS record that can no longer be read (see
/// [`DTLS_ENGINE_KEPT`]). A live peer sends a consent check every 4 to 6 s (RFC 7675 §5.1), and RTCP reports.
pub const SESSION_DOUBT_MAX: Duration = Duration::from_secs(8);

/// How long a connected session keeps its DTLS engine (11 to 15 kB). A peer whose last flight was not answered repeats
/// it after 1, 2 and 4 s (RFC 9147 §5.8.2); this is longer than that, with room to spare. The engine is kept for
/// another such period while the peer has not sent any SRTCP.
pub const DTLS_ENGINE_KEPT: Duration = Duration::from_secs(10);

const _: () = assert!(SESSION_DOUBT_MAX.as_secs() > 6 && SESSION_DOUBT_MAX.as_secs() < SESSION_SILENCE_MAX.as_secs());

/// A session is ended when it is not connected this long after its answer.
pub const SESSION_SETUP_MAX: Duration = Duration::from_secs(20);

/// How long an older epoch of keys still opens packets after a newer one has taken over. It covers packets on their
/// way, and a peer that plays from the old connection until it has seen the new one's first frame.
pub const EPOCH_OVERLAP_MAX: Duration = Duration::from_secs(10);

/// Sessions of one worker that have two transports because their keys change. Each takes a second session's memory, for at
/// most [`SESSION_SETUP_MAX`] and [`EPOCH_OVERLAP_MAX`]. More: refused and counted; the session goes on with the keys that it
/// has, and tries again. At a lifetime of a minute 10,000 sessions need 170 changes a second of some three seconds each.
pub const REKEYS_PER_WORKER_MAX: usize = 1_024;

/// How old keys must be before a peer may change them on the connection it has: until then a hello may be one of the first handshake's
/// that comes late.
pub const IN_PLACE_AGE_MIN: Duration = Duration::from_secs(2);

/// Between two such attempts: anybody who can send from the peer's address can begin one.
pub const IN_PLACE_PAUSE: Duration = Duration::from_secs(30);

/// How long a peer that has closed its association may take to say hello. Chromium closes the old one just before.
pub const IN_PLACE_CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Sessions that may be open and not connected yet, beyond which nobody's keys are changed: joins come first.
pub const REKEY_HANDSHAKES_MAX: usize = HANDSHAKES_PER_WORKER_MAX / 4;

// --- net: sockets and rings ---

/// UDP sockets of one worker, one per local address (the socket's index in a path is a byte, and every round looks at
/// each socket). More addresses: a start-up error.
pub const SOCKETS_PER_WORKER_MAX: usize = 16;

/// Bytes asked for of each socket's receive and send buffer: 4 MiB holds 3,640 packets of 1,200 bytes, 10 ms at
/// 360,000 packets/s. Less granted: a warning that names the sysctl. Full: the kernel drops what arrives and counts
/// it (`RcvbufErrors`), and refuses what is sent (`Full`).
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Receive buffers a worker lends to the kernel. 512 × 2,176 bytes = 1.06 MiB stays in the cache (16 MiB costs three
/// times as much per packet) and was never exhausted by 1,000 senders. Exhausted: the receive ends, is armed again
/// once they have been read, and is counted; the socket's own buffer holds what arrives meanwhile.
pub const RECEIVE_BUFFERS: u16 = 512;

/// Bytes of one receive buffer: a datagram, the kernel's header (16), the peer's name (32) and control messages (40).
/// The stride is deliberately not a power of two, so that the headers of all buffers do not compete for the same cache
/// sets.
pub const RECEIVE_BUFFER_BYTES: usize = DATAGRAM_IN_BYTES_MAX + 128;

/// Datagrams taken by one `recvmmsg`. More waiting: another call.
pub const RECEIVE_MESSAGES_PER_CALL: usize = 64;

/// How long binding a port in use is retried before it is a start-up error.
pub const BIND_RETRY_MAX: Duration = Duration::from_secs(2);

/// Pause between two attempts to bind.
pub const BIND_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Refused offloads of one socket, with none accepted in between, after which the interface is taken to lack the
/// offload.
pub const OFFLOAD_REFUSALS_IN_A_ROW_MAX: u32 = 8;

/// Trains that are then sent unsegmented before the offload is tried again. They are about a second at full load, and
/// eight failed calls in 4,096 cost nothing.
pub const OFFLOAD_SUSPENDED_TRAINS: u32 = 4_096;

/// Errors of one socket's receive, with no datagram in between, after which the worker ends.
pub const RECEIVE_ERRORS_IN_A_ROW_MAX: u32 = 16;

/// Bytes of locked memory below which glommio, the signalling executor, cannot start its rings.
pub const LOCKED_MEMORY_BYTES_MIN: u64 = 512 * 1024;

/// Bytes of locked memory asked for. Below 8 MiB glommio warns.
pub const LOCKED_MEMORY_BYTES_WANTED: u64 = 8 * 1024 * 1024;

const _: () = assert!(RECEIVE_BUFFERS.is_power_of_two());
const _: () = assert!(SOCKETS_PER_WORKER_MAX <= 1 << u8::BITS);
const _: () = assert!(RECEIVE_BUFFER_BYTES.is_multiple_of(64));
/// Bytes a packet ring starts with: two key frames of a 2.5 Mbit/s stream.
pub const RING_BYTES_INITIAL: usize = 128 * 1024;

/// Bytes of a video encoding's packet ring: 2 s at 16 Mbit/s. Full: the oldest packet goes.
pub const VIDEO_RING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Packets of a video encoding's packet ring: 2 s at 2,000 packets a second. Full: the oldest packet goes.
pub const VIDEO_RING_PACKETS_MAX: usize = 4_096;

/// Bytes of an audio encoding's packet ring. Full: the oldest packet goes.
pub const AUDIO_RING_BYTES_MAX: usize = 128 * 1024;

/// Packets of an audio encoding's packet ring: 5 s of 20 ms packets. Full: the oldest packet goes.
pub const AUDIO_RING_PACKETS_MAX: usize = 256;

/// Earlier packets that sound which repeats itself (RFC 2198) holds beside each. With two of them one packet in ten lost at
/// random leaves a gap once in a thousand.
pub const RED_BLOCKS_MAX: usize = 2;

/// Payload bytes of such a packet together. More: the older ones are left out.
pub const RED_BYTES_MAX: usize = 1_100;

/// The payload type of Opus within such packets, which are made once for all: Chromium's. Who names Opus otherwise is not
/// offered them.
pub const RED_BLOCK_PAYLOAD_TYPE: u8 = 111;

/// From this round trip on a viewer that loses sound gets it redundant: a repeat on request would come when its time is over
/// (a receiver's buffer is some 40 to 120 ms deep). Half of it, and it does not any more.
pub const RED_ROUND_TRIP_MIN: Duration = Duration::from_millis(100);

/// Two packets of sound sent again within that time are loss enough for it: one in 250.
pub const RED_LOSS_WITHIN: Duration = Duration::from_secs(5);

/// How long after the last loss sound stays redundant.
pub const RED_AFTER_LOSS: Duration = Duration::from_secs(30);

/// History that a packet ring grows to hold. Browsers stop asking for a packet after about a second.
pub const RING_HISTORY: Duration = Duration::from_secs(2);

/// Tracks of a stream: media sections of its publisher's offer. More: the offer is refused ([`TRACKS_PER_SESSION_MAX`]).
pub const TRACKS_PER_STREAM_MAX: usize = 4;

/// Encodings of one track: rids of a simulcast publisher. Browsers and OBS send at most three and four. More: left out.
pub const ENCODINGS_PER_TRACK_MAX: usize = 4;

/// Encodings of a stream, of all its tracks together: each may come to hold a packet ring of
/// [`VIDEO_RING_BYTES_MAX`] on every worker with viewers. More: left out.
pub const ENCODINGS_PER_STREAM_MAX: usize = 8;

const _: () = assert!(TRACKS_PER_SESSION_MAX <= TRACKS_PER_STREAM_MAX);

/// Encodings that one publisher may send: of its video each rid, of its audio one.
pub const ENCODINGS_PER_SESSION_MAX: usize = TRACKS_PER_SESSION_MAX - 1 + ENCODINGS_PER_TRACK_MAX;

const _: () = assert!(ENCODINGS_PER_SESSION_MAX <= ENCODINGS_PER_STREAM_MAX);

/// Bytes of the header extension block on a viewer's packets in its longer form (RFC 8285 §4.3): four of head, four of a
/// transport-wide sequence number and 18 of a MID of 16, filled up to a word. Longer: left out.
pub const EXTENSION_BLOCK_BYTES_MAX: usize = 28;

/// Runs of consecutive numbers kept of a viewer's track, the one in force not counted. A viewer that is sent every
/// second frame of 60 a second needs 30 a second. Full: the oldest goes, and packets sent by it can no longer be
/// retransmitted.
pub const REWRITING_RUNS_MAX: usize = 128;

const _: () = assert!(REWRITING_RUNS_MAX as u64 >= 60 * RING_HISTORY.as_secs());

/// A viewer switches to another encoding at a key frame that lies at most this far before the last picture it was sent:
/// less than a frame at 30 a second, more than the jitter between two encodings of one picture. Further before: it
/// waits for the next key frame, because it would see pictures again and everything after them that much later.
pub const SWITCH_BACK_MAX: Duration = Duration::from_millis(20);

/// When the clocks of two encodings of one track are further apart than this, a viewer's switch between them uses the
/// times of arrival instead of the clocks.
pub const SWITCH_CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(2);

/// A cursor whose next packet is older than this skips to the newest key frame (audio: to the newest packet).
pub const CURSOR_LAG_MAX: Duration = Duration::from_secs(1);

/// Newest packets of an encoding that are looked at together, once for all whose cursors are among them: those of its newest frame,
/// of which most have been sent everything before.
pub const FRESH_PACKETS: u64 = 8;

/// Shortest time between two key-frame requests to a publisher, and the time after which one is repeated.
pub const KEY_FRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(500);

/// Key frames that one viewer may have asked for at once, where nobody else wants one: enough for who just joined.
pub const KEY_FRAME_REQUESTS_AT_ONCE: u32 = 4;

/// Pause after which one viewer may ask for one more.
pub const KEY_FRAME_REQUEST_PAUSE: Duration = Duration::from_secs(5);

/// Most padding that is added to make two fragments equal in size.
pub const PADDING_BYTES_MAX: usize = 16;

/// A viewer that joins starts at a key frame already in the ring when that is no older than this, and the ring grows to hold
/// the newest one as long; otherwise it waits for a new one. From an older one it would have to decode more than 150 pictures
/// to see the newest.
pub const KEY_FRAME_AGE_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(KEY_FRAME_AGE_MAX.as_secs() >= RING_HISTORY.as_secs());

/// Missing packets of one uplink source that are tracked and requested. Full: the oldest is given up.
pub const NACK_GAPS_MAX: usize = 512;

/// A gap younger than this may be reordering and is not requested yet.
pub const NACK_GRACE: Duration = Duration::from_millis(10);

/// Where a worker looks at a gap for the first time this long after the arrival that showed it, it was stopped, and what
/// fills the gap may be in its socket: the gap's time begins then.
pub const NACK_LATE: Duration = Duration::from_millis(100);

/// Shortest pause between two requests for the same packet. Where the round-trip time is longer, that is the pause.
pub const NACK_REPEAT_MIN: Duration = Duration::from_millis(20);

/// A gap older than this is given up, because its frame is no longer of use.
pub const NACK_AGE_MAX: Duration = Duration::from_millis(1_500);

/// Pause between two transport-wide feedback packets.
pub const TRANSPORT_FEEDBACK_INTERVAL: Duration = Duration::from_millis(60);

/// Packets that one transport-wide feedback packet reports: their chunks and deltas (2 bytes each at worst) fit one
/// datagram.
pub const TRANSPORT_FEEDBACK_PACKETS_MAX: usize = 400;

/// Arrivals remembered until the next feedback. Full: further packets are not reported.
pub const TRANSPORT_ARRIVALS_MAX: usize = 2_048;

/// Shifts in a track's numbering that are kept for late packets. Full: the oldest goes.
pub const NUMBERING_SHIFTS_MAX: usize = 16;

/// Bytes of a stored parameter set. Longer: not stored.
pub const PARAMETER_SET_BYTES_MAX: usize = 512;

/// Parameter sets stored per track. Full: further kinds are not stored.
pub const PARAMETER_SETS_MAX: usize = 8;

/// How long nothing may come of a track's source while another one of the same track goes on. Then the other one takes its
/// place. Longer than a burst of loss, and shorter than anyone waits for a picture.
pub const SOURCE_SILENCE_MAX: Duration = Duration::from_millis(300);

/// Frames that the other one must have sent meanwhile: encodings of one picture arrive one after the other in any order.
pub const SOURCE_SUCCESSOR_FRAMES: u8 = 3;

/// How long nothing may come of an encoding while its siblings go on. Then viewers fall to another one. Six pictures at 30 a
/// second: an encoder that has no bits left leaves out one or two.
pub const ENCODING_SILENCE_MAX: Duration = Duration::from_millis(200);

/// Pictures that its siblings must have sent meanwhile, all together.
pub const ENCODING_SILENCE_FRAMES: u8 = 4;

/// How long nothing may come of an encoding whatever its siblings do.
pub const ENCODING_SILENCE_ALONE_MAX: Duration = Duration::from_millis(1_000);

/// The time that an encoding's rate is the mean of: one key frame in it changes the rate by a tenth.
pub const RATE_WINDOW: Duration = Duration::from_millis(2_000);

/// A rate is told again when it has changed by more than one part of so many.
pub const RATE_CHANGE_DIVISOR: u32 = 20;

/// What was measured of an encoding is told again after this long, for who has missed it.
pub const RUNG_REPEAT: Duration = Duration::from_millis(2_000);

/// Bytes that a packet has towards a viewer beside its payload: header 12, extensions 8, tag 16.
pub const VIEWER_PACKET_OVERHEAD_BYTES: usize = 36;

/// Pause between two walks of a stream's viewers because an encoding has come to life or stopped: who sends goodbyes without
/// end must not make each a walk. An encoding that stops is replaced by that much later at most.
pub const LADDER_CHANGE_PAUSE: Duration = Duration::from_millis(100);

/// Packets of the past that go into a lane in one round, while it is at most half full.
pub const REPLAYED_PER_ROUND_MAX: usize = 256;

/// How long it may take until another worker has been given all since the newest key frame, and how long its wishes for one are not
/// passed on. Longer: it is given what comes, and starts at the next key frame.
pub const REPLAY_TIME_MAX: Duration = Duration::from_millis(400);

/// Pause before another worker is given the same encoding's past again.
pub const REPLAY_PAUSE: Duration = Duration::from_secs(1);

const _: () = assert!(REPLAY_TIME_MAX.as_millis() < KEY_FRAME_REQUEST_INTERVAL.as_millis());

/// Pause before a worker that sends packets of encodings which nobody here wants is told again what is wanted.
pub const DEMAND_REPEAT_MIN: Duration = Duration::from_millis(250);

/// Sources (SSRCs) a track may have. Full: the oldest binding goes.
pub const SOURCES_PER_TRACK_MAX: usize = 8;

/// Changes of a track's codec or profile that are told at once. More: viewers go on as if it had not changed.
pub const CODEC_CHANGES_AT_ONCE: u32 = 4;

/// Pause after which one more change of a track's codec or profile is told. Each change costs every viewer a decision.
pub const CODEC_CHANGE_PAUSE: Duration = Duration::from_secs(5);

/// Pause between two receiver reports to a publisher (RFC 3550 §6.2, reduced minimum).
pub const RECEIVER_REPORT_INTERVAL: Duration = Duration::from_millis(1_000);

/// The round-trip time that is assumed until one is measured.
pub const RTT_ASSUMED: Duration = Duration::from_millis(50);

/// Validated paths of one session. Full: the path checked longest ago goes, but never the selected one.
pub const PATHS_PER_SESSION_MAX: usize = 8;

/// Paths in one worker's book. Full: a datagram from an address without a path is not answered, and is counted.
pub const PATHS_PER_WORKER_MAX: usize = 1 << 20;

/// Paths without a session that are answered in one round: as if each of the round's datagrams were a check from a new
/// address.
pub const UNCLAIMED_PATHS_MAX: usize = DATAGRAMS_PER_ROUND_MAX;

const _: () =
    assert!(SESSIONS_PER_WORKER_DEFAULT as usize * PATHS_PER_SESSION_MAX + UNCLAIMED_PATHS_MAX <= PATHS_PER_WORKER_MAX);

/// Bytes of a binding response: header, mapped address, integrity, fingerprint, an error with its reason.
pub const STUN_REPLY_BYTES_MAX: usize = 256;

/// Bytes SRTCP adds at most: the index and the longest tag.
pub const SRTCP_OVERHEAD_BYTES_MAX: usize = 4 + 16;

/// Bytes of all lanes into one worker together. Many workers: smaller lanes.
pub const LANES_BYTES_TOTAL: usize = 8 * 1024 * 1024;

/// Packets that are searched backwards, once per key frame, for packets of the frame that overtook its first packet. It
/// is more than a network reorders. A viewer that starts at the frame asks for packets further back by a NACK.
pub const OVERTAKING_PACKETS_MAX: u64 = 128;

/// Bytes of one lane: 1 s of an 8 Mbit/s stream. Full: the record is dropped and counted, and the reader's viewers
/// continue from the next key frame. The part of a key frame that arrives between two rounds of the reader must
/// therefore fit.
pub const LANE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one lane on a machine with very many cores.
pub const LANE_BYTES_MIN: usize = 128 * 1024;

/// Runs of sequence numbers in one request for packets to another node. More: requested in the next one.
pub const UPSTREAM_RANGES_MAX: usize = 8;

/// Requests from other workers waiting for one worker. Full: the request is dropped and counted; it is repeated later.
pub const UPSTREAM_MESSAGES_MAX: usize = 4_096;

const _: () = assert!(LANE_BYTES_MIN >= 64 * DATAGRAM_IN_BYTES_MAX);

/// Datagrams taken in one round. More wait in the kernel for the next round.
pub const DATAGRAMS_PER_ROUND_MAX: usize = 128;

/// Timers served in one round. More come in the next round.
pub const TIMERS_PER_ROUND_MAX: usize = 64;

/// Control messages taken in one round. More come in the next round.
pub const CONTROL_PER_ROUND_MAX: usize = 16;

/// Records taken from one lane in one round. More come in the next round.
pub const LANE_RECORDS_PER_ROUND_MAX: usize = 256;

/// Binding requests without credentials that a worker answers per second. More: not answered, counted.
pub const PLAIN_BINDINGS_PER_SECOND_MAX: u32 = 1_000;

/// Pause before a notice that signalling had no room for is tried again.
pub const NOTICE_RETRY: Duration = Duration::from_millis(5);

/// Time over which a worker's load is averaged.
pub const LOAD_WINDOW: Duration = Duration::from_millis(200);

/// Packets sent to one viewer in one visit of a cursor. More come at its next visit.
pub const PACKETS_PER_VISIT_MAX: usize = 16;

/// Trains in the batch at which a round's fan-out stops. Single packets (audio) cost a message each; 128 of them are
/// about as much work as the 25 trains of nine fragments that fill the batch's bytes. More are sent in the next round.
pub const FAN_OUT_TRAINS_PER_ROUND_MAX: usize = 128;

const _: () = assert!(FAN_OUT_TRAINS_PER_ROUND_MAX + PACKETS_PER_VISIT_MAX <= TRAINS_PER_BATCH_MAX);

/// Viewers whose payload type is decided in one turn, because they just joined or the codec changed. Each costs a few
/// cache misses, so this many cost as much as some dozen visits. More are decided at the next turn.
pub const FORMATS_DECIDED_PER_TURN_MAX: usize = 64;

/// Bytes sent from one video encoding before the next encoding's turn. More are sent at its next turn.
pub const BYTES_PER_TURN_MAX: usize = 64 * 1024;

/// Requests for packets to be sent again that wait on one worker. Full: the request is dropped, counted; the viewer
/// asks again.
pub const RETRANSMISSIONS_WAITING_MAX: usize = 16_384;

/// Packets sent again in one round. More come in the next round.
pub const RETRANSMISSIONS_PER_ROUND_MAX: usize = 128;

/// Pause between two sender reports to a viewer.
pub const SENDER_REPORT_INTERVAL: Duration = Duration::from_millis(1_000);

/// Tracks of one session: one audio, one video. More in an offer: refused by port 0.
pub const TRACKS_PER_SESSION_MAX: usize = 2;

/// Packets that are read from one compound RTCP packet. More: the rest is dropped, counted.
pub const RTCP_PACKETS_PER_COMPOUND_MAX: usize = 32;

/// Sequence numbers in one NACK packet, in and out. More: the rest is requested in the next packet.
pub const NACKS_PER_PACKET_MAX: usize = 128;

/// Above this share of busy time, video waits for the end of its frame, because longer trains then save more than the
/// wait costs.
pub const HOLD_ABOVE_BUSY_PERMILLE: u32 = 500;

/// A viewer does not start with an audio packet older than this.
pub const AUDIO_START_AGE_MAX: Duration = Duration::from_millis(100);

/// Pause before checking again whether the publisher's clock is known from a sender report.
pub const SENDER_REPORT_RETRY: Duration = Duration::from_millis(200);

// --- worker: its live figures ---

/// The longest residence time that is recorded, in microseconds. Longer: recorded as this one.
pub const RESIDENCE_US_MAX: u64 = 10_000_000;

/// Significant digits of a recorded residence time: 1 % steps, 17 KB for each of a worker's six histograms.
pub const RESIDENCE_DIGITS: u8 = 2;

//! Every bound of the node in one place: its unit in its name, the arithmetic behind it, and what happens at it.
//! Relations between bounds are asserted when the crate is compiled. Some topics have files of their own: [`admission`]
//! (who is let in, and how much memory a configuration may need), [`authorisation`], [`certificates`], [`connections`] (media
//! over TCP), [`data`] (channels), [`fairness`] (what one may cost the others), [`paths`] (what is believed of an address), and [`sockets`]
//! (signalling over WebSocket).

use std::time::Duration;

pub mod admission;
pub mod authorisation;
pub mod certificates;
pub mod connections;
pub mod data;
pub mod fairness;
pub mod paths;
pub mod sockets;
pub mod turn;
pub mod turns;

pub use admission::*;
pub use authorisation::*;
pub use certificates::*;
pub use connections::*;
pub use data::*;
pub use fairness::*;
pub use paths::*;
pub use sockets::*;
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

/// Sessions that a report visits in one round of its worker. Each takes about 1.3 µs.
pub const REPORT_SESSIONS_PER_ROUND: usize = 128;

/// Askers that wait for a report that is being made. More get none.
pub const REPORTS_WAITING_MAX: usize = 8;

/// Streams that have a label of their own in `/metrics`, two figures each.
pub const STREAM_LABELS_MAX: usize = 200;

/// How long a report of the workers is shown to everybody who asks, before another one is made.
pub const REPORT_AGE_MAX: Duration = Duration::from_secs(1);

/// How long the workers' answer to `/readyz` holds.
pub const READINESS_AGE_MAX: Duration = Duration::from_millis(250);

/// Time for a worker to answer an `Open` or a `Report`; its rounds are far below a millisecond. Later: 503 and a
/// `Close`, so that a session which did open does not linger.
pub const WORKER_REPLY_TIME_MAX: Duration = Duration::from_secs(2);

/// Time to find out whether a stream's name is free, when several nodes ask one engine. The engine elects a new leader
/// in three seconds; encoders give up a POST after eight. Later: 503, and a claim that is granted after that is given
/// back.
pub const CLAIM_TIME_MAX: Duration = Duration::from_secs(6);

/// Claims of names that wait for an answer, including those whose client has left. More: 503. (Within one process no
/// claim waits.)
pub const CLAIMS_UNDER_WAY_MAX: usize = 1_024;

/// How long the answer to a `DELETE` waits for the session to be gone. Later: answered anyway.
pub const SESSION_CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Sessions of one worker, unless configured. Full: the second choice is asked, then 503.
pub const SESSIONS_PER_WORKER_DEFAULT: u32 = 16_384;

/// Viewers admitted to names that nobody publishes, unless configured. Full: 503. Viewers that lose their publisher
/// stay even above this number; they are bounded by the number of sessions and by [`WAITING_TIME_DEFAULT`].
pub const WAITING_VIEWERS_DEFAULT: u32 = 4_096;

/// Time a viewer waits for a publisher, unless configured. Later: its session ends with the reason `no_publisher`.
pub const WAITING_TIME_DEFAULT: Duration = Duration::from_secs(600);

/// Time the whole node may take to end. Later: it ends without waiting.
pub const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(2);

/// Of [`SHUTDOWN_TIME_MAX`], the time that signalling and workers have to end their sessions.
pub const SHUTDOWN_WORKERS_TIME_MAX: Duration = Duration::from_millis(1_500);

/// Lines of the log that wait to be written. Full: a line is left out, counted and told.
pub const LOG_LINES_MAX: usize = 4_096;

/// Lines of the log per second, and at once after a quiet second. Errors and debugging are not counted. More: left out,
/// counted and told.
pub const LOG_LINES_PER_SECOND_MAX: f64 = 100.0;

/// Restarts of ICE by one session at once. More: 429. A phone that changes between networks restarts once a change.
pub const ICE_RESTARTS_AT_ONCE: u32 = 8;

/// Pause after which a session may restart ICE once more.
pub const ICE_RESTART_PAUSE: Duration = Duration::from_secs(2);

/// Of the control group's memory limit: from here on joins are refused.
pub const MEMORY_FULL_PERCENT: u64 = 85;

/// Below this they are taken again.
pub const MEMORY_FREE_PERCENT: u64 = 80;

/// How often the control group's memory is looked at.
pub const MEMORY_WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// How often the log says how many lines were left out.
pub const LOG_TOLD_INTERVAL: Duration = Duration::from_secs(1);

/// How long the end of the node waits for the log to be written.
pub const LOG_FLUSH_TIME_MAX: Duration = Duration::from_millis(300);

const _: () =
    assert!(SHUTDOWN_WORKERS_TIME_MAX.as_millis() + LOG_FLUSH_TIME_MAX.as_millis() < SHUTDOWN_TIME_MAX.as_millis());

/// What a refused client is told to wait before it asks again.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

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

/// Shortest time between two key-frame requests to a publisher, and the time after which one is repeated.
pub const KEY_FRAME_REQUEST_INTERVAL: Duration = Duration::from_millis(500);

/// Key frames that one viewer may have asked for at once, where nobody else wants one: enough for who just joined.
pub const KEY_FRAME_REQUESTS_AT_ONCE: u32 = 4;

/// Pause after which one viewer may ask for one more.
pub const KEY_FRAME_REQUEST_PAUSE: Duration = Duration::from_secs(5);

/// Most padding that is added to make two fragments equal in size.
pub const PADDING_BYTES_MAX: usize = 16;

/// A viewer that joins starts at a key frame already in the ring when that is no older than this; otherwise it waits
/// for a new one. An older one would add delay, because receivers measure lateness against the first frame's arrival.
pub const KEY_FRAME_AGE_MAX: Duration = Duration::from_millis(400);

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

// --- SRTP (crate::srtp) ---

/// Packets behind the newest that a receiving RTP source still accepts once (RFC 3711 §3.3.2 asks for at least 64).
/// 1,024 packets are 2 s of a 5 Mbit/s uplink, so a retransmission without RTX still passes; 128 bytes per source.
/// Older: refused, counted.
pub const SRTP_REPLAY_WINDOW_PACKETS: usize = 1_024;

/// The same for RTCP, of which one side sends a few compound packets a second; 16 bytes per source. Older: refused,
/// counted.
pub const SRTCP_REPLAY_WINDOW_PACKETS: usize = 128;

/// SSRCs one session receives from, for RTP and for RTCP each: audio and three video encodings, each with RTX, are 8,
/// and a publisher may restart its encoder three times. Only authenticated packets add one; at most 32 × 144 bytes.
/// Full: packets of further SSRCs are refused unread, counted.
pub const SRTP_SOURCES_PER_SESSION_MAX: usize = 32;

/// Bytes of RTP padding a sealed packet may get: enough to make the fragments of one frame equal (browsers need one).
/// More: the packet is not sealed, so a caller must not ask for more.
pub const RTP_PADDING_BYTES_MAX: usize = 16;

const _: () = assert!(SRTP_REPLAY_WINDOW_PACKETS.is_multiple_of(64) && SRTCP_REPLAY_WINDOW_PACKETS.is_multiple_of(64));
// A window of half the sequence space or more would accept what the rollover estimate calls the future.
const _: () = assert!(SRTP_REPLAY_WINDOW_PACKETS < 1 << 15);
// --- dtls ---

/// Bytes of one DTLS handshake message from a peer: a ClientHello with a post-quantum share is 1.4 kB, an RSA-4096
/// certificate 1.5 kB, a chain of four 6 kB. Longer: the fragment is dropped and the handshake times out.
pub const DTLS_HANDSHAKE_MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Handshake messages of one peer in plaintext are numbered below this (a server's are six with a HelloVerifyRequest, a
/// client's five). Beyond: the fragment is dropped.
pub const DTLS_HANDSHAKE_MESSAGES_MAX: u16 = 16;

/// Bodies kept of one handshake message when a peer's contradict each other: one of them is forged, and which one it is
/// shows only when a signature over them is there. More: the oldest goes, and the peer retransmits it.
pub const DTLS_ALTERNATIVES_MAX: usize = 2;

/// Handshakes under way on one session, one for each ClientHello: the peer's, and what somebody forges from its address.
/// More: the oldest but the first whose client has shown no sign of life goes.
pub const DTLS_ATTEMPTS_MAX: usize = 4;

/// Once there are so many, another one begins no sooner than this after the last: each costs 200 µs. Sooner: the
/// ClientHello is dropped, and the client repeats it.
pub const DTLS_ATTEMPT_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// How long something that would end a handshake, and that anyone can forge, waits for something better: a client that
/// was not answered repeats its flight after one second, and two seconds later once more.
pub const DTLS_DOUBT_MAX: Duration = Duration::from_secs(4);

/// Bytes held of one peer's incomplete handshake messages: the longest message twice over, so a certificate of that
/// length beside the rest of its flight. Only bytes that came count, not those that a header announces. More: the
/// message that was added to longest ago is dropped, and the peer retransmits it. For a worker the bound is this times
/// [`HANDSHAKES_PER_WORKER_MAX`].
pub const DTLS_REASSEMBLY_BYTES_MAX: usize = 2 * DTLS_HANDSHAKE_MESSAGE_BYTES_MAX;

/// Separate runs of received bytes of one handshake message. A 1.4 kB hello in 64 pieces has 22 bytes in each; twice as
/// many allow for the worst order of arrival. More: the fragment is dropped.
pub const DTLS_FRAGMENT_RUNS_MAX: usize = 128;

/// Bytes of a datagram that DTLS sends: fits every path that carries WebRTC media. Handshake messages longer than
/// this are fragmented.
pub const DTLS_DATAGRAM_OUT_BYTES_MAX: usize = 1_200;

/// A handshake that takes longer than this, counted from the first ClientHello, has failed.
pub const DTLS_HANDSHAKE_MAX: Duration = Duration::from_secs(20);

/// Time until the first retransmission of a flight; each further one waits twice as long. RFC 9147 §5.8.2 recommends 1
/// s and allows less for media. Less is safe here, because the ICE check before DTLS has just shown that the path
/// answers.
pub const DTLS_RETRANSMIT_FIRST: Duration = Duration::from_millis(200);

/// Bytes of application data in one record: with header, padding, tag and the longest overhead of either version it fits
/// [`DTLS_DATAGRAM_OUT_BYTES_MAX`].
pub const DTLS_APPLICATION_DATA_BYTES_MAX: usize = DTLS_DATAGRAM_OUT_BYTES_MAX - 64;

/// Records of application data that an engine holds before it is polled. More: refused, and they stay in the sender's
/// queue.
pub const DTLS_APPLICATION_RECORDS_UNSENT_MAX: usize = 4;

/// Retransmissions of one flight. Their times, 0.2 + 0.4 + … + 12.8 s, add up to more than [`DTLS_HANDSHAKE_MAX`],
/// which therefore ends the handshake first.
pub const DTLS_RETRANSMITS_MAX: usize = 7;

/// Protected records held while a DTLS 1.2 client's last flight is incomplete (the flight has one such record,
/// Finished). Full: dropped; the client repeats them with the flight.
pub const DTLS_RECORDS_HELD_MAX: usize = 4;

/// Pieces of received datagrams that wait for the next poll (a DTLS 1.2 server's flight in one datagram is six). It is
/// full only when the caller does not poll: then pieces are dropped.
pub const DTLS_INBOX_MAX: usize = 32;

/// Handshake records accepted on a connected DTLS 1.2 association (repeats of the client's last flight; the library
/// keeps each one). More: dropped.
pub const DTLS_LATE_HANDSHAKE_RECORDS_MAX: u8 = 16;

// One message in as many pieces as are allowed fits, with 32 bytes of bookkeeping for each piece.
const _: () = assert!(DTLS_HANDSHAKE_MESSAGE_BYTES_MAX + 32 * (DTLS_FRAGMENT_RUNS_MAX + 2) < DTLS_REASSEMBLY_BYTES_MAX);
const _: () = assert!(DTLS_DATAGRAM_OUT_BYTES_MAX <= DATAGRAM_OUT_BYTES_MAX);
const _: () = assert!(DTLS_HANDSHAKE_MAX.as_secs() <= SESSION_SETUP_MAX.as_secs());

/// How long video waits for its frame's end on a busy worker. The frame's last packet is never delayed.
pub const FRAME_HOLD_DEFAULT: Duration = Duration::from_millis(5);

/// The longest wait that may be configured: one frame at 60 frames a second.
pub const FRAME_HOLD_MAX: Duration = Duration::from_millis(16);

// --- signal/sdp: what an offer may hold. All of it is read at once, and only while the request lasts. ---

/// Bytes of an SDP offer or fragment. Chromium with every codec offers 7 KB. Longer: refused, 413.
pub const SDP_BYTES_MAX: usize = 64 * 1024;

/// Media sections of an offer; one audio and one video are accepted. More: refused, 422.
pub const SDP_MEDIA_SECTIONS_MAX: usize = 16;

/// Attribute lines of the session or of one media section. Chromium's longest section has about 150. More: refused, 422.
pub const SDP_ATTRIBUTES_PER_SECTION_MAX: usize = 1_024;

/// Payload types of one media section: all values of 7 bits. More: refused, 422.
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

/// When the kernel's time of arrival is older than this, the wall clock was set in between: the time of reading is used
/// instead.
pub const ARRIVAL_AGE_MAX: Duration = Duration::from_millis(500);
// --- worker: its live figures ---

/// The longest residence time that is recorded, in microseconds. Longer: recorded as this one.
pub const RESIDENCE_US_MAX: u64 = 10_000_000;

/// Significant digits of a recorded residence time: 1 % steps, 17 KB for each of a worker's six histograms.
pub const RESIDENCE_DIGITS: u8 = 2;

// --- peer: the client side, for tests, benches and the load tester ---

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

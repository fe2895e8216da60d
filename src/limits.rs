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

//! What an offer may hold. All of it is read at once, and only while the request lasts.

use std::time::Duration;

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

/// Bytes of a `rid`, which must fit a one-byte header extension element (RFC 8285 §4.2). Longer: its encoding is not accepted.
pub const RID_BYTES_MAX: usize = 16;

/// Streams of one `a=simulcast` that are looked at; those after the first [`ENCODINGS_PER_TRACK_MAX`](super::ENCODINGS_PER_TRACK_MAX)
/// that can be served are not accepted.
pub const SDP_SIMULCAST_STREAMS_MAX: usize = 16;

/// Kilobits a second that a simulcast publisher is told to begin with, at most: what it says of its layers may be anything.
pub const START_KBPS_MAX: u32 = 10_000;

/// Bytes of the header extension block of a packet to a viewer, its 4-byte head included (RFC 8285 §4.1), so that a
/// browser's 1,200-byte payload leaves at no more than 1,222 bytes. What does not fit is not agreed.
pub const DOWNLINK_EXTENSION_BYTES_MAX: usize = 20;

/// When the kernel's time of arrival is older than this, the wall clock was set in between: the time of reading is used
/// instead.
pub const ARRIVAL_AGE_MAX: Duration = Duration::from_millis(500);

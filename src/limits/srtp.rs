//! SRTP ([`crate::srtp`]).

use std::time::Duration;

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

/// Packets under one key in one direction, RTP and RTCP together. RFC 3711 §9.2 allows 2⁴⁸ and 2³¹; the lower of the two holds
/// for both here. A client is asked for other keys when an eighth of it is left: at 1,000 packets a second that takes three
/// days. Reached: the session ends.
pub const SRTP_PACKETS_PER_KEY_MAX: u64 = 1 << 31;

/// How long a key lives, unless configured.
pub const KEY_LIFETIME_DEFAULT_S: u32 = 3_600;

/// The shortest that may be configured. A change takes some seconds, in which a viewer is sent everything twice.
pub const KEY_LIFETIME_MIN_S: u32 = 60;

/// The longest.
pub const KEY_LIFETIME_MAX_S: u32 = 7 * 86_400;

/// By so many hundredths a session's lifetime is longer or shorter than configured: a crowd that came at once does not change
/// its keys at once.
pub const KEY_LIFETIME_SPREAD_PERCENT: u64 = 10;

/// How soon a client that is asked for other keys should offer; it is asked again after that, and after twice as long each time.
pub const REKEY_WITHIN: Duration = Duration::from_secs(30);

/// Clients of one worker that are asked at once, and the pause after which one more is. 10,000 sessions with a lifetime of a
/// minute need 170 a second. More: the next ones wait.
pub const REKEYS_ASKED_AT_ONCE: u32 = 16;

/// See [`REKEYS_ASKED_AT_ONCE`].
pub const REKEY_ASKED_PAUSE: Duration = Duration::from_millis(4);

/// When a client is asked whose turn had to wait, because sessions joined or many were asked.
pub const REKEY_POSTPONED: Duration = Duration::from_millis(500);

const _: () = assert!(REKEY_WITHIN.as_secs() < KEY_LIFETIME_MIN_S as u64);

//! SRTP ([`crate::srtp`]).

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

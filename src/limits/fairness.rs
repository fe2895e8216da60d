//! What one publisher or one viewer may cost the others on its worker, and what is done for one that lacks something: repeats,
//! a path that passes no full packet, a publisher's ceiling, one without sender reports.

use std::time::Duration;

/// Of what a viewer is sent, how much it may have sent again, in hundredths: a loss of a third costs 50. Used up: its
/// requests are dropped, counted.
pub const REPAIR_PERCENT_MAX: u64 = 50;

/// Bytes of repeats that a viewer may have at once; it comes with them. A second of 4 Mbit/s.
pub const REPAIR_CREDIT_BYTES_MAX: i64 = 512 * 1024;

/// Bytes of payload from which a packet is a full one. Encoders fill 1,100 to 1,200; IPv6 guarantees 1,280 less 100 of
/// headers and tag.
pub const FULL_PACKET_BYTES_MIN: usize = 1_000;

/// How long a viewer's requests are counted before its path is judged.
pub const NARROW_PATH_WINDOW: Duration = Duration::from_secs(5);

/// Full packets in that time below which it is not judged.
pub const NARROW_PATH_PACKETS_MIN: u64 = 20;

/// How long full packets are not repeated on a path that passes none. Then it is tried again: it may be another path.
pub const NARROW_PATH_PAUSE: Duration = Duration::from_secs(30);

/// A track without a sender report for this long after its first packet gets its clock from arrival. Publishers report
/// every 5 s (RFC 3550 §6.2), browsers sooner.
pub const SENDER_REPORT_MISSING: Duration = Duration::from_secs(6);

/// Pause between two clocks made from arrival. The publisher's clock drifts by 0.1 ms in it.
pub const ARRIVAL_CLOCK_INTERVAL: Duration = Duration::from_secs(2);

/// A packet that comes so much sooner or later than its RTP timestamp says is of another clock.
pub const ARRIVAL_CLOCK_JUMP_MIN: Duration = Duration::from_secs(2);

/// Bits a publisher may send in a second, in thousands, unless configured: twice what the best broadcast encoders send
/// over WHIP. More: not forwarded, counted.
pub const PUBLISHER_BITRATE_DEFAULT_KBPS: u32 = 50_000;

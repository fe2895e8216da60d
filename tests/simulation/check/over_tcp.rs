//! What a viewer on a connection is played is not old, and little waits for it: the bounds of both.
//!
//! Where the connection is too thin, whole frames are left out up to a key frame (`content`), so that what is written is at
//! most as old as the packet ring, and what waits behind it is bounded in bytes.

use std::time::Duration;

use corecast::limits;

use crate::tcp::TcpProfile;

/// Bytes that wait in the node for one connection: what its queue may hold. Data channels, which have a batch of their own, may
/// have a whole train begun in an empty one.
pub(crate) fn queue_bytes_max(has_data: bool) -> usize {
    let train = limits::TRAIN_BYTES_MAX + limits::SEGMENTS_PER_TRAIN_MAX * HEAD_BYTES;
    if has_data { train.max(limits::CONNECTION_QUEUE_BYTES_MAX) } else { limits::CONNECTION_QUEUE_BYTES_MAX }
}

/// What TURN puts before a datagram at most.
const HEAD_BYTES: usize = 80;

/// What a packet may take to the node's ring and through a round: its publisher's delay with jitter, a frame that is held.
const TO_THE_RING: Duration = Duration::from_millis(500);

/// From the end of a disturbance until ages are judged, beside the bound itself.
pub(crate) const SETTLED: Duration = Duration::from_secs(2);

/// Machines that are slower than this have no room for what is asked of them: the rounds themselves are old.
pub(crate) const SLOWER_MAX: u64 = 4;

/// A viewer on a thin connection waits for whole key frames, and for what is in front of them.
pub(crate) const PATIENCE: u32 = 3;

/// The age of what is played over a connection, at most.
pub(crate) fn age_max(profile: &TcpProfile, has_data: bool) -> Duration {
    let written = limits::RING_HISTORY + TO_THE_RING;
    let ahead = queue_bytes_max(has_data) as u64 + limits::CONNECTION_UNSENT_BYTES_MAX as u64 + profile.window;
    let waits = (ahead * 8_000_000_000).checked_div(profile.rate).unwrap_or(0);
    written + Duration::from_nanos(waits) + profile.delay
}

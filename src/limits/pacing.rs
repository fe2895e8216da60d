//! Bounds of pacing and of joins: how much leaves at once towards one viewer, how fast the rest follows, and how far back a
//! viewer may begin.

use std::time::Duration;

use super::KEY_FRAME_AGE_MAX;

/// Packets of one train of a paced viewer, unless the stream's own frames are larger ([`PACED_FRAMES_AT_ONCE_PERCENT`]). Behind
/// a queue of 30 kB at 5, 10 and 20 Mbit/s a key frame of 57 kB lost nothing in trains of ten and 0.5 % in one burst.
pub const PACED_TRAIN_PACKETS: u32 = 10;

/// Bytes that a packet of such a train is taken for: 1,200 of payload, headers and tag.
pub const PACED_PACKET_BYTES: u32 = 1_250;

/// Bytes of header, extensions and tag that a packet has on its way beside its payload.
pub const SENT_OVERHEAD_BYTES: usize = 40;

/// What may leave at once, in hundredths of a stream's mean frame, where that is more than [`PACED_TRAIN_PACKETS`]. So an
/// ordinary frame is never cut, and pacing costs nothing between key frames.
pub const PACED_FRAMES_AT_ONCE_PERCENT: u32 = 150;

/// Packets that may leave at once at most. Larger frames leave in several trains.
pub const PACED_PACKETS_AT_ONCE_MAX: u32 = 256;

/// The slowest pace in bits per second while nothing is known of the path. 4.5 Mbit/s in trains of five was worse than 5 in trains
/// of ten: 104 ms of delay, and a freeze.
pub const PACE_BITS_PER_SECOND_MIN: u32 = 5_000_000;

/// The pace in hundredths of the stream's rate, at least.
pub const PACE_PERCENT_OF_STREAM: u32 = 250;

/// The pace in hundredths of the path's capacity, where that is known and more.
pub const PACE_PERCENT_OF_CAPACITY: u32 = 85;

/// The slowest pace of a path in bits per second, whatever is said of it.
pub const PACE_OF_PATH_MIN: u32 = 100_000;

/// A pace above this is none: ten packets in 2 ms, hardly longer than the wheel's tick.
pub const PACE_BITS_PER_SECOND_MAX: u32 = 50_000_000;

/// Packets that a viewer may be behind at the stream's pace. More, and the stream has become faster than its measured rate, or a
/// frame is as large as a second of it: the viewer is hurried, as if it had just joined.
pub const PACED_BEHIND_PACKETS_MAX: u64 = 192;

/// How soon a viewer that starts at an older key frame shall be at the live edge. It leaves 0.2 s of the 0.6 s after which
/// people notice.
pub const CATCH_UP_TIME: Duration = Duration::from_millis(400);

/// The same of one that is started again from the ring, 80 to 300 ms after its first start: it has waited already. Where it reports, its
/// first report says how fast it is sent, and this changes nothing.
pub const CATCH_UP_AGAIN_TIME: Duration = Duration::from_millis(200);

/// How long after a start nobody else is asked for what the viewer is being sent: its wishes for a key frame count when it should
/// have one.
pub const CATCH_UP_PATIENCE: Duration = Duration::from_secs(1);

/// Times that a viewer's track is started once more in its life, because it asks for a key frame when it has just been put at one: a
/// browser that was sent media before it had its keys has lost the first packets, and does not miss them by their numbers.
pub const STARTS_AGAIN_MAX: u8 = 2;

/// How long after a second start the viewer's wishes are of before it: browsers repeat them every 200 ms.
pub const START_AGAIN_PAUSE: Duration = Duration::from_millis(150);

/// How long a viewer that reports on its packets, and of whose path nothing is known, is not hurried: until its report is here, which
/// browsers send 50 to 250 ms after the first packet, and which says how fast it can be.
pub const HURRIED_UNHEARD_AFTER: Duration = Duration::from_millis(250);

/// When such a report is mostly here: what timestamps are told by.
pub const FIRST_REPORT_EXPECTED: Duration = Duration::from_millis(100);

/// Packets of its first picture that a viewer that begins may be sent beside its first train: with that 20 kB, less than small
/// queues hold. With ten, behind 5 Mbit/s and 30 kB, the rest of the past found the queue so full that sound ran over.
pub const FIRST_TRAIN_MORE_PACKETS: usize = 6;

/// How much faster than the stream itself it is sent at most to reach that.
pub const CATCH_UP_RATES_MAX: u32 = 8;

/// Timestamps that are squeezed stay this part of their distance at least. At 60 frames a second two of them are 23 ticks apart
/// then.
pub const SQUEEZE_MAX: u64 = 64;

/// Pictures further back than this by the publisher's timestamps are not squeezed: nobody's clock can be right.
pub const SQUEEZED_TIME_MAX: Duration = Duration::from_secs(64);

/// Ticks after its edge at which a squeeze is over, so that no timestamp comes round to it: half a second of video's clock, more
/// than pictures are out of order.
pub const SQUEEZE_OVER_TICKS: i32 = 45_000;

/// How long a repeat may wait for its turn. Longer: dropped, counted; a viewer that still needs it asks again.
pub const REPEAT_WAIT_MAX: Duration = Duration::from_millis(250);

/// Over how long a stream's rate is measured.
pub const STREAM_RATE_WINDOW: Duration = Duration::from_millis(500);

const _: () = assert!(PACE_BITS_PER_SECOND_MIN < PACE_BITS_PER_SECOND_MAX);
const _: () = assert!(START_AGAIN_PAUSE.as_millis() < CATCH_UP_PATIENCE.as_millis());
const _: () = assert!(KEY_FRAME_AGE_MAX.as_secs() < SQUEEZED_TIME_MAX.as_secs());
const _: () = assert!(FIRST_REPORT_EXPECTED.as_millis() < HURRIED_UNHEARD_AFTER.as_millis());
const _: () =
    assert!((PACED_TRAIN_PACKETS as usize + FIRST_TRAIN_MORE_PACKETS) * (PACED_PACKET_BYTES as usize) < 30_000);
const _: () = assert!(PACED_TRAIN_PACKETS as usize <= super::PACKETS_PER_VISIT_MAX);

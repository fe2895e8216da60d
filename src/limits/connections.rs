//! Bounds of media over TCP ([`crate::net::connection`]).

use std::time::Duration;

/// Time for the first frame of a connection that carries media, once its first byte is there. Later: closed.
pub const FIRST_FRAME_TIME_MAX: Duration = Duration::from_secs(3);

/// How often such a connection is looked at until the frame is whole.
pub const FIRST_FRAME_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// TCP connections of one worker that carry media: 16,384 × 4.8 kB of the kernel's memory is 79 MB. More: closed.
pub const CONNECTIONS_PER_WORKER_MAX: usize = 16_384;

/// Bytes of a frame (RFC 4571) that a peer sends: an Ethernet MTU. Longer: the connection is closed.
pub const FRAME_IN_BYTES_MAX: usize = 1_500;

/// Bytes that the kernel holds of a connection and has not sent, beyond which no media is written. A quarter of a second
/// of 0.5 Mbit/s, so that what is written leaves soon.
pub const CONNECTION_UNSENT_BYTES_MAX: usize = 16 * 1024;

/// Bytes that wait for a connection which takes no more: checks, reports, a handshake's flight. More: dropped, counted.
pub const CONNECTION_QUEUE_BYTES_MAX: usize = 32 * 1024;

/// Pause between two visits of a viewer on a connection that is behind: 10 packets in a millisecond are 100 Mbit/s.
pub const CONNECTION_PAUSE: Duration = Duration::from_millis(1);

/// Visits of viewers on connections in one round of a worker: sixteen packets each, in TLS, are 0.5 ms. The others wait for the
/// next round.
pub const CONNECTION_VISITS_PER_ROUND_MAX: usize = 8;

/// One visit in so many is a connection's, while viewers of datagrams are behind all the time: 3 %.
pub const CONNECTION_VISIT_EVERY: u32 = 32;

/// How old a key frame may be that a viewer on a connection starts with. What follows an older one cannot be dropped on its way: a
/// thin connection would be busy with it for seconds, and sound would wait.
pub const CONNECTION_KEY_FRAME_AGE_MAX: Duration = Duration::from_millis(400);

/// How soon a viewer is looked at again whose connection takes no more.
pub const CONNECTION_FULL_RETRY: Duration = Duration::from_millis(5);

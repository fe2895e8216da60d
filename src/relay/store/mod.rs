//! What is published, kept once per worker: packets, clocks, and the records that carry both between workers.

pub mod address;
pub mod clock_map;
pub mod encoding;
pub mod key_frame;
pub mod ladder;
pub mod numbers;
pub mod packet_ring;
pub mod record;
pub mod redundancy;
pub mod sender_clock;
pub mod stream_rate;
pub mod timeline;
pub mod upstream;

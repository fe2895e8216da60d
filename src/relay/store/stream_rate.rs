//! How fast a stream comes here, and how large its frames are: what pacing goes by. Measured where packets are stored, over
//! windows of [`limits::STREAM_RATE_WINDOW`] by their times of arrival.
//!
//! Not here: what a layer takes, by which viewers are given one ([`super::ladder`]). That is a mean of seconds, told by the
//! publisher's worker; a pace must follow a stream that has become faster, and know its frames.

use std::time::Duration;

use crate::limits;
use crate::time::Timestamp;

/// The rate of one encoding.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamRate {
    began: Option<Timestamp>,
    bytes: u64,
    frames: u32,
    /// Without those of key frames.
    frame_bytes: u64,
    bits_per_second: u32,
    mean_frame_bytes: u32,
    windows: u32,
}

impl StreamRate {
    /// Takes note of a packet of so many bytes.
    #[inline]
    pub fn arrived(&mut self, bytes: usize, ends_frame: bool, of_key_frame: bool, arrival: Timestamp) {
        let began = *self.began.get_or_insert(arrival);
        let passed = arrival.since(began);
        if passed >= limits::STREAM_RATE_WINDOW {
            self.window_ended(passed, arrival);
        }
        self.bytes += bytes as u64;
        if !of_key_frame {
            self.frame_bytes += bytes as u64;
            self.frames += u32::from(ends_frame);
        }
    }

    fn window_ended(&mut self, passed: Duration, arrival: Timestamp) {
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
        let bits_per_second = u32::try_from(self.bytes.saturating_mul(8_000) / millis).unwrap_or(u32::MAX);
        // After a silence the window says nothing of how the stream goes on.
        if passed < 2 * limits::STREAM_RATE_WINDOW {
            self.bits_per_second = bits_per_second;
            if let Some(mean) = self.frame_bytes.checked_div(u64::from(self.frames)) {
                self.mean_frame_bytes = u32::try_from(mean).unwrap_or(u32::MAX);
            }
        }
        *self = Self {
            began: Some(arrival),
            bits_per_second: self.bits_per_second,
            mean_frame_bytes: self.mean_frame_bytes,
            windows: self.windows.wrapping_add(1),
            ..Self::default()
        };
    }

    /// Bits in a second, as they are sent; 0 before the first window has ended.
    #[must_use]
    pub fn bits_per_second(&self) -> u32 {
        self.bits_per_second
    }

    /// Changes when the figures may have.
    #[must_use]
    pub fn windows(&self) -> u32 {
        self.windows
    }

    /// Bytes of a frame that is no key frame; 0 before the first window has ended.
    #[must_use]
    pub fn mean_frame_bytes(&self) -> u32 {
        self.mean_frame_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: &mut StreamRate, from_ms: u64, frames: u64) {
        for frame in 0..frames {
            let of_key_frame = frame % 30 == 0;
            for packet in 0..if of_key_frame { 48 } else { 5 } {
                let ends = packet == if of_key_frame { 47 } else { 4 };
                rate.arrived(1_200, ends, of_key_frame, Timestamp::from_millis(from_ms + frame * 33));
            }
        }
    }

    #[test]
    fn a_rate_is_known_after_a_window_and_key_frames_make_no_frame_larger() {
        let mut rate = StreamRate::default();
        run(&mut rate, 0, 15);
        assert_eq!((rate.bits_per_second(), rate.mean_frame_bytes()), (0, 0));
        run(&mut rate, 15 * 33, 45);
        // Thirty frames of five packets in a second; a window has a key frame or none.
        assert!((1_400_000..2_300_000).contains(&rate.bits_per_second()), "{}", rate.bits_per_second());
        assert_eq!(rate.mean_frame_bytes(), 6_000);
    }

    #[test]
    fn a_silence_does_not_make_a_stream_slow() {
        let mut rate = StreamRate::default();
        run(&mut rate, 0, 40);
        let before = rate.bits_per_second();
        rate.arrived(1_200, true, false, Timestamp::from_millis(60_000));
        assert_eq!(rate.bits_per_second(), before);
        run(&mut rate, 60_033, 40);
        assert!(rate.bits_per_second() > 1_000_000);
    }
}

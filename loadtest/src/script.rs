//! A model of real video: frame sizes, fragments and pacing replayed from a recording of Chromium, scaled to the given
//! bitrate, frame rate and distance of key frames.
//!
//! `data/chromium-h264-2500.csv` has a row per frame of 20 s of H.264 at 2.5 Mbit/s and 30 frames a second: whether it
//! is a key frame, bytes of its slice, and when each of its packets left after the first, in microseconds. Payloads are
//! made by `corecast::lab::peer::video`: valid parameter sets, slice headers, fragments that differ by at most one
//! byte. The slices contain random bytes, which a relay cannot distinguish from pictures.

use std::time::Duration;

use corecast::lab::peer::publisher::{Script, ScriptFrame, ScriptPacket};
use corecast::lab::peer::video;

const RECORDING: &str = include_str!("../data/chromium-h264-2500.csv");

/// A frame of the recording.
#[derive(Clone, Debug)]
struct Recorded {
    key: bool,
    bytes: f64,
    after: Vec<Duration>,
}

fn recording() -> Vec<Recorded> {
    let row = |line: &str| {
        let mut fields = line.split(',');
        let (key, bytes, after) = (fields.next()?, fields.next()?, fields.next()?);
        let after: Vec<u64> = after.split(' ').filter_map(|field| field.parse().ok()).collect();
        let first = *after.first()?;
        let after = after.iter().map(|us| Duration::from_micros(us.saturating_sub(first))).collect();
        Some(Recorded { key: key == "1", bytes: bytes.parse().ok()?, after })
    };
    RECORDING.lines().skip(1).filter_map(row).collect()
}

/// Plays the recording in a loop.
#[derive(Debug)]
pub(crate) struct TraceScript {
    deltas: Vec<Recorded>,
    keys: Vec<Recorded>,
    scale: f64,
    interval: Duration,
    gop_frames: u64,
    /// Where in the recording this stream began, so that streams differ.
    offset: u64,
    next_key: u64,
    keys_made: u64,
    picture: (u32, u32),
}

impl TraceScript {
    /// A stream of `bitrate` bits a second. `stream` is its number, which makes streams differ.
    pub(crate) fn new(bitrate: f64, frames_per_second: u32, gop: Duration, stream: u64) -> Self {
        let (keys, deltas): (Vec<_>, Vec<_>) = recording().into_iter().partition(|frame| frame.key);
        let mean = |frames: &[Recorded]| frames.iter().map(|frame| frame.bytes).sum::<f64>() / frames.len() as f64;
        let gop_frames = (gop.as_secs_f64() * f64::from(frames_per_second)).round().max(1.0);
        let recorded = mean(&keys) + (gop_frames - 1.0) * mean(&deltas);
        let asked = bitrate / 8.0 * gop_frames / f64::from(frames_per_second);
        Self {
            deltas,
            keys,
            scale: asked / recorded,
            interval: Duration::from_secs(1) / frames_per_second,
            gop_frames: gop_frames as u64,
            offset: stream.wrapping_mul(97),
            next_key: 0,
            keys_made: 0,
            picture: (1280, 720),
        }
    }

    /// Its parameter sets speak of pictures of this width and height.
    pub(crate) fn of_picture(mut self, picture: (u32, u32)) -> Self {
        self.picture = picture;
        self
    }
}

impl Script for TraceScript {
    fn frame(&mut self, number: u64, key: bool) -> ScriptFrame {
        let key = key || number >= self.next_key;
        let recorded = if key {
            self.next_key = number + self.gop_frames;
            self.keys_made += 1;
            &self.keys[((self.offset + self.keys_made) % self.keys.len() as u64) as usize]
        } else {
            &self.deltas[((self.offset + number) % self.deltas.len() as u64) as usize]
        };
        let bytes = (recorded.bytes * self.scale).round().max(64.0) as usize;
        let payloads = video::frame_of(self.picture, self.offset << 32 | number, bytes, key, true);
        let (count, last) = (payloads.len(), recorded.after.len() - 1);
        let packets = payloads.into_iter().enumerate().map(|(at, payload)| ScriptPacket {
            after: recorded.after[at * last / count.max(2).saturating_sub(1).max(1)],
            // Parameter sets are not scaled.
            stampable: payload.first().is_some_and(|byte| byte & 0x1f != 24),
            payload,
        });
        ScriptFrame { packets: packets.collect(), key }
    }

    fn interval(&self) -> Duration {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast::lab::peer::stamp;

    #[test]
    fn the_bitrate_is_as_asked_at_any_frame_rate() {
        for (bitrate, fps, gop) in [(2.5e6, 30, 2.0), (1e6, 30, 2.0), (8e6, 60, 1.0), (500e3, 15, 4.0)] {
            let mut script = TraceScript::new(bitrate, fps, Duration::from_secs_f64(gop), 0);
            // A whole number of groups of pictures, long enough to cover the whole recording.
            let seconds = 60;
            let frames: Vec<_> = (0..u64::from(fps) * seconds).map(|number| script.frame(number, false)).collect();
            let bytes: usize = frames.iter().flat_map(|frame| &frame.packets).map(|packet| packet.payload.len()).sum();
            let measured = bytes as f64 * 8.0 / seconds as f64;
            assert!((measured / bitrate - 1.0).abs() < 0.06, "{measured} for {bitrate} at {fps}");
            let keys = frames.iter().filter(|frame| frame.key).count() as f64;
            assert_eq!(keys, seconds as f64 / gop);
            assert!(frames[0].key);
        }
    }

    #[test]
    fn frames_vary_and_are_paced_as_recorded() {
        let mut script = TraceScript::new(2.5e6, 30, Duration::from_secs(2), 0);
        let frames: Vec<_> = (0..300).map(|number| script.frame(number, false)).collect();
        let counts: std::collections::BTreeSet<_> = frames.iter().map(|frame| frame.packets.len()).collect();
        assert!(counts.len() > 6, "{counts:?}");
        for frame in &frames {
            assert!(frame.packets.is_sorted_by_key(|packet| packet.after));
            assert_eq!(frame.packets[0].after, Duration::ZERO);
        }
        let key = frames.iter().find(|frame| frame.key).unwrap();
        let span = key.packets.last().unwrap().after;
        assert!(span > Duration::from_millis(35), "Chromium paces key frames in bursts 40 ms apart: {span:?}");
    }

    #[test]
    fn an_asked_key_frame_comes_at_once_and_the_next_one_a_group_later() {
        let mut script = TraceScript::new(1e6, 30, Duration::from_secs(2), 0);
        let keys: Vec<u64> = (0..120).filter(|number| script.frame(*number, *number == 10).key).collect();
        assert_eq!(keys, [0, 10, 70]);
    }

    #[test]
    fn most_packets_have_room_for_a_stamp() {
        let mut script = TraceScript::new(500e3, 30, Duration::from_secs(2), 0);
        let packets: Vec<_> = (0..60).flat_map(|number| script.frame(number, false).packets).collect();
        let stamped = packets.iter().filter(|packet| packet.stampable && packet.payload.len() > stamp::BYTES + 4);
        assert!(stamped.count() * 10 > packets.len() * 9);
    }
}

//! What a publisher's encoder makes of a moving picture: frames that vary about a rate, key frames of seven times a frame's size
//! (a measured Chromium: 57 kB at 2 Mbit/s) when they are asked for or due, and smaller frames after them until the rate is met.

use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::lab::peer::publisher::{Script, ScriptFrame, ScriptPacket};
use corecast::lab::peer::video;

const FRAMES_PER_SECOND: u32 = 30;
const KEY_FRAME_TIMES: f64 = 7.0;
/// What a key frame took is saved again in so many frames.
const SAVED_IN: f64 = 20.0;
/// A browser's pacer sends at twice the rate, in bursts, as a recording of Chromium shows (`loadtest/data`).
const PACING: f64 = 2.0;
const BURST: Duration = Duration::from_millis(43);
/// From one packet of a burst to the next.
const PACKET: Duration = Duration::from_micros(10);

/// One encoding's encoder.
pub(crate) struct Encoder {
    bits_per_second: f64,
    picture: (u32, u32),
    /// Frames from one key frame to the next that nobody asked for; without it none comes unasked.
    group: Option<u64>,
    last_key: u64,
    /// Bytes above the rate so far.
    debt: f64,
    random: SeededRandom,
    unique: u64,
}

impl Encoder {
    pub(crate) fn new(bits_per_second: u32, picture: (u32, u32), group: Option<Duration>, seed: u64) -> Self {
        let group = group.map(|group| (group.as_secs_f64() * f64::from(FRAMES_PER_SECOND)).round() as u64);
        let random = SeededRandom::new(seed);
        Self {
            bits_per_second: bits_per_second.into(),
            picture,
            group,
            last_key: 0,
            debt: 0.0,
            random,
            unique: seed << 32,
        }
    }
}

impl Script for Encoder {
    fn frame(&mut self, number: u64, key: bool) -> ScriptFrame {
        let is_due = self.group.is_some_and(|group| number >= self.last_key + group);
        let key = key || number == 0 || is_due;
        let mean = self.bits_per_second / 8.0 / f64::from(FRAMES_PER_SECOND);
        let varies = 0.6 + 0.8 * (self.random.u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let bytes = match key {
            true => mean * KEY_FRAME_TIMES,
            false => (mean * varies - self.debt / SAVED_IN).max(mean * 0.3),
        };
        if key {
            self.last_key = number;
        }
        self.debt = self.debt + bytes - mean;
        let payloads = video::frame_of(self.picture, self.unique + number, bytes as usize, key, true);
        let burst_bytes = (PACING * self.bits_per_second / 8.0 * BURST.as_secs_f64()).max(1.0);
        let (mut sent, mut count) = (0.0, 0);
        let mut packet = |payload: Vec<u8>| {
            let after = BURST * (sent / burst_bytes) as u32 + PACKET * count;
            (sent, count) = (sent + payload.len() as f64, count + 1);
            // Parameter sets stay as they are.
            ScriptPacket { after, stampable: payload[0] & 31 != 24, payload }
        };
        ScriptFrame { packets: payloads.into_iter().map(&mut packet).collect(), key }
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / FRAMES_PER_SECOND
    }
}

//! What a publisher in the simulated network sends by itself, and what it was told.

use corecast::description::MediaKind;
use corecast::lab::peer::source::Source;
use corecast::time::Timestamp;

use super::{MS, Packet};

#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) video: Source,
    pub(crate) audio: Source,
    /// Frames of so many fragments leave by themselves, 30 a second, and audio every 20 ms, while this is set.
    pub(crate) fragments: Option<usize>,
    /// Whether key frames begin with parameter sets.
    pub(crate) parameter_sets: bool,
    /// Whether a request for a key frame is followed.
    pub(crate) answers_requests: bool,
    pub(crate) answers_nacks: bool,
    /// Every media packet made, in order.
    pub(crate) published: Vec<Packet>,
    pub(crate) key_frame_requests: Vec<Timestamp>,
    /// The sources that key frames were asked of.
    pub(crate) key_frames_of: Vec<u32>,
    /// Sources that were reported on.
    pub(crate) reported_on: Vec<u32>,
    pub(crate) nacked: Vec<(Timestamp, u16)>,
    pub(crate) transport_feedback: usize,
    pub(crate) receiver_reports: usize,
    pub(crate) goodbyes: usize,
    /// Ceilings it was told, in bits a second.
    pub(crate) ceilings: Vec<u64>,
    /// Whether it sends reports of its own.
    pub(crate) reports: bool,
    pub(super) timestamp_base: u32,
    pub(super) started: Timestamp,
    pub(super) frames: u64,
    pub(super) audio_packets: u64,
    pub(super) next_frame: Timestamp,
    pub(super) next_audio: Timestamp,
    pub(super) next_report: Option<Timestamp>,
    pub(super) transport_sequence: u16,
    pub(super) key_frame_wanted: bool,
}

impl Publisher {
    pub(super) fn start(&mut self, now: Timestamp) {
        self.started = now;
        self.next_frame = now;
        self.next_audio = now;
        self.next_report = Some(now + 100 * MS);
    }

    /// A source's RTP timestamp at `now`: both run from one clock, with offsets of their own.
    pub(crate) fn timestamp(&self, kind: MediaKind, now: Timestamp) -> u32 {
        let (rate, base) = match kind {
            MediaKind::Audio => (48_000, self.timestamp_base ^ 0x5555),
            MediaKind::Video => (90_000, self.timestamp_base),
        };
        let ticks = now.since(Timestamp::from_millis(10_000)).as_nanos() * rate / 1_000_000_000;
        base.wrapping_add(ticks as u32)
    }

    pub(super) fn next_transport_sequence(&mut self) -> [u8; 2] {
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        self.transport_sequence.to_be_bytes()
    }
}

//! A decoder and its jitter buffer as far as an audience notices them: which frames are shown, when, and when the picture stands
//! still. Nothing is decoded; a frame counts by its packets.
//!
//! A frame is shown when it and all before it since the last key frame are complete; a complete key frame may skip what is
//! missing before it. The buffer follows the latest frame at once and shrinks by 100 ms a second, as libwebrtc's does; and as there,
//! frames that wait for a repeat do not count: they are shown when they can be, and the buffer stays as it is. A freeze is
//! what the statistics of browsers call one (W3C webrtc-stats, `freezeCount`): a frame stays for longer than the greater of three
//! times the mean of the last 30 and that mean plus 150 ms.
//!
//! Left out: time to decode, frames a decoder drops, and what it conceals.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::limits;
use crate::time::Timestamp;
use crate::wire::sequence;

const TICKS_PER_SECOND: u64 = 90_000;
const INTERVALS: usize = 30;
const FREEZE_MORE: Duration = Duration::from_millis(150);
/// The buffer shrinks by a tenth of the time that passes.
const SHRINKS_BY: i64 = 10;
/// It stays as long as the latest frame of so many.
const REMEMBERS: usize = 60;

/// A packet of video, opened.
#[derive(Clone, Copy, Debug)]
pub struct VideoPacket {
    /// Extended sequence number.
    pub index: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// The last packet of its frame.
    pub marker: bool,
    /// It begins a key frame.
    pub key: bool,
    /// Which encoding it is of, and when it was sent, where it says so.
    pub stamp: Option<(u8, Timestamp)>,
    /// It is the repeat of one that was lost.
    pub repeated: bool,
}

/// A frame that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When.
    pub at: Timestamp,
    /// The encoding it is of, where it says so.
    pub layer: Option<u8>,
    /// When its first packet was sent, where it says so.
    pub sent: Option<Timestamp>,
    /// It is a key frame.
    pub key: bool,
    /// How long the one before it stood, where that was a freeze.
    pub froze: Option<Duration>,
    /// It is of another encoding than the one before it.
    pub switched: bool,
}

/// The decoder of one viewer.
#[derive(Debug, Default)]
pub struct Decoder {
    /// With when each came.
    packets: BTreeMap<u64, (VideoPacket, Timestamp)>,
    /// Packets that begin a key frame, ascending.
    keys: VecDeque<u64>,
    /// Where the next frame begins; `None` while a key frame is needed.
    next: Option<u64>,
    newest_timestamp: Option<u64>,
    /// From a frame's time to when it is shown, in nanoseconds of an origin of its own.
    delay: Option<i64>,
    lateness: VecDeque<i64>,
    last: Option<Shown>,
    intervals: VecDeque<Duration>,
}

impl Decoder {
    /// Takes a packet; the frames that are shown by it are appended to `shown`.
    pub fn note(&mut self, packet: VideoPacket, now: Timestamp, shown: &mut Vec<Shown>) {
        if self.next.is_some_and(|next| packet.index < next) || self.packets.contains_key(&packet.index) {
            return;
        }
        if self.packets.len() == limits::DECODER_PACKETS_MAX
            && let Some((first, _)) = self.packets.pop_first()
        {
            self.keys.retain(|key| *key != first);
        }
        self.packets.insert(packet.index, (packet, now));
        if packet.key {
            let at = self.keys.partition_point(|key| *key < packet.index);
            self.keys.insert(at, packet.index);
        }
        while let Some((first, last)) = self.complete() {
            shown.extend(self.show(first, last, now));
        }
    }

    /// How long the last frame has stood at the end, where that is a freeze.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> Option<Duration> {
        let last = self.last?;
        Some(now.since(last.at)).filter(|interval| self.is_freeze(*interval))
    }

    /// Whether a frame was shown.
    #[must_use]
    pub fn has_picture(&self) -> bool {
        self.last.is_some()
    }

    /// The next frame that can be shown.
    fn complete(&self) -> Option<(u64, u64)> {
        let next = self.next.and_then(|next| self.frame(next));
        next.or_else(|| self.keys.iter().find_map(|key| self.frame(*key)))
    }

    /// A frame that begins at `first`, where all of it is there.
    fn frame(&self, first: u64) -> Option<(u64, u64)> {
        let timestamp = self.packets.get(&first)?.0.timestamp;
        for (expected, (index, (packet, _))) in (first..).zip(self.packets.range(first..)) {
            if *index != expected || packet.timestamp != timestamp {
                return None;
            }
            if packet.marker {
                return Some((first, *index));
            }
        }
        None
    }

    fn is_freeze(&self, interval: Duration) -> bool {
        if self.intervals.is_empty() {
            return false;
        }
        let mean = self.intervals.iter().sum::<Duration>() / self.intervals.len() as u32;
        interval > (mean * 3).max(mean + FREEZE_MORE)
    }

    fn show(&mut self, first: u64, last: u64, now: Timestamp) -> Option<Shown> {
        let rest = self.packets.split_off(&(last + 1));
        let frame = std::mem::replace(&mut self.packets, rest);
        self.keys.retain(|key| *key > last);
        self.next = Some(last + 1);
        let of_frame = frame.range(first..).map(|(_, (packet, _))| packet);
        let timestamp = frame.get(&first)?.0.timestamp;
        let is_repeated = of_frame.clone().any(|packet| packet.repeated);
        let came = frame.range(first..).map(|(_, (_, came))| *came).max().filter(|_| !is_repeated);
        let key = of_frame.clone().any(|packet| packet.key);
        let stamp = of_frame.filter_map(|packet| packet.stamp).min_by_key(|(_, sent)| *sent);
        let extended = match self.newest_timestamp {
            None => (1 << 32) + u64::from(timestamp),
            Some(newest) => sequence::extend_timestamp(newest, timestamp),
        };
        self.newest_timestamp = Some(extended);
        let media = (u128::from(extended) * 1_000_000_000 / u128::from(TICKS_PER_SECOND)) as i64;
        let at = self.play_out(media, came, now);
        let at = self.last.map_or(at, |before| at.max(before.at));
        let mut froze = None;
        if let Some(before) = self.last {
            let interval = at.since(before.at);
            froze = self.is_freeze(interval).then_some(interval);
            if self.intervals.len() == INTERVALS {
                self.intervals.pop_front();
            }
            self.intervals.push_back(interval);
        }
        let layer = stamp.map(|(layer, _)| layer);
        let switched =
            self.last.is_some_and(|before| before.layer.is_some() && layer.is_some() && before.layer != layer);
        let shown = Shown { at, layer, sent: stamp.map(|(_, sent)| sent), key, froze, switched };
        self.last = Some(shown);
        Some(shown)
    }

    /// When a frame of this time is shown that can be now; `came` is when the last of its packets did, without a repeat.
    fn play_out(&mut self, media: i64, came: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let Some(came) = came.or(self.delay.is_none().then_some(now)) else {
            let due = media + self.delay.unwrap_or_default();
            return Timestamp::from_nanos(due.max(0) as u64).max(now);
        };
        let late = came.as_nanos() as i64 - media;
        if self.lateness.len() == REMEMBERS {
            self.lateness.pop_front();
        }
        self.lateness.push_back(late);
        let latest = self.lateness.iter().copied().max().unwrap_or(late);
        let delay = match (self.delay, self.last) {
            (Some(delay), Some(before)) => {
                let passed = now.since(before.at).min(Duration::from_secs(1)).as_nanos() as i64;
                late.max(latest.max(delay - passed / SHRINKS_BY).min(delay))
            }
            _ => late,
        };
        self.delay = Some(delay);
        Timestamp::from_nanos((media + delay).max(0) as u64).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(33);

    /// Frame `n` has two packets, sent when it is due, of encoding `layer`.
    fn packets(n: u64, key: bool, layer: u8) -> [VideoPacket; 2] {
        [0, 1].map(|part| VideoPacket {
            index: 1_000 + n * 2 + part,
            timestamp: (n * 33 * 90) as u32,
            marker: part == 1,
            key: key && part == 0,
            stamp: Some((layer, due(n))),
            repeated: false,
        })
    }

    fn due(n: u64) -> Timestamp {
        Timestamp::from_millis(1_000) + FRAME * n as u32
    }

    /// Shows frames that come so late, in milliseconds.
    fn play(decoder: &mut Decoder, frames: impl IntoIterator<Item = (u64, u64)>) -> Vec<Shown> {
        let mut shown = Vec::new();
        for (n, late) in frames {
            let now = due(n) + Duration::from_millis(late);
            packets(n, n == 0, 0).into_iter().for_each(|packet| decoder.note(packet, now, &mut shown));
        }
        shown
    }

    #[test]
    fn frames_in_time_are_shown_in_time_and_nothing_freezes() {
        let mut decoder = Decoder::default();
        let shown = play(&mut decoder, (0..100).map(|n| (n, 20 + n % 2 * 10)));
        assert_eq!(shown.len(), 100);
        assert!(shown.iter().all(|frame| frame.froze.is_none() && !frame.switched && frame.layer == Some(0)));
        // The buffer is that of the later ones, and all frames are shown at their distance.
        assert!(
            shown[10..].windows(2).all(|pair| pair[1].at.since(pair[0].at).abs_diff(FRAME) < Duration::from_millis(1))
        );
        assert_eq!((shown[0].key, shown[1].key, shown[50].sent), (true, false, Some(due(50))));
    }

    #[test]
    fn a_late_frame_freezes_the_picture_for_as_long_as_it_stood() {
        let mut decoder = Decoder::default();
        let shown = play(&mut decoder, (0..50).map(|n| (n, if n == 40 { 300 } else { 0 })));
        let freezes: Vec<_> = shown.iter().filter_map(|frame| frame.froze).collect();
        assert_eq!(freezes, [FRAME + Duration::from_millis(300)]);
        let mut decoder = Decoder::default();
        let shown = play(&mut decoder, (0..50).map(|n| (n, if n == 40 { 140 } else { 0 })));
        assert!(shown.iter().all(|frame| frame.froze.is_none()), "150 ms more than the mean are none");
    }

    #[test]
    fn after_a_hole_nothing_is_shown_until_it_is_filled_or_a_key_frame_skips_it() {
        for filled in [true, false] {
            let mut decoder = Decoder::default();
            let mut shown = Vec::new();
            for n in 0..30 {
                for packet in packets(n, n == 0 || n == 20, 0) {
                    if packet.index != 1_021 {
                        decoder.note(packet, due(n), &mut shown);
                    }
                }
                if n == 15 && filled {
                    assert_eq!(shown.len(), 10);
                    decoder.note(packets(10, false, 0)[1], due(n), &mut shown);
                    assert_eq!(shown.len(), 16);
                }
            }
            assert_eq!(shown.len(), if filled { 30 } else { 20 });
            assert_eq!(shown.iter().filter(|frame| frame.froze.is_some()).count(), 1);
        }
    }

    #[test]
    fn a_repeat_stops_the_picture_and_does_not_grow_the_buffer() {
        for repeated in [true, false] {
            let mut decoder = Decoder::default();
            let mut shown = Vec::new();
            for n in 0..60 {
                for packet in packets(n, n == 0, 0).into_iter().filter(|packet| packet.index != 1_021) {
                    decoder.note(packet, due(n), &mut shown);
                }
                if n == 19 {
                    decoder.note(VideoPacket { repeated, ..packets(10, false, 0)[1] }, due(n), &mut shown);
                }
            }
            assert_eq!((shown.len(), shown.iter().filter(|frame| frame.froze.is_some()).count()), (60, 1));
            assert_eq!(shown[19].at == due(19), repeated);
            assert!(
                repeated || shown[19].at > due(27),
                "one that is only late does: {:?}",
                shown[19].at.since(due(19))
            );
        }
    }

    #[test]
    fn it_begins_with_a_key_frame_and_notices_the_encoding_change() {
        let mut decoder = Decoder::default();
        let mut shown = Vec::new();
        for n in 5..20 {
            packets(n, n == 8 || n == 12, u8::from(n >= 12))
                .into_iter()
                .for_each(|packet| decoder.note(packet, due(n), &mut shown));
        }
        assert_eq!(shown.len(), 12);
        let switched: Vec<_> = shown.iter().filter(|frame| frame.switched).map(|frame| frame.layer).collect();
        assert_eq!(switched, [Some(1)]);
    }

    #[test]
    fn what_stands_at_the_end_is_a_freeze_too() {
        let mut decoder = Decoder::default();
        assert!(!decoder.has_picture());
        play(&mut decoder, (0..20).map(|n| (n, 0)));
        assert_eq!(decoder.stands(due(20)), None);
        assert_eq!(decoder.stands(due(19) + Duration::from_secs(2)), Some(Duration::from_secs(2)));
    }

    #[test]
    fn packets_that_never_become_a_frame_are_bounded() {
        let mut decoder = Decoder::default();
        let mut shown = Vec::new();
        for n in 0..limits::DECODER_PACKETS_MAX as u64 {
            packets(n, true, 0)
                .into_iter()
                .for_each(|packet| decoder.note(VideoPacket { marker: false, ..packet }, due(0), &mut shown));
        }
        assert_eq!((decoder.packets.len(), shown.len()), (limits::DECODER_PACKETS_MAX, 0));
        assert!(decoder.keys.len() <= limits::DECODER_PACKETS_MAX);
    }
}

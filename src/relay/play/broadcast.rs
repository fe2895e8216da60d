//! One encoding and those of this worker's viewers that are sent it: what happens to the encoding says who is to be visited.
//!
//! The same on the publisher's worker and on every other: there it is fed by the uplink, here by the lane.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crate::description::MediaKind;
use crate::relay::play::fan_out::FanOut;
use crate::relay::play::pacing::Pace;
use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::{EncodingId, Position};
use crate::relay::store::packet_ring::NotStored;
use crate::relay::store::record::{MediaRecord, PublishedCodec};
use crate::time::Timestamp;

/// An encoding and its subscribers, named by `K`. What it does not do itself is the encoding's.
#[derive(Debug)]
pub struct Broadcast<K> {
    encoding: Encoding,
    pace: Pace,
    /// The subscribers.
    pub fan_out: FanOut<K>,
}

impl<K> Deref for Broadcast<K> {
    type Target = Encoding;

    fn deref(&self) -> &Encoding {
        &self.encoding
    }
}

impl<K> DerefMut for Broadcast<K> {
    fn deref_mut(&mut self) -> &mut Encoding {
        &mut self.encoding
    }
}

impl<K: Copy + PartialEq> Broadcast<K> {
    /// An encoding of which nothing is known but its kind, and nobody to send it to.
    #[must_use]
    pub fn new(id: EncodingId, kind: MediaKind) -> Self {
        Self { encoding: Encoding::new(id, kind), pace: Pace::default(), fan_out: FanOut::default() }
    }

    /// What follows is encoded so. What each subscriber is sent is to be decided anew.
    pub fn set_codec(&mut self, codec: PublishedCodec) {
        if self.encoding.set_codec(codec) {
            self.fan_out.all_undecided();
        }
    }

    /// As [`Encoding::begin`]; everyone looks where it goes on.
    pub fn begin(&mut self) {
        self.encoding.begin();
        self.fan_out.wake_all();
    }

    /// Stores a packet; where a key frame begins with it, those who waited for one are ready.
    ///
    /// # Errors
    /// It is here already, or no place on the timeline is left for it.
    pub fn store(&mut self, record: &MediaRecord<'_>) -> Result<Position, NotStored> {
        let (key_frames, windows) = (self.encoding.key_frames, self.encoding.rate().windows());
        let was_replayed = self.encoding.is_replayed();
        let stored = self.encoding.store(record);
        // What is replayed begins for everyone when it is whole.
        let begins = self.encoding.key_frames != key_frames || was_replayed;
        if begins && !self.encoding.is_replayed() {
            self.fan_out.key_frame_began();
        }
        let position = stored?;
        if self.encoding.rate().windows() != windows {
            self.pace = Pace::of(self.encoding.rate());
        }
        Ok(position)
    }

    /// How fast its viewers are sent it, as far as that is the same for all.
    #[inline]
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// As [`Encoding::release`]; where the head moved, those who had caught up are behind again.
    pub fn release(&mut self, hold: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
        let before = self.encoding.released();
        let held_until = self.encoding.release(hold, now);
        if self.encoding.released() != before {
            self.fan_out.head_moved();
        }
        held_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::CodecFormat;
    use crate::relay::play::fan_out::{AfterVisit, Carried};
    use crate::relay::store::packet_ring::Layers;
    use crate::relay::store::timeline::Incarnation;
    use crate::wire::codec::Codec;

    fn record(sequence: u64, key_frame: bool) -> MediaRecord<'static> {
        MediaRecord {
            incarnation: Incarnation(1),
            sequence,
            timestamp: sequence as u32 * 3_000,
            arrival: Timestamp::from_millis(sequence * 33),
            marker: true,
            key_frame,
            padding: 0,
            layers: Layers::UNKNOWN,
            payload: &[1, 2, 3],
        }
    }

    #[test]
    fn packets_ready_who_had_caught_up_and_key_frames_who_waited() {
        let mut broadcast = Broadcast::new(EncodingId::default(), MediaKind::Video);
        broadcast.fan_out.add_waiting(9);
        broadcast.fan_out.visited(8, AfterVisit::CaughtUp, Carried::ByDatagrams);
        broadcast.store(&record(1, false)).unwrap();
        assert!(!broadcast.fan_out.is_ready(), "nothing was released");
        assert_eq!(broadcast.release(None, Timestamp::from_millis(33)), None);
        assert_eq!((broadcast.fan_out.take_next(), broadcast.fan_out.take_next()), (Some(8), None));
        broadcast.store(&record(2, true)).unwrap();
        assert_eq!(broadcast.fan_out.take_next(), Some(9));
        assert!(broadcast.store(&record(2, true)).is_err());
    }

    #[test]
    fn a_change_of_codec_asks_for_a_decision_for_everyone_and_a_gap_wakes_them() {
        let mut broadcast = Broadcast::new(EncodingId::default(), MediaKind::Video);
        broadcast.fan_out.add_waiting(1);
        let codec = PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 };
        for undecided in [Some(1), None] {
            // The second time nothing changes.
            broadcast.set_codec(codec);
            assert_eq!((broadcast.fan_out.take_next(), broadcast.fan_out.take_undecided()), (None, undecided));
        }
        broadcast.fan_out.add_waiting(1);
        broadcast.begin();
        assert_eq!(broadcast.fan_out.take_next(), Some(1));
    }
}

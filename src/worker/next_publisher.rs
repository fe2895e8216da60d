//! A publisher's second transport, while its keys change: which encodings are its already, and from which packet on.
//!
//! Both transports bring the same pictures, each with numbers of its own. An encoding goes over with the first key frame
//! that the new transport brings of it, sound with the first encoding of the picture (at once where there is no picture).
//! What the old transport still brings of it is dropped. Viewers see one timeline, because the new transport is another
//! incarnation of the encoding ([`crate::relay::store::timeline`]).
//!
//! Pictures' own numbers (VP8, VP9) go on as well ([`super::picture_counts`]).

use crate::description::MediaKind;
use crate::limits;
use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::relay::store::record::{PublishedCodec, Record};
use crate::time::Timestamp;
use crate::wire::codec;
use crate::worker::peer::PeerKey;
use crate::worker::tracks::kind_of;

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It is stored and told.
    Passes,
    /// It is dropped: its encoding is the other transport's.
    Dropped,
    /// Its encoding is the new transport's from it on, and encoded so.
    Begins(Option<PublishedCodec>),
}

/// A publisher's second transport.
#[derive(Debug)]
pub(super) struct NextPublisher {
    /// Which one.
    pub(super) key: PeerKey,
    /// What it publishes.
    encodings: EncodingSet,
    /// What of that is its already.
    passed: EncodingSet,
    /// How it encodes what is not.
    formats: Vec<(EncodingId, PublishedCodec)>,
    /// When it is asked for a key frame next.
    ask_at: Timestamp,
}

impl NextPublisher {
    /// One that brings nothing yet.
    pub(super) fn new(key: PeerKey, encodings: EncodingSet, now: Timestamp) -> Self {
        Self { key, encodings, passed: EncodingSet::NONE, formats: Vec::new(), ask_at: now }
    }

    /// Whether an encoding is its already.
    pub(super) fn has(&self, encoding: EncodingId) -> bool {
        self.passed.contains(encoding)
    }

    /// The encodings that are.
    pub(super) fn passed(&self) -> EncodingSet {
        self.passed
    }

    /// Whether any encoding is.
    pub(super) fn has_any(&self) -> bool {
        !self.passed.is_empty()
    }

    /// Whether all of its encodings are: nothing is held back any more.
    pub(super) fn has_all(&self) -> bool {
        self.missing().is_empty()
    }

    /// The encodings that are not its yet.
    pub(super) fn missing(&self) -> EncodingSet {
        self.encodings.iter().filter(|&encoding| !self.has(encoding)).collect()
    }

    /// Whether it is to be asked for key frames now, because the first ones may have been lost.
    pub(super) fn asks(&mut self, now: Timestamp) -> bool {
        let due = self.ask_at <= now;
        if due {
            self.ask_at = now + limits::KEY_FRAME_REQUEST_INTERVAL;
        }
        due
    }

    /// Its first frame is on its way: it is asked for another one only if that does not come.
    pub(super) fn connected(&mut self, now: Timestamp) {
        self.ask_at = now + limits::KEY_FRAME_REQUEST_INTERVAL;
    }

    /// What becomes of a record of the transport `from`.
    pub(super) fn judge(&mut self, from: PeerKey, encoding: EncodingId, record: &Record<'_>) -> Passage {
        if from != self.key {
            return if self.has(encoding) { Passage::Dropped } else { Passage::Passes };
        }
        if self.has(encoding) {
            return Passage::Passes;
        }
        match record {
            Record::Format(format) => {
                self.formats.retain(|&(of, _)| of != encoding);
                self.formats.push((encoding, *format));
                Passage::Dropped
            }
            Record::Media(media) if self.begins(encoding, media.key_frame, media.payload) => {
                self.passed.insert(encoding);
                Passage::Begins(self.format_of(encoding))
            }
            _ => Passage::Dropped,
        }
    }

    fn format_of(&self, encoding: EncodingId) -> Option<PublishedCodec> {
        self.formats.iter().find(|(of, _)| *of == encoding).map(|(_, format)| *format)
    }

    fn begins(&self, encoding: EncodingId, key_frame: bool, payload: &[u8]) -> bool {
        let is_picture = |encoding: EncodingId| kind_of(encoding.track()) == Some(MediaKind::Video);
        if !is_picture(encoding) {
            return self.passed.iter().any(is_picture) || !self.encodings.iter().any(is_picture);
        }
        // Parameter sets come before the key frame that they are of, perhaps in a packet of their own.
        let has_parameter_sets = |format: PublishedCodec| codec::inspect(format.codec, payload).has_parameter_sets;
        key_frame || self.format_of(encoding).is_some_and(has_parameter_sets)
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;
    use crate::description::CodecFormat;
    use crate::relay::store::packet_ring::Layers;
    use crate::relay::store::record::MediaRecord;
    use crate::relay::store::timeline::Incarnation;
    use crate::wire::codec::Codec;
    use crate::worker::tracks::track_of;

    const FORMAT: PublishedCodec =
        PublishedCodec { codec: Codec::Vp8, format: CodecFormat::Plain, clock_rate_hz: 90_000 };

    fn media(key_frame: bool) -> Record<'static> {
        Record::Media(MediaRecord {
            incarnation: Incarnation(1),
            sequence: 1,
            timestamp: 1,
            arrival: Timestamp::ZERO,
            marker: false,
            key_frame,
            padding: 0,
            layers: Layers::UNKNOWN,
            payload: &[],
        })
    }

    #[test]
    fn each_encoding_goes_over_with_its_own_key_frame_and_sound_with_the_first() {
        let mut keys = SlotMap::<PeerKey, ()>::with_key();
        let (old, new) = (keys.insert(()), keys.insert(()));
        let (sound, picture) = (track_of(MediaKind::Audio).only_encoding(), track_of(MediaKind::Video));
        let [low, high] = [0, 1].map(|place| picture.encoding(place).unwrap());
        let mut next = NextPublisher::new(new, [sound, low, high].into_iter().collect(), Timestamp::ZERO);
        let mut judge = |from, encoding, record: &Record<'_>| next.judge(from, encoding, record);
        assert_eq!(judge(new, sound, &media(false)), Passage::Dropped, "sound waits for the picture");
        assert_eq!(judge(new, low, &Record::Format(FORMAT)), Passage::Dropped);
        assert_eq!(judge(new, low, &media(false)), Passage::Dropped);
        assert_eq!(judge(old, low, &media(true)), Passage::Passes, "until then the old one's go on");
        assert_eq!(judge(new, low, &media(true)), Passage::Begins(Some(FORMAT)));
        assert_eq!(judge(new, low, &media(false)), Passage::Passes);
        assert_eq!(judge(old, low, &media(true)), Passage::Dropped, "nothing of the old one after it");
        assert_eq!(judge(old, high, &media(false)), Passage::Passes, "another encoding is not concerned");
        assert_eq!(judge(new, sound, &media(false)), Passage::Begins(None));
        assert_eq!(judge(old, sound, &media(false)), Passage::Dropped);
        assert_eq!(next.missing().iter().collect::<Vec<_>>(), [high]);
        assert_eq!(next.judge(new, high, &media(true)), Passage::Begins(None));
        assert!(next.has_all());
    }

    #[test]
    fn sound_alone_goes_over_at_once() {
        let mut keys = SlotMap::<PeerKey, ()>::with_key();
        let new = keys.insert(());
        let sound = track_of(MediaKind::Audio).only_encoding();
        let mut next = NextPublisher::new(new, [sound].into_iter().collect(), Timestamp::ZERO);
        assert_eq!(next.judge(new, sound, &media(false)), Passage::Begins(None));
    }
}

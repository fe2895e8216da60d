//! Pictures' own numbers of VP8 and VP9 where a publisher's begin anew: with its second transport, while its keys change, with the
//! first one's return, and with another session of its name.
//!
//! They are moved once, before a packet is stored, so that they go on behind those that were stored last. Decoders take a jump for a
//! loss, and lower numbers for old ones. Until numbers have once begun anew, payloads are stored as they came.
//!
//! Left out: pictures that the publisher's loss took from the end of one run and the beginning of the next. Nobody can count those.

use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::record::MediaRecord;
use crate::relay::store::timeline::Incarnation;
use crate::wire::codec::Codec;
use crate::wire::codec::picture_numbers::{self, NumberShift};

/// The numbers of one encoding.
#[derive(Debug)]
struct Run {
    encoding: EncodingId,
    codec: Codec,
    present: Incarnation,
    /// The one before: what of it is still on its way is stored no more.
    retired: Option<Incarnation>,
    shift: NumberShift,
}

/// The numbers of a stream's encodings, on its publisher's worker.
#[derive(Debug, Default)]
pub(super) struct PictureCounts {
    runs: Vec<Run>,
}

impl PictureCounts {
    /// What is added to the numbers of a packet that is about to be stored, where anything is.
    #[inline]
    pub(super) fn shift_of(&mut self, encoding: &Encoding, media: &MediaRecord<'_>) -> Option<(Codec, NumberShift)> {
        let codec = encoding.codec()?.codec;
        if !matches!(codec, Codec::Vp8 | Codec::Vp9) {
            return None;
        }
        let run = self.runs.iter().find(|run| run.encoding == encoding.id());
        let shift = match run {
            Some(run) if run.present == media.incarnation => run.shift,
            Some(run) if run.retired == Some(media.incarnation) => return None,
            _ => self.begin(encoding, codec, media),
        };
        (shift != NumberShift::default()).then_some((codec, shift))
    }

    #[cold]
    fn begin(&mut self, encoding: &Encoding, codec: Codec, media: &MediaRecord<'_>) -> NumberShift {
        let id = encoding.id();
        let before = self.runs.iter().position(|run| run.encoding == id).map(|at| self.runs.swap_remove(at));
        let last = encoding.ring.newest().and_then(|newest| encoding.ring.get(newest.position));
        let shift = before.as_ref().filter(|before| before.codec == codec).zip(last).and_then(|(_, (_, last))| {
            let (last, first) = (picture_numbers::read(codec, last)?, picture_numbers::read(codec, media.payload)?);
            Some(last.shift_to_next(first))
        });
        let shift = shift.unwrap_or_default();
        let retired = before.map(|before| before.present);
        self.runs.push(Run { encoding: id, codec, present: media.incarnation, retired, shift });
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{CodecFormat, MediaKind};
    use crate::relay::store::packet_ring::Layers;
    use crate::relay::store::record::PublishedCodec;
    use crate::time::Timestamp;
    use crate::worker::tracks::track_of;

    /// A key frame's first packet, with a picture number of 15 bits.
    fn payload(picture: u16) -> [u8; 5] {
        let [high, low] = (picture | 0x8000).to_be_bytes();
        [0x90, 0x80, high, low, 0]
    }

    fn media(incarnation: u64, sequence: u64, payload: &[u8]) -> MediaRecord<'_> {
        MediaRecord {
            incarnation: Incarnation(incarnation),
            sequence,
            timestamp: sequence as u32 * 3_000,
            arrival: Timestamp::from_millis(sequence),
            marker: true,
            key_frame: true,
            padding: 0,
            layers: Layers::UNKNOWN,
            payload,
        }
    }

    fn encoding(codec: Codec) -> Encoding {
        let mut encoding = Encoding::new(track_of(MediaKind::Video).only_encoding(), MediaKind::Video);
        encoding.set_codec(PublishedCodec { codec, format: CodecFormat::Plain, clock_rate_hz: 90_000 });
        encoding
    }

    /// Stores a packet as it is counted; its picture's number then.
    fn store(counts: &mut PictureCounts, encoding: &mut Encoding, media: &MediaRecord<'_>) -> u16 {
        let mut payload = media.payload.to_vec();
        if let Some((codec, shift)) = counts.shift_of(encoding, media) {
            picture_numbers::rewrite(codec, &mut payload, shift);
        }
        let _ = encoding.store(&MediaRecord { payload: &payload, ..*media });
        picture_numbers::read(Codec::Vp8, &payload).unwrap().picture.unwrap().0
    }

    #[test]
    fn a_late_packet_of_the_numbers_before_changes_nothing() {
        let (mut counts, mut encoding) = (PictureCounts::default(), encoding(Codec::Vp8));
        let mut store = |media: &MediaRecord<'_>| store(&mut counts, &mut encoding, media);
        assert_eq!(store(&media(1, 100, &payload(0x7ffe))), 0x7ffe, "as it came");
        assert_eq!(store(&media(2, 7, &payload(40))), 0x7fff);
        assert_eq!(store(&media(1, 99, &payload(0x7ffd))), 0x7ffd, "which is not stored");
        assert_eq!(store(&media(2, 8, &payload(41))), 0, "the numbers go round");
        assert_eq!(store(&media(3, 1, &payload(9))), 1);
    }

    #[test]
    fn codecs_without_numbers_and_packets_without_any_are_left_alone() {
        for codec in [Codec::H264, Codec::Av1] {
            let (mut counts, mut encoding) = (PictureCounts::default(), encoding(codec));
            for incarnation in 1..4 {
                assert_eq!(counts.shift_of(&encoding, &media(incarnation, 1, &payload(5))), None);
                let _ = encoding.store(&media(incarnation, 1, &payload(5)));
            }
            assert!(counts.runs.is_empty());
        }
        let (mut counts, mut encoding) = (PictureCounts::default(), encoding(Codec::Vp8));
        let bare = [0x10, 0];
        for incarnation in 1..4 {
            assert_eq!(counts.shift_of(&encoding, &media(incarnation, 1, &bare)), None);
            let _ = encoding.store(&media(incarnation, 1, &bare));
        }
    }

    #[test]
    fn another_codec_begins_with_its_own_numbers() {
        let (mut counts, mut encoding) = (PictureCounts::default(), encoding(Codec::Vp8));
        assert_eq!(store(&mut counts, &mut encoding, &media(1, 1, &payload(5))), 5);
        encoding.set_codec(PublishedCodec { codec: Codec::Vp9, format: CodecFormat::Plain, clock_rate_hz: 90_000 });
        assert_eq!(counts.shift_of(&encoding, &media(2, 1, &[0x88, 0x83, 0x00, 0])), None);
    }
}

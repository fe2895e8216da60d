//! What viewers need of a publisher, from their worker or node towards the one that has it: the way back of
//! [`super::record`], and like it self-contained, versioned bytes.
//!
//! ```text
//!  0        1     2..18   18..
//!  version  kind  stream  fields of the kind
//! ```
//! All numbers are little-endian.

use crate::limits;
use crate::relay::store::address::StreamId;
use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::relay::store::timeline::Incarnation;
use crate::wire::bytes::fixed::{ByteReader, ByteWriter};

/// The version of this layout. A message of another version is dropped and counted.
pub const VERSION: u8 = 1;

/// Bytes a message takes at most.
pub const BYTES_MAX: usize = 18 + 10 + limits::UPSTREAM_RANGES_MAX * 10;

/// A message to a stream's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Which stream.
    pub stream: StreamId,
    /// What is wanted of it.
    pub wish: Wish,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A key frame of an encoding, as soon as may be.
    KeyFrame(EncodingId),
    /// Packets that got lost on the way here, by the publisher's own numbers.
    Packets {
        /// Of which encoding.
        encoding: EncodingId,
        /// Of which run of its numbers.
        incarnation: Incarnation,
        /// Which.
        ranges: SequenceRanges,
    },
    /// These encodings and no others.
    Encodings(EncodingSet),
}

/// A run of sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceRange {
    /// The first.
    pub first: u64,
    /// How many; at least one.
    pub count: u16,
}

/// A few runs of sequence numbers. More than it holds: the rest is asked for in another message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceRanges {
    ranges: [SequenceRange; limits::UPSTREAM_RANGES_MAX],
    len: u8,
}

impl SequenceRanges {
    /// Adds a number, to the last run where it follows that; `false` where there is no room for it.
    pub fn push(&mut self, sequence: u64) -> bool {
        let len = usize::from(self.len);
        if let Some(last) = len.checked_sub(1).and_then(|last| self.ranges.get_mut(last))
            && last.first.checked_add(u64::from(last.count)) == Some(sequence)
            && last.count < u16::MAX
        {
            last.count += 1;
            return true;
        }
        let Some(free) = self.ranges.get_mut(len) else { return false };
        *free = SequenceRange { first: sequence, count: 1 };
        self.len += 1;
        true
    }

    /// The runs in it.
    #[must_use]
    pub fn as_slice(&self) -> &[SequenceRange] {
        self.ranges.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Every number in it. A run from outside may be long: take no more than is wanted.
    pub fn sequences(&self) -> impl Iterator<Item = u64> {
        self.as_slice().iter().flat_map(|range| (0..u64::from(range.count)).map_while(|n| range.first.checked_add(n)))
    }
}

const KIND_KEY_FRAME: u8 = 1;
const KIND_PACKETS: u8 = 2;
const KIND_ENCODINGS: u8 = 3;

/// Writes a message and returns its length; `None` where it does not fit `out`.
pub fn write(out: &mut [u8], message: &Upstream) -> Option<usize> {
    let mut writer = ByteWriter::new(out);
    writer.u8(VERSION)?;
    writer.u8(match message.wish {
        Wish::KeyFrame(_) => KIND_KEY_FRAME,
        Wish::Packets { .. } => KIND_PACKETS,
        Wish::Encodings(_) => KIND_ENCODINGS,
    })?;
    writer.u128(message.stream.0)?;
    match &message.wish {
        Wish::KeyFrame(encoding) => writer.u8(encoding.number())?,
        Wish::Packets { encoding, incarnation, ranges } => {
            writer.u8(encoding.number())?;
            writer.u64(incarnation.0)?;
            writer.u8(ranges.len)?;
            for range in ranges.as_slice() {
                writer.u64(range.first)?;
                writer.u16(range.count)?;
            }
        }
        Wish::Encodings(encodings) => writer.u16(encodings.bits())?,
    }
    Some(writer.len())
}

/// Reads the message that is exactly `bytes`; `None` for another version, and where a field is cut short or out of range.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Upstream> {
    let mut reader = ByteReader::new(bytes);
    if reader.u8()? != VERSION {
        return None;
    }
    let kind = reader.u8()?;
    let stream = StreamId(reader.u128()?);
    let wish = match kind {
        KIND_KEY_FRAME => Wish::KeyFrame(EncodingId::from_number(reader.u8()?)?),
        KIND_PACKETS => Wish::Packets {
            encoding: EncodingId::from_number(reader.u8()?)?,
            incarnation: Incarnation(reader.u64()?),
            ranges: read_ranges(&mut reader)?,
        },
        KIND_ENCODINGS => Wish::Encodings(EncodingSet::from_bits(reader.u16()?)?),
        _ => return None,
    };
    reader.rest().is_empty().then_some(Upstream { stream, wish })
}

fn read_ranges(reader: &mut ByteReader<'_>) -> Option<SequenceRanges> {
    let mut ranges = SequenceRanges { len: reader.u8()?, ..SequenceRanges::default() };
    for range in ranges.ranges.get_mut(..usize::from(ranges.len))? {
        *range = SequenceRange { first: reader.u64()?, count: reader.u16()? };
        if range.count == 0 {
            return None;
        }
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> [Upstream; 4] {
        let encoding = EncodingId::from_number(5).unwrap();
        let mut ranges = SequenceRanges::default();
        for sequence in [70_000, 70_001, 70_002, 70_009, u64::MAX] {
            assert!(ranges.push(sequence));
        }
        let mut full = SequenceRanges::default();
        for n in 0..limits::UPSTREAM_RANGES_MAX as u64 {
            assert!(full.push(2 * n));
        }
        assert!(!full.push(1_000), "no room");
        assert!(full.push(2 * limits::UPSTREAM_RANGES_MAX as u64 - 1), "it follows the last");
        let incarnation = Incarnation(7 << 16);
        [
            Wish::KeyFrame(encoding),
            Wish::Packets { encoding, incarnation, ranges },
            Wish::Packets { encoding, incarnation, ranges: full },
            Wish::Encodings([encoding, EncodingId::default()].into_iter().collect()),
        ]
        .map(|wish| Upstream { stream: StreamId(u128::MAX - 5), wish })
    }

    #[test]
    fn a_wish_reads_back_as_written() {
        for message in samples() {
            let mut out = [0; BYTES_MAX];
            let len = write(&mut out, &message).unwrap();
            assert_eq!(read(&out[..len]), Some(message));
            for cut in 0..len {
                assert_eq!((read(&out[..cut]), write(&mut { out }[..cut], &message)), (None, None));
            }
            assert_eq!(read(&[&out[..len], &[0]].concat()), None, "more than a message");
            out[0] = VERSION + 1;
            assert_eq!(read(&out[..len]), None);
        }
    }

    #[test]
    fn numbers_that_follow_each_other_are_one_range() {
        let Wish::Packets { ranges, .. } = samples()[1].wish else { panic!("packets") };
        let expected = [(70_000, 3), (70_009, 1), (u64::MAX, 1)].map(|(first, count)| SequenceRange { first, count });
        assert_eq!(ranges.as_slice(), expected);
        assert_eq!(ranges.sequences().collect::<Vec<_>>(), [70_000, 70_001, 70_002, 70_009, u64::MAX]);
    }

    #[test]
    fn fields_out_of_range_are_refused() {
        let mut out = [0; BYTES_MAX];
        let too_many = limits::UPSTREAM_RANGES_MAX as u8 + 1;
        // An unknown kind, an unknown encoding, too many ranges, an empty one, a set with an unknown encoding.
        let cases = [(0, 1, 9), (0, 18, 200), (1, 18, 200), (1, 27, too_many), (1, 36, 0)];
        for (sample, at, value) in cases {
            let len = write(&mut out, &samples()[sample]).unwrap();
            out[at] = value;
            if at == 36 {
                out[37] = 0;
            }
            assert_eq!(read(&out[..len]), None, "{value} at {at}");
        }
    }
}

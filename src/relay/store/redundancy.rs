//! Sound that repeats itself (RFC 2198): each packet of an encoding once more, with the payloads of the ones before it.
//!
//! It is an encoding of its own, on the timeline of the one that it is made from: built once per worker, however many play
//! it, and not built while nobody does. A viewer goes from the one to the other as between two encodings of simulcast.
//!
//! Not here: who is to be sent it.

use crate::limits;
use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::{Position, Sequence};
use crate::relay::store::packet_ring::PacketRing;
use crate::relay::store::record::{MediaRecord, PublishedCodec};
use crate::relay::store::timeline::Incarnation;
use crate::wire::codec::Codec;
use crate::wire::red::{self, Block};

/// What the encoding's packets are.
pub const CODEC: PublishedCodec =
    PublishedCodec { codec: Codec::Red, format: crate::description::CodecFormat::Plain, clock_rate_hz: 48_000 };

/// All of it is one run: the timeline that it is on is unbroken already.
const INCARNATION: Incarnation = Incarnation(0);

/// The record of the packet at `position` of `source`, with the ones before it in its payload, which is written to `out`.
/// `None` where the packet is gone.
#[must_use]
pub fn record<'a>(source: &Encoding, position: Position, out: &'a mut [u8]) -> Option<MediaRecord<'a>> {
    let (info, _) = source.ring.get(position)?;
    let len = write(&source.ring, info.sequence, out)?;
    Some(MediaRecord {
        incarnation: INCARNATION,
        sequence: info.sequence.0,
        timestamp: info.timestamp,
        arrival: info.arrival,
        marker: info.marker,
        key_frame: info.key_frame,
        padding: 0,
        layers: info.layers,
        payload: out.get(..len)?,
    })
}

/// Gives `redundant` the clock of the encoding that it is made from.
pub fn share_clock(source: &Encoding, redundant: &mut Encoding) {
    if let Some(clock) = source.clock()
        && redundant.clock() != Some(clock)
    {
        redundant.set_clock(INCARNATION, clock.ntp, clock.timestamp, clock.arrival);
    }
}

fn write(ring: &PacketRing, sequence: Sequence, out: &mut [u8]) -> Option<usize> {
    let (_, info, own) = ring.find(sequence)?;
    // The nearest are the most useful; they are written oldest first.
    let mut repeated = [None; limits::RED_BLOCKS_MAX];
    let mut bytes = own.len();
    for (distance, slot) in (1..).zip(&mut repeated) {
        let before = sequence.0.checked_sub(distance).and_then(|before| ring.find(Sequence(before)));
        let Some((_, before, payload)) = before else { continue };
        let timestamp_offset = info.timestamp.wrapping_sub(before.timestamp);
        bytes += payload.len();
        let says = (1..=red::TIMESTAMP_OFFSET_MAX).contains(&timestamp_offset) && payload.len() <= red::BLOCK_BYTES_MAX;
        if !says || bytes > limits::RED_BYTES_MAX {
            break;
        }
        *slot = Some(Block { timestamp_offset, payload });
    }
    let mut blocks = [Block { timestamp_offset: 0, payload: &[] }; limits::RED_BLOCKS_MAX];
    let mut count = 0;
    for (place, block) in blocks.iter_mut().zip(repeated.into_iter().rev().flatten()) {
        *place = block;
        count += 1;
    }
    red::write(out, limits::RED_BLOCK_PAYLOAD_TYPE, blocks.get(..count)?, own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::MediaKind;
    use crate::relay::store::numbers::EncodingId;
    use crate::relay::store::packet_ring::Layers;
    use crate::time::Timestamp;

    fn sound(packets: &[(u64, usize)]) -> Encoding {
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Audio);
        for &(number, len) in packets {
            let record = MediaRecord {
                incarnation: Incarnation(9),
                sequence: number,
                timestamp: number as u32 * 960,
                arrival: Timestamp::from_millis(number * 20),
                marker: false,
                key_frame: true,
                padding: 0,
                layers: Layers::UNKNOWN,
                payload: &vec![number as u8; len],
            };
            encoding.store(&record).unwrap();
        }
        encoding
    }

    /// Number of the packet and distance in packets of each block of the newest packet's record.
    fn blocks(encoding: &Encoding) -> Vec<(u8, u32)> {
        let mut out = [0; 2_048];
        let newest = Position(encoding.ring.head().0 - 1);
        let record = record(encoding, newest, &mut out).unwrap();
        let blocks = red::read(record.payload, limits::RED_BLOCK_PAYLOAD_TYPE).unwrap();
        blocks.iter().map(|block| (block.payload[0], block.timestamp_offset / 960)).collect()
    }

    #[test]
    fn a_packet_holds_the_ones_before_it() {
        assert_eq!(blocks(&sound(&[(1, 60)])), [(1, 0)], "there is none before");
        assert_eq!(blocks(&sound(&[(1, 60), (2, 60)])), [(1, 1), (2, 0)]);
        assert_eq!(blocks(&sound(&[(1, 60), (2, 60), (3, 60), (4, 60)])), [(2, 2), (3, 1), (4, 0)]);
        assert_eq!(blocks(&sound(&[(1, 60), (2, 60), (4, 60)])), [(2, 2), (4, 0)], "lost on the way to the node");
        assert_eq!(blocks(&sound(&[(1, 60), (3, 60), (2, 60)])), [(1, 1), (2, 0)], "late: its own place counts");
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(blocks(&sound(&[(1, 60), (2, 60), (30, 60)])), [(30, 0)], "silence lay between (DTX)");
        assert_eq!(blocks(&sound(&[(1, 500), (2, 500), (3, 500)])), [(2, 1), (3, 0)], "no longer than a datagram");
        assert_eq!(blocks(&sound(&[(1, 60), (2, red::BLOCK_BYTES_MAX + 1), (3, 60)])), [(3, 0)]);
        let mut out = [0; 2_048];
        assert_eq!(record(&sound(&[(1, 60)]), Position(1), &mut out), None);
    }

    #[test]
    fn it_is_on_the_timeline_of_its_source() {
        let (source, mut out) = (sound(&[(1, 60), (2, 60)]), [0; 2_048]);
        let mut redundant = Encoding::new(EncodingId::default(), MediaKind::Audio);
        let record = record(&source, Position(1), &mut out).unwrap();
        let position = redundant.store(&record).unwrap();
        let ((here, _), (there, _)) = (redundant.ring.get(position).unwrap(), source.ring.get(Position(1)).unwrap());
        assert_eq!((here.timestamp, here.arrival), (there.timestamp, there.arrival));
        share_clock(&source, &mut redundant);
        assert_eq!(redundant.clock(), None);
    }
}

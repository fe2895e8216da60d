//! How long packets stay in a worker.
//!
//! **Residence** is the time from a packet's arrival (the kernel's receive timestamp, on the publisher's worker) until
//! the send call that carried it has returned, for the *first* and for the *last* of the viewers here. It is noted per
//! stored packet, not per packet and viewer: a visit compares one number, and a stored packet costs two look-ups after
//! the send. While viewers are behind without a pause, nothing can be said of the last of them; once all have caught up
//! it is told for every packet since, with the time of that moment: too long rather than too short.
//!
//! Counted from the worker's start. Left out: retransmissions, whose wait is the viewer's round trip; packets that nobody
//! was sent; and old packets that a viewer is sent because it joined late ([`super::send_progress`]).

use hdrhistogram::Histogram;

use crate::description::MediaKind;
use crate::limits;
use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::Position;
use crate::time::Timestamp;
use crate::worker::report::ResidenceReport;
use crate::worker::send_progress::{Passage, Recipient};
use crate::worker::stream::EncodingKey;

/// What a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PacketClass {
    Audio,
    Delta,
    Key,
}

impl PacketClass {
    const ALL: [(Self, &'static str); 3] = [(Self::Audio, "audio"), (Self::Delta, "delta"), (Self::Key, "key")];
}

const RECIPIENTS: [(Recipient, &str); 2] = [(Recipient::First, "first"), (Recipient::Last, "last")];

/// Packets of one encoding in the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    pub(super) key: EncodingKey,
    pub(super) passage: Passage,
}

/// The times that were seen, in microseconds, by class and recipient.
#[derive(Debug)]
pub(super) struct Residence([[Histogram<u64>; 2]; 3]);

impl Default for Residence {
    fn default() -> Self {
        let empty = || {
            Histogram::new_with_max(limits::RESIDENCE_US_MAX, limits::RESIDENCE_DIGITS)
                .expect("the bounds are constants that the histogram takes")
        };
        Self(std::array::from_fn(|_| std::array::from_fn(|_| empty())))
    }
}

impl Residence {
    /// The packets of a passage left at `now`.
    pub(super) fn sent(&mut self, passage: Passage, encoding: &Encoding, now: Timestamp) {
        for position in (passage.from.max(encoding.ring.tail()).0..passage.to.0).map(Position) {
            let Some((info, _)) = encoding.ring.get(position) else { continue };
            let class = match encoding.kind() {
                MediaKind::Audio => PacketClass::Audio,
                MediaKind::Video if encoding.is_of_key_frame(info) => PacketClass::Key,
                MediaKind::Video => PacketClass::Delta,
            };
            let micros = u64::try_from(now.since(info.arrival).as_micros()).unwrap_or(u64::MAX);
            self.0[class as usize][passage.recipient as usize].saturating_record(micros);
        }
    }

    /// The times by class and recipient; those that were seen.
    pub(super) fn report(&self) -> Vec<ResidenceReport> {
        let mut reports = Vec::new();
        for (class, class_name) in PacketClass::ALL {
            for (recipient, recipient_name) in RECIPIENTS {
                let histogram = &self.0[class as usize][recipient as usize];
                if histogram.is_empty() {
                    continue;
                }
                reports.push(ResidenceReport {
                    class: class_name,
                    viewer: recipient_name,
                    packets: histogram.len(),
                    p50_us: histogram.value_at_quantile(0.5),
                    p99_us: histogram.value_at_quantile(0.99),
                    p999_us: histogram.value_at_quantile(0.999),
                    max_us: histogram.max(),
                });
            }
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::store::numbers::EncodingId;
    use crate::relay::store::packet_ring::Layers;
    use crate::relay::store::record::MediaRecord;
    use crate::relay::store::timeline::Incarnation;

    #[test]
    fn residence_is_told_by_class_in_microseconds() {
        let mut encoding = Encoding::new(EncodingId::default(), MediaKind::Video);
        for (sequence, key_frame, timestamp) in [(1, true, 0), (2, false, 0), (3, false, 3_000)] {
            let record = MediaRecord {
                incarnation: Incarnation(1),
                sequence,
                timestamp,
                arrival: Timestamp::from_millis(10),
                marker: false,
                key_frame,
                padding: 0,
                layers: Layers::UNKNOWN,
                payload: &[1],
            };
            encoding.store(&record).unwrap();
        }
        let mut residence = Residence::default();
        let passage = Passage { recipient: Recipient::Last, from: Position(0), to: Position(3) };
        residence.sent(passage, &encoding, Timestamp::from_millis(12));
        let told: Vec<_> = residence.report().iter().map(|r| (r.class, r.viewer, r.packets)).collect();
        assert_eq!(told, [("delta", "last", 1), ("key", "last", 2)]);
        assert!((1_990..=2_010).contains(&residence.report()[0].p50_us), "{:?}", residence.report());
    }
}

//! What a worker tells of its own speed while it serves: how long packets stay in it, and how long its trains are.
//!
//! **Residence** is the time from a packet's arrival (the kernel's receive timestamp, on the publisher's worker) until
//! the send call that carried it has returned, for the *first* and for the *last* of the viewers here. It is noted per
//! stored packet, not per packet and viewer: a visit compares one number, and a stored packet costs two look-ups after
//! the send. While viewers are behind without a pause, nothing can be said of the last of them; once all have caught up
//! it is told for every packet since, with the time of that moment: too long rather than too short.
//!
//! **Train lengths** count each message by its packets.
//!
//! Both count from the worker's start. Left out: retransmissions, whose wait is the viewer's round trip, and packets
//! that nobody was sent.

use hdrhistogram::Histogram;

use crate::limits;
use crate::relay::store::encoding::Encoding;
use crate::time::Timestamp;
use crate::transport::Train;
use crate::worker::report::{ResidenceReport, TrainsReport};
use crate::worker::stream::EncodingKey;

/// What a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Audio,
    Delta,
    Key,
}

impl Class {
    const ALL: [(Self, &'static str); 3] = [(Self::Audio, "audio"), (Self::Delta, "delta"), (Self::Key, "key")];
}

/// Which of an encoding's viewers on this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Viewer {
    First,
    Last,
}

impl Viewer {
    const ALL: [(Self, &'static str); 2] = [(Self::First, "first"), (Self::Last, "last")];
}

/// How far an encoding's packets have come: positions below these were noted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendProgress {
    /// The furthest cursor.
    pub(super) reached: u64,
    first_noted: u64,
    last_noted: u64,
}

/// Packets in the batch that reach a first or a last viewer with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    pub(super) key: EncodingKey,
    viewer: Viewer,
    from: u64,
    to: u64,
}

impl SendProgress {
    /// What is to be noted after a turn that brought the furthest cursor to `reached`. `caught_up` says that nobody is
    /// behind `released`.
    pub(super) fn notes(&mut self, key: EncodingKey, caught_up: bool, released: u64, mut note: impl FnMut(Note)) {
        if self.reached > self.first_noted {
            note(Note { key, viewer: Viewer::First, from: self.first_noted, to: self.reached });
            self.first_noted = self.reached;
        }
        if caught_up && released > self.last_noted {
            // What nobody was sent has no last viewer.
            let to = released.min(self.reached);
            if to > self.last_noted {
                note(Note { key, viewer: Viewer::Last, from: self.last_noted, to });
            }
            self.last_noted = released;
        }
    }
}

/// A worker's figures.
#[derive(Debug)]
pub(super) struct Live {
    /// Microseconds, by class and viewer.
    residence: [[Histogram<u64>; 2]; 3],
    /// Messages by their packets.
    trains: [u64; limits::SEGMENTS_PER_TRAIN_MAX + 1],
    /// Of the batch that is being filled.
    pub(super) notes: Vec<Note>,
}

impl Default for Live {
    fn default() -> Self {
        let empty = || {
            Histogram::new_with_max(limits::RESIDENCE_US_MAX, limits::RESIDENCE_DIGITS)
                .expect("the bounds are constants that the histogram takes")
        };
        Self {
            residence: std::array::from_fn(|_| std::array::from_fn(|_| empty())),
            trains: [0; limits::SEGMENTS_PER_TRAIN_MAX + 1],
            notes: Vec::new(),
        }
    }
}

impl Live {
    /// Counts a message.
    #[inline]
    pub(super) fn train(&mut self, train: &Train) {
        if let Some(count) = self.trains.get_mut(usize::from(train.segments)) {
            *count += 1;
        }
    }

    /// The packets of a note left at `now`.
    pub(super) fn sent<K: Copy + PartialEq>(&mut self, note: Note, encoding: &Encoding<K>, now: Timestamp) {
        for position in note.from.max(encoding.ring.tail())..note.to {
            let Some((info, _)) = encoding.ring.get(position) else { continue };
            let class = match encoding.kind() {
                crate::description::MediaKind::Audio => Class::Audio,
                crate::description::MediaKind::Video if encoding.is_of_key_frame(info) => Class::Key,
                crate::description::MediaKind::Video => Class::Delta,
            };
            let micros = u64::try_from(now.since(info.arrival).as_micros()).unwrap_or(u64::MAX);
            self.residence[class as usize][note.viewer as usize].saturating_record(micros);
        }
    }

    /// The residence times, by class and viewer; those that were seen.
    pub(super) fn residence(&self) -> Vec<ResidenceReport> {
        let mut reports = Vec::new();
        for (class, class_name) in Class::ALL {
            for (viewer, viewer_name) in Viewer::ALL {
                let histogram = &self.residence[class as usize][viewer as usize];
                if histogram.is_empty() {
                    continue;
                }
                reports.push(ResidenceReport {
                    class: class_name,
                    viewer: viewer_name,
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

    /// The train lengths.
    pub(super) fn trains(&self) -> TrainsReport {
        let packets: u64 = (0..).zip(self.trains).map(|(length, count)| length * count).sum();
        let at = |share: f64| {
            let rank = ((packets as f64 * share).ceil() as u64).max(1);
            let mut below = 0;
            let mut lengths = (0..).zip(self.trains);
            lengths.find(|&(length, count)| (below += length * count, below >= rank).1).map_or(0, |(length, _)| length)
        };
        let histogram = self.trains.iter().enumerate().filter(|&(_, &count)| count > 0);
        TrainsReport {
            p1: at(0.01),
            p50: at(0.5),
            p99: at(0.99),
            by_packets: histogram.map(|(length, &count)| (length as u64, count)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::MediaKind;
    use crate::relay::store::record::MediaRecord;
    use crate::relay::store::timeline::Incarnation;
    use crate::worker::mailbox::StreamId;

    const KEY: EncodingKey = EncodingKey { stream: StreamId(1), encoding: 1 };

    fn notes(progress: &mut SendProgress, caught_up: bool, released: u64) -> Vec<(Viewer, u64, u64)> {
        let mut notes = Vec::new();
        progress.notes(KEY, caught_up, released, |note| notes.push((note.viewer, note.from, note.to)));
        notes
    }

    #[test]
    fn each_packet_is_noted_once_for_the_first_viewer_and_once_for_the_last() {
        let mut progress = SendProgress { reached: 4, ..SendProgress::default() };
        assert_eq!(notes(&mut progress, false, 4), [(Viewer::First, 0, 4)]);
        assert_eq!(notes(&mut progress, false, 4), []);
        progress.reached = 6;
        assert_eq!(notes(&mut progress, true, 6), [(Viewer::First, 4, 6), (Viewer::Last, 0, 6)]);
        assert_eq!(notes(&mut progress, true, 6), []);
    }

    #[test]
    fn what_nobody_was_sent_is_not_noted() {
        let mut progress = SendProgress::default();
        assert_eq!(notes(&mut progress, true, 10), []);
        // The first viewer starts at 8, which nobody had, and goes on to 12.
        progress.reached = 12;
        assert_eq!(notes(&mut progress, true, 12), [(Viewer::First, 0, 12), (Viewer::Last, 10, 12)]);
    }

    #[test]
    fn residence_is_told_by_class_in_microseconds() {
        let mut encoding: Encoding<u32> = Encoding::new(MediaKind::Video);
        for (sequence, key_frame, timestamp) in [(1, true, 0), (2, false, 0), (3, false, 3_000)] {
            let record = MediaRecord {
                incarnation: Incarnation(1),
                sequence,
                timestamp,
                arrival: Timestamp::from_millis(10),
                marker: false,
                key_frame,
                padding: 0,
                payload: &[1],
            };
            encoding.store(&record).unwrap();
        }
        let mut live = Live::default();
        let note = Note { key: KEY, viewer: Viewer::Last, from: 0, to: 3 };
        live.sent(note, &encoding, Timestamp::from_millis(12));
        let told: Vec<_> = live.residence().iter().map(|r| (r.class, r.viewer, r.packets)).collect();
        assert_eq!(told, [("delta", "last", 1), ("key", "last", 2)]);
        assert!((1_990..=2_010).contains(&live.residence()[0].p50_us), "{:?}", live.residence());
    }

    #[test]
    fn train_lengths_are_told_by_the_share_of_packets_that_travel_so() {
        let mut live = Live::default();
        assert_eq!(live.trains(), TrainsReport::default());
        let mut batch = crate::transport::TrainBatch::new();
        for (port, packets) in [(1, 8), (2, 8), (3, 1), (4, 1)] {
            let path = crate::transport::Path::to(([127, 0, 0, 1], port).into());
            (0..packets).for_each(|_| batch.commit(&path, 100));
        }
        batch.trains().iter().for_each(|train| live.train(train));
        let report = live.trains();
        assert_eq!((report.p1, report.p50, report.p99), (1, 8, 8));
        assert_eq!(report.by_packets, [(1, 2), (8, 2)]);
    }
}

//! How long a worker's trains are: each message counted by its packets, since the start.

use crate::limits;
use crate::transport::Train;
use crate::worker::report::TrainsReport;

/// Messages by their packets.
#[derive(Debug)]
pub(super) struct TrainLengths([u64; limits::SEGMENTS_PER_TRAIN_MAX + 1]);

impl Default for TrainLengths {
    fn default() -> Self {
        Self([0; limits::SEGMENTS_PER_TRAIN_MAX + 1])
    }
}

impl TrainLengths {
    /// Counts a message.
    #[inline]
    pub(super) fn count(&mut self, train: &Train) {
        if let Some(count) = self.0.get_mut(usize::from(train.segments)) {
            *count += 1;
        }
    }

    /// The lengths, and the shares of packets that travel so.
    pub(super) fn report(&self) -> TrainsReport {
        let packets: u64 = (0..).zip(self.0).map(|(length, count)| length * count).sum();
        let at = |share: f64| {
            let rank = ((packets as f64 * share).ceil() as u64).max(1);
            let mut below = 0;
            let mut lengths = (0..).zip(self.0);
            lengths.find(|&(length, count)| (below += length * count, below >= rank).1).map_or(0, |(length, _)| length)
        };
        let histogram = self.0.iter().enumerate().filter(|&(_, &count)| count > 0);
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
    use crate::transport::{PathId, TrainBatch};

    #[test]
    fn train_lengths_are_told_by_the_share_of_packets_that_travel_so() {
        let mut lengths = TrainLengths::default();
        assert_eq!(lengths.report(), TrainsReport::default());
        let mut batch = TrainBatch::new();
        for (port, packets) in [(1, 8), (2, 8), (3, 1), (4, 1)] {
            let path = PathId::numbered(port);
            (0..packets).for_each(|_| batch.commit(path, 100));
        }
        batch.trains().iter().for_each(|train| lengths.count(train));
        let report = lengths.report();
        assert_eq!((report.p1, report.p50, report.p99), (1, 8, 8));
        assert_eq!(report.by_packets, [(1, 2), (8, 2)]);
    }
}

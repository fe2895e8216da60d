//! What a worker sends: the batch that is being filled, and what is to be told of it once it has left.

use crate::limits;
use crate::net::Io;
use crate::time::Timestamp;
use crate::transport::{SendResult, TrainBatch};
use crate::worker::counters::Counters;
use crate::worker::peer::{PeerKey, Role};
use crate::worker::peers::Peers;
use crate::worker::reason::DropReason;
use crate::worker::report::WorkerReport;
use crate::worker::residence::{Note, Residence};
use crate::worker::streams::Streams;
use crate::worker::train_lengths::TrainLengths;

/// Packets of one visit with transport-wide numbers, and the trains of the batch that they are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SampledRun {
    /// The first one's number.
    pub(super) number: u16,
    /// The train it is in.
    pub(super) from: usize,
    /// The train that the last is in.
    pub(super) to: usize,
}

/// The batch of one round, the notes that go with it, and the figures made of both.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    batch: TrainBatch,
    notes: Vec<Note>,
    /// Whose packets in the batch have transport-wide numbers.
    sampled: Vec<(PeerKey, SampledRun)>,
    residence: Residence,
    train_lengths: TrainLengths,
}

impl Outbox {
    /// The batch, to write into.
    #[inline]
    pub(super) fn batch(&mut self) -> &mut TrainBatch {
        &mut self.batch
    }

    /// Packets that are in the batch and whose residence is measured when it has left.
    pub(super) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// Packets with transport-wide numbers are in the batch: the viewer's estimate is told when they have left.
    pub(super) fn sampled(&mut self, peer: PeerKey, run: SampledRun) {
        self.sampled.push((peer, run));
    }

    /// Sends what is queued. A train that met a full socket buffer is dropped and counted, as a network would: its
    /// packets are in the ring, and a viewer that misses one asks for it. It is never sealed again from here.
    pub(super) fn flush<I: Io>(&mut self, io: &mut I, peers: &mut Peers, streams: &Streams, counters: &mut Counters) {
        if self.batch.is_empty() {
            Self::forget(io, peers);
            return;
        }
        // Before, not after: a worker that is not run for a while when the kernel has them would believe that they left so much later, and
        // take the next ten seconds' packets to be late by that (Chromium's AV1 beside four browsers on two cores: 40 ms).
        let handed_over = (!self.sampled.is_empty()).then(|| io.now());
        io.send(&mut self.batch, peers.path_book());
        if self.batch.any_by_connection() {
            for train in self.batch.trains().iter().filter(|train| train.result == SendResult::SentLast) {
                peers.set_full(train.path, true);
            }
        }
        Self::forget(io, peers);
        if let Some(handed_over) = handed_over {
            self.tell_estimates(handed_over, peers);
        }
        for train in self.batch.trains() {
            self.train_lengths.count(train);
            match train.result {
                SendResult::Sent | SendResult::SentLast | SendResult::Pending => {}
                SendResult::Full => counters.dropped_many(DropReason::SocketBufferFull, u64::from(train.segments)),
                SendResult::TooLong => counters.dropped_many(DropReason::DatagramTooLong, u64::from(train.segments)),
                SendResult::Failed(_) => counters.dropped_many(DropReason::SendFailed, u64::from(train.segments)),
            }
        }
        self.batch.clear();
        if self.notes.is_empty() {
            return;
        }
        let now = io.now();
        for note in self.notes.drain(..) {
            if let Some(encoding) = streams.encoding(note.key) {
                self.residence.sent(note.passage, encoding, now);
            }
        }
    }

    /// Tells when sampled packets were handed to the kernel. Fan-out to thousands takes milliseconds, so that the round's time is
    /// not it; and what the kernel refused is this node's loss, not the viewer's.
    fn tell_estimates(&mut self, handed_over: Timestamp, peers: &mut Peers) {
        for (key, run) in self.sampled.drain(..) {
            let trains = self.batch.trains().get(run.from..=run.to).unwrap_or_default();
            let taken = trains.iter().all(|train| matches!(train.result, SendResult::Sent | SendResult::SentLast));
            if let Some(Role::Viewer(playback)) = peers.get_mut(key).map(|peer| &mut peer.role)
                && let Some(adaptation) = playback.adaptation.as_deref_mut()
            {
                adaptation.bandwidth.left(run.number, taken, handed_over);
            }
        }
    }

    /// What was written on paths that nobody holds has left: their connections are closed.
    fn forget<I: Io>(io: &mut I, peers: &mut Peers) {
        peers.batch_sent();
        while let Some(connection) = peers.take_abandoned() {
            io.close(connection);
        }
        while let Some(session) = peers.take_ended() {
            io.close_of(session.0);
        }
    }

    /// The same, but only when the batch is half full: between the steps of a phase.
    pub(super) fn flush_if_half_full<I: Io>(
        &mut self,
        io: &mut I,
        peers: &mut Peers,
        streams: &Streams,
        counters: &mut Counters,
    ) {
        if !self.batch.has_room(limits::SEND_BUFFER_BYTES / 2) {
            self.flush(io, peers, streams, counters);
        }
    }

    /// Fills in what is measured here.
    pub(super) fn tell(&self, report: &mut WorkerReport) {
        report.trains = self.train_lengths.report();
        report.residence = self.residence.report();
    }
}

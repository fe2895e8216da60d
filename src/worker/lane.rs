//! Lanes between workers: a bounded ring of bytes per ordered pair of workers, written by one and read by the other.
//!
//! Each packet of a stream crosses once to every worker that has a viewer of it ([`crate::relay::store::record`]). A full
//! lane drops the record and counts it: the reader is behind, and its viewers go on from a key frame
//! ([`Record::Begin`]). What viewers need from the publisher goes the other way as [`Upstream`] messages over a bounded
//! mailbox.

use rtrb::{Consumer, Producer, RingBuffer};

use crate::limits;
use crate::net::Waker;
use crate::relay::store::address::{RecordAddress, WorkerIndex};
use crate::relay::store::record::{self, Record, RecordError};
use crate::relay::store::upstream::Upstream;

/// The writing end of one lane.
#[derive(Debug)]
struct LaneSender {
    producer: Producer<u8>,
    upstream: flume::Sender<(WorkerIndex, Upstream)>,
    waker: Waker,
    written: bool,
}

/// All of a worker's lanes.
#[derive(Debug)]
pub struct Lanes {
    senders: Vec<Option<LaneSender>>,
    receivers: Vec<Option<Consumer<u8>>>,
    upstream: flume::Receiver<(WorkerIndex, Upstream)>,
    own: WorkerIndex,
    scratch: Vec<u8>,
    /// Records written.
    pub sent: u64,
    /// Records dropped because a lane was full.
    pub dropped_full: u64,
    /// Records read.
    pub received: u64,
    /// Records that could not be read.
    pub malformed: u64,
    /// Upstream messages dropped because the mailbox was full.
    pub upstream_dropped: u64,
}

impl Lanes {
    /// The lanes of a node: one [`Lanes`] per worker, every pair connected both ways. `wakers` are the workers' own.
    #[must_use]
    pub fn connect(wakers: &[Waker]) -> Vec<Self> {
        let count = wakers.len();
        let bytes = (limits::LANES_BYTES_TOTAL / count.max(1)).clamp(limits::LANE_BYTES_MIN, limits::LANE_BYTES_MAX);
        Self::connect_sized(wakers, bytes, limits::UPSTREAM_MESSAGES_MAX)
    }

    /// The same with lanes of another size, so that the simulation can fill them.
    #[must_use]
    pub fn connect_sized(wakers: &[Waker], bytes: usize, upstream_messages: usize) -> Vec<Self> {
        let count = wakers.len();
        let mailboxes: Vec<_> = (0..count).map(|_| flume::bounded(upstream_messages)).collect();
        let mut all: Vec<Self> = mailboxes
            .iter()
            .enumerate()
            .map(|(own, (_, receiver))| Self {
                own: WorkerIndex(own as u16),
                senders: (0..count).map(|_| None).collect(),
                receivers: (0..count).map(|_| None).collect(),
                upstream: receiver.clone(),
                scratch: vec![0; record::RECORD_BYTES_MAX],
                sent: 0,
                dropped_full: 0,
                received: 0,
                malformed: 0,
                upstream_dropped: 0,
            })
            .collect();
        for from in 0..count {
            for to in (0..count).filter(|&to| to != from) {
                let (producer, consumer) = RingBuffer::new(bytes);
                all[from].senders[to] = Some(LaneSender {
                    producer,
                    upstream: mailboxes[to].0.clone(),
                    waker: wakers[to].clone(),
                    written: false,
                });
                all[to].receivers[from] = Some(consumer);
            }
        }
        all
    }

    /// Puts a record into the lane to `to`; it is woken at [`Self::wake`]. Whether it found room.
    pub fn send(&mut self, to: WorkerIndex, address: RecordAddress, record: &Record<'_>) -> bool {
        let Some(lane) = self.senders.get_mut(usize::from(to.0)).and_then(Option::as_mut) else { return false };
        let Some(len) = record::write(&mut self.scratch, address, record) else {
            self.malformed += 1;
            return false;
        };
        let Ok(mut chunk) = lane.producer.write_chunk(len) else {
            self.dropped_full += 1;
            return false;
        };
        let (first, second) = chunk.as_mut_slices();
        let (head, tail) = self.scratch[..len].split_at(first.len());
        first.copy_from_slice(head);
        second.copy_from_slice(tail);
        chunk.commit_all();
        lane.written = true;
        self.sent += 1;
        true
    }

    /// Whether the lane to `to` is at most half full.
    #[must_use]
    pub fn is_half_empty(&self, to: WorkerIndex) -> bool {
        let lane = self.senders.get(usize::from(to.0)).and_then(Option::as_ref);
        lane.is_some_and(|lane| lane.producer.slots() >= lane.producer.buffer().capacity() / 2)
    }

    /// Asks the publisher's worker. Whether there was room.
    pub fn send_upstream(&mut self, to: WorkerIndex, message: Upstream) -> bool {
        let Some(lane) = self.senders.get(usize::from(to.0)).and_then(Option::as_ref) else { return false };
        let sent = lane.upstream.try_send((self.own, message)).is_ok();
        self.upstream_dropped += u64::from(!sent);
        lane.waker.wake();
        sent
    }

    /// Wakes the readers of the lanes written to since the last call, once each.
    pub fn wake(&mut self) {
        for lane in self.senders.iter_mut().flatten() {
            if lane.written {
                lane.written = false;
                lane.waker.wake();
            }
        }
    }

    /// Reads at most `limit` records from each lane. Returns whether a lane may hold more.
    pub fn receive(&mut self, limit: usize, mut visit: impl FnMut(RecordAddress, Record<'_>)) -> bool {
        let mut more = false;
        for consumer in self.receivers.iter_mut().flatten() {
            let mut read = 0;
            while read < limit {
                match read_one(consumer, &mut self.scratch, &mut visit) {
                    None => break,
                    Some(Ok(())) => self.received += 1,
                    Some(Err(_)) => self.malformed += 1,
                }
                read += 1;
            }
            more |= read == limit;
        }
        more
    }

    /// The next thing another worker asks of this one, and which.
    pub fn receive_upstream(&mut self) -> Option<(WorkerIndex, Upstream)> {
        self.upstream.try_recv().ok()
    }
}

/// Reads the next record of a lane; `None` when it is empty.
fn read_one(
    consumer: &mut Consumer<u8>,
    scratch: &mut [u8],
    visit: &mut impl FnMut(RecordAddress, Record<'_>),
) -> Option<Result<(), RecordError>> {
    let mut length = [0; 2];
    {
        // Looked at, not taken: the chunk below begins with it.
        let head = consumer.read_chunk(2).ok()?;
        let (first, second) = head.as_slices();
        for (to, from) in length.iter_mut().zip(first.iter().chain(second)) {
            *to = *from;
        }
    }
    // A record is committed whole, so what its length announces is there.
    let chunk = consumer.read_chunk(record::announced_len(length)).ok()?;
    let (first, second) = chunk.as_slices();
    let bytes = if second.is_empty() {
        first
    } else {
        let len = first.len() + second.len();
        scratch[..first.len()].copy_from_slice(first);
        scratch[first.len()..len].copy_from_slice(second);
        &scratch[..len]
    };
    let result = record::read(bytes).map(|(address, record)| visit(address, record));
    chunk.commit_all();
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::store::address::StreamId;
    use crate::relay::store::numbers::EncodingId;
    use crate::relay::store::packet_ring::Layers;
    use crate::relay::store::record::MediaRecord;
    use crate::relay::store::timeline::Incarnation;
    use crate::relay::store::upstream::Wish;
    use crate::time::Timestamp;

    fn media(sequence: u64, payload: &[u8]) -> Record<'_> {
        Record::Media(MediaRecord {
            incarnation: Incarnation(1),
            sequence,
            timestamp: 0,
            arrival: Timestamp::ZERO,
            marker: false,
            key_frame: false,
            padding: 0,
            layers: Layers::UNKNOWN,
            payload,
        })
    }

    fn pair() -> (Lanes, Lanes) {
        let mut lanes = Lanes::connect(&[Waker::noop(), Waker::noop()]);
        let second = lanes.pop().unwrap();
        (lanes.pop().unwrap(), second)
    }

    #[test]
    fn records_arrive_once_in_order_across_the_rings_end() {
        let (mut from, mut to) = pair();
        let address = RecordAddress { stream: StreamId(5), encoding: EncodingId::default() };
        let mut next = 0;
        for sequence in 0..20_000u64 {
            let payload = vec![sequence as u8; 1 + sequence as usize % 1400];
            from.send(WorkerIndex(1), address, &media(sequence, &payload));
            if sequence % 7 == 0 {
                to.receive(usize::MAX, |_, record| {
                    let Record::Media(media) = record else { panic!("only media was sent") };
                    assert_eq!(media.sequence, next);
                    assert_eq!(media.payload.len(), 1 + next as usize % 1400);
                    assert!(media.payload.iter().all(|&byte| byte == next as u8));
                    next += 1;
                });
            }
        }
        assert_eq!((from.dropped_full, to.malformed), (0, 0));
        assert!(next > 19_990);
    }

    #[test]
    fn a_full_lane_drops_and_counts_and_goes_on() {
        let (mut from, mut to) = pair();
        let address = RecordAddress { stream: StreamId(5), encoding: EncodingId::default() };
        for sequence in 0..100_000 {
            from.send(WorkerIndex(1), address, &media(sequence, &[0; 1000]));
        }
        assert!(from.dropped_full > 0);
        let mut received = 0;
        to.receive(usize::MAX, |_, _| received += 1);
        assert_eq!(received + from.dropped_full, 100_000);
        from.send(WorkerIndex(1), address, &media(0, &[1]));
        assert!(!to.receive(10, |_, _| received += 1));
        assert_eq!(to.received, received);
    }

    #[test]
    fn a_request_goes_upstream() {
        let (mut origin, mut edge) = pair();
        let message = Upstream { stream: StreamId(3), wish: Wish::KeyFrame(EncodingId::default()) };
        assert!(edge.send_upstream(WorkerIndex(0), message));
        assert_eq!(origin.receive_upstream(), Some((WorkerIndex(1), message)));
        assert_eq!(origin.receive_upstream(), None);
    }
}

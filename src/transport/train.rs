//! What the backends receive and send, as plain data: [`Datagram`]s in, [`TrainBatch`]es out. A destination is a path's
//! number ([`super::path`]).
//!
//! A *train* is a run of datagrams to one destination in which every segment but the last has the same size and
//! the last is no longer: exactly what one generic-segmentation-offload message may carry. The batch owns one
//! contiguous buffer; packets are sealed straight into it and trains are ranges of it.

use crate::limits;
use crate::time::Timestamp;
use crate::transport::path::{PathAddress, PathId};

/// One received datagram in its receive buffer, where the session opens it in place.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The payload.
    pub bytes: &'a mut [u8],
    /// Where it came from and where it arrived.
    pub from: PathAddress,
    /// When the kernel received it, if the backend knows that; otherwise when it was read.
    pub received: Timestamp,
}

/// What became of a train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendResult {
    /// Not handed to the kernel yet.
    #[default]
    Pending,
    /// The kernel took every segment.
    Sent,
    /// The connection took every segment, and takes no media after it until it has drained.
    SentLast,
    /// The socket buffer is full (`EAGAIN`, `ENOBUFS`): nothing of the train was taken.
    Full,
    /// Longer than the path allows (`EMSGSIZE`).
    TooLong,
    /// Any other error, as the kernel's number.
    Failed(i32),
}

/// A run of segments to one destination: `batch.bytes()[start..start + len]`, cut every `segment_size` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Train {
    /// Where it goes, as its number in the [`crate::transport::PathBook`] that the batch is sent with.
    pub path: PathId,
    /// First byte in the batch's buffer.
    pub start: u32,
    /// Bytes of all segments together.
    pub len: u32,
    /// Bytes of every segment but the last.
    pub segment_size: u16,
    /// Number of segments.
    pub segments: u16,
    /// Filled in by the backend that sends it.
    pub result: SendResult,
}

/// Outgoing trains of one round and the buffer they lie in.
#[derive(Debug)]
pub struct TrainBatch {
    buffer: Box<[u8]>,
    used: usize,
    trains: Vec<Train>,
    /// Whether one of them goes over a connection.
    any_by_connection: bool,
    /// Whether the last train may still grow (its segments are all of one size).
    open: bool,
}

impl Default for TrainBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl TrainBatch {
    /// An empty batch with its buffer of [`limits::SEND_BUFFER_BYTES`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: vec![0; limits::SEND_BUFFER_BYTES].into_boxed_slice(),
            used: 0,
            trains: Vec::with_capacity(limits::TRAINS_PER_BATCH_MAX),
            any_by_connection: false,
            open: false,
        }
    }

    /// Whether a packet of up to `len` bytes still fits. If not, send the batch first.
    #[must_use]
    pub fn has_room(&self, len: usize) -> bool {
        self.used + len <= self.buffer.len() && self.trains.len() < limits::TRAINS_PER_BATCH_MAX
    }

    /// Whether `packets` datagrams of the greatest length fit, even if each is a train of its own.
    #[must_use]
    pub fn has_room_for(&self, packets: usize) -> bool {
        self.used + packets * limits::DATAGRAM_OUT_BYTES_MAX <= self.buffer.len()
            && self.trains.len() + packets <= limits::TRAINS_PER_BATCH_MAX
    }

    /// The free space to write the next packet into (at least what [`Self::has_room`] promised).
    pub fn slot(&mut self) -> &mut [u8] {
        &mut self.buffer[self.used..]
    }

    /// Appends the `len` bytes written into [`Self::slot`] as one datagram on `path`, in order: to the last train
    /// where path and size allow, else as the first of a new one.
    pub fn commit(&mut self, path: PathId, len: usize) {
        debug_assert!(len > 0 && self.used + len <= self.buffer.len());
        let start = self.used;
        self.used += len;
        if let Some(last) = self.trains.last_mut()
            && self.open
            && len <= usize::from(last.segment_size)
            && usize::from(last.segments) < limits::SEGMENTS_PER_TRAIN_MAX
            && last.len as usize + len <= limits::TRAIN_BYTES_MAX
            && last.path == path
        {
            last.len += len as u32;
            last.segments += 1;
            // A shorter segment may only be the last one.
            self.open = len == usize::from(last.segment_size);
            return;
        }
        self.any_by_connection |= path.is_connection();
        self.trains.push(Train {
            path,
            start: start as u32,
            len: len as u32,
            segment_size: len as u16,
            segments: 1,
            result: SendResult::Pending,
        });
        self.open = true;
    }

    /// The trains in the order they were committed.
    #[must_use]
    pub fn trains(&self) -> &[Train] {
        &self.trains
    }

    /// The trains, for the backend to fill in results.
    pub fn trains_mut(&mut self) -> &mut [Train] {
        &mut self.trains
    }

    /// Bytes and trains together, for the backend.
    pub fn parts_mut(&mut self) -> (&[u8], &mut [Train]) {
        (&self.buffer[..self.used], &mut self.trains)
    }

    /// The bytes of one train.
    #[must_use]
    pub fn bytes(&self, train: &Train) -> &[u8] {
        &self.buffer[train.start as usize..(train.start + train.len) as usize]
    }

    /// Whether one of the trains goes over a connection. Where none does, nobody has to look at each.
    #[must_use]
    pub fn any_by_connection(&self) -> bool {
        self.any_by_connection
    }

    /// Whether nothing waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trains.is_empty()
    }

    /// Forgets what was sent; the buffer is used again.
    pub fn clear(&mut self) {
        self.used = 0;
        self.trains.clear();
        self.any_by_connection = false;
        self.open = false;
    }
}

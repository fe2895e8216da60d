//! The floor: the cost of sealing and sending the same packets to the same viewers, and nothing else.
//!
//! It shares no code with the relay. A header is a template with a new sequence number, the key and the destination are
//! the next in a list, the payload is sealed out of place straight into the batch, and the batch goes to the kernel in
//! messages prepared beforehand ([`net::lab::bare`](crate::net::lab::bare)). Batch size and system call are tried out first and
//! the best is taken ([`Floor::tune`]).

use super::BenchError;
use super::rig::Sink;
use crate::crypto::aead::{AeadKey, AwsLcKey, NONCE_LEN, TAG_LEN};
use crate::net::lab::bare::{BareMode, BareSender};
use crate::net::process::thread_cpu_time;

/// Bytes of the header: the fixed part and an extension block with the MID, as the relay's packets have.
const HEADER_BYTES: usize = 20;

/// Batches tried, in trains. Their bytes stay inside the second-level cache.
const BATCHES: [usize; 5] = [4, 8, 16, 32, 64];

/// Bytes of a batch at most.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// The fastest way of working at one shape of load.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Trains in a batch.
    pub batch: usize,
    /// How they are handed over.
    pub mode: BareMode,
}

/// Keys, destinations and a buffer.
pub struct Floor {
    keys: Vec<AwsLcKey>,
    /// `None`: the null sink.
    sender: Option<BareSender>,
    buffer: Box<[u8]>,
    payloads: Vec<Vec<u8>>,
    next_index: u64,
}

impl std::fmt::Debug for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Floor").field("viewers", &self.keys.len()).finish_non_exhaustive()
    }
}

/// Which half of the work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Both.
    SealAndSend,
    /// Only sealing.
    Seal,
    /// Only sending what lies in the buffer.
    Send,
}

impl Floor {
    /// A floor to so many viewers.
    ///
    /// # Errors
    /// The socket could not be made.
    pub fn new(sink: Sink, viewers: usize, port: u16) -> Result<Self, BenchError> {
        let destinations: Vec<_> = (1..=viewers).map(|viewer| sink.viewer_address(viewer, port)).collect();
        let open = || BareSender::open(sink.local(), &destinations, BATCHES[BATCHES.len() - 1]);
        let sender = (sink != Sink::Null).then(open).transpose().map_err(BenchError::Net)?;
        let key = |viewer: usize| {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&(viewer as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            AwsLcKey::aes_128_gcm(&key)
        };
        Ok(Self {
            keys: (0..viewers).map(key).collect(),
            sender,
            buffer: vec![0; BATCH_BYTES_MAX].into_boxed_slice(),
            payloads: Vec::new(),
            next_index: 1,
        })
    }

    /// From now on a frame is these payloads, all of one length.
    pub fn set_payloads(&mut self, payloads: Vec<Vec<u8>>) {
        self.payloads = payloads;
    }

    fn packet_bytes(&self) -> usize {
        HEADER_BYTES + self.payloads.first().map_or(0, Vec::len) + TAG_LEN
    }

    /// The best batch and mode for the present payloads.
    pub fn tune(&mut self) -> Tuning {
        let train_bytes = self.packet_bytes() * self.payloads.len();
        let mut best: Option<(Tuning, std::time::Duration)> = None;
        for mode in [BareMode::Calls, BareMode::Entries] {
            if mode == BareMode::Entries && !self.sender.as_ref().is_some_and(BareSender::has_ring) {
                continue;
            }
            for batch in BATCHES.into_iter().filter(|batch| batch * train_bytes <= BATCH_BYTES_MAX) {
                let tuning = Tuning { batch, mode };
                self.frame(tuning, Work::SealAndSend);
                let frames = (4_000 / (self.keys.len() * self.payloads.len())).max(1);
                // The best of three, because disturbances only add time.
                let cost = (0..3).map(|_| {
                    let before = thread_cpu_time();
                    (0..frames).for_each(|_| self.frame(tuning, Work::SealAndSend));
                    thread_cpu_time() - before
                });
                let cost = cost.min().unwrap_or_default();
                if best.is_none_or(|(_, least)| cost < least) {
                    best = Some((tuning, cost));
                }
            }
        }
        best.map_or(Tuning { batch: 4, mode: BareMode::Calls }, |(tuning, _)| tuning)
    }

    /// One frame to every viewer.
    pub fn frame(&mut self, tuning: Tuning, work: Work) {
        let packet_bytes = self.packet_bytes();
        let train_bytes = packet_bytes * self.payloads.len();
        let mut first = 0;
        for keys in self.keys.chunks(tuning.batch) {
            if work != Work::Send {
                let mut slots = self.buffer.chunks_exact_mut(packet_bytes);
                for key in keys {
                    for (at, payload) in self.payloads.iter().enumerate() {
                        let index = self.next_index + at as u64;
                        let slot = slots.next().expect("a batch fits the buffer");
                        let (header, body) = slot.split_at_mut(HEADER_BYTES);
                        header.copy_from_slice(&HEADER);
                        header[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                        let mut nonce = [0; NONCE_LEN];
                        nonce[4..].copy_from_slice(&index.to_be_bytes());
                        key.seal_out_of_place(&nonce, header, payload, &[], body).expect("the lengths add up");
                    }
                }
            }
            if work != Work::Seal
                && let Some(sender) = &mut self.sender
            {
                sender.send(tuning.mode, &self.buffer, first, keys.len(), train_bytes, packet_bytes as u16);
            }
            first += keys.len();
        }
        self.next_index += self.payloads.len() as u64;
    }

    /// Messages the kernel did not take.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.sender.as_ref().map_or(0, |sender| sender.refused)
    }
}

/// Version 2 with an extension, payload type 102, and the MID `1`.
const HEADER: [u8; HEADER_BYTES] = [0x90, 102, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0xbe, 0xde, 0, 1, 0x10, b'1', 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_of_a_batch_is_sealed_for_its_own_viewer() {
        let mut floor = Floor::new(Sink::Null, 5, 9).unwrap();
        floor.set_payloads(vec![vec![1; 100], vec![2; 100]]);
        // Two batches: the second, of one viewer, lies over the first.
        floor.frame(Tuning { batch: 4, mode: BareMode::Calls }, Work::SealAndSend);
        let packet_bytes = floor.packet_bytes();
        for (slot, (viewer, at)) in [(4, 0), (4, 1), (1, 0), (1, 1), (2, 0)].into_iter().enumerate() {
            let packet = &mut floor.buffer[slot * packet_bytes..][..packet_bytes];
            let (header, body) = packet.split_at_mut(HEADER_BYTES);
            let mut nonce = [0; NONCE_LEN];
            nonce[4..].copy_from_slice(&(1 + at as u64).to_be_bytes());
            floor.keys[viewer].open_in_place(&nonce, header, body).unwrap();
            assert_eq!(body[..100], [1 + at as u8; 100]);
        }
    }
}

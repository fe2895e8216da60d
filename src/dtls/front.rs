//! The plaintext half of the record layer: it stands between the network and an engine while a handshake runs.
//!
//! Plaintext records can be forged, and arrive in any order, any number of times and in any fragmentation (RFC 6347
//! §4.2.3). This file turns them into whole handshake messages in the peer's order, each exactly once; the engines see
//! no other plaintext. The contents of a message are not looked at.

use super::record::{RecentNumbers, Record, content, records};
use crate::limits::{
    DTLS_FRAGMENT_RUNS_MAX, DTLS_HANDSHAKE_MESSAGE_BYTES_MAX, DTLS_MESSAGES_AHEAD_MAX, DTLS_REASSEMBLY_BYTES_MAX,
};

/// ClientHello's handshake type.
pub(super) const CLIENT_HELLO: u8 = 1;
/// Certificate's handshake type.
pub(super) const CERTIFICATE: u8 = 11;
/// CertificateVerify's handshake type.
pub(super) const CERTIFICATE_VERIFY: u8 = 15;
/// ClientKeyExchange's handshake type.
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;

/// Bytes of a handshake message's header (RFC 6347 §4.2.2).
const HEADER_BYTES: usize = 12;

/// A whole handshake message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HandshakeMessage {
    /// `msg_type`
    pub(super) kind: u8,
    /// `message_seq`
    pub(super) sequence: u16,
    /// What follows the header.
    pub(super) body: Vec<u8>,
}

impl HandshakeMessage {
    /// The message with its header, in one piece.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fragment = Vec::with_capacity(self.body.len().saturating_add(HEADER_BYTES));
        let [_, length @ ..] = u32::try_from(self.body.len()).unwrap_or(0).to_be_bytes();
        fragment.push(self.kind);
        fragment.extend_from_slice(&length);
        fragment.extend_from_slice(&self.sequence.to_be_bytes());
        fragment.extend_from_slice(&[0, 0, 0]);
        fragment.extend_from_slice(&length);
        fragment.extend_from_slice(&self.body);
        fragment
    }
}

/// Consecutive bytes of a message.
#[derive(Debug)]
struct Run {
    start: usize,
    bytes: Vec<u8>,
}

impl Run {
    fn end(&self) -> usize {
        self.start.saturating_add(self.bytes.len())
    }

    /// Overwrites the bytes from `offset` on, which lie within the run.
    fn overwrite(&mut self, offset: usize, data: &[u8]) {
        let at = offset.saturating_sub(self.start);
        if let Some(slot) = self.bytes.get_mut(at..at.saturating_add(data.len())) {
            slot.copy_from_slice(data);
        }
    }
}

/// A message with fragments missing. It holds the bytes that came, and nothing for those that its header announces.
#[derive(Debug)]
struct Partial {
    kind: u8,
    sequence: u16,
    length: usize,
    /// What was received, sorted, with a gap between any two.
    runs: Vec<Run>,
}

impl Partial {
    fn is_whole(&self) -> bool {
        self.length == 0 || matches!(self.runs.as_slice(), [run] if run.start == 0 && run.bytes.len() == self.length)
    }

    /// Bytes kept, bookkeeping included.
    fn held_bytes(&self) -> usize {
        let runs = self.runs.iter().map(|run| run.bytes.len().saturating_add(size_of::<Run>()));
        runs.fold(size_of::<Self>(), usize::saturating_add)
    }

    /// Adds `data` at `offset`. Where it overlaps what is there, it replaces it. Dropped when there are too many gaps.
    fn put(&mut self, offset: usize, data: &[u8]) {
        let end = offset.saturating_add(data.len());
        let first = self.runs.partition_point(|run| run.end() < offset);
        let last = self.runs.partition_point(|run| run.start <= end);
        let touched = self.runs.get(first..last).unwrap_or_default();
        match touched {
            [] if self.runs.len() >= DTLS_FRAGMENT_RUNS_MAX => {}
            [] => self.runs.insert(first, Run { start: offset, bytes: data.to_vec() }),
            [run] if run.start <= offset => {
                if let Some(run) = self.runs.get_mut(first) {
                    let known = run.end().saturating_sub(offset).min(data.len());
                    let (over, more) = data.split_at(known);
                    run.overwrite(offset, over);
                    run.bytes.extend_from_slice(more);
                }
            }
            [head, ..] => {
                let start = head.start.min(offset);
                let end = touched.last().map_or(end, |run| run.end().max(end));
                let mut joined = Run { start, bytes: vec![0; end.saturating_sub(start)] };
                touched.iter().for_each(|run| joined.overwrite(run.start, &run.bytes));
                joined.overwrite(offset, data);
                self.runs.splice(first..last, [joined]);
            }
        }
    }

    fn into_message(self) -> HandshakeMessage {
        let body = self.runs.into_iter().next().map(|run| run.bytes).unwrap_or_default();
        HandshakeMessage { kind: self.kind, sequence: self.sequence, body }
    }
}

/// Reassembles one peer's plaintext handshake messages, and remembers its last plaintext alert.
#[derive(Debug, Default)]
pub(super) struct Front {
    recent: RecentNumbers,
    next: u16,
    /// The one that was added to last is the last.
    partial: Vec<Partial>,
    /// The code of the last fatal alert. Anyone can forge it, so it does not end the association; it explains a later
    /// timeout.
    pub(super) alert: Option<u8>,
}

impl Front {
    /// Processes the plaintext records of `datagram` and passes its protected ones to `protected`, in order. Returns
    /// whether the peer repeated a message that was already complete: it repeats its last flight because ours was lost.
    pub(super) fn take<'a>(&mut self, datagram: &'a [u8], mut protected: impl FnMut(Record<'a>)) -> bool {
        let mut repeated = false;
        for record in records(datagram) {
            match record {
                Record::Plain { content_type, sequence, fragment } => {
                    if !self.recent.accept(sequence) {
                        continue;
                    }
                    match content_type {
                        content::HANDSHAKE => repeated |= self.take_fragments(fragment),
                        // Only a fatal alert is kept: the others in plaintext (close_notify, user_canceled) explain
                        // nothing.
                        content::ALERT => {
                            if let &[2, code] = fragment {
                                self.alert = Some(code);
                            }
                        }
                        // A ChangeCipherSpec is implied by what follows it; nothing else belongs here.
                        _ => {}
                    }
                }
                record => protected(record),
            }
        }
        repeated
    }

    /// The next message in order, once it is whole.
    pub(super) fn next_message(&mut self) -> Option<HandshakeMessage> {
        let at = self.partial.iter().position(|partial| partial.sequence == self.next && partial.is_whole())?;
        self.next = self.next.checked_add(1)?;
        Some(self.partial.remove(at).into_message())
    }

    fn take_fragments(&mut self, mut rest: &[u8]) -> bool {
        let mut repeated = false;
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let &[kind, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2] = header;
            let number = |a, b, c| u32::from_be_bytes([0, a, b, c]) as usize;
            let Some((data, next)) = after.split_at_checked(number(f0, f1, f2)) else { break };
            rest = next;
            repeated |=
                self.take_fragment(kind, u16::from_be_bytes([s0, s1]), number(l0, l1, l2), number(o0, o1, o2), data);
        }
        repeated
    }

    fn take_fragment(&mut self, kind: u8, sequence: u16, length: usize, offset: usize, data: &[u8]) -> bool {
        let Some(ahead) = sequence.checked_sub(self.next) else { return offset == 0 };
        let end = offset.saturating_add(data.len());
        if usize::from(ahead) >= DTLS_MESSAGES_AHEAD_MAX || length > DTLS_HANDSHAKE_MESSAGE_BYTES_MAX || end > length {
            return false;
        }
        let at = self.partial.iter().position(|partial| partial.sequence == sequence);
        let known = at.map(|at| self.partial.remove(at));
        // Where fragments contradict each other the newest counts, so that a forged or damaged one is replaced by the
        // peer's next retransmission.
        let mut partial = known.filter(|partial| partial.kind == kind && partial.length == length).unwrap_or(Partial {
            kind,
            sequence,
            length,
            runs: Vec::new(),
        });
        if !data.is_empty() {
            partial.put(offset, data);
        }
        self.partial.push(partial);
        // The message that has waited longest for more goes first: the peer is sending the others.
        while self.held_bytes() > DTLS_REASSEMBLY_BYTES_MAX {
            self.partial.remove(0);
        }
        false
    }

    fn held_bytes(&self) -> usize {
        self.partial.iter().map(Partial::held_bytes).fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
#[path = "front_tests.rs"]
mod tests;

//! The plaintext half of the record layer: it stands between the network and an engine while a handshake runs.
//!
//! Plaintext records can be forged, and arrive in any order, any number of times and in any fragmentation (RFC 6347
//! §4.2.3). This file turns them into whole handshake messages; the engines see no other plaintext. The contents of a
//! message are not looked at, and none is final: a message that the peer sends again comes out again, so that what a
//! forged one has taken the place of is offered once more. Whoever receives the messages tells the two apart.

use super::record::{RecentRecords, Record, content, records};
use crate::limits::{
    DTLS_FRAGMENT_RUNS_MAX, DTLS_HANDSHAKE_MESSAGE_BYTES_MAX, DTLS_HANDSHAKE_MESSAGES_MAX, DTLS_REASSEMBLY_BYTES_MAX,
};

/// ClientHello's handshake type.
pub(super) const CLIENT_HELLO: u8 = 1;
/// ServerHello's handshake type; HelloRetryRequest's as well.
pub(super) const SERVER_HELLO: u8 = 2;
/// HelloVerifyRequest's handshake type.
pub(super) const HELLO_VERIFY_REQUEST: u8 = 3;
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

/// Reassembles one peer's plaintext handshake messages, and notes its alerts in plaintext.
#[derive(Debug, Default)]
pub(super) struct Front {
    recent: RecentRecords,
    /// The one that was added to last is the last.
    partial: Vec<Partial>,
    /// The code of the last fatal alert. Anyone can forge it.
    pub(super) alert: Option<u8>,
    /// A message longer than [`DTLS_HANDSHAKE_MESSAGE_BYTES_MAX`] was announced.
    pub(super) too_long: bool,
}

impl Front {
    /// Processes the plaintext records of `datagram` and passes its protected ones to `protected`, in order.
    pub(super) fn take<'a>(&mut self, datagram: &'a [u8], mut protected: impl FnMut(Record<'a>)) {
        for record in records(datagram) {
            match record {
                Record::Plain { content_type, sequence, fragment } => {
                    if !self.recent.accept(sequence, fragment) {
                        continue;
                    }
                    match content_type {
                        content::HANDSHAKE => self.take_fragments(fragment),
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
    }

    /// The next whole message: of several, the one with the lowest number.
    pub(super) fn next_message(&mut self) -> Option<HandshakeMessage> {
        let whole = self.partial.iter().enumerate().filter(|(_, partial)| partial.is_whole());
        let (at, _) = whole.min_by_key(|(_, partial)| partial.sequence)?;
        Some(self.partial.remove(at).into_message())
    }

    fn take_fragments(&mut self, mut rest: &[u8]) {
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let &[kind, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2] = header;
            let number = |a, b, c| u32::from_be_bytes([0, a, b, c]) as usize;
            let Some((data, next)) = after.split_at_checked(number(f0, f1, f2)) else { break };
            rest = next;
            self.take_fragment(kind, u16::from_be_bytes([s0, s1]), number(l0, l1, l2), number(o0, o1, o2), data);
        }
    }

    fn take_fragment(&mut self, kind: u8, sequence: u16, length: usize, offset: usize, data: &[u8]) {
        let end = offset.saturating_add(data.len());
        if sequence >= DTLS_HANDSHAKE_MESSAGES_MAX || end > length {
            return;
        }
        if length > DTLS_HANDSHAKE_MESSAGE_BYTES_MAX {
            self.too_long = true;
            return;
        }
        // Fragments that contradict each other in kind or length belong to different messages, of which one is forged.
        // Where only their bytes contradict each other the newest counts, and the peer's next retransmission, which
        // begins anew once the message is whole, replaces all of them.
        let at = self
            .partial
            .iter()
            .position(|partial| (partial.kind, partial.sequence, partial.length) == (kind, sequence, length));
        let mut partial =
            at.map(|at| self.partial.remove(at)).unwrap_or(Partial { kind, sequence, length, runs: Vec::new() });
        if !data.is_empty() {
            partial.put(offset, data);
        }
        self.partial.push(partial);
        // The message that has waited longest for more goes first: the peer is sending the others.
        while self.held_bytes() > DTLS_REASSEMBLY_BYTES_MAX {
            self.partial.remove(0);
        }
    }

    fn held_bytes(&self) -> usize {
        self.partial.iter().map(Partial::held_bytes).fold(0, usize::saturating_add)
    }
}

/// Puts messages in the peer's order, each exactly once: for an engine that takes them so.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    next: u16,
    ahead: Vec<HandshakeMessage>,
}

impl InOrder {
    /// Adds a message. Returns whether it was passed on before: the peer repeats its flight, because ours was lost.
    pub(super) fn put(&mut self, message: HandshakeMessage) -> bool {
        if message.sequence < self.next {
            return true;
        }
        self.ahead.retain(|known| known.sequence != message.sequence);
        let held = self.ahead.iter().map(|known| known.body.len()).fold(message.body.len(), usize::saturating_add);
        if held <= DTLS_REASSEMBLY_BYTES_MAX {
            self.ahead.push(message);
        }
        false
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Option<HandshakeMessage> {
        let at = self.ahead.iter().position(|message| message.sequence == self.next)?;
        self.next = self.next.checked_add(1)?;
        Some(self.ahead.swap_remove(at))
    }
}

#[cfg(test)]
#[path = "front_tests.rs"]
mod tests;

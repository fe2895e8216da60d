//! The plaintext half of the record layer: it stands between the network and an engine while a handshake runs.
//!
//! Plaintext records can be forged, and arrive in any order, any number of times and in any fragmentation (RFC 6347
//! §4.2.3). This file turns them into whole handshake messages in the peer's order, each exactly once; the engines see
//! no other plaintext. The contents of a message are not looked at.

use super::record::{RecentNumbers, Record, content, records};
use crate::limits::{DTLS_FRAGMENT_RUNS_MAX, DTLS_HANDSHAKE_MESSAGE_BYTES_MAX, DTLS_MESSAGES_AHEAD_MAX};

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

/// A message with fragments missing.
#[derive(Debug)]
struct Partial {
    message: HandshakeMessage,
    /// The received ranges of bytes, sorted and not touching.
    runs: Vec<(usize, usize)>,
}

impl Partial {
    fn is_whole(&self) -> bool {
        self.message.body.is_empty() || matches!(self.runs.as_slice(), [(0, end)] if *end == self.message.body.len())
    }

    /// Marks bytes `start..end` as received. Returns `false` when there are too many gaps.
    fn cover(&mut self, mut start: usize, mut end: usize) -> bool {
        let touching = |run: &(usize, usize)| run.0 <= end && start <= run.1;
        for run in self.runs.iter().filter(|run| touching(run)).copied().collect::<Vec<_>>() {
            start = start.min(run.0);
            end = end.max(run.1);
        }
        self.runs.retain(|run| !(run.0 <= end && start <= run.1));
        if self.runs.len() >= DTLS_FRAGMENT_RUNS_MAX {
            return false;
        }
        let at = self.runs.partition_point(|run| run.0 < start);
        self.runs.insert(at, (start, end));
        true
    }
}

/// Reassembles one peer's plaintext handshake messages, and remembers its last plaintext alert.
#[derive(Debug, Default)]
pub(super) struct Front {
    recent: RecentNumbers,
    next: u16,
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
        let at = self.partial.iter().position(|partial| partial.message.sequence == self.next && partial.is_whole())?;
        self.next = self.next.checked_add(1)?;
        Some(self.partial.swap_remove(at).message)
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
        let at = self.partial.iter().position(|partial| partial.message.sequence == sequence);
        // Where fragments contradict each other the newest counts, so that a forged or damaged one is replaced by the
        // peer's next retransmission.
        let known = at.and_then(|at| {
            let message = &self.partial.get(at)?.message;
            (message.kind == kind && message.body.len() == length).then_some(at)
        });
        if let (Some(at), None) = (at, known) {
            self.partial.swap_remove(at);
        }
        let at = known.unwrap_or_else(|| {
            let message = HandshakeMessage { kind, sequence, body: vec![0; length] };
            self.partial.push(Partial { message, runs: Vec::new() });
            self.partial.len().saturating_sub(1)
        });
        if let Some(partial) = self.partial.get_mut(at)
            && !data.is_empty()
            && partial.cover(offset, end)
            && let Some(slot) = partial.message.body.get_mut(offset..end)
        {
            slot.copy_from_slice(data);
        }
        false
    }
}

#[cfg(test)]
#[path = "front_tests.rs"]
mod tests;

//! What an agent knows of one path: when its peer was heard there, what has been proven of it, and how much may be sent
//! on it before that.

use crate::limits;
use crate::time::Timestamp;
use crate::transport::PathId;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// Which pair of credentials a check used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    Current,
    Previous,
}

/// A path that a valid check came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validated {
    pub(super) path: PathId,
    /// The credentials of its last check, which requests on it are made with.
    pub(super) generation: Generation,
    pub(super) last_check: Timestamp,
    /// When something authentic came from it last: a check, an answer, media or reports.
    pub(super) heard: Timestamp,
    /// When something came from it last that only its holder can send: the answer to a request, or the end of a DTLS
    /// handshake. `None` until then: whoever has credentials may have invented the address.
    pub(super) proven: Option<Timestamp>,
    /// When a request was sent on it last.
    asked: Option<Timestamp>,
    /// Requests sent on it. Each has its number in its transaction identifier.
    pub(super) requests: u32,
    /// The highest number that was answered.
    pub(super) answered: u32,
    /// A request is to be sent on it.
    pub(super) request_due: bool,
    /// Bytes that may still be sent on it while it is not proven.
    allowance: u32,
}

impl Validated {
    /// A path that a check came from just now.
    pub(super) fn new(path: PathId, generation: Generation, now: Timestamp) -> Self {
        Self {
            path,
            generation,
            last_check: now,
            heard: now,
            proven: None,
            asked: None,
            requests: 0,
            answered: 0,
            request_due: false,
            allowance: 0,
        }
    }

    /// Since when nothing has shown that its peer is still there. A peer that answers requests must have answered on
    /// this path; from another, anything authentic counts. `None` while the path is not proven.
    pub(super) fn confirmed(&self, peer_answers: bool) -> Option<Timestamp> {
        let proven = self.proven?;
        Some(if peer_answers { proven } else { self.heard.max(proven) })
    }

    /// Requests since the last answer.
    pub(super) fn unanswered(&self) -> u32 {
        self.requests.saturating_sub(self.answered)
    }

    /// When the last request was sent.
    pub(super) fn asked(&self) -> Option<Timestamp> {
        self.asked
    }

    /// Whether the last request is at least `pause` ago.
    pub(super) fn may_ask(&self, pause: std::time::Duration, now: Timestamp) -> bool {
        self.asked.is_none_or(|asked| now.since(asked) >= pause)
    }

    /// A request was sent; returns its number.
    pub(super) fn note_request(&mut self, now: Timestamp) -> u32 {
        self.requests = self.requests.wrapping_add(1);
        self.asked = Some(now);
        self.request_due = false;
        self.requests
    }

    /// Bytes that may be sent on it now.
    pub(super) fn allowance(&self) -> u32 {
        if self.proven.is_some() { u32::MAX } else { self.allowance }
    }

    /// So many bytes came from it.
    pub(super) fn received(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.allowance = self.allowance.saturating_add(bytes.saturating_mul(limits::UNPROVEN_BYTES_FACTOR));
    }

    /// So many bytes were sent on it.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.allowance = self.allowance.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Writes it behind its path.
    pub(super) fn export(&self, now: Timestamp, out: &mut StateWriter) {
        out.bool(self.generation == Generation::Previous);
        out.age(self.last_check, now);
        out.age(self.heard, now);
        out.option(self.proven, |out, proven| out.age(proven, now));
        out.option(self.asked, |out, asked| out.age(asked, now));
        out.u32(self.requests);
        out.u32(self.answered);
        out.u32(self.allowance);
    }

    /// Reads what [`Self::export`] wrote.
    pub(super) fn import(path: PathId, now: Timestamp, from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        let generation = if from.bool()? { Generation::Previous } else { Generation::Current };
        let mut validated = Self::new(path, generation, now);
        validated.last_check = from.age(now)?;
        validated.heard = from.age(now)?;
        validated.proven = from.option(|from| from.age(now))?;
        validated.asked = from.option(|from| from.age(now))?;
        validated.requests = from.u32()?;
        validated.answered = from.u32()?;
        validated.allowance = from.u32()?;
        Ok(validated)
    }
}

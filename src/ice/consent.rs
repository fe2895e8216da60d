//! Proof and consent: which of its paths an agent may send media on.
//!
//! A check proves that its sender has the credentials, and nothing about the address that it seems to come from: whoever
//! has a session of his own can put a third party's address there. So the agent, although it is lite, sends Binding
//! requests too. Their transaction identifiers cannot be guessed; who answers one receives what is sent to that address.
//!
//! ```text
//!   check from X ──▶ validated: at most three times what came from X is sent there
//!     answer to a request, or a DTLS handshake sent on it alone ──▶ proven: media may go there
//!       asked again every 5 s; nothing for 15 s ──▶ consent is gone: no media until X shows itself again
//! ```
//!
//! - **A move** (a nomination by a connected peer) waits for an answer from the new path, unless it answered just now. From
//!   UDP to a connection it waits for silence too: the UDP path is asked, and keeps the media when it answers. A peer
//!   nominates every pair that works (RFC 5245 §8.1.1.1; Firefox does), and the connection is never the better one.
//! - **Fall-back**: when the path in use has confirmed nothing for [`limits::PATH_DEAD`] and another one does, media goes
//!   there, nominated or not. So a replayed nomination of an address that is dead does no lasting harm.
//! - **A peer that never answers** (full agents do: RFC 8445 §7.3) keeps the path that its whole DTLS handshake was sent
//!   on, for as long as anything authentic comes from there. It cannot move, because nothing that it sends proves an
//!   address: it holds the keys of its own SRTCP too, and may put any address in front of its last flight.
//!
//! After RFC 7675, whose checks a lite agent leaves to its peer; RFC 9000 §8.2 and §9.3 have the same rules for QUIC.

use std::time::Duration;

use super::agent::{HandshakeSent, IceLite, Nomination};
use super::validated::{Generation, Validated};
use crate::crypto::hmac_sha1::HmacSha1;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::PathId;
use crate::wire::stun::{self, StunClass, StunMessage, StunWriter};

/// RFC 8445 §5.1.2.1, of a peer-reflexive candidate: what a request from an address that the peer has not seen would say.
const REQUEST_PRIORITY: u32 = 0x6e7f_1eff;

/// The bytes of a transaction identifier that name the agent; the others are the proof.
const TAG_BYTES: usize = 4;

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerOutcome {
    /// Media goes to another path from now on.
    pub selected: bool,
}

impl IceLite {
    /// The path that media may be sent on; `None` while nothing was proven, or when consent is gone.
    #[inline]
    #[must_use]
    pub fn open_path(&self) -> Option<PathId> {
        if self.open { self.selected } else { None }
    }

    /// Since when nothing has confirmed a path; `None` while it is not proven.
    #[must_use]
    pub fn confirmed(&self, path: PathId) -> Option<Timestamp> {
        self.validated(path)?.confirmed(self.peer_answers)
    }

    /// Bytes that may be sent on a path now, other than media.
    #[must_use]
    pub fn allowance(&self, path: PathId) -> u32 {
        self.validated(path).map_or(0, Validated::allowance)
    }

    /// So many bytes came from a path. They count towards what may be sent there before it is proven.
    pub fn received(&mut self, path: PathId, bytes: usize) {
        if let Some(validated) = self.validated_mut(path) {
            validated.received(bytes);
        }
    }

    /// So many bytes were sent on a path.
    pub fn sent(&mut self, path: PathId, bytes: usize) {
        if let Some(validated) = self.validated_mut(path) {
            validated.sent(bytes);
        }
    }

    /// Something authentic came from a path.
    #[inline]
    pub fn heard(&mut self, path: PathId, now: Timestamp) {
        if let Some(validated) = self.validated_mut(path) {
            validated.heard = now;
        }
        if !self.open && self.selected == Some(path) {
            self.update(now);
        }
    }

    /// So many bytes of a DTLS association were sent on a path.
    pub fn sent_of_handshake(&mut self, path: PathId, bytes: usize) {
        self.sent(path, bytes);
        self.handshake_sent = match self.handshake_sent {
            HandshakeSent::Nowhere => HandshakeSent::On(path),
            HandshakeSent::On(before) if before == path => HandshakeSent::On(path),
            HandshakeSent::On(_) | HandshakeSent::OnSeveral => HandshakeSent::OnSeveral,
        };
    }

    /// The DTLS handshake was completed. If all its datagrams were sent on one path, that path is proven, because the peer
    /// received there what it had to sign. Where its last datagram seemed to come from says nothing: it may have put any
    /// address in front.
    pub fn handshake_completed(&mut self, now: Timestamp) {
        self.connected = true;
        if let HandshakeSent::On(path) = self.handshake_sent
            && let Some(validated) = self.validated_mut(path)
        {
            validated.proven = Some(now);
            validated.heard = now;
            let selected_is_proven = self.selected.and_then(|selected| self.validated(selected)?.proven).is_some();
            if !selected_is_proven {
                self.selected = Some(path);
            }
        }
        self.update(now);
    }

    /// Wants an answer on a path, if the last request there is not too recent: because somebody else says that he holds
    /// the address.
    pub fn ask(&mut self, path: PathId, now: Timestamp) {
        let Some(validated) = self.validated(path) else { return };
        let (may_ask, is_proven) = (validated.may_ask(limits::PATH_REQUEST_PAUSE, now), validated.proven.is_some());
        // Whoever invents addresses shall not have a request sent to each of them.
        let (at_once, pause) = (limits::PATHS_PER_SESSION_MAX as u32, limits::PATH_REQUEST_PAUSE);
        if may_ask
            && (is_proven || self.unproven_requests.take(at_once, pause, now))
            && let Some(validated) = self.validated_mut(path)
        {
            validated.request_due = true;
        }
    }

    /// Writes the next request that is due into `out`; its path and its length.
    pub fn poll_request(&mut self, now: Timestamp, out: &mut [u8]) -> Option<(PathId, usize)> {
        loop {
            let at = self.validated.iter().position(|validated| validated.request_due)?;
            let validated = self.validated.get_mut(at)?;
            let (path, allowance) = (validated.path, validated.allowance());
            let (number, generation) = (validated.note_request(now), validated.generation);
            let transaction = self.transaction(path, number);
            let (local, remote) = match (generation, &self.previous) {
                (Generation::Previous, Some((local, remote))) => (local, remote),
                _ => (&self.local, &self.remote),
            };
            let username = format!("{}:{}", remote.ufrag, local.ufrag);
            let len = StunWriter::binding_request(out, &transaction)
                .username(username.as_bytes())
                .priority(REQUEST_PRIORITY)
                .ice_controlled(self.tie_breaker())
                .integrity(remote.password.as_bytes())
                .fingerprint()
                .finish();
            self.schedule(now);
            if let Some(len) = len.filter(|len| *len <= allowance as usize) {
                self.sent(path, len);
                return Some((path, len));
            }
        }
    }

    /// Takes a Binding response that came from `path`; `None` when it answers no request of this agent there.
    pub fn take_answer(&mut self, message: &StunMessage<'_>, path: PathId, now: Timestamp) -> Option<AnswerOutcome> {
        let transaction = message.transaction_id();
        if message.class() != StunClass::Success
            || message.method() != stun::BINDING
            || transaction.get(..TAG_BYTES) != self.secret.get(..TAG_BYTES)
        {
            return None;
        }
        let validated = self.validated(path)?;
        // An answer may be late, and each counts once: one that is sent again later proves nothing.
        let first =
            validated.answered.max(validated.requests.saturating_sub(limits::PATH_REQUESTS_OUTSTANDING_MAX)) + 1;
        let number = (first..=validated.requests).find(|number| self.transaction(path, *number) == *transaction)?;
        let passwords = [Some(&self.remote), self.previous.as_ref().map(|(_, remote)| remote)];
        let authentic = message.fingerprint_valid() != Some(false)
            && passwords.into_iter().flatten().any(|remote| message.verify_integrity(remote.password.as_bytes()));
        if !authentic {
            return None;
        }
        self.peer_answers = true;
        let validated = self.validated_mut(path)?;
        validated.answered = number;
        validated.proven = Some(now);
        validated.heard = now;
        Some(AnswerOutcome { selected: self.update(now) })
    }

    /// Acts on the nomination of a path by a connected peer: whether media moved at once.
    pub(super) fn nominate(&mut self, path: PathId, now: Timestamp) -> bool {
        self.nomination = Some(Nomination { path, since: now });
        if path.is_connection()
            && let Some(selected) = self.selected.filter(|selected| !selected.is_connection())
        {
            self.ask(selected, now);
        }
        let moved = self.update(now);
        if self.selected != Some(path) {
            self.ask(path, now);
        }
        moved
    }

    /// Does what is due: requests, and a fall-back. Returns whether media goes to another path from now on.
    pub fn handle_timeout(&mut self, now: Timestamp) -> bool {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return false;
        }
        let (selected, answers, interval) = (self.selected, self.peer_answers, self.request_interval());
        let is_given_up =
            |validated: &Validated| !answers && validated.requests >= limits::PATH_REQUESTS_UNANSWERED_MAX;
        let in_use = self.validated.iter_mut().find(|validated| Some(validated.path) == selected);
        let mut in_doubt = false;
        if let Some(validated) = in_use.filter(|validated| !is_given_up(validated)) {
            let pause = if validated.unanswered() == 0 { interval } else { limits::PATH_REQUEST_REPEAT };
            in_doubt = validated.unanswered() > 0;
            validated.request_due |= validated.may_ask(pause, now);
        }
        if in_doubt && self.connected {
            for validated in &mut self.validated {
                validated.request_due |= !is_given_up(validated) && validated.may_ask(limits::PATH_REQUEST_REPEAT, now);
            }
        }
        self.update(now)
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// Chooses the path for media anew, and whether it may be sent there. Returns whether it is another path.
    pub(super) fn update(&mut self, now: Timestamp) -> bool {
        let before = self.selected;
        if self.connected {
            self.selected = self.nominated_and_live(now).or_else(|| self.fall_back(now)).or(self.selected);
            self.open = self.adopted || self.selected.is_some_and(|path| self.has_consent(path, now));
        }
        self.schedule(now);
        self.selected != before
    }

    /// The nominated path, when it has answered since it was nominated or just before.
    fn nominated_and_live(&mut self, now: Timestamp) -> Option<PathId> {
        let Nomination { path, since } = self.nomination?;
        if self.selected == Some(path) {
            self.nomination = None;
            return None;
        }
        if path.is_connection()
            && let Some(in_use) = self.selected.filter(|selected| !selected.is_connection())
            && let Some(validated) = self.validated(in_use)
        {
            if validated.confirmed(self.peer_answers).is_some_and(|confirmed| confirmed >= since) {
                self.nomination = None;
                return None;
            }
            if validated.proven.is_some() && validated.unanswered() < limits::PATH_SILENT_REQUESTS_MIN {
                return None;
            }
        }
        self.is_confirmed(path, limits::NOMINATION_PROOF_AGE_MAX, now).then(|| self.nomination = None)?;
        Some(path)
    }

    /// Another path, when the one in use has confirmed nothing for too long and the other one has.
    fn fall_back(&self, now: Timestamp) -> Option<PathId> {
        // One that was lost (its connection is closed) is as dead as can be.
        if self.adopted || self.selected.is_some_and(|path| self.is_confirmed(path, limits::PATH_DEAD, now)) {
            return None;
        }
        let others = self.validated.iter().filter(|validated| Some(validated.path) != self.selected);
        let latest = others.max_by_key(|validated| validated.confirmed(self.peer_answers))?;
        self.is_confirmed(latest.path, limits::PATH_REQUEST_REPEAT * 3, now).then_some(latest.path)
    }

    /// Whether a path was confirmed within `age`.
    fn is_confirmed(&self, path: PathId, age: Duration, now: Timestamp) -> bool {
        self.confirmed(path).is_some_and(|confirmed| now.since(confirmed) < age)
    }

    /// Whether media may be sent on a path. Where the worker was stopped, or its clock jumped, for longer than consent lasts,
    /// nobody was asked meanwhile: it ends when some requests in a row find no answer.
    fn has_consent(&self, path: PathId, now: Timestamp) -> bool {
        let Some(validated) = self.validated(path) else { return false };
        let was_asked = validated.unanswered() >= limits::PATH_CONSENT_REQUESTS_MIN;
        self.is_confirmed(path, limits::PATH_CONSENT, now)
            || self.open && self.peer_answers && validated.proven.is_some() && !was_asked
    }

    fn schedule(&mut self, now: Timestamp) {
        self.deadline = self.deadline_of(now);
    }

    fn deadline_of(&self, now: Timestamp) -> Option<Timestamp> {
        if self.adopted {
            return None;
        }
        let validated = self.validated(self.selected?)?;
        if self.validated.iter().any(|validated| validated.request_due) {
            return Some(now);
        }
        let given_up = !self.peer_answers && validated.requests >= limits::PATH_REQUESTS_UNANSWERED_MAX;
        let pause = if validated.unanswered() == 0 { self.request_interval() } else { limits::PATH_REQUEST_REPEAT };
        let request = validated.asked().map_or(now, |asked| asked + pause);
        let request = (!given_up).then_some(request);
        let consent = self.open.then(|| validated.confirmed(self.peer_answers).map(|at| at + limits::PATH_CONSENT));
        let consent = consent.map(|at| at.filter(|at| given_up || *at > now));
        // Not earlier than in a moment: whatever the state, a timer must not run for ever.
        [request, consent.flatten()].into_iter().flatten().min().map(|due| due.max(now + limits::PATH_TIMER_MIN))
    }

    /// The pause between requests on the path in use, which differs from agent to agent by ±20 % (RFC 7675 §5.1).
    fn request_interval(&self) -> Duration {
        let spread = u32::from(self.secret.last().copied().unwrap_or(0));
        limits::PATH_REQUEST_INTERVAL * (205 + spread * 102 / 255) / 256
    }

    /// The identifier of a request. Nobody who has not received it knows it, the peer's own credentials or not.
    fn transaction(&self, path: PathId, number: u32) -> [u8; 12] {
        let mut transaction = [0; 12];
        let mac = HmacSha1::new(&self.secret).tag(&[&path.to_bytes(), &number.to_be_bytes()]);
        let (tag, proof) = transaction.split_at_mut(TAG_BYTES);
        tag.iter_mut().zip(self.secret).for_each(|(to, from)| *to = from);
        proof.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
        transaction
    }

    fn tie_breaker(&self) -> u64 {
        let mac = HmacSha1::new(&self.secret).tag(&[b"tie-breaker"]);
        mac.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests;

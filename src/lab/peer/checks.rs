//! A controlling ICE agent with one candidate pair (RFC 8445). Every check nominates and is repeated until it is
//! answered; afterwards the checks go on as consent (RFC 7675).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::crypto::random::{Random, SeededRandom};
use crate::description::IceCredentials;
use crate::limits;
use crate::time::Timestamp;
use crate::wire::stun::{self, StunClass, StunMessage, StunWriter};

/// An answered check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The peer's address as the node sees it.
    pub mapped: SocketAddr,
    /// Time from the check to its answer.
    pub rtt: Duration,
}

/// Why a STUN message was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnAnswer {
    /// It is no binding response.
    OtherMessage,
    /// It answers no check of this peer.
    UnknownTransaction,
    /// MESSAGE-INTEGRITY or FINGERPRINT is missing or wrong.
    NotAuthentic,
    /// It is an error response with this code.
    Refused(u16),
}

/// The controlling agent.
#[derive(Debug)]
pub struct Checks {
    local: IceCredentials,
    remote: IceCredentials,
    tie_breaker: u64,
    random: SeededRandom,
    outstanding: VecDeque<([u8; 12], Timestamp)>,
    next_check: Timestamp,
    repeat: Duration,
    last_answer: Option<Timestamp>,
}

impl Checks {
    /// An agent whose first check is due at once.
    #[must_use]
    pub fn new(local: IceCredentials, remote: IceCredentials, seed: u64, now: Timestamp) -> Self {
        let mut random = SeededRandom::new(seed);
        Self {
            local,
            remote,
            tie_breaker: random.u64(),
            random,
            outstanding: VecDeque::new(),
            next_check: now,
            repeat: limits::PEER_CHECK_REPEAT_FIRST,
            last_answer: None,
        }
    }

    /// Starts checking again, with other credentials (RFC 8445 §9) or because the peer's address changed.
    pub fn restart(&mut self, credentials: Option<(IceCredentials, IceCredentials)>, now: Timestamp) {
        if let Some((local, remote)) = credentials {
            (self.local, self.remote) = (local, remote);
            self.outstanding.clear();
        }
        self.repeat = limits::PEER_CHECK_REPEAT_FIRST;
        self.next_check = now;
    }

    /// When [`Self::poll`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        self.next_check
    }

    /// When the node answered last.
    #[must_use]
    pub fn last_answer(&self) -> Option<Timestamp> {
        self.last_answer
    }

    /// Writes the check that is due; `None` when none is.
    pub fn poll(&mut self, out: &mut [u8], now: Timestamp) -> Option<usize> {
        if now < self.next_check {
            return None;
        }
        let mut transaction = [0; 12];
        self.random.fill(&mut transaction);
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        let len = StunWriter::binding_request(out, &transaction)
            .username(username.as_bytes())
            .priority(0x6e7f_1eff)
            .ice_controlling(self.tie_breaker)
            .use_candidate()
            .integrity(self.remote.password.as_bytes())
            .fingerprint()
            .finish()?;
        if self.outstanding.len() == limits::PEER_CHECKS_OUTSTANDING_MAX {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((transaction, now));
        self.next_check = now + self.repeat;
        self.repeat = (self.repeat * 2).min(limits::PEER_CHECK_INTERVAL);
        Some(len)
    }

    /// Answers a check of the other end, which a full agent makes and an ICE-lite one does not; the reply's length.
    /// `None` for a message that is no authentic check of this session (RFC 8445 §7.3).
    #[must_use]
    pub fn answer(&self, message: &StunMessage<'_>, from: SocketAddr, out: &mut [u8]) -> Option<usize> {
        let is_check = message.class() == StunClass::Request && message.method() == stun::BINDING;
        let username = message.username()?.split(|byte| *byte == b':').next()?;
        let password = self.local.password.as_bytes();
        if !is_check || username != self.local.ufrag.as_bytes() || !message.verify_integrity(password) {
            return None;
        }
        StunWriter::binding_success(out, message.transaction_id())
            .xor_mapped_address(from)
            .integrity(password)
            .fingerprint()
            .finish()
    }

    /// Takes a STUN message.
    ///
    /// # Errors
    /// It answers no check; nothing changed.
    pub fn handle(&mut self, message: &StunMessage<'_>, now: Timestamp) -> Result<Answer, NotAnAnswer> {
        let class = message.class();
        if !matches!(class, StunClass::Success | StunClass::Error) || message.method() != stun::BINDING {
            return Err(NotAnAnswer::OtherMessage);
        }
        let at = self
            .outstanding
            .iter()
            .position(|(transaction, _)| transaction == message.transaction_id())
            .ok_or(NotAnAnswer::UnknownTransaction)?;
        let authentic =
            message.fingerprint_valid() != Some(false) && message.verify_integrity(self.remote.password.as_bytes());
        if !authentic {
            return Err(NotAnAnswer::NotAuthentic);
        }
        let (_, sent) = self.outstanding.remove(at).ok_or(NotAnAnswer::UnknownTransaction)?;
        if class == StunClass::Error {
            return Err(NotAnAnswer::Refused(message.error_code().unwrap_or(0)));
        }
        let mapped = message.xor_mapped_address().ok_or(NotAnAnswer::OtherMessage)?;
        self.last_answer = Some(now);
        self.repeat = limits::PEER_CHECK_INTERVAL;
        self.next_check = now + limits::PEER_CHECK_INTERVAL;
        Ok(Answer { mapped, rtt: now.since(sent) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ice::IceLite;
    use crate::transport::{Arrival, PathId};

    fn credentials(name: &str) -> IceCredentials {
        IceCredentials { ufrag: format!("{name}ufrag"), password: format!("{name}-password-of-24-letters") }
    }

    #[test]
    fn a_check_nominates_and_its_answer_tells_the_mapped_address() {
        let mut checks = Checks::new(credentials("peer"), credentials("node"), 1, Timestamp::ZERO);
        let mut node = IceLite::new(credentials("node"), credentials("peer"), [5; 16]);
        let from = Arrival { path: PathId::default(), remote: ([198, 51, 100, 7], 4_321).into() };
        let (mut request, mut reply) = ([0; 256], [0; 256]);
        let len = checks.poll(&mut request, Timestamp::ZERO).unwrap();
        let message = StunMessage::parse(&request[..len]).unwrap();
        let outcome = node.handle_check(&message, from, Timestamp::ZERO, &mut reply).unwrap();
        assert!(outcome.validated && outcome.selected);

        let answer = StunMessage::parse(&reply[..outcome.reply_len]).unwrap();
        let later = Timestamp::from_millis(3);
        assert_eq!(
            checks.handle(&answer, later).unwrap(),
            Answer { mapped: from.remote, rtt: Duration::from_millis(3) }
        );
        assert_eq!(checks.handle(&answer, later), Err(NotAnAnswer::UnknownTransaction));
        assert_eq!(checks.next_deadline(), later + limits::PEER_CHECK_INTERVAL);
    }

    #[test]
    fn a_check_of_a_full_agent_is_answered_and_a_forged_one_is_not() {
        let checks = Checks::new(credentials("peer"), credentials("node"), 1, Timestamp::ZERO);
        let node = ([198, 51, 100, 7], 4_321).into();
        let check = |password: &[u8], request: &mut [u8]| {
            StunWriter::binding_request(request, &[7; 12])
                .username(b"peerufrag:nodeufrag")
                .integrity(password)
                .fingerprint()
                .finish()
                .unwrap()
        };
        let (mut request, mut reply) = ([0; 256], [0; 256]);
        let len = check(b"peer-password-of-24-letters", &mut request);
        let len = checks.answer(&StunMessage::parse(&request[..len]).unwrap(), node, &mut reply).unwrap();
        let answer = StunMessage::parse(&reply[..len]).unwrap();
        assert!(answer.verify_integrity(b"peer-password-of-24-letters"));
        assert_eq!((answer.class(), answer.xor_mapped_address()), (StunClass::Success, Some(node)));
        let len = check(b"another-password-of-24-chars", &mut request);
        assert_eq!(checks.answer(&StunMessage::parse(&request[..len]).unwrap(), node, &mut reply), None);
    }

    #[test]
    fn a_check_is_repeated_with_back_off_and_foreign_answers_are_ignored() {
        let mut checks = Checks::new(credentials("peer"), credentials("node"), 1, Timestamp::ZERO);
        let mut out = [0; 256];
        let mut times = Vec::new();
        let mut transaction = [0; 12];
        for _ in 0..9 {
            let now = checks.next_deadline();
            let len = checks.poll(&mut out, now).unwrap();
            transaction = *StunMessage::parse(&out[..len]).unwrap().transaction_id();
            times.push(now.as_nanos() / 1_000_000);
        }
        assert_eq!(times, [0, 50, 150, 350, 750, 1_550, 3_150, 5_650, 8_150]);
        let len = StunWriter::binding_success(&mut out, &transaction)
            .xor_mapped_address(([127, 0, 0, 1], 1).into())
            .integrity(b"another-password-of-24-chars")
            .fingerprint()
            .finish()
            .unwrap();
        let forged = StunMessage::parse(&out[..len]).unwrap();
        assert_eq!(checks.handle(&forged, Timestamp::ZERO), Err(NotAnAnswer::NotAuthentic));
        assert_eq!(checks.last_answer(), None);
    }
}

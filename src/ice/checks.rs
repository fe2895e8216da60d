//! The peer's connectivity checks: which are believed, which validate a path, and which move what is sent.

use std::net::SocketAddr;

use super::agent::{HandshakeSent, IceLite, Nomination};
use super::validated::{Generation, Validated};
use crate::description::IceCredentials;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::{Arrival, PathId};
use crate::wire::stun::{self, StunClass, StunMessage, StunWriter};

/// What an accepted check changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckOutcome {
    /// Length of the reply written.
    pub reply_len: usize,
    /// The path was not validated before.
    pub validated: bool,
    /// The path that was removed from the full table to make room.
    pub evicted: Option<PathId>,
    /// The check changed the path that media is sent to.
    pub selected: bool,
}

/// Why a check was not answered with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CheckRefused {
    /// The USERNAME is not this session's two fragments (RFC 8445 §7.2.2).
    Username,
    /// MESSAGE-INTEGRITY is missing or wrong.
    Integrity,
    /// FINGERPRINT is wrong.
    Fingerprint,
    /// A check that was accepted before, sent again from another address. It is not answered.
    Replayed,
    /// It is no binding request.
    NotARequest,
    /// The peer claims the controlled role, which is ours: answered with 487 (RFC 8445 §7.3.1.1). Holds the reply's
    /// length.
    RoleConflict(usize),
    /// A comprehension-required attribute is unknown: answered with 420. Holds the reply's length.
    UnknownAttribute(usize),
    /// The reply did not fit.
    NoRoom,
}

impl IceLite {
    /// Marks a path as validated, proven and selected without a check, for benches and simulated viewers. Until a check
    /// comes from the peer, its consent does not end.
    #[cfg(any(test, feature = "peer"))]
    pub fn adopt(&mut self, path: PathId, now: Timestamp) {
        self.validate(path, Generation::Current, now);
        self.adopted = true;
        self.handshake_sent = HandshakeSent::On(path);
        self.handshake_completed(now);
    }

    /// Checks and answers a binding request (RFC 8445 §7.3); the reply is written at the start of `out`.
    ///
    /// # Errors
    /// Why it was refused; some refusals come with a reply.
    pub fn handle_check(
        &mut self,
        message: &StunMessage<'_>,
        from: Arrival,
        now: Timestamp,
        out: &mut [u8],
    ) -> Result<CheckOutcome, CheckRefused> {
        if message.class() != StunClass::Request || message.method() != stun::BINDING {
            return Err(CheckRefused::NotARequest);
        }
        if message.fingerprint_valid() == Some(false) {
            return Err(CheckRefused::Fingerprint);
        }
        let username = message.username().ok_or(CheckRefused::Username)?;
        let generation = self.generation_of(username).ok_or(CheckRefused::Username)?;
        let password = match (generation, &self.previous) {
            (Generation::Previous, Some((local, _))) => local.password.as_bytes(),
            _ => self.local.password.as_bytes(),
        };
        if !message.verify_integrity(password) {
            return Err(CheckRefused::Integrity);
        }
        // The sender is known to have the password only from here on, so errors before this point get no reply.
        if message.unknown_comprehension_required().next().is_some() {
            let len = StunWriter::binding_error(out, message.transaction_id())
                .error_code(420, "Unknown Attribute")
                .unknown_attributes(message.unknown_comprehension_required())
                .integrity(password)
                .fingerprint()
                .finish();
            return Err(len.map_or(CheckRefused::NoRoom, CheckRefused::UnknownAttribute));
        }
        if message.ice_controlled().is_some() {
            let len = StunWriter::binding_error(out, message.transaction_id())
                .error_code(487, "Role Conflict")
                .integrity(password)
                .fingerprint()
                .finish();
            return Err(len.map_or(CheckRefused::NoRoom, CheckRefused::RoleConflict));
        }
        let Arrival { path, remote } = from;
        let is_new = self.recent.is_new(message.transaction_id());
        if !is_new && !self.is_validated(path) {
            return Err(CheckRefused::Replayed);
        }
        let reply_len = StunWriter::binding_success(out, message.transaction_id())
            .xor_mapped_address(unmapped(remote))
            .integrity(password)
            .fingerprint()
            .finish()
            .ok_or(CheckRefused::NoRoom)?;
        let (validated, evicted) = self.validate(path, generation, now);
        // A real peer is there: from now on its path needs consent like any other.
        self.adopted = false;
        self.heard(path, now);
        self.received(path, message.bytes().len());
        self.sent(path, reply_len);
        // A repeated check is answered, because the first answer may have been lost. It does not select a path again.
        let selected = is_new && self.select(path, generation, message.use_candidate(), now);
        if self.validated(path).is_some_and(|validated| validated.proven.is_none()) {
            self.ask(path, now);
        }
        Ok(CheckOutcome { reply_len, validated, evicted, selected })
    }

    /// Gives up a path, because its address belongs to another session now.
    pub fn lose(&mut self, path: PathId, now: Timestamp) {
        self.validated.retain(|validated| validated.path != path);
        if self.selected == Some(path) {
            self.selected = None;
            let latest = self.validated.iter().filter(|validated| validated.proven.is_some());
            self.selected = latest.max_by_key(|validated| validated.heard).map(|validated| validated.path);
        }
        self.update(now);
    }

    fn generation_of(&self, username: &[u8]) -> Option<Generation> {
        let matches = |local: &IceCredentials, remote: &IceCredentials| {
            username
                .strip_prefix(local.ufrag.as_bytes())
                .and_then(|rest| rest.strip_prefix(b":"))
                .is_some_and(|rest| rest == remote.ufrag.as_bytes())
        };
        if matches(&self.local, &self.remote) {
            return Some(Generation::Current);
        }
        let (local, remote) = self.previous.as_ref()?;
        matches(local, remote).then_some(Generation::Previous)
    }

    fn validate(&mut self, path: PathId, generation: Generation, now: Timestamp) -> (bool, Option<PathId>) {
        if let Some(known) = self.validated_mut(path) {
            known.last_check = now;
            known.generation = generation;
            return (false, None);
        }
        let mut evicted = None;
        if self.validated.len() >= limits::PATHS_PER_SESSION_MAX {
            let selected = self.selected;
            let oldest = self
                .validated
                .iter()
                .enumerate()
                .filter(|(_, validated)| Some(validated.path) != selected)
                .min_by_key(|(_, validated)| validated.last_check)
                .map(|(index, _)| index);
            evicted = oldest.map(|index| self.validated.swap_remove(index).path);
        }
        self.validated.push(Validated::new(path, generation, now));
        (true, evicted)
    }

    fn select(&mut self, path: PathId, generation: Generation, use_candidate: bool, now: Timestamp) -> bool {
        let nominates = use_candidate && (generation == Generation::Current || self.previous.is_none());
        let was_nominated = self.nominated;
        self.nominated |= nominates;
        // Until the new credentials nominate, the old pair may still change the path.
        let may_select = nominates || self.selected.is_none() || (use_candidate && !self.nominated);
        if !may_select {
            return false;
        }
        if self.connected {
            return self.nominate(path, now);
        }
        // A UDP path that was nominated before takes the media when it has answered.
        if path.is_connection()
            && let Some(before) = self.selected.filter(|before| was_nominated && !before.is_connection())
        {
            self.nomination = Some(Nomination { path: before, since: now });
        }
        let selected = self.selected.replace(path) != Some(path);
        self.update(now);
        selected
    }
}

/// The IPv4 form of an IPv4-mapped address, as a dual-stack socket shows it; other addresses unchanged.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests;

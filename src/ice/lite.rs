//! The lite agent of one session.

use std::net::SocketAddr;

use super::validated::Validated;
use crate::crypto::hmac_sha1::HmacSha1;
use crate::description::IceCredentials;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::{Arrival, PathId};
use crate::wire::bytes::{ImportError, StateReader, StateWriter};
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

/// Which pair of credentials a check used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    Current,
    Previous,
}

/// A connected peer's wish to be sent media on another path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nomination {
    pub(super) path: PathId,
}

/// A lite agent: credentials, validated paths and the selected one.
#[derive(Debug)]
pub struct IceLite {
    pub(super) local: IceCredentials,
    pub(super) remote: IceCredentials,
    /// The credentials before an ICE restart. They work until a check with the new ones nominates (RFC 8445 §9).
    pub(super) previous: Option<(IceCredentials, IceCredentials)>,
    pub(super) validated: Vec<Validated>,
    /// The path that is sent to. Before the peer is connected it need not be proven.
    pub(super) selected: Option<PathId>,
    nominated: bool,
    /// The path that the peer wants instead, until it has answered there.
    pub(super) nomination: Option<Nomination>,
    /// The DTLS handshake is complete: from now on only proven paths are selected.
    pub(super) connected: bool,
    /// The selected path is proven and its consent is fresh.
    pub(super) open: bool,
    /// The peer has answered a request.
    pub(super) peer_answers: bool,
    /// The path was given by [`Self::adopt`]: it needs no proof until a check comes.
    pub(super) adopted: bool,
    /// When requests or consent are to be looked at.
    pub(super) deadline: Option<Timestamp>,
    /// What the identifiers of this agent's own requests are made from.
    pub(super) secret: [u8; limits::ICE_SECRET_BYTES],
    recent: Recent,
}

/// The transaction identifiers of the checks accepted last, to detect replays.
///
/// A STUN message carries no time and no counter. So whoever can read a client's check could send it again from another
/// address and have the client's media sent there. Only the first arrival of a check counts. Not covered: checks older
/// than this memory, and an attacker who can hold the original back. Neither moves media: the path must answer first.
#[derive(Debug, Default)]
struct Recent {
    /// Whole identifiers are compared. They ought to be random (RFC 8489 §5), but a client that only counts up their
    /// last bytes must work too.
    transactions: [Option<[u8; 12]>; limits::CHECKS_REMEMBERED],
    next: usize,
}

impl Recent {
    /// Whether `transaction` is new. Remembers it, so that the next call returns `false`.
    fn is_new(&mut self, transaction: &[u8; 12]) -> bool {
        if self.transactions.contains(&Some(*transaction)) {
            return false;
        }
        if let Some(place) = self.transactions.get_mut(self.next) {
            *place = Some(*transaction);
        }
        self.next = (self.next + 1) % limits::CHECKS_REMEMBERED;
        true
    }
}

impl IceLite {
    /// An agent that has seen no check yet. `secret` is random and known to nobody else, the peer included.
    #[must_use]
    pub fn new(local: IceCredentials, remote: IceCredentials, secret: [u8; limits::ICE_SECRET_BYTES]) -> Self {
        Self {
            local,
            remote,
            previous: None,
            validated: Vec::new(),
            selected: None,
            nominated: false,
            nomination: None,
            connected: false,
            open: false,
            peer_answers: false,
            adopted: false,
            deadline: None,
            secret,
            recent: Recent::default(),
        }
    }

    /// Marks a path as validated, proven and selected without a check, for benches and simulated viewers. Until a check
    /// comes from the peer, its consent does not end.
    #[cfg(any(test, feature = "peer"))]
    pub fn adopt(&mut self, path: PathId, now: Timestamp) {
        self.validate(path, Generation::Current, now);
        self.adopted = true;
        self.handshake_completed(path, now);
    }

    /// What the requests of another agent of the same session are made from.
    #[must_use]
    pub fn further_secret(&self, ufrag: &str) -> [u8; limits::ICE_SECRET_BYTES] {
        let mut secret = [0; limits::ICE_SECRET_BYTES];
        let mac = HmacSha1::new(&self.secret).tag(&[b"further agent", ufrag.as_bytes()]);
        secret.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
        secret
    }

    /// This node's current user fragment.
    #[must_use]
    pub fn local_ufrag(&self) -> &str {
        &self.local.ufrag
    }

    /// The user fragment before the last restart, while it still works.
    #[must_use]
    pub fn previous_ufrag(&self) -> Option<&str> {
        self.previous.as_ref().map(|(local, _)| local.ufrag.as_str())
    }

    /// Sets new credentials for both sides. The current ones work until the new pair nominates. Returns the user
    /// fragment that stops working at once, if an earlier restart had not finished.
    pub fn restart(&mut self, local: IceCredentials, remote: IceCredentials) -> Option<String> {
        let before = (std::mem::replace(&mut self.local, local), std::mem::replace(&mut self.remote, remote));
        self.nominated = false;
        self.previous.replace(before).map(|(local, _)| local.ufrag)
    }

    /// The path that is sent to: the nominated one, or before a nomination the first validated one; while the peer is
    /// connected, one that is proven. Media has [`Self::open_path`].
    #[must_use]
    pub fn selected(&self) -> Option<PathId> {
        self.selected
    }

    /// Whether a check validated this path. Only STUN is accepted from other paths.
    #[must_use]
    pub fn is_validated(&self, path: PathId) -> bool {
        self.validated.iter().any(|validated| validated.path == path)
    }

    /// The validated paths.
    pub fn paths(&self) -> impl Iterator<Item = PathId> {
        self.validated.iter().map(|validated| validated.path)
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

    pub(super) fn validated(&self, path: PathId) -> Option<&Validated> {
        self.validated.iter().find(|validated| validated.path == path)
    }

    pub(super) fn validated_mut(&mut self, path: PathId) -> Option<&mut Validated> {
        self.validated.iter_mut().find(|validated| validated.path == path)
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
        if nominates {
            self.nominated = true;
        }
        // Until the new credentials nominate, the old pair may still change the path.
        let may_select = nominates || self.selected.is_none() || (use_candidate && !self.nominated);
        if !may_select {
            return false;
        }
        if self.connected {
            return self.nominate(path, now);
        }
        let selected = self.selected.replace(path) != Some(path);
        self.update(now);
        selected
    }

    /// Forgets the credentials before the last restart and returns their user fragment.
    pub fn forget_previous(&mut self) -> Option<String> {
        self.previous.take().map(|(local, _)| local.ufrag)
    }

    /// After a nomination with the new credentials: forgets the old ones and returns their user fragment, once.
    pub fn retire_previous(&mut self) -> Option<String> {
        if self.nominated { self.forget_previous() } else { None }
    }
}

/// The format version that [`IceLite::export`] writes.
const STATE_VERSION: u8 = 2;

impl IceLite {
    /// Writes the agent's state, consuming it: credentials, validated paths with what is proven of them, the selected
    /// one, the secret, remembered transactions. A nomination that waits for an answer is left out: the peer repeats it.
    /// `path` writes one path in a form that the other process can read.
    pub fn export(self, now: Timestamp, out: &mut StateWriter, path: &mut dyn FnMut(&mut StateWriter, PathId)) {
        out.version(STATE_VERSION);
        self.local.export(out);
        self.remote.export(out);
        out.option(self.previous, |out, (local, remote)| {
            local.export(out);
            remote.export(out);
        });
        out.count(self.validated.len());
        for validated in &self.validated {
            path(out, validated.path);
            validated.export(now, out);
        }
        out.option(self.selected, |out, selected| path(out, selected));
        out.bool(self.nominated);
        out.bool(self.connected);
        out.bool(self.peer_answers);
        out.raw(&self.secret);
        for transaction in self.recent.transactions {
            out.option(transaction, |out, transaction| out.raw(&transaction));
        }
        out.count(self.recent.next);
    }

    /// Reads what [`Self::export`] wrote; `path` reads one path.
    ///
    /// # Errors
    /// When it is not such a state.
    pub fn import(
        now: Timestamp,
        from: &mut StateReader<'_>,
        path: &mut dyn FnMut(&mut StateReader<'_>) -> Result<PathId, ImportError>,
    ) -> Result<Self, ImportError> {
        from.version("an ICE agent", STATE_VERSION)?;
        let credentials = (IceCredentials::import(from)?, IceCredentials::import(from)?);
        let mut agent = Self::new(credentials.0, credentials.1, [0; limits::ICE_SECRET_BYTES]);
        agent.previous = from.option(|from| Ok((IceCredentials::import(from)?, IceCredentials::import(from)?)))?;
        for _ in 0..from.count(limits::PATHS_PER_SESSION_MAX)? {
            let path = path(from)?;
            agent.validated.push(Validated::import(path, now, from)?);
        }
        agent.selected = from.option(|from| path(from))?;
        agent.nominated = from.bool()?;
        agent.connected = from.bool()?;
        agent.peer_answers = from.bool()?;
        agent.secret = from.array()?;
        for transaction in &mut agent.recent.transactions {
            *transaction = from.option(StateReader::array)?;
        }
        agent.recent.next = from.count(limits::CHECKS_REMEMBERED.saturating_sub(1))?;
        agent.update(now);
        Ok(agent)
    }
}

/// The IPv4 form of an IPv4-mapped address, as a dual-stack socket shows it; other addresses unchanged.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests;

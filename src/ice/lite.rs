//! The lite agent of one session.

use std::net::SocketAddr;

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

#[derive(Clone, Copy, Debug)]
struct Validated {
    path: PathId,
    last_check: Timestamp,
}

/// Which pair of credentials a check used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Current,
    Previous,
}

/// A lite agent: credentials, validated paths and the selected one.
#[derive(Debug)]
pub struct IceLite {
    local: IceCredentials,
    remote: IceCredentials,
    /// The credentials before an ICE restart. They work until a check with the new ones nominates (RFC 8445 §9).
    previous: Option<(IceCredentials, IceCredentials)>,
    validated: Vec<Validated>,
    selected: Option<PathId>,
    nominated: bool,
    recent: Recent,
}

/// The transaction identifiers of the checks accepted last, to detect replays.
///
/// A STUN message carries no time and no counter. So whoever can read a client's check could send it again from another
/// address and have the client's media sent there. Only the first arrival of a check counts. Not covered: checks older
/// than this memory, and an attacker who can hold the original back. Both take the path until the client's next check.
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
    /// An agent that has seen no check yet.
    #[must_use]
    pub fn new(local: IceCredentials, remote: IceCredentials) -> Self {
        Self {
            local,
            remote,
            previous: None,
            validated: Vec::new(),
            selected: None,
            nominated: false,
            recent: Recent::default(),
        }
    }

    /// Marks a path as validated and selected without a check, for benches and simulated viewers.
    #[cfg(any(test, feature = "peer"))]
    pub fn adopt(&mut self, path: PathId, now: Timestamp) {
        self.validate(path, now);
        self.selected = Some(path);
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

    /// The path media is sent to: the nominated one, or before a nomination the first validated one.
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
        let (validated, evicted) = self.validate(path, now);
        // A repeated check is answered, because the first answer may have been lost. It does not select a path again.
        let selected = is_new && self.select(path, generation, message.use_candidate());
        Ok(CheckOutcome { reply_len, validated, evicted, selected })
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

    fn validate(&mut self, path: PathId, now: Timestamp) -> (bool, Option<PathId>) {
        if let Some(known) = self.validated.iter_mut().find(|validated| validated.path == path) {
            known.last_check = now;
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
        self.validated.push(Validated { path, last_check: now });
        (true, evicted)
    }

    fn select(&mut self, path: PathId, generation: Generation, use_candidate: bool) -> bool {
        let nominates = use_candidate && (generation == Generation::Current || self.previous.is_none());
        if nominates {
            self.nominated = true;
        }
        // Until the new credentials nominate, the old pair may still change the path.
        let may_select = nominates || self.selected.is_none() || (use_candidate && !self.nominated);
        if !may_select || self.selected == Some(path) {
            return false;
        }
        self.selected = Some(path);
        true
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
const STATE_VERSION: u8 = 1;

impl IceLite {
    /// Writes the agent's state, consuming it: credentials, validated paths, the selected one, remembered transactions.
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
            out.age(validated.last_check, now);
        }
        out.option(self.selected, |out, selected| path(out, selected));
        out.bool(self.nominated);
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
        let mut agent = Self::new(IceCredentials::import(from)?, IceCredentials::import(from)?);
        agent.previous = from.option(|from| Ok((IceCredentials::import(from)?, IceCredentials::import(from)?)))?;
        for _ in 0..from.count(limits::PATHS_PER_SESSION_MAX)? {
            let path = path(from)?;
            agent.validated.push(Validated { path, last_check: from.age(now)? });
        }
        agent.selected = from.option(|from| path(from))?;
        agent.nominated = from.bool()?;
        for transaction in &mut agent.recent.transactions {
            *transaction = from.option(StateReader::array)?;
        }
        agent.recent.next = from.count(limits::CHECKS_REMEMBERED.saturating_sub(1))?;
        Ok(agent)
    }
}

/// The IPv4 form of an IPv4-mapped address, as a dual-stack socket shows it; other addresses unchanged.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests;

//! The permission with which a session was opened. The session keeps it for as long as it lives.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::Action;
use super::webhook::Events;
use super::webhook::events::{End, Event};
use crate::net::clock;
use crate::worker::mailbox::Totals;

/// Who a client is, as far as that is known, to tell whether two sessions are of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Who {
    /// Nothing is known that another client could not share.
    #[default]
    Unknown,
    /// `sub` of its token.
    Subject(String),
    /// Its token, which has no `sub` or which only the webhook can read: a hash of it.
    Token(u64),
    /// Nothing judged it. Its address, or its network, is all that there is.
    Address(IpAddr),
}

/// The permission to open one session. When it is dropped, it frees its place and reports the session's end.
#[derive(Debug, Default)]
pub struct Grant {
    pub(super) client: String,
    pub(super) subject: Option<String>,
    pub(super) who: Who,
    pub(super) expires: Option<Instant>,
    pub(super) place: Option<CredentialPlace>,
    pub(super) may_speak: bool,
    pub(super) report: Option<SessionReport>,
}

impl Grant {
    /// The client's address, in the form that may be logged.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Who the client is, according to the token's `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Which token it was opened with, as a number: that of its subject, where it names one. `None` where nothing was shown.
    #[must_use]
    pub fn credential(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        match &self.who {
            Who::Subject(subject) => subject.hash(&mut hasher),
            Who::Token(token) => token.hash(&mut hasher),
            Who::Unknown | Who::Address(_) => return None,
        }
        Some(hasher.finish())
    }

    /// Whether both permissions are of the same client, as far as that is known.
    #[must_use]
    pub fn is_of_same_client(&self, other: &Self) -> bool {
        self.who != Who::Unknown && self.who == other.who
    }

    /// The address is not the client's own, so that it says nothing of who the client is.
    pub fn forget_address(&mut self) {
        if matches!(self.who, Who::Address(_)) {
            self.who = Who::Unknown;
        }
    }

    /// Whether what a viewer says on data channels goes to the publisher.
    #[must_use]
    pub fn may_speak(&self) -> bool {
        self.may_speak
    }

    /// When the session is to be ended.
    #[must_use]
    pub fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// Records that the session has been opened, and reports it.
    pub fn started(&mut self, session: u64) {
        if let Some(report) = &mut self.report {
            report.started = Some((session, clock::now()));
            report.tell_start();
        }
    }

    /// Records why the session is ending and what it carried. The report is sent when the grant is dropped.
    pub fn ended(&mut self, reason: &'static str, totals: Totals) {
        if let Some(report) = &mut self.report {
            report.reason = reason;
            report.totals = Some(totals);
        }
    }
}

/// What is needed to report a session's start and end to the operator's webhook.
#[derive(Debug)]
pub(super) struct SessionReport {
    pub(super) events: Events,
    pub(super) request: String,
    pub(super) action: Action,
    pub(super) stream: String,
    pub(super) subject: Option<String>,
    pub(super) started: Option<(u64, Instant)>,
    pub(super) reason: &'static str,
    /// What the session carried. It is unknown until the session's worker reports it.
    pub(super) totals: Option<Totals>,
}

impl SessionReport {
    fn event(&self, event: &'static str, session: u64) -> Event<'_> {
        Event {
            event,
            request: &self.request,
            action: self.action.name(),
            stream: &self.stream,
            subject: self.subject.as_deref(),
            session,
            end: None,
        }
    }

    fn tell_start(&self) {
        if let Some((session, _)) = self.started {
            self.events.tell(&self.event("started", session));
        }
    }
}

impl Drop for SessionReport {
    /// Reports the end of each session whose start was reported, however the session ended.
    fn drop(&mut self) {
        let Some((session, since)) = self.started else { return };
        let end = End {
            reason: self.reason,
            duration_ms: u64::try_from(clock::now().saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX),
            received: self.totals.map(|totals| totals.received),
            sent: self.totals.map(|totals| totals.sent),
        };
        self.events.tell(&Event { end: Some(end), ..self.event("ended", session) });
    }
}

/// The number of sessions per credential, for credentials with a limit.
#[derive(Debug, Default)]
pub(super) struct CredentialPlaces(Mutex<HashMap<u64, u32>>);

impl CredentialPlaces {
    /// Takes a place for one more session with `credential`, if it has fewer than `max`. Only credentials with a limit
    /// are counted.
    pub(super) fn take(self: &Arc<Self>, credential: u64, max: u32) -> Option<CredentialPlace> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&credential).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        taken.insert(credential, count + 1);
        Some(CredentialPlace { book: Arc::clone(self), credential })
    }
}

/// One of a credential's places. It is freed on drop.
#[derive(Debug)]
pub(super) struct CredentialPlace {
    book: Arc<CredentialPlaces>,
    credential: u64,
}

impl Drop for CredentialPlace {
    fn drop(&mut self) {
        let mut taken = self.book.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.credential) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.credential);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_has_its_places_and_gets_them_back() {
        let places: Arc<CredentialPlaces> = Arc::default();
        let (one, two) = (places.take(7, 2), places.take(7, 2));
        assert!(one.is_some() && two.is_some() && places.take(7, 2).is_none() && places.take(8, 1).is_some());
        drop(one);
        assert!(places.take(7, 2).is_some());
        drop(two);
        assert!(places.0.lock().unwrap().is_empty(), "a credential without a session is forgotten");
    }
}

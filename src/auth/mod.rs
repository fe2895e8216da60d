//! Who may do what: tokens, the operator's endpoint (the webhook), and how often a client may join or be refused.
//!
//! ```text
//!   asked to publish, play, administer
//!     │
//!     ├─ keys?      one must verify the token, which must be in time and for this: token ── keys ◀── key_source (thread)
//!     ├─ webhook?   the operator's endpoint must allow it: webhook ──▶ threads, bounded; fails closed
//!     ├─ limits     joins and refusals of one token and one address, sessions of one token: joins, failures, grant
//!     ▼
//!   Grant: kept by the session; dropping it frees the place and tells the endpoint that the session has ended
//! ```
//!
//! This module names no type of an HTTP server. WHIP, WHEP, WebSocket and the operator's port ask the same
//! [`Authoriser`], each before it reads a byte of SDP or takes a place. A session's URL (144 random bits) proves who
//! owns it, so changing and ending a session need no token. A player whose token has expired can therefore still end
//! its session. Over a socket the same holds for the socket's own sessions, and for those that it resumes with their
//! secrets.
//!
//! If nothing is configured, everybody is let in; [`crate::config`] then accepts loopback addresses only. Without
//! `auth.require` a client may come without a token, but a token that it does send must be good.
//!
//! Logs hold nothing that lets anybody in. Remembered tokens are hashed with a key of this process ([`failures`], the
//! cache of the webhook), secrets are wiped when dropped, and client addresses are cut to their network
//! ([`address::Shown`]). The cryptographic library compares signatures in equal time.

pub mod address;
pub(crate) mod client;
mod code;
pub mod configured;
mod failures;
mod grant;
mod joins;
mod key_source;
pub mod keys;
pub mod pattern;
pub mod probe;
mod refusal;
pub mod secret;
mod start;
pub mod token;
mod webhook;

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::net::clock;
use crate::worker::mailbox::EndReason;
use address::Shown;
use configured::Admission;
use failures::Failures;
use grant::{CredentialPlaces, SessionReport, Who};
use joins::Joins;
use key_source::KeySource;
use keys::Key;
use token::{Claims, Fault, Rules};
use webhook::{Events, Question, Verdict, Webhook};

pub use client::ClientError;
pub use code::Code;
pub use grant::Grant;
pub use keys::KeyError;
pub use refusal::{Denied, Kind};
pub use start::StartError;
#[cfg(feature = "simulation")]
pub use webhook::simulated;

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send a stream in.
    Publish,
    /// Watch a stream.
    Play,
    /// Read the operator's figures.
    Admin,
}

impl Action {
    /// The action's name in tokens and for the webhook.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Play => "play",
            Self::Admin => "admin",
        }
    }
}

/// One request: what a client asks for, and who it is.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// What it wants to do.
    pub action: Action,
    /// The stream's name; empty for [`Action::Admin`].
    pub stream: &'a str,
    /// The token as the client sent it.
    pub token: Option<&'a str>,
    /// The page's `Origin`, as the browser wrote it.
    pub origin: Option<&'a str>,
    /// The client's address.
    pub address: IpAddr,
}

/// Decides about requests. It lives on the signalling thread, and no borrow of its cells crosses an `await`.
#[derive(Debug)]
pub struct Authoriser {
    require: bool,
    admin_token_required: bool,
    shared_key: Option<Key>,
    key_source: Option<KeySource>,
    rules: Rules,
    webhook: Option<(Webhook, Events)>,
    failures: RefCell<Failures>,
    joins: RefCell<Joins>,
    places: Arc<CredentialPlaces>,
    hasher: RandomState,
    /// How many questions the webhook was asked so far. The hash of this number is the question's `request`.
    questions: Cell<u64>,
    shown: Shown,
}

impl Authoriser {
    /// Takes over what `previous` knows about clients: places, refusals and joins. If both have the same key set and
    /// this one has not read it yet, it takes over the keys too. It must be called before this one decides anything.
    pub fn take_over(&mut self, previous: &Self) {
        self.places = Arc::clone(&previous.places);
        // Tokens and questions are identified by hashes with this key, so it has to stay the same.
        self.hasher = previous.hasher.clone();
        self.questions.set(previous.questions.get());
        self.failures.swap(&previous.failures);
        self.joins.swap(&previous.joins);
        if let (Some(new), Some(old)) = (&self.key_source, &previous.key_source) {
            new.adopt(old);
        }
    }

    /// Applies the rates of joins in `admission`. If they have changed, the recent joins are forgotten.
    pub fn limit_joins(&self, admission: &Admission) {
        let mut joins = self.joins.borrow_mut();
        if !joins.are_limited_by(admission) {
            *joins = Joins::new(admission, clock::now());
        }
    }

    /// Whether a key or a webhook can judge a client. If not, its token is ignored.
    #[must_use]
    pub fn can_judge(&self) -> bool {
        self.has_keys() || self.webhook.is_some()
    }

    /// Whether every client is judged before it may do anything.
    #[must_use]
    pub fn judges_everybody(&self) -> bool {
        self.require && self.can_judge()
    }

    /// Whether the operator's port requires a token on loopback too.
    #[must_use]
    pub fn admin_token_required(&self) -> bool {
        self.admin_token_required
    }

    /// How many starts and ends of sessions could not be reported to the operator's webhook.
    #[must_use]
    pub fn events_dropped(&self) -> u64 {
        self.webhook.as_ref().map_or(0, |(_, events)| events.dropped())
    }

    /// How many questions to the operator's webhook were not asked, because too many waited.
    #[must_use]
    pub fn questions_turned_away(&self) -> u64 {
        self.webhook.as_ref().map_or(0, |(webhook, _)| webhook.turned_away())
    }

    /// Decides about `access`. It may wait for the operator's webhook or the issuer's keys; both waits are bounded.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn authorise(&self, access: &Access<'_>) -> Result<Grant, Denied> {
        let client = self.shown.text(access.address);
        self.open(access, client).await.map_err(|denied| self.refuse(denied, access))
    }

    async fn open(&self, access: &Access<'_>, client: String) -> Result<Grant, Denied> {
        if !self.is_asked(access) {
            self.take_join(access)?;
            let who = Who::Address(address::client_of(access.address));
            return Ok(Grant { client, who, ..Grant::default() });
        }
        let claims = self.judge(access).await?;
        // Counted before the operator's webhook is asked, so that the rate protects the webhook too.
        self.take_join(access)?;
        let (grant, viewers_max) = self.leave(access, claims, client).await?;
        self.take_place(access, grant, viewers_max)
    }

    /// Decides about `access` for a request that opens no session, so nothing is counted as a session of the token. It counts
    /// as a join all the same, because it costs what a join costs here. Returns when the permission ends, if it does.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn allows(&self, access: &Access<'_>) -> Result<Option<Instant>, Denied> {
        let allowed = async {
            if !self.is_asked(access) {
                return self.take_join(access).map(|()| None);
            }
            let claims = self.judge(access).await?;
            self.take_join(access)?;
            self.leave(access, claims, String::new()).await.map(|(grant, _)| grant.expires())
        };
        allowed.await.map_err(|denied| self.refuse(denied, access))
    }

    /// Whether a key of this node verifies `token`, and whether it is in time. A socket asks this before it knows what the
    /// token is to be used for. Without keys every token passes: the operator's endpoint is asked for one action at a time.
    ///
    /// # Errors
    /// Why this token cannot open anything.
    pub async fn recognise(&self, token: &str, address: IpAddr) -> Result<(), Denied> {
        if !self.has_keys() {
            return Ok(());
        }
        self.verify(token).await.map(drop).map_err(|denied| {
            let denied = self.count(denied, Some(token), address);
            tracing::debug!(client = self.shown.text(address), code = denied.code().name(), "token not recognised");
            denied
        })
    }

    fn refuse(&self, denied: Denied, access: &Access<'_>) -> Denied {
        let denied = self.count(denied, access.token, access.address);
        let (action, stream) = (access.action.name(), access.stream);
        let client = self.shown.text(access.address);
        tracing::debug!(client, action, stream, code = denied.code().name(), "not authorised");
        denied
    }

    /// Counts the refusal if it is the client's fault. Returns it, or [`Denied::TooManyFailures`] if there have been
    /// too many.
    fn count(&self, denied: Denied, token: Option<&str>, address: IpAddr) -> Denied {
        if !denied.counts() {
            return denied;
        }
        let token = token.map(|token| self.hasher.hash_one(token));
        let wait = self.failures.borrow_mut().note(address, token, clock::now());
        wait.map_or(denied, Denied::TooManyFailures)
    }

    fn has_keys(&self) -> bool {
        self.shared_key.is_some() || self.key_source.is_some()
    }

    /// Whether `access` has to be judged. [`Action::Admin`] always is: the caller asks only if a token is required.
    fn is_asked(&self, access: &Access<'_>) -> bool {
        access.action == Action::Admin || (self.can_judge() && (self.require || access.token.is_some()))
    }

    /// Verifies the token and what it allows, if this node has keys.
    async fn judge(&self, access: &Access<'_>) -> Result<Option<Claims>, Denied> {
        let claims = match (self.has_keys(), access.token) {
            (true, Some(token)) => Some(self.verify(token).await?),
            (true, None) => return Err(Fault::Missing.into()),
            (false, _) => None,
        };
        if let Some(claims) = &claims {
            claims.allow(access)?;
        }
        Ok(claims)
    }

    /// The part of a token that identifies it. If this node has verified the token, that is all but the signature,
    /// because every ECDSA signature has a second form that verifies as well. If only the operator's webhook can read
    /// the token, it is the whole token.
    fn signed_part<'a>(&self, token: &'a str) -> &'a str {
        match token.rsplit_once('.') {
            Some((signed, _)) if self.has_keys() => signed,
            _ => token,
        }
    }

    /// Counts a session that is about to open. Requests for figures are not counted.
    fn take_join(&self, access: &Access<'_>) -> Result<(), Denied> {
        if access.action == Action::Admin {
            return Ok(());
        }
        let token = access.token.map(|token| self.hasher.hash_one(self.signed_part(token)));
        self.joins.borrow_mut().take(access.address, token, clock::now()).map_err(Denied::TooManyJoins)
    }

    /// Asks the webhook if one is configured. Returns the permission, and how many sessions may play with it at once.
    async fn leave(
        &self,
        access: &Access<'_>,
        claims: Option<Claims>,
        client: String,
    ) -> Result<(Grant, Option<u32>), Denied> {
        let subject = claims.as_ref().and_then(|claims| claims.sub.clone());
        let who = match (&subject, access.token) {
            (Some(subject), _) if !subject.is_empty() => Who::Subject(subject.clone()),
            (_, Some(token)) => Who::Token(self.hasher.hash_one(self.signed_part(token))),
            (_, None) => Who::Unknown,
        };
        let may_speak = access.action == Action::Play && claims.as_ref().is_some_and(|claims| claims.messages);
        let mut grant = Grant { client, subject, who, may_speak, ..Grant::default() };
        let mut viewers_max = claims.as_ref().and_then(|claims| claims.viewers_max);
        match &self.webhook {
            // For an operator with a good token the webhook is not asked: the figures must be readable while it is
            // down.
            Some((webhook, events)) if access.action != Action::Admin || claims.is_none() => {
                self.questions.set(self.questions.get() + 1);
                let request = format!("{:016x}", self.hasher.hash_one(self.questions.get()));
                let (expires, max) = self.ask(webhook, access, grant.subject(), claims.is_some(), &request).await?;
                grant.expires = expires;
                viewers_max = viewers_max.into_iter().chain(max).min();
                grant.report = Some(SessionReport {
                    events: events.clone(),
                    request,
                    action: access.action,
                    stream: access.stream.to_owned(),
                    subject: grant.subject.clone(),
                    started: None,
                    // If a session ends without giving a reason, the node itself is ending.
                    reason: EndReason::ShuttingDown.name(),
                    totals: None,
                });
            }
            None if !self.has_keys() => return Err(Denied::Unavailable("no key and no webhook is configured")),
            _ => {}
        }
        Ok((grant, viewers_max))
    }

    fn take_place(&self, access: &Access<'_>, mut grant: Grant, viewers_max: Option<u32>) -> Result<Grant, Denied> {
        if let Some(max) = viewers_max.filter(|_| access.action == Action::Play) {
            let credential = match access.token {
                Some(token) => self.hasher.hash_one(self.signed_part(token)),
                None => self.hasher.hash_one(address::client_of(access.address)),
            };
            grant.place = Some(self.places.take(credential, max).ok_or(Denied::TooManySessions { max })?);
        }
        Ok(grant)
    }

    /// Verifies the token. If no known key fits, the key set is read again first, as often as that is allowed.
    async fn verify(&self, token: &str) -> Result<Claims, Denied> {
        let Some(source) = &self.key_source else { return Ok(self.rules.verify(token, self.shared_key.iter())?) };
        let judged = |keys: &[Key]| self.rules.verify(token, self.shared_key.iter().chain(keys));
        let first = source.keys();
        match judged(&first) {
            Err(Fault::WrongKey) => source.look_again(&first).await,
            judged => return Ok(judged?),
        }
        let newest = source.keys();
        if newest.is_empty() && self.shared_key.is_none() {
            return Err(Denied::Unavailable("the key set (auth.jwks) has not come yet"));
        }
        if Arc::ptr_eq(&first, &newest) {
            return Err(Fault::WrongKey.into());
        }
        Ok(judged(&newest)?)
    }

    /// Asks the webhook. Returns the limits with which it allows the action.
    async fn ask(
        &self,
        webhook: &Webhook,
        access: &Access<'_>,
        subject: Option<&str>,
        judged: bool,
        request: &str,
    ) -> Result<(Option<Instant>, Option<u32>), Denied> {
        // A token that the keys have verified is not held back by failures of other clients at the same address.
        let wait = self.failures.borrow().wait_of(access.address, clock::now()).filter(|_| !judged);
        if let Some(wait) = wait {
            return Err(Denied::TooManyFailures(wait));
        }
        let address = access.address.to_canonical().to_string();
        let question = Question {
            event: "authorise",
            request,
            action: access.action.name(),
            stream: access.stream,
            address: &address,
            origin: access.origin,
            subject,
            token: access.token.filter(|_| !judged),
        };
        let by_address = access.token.is_none().then_some(&address);
        let key = self.hasher.hash_one((
            access.token.map(|token| self.signed_part(token)),
            by_address,
            access.action,
            access.stream,
            access.origin,
        ));
        match webhook.ask(&question, address::client_of(access.address), key).await {
            Ok(Verdict::Allow { expires, viewers_max }) => Ok((expires, viewers_max)),
            Ok(Verdict::Deny { reason }) => Err(Denied::Refused { reason }),
            Err(webhook::NoAnswer) => Err(Denied::Unavailable("the operator's authorisation service gives no answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use futures_util::FutureExt as _;

    use super::configured::Auth;
    use super::secret::Secret;
    use super::token::OneOrMany;
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn with_secret() -> Authoriser {
        let auth = Auth { require: true, secret: Some(Secret::new(SECRET)), ..Auth::default() };
        Authoriser::start(&auth, &Admission::for_workers(1), Shown::Network).unwrap()
    }

    fn token_for_one() -> String {
        token("play", true)
    }

    fn token(action: &str, messages: bool) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = Claims {
            action: OneOrMany::One(action.into()),
            stream: Some(OneOrMany::One("*".into())),
            sub: None,
            aud: None,
            iss: None,
            exp: Some(now + 60),
            origin: None,
            viewers_max: Some(1),
            messages,
        };
        claims.sign(&Secret::new(SECRET)).unwrap()
    }

    #[test]
    fn sessions_of_a_token_still_count_after_a_reload() {
        let (first, mut second, token) = (with_secret(), with_secret(), token_for_one());
        let address = IpAddr::from([192, 0, 2, 1]);
        let access = Access { action: Action::Play, stream: "demo", token: Some(&token), origin: None, address };
        let ask = |authoriser: &Authoriser| authoriser.authorise(&access).now_or_never().unwrap();
        let grant = ask(&first).unwrap();
        second.take_over(&first);
        assert!(matches!(ask(&second), Err(Denied::TooManySessions { max: 1 })));
        drop(grant);
        assert!(ask(&second).is_ok());
    }

    #[test]
    fn who_may_speak_to_the_publisher_is_the_tokens_word_and_nobodys_where_nobody_judges() {
        let judged = with_secret();
        let open = Authoriser::start(&Auth::default(), &Admission::for_workers(1), Shown::Network).unwrap();
        let may_speak = |authoriser: &Authoriser, action, token: Option<&str>| {
            let address = IpAddr::from([192, 0, 2, 1]);
            let access = Access { action, stream: "demo", token, origin: None, address };
            authoriser.authorise(&access).now_or_never().unwrap().unwrap().may_speak()
        };
        assert!(may_speak(&judged, Action::Play, Some(&token("play", true))));
        assert!(!may_speak(&judged, Action::Play, Some(&token("play", false))));
        assert!(!may_speak(&judged, Action::Publish, Some(&token("publish", true))));
        assert!(!may_speak(&open, Action::Play, None));
        assert!(!may_speak(&open, Action::Play, Some(&token("play", true))));
    }

    #[test]
    fn a_token_with_another_signature_counts_as_the_same_token() {
        let judged_here = with_secret();
        assert_eq!(judged_here.signed_part("head.claims.signature"), judged_here.signed_part("head.claims.other"));
        let judged_elsewhere = Authoriser::start(&Auth::default(), &Admission::for_workers(1), Shown::Network).unwrap();
        assert_ne!(
            judged_elsewhere.signed_part("a.b.c"),
            judged_elsewhere.signed_part("a.b.d"),
            "it may be no JWT at all"
        );
    }
}

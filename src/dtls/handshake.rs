//! A handshake from its first datagram to its keys: several attempts, of which one comes to its end.
//!
//! Before there are keys, everything in plaintext can be forged by who knows the peer's address. So nothing in plaintext
//! ends a handshake or takes the peer's place in it:
//! - Another ClientHello begins an [`Attempt`] beside those under way ([`limits::DTLS_ATTEMPTS_MAX`]). Each
//!   keeps to its own transcript, a protected record is given to all, and the first that gives keys wins.
//! - Within an attempt, messages that contradict each other are kept beside each other until a signature tells which are
//!   the peer's ([`super::peer_flight`]).
//! - What would end the handshake, the peer's own alert included, waits for [`limits::DTLS_DOUBT_MAX`] unless the promised
//!   certificate stands behind it: the peer may still come with something better. So does a close before the keys. A whole exchange of keys with another
//!   certificate is no exception: whoever sends a client's check again from his own address can do that much. Its alert is
//!   sent at once when no attempt is under way, so that a client that was refused knows.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::classic::Classic;
use super::client_hello::{ClientHello, DTLS_1_2};
use super::engine::Engine;
use super::error::DtlsError;
use super::event::DtlsEvent;
use super::front::{CLIENT_HELLO, Front, HandshakeMessage, InOrder};
use super::identity::DtlsIdentity;
use super::keys::{self, ExportedKeys};
use super::modern::Modern;
use super::record::{content, write_plain};
use crate::description::Fingerprint;
use crate::limits;
use crate::time::Timestamp;

/// The record number of the first alert that is sent outside an engine: above any that an engine uses in plaintext.
const ALERT_SEQUENCE: u64 = 1 << 24;

/// The alert of a peer that goes (RFC 8446 §6.1).
const CLOSE_NOTIFY: u8 = 0;

/// One association that may come to be, and the ClientHello it answers.
struct Attempt {
    /// The ClientHello's random; zeros for our own.
    random: [u8; 32],
    /// A hash of the ClientHello without its cookie.
    hello: u64,
    engine: Engine,
    failure: Option<DtlsError>,
}

impl Attempt {
    /// Runs `work`. A panic in a library ends this attempt and nothing else.
    fn guarded(&mut self, work: impl FnOnce(&mut Engine)) {
        if self.failure.is_none() && catch_unwind(AssertUnwindSafe(|| work(&mut self.engine))).is_err() {
            self.failure = Some(DtlsError::Internal);
        }
    }
}

/// What [`Handshake::poll`] returns.
pub(super) enum Outcome {
    /// A datagram to send: this many bytes.
    Datagram(usize),
    /// The keys, and the engine that gave them.
    Connected(ExportedKeys, Engine),
    /// It has failed.
    Failed(DtlsError),
    /// The peer closed it by an authentic alert.
    Closed,
}

/// A handshake under way.
pub(super) struct Handshake {
    /// Server only.
    identity: Option<DtlsIdentity>,
    fingerprints: Vec<Fingerprint>,
    carries_data: bool,
    front: Option<Box<Front>>,
    /// Of a client whose engine takes messages in order.
    in_order: Option<InOrder>,
    attempts: Vec<Attempt>,
    /// When another attempt may begin in the place of an older one.
    next_attempt: Timestamp,
    /// Why nothing is left, and when that is final.
    refusal: Option<(DtlsError, Timestamp)>,
    alert: Option<u8>,
    alerts_sent: u64,
    over: Option<DtlsError>,
    /// When a whole message or a protected record came last.
    heard: Timestamp,
    now: Timestamp,
}

impl Handshake {
    pub(super) fn server(identity: DtlsIdentity, fingerprints: Vec<Fingerprint>, now: Timestamp) -> Self {
        Self {
            identity: Some(identity),
            fingerprints,
            carries_data: false,
            front: None,
            in_order: None,
            attempts: Vec::new(),
            next_attempt: now,
            refusal: None,
            alert: None,
            alerts_sent: 0,
            over: None,
            heard: now,
            now,
        }
    }

    /// A client, whose engine has sent its hello.
    pub(super) fn client(engine: Engine, fingerprints: Vec<Fingerprint>, now: Timestamp) -> Self {
        let in_order = matches!(engine, Engine::Modern(_)).then(InOrder::default);
        let attempt = Attempt { random: [0; 32], hello: 0, engine, failure: None };
        Self {
            identity: None,
            fingerprints,
            carries_data: false,
            front: None,
            in_order,
            attempts: vec![attempt],
            next_attempt: now,
            refusal: None,
            alert: None,
            alerts_sent: 0,
            over: None,
            heard: now,
            now,
        }
    }

    pub(super) fn expect_application_data(&mut self, expected: bool) {
        self.carries_data = expected;
    }

    /// Whether a peer's hello was answered, or our own sent.
    pub(super) fn has_begun(&self) -> bool {
        !self.attempts.is_empty()
    }

    /// Handles a datagram from the peer, or from somebody in its place.
    pub(super) fn handle_datagram(&mut self, bytes: &[u8], now: Timestamp) {
        self.now = self.now.max(now);
        let mut protected = Vec::new();
        self.front.get_or_insert_default().take(bytes, |record| protected.push(record));
        let alert = self.front.as_mut().and_then(|front| front.alert.take());
        while let Some(message) = self.front.as_mut().and_then(|front| front.next_message()) {
            self.heard = now;
            self.handle_message(message, now);
        }
        if !protected.is_empty() {
            self.heard = now;
        }
        if let Some(code) = alert.filter(|_| self.has_begun()) {
            self.refusal = Some((DtlsError::PeerAlert(code), now + limits::DTLS_DOUBT_MAX));
        }
        if self.front.as_mut().is_some_and(|front| std::mem::take(&mut front.too_long)) {
            self.attempts.iter_mut().for_each(|attempt| attempt.engine.note_too_long(now));
        }
        let (fingerprints, carries_data) = (&self.fingerprints, self.carries_data);
        for attempt in &mut self.attempts {
            for record in &protected {
                attempt.guarded(|engine| engine.protected(record, fingerprints, carries_data, now));
            }
        }
    }

    fn handle_message(&mut self, message: HandshakeMessage, now: Timestamp) {
        if let (Some(in_order), Some(client)) = (&mut self.in_order, self.attempts.first_mut()) {
            in_order.put(message);
            while let Some(message) = in_order.next() {
                client.guarded(|engine| engine.server_message(&message, &self.fingerprints, now));
            }
        } else if let (None, Some(client)) = (&self.identity, self.attempts.first_mut()) {
            client.guarded(|engine| engine.server_message(&message, &self.fingerprints, now));
        } else if message.kind == CLIENT_HELLO {
            self.client_hello(message, now);
        } else {
            // In DTLS 1.3 everything but the hellos is protected.
            let fingerprints = &self.fingerprints;
            for attempt in &mut self.attempts {
                attempt.guarded(|engine| engine.client_message(&message, fingerprints, now));
            }
        }
    }

    fn client_hello(&mut self, message: HandshakeMessage, now: Timestamp) {
        let Some(identity) = &self.identity else { return };
        let Some(hello) = ClientHello::parse(&message.body) else { return self.refuse(DtlsError::PeerMisbehaved) };
        if !hello.offers_dtls_1_3 && hello.version != DTLS_1_2 {
            return self.refuse(DtlsError::NoCommonVersion);
        }
        let Some(profile) = keys::choose(identity.preference(), hello.profile_ids(&message.body)) else {
            return self.refuse(DtlsError::NoCommonProfile);
        };
        if !hello.offers_dtls_1_3 && !hello.offers_our_groups {
            return self.refuse(DtlsError::NoCommonParameters);
        }
        let without_cookie = without_cookie(&message.body, &hello);
        let known = self.attempts.iter_mut().find(|attempt| {
            attempt.random == hello.random
                && (attempt.hello == without_cookie || attempt.engine.expects_another_hello())
        });
        if let Some(attempt) = known {
            return attempt.guarded(|engine| engine.client_hello(message, &hello, profile, now));
        }
        if message.sequence != 0 {
            return; // the second hello of an attempt that is gone, or of none
        }
        if self.attempts.len() >= limits::DTLS_ATTEMPTS_MAX {
            // The first stays: a client says hello in the moment in which its path is validated, so that whoever forges one
            // is mostly later. One that has its keys does not say hello again, and would wait for nobody.
            let others = self.attempts.iter().enumerate().skip(1);
            let silent = others.filter(|(_, attempt)| !attempt.engine.was_answered()).map(|(at, _)| at).next();
            let Some(at) = silent.filter(|_| now >= self.next_attempt) else { return };
            self.attempts.remove(at);
        }
        let engine = if hello.offers_dtls_1_3 {
            Engine::Modern(Box::new(Modern::server(identity.modern(), now)))
        } else {
            Engine::Classic(Box::new(Classic::server(identity.classic(), profile, now)))
        };
        let mut attempt = Attempt { random: hello.random, hello: without_cookie, engine, failure: None };
        attempt.guarded(|engine| engine.client_hello(message, &hello, profile, now));
        self.attempts.push(attempt);
        self.next_attempt = now + limits::DTLS_ATTEMPT_INTERVAL_MIN;
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        for attempt in &mut self.attempts {
            attempt.guarded(|engine| engine.handle_timeout(now));
        }
        if let Some((error, due)) = self.refusal.take_if(|(_, due)| *due <= now) {
            // A peer that has sent a fatal alert is silent from then on.
            let gave_up = matches!(error, DtlsError::PeerAlert(_)) && self.heard + limits::DTLS_DOUBT_MAX <= due;
            if gave_up || self.attempts.is_empty() {
                self.attempts.clear();
                self.over = Some(error);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let attempts = self.attempts.iter().filter_map(|attempt| attempt.engine.next_deadline());
        attempts.chain(self.refusal.map(|(_, due)| due)).min()
    }

    /// Refuses a hello, which may be forged: the peer is told when nothing better is under way.
    fn refuse(&mut self, error: DtlsError) {
        if self.attempts.is_empty() {
            self.alert = error.alert();
        }
        self.refusal.get_or_insert((error, self.now + limits::DTLS_DOUBT_MAX));
    }

    /// Returns the next datagram or the outcome; call it until it returns `None`.
    pub(super) fn poll(&mut self, out: &mut [u8]) -> Option<Outcome> {
        let mut at = 0;
        while let Some(attempt) = self.attempts.get_mut(at) {
            let (fingerprints, carries_data) = (&self.fingerprints, self.carries_data);
            let mut event = None;
            attempt.guarded(|engine| event = engine.poll(out, fingerprints, carries_data));
            match attempt.failure.take().map(DtlsEvent::Failed).or(event) {
                None | Some(DtlsEvent::ApplicationData(_)) => at = at.saturating_add(1),
                Some(DtlsEvent::Datagram(len)) => return Some(Outcome::Datagram(len)),
                Some(DtlsEvent::Connected(keys)) => {
                    return Some(Outcome::Connected(keys, self.attempts.swap_remove(at).engine));
                }
                Some(DtlsEvent::Closed) if self.identity.is_none() => return Some(Outcome::Closed),
                // Whoever leads a handshake here can close it before anything has said who he is.
                Some(DtlsEvent::Closed) => {
                    self.attempts.remove(at);
                    let closed = (DtlsError::PeerAlert(CLOSE_NOTIFY), self.now + limits::DTLS_DOUBT_MAX);
                    self.refusal.get_or_insert(closed);
                }
                Some(DtlsEvent::Failed(error)) => {
                    let is_peers = attempt.engine.is_peer_proven() || error == DtlsError::Timeout;
                    let told = attempt.engine.tells_itself();
                    self.attempts.remove(at);
                    match self.attempts.is_empty() {
                        true if is_peers || self.identity.is_none() => return Some(Outcome::Failed(error)),
                        true => {
                            self.refuse(error);
                            self.alert.take_if(|_| told);
                        }
                        false => {}
                    }
                }
            }
        }
        if let Some(len) = self.alert.take().and_then(|code| self.write_alert(code, out)) {
            return Some(Outcome::Datagram(len));
        }
        self.over.take().map(|error| match error {
            DtlsError::PeerAlert(CLOSE_NOTIFY) => Outcome::Closed,
            error => Outcome::Failed(error),
        })
    }

    fn write_alert(&mut self, code: u8, out: &mut [u8]) -> Option<usize> {
        let mut record = Vec::new();
        write_plain(&mut record, content::ALERT, ALERT_SEQUENCE.saturating_add(self.alerts_sent), &[2, code]);
        self.alerts_sent = self.alerts_sent.saturating_add(1);
        out.get_mut(..record.len())?.copy_from_slice(&record);
        Some(record.len())
    }
}

fn without_cookie(body: &[u8], hello: &ClientHello) -> u64 {
    let mut hasher = DefaultHasher::new();
    (body.get(..hello.cookie.start.saturating_sub(1)), body.get(hello.cookie.end..)).hash(&mut hasher);
    hasher.finish()
}

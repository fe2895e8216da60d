//! [`Dtls`]: one association from its first datagram to its close, with either engine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::classic::Classic;
use super::engine::Engine;
use super::error::DtlsError;
use super::event::{DataRefused, DtlsEvent, DtlsVersions};
use super::handshake::{Handshake, Outcome};
use super::identity::DtlsIdentity;
use super::modern::Modern;
use super::record::{Record, records};
use crate::description::{DtlsRole, Fingerprint};
use crate::limits;
use crate::time::Timestamp;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// The format version that [`Dtls::export`] writes.
const STATE_VERSION: u8 = 1;

/// The state of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsState {
    /// A server that has not received a whole ClientHello.
    Waiting,
    /// The handshake is under way.
    Handshaking,
    /// Keys were exported.
    Connected,
    /// Closed by either end.
    Closed,
    /// Ended by an error.
    Failed,
}

/// One DTLS association. After each call that takes `now`, drain [`Self::poll`].
pub struct Dtls {
    state: DtlsState,
    version: Option<&'static str>,
    /// `None` once the handshake is over.
    handshake: Option<Box<Handshake>>,
    /// Of a connected association.
    engine: Option<Engine>,
    /// The error that the next poll reports.
    failure: Option<DtlsError>,
    /// Application data is returned to the caller, and the engine is kept to read it.
    carries_data: bool,
    /// Our close alert, sealed in advance by [`Self::shrink`].
    goodbye: Option<Box<[u8]>>,
}

impl Dtls {
    /// Creates an association whose peer must present a certificate with one of `remote_fingerprints`. A client's first
    /// flight can be polled at once; a server allocates next to nothing until a ClientHello comes.
    #[must_use]
    pub fn new(identity: &DtlsIdentity, role: DtlsRole, remote_fingerprints: Vec<Fingerprint>, now: Timestamp) -> Self {
        match role {
            DtlsRole::Client => {
                let engine = Engine::Classic(Box::new(Classic::client(identity.classic(), now)));
                Self::begin(DtlsState::Handshaking, Handshake::client(engine, remote_fingerprints, now))
            }
            DtlsRole::Server => {
                Self::begin(DtlsState::Waiting, Handshake::server(identity.clone(), remote_fingerprints, now))
            }
        }
    }

    /// Creates a client of the other library, which offers these versions and takes ECDSA certificates only: for benches
    /// and tests, and for epochs begun by ourselves. A forged ServerHello ends its handshake.
    #[must_use]
    pub fn new_client(
        identity: &DtlsIdentity,
        versions: DtlsVersions,
        remote_fingerprints: Vec<Fingerprint>,
        now: Timestamp,
    ) -> Self {
        let engine = Engine::Modern(Box::new(Modern::client(identity.modern(), versions, now)));
        Self::begin(DtlsState::Handshaking, Handshake::client(engine, remote_fingerprints, now))
    }

    fn begin(state: DtlsState, handshake: Handshake) -> Self {
        Self {
            state,
            version: None,
            handshake: Some(Box::new(handshake)),
            engine: None,
            failure: None,
            carries_data: false,
            goodbye: None,
        }
    }

    /// Sets whether the peers agreed on application data (`m=application`). If they did, received data is returned by
    /// [`Self::poll`] and the association is not [shrunk](Self::shrink). If not, which is the default, it is dropped
    /// unread.
    pub fn expect_application_data(&mut self, expected: bool) {
        self.carries_data = expected;
        if let Some(handshake) = &mut self.handshake {
            handshake.expect_application_data(expected);
        }
    }

    /// Whether received application data is returned to the caller.
    #[must_use]
    pub fn expects_application_data(&self) -> bool {
        self.carries_data
    }

    /// Protects `data` as one record in a datagram of its own, which [`Self::poll`] returns. Call [`Self::poll`] until
    /// it returns `None` after each call: an engine holds only a few records.
    ///
    /// # Errors
    /// The reason it was not taken. The association is unchanged, and the caller still has the data.
    pub fn send_application_data(&mut self, data: &[u8], now: Timestamp) -> Result<(), DataRefused> {
        if self.state != DtlsState::Connected || self.failure.is_some() {
            return Err(DataRefused::NotConnected);
        }
        if data.is_empty() || data.len() > limits::DTLS_APPLICATION_DATA_BYTES_MAX {
            return Err(DataRefused::Length);
        }
        let mut taken = Err(DataRefused::NotConnected);
        self.guarded(|dtls| {
            taken = dtls.engine.as_mut().map_or(Err(DataRefused::NotConnected), |engine| engine.send(data, now));
        });
        taken
    }

    /// Handles a datagram from the peer. Datagrams that are not DTLS, or not for this association, are dropped.
    pub fn handle_datagram(&mut self, bytes: &[u8], now: Timestamp) {
        self.guarded(|dtls| match dtls.state {
            DtlsState::Closed | DtlsState::Failed => {}
            DtlsState::Connected => dtls.handle_connected(bytes, now),
            DtlsState::Waiting | DtlsState::Handshaking => {
                if let Some(handshake) = &mut dtls.handshake {
                    handshake.handle_datagram(bytes, now);
                    if handshake.has_begun() {
                        dtls.state = DtlsState::Handshaking;
                    }
                }
            }
        });
    }

    /// Runs the timers: retransmissions, and the time limit of a handshake.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.guarded(|dtls| {
            if let Some(handshake) = &mut dtls.handshake {
                handshake.handle_timeout(now);
            } else if let Some(engine) = &mut dtls.engine {
                engine.handle_timeout(now);
            }
        });
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.handshake {
            Some(handshake) => handshake.next_deadline(),
            None => self.engine.as_ref()?.next_deadline(),
        }
    }

    /// Returns the next event; call it until it returns `None`. `out` receives a datagram and must hold at least
    /// [`crate::limits::DTLS_DATAGRAM_OUT_BYTES_MAX`] bytes.
    pub fn poll(&mut self, out: &mut [u8]) -> Option<DtlsEvent> {
        if self.state == DtlsState::Closed
            && let Some(goodbye) = self.goodbye.take().filter(|goodbye| !goodbye.is_empty())
            && let Some(slot) = out.get_mut(..goodbye.len())
        {
            slot.copy_from_slice(&goodbye);
            return Some(DtlsEvent::Datagram(goodbye.len()));
        }
        let mut event = None;
        self.guarded(|dtls| {
            event = match (&mut dtls.handshake, &mut dtls.engine) {
                _ if dtls.failure.is_some() => None,
                (Some(handshake), _) => match handshake.poll(out) {
                    Some(Outcome::Datagram(len)) => Some(DtlsEvent::Datagram(len)),
                    Some(Outcome::Connected(keys, engine)) => {
                        dtls.version = engine.version();
                        dtls.engine = Some(engine);
                        Some(DtlsEvent::Connected(keys))
                    }
                    Some(Outcome::Failed(error)) => Some(DtlsEvent::Failed(error)),
                    Some(Outcome::Closed) => Some(DtlsEvent::Closed),
                    None => None,
                },
                (None, Some(engine)) => engine.poll(out, &[], dtls.carries_data),
                (None, None) => None,
            };
        });
        let event = self.failure.take().map(DtlsEvent::Failed).or(event);
        match event {
            Some(DtlsEvent::Connected(_)) => {
                self.state = DtlsState::Connected;
                self.handshake = None;
            }
            Some(DtlsEvent::Closed) => self.end(DtlsState::Closed),
            Some(DtlsEvent::Failed(_)) => self.end(DtlsState::Failed),
            None if self.state == DtlsState::Closed => self.engine = None,
            _ => {}
        }
        event
    }

    /// Ends the association; [`Self::poll`] then returns the close alert. Before the handshake is complete there is no
    /// key to protect an alert with, so nothing is sent.
    pub fn close(&mut self, now: Timestamp) {
        if matches!(self.state, DtlsState::Closed | DtlsState::Failed) {
            return;
        }
        self.guarded(|dtls| {
            if let Some(engine) = &mut dtls.engine {
                engine.close(now);
            }
        });
        self.state = DtlsState::Closed;
        self.handshake = None;
    }

    /// Gives up the engine of a connected association, 11 to 15 kB, and keeps a close alert of a few dozen bytes that
    /// was sealed in advance. From then on nothing received is read. The peer's close alert goes unnoticed, so that
    /// only silence or signalling shows that the peer has gone, and a repetition of its last flight is not answered.
    /// Call this only some time after the peer's first authentic SRTP or SRTCP packet has shown that it has its keys.
    /// Returns `false`, with nothing changed, when the association is not connected, still has a timer running, or
    /// carries application data.
    pub fn shrink(&mut self, now: Timestamp) -> bool {
        let busy = self.carries_data || self.next_deadline().is_some();
        if self.state != DtlsState::Connected || self.goodbye.is_some() || busy {
            return false;
        }
        let mut out = [0; limits::DTLS_DATAGRAM_OUT_BYTES_MAX];
        let mut goodbye = None;
        self.guarded(|dtls| {
            let Some(engine) = &mut dtls.engine else { return };
            engine.close(now);
            let event = engine.poll(&mut out, &[], false);
            if let Some(DtlsEvent::Datagram(len)) = event {
                goodbye = out.get(..len).map(Box::from);
            }
        });
        self.goodbye = Some(goodbye.unwrap_or_default());
        self.engine = None;
        true
    }

    /// Whether [`Self::shrink`] gave up the engine, so that nothing received is read any more.
    #[must_use]
    pub fn is_shrunk(&self) -> bool {
        self.goodbye.is_some()
    }

    /// Writes a [shrunk](Self::shrink) association, consuming it: its version and its presealed close alert. **An
    /// engine cannot be exported** (neither library gives its record keys and sequence numbers out), so an association
    /// that still has one is returned. The caller then shrinks it first, or keeps the session where it is.
    ///
    /// # Errors
    /// The association itself, when it is not shrunk.
    pub fn export(self, out: &mut StateWriter) -> Result<(), Self> {
        let (DtlsState::Connected, Some(goodbye)) = (self.state, &self.goodbye) else { return Err(self) };
        out.version(STATE_VERSION);
        out.bool(self.version == Some("1.3"));
        out.block(goodbye);
        Ok(())
    }

    /// Reads what [`Self::export`] wrote: an association that reads nothing and can only send its close alert.
    ///
    /// # Errors
    /// When it is not that.
    pub fn import(from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        from.version("a DTLS association", STATE_VERSION)?;
        let version = if from.bool()? { "1.3" } else { "1.2" };
        let goodbye = from.block(limits::DTLS_DATAGRAM_OUT_BYTES_MAX)?;
        Ok(Self {
            state: DtlsState::Connected,
            version: Some(version),
            handshake: None,
            engine: None,
            failure: None,
            carries_data: false,
            goodbye: Some(Box::from(goodbye)),
        })
    }

    /// `"1.2"` or `"1.3"`, once connected.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        self.version
    }

    /// The state of the association.
    #[must_use]
    pub fn state(&self) -> DtlsState {
        self.state
    }

    /// Runs `work`. A panic in a library ends this association and nothing else.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.engine = None;
            self.handshake = None;
            self.failure = Some(DtlsError::Internal);
        }
    }

    fn end(&mut self, state: DtlsState) {
        self.state = state;
        self.engine = None;
        self.handshake = None;
    }

    fn handle_connected(&mut self, bytes: &[u8], now: Timestamp) {
        let Some(engine) = &mut self.engine else { return };
        for record in records(bytes).filter(|record| !matches!(record, Record::Plain { .. })) {
            engine.protected(&record, &[], self.carries_data, now);
        }
    }
}

impl std::fmt::Debug for Dtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dtls").field("state", &self.state).field("version", &self.version).finish_non_exhaustive()
    }
}

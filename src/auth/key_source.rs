//! A key set that is read again: at an interval, and when a token names an unknown key.
//!
//! A thread reads it, because reading may take seconds. If a set cannot be fetched, read or used, the old keys stay in
//! use and the log says why, once per change of reason. Tokens with invented key ids cause at most one reading per
//! [`limits::JWKS_PAUSE_MIN`]. A bad file stops the start. A bad URL does not, because an issuer that is down must not
//! keep a node from coming back; until its keys come, tokens are answered with 503.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::configured::JwksSource;
use super::keys::{self, Key, KeyError};
use crate::limits;
use crate::net::clock;

/// The newest keys. The reading thread writes them, and the signalling thread verifies tokens with them.
#[derive(Debug, Default)]
struct Newest(Mutex<Arc<Vec<Key>>>);

impl Newest {
    fn lock(&self) -> MutexGuard<'_, Arc<Vec<Key>>> {
        // The lock guards a single assignment, so the value is whole even if a writer panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of one set.
#[derive(Debug)]
pub(super) struct KeySource {
    source: JwksSource,
    newest: Arc<Newest>,
    /// Asks the thread to read the set again. It answers after reading, or at once if reading is not needed or not
    /// allowed yet.
    looks: flume::Sender<Ask>,
}

/// A request for keys newer than `known`.
struct Ask {
    known: Arc<Vec<Key>>,
    reply: flume::Sender<()>,
}

impl KeySource {
    /// Reads a file at once, and a URL on the new thread as soon as possible. Both are read again at every `interval`.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn start(source: JwksSource, interval: Duration, agent: ureq::Agent) -> Result<Self, KeyError> {
        let newest = Arc::new(Newest::default());
        if let JwksSource::File(path) = &source {
            let bytes =
                read(path).map_err(|error| KeyError::Unreadable { setting: "auth.jwks", file: path.clone(), error })?;
            let keys =
                keys::parse_set(&bytes).map_err(|what| KeyError::Set { place: path.display().to_string(), what })?;
            *newest.lock() = Arc::new(keys);
        }
        let (looks, asked) = flume::bounded(limits::JWKS_WAITING_MAX);
        let mut watch = KeySetReader { source: source.clone(), agent, newest: newest.clone(), told: None };
        thread::Builder::new()
            .name("auth-keys".to_owned())
            .spawn(move || watch.run(interval, &asked))
            .map_err(|error| KeyError::Set { place: "(thread)".to_owned(), what: error.to_string() })?;
        Ok(Self { source, newest, looks })
    }

    /// Takes over the keys of `other`, if it has the same source and this one has no keys yet.
    pub(super) fn adopt(&self, other: &Self) {
        let mut newest = self.newest.lock();
        if newest.is_empty() && self.source == other.source {
            *newest = other.keys();
        }
    }

    /// The current keys. Empty until a set has been read.
    pub(super) fn keys(&self) -> Arc<Vec<Key>> {
        Arc::clone(&self.newest.lock())
    }

    /// Waits until the set has been read again after `known`. Returns at once if it may not be read again yet.
    pub(super) async fn look_again(&self, known: &Arc<Vec<Key>>) {
        let (reply, looked) = flume::bounded(1);
        if self.looks.try_send(Ask { known: known.clone(), reply }).is_ok() {
            let _ = looked.recv_async().await;
        }
    }
}

/// The thread that reads the set.
struct KeySetReader {
    source: JwksSource,
    agent: ureq::Agent,
    newest: Arc<Newest>,
    /// The last failure that was logged.
    told: Option<String>,
}

impl KeySetReader {
    /// Runs until the [`KeySource`] is dropped.
    fn run(&mut self, interval: Duration, asked: &flume::Receiver<Ask>) {
        if matches!(self.source, JwksSource::Url(_)) {
            self.look();
        }
        let mut looked = clock::now();
        let mut last_asked: Option<Instant> = None;
        loop {
            let wait = if self.newest.lock().is_empty() { limits::JWKS_PAUSE_MIN } else { interval };
            match asked.recv_deadline(looked + wait) {
                Ok(Ask { known, reply }) => {
                    let now = clock::now();
                    // A request that was queued during a reading is answered by that reading.
                    let is_needed = Arc::ptr_eq(&known, &self.newest.lock());
                    let may = is_needed && last_asked.is_none_or(|last| now - last >= limits::JWKS_PAUSE_MIN);
                    if may {
                        last_asked = Some(now);
                        looked = now;
                        self.look();
                    }
                    let _ = reply.try_send(());
                }
                Err(flume::RecvTimeoutError::Timeout) => {
                    self.look();
                    looked = clock::now();
                }
                Err(flume::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) {
        match fetch(&self.source, &self.agent).and_then(|bytes| keys::parse_set(&bytes)) {
            Ok(keys) => {
                if self.told.take().is_some() {
                    tracing::info!(keys = keys.len(), "the key set can be used again");
                }
                *self.newest.lock() = Arc::new(keys);
            }
            Err(cause) => {
                if self.told.as_ref() != Some(&cause) {
                    let kept = self.newest.lock().len();
                    tracing::warn!(
                        cause,
                        keys_kept = kept,
                        "the key set (auth.jwks) cannot be used; the old keys stay"
                    );
                }
                self.told = Some(cause);
            }
        }
    }
}

/// Reads the set's bytes. The error says why there are none, without the URL.
pub(super) fn fetch(source: &JwksSource, agent: &ureq::Agent) -> Result<Vec<u8>, String> {
    let url = match source {
        JwksSource::File(path) => return read(path).map_err(|error| error.to_string()),
        JwksSource::Url(url) => url,
    };
    let asked = agent.get(url.expose()).config().timeout_global(Some(limits::JWKS_TIME_MAX)).build().call();
    let mut answer = asked.map_err(|error| super::client::words(&error))?;
    if answer.status() != 200 {
        return Err(format!("its server answers {}", answer.status().as_u16()));
    }
    let body = answer.body_mut().with_config().limit(limits::JWKS_BYTES_MAX as u64).read_to_vec();
    body.map_err(|error| super::client::words(&error))
}

/// Reads the file up to one byte above the limit, so that the caller can see that it is too long.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limits::JWKS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

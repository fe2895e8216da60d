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

/// The newest keys, shared between the thread that looks and the one that judges.
#[derive(Debug, Default)]
struct Newest(Mutex<Arc<Vec<Key>>>);

impl Newest {
    fn lock(&self) -> MutexGuard<'_, Arc<Vec<Key>>> {
        // Only whole values are put in: one whose writer panicked is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of one set.
#[derive(Debug)]
pub(super) struct KeySource {
    source: JwksSource,
    newest: Arc<Newest>,
    /// Asks for a look; answered when there was one, or none is needed, or none may be yet.
    looks: flume::Sender<Ask>,
}

/// Asks for keys newer than those.
struct Ask {
    known: Arc<Vec<Key>>,
    reply: flume::Sender<()>,
}

impl KeySource {
    /// Reads a file now, a URL as soon as may be, and both again from then on.
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
        let mut watch = Watch { source: source.clone(), agent, newest: newest.clone(), told: None };
        thread::Builder::new()
            .name("auth-keys".to_owned())
            .spawn(move || watch.run(interval, &asked))
            .map_err(|error| KeyError::Set { place: "(thread)".to_owned(), what: error.to_string() })?;
        Ok(Self { source, newest, looks })
    }

    /// Takes the keys of another that has the same source, where none have come here yet.
    pub(super) fn adopt(&self, other: &Self) {
        let mut newest = self.newest.lock();
        if newest.is_empty() && self.source == other.source {
            *newest = other.keys();
        }
    }

    /// The keys as of now; empty while none ever came.
    pub(super) fn keys(&self) -> Arc<Vec<Key>> {
        Arc::clone(&self.newest.lock())
    }

    /// Returns when the set has been looked at since there were those `known`, or at once when that may not be yet.
    pub(super) async fn look_again(&self, known: &Arc<Vec<Key>>) {
        let (reply, looked) = flume::bounded(1);
        if self.looks.try_send(Ask { known: known.clone(), reply }).is_ok() {
            let _ = looked.recv_async().await;
        }
    }
}

/// The thread's side.
struct Watch {
    source: JwksSource,
    agent: ureq::Agent,
    newest: Arc<Newest>,
    /// The last failure that was logged.
    told: Option<String>,
}

impl Watch {
    /// Until the other side is gone.
    fn run(&mut self, interval: Duration, asked: &flume::Receiver<Ask>) {
        if matches!(self.source, JwksSource::Url(_)) {
            self.look();
        }
        let mut looked = Instant::now();
        let mut last_asked: Option<Instant> = None;
        loop {
            let wait = if self.newest.lock().is_empty() { limits::JWKS_PAUSE_MIN } else { interval };
            match asked.recv_deadline(looked + wait) {
                Ok(Ask { known, reply }) => {
                    let now = Instant::now();
                    // Who asked while a look was under way has what it brought, and needs no other.
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
                    looked = Instant::now();
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

/// The set's bytes, or why there are none, in words that hold no URL.
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

/// The file, up to a byte more than it may have.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limits::JWKS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

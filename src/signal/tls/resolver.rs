//! Chooses the certificate of a handshake: the one for the name that the client asks for (RFC 6066 §3), else the first.
//!
//! A name matches exactly, or else by the wildcard of the domain above it, which stands for one label (RFC 9525 §6.3).
//! If several certificates have the name (RSA and ECDSA), the first whose key can sign as the client wants is taken.
//!
//! The set and its TLS sessions are replaced together. So a client that returns after a replacement gets the new
//! certificate, and cannot resume a session that began with the old one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions};
use rustls::sign::CertifiedKey;

use super::files::{Certificate, Dates};
use crate::limits;

/// A complete set of certificates that are served together, at least one.
#[derive(Debug)]
pub struct CertificateSet {
    certificates: Vec<Certificate>,
    /// Indexes into `certificates`, in its order.
    by_name: HashMap<String, Vec<usize>>,
    sessions: Arc<ServerSessionMemoryCache>,
}

impl CertificateSet {
    /// Makes a set. The first certificate is for clients that ask for no name, or for an unknown one.
    pub(super) fn new(certificates: Vec<Certificate>) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names {
                by_name.entry(name.clone()).or_default().push(place);
            }
        }
        Self { certificates, by_name, sessions: ServerSessionMemoryCache::new(limits::TLS_SESSIONS_KEPT) }
    }

    /// The validity of each certificate.
    #[must_use]
    pub fn dates(&self) -> Vec<Dates> {
        self.certificates.iter().map(|certificate| certificate.dates.clone()).collect()
    }

    /// Whether a certificate is for `name`.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.places_of(name).is_some()
    }

    /// The certificates for `name`, as indexes: those of the name itself, else those of its wildcard.
    fn places_of(&self, name: &str) -> Option<&Vec<usize>> {
        let name = name.to_ascii_lowercase();
        self.by_name.get(&name).or_else(|| {
            let (_, domain) = name.split_once('.')?;
            self.by_name.get(&format!("*.{domain}"))
        })
    }

    /// The certificate for `name` whose key can sign in one of `schemes`.
    pub(super) fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let places = name.and_then(|name| self.places_of(name));
        let named = places.into_iter().flatten().filter_map(|&place| self.certificates.get(place));
        let mut keys = named.clone().map(|certificate| &certificate.certified);
        keys.find(|certified| certified.key.choose_scheme(schemes).is_some())
            // If no key suits, the handshake fails with the alert for that.
            .or_else(|| named.chain(&self.certificates).next().map(|certificate| &certificate.certified))
    }
}

/// The set that is served. The lock is held only while the pointer is copied.
#[derive(Debug)]
pub(super) struct Resolver(Mutex<Arc<CertificateSet>>);

impl Resolver {
    pub(super) fn new(set: CertificateSet) -> Self {
        Self(Mutex::new(Arc::new(set)))
    }

    pub(super) fn put(&self, set: CertificateSet) {
        *self.lock() = Arc::new(set);
    }

    pub(super) fn set(&self) -> Arc<CertificateSet> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<CertificateSet>> {
        // The lock guards a single assignment, so the value is whole even if a writer panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.set().find(hello.server_name(), hello.signature_schemes()).cloned()
    }
}

impl StoresServerSessions for Resolver {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.set().sessions.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.set().sessions.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.set().sessions.take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

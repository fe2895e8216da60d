//! The certificates that are served. They are read from files, replaced as a whole set, and looked up in each
//! handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;

use super::error::TlsError;
use super::files::{self, Dates};
use super::resolver::{CertificateSet, Resolver};
use super::self_signed;
use crate::config::Tls;

/// Reads the certificates that `tls` names, or the self-signed one, which is made for `names` if there is none yet. A
/// pair is left out if both of its files are among the `awaited` and do not exist: the node must already run when an
/// authority checks that a name leads to it. If no pair is left, the self-signed certificate is used.
///
/// # Errors
/// When a file cannot be read, written or used.
pub fn read(
    tls: &Tls,
    state_directory: &Path,
    names: &[String],
    awaited: &[PathBuf],
) -> Result<CertificateSet, TlsError> {
    let is_awaited = |path: &PathBuf| awaited.contains(path) && !path.exists();
    let mut pairs = match tls {
        Tls::Files(pairs) => pairs.clone(),
        Tls::SelfSigned => Vec::new(),
    };
    pairs.retain(|pair| !(is_awaited(&pair.cert) && is_awaited(&pair.key)));
    if pairs.is_empty() {
        pairs.push(self_signed::kept(state_directory, names)?);
    }
    let certificates = pairs.iter().map(files::read).collect::<Result<Vec<_>, _>>()?;
    Ok(CertificateSet::new(certificates))
}

/// The certificates that are served at the moment. Clones share them: what is put into one clone is served by all.
#[derive(Clone, Debug)]
pub struct Certificates(pub(super) Arc<Resolver>);

impl Certificates {
    /// The self-signed certificate alone. It is made for `names` if there is none in `state_directory`.
    ///
    /// # Errors
    /// As [`read`].
    pub fn self_signed(state_directory: &Path, names: &[String]) -> Result<Self, TlsError> {
        read(&Tls::SelfSigned, state_directory, names, &[]).map(Self::new)
    }

    /// Serves `set`.
    #[must_use]
    pub fn new(set: CertificateSet) -> Self {
        Self(Arc::new(Resolver::new(set)))
    }

    /// Replaces the certificates by `set`. TLS sessions from before are no longer resumed.
    pub fn put(&self, set: CertificateSet) {
        self.0.put(set);
    }

    /// The validity of each certificate, the default one first.
    #[must_use]
    pub fn dates(&self) -> Vec<Dates> {
        self.0.set().dates()
    }

    /// Whether one of the served certificates is for this host, by its name or by a wildcard.
    #[must_use]
    pub fn has_name(&self, host: &str) -> bool {
        self.0.set().has_name(host)
    }

    /// The configuration for a listener. The certificates are looked up in each handshake.
    ///
    /// # Errors
    /// When rustls has no suite for these versions.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        // The provider is named, because with two rustls providers in the process there is no default.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| TlsError::Settings(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(self.0.clone());
        // All suites are good. The node's own order makes the choice predictable.
        config.ignore_client_order = true;
        config.session_storage = self.0.clone();
        // The last is for TURN clients that name no other (RFC 7443).
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"stun.turn".to_vec()];
        Ok(Arc::new(config))
    }
}

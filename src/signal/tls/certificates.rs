//! The certificates that are served: read, put, looked up per handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;

use super::error::TlsError;
use super::files::{self, Dates};
use super::resolver::{CertificateSet, Resolver};
use super::self_signed;
use crate::config::Tls;

/// Reads what `tls` names, or the self-signed certificate (made for `names` when there is none yet). A pair both of whose
/// files are among the `awaited` and not there is left out: this node must run before an authority can see that it does.
/// When nothing else is left, the self-signed one stands in.
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

/// What is served now. Cloning shares it: what is put into one is served by all.
#[derive(Clone, Debug)]
pub struct Certificates(pub(super) Arc<Resolver>);

impl Certificates {
    /// The self-signed one alone, made for `names` when there is none in `state_directory`.
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

    /// From now on serves `set`, and resumes no session that another one began.
    pub fn put(&self, set: CertificateSet) {
        self.0.put(set);
    }

    /// From when to when each of them is valid, the default one first.
    #[must_use]
    pub fn dates(&self) -> Vec<Dates> {
        self.0.set().dates()
    }

    /// What a listener serves with; the certificates are looked up per handshake.
    ///
    /// # Errors
    /// When rustls has no suite for these versions.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        // Named: with two rustls providers in the process there is no default one.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| TlsError::Settings(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(self.0.clone());
        // All suites are good ones; this node's order is the same for everybody and can be looked up.
        config.ignore_client_order = true;
        config.session_storage = self.0.clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

//! The certificates of the HTTPS port, and of the operator's port where that is not on loopback.
//!
//! ```text
//!   Tls (configuration) ──▶ read: files | self_signed ──▶ CertificateSet ──▶ Certificates ──▶ handshakes (resolver)
//!                                      ▲                                          ▲
//!                                      └── watch: the files' stamps ──────────────┘ put: a whole set, at once
//! ```
//!
//! What is served can be replaced at any time: a handshake takes the set that is there when its ClientHello comes, a
//! connection that stands keeps what it has. Nothing is put that was not read whole, key and chain matching.
//!
//! TLS 1.3 and 1.2, the suites of rustls (AEAD and ephemeral keys only), X25519MLKEM768 before X25519 where the client offers
//! it, HTTP/2 before HTTP/1.1. Left out: client certificates; OCSP stapling (authorities are giving OCSP up); tickets that
//! outlive this process.

mod files;
mod resolver;
mod self_signed;
pub mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;

use crate::config::Tls;
use resolver::Resolver;

pub use files::Dates;
pub use resolver::CertificateSet;
pub use self_signed::{CERT_FILE, prepare_directory};

/// Why HTTPS cannot be served. Its `Display` names the file and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// A file or directory of the system's refused.
    File {
        /// Which.
        path: PathBuf,
        /// What the system said, and the fix.
        cause: String,
    },
    /// rustls refused the certificate or the key.
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// Its key's.
        key: PathBuf,
        /// What rustls said.
        cause: String,
    },
    /// Making a certificate failed.
    Generate(String),
    /// There is no cipher suite to serve with.
    Settings(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, cause } => write!(f, "{}: {cause}", path.display()),
            Self::Refused { path, key, cause } => write!(
                f,
                "{}: {cause}: the chain must be PEM, leaf first, and belong to the key in {}",
                path.display(),
                key.display()
            ),
            Self::Generate(cause) => write!(f, "the self-signed certificate cannot be made: {cause}"),
            Self::Settings(cause) => write!(f, "TLS cannot be served: {cause}"),
        }
    }
}

impl std::error::Error for TlsError {}

fn file_error(path: &Path, cause: &str) -> TlsError {
    TlsError::File { path: path.to_owned(), cause: cause.to_owned() }
}

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
pub struct Certificates(Arc<Resolver>);

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

#[cfg(test)]
mod tests;

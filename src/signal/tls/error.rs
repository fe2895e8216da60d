//! Why HTTPS cannot be served.

use std::fmt;
use std::path::{Path, PathBuf};

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

/// A file or directory that the system refused.
pub(super) fn file_error(path: &Path, cause: &str) -> TlsError {
    TlsError::File { path: path.to_owned(), cause: cause.to_owned() }
}

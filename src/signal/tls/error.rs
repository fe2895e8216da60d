//! Why HTTPS cannot be served.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why HTTPS cannot be served. Its `Display` names the file and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// A file or directory cannot be used.
    File {
        /// Which.
        path: PathBuf,
        /// The cause and the fix.
        cause: String,
    },
    /// rustls refused the certificate or the key.
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The error of rustls.
        cause: String,
    },
    /// Making a certificate failed.
    Generate(String),
    /// rustls refuses the TLS settings.
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

/// The error for a file or directory that cannot be used.
pub(super) fn file_error(path: &Path, cause: &str) -> TlsError {
    TlsError::File { path: path.to_owned(), cause: cause.to_owned() }
}

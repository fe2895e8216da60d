//! The certificates of the HTTPS port, and of the operator's port if that is not on loopback.
//!
//! ```text
//!   Tls (configuration) ──▶ read: files | self_signed ──▶ CertificateSet ──▶ Certificates ──▶ handshakes (resolver)
//!                                      ▲                                          ▲
//!                                      └── watch: the files' stamps ──────────────┘ put: a whole set, at once
//! ```
//!
//! The certificates can be replaced at any time. A handshake uses the set that is served when its ClientHello arrives,
//! and an existing connection is not affected. A set is served only if all of it was read and every key matches its
//! chain.
//!
//! The node speaks TLS 1.3 and 1.2 with the suites of rustls (AEAD and ephemeral keys only). It prefers X25519MLKEM768
//! to X25519, if the client offers it, and HTTP/2 to HTTP/1.1. Left out: client certificates; OCSP stapling, because
//! authorities are abandoning OCSP; and tickets that outlive this process.

mod certificates;
mod error;
mod files;
mod moved;
mod resolver;
mod self_signed;
pub mod watch;

pub use certificates::{Certificates, read};
pub use error::TlsError;
pub use files::Dates;
pub(super) use moved::Moved;
pub use resolver::CertificateSet;
pub use self_signed::{CERT_FILE, prepare_directory};

#[cfg(test)]
mod tests;

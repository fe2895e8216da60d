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

mod certificates;
mod error;
mod files;
mod resolver;
mod self_signed;
pub mod watch;

pub use certificates::{Certificates, read};
pub use error::TlsError;
pub use files::Dates;
pub use resolver::CertificateSet;
pub use self_signed::{CERT_FILE, prepare_directory};

#[cfg(test)]
mod tests;

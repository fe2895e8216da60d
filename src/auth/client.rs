//! The HTTP client for the operator's webhook and the issuer's key set. It blocks, so it runs on threads of its own and
//! never on the signalling executor.
//!
//! TLS is rustls with the node's own cryptographic library. Certificates are checked against the system's authorities,
//! or against those of `auth.ca`. The client follows no redirects, because the operator named the place. It does not
//! decompress answers, and it ignores proxies from the environment.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::Agent;
use ureq::config::Config;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::limits;

/// Makes the client. It needs certificate authorities only if `tls` is set, which means that it is for `https` URLs.
///
/// # Errors
/// When there are no certificate authorities to trust. The error says how to fix it.
pub(crate) fn agent(ca: Option<&Path>, tls: bool) -> Result<Agent, ClientError> {
    Ok(config(ca, tls)?.new_agent())
}

/// The client's settings.
pub(super) fn config(ca: Option<&Path>, tls: bool) -> Result<Config, ClientError> {
    let roots = match ca {
        _ if !tls => Vec::new(),
        Some(path) => authorities(path)?,
        None => {
            // Unreadable certificates of the system are skipped: only having none at all is an error.
            let found = rustls_native_certs::load_native_certs().certs;
            found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        }
    };
    if tls && roots.is_empty() {
        return Err(ClientError::NoAuthorities);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls =
        TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(RootCerts::from(roots)).build();
    Ok(Agent::config_builder()
        .tls_config(tls)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("corecast/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(16 * 1024)
        .max_idle_connections(limits::WEBHOOK_IN_FLIGHT_MAX)
        .max_idle_connections_per_host(limits::WEBHOOK_IN_FLIGHT_MAX)
        .build())
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, ClientError> {
    let unreadable = |error| ClientError::Unreadable { file: path.to_owned(), error };
    let pem = std::fs::read(path).map_err(unreadable)?;
    let mut roots = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => roots.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, error.to_string()))),
        }
    }
    match roots.is_empty() {
        true => Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, "no certificate in it"))),
        false => Ok(roots),
    }
}

/// Why there is no client.
#[derive(Debug)]
pub enum ClientError {
    /// The file that `auth.ca` names cannot be used.
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// The system has no certificate authorities.
    NoAuthorities,
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable { file, error } => {
                write!(f, "auth.ca = {}: {error}: name a PEM file of certificates", file.display())
            }
            Self::NoAuthorities => f.write_str(
                "this system has no certificate authorities to believe an https URL by: install its ca-certificates, or \
                 name a PEM file of your own with auth.ca",
            ),
        }
    }
}

impl std::error::Error for ClientError {}

/// Whether an attempt failed because the connection did. Only such an attempt is repeated, once. The server may have seen the
/// request, if the connection broke before the answer was there.
pub(super) fn is_connection_failure(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => true,
        // The connection was refused, or it was a kept-alive one that the server had closed in the meantime.
        ureq::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        ),
        _ => false,
    }
}

/// Describes the error without quoting the URL or any content.
pub(crate) fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "its host name is not known".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        ureq::Error::BodyExceedsLimit(bytes) => format!("its answer is longer than {bytes} bytes"),
        _ => "not an HTTP answer".to_owned(),
    }
}

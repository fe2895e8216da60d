//! The certificate of the HTTPS port: the operator's files, or a self-signed one made once and kept.
//!
//! Left out: reloading without a restart, and OCSP stapling.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Tls;

/// File name of the self-signed certificate in the state directory.
pub const CERT_FILE: &str = "https-certificate.pem";
/// File name of its key.
const KEY_FILE: &str = "https-key.pem";

/// Why HTTPS cannot be served. Its `Display` names the file and the fix.
#[derive(Debug)]
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
        /// What rustls said.
        cause: String,
    },
    /// Making a certificate failed.
    Generate(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, cause } => write!(f, "{}: {cause}", path.display()),
            Self::Refused { path, cause } => write!(
                f,
                "{}: {cause}: the chain must be PEM, leaf first, and belong to the key of tls.key / --tls-key",
                path.display()
            ),
            Self::Generate(cause) => write!(f, "the self-signed certificate cannot be made: {cause}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// What HTTPS is served with: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
///
/// # Errors
/// When a file cannot be read, written or used.
pub fn server_config(tls: &Tls, state_directory: &Path, names: &[String]) -> Result<Arc<ServerConfig>, TlsError> {
    let (cert_path, key_path) = match tls {
        Tls::Files { cert, key } => (cert.clone(), key.clone()),
        Tls::SelfSigned => self_signed(state_directory, names)?,
    };
    let chain = CertificateDer::pem_file_iter(&cert_path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file_error(&cert_path, &format!("cannot be read as PEM certificates ({error})")))?;
    if chain.is_empty() {
        return Err(file_error(&cert_path, "holds no certificate: name the PEM chain in tls.cert / --tls-cert"));
    }
    let key = PrivateKeyDer::from_pem_file(&key_path)
        .map_err(|error| file_error(&key_path, &format!("cannot be read as a PEM private key ({error})")))?;
    // Named: with two rustls providers in the process there is no default one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let refused = |error: rustls::Error| TlsError::Refused { path: cert_path.clone(), cause: error.to_string() };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(refused)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn file_error(path: &Path, cause: &str) -> TlsError {
    TlsError::File { path: path.to_owned(), cause: cause.to_owned() }
}

/// The kept certificate and key, made when one of them is missing.
fn self_signed(directory: &Path, names: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    prepare_directory(directory)?;
    let (cert_path, key_path) = (directory.join(CERT_FILE), directory.join(KEY_FILE));
    if cert_path.exists() && key_path.exists() {
        return Ok((cert_path, key_path));
    }
    let (cert, key) = generate(names).map_err(|error| TlsError::Generate(error.to_string()))?;
    // The key first: a certificate without its key is made anew at the next start, never the other way round.
    write_private(&key_path, &key)?;
    write_private(&cert_path, &cert)?;
    tracing::info!(certificate = %cert_path.display(), "made a self-signed certificate");
    Ok((cert_path, key_path))
}

/// Certificate and key as PEM text. P-256: every browser takes it.
fn generate(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Corecast (self-signed)");
    // Made once and kept. 2049 is the last year that every parser reads (RFC 5280 §4.1.2.5.1).
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}

/// Makes the directory for its owner alone; refuses one that others may write into.
///
/// # Errors
/// When it cannot be made, or others may write into it.
pub fn prepare_directory(directory: &Path) -> Result<(), TlsError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        file_error(directory, &format!("cannot be made ({error}): name a writable one with --state-directory"))
    })?;
    let mode = fs::metadata(directory).map_err(|error| file_error(directory, &error.to_string()))?.mode();
    if mode & 0o022 != 0 {
        return Err(file_error(
            directory,
            &format!(
                "others may write into it (mode {:04o}): chmod 700 it, or name another with --state-directory",
                mode & 0o7777
            ),
        ));
    }
    Ok(())
}

/// Writes a file only its owner may read, in one step: another process sees all of it or nothing.
fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        file_error(path, &format!("cannot be written ({error}): name a writable directory with --state-directory"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
    }

    #[test]
    fn the_first_start_makes_a_certificate_and_the_next_one_keeps_it() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("deep/corecast");
        let config = server_config(&Tls::SelfSigned, &directory, &names()).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        let first = fs::read(directory.join(CERT_FILE)).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(directory.join(KEY_FILE)).unwrap().mode() & 0o777, 0o600);
        server_config(&Tls::SelfSigned, &directory, &names()).unwrap();
        assert_eq!(fs::read(directory.join(CERT_FILE)).unwrap(), first);
    }

    #[test]
    fn a_directory_others_may_write_into_is_refused_with_the_fix() {
        use std::os::unix::fs::PermissionsExt as _;
        let state = tempfile::tempdir().unwrap();
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = server_config(&Tls::SelfSigned, state.path(), &names()).unwrap_err().to_string();
        assert!(error.contains("mode 0777") && error.contains("chmod 700"), "{error}");
    }

    #[test]
    fn files_that_are_missing_empty_or_of_two_pairs_are_named() {
        let state = tempfile::tempdir().unwrap();
        let path = |name: &str| state.path().join(name);
        let (cert, key) = generate(&names()).unwrap();
        let (_, other_key) = generate(&names()).unwrap();
        for (name, text) in [("c", cert.as_str()), ("k", &key), ("other", &other_key), ("empty", "")] {
            fs::write(path(name), text).unwrap();
        }
        let with = |cert: &str, key: &str| {
            server_config(&Tls::Files { cert: path(cert), key: path(key) }, state.path(), &[])
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        assert_eq!(with("c", "k"), Ok(()));
        for (cert, key, named) in
            [("nothing", "k", "nothing"), ("empty", "k", "empty"), ("c", "empty", "empty"), ("c", "other", "/c: ")]
        {
            let error = with(cert, key).unwrap_err();
            assert!(error.contains(named), "{cert} {key}: {error}");
        }
    }
}

//! The self-signed certificate of a node that has no other. It is made once for this host's names and kept in the state
//! directory.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::error::{TlsError, file_error};
use crate::config::CertificateFiles;

/// File name of the self-signed certificate in the state directory.
pub const CERT_FILE: &str = "https-certificate.pem";
/// File name of its key.
pub(super) const KEY_FILE: &str = "https-key.pem";

/// The stored certificate and key. They are made if one of them is missing.
pub(super) fn kept(directory: &Path, names: &[String]) -> Result<CertificateFiles, TlsError> {
    prepare_directory(directory)?;
    let pair = CertificateFiles { cert: directory.join(CERT_FILE), key: directory.join(KEY_FILE) };
    if pair.cert.exists() && pair.key.exists() {
        return Ok(pair);
    }
    let (cert, key) = generate(names).map_err(|error| TlsError::Generate(error.to_string()))?;
    // The key is written first, so that an existing certificate always has its key. If only the key exists, both are
    // made again at the next start.
    write_private(&pair.key, &key)?;
    write_private(&pair.cert, &cert)?;
    tracing::info!(certificate = %pair.cert.display(), "made a self-signed certificate");
    Ok(pair)
}

/// Makes a certificate and its key as PEM text. The key is P-256, which every browser accepts.
pub(super) fn generate(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Corecast (self-signed)");
    // The certificate is made once and kept. 2049 is the last year that every parser can read (RFC 5280 §4.1.2.5.1).
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}

/// Makes the directory for its owner alone. A directory that others may write into is refused.
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

/// Writes a file that only its owner may read. It appears in one step: another process sees all of it or nothing.
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

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
    // Not `exists`, which follows a link to wherever it leads.
    if fs::symlink_metadata(&pair.cert).is_ok() && fs::symlink_metadata(&pair.key).is_ok() {
        check_owned(&pair.key, 0o077)?;
        check_owned(&pair.cert, 0o022)?;
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

/// Refuses a kept file that somebody else may have put there, or can read: one that is no plain file, belongs to neither
/// this user nor root, or has one of the `forbidden` permissions.
fn check_owned(file: &Path, forbidden: u32) -> Result<(), TlsError> {
    let metadata = fs::symlink_metadata(file).map_err(|error| file_error(file, &error.to_string()))?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let problem = if !metadata.is_file() {
        "it is no plain file".to_owned()
    } else if !is_trusted(owner)? {
        format!("it belongs to another user (uid {owner})")
    } else if mode & forbidden != 0 {
        format!("others may read or write it (mode {mode:04o})")
    } else {
        return Ok(());
    };
    Err(file_error(file, &format!("{problem}: remove both files, and the node makes its own again")))
}

/// Whether a user may be believed: it is root or the user that this process runs as.
fn is_trusted(uid: u32) -> Result<bool, TlsError> {
    let own = Path::new("/proc/self");
    let me = fs::metadata(own).map_err(|error| file_error(own, &error.to_string()))?.uid();
    Ok(uid == 0 || uid == me)
}

/// Makes the directory for its owner alone. A directory that others may write into, or that belongs to another user, is
/// refused.
///
/// # Errors
/// When it cannot be made, or others may write into it.
pub fn prepare_directory(directory: &Path) -> Result<(), TlsError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
        file_error(directory, &format!("cannot be made ({error}): name a writable one with --state-directory"))
    })?;
    let metadata = fs::metadata(directory).map_err(|error| file_error(directory, &error.to_string()))?;
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if !is_trusted(owner)? {
        return Err(file_error(
            directory,
            &format!("it belongs to another user (uid {owner}): chown it, or name another with --state-directory"),
        ));
    }
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
        // What a node that was killed has left. A new file is made (O_EXCL), so that no link is followed.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        file_error(path, &format!("cannot be written ({error}): name a writable directory with --state-directory"))
    })
}

//! Reads one certificate from its two PEM files: the chain as it will be sent, the key, the names it is for, and its
//! dates.
//!
//! Not checked here: whether clients will trust the chain, and its dates. An expired certificate is better than none,
//! and the log warns about it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use super::error::{TlsError, file_error};
use crate::config::CertificateFiles;
use crate::limits;

/// A certificate that can be served.
#[derive(Debug)]
pub(super) struct Certificate {
    /// The chain and the key.
    pub(super) certified: Arc<CertifiedKey>,
    /// The DNS names it is for, in lower case. They may be wildcards like `*.example.org`.
    pub(super) names: Vec<String>,
    pub(super) dates: Dates,
}

/// The validity of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dates {
    /// The file it came from.
    pub path: PathBuf,
    /// The first name it is for; empty if it has none.
    pub name: String,
    /// Seconds since 1970.
    pub not_before_s: i64,
    /// Seconds since 1970.
    pub not_after_s: i64,
}

impl Dates {
    /// The last day of validity, as a readable date.
    #[must_use]
    pub fn last_day(&self) -> String {
        let time = x509_parser::time::ASN1Time::from_timestamp(self.not_after_s);
        time.map_or_else(|_| self.not_after_s.to_string(), |time| time.to_datetime().date().to_string())
    }

    /// Whether it should have been renewed by `now_s`: see [`limits::CERTIFICATE_LEFT_MIN`].
    #[must_use]
    pub fn is_ending(&self, now_s: i64) -> bool {
        let third = self.not_after_s.saturating_sub(self.not_before_s) / 3;
        let least = i64::try_from(limits::CERTIFICATE_LEFT_MIN.as_secs()).unwrap_or(i64::MAX).min(third);
        self.not_after_s.saturating_sub(now_s) < least
    }
}

/// Reads a certificate and its key.
pub(super) fn read(pair: &CertificateFiles) -> Result<Certificate, TlsError> {
    let CertificateFiles { cert, key } = pair;
    let chain = CertificateDer::pem_slice_iter(&bytes(cert)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file_error(cert, &format!("cannot be read as PEM certificates ({error})")))?;
    let Some(leaf) = chain.first() else {
        return Err(file_error(cert, "holds no certificate: name the PEM chain in tls.cert / --tls-cert"));
    };
    let (names, dates) = names_and_dates(cert, leaf)?;
    let private_key = PrivateKeyDer::from_pem_slice(&bytes(key)?)
        .map_err(|error| file_error(key, &format!("cannot be read as a PEM private key ({error})")))?;
    let certified = CertifiedKey::from_der(chain, private_key, &rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|error| TlsError::Refused { path: cert.clone(), key: key.clone(), cause: error.to_string() })?;
    Ok(Certificate { certified: Arc::new(certified), names, dates })
}

/// Reads a file, with a bound on its length.
fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(limits::CERTIFICATE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .and_then(|read| match read as u64 > limits::CERTIFICATE_FILE_BYTES_MAX {
            true => Err(io::Error::other(format!("longer than {} bytes", limits::CERTIFICATE_FILE_BYTES_MAX))),
            false => Ok(()),
        });
    read.map_err(|error| {
        file_error(path, &format!("cannot be read ({error}): it must be there, and readable by the node's user"))
    })?;
    Ok(bytes)
}

fn names_and_dates(path: &Path, leaf: &CertificateDer<'_>) -> Result<(Vec<String>, Dates), TlsError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| file_error(path, &format!("its first certificate is not X.509 ({error})")))?;
    let named = parsed.subject_alternative_name().ok().flatten();
    let all = named.iter().flat_map(|extension| &extension.value.general_names);
    let names: Vec<String> = all
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .take(limits::CERTIFICATE_NAMES_MAX)
        .collect();
    let validity = parsed.validity();
    let dates = Dates {
        path: path.to_owned(),
        name: names.first().cloned().unwrap_or_default(),
        not_before_s: validity.not_before.timestamp(),
        not_after_s: validity.not_after.timestamp(),
    };
    Ok((names, dates))
}

//! The `[tls]` table.

use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigError, Sources, bounded};
use crate::config::{CertificateFiles, Settings, Tls};
use crate::limits;

pub(super) fn certificates(sources: &Sources<'_>) -> Result<Tls, ConfigError> {
    let cert = sources.pick("tls.cert", |s| s.tls.cert.clone());
    let key = sources.pick("tls.key", |s| s.tls.key.clone());
    let mut pairs = match (cert, key) {
        (None, None) => Vec::new(),
        (Some(cert), Some(key)) => vec![CertificateFiles { cert: cert.value.into(), key: key.value.into() }],
        (Some(cert), None) => {
            return Err(cert.refuse(&cert.value, "needs its private key: set tls.key or --tls-key too"));
        }
        (None, Some(key)) => {
            return Err(key.refuse(&key.value, "needs its certificate: set tls.cert or --tls-cert too"));
        }
    };
    let more = |s: &Settings| Some(s.tls.certificates.clone()).filter(|certificates| !certificates.is_empty());
    if let Some(placed) = sources.pick("tls.certificates", more) {
        if placed.value.len() + pairs.len() > limits::CERTIFICATES_MAX {
            let rule = format!("must be at most {} with tls.cert", limits::CERTIFICATES_MAX);
            return Err(placed.refuse(format!("({} certificates)", placed.value.len()), rule));
        }
        if let Some(pair) = placed.value.iter().find(|pair| pair.cert.is_empty() || pair.key.is_empty()) {
            return Err(placed.refuse(format!("{pair:?}"), "must name two files, cert and key"));
        }
        let files = placed.value.iter();
        pairs.extend(files.map(|pair| CertificateFiles { cert: (&pair.cert).into(), key: (&pair.key).into() }));
    }
    Ok(if pairs.is_empty() { Tls::SelfSigned } else { Tls::Files(pairs) })
}

pub(super) fn acme_webroot(sources: &Sources<'_>, redirects: bool) -> Result<Option<PathBuf>, ConfigError> {
    let Some(placed) = sources.pick("tls.acme_webroot", |s| s.tls.acme_webroot.clone()) else { return Ok(None) };
    if placed.value.is_empty() {
        return Err(placed.refuse("\"\"", "must name a directory"));
    }
    if !redirects {
        return Err(placed.refuse(
            &placed.value,
            "challenges come over plain HTTP to port 80: set http_redirect (--http-redirect) to where that port leads",
        ));
    }
    Ok(Some(placed.value.into()))
}

/// How long browsers are told to use only HTTPS. This is a promise about a host name and all of its ports. Browsers
/// remember it, and then offer no way around a certificate that no authority has signed. So it is made by default only
/// if the operator has set a certificate and the plain port (`promises`).
pub(super) fn hsts_age(sources: &Sources<'_>, promises: bool) -> Result<Duration, ConfigError> {
    let default = if promises { limits::HSTS_AGE_DEFAULT } else { Duration::ZERO };
    let seconds = bounded(sources, "tls.hsts_age_s", |s| s.tls.hsts_age_s)?;
    Ok(seconds.map_or(default, |seconds| Duration::from_secs(seconds.into())))
}

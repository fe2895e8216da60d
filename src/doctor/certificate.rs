//! The dates between which the HTTPS certificate is valid. Whether it fits its key is checked by rustls at start, and
//! whether it fits its name by the clients.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::parse_x509_certificate;

use super::finding::Finding;
use crate::config::{Config, Tls};
use crate::signal::tls;

/// ACME clients renew 30 days before the end; two weeks before it something has gone wrong.
const DAYS_LEFT_MIN: i64 = 14;

pub(super) fn examine(config: &Config, now: SystemTime) -> Vec<Finding> {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    match &config.tls {
        Tls::Files(pairs) => pairs
            .iter()
            .map(|pair| {
                let is_awaited = config.acme_webroot.is_some() && pair.cert.try_exists().is_ok_and(|exists| !exists);
                if is_awaited {
                    let found = format!("{} is to be brought by the ACME client", pair.cert.display());
                    return Finding::warning("HTTPS", found, "run it; until then the self-signed one is served");
                }
                of_file("HTTPS", &pair.cert, now, "renew it: a running node takes the new one")
            })
            .collect(),
        Tls::SelfSigned => {
            let path = config.state_directory.join(tls::CERT_FILE);
            // An error is not taken for absence: this user may not be allowed to look.
            if path.try_exists().is_ok_and(|exists| !exists) {
                return vec![Finding::ok("HTTPS", "self-signed, to be made at the first start")];
            }
            let fix = format!("rm {} and send the node SIGHUP, which makes a new one", path.display());
            let mut finding = of_file("HTTPS", &path, now, &fix);
            finding.found = format!("self-signed, {}", finding.found);
            vec![finding]
        }
    }
}

fn of_file(what: &str, path: &Path, now: i64, fix: &str) -> Finding {
    let der = match CertificateDer::from_pem_file(path) {
        Ok(der) => der,
        Err(error) => {
            let found = format!("{} cannot be read ({error})", path.display());
            // The node does not start if it cannot read the file. But the doctor may run as another user than the node.
            return Finding::error(what, found, "name the PEM chain in tls.cert, or run the doctor as the node's user");
        }
    };
    let Ok((_, certificate)) = parse_x509_certificate(&der) else {
        return Finding::error(what, format!("{} holds no X.509 certificate", path.display()), fix);
    };
    let validity = certificate.validity();
    let date = |time: &x509_parser::time::ASN1Time| time.to_datetime().date().to_string();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let days_left = (until - now).div_euclid(24 * 60 * 60);
    let valid_until = format!("valid until {}", date(&validity.not_after));
    if now < from {
        let found = format!("valid from {} only", date(&validity.not_before));
        Finding::error(what, found, "set the clock, or wait")
    } else if now > until {
        Finding::error(what, format!("expired on {}", date(&validity.not_after)), fix)
    } else if days_left < DAYS_LEFT_MIN {
        Finding::warning(what, format!("{valid_until}, {days_left} days from now"), fix)
    } else {
        Finding::ok(what, format!("{valid_until}, {days_left} days from now"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level::{Error, Ok as Fine, Warning};
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    #[test]
    fn a_certificate_is_judged_by_its_dates() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chain.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2030, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 4, 1);
        std::fs::write(&path, params.self_signed(&key).unwrap().pem()).unwrap();
        let until = params.not_after.unix_timestamp();
        for (now, level, part) in [
            (until - 200 * DAY, Error, "valid from 2030-01-01"),
            (until - 60 * DAY, Fine, "valid until 2030-04-01, 60 days"),
            (until - 13 * DAY, Warning, "13 days"),
            (until + 1, Error, "expired on 2030-04-01"),
        ] {
            let finding = of_file("HTTPS", &path, now, "renew it");
            assert!(finding.level == level && finding.found.contains(part), "{finding:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_an_error_that_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chain.pem");
        assert!(of_file("HTTPS", &path, 0, "").found.contains("chain.pem"));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert_eq!(of_file("HTTPS", &path, 0, "").level, Error);
    }
}

//! Authorities and certificates of tests.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use rustls::pki_types::CertificateDer;

use crate::cluster::channel::identity::Files;

/// An authority.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate is to say.
pub(crate) struct Certificate {
    /// Its names, each a URI.
    pub(crate) names: Vec<String>,
    /// Its first and its last year.
    pub(crate) years: (i32, i32),
    /// What it is for.
    pub(crate) uses: Vec<ExtendedKeyUsagePurpose>,
}

impl Default for Certificate {
    fn default() -> Self {
        let uses = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Self { names: Vec::new(), years: (2020, 2100), uses }
    }
}

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) der: CertificateDer<'static>,
    cert: String,
    key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self, what: &Certificate) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names =
            what.names.iter().map(|name| SanType::URI(name.as_str().try_into().unwrap())).collect();
        params.not_before = rcgen::date_time_ymd(what.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(what.years.1, 1, 1);
        params.extended_key_usages = what.uses.clone();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { der: certificate.der().clone(), cert: certificate.pem(), key: key.serialize_pem() }
    }

    /// A good one, of a node.
    pub(crate) fn issue_to(&self, name: &str) -> Issued {
        self.issue(&Certificate { names: vec![name.to_owned()], ..Certificate::default() })
    }
}

/// Writes a node's files.
pub(crate) fn write(directory: &Path, node: &str, authorities: &[&Authority], issued: &Issued) -> Files {
    let path = |what: &str| directory.join(format!("{node}-{what}.pem"));
    let files = Files { ca: path("ca"), cert: path("cert"), key: path("key") };
    std::fs::write(&files.ca, authorities.iter().map(|authority| authority.pem.as_str()).collect::<String>()).unwrap();
    std::fs::write(&files.key, &issued.key).unwrap();
    std::fs::write(&files.cert, &issued.cert).unwrap();
    files
}

//! What a node shows other nodes, and by whom it believes them: the three files of `cluster.ca`, `cluster.cert` and `cluster.key`, read
//! together, and again when they change. Connections that were made before go on.
//!
//! A set of files that cannot be used, or does not name this very node, is not taken: the one from before is used on, and the log says so.
//! It is not refused that the chain leads to no authority of `cluster.ca`, or that its time is over: the others may know more
//! authorities, or have another clock. That is logged.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::name::{NoName, NodeName, described};
use super::trust::Trust;
use crate::limits;
use crate::signal::tls::watch::{self, Look};

/// The files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The authorities.
    pub ca: PathBuf,
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The files cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityError {
    /// Which setting names the file.
    pub setting: &'static str,
    /// The file.
    pub file: PathBuf,
    /// What is wrong, and what it should be.
    pub why: String,
}

/// What the files hold.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) trust: Trust,
    /// Until when the certificate is valid, in seconds since 1970.
    pub(super) not_after_s: i64,
}

/// What a node shows at the moment. Clones share it.
#[derive(Clone, Debug)]
pub struct Identities {
    me: NodeName,
    present: Arc<Mutex<Arc<Identity>>>,
}

impl Identities {
    /// Reads the files, and watches them on a thread of its own for as long as a clone of this is there.
    ///
    /// # Errors
    /// When they cannot be read, do not belong together, or are not of this node; or there is no thread.
    pub fn read(files: Files, me: NodeName) -> Result<Self, IdentityError> {
        let mut watched = watch::Files::new(vec![files.ca.clone(), files.cert.clone(), files.key.clone()]);
        let present = Arc::new(Mutex::new(Arc::new(read(&files, &me)?)));
        let (weak, name, cert) = (Arc::downgrade(&present), me.clone(), files.cert.clone());
        thread::Builder::new()
            .name("cluster-tls".to_owned())
            .spawn(move || keep_reading(&mut watched, &files, &name, &weak))
            .map_err(|error| IdentityError {
                setting: "cluster.cert",
                file: cert,
                why: format!("the thread that watches it cannot be started ({error})"),
            })?;
        Ok(Self { me, present })
    }

    /// The name of this node.
    #[must_use]
    pub fn me(&self) -> &NodeName {
        &self.me
    }

    pub(super) fn now(&self) -> Arc<Identity> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn keep_reading(watched: &mut watch::Files, files: &Files, me: &NodeName, present: &Weak<Mutex<Arc<Identity>>>) {
    loop {
        thread::sleep(limits::CERTIFICATE_LOOK_INTERVAL);
        let Some(present) = present.upgrade() else { return };
        let put = |identity| *present.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
        match watched.look(|| read(files, me), put) {
            Look::Unchanged | Look::NotYet => {}
            Look::Replaced => tracing::info!("this node's certificate for other nodes was read again"),
            Look::Refused(IdentityError { setting, file, why }) => tracing::warn!(
                setting,
                file = %file.display(),
                why,
                "the cluster's certificates have changed and cannot be used: those of before are used on"
            ),
        }
    }
}

fn read(files: &Files, me: &NodeName) -> Result<Identity, IdentityError> {
    let wrong = |setting, file: &Path, why: String| IdentityError { setting, file: file.to_owned(), why };
    let of_ca = |why| wrong("cluster.ca", &files.ca, why);
    let of_cert = |why| wrong("cluster.cert", &files.cert, why);
    let of_key = |why| wrong("cluster.key", &files.key, why);

    let authorities = certificates(&files.ca).map_err(of_ca)?;
    let trust = Trust::new(authorities).map_err(of_ca)?;
    let chain = certificates(&files.cert).map_err(of_cert)?;
    let own = chain.first().ok_or_else(|| of_cert("there is no certificate in it".to_owned()))?.clone();
    check_name(&own, me).map_err(of_cert)?;
    let key = Zeroizing::new(bytes(&files.key).map_err(of_key)?);
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| of_key(format!("it cannot be read as a private key in PEM form ({error})")))?;
    let certified =
        CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider()).map_err(|error| {
            of_key(format!("it does not belong to the certificate in {} ({error})", files.cert.display()))
        })?;
    if let Err(refusal) = trust.judge(&certified.cert, UnixTime::now()) {
        tracing::warn!(
            kind = refusal.kind.name(),
            "other nodes that have the same cluster.ca will refuse this one: {}",
            refusal.text
        );
    }
    let not_after_s = x509_parser::parse_x509_certificate(&own)
        .map_or(0, |(_, certificate)| certificate.validity().not_after.timestamp());
    Ok(Identity { certified: Arc::new(certified), trust, not_after_s })
}

/// Whether a certificate is of this very node.
fn check_name(own: &CertificateDer<'_>, me: &NodeName) -> Result<(), String> {
    let said = match NodeName::of(own) {
        Ok(name) if name == *me => return Ok(()),
        Ok(name) => format!("it names {name}"),
        Err(NoName::Unreadable) => "its names cannot be read".to_owned(),
        Err(NoName::None) => format!("it is of {} and names no node", described(own)),
        Err(NoName::Malformed) => format!("it names {}, which no node is called", described(own)),
        Err(NoName::Several) => format!("it names several nodes: {}", described(own)),
    };
    Err(format!(
        "{said}; this node is {me}: its certificate needs the subject alternative name URI:{me}, and no other such"
    ))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
    found.map_err(|error| format!("it cannot be read as certificates in PEM form ({error})"))
}

/// Reads a file, with a bound on its length.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let most = limits::CERTIFICATE_FILE_BYTES_MAX;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    let read = read.and_then(|read| match read as u64 > most {
        true => Err(io::Error::other(format!("longer than {most} bytes"))),
        false => Ok(()),
    });
    read.map_err(|error| format!("it cannot be read ({error}): it must be there, and readable by the node's user"))?;
    Ok(bytes)
}

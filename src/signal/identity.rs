//! The DTLS certificate of new sessions. It is replaced regularly.
//!
//! A certificate is made here and shared by the sessions of all workers. It lives in memory only, and peers check only
//! its fingerprint, which is in the answer. So it can be replaced at any time. The younger it is, the less a stolen key
//! is worth, and the shorter the time for which one fingerprint identifies this node. A session gets its certificate
//! when it opens, together with the answer, so the two always agree. It keeps that certificate until it ends.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::runtime;
use crate::dtls::DtlsIdentity;

/// The certificate that new sessions get.
#[derive(Debug)]
pub(super) struct Identity(RefCell<DtlsIdentity>);

impl Identity {
    /// Starts with the first certificate.
    pub(super) fn new(first: DtlsIdentity) -> Self {
        Self(RefCell::new(first))
    }

    /// The present certificate.
    pub(super) fn now(&self) -> DtlsIdentity {
        self.0.borrow().clone()
    }
}

/// Replaces the certificate each time `age` has passed. Making one takes a tenth of a millisecond of the executor's
/// time.
pub(super) async fn rotate(identity: Rc<Identity>, age: Duration) {
    loop {
        runtime::sleep(age).await;
        match DtlsIdentity::generate(SystemTime::now()) {
            Ok(newest) => {
                identity.0.replace(newest);
                tracing::info!("new sessions get another DTLS certificate");
            }
            Err(error) => tracing::warn!(%error, "there is no other DTLS certificate; the old one is used on"),
        }
    }
}

//! The DTLS certificate of new sessions, another one every so often.
//!
//! A certificate is made here and shared by the sessions of all workers. It lives in memory only, and nobody looks at more
//! than its fingerprint, which the answer brings; so the younger it is, the less a stolen key is worth, and the shorter
//! one fingerprint names this node. A session is handed its certificate when it opens, together with what the answer says:
//! the two agree at every moment, and one that runs keeps its own to its end.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::runtime;
use crate::dtls::DtlsIdentity;

/// The one that sessions opened now are given.
#[derive(Debug)]
pub(super) struct Identity(RefCell<DtlsIdentity>);

impl Identity {
    /// The first.
    pub(super) fn new(first: DtlsIdentity) -> Self {
        Self(RefCell::new(first))
    }

    /// As of now.
    pub(super) fn now(&self) -> DtlsIdentity {
        self.0.borrow().clone()
    }
}

/// Makes another one each time `age` has passed. It costs the executor a tenth of a millisecond.
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

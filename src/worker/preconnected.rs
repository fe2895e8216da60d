//! Sessions that are connected from the start, for benches: thousands of viewers without thousands of handshakes.

use crate::crypto::random::Random;
use crate::limits;
use crate::session::Session;
use crate::srtp::SrtpKeys;
use crate::time::Timestamp;
use crate::transport::PathAddress;
use crate::worker::lifecycle::Lifecycle;
use crate::worker::mailbox::{OpenRefused, OpenSession};

impl Lifecycle<'_> {
    /// Opens a session that has its path and its keys already, as if ICE and DTLS had just finished.
    ///
    /// # Errors
    /// As for any session.
    pub(super) fn open_connected(
        &mut self,
        request: OpenSession,
        keys: &SrtpKeys,
        address: &PathAddress,
        random: &mut dyn Random,
        now: Timestamp,
    ) -> Result<(), OpenRefused> {
        let path = self.peers.arrive(address).ok_or(OpenRefused::Full)?;
        let (local, remote) = (request.local_ice.clone(), request.description.remote_ice.clone());
        let mut ice_secret = [0; limits::ICE_SECRET_BYTES];
        random.fill(&mut ice_secret);
        let session = Session::with_keys(local, remote, keys, path, ice_secret, now);
        let key = self.open(request, random, now)?;
        if let Some(peer) = self.peers.get_mut(key) {
            peer.session = session;
        }
        self.peers.claim_path(path, key);
        self.connected(key, now);
        self.peers.arm(key);
        Ok(())
    }
}

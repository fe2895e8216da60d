//! Sessions that are connected from the start, for benches: thousands of viewers without thousands of handshakes.

use crate::crypto::random::Random;
use crate::description::IceCredentials;
use crate::limits;
use crate::session::Session;
use crate::srtp::SrtpKeys;
use crate::time::Timestamp;
use crate::transport::{PathAddress, PathId};
use crate::worker::lifecycle::Lifecycle;
use crate::worker::mailbox::{OpenRefused, OpenSession};
use crate::worker::peer::PeerKey;

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
        let ice = (request.local_ice.clone(), request.description.remote_ice.clone());
        let key = self.open(request, random, now)?;
        self.connect(key, ice, keys, path, random, now);
        Ok(())
    }

    /// Gives a session that was opened its path and its keys, as if ICE and DTLS had just finished.
    pub(super) fn connect(
        &mut self,
        key: PeerKey,
        (local, remote): (IceCredentials, IceCredentials),
        keys: &SrtpKeys,
        path: PathId,
        random: &mut dyn Random,
        now: Timestamp,
    ) {
        let mut ice_secret = [0; limits::ICE_SECRET_BYTES];
        random.fill(&mut ice_secret);
        if let Some(peer) = self.peers.get_mut(key) {
            peer.session = Session::with_keys(local, remote, keys, path, ice_secret, now);
        }
        self.peers.claim_path(path, key);
        self.connected(key, now);
        self.peers.arm(key);
    }
}

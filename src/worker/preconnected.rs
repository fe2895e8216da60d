//! Sessions that are connected from the start, for benches: thousands of viewers without thousands of handshakes.

use crate::session::Session;
use crate::srtp::SrtpKeys;
use crate::time::Timestamp;
use crate::transport::Path;
use crate::worker::mailbox::{OpenRefused, OpenSession};
use crate::worker::round::Worker;

impl Worker {
    /// Opens a session that has its path and its keys already, as if ICE and DTLS had just finished.
    ///
    /// # Errors
    /// As for any session.
    pub fn open_connected(
        &mut self,
        request: OpenSession,
        keys: &SrtpKeys,
        path: Path,
        now: Timestamp,
    ) -> Result<(), OpenRefused> {
        let session =
            Session::with_keys(request.local_ice.clone(), request.description.remote_ice.clone(), keys, path, now);
        let id = request.session;
        self.open(request, now)?;
        let key = self.by_session.get(&id).copied();
        let Some((key, peer)) = key.and_then(|key| Some((key, self.peers.get_mut(key)?))) else { return Ok(()) };
        peer.session = session;
        self.handshake_over(key);
        self.flows.insert(path, key);
        self.counters.connected += 1;
        self.start_viewer(key, now);
        self.arm(key);
        Ok(())
    }
}

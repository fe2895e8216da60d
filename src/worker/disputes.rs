//! Two sessions claim one path: whose it is.
//!
//! ```text
//!   a valid check of B's from a path that A owns ──▶ both peers are asked there
//!      A's answers (or is heard, if it never answers) ──▶ A keeps it
//!      B's answers, A's does not for 1.5 s            ──▶ it passes to B; A sends nothing there any more
//!      B's answers, A was never proven there          ──▶ it passes to B at once
//!      neither                                        ──▶ A keeps it
//! ```
//!
//! While neither has shown that it is there, nobody gets the DTLS that comes from there: the owner may be a stranger whose
//! session would answer a client's hello before the client's own does.
//!
//! So one forged check takes nothing, whoever sends it; a client that reuses the address of one that is gone waits for
//! 1.5 s; and an address that somebody claimed without being there is free for who is there.

use crate::limits;
use crate::time::Timestamp;
use crate::transport::PathId;
use crate::worker::lifecycle::Lifecycle;
use crate::worker::peer::PeerKey;
use crate::worker::reason::DropReason;

impl Lifecycle<'_> {
    /// A peer has shown itself on a path, by a check or by an answer: says whose the path is.
    pub(super) fn claim_path(&mut self, key: PeerKey, path: PathId, now: Timestamp) {
        if !self.peers.get(key).is_some_and(|peer| peer.session.holds(path)) {
            return;
        }
        let Some(owner) = self.peers.claim_path(path, key) else { return };
        let confirmed = |key| self.peers.get(key).and_then(|peer| peer.session.confirmed(path));
        match (confirmed(key), confirmed(owner)) {
            (Some(_), None) => return self.peers.pass_path(path, key, now),
            (claimant, Some(owners)) => {
                let since = self.peers.dispute_path(path, now);
                if owners > since {
                    self.peers.settle_path(path);
                } else if claimant.is_some_and(|at| at >= since) && now.since(since) >= limits::PATH_DISPUTE {
                    return self.peers.pass_path(path, key, now);
                }
            }
            (None, None) => {}
        }
        self.counters.dropped(DropReason::PathDisputed);
        for holder in [owner, key] {
            if let Some(peer) = self.peers.get_mut(holder) {
                peer.session.ask(path, self.outbox.batch(), now);
            }
        }
    }
}

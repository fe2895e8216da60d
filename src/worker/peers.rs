//! The peers of a worker and everything by which they are found: number, user fragment, path, deadline.

use std::collections::HashMap;

use slotmap::SlotMap;

use crate::time::Timestamp;
use crate::transport::path::ConnectionId;
use crate::transport::{PathAddress, PathBook, PathId, PathTable};
use crate::worker::mailbox::SessionId;
use crate::worker::peer::{Peer, PeerKey};
use crate::worker::timers::{NEVER, Timers};

/// All peers of a worker.
#[derive(Debug, Default)]
pub(super) struct Peers {
    table: SlotMap<PeerKey, Peer>,
    by_session: HashMap<SessionId, PeerKey>,
    by_ufrag: HashMap<String, PeerKey>,
    paths: PathTable<PeerKey>,
    timers: Timers<PeerKey>,
    /// Sessions that have ended, and whose TURN connections are to be closed.
    ended: Vec<SessionId>,
    /// TURN connections of transports that have ended while their sessions go on.
    left_relays: Vec<ConnectionId>,
}

impl Peers {
    #[inline]
    pub(super) fn get(&self, key: PeerKey) -> Option<&Peer> {
        self.table.get(key)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        self.table.get_mut(key)
    }

    pub(super) fn contains(&self, key: PeerKey) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many sessions there are. Those whose keys change have two transports each.
    pub(super) fn sessions(&self) -> usize {
        self.by_session.len()
    }

    pub(super) fn keys(&self) -> Vec<PeerKey> {
        self.table.keys().collect()
    }

    /// Adds a peer under its session's number and its user fragment.
    pub(super) fn insert(&mut self, peer: Peer) -> PeerKey {
        let id = peer.id;
        let key = self.insert_new_transport(peer);
        self.by_session.insert(id, key);
        key
    }

    /// Adds a session's second transport, which its number does not name yet.
    pub(super) fn insert_new_transport(&mut self, peer: Peer) -> PeerKey {
        let ufrag = peer.session.ice().local_ufrag().to_owned();
        let key = self.table.insert(peer);
        self.by_ufrag.insert(ufrag, key);
        key
    }

    /// A session's number names this transport of it from now on.
    pub(super) fn name(&mut self, session: SessionId, key: PeerKey) {
        self.by_session.insert(session, key);
    }

    /// Takes a peer out with all its names and paths. A timer entry that is left comes up for nobody.
    pub(super) fn remove(&mut self, key: PeerKey) -> Option<Peer> {
        let peer = self.table.remove(key)?;
        for path in peer.session.paths() {
            self.paths.release(path, key);
        }
        if self.find_session(peer.id) == Some(key) {
            self.by_session.remove(&peer.id);
        }
        self.by_ufrag.remove(peer.session.ice().local_ufrag());
        if let Some(previous) = peer.session.ice().previous_ufrag() {
            self.by_ufrag.remove(previous);
        }
        Some(peer)
    }

    pub(super) fn find_session(&self, session: SessionId) -> Option<PeerKey> {
        self.by_session.get(&session).copied()
    }

    pub(super) fn find_ufrag(&self, ufrag: &str) -> Option<PeerKey> {
        self.by_ufrag.get(ufrag).copied()
    }

    #[inline]
    pub(super) fn find_path(&self, address: &PathAddress) -> Option<(PathId, PeerKey)> {
        self.paths.find(address)
    }

    /// A path to answer on, which is forgotten when the batch has been sent unless a peer gets it before.
    pub(super) fn arrive(&mut self, address: &PathAddress) -> Option<PathId> {
        self.paths.arrive(address)
    }

    /// The addresses of all paths.
    #[inline]
    pub(super) fn path_book(&self) -> &PathBook {
        self.paths.book()
    }

    /// The batch has been sent: paths that nobody holds are forgotten.
    pub(super) fn batch_sent(&mut self) {
        self.paths.forget_unheld();
    }

    /// A datagram from there was refused: a connection that is nobody's path is closed.
    pub(super) fn abandon(&mut self, address: &PathAddress) {
        self.paths.abandon(address);
    }

    /// Takes a connection that belongs to nobody any more.
    #[inline]
    pub(super) fn take_abandoned(&mut self) -> Option<ConnectionId> {
        self.paths.take_abandoned().or_else(|| self.left_relays.pop())
    }

    /// A transport that was taken out has ended, and its session goes on with `other`: the TURN connections that carried the
    /// one and do not carry the other are closed when its last words have left.
    pub(super) fn leave_relays(&mut self, ended: &Peer, other: Option<PeerKey>) {
        let book = self.paths.book();
        let relay = |path| match book.address(path) {
            Some(PathAddress::Relayed(relayed)) => Some(relayed.connection),
            Some(PathAddress::Udp(_) | PathAddress::Tcp(_)) | None => None,
        };
        let other = other.and_then(|key| self.table.get(key));
        let is_others =
            |connection| other.is_some_and(|other| other.session.paths().any(|path| relay(path) == Some(connection)));
        let left = ended.session.paths().filter_map(relay).filter(|&connection| !is_others(connection));
        self.left_relays.extend(left);
    }

    /// A session has ended: the TURN connections that are its own are closed when its last words have left.
    pub(super) fn ended(&mut self, session: SessionId) {
        self.ended.push(session);
    }

    /// Takes a session that has ended.
    #[inline]
    pub(super) fn take_ended(&mut self) -> Option<SessionId> {
        self.ended.pop()
    }

    /// A path's connection takes no media for now, or takes it again.
    pub(super) fn set_full(&mut self, path: PathId, full: bool) {
        if let Some(peer) = self.paths.owner(path).and_then(|key| self.table.get_mut(key)) {
            peer.full_path = full.then_some(path);
        }
    }

    /// A path's connection is closed: whoever holds it has lost it.
    pub(super) fn lose_path(&mut self, address: &PathAddress, now: Timestamp) {
        while let Some((path, key)) = self.paths.holder(address, 0) {
            self.paths.release(path, key);
            if let Some(peer) = self.table.get_mut(key) {
                peer.session.lose(path, now);
            }
            self.arm(key);
        }
    }

    pub(super) fn add_ufrag(&mut self, ufrag: String, key: PeerKey) {
        self.by_ufrag.insert(ufrag, key);
    }

    pub(super) fn remove_ufrag(&mut self, ufrag: &str) {
        self.by_ufrag.remove(ufrag);
    }

    /// Gives a path to a peer, or returns the other peer that owns it.
    pub(super) fn claim_path(&mut self, path: PathId, key: PeerKey) -> Option<PeerKey> {
        self.paths.claim(path, key)
    }

    /// Since when a path's ownership is in dispute: since `now` unless it was already.
    pub(super) fn dispute_path(&mut self, path: PathId, now: Timestamp) -> Timestamp {
        self.paths.dispute(path, now)
    }

    /// The owner of a path has shown itself: the dispute is over.
    pub(super) fn settle_path(&mut self, path: PathId) {
        self.paths.settle(path);
    }

    /// Makes `key` the owner of a path; the owner before loses it.
    pub(super) fn pass_path(&mut self, path: PathId, key: PeerKey, now: Timestamp) {
        if let Some(before) = self.paths.pass(path, key)
            && let Some(peer) = self.table.get_mut(before)
        {
            peer.session.lose(path, now);
        }
    }

    /// The `number`-th peer that holds the path of an address, beginning with its owner.
    pub(super) fn holder_of_path(&self, address: &PathAddress, number: usize) -> Option<(PathId, PeerKey)> {
        self.paths.holder(address, number)
    }

    /// Whether peers beside its owner claim the path of an address.
    pub(super) fn is_contested(&self, address: &PathAddress) -> bool {
        self.paths.is_contested(address)
    }

    pub(super) fn remove_path(&mut self, path: PathId, key: PeerKey) {
        self.paths.release(path, key);
    }

    /// Arms a peer's timer for its next deadline.
    pub(super) fn arm(&mut self, key: PeerKey) {
        if let Some(peer) = self.table.get_mut(key) {
            let deadline = peer.next_deadline();
            self.timers.arm(key, &mut peer.armed, deadline);
        }
    }

    /// Takes the next peer whose deadline has come; [`Self::arm`] it again. Entries that were superseded are skipped.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<PeerKey> {
        while let Some((deadline, key)) = self.timers.pop_due(now) {
            if let Some(peer) = self.table.get_mut(key)
                && peer.armed == deadline
            {
                peer.armed = NEVER;
                return Some(key);
            }
        }
        None
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Timestamp {
        self.timers.next_deadline()
    }

    /// Entries of its tables: sessions' numbers, user fragments, paths, timers.
    #[cfg(any(test, feature = "peer"))]
    pub(super) fn table_lens(&self) -> (usize, usize, usize, usize) {
        (self.by_session.len(), self.by_ufrag.len(), self.paths.len(), self.timers.len())
    }
}

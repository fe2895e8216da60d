//! Which session a path belongs to: one look-up from the address of a received datagram to its path and the path's
//! owner.
//!
//! ```text
//!   a connectivity check from X ──arrive──▶ an unclaimed path: a number to answer on, for this batch
//!        is authentic ────────────claim───▶ known: datagrams from X belong to the owner
//!        is not ──────────────────────────▶ forgotten when the batch has been sent
//!   the last holder ─────────release──▶ found no more; forgotten when the batch has been sent
//! ```
//!
//! Addresses are chosen by strangers. Therefore an address enters the table only when a session claims it, unclaimed
//! paths are bounded by what a batch may answer, and the hash is keyed (the standard library's SipHash with a random
//! key).
//!
//! # One owner
//!
//! A check proves that its sender has a session, and nothing about its source address: whoever has a session of his own
//! can put another's address there. So the first session that claims a path owns it, and a later claim makes a *dispute*:
//! the claimant holds the path too, so that the answers of its peer are found, but the datagrams stay the owner's. The
//! worker asks both peers (`worker/disputes.rs`). The path passes on ([`PathTable::pass`]) when the claimant's peer
//! answers from there and the owner's does not: an address may pass from peer to peer, and nobody shall be able to keep
//! one by having claimed it first.
//!
//! A path is kept as long as any session holds it. Not here: what has been proven of a path, which its session's ICE
//! agent knows ([`crate::ice`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::path::{ConnectionId, PathAddress, PathBook, PathId};
use crate::limits;
use crate::time::Timestamp;

/// The paths of one worker and their owners.
#[derive(Debug)]
pub struct PathTable<K> {
    book: PathBook,
    known: HashMap<PathAddress, Known<K>>,
    /// Paths that are in the book and that no session has claimed.
    unclaimed: Vec<PathId>,
    /// Paths released by their last holder. Its last datagrams may still be in the batch.
    released: Vec<PathId>,
    /// Connections of paths that were forgotten: nobody reads them any more.
    abandoned: Vec<ConnectionId>,
}

#[derive(Debug)]
struct Known<K> {
    path: PathId,
    /// The session that gets the datagrams; `None` when the owner has released the path and others still hold it.
    owner: Option<K>,
    /// Sessions that claim the path beside the owner.
    others: Vec<K>,
    /// When the dispute that is not settled began.
    disputed: Option<Timestamp>,
}

impl<K> Default for PathTable<K> {
    fn default() -> Self {
        Self {
            book: PathBook::new(),
            known: HashMap::new(),
            unclaimed: Vec::new(),
            released: Vec::new(),
            abandoned: Vec::new(),
        }
    }
}

impl<K: Copy + PartialEq> PathTable<K> {
    /// The path of an address and its owner; `None` when no session owns it.
    #[inline]
    #[must_use]
    pub fn find(&self, address: &PathAddress) -> Option<(PathId, K)> {
        let known = self.known.get(address)?;
        Some((known.path, known.owner?))
    }

    /// A path to answer a datagram on: the known path, or a new, unclaimed one, which [`Self::forget_unheld`] removes
    /// unless it is claimed before. `None` when there are too many unclaimed ones.
    pub fn arrive(&mut self, address: &PathAddress) -> Option<PathId> {
        if let Some(known) = self.known.get(address) {
            return Some(known.path);
        }
        if self.unclaimed.len() >= limits::UNCLAIMED_PATHS_MAX {
            return None;
        }
        let path = self.book.enter(*address)?;
        self.unclaimed.push(path);
        Some(path)
    }

    /// Gives a path to a session, unless another session owns it, which is returned; the claim is remembered then.
    pub fn claim(&mut self, path: PathId, key: K) -> Option<K> {
        let address = *self.book.address(path)?;
        match self.known.entry(address) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                match known.owner {
                    Some(owner) if owner != key => {
                        if !known.others.contains(&key) {
                            known.others.push(key);
                        }
                        Some(owner)
                    }
                    _ => {
                        known.others.retain(|other| *other != key);
                        known.owner = Some(key);
                        None
                    }
                }
            }
            Entry::Vacant(place) => {
                let at = self.unclaimed.iter().position(|unclaimed| *unclaimed == path)?;
                self.unclaimed.swap_remove(at);
                place.insert(Known { path, owner: Some(key), others: Vec::new(), disputed: None });
                None
            }
        }
    }

    fn known_mut(&mut self, path: PathId) -> Option<&mut Known<K>> {
        self.known.get_mut(self.book.address(path)?)
    }

    /// Since when the ownership of a path is in dispute: since `now`, unless it was already.
    pub fn dispute(&mut self, path: PathId, now: Timestamp) -> Timestamp {
        self.known_mut(path).map_or(now, |known| *known.disputed.get_or_insert(now))
    }

    /// Ends the dispute about a path. Those who claim it go on doing so.
    pub fn settle(&mut self, path: PathId) {
        if let Some(known) = self.known_mut(path) {
            known.disputed = None;
        }
    }

    /// Makes a session that claims a path its owner. Returns the owner before, which does not hold it any more.
    pub fn pass(&mut self, path: PathId, to: K) -> Option<K> {
        let known = self.known_mut(path)?;
        known.others.retain(|other| *other != to);
        known.disputed = None;
        known.owner.replace(to).filter(|before| *before != to)
    }

    /// The `number`-th session that holds the path of an address: the owner, then those who claim it.
    #[must_use]
    pub fn holder(&self, address: &PathAddress, number: usize) -> Option<(PathId, K)> {
        let known = self.known.get(address)?;
        let key = known.owner.iter().chain(&known.others).nth(number)?;
        Some((known.path, *key))
    }

    /// Called when a session no longer holds a path. If another session owns the path, it stays the owner. When the
    /// last holder releases it, it is no longer found; datagrams already written on it can be sent until
    /// [`Self::forget_unheld`].
    pub fn release(&mut self, path: PathId, key: K) {
        let Some(address) = self.book.address(path) else { return };
        let Entry::Occupied(mut known) = self.known.entry(*address) else { return };
        let Known { owner, others, disputed, .. } = known.get_mut();
        if *owner == Some(key) {
            *owner = None;
            *disputed = None;
        }
        others.retain(|other| *other != key);
        if owner.is_none() && others.is_empty() {
            known.remove();
            self.released.push(path);
        }
    }

    /// Removes the paths that no session claimed or holds any more. Called after the datagrams written on them have
    /// been sent.
    pub fn forget_unheld(&mut self) {
        for path in self.unclaimed.drain(..).chain(self.released.drain(..)) {
            if let Some(PathAddress::Tcp(path)) = self.book.address(path) {
                self.abandoned.push(path.connection);
            }
            self.book.strike(path);
        }
    }

    /// What came over a connection made it nobody's path: it is closed like one that was forgotten.
    pub fn abandon(&mut self, address: &PathAddress) {
        if let PathAddress::Tcp(path) = address
            && !self.known.contains_key(address)
        {
            self.abandoned.push(path.connection);
        }
    }

    /// Takes a connection whose path was forgotten, to be closed: a connection lives as long as its path.
    #[inline]
    pub fn take_abandoned(&mut self) -> Option<ConnectionId> {
        self.abandoned.pop()
    }

    /// Whether sessions beside its owner claim a path.
    #[must_use]
    pub fn is_contested(&self, address: &PathAddress) -> bool {
        self.known.get(address).is_some_and(|known| !known.others.is_empty())
    }

    /// Who owns a path.
    #[must_use]
    pub fn owner(&self, path: PathId) -> Option<K> {
        self.known.get(self.book.address(path)?)?.owner
    }

    /// The addresses, to send with.
    #[inline]
    #[must_use]
    pub fn book(&self) -> &PathBook {
        &self.book
    }

    /// Paths that a session holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::{ConnectionId, TcpPath, UdpPath};
    use super::*;

    fn address(port: u16) -> PathAddress {
        UdpPath::to(([192, 0, 2, 1], port).into()).into()
    }

    #[test]
    fn a_path_is_found_from_its_claim_to_its_release() {
        let mut table = PathTable::default();
        let path = table.arrive(&address(1)).unwrap();
        assert_eq!((table.find(&address(1)), table.len()), (None, 0));
        assert_eq!(table.claim(path, 'a'), None);
        table.forget_unheld();
        assert_eq!(table.find(&address(1)), Some((path, 'a')));
        assert!(!table.is_contested(&address(1)));
        assert_eq!(table.arrive(&address(1)), Some(path));
        table.release(path, 'a');
        assert_eq!((table.find(&address(1)), table.len()), (None, 0));
        // A close alert that is in the batch is still sent; a datagram from the same address meanwhile gets another
        // path.
        assert_eq!(table.book().address(path), Some(&address(1)));
        assert_ne!(table.arrive(&address(1)), Some(path));
        table.forget_unheld();
        assert_eq!(table.book().len(), 0);
    }

    #[test]
    fn a_flood_of_unclaimed_addresses_leaves_nothing_behind() {
        let mut table: PathTable<char> = PathTable::default();
        for _ in 0..100 {
            let answered = (0..1_000).filter_map(|port| table.arrive(&address(port))).count();
            assert_eq!(answered, limits::UNCLAIMED_PATHS_MAX);
            assert!((0..answered as u16).all(|port| table.find(&address(port)).is_none()));
            table.forget_unheld();
        }
        assert_eq!((table.len(), table.book().len()), (0, 0));
    }

    #[test]
    fn a_removed_path_cannot_be_claimed() {
        let mut table = PathTable::default();
        let path = table.arrive(&address(1)).unwrap();
        table.forget_unheld();
        table.claim(path, 'a');
        let other = table.arrive(&address(2)).unwrap();
        assert_ne!(other, path);
        table.claim(path, 'a');
        table.release(path, 'a');
        assert!(table.is_empty() && table.book().address(other).is_some());
        // Neither can a number that was released.
        table.claim(other, 'a');
        table.release(other, 'a');
        table.claim(other, 'a');
        assert!(table.is_empty());
    }

    #[test]
    fn a_path_stays_its_owners_whoever_claims_it_and_the_last_release_removes_it() {
        let mut table = PathTable::default();
        let path = table.arrive(&address(1)).unwrap();
        assert_eq!(table.claim(path, 'a'), None);
        for _ in 0..3 {
            assert_eq!(table.claim(path, 'b'), Some('a'));
            assert_eq!(table.find(&address(1)), Some((path, 'a')));
            assert!(table.is_contested(&address(1)));
        }
        let holders: Vec<_> = (0..9).map_while(|number| table.holder(&address(1), number)).collect();
        assert_eq!(holders, [(path, 'a'), (path, 'b')]);
        // The owner leaves; the next claim owns the path.
        table.release(path, 'a');
        assert_eq!((table.find(&address(1)), table.book().address(path)), (None, Some(&address(1))));
        assert_eq!((table.claim(path, 'b'), table.find(&address(1))), (None, Some((path, 'b'))));
        table.release(path, 'b');
        table.forget_unheld();
        assert_eq!(table.book().len(), 0);
    }

    #[test]
    fn a_dispute_lasts_until_it_is_settled_or_the_path_passes_on() {
        let (mut table, at) = (PathTable::default(), Timestamp::from_millis);
        let path = table.arrive(&address(1)).unwrap();
        table.claim(path, 'a');
        table.claim(path, 'b');
        assert_eq!((table.dispute(path, at(5)), table.dispute(path, at(9))), (at(5), at(5)));
        table.settle(path);
        assert_eq!(table.dispute(path, at(12)), at(12));
        assert_eq!(table.pass(path, 'b'), Some('a'));
        assert_eq!((table.find(&address(1)), table.dispute(path, at(20))), (Some((path, 'b')), at(20)));
        // Who lost it holds it no more.
        table.release(path, 'b');
        assert_eq!((table.find(&address(1)), table.is_empty()), (None, true));
    }

    #[test]
    fn a_session_that_claims_a_path_twice_holds_it_once() {
        let mut table = PathTable::default();
        let path = table.arrive(&address(1)).unwrap();
        table.claim(path, 'a');
        assert_eq!(table.claim(path, 'a'), None);
        table.claim(path, 'b');
        table.claim(path, 'a');
        table.release(path, 'a');
        // A session that does not hold the path takes nothing away by releasing it.
        table.release(path, 'a');
        table.release(path, 'c');
        assert_eq!((table.find(&address(1)), table.len()), (None, 1));
        table.release(path, 'b');
        assert!(table.is_empty());
    }

    #[test]
    fn a_connection_is_another_path_than_a_datagram_from_the_same_address() {
        let mut table = PathTable::default();
        let remote = address(1).remote();
        let tcp = |number| TcpPath { remote, local_ip: remote.ip(), connection: ConnectionId(number) }.into();
        for (place, address) in [address(1), tcp(1), tcp(2)].into_iter().enumerate() {
            let path = table.arrive(&address).unwrap();
            table.claim(path, place);
        }
        assert_eq!(table.len(), 3);
        assert_eq!(table.find(&tcp(2)).map(|(_, key)| key), Some(2));
    }
}

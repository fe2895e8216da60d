//! Which session a datagram belongs to, by the path it came on.
//!
//! The hash is keyed (the standard library's SipHash with a random key): remote addresses are chosen by strangers.

use std::collections::HashMap;

use crate::transport::Path;

/// Paths and their sessions.
#[derive(Debug)]
pub struct FlowTable<K> {
    flows: HashMap<Path, K>,
}

impl<K> Default for FlowTable<K> {
    fn default() -> Self {
        Self { flows: HashMap::new() }
    }
}

impl<K: Copy + PartialEq> FlowTable<K> {
    /// The session of a path.
    #[inline]
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<K> {
        self.flows.get(path).copied()
    }

    /// Gives a path to a session. The last valid check wins: the address may have been another peer's before.
    pub fn insert(&mut self, path: Path, key: K) {
        self.flows.insert(path, key);
    }

    /// Forgets a path, if it is still this session's.
    pub fn remove(&mut self, path: &Path, key: K) {
        if self.find(path) == Some(key) {
            self.flows.remove(path);
        }
    }

    /// Paths known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }
}

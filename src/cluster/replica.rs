//! This node's copy of the directory: what a snapshot said, and what has changed since.
//!
//! It is told, and asks nobody. A copy may be late; every entry has the revision at which it was put, so that whoever knows something
//! newer can see that.

use std::collections::{BTreeMap, HashMap};

use super::engine::{Change, Entry, Revision, Snapshot};
use super::keys::{Key, Keys, Load, Node, Stream};
use crate::limits;
use crate::signal::stream_name::StreamName;

/// Who publishes a stream, since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Who.
    pub stream: Stream,
    /// When that was put.
    pub at: Revision,
}

/// A node and what it has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The node.
    pub node: Node,
    /// Its load; `None` before its first heartbeat.
    pub load: Option<Load>,
}

/// The copy.
#[derive(Debug)]
pub struct Replica {
    keys: Keys,
    nodes: BTreeMap<String, Node>,
    loads: BTreeMap<String, Load>,
    streams: HashMap<StreamName, Owned>,
    at: Revision,
    /// A snapshot was there.
    is_known: bool,
    /// Keys and values that could not be read, or for which there was no room.
    left_out: u64,
}

impl Replica {
    /// Of a cluster of which nothing is known yet.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            nodes: BTreeMap::new(),
            loads: BTreeMap::new(),
            streams: HashMap::new(),
            at: Revision::default(),
            is_known: false,
            left_out: 0,
        }
    }

    /// Takes all that there is. The names of streams that have another owner than before, or none.
    pub fn reset(&mut self, snapshot: Snapshot) -> Vec<StreamName> {
        let before = std::mem::take(&mut self.streams);
        self.nodes.clear();
        self.loads.clear();
        for entry in snapshot.entries {
            self.put(entry);
        }
        (self.at, self.is_known) = (snapshot.at.max(self.at), true);
        let gone = before.keys().filter(|name| !self.streams.contains_key(name.as_str()));
        let other = self.streams.iter().filter(|(name, owned)| before.get(name.as_str()) != Some(owned));
        gone.cloned().chain(other.map(|(name, _)| name.clone())).collect()
    }

    /// Takes a change. The name of the stream that it is about, if it is about one.
    pub fn apply(&mut self, change: Change) -> Option<StreamName> {
        match change {
            Change::Put(entry) => {
                self.at = self.at.max(entry.modified);
                self.put(entry)
            }
            Change::Deleted { key, at } => {
                self.at = self.at.max(at);
                match self.keys.read(&key)? {
                    Key::Node(node) => _ = self.nodes.remove(&node),
                    Key::Load(node) => _ = self.loads.remove(&node),
                    Key::Stream(name) => {
                        self.streams.remove(&name);
                        return Some(name);
                    }
                }
                None
            }
        }
    }

    fn put(&mut self, entry: Entry) -> Option<StreamName> {
        let Some(key) = self.keys.read(&entry.key) else {
            self.left_out += 1;
            return None;
        };
        let is_put = match key {
            Key::Node(node) => insert(&mut self.nodes, node, &entry.value, limits::CLUSTER_NODES_MAX),
            Key::Load(node) => insert(&mut self.loads, node, &entry.value, limits::CLUSTER_NODES_MAX),
            Key::Stream(name) => {
                let has_room = self.streams.len() < limits::CLUSTER_STREAMS_MAX || self.streams.contains_key(&name);
                match serde_json::from_slice::<Stream>(&entry.value).ok().filter(|_| has_room) {
                    Some(stream) => {
                        self.streams.insert(name.clone(), Owned { stream, at: entry.modified });
                        return Some(name);
                    }
                    None => false,
                }
            }
        };
        self.left_out += u64::from(!is_put);
        None
    }

    /// Who publishes a stream.
    #[must_use]
    pub fn stream(&self, name: &StreamName) -> Option<&Owned> {
        self.streams.get(name)
    }

    /// All streams.
    pub fn streams(&self) -> impl Iterator<Item = (&StreamName, &Owned)> {
        self.streams.iter()
    }

    /// All nodes, by their names.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, Known)> {
        self.nodes
            .iter()
            .map(|(name, node)| (name.as_str(), Known { node: node.clone(), load: self.loads.get(name).copied() }))
    }

    /// A node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// Its load.
    #[must_use]
    pub fn load(&self, name: &str) -> Option<Load> {
        self.loads.get(name).copied()
    }

    /// The revision up to which it knows everything.
    #[must_use]
    pub fn at(&self) -> Revision {
        self.at
    }

    /// Whether it was ever told.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.is_known
    }

    /// Keys and values that could not be read, or for which there was no room.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

fn insert<V: serde::de::DeserializeOwned>(
    map: &mut BTreeMap<String, V>,
    name: String,
    value: &[u8],
    most: usize,
) -> bool {
    let Ok(value) = serde_json::from_slice(value) else { return false };
    if map.len() >= most && !map.contains_key(&name) {
        return false;
    }
    map.insert(name, value);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::keys::written;

    fn keys() -> Keys {
        Keys::of("c")
    }

    fn name(text: &str) -> StreamName {
        StreamName::parse(text).unwrap()
    }

    fn stream(node: &str) -> Stream {
        Stream { node: node.into(), boot: "b".into(), session: 1, subject: None }
    }

    fn entry(key: String, value: Vec<u8>, modified: u64) -> Entry {
        Entry { key, value, modified: Revision(modified) }
    }

    fn of_stream(text: &str, node: &str, modified: u64) -> Entry {
        entry(keys().stream(&name(text)), written(&stream(node)), modified)
    }

    #[test]
    fn a_snapshot_replaces_all_that_was_known_and_names_what_differs() {
        let mut replica = Replica::new(keys());
        assert!(!replica.is_known());
        let entries = vec![of_stream("a", "n1", 3), of_stream("b", "n1", 4), of_stream("c", "n2", 5)];
        let mut changed = replica.reset(Snapshot { entries, at: Revision(9) });
        changed.sort();
        assert_eq!(changed, [name("a"), name("b"), name("c")]);
        // `a` is as it was, `b` has another owner, `c` is gone.
        let entries = vec![of_stream("a", "n1", 3), of_stream("b", "n2", 11)];
        let mut changed = replica.reset(Snapshot { entries, at: Revision(12) });
        changed.sort();
        assert_eq!(changed, [name("b"), name("c")]);
        assert_eq!(replica.stream(&name("b")).map(|owned| owned.at), Some(Revision(11)));
        assert_eq!((replica.at(), replica.is_known()), (Revision(12), true));
    }

    #[test]
    fn changes_are_followed_and_what_cannot_be_read_is_left_out() {
        let mut replica = Replica::new(keys());
        assert_eq!(replica.apply(Change::Put(of_stream("a", "n1", 3))), Some(name("a")));
        let load = Load { used_permille: 500, sessions: 9, beat: 1 };
        assert_eq!(replica.apply(Change::Put(entry(keys().load("eu", "n1"), written(&load), 4))), None);
        assert_eq!(replica.load("n1"), Some(load));
        for broken in [entry(keys().stream(&name("x")), b"{".to_vec(), 5), entry("/else".into(), b"{}".to_vec(), 6)] {
            assert_eq!(replica.apply(Change::Put(broken)), None);
        }
        assert_eq!(replica.left_out(), 2);
        let deleted = Change::Deleted { key: keys().stream(&name("a")), at: Revision(7) };
        assert_eq!(replica.apply(deleted), Some(name("a")));
        assert_eq!((replica.stream(&name("a")), replica.at()), (None, Revision(7)));
    }
}

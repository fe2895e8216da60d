//! The names of keys, and what their values say: JSON, because people read it with `etcdctl get --prefix /corecast`.
//!
//! | Key, below `/corecast/1/CLUSTER/` | Value | Written |
//! |---|---|---|
//! | `nodes/NODE` | [`Node`] | with each new lease, and when its state changes |
//! | `load/REGION/NODE` | [`Load`] | every 10 s, and when it has changed by 5 % |
//! | `streams/NAME` | [`Stream`] | by a claim |
//!
//! The `1` is the version of all of this: a node of another version sees another cluster. Fields that a node does not know are left
//! alone, those that are missing have a meaning.

use serde::{Deserialize, Serialize};

use crate::signal::stream_name::StreamName;

/// Where a cluster's keys begin.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

/// What a key names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A node, by its name.
    Node(String),
    /// A node's load.
    Load(String),
    /// A stream.
    Stream(StreamName),
}

impl Keys {
    /// Those of a cluster.
    #[must_use]
    pub fn of(cluster: &str) -> Self {
        Self { prefix: format!("/corecast/1/{cluster}/") }
    }

    /// What all of them begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// That of a node.
    #[must_use]
    pub fn node(&self, node: &str) -> String {
        format!("{}nodes/{node}", self.prefix)
    }

    /// That of its load.
    #[must_use]
    pub fn load(&self, region: &str, node: &str) -> String {
        format!("{}load/{region}/{node}", self.prefix)
    }

    /// That of a stream.
    #[must_use]
    pub fn stream(&self, name: &StreamName) -> String {
        format!("{}streams/{name}", self.prefix)
    }

    /// What a key names; `None` for those of later versions.
    #[must_use]
    pub fn read(&self, key: &str) -> Option<Key> {
        let (kind, name) = key.strip_prefix(&self.prefix)?.split_once('/')?;
        match kind {
            "nodes" => Some(Key::Node(name.to_owned())),
            "load" => Some(Key::Load(name.rsplit_once('/')?.1.to_owned())),
            "streams" => StreamName::parse(name).ok().map(Key::Stream),
            _ => None,
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Another one with each start of the process.
    pub boot: String,
    /// Its region.
    pub region: String,
    /// Where other nodes reach its HTTPS.
    pub url: String,
    /// Where other nodes' connections reach it; none where it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Its version.
    pub version: String,
    /// Whether it takes sessions.
    #[serde(default)]
    pub state: NodeState,
}

/// Whether a node takes sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It does.
    #[default]
    Ready,
    /// It is about to leave.
    Draining,
}

impl NodeState {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// How much a node has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Of what it can do, in thousandths.
    pub used_permille: u16,
    /// Its sessions.
    pub sessions: u32,
    /// Counts the heartbeats of this boot.
    #[serde(default)]
    pub beat: u64,
}

/// Who publishes a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// On which node.
    pub node: String,
    /// In which start of its process.
    pub boot: String,
    /// The publisher's session there.
    pub session: u64,
    /// Who that is by its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// A value as it is written.
pub(super) fn written(value: &impl Serialize) -> Vec<u8> {
    // Of strings and numbers: this cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_is_made_of_is_read_from_it_and_no_cluster_reads_anothers() {
        let keys = Keys::of("live");
        let name = StreamName::parse("a.b~c").unwrap();
        assert_eq!(keys.read(&keys.node("edge-1")), Some(Key::Node("edge-1".into())));
        assert_eq!(keys.read(&keys.load("eu", "edge-1")), Some(Key::Load("edge-1".into())));
        assert_eq!(keys.read(&keys.stream(&name)), Some(Key::Stream(name)));
        for strange in ["", "/corecast/1/live", "/corecast/1/other/nodes/a", "/corecast/2/live/nodes/a"] {
            assert_eq!(keys.read(strange), None, "{strange}");
        }
        for later in ["edges/a/b", "streams/..", "nodes"] {
            assert_eq!(keys.read(&format!("{}{later}", keys.prefix())), None, "{later}");
        }
    }

    #[test]
    fn values_are_read_with_fields_of_later_versions_and_without_those_of_this_one() {
        let node: Node =
            serde_json::from_str(r#"{"boot":"b","region":"eu","url":"https://a","version":"9","new":[1]}"#).unwrap();
        assert_eq!(node.state, NodeState::Ready);
        let stream = Stream { node: "a".into(), boot: "b".into(), session: 7, subject: None };
        assert_eq!(written(&stream), br#"{"node":"a","boot":"b","session":7}"#);
        assert_eq!(serde_json::from_slice::<Stream>(&written(&stream)).unwrap(), stream);
    }
}

//! What a node knows of its cluster, as `GET /api/v1/cluster` tells it and `corecast cluster status` reads it.

use serde::{Deserialize, Serialize};

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterReport {
    /// The cluster's name.
    pub cluster: String,
    /// The node that tells it.
    pub node: String,
    /// Its region.
    pub region: String,
    /// The engine, as this node sees it.
    pub engine: EngineReport,
    /// All nodes, by their names.
    pub nodes: Vec<NodeReport>,
    /// All streams, by their names.
    pub streams: Vec<StreamReport>,
}

/// The engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineReport {
    /// The member that is asked.
    pub asked: String,
    /// Since how many seconds it has not answered; null where it does.
    pub away_s: Option<f64>,
    /// Whether this node has a lease.
    pub has_lease: bool,
    /// The revision up to which the node knows everything.
    pub revision: u64,
    /// Keys and values that could not be read, or for which there was no room.
    pub left_out: u64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Where other nodes reach its HTTPS.
    pub url: String,
    /// Its version.
    pub version: String,
    /// `ready` or `draining`.
    pub state: String,
    /// How much of what it can do it does, in thousandths; null before its first heartbeat.
    pub used_permille: Option<u16>,
    /// Its sessions; null before its first heartbeat.
    pub sessions: Option<u32>,
    /// Streams that are published on it.
    pub streams: usize,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Its name.
    pub name: String,
    /// The node on which it is published.
    pub node: String,
    /// The number of that ownership.
    pub epoch: u64,
    /// The publisher's session there.
    pub session: String,
}

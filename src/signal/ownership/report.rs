//! What a node knows of its cluster, as `GET /api/v1/cluster` tells it and `corecast cluster status` reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::worker::links::report::LinkReport;

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
    /// This node's connections with the others; null where it shows no certificate, and has none.
    #[serde(default)]
    pub channel: Option<ChannelReport>,
    /// The last connections between nodes that were refused, the newest first.
    #[serde(default)]
    pub refused: Vec<RefusalReport>,
    /// Streams that pass between this node and others.
    #[serde(default)]
    pub links: Vec<LinkReport>,
}

/// A node's connections with the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelReport {
    /// Where the others reach it.
    pub address: String,
    /// What its certificate names.
    pub certificate: String,
    /// Until when that is valid.
    pub certificate_ends: String,
    /// Connections that others have made.
    pub accepted: usize,
    /// Connections that it has made.
    pub dialled: usize,
    /// Connections that were closed in their handshake, or before, for another reason than a certificate.
    pub handshakes_failed: u64,
    /// How many were refused since the start, by what was wrong.
    pub refused: BTreeMap<String, u64>,
}

/// A connection between nodes that was refused, or several that are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusalReport {
    /// `accepted`: the other node had connected, and this one refuses it. `dialled`: this node had connected, and refuses it. `told`: the
    /// other one refuses this node.
    pub side: String,
    /// The other node's address.
    pub address: String,
    /// The node that was dialled; null where it connected.
    pub node: Option<String>,
    /// What is wrong.
    pub kind: String,
    /// What the certificate says, and what was expected.
    pub detail: String,
    /// How often.
    pub times: u64,
    /// The last time, seconds ago.
    pub ago_s: f64,
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
    /// Where other nodes' connections reach it; null where it takes none.
    #[serde(default)]
    pub channel: Option<String>,
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

//! What a node knows of its cluster's directory, put together for who asks ([`crate::signal::ownership::report`]).

use super::registry::Registry;
use super::replica::Known;
use crate::signal::ownership::report::{ClusterReport, EngineReport, NodeReport, StreamReport};

/// The whole of it, but for what the node does with the other nodes itself.
pub(super) fn of(registry: &Registry) -> ClusterReport {
    registry.with_replica(|replica| {
        let me = registry.me();
        let published = |node: &str| replica.streams().filter(|(_, owned)| owned.stream.node == node).count();
        let nodes = replica.nodes().map(|(name, Known { node, load })| NodeReport {
            name: name.to_owned(),
            region: node.region,
            url: node.url,
            channel: node.channel,
            version: node.version,
            state: node.state.name().to_owned(),
            used_permille: load.map(|load| load.used_permille),
            sessions: load.map(|load| load.sessions),
            streams: published(name),
        });
        let mut streams: Vec<StreamReport> = replica
            .streams()
            .map(|(name, owned)| StreamReport {
                name: name.to_string(),
                node: owned.stream.node.clone(),
                epoch: registry.epoch_of(owned.at).0,
                session: owned.stream.session.to_string(),
            })
            .collect();
        streams.sort_by(|a, b| a.name.cmp(&b.name));
        ClusterReport {
            cluster: me.cluster.clone(),
            node: me.name.clone(),
            region: me.region.clone(),
            engine: EngineReport {
                asked: registry.asks(),
                away_s: registry.away_for().map(|away| away.as_secs_f64()),
                has_lease: registry.has_lease(),
                revision: replica.at().0,
                left_out: replica.left_out(),
            },
            nodes: nodes.collect(),
            streams,
            channel: None,
            refused: Vec::new(),
            links: Vec::new(),
        }
    })
}

//! Whom to ask for a stream.

use crate::cluster::keys::NodeState;
use crate::cluster::registry::Registry;
use crate::crypto::digest;
use crate::signal::stream_name::StreamName;

/// The nodes to ask, the best one first; the origin is the last.
///
/// In its own region a node asks the origin. In another region all of its nodes agree on one that does, without asking each other: the
/// one with the highest score of those that take sessions (rendezvous hashing, so that a node that comes or goes moves few streams).
pub(super) fn parents(registry: &Registry, name: &StreamName, owner: &str) -> Vec<String> {
    let me = registry.me();
    let relay = registry.with_replica(|replica| {
        let is_elsewhere = replica.node(owner).is_some_and(|owner| owner.region != me.region);
        let here = replica.nodes().filter(|(_, known)| {
            known.node.region == me.region && known.node.state == NodeState::Ready && known.node.channel.is_some()
        });
        is_elsewhere.then(|| here.map(|(node, _)| node.to_owned()).max_by_key(|node| score(name, node))).flatten()
    });
    let relay = relay.filter(|relay| *relay != me.name && relay != owner);
    relay.into_iter().chain([owner.to_owned()]).collect()
}

fn score(name: &StreamName, node: &str) -> [u8; 32] {
    digest::sha_256(format!("{name}\0{node}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_spread_over_the_nodes_of_a_region_and_few_move_when_one_leaves() {
        let nodes = ["a", "b", "c", "d"];
        let best = |name: &StreamName, nodes: &[&str]| {
            nodes.iter().max_by_key(|node| score(name, node)).map(|node| (*node).to_owned())
        };
        let names: Vec<StreamName> = (0..400).map(|n| StreamName::parse(&format!("s{n}")).unwrap()).collect();
        for node in nodes {
            let of_node = names.iter().filter(|name| best(name, &nodes).as_deref() == Some(node)).count();
            assert!((60..=140).contains(&of_node), "{node}: {of_node}");
        }
        let moved = names.iter().filter(|name| best(name, &nodes) != best(name, &nodes[..3])).count();
        assert_eq!(moved, names.iter().filter(|name| best(name, &nodes).as_deref() == Some("d")).count());
    }
}

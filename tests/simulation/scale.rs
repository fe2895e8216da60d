//! One worker and several serve the same viewers the same media.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::client::ClientId;
use crate::node::NodeParams;
use crate::scenario::Scenario;
use crate::script::Shape;
use crate::world::World;

/// What each viewer got: by viewer, whether video, and publication.
type Got = BTreeMap<(ClientId, bool, usize), BTreeSet<u64>>;

fn received(workers: usize, seed: u64) -> Got {
    let calm = Scenario::calm(seed);
    let node = NodeParams { workers, ..calm.node };
    // The same is published whoever asks for what, and when.
    let shape = Shape { key_every: 30, follows_requests: false, ..calm.shape };
    let mut world = World::new(Scenario { node, shape, viewers: 16, duration: Duration::from_secs(8), ..calm });
    world.received = Some(BTreeSet::new());
    assert_eq!(world.finish(), Ok(()));
    let mut got = Got::new();
    for (client, video, publication, number) in world.received.unwrap_or_default() {
        got.entry((client, video, publication)).or_default().insert(number);
    }
    got
}

#[test]
fn one_worker_and_several_serve_the_same_viewers_the_same_media() {
    for seed in 1..=3 {
        let one = received(1, seed);
        for workers in [2, 4] {
            let several = received(workers, seed);
            assert_eq!(one.keys().collect::<Vec<_>>(), several.keys().collect::<Vec<_>>());
            assert!(one.len() >= 2 * 14, "fourteen viewers with sound and pictures");
            for (who, numbers) in &one {
                let others = &several[who];
                // They began at different moments of their joining, and ended so.
                let from = numbers.first().max(others.first()).copied().unwrap_or_default();
                let to = numbers.last().min(others.last()).copied().unwrap_or_default();
                let expected: Vec<u64> = (from..=to).filter(|number| numbers.contains(number)).collect();
                let found: Vec<u64> = (from..=to).filter(|number| others.contains(number)).collect();
                assert_eq!(expected, found, "{who:?} with {workers} workers");
                assert!(expected.len() > 200, "{who:?}: {} packets", expected.len());
            }
        }
    }
}

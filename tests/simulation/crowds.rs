//! Crowds: what a busy week does to a worker, in a minute of virtual time.

use std::time::Duration;

use corecast::description::Direction;
use corecast::time::Timestamp;

use crate::check::Violation;
use crate::client::{Joining, Wish};
use crate::node::NodeParams;
use crate::scenario::Scenario;
use crate::world::World;

/// A world of one worker whose only stream nobody publishes, with one viewer who stays.
fn waiting_room() -> (World, Wish) {
    let calm = Scenario::calm(5);
    let node = NodeParams { workers: 1, ..calm.node };
    let mut world = World::new(Scenario { node, streams: 1, viewers: 0, duration: Duration::from_secs(120), ..calm });
    // Nobody publishes for a while.
    world.streams[0].return_at = Timestamp::from_millis(1_000_000);
    let wish = Wish {
        direction: Direction::Play,
        stream: 0,
        joining: Joining::Preconnected,
        rtx: true,
        verify: 1.0,
        phantom: false,
        way: Default::default(),
        data: false,
    };
    world.open(wish);
    (world, wish)
}

fn run(world: &mut World, millis: u64) -> Result<(), Violation> {
    let until = world.now + Duration::from_millis(millis);
    world.run_until(until)
}

#[test]
fn viewers_who_come_and_go_leave_nothing_with_a_stream_that_nobody_publishes() {
    let (mut world, wish) = waiting_room();
    for _ in 0..1_000 {
        let id = world.open(wish);
        run(&mut world, 20).unwrap();
        world.drop_agent(id, false);
        world.close(id);
        run(&mut world, 20).unwrap();
    }
    let holdings = world.nodes[0].worker.holdings();
    assert_eq!((holdings.sessions, holdings.viewers), (1, 1), "{holdings:?}");
    assert!(holdings.subscribers < 200, "{holdings:?}");
}

#[test]
fn the_skips_of_viewers_who_left_stay_counted() {
    use crate::faults::Fault;
    let calm = Scenario::calm(7);
    let node = NodeParams { workers: 1, ..calm.node };
    let mut world = World::new(Scenario { node, streams: 1, viewers: 8, ..calm });
    run(&mut world, 2_000).unwrap();
    world.nodes[0].stalled_until = world.now + Duration::from_millis(2_500);
    world.nodes[0].excused = world.nodes[0].stalled_until;
    assert_eq!(world.finish(), Ok(()));
    // They have all left by now. The sound of each that was connected skipped once: it waits for sound that is not late.
    assert!(world.faults.of(Fault::CursorSkip) >= 4, "{}", world.faults);
}

//! Crowds: what a busy week does to a worker, in a minute of virtual time.

use std::time::Duration;

use corecast::description::Direction;
use corecast::time::Timestamp;

use crate::check::Violation;
use crate::client::{Joining, Wish};
use crate::node::NodeParams;
use crate::scenario::Scenario;
use crate::script::Shape;
use crate::world::World;

/// A world of one worker whose only stream nobody publishes, with one viewer who stays.
fn waiting_room() -> (World, Wish) {
    let calm = Scenario::calm(5);
    let node = NodeParams { workers: 1, ..calm.node };
    let mut world = World::new(Scenario { node, streams: 1, viewers: 0, duration: Duration::from_secs(120), ..calm });
    // Nobody publishes for a while.
    world.streams[0].return_at = Timestamp::from_millis(1_000_000);
    let wish = a_viewer();
    world.open(wish);
    (world, wish)
}

fn a_viewer() -> Wish {
    Wish {
        direction: Direction::Play,
        stream: 0,
        joining: Joining::Preconnected,
        rtx: true,
        verify: 1.0,
        phantom: false,
        way: Default::default(),
        data: false,
    }
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
fn a_thousand_joins_in_five_seconds_ask_the_publisher_for_nothing() {
    let calm = Scenario::calm(11);
    let node = NodeParams { workers: 1, sessions_max: 2_000, ..calm.node };
    let shape = Shape { key_every: 60, follows_requests: false, ..calm.shape };
    let mut world = World::new(Scenario {
        node,
        shape,
        streams: 1,
        viewers: 1,
        verify: 0.02,
        duration: Duration::from_secs(60),
        ..calm
    });
    run(&mut world, 4_000).unwrap();
    let asked = |world: &World| world.publications.last().map(|published| published.log.lock().asked);
    let before = asked(&world);
    let joined: Vec<_> = (0..1_000)
        .map(|_| {
            let id = world.open(Wish { verify: 0.02, ..a_viewer() });
            run(&mut world, 5).unwrap();
            id
        })
        .collect();
    run(&mut world, 700).unwrap();
    assert_eq!(asked(&world), before, "the key frames of every two seconds are enough for all");
    assert!(joined.iter().all(|&id| world.clients[id].heard.video > Timestamp::ZERO), "and everybody has a picture");
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

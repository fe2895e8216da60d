//! Several nodes' registries at one model of an engine, in virtual time: each seed is another order of their tasks.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::engine::{Change, Engine, Revision};
use super::keys::{Key, Keys, Stream};
use super::model::Model;
use super::registry::{Myself, Registry, TakesOver};
use crate::limits;
use crate::signal::ownership::{Claimant, Epoch, Lost, NotClaimed, NotReleased, Owner, Ownership as _};
use crate::signal::runtime::{self, simulated};
use crate::signal::stream_name::StreamName;
use crate::worker::mailbox::SessionId;

const SEEDS: std::ops::Range<u64> = 0..20;
/// Until nodes that have just started have their leases and know of each other.
const SETTLED: Duration = Duration::from_millis(500);

fn named(text: &str) -> StreamName {
    StreamName::parse(text).unwrap()
}

fn claimant(session: u64, subject: Option<&str>) -> Claimant {
    Claimant { session: SessionId(session), subject: subject.map(str::to_owned) }
}

fn key_of(name: &str) -> String {
    Keys::of("c").stream(&named(name))
}

fn join(engine: Rc<dyn Engine>, name: &str, boot: &str) -> Rc<Registry> {
    let me = Myself {
        cluster: "c".into(),
        name: name.into(),
        region: "r".into(),
        boot: boot.into(),
        url: format!("https://{name}"),
        channel: None,
        generation: 0,
    };
    Rc::new(Registry::start(engine, me, TakesOver::SameSubject))
}

fn engine() -> Rc<Model> {
    let model = Rc::new(Model::default());
    model.faults.answer_time.set(Duration::from_millis(4));
    model.faults.watch_time.set(Duration::from_millis(3));
    model
}

fn lost(registry: &Registry) -> Vec<Lost> {
    registry.lost().unwrap().try_iter().collect()
}

async fn claim(registry: &Registry, name: &str, session: u64) -> Result<Epoch, NotClaimed> {
    registry.claim(&named(name), &claimant(session, None)).await
}

async fn located(registry: &Registry, name: &str) -> Option<Owner> {
    registry.locate(&named(name)).await.unwrap().map(|located| located.owner)
}

/// The owners of each stream, in the engine's own order.
fn owners(model: &Model) -> HashMap<StreamName, Vec<(Revision, Option<String>)>> {
    let mut owners: HashMap<StreamName, Vec<_>> = HashMap::new();
    for (at, change) in model.history() {
        let (key, node) = match change {
            Change::Put(entry) => {
                (entry.key, serde_json::from_slice::<Stream>(&entry.value).ok().map(|stream| stream.node))
            }
            Change::Deleted { key, .. } => (key, None),
        };
        if let Some(Key::Stream(name)) = Keys::of("c").read(&key) {
            owners.entry(name).or_default().push((at, node));
        }
    }
    owners
}

fn each_seed<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for seed in SEEDS {
        simulated::run(seed, &test);
    }
}

#[test]
fn of_all_that_race_for_a_name_one_node_wins_and_epochs_rise() {
    each_seed(|| async {
        let model = engine();
        let nodes: Vec<_> = (0..5).map(|node| join(model.client(), &format!("n{node}"), "b")).collect();
        runtime::sleep(SETTLED).await;
        let won: Rc<Cell<usize>> = Rc::default();
        let (done, all_done) = flume::unbounded();
        for name in 0..40 {
            for (node, registry) in nodes.iter().enumerate() {
                let (registry, won, done) = (registry.clone(), won.clone(), done.clone());
                runtime::spawn(async move {
                    if claim(&registry, &format!("s{name}"), node as u64 + 1).await.is_ok() {
                        won.set(won.get() + 1);
                    }
                    let _ = done.send(());
                })
                .detach();
            }
        }
        for _ in 0..200 {
            all_done.recv_async().await.unwrap();
        }
        assert_eq!(won.get(), 40);
        let owners = owners(&model);
        assert!(owners.len() == 40 && owners.values().all(|of| of.len() == 1), "{owners:?}");
        // And everybody hears of it.
        runtime::sleep(SETTLED).await;
        for name in 0..40 {
            let winner = owners[&named(&format!("s{name}"))][0].1.clone().unwrap();
            for (node, registry) in nodes.iter().enumerate() {
                let is_winner = winner == format!("n{node}");
                let expected = if is_winner { Owner::ThisNode } else { Owner::Node(winner.clone()) };
                assert_eq!(located(registry, &format!("s{name}")).await, Some(expected));
            }
        }
    });
}

#[test]
fn an_answer_that_is_lost_gives_nobody_the_name_twice_and_blocks_it_for_nobody() {
    each_seed(|| async {
        let model = engine();
        let (a, b) = (join(model.client(), "a", "b"), join(model.client(), "b", "b"));
        runtime::sleep(SETTLED).await;
        model.faults.answers_lost.set(1);
        let epoch = claim(&a, "s", 1).await.unwrap();
        assert_eq!(claim(&b, "s", 2).await, Err(NotClaimed::Owned(Owner::Node("a".into()))));
        // The answer to the release is lost, and the name is free all the same.
        model.faults.answers_lost.set(1);
        assert!(matches!(a.release(&named("s"), epoch).await, Err(NotReleased::Unavailable(_))));
        let later = claim(&b, "s", 3).await.unwrap();
        assert!(later > epoch);
        assert_eq!(a.release(&named("s"), epoch).await, Err(NotReleased::Stale));
        assert_eq!(owners(&model)[&named("s")].len(), 3, "put, removed, put");
    });
}

#[test]
fn a_release_that_could_not_be_made_is_made_when_the_engine_is_back() {
    each_seed(|| async {
        let model = engine();
        let (client, is_cut) = model.client_to_cut();
        let a = join(client, "a", "b");
        runtime::sleep(SETTLED).await;
        let epoch = claim(&a, "s", 1).await.unwrap();
        runtime::sleep(SETTLED).await;
        is_cut.set(true);
        assert!(a.release(&named("s"), epoch).await.is_err());
        // Shorter than the lease lasts.
        runtime::sleep(Duration::from_secs(3)).await;
        is_cut.set(false);
        runtime::sleep(limits::CLUSTER_HEARTBEAT + 2 * limits::CLUSTER_LEASE_RENEWED).await;
        assert_eq!(model.entry(&key_of("s")), None);
    });
}

#[test]
fn leases_that_are_revoked_stop_nothing() {
    each_seed(|| async {
        let model = engine();
        let (a, b) = (join(model.client(), "a", "b"), join(model.client(), "b", "b"));
        runtime::sleep(SETTLED).await;
        let epoch = claim(&a, "s", 1).await.unwrap();
        runtime::sleep(SETTLED).await;
        model.revoke_all();
        runtime::sleep(limits::CLUSTER_LEASE_RENEWED + 2 * SETTLED).await;
        assert_eq!((lost(&a), lost(&b)), (vec![], vec![]));
        let entry = model.entry(&key_of("s")).expect("claimed again");
        assert!(a.epoch_of(entry.modified) > epoch);
        assert_eq!(located(&b, "s").await, Some(Owner::Node("a".into())));
        assert_eq!(b.with_replica(|replica| replica.nodes().count()), 2);
        // Its publisher knows the first epoch only.
        assert_eq!(a.release(&named("s"), epoch).await, Ok(()));
        assert_eq!(model.entry(&key_of("s")), None);
    });
}

#[test]
fn an_engine_that_is_away_for_ten_minutes_stops_nothing_but_new_names() {
    each_seed(|| async {
        let model = engine();
        let (a, b) = (join(model.client(), "a", "b"), join(model.client(), "b", "b"));
        runtime::sleep(SETTLED).await;
        let epoch = claim(&a, "s", 1).await.unwrap();
        runtime::sleep(SETTLED).await;
        model.faults.is_away.set(true);
        runtime::sleep(Duration::from_secs(300)).await;
        // What is known is known.
        assert_eq!(located(&b, "s").await, Some(Owner::Node("a".into())));
        assert!(b.away_for().is_some_and(|away| away > Duration::from_secs(290)));
        let before = simulated::elapsed();
        assert!(matches!(claim(&b, "new", 2).await, Err(NotClaimed::Unavailable(_))));
        let took = simulated::elapsed() - before;
        let most = limits::CLAIM_TIME_MAX + limits::CLUSTER_ENGINE_TIME_MAX + limits::CLUSTER_TRY_AGAIN;
        assert!(took >= limits::CLAIM_TIME_MAX && took <= most + SETTLED, "{took:?}");
        runtime::sleep(Duration::from_secs(300)).await;
        model.faults.is_away.set(false);
        runtime::sleep(limits::CLUSTER_SILENCE_MAX + 4 * SETTLED).await;
        assert_eq!((lost(&a), lost(&b), b.away_for()), (vec![], vec![], None));
        assert_eq!(located(&b, "s").await, Some(Owner::Node("a".into())));
        assert!(claim(&b, "new", 3).await.is_ok());
        assert_eq!(a.release(&named("s"), epoch).await, Ok(()));
    });
}

#[test]
fn who_was_cut_off_while_another_took_its_name_ends_its_publisher() {
    each_seed(|| async {
        let model = engine();
        let (client, is_cut) = model.client_to_cut();
        let (a, b) = (join(client, "a", "b"), join(model.client(), "b", "b"));
        runtime::sleep(SETTLED).await;
        let epoch = claim(&a, "s", 1).await.unwrap();
        assert!(claim(&a, "other", 2).await.is_ok());
        is_cut.set(true);
        runtime::sleep(limits::CLUSTER_LEASE + SETTLED).await;
        let later = claim(&b, "s", 3).await.unwrap();
        assert!(later > epoch);
        assert_eq!(lost(&a), [], "it cannot know yet");
        is_cut.set(false);
        runtime::sleep(limits::CLUSTER_SILENCE_MAX + 4 * SETTLED).await;
        assert_eq!(lost(&a), [Lost { session: SessionId(1), name: named("s"), to: "b".into() }]);
        assert_eq!(lost(&b), []);
        // The other one is its own again.
        assert_eq!(located(&b, "other").await, Some(Owner::Node("a".into())));
        assert_eq!(a.release(&named("s"), epoch).await, Err(NotReleased::Stale));
        assert_eq!(b.release(&named("s"), later).await, Ok(()));
    });
}

#[test]
fn the_same_subject_takes_its_name_to_another_node_at_once() {
    each_seed(|| async {
        let model = engine();
        let (a, b) = (join(model.client(), "a", "b"), join(model.client(), "b", "b"));
        runtime::sleep(SETTLED).await;
        let first = a.claim(&named("s"), &claimant(1, Some("u"))).await.unwrap();
        for other in [None, Some("v")] {
            assert_eq!(
                b.claim(&named("s"), &claimant(2, other)).await,
                Err(NotClaimed::Owned(Owner::Node("a".into())))
            );
        }
        let second = b.claim(&named("s"), &claimant(3, Some("u"))).await.unwrap();
        assert!(second > first);
        runtime::sleep(SETTLED).await;
        assert_eq!(lost(&a), [Lost { session: SessionId(1), name: named("s"), to: "b".into() }]);
        // A lease that goes afterwards brings it back to nobody else.
        model.revoke_all();
        runtime::sleep(limits::CLUSTER_LEASE_RENEWED + 2 * SETTLED).await;
        assert_eq!(located(&a, "s").await, Some(Owner::Node("b".into())));
        assert_eq!(lost(&b), []);
    });
}

#[test]
fn a_node_that_starts_again_has_its_names_at_once_whatever_its_old_lease_says() {
    each_seed(|| async {
        let model = engine();
        let a = join(model.client(), "a", "first");
        runtime::sleep(SETTLED).await;
        claim(&a, "s", 1).await.unwrap();
        drop(a);
        let a = join(model.client(), "a", "second");
        runtime::sleep(SETTLED).await;
        assert!(claim(&a, "s", 1).await.is_ok());
        assert_eq!(claim(&a, "s", 2).await, Err(NotClaimed::Owned(Owner::ThisNode)));
    });
}

#[test]
fn a_member_that_tells_nothing_and_history_that_is_forgotten_are_noticed() {
    each_seed(|| async {
        let model = engine();
        let (a, b) = (join(model.client(), "a", "b"), join(model.client(), "b", "b"));
        runtime::sleep(SETTLED).await;
        model.faults.watches_silent.set(true);
        claim(&a, "s", 1).await.unwrap();
        runtime::sleep(SETTLED).await;
        assert_eq!(located(&b, "s").await, None);
        model.compact();
        // It takes a snapshot, as it does not see its own heartbeat.
        runtime::sleep(limits::CLUSTER_SILENCE_MAX + SETTLED).await;
        assert_eq!(located(&b, "s").await, Some(Owner::Node("a".into())));
        model.faults.watches_silent.set(false);
        claim(&a, "t", 2).await.unwrap();
        runtime::sleep(SETTLED).await;
        assert_eq!(located(&b, "t").await, Some(Owner::Node("a".into())));
    });
}

#[test]
fn who_leaves_leaves_nothing_behind() {
    each_seed(|| async {
        let model = engine();
        let (a, b) = (join(model.client(), "a", "b"), join(model.client(), "b", "b"));
        runtime::sleep(SETTLED).await;
        claim(&a, "s", 1).await.unwrap();
        a.leave().await;
        drop(a);
        runtime::sleep(SETTLED).await;
        assert_eq!(located(&b, "s").await, None);
        assert_eq!(
            b.with_replica(|replica| replica.nodes().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()),
            ["b"]
        );
    });
}

#[test]
fn before_the_first_answer_nothing_is_known_and_that_is_said() {
    each_seed(|| async {
        let model = engine();
        model.faults.is_away.set(true);
        let a = join(model.client(), "a", "b");
        assert!(a.locate(&named("s")).now_or_never().unwrap().is_err());
        model.faults.is_away.set(false);
        runtime::sleep(limits::CLUSTER_ENGINE_TIME_MAX + 2 * SETTLED).await;
        assert_eq!(located(&a, "s").await, None);
    });
}

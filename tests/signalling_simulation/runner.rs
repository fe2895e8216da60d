//! Which seeds are run: the committed ones and some fresh ones with every test run; by name one alone, or a campaign.
//!
//! ```text
//! SEED=7 cargo test --test signalling_simulation replay -- --ignored --nocapture
//! SEEDS=10000 cargo test --profile tests --test signalling_simulation campaign -- --ignored --nocapture
//! ```
//!
//! A campaign takes `SEEDS` (1,000), `FIRST` (1) and `THREADS` (all) from the environment. It tells each broken rule with its
//! seed, and fails if there was one, or if a kind of fault was never made.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use corecast::signal::runtime;
use corecast::signal::runtime::simulated;

use crate::node::Node;
use crate::scenario::{Sabotage, Scenario};
use crate::world::{Counts, Violation, World};
use crate::{honest, hostile, rules, sockets};

/// Fresh seeds of one run.
const FRESH: u64 = 12;

/// After everybody has left: how long anything may last that is left behind. A connection that was swallowed is idle for a
/// minute, a socket for one and what it may take to write, then its sessions have their grace and their silence.
const AFTERMATH: Duration = Duration::from_secs(180);

/// What a run left.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) violation: Option<Violation>,
    pub(crate) counts: Counts,
    pub(crate) trace: u64,
    pub(crate) polls: u64,
    pub(crate) elapsed: Duration,
}

/// Runs a scenario.
pub(crate) fn run(scenario: Scenario) -> Outcome {
    let ran = simulated::run(scenario.seed, || async move {
        let world = World::new(scenario);
        let node = Rc::new(Node::start(&world).await);
        act(&world, &node).await;
        for (kind, times) in &node.endpoint.book().faults {
            *world.counts.borrow_mut().entry(format!("fault: webhook {kind}")).or_default() += times;
        }
        let asked = node.endpoint.book().asked;
        *world.counts.borrow_mut().entry("webhook asked".to_owned()).or_default() += asked;
        let counts = world.counts.borrow().clone();
        world.end_tasks();
        (world.violation(), counts)
    });
    let (violation, counts) = ran.output;
    Outcome { violation, counts, trace: ran.trace, polls: ran.polls, elapsed: ran.elapsed }
}

async fn act(world: &Rc<World>, node: &Rc<Node>) {
    let mut clients = honest::start(world, node);
    clients.extend(sockets::start_viewers(world, node));
    let followers = sockets::start_followers(world, node);
    hostile::start(world, node);
    world.spawn(world.clone().stand_still());
    world.spawn(rules::watch(world.clone(), node.clone()));
    world.spawn(rules::probe(world.clone(), node.clone()));
    if world.scenario.sabotage == Some(Sabotage::StandsStill) {
        runtime::sleep(world.scenario.storm).await;
        simulated::stall(Duration::from_secs(3));
    }
    runtime::sleep((world.scenario.storm + rules::LIVENESS).saturating_sub(simulated::elapsed())).await;
    rules::liveness(world, &clients, &followers);
    if world.violation().is_some() {
        return;
    }
    // One in four is told to stop while everybody plays.
    if world.scenario.seed.is_multiple_of(4) && world.scenario.sabotage.is_none() {
        return rules::stops(world, node).await;
    }
    world.is_over.set(true);
    runtime::sleep(2 * honest::PATIENCE).await;
    rules::counts_agree(world, node).await;
    runtime::sleep(AFTERMATH).await;
    rules::nothing_left(world, node).await;
    rules::stops(world, node).await;
}

/// Runs a seed; says how to run it again where it fails.
fn run_seed(seed: u64) -> Result<Outcome, String> {
    let again = format!("again: SEED={seed} cargo test --test signalling_simulation replay -- --ignored --nocapture");
    match catch_unwind(AssertUnwindSafe(|| run(Scenario::from_seed(seed)))) {
        Ok(Outcome { violation: Some(violation), .. }) => Err(format!("seed {seed}: {violation}\n{again}")),
        Ok(outcome) => Ok(outcome),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Err(format!("seed {seed} panicked: {text}\n{again}"))
        }
    }
}

/// The committed seeds: one a line, `#` begins a comment.
fn committed() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines().filter_map(|line| line.split('#').next());
    lines.map(str::trim).filter(|line| !line.is_empty()).map(|line| line.parse().expect("a number")).collect()
}

#[test]
fn the_committed_seeds_break_no_rule() {
    let seeds = committed();
    assert!(seeds.len() >= 12);
    for seed in seeds {
        run_seed(seed).unwrap_or_else(|what| panic!("{what}"));
    }
}

#[test]
fn fresh_seeds_break_no_rule() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let first = now.as_nanos() as u64 % 1_000_000_000_000;
    println!("fresh seeds {first} to {}", first + FRESH - 1);
    for seed in first..first + FRESH {
        run_seed(seed).unwrap_or_else(|what| panic!("{what}"));
    }
}

#[test]
fn the_same_seed_twice_is_the_same_run() {
    for seed in 1..=3 {
        let [first, second] = [0, 1].map(|_| run(Scenario::from_seed(seed)));
        assert_eq!((first.polls, first.elapsed), (second.polls, second.elapsed), "seed {seed}");
        assert_eq!((first.trace, first.counts), (second.trace, second.counts), "seed {seed}");
    }
}

#[test]
fn different_seeds_are_different_runs() {
    assert_ne!(run(Scenario::from_seed(1)).trace, run(Scenario::from_seed(2)).trace);
}

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    if text.is_empty() { otherwise } else { text.parse().unwrap_or_else(|_| panic!("{name}={text}: must be a number")) }
}

#[test]
#[ignore = "runs one seed: SEED=7"]
fn replay() {
    let seed = number("SEED", 1);
    println!("{:#?}", Scenario::from_seed(seed));
    let before = Instant::now();
    let outcome = run(Scenario::from_seed(seed));
    println!("{:#?}", outcome.counts);
    println!("{} turns, {:?} in {:?}, trace {:016x}", outcome.polls, outcome.elapsed, before.elapsed(), outcome.trace);
    assert_eq!(outcome.violation, None);
}

/// Every kind of fault that a campaign has to have made.
const FAULTS: [&str; 18] = [
    "reset",
    "swallowed",
    "stalled",
    "socket cut",
    "client crashes",
    "client moves",
    "thread stalls",
    "worker stalls",
    "worker Full",
    "worker TooManyHandshakes",
    "clock jumps",
    "webhook refused",
    "webhook reset",
    "webhook silent",
    "webhook slow",
    "webhook 500",
    "webhook 429",
    "webhook cut",
];

#[test]
#[ignore = "minutes to a night: SEEDS, FIRST, THREADS"]
fn campaign() {
    let (seeds, first) = (number("SEEDS", 1_000), number("FIRST", 1));
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let threads = number("THREADS", processors);
    let (start, next) = (Instant::now(), AtomicU64::new(first));
    let sum: Mutex<(u64, u64, Counts)> = Mutex::default();
    let failures: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    match run_seed(seed) {
                        Ok(outcome) => {
                            let (done, polls, counts) = &mut *sum.lock().expect("no panic inside");
                            *done += 1;
                            *polls += outcome.polls;
                            outcome
                                .counts
                                .into_iter()
                                .for_each(|(what, times)| *counts.entry(what).or_default() += times);
                            if done.is_multiple_of(100) {
                                println!("{done} seeds, {:?}", start.elapsed());
                            }
                        }
                        Err(what) => {
                            println!("{what}");
                            failures.lock().expect("no panic inside").push(what);
                        }
                    }
                }
            });
        }
    });
    let (done, polls, counts) = sum.into_inner().expect("no panic inside");
    let failures = failures.into_inner().expect("no panic inside");
    let mut text = format!("seeds {first} to {}: {done} passed, {} failed\n", first + seeds - 1, failures.len());
    let _ = writeln!(text, "{polls} turns, {:?} on {threads} threads", start.elapsed());
    counts.iter().for_each(|(what, times)| _ = writeln!(text, "{times:>9}  {what}"));
    println!("{text}");
    assert!(failures.is_empty(), "{} rules broken", failures.len());
    let never = FAULTS.into_iter().filter(|kind| !counts.contains_key(&format!("fault: {kind}")));
    assert_eq!(never.collect::<Vec<_>>(), Vec::<&str>::new(), "kinds of fault that were never made");
}

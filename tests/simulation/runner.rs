//! Which seeds are run: the committed ones and a few fresh ones with every test run, one alone, or a campaign.
//!
//! ```text
//! SEED=7 SIZE=long cargo test --release --test simulation replay -- --ignored --nocapture
//! cargo test --release --test simulation campaign -- --ignored --nocapture
//! ```
//! `WAYS=1` runs seeds with connections and data channels, which are kept out of the fresh ones until a campaign of some
//! thousand has passed. `REKEYS=1` runs seeds whose clients change their keys, a few of which are among the fresh ones. `FORGERIES=0` runs a seed without its forger, another number with so many tries per second. `WATCH=4` prints every
//! datagram of client 4.
//!
//! A campaign takes `SEEDS` (200), `PACKETS` (10⁸), `JOINS` (10⁴), `FIRST` (1), `THREADS` (all), `SIZE` (long) and `MINUTES` (60) from the
//! environment. It goes on past the last seed until packets and joins are reached, and fails where a rule is broken, a
//! kind of fault was never made, or the minutes are over.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::check::Violation;
use crate::faults::Faults;
use crate::scenario::{Scenario, Size};
use crate::totals::Totals;
use crate::world::World;

/// Fresh seeds with every test run.
const FRESH: u64 = 12;

/// What a seed has beside media over UDP.
#[derive(Clone, Copy, Debug, Default)]
struct With {
    /// Connections and data channels.
    ways: bool,
    /// Keys that change.
    rekeys: bool,
}

impl With {
    const NOTHING: Self = Self { ways: false, rekeys: false };

    fn from_environment() -> Self {
        Self { ways: number("WAYS", 0) > 0, rekeys: number("REKEYS", 0) > 0 }
    }

    fn scenario(self, seed: u64, size: Size) -> Scenario {
        let scenario = Scenario::from_seed(seed, size);
        let scenario = if self.ways { scenario.with_ways() } else { scenario };
        if self.rekeys { scenario.with_rekeys() } else { scenario }
    }
}

/// What a run left.
#[derive(Clone, Debug, Default)]
struct Outcome {
    totals: Totals,
    faults: Faults,
    trace: u64,
}

/// Runs a seed; says how to run it again where it fails.
fn run(seed: u64, size: Size, with: With) -> Result<Outcome, String> {
    let failed = |what: String| {
        let size = size.name();
        format!(
            "seed {seed} ({size}): {what}\n\
             again: SEED={seed} SIZE={size} WAYS={} REKEYS={} cargo test --release --test simulation replay -- --ignored --nocapture",
            u8::from(with.ways),
            u8::from(with.rekeys)
        )
    };
    let scenario = || {
        let scenario = with.scenario(seed, size);
        Scenario { forgeries: number("FORGERIES", scenario.forgeries as u64) as f64, ..scenario }
    };
    let watched = Some(number("WATCH", u64::MAX) as usize);
    let ran = catch_unwind(AssertUnwindSafe(|| World::run_watched(scenario(), watched)));
    match ran {
        Ok((world, Ok(()))) => Ok(Outcome { totals: world.totals, faults: world.faults, trace: world.trace }),
        Ok((world, Err(violation))) => Err(failed(format!("at {:?}: {violation}", world.now))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Err(failed(format!("panicked: {text}")))
        }
    }
}

/// The committed seeds: `seed size` a line, and behind it `ways` where there are connections and data channels, `rekeys` where
/// keys change; `#` begins a comment.
fn committed() -> Vec<(u64, Size, With)> {
    let lines = include_str!("seeds.txt").lines().filter_map(|line| line.split('#').next());
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let seed = words.next()?.parse().expect("a seed is a number");
        let size = Size::parse(words.next().expect("a size follows")).expect("a size is short or long");
        let with = words.fold(With::NOTHING, |with, word| match word {
            "ways" => With { ways: true, ..with },
            "rekeys" => With { rekeys: true, ..with },
            other => panic!("seed {seed}: {other}: must be ways or rekeys"),
        });
        Some((seed, size, with))
    };
    lines.filter_map(entry).collect()
}

#[test]
fn the_committed_seeds_break_no_rule() {
    let seeds = committed();
    assert!(seeds.len() >= 20);
    for (seed, size, with) in seeds {
        run(seed, size, with).unwrap_or_else(|what| panic!("{what}"));
    }
}

#[test]
fn fresh_seeds_break_no_rule() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let first = now.as_nanos() as u64 % 1_000_000_000_000;
    println!("fresh seeds {first} to {}", first + FRESH - 1);
    for seed in first..first + FRESH {
        let with = With { rekeys: seed.is_multiple_of(3), ..With::NOTHING };
        run(seed, Size::Short, with).unwrap_or_else(|what| panic!("{what}"));
    }
}

#[test]
fn the_same_seed_twice_is_the_same_run() {
    let with = |ways, rekeys| With { ways, rekeys };
    let plain = (1..=6).map(|seed| (seed, With::NOTHING)).chain((1..=6).map(|seed| (seed, with(true, false))));
    for (seed, with) in plain.chain([(1, with(false, true))]) {
        let worlds = [0, 1].map(|_| {
            let mut world = World::new(with.scenario(seed, Size::Short));
            world.trace_log = Some(Vec::new());
            world.finish().unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
            world
        });
        let [first, second] = worlds.each_ref().map(|world| world.trace_log.as_deref().unwrap_or_default());
        if let Some(at) = first.iter().zip(second).position(|(a, b)| a != b) {
            panic!("seed {seed}, step {at}: {:?} and {:?}", &first[at.saturating_sub(3)..=at], &second[at]);
        }
        assert_eq!(worlds[0].trace, worlds[1].trace, "seed {seed}");
        assert_eq!(worlds[0].totals, worlds[1].totals, "seed {seed}");
    }
}

#[test]
fn different_seeds_are_different_runs() {
    let [first, second] =
        [1, 2].map(|seed| run(seed, Size::Short, With::NOTHING).unwrap_or_else(|what| panic!("{what}")));
    assert_ne!(first.trace, second.trace);
}

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    if text.is_empty() { otherwise } else { text.parse().unwrap_or_else(|_| panic!("{name}={text}: must be a number")) }
}

#[test]
#[ignore = "runs one seed: SEED=7 SIZE=long WAYS=1 REKEYS=1"]
fn replay() {
    let seed = number("SEED", 1);
    let text = std::env::var("SIZE").unwrap_or_else(|_| "short".to_owned());
    let size = Size::parse(&text).unwrap_or_else(|| panic!("SIZE={text}: must be short or long"));
    let with = With::from_environment();
    println!("{:#?}", with.scenario(seed, size));
    let outcome = run(seed, size, with).unwrap_or_else(|what| panic!("{what}"));
    println!("{:#?}\ntrace {:016x}\n{}", outcome.totals, outcome.trace, outcome.faults);
}

#[test]
#[ignore = "minutes to an hour: SEEDS, PACKETS, JOINS, FIRST, THREADS, MINUTES, WAYS, REKEYS, SIZE"]
fn campaign() {
    let (seeds, first) = (number("SEEDS", 200), number("FIRST", 1));
    let (packets, joins) = (number("PACKETS", 100_000_000), number("JOINS", 10_000));
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let threads = number("THREADS", processors);
    let limit = Duration::from_secs(60 * number("MINUTES", 60));
    let with = With::from_environment();
    let size = std::env::var("SIZE").ok().and_then(|size| Size::parse(&size)).unwrap_or(Size::Long);
    let start = Instant::now();
    let next = AtomicU64::new(first);
    let sum: Mutex<(u64, Totals, Faults)> = Mutex::default();
    let failures: Mutex<Vec<String>> = Mutex::default();
    let work = || loop {
        {
            let (done, totals, _) = &*sum.lock().expect("no panic inside");
            let enough = *done >= seeds && totals.delivered >= packets && totals.joins >= joins;
            if enough || start.elapsed() >= limit || failures.lock().expect("no panic inside").len() >= 10 {
                return;
            }
        }
        let seed = next.fetch_add(1, Ordering::Relaxed);
        match run(seed, size, with) {
            Ok(outcome) => {
                let (done, totals, faults) = &mut *sum.lock().expect("no panic inside");
                println!("seed {seed}: {} packets, {} tries", outcome.totals.delivered, outcome.totals.tries);
                *done += 1;
                totals.add(&outcome.totals);
                faults.merge(&outcome.faults);
                if done.is_multiple_of(10) {
                    let Totals { delivered, joins, tries, .. } = totals;
                    println!(
                        "{done} seeds, {delivered} packets delivered, {joins} joins, {tries} tries, {:?}",
                        start.elapsed()
                    );
                }
            }
            Err(what) => {
                println!("{what}");
                failures.lock().expect("no panic inside").push(what);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let (done, totals, faults) = sum.into_inner().expect("no panic inside");
    let failures = failures.into_inner().expect("no panic inside");
    let mut text = String::new();
    let _ = writeln!(text, "forger's tries per seed: {} on average", totals.tries / done.max(1));
    let _ = writeln!(text, "seeds {first} to {}: {done} passed, {} failed", next.into_inner() - 1, failures.len());
    let _ = writeln!(text, "{:?} on {threads} threads", start.elapsed());
    let share = 100.0 * totals.opened as f64 / totals.delivered.max(1) as f64;
    let _ =
        writeln!(text, "{totals:#?}\nopened and compared: {share:.1} %; headers and sealing checked: all\n{faults}");
    println!("{text}");
    assert_eq!(failures, Vec::<String>::new());
    assert!(done >= seeds && totals.delivered >= packets && totals.joins >= joins, "the time was too short");
    assert_eq!(faults.missing(with.ways, with.rekeys), Vec::<&str>::new(), "kinds of fault that were never made");
}

/// For tests that expect a rule to be broken.
pub(crate) fn broken_rule(scenario: Scenario) -> Option<Violation> {
    World::run(scenario).1.err()
}

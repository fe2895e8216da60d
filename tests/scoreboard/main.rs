//! The scoreboard: how well viewers behind thin, changing and lossy links are served, in virtual time, from fixed seeds.
//!
//! Two production workers in one thread, a lane between them: one has the publisher, the other the viewers. Clients are the load
//! tester's ([`corecast::lab::peer`]): a publisher of up to three encodings, and viewers that answer with transport-wide feedback
//! as browsers do and watch their picture. Between them are links of the laboratory ([`corecast::lab::link`]).
//!
//! | File | Holds |
//! |---|---|
//! | `world` | workers, clients, links and the clock |
//! | `encoder` | what a publisher's encoder makes: frames about a rate, key frames when asked |
//! | `scenarios` | the cases, with what each must reach |
//! | `figures` | what is measured of a run |
//! | `table` | the worst of the seeds, held against thresholds and against `table.txt` |
//!
//! Left out: DTLS (clients begin with their keys, or a run would not be the same twice), SDP, sockets; bandwidth estimation of
//! the publisher; whether sound and picture agree (`tests/browser` hears and sees).

mod encoder;
mod figures;
mod scenarios;
mod table;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use figures::Row;
use scenarios::Scenario;
use table::Table;

/// Seeds of the whole board.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Runs every scenario with every seed, on as many threads as there are cores.
fn rows(scenarios: &[Scenario], seeds: &[u64]) -> Vec<Row> {
    let work: Vec<(usize, u64)> =
        (0..scenarios.len()).flat_map(|at| seeds.iter().map(move |seed| (at, *seed))).collect();
    let (next, runs) = (AtomicUsize::new(0), Mutex::new(vec![None; work.len()]));
    let run = || {
        while let Some(&(at, seed)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            let run = figures::measure(&scenarios[at], seed);
            if std::env::var_os("EVERY").is_some() {
                println!("{} seed {seed}: {run:?}", scenarios[at].name);
            }
            let place = at * seeds.len() + seeds.iter().position(|of| *of == seed).expect("one of them");
            runs.lock().expect("no run panicked")[place] = Some(run);
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(run)).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a run does not panic"));
    });
    let runs: Vec<_> = runs.into_inner().expect("no run panicked").into_iter().flatten().collect();
    scenarios.iter().zip(runs.chunks(seeds.len())).flat_map(|(scenario, runs)| figures::worst(scenario, runs)).collect()
}

/// The scenarios that `SCENARIO` names, by a part of their name.
fn chosen(all: Vec<Scenario>) -> Vec<Scenario> {
    let Ok(part) = std::env::var("SCENARIO") else { return all };
    let chosen: Vec<_> = all.into_iter().filter(|scenario| scenario.name.contains(&part)).collect();
    assert!(!chosen.is_empty(), "SCENARIO={part}: no scenario has this in its name");
    chosen
}

/// Prints the rows, and fails where one does not hold that held when the table was written. What was missed then is named; `whole`
/// fails for it too.
#[track_caller]
fn judge(rows: &[Row], kept: &Table, may_bless: bool, allows_missed: bool) {
    println!("{}", table::text(rows, kept));
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        assert!(
            may_bless,
            "BLESS=1: table.txt holds the whole board, of all seeds: run `whole` without SEEDS and SCENARIO"
        );
        table::bless(rows);
    }
    let told = |rows: Vec<&Row>| rows.iter().fold(String::new(), |told, row| format!("{told}\n    {}", row.told()));
    let (missed, fell): (Vec<_>, Vec<_>) =
        rows.iter().filter(|row| !row.holds()).partition(|row| kept.is_known_as_missed(row));
    let is_good = fell.is_empty() && (missed.is_empty() || allows_missed);
    let (fell, missed) = (told(fell), told(missed));
    if !missed.is_empty() {
        println!("known as missed in tests/scoreboard/table.txt:{missed}");
    }
    assert!(is_good, "thresholds that fell:{fell}\nknown as missed:{missed}");
}

/// One seed of the board: `cargo test --profile tests --test scoreboard short -- --nocapture`.
#[test]
fn short() {
    judge(&rows(&chosen(scenarios::all()), &SEEDS[..1]), &Table::kept(), false, true);
}

/// The whole board: `cargo test --profile tests --test scoreboard whole -- --ignored --nocapture`.
#[test]
#[ignore = "half a minute"]
fn whole() {
    let seeds: Vec<u64> = match std::env::var("SEEDS") {
        Ok(list) => list.split(',').map(|seed| seed.parse().expect("SEEDS=1,2,3")).collect(),
        Err(_) => SEEDS.to_vec(),
    };
    let is_whole = seeds == SEEDS && std::env::var_os("SCENARIO").is_none();
    judge(&rows(&chosen(scenarios::all()), &seeds), &Table::kept(), is_whole, false);
}

/// Every row of every scenario, with a figure that it did not measure.
fn rows_of_the_board() -> Vec<Row> {
    let row = |scenario: Scenario, figure, bound| Row { scenario: scenario.name, figure, worst: 0.0, bound };
    let rows_of =
        |scenario: Scenario| scenario.bounds.iter().map(move |(figure, bound)| row(scenario, *figure, *bound));
    scenarios::all().into_iter().flat_map(rows_of).collect()
}

#[test]
fn the_table_in_the_tree_is_of_this_board() {
    let (kept, rows) = (Table::kept(), rows_of_the_board());
    let other = kept.differs_from(&rows);
    assert!(other.is_empty(), "run `whole` with BLESS=1, tests/scoreboard/table.txt is of another board: {other:?}");
    let wrong = kept.wrong_verdicts(&rows);
    assert!(wrong.is_empty(), "edited by hand? {wrong:?}");
}

#[test]
#[should_panic(expected = "thresholds that fell:\n    variable: DownSeconds is 9.00")]
fn a_row_that_held_in_the_tree_and_falls_fails_a_run() {
    let mut rows = rows_of_the_board();
    rows.retain(|row| row.scenario == "variable" && row.figure == figures::Figure::DownSeconds);
    rows.iter_mut().for_each(|row| row.worst = 9.0);
    judge(&rows, &Table::read("| variable | DownSeconds | 0.90 | ≤ 1 | yes |"), false, true);
}

#[test]
fn a_row_that_is_known_as_missed_fails_the_whole_board_only() {
    let mut rows = rows_of_the_board();
    rows.retain(|row| row.scenario == "variable" && row.figure == figures::Figure::DownSeconds);
    rows.iter_mut().for_each(|row| row.worst = 9.0);
    let kept = Table::read("| variable | DownSeconds | 1.10 | ≤ 1 | **no** |");
    judge(&rows, &kept, false, true);
    let whole = std::panic::catch_unwind(|| judge(&rows, &kept, false, false));
    assert!(whole.is_err());
}

/// One figure of the first seconds of a scenario.
fn figure(name: &str, seconds: u64, seed: u64, figure: figures::Figure) -> f64 {
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == name).expect("it is there");
    figures::measure(&Scenario { seconds, ..scenario }, seed)[&figure]
}

#[test]
fn where_a_link_becomes_narrow_the_picture_stands_once() {
    // The queue of 300 ms, twice: until it is known of, and until the next picture has come through it.
    let longest_ms = figure("0.4, 5, 0.4 Mbit/s", 66, 1, figures::Figure::LongestFreezeMs);
    assert!(longest_ms < 720.0, "{longest_ms} ms");
}

#[test]
fn a_network_that_is_nearly_full_is_watched_closely() {
    let seconds = figure("variable", 64, 1, figures::Figure::DownSeconds);
    assert!(seconds < 1.0, "{seconds} s");
}

#[test]
fn a_join_overruns_no_small_queue() {
    let lost_percent = figure("key frames, 5 Mbit/s, 30 kB", 6, 1, figures::Figure::CongestionLossPercent);
    assert!(lost_percent == 0.0, "{lost_percent} %");
}

#[test]
fn what_a_trial_sent_leaves_before_what_follows_it() {
    let longest_ms = figure("token bucket", 9, 2, figures::Figure::LongestFreezeMs);
    assert!(longest_ms < 500.0, "{longest_ms} ms");
}

#[test]
fn jitter_is_no_queue() {
    let seconds = figure("variable, jitter", 20, 3, figures::Figure::UpSeconds);
    assert!(seconds < 8.0, "{seconds} s");
}

#[test]
fn one_seed_is_one_run() {
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == "variable").expect("it is there");
    let scenario = Scenario { seconds: 12, ..scenario };
    assert_eq!(figures::measure(&scenario, 7), figures::measure(&scenario, 7));
}

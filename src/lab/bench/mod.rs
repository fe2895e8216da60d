//! `corecast bench`: how far the relay is from the least that this machine needs for the work, whether it keeps its
//! budgets, and how it behaves at the pace of a real stream. Feature `bench`.
//!
//! | File | Holds |
//! |---|---|
//! | [`floor`] | sealing and sending the same packets with nothing else, sharing no code with the relay |
//! | [`rig`], [`publisher`] | one production worker, its sinks, and what its clients send |
//! | [`compare`] | floor and relay in turns, with the floor against itself as a control |
//! | [`table`] | the result as a table and in words |
//! | [`storm`], [`idle`], [`scaling`] | what waits during a key frame, what idle sessions cost, one stream on two cores |
//! | [`live`] | trains, residence and headroom at the pace of a real stream |
//! | [`baseline`] | a recorded comparison and how a new one stands to it |
//! | `messages` | what data channels cost, by the same means |
//! | `fleet` | what joins cost and hold: a node and the load tester in processes of their own |
//! | [`adapting`] | what it costs to know every viewer's network |
//! | [`budgets`], [`budget`] | each budget with its figure and verdict |
//!
//! CPU time of one pinned thread is measured. Times differ from machine to machine; ratios can be compared. The network
//! is left out: what a card and its driver add is the same for relay and floor.

pub mod adapting;
pub mod baseline;
pub mod budget;
pub mod budgets;
pub mod compare;
mod fleet;
pub mod floor;
pub mod idle;
pub mod live;
mod messages;
pub mod publisher;
pub mod rig;
pub mod scaling;
pub mod storm;
pub mod table;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use serde::Serialize;

use crate::dtls::IdentityError;
use crate::net::lab::namespace;
use crate::net::{IoKind, StartError, process};
use crate::worker::mailbox::OpenRefused;
use baseline::Baseline;
use compare::{Plan, Row};
use rig::Sink;

/// Why a bench could not run.
#[derive(Debug)]
pub enum BenchError {
    /// A worker's sockets or backend.
    Net(StartError),
    /// Another socket.
    Socket(io::Error),
    /// The certificate.
    Dtls(IdentityError),
    /// A session was refused.
    Open(OpenRefused),
    /// A file named on the command line.
    File(PathBuf, String),
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(error) => error.fmt(f),
            Self::Socket(error) => write!(f, "a socket of the bench: {error}"),
            Self::Dtls(error) => write!(f, "the certificate: {error}"),
            Self::Open(refused) => write!(f, "a session was refused: {refused:?}"),
            Self::File(path, problem) => write!(f, "{}: {problem}", path.display()),
        }
    }
}

impl std::error::Error for BenchError {}

/// `corecast bench`'s flags.
#[derive(Clone, Debug, Default)]
pub struct BenchSettings {
    /// Print JSON instead of a table.
    pub json: bool,
    /// Fewer shapes and turns.
    pub quick: bool,
    /// The budgets instead of the comparison.
    pub budgets: bool,
    /// A paced run instead.
    pub live: bool,
    /// Compare the result with the one recorded in this file.
    pub baseline: Option<PathBuf>,
    /// Record the comparison in this file.
    pub save_baseline: Option<PathBuf>,
    /// One sink only; all without it.
    pub sink: Option<Sink>,
    /// One backend only.
    pub io: Option<IoKind>,
}

/// A sink that this process may not use, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotPermitted {
    /// Which.
    pub sink: &'static str,
    /// Why, and what to do about it.
    pub reason: String,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Results {
    /// The rows.
    pub rows: Vec<Row>,
    /// The sinks without rows.
    pub not_permitted: Vec<NotPermitted>,
}

/// Runs `body` where this sink is, on a thread of its own that keeps to one core.
///
/// # Errors
/// The sink is not permitted here.
pub fn with_sink<T: Send>(sink: Sink, body: impl FnOnce() -> T + Send) -> Result<T, NotPermitted> {
    with_sink_on_all_cores(sink, move || {
        pin();
        body()
    })
}

/// Runs `body` where this sink is, on a thread of its own.
///
/// # Errors
/// The sink is not permitted here.
pub fn with_sink_on_all_cores<T: Send>(sink: Sink, body: impl FnOnce() -> T + Send) -> Result<T, NotPermitted> {
    if sink == Sink::Nic {
        return namespace::with_nic_like_sink(body)
            .map_err(|error| NotPermitted { sink: sink.name(), reason: error.to_string() });
    }
    thread::scope(|scope| match scope.spawn(body).join() {
        Ok(result) => Ok(result),
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Pins the thread to the last core it may use, because on most machines the first one serves the interrupts.
fn pin() {
    if let Some(&core) = process::allowed_cores().unwrap_or_default().last() {
        // An error is ignored: unpinned, the figures only vary more.
        let _ = process::pin_current_thread(&[core]);
    }
}

/// The plans of a run, sink by sink.
#[must_use]
pub fn plans(settings: &BenchSettings) -> Vec<Plan> {
    let ios = settings.io.map_or(vec![IoKind::Uring, IoKind::Mmsg], |io| vec![io]);
    let (viewers, trains, turns) = match settings.quick {
        true => (vec![1_000], vec![1, 8], 7),
        false => (vec![100, 1_000, 5_000], vec![1, 4, 8, 16], 15),
    };
    let mut plans = Vec::new();
    for sink in Sink::ALL.into_iter().filter(|&sink| settings.sink.is_none_or(|only| only == sink)) {
        for &viewers in &viewers {
            for &io in &ios {
                plans.push(Plan { sink, io, viewers, trains: trains.clone(), turns });
            }
        }
    }
    plans
}

/// Makes the comparisons of every plan; `done` is called with each row when it is ready.
///
/// # Errors
/// Sockets or backend could not be made.
pub fn measure(plans: &[Plan], mut done: impl FnMut(&Row) + Send) -> Result<Results, BenchError> {
    let mut results = Results::default();
    for sink in Sink::ALL {
        let of_sink: Vec<&Plan> = plans.iter().filter(|plan| plan.sink == sink).collect();
        if of_sink.is_empty() {
            continue;
        }
        let rows = &mut results.rows;
        let done = &mut done;
        let run = move || {
            of_sink.into_iter().try_for_each(|plan| {
                compare::compare(plan, |row| {
                    done(&row);
                    rows.push(row);
                })
            })
        };
        match with_sink(sink, run) {
            Ok(result) => result?,
            Err(reason) => results.not_permitted.push(reason),
        }
    }
    Ok(results)
}

/// Says on standard error how far a run is; on a terminal in one line.
#[derive(Debug)]
pub struct Progress {
    done: usize,
    of: usize,
    terminal: bool,
}

impl Progress {
    /// Of so many steps.
    #[must_use]
    pub fn new(of: usize) -> Self {
        Self { done: 0, of, terminal: io::stderr().is_terminal() }
    }

    /// One more step is done.
    pub fn step(&mut self, what: &str) {
        self.done += 1;
        let mut out = io::stderr().lock();
        // A failed write is ignored: nobody reads the progress then.
        let _ = if self.terminal {
            write!(out, "\r\x1b[K[{}/{}] {what}{}", self.done, self.of, if self.done == self.of { "\n" } else { "" })
        } else {
            writeln!(out, "[{}/{}] {what}", self.done, self.of)
        };
        let _ = out.flush();
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("results are numbers and names")
}

/// The subcommand.
#[must_use]
pub fn run(settings: &BenchSettings) -> ExitCode {
    match try_run(settings) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("corecast: error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(settings: &BenchSettings) -> Result<ExitCode, BenchError> {
    if settings.budgets {
        let kept = budgets::run(settings)?;
        return Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if settings.live {
        live::run(settings)?;
        return Ok(ExitCode::SUCCESS);
    }
    // The file is read first, so that a wrong one is reported at once and not after minutes.
    let baseline = settings.baseline.as_deref().map(Baseline::read).transpose()?;
    let plans = plans(settings);
    let mut progress = Progress::new(plans.iter().map(|plan| plan.trains.len()).sum());
    let results = measure(&plans, |row| {
        progress.step(&format!("{} {} {} × {}", row.sink, row.io, row.train, row.viewers));
    })?;
    if let Some(path) = &settings.save_baseline {
        Baseline::of(&results.rows, baseline::this_machine()).write(path)?;
    }
    if settings.json {
        println!("{}", json(&results));
        return Ok(ExitCode::SUCCESS);
    }
    println!("Nanoseconds of CPU for each 1,196-byte packet sealed with AES-128-GCM under its viewer's own key.\n");
    println!("{}", table::HEAD);
    for row in &results.rows {
        println!("{}", table::line(row));
    }
    print!("{}", table::words(&results.rows));
    for NotPermitted { sink, reason } in &results.not_permitted {
        println!("\n{sink}: not permitted here: {reason}");
    }
    let kept = baseline.is_none_or(|baseline| baseline::report(&baseline, &baseline.compare(&results.rows)));
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! The load tester: thousands of honest WebRTC publishers and viewers from few cores, against any WHIP/WHEP server.
//!
//! ```text
//!  cli ─▶ run ─┬─▶ signalling (one thread: offers, HTTP, answers; open loop) ──new clients──▶ load threads
//!              │                                                                 (one ring each, corecast::lab::peer::fleet)
//!              └─◀── what was measured, twice a second ◀─────────────────────────────────────────┘
//!        results ─▶ table, report.json, report.html
//! ```
//!
//! Open loop: when a client begins is decided before the test begins. A server that answers late does not slow the
//! arrivals, and every time is counted from the intended start, not from when something happened to be sent.
//!
//! Exit codes: 0 the check passed, 1 it failed, 2 bad usage or nothing could be tested.

mod cli;
mod file;
mod forward;
mod handovers;
mod http;
mod knee;
mod load;
mod machine;
mod plots;
mod rekeys;
mod report;
mod results;
mod run;
mod script;
mod second;
mod signalling;
mod ways;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    if let cli::Command::Link(link) = &cli.command {
        return match run::forward(link) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("corecast-loadtest: error: {error}");
                ExitCode::from(2)
            }
        };
    }
    match run::run(&cli.command) {
        Ok(results) if results.verdict.passed() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("corecast-loadtest: error: {error}");
            ExitCode::from(2)
        }
    }
}

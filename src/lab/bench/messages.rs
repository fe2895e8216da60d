//! What data channels cost: a node and the load tester in processes of their own ([`super::fleet`]), the same stream with
//! messages, with a channel on which nothing is said, and without data channels. The differences are the figures.
//!
//! A message's cost is the node's whole: taken from the ring, SCTP, DTLS, the kernel's send, and what the viewer
//! acknowledges. The ring, the lane and the publisher's side are shared by all viewers and in it too.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::budget::{Budget, Wanted};
use super::compare::round;
use super::fleet::Node;

/// Viewers of a whole and of a quick run.
const VIEWERS: [usize; 2] = [1_000, 300];
/// How many of them begin in a second.
const RAMP: u32 = 100;
/// Messages a second.
const RATE: u32 = 20;
/// From when all play until they are measured, and how long.
const SETTLED: Duration = Duration::from_secs(4);
const MEASURED: Duration = Duration::from_secs(10);

/// The two rows.
pub(super) fn rows(quick: bool) -> [Budget; 2] {
    let viewers = VIEWERS[usize::from(quick)];
    let found = [None, Some(0), Some(RATE)].map(|rate| run(viewers, rate));
    let (memory, cpu) = match &found {
        [Ok(plain), Ok(idle), Ok(busy)] => {
            let memory = (idle.bytes_per_viewer - plain.bytes_per_viewer) / 1_024.0;
            let kib = [plain, idle, busy].map(|run| run.bytes_per_viewer / 1_024.0);
            let memory_note = format!(
                "{viewers} viewers: {:.1} without, {:.1} with, {:.1} while messages come",
                kib[0], kib[1], kib[2]
            );
            let us = (busy.cpu.as_secs_f64() - idle.cpu.as_secs_f64()) * 1e6 / busy.messages.max(1) as f64;
            let cpu_note = format!("{} messages of 200 bytes, {RATE}/s to {viewers} viewers", busy.messages);
            (Ok((memory, memory_note)), Ok((us, cpu_note)))
        }
        [a, b, c] => {
            let reason = [a, b, c].iter().find_map(|run| run.as_ref().err().cloned()).unwrap_or_default();
            (Err(reason.clone()), Err(reason))
        }
    };
    let judge = |name, found: Result<(f64, String), String>, unit, limits| {
        let (measured, note) = match found {
            Ok((value, note)) => (Some(round(value, 2)), note),
            Err(reason) => (None, reason),
        };
        Budget::judge(name, measured, unit, Wanted::AtMost, limits, note)
    };
    [
        // What is planned for each (`limits::PLANNED_DATA_SESSION_BYTES`).
        judge("memory of a viewer's data channels, beside a viewer without", memory, "KiB", (20.0, Some(12.0))),
        // What `limits::DATA_VISITS_PER_ROUND_MAX` reckons with, at the most.
        judge("CPU per data message and viewer", cpu, "µs", (20.0, Some(9.0))),
    ]
}

/// What a run was like.
struct Run {
    bytes_per_viewer: f64,
    /// While it was measured.
    cpu: Duration,
    messages: u64,
}

fn run(viewers: usize, rate: Option<u32>) -> Result<Run, String> {
    let node = Node::start()?;
    let rest = node.report()?;
    let rate = rate.map(|rate| rate.to_string());
    let mut command = vec!["run"];
    command.extend(rate.iter().flat_map(|rate| ["--data", rate.as_str()]));
    let seconds = (SETTLED + MEASURED).as_secs() + 8;
    let mut tester = node.load(&command, "bench", viewers, RAMP, seconds)?;
    thread::sleep(Duration::from_secs(viewers as u64 / u64::from(RAMP) + 1));
    node.wait_for(&mut tester, viewers)?;
    thread::sleep(SETTLED);
    let (cpu, sent) = (node.cpu()?, messages(&node.report()?));
    thread::sleep(MEASURED);
    let cpu = node.cpu()?.saturating_sub(cpu);
    let playing = node.report()?;
    tester.wait_to_end()?;
    if playing["viewers"].as_u64() != Some(viewers as u64) {
        return Err(format!("only {} of {viewers} viewers still played", playing["viewers"]));
    }
    let memory = |report: &Value| report["resident_memory_bytes"].as_f64().unwrap_or(f64::NAN);
    let bytes_per_viewer = (memory(&playing) - memory(&rest)) / viewers as f64;
    Ok(Run { bytes_per_viewer, cpu, messages: messages(&playing) - sent })
}

/// Messages given to viewers so far.
fn messages(report: &Value) -> u64 {
    let workers = report["workers"].as_array();
    workers.into_iter().flatten().filter_map(|worker| worker["channel_messages_sent"].as_u64()).sum()
}

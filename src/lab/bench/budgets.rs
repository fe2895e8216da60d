//! The relay's budgets, and whether they are kept on this machine: `corecast bench --budgets`. The exit code is 1 when
//! one is missed.
//!
//! [`fleet`] measures the rows that need thousands of real joins (HTTP, DTLS, a fleet of clients), [`messages`] those of
//! data channels by the same means.

use serde::Serialize;

use super::budget::{Budget, Wanted};
use super::compare::{self, Plan, Row, round};
use super::rig::Sink;
use super::{
    BenchError, BenchSettings, Progress, adapting, fleet, idle, messages, scaling, storm, with_sink,
    with_sink_on_all_cores,
};
use crate::net::IoKind;

const HEAD: &str = "\
| budget                                                              |     measured |         budget |        stretch | verdict       | note
|---------------------------------------------------------------------|--------------|----------------|----------------|---------------|-----";

/// Measures every row.
///
/// # Errors
/// Sockets or backend could not be made.
pub fn measure(settings: &BenchSettings, mut step: impl FnMut(&str) + Send) -> Result<Vec<Budget>, BenchError> {
    let io = settings.io.unwrap_or_default();
    let turns = if settings.quick { 7 } else { 31 };
    let mut budgets = Vec::new();
    for sink in [Sink::Null, Sink::Nic] {
        step(&format!("relay and floor, {}", sink.name()));
        let plan = Plan { sink, io, viewers: 1_000, trains: vec![8], turns };
        let mut row = None;
        let run = || compare::compare(&plan, |found| row = Some(found));
        let missing = match with_sink(sink, run) {
            Ok(result) => {
                result?;
                String::new()
            }
            Err(reason) => format!("not permitted here: {}", reason.reason),
        };
        budgets.push(against_floor(sink, row.as_ref(), missing));
    }

    step("key frame to 5,000 viewers");
    let storm = with_sink(Sink::Loopback, || storm::measure(io, 5_000, if settings.quick { 6 } else { 24 }));
    let storm = storm.unwrap_or_else(|reason| unreachable!("loopback is always permitted, not {reason:?}"))?;
    for (name, waits) in [
        ("5,000 viewers, 40-packet key frame: STUN served, 99.9 %", &storm.check),
        ("5,000 viewers, 40-packet key frame: audio served, 99.9 %", &storm.audio_first),
    ] {
        let note = format!(
            "CPU time; by the wall clock half {:.2}, 99 % {:.2} ms; {} times; the key frame took {:.0} ms",
            waits.wall_ms[0], waits.wall_ms[1], waits.times, storm.key_frame.cpu_ms[0]
        );
        let measured = (waits.times > 0).then(|| waits.judged_ms());
        budgets.push(Budget::judge(name, measured, "ms", Wanted::AtMost, (2.0, Some(0.5)), note));
    }

    step("10,000 idle sessions");
    let idle = with_sink(Sink::Null, || idle::measure(io, [100, 10_000], turns));
    let idle = idle.unwrap_or_else(|reason| unreachable!("the null sink is always permitted, not {reason:?}"))?;
    budgets.push(Budget::judge(
        "10,000 idle sessions: CPU of the same work ÷ beside 100",
        Some(round(idle.ratio, 3)),
        "",
        Wanted::AtMost,
        // "Flat" allows for the cache misses of a hundred times the memory.
        (1.15, None),
        format!(
            "{:.1} and {:.1} µs a frame to one viewer; control {:.3}",
            idle.frame_ns[0] / 1e3,
            idle.frame_ns[1] / 1e3,
            idle.control
        ),
    ));

    step("one stream on two cores");
    budgets.push(two_cores(io, settings.quick)?);
    step("viewers whose networks are known");
    budgets.extend(adapting::rows(io, settings.quick)?);
    step("a fleet of real clients");
    budgets.extend(fleet::rows(settings.quick));
    step("data channels");
    budgets.extend(messages::rows(settings.quick));
    Ok(budgets)
}

fn against_floor(sink: Sink, row: Option<&Row>, missing: String) -> Budget {
    let note = row.map_or(missing, |row| {
        let measured = format!(
            "{}: relay {:.0}, floor {:.0} ns; control {:.3} ± {:.3}",
            row.io, row.relay_ns, row.floor_ns, row.control, row.control_spread
        );
        match sink {
            Sink::Null => format!("{measured}; {}", at_reference_speed(row)),
            _ => measured,
        }
    });
    // A relay that sent fewer packets than it should has no valid figure.
    let row = row.filter(|row| row.missing == 0);
    match sink {
        Sink::Null => Budget::judge(
            "relay − floor, null sink, 8 × 1,000, per packet",
            row.map(|row| row.difference_ns),
            "ns",
            Wanted::AtMost,
            (100.0, Some(50.0)),
            note,
        ),
        _ => Budget::judge(
            "relay ÷ floor, NIC-like sink, 8 × 1,000",
            row.map(|row| row.ratio),
            "",
            Wanted::AtMost,
            (1.3, Some(1.1)),
            note,
        ),
    }
}

/// Nanoseconds of the null sink's floor on the machine that the budgets were written for.
const REFERENCE_FLOOR_NS: f64 = 187.0;

/// The difference between relay and floor in that machine's nanoseconds. It is only a hint for the reader; the verdict
/// is about this machine.
fn at_reference_speed(row: &Row) -> String {
    let speed = row.floor_ns / REFERENCE_FLOOR_NS;
    format!(
        "sealing takes {speed:.1} × the {REFERENCE_FLOOR_NS} ns of the machine the budget was set on, where the difference would be {:.0} ns",
        row.difference_ns / speed
    )
}

fn two_cores(io: IoKind, quick: bool) -> Result<Budget, BenchError> {
    let (frames, turns) = if quick { (100, 3) } else { (300, 5) };
    let name = "one stream: relay (2 cores ÷ 1) ÷ floor (2 cores ÷ 1)";
    let run = |sink| with_sink_on_all_cores(sink, move || scaling::measure(sink, io, 1_000, frames, turns));
    let (found, sink) = match run(Sink::Nic) {
        Ok(found) => (found?, "nic"),
        Err(_) => match run(Sink::Null) {
            Ok(found) => (found?, "null"),
            Err(reason) => unreachable!("the null sink is always permitted, not {reason:?}"),
        },
    };
    let note = found.as_ref().map_or("there is one core only".to_owned(), |found| {
        format!(
            "{sink} sink, CPU time; relay {:.2} ÷ floor {:.2}",
            found.relay[1] / found.relay[0],
            found.floor[1] / found.floor[0]
        )
    });
    let measured = found.map(|found| round(found.ratio, 3));
    Ok(Budget::judge(name, measured, "", Wanted::AtLeast, (0.9, Some(0.98)), note))
}

/// Prints the budgets; returns whether all were kept.
///
/// # Errors
/// Sockets or backend could not be made.
pub fn run(settings: &BenchSettings) -> Result<bool, BenchError> {
    let mut progress = Progress::new(8);
    let budgets = measure(settings, |what| progress.step(what))?;
    let missed = budgets.iter().filter(|budget| !budget.verdict.is_kept()).count();
    if settings.json {
        #[derive(Serialize)]
        struct Output<'a> {
            budgets: &'a [Budget],
            missed: usize,
        }
        println!("{}", super::json(&Output { budgets: &budgets, missed }));
        return Ok(missed == 0);
    }
    println!("{HEAD}");
    for budget in &budgets {
        println!("{}", budget.line());
    }
    match missed {
        0 => println!("\nEvery budget is kept on this machine."),
        _ => println!("\n{missed} of {} budgets are not kept on this machine.", budgets.len()),
    }
    Ok(missed == 0)
}

#[cfg(test)]
mod tests {
    use super::super::budget::Verdict;
    use super::*;

    #[test]
    fn a_relay_that_sent_less_than_it_should_has_no_figure() {
        let row = Row {
            sink: "null",
            train: 8,
            viewers: 1_000,
            io: "uring",
            floor_ns: 200.0,
            relay_ns: 210.0,
            ratio: 1.05,
            difference_ns: 10.0,
            control: 1.0,
            control_spread: 0.0,
            seal_ns: 200.0,
            send_ns: 0.0,
            floor_batch: 8,
            floor_send: "sendmmsg",
            packets_per_message: 8.0,
            missing: 1,
        };
        assert_eq!(against_floor(Sink::Null, Some(&row), String::new()).verdict, Verdict::NotMeasured);
        let whole = Row { missing: 0, ..row };
        assert_eq!(against_floor(Sink::Null, Some(&whole), String::new()).verdict, Verdict::Stretch);
    }
}

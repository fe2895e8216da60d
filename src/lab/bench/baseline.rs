//! A recorded comparison, and how a new one compares with it. Only ratios of relay to floor are recorded and compared:
//! nanoseconds hold for one machine on one day, but the ratio carries over to other machines.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::BenchError;
use super::compare::{Row, round};

/// A ratio that grew by less than this is never reported as worse.
const TOLERANCE: f64 = 0.05;

/// What a baseline file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Where and from what it was recorded, for people.
    pub recorded: String,
    /// Relay ÷ floor of each shape.
    pub rows: Vec<Recorded>,
}

/// One shape of load and its ratio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// `null`, `loopback` or `nic`.
    pub sink: String,
    /// Packets in a train.
    pub train: usize,
    /// Viewers.
    pub viewers: usize,
    /// `uring` or `mmsg`.
    pub io: String,
    /// Relay ÷ floor.
    pub ratio: f64,
    /// How far the floor differed from itself while this was recorded.
    pub control_spread: f64,
}

/// A shape that was recorded and measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// As recorded.
    pub then: Recorded,
    /// The ratio now.
    pub now: f64,
    /// Now ÷ then.
    pub change: f64,
    /// The largest growth that both runs' noise and the tolerance allow.
    pub allowed: f64,
}

impl Change {
    /// Whether the relay became slower than noise explains.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.change > 1.0 + self.allowed
    }
}

impl Baseline {
    /// The baseline of these rows. Rows that compared unequal work are left out.
    #[must_use]
    pub fn of(rows: &[Row], recorded: String) -> Self {
        let recorded_row = |row: &Row| Recorded {
            sink: row.sink.to_owned(),
            train: row.train,
            viewers: row.viewers,
            io: row.io.to_owned(),
            ratio: row.ratio,
            control_spread: row.control_spread,
        };
        Self { recorded, rows: rows.iter().filter(|row| row.missing == 0).map(recorded_row).collect() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is not there, or is not a baseline.
    pub fn read(path: &Path) -> Result<Self, BenchError> {
        let problem = |error: String| BenchError::File(path.to_owned(), error);
        let text = fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| problem(format!("is not a baseline: {error}")))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> Result<(), BenchError> {
        let text = serde_json::to_string_pretty(self).expect("a baseline is numbers and names") + "\n";
        fs::write(path, text).map_err(|error| BenchError::File(path.to_owned(), error.to_string()))
    }

    /// Compares `rows` with it; shapes that only one of the two has are left out.
    #[must_use]
    pub fn compare(&self, rows: &[Row]) -> Vec<Change> {
        let same = |then: &Recorded, row: &&Row| {
            (row.sink, row.train, row.viewers, row.io) == (&then.sink, then.train, then.viewers, &then.io)
                && row.missing == 0
        };
        let change = |then: &Recorded| {
            let row = rows.iter().find(|row| same(then, row))?;
            Some(Change {
                then: then.clone(),
                now: row.ratio,
                change: round(row.ratio / then.ratio, 3),
                allowed: round(TOLERANCE + then.control_spread + row.control_spread, 3),
            })
        };
        self.rows.iter().filter_map(change).collect()
    }
}

/// Kernel, processor and commit in one line.
#[must_use]
pub fn this_machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    format!(
        "commit {}, Linux {}, {}",
        crate::cli::COMMIT,
        kernel.trim().split('-').next().unwrap_or_default(),
        model.trim_start_matches([' ', '\t', ':'])
    )
}

/// Prints how a run compares with a baseline; returns whether nothing became worse.
#[must_use]
pub fn report(baseline: &Baseline, changes: &[Change]) -> bool {
    println!("\nRelay ÷ floor against the baseline ({}):\n", baseline.recorded);
    println!("| sink     | train | viewers | io    |  then |   now | change | allowed | verdict |");
    println!("|----------|-------|---------|-------|-------|-------|--------|---------|---------|");
    for change in changes {
        let Recorded { sink, train, viewers, io, ratio, .. } = &change.then;
        println!(
            "| {sink:8} | {train:5} | {viewers:7} | {io:5} | {ratio:5.2} | {:5.2} | {:+5.0}% | {:+6.0}% | {:7} |",
            change.now,
            (change.change - 1.0) * 100.0,
            change.allowed * 100.0,
            if change.is_worse() { "WORSE" } else { "ok" }
        );
    }
    let worse = changes.iter().filter(|change| change.is_worse()).count();
    println!("\n{worse} of {} shapes became worse than the noise of both runs explains.", changes.len());
    worse == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(train: usize, ratio: f64, missing: u64) -> Row {
        Row {
            sink: "null",
            train,
            viewers: 1_000,
            io: "uring",
            floor_ns: 200.0,
            relay_ns: 200.0 * ratio,
            ratio,
            difference_ns: 200.0 * (ratio - 1.0),
            control: 1.0,
            control_spread: 0.01,
            seal_ns: 200.0,
            send_ns: 0.0,
            floor_batch: 8,
            floor_send: "sendmmsg",
            packets_per_message: 8.0,
            missing,
        }
    }

    #[test]
    fn only_a_ratio_that_grew_beyond_the_noise_is_worse() {
        let baseline = Baseline::of(&[row(1, 1.5, 0), row(8, 1.2, 0)], String::new());
        let faster_machine = Row { floor_ns: 100.0, relay_ns: 120.0, ..row(8, 1.2, 0) };
        let changes = baseline.compare(&[faster_machine, row(1, 1.5 * 1.2, 0), row(4, 9.0, 0)]);
        let verdicts: Vec<_> = changes.iter().map(|change| (change.then.train, change.is_worse())).collect();
        assert_eq!(verdicts, [(1, true), (8, false)]);
    }

    #[test]
    fn rows_of_unequal_work_are_neither_recorded_nor_compared() {
        assert!(Baseline::of(&[row(8, 1.2, 3)], String::new()).rows.is_empty());
        assert!(Baseline::of(&[row(8, 1.2, 0)], String::new()).compare(&[row(8, 5.0, 3)]).is_empty());
    }

    #[test]
    fn a_baseline_is_read_back_and_an_invalid_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("baseline.json");
        let baseline = Baseline::of(&[row(8, 1.2, 0)], "here".to_owned());
        baseline.write(&path).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), baseline);
        fs::write(&path, "{}").unwrap();
        assert!(Baseline::read(&path).unwrap_err().to_string().contains("baseline.json: is not a baseline"));
    }
}

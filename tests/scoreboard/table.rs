//! The board as text: `table.txt` is kept in the tree, and a run is shown beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::figures::Row;
use crate::scenarios::Bound;

/// What was kept: scenario and figure, and the value as text.
pub(crate) type Kept = BTreeMap<(String, String), String>;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scoreboard/table.txt")
}

/// Reads `table.txt`; empty before the first time.
pub(crate) fn kept() -> Kept {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let mut kept = Kept::new();
    for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Scenario")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        if let (Some(scenario), Some(figure), Some(value)) = (cells.next(), cells.next(), cells.next()) {
            kept.insert((scenario.to_owned(), figure.to_owned()), value.to_owned());
        }
    }
    kept
}

fn value(row: &Row) -> String {
    format!("{:.2}", row.worst)
}

fn bound(row: &Row) -> String {
    match row.bound {
        Bound::AtMost(most) => format!("≤ {most}"),
        Bound::AtLeast(least) => format!("≥ {least}"),
        Bound::Told => "–".to_owned(),
    }
}

fn before<'k>(row: &Row, kept: &'k Kept) -> &'k str {
    kept.get(&(row.scenario.to_owned(), format!("{:?}", row.figure))).map_or("–", String::as_str)
}

/// The table for people: each figure with its threshold, and what it was.
pub(crate) fn text(rows: &[Row], kept: &Kept) -> String {
    let mut out = format!("{:<32}{:<24}{:>10}{:>10}{:>10}\n", "scenario", "figure", "worst", "must be", "was");
    for row in rows {
        let figure = format!("{:?}", row.figure);
        let verdict = if row.holds() { "" } else { "  FAILS" };
        let was = before(row, kept);
        let was = if was == value(row) { "same" } else { was };
        let _ = writeln!(out, "{:<32}{figure:<24}{:>10}{:>10}{was:>10}{verdict}", row.scenario, value(row), bound(row));
    }
    out
}

/// Writes `table.txt`.
pub(crate) fn bless(rows: &[Row]) {
    let mut out = String::from(
        "The scoreboard's last figures: the worst of its seeds (tests/README.md says how to run and renew it).\n\n\
         | Scenario | Figure | Worst | Must be | Holds |\n|---|---|---:|---:|---|\n",
    );
    for row in rows {
        let holds = if row.holds() { "yes" } else { "**no**" };
        let _ = writeln!(out, "| {} | {:?} | {} | {} | {holds} |", row.scenario, row.figure, value(row), bound(row));
    }
    std::fs::write(file(), out).expect("table.txt is written");
}

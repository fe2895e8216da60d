//! The board as text: `table.txt` is kept in the tree, and a run is shown beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::figures::Row;
use crate::scenarios::Bound;

/// What was kept of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) value: String,
    pub(crate) bound: String,
    pub(crate) holds: bool,
}

/// The table that was kept: by scenario and figure.
#[derive(Debug)]
pub(crate) struct Table(BTreeMap<(String, String), Kept>);

const HOLDS: &str = "yes";

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scoreboard/table.txt")
}

impl Table {
    /// Reads `table.txt`; empty before the first time.
    pub(crate) fn kept() -> Self {
        Self::read(&std::fs::read_to_string(file()).unwrap_or_default())
    }

    /// Reads a table.
    pub(crate) fn read(text: &str) -> Self {
        let mut rows = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Scenario")) {
            let mut cells = line.split('|').map(str::trim).skip(1).map(str::to_owned);
            let row = (cells.next(), cells.next(), cells.next(), cells.next(), cells.next());
            if let (Some(scenario), Some(figure), Some(value), Some(bound), Some(holds)) = row {
                rows.insert((scenario, figure), Kept { value, bound, holds: holds == HOLDS });
            }
        }
        Self(rows)
    }

    fn of(&self, row: &Row) -> Option<&Kept> {
        self.0.get(&(row.scenario.to_owned(), format!("{:?}", row.figure)))
    }

    /// Whether a row that does not hold did not hold when the table was written either.
    pub(crate) fn is_known_as_missed(&self, row: &Row) -> bool {
        self.of(row).is_some_and(|kept| !kept.holds)
    }

    /// What the table has that these rows have not, has not that they have, or has with another threshold.
    pub(crate) fn differs_from(&self, rows: &[Row]) -> Vec<String> {
        let named = |(scenario, figure): &(String, String)| format!("{scenario}: {figure}");
        let is_of = |(scenario, figure): &(String, String), row: &Row| {
            *scenario == row.scenario && *figure == format!("{:?}", row.figure)
        };
        let gone = self.0.keys().filter(|key| !rows.iter().any(|row| is_of(key, row))).map(named);
        let other = rows.iter().filter(|row| self.of(row).is_none_or(|kept| kept.bound != bound(row)));
        gone.chain(other.map(|row| format!("{}: {:?}", row.scenario, row.figure))).collect()
    }

    /// Rows whose verdict is not that of their figure and threshold.
    pub(crate) fn wrong_verdicts(&self, rows: &[Row]) -> Vec<String> {
        let is_wrong = |row: &&Row| {
            let Some(kept) = self.of(row) else { return false };
            let worst = kept.value.parse().expect("a figure is a number");
            kept.holds != Row { worst, ..(*row).clone() }.holds()
        };
        rows.iter().filter(is_wrong).map(Row::told).collect()
    }
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

/// The table for people: each figure with its threshold, and what it was.
pub(crate) fn text(rows: &[Row], kept: &Table) -> String {
    let mut out = format!("{:<32}{:<24}{:>10}{:>10}{:>10}\n", "scenario", "figure", "worst", "must be", "was");
    for row in rows {
        let figure = format!("{:?}", row.figure);
        let verdict = match (row.holds(), kept.is_known_as_missed(row)) {
            (true, false) => "",
            (true, true) => "  held now",
            (false, true) => "  missed",
            (false, false) => "  FELL",
        };
        let was = kept.of(row).map_or("–", |kept| kept.value.as_str());
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
        let holds = if row.holds() { HOLDS } else { "**no**" };
        let _ = writeln!(out, "| {} | {:?} | {} | {} | {holds} |", row.scenario, row.figure, value(row), bound(row));
    }
    std::fs::write(file(), out).expect("table.txt is written");
}

//! One budget: a figure, its limit, and the verdict. [`super::budgets`] measures the figures.

use serde::Serialize;

use super::compare::round;

/// How a measured figure relates to its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better than the goal beyond the budget.
    Stretch,
    /// Within the budget.
    Pass,
    /// Not within it.
    Miss,
    /// Not measured. It counts as a miss.
    NotMeasured,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Stretch => "PASS, stretch",
            Self::Pass => "PASS",
            Self::Miss => "MISS",
            Self::NotMeasured => "NOT MEASURED",
        }
    }

    /// Whether the budget is kept.
    #[must_use]
    pub const fn is_kept(self) -> bool {
        matches!(self, Self::Stretch | Self::Pass)
    }
}

/// Whether a figure must be at most or at least its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// No more than this.
    AtMost,
    /// No less than this.
    AtLeast,
}

/// One budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// What is measured, and how.
    pub name: &'static str,
    /// The figure; `None` when it was not measured.
    pub measured: Option<f64>,
    /// Its unit.
    pub unit: &'static str,
    /// Which side is good.
    pub wanted: Wanted,
    /// The budget.
    pub budget: f64,
    /// The goal beyond the budget.
    pub stretch: Option<f64>,
    /// Other observations, or why there is no figure.
    pub note: String,
    /// What follows.
    pub verdict: Verdict,
}

impl Budget {
    /// A budget with what was measured for it.
    #[must_use]
    pub fn judge(
        name: &'static str,
        measured: Option<f64>,
        unit: &'static str,
        wanted: Wanted,
        (budget, stretch): (f64, Option<f64>),
        note: String,
    ) -> Self {
        let within = |limit: f64, value: f64| match wanted {
            Wanted::AtMost => value <= limit,
            Wanted::AtLeast => value >= limit,
        };
        let verdict = match measured {
            None => Verdict::NotMeasured,
            Some(value) if stretch.is_some_and(|stretch| within(stretch, value)) => Verdict::Stretch,
            Some(value) if within(budget, value) => Verdict::Pass,
            Some(_) => Verdict::Miss,
        };
        Self { name, measured, unit, wanted, budget, stretch, note, verdict }
    }

    /// Its row of the table.
    pub(super) fn line(&self) -> String {
        let sign = if self.wanted == Wanted::AtMost { "≤" } else { "≥" };
        let number = |value: f64| format!("{} {}", round(value, if value.abs() < 10.0 { 3 } else { 1 }), self.unit);
        let measured = self.measured.map_or("-".to_owned(), number);
        let stretch = self.stretch.map_or("-".to_owned(), |stretch| format!("{sign} {}", number(stretch)));
        let budget = format!("{sign} {}", number(self.budget));
        format!(
            "| {:67} | {measured:>12} | {budget:>14} | {stretch:>14} | {:13} | {}",
            self.name,
            self.verdict.name(),
            self.note
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_was_not_measured_is_not_kept() {
        let judge =
            |measured, wanted| Budget::judge("x", measured, "ms", wanted, (2.0, Some(1.0)), String::new()).verdict;
        assert_eq!(judge(None, Wanted::AtMost), Verdict::NotMeasured);
        assert!(!Verdict::NotMeasured.is_kept() && !Verdict::Miss.is_kept());
        let at_most = [0.5, 1.5, 2.5].map(|value| judge(Some(value), Wanted::AtMost));
        assert_eq!(at_most, [Verdict::Stretch, Verdict::Pass, Verdict::Miss]);
        let judge =
            |value| Budget::judge("x", Some(value), "", Wanted::AtLeast, (0.9, Some(0.98)), String::new()).verdict;
        assert_eq!([0.99, 0.95, 0.8].map(judge), [Verdict::Stretch, Verdict::Pass, Verdict::Miss]);
    }
}

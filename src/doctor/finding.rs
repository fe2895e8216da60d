//! One finding and how it is written: aligned lines for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is as it should be, or nothing can be improved.
    Ok,
    /// It works, but costs viewers, latency or packets.
    Warning,
    /// The node would not start, or would serve nobody.
    Error,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, in a word or two: `receive buffer`.
    pub what: String,
    /// How serious it is.
    pub level: Level,
    /// What was found, with units.
    pub found: String,
    /// What to do; a command where there is one. Empty when there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

impl Finding {
    /// A finding that is as it should be.
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), level: Level::Ok, found: found.into(), fix: String::new() }
    }

    /// A finding that works and that `fix` improves.
    pub fn warning(what: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), level: Level::Warning, found: found.into(), fix: fix.into() }
    }

    /// A finding that does not work without `fix`.
    pub fn error(what: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), level: Level::Error, found: found.into(), fix: fix.into() }
    }
}

/// The findings about one subject, like `Network`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingSection {
    /// The subject.
    pub subject: &'static str,
    /// The findings, in the order of the checks.
    pub findings: Vec<Finding>,
}

/// The whole result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The number of errors among the findings.
    pub errors: usize,
    /// The number of warnings among the findings.
    pub warnings: usize,
    /// The findings by subject.
    pub sections: Vec<FindingSection>,
}

impl Report {
    /// Makes the report and counts its errors and warnings.
    #[must_use]
    pub fn new(sections: Vec<FindingSection>) -> Self {
        let count = |level| {
            sections.iter().flat_map(|section| &section.findings).filter(|finding| finding.level == level).count()
        };
        Self { errors: count(Level::Error), warnings: count(Level::Warning), sections }
    }

    /// The report as aligned lines; with `colour` for a terminal.
    #[must_use]
    pub fn to_text(&self, colour: bool) -> String {
        let findings = || self.sections.iter().flat_map(|section| &section.findings);
        let width = findings().map(|finding| finding.what.chars().count()).max().unwrap_or(0);
        let paint = |code: &str, text: &str| {
            if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let mut text = String::new();
        for section in &self.sections {
            let _ = writeln!(text, "{}", paint("1", section.subject));
            for finding in &section.findings {
                let (code, mark) = match finding.level {
                    Level::Ok => ("32", "ok     "),
                    Level::Warning => ("33", "warning"),
                    Level::Error => ("31", "error  "),
                };
                let _ = writeln!(text, "  {}  {:<width$}  {}", paint(code, mark), finding.what, finding.found);
                if !finding.fix.is_empty() {
                    let indent = 2 + mark.len() + 2 + width + 2;
                    let _ = writeln!(text, "{:indent$}{}", "", paint("2", &format!("fix: {}", finding.fix)));
                }
            }
        }
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let summary = format!("{}, {}", plural(self.errors, "error"), plural(self.warnings, "warning"));
        let code = if self.errors > 0 { "31" } else { "1" };
        let _ = writeln!(text, "{}", paint(code, &summary));
        text
    }

    /// The report as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        // There are only strings and numbers, so this cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(vec![
            FindingSection { subject: "Kernel", findings: vec![Finding::ok("version", "6.6.1")] },
            FindingSection {
                subject: "Network",
                findings: vec![
                    Finding::warning("send buffer", "208 KiB", "sysctl -w x=1"),
                    Finding::error("port", "taken", "end it"),
                ],
            },
        ])
    }

    #[test]
    fn lines_are_aligned_and_the_fix_stands_below_what_it_fixes() {
        let expected = "\
Kernel
  ok       version      6.6.1
Network
  warning  send buffer  208 KiB
                        fix: sysctl -w x=1
  error    port         taken
                        fix: end it
1 error, 1 warning
";
        assert_eq!(report().to_text(false), expected);
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let coloured = report().to_text(true);
        assert!(coloured.contains("\x1b[31merror  \x1b[0m"), "{coloured}");
        let mut plain = coloured;
        for code in ["0", "1", "2", "31", "32", "33"] {
            plain = plain.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(plain, report().to_text(false));
    }

    #[test]
    fn json_has_the_same_levels_and_counts() {
        let json: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
        assert_eq!((&json["errors"], &json["warnings"]), (&1.into(), &1.into()));
        assert_eq!(json["sections"][1]["findings"][0]["level"], "warning");
        assert!(json["sections"][0]["findings"][0].get("fix").is_none());
    }
}

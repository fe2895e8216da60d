//! The documentation of the settings, made from [`super::settings`]: the manual's tables and the sample file.
//!
//! `corecast check-config --reference` and `--sample` print them. One test compares them with the files in
//! `src/manual/`, and another reads the sample with the real reader.

use std::fmt::Write as _;

use super::setting::{Form, Preset, Setting};
use super::settings::{SECTIONS, Section};

/// Width of the sample in columns.
const WIDTH: usize = 118;

/// The manual's tables of all settings, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = "`--config FILE` names the file. *Reload* says whether `SIGHUP` changes the setting in a running node; else a start \
                    does.\n"
        .to_owned();
    for section in SECTIONS {
        let _ = write!(text, "\n### {}\n\n", section.title);
        let has_flags = section.settings.iter().any(|setting| setting.flag.is_some());
        let (title, rule) = if has_flags { ("Flag | ", "---|") } else { ("", "") };
        let _ = writeln!(text, "| Key | {title}Default | Reload | Meaning |\n|---|{rule}---|---|---|");
        for setting in section.settings {
            let flag = if has_flags { format!("{} | ", flag_cell(setting)) } else { String::new() };
            let reload = if setting.is_live { "yes" } else { "no" };
            let (key, default, meaning) = (key_cell(setting), default_cell(setting), meaning(setting));
            let _ = writeln!(text, "| {key} | {flag}{default} | {reload} | {meaning} |");
        }
    }
    text
}

fn key_cell(setting: &Setting) -> String {
    match setting.form {
        Form::Tables(_) => format!("`[[{}]]`", setting.key),
        _ => format!("`{}`", setting.key),
    }
}

fn flag_cell(setting: &Setting) -> String {
    let repeated = if setting.form == Form::List { " …" } else { "" };
    setting.flag.map_or_else(String::new, |flag| format!("`{}`{repeated}", flag.replace('|', "\\|")))
}

fn default_cell(setting: &Setting) -> String {
    match setting.default {
        Preset::Text(text) => format!("`{text}`"),
        Preset::None { told: "", .. } => "none".to_owned(),
        Preset::None { told, .. } => told.to_owned(),
        _ => format!("`{}`", default_value(setting).unwrap_or_default()),
    }
}

fn meaning(setting: &Setting) -> String {
    let mut text = match setting.form {
        Form::Tables(keys) => {
            let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
            format!("{}: {}", keys.join(", "), setting.help)
        }
        _ => with_bounds(setting),
    };
    if !setting.remark.is_empty() {
        let _ = write!(text, ". {}", setting.remark);
    }
    text
}

/// The setting's help; for a number with its bounds.
fn with_bounds(setting: &Setting) -> String {
    match setting.form {
        Form::Number(bounds) => format!("{}: {bounds}", setting.help),
        _ => setting.help.to_owned(),
    }
}

/// The default as it would be written in the file; `None` if it cannot be written down.
fn default_value(setting: &Setting) -> Option<String> {
    match setting.default {
        Preset::Switch(value) => Some(value.to_string()),
        Preset::Number(value) => Some(value.to_string()),
        Preset::Text(value) => Some(format!("\"{value}\"")),
        Preset::List(values) => {
            let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
            Some(format!("[{}]", values.join(", ")))
        }
        Preset::None { .. } => None,
    }
}

/// A configuration file with every key. Each is commented out, with its default or, if that cannot be written down, an
/// example.
#[must_use]
pub fn sample() -> String {
    let mut text = "\
# Every key of Corecast's configuration file. Nothing is set here: each line that begins with `#` and a key shows what
# holds without it, so that removing the `#` changes nothing until you change the value.
#
# A line that ends in `# example` shows the form of a key that has no default, or whose default depends on the machine.
#
# Check the result with `corecast check-config --config corecast.toml`; use it with `corecast --config corecast.toml`.
# An unknown key is an error. Made by `corecast check-config --sample`.
"
    .to_owned();
    for section in SECTIONS {
        sample_section(&mut text, section);
    }
    text
}

fn sample_section(text: &mut String, section: &Section) {
    let title = format!("# --- {} ", section.title);
    let _ = write!(text, "\n{title:-<WIDTH$}\n");
    let table = section.settings.first().map_or("", |setting| setting.place().0);
    if !table.is_empty() {
        let _ = write!(text, "\n[{table}]\n");
    }
    for setting in section.settings {
        let mut help = with_bounds(setting);
        if let Preset::None { told, .. } = setting.default
            && !told.is_empty()
        {
            let _ = write!(help, ". Default: {told}");
        }
        text.push('\n');
        write_comment(text, &help);
        write_setting(text, setting);
    }
}

fn write_setting(text: &mut String, setting: &Setting) {
    let name = setting.place().1;
    if let Some(value) = default_value(setting) {
        let _ = writeln!(text, "#{name} = {value}");
        return;
    }
    let Preset::None { example, .. } = setting.default else { return };
    let value = match setting.form {
        Form::Text | Form::Choice(_) => format!("{name} = \"{example}\""),
        // A table at the top level is written as it is.
        Form::Tables(_) if example.starts_with("[[") => example.to_owned(),
        _ => format!("{name} = {example}"),
    };
    for line in value.lines() {
        let _ = writeln!(text, "#{line} # example");
    }
}

/// Writes a sentence as comment lines.
fn write_comment(text: &mut String, sentence: &str) {
    let mut column = 0;
    for word in format!("{sentence}.").split(' ') {
        let length = word.chars().count() + 1;
        if column == 0 || column + length > WIDTH {
            text.push_str(if column == 0 { "#" } else { "\n#" });
            column = 1;
        }
        let _ = write!(text, " {word}");
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::{Config, ConfigError, Environment, Settings, settings};
    use crate::limits;

    fn manual(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual").join(name)
    }

    fn load(text: &str) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("corecast.toml");
        std::fs::write(&file, text).unwrap();
        let environment = Environment { allowed_cores: vec![0, 1], home: Some("/h".into()), ..Environment::default() };
        Config::load(Some(&file), &Settings::default(), &environment)
    }

    /// The sample with those settings in force that `wanted` picks by their line.
    fn uncommented(wanted: impl Fn(&str) -> bool) -> String {
        let line = |line: &str| match line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')) {
            Some(setting) if wanted(setting) => format!("{setting}\n"),
            _ => format!("{line}\n"),
        };
        sample().lines().map(line).collect()
    }

    /// What the manual has is what the table says; `BLESS=1` writes it anew.
    #[test]
    fn the_manual_and_the_sample_are_made_from_the_table() {
        let (begin, end) = ("<!-- settings: begin -->\n", "<!-- settings: end -->\n");
        let page = std::fs::read_to_string(manual("configuration.md")).unwrap();
        let (before, rest) = page.split_once(begin).unwrap();
        let (_, after) = rest.split_once(end).unwrap();
        let made = format!("{before}{begin}\n{}\n{end}{after}", markdown());
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(manual("configuration.md"), &made).unwrap();
            std::fs::write(manual("corecast.toml"), sample()).unwrap();
        }
        let hint = "`BLESS=1 cargo test --lib config::reference` writes the manual anew";
        assert!(std::fs::read_to_string(manual("configuration.md")).unwrap() == made, "{hint}");
        assert!(std::fs::read_to_string(manual("corecast.toml")).unwrap() == sample(), "{hint}");
    }

    #[test]
    fn the_sample_sets_nothing_and_shows_what_holds_without_it() {
        let defaults = load("").unwrap();
        assert_eq!(load(&sample()).unwrap(), defaults);
        let shown = uncommented(|line| !line.ends_with(" # example"));
        assert!(toml::from_str::<toml::Table>(&shown).unwrap()["limits"]["streams_max"].is_integer());
        assert_eq!(load(&shown).unwrap(), defaults);
    }

    /// Every key that the reader knows, and no other, is in the table: the sample with all examples is read by it.
    #[test]
    fn the_table_has_the_keys_that_the_reader_knows() {
        let all = uncommented(|_| true);
        let read: Settings = toml::from_str(&all).unwrap();
        let written: toml::Table = toml::Table::try_from(&read).unwrap();
        let mut keys = BTreeSet::new();
        for (key, value) in &written {
            match value {
                toml::Value::Table(table) => keys.extend(table.keys().map(|name| format!("{key}.{name}"))),
                _ => _ = keys.insert(key.clone()),
            }
        }
        assert_eq!(keys, settings::all().map(|setting| setting.key.to_owned()).collect());
        // A key that the reader has beyond the table would be `None` here.
        assert!(!format!("{read:?}").contains(": None"), "{read:?}");
    }

    #[test]
    fn every_setting_has_one_line_of_help_and_a_default_within_bounds() {
        let mut keys = BTreeSet::new();
        for setting in settings::all() {
            assert!(keys.insert(setting.key), "{} is there twice", setting.key);
            assert!(!setting.help.is_empty() && !setting.help.ends_with('.'), "{}", setting.key);
            assert!(!setting.help.contains('|') && !setting.remark.contains('|'), "{}: a table's cell", setting.key);
            if let (Form::Number(bounds), Preset::Number(number)) = (setting.form, setting.default) {
                assert!((bounds.min..=bounds.max).contains(&number), "{}: {number} in {bounds}", setting.key);
            }
            if let (Form::Choice(words), Preset::Text(word)) = (setting.form, setting.default) {
                assert!(words.contains(&word), "{}: {word}", setting.key);
            }
        }
        assert!(keys.len() > 45, "{}", keys.len());
    }

    #[test]
    fn a_limit_that_is_told_in_words_is_the_limit_that_holds() {
        let remark = |key| settings::of(key).remark;
        assert!(remark("cores").contains(&limits::WORKERS_MAX.to_string()));
        assert!(remark("media.ips").contains(&limits::SOCKETS_PER_WORKER_MAX.to_string()));
        assert!(settings::of("auth.secret").help.contains(&format!("{} bytes", limits::SECRET_BYTES_MIN)));
        // "1,000 for each worker", "a sixteenth", "a quarter", "a year".
        let joins = (limits::JOINS_PER_SECOND_AND_WORKER_DEFAULT, limits::JOINS_ADDRESS_DIVISOR);
        assert_eq!((joins, limits::JOINS_TOKEN_DIVISOR), ((1_000, 16), 4));
        assert_eq!(limits::HSTS_AGE_DEFAULT.as_secs(), 31_536_000);
    }
}

//! What a setting is: its key, form, bounds, default, flag, when a change takes effect, and what it means.
//!
//! The settings themselves are in [`super::settings`], each written once. From there come the flags and their help
//! ([`crate::cli`]), the bounds and defaults that the reader applies (`resolve`), which of them a reload changes
//! ([`super::changes`]), the manual's tables and the sample file ([`super::reference`]).

/// One key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// With its table, as `media.port_base`.
    pub key: &'static str,
    /// Its form and bounds.
    pub form: Form,
    /// What holds without it.
    pub default: Preset,
    /// The flag, as `--https ADDR` or, of a switch, `--allow-anyone`.
    pub flag: Option<&'static str>,
    /// Whether a reload changes it; else a start does.
    pub is_live: bool,
    /// What it means, in one line without a full stop: shown by `--help`, in the manual and in the sample.
    pub help: &'static str,
    /// What the manual has to add; empty or a sentence without a full stop.
    pub remark: &'static str,
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `true` or `false`; as a flag, given or not.
    Switch,
    /// A whole number.
    Number(Bounds),
    /// Text; its rules are the reader's.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts; as a flag, repeated.
    List,
    /// A list of tables with these keys.
    Tables(&'static [&'static str]),
}

/// The least and the greatest value of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: u32,
    /// What it means, where that is something else than little: `off`.
    pub min_means: &'static str,
    /// The greatest.
    pub max: u32,
    /// What it means.
    pub max_means: &'static str,
    /// The unit, where the rule should name it.
    pub unit: &'static str,
}

impl std::fmt::Display for Bounds {
    /// As `0 (off) to 16 milliseconds`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let meaning = |text: &str| if text.is_empty() { String::new() } else { format!(" ({text})") };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        write!(f, "{}{} to {}{}{unit}", self.min, meaning(self.min_means), self.max, meaning(self.max_means))
    }
}

/// What holds without a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This switch.
    Switch(bool),
    /// This number.
    Number(u32),
    /// This text.
    Text(&'static str),
    /// This list.
    List(&'static [&'static str]),
    /// Nothing that could be written down: the sample shows an example.
    None {
        /// What holds instead, as `off`; empty: nothing.
        told: &'static str,
        /// A value: of a text without its quotes, of [`Form::Tables`] as the file has it.
        example: &'static str,
    },
}

/// Making one, part by part; [`super::settings`] reads as a table by it.
impl Setting {
    const fn new(key: &'static str, form: Form, default: Preset) -> Self {
        Self { key, form, default, flag: None, is_live: false, help: "", remark: "" }
    }

    pub(super) const fn text(key: &'static str, default: &'static str) -> Self {
        Self::new(key, Form::Text, Preset::Text(default))
    }

    /// A text that nothing stands for: `told` says what holds without it (empty: nothing).
    pub(super) const fn optional(key: &'static str, told: &'static str, example: &'static str) -> Self {
        Self::new(key, Form::Text, Preset::None { told, example })
    }

    pub(super) const fn choice(key: &'static str, words: &'static [&'static str], default: &'static str) -> Self {
        Self::new(key, Form::Choice(words), Preset::Text(default))
    }

    pub(super) const fn switch(key: &'static str) -> Self {
        Self::new(key, Form::Switch, Preset::Switch(false))
    }

    pub(super) const fn number(key: &'static str, min: u32, max: u32, default: u32) -> Self {
        let bounds = Bounds { min, min_means: "", max, max_means: "", unit: "" };
        Self::new(key, Form::Number(bounds), Preset::Number(default))
    }

    pub(super) const fn list(key: &'static str, default: &'static [&'static str]) -> Self {
        Self::new(key, Form::List, Preset::List(default))
    }

    pub(super) const fn tables(key: &'static str, keys: &'static [&'static str], example: &'static str) -> Self {
        Self::new(key, Form::Tables(keys), Preset::None { told: "", example })
    }

    /// What holds without the setting depends on something else: `told` says on what.
    pub(super) const fn by_default(mut self, told: &'static str, example: &'static str) -> Self {
        self.default = Preset::None { told, example };
        self
    }

    /// What the ends of a number's range mean, and its unit.
    pub(super) const fn ends(mut self, min_means: &'static str, max_means: &'static str, unit: &'static str) -> Self {
        if let Form::Number(Bounds { min, max, .. }) = self.form {
            self.form = Form::Number(Bounds { min, min_means, max, max_means, unit });
        }
        self
    }

    pub(super) const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    pub(super) const fn live(mut self) -> Self {
        self.is_live = true;
        self
    }

    pub(super) const fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    pub(super) const fn remark(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }
}

impl Setting {
    /// The table that the key is in (empty: none), and its name there.
    #[must_use]
    pub fn place(&self) -> (&'static str, &'static str) {
        self.key.rsplit_once('.').unwrap_or(("", self.key))
    }

    /// The flag's name without hyphens, and what stands for its value.
    #[must_use]
    pub fn flag_parts(&self) -> Option<(&'static str, Option<&'static str>)> {
        let flag = self.flag?.trim_start_matches("--");
        Some(flag.split_once(' ').map_or((flag, None), |(name, value)| (name, Some(value))))
    }

    /// What `--help` says of its flag.
    #[must_use]
    pub fn flag_help(&self) -> String {
        let repeated = if self.form == Form::List { "; may be repeated" } else { "" };
        let default = match self.default {
            Preset::Text(text) => format!(" [default: {text}]"),
            Preset::Number(number) => format!(" [default: {number}]"),
            Preset::None { told, .. } if !told.is_empty() => format!(" [default: {told}]"),
            Preset::Switch(_) | Preset::List(_) | Preset::None { .. } => String::new(),
        };
        format!("{}{repeated}{default}", self.help)
    }

    /// The words it may be, as `text or json`.
    #[must_use]
    pub fn words(&self) -> String {
        let Form::Choice(words) = self.form else { return String::new() };
        match words {
            [] => String::new(),
            [word] => (*word).to_owned(),
            [words @ .., last] => format!("{} or {last}", words.join(", ")),
        }
    }

    /// The number that holds without the setting; 0 where that depends.
    pub(super) const fn preset_number(&self) -> u32 {
        if let Preset::Number(number) = self.default { number } else { 0 }
    }

    /// The text that holds without the setting; empty where there is none.
    pub(super) const fn preset_text(&self) -> &'static str {
        if let Preset::Text(text) = self.default { text } else { "" }
    }

    /// The bounds of a number. Of anything else, those that hold for every number.
    pub(super) fn bounds(&self) -> Bounds {
        match self.form {
            Form::Number(bounds) => bounds,
            _ => Bounds { min: 0, min_means: "", max: u32::MAX, max_means: "", unit: "" },
        }
    }
}

//! The description of a setting: its key, form, bounds, default, flag, when a change takes effect, and what it means.
//!
//! The settings themselves are in [`super::settings`], each described once. These are made from the descriptions: the
//! flags and their help ([`crate::cli`]), the bounds and defaults that the reader applies (`resolve`), which settings a
//! reload changes ([`super::changes`]), and the manual's tables and the sample file ([`super::reference`]).

/// One key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key with its table, like `media.port_base`.
    pub key: &'static str,
    /// The form of the value, and its bounds.
    pub form: Form,
    /// The value if it is not set.
    pub default: Preset,
    /// The flag, like `--https ADDR` or, for a switch, `--allow-anyone`.
    pub flag: Option<&'static str>,
    /// Whether a reload changes it. If not, a restart is needed.
    pub is_live: bool,
    /// The meaning in one line, without a full stop. It is shown by `--help`, in the manual and in the sample.
    pub help: &'static str,
    /// What the manual adds to the help: empty, or a sentence without a full stop.
    pub remark: &'static str,
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `true` or `false`. The flag has no value.
    Switch,
    /// A whole number.
    Number(Bounds),
    /// Text. The reader checks it.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts. The flag may be repeated.
    List,
    /// A list of tables with these keys.
    Tables(&'static [&'static str]),
}

/// The least and the greatest value of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub min: u32,
    /// The meaning of the least value if it is a special one, like `off`.
    pub min_means: &'static str,
    /// The greatest.
    pub max: u32,
    /// The meaning of the greatest value if it is a special one.
    pub max_means: &'static str,
    /// The unit, if the rule should name it.
    pub unit: &'static str,
}

impl std::fmt::Display for Bounds {
    /// Written as in `0 (off) to 16 milliseconds`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let meaning = |text: &str| if text.is_empty() { String::new() } else { format!(" ({text})") };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        write!(f, "{}{} to {}{}{unit}", self.min, meaning(self.min_means), self.max, meaning(self.max_means))
    }
}

/// The value of a setting that is not set.
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
    /// A default that cannot be written down. The sample shows an example instead.
    None {
        /// A description of the default, like `off`. Empty if there is none.
        told: &'static str,
        /// An example value: a text without its quotes, [`Form::Tables`] as it is written in the file.
        example: &'static str,
    },
}

/// Builders, with which [`super::settings`] reads like a table.
impl Setting {
    const fn new(key: &'static str, form: Form, default: Preset) -> Self {
        Self { key, form, default, flag: None, is_live: false, help: "", remark: "" }
    }

    pub(super) const fn text(key: &'static str, default: &'static str) -> Self {
        Self::new(key, Form::Text, Preset::Text(default))
    }

    /// A text without a default value. `told` describes what applies if it is not set (empty: nothing).
    pub(super) const fn optional(key: &'static str, told: &'static str, example: &'static str) -> Self {
        Self::new(key, Form::Text, Preset::None { told, example })
    }

    pub(super) const fn choice(key: &'static str, words: &'static [&'static str], default: &'static str) -> Self {
        Self::new(key, Form::Choice(words), Preset::Text(default))
    }

    pub(super) const fn switch(key: &'static str) -> Self {
        Self::new(key, Form::Switch, Preset::Switch(false))
    }

    /// A switch that is on unless it is turned off.
    pub(super) const fn switch_on(key: &'static str) -> Self {
        Self::new(key, Form::Switch, Preset::Switch(true))
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

    /// The default depends on something else. `told` describes on what.
    pub(super) const fn by_default(mut self, told: &'static str, example: &'static str) -> Self {
        self.default = Preset::None { told, example };
        self
    }

    /// Sets the meaning of the ends of a number's range, and its unit.
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
    /// The table that the key is in (empty if none), and its name there.
    #[must_use]
    pub fn place(&self) -> (&'static str, &'static str) {
        self.key.rsplit_once('.').unwrap_or(("", self.key))
    }

    /// The flag's name without hyphens, and the placeholder for its value.
    #[must_use]
    pub fn flag_parts(&self) -> Option<(&'static str, Option<&'static str>)> {
        let flag = self.flag?.trim_start_matches("--");
        Some(flag.split_once(' ').map_or((flag, None), |(name, value)| (name, Some(value))))
    }

    /// What `--help` says about the flag.
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

    /// The words that the value may be, as in `text or json`.
    #[must_use]
    pub fn words(&self) -> String {
        let Form::Choice(words) = self.form else { return String::new() };
        match words {
            [] => String::new(),
            [word] => (*word).to_owned(),
            [words @ .., last] => format!("{} or {last}", words.join(", ")),
        }
    }

    /// The default number; 0 if the default depends on something else.
    pub(super) const fn preset_number(&self) -> u32 {
        if let Preset::Number(number) = self.default { number } else { 0 }
    }

    /// The default text; empty if there is none.
    pub(super) const fn preset_text(&self) -> &'static str {
        if let Preset::Text(text) = self.default { text } else { "" }
    }

    /// The bounds of a number. For any other form, those of every `u32`.
    pub(super) fn bounds(&self) -> Bounds {
        match self.form {
            Form::Number(bounds) => bounds,
            _ => Bounds { min: 0, min_means: "", max: u32::MAX, max_means: "", unit: "" },
        }
    }
}

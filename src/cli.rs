//! The command line: it turns flags into [`Settings`]. [`crate::config`] knows what the values mean and which are
//! refused.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use crate::config::Settings;
use crate::config::setting::{Form, Setting};
use crate::config::settings;

/// The commit this binary was built from; `unknown` outside a git checkout.
pub const COMMIT: &str = env!("CORECAST_COMMIT");

/// The cargo features this binary was built with, in one word or a list.
pub const FEATURES: &str = env!("CORECAST_FEATURES");

/// `0.1.0 (commit 0123456789ab, features: none)`
static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (commit {COMMIT}, features: {FEATURES})", env!("CARGO_PKG_VERSION")));

/// A WebRTC broadcast edge: one publisher in by WHIP, thousands of viewers out by WHEP, one pinned worker per core.
///
/// With no arguments it serves this host: open the page it prints, publish a camera in one tab, watch in others.
/// Flags override the configuration file.
#[derive(Debug, Parser)]
#[command(name = "corecast", version = VERSION.as_str(), max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How.
    #[command(flatten)]
    pub options: Options,
}

/// What to do; `serve` if no command is given.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve until Ctrl-C or SIGTERM (what happens when no command is given).
    Serve,
    /// Check file and flags, print the effective configuration as TOML and the memory it may come to need, and exit.
    CheckConfig(CheckConfigOptions),
    /// Look at this host and say what would cost viewers; changes nothing, disturbs no running node.
    ///
    /// With --from URL it looks at another place instead: which ways lead from this host to a node (UDP, TCP, TURN), each
    /// tried alone as a viewer's session, with the time to the first packet.
    Doctor(DoctorOptions),
    /// Make a token with the configured shared secret (auth.secret or auth.secret_file) and print it.
    Token(TokenOptions),
    /// Ask a node what it knows of its cluster.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Measure how far this relay is from what this machine could do at all. Takes a core for some minutes; run nothing
    /// beside it.
    Bench(BenchOptions),
}

/// Flags of `doctor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct DoctorOptions {
    /// Print JSON instead of lines
    #[arg(long)]
    pub json: bool,

    /// Say which ways lead from here to the node at this HTTPS address, as for one of its viewers
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,

    /// The stream to play for it; it need not be published
    #[arg(long, value_name = "NAME", default_value = "demo", value_parser = stream_name)]
    pub stream: String,

    /// A file with a token that allows to play it
    #[arg(long, value_name = "FILE", requires = "from")]
    pub token_file: Option<PathBuf>,

    /// Believe the node by the certificates in this PEM file, instead of the system's
    #[arg(long, value_name = "FILE", requires = "from")]
    pub ca: Option<PathBuf>,
}

/// What of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ClusterCommand {
    /// Print its nodes with their load, its streams with their nodes, and how the engine answers. Exit code 1 when the node
    /// cannot be asked, or the engine does not answer it.
    Status(ClusterStatusOptions),
}

/// Flags of `cluster status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct ClusterStatusOptions {
    /// Print JSON instead of lines
    #[arg(long)]
    pub json: bool,

    /// Ask the node whose operator's port is at this URL, instead of the configured one on this host
    #[arg(long, value_name = "URL")]
    pub node: Option<String>,

    /// A file with a token that allows the action admin
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Believe the node by the certificates in this PEM file, instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// What goes into a URL as it is; the node says whether it is a stream's name.
fn stream_name(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("must be letters, digits and - _ . ~")
    }
}

/// Flags of `check-config`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct CheckConfigOptions {
    /// Print what the manual says of every setting, in Markdown, and nothing else
    #[arg(long, conflicts_with = "sample")]
    pub reference: bool,

    /// Print a configuration file with every key, commented out, and nothing else
    #[arg(long)]
    pub sample: bool,
}

/// Flags of `token`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct TokenOptions {
    /// What it allows: publish, play or admin; may be repeated
    #[arg(long, required = true, value_name = "ACTION", value_parser = ["publish", "play", "admin"])]
    pub action: Vec<String>,

    /// With which stream: a name, or a pattern in which * is any run of characters; may be repeated
    #[arg(long, value_name = "NAME", required_if_eq_any = [("action", "publish"), ("action", "play")])]
    pub stream: Vec<String>,

    /// How long it opens sessions, like 90s, 30m, 12h or 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lifetime)]
    pub expires: Duration,

    /// Only from pages of this origin: scheme and host, or a pattern like *.example.org; may be repeated
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    pub origin: Vec<String>,

    /// At most so many sessions play with it at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub viewers_max: Option<u32>,

    /// What a viewer says on the stream's data channels goes to the publisher
    #[arg(long)]
    pub messages: bool,

    /// Who it is for, shown in logs and told to the webhook
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,

    /// Take the secret from this file, not from the configuration
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// Parses a whole number with a unit.
fn lifetime(text: &str) -> Result<Duration, &'static str> {
    const RULE: &str = "must be a whole number and a unit, like 90s, 30m, 12h or 7d, of ten years at most";
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)))
        .ok_or(RULE)?;
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)).ok_or(RULE)?;
    if seconds == 0 || seconds > 10 * 366 * 86_400 { Err(RULE) } else { Ok(Duration::from_secs(seconds)) }
}

fn origin(text: &str) -> Result<String, &'static str> {
    crate::auth::pattern::check_origin(text).map(|()| text.to_owned())
}

/// Flags of `bench`. `--io` chooses the backend; without it both are measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct BenchOptions {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,

    /// Print every budget with what was measured and the verdict; exit code 1 when one is missed
    #[arg(long)]
    pub budgets: bool,

    /// Serve at the pace of a real stream at 30, 70 and 95 % load: train lengths, residence times, headroom
    #[arg(long, conflicts_with = "budgets")]
    pub live: bool,

    /// Say how the comparison stands to the recorded one in FILE, in ratios; exit code 1 when a shape became worse than
    /// noise explains
    #[arg(long, value_name = "FILE", conflicts_with_all = ["budgets", "live", "json"])]
    pub baseline: Option<PathBuf>,

    /// Record the comparison in FILE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["budgets", "live"])]
    pub save_baseline: Option<PathBuf>,

    /// Compare on this sink only: null, loopback or nic
    #[arg(long, value_name = "SINK", value_parser = ["null", "loopback", "nic"])]
    pub sink: Option<String>,

    /// Fewer shapes and shorter: some ten seconds
    #[arg(long)]
    pub quick: bool,
}

/// `--config`, and the flags that stand for settings. The latter are made from [`settings`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The file to read the other settings from.
    pub config: Option<PathBuf>,
    /// The flags that were given, in the form of a configuration file.
    settings: Settings,
}

impl Options {
    /// The flags that were given, as settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }
}

impl Args for Options {
    fn augment_args(command: clap::Command) -> clap::Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Read settings from this TOML file; an unknown key is an error");
        let flags = settings::all().filter_map(argument);
        command.args(std::iter::once(config).chain(flags).map(|argument| argument.global(true)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// The flag of a setting, if it has one.
fn argument(setting: &'static Setting) -> Option<Arg> {
    let (name, value) = setting.flag_parts()?;
    let argument = Arg::new(setting.key).long(name).help(setting.flag_help());
    let argument = match value {
        Some(value) => argument.value_name(value),
        None => argument,
    };
    Some(match setting.form {
        Form::Switch => argument.action(ArgAction::SetTrue),
        Form::Number(_) => argument.allow_negative_numbers(true).value_parser(whole_number),
        Form::List => argument.action(ArgAction::Append),
        Form::Text | Form::Choice(_) | Form::Tables(_) => argument,
    })
}

/// Parses any whole number. [`crate::config`] checks whether it is allowed.
fn whole_number(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "must be a whole number, like 20000")
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut file = toml::Table::new();
        for setting in settings::all().filter(|setting| setting.flag.is_some()) {
            let Some(value) = value_of(setting, matches) else { continue };
            let (table, key) = setting.place();
            if table.is_empty() {
                file.insert(key.to_owned(), value);
            } else {
                let inner = file.entry(table).or_insert_with(|| toml::Table::new().into());
                inner.as_table_mut().and_then(|inner| inner.insert(key.to_owned(), value));
            }
        }
        let settings = file.try_into().map_err(|error: toml::de::Error| {
            clap::Error::raw(ErrorKind::ValueValidation, error.message().to_owned())
        })?;
        Ok(Self { config: matches.get_one("config").cloned(), settings })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The value given for a setting's flag, in the form that the file would have.
fn value_of(setting: &Setting, matches: &ArgMatches) -> Option<toml::Value> {
    match setting.form {
        Form::Switch => matches.get_flag(setting.key).then_some(toml::Value::Boolean(true)),
        Form::Number(_) => matches.get_one::<i64>(setting.key).map(|&number| number.into()),
        Form::List => matches
            .get_many::<String>(setting.key)
            .map(|values| values.cloned().map(toml::Value::String).collect::<Vec<_>>().into()),
        Form::Text | Form::Choice(_) | Form::Tables(_) => {
            matches.get_one::<String>(setting.key).cloned().map(toml::Value::String)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent_and_every_flag_is_explained() {
        let command = Cli::command();
        command.clone().debug_assert();
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(argument.get_help().is_some(), "{} has no help", argument.get_id());
        }
    }

    #[test]
    fn flags_may_stand_before_and_after_the_command() {
        for arguments in [["corecast", "--cores", "1", "check-config"], ["corecast", "check-config", "--cores", "1"]] {
            let cli = Cli::try_parse_from(arguments).unwrap();
            assert_eq!(cli.command, Some(Command::CheckConfig(CheckConfigOptions::default())));
            assert_eq!(cli.options.settings().cores.as_deref(), Some("1"));
        }
        assert_eq!(Cli::try_parse_from(["corecast"]).unwrap().command, None);
        assert!(Cli::try_parse_from(["corecast", "--nonsense"]).is_err());
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        for setting in settings::all() {
            let Some((name, value)) = setting.flag_parts() else { continue };
            let flag = format!("--{name}");
            let arguments = match (value, setting.form) {
                (None, _) => vec!["corecast".to_owned(), flag],
                (Some(_), Form::Number(_)) => vec!["corecast".to_owned(), flag, "-7".to_owned()],
                (Some(_), _) => vec!["corecast".to_owned(), flag, "some text".to_owned()],
            };
            let given = Cli::try_parse_from(&arguments).unwrap().options.settings();
            assert_ne!(given, Settings::default(), "{arguments:?}");
            let written = toml::to_string(&given).unwrap();
            assert!(written.contains(&format!("{} = ", setting.place().1)), "{arguments:?}: {written}");
        }
        let lists = ["corecast", "--announce", "192.0.2.1", "--announce", "192.0.2.2"];
        let given = Cli::try_parse_from(lists).unwrap().options.settings();
        assert_eq!(given.media.announce.unwrap(), ["192.0.2.1", "192.0.2.2"]);
    }
}

//! The command line: flags into [`Settings`]. What the values mean and which are refused is [`crate::config`]'s.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{AuthSettings, LogSettings, MediaSettings, Settings, TlsSettings};

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

/// What to do; `serve` when nothing is said.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve until Ctrl-C or SIGTERM (what happens when no command is given).
    Serve,
    /// Check file and flags, print the effective configuration as TOML and the memory it may come to need, and exit.
    CheckConfig,
    /// Look at this host and say what would cost viewers; changes nothing, disturbs no running node.
    Doctor {
        /// Print JSON instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Make a token with the configured shared secret (auth.secret or auth.secret_file) and print it.
    Token(TokenOptions),
    /// Measure how far this relay is from what this machine could do at all. Takes a core for some minutes; run nothing
    /// beside it.
    Bench(BenchOptions),
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

    /// Who it is for, shown in logs and told to the webhook
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,

    /// Take the secret from this file, not from the configuration
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// A whole number and its unit.
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

/// Flags of `bench`. `--io` says which backend; both without it.
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

/// Every flag. Each is also a key of the configuration file, but `--config` itself.
#[derive(Clone, Debug, Default, Args)]
pub struct Options {
    /// Read settings from this TOML file; an unknown key is an error.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Serve HTTPS (pages, WHIP, WHEP) here [default: 127.0.0.1:8443]
    #[arg(long, global = true, value_name = "ADDR")]
    pub https: Option<String>,

    /// Serve the same in plain HTTP here, for a TLS-terminating proxy or tools on this host; loopback only [default: off]
    #[arg(long, global = true, value_name = "ADDR")]
    pub http: Option<String>,

    /// Answer plain HTTP here with a redirect to HTTPS, and an ACME authority's challenges (tls.acme_webroot) [default: off]
    #[arg(long, global = true, value_name = "ADDR")]
    pub http_redirect: Option<String>,

    /// Serve /metrics, /healthz, /readyz and /api/v1/node here [default: 127.0.0.1:8444]
    #[arg(long, global = true, value_name = "ADDR")]
    pub admin: Option<String>,

    /// Scheme and host clients reach this node by; Location headers start with it [default: they are paths]
    #[arg(long, global = true, value_name = "URL")]
    pub public_url: Option<String>,

    /// Bind media sockets to this address; may be repeated [default: every address]
    #[arg(long, global = true, value_name = "IP")]
    pub media_ip: Vec<String>,

    /// Worker i uses UDP port PORT + i [default: 20000]
    #[arg(long, global = true, value_name = "PORT", allow_negative_numbers = true, value_parser = port)]
    pub media_port_base: Option<i64>,

    /// Put this public address into ICE candidates; may be repeated [default: the host's own addresses]
    #[arg(long, global = true, value_name = "IP")]
    pub announce: Vec<String>,

    /// Run one pinned worker on each of these cores, like 0,2-3 [default: all this process may use]
    #[arg(long, global = true, value_name = "LIST")]
    pub cores: Option<String>,

    /// How workers send and receive: uring, mmsg or auto [default: auto]
    #[arg(long, global = true, value_name = "BACKEND")]
    pub io: Option<String>,

    /// Certificate chain in PEM form, leaf first [default: self-signed, made once, kept in the state directory]
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_cert: Option<String>,

    /// Private key of --tls-cert in PEM form
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_key: Option<String>,

    /// Keep what the node makes itself here [default: $STATE_DIRECTORY, else
    /// $XDG_STATE_HOME/corecast, else ~/.local/state/corecast]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_directory: Option<String>,

    /// Log this and what is more severe: error, warn, info, debug or trace [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,

    /// Open nothing without a token [default: on where there is a key or a webhook to judge by]
    #[arg(long, global = true)]
    pub auth_require: bool,

    /// Take the shared secret of HS256 tokens from this file, which nobody else may read
    #[arg(long, global = true, value_name = "FILE")]
    pub auth_secret_file: Option<String>,

    /// Believe tokens signed with the keys of this set (RFC 7517): a file, or an https URL that is looked at again
    #[arg(long, global = true, value_name = "FILE|URL")]
    pub auth_jwks: Option<String>,

    /// Believe only tokens whose aud names this
    #[arg(long, global = true, value_name = "NAME")]
    pub auth_audience: Option<String>,

    /// Ask this https URL before a session opens
    #[arg(long, global = true, value_name = "URL")]
    pub auth_webhook: Option<String>,

    /// Log as text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,

    /// Serve addresses other than loopback although anyone who reaches them may then publish and watch
    #[arg(long, global = true)]
    pub allow_anyone: bool,
}

/// Any whole number: which are ports is [`crate::config`]'s to say.
fn port(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "must be a port number, like 20000")
}

impl Options {
    /// The flags that were given, as settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let list = |values: &Vec<String>| Some(values.clone()).filter(|values| !values.is_empty());
        Settings {
            https: self.https.clone(),
            http: self.http.clone(),
            http_redirect: self.http_redirect.clone(),
            admin: self.admin.clone(),
            public_url: self.public_url.clone(),
            cores: self.cores.clone(),
            io: self.io.clone(),
            state_directory: self.state_directory.clone(),
            allow_anyone: self.allow_anyone.then_some(true),
            media: MediaSettings {
                ips: list(&self.media_ip),
                port_base: self.media_port_base,
                announce: list(&self.announce),
                ..MediaSettings::default()
            },
            tls: TlsSettings { cert: self.tls_cert.clone(), key: self.tls_key.clone(), ..TlsSettings::default() },
            log: LogSettings { level: self.log.clone(), format: self.log_format.clone(), addresses: None },
            auth: AuthSettings {
                require: self.auth_require.then_some(true),
                secret_file: self.auth_secret_file.clone(),
                jwks: self.auth_jwks.clone(),
                audience: self.auth_audience.clone(),
                webhook: self.auth_webhook.clone(),
                // No flag for the secret itself: everybody on the host sees a command line.
                ..AuthSettings::default()
            },
            ..Settings::default()
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
            assert_eq!(cli.command, Some(Command::CheckConfig));
            assert_eq!(cli.options.settings().cores.as_deref(), Some("1"));
        }
        assert_eq!(Cli::try_parse_from(["corecast"]).unwrap().command, None);
        assert!(Cli::try_parse_from(["corecast", "--nonsense"]).is_err());
    }
}

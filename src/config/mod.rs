//! The node's settings: a TOML file and flags in, one checked [`Config`] out.
//!
//! "Parse, don't validate": this module takes text, and returns values that are typed and consistent. A flag beats the
//! file, and the file beats the default. Every error names the setting as the operator wrote it, the value, and the
//! rule that it breaks: `config.toml: media.port_base = 70000: must be ≤ 65536 − number of cores`.
//!
//! Not here: whether an address can be bound, a certificate read or a kernel feature used. [`crate::server`] finds that
//! out at start, because it may change between two starts.
//!
//! | Question | File |
//! |---|---|
//! | which settings are there; bounds, default, flag, help of one | [`settings`] |
//! | the form of a file and of the flags given | `file` |
//! | the URL of an engine's member | [`member`] |
//! | which values are refused, and with what words | `resolve` |
//! | which settings a reload changes | [`changes`] |
//! | the manual's tables and the sample file | [`mod@reference`] |

pub mod changes;
mod cores;
mod file;
pub mod host_port;
pub mod member;
pub mod reference;
mod resolve;
pub mod setting;
pub mod settings;

use std::fmt;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::auth::address::Shown;
use crate::auth::secret::Secret;
use crate::limits;
use crate::net::IoKind;
use crate::transport::Announced;

use host_port::HostPort;
use member::Member;

pub use crate::auth::configured::{Admission, Auth, JwksSource};
pub use cores::parse_cores;
pub use file::{
    AuthSettings, CertificateSettings, ClusterSettings, CorsSettings, IceServer, LimitSettings, LogSettings,
    MediaSettings, PublishSettings, Settings, SignallingSettings, TlsSettings,
};

/// The checked configuration of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where HTTPS is served.
    pub https: SocketAddr,
    /// Where the same is served in plain HTTP. Loopback only.
    pub http: Option<SocketAddr>,
    /// Where plain HTTP only redirects to HTTPS and answers an authority's challenges.
    pub http_redirect: Option<SocketAddr>,
    /// Where metrics, health and the node's JSON are served: in plain HTTP on loopback, elsewhere over TLS to clients
    /// with a token.
    pub admin: SocketAddr,
    /// Scheme and authority by which clients reach the node, like `https://live.example.org`. `Location` starts with
    /// it.
    pub public_url: Option<String>,
    /// Addresses and ports of media.
    pub media: Media,
    /// Whether the node's own TURN server runs on the port of HTTPS, for viewers whose network lets out nothing but TLS.
    pub turn: bool,
    /// The cores that get a worker, ascending, at least one.
    pub cores: Vec<u16>,
    /// The cores and the priority of the signalling thread.
    pub signalling: SignallingThread,
    /// Which I/O backend the workers use.
    pub io: IoKind,
    /// Where the HTTPS certificates come from.
    pub tls: Tls,
    /// The directory into which an ACME client writes its answers to challenges, below `.well-known/acme-challenge`.
    pub acme_webroot: Option<PathBuf>,
    /// How long browsers are told to use only HTTPS (RFC 6797). Zero means that they are not told.
    pub hsts_age: Duration,
    /// What is logged and how.
    pub log: Log,
    /// The directory in which the node keeps what it generates, such as its self-signed certificate.
    pub state_directory: PathBuf,
    /// Whether addresses other than loopback may be served without authorisation.
    pub allow_anyone: bool,
    /// STUN and TURN servers that clients are told about in `Link` headers (RFC 9725 §4.6).
    pub ice_servers: Vec<IceServer>,
    /// Bounds that an operator may change.
    pub limits: Limits,
    /// Who may publish, play and administer.
    pub auth: Auth,
    /// Who may take over the name of a publisher that lives.
    pub takeover: Takeover,
    /// The cluster that the node is in; `None` for one that is alone.
    pub cluster: Option<Cluster>,
    /// Origins of web pages that may call the node, besides its own. `*.example.org` means every host below that one.
    pub cors_origins: Vec<String>,
}

/// Who takes over a name that has a publisher. Whoever does must be allowed to publish it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeover {
    /// The same client, as far as that is known: by its token, or by its address where nothing judges it.
    #[default]
    SameSubject,
    /// Everyone.
    Any,
    /// Nobody, not even from a publisher that has fallen silent.
    Never,
}

impl Takeover {
    /// The setting's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameSubject => "same_subject",
            Self::Any => "any",
            Self::Never => "never",
        }
    }
}

/// The cluster that a node is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The members of its engine, at least one.
    pub engine: Vec<Member>,
    /// Its name, which keeps several of them apart in one engine.
    pub name: String,
    /// This node's name, which no other node has.
    pub node: String,
    /// This node's region.
    pub region: String,
    /// Where other nodes reach this one's HTTPS.
    pub url: String,
    /// Raised when the engine was restored from a backup.
    pub generation: u16,
    /// The authorities that the engine's certificate is checked against, and other nodes'. The system's, for the engine, where
    /// none are named.
    pub ca: Option<PathBuf>,
    /// What the node shows the engine and other nodes.
    pub identity: Option<CertificateFiles>,
    /// How other nodes speak to this one; only where there are [`ca`](Self::ca) and [`identity`](Self::identity).
    pub channel: Option<ClusterChannel>,
}

/// How the nodes of a cluster speak to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterChannel {
    /// Where their connections are taken.
    pub listen: SocketAddr,
    /// Where they reach that.
    pub address: HostPort,
}

/// Addresses and ports of media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Local addresses that the workers bind. Empty means all addresses, IPv4 and IPv6.
    pub ips: Vec<IpAddr>,
    /// Worker *i* listens on this port + *i*.
    pub port_base: u16,
    /// Addresses that are put into candidates, with the ports that clients reach where these are others than the bound ones.
    /// Empty means the host's own.
    pub announce: Vec<Announced>,
    /// No media over TCP on the port of HTTPS.
    pub udp_only: bool,
    /// Data channels are taken.
    pub data: bool,
    /// The differentiated services code point of media over UDP, 0 to 63.
    pub dscp: u8,
    /// How long a worker that is more than half busy holds video for the last packet of its frame, at most.
    pub frame_hold: Duration,
    /// The age at which the DTLS certificate is replaced for new sessions.
    pub certificate_age: Duration,
    /// The age at which clients are asked for other keys; `None`: never.
    pub key_lifetime: Option<Duration>,
    /// What becomes of clients that cannot change them.
    pub plain_clients: PlainClients,
    /// A client may begin DTLS anew on its connection.
    pub rekey_in_place: bool,
}

/// What becomes of clients of WHIP and WHEP whose keys are old, and which cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainClients {
    /// They go on with the keys that they have.
    #[default]
    Keep,
    /// Their sessions end.
    End,
}

impl PlainClients {
    /// The setting's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::End => "end",
        }
    }
}

/// The cores and the priority of the signalling thread. Many clients may join at once, and media must not wait for
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignallingThread {
    /// The cores it may use, ascending, at least one. By default those without a worker, or all if every core has one.
    pub cores: Vec<u16>,
    /// Its nice value, 0 to 19. The higher it is, the more CPU time it leaves to a worker on the same core.
    pub nice: u8,
}

/// Where the HTTPS certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// A self-signed certificate, made once and kept in the state directory.
    SelfSigned,
    /// The operator's certificates, at least one. The first is for clients that ask for no host name, or for an unknown
    /// one.
    Files(Vec<CertificateFiles>),
}

/// PEM files of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key of the leaf.
    pub key: PathBuf,
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: tracing::Level,
    /// One line of text or one JSON object per event.
    pub format: LogFormat,
    /// How client addresses are written.
    pub addresses: Shown,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// Bounds that an operator may change. The fixed ones are in [`crate::limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions that one worker serves.
    pub sessions_per_worker_max: u32,
    /// Viewers that may wait for a publisher.
    pub waiting_viewers_max: u32,
    /// How long a viewer waits for a publisher.
    pub waiting_time: Duration,
    /// HTTP connections of one listener.
    pub connections_max: u32,
    /// Bits that one publisher may send in a second, in thousands.
    pub publisher_bitrate_max_kbps: u32,
    /// Bounds by address, rate and stream.
    pub admission: Admission,
    /// Bounds of signalling over WebSocket.
    pub sockets: Sockets,
}

/// Bounds of signalling over WebSocket. An operator can change the first three; the others are here so that tests can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// Sockets open at once.
    pub sockets_max: u32,
    /// Sockets of one client address.
    pub sockets_per_address_max: u32,
    /// How long sessions continue after their socket is lost.
    pub grace: Duration,
    /// Sessions of one socket.
    pub sessions_max: usize,
    /// Messages that a socket may send per second.
    pub messages_per_second: u32,
    /// Time within which the first message has to come.
    pub hello_time: Duration,
    /// Time without any message after which a socket is closed.
    pub idle_time: Duration,
    /// Time between two pings of the node.
    pub ping_interval: Duration,
    /// Time within which the client has to accept a message.
    pub write_time: Duration,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            sockets_max: limits::SOCKETS_DEFAULT,
            sockets_per_address_max: limits::SOCKETS_PER_ADDRESS_DEFAULT,
            grace: limits::SIGNALLING_GRACE_DEFAULT,
            sessions_max: limits::SOCKET_SESSIONS_MAX,
            messages_per_second: limits::SOCKET_MESSAGES_PER_SECOND,
            hello_time: limits::SOCKET_HELLO_TIME_MAX,
            idle_time: limits::SOCKET_IDLE_MAX,
            ping_interval: limits::SOCKET_PING_INTERVAL,
            write_time: limits::SOCKET_WRITE_TIME_MAX,
        }
    }
}

/// What the configuration needs to know about the machine and the process.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The cores this process may run on, ascending.
    pub allowed_cores: Vec<u16>,
    /// `$STATE_DIRECTORY`, as systemd sets it.
    pub state_directory: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// The machine's name.
    pub host_name: Option<String>,
}

impl Environment {
    /// Reads the environment of this process. The caller supplies the cores it may run on.
    #[must_use]
    pub fn of_process(allowed_cores: Vec<u16>) -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            allowed_cores,
            state_directory: path("STATE_DIRECTORY"),
            xdg_state_home: path("XDG_STATE_HOME"),
            home: path("HOME"),
            host_name: std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned()),
        }
    }
}

/// Where the configuration came from, so that it can be read again.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file, if one is named.
    pub file: Option<PathBuf>,
    /// The flags, which override the file.
    pub flags: Settings,
    /// The machine and the process.
    pub environment: Environment,
}

impl Source {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.file.as_deref(), &self.flags, &self.environment)
    }
}

/// Why there is no configuration. Its `Display` is the line the operator reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// The system's error.
        cause: String,
    },
    /// The file is not valid TOML, or has keys or types that are not known. The text names line, column and the known
    /// keys.
    Syntax {
        /// Which file.
        file: PathBuf,
        /// The parser's error.
        cause: String,
    },
    /// A value breaks a rule.
    Value {
        /// The setting as the operator wrote it: `config.toml: media.port_base` or `--media-port-base`.
        place: String,
        /// The value.
        value: String,
        /// The rule, or what to do.
        rule: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, cause } => {
                write!(f, "--config = {}: cannot be read ({cause}): name a readable TOML file", file.display())
            }
            Self::Syntax { file, cause } => write!(f, "{}: {}", file.display(), cause.trim_end()),
            Self::Value { place, value, rule } => write!(f, "{place} = {value}: {rule}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Where the error is and what it is. The library's own text is not used, because it quotes the line, which may hold a
/// secret.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
    let (line, column) =
        (before.matches('\n').count() + 1, before.chars().rev().take_while(|&c| c != '\n').count() + 1);
    // For a value of the wrong type serde quotes the value, as in `invalid type: string "…", expected u16`. It is cut
    // out.
    let is_quoted = error.message().starts_with("invalid ");
    let message = match error.message().rsplit_once(", expected ") {
        Some((what, wanted)) if is_quoted => {
            let what = what.split(['"', '`']).next().unwrap_or_default();
            format!("{}, expected {wanted}", what.trim_end())
        }
        _ => error.message().to_owned(),
    };
    format!("line {line}, column {column}: {}", message.trim_end())
}

impl Config {
    /// Reads `file` if one is named, lets `flags` override it, and checks everything.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn load(file: Option<&Path>, flags: &Settings, environment: &Environment) -> Result<Self, ConfigError> {
        let (settings, name) = match file {
            None => (Settings::default(), String::new()),
            Some(path) => {
                let unreadable =
                    |error: std::io::Error| ConfigError::Unreadable { file: path.to_owned(), cause: error.to_string() };
                let mut file = std::fs::File::open(path).map_err(unreadable)?;
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(unreadable)?;
                let settings: Settings = toml::from_str(&text)
                    .map_err(|error| ConfigError::Syntax { file: path.to_owned(), cause: syntax(&text, &error) })?;
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
                // The permissions of the opened file, not those of whatever has the name by now.
                let metadata = file.metadata().map_err(unreadable)?;
                let mode = metadata.mode() & 0o7777;
                if settings.auth.secret.is_some() && metadata.is_file() && mode & 0o007 != 0 {
                    return Err(ConfigError::Value {
                        place: format!("{name}: auth.secret"),
                        value: "(hidden)".to_owned(),
                        rule: format!(
                            "everybody on this machine may read the file (mode {mode:04o}): chmod o= it, or put the secret \
                             into a file of its own and name it by auth.secret_file"
                        ),
                    });
                }
                (settings, name)
            }
        };
        resolve::resolve(&settings, &name, flags, environment)
    }

    /// The effective configuration as a file that [`Config::load`] reads back to the same value.
    ///
    /// # Panics
    /// Never: every setting can be written as TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        #[allow(clippy::expect_used)]
        toml::to_string(&Settings::from(self)).expect("strings, numbers and lists are always TOML")
    }

    /// The configuration as it may be shown: [`Config::to_toml`] without secrets and without URLs that may hold one.
    #[must_use]
    pub fn to_toml_shown(&self) -> String {
        let mut shown = self.clone();
        let hidden = || Secret::new("(hidden)");
        shown.auth.secret = self.auth.secret.as_ref().map(|_| hidden());
        shown.auth.webhook = self.auth.webhook.as_ref().map(|_| hidden());
        for server in &mut shown.ice_servers {
            server.credential = server.credential.as_ref().map(|_| "(hidden)".to_owned());
        }
        if let Some(JwksSource::Url(url)) = &mut shown.auth.jwks {
            *url = hidden();
        }
        shown.to_toml()
    }

    /// Checks that all rules hold for this configuration, also if it was combined from several others.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, environment: &Environment) -> Result<(), ConfigError> {
        resolve::resolve(&Settings::from(self), "the running node", &Settings::default(), environment).map(drop)
    }

    /// Whether clients can reach the node only on this host's loopback.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        self.https.ip().is_loopback()
    }
}

#[cfg(test)]
mod tests;

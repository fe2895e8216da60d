//! Turns written settings into a checked [`Config`], one rule after the other. Each error names the setting that it
//! refuses.

mod auth;
mod cluster;
mod tls;

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::setting::Form;
use super::{
    Admission, Config, ConfigError, Environment, IceServer, Limits, Log, LogFormat, Media, PlainClients, Settings,
    SignallingThread, Sockets, Takeover, Tls, cores, settings,
};
use crate::auth::address::{Network, Shown};
use crate::auth::pattern;
use crate::limits;
use crate::net::IoKind;
use crate::net::open::UnknownIoKind;
use crate::transport::Announced;
use crate::transport::announced::AnnouncedTransports;

/// A value, and the place where the operator wrote it, for the error message.
struct Placed<T> {
    value: T,
    place: String,
}

impl<T> Placed<T> {
    /// The error that says that this value breaks `rule`.
    fn refuse(&self, shown: impl Display, rule: impl Into<String>) -> ConfigError {
        ConfigError::Value { place: self.place.clone(), value: shown.to_string(), rule: rule.into() }
    }
}

/// Where settings come from. A flag overrides the file.
struct Sources<'a> {
    file: &'a Settings,
    file_name: &'a str,
    flags: &'a Settings,
}

impl Sources<'_> {
    /// The value that `get` finds, with its place. `key` is its name in the file.
    fn pick<T>(&self, key: &str, get: impl Fn(&Settings) -> Option<T>) -> Option<Placed<T>> {
        if let Some(value) = get(self.flags) {
            let flag = settings::of(key).flag_parts().map_or(key, |(name, _)| name);
            return Some(Placed { value, place: format!("--{flag}") });
        }
        get(self.file).map(|value| Placed { value, place: format!("{}: {key}", self.file_name) })
    }

    /// The text that `get` finds, or the default.
    fn pick_text(&self, key: &str, get: impl Fn(&Settings) -> Option<String>) -> Placed<String> {
        self.pick(key, get).unwrap_or_else(|| Placed {
            value: settings::of(key).preset_text().to_owned(),
            place: format!("{key} (default)"),
        })
    }
}

/// Applies all rules, in the order of the fields.
pub(super) fn resolve(
    file: &Settings,
    file_name: &str,
    flags: &Settings,
    environment: &Environment,
) -> Result<Config, ConfigError> {
    let sources = Sources { file, file_name, flags };
    let allow_anyone = sources.pick("allow_anyone", |s| s.allow_anyone).is_some_and(|placed| placed.value);

    let https = parse_address(sources.pick_text("https", |s| s.https.clone()))?;
    let http = address(&sources, "http", |s| s.http.clone())?;
    let http_redirect = address(&sources, "http_redirect", |s| s.http_redirect.clone())?;
    let admin = parse_address(sources.pick_text("admin", |s| s.admin.clone()))?;
    let auth = auth::auth(&sources)?;
    if !https.value.ip().is_loopback() && !allow_anyone && !auth.require {
        return Err(https.refuse(
            https.value,
            "without authorisation this node serves on loopback only: use 127.0.0.1 or [::1]; or set auth.require = true \
             in [auth] with a key to judge tokens by (secret_file, jwks) or a webhook; or say --allow-anyone \
             (allow_anyone = true) to let anyone who reaches the address publish and watch",
        ));
    }
    if !admin.value.ip().is_loopback() && !auth.can_judge() {
        return Err(admin.refuse(
            admin.value,
            "off loopback the operator's port is served over TLS to who shows a token with action \"admin\": set a key to \
             judge it by in [auth] (secret_file or jwks) or a webhook; or use 127.0.0.1 or [::1]",
        ));
    }
    if let Some(placed) = http.as_ref().filter(|placed| !placed.value.ip().is_loopback()) {
        return Err(placed.refuse(
            placed.value,
            "plain HTTP is for a proxy or tools on this host: must be 127.0.0.1 or [::1]; use https for other hosts",
        ));
    }
    let cores = core_list(&sources, environment)?;
    let signalling = signalling(&sources, environment, &cores)?;
    let workers = cores.len();
    let tls = tls::certificates(&sources)?;
    Ok(Config {
        https: https.value,
        http: http.map(|placed| placed.value),
        http_redirect: http_redirect.as_ref().map(|placed| placed.value),
        admin: admin.value,
        public_url: public_url(&sources)?,
        media: media(&sources, cores.len())?,
        turn: sources.pick("turn.enabled", |s| s.turn.enabled).is_none_or(|placed| placed.value),
        cores,
        signalling,
        io: io(&sources)?,
        hsts_age: tls::hsts_age(&sources, http_redirect.is_some() && tls != Tls::SelfSigned)?,
        tls,
        acme_webroot: tls::acme_webroot(&sources, http_redirect.is_some())?,
        log: log(&sources)?,
        state_directory: state_directory(&sources, environment)?,
        allow_anyone,
        ice_servers: ice_servers(&sources)?,
        limits: bounds(&sources, workers)?,
        auth,
        takeover: takeover(&sources)?,
        cluster: cluster::cluster(&sources, environment, https.value)?,
        cors_origins: origins(&sources)?,
    })
}

fn address(
    sources: &Sources<'_>,
    key: &str,
    get: impl Fn(&Settings) -> Option<String>,
) -> Result<Option<Placed<SocketAddr>>, ConfigError> {
    sources.pick(key, get).map(parse_address).transpose()
}

/// Parses an address with a port. A host name is refused, because resolving one would make the start depend on DNS.
fn parse_address(text: Placed<String>) -> Result<Placed<SocketAddr>, ConfigError> {
    match text.value.parse() {
        Ok(value) => Ok(Placed { value, place: text.place }),
        Err(_) => {
            Err(text.refuse(&text.value, "must be an IP address and a port, like 127.0.0.1:8443 or [2001:db8::1]:8443"))
        }
    }
}

fn ips(
    sources: &Sources<'_>,
    key: &str,
    get: impl Fn(&Settings) -> Option<Vec<String>>,
) -> Result<Vec<IpAddr>, ConfigError> {
    let Some(texts) = sources.pick(key, get) else { return Ok(Vec::new()) };
    let mut ips: Vec<IpAddr> = Vec::with_capacity(texts.value.len());
    for text in &texts.value {
        let ip = text
            .parse::<IpAddr>()
            .map_err(|_| texts.refuse(text, "must be an IP address, like 192.0.2.1 or 2001:db8::1"))?;
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(
                texts.refuse(text, "must be an address peers can send to; leave it out to use all of the host's")
            );
        }
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    Ok(ips)
}

/// The addresses that clients are told.
fn announced(sources: &Sources<'_>, workers: usize, udp_only: bool) -> Result<Vec<Announced>, ConfigError> {
    let Some(texts) = sources.pick("media.announce", |s| s.media.announce.clone()) else { return Ok(Vec::new()) };
    let last_worker = u16::try_from(workers.saturating_sub(1)).unwrap_or(u16::MAX);
    let mut all: Vec<Announced> = Vec::with_capacity(texts.value.len());
    for text in &texts.value {
        let announced = text.parse::<Announced>().map_err(|error| texts.refuse(text, error.to_string()))?;
        if all.contains(&announced) {
            continue;
        }
        let is_for_udp = announced.carries != AnnouncedTransports::Tcp;
        if is_for_udp && announced.port.is_some_and(|first| first.checked_add(last_worker).is_none()) {
            return Err(
                texts.refuse(text, "must have a port ≤ 65536 − number of cores: worker i is announced at it + i")
            );
        }
        if is_for_udp && all.iter().any(|other| other.ip == announced.ip && other.carries != AnnouncedTransports::Tcp) {
            return Err(texts.refuse(text, "is the second UDP port of one address: name one, and others with /tcp"));
        }
        if udp_only && announced.carries == AnnouncedTransports::Tcp {
            return Err(texts.refuse(text, "is for TCP, and media.udp_only is true: leave one of them out"));
        }
        all.push(announced);
    }
    Ok(all)
}

fn media(sources: &Sources<'_>, workers: usize) -> Result<Media, ConfigError> {
    let dscp = number(sources, "media.dscp", |s| s.media.dscp)?;
    let hold_ms = number(sources, "media.frame_hold_ms", |s| s.media.frame_hold_ms)?;
    let udp_only = sources.pick("media.udp_only", |s| s.media.udp_only).is_some_and(|placed| placed.value);
    let age_h = number(sources, "media.certificate_age_h", |s| s.media.certificate_age_h)?;
    Ok(Media {
        ips: ips(sources, "media.ips", |s| s.media.ips.clone())?,
        port_base: port_base(sources, workers)?,
        announce: announced(sources, workers, udp_only)?,
        udp_only,
        data: sources.pick("media.data", |s| s.media.data).is_none_or(|placed| placed.value),
        dscp: dscp.try_into().unwrap_or_default(),
        frame_hold: Duration::from_millis(hold_ms.into()),
        certificate_age: Duration::from_secs(3_600 * u64::from(age_h)),
        key_lifetime: key_lifetime(sources)?,
        plain_clients: plain_clients(sources)?,
        rekey_in_place: sources
            .pick("media.rekey_in_place", |s| s.media.rekey_in_place)
            .is_some_and(|placed| placed.value),
    })
}

/// Zero is never; anything else lasts long enough for a change.
fn key_lifetime(sources: &Sources<'_>) -> Result<Option<Duration>, ConfigError> {
    let key = "media.key_lifetime_s";
    let seconds = number(sources, key, |s| s.media.key_lifetime_s)?;
    let (min, max) = (limits::KEY_LIFETIME_MIN_S, limits::KEY_LIFETIME_MAX_S);
    if (1..min).contains(&seconds)
        && let Some(placed) = sources.pick(key, |s| s.media.key_lifetime_s)
    {
        return Err(placed.refuse(placed.value, format!("must be 0 (never) or {min} to {max} seconds")));
    }
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.into())))
}

fn plain_clients(sources: &Sources<'_>) -> Result<PlainClients, ConfigError> {
    let word = choice(sources, "media.plain_clients_at_key_age", |s| s.media.plain_clients_at_key_age.clone())?;
    Ok([PlainClients::Keep, PlainClients::End].into_iter().find(|all| all.name() == word).unwrap_or_default())
}

/// The port of the first worker. The port of the last worker must be valid too.
fn port_base(sources: &Sources<'_>, workers: usize) -> Result<u16, ConfigError> {
    let key = "media.port_base";
    let placed = sources.pick(key, |s| s.media.port_base).unwrap_or_else(|| Placed {
        value: settings::of(key).preset_number().into(),
        place: format!("{key} (default)"),
    });
    if placed.value < 1 {
        return Err(placed.refuse(placed.value, "must be ≥ 1"));
    }
    let highest = placed.value.saturating_add(workers as i64 - 1);
    match u16::try_from(placed.value) {
        Ok(port) if highest <= i64::from(u16::MAX) => Ok(port),
        _ => Err(placed.refuse(placed.value, "must be ≤ 65536 − number of cores")),
    }
}

fn core_list(sources: &Sources<'_>, environment: &Environment) -> Result<Vec<u16>, ConfigError> {
    let placed = sources.pick("cores", |s| s.cores.clone()).unwrap_or_else(|| Placed {
        value: cores::format_cores(&environment.allowed_cores),
        place: "cores (default: all)".to_owned(),
    });
    let list = allowed_cores(&placed, environment)?;
    if list.len() > limits::WORKERS_MAX {
        return Err(placed.refuse(&placed.value, format!("must be at most {} cores", limits::WORKERS_MAX)));
    }
    Ok(list)
}

/// Parses a list of cores and checks that this process may run on all of them.
fn allowed_cores(placed: &Placed<String>, environment: &Environment) -> Result<Vec<u16>, ConfigError> {
    let allowed = &environment.allowed_cores;
    let list = cores::parse_cores(&placed.value).map_err(|rule| placed.refuse(&placed.value, rule))?;
    if let Some(core) = list.iter().find(|core| !allowed.contains(core)) {
        let allowed = cores::format_cores(allowed);
        return Err(placed.refuse(
            &placed.value,
            format!("this process may not run on core {core}: choose among {allowed} (see taskset, cpuset)"),
        ));
    }
    Ok(list)
}

fn signalling(
    sources: &Sources<'_>,
    environment: &Environment,
    workers: &[u16],
) -> Result<SignallingThread, ConfigError> {
    let cores = match sources.pick("signalling.cores", |s| s.signalling.cores.clone()) {
        Some(placed) => allowed_cores(&placed, environment)?,
        None => {
            let allowed = environment.allowed_cores.iter().copied();
            let free: Vec<u16> = allowed.filter(|core| !workers.contains(core)).collect();
            if free.is_empty() { environment.allowed_cores.clone() } else { free }
        }
    };
    let nice = number(sources, "signalling.nice", |s| s.signalling.nice)?;
    // The bounds are 0 to 19.
    Ok(SignallingThread { cores, nice: nice as u8 })
}

fn io(sources: &Sources<'_>) -> Result<IoKind, ConfigError> {
    let placed = sources.pick_text("io", |s| s.io.clone());
    placed.value.parse().map_err(|rule: UnknownIoKind| placed.refuse(&placed.value, rule.to_string()))
}

fn log(sources: &Sources<'_>) -> Result<Log, ConfigError> {
    let level = match choice(sources, "log.level", |s| s.log.level.clone())?.as_str() {
        "error" => tracing::Level::ERROR,
        "warn" => tracing::Level::WARN,
        "debug" => tracing::Level::DEBUG,
        "trace" => tracing::Level::TRACE,
        _ => tracing::Level::INFO,
    };
    let format = match choice(sources, "log.format", |s| s.log.format.clone())?.as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let addresses = match sources.pick("log.addresses", |s| s.log.addresses) {
        Some(Placed { value: true, .. }) => Shown::Full,
        _ => Shown::Network,
    };
    Ok(Log { level, format, addresses })
}

/// The setting's value, which must be one of its words.
fn choice(sources: &Sources<'_>, key: &str, get: impl Fn(&Settings) -> Option<String>) -> Result<String, ConfigError> {
    let (setting, placed) = (settings::of(key), sources.pick_text(key, get));
    match setting.form {
        Form::Choice(words) if words.contains(&placed.value.as_str()) => Ok(placed.value),
        _ => Err(placed.refuse(&placed.value, format!("must be {}", setting.words()))),
    }
}

/// The configured directory, else systemd's, else that of the XDG base directory specification.
fn state_directory(sources: &Sources<'_>, environment: &Environment) -> Result<PathBuf, ConfigError> {
    if let Some(placed) = sources.pick("state_directory", |s| s.state_directory.clone()) {
        if placed.value.is_empty() {
            return Err(placed.refuse("\"\"", "must name a directory"));
        }
        return Ok(placed.value.into());
    }
    // systemd separates several directories with colons. The first is the unit's main one.
    if let Some(first) = environment.state_directory.as_ref().and_then(|path| std::env::split_paths(path).next()) {
        return Ok(first);
    }
    if let Some(xdg) = environment.xdg_state_home.as_ref().filter(|path| path.is_absolute()) {
        return Ok(xdg.join("corecast"));
    }
    match environment.home.as_ref() {
        Some(home) => Ok(home.join(".local/state/corecast")),
        None => Err(ConfigError::Value {
            place: "state_directory".to_owned(),
            value: "(none)".to_owned(),
            rule: "$STATE_DIRECTORY, $XDG_STATE_HOME and $HOME are all unset: say --state-directory DIR".to_owned(),
        }),
    }
}

/// The `[limits]` table.
fn bounds(sources: &Sources<'_>, workers: usize) -> Result<Limits, ConfigError> {
    type Get = fn(&super::LimitSettings) -> Option<i64>;
    let bound = |key, get: Get| number(sources, key, |settings| get(&settings.limits));
    let bound_or =
        |key, get: Get, default| Ok(bounded(sources, key, |settings| get(&settings.limits))?.unwrap_or(default));
    let seconds = |key, get: Get| bound(key, get).map(|seconds| Duration::from_secs(seconds.into()));
    let default = Admission::for_workers(workers);
    let joins = bound_or("limits.joins_per_second_max", |l| l.joins_per_second_max, default.joins_per_second_max)?;
    Ok(Limits {
        sessions_per_worker_max: bound("limits.sessions_per_worker_max", |l| l.sessions_per_worker_max)?,
        waiting_viewers_max: bound("limits.waiting_viewers_max", |l| l.waiting_viewers_max)?,
        waiting_time: seconds("limits.waiting_time_s", |l| l.waiting_time_s)?,
        connections_max: bound("limits.connections_max", |l| l.connections_max)?,
        publisher_bitrate_max_kbps: bound("limits.publisher_bitrate_max_kbps", |l| l.publisher_bitrate_max_kbps)?,
        admission: Admission {
            sessions_per_address_max: bound("limits.sessions_per_address_max", |l| l.sessions_per_address_max)?,
            connections_per_address_max: bound("limits.connections_per_address_max", |l| {
                l.connections_per_address_max
            })?,
            exempt_addresses: exempt_addresses(sources)?.unwrap_or(default.exempt_addresses),
            trusted_proxies: trusted_proxies(sources)?,
            joins_per_second_max: joins,
            joins_per_second_and_address_max: bound_or(
                "limits.joins_per_second_and_address_max",
                |l| l.joins_per_second_and_address_max,
                (joins / limits::JOINS_ADDRESS_DIVISOR).max(1),
            )?,
            joins_per_second_and_token_max: bound_or(
                "limits.joins_per_second_and_token_max",
                |l| l.joins_per_second_and_token_max,
                (joins / limits::JOINS_TOKEN_DIVISOR).max(1),
            )?,
            streams_max: bound("limits.streams_max", |l| l.streams_max)?,
            viewers_per_stream_max: bound("limits.viewers_per_stream_max", |l| l.viewers_per_stream_max)?,
        },
        sockets: Sockets {
            sockets_max: bound("limits.sockets_max", |l| l.sockets_max)?,
            sockets_per_address_max: bound("limits.sockets_per_address_max", |l| l.sockets_per_address_max)?,
            grace: seconds("limits.signalling_grace_s", |l| l.signalling_grace_s)?,
            ..Sockets::default()
        },
    })
}

/// The exempt addresses. An empty list exempts nobody; without a list this host is exempt.
fn exempt_addresses(sources: &Sources<'_>) -> Result<Option<Vec<IpAddr>>, ConfigError> {
    let get = |s: &Settings| s.limits.exempt_addresses.clone();
    let Some(placed) = sources.pick("limits.exempt_addresses", get) else { return Ok(None) };
    let addresses = ips(sources, "limits.exempt_addresses", get)?;
    if addresses.len() > limits::EXEMPT_ADDRESSES_MAX {
        let rule = format!("must be at most {} addresses", limits::EXEMPT_ADDRESSES_MAX);
        return Err(placed.refuse(format!("({} addresses)", addresses.len()), rule));
    }
    Ok(Some(addresses))
}

fn trusted_proxies(sources: &Sources<'_>) -> Result<Vec<Network>, ConfigError> {
    let key = "trusted_proxies";
    let Some(placed) = sources.pick(key, |s| s.trusted_proxies.clone()) else { return Ok(Vec::new()) };
    if placed.value.len() > limits::TRUSTED_PROXIES_MAX {
        let rule = format!("must be at most {} addresses and networks", limits::TRUSTED_PROXIES_MAX);
        return Err(placed.refuse(format!("({} of them)", placed.value.len()), rule));
    }
    placed.value.iter().map(|text| text.parse().map_err(|rule: String| placed.refuse(text, rule))).collect()
}

/// A whole number within the setting's bounds, or the default.
fn number(sources: &Sources<'_>, key: &str, get: impl Fn(&Settings) -> Option<i64>) -> Result<u32, ConfigError> {
    Ok(bounded(sources, key, get)?.unwrap_or(settings::of(key).preset_number()))
}

/// A whole number within the setting's bounds, if it is set.
fn bounded(
    sources: &Sources<'_>,
    key: &str,
    get: impl Fn(&Settings) -> Option<i64>,
) -> Result<Option<u32>, ConfigError> {
    let Some(placed) = sources.pick(key, get) else { return Ok(None) };
    let bounds = settings::of(key).bounds();
    match u32::try_from(placed.value) {
        Ok(value) if (bounds.min..=bounds.max).contains(&value) => Ok(Some(value)),
        _ => Err(placed.refuse(placed.value, format!("must be {bounds}"))),
    }
}

/// Whether `text` consists of a scheme and an authority only, like an `Origin` header (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    authority.is_some_and(|authority| {
        !authority.is_empty() && authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    })
}

fn public_url(sources: &Sources<'_>) -> Result<Option<String>, ConfigError> {
    let Some(placed) = sources.pick("public_url", |s| s.public_url.clone()) else { return Ok(None) };
    if !is_origin(&placed.value) {
        return Err(placed.refuse(
            &placed.value,
            "must be a scheme and a host without a path or closing slash, like https://live.example.org",
        ));
    }
    Ok(Some(placed.value))
}

fn takeover(sources: &Sources<'_>) -> Result<Takeover, ConfigError> {
    let word = choice(sources, "publish.takeover", |s| s.publish.takeover.clone())?;
    let all = [Takeover::SameSubject, Takeover::Any, Takeover::Never];
    Ok(all.into_iter().find(|takeover| takeover.name() == word).unwrap_or_default())
}

fn origins(sources: &Sources<'_>) -> Result<Vec<String>, ConfigError> {
    let Some(placed) = sources.pick("cors.origins", |s| s.cors.origins.clone()) else { return Ok(Vec::new()) };
    let mut origins = Vec::with_capacity(placed.value.len());
    for origin in &placed.value {
        pattern::check_origin(origin).map_err(|rule| placed.refuse(origin, rule))?;
        origins.push(origin.to_ascii_lowercase());
    }
    Ok(origins)
}

fn ice_servers(sources: &Sources<'_>) -> Result<Vec<IceServer>, ConfigError> {
    let get = |s: &Settings| Some(s.ice_servers.clone()).filter(|servers| !servers.is_empty());
    let Some(placed) = sources.pick("ice_servers", get) else { return Ok(Vec::new()) };
    for server in &placed.value {
        if server.urls.is_empty() {
            return Err(placed.refuse("{ urls = [] }", "must name at least one url"));
        }
        for url in &server.urls {
            let scheme = url.split(':').next().unwrap_or_default();
            if !matches!(scheme, "stun" | "stuns" | "turn" | "turns") || !is_link_safe(url) {
                return Err(placed.refuse(url, "must be a stun:, stuns:, turn: or turns: URL (RFC 7064, RFC 7065)"));
            }
            if scheme.starts_with("turn") && (server.username.is_none() || server.credential.is_none()) {
                return Err(placed.refuse(url, "a TURN server needs username and credential"));
            }
        }
        for text in [&server.username, &server.credential].into_iter().flatten() {
            if !is_link_safe(text) {
                // The value is not shown, because it may be a secret.
                return Err(
                    placed.refuse("(hidden)", "username and credential must be printable ASCII without \" \\ < >")
                );
            }
        }
    }
    Ok(placed.value)
}

/// Whether `text` needs no escaping in a `Link` header, inside `<…>` or `"…"` (RFC 8288 §3).
fn is_link_safe(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>".contains(&byte))
}

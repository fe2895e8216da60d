//! The settings as they are written: each one is optional, and values are still text or plain numbers.
//!
//! The file and the flags have this same form. An unknown key is an error that lists the known ones.
//! [`super::settings`] says what each key means, with its default and bounds; a test there checks that both have the
//! same keys.
#![allow(missing_docs, reason = "a key is explained once, in config/settings.rs")]

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Auth, Cluster, Config, JwksSource, LogFormat, Tls, cores};
use crate::auth::address::Shown;

/// A configuration file, or the flags that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub https: Option<String>,
    pub http: Option<String>,
    pub http_redirect: Option<String>,
    pub admin: Option<String>,
    pub public_url: Option<String>,
    pub trusted_proxies: Option<Vec<String>>,
    pub cores: Option<String>,
    pub io: Option<String>,
    pub state_directory: Option<String>,
    pub allow_anyone: Option<bool>,
    #[serde(default)]
    pub signalling: SignallingSettings,
    #[serde(default)]
    pub media: MediaSettings,
    #[serde(default)]
    pub turn: TurnSettings,
    #[serde(default)]
    pub tls: TlsSettings,
    #[serde(default)]
    pub log: LogSettings,
    #[serde(default)]
    pub auth: AuthSettings,
    #[serde(default)]
    pub publish: PublishSettings,
    #[serde(default)]
    pub cors: CorsSettings,
    #[serde(default)]
    pub limits: LimitSettings,
    #[serde(default)]
    pub cluster: ClusterSettings,
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
}

/// `[cluster]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    pub engine: Option<Vec<String>>,
    pub name: Option<String>,
    pub node: Option<String>,
    pub region: Option<String>,
    pub url: Option<String>,
    pub listen: Option<String>,
    pub address: Option<String>,
    pub generation: Option<i64>,
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
}

/// `[turn]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnSettings {
    pub enabled: Option<bool>,
}

/// `[media]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaSettings {
    pub ips: Option<Vec<String>>,
    pub port_base: Option<i64>,
    pub announce: Option<Vec<String>>,
    pub udp_only: Option<bool>,
    pub data: Option<bool>,
    pub dscp: Option<i64>,
    pub frame_hold_ms: Option<i64>,
    pub certificate_age_h: Option<i64>,
    pub key_lifetime_s: Option<i64>,
    pub plain_clients_at_key_age: Option<String>,
    pub rekey_in_place: Option<bool>,
}

/// `[signalling]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignallingSettings {
    pub cores: Option<String>,
    pub nice: Option<i64>,
}

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    pub cert: Option<String>,
    pub key: Option<String>,
    #[serde(default)]
    pub certificates: Vec<CertificateSettings>,
    pub acme_webroot: Option<String>,
    pub hsts_age_s: Option<i64>,
}

/// `[[tls.certificates]]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// `cert = "/etc/corecast/www.example.org.pem"`
    pub cert: String,
    /// `key = "/etc/corecast/www.example.org-key.pem"`
    pub key: String,
}

/// `[log]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    pub level: Option<String>,
    pub format: Option<String>,
    pub addresses: Option<bool>,
}

/// `[auth]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    pub require: Option<bool>,
    pub secret: Option<String>,
    pub secret_file: Option<String>,
    pub jwks: Option<String>,
    pub webhook: Option<String>,
    pub jwks_interval_s: Option<i64>,
    pub webhook_timeout_ms: Option<i64>,
    pub ca: Option<String>,
    pub audience: Option<String>,
    pub issuer: Option<String>,
    pub admin_token_required: Option<bool>,
}

/// `[publish]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishSettings {
    pub takeover: Option<String>,
}

/// `[cors]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    pub origins: Option<Vec<String>>,
}

/// `[limits]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    pub sessions_per_worker_max: Option<i64>,
    pub waiting_viewers_max: Option<i64>,
    pub waiting_time_s: Option<i64>,
    pub connections_max: Option<i64>,
    pub sessions_per_address_max: Option<i64>,
    pub connections_per_address_max: Option<i64>,
    pub sockets_max: Option<i64>,
    pub sockets_per_address_max: Option<i64>,
    pub signalling_grace_s: Option<i64>,
    pub exempt_addresses: Option<Vec<String>>,
    pub joins_per_second_max: Option<i64>,
    pub joins_per_second_and_address_max: Option<i64>,
    pub joins_per_second_and_token_max: Option<i64>,
    pub streams_max: Option<i64>,
    pub viewers_per_stream_max: Option<i64>,
    pub publisher_bitrate_max_kbps: Option<i64>,
}

/// `[[ice_servers]]`: one STUN or TURN server that clients are told about.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `urls = ["turn:turn.example.org:3478?transport=udp"]`
    pub urls: Vec<String>,
    pub username: Option<String>,
    pub credential: Option<String>,
}

/// The credential is not shown.
impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { urls, username, credential: _ } = self;
        f.debug_struct("IceServer").field("urls", urls).field("username", username).finish_non_exhaustive()
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let texts = |ips: &[std::net::IpAddr]| Some(ips.iter().map(ToString::to_string).collect());
        Self {
            https: Some(config.https.to_string()),
            http: config.http.map(|address| address.to_string()),
            http_redirect: config.http_redirect.map(|address| address.to_string()),
            admin: Some(config.admin.to_string()),
            public_url: config.public_url.clone(),
            trusted_proxies: Some(config.limits.admission.trusted_proxies.iter().map(ToString::to_string).collect()),
            cores: Some(cores::format_cores(&config.cores)),
            io: Some(config.io.to_string()),
            state_directory: Some(config.state_directory.display().to_string()),
            allow_anyone: Some(config.allow_anyone),
            signalling: SignallingSettings {
                cores: Some(cores::format_cores(&config.signalling.cores)),
                nice: Some(config.signalling.nice.into()),
            },
            media: MediaSettings {
                ips: texts(&config.media.ips),
                port_base: Some(config.media.port_base.into()),
                announce: Some(config.media.announce.iter().map(ToString::to_string).collect()),
                udp_only: Some(config.media.udp_only),
                data: Some(config.media.data),
                dscp: Some(config.media.dscp.into()),
                frame_hold_ms: i64::try_from(config.media.frame_hold.as_millis()).ok(),
                certificate_age_h: i64::try_from(config.media.certificate_age.as_secs() / 3_600).ok(),
                key_lifetime_s: i64::try_from(config.media.key_lifetime.map_or(0, |lifetime| lifetime.as_secs())).ok(),
                plain_clients_at_key_age: Some(config.media.plain_clients.name().to_owned()),
                rekey_in_place: Some(config.media.rekey_in_place),
            },
            turn: TurnSettings { enabled: Some(config.turn) },
            tls: tls_settings(config),
            log: LogSettings {
                level: Some(config.log.level.to_string().to_lowercase()),
                format: Some(match config.log.format {
                    LogFormat::Text => "text".to_owned(),
                    LogFormat::Json => "json".to_owned(),
                }),
                addresses: Some(config.log.addresses == Shown::Full),
            },
            auth: auth_settings(&config.auth),
            publish: PublishSettings { takeover: Some(config.takeover.name().to_owned()) },
            cors: CorsSettings { origins: Some(config.cors_origins.clone()) },
            limits: LimitSettings {
                sessions_per_worker_max: Some(config.limits.sessions_per_worker_max.into()),
                waiting_viewers_max: Some(config.limits.waiting_viewers_max.into()),
                waiting_time_s: i64::try_from(config.limits.waiting_time.as_secs()).ok(),
                connections_max: Some(config.limits.connections_max.into()),
                sessions_per_address_max: Some(config.limits.admission.sessions_per_address_max.into()),
                connections_per_address_max: Some(config.limits.admission.connections_per_address_max.into()),
                sockets_max: Some(config.limits.sockets.sockets_max.into()),
                sockets_per_address_max: Some(config.limits.sockets.sockets_per_address_max.into()),
                signalling_grace_s: i64::try_from(config.limits.sockets.grace.as_secs()).ok(),
                exempt_addresses: texts(&config.limits.admission.exempt_addresses),
                joins_per_second_max: Some(config.limits.admission.joins_per_second_max.into()),
                joins_per_second_and_address_max: Some(config.limits.admission.joins_per_second_and_address_max.into()),
                joins_per_second_and_token_max: Some(config.limits.admission.joins_per_second_and_token_max.into()),
                streams_max: Some(config.limits.admission.streams_max.into()),
                viewers_per_stream_max: Some(config.limits.admission.viewers_per_stream_max.into()),
                publisher_bitrate_max_kbps: Some(config.limits.publisher_bitrate_max_kbps.into()),
            },
            cluster: config.cluster.as_ref().map(cluster_settings).unwrap_or_default(),
            ice_servers: config.ice_servers.clone(),
        }
    }
}

fn cluster_settings(cluster: &Cluster) -> ClusterSettings {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    ClusterSettings {
        engine: Some(cluster.engine.iter().map(ToString::to_string).collect()),
        name: Some(cluster.name.clone()),
        node: Some(cluster.node.clone()),
        region: Some(cluster.region.clone()),
        url: Some(cluster.url.clone()),
        listen: cluster.channel.as_ref().map(|channel| channel.listen.to_string()),
        address: cluster.channel.as_ref().map(|channel| channel.address.to_string()),
        generation: Some(cluster.generation.into()),
        ca: cluster.ca.as_ref().map(path),
        cert: cluster.identity.as_ref().map(|pair| path(&pair.cert)),
        key: cluster.identity.as_ref().map(|pair| path(&pair.key)),
    }
}

fn tls_settings(config: &Config) -> TlsSettings {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    let mut pairs = match &config.tls {
        Tls::SelfSigned => &[][..],
        Tls::Files(pairs) => pairs,
    }
    .iter()
    .map(|pair| CertificateSettings { cert: path(&pair.cert), key: path(&pair.key) });
    let first = pairs.next();
    TlsSettings {
        cert: first.as_ref().map(|first| first.cert.clone()),
        key: first.map(|first| first.key),
        certificates: pairs.collect(),
        acme_webroot: config.acme_webroot.as_ref().map(path),
        hsts_age_s: i64::try_from(config.hsts_age.as_secs()).ok(),
    }
}

fn auth_settings(auth: &Auth) -> AuthSettings {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    let jwks = auth.jwks.as_ref().map(|source| match source {
        JwksSource::File(file) => path(file),
        JwksSource::Url(url) => url.expose().to_owned(),
    });
    AuthSettings {
        require: Some(auth.require),
        secret: auth.secret.as_ref().map(|secret| secret.expose().to_owned()),
        secret_file: auth.secret_file.as_ref().map(path),
        jwks,
        webhook: auth.webhook.as_ref().map(|url| url.expose().to_owned()),
        jwks_interval_s: i64::try_from(auth.jwks_interval.as_secs()).ok(),
        webhook_timeout_ms: i64::try_from(auth.webhook_time_max.as_millis()).ok(),
        ca: auth.ca.as_ref().map(path),
        audience: auth.audience.clone(),
        issuer: auth.issuer.clone(),
        admin_token_required: Some(auth.admin_token_required),
    }
}

//! What an operator has set for authorisation and admission, checked. [`crate::config`] reads and checks these values,
//! and re-exports the types.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Exempt, Network};
use super::secret::Secret;
use crate::limits;

/// `[auth]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// A session needs a token, or the webhook's permission.
    pub require: bool,
    /// The shared secret of HS256 tokens.
    pub secret: Option<Secret>,
    /// A file that holds the shared secret, instead of `secret`.
    pub secret_file: Option<PathBuf>,
    /// Where the public keys of tokens with other algorithms are.
    pub jwks: Option<JwksSource>,
    /// How often the key set is read again.
    pub jwks_interval: Duration,
    /// The audience that a token's `aud` must name.
    pub audience: Option<String>,
    /// The issuer that a token's `iss` must equal.
    pub issuer: Option<String>,
    /// The URL of the operator's webhook. It is hidden, because such URLs often hold a key.
    pub webhook: Option<Secret>,
    /// How long the webhook may take to answer.
    pub webhook_time_max: Duration,
    /// Certificate authorities that the webhook's and the key set's servers are checked against, instead of the
    /// system's.
    pub ca: Option<PathBuf>,
    /// The operator's port requires a token on loopback too.
    pub admin_token_required: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            require: false,
            secret: None,
            secret_file: None,
            jwks: None,
            jwks_interval: limits::JWKS_INTERVAL_DEFAULT,
            audience: None,
            issuer: None,
            webhook: None,
            webhook_time_max: limits::WEBHOOK_TIME_DEFAULT,
            ca: None,
            admin_token_required: false,
        }
    }
}

impl Auth {
    /// Whether a key or a webhook is configured that can judge a client.
    #[must_use]
    pub fn can_judge(&self) -> bool {
        self.secret.is_some() || self.secret_file.is_some() || self.jwks.is_some() || self.webhook.is_some()
    }
}

/// Where a JSON Web Key Set is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// A file.
    File(PathBuf),
    /// An https URL, or an http one on this host. It is hidden like the webhook's.
    Url(Secret),
}

/// Bounds by client address, by rate and by stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Sessions of one client address (IPv6: of one /64).
    pub sessions_per_address_max: u32,
    /// HTTP connections of one client address.
    pub connections_per_address_max: u32,
    /// Addresses that are exempt from every limit per address.
    pub exempt_addresses: Vec<IpAddr>,
    /// Proxies that are believed when they say for whom they ask.
    pub trusted_proxies: Vec<Network>,
    /// Sessions that may be opened per second.
    pub joins_per_second_max: u32,
    /// Sessions that one client address (IPv6: one /64) may open per second. Exempt addresses are not limited.
    pub joins_per_second_and_address_max: u32,
    /// Sessions that may be opened per second with one token.
    pub joins_per_second_and_token_max: u32,
    /// Streams published at once.
    pub streams_max: u32,
    /// Viewers of one stream.
    pub viewers_per_stream_max: u32,
}

impl Admission {
    /// Whose connections are counted for nobody: exempt addresses, and trusted proxies, because each of a proxy's connections
    /// may be of another client.
    #[must_use]
    pub fn exempt_connections(&self) -> Exempt {
        Exempt::new(&self.exempt_addresses).and(&self.trusted_proxies)
    }

    /// The defaults for a node with this number of workers.
    #[must_use]
    pub fn for_workers(workers: usize) -> Self {
        // The number of workers is bounded by `WORKERS_MAX`.
        let joins = limits::JOINS_PER_SECOND_AND_WORKER_DEFAULT * workers.min(limits::WORKERS_MAX) as u32;
        Self {
            sessions_per_address_max: limits::SESSIONS_PER_ADDRESS_DEFAULT,
            connections_per_address_max: limits::CONNECTIONS_PER_ADDRESS_DEFAULT,
            exempt_addresses: limits::EXEMPT_ADDRESSES_DEFAULT.to_vec(),
            trusted_proxies: Vec::new(),
            joins_per_second_max: joins,
            joins_per_second_and_address_max: joins / limits::JOINS_ADDRESS_DIVISOR,
            joins_per_second_and_token_max: joins / limits::JOINS_TOKEN_DIVISOR,
            streams_max: limits::STREAMS_DEFAULT,
            viewers_per_stream_max: limits::VIEWERS_PER_STREAM_DEFAULT,
        }
    }
}

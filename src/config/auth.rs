//! Who may do what, as configured. [`crate::auth`] gives it its meaning.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::secret::Secret;
use crate::limits;

/// `[auth]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Nothing is opened without a token (or the webhook's leave).
    pub require: bool,
    /// The shared secret of HS256 tokens.
    pub secret: Option<Secret>,
    /// A file that holds it instead.
    pub secret_file: Option<PathBuf>,
    /// Where the public keys of other tokens are.
    pub jwks: Option<JwksSource>,
    /// How often they are looked at again.
    pub jwks_interval: Duration,
    /// What a token's `aud` must name.
    pub audience: Option<String>,
    /// What a token's `iss` must be.
    pub issuer: Option<String>,
    /// The operator's endpoint that is asked; hidden, since such URLs often hold a key.
    pub webhook: Option<Secret>,
    /// The time it may take.
    pub webhook_time_max: Duration,
    /// Certificate authorities to believe its URL and the key set's by, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The operator's port wants a token on loopback too.
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
    /// Whether there is anything to judge a client by.
    #[must_use]
    pub fn can_judge(&self) -> bool {
        self.secret.is_some() || self.secret_file.is_some() || self.jwks.is_some() || self.webhook.is_some()
    }
}

/// Where a key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// A file.
    File(PathBuf),
    /// An https URL, or http on this host; hidden like the webhook's.
    Url(Secret),
}

//! The `[auth]` table.

use std::net::IpAddr;
use std::time::Duration;

use super::{ConfigError, Placed, Sources, number};
use crate::auth::secret::Secret;
use crate::config::{Auth, AuthSettings, JwksSource, Settings};
use crate::limits;

/// Shown in place of a value that is a secret or may hold one.
const HIDDEN: &str = "(hidden)";

pub(super) fn auth(sources: &Sources<'_>) -> Result<Auth, ConfigError> {
    let default = Auth::default();
    let text = |key, get: fn(&AuthSettings) -> Option<String>| -> Result<Option<Placed<String>>, ConfigError> {
        let Some(placed) = sources.pick(key, |s: &Settings| get(&s.auth)) else { return Ok(None) };
        match placed.value.is_empty() {
            true => Err(placed.refuse("\"\"", "must not be empty; leave it out")),
            false => Ok(Some(placed)),
        }
    };
    let secret = text("auth.secret", |a| a.secret.clone())?;
    let secret_file = text("auth.secret_file", |a| a.secret_file.clone())?;
    if let (Some(secret), Some(_)) = (&secret, &secret_file) {
        return Err(secret.refuse(HIDDEN, "there is auth.secret_file too: leave one of them out"));
    }
    if let Some(secret) = secret.as_ref().filter(|secret| crate::auth::keys::checked(&secret.value, "").is_err()) {
        let rule = format!(
            "must be {} to {} bytes of text: make one with `openssl rand -base64 32`",
            limits::SECRET_BYTES_MIN,
            limits::SECRET_BYTES_MAX
        );
        return Err(secret.refuse(HIDDEN, rule));
    }
    let jwks = match text("auth.jwks", |a| a.jwks.clone())? {
        Some(placed) if placed.value.contains("://") => Some(JwksSource::Url(url(&placed)?)),
        Some(placed) => Some(JwksSource::File(placed.value.into())),
        None => None,
    };
    let webhook = text("auth.webhook", |a| a.webhook.clone())?.map(|placed| url(&placed)).transpose()?;
    let interval_s = number(sources, "auth.jwks_interval_s", |s| s.auth.jwks_interval_s)?;
    let timeout_ms = number(sources, "auth.webhook_timeout_ms", |s| s.auth.webhook_timeout_ms)?;
    let mut auth = Auth {
        secret: secret.map(|placed| Secret::new(placed.value)),
        secret_file: secret_file.map(|placed| placed.value.into()),
        jwks,
        jwks_interval: Duration::from_secs(interval_s.into()),
        audience: text("auth.audience", |a| a.audience.clone())?.map(|placed| placed.value),
        issuer: text("auth.issuer", |a| a.issuer.clone())?.map(|placed| placed.value),
        webhook,
        webhook_time_max: Duration::from_millis(timeout_ms.into()),
        ca: text("auth.ca", |a| a.ca.clone())?.map(|placed| placed.value.into()),
        ..default
    };
    // If a key or an endpoint is configured, authorisation is required by default.
    let require = sources.pick("auth.require", |s| s.auth.require);
    auth.require = require.as_ref().map_or(auth.can_judge(), |placed| placed.value);
    let admin = sources.pick("auth.admin_token_required", |s| s.auth.admin_token_required);
    auth.admin_token_required = admin.as_ref().is_some_and(|placed| placed.value);
    for placed in [require, admin].into_iter().flatten().filter(|placed| placed.value) {
        if !auth.can_judge() {
            return Err(placed.refuse(
                true,
                "there is nothing to judge a token by: set auth.secret_file (openssl rand -base64 32 > FILE; chmod 600 \
                 FILE), auth.jwks or auth.webhook",
            ));
        }
    }
    Ok(auth)
}

/// Checks that this is an https URL, or an http one on this host. A refused URL is not shown, because such URLs often
/// hold a key.
fn url(placed: &Placed<String>) -> Result<Secret, ConfigError> {
    let refuse = |rule| Err(placed.refuse(HIDDEN, rule));
    let Ok(uri) = placed.value.parse::<hyper::Uri>() else { return refuse("must be an https URL") };
    let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else { return refuse("must be an https URL") };
    if authority.as_str().contains('@') {
        return refuse("must be a URL without user and password: put a key into its path");
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_this_host = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(Secret::new(placed.value.clone())),
        Some("http") if is_this_host => Ok(Secret::new(placed.value.clone())),
        Some("http") => refuse("plain http is for this host only (127.0.0.1, [::1], localhost): use https"),
        _ => refuse("must be an https URL"),
    }
}

//! What `corecast doctor` can try of the configured authorisation without asking for a decision.
//!
//! It runs the node's own code once, in the caller's thread. It sends the operator's webhook a `HEAD` only, so an
//! endpoint that counts questions counts none.

use std::path::Path;
use std::time::Duration;

use super::client::{self, ClientError};
use super::configured::{Auth, JwksSource};
use super::key_source;
use super::keys::{self, KeyError};

/// Whether the file's secret can be used.
///
/// # Errors
/// Why not, with the fix.
pub fn secret_file(path: &Path) -> Result<(), KeyError> {
    keys::secret_file(path).map(drop)
}

/// How many keys the set has that this node can use.
///
/// # Errors
/// Why there are none.
pub fn key_set(config: &Auth, source: &JwksSource) -> Result<usize, String> {
    let url = match source {
        JwksSource::Url(url) => Some(url.expose()),
        JwksSource::File(_) => None,
    };
    let agent = agent(config, url.unwrap_or_default()).map_err(|error| error.to_string())?;
    let keys = key_source::fetch(source, &agent).and_then(|bytes| keys::parse_set(&bytes))?;
    Ok(keys.len())
}

/// The status by which the operator's endpoint answers a `HEAD`, and after which time.
///
/// # Errors
/// Why it does not.
pub fn webhook(config: &Auth, url: &str) -> Result<(u16, Duration), String> {
    let agent = agent(config, url).map_err(|error| error.to_string())?;
    let asked = std::time::Instant::now();
    let request = agent.head(url).config().timeout_global(Some(config.webhook_time_max)).build();
    let answer = request.call().map_err(|error| client::words(&error))?;
    Ok((answer.status().as_u16(), asked.elapsed()))
}

fn agent(config: &Auth, url: &str) -> Result<ureq::Agent, ClientError> {
    client::agent(config.ca.as_deref(), url.starts_with("https:"))
}

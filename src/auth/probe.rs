//! The checks of the configured authorisation that `corecast doctor` makes. None of them asks for a decision.
//!
//! They run the node's own code once, in the caller's thread. The operator's webhook gets only a `HEAD`, so an endpoint
//! that counts questions counts none.

use std::path::Path;
use std::time::Duration;

use super::client::{self, ClientError};
use super::configured::{Auth, JwksSource};
use super::key_source;
use super::keys::{self, KeyError};

/// Checks that the file's secret can be used.
///
/// # Errors
/// Why it cannot, and the fix.
pub fn secret_file(path: &Path) -> Result<(), KeyError> {
    keys::secret_file(path).map(drop)
}

/// Reads the key set. Returns how many of its keys this node can use.
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

/// Sends a `HEAD` to the operator's webhook. Returns the status of the answer and the time it took.
///
/// # Errors
/// Why there is no answer.
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

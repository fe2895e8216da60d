//! How an [`Authoriser`] begins: keys are read, and the threads that its configuration asks for are started.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::RandomState;
use std::io;
use std::sync::Arc;

use super::address::Shown;
use super::client::{self, ClientError};
use super::configured::{Admission, Auth, JwksSource};
use super::failures::Failures;
use super::joins::Joins;
use super::key_source::KeySource;
use super::keys::{self, Key, KeyError};
use super::token::Rules;
#[cfg(feature = "simulation")]
use super::webhook::simulated;
use super::webhook::{Events, Webhook};
use super::{Authoriser, secret};
use crate::net::clock;

/// Why authorisation cannot start. Its `Display` says what to do.
#[derive(Debug)]
pub enum StartError {
    /// The keys cannot be used.
    Keys(KeyError),
    /// The HTTP client cannot be made.
    Client(ClientError),
    /// A thread cannot be started.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(error) => error.fmt(f),
            Self::Client(error) => error.fmt(f),
            Self::Thread(error) => {
                write!(f, "a thread cannot be started ({error}): raise the process limit (ulimit -u, TasksMax=)")
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<KeyError> for StartError {
    fn from(error: KeyError) -> Self {
        Self::Keys(error)
    }
}

impl Authoriser {
    /// Reads the keys and starts the threads that `config` asks for. The rates of joins are those of `admission`.
    ///
    /// # Errors
    /// When a key file cannot be used, a thread cannot be started, or there are no authorities to check an https URL
    /// against.
    pub fn start(config: &Auth, admission: &Admission, shown: Shown) -> Result<Self, StartError> {
        let secret = match (&config.secret, &config.secret_file) {
            (Some(secret), _) => Some(keys::checked(secret.expose(), "auth.secret")?),
            (None, Some(path)) => Some(keys::secret_file(path)?),
            (None, None) => None,
        };
        let is_https = |url: &secret::Secret| url.expose().starts_with("https:");
        let jwks_url = match &config.jwks {
            Some(JwksSource::Url(url)) => Some(url),
            _ => None,
        };
        let agent = client::agent(
            config.ca.as_deref(),
            jwks_url.is_some_and(is_https) || config.webhook.as_ref().is_some_and(is_https),
        )
        .map_err(StartError::Client)?;
        let key_source = match &config.jwks {
            Some(source) => Some(KeySource::start(source.clone(), config.jwks_interval, agent.clone())?),
            None => None,
        };
        let webhook = match &config.webhook {
            Some(url) => {
                let asked = Webhook::start(url, config.webhook_time_max, &agent).map_err(StartError::Thread)?;
                let told = Events::start(url, config.webhook_time_max, &agent).map_err(StartError::Thread)?;
                Some((asked, told))
            }
            None => None,
        };
        Ok(Self::new(config, admission, shown, secret.as_ref().map(Key::shared), key_source, webhook))
    }

    /// An authoriser with a webhook and nothing else, for a simulated thread. The returned tasks have to run on it: they
    /// ask the webhook through the agent that `connect` makes.
    ///
    /// # Errors
    /// As [`Self::start`].
    #[cfg(feature = "simulation")]
    pub fn simulated(
        config: &Auth,
        admission: &Admission,
        shown: Shown,
        connect: impl FnOnce(ureq::config::Config) -> ureq::Agent,
        sleep: &simulated::Sleep,
    ) -> Result<(Self, Vec<simulated::Task>), StartError> {
        let agent = connect(client::config(None, false).map_err(StartError::Client)?);
        let (webhook, tasks) = match &config.webhook {
            Some(url) => {
                let (asked, told, tasks) = simulated::start(url, config.webhook_time_max, &agent, sleep);
                (Some((asked, told)), tasks)
            }
            None => (None, Vec::new()),
        };
        Ok((Self::new(config, admission, shown, None, None, webhook), tasks))
    }

    fn new(
        config: &Auth,
        admission: &Admission,
        shown: Shown,
        shared_key: Option<Key>,
        key_source: Option<KeySource>,
        webhook: Option<(Webhook, Events)>,
    ) -> Self {
        let now = clock::now();
        Self {
            require: config.require,
            admin_token_required: config.admin_token_required,
            shared_key,
            key_source,
            rules: Rules { audience: config.audience.clone(), issuer: config.issuer.clone() },
            webhook,
            failures: RefCell::new(Failures::new(&admission.exempt_addresses, now)),
            joins: RefCell::new(Joins::new(admission, now)),
            places: Arc::default(),
            hasher: RandomState::new(),
            questions: Cell::new(0),
            shown,
        }
    }
}

//! What of signalling's settings may change while it runs, and the change itself. [`super::changes`] puts it in place.
//! A request that has begun keeps the settings it began with.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use hyper::header::HeaderValue;

use super::sessions::streams::Bounds;
use crate::auth::Authoriser;
use crate::config::{Admission, Config, IceServer};

/// The settings, as they are or as they shall be.
#[derive(Clone, Debug)]
pub struct Live {
    /// What `Location` starts with.
    pub public_url: Option<String>,
    /// Origins of other web pages that may call.
    pub cors_origins: Vec<String>,
    /// Servers told to clients in `Link`.
    pub ice_servers: Vec<IceServer>,
    /// Where an ACME client's answers to challenges are, below `.well-known/acme-challenge`.
    pub acme_webroot: Option<PathBuf>,
    /// For how long browsers are told to use HTTPS only; zero: they are not told.
    pub hsts_age: Duration,
    /// Viewers admitted to names nobody publishes.
    pub waiting_viewers_max: u32,
    /// How long they wait.
    pub waiting_time: Duration,
    /// Bounds by address, rate and stream. Live of them: all but the exempt addresses and connections by address.
    pub admission: Admission,
}

impl Live {
    /// Those of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            public_url: config.public_url.clone(),
            cors_origins: config.cors_origins.clone(),
            ice_servers: config.ice_servers.clone(),
            acme_webroot: config.acme_webroot.clone(),
            hsts_age: config.hsts_age,
            waiting_viewers_max: config.limits.waiting_viewers_max,
            waiting_time: config.limits.waiting_time,
            admission: config.limits.admission.clone(),
        }
    }
}

/// What signalling is told when the configuration was read again.
#[derive(Debug)]
pub struct Change {
    /// All of them, also those that stay as they are.
    pub live: Live,
    /// Who decides from now on; `None`: who did so far. A new one takes over who is there.
    pub authoriser: Option<Authoriser>,
    /// Told when all of it is in place.
    pub in_place: flume::Sender<()>,
}

/// [`Live`], and what is made of it once for all requests.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) live: Live,
    /// `Link` values of the ICE servers.
    pub(super) ice_links: Vec<HeaderValue>,
    /// `Strict-Transport-Security` (RFC 6797 §6.1), where it is sent. Not `includeSubDomains`: others live there.
    pub(super) strict_transport: Option<HeaderValue>,
}

impl Terms {
    pub(super) fn new(live: Live) -> Self {
        let age_s = live.hsts_age.as_secs();
        let strict_transport = (age_s > 0).then(|| HeaderValue::from_str(&format!("max-age={age_s}")).ok()).flatten();
        Self { ice_links: live.ice_servers.iter().flat_map(links).collect(), strict_transport, live }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            waiting_viewers_max: self.live.waiting_viewers_max as usize,
            waiting_time: self.live.waiting_time,
            streams_max: self.live.admission.streams_max as usize,
            viewers_per_stream_max: self.live.admission.viewers_per_stream_max as usize,
        }
    }
}

/// The settings as they are now.
#[derive(Debug)]
pub(super) struct Settings(RefCell<Rc<Terms>>);

impl Settings {
    /// The first.
    pub(super) fn new(terms: Terms) -> Self {
        Self(RefCell::new(Rc::new(terms)))
    }

    /// As of now. Whoever takes them keeps them over an `await`.
    pub(super) fn now(&self) -> Rc<Terms> {
        Rc::clone(&self.0.borrow())
    }

    /// From now on these.
    pub(super) fn replace(&self, terms: Terms) {
        self.0.replace(Rc::new(terms));
    }
}

/// `Link` values of one ICE server (RFC 9725 §4.6); the texts were checked when the configuration was read.
fn links(server: &IceServer) -> impl Iterator<Item = HeaderValue> + '_ {
    server.urls.iter().filter_map(|url| {
        let mut link = format!("<{url}>; rel=\"ice-server\"");
        if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
            link.push_str(&format!(
                "; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\""
            ));
        }
        HeaderValue::from_str(&link).ok()
    })
}

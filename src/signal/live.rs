//! The settings of signalling that may change while it runs, and the change itself. [`super::changes`] applies it. A
//! request keeps the settings with which it began.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use hyper::header::HeaderValue;

use super::sessions::streams::StreamBounds;
use crate::auth::Authoriser;
use crate::config::{Admission, Config, IceServer, PlainClients, Takeover};

/// The settings that a reload may change.
#[derive(Clone, Debug)]
pub struct Live {
    /// The text that `Location` starts with.
    pub public_url: Option<String>,
    /// Origins of other web pages that may call the node.
    pub cors_origins: Vec<String>,
    /// Who may take over the name of a publisher that lives.
    pub takeover: Takeover,
    /// What becomes of clients of WHIP and WHEP that cannot change their keys.
    pub plain_clients: PlainClients,
    /// Servers that clients are told about in `Link`.
    pub ice_servers: Vec<IceServer>,
    /// The directory with an ACME client's answers to challenges, below `.well-known/acme-challenge`.
    pub acme_webroot: Option<PathBuf>,
    /// How long browsers are told to use only HTTPS. Zero means that they are not told.
    pub hsts_age: Duration,
    /// How many viewers may wait for a publisher.
    pub waiting_viewers_max: u32,
    /// How long a viewer waits for a publisher.
    pub waiting_time: Duration,
    /// Bounds by address, rate and stream. The exempt addresses and the connections per address are not live.
    pub admission: Admission,
}

impl Live {
    /// The live settings of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            public_url: config.public_url.clone(),
            cors_origins: config.cors_origins.clone(),
            takeover: config.takeover,
            plain_clients: config.media.plain_clients,
            ice_servers: config.ice_servers.clone(),
            acme_webroot: config.acme_webroot.clone(),
            hsts_age: config.hsts_age,
            waiting_viewers_max: config.limits.waiting_viewers_max,
            waiting_time: config.limits.waiting_time,
            admission: config.limits.admission.clone(),
        }
    }
}

/// What signalling is told after the configuration was read again.
#[derive(Debug)]
pub struct Change {
    /// All live settings, also those that have not changed.
    pub live: Live,
    /// A new authoriser, if authorisation has changed. It takes over what the old one knows about clients.
    pub authoriser: Option<Authoriser>,
    /// Notified when all of it is applied.
    pub in_place: flume::Sender<()>,
}

/// [`Live`], and values that are derived from it once for all requests.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) live: Live,
    /// The `Link` values of the ICE servers.
    pub(super) ice_links: Vec<HeaderValue>,
    /// The value of `Strict-Transport-Security` (RFC 6797 §6.1), if it is sent. It has no `includeSubDomains`, because
    /// other services may use subdomains.
    pub(super) strict_transport: Option<HeaderValue>,
}

impl Terms {
    pub(super) fn new(live: Live) -> Self {
        let age_s = live.hsts_age.as_secs();
        let strict_transport = (age_s > 0).then(|| HeaderValue::from_str(&format!("max-age={age_s}")).ok()).flatten();
        Self { ice_links: live.ice_servers.iter().flat_map(links).collect(), strict_transport, live }
    }

    pub(super) fn bounds(&self) -> StreamBounds {
        StreamBounds {
            waiting_viewers_max: self.live.waiting_viewers_max as usize,
            waiting_time: self.live.waiting_time,
            streams_max: self.live.admission.streams_max as usize,
            viewers_per_stream_max: self.live.admission.viewers_per_stream_max as usize,
        }
    }
}

/// The settings as they are now.
#[derive(Debug)]
pub(super) struct LiveSettings(RefCell<Rc<Terms>>);

impl LiveSettings {
    /// Starts with `terms`.
    pub(super) fn new(terms: Terms) -> Self {
        Self(RefCell::new(Rc::new(terms)))
    }

    /// The present settings. A caller keeps the same ones across an `await`.
    pub(super) fn now(&self) -> Rc<Terms> {
        Rc::clone(&self.0.borrow())
    }

    /// Replaces the settings.
    pub(super) fn replace(&self, terms: Terms) {
        self.0.replace(Rc::new(terms));
    }
}

/// The `Link` values of one ICE server (RFC 9725 §4.6). The texts were checked when the configuration was read.
pub(super) fn links(server: &IceServer) -> impl Iterator<Item = HeaderValue> + '_ {
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

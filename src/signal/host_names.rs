//! By which names the node may be reached from web pages where nothing judges clients.
//!
//! A page of an attacker can have its own name lead to the node's address once it is loaded (DNS rebinding). To the browser
//! the node is then of the page's own origin, so that no rule about origins helps: the name that the browser asks by is all
//! that shows it. So it must be a name that no stranger can have: an address, `localhost`, a name of this machine, of a
//! served certificate, of `public_url`, or of an origin in `cors.origins`.
//!
//! The rule is for browsers, which say `Origin` with everything that opens, changes or ends a session, and `Sec-Fetch-Site`
//! with pages over TLS (Fetch standard). An encoder or a player is steered by no page, and often reaches the node by a name
//! that nobody listed: that of a container, of a service, of a load balancer. Where a token or the operator's endpoint
//! judges every client, the rule does not hold either: a page has no token of another origin.

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, ORIGIN};

use super::code::Code;
use super::cors::{self, host_of};
use super::live::Live;
use super::problem::Problem;
use super::tls::Certificates;
use crate::auth::pattern::origin_matches;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names that this machine and its certificates have.
pub(super) struct HostNames {
    machine: Vec<String>,
    certificates: Certificates,
}

impl HostNames {
    /// Those of the machine, in lower case, and of the certificates that are served.
    pub(super) fn new(machine: Vec<String>, certificates: Certificates) -> Self {
        Self { machine, certificates }
    }

    /// Refuses a browser's request that came by a name that a stranger may have.
    pub(super) fn check(&self, headers: &HeaderMap, authority: Option<&str>, live: &Live) -> Result<(), Problem> {
        if !is_from_browser(headers) {
            return Ok(());
        }
        let authority = authority.unwrap_or_default();
        match cors::is_local(authority) || self.has(authority, live) {
            true => Ok(()),
            false => Err(unknown(authority)),
        }
    }

    fn has(&self, authority: &str, live: &Live) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let is_public =
            |url: &str| url.split_once("://").and_then(|(_, own)| host_of(own)).is_some_and(|own| own == host);
        let is_listed = |listed: &String| {
            ["https", "http"].iter().any(|scheme| origin_matches(listed, &format!("{scheme}://{authority}")))
        };
        self.machine.contains(&host)
            || self.certificates.has_name(&host)
            || live.public_url.as_deref().is_some_and(is_public)
            || live.cors_origins.iter().any(is_listed)
    }
}

fn is_from_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

fn unknown(authority: &str) -> Problem {
    let shown: String = authority.chars().take(255).collect();
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        Code::NotByThatName,
        format!(
            "{shown} is no name of this node, and a page of a stranger could come by such a name, because nothing judges \
             clients here: ask by an address or by the machine's name, or let the operator list https://{shown} in cors.origins, \
             set public_url, or serve a certificate for the name"
        ),
    )
}

//! Signalling's side of authorisation: it reads from a request who asks, and turns a refusal into a [`Problem`].
//!
//! Over HTTP a token comes in `Authorization: Bearer` only (RFC 6750 §2.1); for sockets see [`super::socket`]. A token
//! in a URL's query is ignored, because URLs are written into logs and histories. [`crate::auth`] decides. It is asked
//! when a session opens ([`super::opening`]) and when figures are requested.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::Extensions;

use super::code::Code;
use super::forwarded::{self, Sender};
use super::http::Request;
use super::problem::Problem;
use super::stream_name::StreamName;
use crate::auth::address::Network;
use crate::auth::token::Fault;
use crate::auth::{Access, Action, Authoriser, Denied, Grant, Kind};
use crate::description::Direction;

/// Who asks for a session, and with which token. It is not `Debug`, because a token is a secret.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    /// Its address ([`forwarded`]).
    pub(super) address: IpAddr,
    /// Whether that is a proxy's.
    pub(super) is_passed_on: bool,
    /// The bearer token, by whichever transport it came.
    pub(super) token: Option<&'a str>,
    /// The `Origin` of the page, as the browser wrote it.
    pub(super) origin: Option<&'a str>,
}

/// The present [`Authoriser`]. A reload may replace it.
#[derive(Debug)]
pub(super) struct Authorisation {
    present: RefCell<Rc<Authoriser>>,
    trusted_proxies: Vec<Network>,
}

impl Authorisation {
    /// Starts with `authoriser`. The proxies are believed for whom they ask.
    pub(super) fn new(authoriser: Authoriser, trusted_proxies: Vec<Network>) -> Self {
        Self { present: RefCell::new(Rc::new(authoriser)), trusted_proxies }
    }

    /// The present authoriser. A caller keeps the same one across an `await`.
    pub(super) fn now(&self) -> Rc<Authoriser> {
        Rc::clone(&self.present.borrow())
    }

    /// Replaces the authoriser. The new one takes over what the old one knows about clients.
    pub(super) fn replace(&self, mut authoriser: Authoriser) {
        authoriser.take_over(&self.present.borrow());
        self.present.replace(Rc::new(authoriser));
    }

    /// Finds out who sent a request.
    pub(super) fn sender(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<Sender, Problem> {
        let sender = forwarded::sender(headers, extensions, &self.trusted_proxies)?;
        sender.ok_or_else(|| problem(&Denied::Unavailable("who asks is not known")))
    }

    /// Reads who sent a request, and its token.
    pub(super) fn asker<'a>(&self, headers: &'a HeaderMap, extensions: &Extensions) -> Result<Asker<'a>, Problem> {
        let Sender { address, is_passed_on } = self.sender(headers, extensions)?;
        // Without keys or a webhook the header is not read: it may be meant for a proxy, and must not be an error.
        let token = match self.now().can_judge() {
            true => bearer(headers).map_err(|fault| problem(&fault.into()))?,
            false => None,
        };
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        Ok(Asker { address, is_passed_on, token, origin })
    }

    /// Asks for the permission to open a session.
    pub(super) async fn session(
        &self,
        asker: Asker<'_>,
        direction: Direction,
        stream: &StreamName,
    ) -> Result<Grant, Problem> {
        let action = match direction {
            Direction::Publish => Action::Publish,
            Direction::Play => Action::Play,
        };
        let mut grant = self.leave(asker, action, stream.as_str()).await?;
        if asker.is_passed_on {
            grant.forget_address();
        }
        Ok(grant)
    }

    /// Checks whether the client may follow a stream, which needs the permission to play it. Returns when the
    /// permission ends, if it does.
    pub(super) async fn follow(&self, asker: Asker<'_>, stream: &StreamName) -> Result<Option<Instant>, Problem> {
        let Asker { address, token, origin, .. } = asker;
        let access = Access { action: Action::Play, stream: stream.as_str(), token, origin, address };
        self.now().allows(&access).await.map_err(|denied| problem(&denied))
    }

    /// Checks whether a token can be of any use, before it is known for what. If that cannot be found out at the
    /// moment, the token passes, because it is judged again with each request.
    pub(super) async fn token(&self, asker: Asker<'_>) -> Result<(), Problem> {
        let Some(token) = asker.token else { return Ok(()) };
        match self.now().recognise(token, asker.address).await {
            Err(denied) if denied.kind() != Kind::Unavailable => Err(problem(&denied)),
            _ => Ok(()),
        }
    }

    /// Asks for the permission to see the operator's figures.
    pub(super) async fn operator(&self, request: &Request) -> Result<(), Problem> {
        let asker = self.asker(request.headers(), request.extensions())?;
        self.leave(asker, Action::Admin, "").await.map(drop)
    }

    async fn leave(&self, asker: Asker<'_>, action: Action, stream: &str) -> Result<Grant, Problem> {
        let Asker { address, token, origin, .. } = asker;
        let access = Access { action, stream, token, origin, address };
        self.now().authorise(&access).await.map_err(|denied| problem(&denied))
    }
}

/// Reads the bearer token, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, more) = (values.next(), values.next());
    if more.is_some() {
        return Err(Fault::Malformed("there is more than one Authorization header"));
    }
    let Some(value) = value else { return Ok(None) };
    const FORM: Fault = Fault::Malformed("send it as Authorization: Bearer TOKEN");
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(FORM)?;
    let token = token.trim();
    match scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        true => Ok(Some(token)),
        false => Err(FORM),
    }
}

/// A refusal in HTTP's terms (RFC 6750 §3). Sockets leave the headers out.
fn problem(denied: &Denied) -> Problem {
    let (code, detail) = (Code::Denied(denied.code()), denied.to_string());
    let challenge = match denied {
        Denied::Token(Fault::Missing) => "Bearer realm=\"corecast\"",
        Denied::Token(fault) if *fault == Fault::WrongAction || *fault == Fault::WrongStream => {
            "Bearer realm=\"corecast\", error=\"insufficient_scope\""
        }
        _ => "Bearer realm=\"corecast\", error=\"invalid_token\"",
    };
    let challenge = HeaderValue::from_static(challenge);
    match denied.kind() {
        Kind::Unauthenticated => Problem::new(StatusCode::UNAUTHORIZED, code, detail).with(WWW_AUTHENTICATE, challenge),
        Kind::Forbidden => {
            let problem = Problem::new(StatusCode::FORBIDDEN, code, detail);
            if matches!(denied, Denied::Token(_)) { problem.with(WWW_AUTHENTICATE, challenge) } else { problem }
        }
        Kind::TooMany => {
            let wait_s = denied.wait().unwrap_or_default().as_secs().saturating_add(1);
            Problem::new(StatusCode::TOO_MANY_REQUESTS, code, detail).with(RETRY_AFTER, wait_s.into())
        }
        Kind::Unavailable => Problem::unavailable(code, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_one_bearer_header_and_from_nothing_else() {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["Bearer a.b.c"], Ok(Some("a.b.c"))),
            (&["bearer  a.b.c "], Ok(Some("a.b.c"))),
            (&["a.b.c"], Err(())),
            (&["Bearer"], Err(())),
            (&["Bearer "], Err(())),
            (&["Basic dXNlcjpwYXNz"], Err(())),
            (&["Bearer a", "Bearer b"], Err(())),
            (&["Bearer \u{e4}"], Err(())),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(bearer(&headers).map_err(drop), expected, "{values:?}");
        }
    }
}

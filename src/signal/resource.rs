//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) sessions: opened by `POST`, changed by `PATCH`, ended by `DELETE`.
//!
//! The two differ in direction only. A session's URL is `/{whip,whep}/{stream}/{token}`. The token is 144 random bits
//! and the only proof of ownership: `POST` may need a bearer token, but `PATCH` and `DELETE` need only this URL.
//! In a cluster the node's name stands before the token, so that any node finds the session ([`super::elsewhere`]).
//! `Location` is a path unless `public_url` is configured. A path survives proxies that change host or scheme, and
//! every client that follows RFC 9110 §10.2.2 resolves it. `public_url` makes it absolute for clients that do not.
//!
//! A name stays taken (409, `Retry-After`) until its publisher's session has ended: by `DELETE`, by the DTLS close that a
//! closed tab sends, or 30 s after the last packet. Before that it yields to another publisher as `publish.takeover` says,
//! and to any when it has been silent for two seconds ([`super::takeover`]). A publisher whose network has changed need not
//! open a new session: it sends `PATCH` with new ICE credentials.
//!
//! A session whose keys change has two resources below its URL for a while, `old` and `new` ([`super::rekey_over_http`]).
//! A viewer's session has two resources below its URL, `layer` and `events` ([`super::layers`]).
//!
//! Left out: the peer's candidates (an ICE-lite node needs none), and offers made by the server.

use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, LINK, LOCATION};
use hyper::{Method, StatusCode};

use super::body::{BodyBytes, BodyError, read_text};
use super::code::Code;
use super::cors;
use super::elsewhere;
use super::http::{Request, Response};
use super::keeper::SessionKeeper;
use super::layers;
use super::live::{self, LiveSettings};
use super::opening::{Opened, Opener};
use super::problem::Problem;
use super::random;
use super::request_body::RequestBody;
use super::stream_name::StreamName;
use super::turn_server::TurnServer;
use crate::description::Direction;
use crate::limits;

/// Media types (RFC 8866 §8.1, RFC 8840 §9.3).
pub(super) const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The media types that `POST` and `PATCH` accept (W3C LDP; RFC 5789 §3.1).
pub(super) const ACCEPT_POST: (HeaderName, HeaderValue) =
    (HeaderName::from_static("accept-post"), HeaderValue::from_static(SDP));
pub(super) const ACCEPT_PATCH: (HeaderName, HeaderValue) =
    (HeaderName::from_static("accept-patch"), HeaderValue::from_static(FRAGMENT));

/// Answers WHIP and WHEP.
pub(super) struct Resources {
    pub(super) opener: Rc<Opener>,
    pub(super) keeper: Rc<SessionKeeper>,
    pub(super) settings: Rc<LiveSettings>,
    /// The bytes of bodies that are being read.
    pub(super) bodies: BodyBytes,
    /// The node's TURN server, which sessions are told of.
    pub(super) turn: Option<Rc<TurnServer>>,
    /// The node's name in its cluster, which its sessions' URLs have; `None` where no other node could ask it.
    pub(super) node: Option<String>,
}

impl Resources {
    /// `POST /whip/{stream}` and `POST /whep/{stream}`.
    pub(super) async fn open(
        &self,
        direction: Direction,
        stream_name: &str,
        request: Request,
    ) -> Result<Response, Problem> {
        let name = StreamName::parse(stream_name)?;
        let host = cors::authority(&request).and_then(cors::host_of);
        let (head, body) = request.into_parts();
        let asker = self.opener.authorisation.asker(&head.headers, &head.extensions);
        let asker = asker.map_err(|problem| self.opener.counted(problem))?;
        let offer = self.body_of(&head.headers, body, SDP);
        let opened = self.opener.open(asker, direction, &name, offer).await?;
        let (token, entity_tag) = (random::token(), random::entity_tag());
        let segment = self.node.as_deref().map_or_else(|| token.clone(), |node| elsewhere::tagged(node, &token));
        let path = format!("/{}/{name}/{segment}", segment_of(direction));
        let response = self.created(&path, &entity_tag, &opened, host.as_deref());
        self.keeper.given_url(opened.session, token, entity_tag);
        Ok(response)
    }

    /// 201 with the answer (RFC 9725 §4.2).
    fn created(&self, path: &str, entity_tag: &str, opened: &Opened, host: Option<&str>) -> Response {
        let terms = self.settings.now();
        let location = terms.live.public_url.as_deref().unwrap_or_default().to_owned() + path;
        let mut response = Response::new(Full::new(Bytes::from(opened.sdp.clone())));
        *response.status_mut() = StatusCode::CREATED;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        insert_text(headers, LOCATION, &location);
        insert_text(headers, ETAG, entity_tag);
        headers.extend([ACCEPT_POST, ACCEPT_PATCH]);
        let own = self.turn.as_ref().and_then(|turn| turn.told(opened.session, host, &terms.live));
        // Some clients take the first and no other.
        for link in own.iter().flat_map(live::links).chain(terms.ice_links.iter().cloned()) {
            headers.append(LINK, link);
        }
        if path.starts_with("/whep/") {
            let link =
                |below: &str, rel: &str| format!("<{location}/{below}>; rel=\"urn:ietf:params:whep:ext:core:{rel}\"");
            let events = link("events", "server-sent-events") + "; events=\"layers\"";
            let links =
                [link("layer", "layer"), events].into_iter().filter_map(|link| HeaderValue::try_from(link).ok());
            links.for_each(|link| _ = headers.append(LINK, link));
        }
        response
    }

    /// `PATCH` of a session: trickled candidates (204) or an ICE restart (200), RFC 9725 §4.3.
    pub(super) async fn patch(
        &self,
        direction: Direction,
        stream_name: &str,
        token: &str,
        request: Request,
    ) -> Result<Response, Problem> {
        self.keeper.at_url(token, stream_name, direction)?;
        let condition = Condition::of(request.headers());
        if condition == Condition::Absent {
            return Err(Problem::new(
                StatusCode::PRECONDITION_REQUIRED,
                Code::IfMatchMissing,
                "send If-Match with the session's ETag to trickle candidates, or If-Match: \"*\" to restart ICE",
            ));
        }
        let (head, body) = request.into_parts();
        let body = self.body_of(&head.headers, body, FRAGMENT).await?;

        // Nothing is awaited from here on, so the state that is checked is the state that is changed.
        let (session, entity_tag) = self.keeper.at_url(token, stream_name, direction)?;
        if !condition.holds(&entity_tag) {
            return Err(condition.refused());
        }
        let Some(text) = self.opener.restart(session, &body)? else {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        };
        let entity_tag = random::entity_tag();
        let mut response = Response::new(Full::new(Bytes::from(text)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        insert_text(headers, ETAG, &entity_tag);
        self.keeper.retagged(session, entity_tag);
        Ok(response)
    }

    /// `DELETE` of a session. It is answered when the worker has let go of the session, so that the name is free for
    /// the next publisher. The URL is gone at once.
    pub(super) async fn delete(
        &self,
        direction: Direction,
        stream_name: &str,
        token: &str,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let condition = Condition::of(headers);
        let (session, entity_tag) = match self.keeper.at_url(token, stream_name, direction) {
            // It has ended by itself meanwhile: that is what was asked for.
            Err(_) if self.keeper.was_at_url(token, stream_name, direction) => return Ok(Response::default()),
            found => found?,
        };
        if condition != Condition::Absent && !condition.holds(&entity_tag) {
            return Err(condition.refused());
        }
        self.keeper.close(session).await;
        Ok(Response::default())
    }

    /// `POST` to a viewer's `layer`.
    pub(super) async fn layer(&self, stream_name: &str, token: &str, request: Request) -> Result<Response, Problem> {
        let (session, _) = self.keeper.at_url(token, stream_name, Direction::Play)?;
        let (head, body) = request.into_parts();
        let body = self.body_of(&head.headers, body, layers::JSON).await?;
        layers::post_layer(&self.keeper, session, &body).await
    }

    /// A viewer's `events`.
    pub(super) async fn events(&self, stream_name: &str, token: &str, request: Request) -> Result<Response, Problem> {
        let (session, _) = self.keeper.at_url(token, stream_name, Direction::Play)?;
        let (head, body) = request.into_parts();
        match head.method {
            Method::GET => layers::get_events(&self.keeper, session, &head.headers).await,
            Method::DELETE => self.keeper.end_events(session).map(|()| Response::default()),
            _ => {
                // The draft lets the body be left out, and its type with it.
                let body = match head.headers.contains_key(CONTENT_TYPE) {
                    true => self.body_of(&head.headers, body, layers::JSON).await?,
                    false => String::new(),
                };
                layers::post_events(&self.keeper, session, &body).await?;
                let public_url = self.settings.now().live.public_url.clone().unwrap_or_default();
                let mut response = Response::default();
                *response.status_mut() = StatusCode::CREATED;
                insert_text(response.headers_mut(), LOCATION, &(public_url + head.uri.path()));
                Ok(response)
            }
        }
    }

    /// Reads the body as text, if its type is `expected`.
    pub(super) async fn body_of(
        &self,
        headers: &HeaderMap,
        body: RequestBody,
        expected: &'static str,
    ) -> Result<String, Problem> {
        let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = given.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(expected) {
            let accept = match expected {
                SDP => Some(ACCEPT_POST),
                FRAGMENT => Some(ACCEPT_PATCH),
                _ => None,
            };
            let detail = format!("send the body as Content-Type: {expected}");
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::WrongContentType, detail);
            return Err(accept.into_iter().fold(problem, |problem, (name, value)| problem.with(name, value)));
        }
        read_text(body, &self.bodies).await.map_err(unread)
    }
}

/// The refusal for a body that was not read.
pub(super) fn unread(error: BodyError) -> Problem {
    match error {
        BodyError::TooLong => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::BodyTooLong,
            format!("send at most {} bytes", limits::REQUEST_BODY_BYTES_MAX),
        ),
        BodyError::TooSlow => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            Code::BodyTooSlow,
            format!("send the whole body within {} s", limits::REQUEST_BODY_TIME_MAX.as_secs()),
        ),
        BodyError::NoRoom => {
            Problem::unavailable(Code::TooManyBodies, "the node reads as many requests as it may: try again later")
        }
        BodyError::NotText => Problem::new(StatusCode::BAD_REQUEST, Code::BodyNotText, "send the body as UTF-8"),
        BodyError::Broken => Problem::new(StatusCode::BAD_REQUEST, Code::BodyBroken, "send the body to its end"),
    }
}

/// Inserts text that this node made itself.
pub(super) fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// `If-Match` (RFC 9110 §13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Absent,
    /// `*`, or `"*"` as RFC 9725's examples write it.
    Any,
    /// The tags as they came, with quotes. Weak ones never match.
    Tags(Vec<String>),
}

impl Condition {
    fn of(headers: &HeaderMap) -> Self {
        let mut tags = Vec::new();
        let mut present = false;
        for value in headers.get_all(IF_MATCH) {
            present = true;
            for tag in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                if tag == "*" || tag == "\"*\"" {
                    return Self::Any;
                }
                tags.push(tag.to_owned());
            }
        }
        if present { Self::Tags(tags) } else { Self::Absent }
    }

    fn holds(&self, entity_tag: &str) -> bool {
        match self {
            Self::Absent => false,
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag == entity_tag),
        }
    }

    /// 412 (RFC 9110 §13.1.1): what is wrong with the tags, as far as they show it.
    fn refused(&self) -> Problem {
        let tags: &[String] = if let Self::Tags(tags) = self { tags } else { &[] };
        let is_quoted = |tag: &String| tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"');
        let detail = if tags.iter().any(|tag| tag.starts_with("W/")) {
            "If-Match never matches a weak tag (RFC 9110 section 13.1.1): send the ETag as it came, without W/"
        } else if !tags.iter().all(is_quoted) {
            "a tag in If-Match has no quotes: send the ETag as it came, with them"
        } else {
            "ICE has been restarted since: use the newest ETag, or If-Match: \"*\" with new credentials to restart again"
        };
        Problem::new(StatusCode::PRECONDITION_FAILED, Code::StaleEtag, detail)
    }
}

/// The first segment of a session's URL.
const fn segment_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Publish => "whip",
        Direction::Play => "whep",
    }
}

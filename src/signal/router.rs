//! The public ports: they route requests to pages, WHIP, WHEP and sockets, and apply the rules that hold for all of
//! them (methods, CORS).

use std::hash::{DefaultHasher, Hasher as _};
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use http_body_util::{BodyExt as _, Full};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, StatusCode};

use super::code::Code;
use super::cors::{self, RequestOrigin};
use super::elsewhere::{self, Elsewhere, FromElsewhere};
use super::forwarded;
use super::forwarding::{forward, received};
use super::host_names::HostNames;
use super::http::{Request, Response, Service, Upgrade};
use super::live::{Live, LiveSettings};
use super::problem::Problem;
use super::rekey_over_http::Transport;
use super::resource::{ACCEPT_PATCH, ACCEPT_POST, Resources};
use super::shutdown::Shutdown;
use super::socket::handshake;
use super::socket::service::SocketService;
use super::stream_name::StreamName;
use crate::description::Direction;
use crate::metrics::SignallingCounters;
use crate::web::Asset;

/// The service of the public ports.
#[derive(Clone)]
pub(super) struct PublicService {
    pub(super) resources: Rc<Resources>,
    pub(super) sockets: Rc<SocketService>,
    pub(super) settings: Rc<LiveSettings>,
    pub(super) names: Rc<HostNames>,
    pub(super) shutdown: Rc<Shutdown>,
    pub(super) counters: SignallingCounters,
    /// Whether it is served over TLS.
    pub(super) is_secure: bool,
    /// The other nodes of the cluster, where this one speaks to them.
    pub(super) elsewhere: Option<Rc<dyn Elsewhere>>,
}

/// What a path names.
enum Target<'a> {
    /// `/whip/{stream}`, `/whep/{stream}`
    Endpoint { direction: Direction, stream: &'a str },
    /// `/whip/{stream}/{token}`, `/whep/{stream}/{token}`
    Session { direction: Direction, stream: &'a str, token: &'a str },
    /// `/whip/{stream}/{token}/{old,new}`, `/whep/{stream}/{token}/{old,new}`
    Transport { direction: Direction, stream: &'a str, token: &'a str, transport: Transport },
    /// `/whep/{stream}/{token}/layer`
    Layer { stream: &'a str, token: &'a str },
    /// `/whep/{stream}/{token}/events`
    Events { stream: &'a str, token: &'a str },
    /// `/ws`
    Socket,
    /// Any other path.
    Page(&'a str),
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Self {
        // A path with empty segments (`//whep/x`) is none of ours, and neither is one with an encoded slash: a proxy in front may
        // have judged another path by it.
        let path_of_ours = path.strip_prefix('/').filter(|path| !has_encoded_slash(path)).unwrap_or_default();
        let mut segments = path_of_ours.split('/');
        let direction = match segments.next() {
            Some("whip") => Direction::Publish,
            Some("whep") => Direction::Play,
            Some("ws") if segments.next().is_none() => return Self::Socket,
            _ => return Self::Page(path),
        };
        let (stream, token, below) =
            (segments.next().filter(|name| !name.is_empty()), segments.next(), segments.next());
        if let (Some(stream), Some(token), Some(below), None) = (stream, token, below, segments.next())
            && !matches!(stream, "." | "..")
        {
            match (direction, below, Transport::of(below)) {
                (_, _, Some(transport)) => return Self::Transport { direction, stream, token, transport },
                (Direction::Play, "layer", _) => return Self::Layer { stream, token },
                (Direction::Play, "events", _) => return Self::Events { stream, token },
                _ => {}
            }
        }
        match (stream, token, below) {
            // Some clients add a slash to the URL that they were given.
            (Some(stream), None | Some(""), None) => Self::Endpoint { direction, stream },
            (Some("." | ".."), Some(_), None) => Self::Page(path),
            (Some(stream), Some(token), None) => Self::Session { direction, stream, token },
            _ => Self::Page(path),
        }
    }

    /// The last segment of a session's URL, in what is at such a URL or below it.
    fn token(&mut self) -> Option<&mut &'a str> {
        match self {
            Self::Session { token, .. }
            | Self::Transport { token, .. }
            | Self::Layer { token, .. }
            | Self::Events { token, .. } => Some(token),
            Self::Endpoint { .. } | Self::Socket | Self::Page(_) => None,
        }
    }

    /// The node that a session's URL names.
    fn of_node(&mut self) -> Option<&'a str> {
        elsewhere::parts(self.token()?).map(|(node, _)| node)
    }

    /// The same, as it is called on the node that has the session.
    fn without_node(mut self) -> Self {
        if let Some(token) = self.token()
            && let Some((_, bare)) = elsewhere::parts(token)
        {
            *token = bare;
        }
        self
    }

    /// The label of the request counter.
    fn route(&self) -> &'static str {
        match self {
            Self::Endpoint { direction: Direction::Publish, .. } => "whip",
            Self::Endpoint { direction: Direction::Play, .. } => "whep",
            Self::Session { direction: Direction::Publish, .. } => "whip_session",
            Self::Session { direction: Direction::Play, .. } => "whep_session",
            Self::Transport { direction: Direction::Publish, .. } => "whip_transport",
            Self::Transport { direction: Direction::Play, .. } => "whep_transport",
            Self::Layer { .. } => "whep_layer",
            Self::Events { .. } => "whep_events",
            Self::Socket => "ws",
            Self::Page(_) => "page",
        }
    }

    /// The methods that it answers.
    fn methods(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "POST, OPTIONS",
            Self::Session { .. } => "POST, PATCH, DELETE, OPTIONS",
            Self::Transport { .. } => "DELETE, OPTIONS",
            Self::Layer { .. } => "POST, OPTIONS",
            Self::Events { .. } => "POST, GET, DELETE, OPTIONS",
            Self::Socket => "GET, OPTIONS",
            Self::Page(_) => "GET, HEAD, OPTIONS",
        }
    }
}

/// Whether a path has an encoded slash or backslash.
fn has_encoded_slash(path: &str) -> bool {
    let is_slash = |code: &[u8]| code.eq_ignore_ascii_case(b"%2f") || code.eq_ignore_ascii_case(b"%5c");
    path.as_bytes().windows(3).any(is_slash)
}

impl Service for PublicService {
    async fn call(&self, request: Request, upgrade: &Upgrade) -> Response {
        let _under_way = self.shutdown.begin_request();
        let terms = self.settings.now();
        let authority = cors::authority(&request);
        let source = cors::source(request.headers(), authority, &terms.live.cors_origins);
        let named = self.may_come_by(request.headers(), authority, &source, &terms.live);
        let path = request.uri().path().to_owned();
        let target = Target::of(&path);
        let (route, methods) = (target.route(), target.methods());
        let is_preflight = request.method() == Method::OPTIONS;
        let mut response = if source == RequestOrigin::Foreign && route != "page" {
            let problem = foreign_origin();
            self.counters.session_refused(problem.code().name());
            problem.into()
        } else if let Err(problem) = named {
            self.counters.session_refused(problem.code().name());
            problem.into()
        } else {
            self.answer_or_forward(target, request, upgrade).await.unwrap_or_else(Response::from)
        };
        cors::allow(response.headers_mut(), &source);
        if is_preflight && source != RequestOrigin::Foreign {
            cors::preflight(response.headers_mut(), methods);
        }
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // RFC 6797 §7.2 forbids this header over plain HTTP.
        if let Some(strict) = terms.strict_transport.as_ref().filter(|_| self.is_secure) {
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, strict.clone());
        }
        self.counters.request(route, response.status().as_u16());
        response
    }
}

impl PublicService {
    /// Checks the name by which a page of the node's own reached it, where nothing judges clients.
    fn may_come_by(
        &self,
        headers: &HeaderMap,
        authority: Option<&str>,
        source: &RequestOrigin,
        live: &Live,
    ) -> Result<(), Problem> {
        // A listed page may name the node as it likes: the operator trusts it, and no stranger has its origin.
        match *source == RequestOrigin::Own && !self.resources.opener.authorisation.now().judges_everybody() {
            true => self.names.check(headers, authority, live),
            false => Ok(()),
        }
    }

    /// Passes on what concerns a session of another node, and answers the rest.
    async fn answer_or_forward(
        &self,
        mut target: Target<'_>,
        request: Request,
        upgrade: &Upgrade,
    ) -> Result<Response, Problem> {
        let Some(elsewhere) = &self.elsewhere else { return self.answer(target, request, upgrade).await };
        match target.of_node() {
            Some(node) if node != elsewhere.here() && request.method() != Method::OPTIONS => {
                let trusted = &self.settings.now().live.admission.trusted_proxies;
                let sender = forwarded::sender(request.headers(), request.extensions(), trusted)?;
                let bodies = &self.resources.bodies;
                forward(&**elsewhere, node, request, sender.map(|sender| sender.address), bodies).await
            }
            Some(_) => self.answer(target.without_node(), request, upgrade).await,
            None => self.answer(target, request, upgrade).await,
        }
    }

    /// Answers what a client has asked another node. It may be about a session of this node only.
    async fn answer_node(&self, request: Request) -> Result<Response, Problem> {
        let path = request.uri().path().to_owned();
        let mut target = Target::of(&path);
        match (target.of_node(), &self.elsewhere) {
            (Some(node), Some(elsewhere)) if node == elsewhere.here() => {
                self.answer(target.without_node(), request, &Upgrade::default()).await
            }
            _ => Err(Problem::no_session()),
        }
    }

    async fn answer(&self, target: Target<'_>, request: Request, upgrade: &Upgrade) -> Result<Response, Problem> {
        let methods = target.methods();
        if request.method() == Method::OPTIONS {
            return Ok(options(&target));
        }
        let method = request.method().clone();
        match target {
            Target::Endpoint { direction, stream } => {
                if method != Method::POST {
                    return Err(Problem::method(methods));
                }
                self.resources.open(direction, stream, request).await
            }
            Target::Session { direction, stream, token } => {
                if method == Method::POST {
                    self.resources.rekey(direction, stream, token, request).await
                } else if method == Method::PATCH {
                    self.resources.patch(direction, stream, token, request).await
                } else if method == Method::DELETE {
                    self.resources.delete(direction, stream, token, request.headers()).await
                } else {
                    Err(Problem::method(methods))
                }
            }
            Target::Transport { direction, stream, token, transport } => match method {
                Method::DELETE => self.resources.end_transport(direction, stream, token, transport),
                _ => Err(Problem::method(methods)),
            },
            Target::Layer { stream, token } => match method {
                Method::POST => self.resources.layer(stream, token, request).await,
                _ => Err(Problem::method(methods)),
            },
            Target::Events { stream, token } => match method {
                Method::POST | Method::GET | Method::DELETE => self.resources.events(stream, token, request).await,
                _ => Err(Problem::method(methods)),
            },
            Target::Socket => {
                if method != Method::GET {
                    return Err(Problem::method(methods));
                }
                handshake::accept(&self.sockets, &request, upgrade)
            }
            Target::Page(path) => {
                let found = page(path, request.headers())?;
                if method != Method::GET && method != Method::HEAD {
                    return Err(Problem::method(methods));
                }
                Ok(found)
            }
        }
    }
}

impl FromElsewhere for PublicService {
    fn answer(self: Rc<Self>, request: hyper::Request<Bytes>) -> LocalBoxFuture<'static, hyper::Response<Bytes>> {
        async move {
            let _under_way = self.shutdown.begin_request();
            let answer = self.answer_node(received(request)).await.unwrap_or_else(Response::from);
            let (head, body) = answer.into_parts();
            // It is in memory.
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            hyper::Response::from_parts(head, body)
        }
        .boxed_local()
    }
}

/// Answers `OPTIONS`, whether it is a preflight or not.
fn options(target: &Target<'_>) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(hyper::header::ALLOW, HeaderValue::from_static(target.methods()));
    match target {
        Target::Endpoint { .. } => headers.extend([ACCEPT_POST]),
        Target::Session { .. } => headers.extend([ACCEPT_POST, ACCEPT_PATCH]),
        Target::Transport { .. } | Target::Layer { .. } | Target::Events { .. } | Target::Socket | Target::Page(_) => {}
    }
    response
}

fn foreign_origin() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        Code::OriginNotAllowed,
        "pages of this origin may not call the node: its operator can list the origin in cors.origins",
    )
}

/// Serves a page. A stream's page exists for every name that a stream may have, whether it is published or not.
fn page(path: &str, request: &HeaderMap) -> Result<Response, Problem> {
    if let Some((asset, stream)) = crate::web::stream_page(path) {
        StreamName::parse(stream).map_err(|bad| {
            Problem::new(StatusCode::NOT_FOUND, Code::BadStreamName, format!("there is no such page: {bad}"))
        })?;
        return Ok(embedded(asset, request));
    }
    let asset = crate::web::asset(path).ok_or_else(nothing_here)?;
    Ok(embedded(asset, request))
}

/// 404 at a path that is nothing. Whoever posts an offer to another server's path learns where to send it.
fn nothing_here() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        Code::NotFound,
        "nothing is here: pages start at /, a stream is watched at /watch/{stream} and published at /publish/{stream}, \
         the way to here is checked at /check/{stream}, WHIP is /whip/{stream}, WHEP is /whep/{stream}, sockets open at /ws",
    )
}

/// Serves an embedded file. hyper leaves the body out of the answer to a `HEAD`.
pub(super) fn embedded(asset: Asset, request: &HeaderMap) -> Response {
    let mut hasher = DefaultHasher::new();
    hasher.write(asset.body);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let unchanged = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|have| have.trim().trim_start_matches("W/") == tag);
    let mut response = if unchanged {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Full::new(Bytes::from_static(asset.body)))
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    let fixed: [(HeaderName, &'static str); 4] = [
        (CONTENT_TYPE, asset.content_type),
        // Browsers revalidate each time and mostly get a 304. So a node that was updated serves its new pages at once.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, crate::web::CONTENT_SECURITY_POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

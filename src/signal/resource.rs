//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) sessions: opened by `POST`, changed by `PATCH`, ended by `DELETE`.
//!
//! The two differ in direction only. A session's URL is `/{whip,whep}/{stream}/{token}`; the token is 144 random bits
//! and the only proof of ownership: `POST` is what needs a bearer's token, `PATCH` and `DELETE` need only this URL. `Location` is a path unless `public_url` is configured: a path survives proxies
//! that change host or scheme, and every client that follows RFC 9110 §10.2.2 resolves it; `public_url` makes it
//! absolute for those that do not.
//!
//! A name stays taken (409) until its publisher's session has ended: by `DELETE`, by the DTLS close of a closed tab,
//! else 30 s after the last packet. A publisher whose network changed does not need to open again: it sends `PATCH`
//! with new ICE credentials.
//!
//! Left out: the peer's candidates (an ICE-lite node needs none), WHEP's server-sent events and layer extensions, and
//! offers made by the server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, LINK, LOCATION, RETRY_AFTER,
};

use super::admission::{ClientAddress, PlaceOfAddress};
use super::directory::NotAdmitted;
use super::front::Front;
use super::http::{BodyError, Request, Response, read_text};
use super::negotiator::{LocalParameters, Refused};
use super::problem::Problem;
use super::runtime::Task;
use super::{random, runtime};
use crate::auth::Grant;
use crate::description::{Description, Direction, IceCredentials};
use crate::worker::mailbox::{Control, EndReason, OpenRefused, OpenSession, SessionId, WorkerIndex};
use crate::{limits, placement};

/// Media types (RFC 8866 §8.1, RFC 8840 §9.3).
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// What `POST` and `PATCH` take (W3C LDP; RFC 5789 §3.1).
pub(super) const ACCEPT_POST: (HeaderName, HeaderValue) =
    (HeaderName::from_static("accept-post"), HeaderValue::from_static(SDP));
pub(super) const ACCEPT_PATCH: (HeaderName, HeaderValue) =
    (HeaderName::from_static("accept-patch"), HeaderValue::from_static(FRAGMENT));

/// Random characters after the worker's index in a user fragment, 60 bits (RFC 8445 §5.3 asks for 24).
const UFRAG_RANDOM_CHARS: usize = 10;
/// Characters of a password, 144 bits (RFC 8445 §5.3 asks for 128).
const PASSWORD_CHARS: usize = 24;

/// The URLs of the sessions that are served.
#[derive(Debug, Default)]
pub(super) struct Resources {
    by_token: HashMap<String, SessionId>,
    by_session: HashMap<SessionId, Resource>,
}

#[derive(Debug)]
struct Resource {
    token: String,
    stream_name: String,
    direction: Direction,
    worker: WorkerIndex,
    entity_tag: String,
    /// What was agreed; an ICE restart puts the peer's new credentials in.
    description: Description,
    /// Told when the session has ended.
    ended: Vec<flume::Sender<()>>,
    /// The client's.
    _place: PlaceOfAddress,
    /// What it was let in with.
    grant: Grant,
    /// Ends it when its leave does.
    _expiry: Option<Task>,
}

impl Resources {
    /// The session a URL names: token, stream and kind must all fit.
    fn find(&self, direction: Direction, stream: &str, token: &str) -> Option<(SessionId, &Resource)> {
        let session = *self.by_token.get(token)?;
        let resource = self.by_session.get(&session)?;
        (resource.direction == direction && resource.stream_name == stream).then_some((session, resource))
    }

    /// Forgets a session that has ended.
    pub(super) fn remove(&mut self, session: SessionId, reason: EndReason) {
        if let Some(mut resource) = self.by_session.remove(&session) {
            self.by_token.remove(&resource.token);
            resource.grant.ended(reason.name());
            for waiter in resource.ended {
                let _ = waiter.try_send(());
            }
        }
    }
}

/// Whether a stream's name may be used: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`, the characters no URL ever escapes
/// (RFC 3986 §2.3), and not a dot segment.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    if name.len() > limits::STREAM_NAME_BYTES_MAX || !name.bytes().all(unreserved) || name == "." || name == ".." {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad_stream_name",
            format!("a stream's name is 1 to {} of the characters A-Z a-z 0-9 . _ ~ -", limits::STREAM_NAME_BYTES_MAX),
        ));
    }
    Ok(())
}

/// The body as text, where its type is `expected`.
async fn body_of(front: &Front, request: Request, expected: &'static str) -> Result<String, Problem> {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(expected) {
        let (name, value) = if expected == SDP { ACCEPT_POST } else { ACCEPT_PATCH };
        let detail = format!("send the body as Content-Type: {expected}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", detail).with(name, value));
    }
    read_text(request.into_body(), &front.bodies).await.map_err(|error| match error {
        BodyError::TooLong => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_long",
            format!("send at most {} bytes", limits::REQUEST_BODY_BYTES_MAX),
        ),
        BodyError::TooSlow => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            format!("send the whole body within {} s", limits::REQUEST_BODY_TIME_MAX.as_secs()),
        ),
        BodyError::NoRoom => {
            Problem::unavailable("too_many_bodies", "the node reads as many requests as it may: try again later")
        }
        BodyError::NotText => Problem::new(StatusCode::BAD_REQUEST, "body_not_text", "send the body as UTF-8"),
        BodyError::Broken => Problem::new(StatusCode::BAD_REQUEST, "body_broken", "send the body to its end"),
    })
}

/// A session between its admission and its 201: dropped before that (an error, or a client that left), everything is
/// taken back.
struct Opening<'a> {
    front: &'a Front,
    session: SessionId,
    /// The worker that has been asked and has not refused.
    asked: Option<WorkerIndex>,
    served: bool,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if self.served {
            return;
        }
        self.front.directory.borrow_mut().ended(self.session, self.front.now());
        if let Some(worker) = self.asked {
            self.front.close(worker, self.session, EndReason::NeverConnected);
        }
        self.front.directory_changed();
    }
}

/// `POST /whip/{stream}` and `POST /whep/{stream}`.
pub(super) async fn open(
    front: &Rc<Front>,
    direction: Direction,
    stream_name: &str,
    request: Request,
    grant: Grant,
) -> Result<Response, Problem> {
    let client = request.extensions().get::<ClientAddress>().copied();
    let offer = body_of(front, request, SDP).await?;
    let opened = open_offer(front, direction, stream_name, &offer, client, grant).await;
    if let Err(problem) = &opened {
        front.counters.session_refused(problem.code());
    }
    opened
}

async fn open_offer(
    front: &Rc<Front>,
    direction: Direction,
    stream_name: &str,
    offer: &str,
    client: Option<ClientAddress>,
    mut grant: Grant,
) -> Result<Response, Problem> {
    if front.stopping.get() {
        return Err(stopping());
    }
    // The listener puts it into every request.
    let Some(ClientAddress(client)) = client else { return Err(stopping()) };
    // First what costs nothing to refuse. A place that is not used in the end is given back when it is dropped.
    let Some(place) = front.sessions.take(client) else { return Err(too_many_from_address(front.sessions.max())) };
    if !front.joins.take(front.now()) {
        return Err(Problem::unavailable(
            "too_many_joins",
            "the node is asked for more sessions a second than it may open: try again later",
        ));
    }
    // 53 bits, so that the number survives JSON readers that know only doubles.
    let session = SessionId(random::number() >> 11);
    let stream = front
        .directory
        .borrow_mut()
        .admit(session, stream_name, direction, front.now())
        .map_err(|refused| not_admitted(refused, stream_name))?;
    let mut opening = Opening { front, session, asked: None, served: false };
    let (first, second) = placement::choose(session, front.worker_count());
    let cname = random::token();
    let mut handshakes = false;
    for worker in [Some(first), second].into_iter().flatten() {
        let local = local_parameters(front, worker, cname.clone(), stream_name);
        let answer = front.negotiator.answer(offer, direction, &local).map_err(sdp_refused)?;
        let (reply, replied) = flume::bounded(1);
        let message = Control::Open(Box::new(OpenSession {
            session,
            stream,
            stream_name: stream_name.to_owned(),
            local_ice: local.ice,
            description: answer.description.clone(),
            reply,
        }));
        if front.worker(worker).try_send(message).is_err() {
            // Its mailbox is full: it has more to do than it can.
            continue;
        }
        opening.asked = Some(worker);
        match runtime::timeout(limits::WORKER_REPLY_TIME_MAX, replied.recv_async()).await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(refused @ (OpenRefused::Full | OpenRefused::TooManyHandshakes)))) => {
                opening.asked = None;
                handshakes |= refused == OpenRefused::TooManyHandshakes;
                continue;
            }
            Some(Ok(Err(OpenRefused::ShuttingDown)) | Err(_)) => {
                opening.asked = None;
                return Err(stopping());
            }
            None => return Err(Problem::unavailable("worker_silent", "the node is overloaded: try again later")),
        }
        let served = front.directory.borrow_mut().served(session, worker);
        if !served {
            return Err(Problem::unavailable("ended_early", "the session ended while it opened: try again"));
        }
        opening.served = true;
        front.directory_changed();
        grant.started(session.0);
        tracing::info!(
            session = session.0,
            stream = stream_name,
            direction = name_of(direction),
            worker = worker.0,
            client = grant.client(),
            subject = grant.subject(),
            "session opened"
        );
        let resource = Resource {
            token: random::token(),
            stream_name: stream_name.to_owned(),
            direction,
            worker,
            entity_tag: random::entity_tag(),
            description: answer.description,
            ended: Vec::new(),
            _place: place,
            _expiry: grant.expires().map(|at| end_at(front, worker, session, at)),
            grant,
        };
        let response = created(front, &resource, answer.sdp);
        let mut resources = front.resources.borrow_mut();
        resources.by_token.insert(resource.token.clone(), session);
        resources.by_session.insert(session, resource);
        return Ok(response);
    }
    if handshakes {
        return Err(Problem::unavailable(
            "too_many_handshakes",
            "as many sessions as may be are open and not connected yet: try again later",
        ));
    }
    Err(Problem::unavailable("node_full", "the node serves as many sessions as it may: try again later or elsewhere"))
}

/// Ends a session whose leave has run out. The task is kept by what it ends, and must not keep all of it.
fn end_at(front: &Rc<Front>, worker: WorkerIndex, session: SessionId, at: Instant) -> Task {
    let front = Rc::downgrade(front);
    runtime::spawn(async move {
        runtime::Sleep::until(at).await;
        if let Some(front) = front.upgrade() {
            front.close(worker, session, EndReason::LeaveExpired);
        }
    })
}

/// 201 with the answer (RFC 9725 §4.2).
fn created(front: &Front, resource: &Resource, answer: String) -> Response {
    let path = format!("/{}/{}/{}", segment_of(resource.direction), resource.stream_name, resource.token);
    let location = front.public_url.as_deref().unwrap_or_default().to_owned() + &path;
    let mut response = Response::new(Full::new(Bytes::from(answer)));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    insert_text(headers, LOCATION, &location);
    insert_text(headers, ETAG, &resource.entity_tag);
    headers.extend([ACCEPT_POST, ACCEPT_PATCH]);
    for link in &front.ice_links {
        headers.append(LINK, link.clone());
    }
    response
}

/// Inserts text of this node's own making.
fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn local_parameters(front: &Front, worker: WorkerIndex, cname: String, stream_name: &str) -> LocalParameters {
    let port = front.worker(worker).media_port;
    LocalParameters {
        ice: IceCredentials {
            ufrag: placement::ufrag(worker, &random::ice_chars(UFRAG_RANDOM_CHARS)),
            password: random::ice_chars(PASSWORD_CHARS),
        },
        fingerprint_sha256: front.fingerprint_sha256,
        candidates: front.announce.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
        cname,
        stream_name: stream_name.to_owned(),
    }
}

/// `PATCH` of a session: trickled candidates (204) or an ICE restart (200), RFC 9725 §4.3.
pub(super) async fn patch(
    front: &Rc<Front>,
    direction: Direction,
    stream_name: &str,
    token: &str,
    request: Request,
) -> Result<Response, Problem> {
    let known = front.resources.borrow().find(direction, stream_name, token).is_some();
    if !known {
        return Err(no_session());
    }
    let condition = Condition::of(request.headers());
    if condition == Condition::Absent {
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "if_match_missing",
            "send If-Match with the session's ETag to trickle candidates, or If-Match: \"*\" to restart ICE",
        ));
    }
    let body = body_of(front, request, FRAGMENT).await?;
    let fragment = front.negotiator.fragment(&body).map_err(sdp_refused)?;

    // No await from here on: what is checked is what is changed.
    let mut resources = front.resources.borrow_mut();
    let Some((session, resource)) = resources.find(direction, stream_name, token) else { return Err(no_session()) };
    if !condition.holds(&resource.entity_tag) {
        return Err(stale());
    }
    let restart = fragment.ice.filter(|ice| *ice != resource.description.remote_ice);
    let Some(remote_ice) = restart else {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    };
    let local = local_parameters(front, resource.worker, resource.description.cname.clone(), stream_name);
    let text = front.negotiator.restart(&resource.description, &local);
    let message = Control::RestartIce { session, local_ice: local.ice, remote_ice: remote_ice.clone() };
    if front.worker(resource.worker).try_send(message).is_err() {
        return Err(Problem::unavailable("worker_full", "the node is overloaded: try again later"));
    }
    let entity_tag = random::entity_tag();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    insert_text(headers, ETAG, &entity_tag);
    if let Some(resource) = resources.by_session.get_mut(&session) {
        resource.entity_tag = entity_tag;
        resource.description.remote_ice = remote_ice;
    }
    tracing::info!(session = session.0, "ICE restarted");
    Ok(response)
}

/// `DELETE` of a session. Answered when the worker has let go of it, so that the name is free at once for the next.
pub(super) async fn delete(
    front: &Rc<Front>,
    direction: Direction,
    stream_name: &str,
    token: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let condition = Condition::of(headers);
    let (sender, ended) = flume::bounded(1);
    {
        let mut resources = front.resources.borrow_mut();
        let Some((session, resource)) = resources.find(direction, stream_name, token) else {
            return Err(no_session());
        };
        if condition != Condition::Absent && !condition.holds(&resource.entity_tag) {
            return Err(stale());
        }
        front.close(resource.worker, session, EndReason::Left);
        // The URL is gone at once; the session when its worker says so.
        resources.by_token.remove(token);
        if let Some(resource) = resources.by_session.get_mut(&session) {
            resource.ended.push(sender);
        }
    }
    runtime::timeout(limits::SESSION_CLOSE_TIME_MAX, ended.recv_async()).await;
    Ok(Response::default())
}

/// `If-Match` (RFC 9110 §13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Absent,
    /// `*`, or `"*"` as RFC 9725's examples write it.
    Any,
    /// Tags as they came, quotes included; weak ones never match.
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
}

fn stale() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "stale_etag",
        "ICE has been restarted since: use the newest ETag, or If-Match: \"*\" with new credentials to restart again",
    )
}

fn no_session() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_session",
        "the session has ended or never was: POST a new offer to the stream's URL",
    )
}

/// 429 (RFC 6585 §4).
fn too_many_from_address(max: usize) -> Problem {
    let detail = format!(
        "your address has {max} sessions, as many as it may (limits.sessions_per_address_max): DELETE those that are no \
         longer needed; one that was abandoned ends {} s after its last packet. Behind a shared address, try again later",
        limits::SESSION_SILENCE_MAX.as_secs()
    );
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_from_address", detail)
        .with(RETRY_AFTER, limits::RETRY_AFTER.as_secs().into())
}

fn stopping() -> Problem {
    Problem::unavailable("shutting_down", "the node is ending: try again later or elsewhere")
}

fn not_admitted(refused: NotAdmitted, stream_name: &str) -> Problem {
    match refused {
        NotAdmitted::NameTaken => Problem::new(
            StatusCode::CONFLICT,
            "name_taken",
            format!(
                "{stream_name} has a publisher: DELETE its session, wait until it has ended (at most {} s after its \
                 last packet), or choose another name",
                limits::SESSION_SILENCE_MAX.as_secs()
            ),
        ),
        NotAdmitted::TooManyStreams => Problem::unavailable(
            "too_many_streams",
            "as many streams are published as may: end one, or raise limits.streams_max",
        ),
        NotAdmitted::TooManyViewers => Problem::unavailable(
            "too_many_viewers",
            format!("{stream_name} has as many viewers as it may: try again later or elsewhere"),
        ),
        NotAdmitted::TooManyWaiting => Problem::unavailable(
            "too_many_waiting",
            format!("nobody publishes {stream_name} and as many viewers wait as may: try again later"),
        ),
    }
}

fn sdp_refused(refused: Refused) -> Problem {
    let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new(status, refused.code, refused.message)
}

/// The first segment of a session's URL.
const fn segment_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Publish => "whip",
        Direction::Play => "whep",
    }
}

/// As reports call it.
const fn name_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Publish => "publish",
        Direction::Play => "play",
    }
}

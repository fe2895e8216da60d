//! Sessions whatever they are signalled over: opened, restarted and closed here, once, for WHIP, WHEP and sockets alike.
//!
//! What opens one is an offer and an [`Asker`]; what comes back is an answer or a [`Problem`] that each transport words
//! in its own way. Whether the asker may is asked first, before the offer is read and before any place is taken; what it
//! was let in with, the [`Grant`], is kept as long as the session. Who *owns* a session afterwards is the transport's
//! matter: a URL ([`super::resource`]) or a socket ([`super::socket`]); who owns one may change and end it without a token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;

use super::admission::PlaceOfAddress;
use super::directory::NotAdmitted;
use super::front::Front;
use super::negotiator::{LocalParameters, Refused};
use super::problem::Problem;
use super::runtime::Task;
use super::{authorise, random, runtime};
use crate::auth::Grant;
use crate::description::{Description, Direction, IceCredentials};
use crate::dtls::DtlsIdentity;
use crate::transport::Candidate;
use crate::worker::mailbox::{Control, EndReason, OpenRefused, OpenSession, SessionId, Totals, WorkerIndex};
use crate::{limits, placement};

/// Random characters after the worker's index in a user fragment, 60 bits (RFC 8445 §5.3 asks for 24).
const UFRAG_RANDOM_CHARS: usize = 10;
/// Characters of a password, 144 bits (RFC 8445 §5.3 asks for 128).
const PASSWORD_CHARS: usize = 24;

/// Who asks for a session, and how it proves that it may. Not `Debug`: a token is a secret.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    /// Of its connection.
    pub(super) address: IpAddr,
    /// What it showed: a bearer token, whatever it came in.
    pub(super) token: Option<&'a str>,
    /// The origin of the page that asks, as the browser wrote it.
    pub(super) origin: Option<&'a str>,
}

/// A session that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) session: SessionId,
    pub(super) worker: WorkerIndex,
    /// The answer's text.
    pub(super) sdp: String,
}

/// The sessions that are served.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: HashMap<SessionId, Session>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) stream_name: String,
    pub(super) direction: Direction,
    worker: WorkerIndex,
    /// What its DTLS proves itself with.
    identity: DtlsIdentity,
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

impl Sessions {
    /// One of them, while it is served.
    pub(super) fn get(&self, session: SessionId) -> Option<&Session> {
        self.by_id.get(&session)
    }

    /// Forgets a session that has ended.
    pub(super) fn remove(&mut self, session: SessionId, reason: EndReason, totals: Totals) {
        if let Some(mut session) = self.by_id.remove(&session) {
            session.grant.ended(reason.name(), totals);
            for waiter in session.ended {
                let _ = waiter.try_send(());
            }
        }
    }
}

/// Whether a stream's name may be used: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`, the characters no URL ever escapes
/// (RFC 3986 §2.3), and not a dot segment.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    let is_dots = matches!(name, "" | "." | "..");
    if name.len() > limits::STREAM_NAME_BYTES_MAX || !name.bytes().all(unreserved) || is_dots {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "bad_stream_name",
            format!("a stream's name is 1 to {} of the characters A-Z a-z 0-9 . _ ~ -", limits::STREAM_NAME_BYTES_MAX),
        ));
    }
    Ok(())
}

/// A session between its admission and its answer: dropped before that (an error, or a client that left), everything is
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
        self.front.openings.borrow_mut().remove(&self.session);
        self.front.directory.borrow_mut().ended(self.session, self.front.now());
        if let Some(worker) = self.asked {
            self.front.close(worker, self.session, EndReason::NeverConnected);
        }
        self.front.directory_changed();
    }
}

/// Opens a session: authorised, admitted, answered, and taken by one of its two workers. The `offer` is taken from the
/// client only when it may open one; what goes wrong with that is its transport's and not counted here. A session that ended
/// while this waited for the book is an error; after that look nothing is awaited, so that the caller hears of the session
/// before anything told about it.
pub(super) async fn open(
    front: &Rc<Front>,
    asker: Asker<'_>,
    direction: Direction,
    stream_name: &str,
    offer: impl Future<Output = Result<String, Problem>>,
) -> Result<Opened, Problem> {
    let counted = |problem: Problem| {
        front.counters.session_refused(problem.code());
        problem
    };
    check_name(stream_name).map_err(counted)?;
    let grant = authorise::session(front, asker, direction, stream_name).await.map_err(counted)?;
    let offer = offer.await?;
    admit_and_open(front, asker.address, grant, direction, stream_name, &offer).await.map_err(counted)
}

async fn admit_and_open(
    front: &Rc<Front>,
    address: IpAddr,
    mut grant: Grant,
    direction: Direction,
    stream_name: &str,
    offer: &str,
) -> Result<Opened, Problem> {
    if front.stopping.get() {
        return Err(stopping());
    }
    // First what costs nothing to refuse. A place that is not used in the end is given back when it is dropped.
    let Some(place) = front.sessions.take(address) else {
        return Err(too_many_from_address(front.sessions.max()));
    };
    if !front.joins.borrow().take(front.now()) {
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
        let identity = front.identity.borrow().clone();
        let local = local_parameters(front, worker, &identity, cname.clone(), stream_name);
        let answer = front.negotiator.answer(offer, direction, &local).map_err(sdp_refused)?;
        let (reply, replied) = flume::bounded(1);
        let (told, booked) = flume::bounded(1);
        front.openings.borrow_mut().insert(session, told);
        let message = Control::Open(Box::new(OpenSession {
            session,
            stream,
            stream_name: stream_name.to_owned(),
            local_ice: local.ice,
            identity: identity.clone(),
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
        // Who hears of the session finds its stream live, and whoever comes next is counted after it.
        if runtime::timeout(limits::WORKER_REPLY_TIME_MAX, booked.recv_async()).await.is_none() {
            return Err(Problem::unavailable("worker_silent", "the node is overloaded: try again later"));
        }
        if !front.directory.borrow().is_admitted(session) {
            return Err(Problem::unavailable("ended_early", "the session ended while it opened: try again"));
        }
        opening.served = true;
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
        let expiry = grant.expires().map(|at| end_at(front, session, at));
        front.served.borrow_mut().by_id.insert(
            session,
            Session {
                stream_name: stream_name.to_owned(),
                direction,
                worker,
                identity,
                description: answer.description,
                ended: Vec::new(),
                _place: place,
                grant,
                _expiry: expiry,
            },
        );
        return Ok(Opened { session, worker, sdp: answer.sdp });
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
fn end_at(front: &Rc<Front>, session: SessionId, at: Instant) -> Task {
    let front = Rc::downgrade(front);
    runtime::spawn(async move {
        runtime::Sleep::until(at).await;
        if let Some(front) = front.upgrade() {
            end(&front, session, EndReason::LeaveExpired);
        }
    })
}

fn local_parameters(
    front: &Front,
    worker: WorkerIndex,
    identity: &DtlsIdentity,
    cname: String,
    stream_name: &str,
) -> LocalParameters {
    let port = front.worker(worker).media_port;
    LocalParameters {
        ice: IceCredentials {
            ufrag: placement::ufrag(worker, &random::ice_chars(UFRAG_RANDOM_CHARS)),
            password: random::ice_chars(PASSWORD_CHARS),
        },
        fingerprint_sha256: identity.fingerprint_sha256(),
        candidates: Candidate::udp_hosts(&front.announce, port).collect(),
        cname,
        stream_name: stream_name.to_owned(),
    }
}

/// Takes the peer's fragment (RFC 8840 §9): with credentials other than the present ones it restarts ICE, and the
/// fragment that answers it is returned; with none or the same nothing changes.
pub(super) fn restart(front: &Front, session: SessionId, fragment: &str) -> Result<Option<String>, Problem> {
    let fragment = front.negotiator.fragment(fragment).map_err(sdp_refused)?;
    let mut served = front.served.borrow_mut();
    let Some(known) = served.by_id.get_mut(&session) else { return Err(no_session()) };
    let Some(remote_ice) = fragment.ice.filter(|ice| *ice != known.description.remote_ice) else { return Ok(None) };
    let local =
        local_parameters(front, known.worker, &known.identity, known.description.cname.clone(), &known.stream_name);
    let text = front.negotiator.restart(&known.description, &local);
    let message = Control::RestartIce { session, local_ice: local.ice, remote_ice: remote_ice.clone() };
    if front.worker(known.worker).try_send(message).is_err() {
        return Err(Problem::unavailable("worker_full", "the node is overloaded: try again later"));
    }
    known.description.remote_ice = remote_ice;
    tracing::info!(session = session.0, "ICE restarted");
    Ok(Some(text))
}

/// Asks the session's worker to end it.
pub(super) fn end(front: &Front, session: SessionId, reason: EndReason) {
    if let Some(known) = front.served.borrow().get(session) {
        front.close(known.worker, session, reason);
    }
}

/// Ends a session because its client said so, and returns when its worker has let go of it, so that the name is free at
/// once for the next.
pub(super) async fn close(front: &Front, session: SessionId) {
    let (sender, ended) = flume::bounded(1);
    end(front, session, EndReason::Left);
    match front.served.borrow_mut().by_id.get_mut(&session) {
        Some(known) => known.ended.push(sender),
        None => return,
    }
    runtime::timeout(limits::SESSION_CLOSE_TIME_MAX, ended.recv_async()).await;
}

pub(super) fn no_session() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_session",
        "the session has ended or never was: open another with a new offer",
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

/// 503 while the node ends.
pub(super) fn stopping() -> Problem {
    Problem::unavailable("shutting_down", "the node is ending: try again later or elsewhere")
}

fn not_admitted(refused: NotAdmitted, stream_name: &str) -> Problem {
    match refused {
        NotAdmitted::NameTaken => Problem::new(
            StatusCode::CONFLICT,
            "name_taken",
            format!(
                "{stream_name} has a publisher: end its session, wait until it has ended (at most {} s after its \
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

/// As reports call it.
pub(super) const fn name_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Publish => "publish",
        Direction::Play => "play",
    }
}

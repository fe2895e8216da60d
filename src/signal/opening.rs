//! How a session opens. This is the one implementation for WHIP, WHEP and sockets.
//!
//! It takes an offer and an [`Asker`], and returns an answer or a [`Problem`], which each transport sends in its own
//! form. The steps, in this order:
//!
//! 1. **Authorise** ([`super::authorise`]), before the offer is read and before any place is taken. The
//!    [`Grant`] is kept as long as the session.
//! 2. **Pass the [`Door`]**: the limits per client address and the rate.
//! 3. **Admit** to the stream ([`SessionKeeper::admit`]). A publisher that has the name may have to yield first
//!    ([`super::takeover`]). For a publisher, **claim** the name ([`super::ownership`]),
//!    which may take seconds if other nodes have to be asked.
//! 4. **Answer** ([`super::answers`]), and **ask** the session's two workers in turn until one serves it.
//!
//! If this is dropped in the middle, by an error or because the client left, everything is undone. The transport
//! decides who *owns* the session afterwards: a URL ([`super::resource`]) or a socket ([`super::socket`]).

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;

use super::admission::{Door, NotLetIn, PlaceOfAddress};
use super::answers::{Answered, Answers};
use super::authorise::{Asker, Authorisation};
use super::code::Code;
use super::handshake_places::{HandshakePlace, HandshakePlaces};
use super::keeper::{Kept, SessionKeeper};
use super::live::LiveSettings;
use super::ownership::{Claim, Claimant, Claims, NotClaimed};
use super::problem::Problem;
use super::runtime::{self, Task};
use super::sdp::SdpRefused;
use super::sessions::streams::NotAdmitted;
use super::shutdown::Shutdown;
use super::stream_name::StreamName;
use super::takeover::{self, Newcomer, NotFreed};
use super::{clock::Clock, random};
use crate::auth::Grant;
use crate::description::{Description, Direction, MediaKind};
use crate::metrics::SignallingCounters;
use crate::rate::Allowance;
use crate::time::Timestamp;
use crate::wire::codec::Codec;
use crate::worker::mailbox::{Control, EndReason, OpenRefused, OpenSession, SessionId, StreamId, WorkerIndex};
use crate::{limits, placement};

/// Opens sessions.
pub(super) struct Opener {
    pub(super) authorisation: Rc<Authorisation>,
    pub(super) door: Rc<Door>,
    pub(super) handshakes: HandshakePlaces,
    pub(super) claims: Claims,
    pub(super) answers: Answers,
    pub(super) keeper: Rc<SessionKeeper>,
    pub(super) settings: Rc<LiveSettings>,
    pub(super) shutdown: Rc<Shutdown>,
    pub(super) counters: SignallingCounters,
    pub(super) clock: Clock,
}

/// A session that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) session: SessionId,
    pub(super) worker: WorkerIndex,
    /// The answer's text.
    pub(super) sdp: String,
}

/// A session between its admission and its answer.
struct Opening<'a> {
    keeper: &'a SessionKeeper,
    session: SessionId,
    stream: StreamId,
    name: &'a StreamName,
    direction: Direction,
    /// The worker that was asked and has not refused.
    asked: Option<WorkerIndex>,
    is_open: bool,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.is_open {
            self.keeper.given_up(self.session, self.asked);
        }
    }
}

/// Why one worker refuses a session that another one may serve.
enum TryNext {
    Full,
    TooManyHandshakes,
}

impl Opener {
    /// Opens a session. The `offer` is awaited only after authorisation; errors while it is read belong to the
    /// transport and are not counted here. If the session ends while this waits, that is an error. Nothing is awaited
    /// after a worker's answer, so that the caller knows of the session before anyone is told anything about it.
    pub(super) async fn open(
        &self,
        asker: Asker<'_>,
        direction: Direction,
        name: &StreamName,
        offer: impl Future<Output = Result<String, Problem>>,
    ) -> Result<Opened, Problem> {
        let grant = self.authorisation.session(asker, direction, name).await;
        let grant = grant.map_err(|problem| self.counted(problem))?;
        let offer = offer.await?;
        let opened = self.admit_and_open(asker.address, grant, direction, name, &offer).await;
        opened.map_err(|problem| self.counted(problem))
    }

    /// Checks whether a client may follow a stream. Returns when the permission ends, if it does.
    pub(super) async fn follow(&self, asker: Asker<'_>, name: &StreamName) -> Result<Option<Instant>, Problem> {
        let allowed = self.authorisation.follow(asker, name).await;
        let let_in = allowed.and_then(|until| self.door.follow(self.clock.now()).map(|()| until).map_err(not_let_in));
        let_in.map_err(|problem| self.counted(problem))
    }

    /// Counts a refusal.
    pub(super) fn counted(&self, problem: Problem) -> Problem {
        self.counters.session_refused(problem.code().name());
        problem
    }

    async fn admit_and_open(
        &self,
        address: IpAddr,
        grant: Grant,
        direction: Direction,
        name: &StreamName,
        offer: &str,
    ) -> Result<Opened, Problem> {
        if self.shutdown.has_begun() {
            return Err(Problem::shutting_down());
        }
        // Cheap refusals come first. A place that is not used in the end is freed when it is dropped.
        let place = self.door.enter(address, self.clock.now()).map_err(not_let_in)?;
        let handshake = self.handshakes.take(address, grant.credential()).ok_or_else(too_many_handshakes_of_one)?;
        // 53 bits, so that the number survives JSON readers that know only doubles.
        let session = SessionId(random::number() >> 11);
        let admitted = match self.keeper.admit(session, name, direction) {
            Err(NotAdmitted::NameTaken) => {
                let newcomer = Newcomer { grant: &grant, session, name, offer };
                let takeover = self.settings.now().live.takeover;
                match takeover::free_name(&self.keeper, &self.answers, takeover, newcomer).await {
                    Ok(()) => self.keeper.admit(session, name, direction),
                    Err(NotFreed::Taken) => Err(NotAdmitted::NameTaken),
                    Err(NotFreed::Refused(problem)) => return Err(problem),
                }
            }
            admitted => admitted,
        };
        let stream = admitted.map_err(|refused| not_admitted(refused, name))?;
        let keeper = &*self.keeper;
        let mut opening = Opening { keeper, session, stream, name, direction, asked: None, is_open: false };
        let claim = match direction {
            Direction::Publish => {
                // Another node's publisher must not lose its name to an offer that cannot be served.
                let handle = self.keeper.workers().handle(placement::choose(session, self.keeper.workers().count()).0);
                self.answers.answer(offer, direction, handle, &random::token(), name)?;
                Some(self.claim(&grant, session, name).await?)
            }
            Direction::Play => None,
        };
        let (worker, answered) = self.find_worker(&mut opening, offer, grant.may_speak()).await?;
        self.open_on(&mut opening, worker, answered, grant, (place, handshake), claim)
    }

    async fn claim(&self, grant: &Grant, session: SessionId, name: &StreamName) -> Result<Claim, Problem> {
        let claimant = Claimant { session, subject: grant.subject().map(str::to_owned) };
        self.claims.claim(name, claimant).await.map_err(|refused| match refused {
            NotClaimed::Owned(owner) => {
                tracing::debug!(stream = %name, ?owner, "the name is owned");
                not_admitted(NotAdmitted::NameTaken, name)
            }
            NotClaimed::Unavailable(why) => {
                tracing::warn!(stream = %name, %why, "it cannot be found out who owns a stream's name");
                let detail = format!("it cannot be found out whether {name} has a publisher: try again later");
                Problem::unavailable(Code::OwnershipUnavailable, detail)
            }
        })
    }

    /// Asks the session's two workers in turn. Returns the first one that serves it, and the answer made for that
    /// worker.
    async fn find_worker(
        &self,
        opening: &mut Opening<'_>,
        offer: &str,
        may_speak: bool,
    ) -> Result<(WorkerIndex, Answered), Problem> {
        let (first, second) = placement::choose(opening.session, self.keeper.workers().count());
        let cname = random::token();
        let mut handshakes = false;
        for worker in [Some(first), second].into_iter().flatten() {
            let handle = self.keeper.workers().handle(worker);
            let mut answered = self.answers.answer(offer, opening.direction, handle, &cname, opening.name)?;
            if let Some(data) = &mut answered.answer.description.data {
                data.may_speak = may_speak;
            }
            if opening.direction == Direction::Play {
                can_play(opening.name, &self.keeper.published(opening.name), &answered.answer.description)?;
            }
            match self.ask(opening, worker, &answered).await? {
                Ok(()) => return Ok((worker, answered)),
                Err(TryNext::TooManyHandshakes) => handshakes = true,
                Err(TryNext::Full) => {}
            }
        }
        if handshakes {
            return Err(Problem::unavailable(
                Code::TooManyHandshakes,
                "as many sessions as may be are open and not connected yet: try again later",
            ));
        }
        let detail = "the node serves as many sessions as it may: try again later or elsewhere";
        Err(Problem::unavailable(Code::NodeFull, detail))
    }

    /// Asks a worker and waits for its one answer. The answer comes among the worker's notices, in order with those of
    /// other sessions. So whoever is told of the session finds its stream live, and a session that comes later is
    /// counted later.
    async fn ask(
        &self,
        opening: &mut Opening<'_>,
        worker: WorkerIndex,
        answered: &Answered,
    ) -> Result<Result<(), TryNext>, Problem> {
        let answer = self.keeper.asked(opening.session);
        let message = Control::Open(Box::new(OpenSession {
            session: opening.session,
            stream: opening.stream,
            stream_name: opening.name.to_string(),
            local_ice: answered.local_ice.clone(),
            identity: answered.identity.clone(),
            description: answered.answer.description.clone(),
            reply: None,
        }));
        if self.keeper.workers().handle(worker).try_send(message).is_err() {
            // A full mailbox means that the worker is overloaded.
            return Ok(Err(TryNext::Full));
        }
        opening.asked = Some(worker);
        let Some(answer) = runtime::timeout(limits::WORKER_REPLY_TIME_MAX, answer.recv_async()).await else {
            return Err(Problem::unavailable(Code::WorkerSilent, "the node is overloaded: try again later"));
        };
        let refused = match answer {
            Ok(Ok(())) => return Ok(Ok(())),
            Ok(Err(refused)) => refused,
            Err(flume::RecvError::Disconnected) => return Err(ended_early()),
        };
        opening.asked = None;
        match refused {
            OpenRefused::Full => Ok(Err(TryNext::Full)),
            OpenRefused::TooManyHandshakes => Ok(Err(TryNext::TooManyHandshakes)),
            OpenRefused::ShuttingDown => Err(Problem::shutting_down()),
        }
    }

    /// Completes the opening after a worker has agreed to serve the session. Nothing is awaited from here on.
    fn open_on(
        &self,
        opening: &mut Opening<'_>,
        worker: WorkerIndex,
        answered: Answered,
        mut grant: Grant,
        (place, handshake): (PlaceOfAddress, HandshakePlace),
        claim: Option<Claim>,
    ) -> Result<Opened, Problem> {
        let session = opening.session;
        if !self.keeper.is_served(session) {
            return Err(ended_early());
        }
        opening.is_open = true;
        grant.started(session.0);
        tracing::info!(
            session = session.0,
            stream = %opening.name,
            direction = name_of(opening.direction),
            worker = worker.0,
            client = grant.client(),
            subject = grant.subject(),
            "session opened"
        );
        let expiry = grant.expires().map(|at| end_at(&self.keeper, session, at));
        let kept = Kept {
            restarts: Allowance::new(Timestamp::ZERO),
            layer_requests: Allowance::new(Timestamp::ZERO),
            rekeys: Allowance::new(Timestamp::ZERO),
            next: None,
            events: None,
            identity: answered.identity,
            description: answered.answer.description,
            grant,
            _place: place,
            handshake: Some(handshake),
            claim,
            _expiry: expiry,
            waiters: Vec::new(),
        };
        self.keeper.opened(session, kept);
        Ok(Opened { session, worker, sdp: answered.answer.sdp })
    }

    /// Handles the peer's fragment (RFC 8840 §9); see [`SessionKeeper::restart`].
    pub(super) fn restart(&self, session: SessionId, fragment: &str) -> Result<Option<String>, Problem> {
        let remote_ice = self.answers.remote_ice(fragment)?;
        self.keeper.restart(&self.answers, session, remote_ice)
    }
}

/// Ends a session when its permission expires. The session owns this task, so the task holds only a weak reference.
fn end_at(keeper: &Rc<SessionKeeper>, session: SessionId, at: Instant) -> Task {
    let keeper = Rc::downgrade(keeper);
    runtime::spawn(async move {
        runtime::Sleep::until(at).await;
        if let Some(keeper) = keeper.upgrade() {
            keeper.end(session, EndReason::LeaveExpired);
        }
    })
}

/// Checks that a viewer has a payload type for what is published already, of each medium that it asks for. Half a stream
/// would look like a fault of the network. If the publisher comes later, or changes its codec, the worker tells.
pub(super) fn can_play(
    name: &StreamName,
    published: &[(MediaKind, Codec)],
    viewer: &Description,
) -> Result<(), Problem> {
    for media in &viewer.media {
        let of_kind = published.iter().filter(|(kind, _)| *kind == media.kind).map(|(_, codec)| *codec);
        let is_offered = |codec: Codec| media.codecs.iter().any(|offered| offered.codec == codec);
        if of_kind.clone().next().is_some() && !of_kind.clone().any(is_offered) {
            // A picture may have a twin in another codec.
            let codec = of_kind.map(|codec| codec.name()).collect::<Vec<_>>().join(" or ");
            let detail =
                format!("{name} is published in {codec}, and the offer has no payload type of it: offer {codec}");
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, Code::Sdp(SdpRefused::NO_COMMON_CODEC), detail));
        }
    }
    Ok(())
}

fn too_many_handshakes_of_one() -> Problem {
    let detail = "too many sessions of your address, or with your token, are open and not connected yet: connect those, or try \
                  again later";
    Problem::too_many(Code::TooManyHandshakes, detail)
}

fn ended_early() -> Problem {
    Problem::unavailable(Code::EndedEarly, "the session ended while it opened: try again")
}

fn not_let_in(refused: NotLetIn) -> Problem {
    match refused {
        NotLetIn::TooManyFromAddress { max } => {
            let detail = format!(
                "your address has {max} sessions, as many as it may (limits.sessions_per_address_max): DELETE those \
                 that are no longer needed; one that was abandoned ends {} s after its last packet. Behind a shared \
                 address, try again later",
                limits::SESSION_SILENCE_MAX.as_secs()
            );
            Problem::too_many(Code::TooManyFromAddress, detail)
        }
        NotLetIn::MemoryFull => Problem::unavailable(
            Code::MemoryFull,
            "the node's memory is nearly used up (the limit of its control group): try again later, or elsewhere",
        ),
        NotLetIn::TooManyJoins => Problem::unavailable(
            Code::TooManyJoins,
            "the node is asked for more sessions a second than it may open: try again later",
        ),
    }
}

fn not_admitted(refused: NotAdmitted, name: &StreamName) -> Problem {
    match refused {
        NotAdmitted::NameTaken => Problem::new(
            StatusCode::CONFLICT,
            Code::NameTaken,
            format!(
                "{name} has a publisher: end its session, ask again when it has been silent for {} s, or choose another \
                 name (publish.takeover says who may take a name over)",
                limits::PUBLISHER_SILENCE_MAX.as_secs()
            ),
        )
        .with(RETRY_AFTER, limits::PUBLISHER_SILENCE_MAX.as_secs().into()),
        NotAdmitted::TooManyStreams => Problem::unavailable(
            Code::TooManyStreams,
            "as many streams are published as may: end one, or raise limits.streams_max",
        ),
        NotAdmitted::TooManyViewers => Problem::unavailable(
            Code::TooManyViewers,
            format!("{name} has as many viewers as it may: try again later or elsewhere"),
        ),
        NotAdmitted::TooManyWaiting => Problem::unavailable(
            Code::TooManyWaiting,
            format!("nobody publishes {name} and as many viewers wait as may: try again later"),
        ),
    }
}

/// The name of a direction in reports and messages.
pub(super) const fn name_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Publish => "publish",
        Direction::Play => "play",
    }
}

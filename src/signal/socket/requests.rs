//! Handles each message of a client. The requests of one socket are answered in their order, one at a time.

use std::future::ready;
use std::rc::Rc;

use hyper::StatusCode;

use super::service::SocketService;
use crate::config::IceServer;
use crate::description::Direction;
use crate::limits;
use crate::net::clock;
use crate::signal::authorise::Asker;
use crate::signal::code::Code;
use crate::signal::forwarded::Sender;
use crate::signal::layers;
use crate::signal::messages::layers::Layer;
use crate::signal::messages::message::{
    Hello, Id, Offer, Rekey, Request, Restart, SessionName, SocketLimits, Token, Told, TrickledCandidate, Unreadable,
    VERSION,
};
use crate::signal::messages::outbox::{Closing, Outbox};
use crate::signal::opening::name_of;
use crate::signal::problem::Problem;
use crate::signal::random;
use crate::signal::sessions::sockets::SocketId;
use crate::signal::stream_name::StreamName;
use crate::worker::mailbox::SessionId;

/// The client at the other end of a socket.
pub(super) struct Client<'a> {
    pub(super) service: &'a SocketService,
    pub(super) outbox: Rc<Outbox>,
    /// Whether it has sent a good `hello`.
    pub(super) greeted: bool,
    socket: SocketId,
    sender: Sender,
    /// The origin of the page that opened the socket.
    origin: Option<String>,
    /// The name of the node that it came by.
    host: Option<String>,
    /// The token of the handshake or of `hello`.
    token: Option<Token>,
}

impl<'a> Client<'a> {
    /// A client that has not sent anything yet.
    pub(super) fn new(
        service: &'a SocketService,
        socket: SocketId,
        outbox: Rc<Outbox>,
        sender: Sender,
        (origin, host): (Option<String>, Option<String>),
        token: Option<Token>,
    ) -> Self {
        Self { service, outbox, greeted: false, socket, sender, origin, host, token }
    }

    /// Does what a message asks for, and answers it.
    pub(super) async fn handle(&mut self, text: &str) -> Result<(), Closing> {
        let request = match Request::parse(text) {
            Ok(request) => request,
            Err(Unreadable::Malformed) => return Err(Closing::Malformed),
            Err(Unreadable::Refused(id, problem)) => {
                self.service.counters.socket_message("unreadable");
                self.refuse(id, None, &problem);
                return if self.greeted { Ok(()) } else { Err(Closing::NoHello) };
            }
        };
        self.service.counters.socket_message(request.name());
        if !self.greeted && !matches!(request, Request::Hello(_)) {
            let problem = bad_request(Code::HelloMissing, "the first message must be hello");
            self.refuse(None, None, &problem);
            return Err(Closing::NoHello);
        }
        match request {
            Request::Hello(hello) => return self.hello(hello).await,
            Request::Publish(offer) => self.open(Direction::Publish, offer).await,
            Request::Subscribe(offer) => self.open(Direction::Play, offer).await,
            Request::Candidate(candidate) => self.candidate(&candidate),
            Request::Restart(restart) => self.restart(&restart),
            Request::Close(close) => self.close(close.id, close.session).await,
            Request::Follow(named) => self.follow(named.id, &named.stream).await,
            Request::Unfollow(named) => self.unfollow(named.id, &named.stream),
            Request::Layer(layer) => self.layer(&layer).await,
            Request::Rekey(rekey) => self.rekey(&rekey).await,
            Request::Switched(switched) => self.switched(switched.session),
            Request::Ping(ping) => self.tell(&Told::Pong { id: ping.id }),
        }
        Ok(())
    }

    fn tell(&self, told: &Told<'_>) {
        self.outbox.push(told.text());
    }

    fn refuse(&self, id: Option<Id>, session: Option<SessionName>, problem: &Problem) {
        self.tell(&Told::error(id, session, problem));
    }

    /// Tells whether a stream is live.
    fn tell_stream(&self, stream: &StreamName) {
        let live = self.service.keeper.is_live(stream);
        self.tell(&Told::Stream { stream: stream.as_str(), live });
    }

    async fn hello(&mut self, hello: Hello) -> Result<(), Closing> {
        if self.greeted {
            self.refuse(Some(hello.id), None, &bad_request(Code::HelloAgain, "hello is said once, first"));
            return Ok(());
        }
        if hello.version != VERSION {
            let detail = format!("this node speaks version {VERSION}");
            self.refuse(Some(hello.id), None, &bad_request(Code::VersionUnknown, detail));
            return Err(Closing::NoHello);
        }
        let terms = &self.service.terms;
        if hello.resume.len() > terms.sessions_max {
            self.refuse(Some(hello.id), None, &too_many_sessions(terms.sessions_max));
            return Err(Closing::NoHello);
        }
        // If `hello` has no token, that of the handshake counts.
        if hello.token.is_some() {
            self.token = hello.token;
        }
        let judged = self.service.opener.authorisation.token(self.asker(None)).await;
        let (mut resumed, mut gone, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        for resume in &hello.resume {
            let name = resume.session;
            let Some(taken) = self.service.keeper.resume(self.socket, name.0, &resume.secret) else {
                gone.push(name);
                continue;
            };
            resumed.push(name);
            missed.push((name, taken));
        }
        // A session outlives its token, so a client that resumes one with its secret is accepted.
        if resumed.is_empty()
            && let Err(problem) = judged
        {
            self.refuse(Some(hello.id), None, &problem);
            return Err(Closing::NotAuthorised);
        }
        self.greeted = true;
        self.tell(&Told::Welcome {
            id: hello.id,
            version: VERSION,
            node: self.service.node_version,
            grace_s: terms.grace.as_secs(),
            limits: SocketLimits {
                message_bytes: limits::SOCKET_MESSAGE_BYTES_MAX,
                messages_per_second: terms.messages_per_second,
                messages_burst: u64::from(terms.messages_per_second) * limits::SOCKET_MESSAGES_BURST.as_secs(),
                sessions: terms.sessions_max,
                follows: limits::SOCKET_FOLLOWS_MAX,
                idle_s: terms.idle_time.as_secs(),
            },
            resumed,
            gone,
        });
        // What the socket has missed, told as the present state.
        for (session, taken) in missed {
            if taken.connected {
                self.tell(&Told::Connected { session });
            }
            if let Some(stream) = &taken.plays {
                self.tell_stream(stream);
            }
        }
        Ok(())
    }

    async fn open(&self, direction: Direction, offer: Offer) {
        let terms = &self.service.terms;
        if self.service.keeper.sessions_of(self.socket).len() >= terms.sessions_max {
            return self.refuse(Some(offer.id), None, &too_many_sessions(terms.sessions_max));
        }
        let opener = &self.service.opener;
        let name = match StreamName::parse(&offer.stream) {
            Ok(name) => name,
            Err(bad) => return self.refuse(Some(offer.id), None, &opener.counted(bad.into())),
        };
        let (asker, sdp) = (self.asker(offer.token.as_ref()), ready(Ok(offer.sdp)));
        let opened = match opener.open(asker, direction, &name, sdp).await {
            Ok(opened) => opened,
            Err(problem) => return self.refuse(Some(offer.id), None, &problem),
        };
        // Nothing is awaited from here on, so that this socket hears nothing of the session before its answer. The
        // secret has 144 bits.
        let secret = random::token();
        self.service.keeper.given_to_socket(self.socket, opened.session, secret.clone());
        let session = opened.session.into();
        let (sdp, candidates) = match offer.trickle {
            true => split_candidates(&opened.sdp),
            false => (opened.sdp, Vec::new()),
        };
        let ice_servers = self.ice_servers(opened.session);
        self.tell(&Told::Answer {
            id: offer.id,
            session,
            secret: &secret,
            stream: name.as_str(),
            direction: name_of(direction),
            worker: opened.worker.0,
            sdp: &sdp,
            ice_servers: &ice_servers,
        });
        for (mid, candidate) in &candidates {
            self.tell(&Told::Candidate { session, candidate, mid });
        }
        if direction == Direction::Play {
            self.tell_stream(&name);
        }
    }

    /// Who asks. A request's own token takes precedence over the socket's.
    fn asker<'s>(&'s self, token: Option<&'s Token>) -> Asker<'s> {
        let token = token.or(self.token.as_ref()).map(Token::as_str);
        let Sender { address, is_passed_on } = self.sender;
        Asker { address, is_passed_on, token, origin: self.origin.as_deref() }
    }

    /// The session that a client names, if this socket owns it. Any other is treated as if it did not exist.
    fn own(&self, session: SessionName) -> Result<SessionId, Problem> {
        let owns = self.service.keeper.owns(self.socket, session.0);
        owns.then_some(session.0).ok_or_else(Problem::no_session)
    }

    /// Checks the form of a candidate and ignores it, because an ICE-lite node sends no checks (RFC 8445 §2.5). A
    /// malformed one gets an error.
    fn candidate(&self, told: &TrickledCandidate) {
        let fits = told.candidate.len() <= limits::CANDIDATE_BYTES_MAX
            && !told.candidate.chars().any(char::is_control)
            && (told.candidate.is_empty() || told.candidate.starts_with("candidate:"));
        let checked = self.own(told.session).and_then(|_| match fits {
            true => Ok(()),
            false => {
                Err(bad_request(Code::BadCandidate, "send RTCIceCandidate.candidate, or \"\" when there are no more"))
            }
        });
        if let Err(problem) = checked {
            self.refuse(None, Some(told.session), &problem);
        }
    }

    fn restart(&self, told: &Restart) {
        let restarted = self.own(told.session).and_then(|session| {
            self.service.opener.restart(session, &told.fragment)?.ok_or_else(|| {
                bad_request(Code::NotARestart, "send the new a=ice-ufrag and a=ice-pwd that restartIce() made")
            })
        });
        match restarted {
            Ok(fragment) => {
                self.tell(&Told::Restarted { id: told.id, session: told.session, fragment: &fragment });
            }
            Err(problem) => self.refuse(Some(told.id), Some(told.session), &problem),
        }
    }

    /// Closes a session at the client's request. The client gets an answer, and no `ended` event.
    async fn close(&self, id: Id, session: SessionName) {
        match self.own(session) {
            Ok(number) => {
                self.service.keeper.close(number).await;
                self.tell(&Told::Closed { id, session });
            }
            Err(problem) => self.refuse(Some(id), Some(session), &problem),
        }
    }

    /// Asks for another encoding of the picture. What is sent then is told by `layers`.
    async fn layer(&self, layer: &Layer) {
        let chosen = match self.own(layer.session) {
            Ok(session) => layers::choose(&self.service.keeper, session, layer.request()).await,
            Err(problem) => Err(problem),
        };
        match chosen {
            Ok(()) => self.tell(&Told::Chosen { id: layer.id, session: layer.session }),
            Err(problem) => self.refuse(Some(layer.id), Some(layer.session), &problem),
        }
    }

    /// Gives a session a second transport, because its keys are to change.
    async fn rekey(&self, told: &Rekey) {
        let opened = match self.own(told.session) {
            Ok(session) => self.service.opener.rekey(session, &told.sdp).await,
            Err(problem) => Err(problem),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(problem) => return self.refuse(Some(told.id), Some(told.session), &problem),
        };
        let ice_servers = self.ice_servers(opened.session);
        self.tell(&Told::SecondAnswer {
            id: told.id,
            session: told.session,
            sdp: &opened.sdp,
            ice_servers: &ice_servers,
        });
    }

    fn switched(&self, session: SessionName) {
        if let Err(problem) = self.own(session).and_then(|number| self.service.keeper.switched(number)) {
            self.refuse(None, Some(session), &problem);
        }
    }

    /// The servers that a session's client may use: the node's own comes first.
    fn ice_servers(&self, session: SessionId) -> Vec<IceServer> {
        let served = self.service.settings.now();
        let own = self.service.turn.as_ref();
        let own = own.and_then(|turn| turn.told(session, self.host.as_deref(), &served.live));
        own.into_iter().chain(served.live.ice_servers.iter().cloned()).collect()
    }

    async fn follow(&self, id: Id, stream: &str) {
        let stream = match named(stream) {
            Ok(stream) => stream,
            Err(problem) => return self.refuse(Some(id), None, &problem),
        };
        let until = match self.service.opener.follow(self.asker(None), &stream).await {
            Ok(expires) => expires.map(|at| self.service.clock.now() + at.saturating_duration_since(clock::now())),
            Err(problem) => return self.refuse(Some(id), None, &problem),
        };
        if !self.service.keeper.follow(self.socket, &stream, until) {
            let max = limits::SOCKET_FOLLOWS_MAX;
            let detail = format!("this socket follows {max} streams, as many as it may: unfollow some");
            return self.refuse(Some(id), None, &Problem::too_many(Code::TooManyFollows, detail));
        }
        self.tell(&Told::Following { id, stream: stream.as_str() });
        self.tell_stream(&stream);
    }

    fn unfollow(&self, id: Id, stream: &str) {
        let stream = match named(stream) {
            Ok(stream) => stream,
            Err(problem) => return self.refuse(Some(id), None, &problem),
        };
        self.service.keeper.unfollow(self.socket, &stream);
        self.tell(&Told::Unfollowed { id: Some(id), stream: stream.as_str() });
    }
}

fn named(stream: &str) -> Result<StreamName, Problem> {
    StreamName::parse(stream).map_err(Problem::from)
}

fn bad_request(code: Code, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, detail)
}

fn too_many_sessions(max: usize) -> Problem {
    let detail = format!("this socket has {max} sessions, as many as it may: close some, or open another socket");
    Problem::too_many(Code::TooManyOnSocket, detail)
}

/// Splits an answer into the SDP without candidates, and the candidates in the form of `RTCIceCandidate`, each with its
/// section's mid. An empty candidate comes last (RFC 8838 §14: end of candidates).
fn split_candidates(answer: &str) -> (String, Vec<(String, String)>) {
    let mids = |section: &str| section.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or("").to_owned();
    let (mut sdp, mut candidates, mut mid) = (String::with_capacity(answer.len()), Vec::new(), String::new());
    let mut rest = answer;
    while !rest.is_empty() {
        let line_end = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(line_end);
        if line.starts_with("m=") {
            let section_end = after.find("\nm=").map_or(after.len(), |at| at + 1);
            mid = mids(&after[..section_end]);
        }
        match line.trim_end().strip_prefix("a=") {
            Some(candidate) if candidate.starts_with("candidate:") => {
                candidates.push((mid.clone(), candidate.to_owned()));
            }
            Some("end-of-candidates") => {}
            _ => sdp.push_str(line),
        }
        rest = after;
    }
    let last = candidates.last().map_or_else(|| mids(answer), |(mid, _)| mid.clone());
    candidates.push((last, String::new()));
    (sdp, candidates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_taken_out_of_an_answer_with_the_section_they_are_of() {
        let answer = "v=0\r\nm=audio 9 a\r\na=candidate:1 1 udp\r\na=mid:0\r\na=end-of-candidates\r\na=rtcp-mux\r\n\
            m=video 9 b\r\na=mid:1\r\na=candidate:2 1 udp\r\n";
        let (sdp, candidates) = split_candidates(answer);
        assert_eq!(sdp, "v=0\r\nm=audio 9 a\r\na=mid:0\r\na=rtcp-mux\r\nm=video 9 b\r\na=mid:1\r\n");
        let expected = [("0", "candidate:1 1 udp"), ("1", "candidate:2 1 udp"), ("1", "")];
        assert_eq!(candidates, expected.map(|(mid, candidate)| (mid.to_owned(), candidate.to_owned())));
        assert_eq!(split_candidates("v=0\r\nm=audio 9 a\r\na=mid:x\r\n").1, [("x".to_owned(), String::new())]);
    }
}

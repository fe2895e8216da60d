//! The operator's own endpoint, asked before a session opens and told when it starts and ends.
//!
//! # Asked
//!
//! `POST` with `Content-Type: application/json`:
//!
//! ```json
//! {"event": "authorise", "request": "5f0c…", "action": "play", "stream": "demo", "address": "203.0.113.9",
//!  "origin": "https://www.example.org", "subject": "alice", "token": null}
//! ```
//!
//! The same `request` is sent again when the session starts and ends. If this node has keys, it has judged the token:
//! `subject` is the token's `sub`, and `token` is null. If it has none, `token` is what the client showed, for the
//! endpoint to judge.
//!
//! The answer is `200` with `Content-Type: application/json` and one of
//!
//! ```json
//! {"allow": true}
//! {"allow": true, "expires_in_s": 3600, "viewers_max": 5}
//! {"allow": false, "reason": "not subscribed"}
//! ```
//!
//! `expires_in_s` ends the session after that time. `viewers_max` bounds how many sessions play at once with this token
//! (or, without a token, from this address). `Cache-Control: max-age=60` makes the answer valid for a minute, for the
//! same token (without one: the same address), action, stream and origin.
//!
//! Everything else counts as no answer: another status, a redirect, no JSON, too much of it, an unknown or
//! contradictory field, nothing in time. No answer is a refusal: 503 `authorisation_unavailable`. An unknown field is
//! refused because it may be a limit that the operator meant. A connection that fails is tried once more. After
//! [`limits::WEBHOOK_FAILURES_MAX`] failures in a row the endpoint is left alone for [`limits::WEBHOOK_PAUSE`]; then a
//! single question tries it.
//!
//! Questions wait in one line for each client address, and the lines take turns ([`queue`]).
//!
//! # Told
//!
//! ```json
//! {"event": "started", "request": "5f0c…", "action": "play", "stream": "demo", "subject": "alice", "session": 123}
//! {"event": "ended", "request": "5f0c…", "action": "play", "stream": "demo", "subject": "alice", "session": 123,
//!  "reason": "left", "duration_ms": 61000,
//!  "received": {"packets": 132, "bytes": 9504}, "sent": {"packets": 15932, "bytes": 18801364}}
//! ```
//!
//! One thread sends these in order, and nobody waits for them ([`events`]). Each is sent once, and again if the connection breaks
//! before its answer is there: then the endpoint may have read it, so `session` and `event` together tell a repeated one. `received` and `sent` count RTP
//! and RTCP from and to the client, without headers of UDP and IP; they are null for a session that ended with its
//! worker. A node that ends does not wait until its last events are sent.
//!
//! Left out: a signature of the questions. The endpoint can recognise this node by an unguessable path, which is not
//! logged.

mod answers;
pub(super) mod events;
mod queue;
#[cfg(feature = "simulation")]
pub mod simulated;

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::client;
use super::secret::Secret;
use crate::limits;
use crate::net::clock;
use answers::{AnswerCache, parse};
use queue::Waiting;

pub(super) use answers::Verdict;
pub(super) use events::Events;

/// A question in the queue, with the channel for its answer.
#[derive(Debug)]
struct QueuedQuestion {
    body: Vec<u8>,
    deadline: Instant,
    reply: flume::Sender<Result<TimedVerdict, NoAnswer>>,
}

/// A verdict and how long it may be remembered.
#[derive(Debug)]
struct TimedVerdict {
    verdict: Verdict,
    remembered_until: Option<Instant>,
}

/// There is no acceptable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoAnswer;

/// One question, as it is sent.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Question<'a> {
    pub(super) event: &'static str,
    pub(super) request: &'a str,
    pub(super) action: &'static str,
    pub(super) stream: &'a str,
    pub(super) address: &'a str,
    pub(super) origin: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
    pub(super) token: Option<&'a str>,
}

/// The webhook as signalling uses it.
#[derive(Debug)]
pub(super) struct Webhook {
    questions: Arc<Waiting<QueuedQuestion>>,
    answers: RefCell<AnswerCache>,
    breaker: Arc<Breaker>,
    time_max: Duration,
}

impl Webhook {
    /// Starts the threads that send questions. They end when this is dropped.
    pub(super) fn start(url: &Secret, time_max: Duration, agent: &ureq::Agent) -> io::Result<Self> {
        let questions = Arc::<Waiting<_>>::default();
        let breaker = Arc::new(Breaker::default());
        for index in 0..limits::WEBHOOK_IN_FLIGHT_MAX {
            let asker = QuestionThread { url: url.clone(), agent: agent.clone(), breaker: breaker.clone(), time_max };
            let asked = questions.clone();
            thread::Builder::new()
                .name(format!("auth-hook-{index}"))
                .stack_size(512 * 1024)
                .spawn(move || asker.run(&asked))?;
        }
        Ok(Self { questions, answers: RefCell::default(), breaker, time_max })
    }

    /// How many questions were not asked, because too many waited.
    pub(super) fn turned_away(&self) -> u64 {
        self.questions.turned_away()
    }

    /// Asks the endpoint, or returns its remembered answer for the same `key`. The question waits in the line of `client`.
    pub(super) async fn ask(&self, question: &Question<'_>, client: IpAddr, key: u64) -> Result<Verdict, NoAnswer> {
        let now = clock::now();
        if let Some(verdict) = self.answers.borrow().get(key, now) {
            return Ok(verdict);
        }
        // Text, numbers and null are always JSON.
        let body = serde_json::to_vec(question).unwrap_or_default();
        if !self.breaker.admit(now) {
            return Err(NoAnswer);
        }
        let (reply, answered) = flume::bounded(1);
        // What has to go for this question, or this question itself, is dropped, and so is its channel.
        drop(self.questions.push(client, QueuedQuestion { body, deadline: now + self.time_max, reply }));
        // The thread answers within the deadline. If the question had no place, or the thread is gone, this is an error at once.
        let answered = answered.recv_async().await.map_err(|_| {
            self.breaker.gave_up();
            NoAnswer
        })??;
        if let Some(until) = answered.remembered_until {
            self.answers.borrow_mut().put(key, answered.verdict.clone(), until, clock::now());
        }
        Ok(answered.verdict)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.questions.close();
    }
}

/// One of the threads that send questions.
struct QuestionThread {
    url: Secret,
    agent: ureq::Agent,
    breaker: Arc<Breaker>,
    time_max: Duration,
}

impl QuestionThread {
    fn run(&self, questions: &Waiting<QueuedQuestion>) {
        while let Some((client, asked)) = questions.next() {
            let left = asked.deadline.saturating_duration_since(clock::now());
            let answer = self.ask(&asked);
            self.settle(questions, client, &asked, left, answer);
        }
    }

    /// Asks the endpoint. It blocks until the question's deadline at most.
    fn ask(&self, asked: &QueuedQuestion) -> Result<TimedVerdict, String> {
        post(&self.agent, &self.url, &asked.body, asked.deadline).and_then(|mut answer| parse(&mut answer))
    }

    /// Tells the asker, and the breaker, what came of a question that had so much time `left` when it was asked.
    fn settle(
        &self,
        questions: &Waiting<QueuedQuestion>,
        client: IpAddr,
        asked: &QueuedQuestion,
        left: Duration,
        answer: Result<TimedVerdict, String>,
    ) {
        let result = match answer {
            Ok(answered) => {
                self.breaker.succeeded();
                Ok(answered)
            }
            // The question spent over half of its time in the queue. That the rest was too short is not the
            // endpoint's fault.
            Err(_) if left < self.time_max / 2 => {
                self.breaker.gave_up();
                Err(NoAnswer)
            }
            Err(cause) => {
                if self.breaker.failed(clock::now()) {
                    let pause_s = limits::WEBHOOK_PAUSE.as_secs();
                    tracing::warn!(cause, pause_s, "the webhook gives no answers: everybody is refused meanwhile");
                } else {
                    tracing::debug!(cause, "the webhook gave no answer");
                }
                Err(NoAnswer)
            }
        };
        questions.answered(client);
        let _ = asked.reply.try_send(result);
    }
}

/// Sends one `POST`, and repeats it once if the connection fails. It returns by `deadline`.
fn post(
    agent: &ureq::Agent,
    url: &Secret,
    body: &[u8],
    deadline: Instant,
) -> Result<ureq::http::Response<ureq::Body>, String> {
    let mut tried = false;
    loop {
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Err("no answer in time".to_owned());
        }
        let request = agent.post(url.expose()).content_type("application/json");
        match request.config().timeout_global(Some(clock::patience(left))).build().send(body) {
            Ok(answer) => return Ok(answer),
            Err(error) if !tried && client::is_connection_failure(&error) => tried = true,
            Err(error) => return Err(client::words(&error)),
        }
    }
}

/// A circuit breaker: after several failures in a row the endpoint is not asked for a while.
#[derive(Debug, Default)]
struct Breaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    failures: u32,
    /// No question is asked until this time; after it, a single one tries the endpoint.
    closed_until: Option<Instant>,
    is_tried: bool,
}

impl Breaker {
    fn lock(&self) -> MutexGuard<'_, BreakerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a question may be asked. If it may, the caller must call one of the three methods below afterwards.
    fn admit(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let Some(until) = state.closed_until else { return true };
        if now < until || state.is_tried {
            return false;
        }
        state.is_tried = true;
        true
    }

    fn succeeded(&self) {
        *self.lock() = BreakerState::default();
    }

    /// Counts a failure. Returns `true` if it stops further questions.
    fn failed(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        state.is_tried = false;
        let was_open = state.closed_until.is_none();
        let closes = state.failures >= limits::WEBHOOK_FAILURES_MAX;
        if closes {
            state.closed_until = Some(now + limits::WEBHOOK_PAUSE);
        }
        closes && was_open
    }

    /// The question was not asked, or its outcome says nothing about the endpoint.
    fn gave_up(&self) {
        self.lock().is_tried = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_endpoint_is_paused_and_then_tried_by_one_question() {
        let breaker = Breaker::default();
        let start = Instant::now();
        for failure in 1..limits::WEBHOOK_FAILURES_MAX {
            assert!(breaker.admit(start) && !breaker.failed(start), "{failure}");
        }
        assert!(breaker.admit(start) && breaker.failed(start), "told once");
        assert!(!breaker.admit(start));
        let after = start + limits::WEBHOOK_PAUSE;
        assert!(breaker.admit(after) && !breaker.admit(after), "one tries it");
        assert!(!breaker.failed(after), "not told again");
        assert!(!breaker.admit(after));
        let again = after + limits::WEBHOOK_PAUSE;
        assert!(breaker.admit(again));
        breaker.gave_up();
        assert!(breaker.admit(again), "a try that never was is not one");
        breaker.succeeded();
        assert!(breaker.admit(again) && breaker.admit(again));
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let breaker = Breaker::default();
        let now = Instant::now();
        for _ in 0..limits::WEBHOOK_FAILURES_MAX * 3 {
            assert!(breaker.admit(now) && !breaker.failed(now));
            breaker.succeeded();
        }
    }

    #[test]
    fn questions_that_waited_too_long_do_not_count_as_endpoint_failures() {
        let time_max = Duration::from_secs(10);
        let breaker = Arc::new(Breaker::default());
        let ask = |left: Duration| {
            // Nobody listens there.
            let url = Secret::new("http://127.0.0.1:1/");
            let agent = client::agent(None, false).unwrap();
            let asker = QuestionThread { url, agent, breaker: breaker.clone(), time_max };
            let questions = Waiting::default();
            let (reply, _answered) = flume::unbounded();
            for _ in 0..limits::WEBHOOK_FAILURES_MAX {
                assert!(breaker.admit(Instant::now()));
                let deadline = Instant::now() + left;
                let question = QueuedQuestion { body: Vec::new(), deadline, reply: reply.clone() };
                assert!(questions.push(IpAddr::from([192, 0, 2, 1]), question).is_none());
            }
            questions.close();
            asker.run(&questions);
        };
        ask(Duration::from_secs(1));
        assert!(breaker.admit(Instant::now()), "the crowd's questions blame nobody");
        ask(time_max);
        assert!(!breaker.admit(Instant::now()), "those that had their time do");
    }
}

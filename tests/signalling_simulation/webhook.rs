//! The operator's endpoint in memory, behind the node's own HTTP client. It allows who comes with a good token, refuses who
//! comes with a bad one, and writes down what it is told. Until faults stop it may be refused, reset, silent, slow, broken.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corecast::limits;
use corecast::net::clock::simulated as clock;
use corecast::signal::runtime::simulated;
use corecast::signal::runtime::simulated::random;
use serde_json::Value;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
use ureq::{Error, Timeout};

use crate::scenario::{Sabotage, Scenario};
use crate::world::{chance, millis};

/// What the endpoint knows.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) asked: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Sessions that have started, and those that have ended.
    pub(crate) started: BTreeSet<u64>,
    pub(crate) ended: BTreeSet<u64>,
    /// Of those, what it has not answered to the end: it may be told again.
    unanswered: BTreeSet<u64>,
    /// What it was told that cannot be.
    pub(crate) wrong: Option<String>,
}

/// The endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    book: Arc<Mutex<Book>>,
    storm: Duration,
    faults: f64,
    is_silent: bool,
}

impl Endpoint {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            book: Arc::default(),
            // A question that gets no answer is over when faults have stopped.
            storm: scenario.storm.saturating_sub(limits::WEBHOOK_TIME_DEFAULT),
            faults: scenario.webhook_faults,
            is_silent: scenario.sabotage == Some(Sabotage::SilentWebhook),
        }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client that reaches it.
    pub(crate) fn agent(&self, config: Config) -> ureq::Agent {
        ureq::Agent::with_parts(config, self.clone(), Itself)
    }

    /// What goes wrong this time.
    fn fault(&self) -> Option<&'static str> {
        let is_storm = simulated::elapsed() < self.storm;
        if self.is_silent {
            return Some("silent");
        }
        if !is_storm || !chance(self.faults) {
            return None;
        }
        const KINDS: [&str; 9] =
            ["refused", "reset", "silent", "slow", "500", "429", "not json", "cut", "an unknown field"];
        let kind = KINDS[random::below(KINDS.len())];
        *self.book().faults.entry(kind).or_default() += 1;
        Some(kind)
    }

    /// The answer to a question or an event.
    fn answer(&self, body: &[u8], is_cut: bool) -> (u16, String) {
        let Ok(message) = serde_json::from_slice::<Value>(body) else { return (400, String::new()) };
        let mut book = self.book();
        let session = message["session"].as_u64().unwrap_or_default();
        if is_cut {
            book.unanswered.insert(session);
        }
        match message["event"].as_str() {
            Some("authorise") => {
                book.asked += 1;
                match message["token"].as_str() {
                    Some(token) if token.starts_with("good-") => (200, r#"{"allow": true}"#.to_owned()),
                    Some(_) => (403, String::new()),
                    None => (200, r#"{"allow": false, "reason": "no token"}"#.to_owned()),
                }
            }
            Some("started") => {
                if !book.started.insert(session) && !book.unanswered.contains(&session) {
                    book.wrong = Some(format!("session {session} has started twice"));
                }
                (204, String::new())
            }
            Some("ended") => {
                if !book.ended.insert(session) && !book.unanswered.contains(&session) {
                    book.wrong = Some(format!("session {session} has ended twice"));
                }
                (204, String::new())
            }
            _ => (400, String::new()),
        }
    }
}

impl Connector for Endpoint {
    type Out = Connection;

    fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Connection>, Error> {
        let fault = self.fault();
        let waited = clock::wait(millis(1, 10));
        match fault {
            Some("refused") => Err(Error::Io(io::ErrorKind::ConnectionRefused.into())),
            _ if !waited => Err(Error::Timeout(Timeout::Global)),
            _ => Ok(Some(Connection {
                endpoint: self.clone(),
                fault,
                buffers: LazyBuffers::new(32 * 1024, 32 * 1024),
                request: Vec::new(),
                answer: None,
            })),
        }
    }
}

/// One exchange. It is not kept for the next.
#[derive(Debug)]
pub(crate) struct Connection {
    endpoint: Endpoint,
    fault: Option<&'static str>,
    buffers: LazyBuffers,
    request: Vec<u8>,
    /// What is left of the answer.
    answer: Option<Vec<u8>>,
}

impl Connection {
    fn make_answer(&self) -> Vec<u8> {
        let head = self.request.windows(4).position(|four| four == b"\r\n\r\n").map_or(self.request.len(), |at| at + 4);
        let (mut status, mut body) = match self.fault {
            Some("500") => (500, String::new()),
            Some("429") => (429, String::new()),
            // It has read the question, and may have written down the event.
            _ => self.endpoint.answer(&self.request[head..], self.fault == Some("cut")),
        };
        match self.fault {
            Some("not json") => (status, body) = (200, "<html>".to_owned()),
            Some("an unknown field") => (status, body) = (200, r#"{"allow": true, "quota": 3}"#.to_owned()),
            _ => {}
        }
        let len = body.len();
        let mut answer = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{body}"
        );
        if self.fault == Some("cut") {
            answer.truncate(random::below(answer.len()));
        }
        answer.into_bytes()
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.request.extend_from_slice(&self.buffers.output()[..amount]);
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        if self.answer.is_none() {
            let time = match self.fault {
                Some("silent") => Duration::from_secs(3_600),
                Some("slow") => millis(100, 1_900),
                _ => millis(1, 30),
            };
            if !clock::wait(time) {
                return Err(Error::Timeout(Timeout::Global));
            }
            if self.fault == Some("reset") {
                return Err(Error::Io(io::ErrorKind::ConnectionReset.into()));
            }
            self.answer = Some(self.make_answer());
        }
        let Some(answer) = &mut self.answer else { return Ok(false) };
        let room = self.buffers.input_append_buf();
        let len = room.len().min(answer.len());
        room[..len].copy_from_slice(&answer[..len]);
        answer.drain(..len);
        self.buffers.input_appended(len);
        Ok(len > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

/// Knows one address, which nobody looks at.
#[derive(Debug)]
struct Itself;

impl Resolver for Itself {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut found = self.empty();
        found.push(([192, 0, 2, 80], 80).into());
        Ok(found)
    }
}

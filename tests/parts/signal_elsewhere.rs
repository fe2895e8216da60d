//! Sessions of other nodes: two nodes on loopback, joined by mailboxes instead of a cluster.

use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use corecast::signal::elsewhere::{Elsewhere, FromElsewhere, NotAsked};
use corecast::signal::ownership::{Book, Claimant, Epoch, Located, NotClaimed, NotReleased, Ownership, Unavailable};
use corecast::signal::runtime;
use corecast::signal::stream_name::StreamName;
use futures_util::future::{FutureExt as _, LocalBoxFuture};

use crate::signal_support::{Node, Plan, start};

const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

type Question = (hyper::Request<Bytes>, flume::Sender<hyper::Response<Bytes>>);

/// The other nodes, as one of them knows them.
struct Joined {
    here: &'static str,
    mailboxes: HashMap<&'static str, flume::Sender<Question>>,
    own: flume::Receiver<Question>,
    /// Whom it has asked, and for what.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Elsewhere for Joined {
    fn here(&self) -> &str {
        self.here
    }

    fn ask<'a>(
        &'a self,
        node: &'a str,
        request: hyper::Request<Bytes>,
        _: Duration,
    ) -> LocalBoxFuture<'a, Result<hyper::Response<Bytes>, NotAsked>> {
        self.asked.lock().unwrap().push(format!("{node}: {} {}", request.method(), request.uri()));
        async move {
            if node == "silent" {
                return Err(NotAsked::Silent("a test".into()));
            }
            let mailbox = self.mailboxes.get(node).ok_or(NotAsked::Unknown)?;
            let (answer, answered) = flume::bounded(1);
            mailbox.send((request, answer)).unwrap();
            Ok(answered.recv_async().await.unwrap())
        }
        .boxed_local()
    }

    fn serve(&self, answers: Weak<dyn FromElsewhere>) {
        let own = self.own.clone();
        let serving = async move {
            while let Ok((request, answer)) = own.recv_async().await {
                let Some(answers) = answers.upgrade() else { return };
                let _ = answer.send(answers.answer(request).await);
            }
        };
        runtime::spawn(serving).detach();
    }
}

struct Names {
    book: Book,
    joined: Rc<Joined>,
}

impl Ownership for Names {
    fn claim<'a>(
        &'a self,
        name: &'a StreamName,
        claimant: &'a Claimant,
    ) -> LocalBoxFuture<'a, Result<Epoch, NotClaimed>> {
        self.book.claim(name, claimant)
    }

    fn locate<'a>(&'a self, name: &'a StreamName) -> LocalBoxFuture<'a, Result<Option<Located>, Unavailable>> {
        self.book.locate(name)
    }

    fn release<'a>(&'a self, name: &'a StreamName, epoch: Epoch) -> LocalBoxFuture<'a, Result<(), NotReleased>> {
        self.book.release(name, epoch)
    }

    fn elsewhere(&self) -> Option<Rc<dyn Elsewhere>> {
        Some(self.joined.clone())
    }
}

/// Two nodes, `a` and `b`, and what `b` has asked others.
fn joined() -> (Node, Node, Arc<Mutex<Vec<String>>>) {
    let (to_a, of_a) = flume::unbounded();
    let (to_b, of_b) = flume::unbounded();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let node = |here, own: flume::Receiver<Question>, asked: Arc<Mutex<Vec<String>>>| {
        let mailboxes = HashMap::from([("a", to_a.clone()), ("b", to_b.clone())]);
        let ownership = move || -> Rc<dyn Ownership> {
            Rc::new(Names { book: Book::default(), joined: Rc::new(Joined { here, mailboxes, own, asked }) })
        };
        let cors_origins = vec!["https://www.example.org".to_owned()];
        start(Plan { ownership: Box::new(ownership), cors_origins, ..Plan::default() })
    };
    (node("a", of_a, Arc::default()), node("b", of_b, asked.clone()), asked)
}

#[test]
fn a_session_is_changed_and_ended_at_a_node_that_does_not_have_it() {
    let (a, b, asked) = joined();
    let opened = a.open("whip", "s");
    assert!(opened.location.starts_with("/whip/s/a~"), "{}", opened.location);
    // Credentials, as the tests' negotiator writes them.
    let restarted = b.patch(&opened.location, "*", "newufrag/newpasswordnewpassword");
    assert_eq!((restarted.status, restarted.body.starts_with("new ")), (200, true), "{}", restarted.body);
    assert_eq!(b.patch(&opened.location, &opened.etag, "candidate").code(), "stale_etag");
    assert_eq!(a.patch(&opened.location, &restarted.header("etag"), "candidate").status, 204);
    assert_eq!(b.patch(&opened.location, &restarted.header("etag"), "candidate").status, 204);
    assert_eq!(b.ask("DELETE", &opened.location, &[], "").status, 200);
    a.wait_told("close");
    let path = &opened.location;
    let expected = [
        format!("a: PATCH {path}"),
        format!("a: PATCH {path}"),
        format!("a: PATCH {path}"),
        format!("a: DELETE {path}"),
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[test]
fn what_is_below_a_session_is_too_and_its_urls_name_its_node() {
    let (a, b, _) = joined();
    let _publisher = a.open("whip", "s");
    let viewer = a.open("whep", "s");
    let events = format!("{}/events", viewer.location);
    let wanted = b.ask("POST", &events, &[("content-type", "application/json")], "[\"layers\"]");
    assert_eq!((wanted.status, wanted.header("location")), (201, events.clone()), "{}", wanted.body);
    assert_eq!(b.ask("DELETE", &events, &[], "").status, 200);
    let ended = b.ask("DELETE", &format!("{}/old", viewer.location), &[], "");
    assert_eq!((ended.status, ended.code().as_str()), (404, "no_second_transport"));
}

#[test]
fn a_session_that_nobody_has_is_unknown_at_every_node_and_a_node_that_is_silent_is_named() {
    let (a, b, asked) = joined();
    let location = a.open("whip", "s").location;
    let token = location.strip_prefix("/whip/s/a~").unwrap();
    for wrong in ["b~TOKEN", "c~TOKEN", "~TOKEN", "TOKEN", "a~a~TOKEN", "a~b~TOKEN", "a~other"] {
        let path = format!("/whip/s/{}", wrong.replace("TOKEN", token));
        let answer = b.ask("DELETE", &path, &[], "");
        assert_eq!((answer.status, answer.code().as_str()), (404, "no_such_session"), "{path}");
    }
    let answer = b.ask("DELETE", &format!("/whip/s/silent~{token}"), &[], "");
    assert_eq!((answer.status, answer.code().as_str()), (503, "node_silent"));
    assert!(answer.body.contains("silent") && !answer.header("retry-after").is_empty(), "{}", answer.body);
    // What is no session's is never asked for elsewhere.
    asked.lock().unwrap().clear();
    for path in ["/", "/whip/a~b", "/watch/a~b", "/whip/s/a~b/else", "/whep/../a~b", "/a~b/whip/s"] {
        b.ask("GET", path, &[], "");
    }
    assert_eq!(b.ask("OPTIONS", &location, &[], "").status, 204);
    assert_eq!(*asked.lock().unwrap(), [""; 0]);
    // And at its own node it is there by its token alone, too.
    assert_eq!(a.ask("DELETE", &format!("/whip/s/{token}"), &[], "").status, 200);
}

#[test]
fn which_page_may_call_is_judged_where_it_calls() {
    let (a, b, asked) = joined();
    let location = a.open("whip", "s").location;
    let foreign = b.ask("DELETE", &location, &[("origin", "https://evil.example")], "");
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "origin_not_allowed"));
    assert!(asked.lock().unwrap().is_empty());
    let page = ("origin", "https://www.example.org");
    let listed = b.ask("PATCH", &location, &[page, FRAGMENT, ("if-match", "*")], "newufrag/newpasswordnewpassword");
    assert_eq!(
        (listed.status, listed.header("access-control-allow-origin").as_str()),
        (200, "https://www.example.org")
    );
    assert!(listed.header("vary") == "Origin" && listed.header("x-content-type-options") == "nosniff");
    // Who says for whom it asks is not believed.
    let forged = b.ask("DELETE", &location, &[("corecast-client", "6.6.6.6")], "");
    assert_eq!(forged.status, 200);
}

#[test]
fn a_body_is_bounded_before_it_is_passed_on() {
    let (a, b, asked) = joined();
    let location = a.open("whip", "s").location;
    let long = "x".repeat(corecast::limits::REQUEST_BODY_BYTES_MAX + 1);
    let answer = b.patch(&location, "*", &long);
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_long"));
    assert!(asked.lock().unwrap().is_empty());
}

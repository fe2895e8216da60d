//! Publishing where who owns a name is not known at once: the test answers each claim when it likes, as an engine that
//! several nodes share would. Over a real server on loopback.

use std::io::Write;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use corecast::signal::ownership::{
    Book, Claimant, Epoch, Located, NotClaimed, NotReleased, Owner, Ownership, Unavailable,
};
use corecast::signal::stream_name::StreamName;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use serde_json::json;

use crate::signal_support::client::Socket;
use crate::signal_support::{Node, PATIENCE, Plan, Response, request, start};

const SDP: (&str, &str) = ("content-type", "application/sdp");

/// A claim that waits for the test's word.
struct Asked {
    name: String,
    verdict: flume::Sender<Verdict>,
}

enum Verdict {
    Grant,
    Owned,
    Away,
}

struct Engine {
    asked: flume::Sender<Asked>,
    released: Arc<Mutex<Vec<(String, u64)>>>,
    book: Book,
}

impl Ownership for Engine {
    fn claim<'a>(
        &'a self,
        name: &'a StreamName,
        claimant: &'a Claimant,
    ) -> LocalBoxFuture<'a, Result<Epoch, NotClaimed>> {
        async move {
            let (verdict, answered) = flume::bounded(1);
            self.asked.send(Asked { name: name.to_string(), verdict }).unwrap();
            match answered.recv_async().await {
                Ok(Verdict::Grant) => self.book.claim(name, claimant).await,
                Ok(Verdict::Owned) => Err(NotClaimed::Owned(Owner::Node("other".to_owned()))),
                Ok(Verdict::Away) | Err(_) => Err(NotClaimed::Unavailable(Unavailable("no leader".to_owned()))),
            }
        }
        .boxed_local()
    }

    fn locate<'a>(&'a self, name: &'a StreamName) -> LocalBoxFuture<'a, Result<Option<Located>, Unavailable>> {
        self.book.locate(name)
    }

    fn release<'a>(&'a self, name: &'a StreamName, epoch: Epoch) -> LocalBoxFuture<'a, Result<(), NotReleased>> {
        self.released.lock().unwrap().push((name.to_string(), epoch.0));
        self.book.release(name, epoch)
    }
}

/// A node whose claims the test answers.
struct Rig {
    node: Node,
    asked: flume::Receiver<Asked>,
    released: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Rig {
    fn start() -> Self {
        let (sender, asked) = flume::unbounded();
        let released: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
        let told = released.clone();
        let ownership = move || {
            let engine: Rc<dyn Ownership> = Rc::new(Engine { asked: sender, released: told, book: Book::default() });
            engine
        };
        let node = start(Plan { ownership: Box::new(ownership), ..Plan::default() });
        Self { node, asked, released }
    }

    /// The next claim.
    fn claim_of(&self, name: &str) -> flume::Sender<Verdict> {
        let asked = self.asked.recv_timeout(PATIENCE).unwrap();
        assert_eq!(asked.name, name);
        asked.verdict
    }

    /// A publisher's `POST`, and what the engine says to it.
    fn publish(&self, name: &str, verdict: Verdict) -> Response {
        thread::scope(|scope| {
            let posted = scope.spawn(|| self.node.post("whip", name, "ok"));
            self.claim_of(name).send(verdict).unwrap();
            posted.join().unwrap()
        })
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}; told: {:?}", self.node.told());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn has_opened(&self, line: &str) -> bool {
        self.node.told().iter().any(|told| told.contains(line))
    }
}

#[test]
fn other_joins_go_on_while_a_claim_waits() {
    let rig = Rig::start();
    thread::scope(|scope| {
        let posted = scope.spawn(|| rig.node.post("whip", "a", "ok"));
        let verdict = rig.claim_of("a");
        // Viewers of that stream and of others, another publisher, and sockets.
        rig.node.open("whep", "a");
        rig.node.open("whep", "b");
        assert_eq!(rig.publish("b", Verdict::Grant).status, 201);
        let mut socket = Socket::open(&rig.node);
        assert_eq!(socket.start("subscribe", "b")["type"], "answer");
        // The name is spoken for: nobody needs to be asked.
        let second = rig.node.post("whip", "a", "ok");
        assert_eq!((second.status, second.code().as_str()), (409, "name_taken"));
        assert_eq!(rig.node.report()["publishers"], 2);
        assert!(!posted.is_finished() && !rig.has_opened("open a publish") && rig.asked.is_empty());
        verdict.send(Verdict::Grant).unwrap();
        assert_eq!(posted.join().unwrap().status, 201);
    });
    rig.node.wait_told("open a publish");
    assert!(rig.released.lock().unwrap().is_empty());
}

#[test]
fn a_client_that_hangs_up_during_the_claim_leaves_nothing_and_a_late_grant_is_released() {
    let rig = Rig::start();
    let mut stream = TcpStream::connect(rig.node.http).unwrap();
    stream.write_all(&request("POST", "/whip/a", &[SDP], "ok")).unwrap();
    let verdict = rig.claim_of("a");
    assert_eq!(rig.node.report()["publishers"], 1);
    drop(stream);
    rig.wait_for("the session is forgotten", |rig| rig.node.report()["publishers"] == 0);
    verdict.send(Verdict::Grant).unwrap();
    rig.wait_for("the claim is released", |rig| *rig.released.lock().unwrap() == [("a".to_owned(), 1)]);
    assert!(!rig.has_opened("open a publish"), "no worker was asked");
    assert_eq!(rig.publish("a", Verdict::Grant).status, 201, "the name is free");
}

#[test]
fn a_socket_that_closes_during_the_claim_leaves_nothing_either() {
    let rig = Rig::start();
    let mut socket = Socket::open(&rig.node);
    socket.send(&json!({"type": "publish", "id": 7, "stream": "a", "sdp": "ok"}));
    let verdict = rig.claim_of("a");
    drop(socket);
    rig.wait_for("the session is forgotten", |rig| rig.node.report()["publishers"] == 0);
    verdict.send(Verdict::Grant).unwrap();
    rig.wait_for("the claim is released", |rig| rig.released.lock().unwrap().len() == 1);
}

#[test]
fn a_name_that_is_owned_elsewhere_is_409_and_an_engine_that_is_away_503() {
    let rig = Rig::start();
    let owned = rig.publish("a", Verdict::Owned);
    assert_eq!((owned.status, owned.code().as_str()), (409, "name_taken"));
    let away = rig.publish("a", Verdict::Away);
    assert_eq!((away.status, away.code().as_str()), (503, "ownership_unavailable"));
    assert_eq!(away.header("retry-after"), "5");
    assert_eq!(rig.node.report()["publishers"], 0);
    assert!(rig.released.lock().unwrap().is_empty(), "nothing was claimed");
    let metrics = rig.node.admin("/metrics").body;
    assert!(metrics.contains("corecast_sessions_refused_total{reason=\"ownership_unavailable\"} 1"), "{metrics}");
}

#[test]
fn a_name_is_released_with_its_epoch_when_its_session_ends_and_not_claimed_for_an_offer_that_is_refused() {
    let rig = Rig::start();
    let opened = rig.publish("a", Verdict::Grant);
    assert_eq!(rig.node.ask("DELETE", &opened.header("location"), &[], "").status, 200);
    assert_eq!(*rig.released.lock().unwrap(), [("a".to_owned(), 1)], "before the answer");
    assert_eq!(rig.node.post("whip", "a", "no codec").status, 406);
    assert!(rig.asked.is_empty(), "who has the name at another node keeps it");
    assert_eq!(rig.released.lock().unwrap().len(), 1);
}

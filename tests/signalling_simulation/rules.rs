//! What is checked, and when.
//!
//! | Rule | When |
//! |---|---|
//! | one publisher | a worker opens a session, and a second later: no other publisher of the name is open |
//! | opened once | a worker opens a session: none with its number is open anywhere |
//! | within limits | a worker opens a session: its stream has no more viewers than it may; twice a second: connections and sockets |
//! | answered once, no failure, answers are whole, `DELETE` ends | a client reads an answer |
//! | answers in time | four times a second: `/healthz`, when nothing stands still |
//! | told once | the webhook is told of a start or an end |
//! | no panic | twice a second |
//! | **liveness** | five seconds after faults have stopped: every honest client plays, every follower knows |
//! | counts agree | then: the book has the sessions that the workers have, when nothing is on its way |
//! | nothing is left | everybody has left, and the longest time of grace is over |
//! | stops in time | the node is told to stop |

use std::rc::Rc;
use std::time::Duration;

use corecast::description::Direction;
use corecast::limits;
use corecast::signal::runtime;
use corecast::signal::runtime::simulated;
use corecast::worker::mailbox::SessionId;

use crate::honest::Client;
use crate::node::Node;
use crate::sockets::Follower;
use crate::wire::Request;
use crate::workers::Session;
use crate::world::World;

/// How long an honest client may take to play when faults have stopped.
pub(crate) const LIVENESS: Duration = Duration::from_secs(5);

impl World {
    /// A worker is about to open a session.
    pub(crate) fn opens(self: &Rc<Self>, opened: &Session) {
        let mut viewers = 0;
        self.media.each(|worker, other| {
            if other.id == opened.id {
                self.break_rule("opened once", format!("session {} is open at worker {worker}", opened.id.0));
            }
            let is_same = other.stream == opened.stream;
            if is_same && other.direction == Direction::Publish && opened.direction == Direction::Publish {
                let (world, name, ids) = (self.clone(), other.name.clone(), [other.id, opened.id]);
                self.spawn(async move { world.one_yields(name, ids).await });
            }
            viewers += usize::from(is_same && other.direction == Direction::Play);
        });
        // One that was given up may not have been closed by its worker yet.
        let slack = limits::CONTROL_MESSAGES_MAX.min(8);
        if opened.direction == Direction::Play && viewers >= self.scenario.viewers_per_stream_max as usize + slack {
            self.break_rule("within limits", format!("{} has {viewers} viewers", opened.name));
        }
    }
}

impl World {
    /// Two publishers of a name are open. One of them was given up, and its worker is told so: at once, when it makes rounds.
    async fn one_yields(&self, name: String, ids: [SessionId; 2]) {
        while !self.media.stall_left().is_zero() {
            runtime::sleep(self.media.stall_left()).await;
        }
        runtime::sleep(Duration::from_secs(1)).await;
        let mut open = 0;
        self.media.each(|_, session| open += usize::from(ids.contains(&session.id)));
        if open > 1 {
            self.break_rule("one publisher", format!("{name} has sessions {} and {}", ids[0].0, ids[1].0));
        }
    }
}

/// Watches what must hold at any time.
pub(crate) async fn watch(world: Rc<World>, node: Rc<Node>) {
    while !world.is_over.get() {
        runtime::sleep(Duration::from_millis(500)).await;
        let counts = node.counts();
        let count = |name: &str| counts.get(name).copied().unwrap_or_default() as u64;
        let panics = count("corecast_http_connections_refused_total{reason=\"panicked\"}");
        if panics > 0 {
            world.break_rule("no panic", format!("{panics} connections' tasks have panicked"));
        }
        // HTTPS, HTTP and the operator's have a table each.
        let (connections, max) = (count("corecast_http_connections"), 3 * world.scenario.connections_max as u64);
        if connections > max {
            world.break_rule("within limits", format!("{connections} connections, {max} may be"));
        }
        let sockets = count("corecast_sockets");
        if sockets > u64::from(node.sockets.sockets_max) {
            world.break_rule("within limits", format!("{sockets} sockets"));
        }
        if let Some(wrong) = &node.endpoint.book().wrong {
            world.break_rule("told once", wrong.clone());
        }
    }
}

/// Asks for the node's health, as a load balancer does.
pub(crate) async fn probe(world: Rc<World>, node: Rc<Node>) {
    let caller = node.operator();
    loop {
        runtime::sleep(Duration::from_millis(250)).await;
        if world.is_over.get() || world.is_stopping.get() {
            return;
        }
        let before = simulated::elapsed();
        let headers = [("host", "127.0.0.1")];
        let request = Request { method: "GET", path: "/healthz", headers: &headers, body: "" };
        let patience = Duration::from_secs(10);
        let answer = caller.ask(request, patience).await;
        let took = simulated::elapsed() - before;
        let excuse = world.stood_still_since(before);
        let is_late = took > Duration::from_millis(500) + excuse;
        let is_wrong = match answer {
            Some(answer) => answer.status != 200,
            // Whose patience ended while everything stood still has learnt nothing.
            None => took < patience,
        };
        if is_late || is_wrong {
            world.break_rule("answers in time", format!("/healthz took {took:?}, of which {excuse:?} stood still"));
        }
    }
}

/// Faults have stopped a while ago.
pub(crate) fn liveness(world: &World, clients: &[Rc<Client>], followers: &[Rc<Follower>]) {
    for client in clients {
        let session = client.session.borrow().clone();
        let plays = session.map_or(Err("it has no session"), |session| world.media.plays(&session));
        if let Err(why) = plays {
            let trouble = client.trouble.borrow();
            let what = format!("{} of {} does not play: {why}; last: {trouble}", client.name, client.stream);
            world.break_rule("liveness", what);
        }
    }
    for follower in followers {
        if follower.heard.get() != Some(true) {
            let trouble = follower.trouble.borrow();
            let what = format!("a follower of {} heard {:?}; last: {trouble}", follower.stream, follower.heard.get());
            world.break_rule("liveness", what);
        }
    }
}

/// What the operator is told of sessions against what the workers have.
pub(crate) async fn counts_agree(world: &World, node: &Node) {
    // Something may be on its way just now, but not always.
    for _ in 0..20 {
        if book_and_workers(world, node).await.is_none() {
            return;
        }
        runtime::sleep(Duration::from_millis(70)).await;
    }
    if let Some(what) = book_and_workers(world, node).await {
        world.break_rule("counts agree", what);
    }
}

async fn book_and_workers(world: &World, node: &Node) -> Option<String> {
    let figures = node.figures().await;
    let figure = |name: &str| figures.get(name).copied().unwrap_or(-1.0) as i64;
    let (mut publishers, mut viewers) = (0, 0);
    world.media.each(|_, session| match session.direction {
        Direction::Publish => publishers += 1,
        Direction::Play => viewers += 1,
    });
    let told = (figure("corecast_publishers"), figure("corecast_viewers"));
    let have = (publishers, viewers);
    (told != have).then(|| format!("the book has {told:?} publishers and viewers, the workers have {have:?}"))
}

/// Everybody has left a while ago.
pub(crate) async fn nothing_left(world: &World, node: &Node) {
    let figures = node.figures().await;
    let mut left = Vec::new();
    world.media.each(|worker, session| left.push(format!("session {} at worker {worker}", session.id.0)));
    // The operator's own connection asks.
    let expected = [("corecast_publishers", 0.0), ("corecast_viewers", 0.0), ("corecast_waiting_viewers", 0.0)];
    let expected = expected.into_iter().chain([("corecast_sockets", 0.0), ("corecast_http_connections", 1.0)]);
    for (name, value) in expected {
        let figure = figures.get(name).copied();
        if figure != Some(value) {
            left.push(format!("{name} is {figure:?}"));
        }
    }
    let book = node.endpoint.book();
    // What was told of a start is told of an end, unless one of the two was lost on the way.
    if world.scenario.webhook_faults == 0.0 && book.started != book.ended {
        left.push(format!("the webhook was told of {} starts and {} ends", book.started.len(), book.ended.len()));
    }
    if !left.is_empty() {
        world.break_rule("nothing is left", left.join("; "));
    }
}

/// The node is told to stop.
pub(crate) async fn stops(world: &World, node: &Node) {
    let before = simulated::elapsed();
    world.is_stopping.set(true);
    let _ = node.signalling.stop.try_send(());
    let ended = runtime::timeout(Duration::from_secs(10), node.signalling.ended.recv_async()).await;
    let took = simulated::elapsed() - before;
    if ended.is_none() || took > limits::SHUTDOWN_TIME_MAX {
        world.break_rule("stops in time", format!("it took {took:?}"));
    }
}

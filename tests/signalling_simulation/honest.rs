//! Publishers and viewers by WHIP and WHEP. Each wants to play, asks again when something goes wrong, and, until faults stop,
//! restarts ICE, leaves, crashes and comes back, perhaps from another address.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use corecast::description::Direction;
use corecast::signal::runtime;
use corecast::signal::runtime::simulated::random;

use crate::node::Node;
use crate::wire::{Answer, Caller, Request, Speech};
use crate::world::{World, chance, millis};

pub(crate) const PUBLISH: &str = include_str!("../data/sdp/chromium-publish.sdp");
pub(crate) const PLAY: &str = include_str!("../data/sdp/chromium-play.sdp");

/// How long a client waits for an answer: longer than the node takes if a worker or the webhook says nothing.
pub(crate) const PATIENCE: Duration = Duration::from_millis(4_500);
/// The same when nothing is wrong any more.
const PATIENCE_IN_CALM: Duration = Duration::from_secs(2);

/// A client that wants to play.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) stream: String,
    pub(crate) direction: Direction,
    pub(crate) token: Option<String>,
    pub(crate) address: Cell<IpAddr>,
    /// The user fragment of its session's answer.
    pub(crate) session: RefCell<Option<String>>,
    /// What went wrong last.
    pub(crate) trouble: RefCell<String>,
}

impl Client {
    /// How long a client waits. What began before faults stopped is not waited for much longer than what begins then.
    pub(crate) fn patience(world: &World) -> Duration {
        PATIENCE.min(PATIENCE_IN_CALM + world.storm_left())
    }

    pub(crate) fn note(&self, world: &World, what: &str) {
        world.count(format!("{}: {what}", self.name.split(' ').next().unwrap_or_default()));
        self.trouble.replace(what.to_owned());
    }
}

/// `a=ice-ufrag` of an answer.
pub(crate) fn ufrag_in(sdp: &str) -> Option<String> {
    sdp.lines().find_map(|line| Some(line.strip_prefix("a=ice-ufrag:")?.trim().to_owned()))
}

/// The address of the client of that number. Clients of an IPv6 site share a /56.
pub(crate) fn address(number: usize) -> IpAddr {
    match number % 3 {
        0 => IpAddr::from([0x2001, 0xdb8, 7, number as u16, 0, 0, 0, 1]),
        _ => IpAddr::from([198, 51, 100, number as u8]),
    }
}

/// The honest clients that do not use sockets.
pub(crate) fn start(world: &Rc<World>, node: &Rc<Node>) -> Vec<Rc<Client>> {
    let mut clients = Vec::new();
    let Scenario { publishers, viewers, has_webhook } = Scenario::of(world);
    for number in 0..publishers + viewers {
        let is_publisher = number < publishers;
        let direction = if is_publisher { Direction::Publish } else { Direction::Play };
        let client = Rc::new(Client {
            name: format!("{} {number}", if is_publisher { "publisher" } else { "viewer" }),
            stream: format!("stream-{}", number % publishers),
            direction,
            token: has_webhook.then(|| format!("good-{number}")),
            address: Cell::new(address(number)),
            session: RefCell::default(),
            trouble: RefCell::default(),
        });
        clients.push(client.clone());
        world.spawn(live(world.clone(), node.clone(), client));
    }
    clients
}

struct Scenario {
    publishers: usize,
    viewers: usize,
    has_webhook: bool,
}

impl Scenario {
    fn of(world: &World) -> Self {
        let scenario = &world.scenario;
        Self { publishers: scenario.publishers, viewers: scenario.viewers, has_webhook: scenario.has_webhook }
    }
}

async fn live(world: Rc<World>, node: Rc<Node>, client: Rc<Client>) {
    runtime::sleep(millis(0, 2_000)).await;
    while !world.is_over.get() {
        let speech = [Speech::Plain, Speech::Tls, Speech::Http2][random::below(3)];
        let addresses = node.addresses;
        let caller = Caller { world: world.clone(), addresses, address: client.address.get(), speech, is_flood: false };
        if let Some(session) = join(&world, &client, &caller).await {
            let is_there = Rc::new(Cell::new(true));
            client.session.replace(Some(session.ufrag.clone()));
            if world.media.connect(&session.ufrag, &is_there, &node.notices).await {
                hold(&world, &client, &caller, session, &is_there).await;
            } else {
                client.note(&world, "could not connect");
            }
            is_there.set(false);
            client.session.replace(None);
        }
        runtime::sleep(millis(100, 400)).await;
    }
}

/// A session that is open, as its client knows it.
struct Session {
    ufrag: String,
    location: String,
    etag: String,
}

fn bearer(client: &Client) -> Option<String> {
    client.token.as_ref().map(|token| format!("Bearer {token}"))
}

async fn join(world: &Rc<World>, client: &Client, caller: &Caller) -> Option<Session> {
    let (kind, offer) = match client.direction {
        Direction::Publish => ("whip", PUBLISH),
        Direction::Play => ("whep", PLAY),
    };
    let token = bearer(client);
    let mut headers = vec![("content-type", "application/sdp")];
    headers.extend(token.as_deref().map(|token| ("authorization", token)));
    let path = format!("/{kind}/{}", client.stream);
    let request = Request { method: "POST", path: &path, headers: &headers, body: offer };
    let Some(answer) = caller.ask(request, Client::patience(world)).await else {
        client.note(world, "no answer");
        return None;
    };
    if answer.status != 201 {
        client.note(world, &answer.code());
        return None;
    }
    client.note(world, "joined");
    let Answer { location, etag, body, .. } = answer;
    let Some(ufrag) = ufrag_in(&body).filter(|_| location.starts_with(&path)) else {
        world.break_rule("answers are whole", format!("{}: 201 with {location:?}: {body}", client.name));
        return None;
    };
    Some(Session { ufrag, location, etag })
}

/// As long as the session is there and its client stays.
async fn hold(world: &Rc<World>, client: &Client, caller: &Caller, mut session: Session, is_there: &Cell<bool>) {
    loop {
        runtime::sleep(millis(80, 160)).await;
        if world.is_over.get() {
            if chance(0.7) {
                leave(world, client, caller, &session).await;
            }
            return;
        }
        if !world.media.has(&session.ufrag) {
            return client.note(world, "lost its session");
        }
        if world.is_calm() || !chance(0.04) {
            continue;
        }
        match random::below(4) {
            0 => {
                if let Some(ufrag) = restart(world, client, caller, &mut session).await {
                    client.session.replace(Some(ufrag));
                }
            }
            1 => {
                leave(world, client, caller, &session).await;
                is_there.set(false);
                return runtime::sleep(millis(0, 2_000).min(world.storm_left())).await;
            }
            2 => {
                world.count("fault: client crashes");
                is_there.set(false);
                return runtime::sleep(millis(0, 3_000).min(world.storm_left())).await;
            }
            // It comes from elsewhere, without a word. Where nothing judges, its address is who it is.
            _ if client.token.is_some() => {
                world.count("fault: client moves");
                is_there.set(false);
                client.address.set(address(100 + random::below(100)));
                return;
            }
            _ => {}
        }
    }
}

async fn leave(world: &Rc<World>, client: &Client, caller: &Caller, session: &Session) {
    let request = Request { method: "DELETE", path: &session.location, headers: &[], body: "" };
    match caller.ask(request, Client::patience(world)).await {
        // Whoever restarted and heard nothing of it has an old session, not another one.
        Some(answer) if matches!(answer.status, 200 | 404 | 503) => client.note(world, "left"),
        Some(answer) => world.break_rule("DELETE ends", format!("{}: {answer:?}", client.name)),
        None => client.note(world, "no answer to DELETE"),
    }
}

/// An ICE restart. Returns the new user fragment.
async fn restart(world: &Rc<World>, client: &Client, caller: &Caller, session: &mut Session) -> Option<String> {
    let fragment =
        format!("a=ice-ufrag:u{:07}\r\na=ice-pwd:p{:023}\r\n", random::below(9_999_999), random::below(9_999_999));
    let headers = [("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "\"*\"")];
    let request = Request { method: "PATCH", path: &session.location, headers: &headers, body: &fragment };
    let Some(answer) = caller.ask(request, Client::patience(world)).await else {
        client.note(world, "no answer to PATCH");
        return None;
    };
    client.note(world, &format!("PATCH {}", answer.code()));
    if answer.status != 200 {
        return None;
    }
    session.etag = answer.etag;
    session.ufrag = ufrag_in(&answer.body)?;
    // Signalling has told the worker before it has answered, but the worker may not have looked.
    for _ in 0..100 {
        if world.media.has(&session.ufrag) {
            return Some(session.ufrag.clone());
        }
        runtime::sleep(Duration::from_millis(50)).await;
    }
    None
}

//! Doubles of the workers: they open, connect and end sessions and keep routes as the real ones do
//! (`src/worker/control/`), and move no media.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use corecast::description::Direction;
use corecast::limits;
use corecast::net::Waker;
use corecast::signal::runtime::{self, simulated};
use corecast::worker::mailbox::{
    Control, EndReason, Notice, OpenRefused, Origin, RekeyRefused, SessionId, StreamId, Totals, WorkerHandle,
    WorkerIndex,
};
use corecast::worker::report::WorkerReport;
use futures_util::future::{Either, select};

use crate::scenario::Sabotage;
use crate::world::{World, chance, millis};

/// How often a worker looks for sessions whose time is over.
const ROUND: Duration = Duration::from_millis(200);

/// A session at a worker.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) stream: StreamId,
    pub(crate) name: String,
    pub(crate) direction: Direction,
    ufrag: String,
    opened: Duration,
    pub(crate) is_connected: bool,
    heard: Duration,
    /// Whether its client is there.
    client: Option<Rc<Cell<bool>>>,
}

#[derive(Default)]
struct Worker {
    sessions: BTreeMap<u64, Session>,
    /// Where each stream comes from that this worker has a session of; and, if it comes from here, which workers listen to
    /// it, each with its membership.
    routes: BTreeMap<u128, (Option<Origin>, BTreeMap<u16, u64>)>,
    /// When this worker began to have viewers of a stream.
    began: BTreeMap<u128, Duration>,
    /// When this worker, which has the publisher, was told of a listener that is new to it.
    introduced: BTreeMap<(u128, u16), Duration>,
    stalled_until: Duration,
}

/// All workers.
pub(crate) struct Media {
    workers: Vec<RefCell<Worker>>,
    sabotage: Option<Sabotage>,
}

impl Media {
    pub(crate) fn new(count: u16, sabotage: Option<Sabotage>) -> Self {
        Self { workers: (0..count).map(|_| RefCell::default()).collect(), sabotage }
    }

    /// A worker makes no rounds for so long.
    pub(crate) fn stall(&self, worker: usize, time: Duration) {
        let worker = &self.workers[worker % self.workers.len()];
        worker.borrow_mut().stalled_until = simulated::elapsed() + time;
    }

    /// How long until all workers make rounds.
    pub(crate) fn stall_left(&self) -> Duration {
        let until = self.workers.iter().map(|worker| worker.borrow().stalled_until).max().unwrap_or_default();
        until.saturating_sub(simulated::elapsed())
    }

    /// Calls `look` with each session and its worker.
    pub(crate) fn each(&self, mut look: impl FnMut(u16, &Session)) {
        for (index, worker) in (0..).zip(&self.workers) {
            worker.borrow().sessions.values().for_each(|session| look(index, session));
        }
    }

    fn find(&self, ufrag: &str) -> Option<(usize, u64)> {
        self.workers.iter().enumerate().find_map(|(index, worker)| {
            let worker = worker.borrow();
            let (id, _) = worker.sessions.iter().find(|(_, session)| session.ufrag == ufrag)?;
            Some((index, *id))
        })
    }

    /// Whether the session with these credentials is there.
    pub(crate) fn has(&self, ufrag: &str) -> bool {
        self.find(ufrag).is_some()
    }

    /// Whether media flows to or from the session with these credentials.
    pub(crate) fn plays(&self, ufrag: &str) -> Result<(), &'static str> {
        let (index, id) = self.find(ufrag).ok_or("its session is gone")?;
        let own = self.workers[index].borrow();
        let session = &own.sessions[&id];
        if !session.is_connected {
            return Err("its session is not connected");
        }
        if session.direction == Direction::Publish {
            return Ok(());
        }
        let stream = session.stream.0;
        let mut publisher = None;
        self.each(|worker, other| {
            if other.direction == Direction::Publish && other.stream.0 == stream && other.is_connected {
                publisher = Some(worker);
            }
        });
        let publisher = publisher.ok_or("its stream has no connected publisher")?;
        if usize::from(publisher) == index {
            return Ok(());
        }
        let route = own.routes.get(&stream).and_then(|(origin, _)| *origin);
        if route != Some(Origin::Worker(WorkerIndex(publisher))) {
            return Err("its worker was not told where the stream comes from");
        }
        let began = own.began.get(&stream).copied().unwrap_or_default();
        drop(own);
        let origin = self.workers[usize::from(publisher)].borrow();
        match origin.introduced.get(&(stream, index as u16)) {
            Some(told) if *told >= began => Ok(()),
            Some(_) => Err("the publisher's worker was not told that the viewer's began anew"),
            None => Err("the publisher's worker was not told of the viewer's"),
        }
    }

    /// ICE and DTLS of a client that has its answer. `client` says as long as it is there.
    pub(crate) async fn connect(&self, ufrag: &str, client: &Rc<Cell<bool>>, notices: &Notices) -> bool {
        runtime::sleep(millis(20, 250)).await;
        let Some((index, id)) = self.find(ufrag) else { return false };
        let until = self.workers[index].borrow().stalled_until;
        runtime::sleep(until.saturating_sub(simulated::elapsed())).await;
        let mut worker = self.workers[index].borrow_mut();
        let Some(session) = worker.sessions.get_mut(&id) else { return false };
        session.client = Some(client.clone());
        session.heard = simulated::elapsed();
        if !std::mem::replace(&mut session.is_connected, true) {
            notices.tell(index, Notice::Connected { session: session.id });
        }
        true
    }
}

/// Each worker's way to signalling: in order, and never blocking the worker.
pub(crate) struct Notices(Vec<flume::Sender<Notice>>);

impl Notices {
    fn tell(&self, worker: usize, notice: Notice) {
        let _ = self.0[worker].send(notice);
    }
}

/// Starts the doubles. Returns their mailboxes, and what they tell.
pub(crate) fn start(world: &Rc<World>) -> (Vec<WorkerHandle>, flume::Receiver<Notice>, Rc<Notices>) {
    let (notices, heard) = flume::bounded(limits::NOTICES_MAX);
    let (mut queues, mut told) = (Vec::new(), Vec::new());
    for _ in 0..world.scenario.workers {
        let (queue, waiting) = flume::unbounded::<Notice>();
        queues.push(queue);
        told.push(waiting);
    }
    for waiting in told {
        let notices = notices.clone();
        world.spawn(async move {
            while let Ok(notice) = waiting.recv_async().await {
                if notices.send_async(notice).await.is_err() {
                    return;
                }
            }
        });
    }
    let notices = Rc::new(Notices(queues));
    let mut handles = Vec::new();
    for index in 0..world.scenario.workers {
        let (handle, control) = WorkerHandle::new(WorkerIndex(index), 40_000 + index, Waker::noop());
        handles.push(handle);
        world.spawn(run(world.clone(), usize::from(index), control, notices.clone()));
    }
    (handles, heard, notices)
}

async fn run(world: Rc<World>, index: usize, control: flume::Receiver<Control>, notices: Rc<Notices>) {
    loop {
        let next = select(control.recv_async(), runtime::sleep(ROUND)).await;
        loop {
            let until = world.media.workers[index].borrow().stalled_until;
            let left = until.saturating_sub(simulated::elapsed());
            if left.is_zero() {
                break;
            }
            runtime::sleep(left).await;
        }
        match next {
            Either::Left((Ok(message), _)) => take(&world, index, message, &notices),
            Either::Left((Err(_), _)) => return,
            Either::Right(_) => {}
        }
        let over = end_overdue(&mut world.media.workers[index].borrow_mut());
        for (session, reason) in over {
            notices.tell(index, ended(session, reason));
        }
    }
}

fn ended(session: SessionId, reason: EndReason) -> Notice {
    Notice::Ended { session, reason, totals: Totals::default() }
}

fn end_overdue(worker: &mut Worker) -> Vec<(SessionId, EndReason)> {
    let now = simulated::elapsed();
    let mut over = Vec::new();
    for session in worker.sessions.values_mut() {
        if session.client.as_ref().is_some_and(|client| client.get()) {
            session.heard = now;
        }
        if !session.is_connected && now >= session.opened + limits::SESSION_SETUP_MAX {
            over.push((session.id, EndReason::NeverConnected));
        } else if now >= session.heard + limits::SESSION_SILENCE_MAX {
            over.push((session.id, EndReason::TimedOut));
        }
    }
    for (session, _) in &over {
        remove(worker, *session);
    }
    over
}

fn remove(worker: &mut Worker, session: SessionId) -> bool {
    let Some(gone) = worker.sessions.remove(&session.0) else { return false };
    let stream = gone.stream.0;
    let of_stream = |session: &&Session| session.stream.0 == stream;
    if !worker.sessions.values().filter(of_stream).any(|session| session.direction == Direction::Play) {
        worker.began.remove(&stream);
    }
    // A worker lets go of a stream with its last session.
    if !worker.sessions.values().any(|session| session.stream.0 == stream) {
        worker.routes.remove(&stream);
        worker.introduced.retain(|(other, _), _| *other != stream);
    }
    true
}

fn take(world: &Rc<World>, index: usize, message: Control, notices: &Notices) {
    let sabotage = world.media.sabotage.filter(|_| index == 0);
    let now = simulated::elapsed();
    let mut worker = world.media.workers[index].borrow_mut();
    match message {
        Control::Open(open) => {
            let (session, stream, direction) = (open.session, open.stream, open.description.direction);
            if world.fault(world.scenario.stalls / 10.0) {
                let why = if chance(0.5) { OpenRefused::Full } else { OpenRefused::TooManyHandshakes };
                world.count(format!("fault: worker {why:?}"));
                return notices.tell(index, Notice::Refused { session, why });
            }
            drop(worker);
            let opened = Session {
                id: session,
                stream,
                name: open.stream_name,
                direction,
                ufrag: open.local_ice.ufrag,
                opened: now,
                is_connected: false,
                heard: now,
                client: None,
            };
            world.opens(&opened);
            world.media.workers[index].borrow_mut().sessions.insert(session.0, opened);
            let again = match sabotage {
                Some(Sabotage::OpensTwice) => session,
                Some(Sabotage::GivesNameTwice) => SessionId(session.0 + 1),
                _ => SessionId(u64::MAX),
            };
            if again.0 < u64::MAX {
                let (name, ufrag) = (String::new(), String::new());
                let (is_connected, client) = (false, None);
                let second = Session {
                    id: again,
                    stream,
                    name,
                    direction,
                    ufrag,
                    opened: now,
                    is_connected,
                    heard: now,
                    client,
                };
                world.opens(&second);
                world.media.workers[index].borrow_mut().sessions.insert(again.0, second);
            }
            let mut worker = world.media.workers[index].borrow_mut();
            if direction == Direction::Play {
                worker.began.entry(stream.0).or_insert(now);
            }
            notices.tell(index, Notice::Opened { session, worker: WorkerIndex(index as u16) });
        }
        Control::Close { session, reason } => {
            let was_there = remove(&mut worker, session);
            // Signalling waits for the answer, whether there was one or not.
            if !(was_there && sabotage == Some(Sabotage::LosesNotices)) {
                notices.tell(index, ended(session, reason));
            }
        }
        Control::CloseIfSilent { session, silence, reason, reply } => {
            let ends = worker.sessions.get_mut(&session.0).is_none_or(|session| {
                let is_there = session.client.as_ref().is_some_and(|client| client.get());
                !is_there && now.saturating_sub(session.heard) >= silence
            });
            if ends && remove(&mut worker, session) {
                notices.tell(index, ended(session, reason));
            }
            let _ = reply.try_send(ends);
        }
        Control::RestartIce { session, local_ice, .. } => {
            if let Some(session) = worker.sessions.get_mut(&session.0) {
                session.ufrag = local_ice.ufrag;
            }
        }
        Control::Route { stream, origin, audience } => {
            if sabotage == Some(Sabotage::LosesRoutes) {
                return;
            }
            // Of a stream that it has no session of it wants to know nothing.
            if !worker.sessions.values().any(|session| session.stream == stream) {
                return;
            }
            let own = Some(Origin::Worker(WorkerIndex(index as u16)));
            let audience = audience.iter().filter(|_| origin == own).map(|l| (l.worker.0, l.membership));
            let audience: BTreeMap<u16, u64> = audience.collect();
            let before = worker.routes.get(&stream.0).map(|(_, audience)| audience.clone()).unwrap_or_default();
            for (listener, membership) in &audience {
                if before.get(listener) != Some(membership) {
                    worker.introduced.insert((stream.0, *listener), now);
                }
            }
            worker.introduced.retain(|(other, listener), _| *other != stream.0 || audience.contains_key(listener));
            worker.routes.insert(stream.0, (origin, audience));
        }
        Control::Report(reply) => _ = reply.try_send(Box::new(WorkerReport::default())),
        Control::Heartbeat(reply) => _ = reply.try_send(()),
        Control::Rekey { reply, .. } => _ = reply.try_send(Err(RekeyRefused::Busy)),
        Control::Switched { .. } | Control::AbandonRekey { .. } => {}
        Control::Connect(_) | Control::Layers { .. } | Control::Select { .. } | Control::Shutdown => {}
    }
}

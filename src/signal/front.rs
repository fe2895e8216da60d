//! What all connections share: the directory, the sessions' URLs, and the tasks that talk with the workers.
//!
//! Everything lives on the signalling thread; borrows never cross an `await`.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};

use super::admission::{PerAddress, Rate};
use super::directory::Directory;
use super::http::BodyBytes;
use super::identity;
use super::live::{Terms, hear_changes};
use super::negotiator::Negotiator;
use super::resource::Resources;
use super::runtime::{self, Task};
use super::sessions::{self, Sessions};
use super::socket::Sockets;
use super::tls::Certificates;
use super::{NodeInfo, Setup};
use crate::auth::Authoriser;
use crate::dtls::DtlsIdentity;
use crate::limits;
use crate::metrics::SignallingCounters;
use crate::time::Timestamp;
use crate::worker::mailbox::{Control, EndReason, Notice, SessionId, WorkerHandle, WorkerIndex};
use crate::worker::report::WorkerReport;

/// The shared state.
pub(super) struct Front {
    pub(super) directory: RefCell<Directory>,
    /// The sessions that are served.
    pub(super) served: RefCell<Sessions>,
    /// Those with a URL.
    pub(super) resources: RefCell<Resources>,
    pub(super) negotiator: Box<dyn Negotiator>,
    pub(super) counters: SignallingCounters,
    pub(super) node: NodeInfo,
    /// What a reload may change; see [`Front::terms`].
    pub(super) terms: RefCell<Rc<Terms>>,
    /// The same; see [`Front::authoriser`].
    pub(super) authoriser: RefCell<Rc<Authoriser>>,
    /// What HTTPS is served with.
    pub(super) certificates: Certificates,
    pub(super) announce: Vec<IpAddr>,
    /// The DTLS certificate that sessions opened now are given.
    pub(super) identity: RefCell<DtlsIdentity>,
    pub(super) stopping: Cell<bool>,
    /// Who signals over WebSocket.
    pub(super) sockets: Sockets,
    /// Sessions by client address.
    pub(super) sessions: Rc<PerAddress>,
    /// Sessions by time.
    pub(super) joins: RefCell<Rate>,
    /// Bytes of bodies being read.
    pub(super) bodies: BodyBytes,
    /// Who waits until the book knows that a session is served; bounded by the sessions being opened.
    pub(super) openings: RefCell<HashMap<SessionId, flume::Sender<()>>>,
    workers: Vec<Peer>,
    started: Instant,
    under_way: Cell<usize>,
    /// Wakes the task that ends waits, when one ends earlier than the one it waits for.
    waits: flume::Sender<()>,
    /// What that is.
    waits_for: Cell<Option<Timestamp>>,
}

/// One worker as seen from here.
struct Peer {
    handle: WorkerHandle,
    /// `Close` messages that wait for room in its mailbox; bounded by its sessions.
    closes: RefCell<VecDeque<Control>>,
    /// Wakes the task that talks to it; one token is enough.
    told: flume::Sender<()>,
}

impl Front {
    /// The state, and the tasks that serve it for as long as they are kept.
    pub(super) fn new(setup: Setup, counters: SignallingCounters) -> (Rc<Self>, Vec<Task>) {
        let terms = Terms::new(setup.live);
        let admission = &terms.live.admission;
        let (waits, waits_receiver) = flume::bounded(1);
        let mut receivers = Vec::new();
        let workers = setup.workers.into_iter().map(|handle| {
            let (told, receiver) = flume::bounded(1);
            receivers.push(receiver);
            Peer { handle, closes: RefCell::default(), told }
        });
        let front = Rc::new(Self {
            directory: RefCell::new(Directory::new(terms.bounds())),
            served: RefCell::default(),
            resources: RefCell::default(),
            negotiator: setup.negotiator,
            counters,
            node: setup.node,
            authoriser: RefCell::new(Rc::new(setup.authoriser)),
            certificates: setup.tls,
            sockets: Sockets::new(setup.sockets, &admission.exempt_addresses),
            announce: setup.announce,
            identity: RefCell::new(setup.identity),
            stopping: Cell::new(false),
            sessions: PerAddress::new(admission.sessions_per_address_max as usize, &admission.exempt_addresses),
            joins: RefCell::new(Rate::per_second(admission.joins_per_second_max)),
            terms: RefCell::new(Rc::new(terms)),
            bodies: BodyBytes::default(),
            workers: workers.collect(),
            started: Instant::now(),
            under_way: Cell::new(0),
            waits,
            waits_for: Cell::new(None),
            openings: RefCell::default(),
        });
        let mut tasks = vec![
            runtime::spawn(hear_notices(front.clone(), setup.notices)),
            runtime::spawn(end_waits(front.clone(), waits_receiver)),
            runtime::spawn(identity::rotate(front.clone(), setup.identity_age)),
            runtime::spawn(hear_changes(front.clone(), setup.changes)),
        ];
        for (index, receiver) in receivers.into_iter().enumerate() {
            tasks.push(runtime::spawn(tell_worker(front.clone(), index, receiver)));
        }
        (front, tasks)
    }

    /// Time on signalling's own clock; compared only with itself.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.started.elapsed()
    }

    /// The settings as they are now. Whoever takes them keeps them over an `await`.
    pub(super) fn terms(&self) -> Rc<Terms> {
        Rc::clone(&self.terms.borrow())
    }

    /// Who decides who may do what, as of now.
    pub(super) fn authoriser(&self) -> Rc<Authoriser> {
        Rc::clone(&self.authoriser.borrow())
    }

    /// How many workers there are; their number is bounded by [`limits::WORKERS_MAX`].
    pub(super) fn worker_count(&self) -> u16 {
        self.workers.len() as u16
    }

    /// One worker's mailbox.
    pub(super) fn worker(&self, index: WorkerIndex) -> &WorkerHandle {
        &self.workers[usize::from(index.0)].handle
    }

    /// Ends a session on its worker; waits for room in the mailbox, not the caller.
    pub(super) fn close(&self, worker: WorkerIndex, session: SessionId, reason: EndReason) {
        let peer = &self.workers[usize::from(worker.0)];
        peer.closes.borrow_mut().push_back(Control::Close { session, reason });
        let _ = peer.told.try_send(());
    }

    /// To be called after each change of the directory: what changed is told to whom it concerns.
    pub(super) fn directory_changed(&self) {
        let went = self.directory.borrow_mut().take_went();
        for (name, live) in went {
            self.sockets.stream_changed(&name, live);
        }
        let directory = self.directory.borrow();
        for worker in directory.workers_to_tell() {
            let _ = self.workers[usize::from(worker.0)].told.try_send(());
        }
        drop(directory);
        self.waits_changed();
    }

    /// To be called after something began to wait: whoever ends waits looks again where that is the next to end.
    pub(super) fn waits_changed(&self) {
        let earlier = |next: Timestamp| self.waits_for.get().is_none_or(|watched| next < watched);
        if self.next_expiry().is_some_and(earlier) {
            let _ = self.waits.try_send(());
        }
    }

    /// When the next wait ends, for a publisher or for a lost socket, or the next leave to follow.
    fn next_expiry(&self) -> Option<Timestamp> {
        let (publisher, socket) = (self.directory.borrow().next_expiry(), self.sockets.next_expiry());
        [publisher, socket].into_iter().flatten().min()
    }

    /// The reports of all workers that answer in time, by index.
    pub(super) async fn reports(&self) -> Vec<WorkerReport> {
        let asked = self.workers.iter().map(|peer| async {
            let (sender, receiver) = flume::bounded(1);
            peer.handle.try_send(Control::Report(sender)).ok()?;
            let report = runtime::timeout(limits::WORKER_REPLY_TIME_MAX, receiver.recv_async()).await?;
            report.ok().map(|report| *report)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// No session is opened any more, and `/readyz` says so.
    pub(super) fn begin_stop(&self) {
        self.stopping.set(true);
        self.sockets.going_away();
    }

    /// A request is under way until what is returned is dropped.
    pub(super) fn begin_request(self: &Rc<Self>) -> RequestUnderWay {
        self.under_way.set(self.under_way.get() + 1);
        RequestUnderWay(self.clone())
    }

    /// Returns when no request is under way and no socket open.
    pub(super) async fn requests_finished(&self) {
        while self.under_way.get() > 0 || self.sockets.count() > 0 {
            runtime::sleep(Duration::from_millis(5)).await;
        }
    }

    fn next_message(&self, worker: usize) -> Option<Control> {
        let peer = &self.workers[worker];
        let close = peer.closes.borrow_mut().pop_front();
        close.or_else(|| self.directory.borrow_mut().take_route(peer.handle.index))
    }

    fn notice(&self, notice: Notice) {
        match notice {
            Notice::Opened { session, worker } => {
                // Unknown is one whose asker has given up: it is being closed.
                if self.directory.borrow_mut().served(session, worker) {
                    self.directory_changed();
                }
                if let Some(asker) = self.openings.borrow_mut().remove(&session) {
                    let _ = asker.try_send(());
                }
            }
            Notice::Connected { session } => {
                tracing::info!(session = session.0, "session connected");
                self.sockets.connected(session);
            }
            Notice::Moved { session } => self.sockets.moved(session),
            Notice::Ended { session, reason, totals } => {
                // A session that was closed while it opened has left the directory already.
                if self.directory.borrow_mut().ended(session, self.now()) {
                    self.counters.session_ended(reason.name());
                    tracing::info!(session = session.0, reason = reason.name(), "session ended");
                }
                self.served.borrow_mut().remove(session, reason, totals);
                self.sockets.ended(session, reason);
                self.resources.borrow_mut().remove(session);
                self.directory_changed();
            }
            Notice::NothingFits { session, published } => {
                self.counters.nothing_fits();
                self.sockets.nothing_fits(session, &published);
                tracing::warn!(
                    session = session.0,
                    published,
                    "viewer negotiated nothing that fits what is published: it gets no media of that kind"
                );
            }
        }
    }
}

/// See [`Front::begin_request`].
pub(super) struct RequestUnderWay(Rc<Front>);

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
    }
}

/// Takes what the workers tell, until the last one is gone.
async fn hear_notices(front: Rc<Front>, notices: flume::Receiver<Notice>) {
    while let Ok(notice) = notices.recv_async().await {
        front.notice(notice);
    }
}

/// Sends one worker what must not be lost, in order, as its mailbox has room.
async fn tell_worker(front: Rc<Front>, worker: usize, told: flume::Receiver<()>) {
    while told.recv_async().await.is_ok() {
        while let Some(message) = front.next_message(worker) {
            if front.workers[worker].handle.send(message).await.is_err() {
                // The worker has ended; the server ends the process.
                return;
            }
        }
    }
}

/// Ends the sessions of viewers whose publisher did not come in time, and of clients whose socket did not come back; and the
/// follows whose leave has run out.
async fn end_waits(front: Rc<Front>, changed: flume::Receiver<()>) {
    loop {
        let next = front.next_expiry();
        front.waits_for.set(next);
        match next {
            None => {
                if changed.recv_async().await.is_err() {
                    return;
                }
            }
            Some(deadline) => {
                let deadline = front.started + deadline.since(Timestamp::ZERO);
                if let Either::Left((Err(_), _)) = select(changed.recv_async(), runtime::Sleep::until(deadline)).await {
                    return;
                }
            }
        }
        let expired = front.directory.borrow_mut().take_expired(front.now());
        for (session, worker) in expired {
            front.close(worker, session, EndReason::NoPublisher);
        }
        front.sockets.end_follows(front.now());
        for session in front.sockets.take_lost(front.now()) {
            sessions::end(&front, session, EndReason::SignallingLost);
        }
    }
}

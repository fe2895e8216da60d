//! Everything that happens to sessions, and its consequences: the table changes, workers are told where streams come
//! from and go to, sockets are told about their sessions and streams, and the client's `DELETE` is answered.
//!
//! Each method handles one event completely. Borrows of the table never leave this file and never cross an `await`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hyper::StatusCode;

use super::admission::PlaceOfAddress;
use super::alarm::Alarm;
use super::answers::{Answers, Restarted};
use super::clock::Clock;
use super::code::Code;
use super::fetched::Fetch;
use super::handshake_places::HandshakePlace;
use super::layer_events::LayerEvents;
use super::messages::layers::whep_layers;
use super::messages::message::{self, Told};
use super::messages::outbox::{Closing, Outbox};
use super::messages::outboxes::Outboxes;
use super::next_transport::NextTransport;
use super::ownership::Claim;
use super::problem::Problem;
use super::runtime::{self, Task};
use super::sessions::sockets::SocketId;
use super::sessions::streams::{NotAdmitted, StreamBounds};
use super::sessions::table::{Resumed, SessionTable, WorkerAnswer};
use super::stream_name::StreamName;
use super::workers::Workers;
use crate::auth::Grant;
use crate::config::PlainClients;
use crate::description::{Description, Direction, IceCredentials, MediaKind, NegotiatedMedia};
use crate::dtls::DtlsIdentity;
use crate::limits;
use crate::metrics::{Audience, SignallingCounters};
use crate::rate::Allowance;
use crate::time::Timestamp;
use crate::wire::codec::Codec;
use crate::worker::layers::LayersTold;
use crate::worker::mailbox::{Control, EndReason, OpenRefused, SessionId, StreamId, Totals, WorkerIndex};

pub(super) mod rekey;

/// What is kept with an open session until it ends. Dropping it frees what the session took: the client's place, the
/// token's place, and the stream's name.
pub(super) struct Kept {
    /// The certificate that the session uses for DTLS.
    pub(super) identity: DtlsIdentity,
    /// What was negotiated. An ICE restart replaces the peer's credentials in it.
    pub(super) description: Description,
    /// The permission with which it was opened.
    pub(super) grant: Grant,
    /// The client address's place.
    pub(super) _place: PlaceOfAddress,
    /// The place of who is not connected yet.
    pub(super) handshake: Option<HandshakePlace>,
    /// A publisher's claim on the stream's name.
    pub(super) claim: Option<Claim>,
    /// The task that ends the session when its permission ends.
    pub(super) _expiry: Option<Task>,
    /// How often it may restart ICE.
    pub(super) restarts: Allowance,
    /// How often it may ask for other encodings.
    pub(super) layer_requests: Allowance,
    /// How often it may ask for other keys.
    pub(super) rekeys: Allowance,
    /// Its second transport, while its keys change.
    pub(super) next: Option<Box<NextTransport>>,
    /// What is to be told over WHEP, where the client wants events.
    pub(super) events: Option<Box<LayerEvents>>,
    /// Notified when the session has ended.
    pub(super) waiters: Vec<flume::Sender<()>>,
}

/// The table of sessions, and everyone who is told of its changes.
pub(super) struct SessionKeeper {
    /// What is kept is boxed: rows lie in a hash table, half of which is empty and which grows at one stroke.
    table: RefCell<SessionTable<Box<Kept>>>,
    workers: Workers,
    outboxes: Outboxes,
    counters: SignallingCounters,
    clock: Clock,
    alarm: Alarm,
    /// What becomes of clients that cannot change their keys.
    plain_clients: Cell<PlainClients>,
    /// Who fetches streams from other nodes, in a cluster.
    fetch: Option<Rc<dyn Fetch>>,
}

impl SessionKeeper {
    /// No session yet.
    pub(super) fn new(
        bounds: StreamBounds,
        workers: Workers,
        fetch: Option<Rc<dyn Fetch>>,
        counters: SignallingCounters,
        clock: Clock,
    ) -> Rc<Self> {
        let mut table = SessionTable::new(bounds);
        if let Some(links) = workers.links() {
            table.set_links(links);
        }
        Rc::new(Self {
            table: RefCell::new(table),
            workers,
            outboxes: Outboxes::default(),
            counters,
            clock,
            alarm: Alarm::new(),
            plain_clients: Cell::default(),
            fetch,
        })
    }

    /// Changes the bounds.
    pub(super) fn set_bounds(&self, bounds: StreamBounds) {
        self.table.borrow_mut().set_bounds(bounds);
    }

    /// The workers, by index.
    pub(super) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Whether a worker serves a publisher of that name.
    pub(super) fn is_live(&self, name: &StreamName) -> bool {
        self.table.borrow().is_live(name)
    }

    /// How many sessions publish, play and wait.
    pub(super) fn audience(&self) -> Audience {
        self.table.borrow().audience()
    }

    // --- a session opens ---

    /// Admits a session to a stream's name. From here on it counts.
    pub(super) fn admit(
        &self,
        session: SessionId,
        name: &StreamName,
        direction: Direction,
    ) -> Result<StreamId, NotAdmitted> {
        self.table.borrow_mut().admitted(session, name, direction, self.clock.now())
    }

    /// Called before a worker is asked to serve the session. The returned channel delivers its one answer.
    pub(super) fn asked(&self, session: SessionId) -> flume::Receiver<WorkerAnswer> {
        let (asker, answered) = flume::bounded(1);
        self.table.borrow_mut().asked(session, asker);
        answered
    }

    /// A worker serves the session.
    pub(super) fn served(&self, session: SessionId, worker: WorkerIndex) {
        if self.table.borrow_mut().served(session, worker) {
            self.changed();
        }
    }

    /// The worker that was asked has refused the session.
    pub(super) fn refused(&self, session: SessionId, why: OpenRefused) {
        self.table.borrow_mut().refused(session, why);
    }

    /// Whether a worker still serves the session.
    pub(super) fn is_served(&self, session: SessionId) -> bool {
        self.table.borrow().is_served(session)
    }

    /// The worker that serves a session.
    pub(super) fn worker_of(&self, session: SessionId) -> Option<WorkerIndex> {
        self.table.borrow().worker_of(session)
    }

    /// The session is open, and `kept` is stored with it. Returns `false` if it has ended in the meantime.
    pub(super) fn opened(&self, session: SessionId, kept: Kept) -> bool {
        self.table.borrow_mut().opened(session, Box::new(kept))
    }

    /// The session was not opened after all: its client has left, or was refused. The worker that was asked is told to
    /// end it, because it may serve it by now.
    pub(super) fn given_up(&self, session: SessionId, asked: Option<WorkerIndex>) {
        let ended = self.table.borrow_mut().ended(session, EndReason::NeverConnected, self.clock.now());
        drop(ended);
        if let Some(worker) = asked {
            self.workers.close(worker, session, EndReason::NeverConnected);
        }
        self.changed();
    }

    // --- it goes on ---

    /// The worker has finished the DTLS handshake.
    pub(super) fn connected(&self, session: SessionId) {
        let mut table = self.table.borrow_mut();
        let socket = table.connected(session);
        if let Some(open) = table.open(session) {
            open.kept.handshake = None;
        }
        drop(table);
        self.outboxes.tell(socket, &Told::Connected { session: session.into() });
    }

    /// The peer's address has changed.
    pub(super) fn moved(&self, session: SessionId) {
        let socket = self.table.borrow().socket_of(session);
        self.outboxes.tell(socket, &Told::Moved { session: session.into() });
    }

    /// The worker of a session that may ask for other encodings now.
    pub(super) fn may_choose_layers(&self, session: SessionId) -> Result<WorkerIndex, Problem> {
        let mut table = self.table.borrow_mut();
        let open = table.open(session).ok_or_else(Problem::no_session)?;
        let (at_once, pause) = (limits::LAYER_REQUESTS_AT_ONCE, limits::LAYER_REQUEST_PAUSE);
        if open.kept.layer_requests.take(at_once, pause, self.clock.now()) {
            return Ok(open.worker);
        }
        let pause_ms = pause.as_millis();
        let detail = format!(
            "this session asks for layers too often: {at_once} times at once, then once in {pause_ms} ms: send a height \
             when it has stopped changing"
        );
        Err(Problem::too_many(Code::TooManyLayerRequests, detail))
    }

    /// A viewer's encodings, or the one that it is sent, have changed.
    pub(super) fn layers(&self, session: SessionId, told: &LayersTold) {
        let mut table = self.table.borrow_mut();
        let socket = table.socket_of(session);
        if let Some(open) = table.open(session)
            && let Some(events) = &mut open.kept.events
        {
            let is_video = |media: &NegotiatedMedia| media.kind == MediaKind::Video;
            let section = open.kept.description.media.iter().position(is_video).unwrap_or_default();
            events.tell(whep_layers(section, told));
        }
        drop(table);
        self.outboxes.tell(socket, &message::layers(session, told));
    }

    /// The client of a session wants events.
    pub(super) fn begin_events(&self, session: SessionId) -> Result<(), Problem> {
        let mut table = self.table.borrow_mut();
        let open = table.open(session).ok_or_else(Problem::no_session)?;
        open.kept.events.get_or_insert_default();
        Ok(())
    }

    /// The client of a session wants no events any more.
    pub(super) fn end_events(&self, session: SessionId) -> Result<(), Problem> {
        let mut table = self.table.borrow_mut();
        let open = table.open(session).ok_or_else(Problem::no_session)?;
        open.kept.events.take().map(drop).ok_or_else(no_events)
    }

    /// The newest event of a session after `last`, or the channel that says when there is one.
    pub(super) fn next_event(
        &self,
        session: SessionId,
        last: u64,
    ) -> Result<Result<(u64, String), flume::Receiver<()>>, Problem> {
        let mut table = self.table.borrow_mut();
        let open = table.open(session).ok_or_else(Problem::no_session)?;
        Ok(open.kept.events.as_mut().ok_or_else(no_events)?.after(last))
    }

    /// A viewer is sent the nearest of what it negotiated, which may not decode what is published.
    pub(super) fn nearest_fits(&self, session: SessionId, published: &str, sent_as: &str) {
        self.counters.nearest_fits();
        let socket = self.table.borrow().socket_of(session);
        self.outboxes.tell(socket, &Told::NearestFits { session: session.into(), published, sent_as });
    }

    /// A viewer's path passes no full packet.
    pub(super) fn path_too_narrow(&self, session: SessionId) {
        self.counters.path_too_narrow();
        let socket = self.table.borrow().socket_of(session);
        self.outboxes.tell(socket, &Told::PathTooNarrow { session: session.into() });
    }

    /// A viewer gets no media of one kind, because nothing that it negotiated fits.
    pub(super) fn nothing_fits(&self, session: SessionId, published: &str) {
        self.counters.nothing_fits();
        let socket = self.table.borrow().socket_of(session);
        self.outboxes.tell(socket, &message::nothing_fits(session, published));
    }

    /// Handles the peer's fragment (RFC 8840 §9). If it has other credentials than the present ones, it restarts ICE,
    /// and the answering fragment is returned. If it has none or the same ones, nothing changes.
    pub(super) fn restart(
        &self,
        answers: &Answers,
        session: SessionId,
        remote_ice: Option<IceCredentials>,
    ) -> Result<Option<String>, Problem> {
        let mut table = self.table.borrow_mut();
        let open = table.open(session).ok_or_else(Problem::no_session)?;
        let Some(remote_ice) = remote_ice.filter(|ice| *ice != open.kept.description.remote_ice) else {
            return Ok(None);
        };
        let (at_once, pause) = (limits::ICE_RESTARTS_AT_ONCE, limits::ICE_RESTART_PAUSE);
        if !open.kept.restarts.take(at_once, pause, self.clock.now()) {
            let pause_s = pause.as_secs();
            let detail =
                format!("this session restarts ICE too often: {at_once} times at once, then once in {pause_s} s");
            return Err(Problem::too_many(Code::TooManyRestarts, detail));
        }
        let worker = self.workers.handle(open.worker);
        let Restarted { fragment, local_ice } =
            answers.restart(&open.kept.description, worker, &open.kept.identity, open.name);
        let message = Control::RestartIce { session, local_ice, remote_ice: remote_ice.clone() };
        if worker.try_send(message).is_err() {
            return Err(Problem::unavailable(Code::WorkerFull, "the node is overloaded: try again later"));
        }
        open.kept.description.remote_ice = remote_ice;
        tracing::info!(session = session.0, "ICE restarted");
        Ok(Some(fragment))
    }

    // --- it ends ---

    /// Asks the worker of an open session to end it.
    pub(super) fn end(&self, session: SessionId, reason: EndReason) {
        let worker = self.table.borrow().worker_of(session);
        if let Some(worker) = worker {
            self.workers.close(worker, session, reason);
        }
    }

    /// Ends a session at its client's request. It returns when the worker has let go of the session, so that the name
    /// is free for the next publisher. From the call on nobody owns the session, and no socket is told of its end.
    pub(super) async fn close(&self, session: SessionId) {
        let (sender, ended) = flume::bounded(1);
        self.end(session, EndReason::Left);
        {
            let mut table = self.table.borrow_mut();
            table.disowned(session, EndReason::Left);
            match table.open(session) {
                Some(open) => open.kept.waiters.push(sender),
                None => return,
            }
        }
        runtime::timeout(limits::SESSION_CLOSE_TIME_MAX, ended.recv_async()).await;
    }

    /// The open publisher of a name, and whether it is the client of `grant`.
    pub(super) fn publisher_of(&self, name: &StreamName, grant: &Grant) -> Option<(SessionId, bool)> {
        let mut table = self.table.borrow_mut();
        let (session, open) = table.publisher_of(name)?;
        Some((session, open.kept.grant.is_of_same_client(grant)))
    }

    /// What is published under a name, if its publisher is open and on this node: of each medium the codec.
    pub(super) fn published(&self, name: &StreamName) -> Vec<(MediaKind, Codec)> {
        let mut table = self.table.borrow_mut();
        let Some((_, open)) = table.publisher_of(name) else { return Vec::new() };
        let media = open.kept.description.media.iter();
        media.filter_map(|media| Some((media.kind, media.codecs.first()?.codec))).collect()
    }

    /// Ends a publisher whose name another one takes over, at once or only if it has been silent for a while. Returns
    /// whether the name is free: the worker has let go of the session.
    pub(super) async fn replace(&self, session: SessionId, only_if_silent: bool) -> bool {
        let Some(worker) = self.table.borrow().worker_of(session) else { return true };
        if only_if_silent {
            let (reply, ends) = flume::bounded(1);
            let silence = limits::PUBLISHER_SILENCE_MAX;
            let message = Control::CloseIfSilent { session, silence, reason: EndReason::Replaced, reply };
            let asked = self.workers.handle(worker).try_send(message).is_ok();
            if !asked || runtime::timeout(limits::WORKER_REPLY_TIME_MAX, ends.recv_async()).await != Some(Ok(true)) {
                return false;
            }
        } else {
            self.end(session, EndReason::Replaced);
        }
        let (sender, ended) = flume::bounded(1);
        match self.table.borrow_mut().open(session) {
            Some(open) => open.kept.waiters.push(sender),
            // The worker's notice came first.
            None => return true,
        }
        // Notified, or dropped with the session.
        runtime::timeout(limits::SESSION_CLOSE_TIME_MAX, ended.recv_async()).await.is_some()
    }

    /// The session has ended: its worker has let go of it.
    pub(super) fn ended(&self, session: SessionId, reason: EndReason, totals: Totals) {
        let ended = self.table.borrow_mut().ended(session, reason, self.clock.now());
        // A session that was given up while it opened is no longer in the table.
        let Some(ended) = ended else { return };
        self.counters.session_ended(reason.name());
        tracing::info!(session = session.0, reason = reason.name(), "session ended");
        if let Some(mut kept) = ended.kept {
            kept.grant.ended(reason.name(), totals);
            let waiters = std::mem::take(&mut kept.waiters);
            match kept.claim.take() {
                Some(claim) => claim.release(waiters),
                None => waiters.iter().for_each(|waiter| _ = waiter.try_send(())),
            }
        }
        let (name, detail) = (reason.name(), message::detail_of(reason));
        self.outboxes.tell(ended.socket, &Told::Ended { session: session.into(), reason: name, detail });
        self.changed();
    }

    // --- owned by who knows its URL ---

    /// The session gets a URL that ends in `token`, and its state gets this entity tag.
    pub(super) fn given_url(&self, session: SessionId, token: String, entity_tag: String) {
        self.table.borrow_mut().given_url(session, token, entity_tag);
    }

    /// The session that a URL names, and its entity tag. Token, stream and direction must all match.
    pub(super) fn at_url(
        &self,
        token: &str,
        stream_name: &str,
        direction: Direction,
    ) -> Result<(SessionId, String), Problem> {
        let table = self.table.borrow();
        if let Some((session, entity_tag)) = table.at_url(token, stream_name, direction) {
            return Ok((session, entity_tag.to_owned()));
        }
        Err(match table.was_at_url(token, stream_name, direction) {
            Some(EndReason::Replaced) => Problem::replaced(),
            _ => Problem::no_session(),
        })
    }

    /// Whether a URL named a session that has ended lately.
    pub(super) fn was_at_url(&self, token: &str, stream_name: &str, direction: Direction) -> bool {
        self.table.borrow().was_at_url(token, stream_name, direction).is_some()
    }

    /// The session's state gets another entity tag.
    pub(super) fn retagged(&self, session: SessionId, entity_tag: String) {
        self.table.borrow_mut().retagged(session, entity_tag);
    }

    // --- owned by a socket ---

    /// A socket has opened. What concerns it is put into this outbox.
    pub(super) fn socket_opened(&self, outbox: Rc<Outbox>) -> SocketId {
        let socket = self.table.borrow_mut().socket_opened();
        self.outboxes.add(socket, outbox);
        socket
    }

    /// A socket has closed. Its sessions are lost until `grace_ends`.
    pub(super) fn socket_closed(&self, socket: SocketId, grace_ends: Timestamp) {
        self.outboxes.remove(socket);
        self.table.borrow_mut().socket_closed(socket, grace_ends);
        self.set_alarm();
    }

    /// The session belongs to the socket that opened it.
    pub(super) fn given_to_socket(&self, socket: SocketId, session: SessionId, secret: String) {
        self.table.borrow_mut().given_to_socket(socket, session, secret);
    }

    /// Whether the session belongs to the socket.
    pub(super) fn owns(&self, socket: SocketId, session: SessionId) -> bool {
        self.table.borrow().owns(socket, session)
    }

    /// The sessions of a socket.
    pub(super) fn sessions_of(&self, socket: SocketId) -> Vec<SessionId> {
        self.table.borrow().sessions_of(socket)
    }

    /// A socket takes a session over with its secret. The socket that had it is told.
    pub(super) fn resume(&self, socket: SocketId, session: SessionId, secret: &str) -> Option<Resumed> {
        let resumed = self.table.borrow_mut().resumed(socket, session, secret)?;
        self.outboxes.tell(resumed.taken_from, &message::resumed_elsewhere(session));
        self.counters.session_resumed();
        tracing::info!(session = session.0, "session resumed by another socket");
        Some(resumed)
    }

    /// A socket follows a stream, until `until` if that is given. Returns `false` if it follows as many streams as it
    /// may.
    pub(super) fn follow(&self, socket: SocketId, stream: &StreamName, until: Option<Timestamp>) -> bool {
        let max = limits::SOCKET_FOLLOWS_MAX;
        let follows = self.table.borrow_mut().follow(socket, stream, max, until);
        self.set_alarm();
        follows
    }

    /// A socket no longer follows a stream.
    pub(super) fn unfollow(&self, socket: SocketId, stream: &StreamName) {
        self.table.borrow_mut().unfollow(socket, stream);
    }

    /// The node is shutting down: every socket is told, then closed.
    pub(super) fn going_away(&self) {
        let text = Told::GoingAway { in_s: limits::SHUTDOWN_TIME_MAX.as_secs() }.text();
        self.outboxes.each(|outbox| {
            outbox.push(text.clone());
            outbox.close(Closing::GoingAway);
        });
    }

    // --- streams of other nodes ---

    /// A stream comes from another node, or does so no more.
    pub(super) fn comes_by_link(&self, name: &StreamName, comes: bool) {
        self.table.borrow_mut().comes_by_link(name, comes, self.clock.now());
        self.changed();
    }

    /// Other nodes are sent a stream, or none is any more.
    pub(super) fn links_listen(&self, name: &StreamName, listen: bool) {
        self.table.borrow_mut().links_listen(name, listen);
        self.changed();
    }

    // --- who is told ---

    /// Tells everyone concerned what has changed. To be called after each change of a stream.
    fn changed(&self) {
        let went = self.table.borrow_mut().take_went();
        let wanted = self.table.borrow_mut().take_wanted();
        for (name, is_wanted) in wanted {
            if let Some(fetch) = &self.fetch {
                fetch.wants(&name, is_wanted);
            }
        }
        let table = self.table.borrow();
        for (name, live) in went {
            self.outboxes.tell_all(table.hearers_of(&name), &Told::Stream { stream: name.as_str(), live });
        }
        for worker in table.workers_to_tell() {
            self.workers.wake(worker);
        }
        drop(table);
        self.set_alarm();
    }

    /// Sets the alarm anew. To be called after something began to wait.
    fn set_alarm(&self) {
        self.alarm.due(self.table.borrow().next_expiry());
    }

    fn next_message(&self, worker: WorkerIndex) -> Option<Control> {
        self.workers.next_close(worker).or_else(|| self.table.borrow_mut().take_route(worker))
    }

    /// Sends one worker the messages that must not be lost, in order, as its mailbox has room.
    pub(super) async fn tell_worker(self: Rc<Self>, worker: WorkerIndex, woken: flume::Receiver<()>) {
        while woken.recv_async().await.is_ok() {
            while let Some(message) = self.next_message(worker) {
                if self.workers.handle(worker).send(message).await.is_err() {
                    // The worker has ended, and the server will end the process.
                    return;
                }
            }
        }
    }

    /// Ends the sessions of viewers whose publisher did not come in time and of clients whose socket did not come back,
    /// and follows whose permission has expired.
    pub(super) async fn end_waits(self: Rc<Self>) {
        loop {
            let next = self.table.borrow().next_expiry();
            self.alarm.wait(next, |at| self.clock.instant(at)).await;
            let now = self.clock.now();
            let expired = self.table.borrow_mut().take_expired(now);
            for (session, worker) in expired {
                self.workers.close(worker, session, EndReason::NoPublisher);
            }
            let over = self.table.borrow_mut().end_follows(now);
            for (socket, stream) in over {
                self.outboxes.tell(Some(socket), &Told::Unfollowed { id: None, stream: stream.as_str() });
            }
            let lost = self.table.borrow_mut().take_lost(now);
            for session in lost {
                self.end(session, EndReason::SignallingLost);
            }
        }
    }
}

fn no_events() -> Problem {
    let detail = "this session has no event stream: POST [\"layers\"] to this URL first";
    Problem::new(StatusCode::NOT_FOUND, Code::NoEvents, detail)
}

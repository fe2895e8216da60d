//! The one table of this node's sessions, whichever transport signals them. Everything known about a session is in its
//! row. Everything else that names a session is an index of this table: by stream ([`super::streams`]), by the secret
//! in a URL, by socket ([`super::sockets`]), and by the end of a lost socket's grace. So a single call,
//! [`SessionTable::ended`], removes every trace of a session.
//!
//! The life of a session, by the methods that record it:
//!
//! ```text
//!   admitted ─▶ asked ─▶ served ─▶ opened ─▶ given_url | given_to_socket ─▶ connected ─▶ ended
//!       │         │ ▲                                     │    ▲
//!       │         ▼ │ refused: the second worker          ▼    │ resumed
//!       └───────▶ ended                              socket_closed: lost, until the grace is over
//! ```
//!
//! A session's *owner* may change and end it. The owner is the client that knows the URL, or the socket that opened the
//! session or took it over. When that socket is gone, the session is *lost*: it continues until its grace is over, and
//! until then any socket that knows its secret may take it over.
//!
//! This is a plain value: no clock, no I/O. `now` is an argument, and what others must be told is returned. `K` is a
//! value that is kept with an open session; the table only returns it at the end.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use subtle::ConstantTimeEq as _;

use super::former::FormerUrls;
use super::sockets::{SocketId, SocketIndex};
use super::streams::{NotAdmitted, StreamBounds, StreamIndex};
use crate::description::Direction;
use crate::metrics::Audience;
use crate::signal::stream_name::StreamName;
use crate::time::Timestamp;
use crate::worker::mailbox::{Control, EndReason, OpenRefused, SessionId, StreamId, WorkerIndex};

/// The one answer to the code that opens a session: a worker serves it, or has refused it. If the channel is dropped
/// without an answer, the session has ended.
pub(in crate::signal) type WorkerAnswer = Result<(), OpenRefused>;

/// The table.
#[derive(Debug)]
pub(in crate::signal) struct SessionTable<K> {
    rows: HashMap<SessionId, Row<K>>,
    streams: StreamIndex,
    sockets: SocketIndex,
    by_url: HashMap<String, SessionId>,
    former: FormerUrls,
    /// Sessions whose socket is gone, by the end of their grace.
    lost: BTreeSet<(Timestamp, SessionId)>,
}

/// Everything known about a session.
struct Row<K> {
    name: StreamName,
    stream: StreamId,
    direction: Direction,
    /// The channel to the code that opens the session, until it is answered.
    asker: Option<flume::Sender<WorkerAnswer>>,
    /// The worker that serves it, once one does.
    worker: Option<WorkerIndex>,
    /// The kept value, once the session is open.
    kept: Option<K>,
    connected: bool,
    owner: SessionOwner,
}

/// A session's owner, with the secret that proves it.
enum SessionOwner {
    /// The session has no owner yet, or no longer.
    Nobody,
    Url {
        token: String,
        entity_tag: String,
    },
    Socket {
        socket: SocketId,
        secret: String,
    },
    Lost {
        until: Timestamp,
        secret: String,
    },
}

/// Secrets are not shown.
impl<K> fmt::Debug for Row<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("name", &self.name).field("direction", &self.direction).finish_non_exhaustive()
    }
}

impl<K> Row<K> {
    /// The stream that the session plays, if it plays one.
    fn plays(&self) -> Option<&StreamName> {
        (self.direction == Direction::Play).then_some(&self.name)
    }
}

/// An open session, as [`SessionTable::open`] returns it.
#[derive(Debug)]
pub(in crate::signal) struct InService<'a, K> {
    pub(in crate::signal) name: &'a StreamName,
    pub(in crate::signal) stream: StreamId,
    pub(in crate::signal) worker: WorkerIndex,
    pub(in crate::signal) kept: &'a mut K,
}

/// What remains of a session that has ended, for the final notifications.
#[derive(Debug)]
pub(in crate::signal) struct Ended<K> {
    /// The kept value; `None` if the session never opened.
    pub(in crate::signal) kept: Option<K>,
    /// The socket that owned it.
    pub(in crate::signal) socket: Option<SocketId>,
}

/// A session that was taken over.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::signal) struct Resumed {
    /// Whether it has connected, perhaps while no socket was told.
    pub(in crate::signal) connected: bool,
    /// The stream that it plays, if it plays one.
    pub(in crate::signal) plays: Option<StreamName>,
    /// The socket that owned it until now.
    pub(in crate::signal) taken_from: Option<SocketId>,
}

impl<K> SessionTable<K> {
    /// No session yet.
    pub(in crate::signal) fn new(bounds: StreamBounds) -> Self {
        Self {
            rows: HashMap::new(),
            streams: StreamIndex::new(bounds),
            sockets: SocketIndex::default(),
            by_url: HashMap::new(),
            former: FormerUrls::default(),
            lost: BTreeSet::new(),
        }
    }

    /// Changes the bounds; see [`StreamIndex::set_bounds`].
    pub(in crate::signal) fn set_bounds(&mut self, bounds: StreamBounds) {
        self.streams.set_bounds(bounds);
    }

    // --- a session opens ---

    /// Admits a session to a name. It counts from here on, until it has [`ended`](Self::ended).
    pub(in crate::signal) fn admitted(
        &mut self,
        session: SessionId,
        name: &StreamName,
        direction: Direction,
        now: Timestamp,
    ) -> Result<StreamId, NotAdmitted> {
        debug_assert!(!self.rows.contains_key(&session));
        let stream = self.streams.admit(session, name, direction, now)?;
        let row = Row {
            name: name.clone(),
            stream,
            direction,
            asker: None,
            worker: None,
            kept: None,
            connected: false,
            owner: SessionOwner::Nobody,
        };
        self.rows.insert(session, row);
        Ok(stream)
    }

    /// A worker is being asked to serve the session. `asker` gets the one answer.
    pub(in crate::signal) fn asked(&mut self, session: SessionId, asker: flume::Sender<WorkerAnswer>) {
        if let Some(row) = self.rows.get_mut(&session) {
            row.asker = Some(asker);
        }
    }

    /// A worker now serves the session. Its stream counts it first, then its asker is answered. Returns `false` if the
    /// session is not known, which means that its asker has given up and it is being closed.
    pub(in crate::signal) fn served(&mut self, session: SessionId, worker: WorkerIndex) -> bool {
        let Some(row) = self.rows.get_mut(&session).filter(|row| row.worker.is_none()) else { return false };
        row.worker = Some(worker);
        self.streams.served(row.stream, row.direction, worker);
        if let Some(asker) = row.asker.take() {
            let _ = asker.try_send(Ok(()));
        }
        true
    }

    /// The worker that was asked has refused the session.
    pub(in crate::signal) fn refused(&mut self, session: SessionId, why: OpenRefused) {
        if let Some(asker) = self.rows.get_mut(&session).and_then(|row| row.asker.take()) {
            let _ = asker.try_send(Err(why));
        }
    }

    /// Whether a worker still serves the session.
    pub(in crate::signal) fn is_served(&self, session: SessionId) -> bool {
        self.rows.get(&session).is_some_and(|row| row.worker.is_some())
    }

    /// The session is open, and `kept` is stored with it. If it has ended in the meantime, nothing is stored and
    /// `false` is returned.
    pub(in crate::signal) fn opened(&mut self, session: SessionId, kept: K) -> bool {
        let Some(row) = self.rows.get_mut(&session).filter(|row| row.worker.is_some()) else { return false };
        row.kept = Some(kept);
        true
    }

    /// An open session.
    pub(in crate::signal) fn open(&mut self, session: SessionId) -> Option<InService<'_, K>> {
        let Row { name, stream, worker, kept, .. } = self.rows.get_mut(&session)?;
        Some(InService { name, stream: *stream, worker: (*worker)?, kept: kept.as_mut()? })
    }

    /// Whether the session has connected.
    pub(in crate::signal) fn is_connected(&self, session: SessionId) -> bool {
        self.rows.get(&session).is_some_and(|row| row.connected)
    }

    /// The worker that serves an open session.
    pub(in crate::signal) fn worker_of(&self, session: SessionId) -> Option<WorkerIndex> {
        let row = self.rows.get(&session)?;
        row.kept.as_ref().and(row.worker)
    }

    // --- it goes on ---

    /// The session has connected. Returns the socket to tell.
    pub(in crate::signal) fn connected(&mut self, session: SessionId) -> Option<SocketId> {
        self.rows.get_mut(&session)?.connected = true;
        self.socket_of(session)
    }

    /// The socket that owns the session.
    pub(in crate::signal) fn socket_of(&self, session: SessionId) -> Option<SocketId> {
        match self.rows.get(&session)?.owner {
            SessionOwner::Socket { socket, .. } => Some(socket),
            _ => None,
        }
    }

    /// Removes a session, in whichever state it is. This is the only way in which a session leaves the table. `None` if
    /// it is not known.
    pub(in crate::signal) fn ended(
        &mut self,
        session: SessionId,
        reason: EndReason,
        now: Timestamp,
    ) -> Option<Ended<K>> {
        let socket = self.disowned(session, reason);
        let row = self.rows.remove(&session)?;
        self.streams.left(session, row.stream, row.direction, row.worker, now);
        Some(Ended { kept: row.kept, socket })
    }

    /// Removes the session's owner, because it ends for `reason`. Returns the socket, if a socket owned it.
    pub(in crate::signal) fn disowned(&mut self, session: SessionId, reason: EndReason) -> Option<SocketId> {
        let row = self.rows.get_mut(&session)?;
        match std::mem::replace(&mut row.owner, SessionOwner::Nobody) {
            SessionOwner::Nobody => None,
            SessionOwner::Url { token, .. } => {
                self.by_url.remove(&token);
                self.former.add(token, row.name.clone(), row.direction, reason);
                None
            }
            SessionOwner::Lost { until, .. } => {
                self.lost.remove(&(until, session));
                None
            }
            SessionOwner::Socket { socket, .. } => {
                self.sockets.taken(socket, session, row.plays());
                Some(socket)
            }
        }
    }

    // --- owned by who knows its URL ---

    /// Gives the session a URL that ends in `token`, and its state this entity tag.
    pub(in crate::signal) fn given_url(&mut self, session: SessionId, token: String, entity_tag: String) {
        self.disowned(session, EndReason::Left);
        if let Some(row) = self.rows.get_mut(&session) {
            self.by_url.insert(token.clone(), session);
            row.owner = SessionOwner::Url { token, entity_tag };
        }
    }

    /// Whether a session belongs to whoever knows its URL.
    pub(in crate::signal) fn has_url(&self, session: SessionId) -> bool {
        self.rows.get(&session).is_some_and(|row| matches!(row.owner, SessionOwner::Url { .. }))
    }

    /// The session that a URL names, and its entity tag. Token, stream and direction must all match.
    pub(in crate::signal) fn at_url(
        &self,
        token: &str,
        stream_name: &str,
        direction: Direction,
    ) -> Option<(SessionId, &str)> {
        let session = *self.by_url.get(token)?;
        let row = self.rows.get(&session)?;
        let SessionOwner::Url { entity_tag, .. } = &row.owner else { return None };
        let fits = row.direction == direction && row.name.as_str() == stream_name;
        fits.then_some((session, entity_tag))
    }

    /// How the session that a URL named has ended, if it is among the newest that have.
    pub(in crate::signal) fn was_at_url(
        &self,
        token: &str,
        stream_name: &str,
        direction: Direction,
    ) -> Option<EndReason> {
        self.former.find(token, stream_name, direction)
    }

    /// Gives the session's state another entity tag.
    pub(in crate::signal) fn retagged(&mut self, session: SessionId, newest: String) {
        if let Some(Row { owner: SessionOwner::Url { entity_tag, .. }, .. }) = self.rows.get_mut(&session) {
            *entity_tag = newest;
        }
    }

    // --- owned by a socket ---

    /// Adds a socket.
    pub(in crate::signal) fn socket_opened(&mut self) -> SocketId {
        self.sockets.opened()
    }

    /// A socket is gone. Its sessions are lost until `grace_ends`.
    pub(in crate::signal) fn socket_closed(&mut self, socket: SocketId, grace_ends: Timestamp) {
        for session in self.sockets.closed(socket) {
            let Some(row) = self.rows.get_mut(&session) else { continue };
            self.sockets.taken(socket, session, row.plays());
            if let SessionOwner::Socket { secret, .. } = &mut row.owner {
                let secret = std::mem::take(secret);
                row.owner = SessionOwner::Lost { until: grace_ends, secret };
                self.lost.insert((grace_ends, session));
            }
        }
    }

    /// Gives the session to the socket that opened it. Another socket can take it over with `secret`.
    pub(in crate::signal) fn given_to_socket(&mut self, socket: SocketId, session: SessionId, secret: String) {
        self.disowned(session, EndReason::Left);
        let Some(row) = self.rows.get_mut(&session) else { return };
        if self.sockets.is_open(socket) {
            row.owner = SessionOwner::Socket { socket, secret };
            self.sockets.given(socket, session, row.plays());
        }
    }

    /// Whether the socket owns the session.
    pub(in crate::signal) fn owns(&self, socket: SocketId, session: SessionId) -> bool {
        self.socket_of(session) == Some(socket)
    }

    /// The sessions of a socket.
    pub(in crate::signal) fn sessions_of(&self, socket: SocketId) -> Vec<SessionId> {
        self.sockets.sessions_of(socket).collect()
    }

    /// Gives a session to another socket that knows its secret. A wrong secret and an unknown session look the same.
    pub(in crate::signal) fn resumed(
        &mut self,
        socket: SocketId,
        session: SessionId,
        given_secret: &str,
    ) -> Option<Resumed> {
        let row = self.rows.get_mut(&session)?;
        let (SessionOwner::Socket { secret, .. } | SessionOwner::Lost { secret, .. }) = &row.owner else { return None };
        if !bool::from(secret.as_bytes().ct_eq(given_secret.as_bytes())) {
            return None;
        }
        if !self.sockets.is_open(socket) {
            return None;
        }
        let secret = secret.clone();
        let taken_from = match row.owner {
            // The same session was named twice in one `hello`.
            SessionOwner::Socket { socket: previous, .. } if previous == socket => return None,
            SessionOwner::Socket { socket: previous, .. } => {
                self.sockets.taken(previous, session, row.plays());
                Some(previous)
            }
            SessionOwner::Lost { until, .. } => {
                self.lost.remove(&(until, session));
                None
            }
            SessionOwner::Nobody | SessionOwner::Url { .. } => return None,
        };
        row.owner = SessionOwner::Socket { socket, secret };
        self.sockets.given(socket, session, row.plays());
        Some(Resumed { connected: row.connected, plays: row.plays().cloned(), taken_from })
    }

    /// Lets a socket follow a stream; see [`SocketIndex::follow`].
    pub(in crate::signal) fn follow(
        &mut self,
        socket: SocketId,
        stream: &StreamName,
        max: usize,
        until: Option<Timestamp>,
    ) -> bool {
        self.sockets.follow(socket, stream, max, until)
    }

    /// Ends a follow. Does nothing if the socket does not follow the stream.
    pub(in crate::signal) fn unfollow(&mut self, socket: SocketId, stream: &StreamName) {
        self.sockets.unfollow(socket, stream);
    }

    /// The sockets that hear of a stream, each once.
    pub(in crate::signal) fn hearers_of(&self, stream: &StreamName) -> impl Iterator<Item = SocketId> + '_ {
        self.sockets.hearers_of(stream)
    }

    // --- time passes ---

    /// When the next of these ends: a wait for a publisher, the grace of a lost session, or the permission to follow.
    pub(in crate::signal) fn next_expiry(&self) -> Option<Timestamp> {
        let lost = self.lost.first().map(|(until, _)| *until);
        [self.streams.next_expiry(), self.sockets.next_expiry(), lost].into_iter().flatten().min()
    }

    /// Takes the viewers whose wait for a publisher is over, with their workers. They stay in the table until they have
    /// ended.
    pub(in crate::signal) fn take_expired(&mut self, now: Timestamp) -> Vec<(SessionId, WorkerIndex)> {
        let (mut expired, mut opening) = (Vec::new(), Vec::new());
        while let Some((session, stream)) = self.streams.take_expired(now) {
            match self.rows.get(&session).and_then(|row| row.worker) {
                Some(worker) => expired.push((session, worker)),
                // It is still being opened, so no worker can end it yet. It waits once more.
                None => opening.push((session, stream)),
            }
        }
        for (session, stream) in opening {
            self.streams.wait(session, stream, now);
        }
        expired
    }

    /// Takes the sessions whose grace is over. Nobody can take them over any more. They stay in the table until they
    /// have ended.
    pub(in crate::signal) fn take_lost(&mut self, now: Timestamp) -> Vec<SessionId> {
        let mut over = Vec::new();
        while let Some((_, session)) = self.lost.first().copied().filter(|(until, _)| *until <= now) {
            self.disowned(session, EndReason::SignallingLost);
            over.push(session);
        }
        over
    }

    /// Ends the follows whose permission has expired; see [`SocketIndex::end_follows`].
    pub(in crate::signal) fn end_follows(&mut self, now: Timestamp) -> Vec<(SocketId, StreamName)> {
        self.sockets.end_follows(now)
    }

    // --- streams ---

    /// The publisher of that name, if its session is open.
    pub(in crate::signal) fn publisher_of(&mut self, name: &StreamName) -> Option<(SessionId, InService<'_, K>)> {
        let session = self.streams.publisher_of(name)?;
        Some((session, self.open(session)?))
    }

    /// Whether a worker serves a publisher of that name.
    pub(in crate::signal) fn is_live(&self, name: &StreamName) -> bool {
        self.streams.is_live(name)
    }

    /// The names that got (`true`) or lost their publisher since the last call, in order.
    pub(in crate::signal) fn take_went(&mut self) -> Vec<(StreamName, bool)> {
        self.streams.take_went()
    }

    /// That worker has the links of a cluster's node; see [`StreamIndex::set_links`].
    pub(in crate::signal) fn set_links(&mut self, links: WorkerIndex) {
        self.streams.set_links(links);
    }

    /// A stream comes from another node, or does so no more.
    pub(in crate::signal) fn comes_by_link(&mut self, name: &StreamName, comes: bool, now: Timestamp) {
        self.streams.comes_by_link(name, comes, now);
    }

    /// Other nodes are sent a stream, or none is any more.
    pub(in crate::signal) fn links_listen(&mut self, name: &StreamName, listen: bool) {
        self.streams.links_listen(name, listen);
    }

    /// The streams that are wanted from other nodes, or are no more, since the last call.
    pub(in crate::signal) fn take_wanted(&mut self) -> Vec<(StreamName, bool)> {
        self.streams.take_wanted()
    }

    /// Takes the next `Route` that `worker` has not been told, with the present state.
    pub(in crate::signal) fn take_route(&mut self, worker: WorkerIndex) -> Option<Control> {
        self.streams.take_route(worker)
    }

    /// The workers that have not been told everything.
    pub(in crate::signal) fn workers_to_tell(&self) -> impl Iterator<Item = WorkerIndex> + '_ {
        self.streams.workers_to_tell()
    }

    /// How many sessions publish, play and wait.
    pub(in crate::signal) fn audience(&self) -> Audience {
        self.streams.audience()
    }

    /// Panics if an index names a session that is not in the table, or if a session is missing from an index.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let owned = |by: fn(&SessionOwner) -> bool| self.rows.values().filter(|row| by(&row.owner)).count();
        assert_eq!(self.by_url.len(), owned(|owner| matches!(owner, SessionOwner::Url { .. })));
        assert_eq!(self.lost.len(), owned(|owner| matches!(owner, SessionOwner::Lost { .. })));
        assert!(self.by_url.values().chain(self.lost.iter().map(|(_, id)| id)).all(|id| self.rows.contains_key(id)));
        let audience = self.audience();
        assert_eq!(audience.publishers + audience.viewers, self.rows.len());
        assert!(audience.waiting_viewers <= audience.viewers);
        if self.rows.is_empty() {
            assert!(self.streams.is_empty() && self.sockets.has_no_session(), "{:?} {:?}", self.streams, self.sockets);
        }
    }

    /// Whether neither the table nor any index has a session or a socket.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let is_table_empty = self.rows.is_empty() && self.by_url.is_empty() && self.lost.is_empty();
        is_table_empty && self.streams.is_empty() && self.sockets.is_empty()
    }
}

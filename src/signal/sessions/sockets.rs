//! The index of sessions by socket, and of the sockets that hear of each stream.
//!
//! A socket may have several reasons to hear of a stream: it follows the stream, and each of its sessions that plays
//! the stream. It is told once all the same. [`super::table`] decides which session belongs to whom; this only keeps
//! the sets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::signal::stream_name::StreamName;
use crate::time::Timestamp;
use crate::worker::mailbox::SessionId;

/// The number of a socket on this node. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::signal) struct SocketId(u64);

/// The index.
#[derive(Debug, Default)]
pub(super) struct SocketIndex {
    sockets_so_far: u64,
    open: HashMap<SocketId, Socket>,
    /// Per stream: the sockets that hear of it, each with its number of reasons.
    hearers: HashMap<StreamName, BTreeMap<SocketId, usize>>,
    /// Follows that are allowed for a limited time, by the end of that time.
    limited: BTreeSet<(Timestamp, SocketId, StreamName)>,
}

#[derive(Debug, Default)]
struct Socket {
    sessions: BTreeSet<SessionId>,
    /// The followed streams, each with the end of the permission if it has one.
    follows: BTreeMap<StreamName, Option<Timestamp>>,
}

impl SocketIndex {
    /// Adds a socket.
    pub(super) fn opened(&mut self) -> SocketId {
        self.sockets_so_far += 1;
        let id = SocketId(self.sockets_so_far);
        self.open.insert(id, Socket::default());
        id
    }

    /// Removes a socket and its follows. Returns its sessions; the caller must call [`Self::taken`] for each.
    pub(super) fn closed(&mut self, socket: SocketId) -> BTreeSet<SessionId> {
        let Some(gone) = self.open.remove(&socket) else { return BTreeSet::new() };
        for (stream, until) in gone.follows {
            self.stopped_following(socket, &stream, until);
        }
        gone.sessions
    }

    /// Whether the socket is open.
    pub(super) fn is_open(&self, socket: SocketId) -> bool {
        self.open.contains_key(&socket)
    }

    /// Gives a session to a socket. The socket hears of the stream that the session plays.
    pub(super) fn given(&mut self, socket: SocketId, session: SessionId, plays: Option<&StreamName>) {
        let Some(open) = self.open.get_mut(&socket) else { return };
        if open.sessions.insert(session)
            && let Some(stream) = plays
        {
            self.start_hearing(socket, stream);
        }
    }

    /// Takes a session from a socket, also if the socket itself is gone.
    pub(super) fn taken(&mut self, socket: SocketId, session: SessionId, plays: Option<&StreamName>) {
        if let Some(open) = self.open.get_mut(&socket) {
            open.sessions.remove(&session);
        }
        if let Some(stream) = plays {
            self.stop_hearing(socket, stream);
        }
    }

    /// The sessions of a socket.
    pub(super) fn sessions_of(&self, socket: SocketId) -> impl Iterator<Item = SessionId> + '_ {
        self.open.get(&socket).into_iter().flat_map(|open| open.sessions.iter().copied())
    }

    /// The sockets that hear of a stream, each once.
    pub(super) fn hearers_of(&self, stream: &StreamName) -> impl Iterator<Item = SocketId> + '_ {
        self.hearers.get(stream).into_iter().flat_map(|sockets| sockets.keys().copied())
    }

    /// Lets a socket follow a stream, until `until` if that is given. Returns `false` if it follows as many streams as
    /// it may.
    pub(super) fn follow(
        &mut self,
        socket: SocketId,
        stream: &StreamName,
        max: usize,
        until: Option<Timestamp>,
    ) -> bool {
        let Some(open) = self.open.get_mut(&socket) else { return false };
        if !open.follows.contains_key(stream) && open.follows.len() >= max {
            return false;
        }
        let before = open.follows.insert(stream.clone(), until);
        self.start_hearing(socket, stream);
        // Following a stream again only changes the end of the follow.
        if let Some(before) = before {
            self.stopped_following(socket, stream, before);
        }
        if let Some(until) = until {
            self.limited.insert((until, socket, stream.clone()));
        }
        true
    }

    /// Ends a follow. Does nothing if the socket does not follow the stream.
    pub(super) fn unfollow(&mut self, socket: SocketId, stream: &StreamName) {
        let until = self.open.get_mut(&socket).and_then(|open| open.follows.remove(stream));
        if let Some(until) = until {
            self.stopped_following(socket, stream, until);
        }
    }

    fn stopped_following(&mut self, socket: SocketId, stream: &StreamName, until: Option<Timestamp>) {
        if let Some(until) = until {
            self.limited.remove(&(until, socket, stream.clone()));
        }
        self.stop_hearing(socket, stream);
    }

    fn start_hearing(&mut self, socket: SocketId, stream: &StreamName) {
        *self.hearers.entry(stream.clone()).or_default().entry(socket).or_default() += 1;
    }

    fn stop_hearing(&mut self, socket: SocketId, stream: &StreamName) {
        let Some(sockets) = self.hearers.get_mut(stream) else { return };
        if let Some(reasons) = sockets.get_mut(&socket) {
            *reasons -= 1;
            if *reasons == 0 {
                sockets.remove(&socket);
            }
        }
        if sockets.is_empty() {
            self.hearers.remove(stream);
        }
    }

    /// When the next permission to follow expires.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.limited.first().map(|(until, ..)| *until)
    }

    /// Ends the follows whose permission has expired. Returns which socket to tell about which stream.
    pub(super) fn end_follows(&mut self, now: Timestamp) -> Vec<(SocketId, StreamName)> {
        let mut over = Vec::new();
        while self.limited.first().is_some_and(|(until, ..)| *until <= now)
            && let Some((_, socket, stream)) = self.limited.pop_first()
        {
            self.unfollow(socket, &stream);
            over.push((socket, stream));
        }
        over
    }

    /// Whether there is no trace of any socket.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.hearers.is_empty() && self.limited.is_empty()
    }

    /// Whether there is no session. Sockets and their follows may exist.
    #[cfg(test)]
    pub(super) fn has_no_session(&self) -> bool {
        let follows: usize = self.open.values().map(|open| open.follows.len()).sum();
        let reasons: usize = self.hearers.values().flat_map(BTreeMap::values).sum();
        self.open.values().all(|open| open.sessions.is_empty()) && reasons == follows
    }
}

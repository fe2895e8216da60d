//! The index of sessions by socket, and by that of who hears of which stream.
//!
//! A socket hears of a stream for as many reasons as it has: it follows it, and each of its sessions that plays it. It is
//! told once. Which session is whose is decided in [`super::table`]; this only keeps the sets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::signal::stream_name::StreamName;
use crate::time::Timestamp;
use crate::worker::mailbox::SessionId;

/// Names a socket on this node; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::signal) struct SocketId(u64);

/// The index.
#[derive(Debug, Default)]
pub(super) struct SocketIndex {
    sockets_so_far: u64,
    open: HashMap<SocketId, Socket>,
    /// Whom a stream's name concerns, each with the number of reasons.
    hearers: HashMap<StreamName, BTreeMap<SocketId, usize>>,
    /// Follows that are allowed for some time, by its end.
    limited: BTreeSet<(Timestamp, SocketId, StreamName)>,
}

#[derive(Debug, Default)]
struct Socket {
    sessions: BTreeSet<SessionId>,
    /// Each with the end of the leave to, where it has one.
    follows: BTreeMap<StreamName, Option<Timestamp>>,
}

impl SocketIndex {
    /// A socket more.
    pub(super) fn opened(&mut self) -> SocketId {
        self.sockets_so_far += 1;
        let id = SocketId(self.sockets_so_far);
        self.open.insert(id, Socket::default());
        id
    }

    /// A socket is gone, and what it followed with it. Its sessions are returned: each must be taken from it.
    pub(super) fn closed(&mut self, socket: SocketId) -> BTreeSet<SessionId> {
        let Some(gone) = self.open.remove(&socket) else { return BTreeSet::new() };
        for (stream, until) in gone.follows {
            self.stopped_following(socket, &stream, until);
        }
        gone.sessions
    }

    /// Whether the socket is there.
    pub(super) fn is_open(&self, socket: SocketId) -> bool {
        self.open.contains_key(&socket)
    }

    /// A session is the socket's from now on; it hears of the stream that the session plays.
    pub(super) fn given(&mut self, socket: SocketId, session: SessionId, plays: Option<&StreamName>) {
        let Some(open) = self.open.get_mut(&socket) else { return };
        if open.sessions.insert(session)
            && let Some(stream) = plays
        {
            self.start_hearing(socket, stream);
        }
    }

    /// The opposite, also where the socket itself is gone.
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

    /// Those that hear of a stream, each once.
    pub(super) fn hearers_of(&self, stream: &StreamName) -> impl Iterator<Item = SocketId> + '_ {
        self.hearers.get(stream).into_iter().flat_map(|sockets| sockets.keys().copied())
    }

    /// Has a socket hear of a stream, until its leave runs out if it does; `false` when it follows as many as it may.
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
        // The same again is the same follow with another end.
        if let Some(before) = before {
            self.stopped_following(socket, stream, before);
        }
        if let Some(until) = until {
            self.limited.insert((until, socket, stream.clone()));
        }
        true
    }

    /// The opposite; nothing when it does not follow it.
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

    /// When the next leave to follow is over.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.limited.first().map(|(until, ..)| *until)
    }

    /// Ends the follows whose leave has run out, and gives whom to tell of which stream.
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

    /// Whether nothing is left of any socket.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.hearers.is_empty() && self.limited.is_empty()
    }

    /// Whether no session is left; sockets and what they follow may be.
    #[cfg(test)]
    pub(super) fn has_no_session(&self) -> bool {
        let follows: usize = self.open.values().map(|open| open.follows.len()).sum();
        let reasons: usize = self.hearers.values().flat_map(BTreeMap::values).sum();
        self.open.values().all(|open| open.sessions.is_empty()) && reasons == follows
    }
}

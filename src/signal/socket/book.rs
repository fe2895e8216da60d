//! Who owns which session and who hears of which stream: a plain book, without clock, channel or I/O (`now` is handed
//! in; what is to be told goes into outboxes).
//!
//! A session is owned by the socket that opened it or took it over. When that socket is gone the session is *lost*: it
//! goes on until its grace is over, and whoever knows its secret may take it over until then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use subtle::ConstantTimeEq as _;

use super::outbox::Outbox;
use crate::time::Timestamp;
use crate::worker::mailbox::SessionId;

/// Names a socket on this node; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SocketId(u64);

/// The book.
#[derive(Debug, Default)]
pub(super) struct Book {
    sockets_so_far: u64,
    sockets: HashMap<SocketId, Member>,
    sessions: HashMap<SessionId, Owned>,
    /// Whom a stream's name concerns, each with the number of reasons: a follow, and every session that plays it.
    hearers: HashMap<String, BTreeMap<SocketId, usize>>,
    /// Sessions without a socket, by the end of their grace.
    lost: BTreeSet<(Timestamp, SessionId)>,
    /// Follows that are allowed for some time, by its end.
    limited: BTreeSet<(Timestamp, SocketId, String)>,
}

/// A socket.
#[derive(Debug)]
struct Member {
    outbox: Rc<Outbox>,
    sessions: BTreeSet<SessionId>,
    /// Each with the end of the leave to, where it has one.
    follows: BTreeMap<String, Option<Timestamp>>,
}

/// A session that was opened over a socket.
struct Owned {
    secret: String,
    stream: String,
    is_viewer: bool,
    connected: bool,
    owner: Owner,
}

/// A secret is not shown.
impl std::fmt::Debug for Owned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owned").field("stream", &self.stream).field("owner", &self.owner).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Socket(SocketId),
    NobodyUntil(Timestamp),
}

/// A session that was taken over.
#[derive(Debug)]
pub(super) struct Resumed {
    /// It has connected, perhaps while nobody heard of it.
    pub(super) connected: bool,
    /// What it plays.
    pub(super) plays: Option<String>,
    /// The socket that had it until now.
    pub(super) taken_from: Option<Rc<Outbox>>,
}

impl Book {
    /// A socket more.
    pub(super) fn join(&mut self, outbox: Rc<Outbox>) -> SocketId {
        self.sockets_so_far += 1;
        let id = SocketId(self.sockets_so_far);
        self.sockets.insert(id, Member { outbox, sessions: BTreeSet::new(), follows: BTreeMap::new() });
        id
    }

    /// A socket is gone: its sessions are lost, until `grace_ends`.
    pub(super) fn leave(&mut self, socket: SocketId, grace_ends: Timestamp) {
        let Some(member) = self.sockets.remove(&socket) else { return };
        for (stream, until) in member.follows {
            self.stopped_following(socket, &stream, until);
        }
        for session in member.sessions {
            let Some(owned) = self.sessions.get_mut(&session) else { continue };
            owned.owner = Owner::NobodyUntil(grace_ends);
            self.lost.insert((grace_ends, session));
            if owned.is_viewer {
                let stream = owned.stream.clone();
                self.stop_hearing(socket, &stream);
            }
        }
    }

    /// Gives a session to the socket that opened it.
    pub(super) fn own(&mut self, socket: SocketId, session: SessionId, stream: &str, is_viewer: bool, secret: String) {
        let owner = Owner::Socket(socket);
        self.sessions.insert(session, Owned { secret, stream: stream.to_owned(), is_viewer, connected: false, owner });
        self.add_to(socket, session);
    }

    fn add_to(&mut self, socket: SocketId, session: SessionId) {
        if let Some(member) = self.sockets.get_mut(&socket) {
            member.sessions.insert(session);
        }
        if let Some(owned) = self.sessions.get(&session).filter(|owned| owned.is_viewer) {
            let stream = owned.stream.clone();
            self.start_hearing(socket, &stream);
        }
    }

    /// Whether the session is the socket's.
    pub(super) fn owns(&self, socket: SocketId, session: SessionId) -> bool {
        self.sockets.get(&socket).is_some_and(|member| member.sessions.contains(&session))
    }

    /// The sessions of a socket.
    pub(super) fn sessions_of(&self, socket: SocketId) -> Vec<SessionId> {
        self.sockets.get(&socket).map(|member| member.sessions.iter().copied().collect()).unwrap_or_default()
    }

    /// Takes a session over. A wrong secret and a session that is not there look the same.
    pub(super) fn resume(&mut self, socket: SocketId, session: SessionId, secret: &str) -> Option<Resumed> {
        let owned = self.sessions.get_mut(&session)?;
        if !bool::from(owned.secret.as_bytes().ct_eq(secret.as_bytes())) {
            return None;
        }
        let (stream, is_viewer, connected) = (owned.stream.clone(), owned.is_viewer, owned.connected);
        let taken_from = match std::mem::replace(&mut owned.owner, Owner::Socket(socket)) {
            Owner::NobodyUntil(until) => {
                self.lost.remove(&(until, session));
                None
            }
            // Named twice in one `hello`.
            Owner::Socket(previous) if previous == socket => return None,
            Owner::Socket(previous) => {
                if is_viewer {
                    self.stop_hearing(previous, &stream);
                }
                self.sockets.get_mut(&previous).map(|member| {
                    member.sessions.remove(&session);
                    member.outbox.clone()
                })
            }
        };
        self.add_to(socket, session);
        Some(Resumed { connected, plays: is_viewer.then_some(stream), taken_from })
    }

    /// Forgets a session; returns the socket that had it.
    pub(super) fn remove(&mut self, session: SessionId) -> Option<Rc<Outbox>> {
        let owned = self.sessions.remove(&session)?;
        match owned.owner {
            Owner::NobodyUntil(until) => {
                self.lost.remove(&(until, session));
                None
            }
            Owner::Socket(socket) => {
                if owned.is_viewer {
                    self.stop_hearing(socket, &owned.stream);
                }
                let member = self.sockets.get_mut(&socket)?;
                member.sessions.remove(&session);
                Some(member.outbox.clone())
            }
        }
    }

    /// Notes that a session has connected; returns who is to be told.
    pub(super) fn connected(&mut self, session: SessionId) -> Option<Rc<Outbox>> {
        self.sessions.get_mut(&session)?.connected = true;
        self.outbox_of(session)
    }

    /// The socket that has the session.
    pub(super) fn outbox_of(&self, session: SessionId) -> Option<Rc<Outbox>> {
        match self.sessions.get(&session)?.owner {
            Owner::Socket(socket) => self.sockets.get(&socket).map(|member| member.outbox.clone()),
            Owner::NobodyUntil(_) => None,
        }
    }

    /// All sockets.
    pub(super) fn outboxes(&self) -> impl Iterator<Item = &Rc<Outbox>> {
        self.sockets.values().map(|member| &member.outbox)
    }

    /// Those that hear of a stream, each once.
    pub(super) fn hearers_of(&self, stream: &str) -> impl Iterator<Item = &Rc<Outbox>> {
        let sockets = self.hearers.get(stream).into_iter().flat_map(BTreeMap::keys);
        sockets.filter_map(|socket| self.sockets.get(socket)).map(|member| &member.outbox)
    }

    /// Has a socket hear of a stream, until its leave runs out if it does; `false` when it follows as many as it may.
    pub(super) fn follow(&mut self, socket: SocketId, stream: &str, max: usize, until: Option<Timestamp>) -> bool {
        let Some(member) = self.sockets.get_mut(&socket) else { return false };
        if !member.follows.contains_key(stream) && member.follows.len() >= max {
            return false;
        }
        self.start_hearing(socket, stream);
        if let Some(until) = until {
            self.limited.insert((until, socket, stream.to_owned()));
        }
        let before = self.sockets.get_mut(&socket).and_then(|member| member.follows.insert(stream.to_owned(), until));
        // The same again is the same follow with another end.
        if let Some(end) = before.filter(|end| *end != until) {
            self.stopped_following(socket, stream, end);
        } else if before.is_some() {
            self.stop_hearing(socket, stream);
        }
        true
    }

    /// The opposite; nothing when it does not follow it.
    pub(super) fn unfollow(&mut self, socket: SocketId, stream: &str) {
        let until = self.sockets.get_mut(&socket).and_then(|member| member.follows.remove(stream));
        if let Some(until) = until {
            self.stopped_following(socket, stream, until);
        }
    }

    fn stopped_following(&mut self, socket: SocketId, stream: &str, until: Option<Timestamp>) {
        if let Some(until) = until {
            self.limited.remove(&(until, socket, stream.to_owned()));
        }
        self.stop_hearing(socket, stream);
    }

    fn start_hearing(&mut self, socket: SocketId, stream: &str) {
        *self.hearers.entry(stream.to_owned()).or_default().entry(socket).or_default() += 1;
    }

    fn stop_hearing(&mut self, socket: SocketId, stream: &str) {
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

    /// When the next grace or leave to follow is over.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        let lost = self.lost.first().map(|(until, _)| *until);
        let limited = self.limited.first().map(|(until, ..)| *until);
        lost.into_iter().chain(limited).min()
    }

    /// Ends the follows whose leave has run out, and gives whom to tell of which stream.
    pub(super) fn end_follows(&mut self, now: Timestamp) -> Vec<(Rc<Outbox>, String)> {
        let mut told = Vec::new();
        while self.limited.first().is_some_and(|(until, ..)| *until <= now)
            && let Some((_, socket, stream)) = self.limited.pop_first()
        {
            self.unfollow(socket, &stream);
            if let Some(member) = self.sockets.get(&socket) {
                told.push((member.outbox.clone(), stream));
            }
        }
        told
    }

    /// The sessions whose grace is over, which nobody can take over any more.
    pub(super) fn take_lost(&mut self, now: Timestamp) -> Vec<SessionId> {
        let mut over = Vec::new();
        while let Some((until, session)) = self.lost.first().copied().filter(|(until, _)| *until <= now) {
            self.lost.remove(&(until, session));
            self.sessions.remove(&session);
            over.push(session);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    const T0: Timestamp = Timestamp::from_millis(1_000);
    const T1: Timestamp = Timestamp::from_millis(2_000);
    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(2);

    fn socket(book: &mut Book) -> SocketId {
        book.join(Outbox::new(Budget::new(1_000)))
    }

    fn hearers(book: &Book, stream: &str) -> usize {
        book.hearers_of(stream).count()
    }

    fn assert_empty(book: &Book) {
        assert!(book.sockets.is_empty() && book.sessions.is_empty(), "{book:?}");
        assert!(book.hearers.is_empty() && book.lost.is_empty(), "{book:?}");
    }

    #[test]
    fn a_lost_session_is_taken_over_by_who_knows_its_secret_until_its_grace_is_over() {
        let mut book = Book::default();
        let first = socket(&mut book);
        book.own(first, A, "s", true, "secret".to_owned());
        book.own(first, B, "s", false, "other".to_owned());
        assert!(book.outbox_of(A).is_some() && hearers(&book, "s") == 1);
        book.leave(first, T1);
        assert!(book.outbox_of(A).is_none() && hearers(&book, "s") == 0);
        assert!(book.connected(A).is_none());
        assert_eq!((book.next_expiry(), book.take_lost(T0)), (Some(T1), vec![]));

        let second = socket(&mut book);
        for wrong in ["", "Secret", "secret ", "other"] {
            assert!(book.resume(second, A, wrong).is_none(), "{wrong:?}");
        }
        let resumed = book.resume(second, A, "secret").unwrap();
        assert!(resumed.connected && resumed.plays.as_deref() == Some("s") && resumed.taken_from.is_none());
        assert!(book.resume(second, A, "secret").is_none(), "named twice");
        assert_eq!((hearers(&book, "s"), book.sessions_of(second)), (1, vec![A]));

        assert_eq!(book.take_lost(T1), [B]);
        assert!(book.resume(second, B, "other").is_none(), "its grace is over");
        book.leave(second, T1);
        assert_eq!(book.take_lost(T1), [A]);
        assert_empty(&book);
    }

    #[test]
    fn a_session_goes_to_the_second_socket_while_the_first_is_open() {
        let mut book = Book::default();
        let (first, second) = (socket(&mut book), socket(&mut book));
        book.own(first, A, "s", true, "secret".to_owned());
        assert!(book.resume(second, A, "secret").unwrap().taken_from.is_some());
        assert!(book.owns(second, A) && !book.owns(first, A));
        book.leave(first, T1);
        assert!(book.outbox_of(A).is_some() && hearers(&book, "s") == 1 && book.next_expiry().is_none());
        assert!(book.remove(A).is_some() && book.remove(A).is_none());
        book.leave(second, T1);
        assert_empty(&book);
    }

    #[test]
    fn a_stream_is_heard_of_once_whatever_the_number_of_reasons() {
        let mut book = Book::default();
        let one = socket(&mut book);
        book.own(one, A, "s", true, String::new());
        book.own(one, B, "s", true, String::new());
        assert!(book.follow(one, "s", 1, None) && book.follow(one, "s", 1, None) && !book.follow(one, "t", 1, None));
        assert_eq!(hearers(&book, "s"), 1);
        book.remove(A);
        book.unfollow(one, "s");
        book.unfollow(one, "s");
        assert_eq!(hearers(&book, "s"), 1, "it still plays it");
        book.remove(B);
        assert_eq!(hearers(&book, "s"), 0);
        assert!(book.follow(one, "t", 1, None));
        book.leave(one, T0);
        assert_empty(&book);
    }

    #[test]
    fn a_follow_ends_with_its_leave_unless_it_was_asked_for_again() {
        let mut book = Book::default();
        let (one, other) = (socket(&mut book), socket(&mut book));
        for (socket, stream, until) in
            [(one, "s", Some(T0)), (one, "s", Some(T0)), (one, "t", Some(T0)), (other, "s", None)]
        {
            assert!(book.follow(socket, stream, 2, until));
        }
        assert!(book.follow(one, "t", 2, Some(T1)), "with leave for longer");
        assert_eq!((book.next_expiry(), hearers(&book, "s"), hearers(&book, "t")), (Some(T0), 2, 1));
        let streams = |told: Vec<(Rc<Outbox>, String)>| told.into_iter().map(|(_, stream)| stream).collect::<Vec<_>>();
        assert_eq!(streams(book.end_follows(T0)), ["s"]);
        assert_eq!((book.next_expiry(), hearers(&book, "s"), hearers(&book, "t")), (Some(T1), 1, 1));
        assert!(book.follow(one, "t", 2, None) && book.next_expiry().is_none(), "with leave for ever");
        assert!(book.follow(one, "s", 2, Some(T1)));
        book.leave(one, T1);
        book.leave(other, T1);
        assert!(book.end_follows(T1).is_empty());
        assert_empty(&book);
    }

    #[test]
    fn a_publisher_hears_of_no_stream_and_a_lost_session_may_end_by_itself() {
        let mut book = Book::default();
        let one = socket(&mut book);
        book.own(one, A, "s", false, String::new());
        assert_eq!(hearers(&book, "s"), 0);
        book.leave(one, T0);
        assert!(book.remove(A).is_none());
        assert_empty(&book);
    }
}

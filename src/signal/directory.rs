//! Who publishes and who plays which stream, and on which worker: the plain, single-threaded book of the node.
//!
//! Every change of a stream's origin or audience marks the stream as *changed* for each worker concerned; the task
//! that talks to that worker then takes the present state ([`Directory::take_route`]). So a burst of joins becomes one
//! `Route`, the newest state always wins, and what waits is bounded by streams × workers.
//!
//! No clock and no channel here: `now` is handed in, messages are taken out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::description::Direction;
use crate::metrics::Audience;
use crate::placement;
use crate::time::Timestamp;
use crate::worker::mailbox::{Control, Listener, Origin, SessionId, StreamId, WorkerIndex};

/// Why a session is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAdmitted {
    /// The stream has a publisher.
    NameTaken,
    /// As many viewers wait for publishers as may.
    TooManyWaiting,
    /// As many streams are published as may.
    TooManyStreams,
    /// The stream has as many viewers as it may.
    TooManyViewers,
}

/// The book's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Viewers admitted to names nobody publishes, and how long they wait.
    pub(super) waiting_viewers_max: usize,
    pub(super) waiting_time: Duration,
    /// Published streams.
    pub(super) streams_max: usize,
    pub(super) viewers_per_stream_max: usize,
}

/// What the book knows of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    stream: StreamId,
    direction: Direction,
    /// Its worker, once that serves it.
    worker: Option<WorkerIndex>,
    /// Until when it waits for a publisher, while it does.
    waits_until: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Stream {
    name: String,
    /// Admitted, perhaps not served yet: the name is taken from then on.
    publisher: Option<SessionId>,
    /// Admitted viewers.
    viewers: HashSet<SessionId>,
    /// Served viewers by worker.
    audience: BTreeMap<WorkerIndex, Members>,
}

/// A worker's viewers of a stream, as long as it has any.
#[derive(Clone, Copy, Debug)]
struct Members {
    count: u32,
    /// [`Listener::membership`]
    membership: u64,
}

/// The book.
#[derive(Debug)]
pub(super) struct Directory {
    bounds: Bounds,
    memberships: u64,
    names: HashMap<String, StreamId>,
    streams: HashMap<StreamId, Stream>,
    sessions: HashMap<SessionId, Session>,
    publishers: usize,
    /// Viewers without a publisher, by the time their wait ends.
    waiting: BTreeSet<(Timestamp, SessionId)>,
    /// Names that got or lost their publisher, with whether there is one, until they are taken.
    went: Vec<(String, bool)>,
    /// Streams whose route a worker has not been told.
    changed: BTreeMap<WorkerIndex, BTreeSet<StreamId>>,
}

impl Directory {
    /// From now on these; what is admitted stays, and what waits waits as long as it was told.
    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// An empty book.
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            memberships: 0,
            names: HashMap::new(),
            streams: HashMap::new(),
            sessions: HashMap::new(),
            publishers: 0,
            waiting: BTreeSet::new(),
            went: Vec::new(),
            changed: BTreeMap::new(),
        }
    }

    /// Whether the session is in the book.
    pub(super) fn is_admitted(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Admits a session to a name. From here on it counts; [`Self::served`] or [`Self::ended`] follows.
    pub(super) fn admit(
        &mut self,
        session: SessionId,
        name: &str,
        direction: Direction,
        now: Timestamp,
    ) -> Result<StreamId, NotAdmitted> {
        debug_assert!(!self.sessions.contains_key(&session));
        let published = self.is_published(name);
        match direction {
            Direction::Publish if published => return Err(NotAdmitted::NameTaken),
            Direction::Publish if self.publishers >= self.bounds.streams_max => {
                return Err(NotAdmitted::TooManyStreams);
            }
            Direction::Play if !published && self.waiting.len() >= self.bounds.waiting_viewers_max => {
                return Err(NotAdmitted::TooManyWaiting);
            }
            Direction::Play if self.viewers_of(name) >= self.bounds.viewers_per_stream_max => {
                return Err(NotAdmitted::TooManyViewers);
            }
            Direction::Publish | Direction::Play => {}
        }
        let id = match self.names.get(name) {
            Some(id) => *id,
            None => {
                let id = placement::stream_id(name);
                self.names.insert(name.to_owned(), id);
                self.streams.insert(id, Stream { name: name.to_owned(), ..Stream::default() });
                id
            }
        };
        let mut entry = Session { stream: id, direction, worker: None, waits_until: None };
        if let Some(stream) = self.streams.get_mut(&id) {
            match direction {
                Direction::Publish => {
                    stream.publisher = Some(session);
                    self.publishers += 1;
                    for viewer in &stream.viewers {
                        if let Some(until) = self.sessions.get_mut(viewer).and_then(|entry| entry.waits_until.take()) {
                            self.waiting.remove(&(until, *viewer));
                        }
                    }
                }
                Direction::Play => {
                    stream.viewers.insert(session);
                    if !published {
                        let until = now + self.bounds.waiting_time;
                        entry.waits_until = Some(until);
                        self.waiting.insert((until, session));
                    }
                }
            }
        }
        self.sessions.insert(session, entry);
        Ok(id)
    }

    /// A worker serves the session now; told in the worker's own order ([`Notice::Opened`](crate::worker::mailbox::Notice)).
    /// `false` when the session has ended in the meantime.
    pub(super) fn served(&mut self, session: SessionId, worker: WorkerIndex) -> bool {
        let Some(entry) = self.sessions.get_mut(&session) else { return false };
        entry.worker = Some(worker);
        let (id, direction) = (entry.stream, entry.direction);
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let changed = match direction {
            Direction::Publish => {
                self.went.push((stream.name.clone(), true));
                true
            }
            Direction::Play => {
                let members = stream.audience.entry(worker).or_insert_with(|| {
                    self.memberships += 1;
                    Members { count: 0, membership: self.memberships }
                });
                members.count += 1;
                members.count == 1
            }
        };
        if changed {
            self.mark_changed(id, None);
        }
        true
    }

    /// The session is gone. `false` when it was not known.
    pub(super) fn ended(&mut self, session: SessionId, now: Timestamp) -> bool {
        let Some(entry) = self.sessions.remove(&session) else { return false };
        if let Some(until) = entry.waits_until {
            self.waiting.remove(&(until, session));
        }
        let Some(stream) = self.streams.get_mut(&entry.stream) else { return true };
        let mut changed = false;
        match entry.direction {
            Direction::Publish => {
                stream.publisher = None;
                self.publishers -= 1;
                changed = entry.worker.is_some();
                if changed {
                    self.went.push((stream.name.clone(), false));
                }
                // Its viewers stay and wait for the next one.
                let until = now + self.bounds.waiting_time;
                for viewer in &stream.viewers {
                    if let Some(entry) = self.sessions.get_mut(viewer) {
                        entry.waits_until = Some(until);
                        self.waiting.insert((until, *viewer));
                    }
                }
            }
            Direction::Play => {
                stream.viewers.remove(&session);
                if let Some(worker) = entry.worker
                    && let Some(members) = stream.audience.get_mut(&worker)
                {
                    members.count -= 1;
                    if members.count == 0 {
                        stream.audience.remove(&worker);
                        changed = true;
                    }
                }
            }
        }
        if changed {
            self.mark_changed(entry.stream, entry.worker);
        }
        self.forget_if_unused(entry.stream);
        true
    }

    /// Whether a worker serves the publisher of that name.
    pub(super) fn is_live(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|id| self.origin(*id).is_some())
    }

    /// The names that got (`true`) or lost their publisher since the last call, in order.
    pub(super) fn take_went(&mut self) -> Vec<(String, bool)> {
        std::mem::take(&mut self.went)
    }

    /// The sessions whose wait is over; they stay in the book until they have ended.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<(SessionId, WorkerIndex)> {
        let (mut expired, mut opening) = (Vec::new(), Vec::new());
        while let Some((until, session)) = self.waiting.first().copied().filter(|(until, _)| *until <= now) {
            self.waiting.remove(&(until, session));
            let Some(entry) = self.sessions.get_mut(&session) else { continue };
            entry.waits_until = None;
            match entry.worker {
                Some(worker) => expired.push((session, worker)),
                // Still being opened: nobody can end it yet. It waits once more.
                None => opening.push(session),
            }
        }
        for session in opening {
            let until = now + self.bounds.waiting_time;
            if let Some(entry) = self.sessions.get_mut(&session) {
                entry.waits_until = Some(until);
                self.waiting.insert((until, session));
            }
        }
        expired
    }

    /// When the next wait is over.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.waiting.first().map(|(until, _)| *until)
    }

    /// The next `Route` that `worker` has not been told, as of now.
    pub(super) fn take_route(&mut self, worker: WorkerIndex) -> Option<Control> {
        let stream = self.changed.get_mut(&worker)?.pop_first()?;
        let origin = self.origin(stream);
        let listener =
            |(&worker, members): (&WorkerIndex, &Members)| Listener { worker, membership: members.membership };
        let audience = self.streams.get(&stream).map(|s| s.audience.iter().map(listener).collect()).unwrap_or_default();
        Some(Control::Route { stream, origin: origin.map(Origin::Worker), audience })
    }

    /// The workers that have not been told something.
    pub(super) fn workers_to_tell(&self) -> impl Iterator<Item = WorkerIndex> + '_ {
        self.changed.iter().filter(|(_, streams)| !streams.is_empty()).map(|(worker, _)| *worker)
    }

    /// How many publish, play and wait.
    pub(super) fn audience(&self) -> Audience {
        Audience {
            publishers: self.publishers,
            viewers: self.sessions.len() - self.publishers,
            waiting_viewers: self.waiting.len(),
        }
    }

    fn viewers_of(&self, name: &str) -> usize {
        self.names.get(name).and_then(|id| self.streams.get(id)).map_or(0, |stream| stream.viewers.len())
    }

    fn is_published(&self, name: &str) -> bool {
        self.names.get(name).and_then(|id| self.streams.get(id)).is_some_and(|stream| stream.publisher.is_some())
    }

    /// The worker that serves the stream's publisher.
    fn origin(&self, stream: StreamId) -> Option<WorkerIndex> {
        let publisher = self.streams.get(&stream)?.publisher?;
        self.sessions.get(&publisher)?.worker
    }

    /// Marks the stream for its origin, its audience, and the worker that has just left either.
    fn mark_changed(&mut self, id: StreamId, left: Option<WorkerIndex>) {
        let Some(stream) = self.streams.get(&id) else { return };
        let concerned = stream.audience.keys().copied().chain(self.origin(id)).chain(left);
        for worker in concerned.collect::<BTreeSet<_>>() {
            self.changed.entry(worker).or_default().insert(id);
        }
    }

    /// Drops a stream nobody publishes or plays. A `Route` that is still to be told says "nobody" without it.
    fn forget_if_unused(&mut self, id: StreamId) {
        let unused = |stream: &Stream| stream.publisher.is_none() && stream.viewers.is_empty();
        if self.streams.get(&id).is_some_and(unused)
            && let Some(stream) = self.streams.remove(&id)
        {
            self.names.remove(&stream.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_millis(1_000);
    const W0: WorkerIndex = WorkerIndex(0);
    const W1: WorkerIndex = WorkerIndex(1);
    const W2: WorkerIndex = WorkerIndex(2);

    fn directory() -> Directory {
        Directory::new(Bounds {
            waiting_viewers_max: 2,
            waiting_time: Duration::from_secs(10),
            streams_max: 3,
            viewers_per_stream_max: 500,
        })
    }

    fn join(book: &mut Directory, session: u64, name: &str, direction: Direction, worker: WorkerIndex) {
        book.admit(SessionId(session), name, direction, T0).unwrap();
        assert!(book.served(SessionId(session), worker));
    }

    /// All routes that wait, as (told worker, origin, audience).
    fn routes(book: &mut Directory) -> Vec<(u16, Option<u16>, Vec<u16>)> {
        let mut told = Vec::new();
        for worker in book.workers_to_tell().collect::<Vec<_>>() {
            while let Some(Control::Route { origin, audience, .. }) = book.take_route(worker) {
                let origin = origin.map(|origin| match origin {
                    Origin::Worker(worker) => worker.0,
                    Origin::Node(node) => panic!("{node:?} publishes nothing"),
                });
                told.push((worker.0, origin, audience.iter().map(|listener| listener.worker.0).collect()));
            }
        }
        told
    }

    #[test]
    fn a_name_has_one_publisher_until_that_session_has_ended() {
        let mut book = directory();
        let a = book.admit(SessionId(1), "a", Direction::Publish, T0).unwrap();
        assert_eq!(book.admit(SessionId(2), "a", Direction::Publish, T0), Err(NotAdmitted::NameTaken));
        assert_ne!(book.admit(SessionId(3), "b", Direction::Publish, T0).unwrap(), a);
        assert!(book.ended(SessionId(1), T0));
        assert!(!book.ended(SessionId(1), T0));
        assert!(book.admit(SessionId(4), "a", Direction::Publish, T0).is_ok());
    }

    #[test]
    fn routes_go_to_origin_and_audience_and_to_whoever_left() {
        let mut book = directory();
        join(&mut book, 1, "a", Direction::Publish, W0);
        assert_eq!(routes(&mut book), [(0, Some(0), vec![])]);
        join(&mut book, 2, "a", Direction::Play, W1);
        assert_eq!(routes(&mut book), [(0, Some(0), vec![1]), (1, Some(0), vec![1])]);
        join(&mut book, 3, "a", Direction::Play, W1);
        assert_eq!(routes(&mut book), [], "a second viewer on a worker changes no route");
        join(&mut book, 4, "a", Direction::Play, W2);
        let all = [(0, Some(0), vec![1, 2]), (1, Some(0), vec![1, 2]), (2, Some(0), vec![1, 2])];
        assert_eq!(routes(&mut book), all);
        book.ended(SessionId(4), T0);
        assert_eq!(routes(&mut book), [(0, Some(0), vec![1]), (1, Some(0), vec![1]), (2, Some(0), vec![1])]);
        book.ended(SessionId(1), T0);
        assert_eq!(routes(&mut book), [(0, None, vec![1]), (1, None, vec![1])]);
        book.ended(SessionId(2), T0);
        assert_eq!(routes(&mut book), []);
        book.ended(SessionId(3), T0);
        assert_eq!(routes(&mut book), [(1, None, vec![])]);
        assert!(book.streams.is_empty() && book.names.is_empty() && book.sessions.is_empty());
    }

    #[test]
    fn a_name_is_live_from_the_moment_its_publisher_is_served_until_it_has_ended() {
        let mut book = directory();
        book.admit(SessionId(1), "a", Direction::Publish, T0).unwrap();
        assert!(!book.is_live("a") && book.take_went().is_empty());
        book.served(SessionId(1), W0);
        join(&mut book, 2, "a", Direction::Play, W1);
        assert!(book.is_live("a") && !book.is_live("b"));
        book.ended(SessionId(1), T0);
        // One that is taken back before it was served never was there.
        book.admit(SessionId(3), "a", Direction::Publish, T0).unwrap();
        book.ended(SessionId(3), T0);
        assert!(!book.is_live("a"));
        assert_eq!(book.take_went(), [("a".to_owned(), true), ("a".to_owned(), false)]);
        assert!(book.take_went().is_empty());
    }

    #[test]
    fn a_worker_that_was_away_between_two_routes_is_told_from_one_that_stayed() {
        let mut book = directory();
        let membership = |book: &mut Directory| {
            let Some(Control::Route { audience, .. }) = book.take_route(W0) else { panic!("nothing to tell") };
            audience[0].membership
        };
        join(&mut book, 1, "a", Direction::Publish, W0);
        join(&mut book, 2, "a", Direction::Play, W1);
        let first = membership(&mut book);
        join(&mut book, 3, "a", Direction::Play, W1);
        join(&mut book, 4, "a", Direction::Play, W2);
        book.ended(SessionId(2), T0);
        assert_eq!(membership(&mut book), first, "it has had a viewer all the time");
        book.ended(SessionId(3), T0);
        join(&mut book, 5, "a", Direction::Play, W1);
        assert_ne!(membership(&mut book), first);
    }

    #[test]
    fn a_burst_of_joins_is_one_route_with_the_newest_state() {
        let mut book = directory();
        join(&mut book, 1, "a", Direction::Publish, W0);
        for session in 2..200 {
            join(&mut book, session, "a", Direction::Play, W1);
        }
        assert_eq!(routes(&mut book), [(0, Some(0), vec![1]), (1, Some(0), vec![1])]);
    }

    #[test]
    fn admission_of_waiting_viewers_is_bounded_and_a_publisher_frees_all_places() {
        let mut book = directory();
        join(&mut book, 1, "a", Direction::Play, W0);
        join(&mut book, 2, "b", Direction::Play, W0);
        assert_eq!(book.admit(SessionId(3), "a", Direction::Play, T0), Err(NotAdmitted::TooManyWaiting));
        join(&mut book, 4, "a", Direction::Publish, W1);
        assert_eq!(book.audience(), Audience { publishers: 1, viewers: 2, waiting_viewers: 1 });
        join(&mut book, 5, "a", Direction::Play, W0);
        join(&mut book, 6, "b", Direction::Play, W0);
    }

    #[test]
    fn streams_and_the_viewers_of_each_are_bounded() {
        let mut book = directory();
        book.bounds.viewers_per_stream_max = 2;
        for (session, name) in [(1, "a"), (2, "b"), (3, "c")] {
            join(&mut book, session, name, Direction::Publish, W0);
        }
        assert_eq!(book.admit(SessionId(4), "d", Direction::Publish, T0), Err(NotAdmitted::TooManyStreams));
        join(&mut book, 5, "a", Direction::Play, W0);
        join(&mut book, 6, "a", Direction::Play, W1);
        assert_eq!(book.admit(SessionId(7), "a", Direction::Play, T0), Err(NotAdmitted::TooManyViewers));
        join(&mut book, 8, "b", Direction::Play, W0);
        book.ended(SessionId(5), T0);
        book.ended(SessionId(3), T0);
        join(&mut book, 7, "a", Direction::Play, W0);
        join(&mut book, 4, "d", Direction::Publish, W0);
    }

    #[test]
    fn viewers_outlive_their_publisher_for_the_waiting_time_even_above_the_bound() {
        let mut book = directory();
        join(&mut book, 1, "a", Direction::Publish, W0);
        for session in 2..6 {
            join(&mut book, session, "a", Direction::Play, W0);
        }
        assert_eq!(book.next_expiry(), None);
        book.ended(SessionId(1), T0);
        assert_eq!(book.audience().waiting_viewers, 4);
        let end = T0 + Duration::from_secs(10);
        assert_eq!(book.next_expiry(), Some(end));
        assert_eq!(book.take_expired(T0 + Duration::from_secs(9)), []);
        join(&mut book, 7, "a", Direction::Publish, W1);
        assert_eq!(book.take_expired(end), [], "the publisher came back in time");
        book.ended(SessionId(7), end);
        assert_eq!(book.take_expired(end + Duration::from_secs(10)).len(), 4);
        assert_eq!(book.next_expiry(), None);
    }

    #[test]
    fn a_viewer_whose_wait_ends_while_it_is_opened_waits_once_more() {
        let mut book = directory();
        book.admit(SessionId(1), "a", Direction::Play, T0).unwrap();
        let end = T0 + Duration::from_secs(10);
        assert_eq!(book.take_expired(end), []);
        assert!(book.served(SessionId(1), W0));
        assert_eq!(book.take_expired(end + Duration::from_secs(10)), [(SessionId(1), W0)]);
    }

    #[test]
    fn a_session_that_ends_before_it_is_served_leaves_nothing_behind() {
        let mut book = directory();
        book.admit(SessionId(1), "a", Direction::Publish, T0).unwrap();
        assert!(book.ended(SessionId(1), T0));
        assert!(!book.served(SessionId(1), W0));
        assert_eq!(routes(&mut book), []);
        assert!(book.streams.is_empty() && book.waiting.is_empty());
    }
}

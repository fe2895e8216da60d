//! The index of sessions by stream: who publishes each stream, who plays it and on which workers, and which of this the
//! workers have not been told yet.
//!
//! Every change of a stream's origin or audience marks the stream as *changed* for each worker concerned. The task that
//! sends to that worker then takes the present state ([`StreamIndex::take_route`]). So a burst of joins becomes one
//! `Route`, the newest state always wins, and the untold changes are bounded by streams × workers.
//!
//! A stream may also come from another node, over a link, and go to others: then the worker that has the links
//! ([`crate::worker::links`]) is its origin, or one of its audience.
//!
//! Not here: everything else about a session ([`super::table`]). There is no clock and no channel here: `now` is an
//! argument, and messages are taken out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::description::Direction;
use crate::metrics::Audience;
use crate::placement;
use crate::signal::stream_name::StreamName;
use crate::time::Timestamp;
use crate::worker::mailbox::{Control, Listener, Origin, SessionId, StreamId, WorkerIndex};

/// Why a session is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::signal) enum NotAdmitted {
    /// The stream has a publisher.
    NameTaken,
    /// The limit of viewers that wait for publishers is reached.
    TooManyWaiting,
    /// The limit of published streams is reached.
    TooManyStreams,
    /// The stream has as many viewers as it may.
    TooManyViewers,
}

/// The limits of this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::signal) struct StreamBounds {
    /// How many viewers may wait for a publisher, and how long.
    pub(in crate::signal) waiting_viewers_max: usize,
    pub(in crate::signal) waiting_time: Duration,
    /// How many streams may be published.
    pub(in crate::signal) streams_max: usize,
    pub(in crate::signal) viewers_per_stream_max: usize,
}

#[derive(Debug)]
struct StreamEntry {
    name: StreamName,
    /// The admitted publisher, who may not be served yet. The name is taken from the admission on.
    publisher: Option<StreamPublisher>,
    /// The admitted viewers. While a viewer waits for a publisher, it has the time at which its wait ends.
    viewers: HashMap<SessionId, Option<Timestamp>>,
    /// The served viewers by worker; the worker that has the links, while other nodes are sent the stream.
    audience: BTreeMap<WorkerIndex, Members>,
    /// It comes from another node.
    comes_by_link: bool,
    /// It was said to be wanted from another node.
    is_wanted: bool,
}

impl StreamEntry {
    fn is_published(&self) -> bool {
        self.publisher.is_some() || self.comes_by_link
    }

    fn is_unused(&self) -> bool {
        self.publisher.is_none() && self.viewers.is_empty() && self.audience.is_empty()
    }
}

#[derive(Clone, Copy, Debug)]
struct StreamPublisher {
    session: SessionId,
    /// The worker that serves it, once one does.
    worker: Option<WorkerIndex>,
}

/// A worker's viewers of a stream, while it has any.
#[derive(Clone, Copy, Debug)]
struct Members {
    count: u32,
    /// [`Listener::membership`]
    membership: u64,
}

/// The index.
#[derive(Debug)]
pub(super) struct StreamIndex {
    bounds: StreamBounds,
    memberships_so_far: u64,
    numbers: HashMap<StreamName, StreamId>,
    streams: HashMap<StreamId, StreamEntry>,
    publishers: usize,
    viewers: usize,
    /// Viewers without a publisher, by the time at which their wait ends.
    waiting: BTreeSet<(Timestamp, SessionId, StreamId)>,
    /// Names that got (`true`) or lost their publisher since the last [`Self::take_went`].
    went: Vec<(StreamName, bool)>,
    /// The worker that has the links, in a cluster.
    links: Option<WorkerIndex>,
    /// Streams that are wanted from other nodes since the last [`Self::take_wanted`], or are no more.
    wanted: Vec<(StreamName, bool)>,
    /// Per worker: the streams whose route it has not been told.
    changed: BTreeMap<WorkerIndex, BTreeSet<StreamId>>,
}

impl StreamIndex {
    /// No stream yet.
    pub(super) fn new(bounds: StreamBounds) -> Self {
        Self {
            bounds,
            memberships_so_far: 0,
            numbers: HashMap::new(),
            streams: HashMap::new(),
            publishers: 0,
            viewers: 0,
            waiting: BTreeSet::new(),
            went: Vec::new(),
            links: None,
            wanted: Vec::new(),
            changed: BTreeMap::new(),
        }
    }

    /// This node is one of a cluster, and that worker has its links.
    pub(super) fn set_links(&mut self, links: WorkerIndex) {
        self.links = Some(links);
    }

    /// Changes the bounds. Sessions that are already admitted stay, and viewers that already wait keep the end of their
    /// wait.
    pub(super) fn set_bounds(&mut self, bounds: StreamBounds) {
        self.bounds = bounds;
    }

    /// The number by which workers know a stream while anybody publishes or plays it. It is derived from the name, so that
    /// every node has the same number for the stream.
    fn number_of(&mut self, name: &StreamName) -> StreamId {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = placement::stream_id(name.as_str());
        self.numbers.insert(name.clone(), number);
        number
    }

    /// Admits a session to a name. It counts from here on, until [`Self::left`].
    pub(super) fn admit(
        &mut self,
        session: SessionId,
        name: &StreamName,
        direction: Direction,
        now: Timestamp,
    ) -> Result<StreamId, NotAdmitted> {
        let known = self.numbers.get(name).and_then(|id| self.streams.get(id));
        let is_taken = known.is_some_and(|stream| stream.publisher.is_some());
        let is_published = known.is_some_and(StreamEntry::is_published);
        let viewers = known.map_or(0, |stream| stream.viewers.len());
        match direction {
            Direction::Publish if is_taken => return Err(NotAdmitted::NameTaken),
            Direction::Publish if self.publishers >= self.bounds.streams_max => {
                return Err(NotAdmitted::TooManyStreams);
            }
            Direction::Play if !is_published && self.waiting.len() >= self.bounds.waiting_viewers_max => {
                return Err(NotAdmitted::TooManyWaiting);
            }
            Direction::Play if viewers >= self.bounds.viewers_per_stream_max => {
                return Err(NotAdmitted::TooManyViewers);
            }
            Direction::Publish | Direction::Play => {}
        }
        let id = self.number_of(name);
        let stream = self.entry(id, name);
        match direction {
            Direction::Publish => {
                stream.publisher = Some(StreamPublisher { session, worker: None });
                self.publishers += 1;
                self.nobody_waits(id);
            }
            Direction::Play => {
                stream.viewers.insert(session, None);
                self.viewers += 1;
                if !is_published {
                    self.wait(session, id, now);
                }
            }
        }
        self.note_wanted(id);
        Ok(id)
    }

    fn entry(&mut self, id: StreamId, name: &StreamName) -> &mut StreamEntry {
        self.streams.entry(id).or_insert_with(|| StreamEntry {
            name: name.clone(),
            publisher: None,
            viewers: HashMap::new(),
            audience: BTreeMap::new(),
            comes_by_link: false,
            is_wanted: false,
        })
    }

    /// The stream has a publisher: its viewers wait no more.
    fn nobody_waits(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        for (viewer, waits_until) in &mut stream.viewers {
            if let Some(until) = waits_until.take() {
                self.waiting.remove(&(until, *viewer, id));
            }
        }
    }

    /// The stream comes from another node from now on, or does so no more.
    pub(super) fn comes_by_link(&mut self, name: &StreamName, comes: bool, now: Timestamp) {
        let Some(id) = self.numbers.get(name).copied() else { return };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if std::mem::replace(&mut stream.comes_by_link, comes) == comes {
            if comes {
                // By another link, which nobody was told of.
                self.mark_changed(id, self.links);
            }
            return;
        }
        let is_served_here = stream.publisher.is_some_and(|publisher| publisher.worker.is_some());
        if !is_served_here {
            self.went.push((stream.name.clone(), comes));
        }
        if comes {
            self.nobody_waits(id);
        } else if stream.publisher.is_none() {
            self.all_wait(id, now);
        }
        self.mark_changed(id, self.links);
    }

    /// Other nodes are sent the stream from now on, or none is any more.
    pub(super) fn links_listen(&mut self, name: &StreamName, listen: bool) {
        let Some(links) = self.links else { return };
        let id = match self.numbers.get(name) {
            Some(id) => *id,
            None if listen => self.number_of(name),
            None => return,
        };
        if listen {
            self.memberships_so_far += 1;
            let members = Members { count: 1, membership: self.memberships_so_far };
            self.entry(id, name).audience.insert(links, members);
        } else if let Some(stream) = self.streams.get_mut(&id) {
            stream.audience.remove(&links);
        }
        self.mark_changed(id, Some(links));
        self.note_wanted(id);
        self.forget_if_unused(id);
    }

    /// Finds out whether the stream is wanted from another node.
    fn note_wanted(&mut self, id: StreamId) {
        let Some(links) = self.links else { return };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let is_played = !stream.viewers.is_empty() || stream.audience.contains_key(&links);
        let is_wanted = stream.publisher.is_none() && is_played;
        if std::mem::replace(&mut stream.is_wanted, is_wanted) != is_wanted {
            self.wanted.push((stream.name.clone(), is_wanted));
        }
    }

    /// The streams that are wanted from other nodes since the last call (`true`), or are no more, in order.
    pub(super) fn take_wanted(&mut self) -> Vec<(StreamName, bool)> {
        std::mem::take(&mut self.wanted)
    }

    /// Starts a viewer's wait for a publisher.
    pub(super) fn wait(&mut self, session: SessionId, id: StreamId, now: Timestamp) {
        let until = now + self.bounds.waiting_time;
        let Some(waits_until) = self.streams.get_mut(&id).and_then(|stream| stream.viewers.get_mut(&session)) else {
            return;
        };
        if let Some(before) = waits_until.replace(until) {
            self.waiting.remove(&(before, session, id));
        }
        self.waiting.insert((until, session, id));
    }

    /// A worker now serves an admitted session.
    pub(super) fn served(&mut self, id: StreamId, direction: Direction, worker: WorkerIndex) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        // Who had it by a link until now is told, too.
        let mut left_to = None;
        let is_changed = match direction {
            Direction::Publish => {
                if let Some(publisher) = &mut stream.publisher {
                    publisher.worker = Some(worker);
                }
                if !stream.comes_by_link {
                    self.went.push((stream.name.clone(), true));
                }
                left_to = self.links.filter(|_| stream.comes_by_link);
                true
            }
            Direction::Play => {
                let members = stream.audience.entry(worker).or_insert_with(|| {
                    self.memberships_so_far += 1;
                    Members { count: 0, membership: self.memberships_so_far }
                });
                members.count += 1;
                members.count == 1
            }
        };
        if is_changed {
            self.mark_changed(id, left_to);
        }
    }

    /// An admitted session is gone. `worker` is the one that served it, if any did.
    pub(super) fn left(
        &mut self,
        session: SessionId,
        id: StreamId,
        direction: Direction,
        worker: Option<WorkerIndex>,
        now: Timestamp,
    ) {
        let is_changed = match direction {
            Direction::Publish => self.publisher_left(session, id, now),
            Direction::Play => self.viewer_left(session, id, worker),
        };
        if is_changed {
            self.mark_changed(id, worker);
        }
        self.note_wanted(id);
        self.forget_if_unused(id);
    }

    /// Removes the publisher. The viewers stay and wait for the next one. Returns whether workers must be told.
    fn publisher_left(&mut self, session: SessionId, id: StreamId, now: Timestamp) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let Some(publisher) = stream.publisher.take_if(|publisher| publisher.session == session) else { return false };
        self.publishers -= 1;
        let was_served = publisher.worker.is_some();
        if stream.comes_by_link {
            return was_served;
        }
        if was_served {
            self.went.push((stream.name.clone(), false));
        }
        self.all_wait(id, now);
        was_served
    }

    fn all_wait(&mut self, id: StreamId, now: Timestamp) {
        let viewers = self.streams.get(&id).map(|stream| stream.viewers.keys().copied().collect::<Vec<_>>());
        for viewer in viewers.unwrap_or_default() {
            self.wait(viewer, id, now);
        }
    }

    /// Removes a viewer. Returns whether it was its worker's last viewer of the stream.
    fn viewer_left(&mut self, session: SessionId, id: StreamId, worker: Option<WorkerIndex>) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let Some(waits_until) = stream.viewers.remove(&session) else { return false };
        self.viewers -= 1;
        if let Some(until) = waits_until {
            self.waiting.remove(&(until, session, id));
        }
        let Some(worker) = worker else { return false };
        let Some(members) = stream.audience.get_mut(&worker) else { return false };
        members.count -= 1;
        let was_last = members.count == 0;
        if was_last {
            stream.audience.remove(&worker);
        }
        was_last
    }

    /// The publisher of that name, who may not be served yet.
    pub(super) fn publisher_of(&self, name: &StreamName) -> Option<SessionId> {
        Some(self.streams.get(self.numbers.get(name)?)?.publisher?.session)
    }

    /// Whether a worker serves the publisher of that name.
    pub(super) fn is_live(&self, name: &StreamName) -> bool {
        self.numbers.get(name).is_some_and(|id| self.origin(*id).is_some())
    }

    /// The names that got (`true`) or lost their publisher since the last call, in order.
    pub(super) fn take_went(&mut self) -> Vec<(StreamName, bool)> {
        std::mem::take(&mut self.went)
    }

    /// Takes the next viewer whose wait is over. It no longer waits, but counts until it has left.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Option<(SessionId, StreamId)> {
        let (until, session, id) = self.waiting.first().copied().filter(|(until, ..)| *until <= now)?;
        self.waiting.remove(&(until, session, id));
        if let Some(waits_until) = self.streams.get_mut(&id).and_then(|stream| stream.viewers.get_mut(&session)) {
            *waits_until = None;
        }
        Some((session, id))
    }

    /// When the next wait ends.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.waiting.first().map(|(until, ..)| *until)
    }

    /// Takes the next `Route` that `worker` has not been told, with the present state.
    pub(super) fn take_route(&mut self, worker: WorkerIndex) -> Option<Control> {
        let stream = self.changed.get_mut(&worker)?.pop_first()?;
        let origin = self.origin(stream);
        let listener =
            |(&worker, members): (&WorkerIndex, &Members)| Listener { worker, membership: members.membership };
        let audience = self.streams.get(&stream).map(|s| s.audience.iter().map(listener).collect()).unwrap_or_default();
        Some(Control::Route { stream, origin: origin.map(Origin::Worker), audience })
    }

    /// The workers that have not been told everything.
    pub(super) fn workers_to_tell(&self) -> impl Iterator<Item = WorkerIndex> + '_ {
        self.changed.iter().filter(|(_, streams)| !streams.is_empty()).map(|(worker, _)| *worker)
    }

    /// How many publish, play and wait.
    pub(super) fn audience(&self) -> Audience {
        Audience { publishers: self.publishers, viewers: self.viewers, waiting_viewers: self.waiting.len() }
    }

    /// The worker that the stream comes from: its publisher's, or the one that has the links.
    fn origin(&self, stream: StreamId) -> Option<WorkerIndex> {
        let stream = self.streams.get(&stream)?;
        let of_publisher = stream.publisher.and_then(|publisher| publisher.worker);
        of_publisher.or_else(|| self.links.filter(|_| stream.comes_by_link))
    }

    /// Marks the stream as changed for its origin, its audience, and the worker that has just left either.
    fn mark_changed(&mut self, id: StreamId, left: Option<WorkerIndex>) {
        let Some(stream) = self.streams.get(&id) else { return };
        let concerned = stream.audience.keys().copied().chain(self.origin(id)).chain(left);
        for worker in concerned.collect::<BTreeSet<_>>() {
            self.changed.entry(worker).or_default().insert(id);
        }
    }

    /// Removes a stream that nobody publishes or plays. A `Route` that is told later says "nobody", which needs no
    /// entry.
    fn forget_if_unused(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(StreamEntry::is_unused)
            && let Some(stream) = self.streams.remove(&id)
        {
            if stream.comes_by_link {
                // It may go unheard from here on; who plays it is told that it comes, if it still does.
                self.went.push((stream.name.clone(), false));
            }
            self.numbers.remove(&stream.name);
        }
    }

    /// Whether there is no trace of any session.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
            && self.streams.is_empty()
            && self.waiting.is_empty()
            && (self.publishers, self.viewers) == (0, 0)
    }
}

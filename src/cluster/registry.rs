//! This node's part in the directory: its lease, the names that it owns, its heartbeat; and the copy that it keeps of the rest.
//!
//! Two tasks of their own, so that neither waits for the other:
//!
//! - *lease*: takes a lease, writes down the node under it, claims again what is owned, renews every
//!   [`limits::CLUSTER_LEASE_RENEWED`] and writes the heartbeat. A lease that is gone is replaced by another; that stops nothing.
//! - *watch*: takes a snapshot, then follows what changes. Where nothing comes for [`limits::CLUSTER_SILENCE_MAX`], not even this node's
//!   own heartbeat, the member that is asked tells nothing, and another one is asked.
//!
//! A name that is owned here and that the directory gives to somebody else, at a later revision than this node's own claim, is lost:
//! whoever listens to [`Registry::lost`] ends that publisher. A name of this process that nobody here needs (an answer that was lost, a
//! release that could not be made) is removed with the next heartbeat.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt as _, LocalBoxFuture};

use super::engine::{Engine, EngineError, Lease, Revision};
use super::keys::{Keys, Load, Node, NodeState, Stream, written};
use super::replica::Replica;
use crate::limits;
use crate::net::clock;
use crate::signal::ownership::{
    Claimant, Epoch, Located, Lost, NotClaimed, NotReleased, Owner, Ownership, Unavailable,
};
use crate::signal::runtime::{self, Task};
use crate::signal::stream_name::StreamName;
use crate::worker::mailbox::SessionId;

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct Myself {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name, which no other has.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Another text with each start of the process.
    pub boot: String,
    /// Where other nodes reach its HTTPS.
    pub url: String,
    /// Where other nodes' connections reach it; none where it takes none.
    pub channel: Option<String>,
    /// Raised by the operator when the engine was restored from a backup, so that its revisions went back.
    pub generation: u16,
}

/// Who takes over a name that is owned elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TakesOver {
    /// The same subject.
    #[default]
    SameSubject,
    /// Whoever may publish it.
    Anyone,
    /// Nobody.
    Nobody,
}

/// A name that is owned here.
#[derive(Debug)]
struct Held {
    /// What its publisher was told.
    claimed: Epoch,
    /// When it was put last; `None` while it is to be claimed again.
    put: Option<Revision>,
    stream: Stream,
}

struct Inner {
    engine: Rc<dyn Engine>,
    keys: Keys,
    me: Myself,
    takes_over: Cell<TakesOver>,
    lease: Cell<Option<Lease>>,
    /// It was left, and takes no lease any more.
    has_left: Cell<bool>,
    /// Since when the engine has not answered.
    away_since: Cell<Option<Instant>>,
    held: RefCell<HashMap<StreamName, Held>>,
    /// Names whose claim or release is under way.
    busy: RefCell<HashMap<StreamName, usize>>,
    replica: RefCell<Replica>,
    state: Cell<NodeState>,
    load: Cell<Load>,
    beats: Cell<u64>,
    lost: flume::Sender<Lost>,
    again: flume::Sender<StreamName>,
    /// Who is woken when another node's claim of a name is put, or goes.
    wakes: RefCell<HashMap<StreamName, flume::Sender<()>>>,
}

/// This node's part in the directory.
pub struct Registry {
    inner: Rc<Inner>,
    lost: flume::Receiver<Lost>,
    _tasks: [Task; 3],
}

impl Registry {
    /// Joins the cluster, and goes on trying to where the engine is away.
    pub fn start(engine: Rc<dyn Engine>, me: Myself, takes_over: TakesOver) -> Self {
        let keys = Keys::of(&me.cluster);
        let (lost, losses) = flume::unbounded();
        let (again, to_claim_again) = flume::unbounded();
        let inner = Rc::new(Inner {
            engine,
            keys: keys.clone(),
            me,
            takes_over: Cell::new(takes_over),
            lease: Cell::new(None),
            has_left: Cell::new(false),
            away_since: Cell::new(None),
            held: RefCell::default(),
            busy: RefCell::default(),
            replica: RefCell::new(Replica::new(keys)),
            state: Cell::new(NodeState::Ready),
            load: Cell::default(),
            beats: Cell::new(0),
            lost,
            again,
            wakes: RefCell::default(),
        });
        let tasks = [
            runtime::spawn(keep_lease(inner.clone())),
            runtime::spawn(watch(inner.clone())),
            runtime::spawn(claim_again(inner.clone(), to_claim_again)),
        ];
        Self { inner, lost: losses, _tasks: tasks }
    }

    /// Looks at the copy of the directory.
    pub fn with_replica<T>(&self, look: impl FnOnce(&Replica) -> T) -> T {
        look(&self.inner.replica.borrow())
    }

    /// How long the engine has not answered.
    #[must_use]
    pub fn away_for(&self) -> Option<Duration> {
        self.inner.away_since.get().map(|since| clock::now().saturating_duration_since(since))
    }

    /// Whom it asks.
    #[must_use]
    pub fn asks(&self) -> String {
        self.inner.engine.asked()
    }

    /// Whether it has a lease.
    #[must_use]
    pub fn has_lease(&self) -> bool {
        self.inner.lease.get().is_some()
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> &Myself {
        &self.inner.me
    }

    /// The number of an ownership that was put then.
    #[must_use]
    pub fn epoch_of(&self, put: Revision) -> Epoch {
        self.inner.epoch(put)
    }

    /// The name's owner, where that is another node, and the number of its ownership.
    #[must_use]
    pub fn owner_elsewhere(&self, name: &StreamName) -> Option<(String, Epoch)> {
        let replica = self.inner.replica.borrow();
        let owned = replica.stream(name)?;
        (owned.stream.node != self.inner.me.name).then(|| (owned.stream.node.clone(), self.inner.epoch(owned.at)))
    }

    /// The number of this node's ownership of a name, if it has that.
    #[must_use]
    pub fn owned_here(&self, name: &StreamName) -> Option<Epoch> {
        self.inner.held.borrow().get(name).map(|held| held.put.map_or(held.claimed, |put| self.inner.epoch(put)))
    }

    /// Wakes `wake` whenever what the directory says of a name has changed.
    pub fn wake_when_changed(&self, name: &StreamName, wake: flume::Sender<()>) {
        self.inner.wakes.borrow_mut().insert(name.clone(), wake);
    }

    /// Wakes nobody for that name any more.
    pub fn wake_no_more(&self, name: &StreamName) {
        self.inner.wakes.borrow_mut().remove(name);
    }

    /// Leaves the cluster: its names are free at once.
    pub async fn leave(&self) {
        self.inner.has_left.set(true);
        if let Some(lease) = self.inner.lease.take() {
            let _ = self.inner.engine.revoke(lease).await;
        }
    }
}

impl Inner {
    fn epoch(&self, put: Revision) -> Epoch {
        Epoch(u64::from(self.me.generation) << limits::CLUSTER_REVISION_BITS | put.0)
    }

    fn is_of_this_process(&self, stream: &Stream) -> bool {
        stream.node == self.me.name && stream.boot == self.me.boot
    }

    fn owner(&self, stream: &Stream) -> Owner {
        if stream.node == self.me.name { Owner::ThisNode } else { Owner::Node(stream.node.clone()) }
    }

    /// Takes note of whether the engine answers.
    fn answered<T>(&self, answer: Result<T, EngineError>) -> Result<T, EngineError> {
        match (&answer, self.away_since.get()) {
            (Err(EngineError::Unavailable(why)), None) => {
                tracing::warn!(%why, asked = self.engine.asked(), "the cluster's engine does not answer: media and joins to known streams go on, new names wait");
                self.away_since.set(Some(clock::now()));
            }
            (Err(EngineError::Unavailable(_)), Some(_)) => {}
            (_, Some(since)) => {
                let away_s = clock::now().saturating_duration_since(since).as_secs_f32();
                tracing::info!(away_s, asked = self.engine.asked(), "the cluster's engine answers again");
                self.away_since.set(None);
            }
            (_, None) => {}
        }
        answer
    }

    /// Claims a name at the engine, again and again until it is known who has it, or too much time has passed. Who claims again what
    /// it owned takes nothing from others.
    async fn put(&self, name: &StreamName, stream: &Stream, is_again: bool) -> Result<Revision, NotClaimed> {
        let deadline = clock::now() + limits::CLAIM_TIME_MAX;
        let (key, value) = (self.keys.stream(name), written(stream));
        let mut why = "this node has no lease yet".to_owned();
        while clock::now() < deadline {
            let Some(lease) = self.lease.get() else {
                runtime::sleep(limits::CLUSTER_TRY_AGAIN).await;
                continue;
            };
            let there = match self.answered(self.engine.create(&key, value.clone(), lease).await) {
                Ok(Ok(put)) => return Ok(put),
                Ok(Err(there)) => there,
                Err(error) => {
                    why = self.failed(error, lease).await;
                    continue;
                }
            };
            let other = serde_json::from_slice::<Stream>(&there.value).ok();
            if other.as_ref() == Some(stream) && !is_again {
                // Put by an attempt whose answer was lost. (Again: under a lease that is gone, or will be.)
                return Ok(there.modified);
            }
            if !other.as_ref().is_none_or(|other| self.may_replace(stream, other, is_again)) {
                return Err(NotClaimed::Owned(other.map_or(Owner::ThisNode, |other| self.owner(&other))));
            }
            match self.answered(self.engine.replace(&key, there.modified, value.clone(), lease).await) {
                Ok(Ok(put)) => return Ok(put),
                // It has changed meanwhile: looked at again.
                Ok(Err(_)) => {}
                Err(error) => why = self.failed(error, lease).await,
            }
        }
        Err(NotClaimed::Unavailable(Unavailable(why)))
    }

    /// Waits a moment. What went wrong.
    async fn failed(&self, error: EngineError, lease: Lease) -> String {
        if error == EngineError::LeaseGone && self.lease.get() == Some(lease) {
            // The task of the lease finds out by itself; nothing more is put under this one.
            self.lease.set(None);
        }
        runtime::sleep(limits::CLUSTER_TRY_AGAIN).await;
        error.to_string()
    }

    /// Whether `stream` takes the name that `other` has.
    fn may_replace(&self, stream: &Stream, other: &Stream, is_again: bool) -> bool {
        // One of this node's earlier processes has ended, whatever its lease says.
        let is_former = other.node == self.me.name && other.boot != self.me.boot;
        // Of this process only one session gets so far at a time, with its own earlier entry or that of one that has ended.
        is_former
            || self.is_of_this_process(other)
            || match self.takes_over.get() {
                _ if is_again => false,
                TakesOver::Anyone => true,
                TakesOver::SameSubject => stream.subject.is_some() && stream.subject == other.subject,
                TakesOver::Nobody => false,
            }
    }

    async fn claim(&self, name: &StreamName, claimant: &Claimant) -> Result<Epoch, NotClaimed> {
        if self.held.borrow().contains_key(name) {
            return Err(NotClaimed::Owned(Owner::ThisNode));
        }
        let stream = Stream {
            node: self.me.name.clone(),
            boot: self.me.boot.clone(),
            session: claimant.session.0,
            subject: claimant.subject.clone(),
        };
        let _busy = Busy::with(self, name);
        let put = self.put(name, &stream, false).await?;
        let claimed = self.epoch(put);
        self.held.borrow_mut().insert(name.clone(), Held { claimed, put: Some(put), stream });
        Ok(claimed)
    }

    async fn release(&self, name: &StreamName, epoch: Epoch) -> Result<(), NotReleased> {
        let put = {
            let mut held = self.held.borrow_mut();
            if held.get(name).is_none_or(|held| held.claimed != epoch) {
                return Err(NotReleased::Stale);
            }
            held.remove(name).and_then(|held| held.put)
        };
        let _busy = Busy::with(self, name);
        let Some(put) = put else { return Ok(()) };
        match self.answered(self.engine.delete(&self.keys.stream(name), put).await) {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotReleased::Stale),
            // Removed with a heartbeat, when the engine is back.
            Err(error) => Err(NotReleased::Unavailable(Unavailable(error.to_string()))),
        }
    }

    /// Looks whether a name that is owned here still is, by what the copy says.
    fn look_at(&self, name: &StreamName) {
        if let Some(wake) = self.wakes.borrow().get(name) {
            let _ = wake.try_send(());
        }
        let mut held = self.held.borrow_mut();
        let Some(mine) = held.get_mut(name) else { return };
        let Some(put) = mine.put else { return };
        let replica = self.replica.borrow();
        match replica.stream(name) {
            Some(owned) if owned.stream == mine.stream => mine.put = Some(put.max(owned.at)),
            Some(owned) if owned.at > put => {
                let (session, to) = (SessionId(mine.stream.session), owned.stream.node.clone());
                held.remove(name);
                tracing::warn!(stream = %name, session = session.0, to, "another node publishes this stream now");
                let _ = self.lost.send(Lost { session, name: name.clone(), to });
            }
            None if replica.at() > put => {
                // Its lease is gone, whatever this node thinks of it.
                mine.put = None;
                let _ = self.again.send(name.clone());
            }
            // The copy is late.
            Some(_) | None => {}
        }
    }

    /// Removes names that the directory says to be of this process and that nobody here needs.
    async fn sweep(&self) {
        let unneeded: Vec<(StreamName, Revision)> = {
            let (held, busy, replica) = (self.held.borrow(), self.busy.borrow(), self.replica.borrow());
            let of_nobody = |name: &StreamName| !held.contains_key(name) && !busy.contains_key(name);
            let mine =
                replica.streams().filter(|(name, owned)| self.is_of_this_process(&owned.stream) && of_nobody(name));
            mine.map(|(name, owned)| (name.clone(), owned.at)).collect()
        };
        for (name, at) in unneeded {
            let _busy = Busy::with(self, &name);
            if self.held.borrow().contains_key(&name) {
                continue;
            }
            let _ = self.answered(self.engine.delete(&self.keys.stream(&name), at).await);
        }
    }

    async fn write_node(&self, lease: Lease) -> Result<(), EngineError> {
        let node = Node {
            boot: self.me.boot.clone(),
            region: self.me.region.clone(),
            url: self.me.url.clone(),
            channel: self.me.channel.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: self.state.get(),
        };
        self.answered(self.engine.put(&self.keys.node(&self.me.name), written(&node), lease).await).map(drop)
    }

    async fn beat(&self, lease: Lease) -> Result<(), EngineError> {
        self.beats.set(self.beats.get() + 1);
        let load = Load { beat: self.beats.get(), ..self.load.get() };
        let key = self.keys.load(&self.me.region, &self.me.name);
        self.answered(self.engine.put(&key, written(&load), lease).await).map(drop)
    }
}

/// A name about which the engine is being asked.
struct Busy<'a> {
    of: &'a Inner,
    name: StreamName,
}

impl<'a> Busy<'a> {
    fn with(of: &'a Inner, name: &StreamName) -> Self {
        *of.busy.borrow_mut().entry(name.clone()).or_default() += 1;
        Self { of, name: name.clone() }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut busy = self.of.busy.borrow_mut();
        if let Some(count) = busy.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.name);
            }
        }
    }
}

/// Keeps a lease.
async fn keep_lease(inner: Rc<Inner>) {
    while !inner.has_left.get() {
        let lease = match inner.answered(inner.engine.grant(limits::CLUSTER_LEASE).await) {
            Ok(lease) => lease,
            Err(error) => {
                tracing::debug!(%error, "no lease");
                runtime::sleep(limits::CLUSTER_TRY_AGAIN).await;
                continue;
            }
        };
        inner.lease.set(Some(lease));
        // All that was put under the one before goes with it.
        let mine: Vec<StreamName> = inner
            .held
            .borrow_mut()
            .iter_mut()
            .map(|(name, held)| {
                held.put = None;
                name.clone()
            })
            .collect();
        for name in mine {
            let _ = inner.again.send(name);
        }
        live_by(&inner, lease).await;
        if inner.has_left.get() {
            return;
        }
        if inner.lease.get() == Some(lease) {
            inner.lease.set(None);
        }
        tracing::warn!("this node's lease of the cluster's engine has ended: it takes another one");
    }
}

/// Renews a lease until it is gone.
async fn live_by(inner: &Inner, lease: Lease) {
    let (mut is_written, mut beaten) = (false, None::<Instant>);
    let mut told = Load::default();
    while inner.lease.get() == Some(lease) {
        let answer = inner.answered(inner.engine.renew(lease).await);
        if answer == Err(EngineError::LeaseGone) {
            return;
        }
        if answer.is_ok() {
            if !is_written {
                is_written = inner.write_node(lease).await.is_ok();
            }
            let load = inner.load.get();
            let has_moved = load.used_permille.abs_diff(told.used_permille) >= limits::CLUSTER_LOAD_MOVED_PERMILLE;
            let is_due =
                beaten.is_none_or(|at| clock::now().saturating_duration_since(at) >= limits::CLUSTER_HEARTBEAT);
            if (has_moved || is_due) && inner.beat(lease).await.is_ok() {
                (beaten, told) = (Some(clock::now()), load);
                inner.sweep().await;
            }
        }
        runtime::sleep(if answer.is_ok() { limits::CLUSTER_LEASE_RENEWED } else { limits::CLUSTER_TRY_AGAIN }).await;
    }
}

/// Follows the directory.
async fn watch(inner: Rc<Inner>) {
    loop {
        if let Err(error) = follow(&inner).await {
            tracing::debug!(%error, "the watch ended");
            if error != EngineError::Compacted {
                inner.engine.distrust();
                runtime::sleep(limits::CLUSTER_TRY_AGAIN).await;
            }
        }
    }
}

async fn follow(inner: &Inner) -> Result<(), EngineError> {
    let snapshot = inner.answered(inner.engine.snapshot(inner.keys.prefix()).await)?;
    let from = Revision(snapshot.at.0 + 1);
    let changed = inner.replica.borrow_mut().reset(snapshot);
    let mine: HashSet<StreamName> = inner.held.borrow().keys().cloned().collect();
    // Also those that were gone before the copy knew of them.
    for name in changed.iter().chain(&mine).collect::<HashSet<_>>() {
        inner.look_at(name);
    }
    let mut watch = inner.engine.watch(inner.keys.prefix(), from).await?;
    loop {
        let Some(changes) = runtime::timeout(limits::CLUSTER_SILENCE_MAX, watch.next()).await else {
            return Err(EngineError::Unavailable("nothing is heard, not even this node's own heartbeat".into()));
        };
        for change in changes? {
            let name = inner.replica.borrow_mut().apply(change);
            if let Some(name) = name {
                inner.look_at(&name);
            }
        }
    }
}

/// Claims what is owned here and was put under a lease that is gone.
async fn claim_again(inner: Rc<Inner>, names: flume::Receiver<StreamName>) {
    while let Ok(name) = names.recv_async().await {
        let stream = match inner.held.borrow().get(&name) {
            Some(held) if held.put.is_none() => held.stream.clone(),
            _ => continue,
        };
        let busy = Busy::with(&inner, &name);
        let put = inner.put(&name, &stream, true).await;
        drop(busy);
        let mut held = inner.held.borrow_mut();
        let Some(mine) = held.get_mut(&name).filter(|held| held.stream == stream) else { continue };
        match put {
            Ok(put) => {
                tracing::info!(stream = %name, "claimed again");
                mine.put = Some(put);
            }
            Err(NotClaimed::Owned(owner)) => {
                held.remove(&name);
                let to = match owner {
                    Owner::Node(node) => node,
                    Owner::ThisNode => inner.me.name.clone(),
                };
                let session = SessionId(stream.session);
                tracing::warn!(stream = %name, session = session.0, to, "another node took this stream while the engine was away");
                let _ = inner.lost.send(Lost { session, name, to });
            }
            Err(NotClaimed::Unavailable(_)) => {
                let _ = inner.again.send(name);
            }
        }
    }
}

impl Ownership for Registry {
    fn claim<'a>(
        &'a self,
        name: &'a StreamName,
        claimant: &'a Claimant,
    ) -> LocalBoxFuture<'a, Result<Epoch, NotClaimed>> {
        self.inner.claim(name, claimant).boxed_local()
    }

    fn locate<'a>(&'a self, name: &'a StreamName) -> LocalBoxFuture<'a, Result<Option<Located>, Unavailable>> {
        let replica = self.inner.replica.borrow();
        let answer = match replica.stream(name) {
            Some(owned) => {
                Ok(Some(Located { owner: self.inner.owner(&owned.stream), epoch: self.inner.epoch(owned.at) }))
            }
            None if replica.is_known() => Ok(None),
            None => Err(Unavailable("the cluster's engine has not answered yet".into())),
        };
        std::future::ready(answer).boxed_local()
    }

    fn release<'a>(&'a self, name: &'a StreamName, epoch: Epoch) -> LocalBoxFuture<'a, Result<(), NotReleased>> {
        self.inner.release(name, epoch).boxed_local()
    }

    fn lost(&self) -> Option<flume::Receiver<Lost>> {
        Some(self.lost.clone())
    }

    fn tell_load(&self, used_permille: u16, sessions: u32) {
        self.inner.load.set(Load { used_permille, sessions, beat: 0 });
    }
}

//! An engine in this process, for tests: as late as it is told to be, and with the faults of a real one. Answers and changes may come
//! late, an answer may be lost although the thing was done, leases may be revoked that were renewed in time, all of it may be away, and
//! it may be restored from an old backup.
//!
//! It keeps the history of all changes, which is what a checker judges by.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::FutureExt as _;

use super::engine::{Answer, Change, Engine, EngineError, Entry, Lease, Put, Revision, Snapshot, Watch};
use crate::net::clock;
use crate::signal::runtime;

/// What goes wrong. All of it may be changed while it runs.
#[derive(Debug, Default)]
pub struct Faults {
    /// Nothing is answered, and nothing done.
    pub is_away: Cell<bool>,
    /// Of the next so many questions the answers are lost, and what they ask is done.
    pub answers_lost: Cell<u32>,
    /// How long a question takes.
    pub answer_time: Cell<Duration>,
    /// How long a change takes to those that watch.
    pub watch_time: Cell<Duration>,
    /// Watches are silent.
    pub watches_silent: Cell<bool>,
}

#[derive(Debug)]
struct Leased {
    ends: std::time::Instant,
    lasts: Duration,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    compacted: u64,
    entries: BTreeMap<String, (Entry, Lease)>,
    leases: BTreeMap<i64, Leased>,
    leases_so_far: i64,
    history: Vec<(Revision, Change)>,
}

/// The engine; each node has its own [`Model::client`].
#[derive(Debug, Default)]
pub struct Model {
    state: RefCell<State>,
    /// What goes wrong.
    pub faults: Faults,
}

impl Model {
    /// What a node talks to it by.
    #[must_use]
    pub fn client(self: &Rc<Self>) -> Rc<dyn Engine> {
        Rc::new(Client { model: self.clone(), cut_off: Rc::default() })
    }

    /// The same, and what cuts that node off from it.
    #[must_use]
    pub fn client_to_cut(self: &Rc<Self>) -> (Rc<dyn Engine>, Rc<Cell<bool>>) {
        let cut_off = Rc::new(Cell::new(false));
        (Rc::new(Client { model: self.clone(), cut_off: cut_off.clone() }), cut_off)
    }

    /// Ends all leases, as a leader does that was stalled.
    pub fn revoke_all(&self) {
        let leases: Vec<i64> = self.state.borrow().leases.keys().copied().collect();
        leases.into_iter().for_each(|lease| self.end(lease));
    }

    /// Forgets the history up to now.
    pub fn compact(&self) {
        let mut state = self.state.borrow_mut();
        state.compacted = state.revision;
    }

    /// What a key says.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<Entry> {
        self.expire();
        self.state.borrow().entries.get(key).map(|(entry, _)| entry.clone())
    }

    /// All changes so far, in their order.
    #[must_use]
    pub fn history(&self) -> Vec<(Revision, Change)> {
        self.state.borrow().history.clone()
    }

    fn end(&self, lease: i64) {
        let mut state = self.state.borrow_mut();
        state.leases.remove(&lease);
        let keys: Vec<String> =
            state.entries.iter().filter(|(_, (_, of))| of.0 == lease).map(|(key, _)| key.clone()).collect();
        for key in keys {
            state.remove(&key);
        }
    }

    fn expire(&self) {
        let now = clock::now();
        let ended: Vec<i64> =
            self.state.borrow().leases.iter().filter(|(_, leased)| leased.ends <= now).map(|(id, _)| *id).collect();
        ended.into_iter().for_each(|lease| self.end(lease));
    }
}

impl State {
    fn put(&mut self, key: &str, value: Vec<u8>, lease: Lease) -> Result<Revision, EngineError> {
        if !self.leases.contains_key(&lease.0) {
            return Err(EngineError::LeaseGone);
        }
        self.revision += 1;
        let entry = Entry { key: key.to_owned(), value, modified: Revision(self.revision) };
        self.history.push((entry.modified, Change::Put(entry.clone())));
        self.entries.insert(key.to_owned(), (entry, lease));
        Ok(Revision(self.revision))
    }

    fn remove(&mut self, key: &str) {
        if self.entries.remove(key).is_some() {
            self.revision += 1;
            let at = Revision(self.revision);
            self.history.push((at, Change::Deleted { key: key.to_owned(), at }));
        }
    }

    fn entry(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).map(|(entry, _)| entry.clone())
    }
}

struct Client {
    model: Rc<Model>,
    cut_off: Rc<Cell<bool>>,
}

impl Client {
    fn is_away(&self) -> bool {
        self.cut_off.get() || self.model.faults.is_away.get()
    }

    /// Does it, in the time that takes, with what goes wrong.
    async fn ask<T>(&self, act: impl FnOnce(&mut State) -> Result<T, EngineError>) -> Result<T, EngineError> {
        let away = || EngineError::Unavailable("the model is away".into());
        let faults = &self.model.faults;
        runtime::sleep(faults.answer_time.get() / 2).await;
        if self.is_away() {
            runtime::sleep(crate::limits::CLUSTER_ENGINE_TIME_MAX).await;
            return Err(away());
        }
        self.model.expire();
        let answer = act(&mut self.model.state.borrow_mut());
        runtime::sleep(faults.answer_time.get() / 2).await;
        if faults.answers_lost.get() > 0 {
            faults.answers_lost.set(faults.answers_lost.get() - 1);
            return Err(away());
        }
        if self.is_away() { Err(away()) } else { answer }
    }
}

impl Engine for Client {
    fn grant(&self, lasts: Duration) -> Answer<'_, Lease> {
        self.ask(move |state| {
            state.leases_so_far += 1;
            state.leases.insert(state.leases_so_far, Leased { ends: clock::now() + lasts, lasts });
            Ok(Lease(state.leases_so_far))
        })
        .boxed_local()
    }

    fn renew(&self, lease: Lease) -> Answer<'_, ()> {
        self.ask(move |state| {
            let leased = state.leases.get_mut(&lease.0).ok_or(EngineError::LeaseGone)?;
            leased.ends = clock::now() + leased.lasts;
            Ok(())
        })
        .boxed_local()
    }

    fn revoke(&self, lease: Lease) -> Answer<'_, ()> {
        async move {
            self.ask(|_| Ok(())).await?;
            self.model.end(lease.0);
            Ok(())
        }
        .boxed_local()
    }

    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, lease: Lease) -> Answer<'a, Revision> {
        self.ask(move |state| state.put(key, value, lease)).boxed_local()
    }

    fn create<'a>(&'a self, key: &'a str, value: Vec<u8>, lease: Lease) -> Answer<'a, Put> {
        self.ask(move |state| match state.entry(key) {
            Some(there) => Ok(Err(there)),
            None => state.put(key, value, lease).map(Ok),
        })
        .boxed_local()
    }

    fn replace<'a>(
        &'a self,
        key: &'a str,
        modified: Revision,
        value: Vec<u8>,
        lease: Lease,
    ) -> Answer<'a, Result<Revision, Option<Entry>>> {
        self.ask(move |state| match state.entry(key) {
            Some(there) if there.modified == modified => state.put(key, value, lease).map(Ok),
            there => Ok(Err(there)),
        })
        .boxed_local()
    }

    fn delete<'a>(&'a self, key: &'a str, modified: Revision) -> Answer<'a, bool> {
        self.ask(move |state| {
            let is_there = state.entry(key).is_some_and(|there| there.modified == modified);
            if is_there {
                state.remove(key);
            }
            Ok(is_there)
        })
        .boxed_local()
    }

    fn snapshot<'a>(&'a self, prefix: &'a str) -> Answer<'a, Snapshot> {
        self.ask(move |state| {
            let begins = |key: &String| key.starts_with(prefix);
            let entries = state.entries.iter().filter(|(key, _)| begins(key)).map(|(_, (entry, _))| entry.clone());
            Ok(Snapshot { entries: entries.collect(), at: Revision(state.revision) })
        })
        .boxed_local()
    }

    fn watch<'a>(&'a self, prefix: &'a str, from: Revision) -> Answer<'a, Box<dyn Watch>> {
        async move {
            self.ask(move |state| if from.0 <= state.compacted { Err(EngineError::Compacted) } else { Ok(()) }).await?;
            let watching = Watching {
                model: self.model.clone(),
                cut_off: self.cut_off.clone(),
                prefix: prefix.to_owned(),
                next: from,
            };
            Ok(Box::new(watching) as Box<dyn Watch>)
        }
        .boxed_local()
    }

    fn distrust(&self) {}

    fn asked(&self) -> String {
        "a model".into()
    }
}

struct Watching {
    model: Rc<Model>,
    cut_off: Rc<Cell<bool>>,
    prefix: String,
    next: Revision,
}

/// How often the model looks whether there is something to tell.
const LOOK: Duration = Duration::from_millis(5);

impl Watch for Watching {
    fn next(&mut self) -> Answer<'_, Vec<Change>> {
        async move {
            loop {
                self.model.expire();
                let faults = &self.model.faults;
                let is_silent = faults.watches_silent.get() || faults.is_away.get() || self.cut_off.get();
                let changes: Vec<(Revision, Change)> = if is_silent {
                    Vec::new()
                } else {
                    let state = self.model.state.borrow();
                    state.history.iter().filter(|(at, _)| *at >= self.next).cloned().collect()
                };
                if let Some((last, _)) = changes.last() {
                    self.next = Revision(last.0 + 1);
                    runtime::sleep(faults.watch_time.get()).await;
                    let is_mine = |change: &Change| match change {
                        Change::Put(entry) => entry.key.starts_with(&self.prefix),
                        Change::Deleted { key, .. } => key.starts_with(&self.prefix),
                    };
                    return Ok(changes.into_iter().map(|(_, change)| change).filter(is_mine).collect());
                }
                runtime::sleep(LOOK).await;
            }
        }
        .boxed_local()
    }
}

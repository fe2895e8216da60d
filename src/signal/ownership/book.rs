//! Ownership for a single node: a map in this process. Every answer is immediate.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::ready;

use futures_util::future::{FutureExt as _, LocalBoxFuture};

use super::interface::{Claimant, Epoch, Located, NotClaimed, NotReleased, Owner, Ownership, Unavailable};
use crate::signal::stream_name::StreamName;

/// The names that are owned. The number of the node's publishers bounds them.
#[derive(Debug, Default)]
pub struct Book {
    owned: RefCell<HashMap<StreamName, Epoch>>,
    claims_so_far: Cell<u64>,
}

impl Ownership for Book {
    fn claim<'a>(&'a self, name: &'a StreamName, _: &'a Claimant) -> LocalBoxFuture<'a, Result<Epoch, NotClaimed>> {
        let mut owned = self.owned.borrow_mut();
        if owned.contains_key(name) {
            return ready(Err(NotClaimed::Owned(Owner::ThisNode))).boxed_local();
        }
        let epoch = Epoch(self.claims_so_far.get() + 1);
        self.claims_so_far.set(epoch.0);
        owned.insert(name.clone(), epoch);
        ready(Ok(epoch)).boxed_local()
    }

    fn locate<'a>(&'a self, name: &'a StreamName) -> LocalBoxFuture<'a, Result<Option<Located>, Unavailable>> {
        let epoch = self.owned.borrow().get(name).copied();
        ready(Ok(epoch.map(|epoch| Located { owner: Owner::ThisNode, epoch }))).boxed_local()
    }

    fn release<'a>(&'a self, name: &'a StreamName, epoch: Epoch) -> LocalBoxFuture<'a, Result<(), NotReleased>> {
        let mut owned = self.owned.borrow_mut();
        let is_present = owned.get(name) == Some(&epoch);
        if is_present {
            owned.remove(name);
        }
        ready(is_present.then_some(()).ok_or(NotReleased::Stale)).boxed_local()
    }
}

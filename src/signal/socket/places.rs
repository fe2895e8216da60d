//! How many sockets there may be, of all and of one address, and the memory each may take.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use super::end::End;
use crate::config;
use crate::metrics::SignallingCounters;
use crate::signal::admission::{PerAddress, PlaceOfAddress};
use crate::signal::messages::budget::{Memories, Memory};

/// The places.
pub(in crate::signal) struct Places {
    max: usize,
    per_address: Rc<PerAddress>,
    open: Rc<Cell<usize>>,
    memories: Memories,
    counters: SignallingCounters,
}

/// A socket's place among all and among its address's, given back on drop.
pub(super) struct Place {
    open: Rc<Cell<usize>>,
    counters: SignallingCounters,
    end: End,
    memory: Rc<Memory>,
    _of_address: PlaceOfAddress,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// As many as may be, of all.
    Node,
    /// As many as may be, of one address.
    Address,
}

impl Places {
    /// None taken yet.
    pub(in crate::signal) fn new(terms: &config::Sockets, exempt: &[IpAddr], counters: SignallingCounters) -> Self {
        Self {
            max: terms.sockets_max as usize,
            per_address: PerAddress::new(terms.sockets_per_address_max as usize, exempt),
            open: Rc::default(),
            memories: Memories::new(),
            counters,
        }
    }

    /// How many are taken.
    pub(in crate::signal) fn count(&self) -> usize {
        self.open.get()
    }

    /// One more, for a client of that address.
    pub(super) fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
        let of_address = self.per_address.take(address).ok_or(NoPlace::Address)?;
        if self.open.get() >= self.max {
            return Err(NoPlace::Node);
        }
        self.open.set(self.open.get() + 1);
        self.counters.socket_opened();
        // Whoever ends it in order says so; a task that is dropped or panics has no time to.
        Ok(Place {
            open: self.open.clone(),
            counters: self.counters.clone(),
            end: End::Dropped,
            memory: self.memories.of(self.per_address.client_of(address)),
            _of_address: of_address,
        })
    }
}

impl Place {
    /// What the socket may hold.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How the socket ends, for its counter.
    pub(super) fn ends(&mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.counters.socket_closed(self.end.name());
    }
}

//! Bounds on the number of sockets, in total and per address, and on the memory of each.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use super::end::SocketEnd;
use crate::config;
use crate::metrics::SignallingCounters;
use crate::signal::admission::{PerAddress, PlaceOfAddress};
use crate::signal::messages::budget::{Memories, Memory};

/// The places for sockets.
pub(in crate::signal) struct SocketPlaces {
    max: usize,
    per_address: Rc<PerAddress>,
    open: Rc<Cell<usize>>,
    memories: Memories,
    counters: SignallingCounters,
}

/// A socket's place, among all and among those of its address. It is freed on drop.
pub(super) struct SocketPlace {
    open: Rc<Cell<usize>>,
    counters: SignallingCounters,
    end: SocketEnd,
    memory: Rc<Memory>,
    _of_address: PlaceOfAddress,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// The node has as many sockets as it may.
    Node,
    /// The address has as many sockets as it may.
    Address,
}

impl SocketPlaces {
    /// No place is taken yet.
    pub(in crate::signal) fn new(terms: &config::Sockets, exempt: &[IpAddr], counters: SignallingCounters) -> Self {
        Self {
            max: terms.sockets_max as usize,
            per_address: PerAddress::new(terms.sockets_per_address_max as usize, exempt),
            open: Rc::default(),
            memories: Memories::new(),
            counters,
        }
    }

    /// How many places are taken.
    pub(in crate::signal) fn count(&self) -> usize {
        self.open.get()
    }

    /// Takes a place for a client of that address.
    pub(super) fn take(&self, address: IpAddr) -> Result<SocketPlace, NoPlace> {
        let of_address = self.per_address.take(address).ok_or(NoPlace::Address)?;
        if self.open.get() >= self.max {
            return Err(NoPlace::Node);
        }
        self.open.set(self.open.get() + 1);
        self.counters.socket_opened();
        // An orderly end overwrites this. It stays if the task is dropped or panics.
        Ok(SocketPlace {
            open: self.open.clone(),
            counters: self.counters.clone(),
            end: SocketEnd::Dropped,
            memory: self.memories.of(self.per_address.client_of(address)),
            _of_address: of_address,
        })
    }
}

impl SocketPlace {
    /// The memory that the socket may take.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Records how the socket ends, for the counter.
    pub(super) fn ends(&mut self, end: SocketEnd) {
        self.end = end;
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.counters.socket_closed(self.end.name());
    }
}

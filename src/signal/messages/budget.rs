//! Shared memory budgets: a budget for all sockets together, and a part of it for each client.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::{Rc, Weak};

use crate::limits;

/// A number of bytes that several holders share. What is taken from a part is taken from the whole too.
#[derive(Debug)]
pub(in crate::signal) struct Budget {
    max: usize,
    taken: Cell<usize>,
    whole: Option<Rc<Self>>,
}

impl Budget {
    /// A budget of `max` bytes.
    pub(in crate::signal) fn new(max: usize) -> Rc<Self> {
        Rc::new(Self { max, taken: Cell::new(0), whole: None })
    }

    /// A part of `whole`, of at most `max` bytes.
    fn part_of(whole: &Rc<Self>, max: usize) -> Rc<Self> {
        Rc::new(Self { max, taken: Cell::new(0), whole: Some(whole.clone()) })
    }

    /// How many bytes are taken.
    #[cfg(test)]
    pub(in crate::signal) fn taken(&self) -> usize {
        self.taken.get()
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self.taken.get() + bytes;
        let fits = taken <= self.max && self.whole.as_ref().is_none_or(|whole| whole.take(bytes));
        if fits {
            self.taken.set(taken);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.taken.set(self.taken.get() - bytes);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
    }
}

/// The bytes that one holder has taken from a budget. They are given back on drop.
#[derive(Debug)]
pub(in crate::signal) struct Share {
    all: Rc<Budget>,
    bytes: Cell<usize>,
}

impl Share {
    /// An empty share of `all`.
    pub(in crate::signal) fn of(all: Rc<Budget>) -> Self {
        Self { all, bytes: Cell::new(0) }
    }

    /// Takes more bytes. Returns `false` if there is no room.
    pub(in crate::signal) fn grow(&self, bytes: usize) -> bool {
        let fits = self.all.take(bytes);
        if fits {
            self.bytes.set(self.bytes.get() + bytes);
        }
        fits
    }

    /// Gives bytes back.
    pub(in crate::signal) fn shrink(&self, bytes: usize) {
        let bytes = bytes.min(self.bytes.get());
        self.all.give_back(bytes);
        self.bytes.set(self.bytes.get() - bytes);
    }

    /// How many bytes the holder has.
    pub(in crate::signal) fn bytes(&self) -> usize {
        self.bytes.get()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes.get());
    }
}

/// The memory that the sockets of one client, or all sockets together, may hold.
#[derive(Debug)]
pub(in crate::signal) struct Memory {
    /// Messages that have begun to arrive.
    pub(in crate::signal) incoming: Rc<Budget>,
    /// Messages that wait to be written.
    pub(in crate::signal) outgoing: Rc<Budget>,
    book: Option<(Weak<Clients>, IpAddr)>,
}

type Clients = RefCell<HashMap<IpAddr, Weak<Memory>>>;

/// The memory of all sockets, and the part that each client with a socket may have. Without the parts, one client could
/// take all of it with as many sockets as it may have.
#[derive(Debug)]
pub(in crate::signal) struct Memories {
    whole: Rc<Memory>,
    clients: Rc<Clients>,
}

impl Memories {
    /// Memory as the limits define it.
    pub(in crate::signal) fn new() -> Self {
        let whole = Memory {
            incoming: Budget::new(limits::SOCKETS_INCOMING_BYTES_TOTAL),
            outgoing: Budget::new(limits::SOCKETS_OUTBOX_BYTES_TOTAL),
            book: None,
        };
        Self { whole: Rc::new(whole), clients: Rc::default() }
    }

    /// The memory that all sockets of a client share, for as long as one of them holds it. `None` stands for an exempt
    /// address, which may use the whole.
    pub(in crate::signal) fn of(&self, client: Option<IpAddr>) -> Rc<Memory> {
        let Some(client) = client else { return self.whole.clone() };
        let mut clients = self.clients.borrow_mut();
        if let Some(memory) = clients.get(&client).and_then(Weak::upgrade) {
            return memory;
        }
        let Memory { incoming, outgoing, .. } = &*self.whole;
        let memory = Rc::new(Memory {
            incoming: Budget::part_of(incoming, incoming.max / limits::SOCKETS_SHARE_OF_ADDRESS),
            outgoing: Budget::part_of(outgoing, outgoing.max / limits::SOCKETS_SHARE_OF_ADDRESS),
            book: Some((Rc::downgrade(&self.clients), client)),
        });
        clients.insert(client, Rc::downgrade(&memory));
        memory
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let Some((clients, client)) = &self.book else { return };
        if let Some(clients) = clients.upgrade() {
            clients.borrow_mut().remove(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_one_part_of_the_budget_for_all_its_sockets() {
        let memories = Memories::new();
        let [one, other] = [1, 2].map(|last| Some(IpAddr::from([192, 0, 2, last])));
        let part = limits::SOCKETS_INCOMING_BYTES_TOTAL / limits::SOCKETS_SHARE_OF_ADDRESS;
        let share = |client| Share::of(memories.of(client).incoming.clone());
        let (first, second, neighbour, proxy) = (memories.of(one), memories.of(one), share(other), share(None));
        let [first, second] = [first, second].map(|memory| (Share::of(memory.incoming.clone()), memory));
        assert!(first.0.grow(part - 10) && second.0.grow(10) && !second.0.grow(1), "two sockets, one part");
        assert!(neighbour.grow(part), "the neighbour's is its own");
        assert!(!proxy.grow(limits::SOCKETS_INCOMING_BYTES_TOTAL - 2 * part + 1), "all of it is taken of the whole");
        assert!(proxy.grow(limits::SOCKETS_INCOMING_BYTES_TOTAL - 2 * part));
        first.0.shrink(10);
        assert!(second.0.grow(10));
        drop((first, second, neighbour));
        assert_eq!((memories.clients.borrow().len(), memories.whole.incoming.taken()), (0, proxy.bytes()));
        assert!(proxy.grow(2 * part));
    }
}

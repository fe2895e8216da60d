//! Places for connections that other nodes have made: those that have not shown a certificate yet, and those of nodes.
//!
//! A stranger can open as many as it likes. It displaces its like only: who has not shown a certificate gives way to who comes after
//! it, the one that began first goes first, and an honest handshake needs some milliseconds. How often one address may begin is bounded
//! before that.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use crate::limits;
use crate::net::clock;
use crate::rate::Allowance;
use crate::time::Timestamp;

/// The table of one kind of places.
#[derive(Debug, Default)]
pub(super) struct Places {
    rows: RefCell<BTreeMap<u64, Row>>,
    next: Cell<u64>,
}

#[derive(Debug)]
struct Row {
    /// The node that has it; none of a connection that has not shown a certificate yet.
    node: Option<String>,
    /// Since when the directory does not have that node.
    gone_since: Option<Instant>,
    /// Dropped with the row, which ends the connection.
    _end: flume::Sender<()>,
}

/// A place. It is freed on drop.
pub(super) struct Place {
    table: Rc<Places>,
    id: u64,
    ended: flume::Receiver<()>,
}

impl Places {
    /// Takes a place. Where there are `most`, the first one's connection ends; so it is with those of one node, where there are
    /// `of_node`.
    pub(super) fn take(self: &Rc<Self>, node: Option<&str>, most: usize, of_node: usize) -> Place {
        let id = self.next.get();
        self.next.set(id + 1);
        let mut rows = self.rows.borrow_mut();
        if let Some(node) = node {
            let mut same = rows.iter().filter(|(_, row)| row.node.as_deref() == Some(node)).map(|(id, _)| *id);
            if let Some(first) = same.next()
                && same.count() + 1 >= of_node
            {
                rows.remove(&first);
            }
        }
        if rows.len() >= most {
            rows.pop_first();
        }
        let (end, ended) = flume::bounded(1);
        rows.insert(id, Row { node: node.map(str::to_owned), gone_since: None, _end: end });
        Place { table: self.clone(), id, ended }
    }

    pub(super) fn count(&self) -> usize {
        self.rows.borrow().len()
    }

    /// Ends connections of nodes that left.
    pub(super) fn end_gone(&self, is_listed: impl Fn(&str) -> bool) {
        let now = clock::now();
        self.rows.borrow_mut().retain(|_, row| {
            let is_there = row.node.as_deref().is_none_or(&is_listed);
            row.gone_since = if is_there { None } else { row.gone_since.or(Some(now)) };
            row.gone_since.is_none_or(|since| now.saturating_duration_since(since) < limits::CHANNEL_GONE_MAX)
        });
    }

    /// Ends all connections.
    pub(super) fn end_all(&self) {
        self.rows.borrow_mut().clear();
    }
}

impl Place {
    /// Returns when the place is lost.
    pub(super) async fn lost(&self) {
        let _ = self.ended.recv_async().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.rows.borrow_mut().remove(&self.id);
    }
}

/// How often each address has begun a handshake.
#[derive(Debug)]
pub(super) struct Begun {
    of: RefCell<HashMap<IpAddr, Allowance>>,
    start: Instant,
}

impl Default for Begun {
    fn default() -> Self {
        Self { of: RefCell::default(), start: clock::now() }
    }
}

impl Begun {
    /// Whether that address may begin one more.
    pub(super) fn may(&self, address: IpAddr) -> bool {
        let now = Timestamp::ZERO + clock::now().saturating_duration_since(self.start);
        let mut of = self.of.borrow_mut();
        let site = site_of(address);
        if of.len() >= limits::CHANNEL_ADDRESSES_MAX && !of.contains_key(&site) {
            of.clear();
        }
        let allowance = of.entry(site).or_insert(Allowance::new(now));
        allowance.take(limits::CHANNEL_HANDSHAKES_AT_ONCE, limits::CHANNEL_HANDSHAKE_PAUSE, now)
    }
}

/// What one stranger has: an address, or a network of IPv6.
fn site_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(place: &Place) -> bool {
        place.ended.is_disconnected()
    }

    #[test]
    fn who_comes_displaces_its_like_only_and_the_first_one_of_them() {
        let table: Rc<Places> = Rc::default();
        let places: Vec<_> = (0..4).map(|_| table.take(None, 3, 1)).collect();
        assert_eq!(places.iter().map(is_lost).collect::<Vec<_>>(), [true, false, false, false]);
        assert_eq!(table.count(), 3);
        drop(places);
        assert_eq!(table.count(), 0);

        let nodes = ["a", "b", "a", "a"].map(|node| table.take(Some(node), 100, 2));
        assert_eq!(nodes.iter().map(is_lost).collect::<Vec<_>>(), [true, false, false, false]);
        table.end_all();
        assert!(nodes.iter().all(is_lost));
    }

    #[test]
    fn one_address_begins_so_many_and_others_as_before() {
        let begun = Begun::default();
        let of = |address: &str| begun.may(address.parse().unwrap());
        let taken = (0..10_000).filter(|_| of("192.0.2.1")).count();
        assert!((limits::CHANNEL_HANDSHAKES_AT_ONCE as usize..1_000).contains(&taken), "{taken}");
        assert!(of("192.0.2.2"));
        for host in 0..limits::CHANNEL_HANDSHAKES_AT_ONCE {
            of(&format!("2001:db8::{host:x}"));
        }
        assert!(!of("2001:db8::ffff") && of("2001:db8:0:1::1"));
    }
}

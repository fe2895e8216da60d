//! Admission control at the edge: bounds on connections and sessions per client address, and on the rate of sessions.
//!
//! The address is that of the TCP connection, or, where that is one of `trusted_proxies`, the client's that the proxy names
//! ([`super::forwarded`]). Behind any other proxy on this host all clients have the proxy's address, which is exempt; such
//! a proxy has to do the counting itself. Many viewers share one address behind a carrier's NAT, so the limits are generous
//! and a refusal names the limit. Streams, their viewers and waiting viewers are counted in [`super::sessions`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::memory::Memory;
use crate::auth::address::{Exempt, client_of, network_of};
use crate::config::Admission;
use crate::limits;
use crate::time::Timestamp;

/// The address of the connection that a request came by. It is in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) IpAddr);

/// Counts places per client address: IPv4 by the address, IPv6 by the /64 and by the /56 and /48 around it, which may have
/// more. A network is in the map while it has at least one place.
#[derive(Debug)]
pub(super) struct PerAddress {
    max: Cell<usize>,
    exempt: Exempt,
    taken: RefCell<HashMap<Network, usize>>,
}

/// A network that places are counted for: its bits, and its address.
type Network = (u32, IpAddr);

/// The networks that an address is counted in, and how many places each may have if an address may have `max`.
fn networks(address: IpAddr, max: usize) -> impl Iterator<Item = (Network, usize)> {
    let wider = limits::IPV6_WIDER_NETWORKS.into_iter().filter(move |_| address.to_canonical().is_ipv6());
    let wider =
        wider.map(move |(bits, halves)| ((bits, network_of(address, bits)), max.saturating_mul(halves).div_ceil(2)));
    let own = (limits::IPV6_CLIENT_PREFIX_BITS, client_of(address));
    std::iter::once((own, max)).chain(wider)
}

impl PerAddress {
    /// Allows at most `max` places to every address that is not `exempt`.
    pub(super) fn new(max: usize, exempt: &[IpAddr]) -> Rc<Self> {
        Rc::new(Self { max: Cell::new(max), exempt: Exempt::new(exempt), taken: RefCell::default() })
    }

    /// Counts connections.
    pub(super) fn of_connections(admission: &Admission) -> Rc<Self> {
        let max = Cell::new(admission.connections_per_address_max as usize);
        Rc::new(Self { max, exempt: admission.exempt_connections(), taken: RefCell::default() })
    }

    /// Takes one of the address's places, until the returned value is dropped. `None` if it has none left.
    pub(super) fn take(self: &Rc<Self>, address: IpAddr) -> Option<PlaceOfAddress> {
        let Some(client) = self.client_of(address) else {
            return Some(PlaceOfAddress { book: Rc::clone(self), client: None });
        };
        let mut taken = self.taken.borrow_mut();
        let mut all = networks(client, self.max.get());
        if all.any(|(network, max)| taken.get(&network).is_some_and(|count| *count >= max) || max == 0) {
            return None;
        }
        networks(client, 0).for_each(|(network, _)| *taken.entry(network).or_insert(0) += 1);
        Some(PlaceOfAddress { book: Rc::clone(self), client: Some(client) })
    }

    /// The client that an address is counted as; `None` if it is exempt.
    pub(super) fn client_of(&self, address: IpAddr) -> Option<IpAddr> {
        (!self.exempt.has(address)).then(|| client_of(address))
    }

    /// How many places one address may have.
    pub(super) fn max(&self) -> usize {
        self.max.get()
    }

    /// Changes the limit. An address that has more places keeps them.
    pub(super) fn set_max(&self, max: usize) {
        self.max.set(max);
    }
}

/// One of an address's places. It is freed on drop.
#[derive(Debug)]
pub(super) struct PlaceOfAddress {
    book: Rc<PerAddress>,
    client: Option<IpAddr>,
}

impl Drop for PlaceOfAddress {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut taken = self.book.taken.borrow_mut();
        for (network, _) in networks(client, 0) {
            if let Some(count) = taken.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    taken.remove(&network);
                }
            }
        }
    }
}

/// A rate with a burst: the generic cell rate algorithm (ITU-T I.371). It computes when everything admitted so far
/// would have arrived at an even pace. That time may lie ahead of now by a bounded amount, the burst.
#[derive(Debug)]
pub(super) struct Rate {
    interval: Duration,
    burst: Duration,
    paced: Cell<Timestamp>,
}

impl Rate {
    /// A rate per second with the burst for joins.
    pub(super) fn per_second(rate: u32) -> Self {
        Self::with_burst(rate, Duration::from_secs(1) / limits::JOINS_BURST_DIVISOR as u32)
    }

    /// A rate per second. As many as it allows in `burst` may come at once.
    pub(super) fn with_burst(rate: u32, burst: Duration) -> Self {
        let interval = Duration::from_secs(1) / rate.max(1);
        Self { interval, burst: burst.max(interval), paced: Cell::new(Timestamp::ZERO) }
    }

    /// Counts one more, and returns whether it is allowed now.
    pub(super) fn take(&self, now: Timestamp) -> bool {
        let paced = self.paced.get().max(now);
        if paced.since(now) + self.interval > self.burst {
            return false;
        }
        self.paced.set(paced + self.interval);
        true
    }
}

/// The limits that a new session has to pass first: per client address and by rate.
#[derive(Debug)]
pub(super) struct Door {
    memory: Rc<Memory>,
    clients: Rc<PerAddress>,
    joins: RefCell<Rate>,
    /// Follows have the same rate for themselves: they cost a worker nothing, and must not keep sessions out.
    follows: RefCell<Rate>,
}

/// Why a session does not get past the [`Door`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotLetIn {
    /// The client's address has as many sessions as it may.
    TooManyFromAddress {
        /// The limit.
        max: usize,
    },
    /// More sessions per second are requested than may be opened.
    TooManyJoins,
    /// The control group's memory is nearly used up.
    MemoryFull,
}

impl Door {
    /// Applies the limits of `admission`.
    pub(super) fn new(admission: &Admission, memory: Rc<Memory>) -> Self {
        Self {
            memory,
            clients: PerAddress::new(admission.sessions_per_address_max as usize, &admission.exempt_addresses),
            joins: RefCell::new(Rate::per_second(admission.joins_per_second_max)),
            follows: RefCell::new(Rate::per_second(admission.joins_per_second_max)),
        }
    }

    /// Changes the limits. The exempt addresses stay, and so do the sessions that are already open.
    pub(super) fn change(&self, admission: &Admission) {
        self.clients.set_max(admission.sessions_per_address_max as usize);
        self.joins.replace(Rate::per_second(admission.joins_per_second_max));
        self.follows.replace(Rate::per_second(admission.joins_per_second_max));
    }

    /// Counts one more follow of a stream. The rate of its address is the joins' ([`crate::auth`]).
    pub(super) fn follow(&self, now: Timestamp) -> Result<(), NotLetIn> {
        match self.follows.borrow().take(now) {
            true => Ok(()),
            false => Err(NotLetIn::TooManyJoins),
        }
    }

    /// Takes a place for one more session of that address. It is freed on drop.
    pub(super) fn enter(&self, address: IpAddr, now: Timestamp) -> Result<PlaceOfAddress, NotLetIn> {
        if self.memory.is_full() {
            return Err(NotLetIn::MemoryFull);
        }
        let max = self.clients.max();
        let place = self.clients.take(address).ok_or(NotLetIn::TooManyFromAddress { max })?;
        if !self.joins.borrow().take(now) {
            return Err(NotLetIn::TooManyJoins);
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_places_and_gets_them_back() {
        let book = PerAddress::new(2, &[ip("127.0.0.1")]);
        let (one, two) = (book.take(ip("192.0.2.1")), book.take(ip("::ffff:192.0.2.1")));
        assert!(one.is_some() && two.is_some() && book.take(ip("192.0.2.1")).is_none());
        let other = book.take(ip("192.0.2.2"));
        assert!(other.is_some(), "another address is not concerned");
        drop(one);
        let again = book.take(ip("192.0.2.1"));
        assert!(again.is_some());
        drop((two, other, again));
        assert!(book.taken.borrow().is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn the_networks_around_an_ipv6_client_have_bounds_that_grow_with_them() {
        // A client per /64, from one /56, one /48 and one /32.
        for (name, places, expected) in [("/56", 0..256_u128, 15), ("/48", 0..65_536, 20), ("/32", 0..90_000, 40)] {
            let book = PerAddress::new(10, &[]);
            let at = |number: u128| IpAddr::from(std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | number << 64));
            let taken: Vec<_> = places.filter_map(|number| book.take(at(number))).collect();
            assert_eq!(taken.len(), expected, "from one {name}");
            drop(taken);
            assert!(book.taken.borrow().is_empty());
        }
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_the_exempt_are_not_counted() {
        let book = PerAddress::new(1, &[ip("127.0.0.1"), ip("2001:db8:9::1")]);
        let first = book.take(ip("2001:db8:0:1::1"));
        assert!(first.is_some() && book.take(ip("2001:db8:0:1:ffff::2")).is_none());
        let next = book.take(ip("2001:db8:0:2::1"));
        assert!(next.is_some());
        let exempt: Vec<_> = ["127.0.0.1", "2001:db8:9::1", "::ffff:127.0.0.1"]
            .iter()
            .cycle()
            .take(30)
            .map(|text| book.take(ip(text)))
            .collect();
        assert!(exempt.iter().all(Option::is_some));
        assert!(book.take(ip("127.0.0.2")).is_some(), "exempt is one address, not its network");
    }

    #[test]
    fn a_rate_admits_a_burst_and_then_an_even_pace() {
        let rate = Rate::per_second(100);
        let start = Timestamp::from_millis(5_000);
        let burst = (0..1_000).filter(|_| rate.take(start)).count();
        assert_eq!(burst, 100 / limits::JOINS_BURST_DIVISOR as usize);
        let later = (1..=200).filter(|ms| (0..50).any(|_| rate.take(start + Duration::from_millis(ms * 5)))).count();
        assert!((95..=105).contains(&later), "{later} in a second");
        assert!(Rate::per_second(1).take(start) && !rate.take(start));
    }
}

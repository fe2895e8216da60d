//! A listener's table of connections: who has a place, and whose place a newcomer gets when there are few left.
//!
//! What a connection has shown decides. One that has shown least goes first: it has not finished TLS, or has not asked for
//! anything. Of these, one goes whose network has most of them, and there the oldest. So a client that opens connections
//! and leaves them there gives way to itself, and an honest newcomer always gets in. Connections that became sockets are no
//! longer in this table.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use futures_util::future::{Either, select};

use super::admission::{PerAddress, PlaceOfAddress};
use super::turns::site_of;
use crate::limits;
use crate::metrics::SignallingCounters;
use crate::net::clock;

/// What a connection does, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has not asked for anything yet.
    Unfinished,
    /// So many of its requests are under way.
    Asking(usize),
    /// All of its requests are answered.
    Idle,
}

/// Why a connection lost its place to a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Displaced {
    /// It had not asked for anything for a while, and there were few places left.
    Unfinished,
    /// It had asked and was idle, and there was no place left.
    Idle,
    /// It was asking, and there was no place left and nobody who was not.
    Asking,
}

/// Why a newcomer has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// Everybody else is at work.
    Table,
    /// Its network has as many connections as it may.
    Address,
}

/// The table.
pub(super) struct Connections {
    max: usize,
    per_address: Rc<PerAddress>,
    rows: RefCell<BTreeMap<u64, Rc<Row>>>,
    next: Cell<u64>,
    counters: SignallingCounters,
}

struct Row {
    site: IpAddr,
    phase: Cell<Phase>,
    since: Cell<Instant>,
    displaced: Cell<Option<Displaced>>,
    task: RefCell<Option<Waker>>,
}

/// A connection's place. It is freed on drop, however the connection ends.
pub(super) struct Place {
    table: Rc<Connections>,
    id: u64,
    row: Rc<Row>,
    _of_address: PlaceOfAddress,
}

impl Connections {
    /// A table of at most `max` connections.
    pub(super) fn new(max: usize, per_address: Rc<PerAddress>, counters: SignallingCounters) -> Rc<Self> {
        Rc::new(Self { max, per_address, rows: RefCell::default(), next: Cell::new(0), counters })
    }

    /// Takes a place for a client of that address. Somebody else may lose one for it.
    pub(super) fn take(self: &Rc<Self>, address: IpAddr, now: Instant) -> Result<Rc<Place>, NoPlace> {
        let of_address = self.per_address.take(address).ok_or(NoPlace::Address)?;
        self.make_room(now)?;
        let id = self.next.get();
        self.next.set(id + 1);
        let row = Rc::new(Row {
            site: site_of(address),
            phase: Cell::new(Phase::Unfinished),
            since: Cell::new(now),
            displaced: Cell::new(None),
            task: RefCell::default(),
        });
        self.rows.borrow_mut().insert(id, row.clone());
        self.counters.connection_opened();
        Ok(Rc::new(Place { table: self.clone(), id, row, _of_address: of_address }))
    }

    /// Whether few places are free.
    pub(super) fn few_left(&self) -> bool {
        self.rows.borrow().len() >= self.max - self.max / limits::CONNECTIONS_FEW_LEFT_DIVISOR
    }

    fn make_room(&self, now: Instant) -> Result<(), NoPlace> {
        if self.few_left() {
            let oldest = now.checked_sub(limits::CONNECTION_UNFINISHED_MIN);
            self.displace(Displaced::Unfinished, |row| {
                row.phase.get() == Phase::Unfinished && oldest.is_some_and(|oldest| row.since.get() <= oldest)
            });
        }
        // A place was not made, or was not enough: whoever does nothing just now, then whoever.
        if self.rows.borrow().len() < self.max
            || self.displace(Displaced::Unfinished, |row| row.phase.get() == Phase::Unfinished)
            || self.displace(Displaced::Idle, |row| row.phase.get() == Phase::Idle)
            || self.displace(Displaced::Asking, |_| true)
        {
            return Ok(());
        }
        Err(NoPlace::Table)
    }

    /// Takes a place away: of the rows that may go, one of the network that has most of them, there the one that has been so
    /// longest. Who is at work loses its place only if its network has many.
    fn displace(&self, why: Displaced, may_go: impl Fn(&Row) -> bool) -> bool {
        let mut rows = self.rows.borrow_mut();
        let mut of_site: HashMap<IpAddr, (usize, Instant, u64)> = HashMap::new();
        for (id, row) in rows.iter().filter(|(_, row)| may_go(row)) {
            let since = row.since.get();
            let (count, oldest, first) = of_site.entry(row.site).or_insert((0, since, *id));
            *count += 1;
            if since < *oldest {
                (*oldest, *first) = (since, *id);
            }
        }
        let many = (self.max / limits::CONNECTIONS_LARGE_DIVISOR).max(1);
        let least = if why == Displaced::Asking { many } else { 0 };
        let of_site = of_site.into_values().filter(|(count, ..)| *count > least);
        let chosen = of_site.max_by(|(count, oldest, _), (other, older, _)| count.cmp(other).then(older.cmp(oldest)));
        let Some(row) = chosen.and_then(|(_, _, id)| rows.remove(&id)) else { return false };
        row.displaced.set(Some(why));
        if let Some(task) = row.task.take() {
            task.wake();
        }
        true
    }
}

impl Place {
    /// Runs the connection's task until it ends, or loses its place.
    pub(super) async fn keep<F: Future<Output = ()> + Unpin>(self: Rc<Self>, task: F) -> Option<Displaced> {
        let row = self.row.clone();
        drop(self);
        let displaced = poll_fn(move |context| match row.displaced.get() {
            Some(why) => Poll::Ready(why),
            None => {
                row.task.replace(Some(context.waker().clone()));
                Poll::Pending
            }
        });
        match select(displaced, task).await {
            Either::Left((why, _)) => Some(why),
            Either::Right(_) => None,
        }
    }

    /// A request has come. It is under way until the returned value is dropped, which happens too if the client leaves in
    /// the middle of it.
    pub(super) fn begin_request(self: &Rc<Self>) -> UnderWay {
        let before = match self.row.phase.get() {
            Phase::Asking(count) => count,
            Phase::Unfinished | Phase::Idle => 0,
        };
        self.row.phase.set(Phase::Asking(before + 1));
        self.row.since.set(clock::now());
        UnderWay(self.clone())
    }

    /// Since when no request has been under way; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (!matches!(self.row.phase.get(), Phase::Asking(_))).then(|| self.row.since.get())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.rows.borrow_mut().remove(&self.id);
        self.table.counters.connection_closed();
    }
}

/// A request under way.
pub(super) struct UnderWay(Rc<Place>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let row = &self.0.row;
        row.phase.set(match row.phase.get() {
            Phase::Asking(count) if count > 1 => Phase::Asking(count - 1),
            _ => Phase::Idle,
        });
        row.since.set(clock::now());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MAX: usize = 16;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn table() -> Rc<Connections> {
        Connections::new(MAX, PerAddress::new(MAX, &[]), SignallingCounters::new())
    }

    /// Takes places for these addresses, a second apart.
    fn fill(table: &Rc<Connections>, start: Instant, addresses: &[u8]) -> Vec<Rc<Place>> {
        let at = |second: usize| start + Duration::from_secs(second as u64);
        addresses.iter().enumerate().map(|(second, last)| table.take(ip(*last), at(second)).unwrap()).collect()
    }

    fn displaced(places: &[Rc<Place>]) -> Vec<(usize, Displaced)> {
        places.iter().enumerate().filter_map(|(at, place)| Some((at, place.row.displaced.get()?))).collect()
    }

    #[test]
    fn while_places_are_many_nobody_loses_one() {
        let (table, start) = (table(), Instant::now());
        let places = fill(&table, start, &[1; 12]);
        assert_eq!(displaced(&places), []);
        assert!(table.few_left());
        drop(places);
        assert!(table.rows.borrow().is_empty());
    }

    #[test]
    fn over_three_quarters_the_oldest_that_asked_for_nothing_gives_way_in_the_network_that_has_most() {
        let (table, start) = (table(), Instant::now());
        // One of an honest client is older than all others, but its network has only that one.
        let places = fill(&table, start, &[9, 1, 1, 1, 2, 2, 1, 1, 2, 1, 1, 1]);
        let asking = places[1].begin_request();
        let _newcomer = table.take(ip(3), start + Duration::from_secs(60)).unwrap();
        assert_eq!(displaced(&places), [(2, Displaced::Unfinished)], "the first of that network asks");
        drop(asking);
        let _newcomer = table.take(ip(4), start + Duration::from_secs(61)).unwrap();
        assert_eq!(displaced(&places), [(2, Displaced::Unfinished), (3, Displaced::Unfinished)]);
    }

    #[test]
    fn who_has_only_just_come_loses_its_place_when_there_is_no_other() {
        let (table, start) = (table(), Instant::now());
        let take = |last| table.take(ip(last), start).unwrap();
        let places: Vec<_> = (0..MAX).map(|_| take(1)).collect();
        assert_eq!(displaced(&places), [], "all came at once");
        let newcomer = take(2);
        assert_eq!(displaced(&places), [(0, Displaced::Unfinished)]);
        assert_eq!(table.rows.borrow().len(), MAX);
        drop(places);
        assert_eq!(table.rows.borrow().len(), 1, "a place that was lost is not freed again");
        drop(newcomer);
    }

    #[test]
    fn in_a_full_table_the_idle_give_way_before_those_who_ask() {
        let (table, start) = (table(), Instant::now());
        let take = |last| table.take(ip(last), start).unwrap();
        let (places, others) = ([1; MAX - 2].map(take), [2; 2].map(take));
        let mut asking: Vec<_> = places.iter().chain(&others).map(Place::begin_request).collect();
        asking.remove(5);
        let first = table.take(ip(3), start).unwrap();
        assert_eq!(displaced(&places), [(5, Displaced::Idle)]);
        // Nobody is idle: of those who ask, one of the network that has many.
        let asks = first.begin_request();
        let _second = table.take(ip(4), start).unwrap();
        assert_eq!(displaced(&places), [(0, Displaced::Asking), (5, Displaced::Idle)]);
        assert_eq!(displaced(&others), []);
        drop((asks, asking));
    }

    #[test]
    fn where_nobody_has_many_and_all_ask_a_newcomer_is_refused() {
        let (table, start) = (table(), Instant::now());
        let places: Vec<_> = (0..MAX as u8).map(|last| table.take(ip(last), start).unwrap()).collect();
        let asking: Vec<_> = places.iter().map(Place::begin_request).collect();
        assert_eq!(table.take(ip(99), start).err(), Some(NoPlace::Table));
        drop(asking);
        assert!(table.take(ip(99), start).is_ok());
    }
}

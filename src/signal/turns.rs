//! Whose turn it is on signalling's one thread. Every connection's task runs inside [`Fair`], from its TLS handshake to the
//! last frame of its WebSocket, and its bytes come through [`InTurns`].
//!
//! Two rules hold whatever a client sends:
//!
//! 1. *One turn is short.* When a task has read so many bytes, or has run for so long, its next read says "not now", and a
//!    request that has been read already is not begun. The task is woken again, and everybody else comes first.
//! 2. *One client does not use the thread up.* The thread's time is charged to the client's network. Whoever is far above
//!    its part waits until it is given a turn. Those turns go round the networks, one at a time, and leave a third of the
//!    thread free. A client that is within its part never waits, however many others do.
//!
//! Addresses that are exempt from limits are charged nothing: a proxy's clients are told apart by the proxy only. The first
//! rule holds for them too.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::io::{AsyncRead, AsyncWrite};

use super::runtime;
use crate::auth::address::{Exempt, network_of};
use crate::limits;
use crate::net::clock;

/// The network whose tasks share turns.
pub(super) fn site_of(address: IpAddr) -> IpAddr {
    network_of(address, limits::IPV6_SITE_PREFIX_BITS)
}

/// The larger network that a site's use is charged to as well. An address of it is told from the site's by its form.
fn region_of(site: IpAddr) -> Option<IpAddr> {
    // The last bit is set, which no site's is: a region is never the key of its first site.
    match network_of(site, limits::IPV6_REGION_PREFIX_BITS) {
        IpAddr::V6(network) => Some(IpAddr::V6(Ipv6Addr::from_bits(network.to_bits() | 1))),
        IpAddr::V4(_) => None,
    }
}

/// The thread's time by network, and who waits for a turn.
pub(super) struct Turns {
    exempt: Exempt,
    ledger: RefCell<Ledger>,
    queue: RefCell<Queue>,
}

impl Turns {
    /// Nobody has used anything yet.
    pub(super) fn new(exempt: Exempt) -> Rc<Self> {
        Rc::new(Self { exempt, ledger: RefCell::default(), queue: RefCell::default() })
    }

    /// What a connection from `address` has of the thread.
    pub(super) fn share(self: &Rc<Self>, address: IpAddr) -> Share {
        let site = (!self.exempt.has(address)).then(|| site_of(address));
        Share { turns: self.clone(), site, turn: Rc::default() }
    }

    /// Whether the network of `address` has used so much of the thread that it waits for turns.
    pub(super) fn is_over(&self, address: IpAddr) -> bool {
        !self.exempt.has(address) && self.ledger.borrow().is_over(site_of(address), clock::now())
    }

    /// Charges what was done for `address` outside of its connections' tasks.
    pub(super) fn charge(&self, address: IpAddr, used: Duration) {
        if !self.exempt.has(address) {
            self.ledger.borrow_mut().charge(site_of(address), used, clock::now());
        }
    }

    /// Gives turns to those who wait for one.
    pub(super) async fn give(self: Rc<Self>) {
        let mut used = Duration::ZERO;
        loop {
            poll_fn(|context| self.queue.borrow_mut().poll_next(context)).await;
            used += poll_fn(|context| self.queue.borrow_mut().poll_over(context)).await;
            if used >= limits::TURN_TIME_MAX {
                runtime::sleep(used / limits::TURNS_PAUSE_DIVISOR).await;
                used = Duration::ZERO;
            }
        }
    }
}

/// How much of the thread each network has used lately: the generic cell rate algorithm (ITU-T I.371) on time. A network
/// that is within its part has no entry, or one that has passed. What an IPv6 /56 uses is charged to its /48 too, by half:
/// a /48 has the part of two.
#[derive(Default)]
struct Ledger {
    /// Until when the network's part pays for what it has used.
    paid_until: HashMap<IpAddr, Instant>,
    cleared: Option<Instant>,
}

impl Ledger {
    /// The time that a burst is paid with.
    const BURST: Duration = limits::TURNS_BURST.saturating_mul(limits::TURNS_SHARE_DIVISOR);

    /// Whether the network has used so much that it waits.
    fn is_over(&self, site: IpAddr, now: Instant) -> bool {
        let is_over =
            |site| self.paid_until.get(&site).is_some_and(|until| until.saturating_duration_since(now) > Self::BURST);
        is_over(site) || region_of(site).is_some_and(is_over)
    }

    /// The network has used the thread for so long. The debt is bounded: who waits for turns and gets them does not wait
    /// for hours afterwards.
    fn charge(&mut self, site: IpAddr, used: Duration, now: Instant) {
        self.charge_one(site, used, now);
        if let Some(region) = region_of(site) {
            self.charge_one(region, used / 2, now);
        }
    }

    fn charge_one(&mut self, site: IpAddr, used: Duration, now: Instant) {
        let until = self.paid_until.get(&site).map_or(now, |until| (*until).max(now));
        let until = (until + used.saturating_mul(limits::TURNS_SHARE_DIVISOR)).min(now + 2 * Self::BURST);
        if self.paid_until.len() >= limits::TURNS_TRACKED_MAX && !self.paid_until.contains_key(&site) {
            if self.cleared.is_some_and(|cleared| now < cleared + Duration::from_secs(1)) {
                return;
            }
            self.cleared = Some(now);
            self.paid_until.retain(|_, until| *until > now);
            if self.paid_until.len() >= limits::TURNS_TRACKED_MAX {
                return;
            }
        }
        self.paid_until.insert(site, until);
    }
}

/// A task's place in the queue for turns.
struct Ticket {
    state: Cell<TicketState>,
    task: RefCell<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TicketState {
    Waiting,
    /// It may run once.
    Granted,
    /// It has run, or its task is gone.
    Over,
}

/// Those who wait for a turn, by network, and the networks in the order of their turns.
#[derive(Default)]
struct Queue {
    sites: VecDeque<IpAddr>,
    waiting: HashMap<IpAddr, VecDeque<Rc<Ticket>>>,
    /// What the one whose turn it was has used, when it is over.
    used: Option<Duration>,
    giver: Option<Waker>,
}

impl Queue {
    fn join(&mut self, site: IpAddr, task: &Waker) -> Rc<Ticket> {
        let ticket = Rc::new(Ticket { state: Cell::new(TicketState::Waiting), task: RefCell::new(task.clone()) });
        let waiting = self.waiting.entry(site).or_default();
        if waiting.is_empty() {
            self.sites.push_back(site);
        }
        waiting.push_back(ticket.clone());
        self.wake_giver();
        ticket
    }

    fn wake_giver(&mut self) {
        if let Some(giver) = self.giver.take() {
            giver.wake();
        }
    }

    /// The next one: of the network that has waited longest since its last turn, the task that has waited longest.
    fn next(&mut self) -> Option<Rc<Ticket>> {
        while let Some(site) = self.sites.pop_front() {
            let Some(waiting) = self.waiting.get_mut(&site) else { continue };
            let next = waiting.pop_front();
            if waiting.is_empty() {
                self.waiting.remove(&site);
            } else {
                self.sites.push_back(site);
            }
            // One whose connection is gone has no turn.
            if let Some(next) = next.filter(|next| next.state.get() == TicketState::Waiting) {
                return Some(next);
            }
        }
        None
    }

    fn poll_next(&mut self, context: &Context<'_>) -> Poll<()> {
        let Some(next) = self.next() else {
            self.giver = Some(context.waker().clone());
            return Poll::Pending;
        };
        self.used = None;
        next.state.set(TicketState::Granted);
        next.task.borrow().wake_by_ref();
        Poll::Ready(())
    }

    fn poll_over(&mut self, context: &Context<'_>) -> Poll<Duration> {
        match self.used.take() {
            Some(used) => Poll::Ready(used),
            None => {
                self.giver = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The turn is over.
    fn over(&mut self, ticket: &Ticket, used: Duration) {
        if ticket.state.replace(TicketState::Over) == TicketState::Granted {
            self.used = Some(used);
            self.wake_giver();
        }
    }
}

/// What one connection has of the thread.
#[derive(Clone)]
pub(super) struct Share {
    turns: Rc<Turns>,
    /// `None` if it is charged nothing.
    site: Option<IpAddr>,
    turn: Rc<Turn>,
}

impl Share {
    /// Runs a task of the connection in turns.
    pub(super) fn run<F: Future<Output = ()> + Unpin>(&self, task: F) -> Fair<F> {
        Fair { task, share: self.clone(), ticket: None }
    }

    /// Returns in the turn in which the next request is begun. Hundreds that came behind each other in one record have been
    /// read when the first is answered: no read would say "not now" between them.
    pub(super) async fn request(&self) {
        while self.turn.is_too_long_for_a_request() {
            runtime::next_turn().await;
        }
        self.turn.requests.set(self.turn.requests.get() + 1);
    }

    /// Reads the connection's bytes in turns.
    pub(super) fn io<S>(&self, io: S) -> InTurns<S> {
        InTurns { io, turn: self.turn.clone() }
    }
}

/// The turn that a connection has now.
struct Turn {
    began: Cell<Instant>,
    bytes: Cell<usize>,
    requests: Cell<usize>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { began: Cell::new(clock::now()), bytes: Cell::new(0), requests: Cell::new(0) }
    }
}

impl Turn {
    fn begin(&self) {
        self.began.set(clock::now());
        self.bytes.set(0);
        self.requests.set(0);
    }

    /// Whether nothing more is read in this turn. Something is read in every one.
    fn is_over(&self) -> bool {
        self.bytes.get() >= limits::TURN_BYTES_MAX || self.bytes.get() > 0 && self.has_lasted_too_long()
    }

    /// Whether no more requests are begun in this turn. One is in every one.
    fn is_too_long_for_a_request(&self) -> bool {
        self.requests.get() > 0 && self.has_lasted_too_long()
    }

    fn has_lasted_too_long(&self) -> bool {
        clock::now().saturating_duration_since(self.began.get()) >= limits::TURN_TIME_MAX
    }
}

/// A connection's task: runs when it is its turn.
pub(super) struct Fair<F> {
    task: F,
    share: Share,
    ticket: Option<Rc<Ticket>>,
}

impl<F: Future<Output = ()> + Unpin> Future for Fair<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { task, share, ticket } = self.get_mut();
        let Share { turns, site, turn } = share;
        if let Some(waits) = ticket.as_ref().filter(|ticket| ticket.state.get() == TicketState::Waiting) {
            waits.task.borrow_mut().clone_from(context.waker());
            return Poll::Pending;
        }
        let Some(site) = *site else {
            turn.begin();
            return Pin::new(task).poll(context);
        };
        if ticket.is_none() && turns.ledger.borrow().is_over(site, clock::now()) {
            *ticket = Some(turns.queue.borrow_mut().join(site, context.waker()));
            return Poll::Pending;
        }
        turn.begin();
        // The thread's own time: a machine that stops a core for a second has not been used for a second.
        let before = clock::used();
        let result = Pin::new(task).poll(context);
        let used = clock::used().saturating_sub(before);
        turns.ledger.borrow_mut().charge(site, used, clock::now());
        if let Some(ticket) = ticket.take() {
            turns.queue.borrow_mut().over(&ticket, used);
        }
        result
    }
}

impl<F> Drop for Fair<F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.share.turns.queue.borrow_mut().over(&ticket, Duration::ZERO);
        }
    }
}

/// A byte stream that is read in turns. It lies below TLS, so that what TLS reads and throws away counts too.
pub(super) struct InTurns<S> {
    io: S,
    turn: Rc<Turn>,
}

impl<S> InTurns<S> {
    /// The stream itself.
    pub(super) const fn get_ref(&self) -> &S {
        &self.io
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for InTurns<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.turn.is_over() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Poll::Ready(Ok(bytes)) = &read {
            self.turn.bytes.set(self.turn.bytes.get() + bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InTurns<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use futures_util::io::{AsyncReadExt as _, Cursor};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_turn_reads_so_many_bytes_and_the_next_one_goes_on() {
        let share = Turns::new(Exempt::new(&[])).share(ip("192.0.2.1"));
        let mut io = share.io(Cursor::new(vec![0; limits::TURN_BYTES_MAX + 10]));
        let mut buffer = vec![0; limits::TURN_BYTES_MAX];
        assert_eq!(io.read(&mut buffer).now_or_never().unwrap().unwrap(), buffer.len());
        assert!(io.read(&mut buffer).now_or_never().is_none());
        share.turn.begin();
        assert_eq!(io.read(&mut buffer).now_or_never().unwrap().unwrap(), 10);
    }

    #[test]
    fn a_turn_that_lasts_too_long_reads_no_more() {
        let share = Turns::new(Exempt::new(&[])).share(ip("192.0.2.1"));
        let mut io = share.io(Cursor::new(vec![0; 100]));
        std::thread::sleep(2 * limits::TURN_TIME_MAX);
        assert!(io.read(&mut [0; 10]).now_or_never().is_some(), "something is read in every turn");
        assert!(io.read(&mut [0; 10]).now_or_never().is_none());
    }

    #[test]
    fn requests_that_have_been_read_already_are_begun_one_turn_after_the_other() {
        let share = Turns::new(Exempt::new(&[])).share(ip("192.0.2.1"));
        std::thread::sleep(2 * limits::TURN_TIME_MAX);
        assert!(share.request().now_or_never().is_some(), "one is begun in every turn");
        let mut waiting = pin!(share.request());
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(waiting.as_mut().now_or_never().is_none(), "however often it is asked");
        share.turn.begin();
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn a_network_has_a_burst_and_then_its_part_of_the_thread() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let (one, other) = (site_of(ip("2001:db8:0:100::1")), site_of(ip("2001:db8:0:200::1")));
        assert_eq!(one, site_of(ip("2001:db8:0:1ff::2")), "one /56");
        let step = Duration::from_millis(1);
        let uses = |ledger: &mut Ledger, now| {
            let mut uses = 0;
            while !ledger.is_over(one, now) {
                ledger.charge(one, step, now);
                uses += 1;
            }
            uses
        };
        assert_eq!(uses(&mut ledger, start), limits::TURNS_BURST.as_millis() as usize + 1);
        assert!(!ledger.is_over(other, start), "another network is not concerned");
        let part = Duration::from_secs(1) / limits::TURNS_SHARE_DIVISOR;
        assert_eq!(uses(&mut ledger, start + Duration::from_secs(1)), part.as_millis() as usize);
        // The next site of the same /48 finds half of that used.
        let next = |ledger: &Ledger, at: u8| ledger.is_over(site_of(ip(&format!("2001:db8:0:{at:x}00::1"))), start);
        assert!(!next(&ledger, 3));
        let neighbour = site_of(ip("2001:db8:0:300::1"));
        let half = limits::TURNS_BURST.as_millis() as usize;
        (0..=half).for_each(|_| ledger.charge(neighbour, step, start));
        (0..=half).for_each(|_| ledger.charge(other, step, start));
        assert!(next(&ledger, 4), "sites that were not seen yet are of a /48 that has used its part");
        // What was used beyond by turns that were given out is not held against it for long.
        let later = start + Duration::from_secs(2);
        (0..10_000).for_each(|_| ledger.charge(one, step, later));
        assert!(!ledger.is_over(one, later + Ledger::BURST));
    }

    #[test]
    fn clients_beyond_what_can_be_tracked_are_not_charged_and_those_who_paid_make_room() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let site = |at: usize| IpAddr::V4(std::net::Ipv4Addr::from_bits(at as u32));
        let step = Duration::from_millis(1);
        (0..=limits::TURNS_TRACKED_MAX).for_each(|at| ledger.charge(site(at), step, start));
        assert_eq!(ledger.paid_until.len(), limits::TURNS_TRACKED_MAX);
        ledger.charge(site(limits::TURNS_TRACKED_MAX), step, start + Duration::from_secs(2));
        assert_eq!(ledger.paid_until.len(), 1);
    }

    #[test]
    fn turns_go_round_the_networks_and_not_round_the_connections() {
        let mut queue = Queue::default();
        let (greedy, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let waker = futures_util::task::noop_waker();
        let many: Vec<_> = (0..100).map(|_| queue.join(greedy, &waker)).collect();
        let mine = queue.join(other, &waker);
        assert!(Rc::ptr_eq(&queue.next().unwrap(), &many[0]));
        assert!(Rc::ptr_eq(&queue.next().unwrap(), &mine), "one has its turn after one, not after a hundred");
        // One whose connection is gone is passed over.
        queue.over(&many[1], Duration::ZERO);
        assert!(Rc::ptr_eq(&queue.next().unwrap(), &many[2]));
    }

    #[test]
    fn who_has_used_its_part_waits_for_turns_and_others_do_not() {
        runtime::run(|| async {
            let turns = Turns::new(Exempt::new(&[ip("127.0.0.1")]));
            let _giver = runtime::spawn(turns.clone().give());
            let now = Instant::now();
            turns.ledger.borrow_mut().charge(ip("192.0.2.1"), Duration::from_secs(1), now);
            let order: Rc<RefCell<Vec<&str>>> = Rc::default();
            let task = |address: &str, name: &'static str| {
                let order = order.clone();
                let task = async move {
                    order.borrow_mut().push(name);
                };
                turns.share(ip(address)).run(task.boxed_local())
            };
            // Those who wait are given turns all the same, one after the other.
            let waiting = [task("192.0.2.1", "greedy"), task("192.0.2.1", "greedy")];
            let [one, other] = waiting.map(runtime::spawn);
            let honest = [task("192.0.2.2", "honest"), task("127.0.0.1", "exempt")].map(runtime::spawn);
            let deadline = Instant::now() + Duration::from_secs(20);
            while order.borrow().len() < 4 && Instant::now() < deadline {
                runtime::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(*order.borrow(), ["honest", "exempt", "greedy", "greedy"]);
            drop((one, other, honest));
            // A task that is dropped while it waits, or when it has been given its turn, holds nobody up.
            let mut dropped = task("192.0.2.1", "dropped");
            assert!(futures_util::poll!(&mut dropped).is_pending());
            drop(dropped);
            let mut last = task("192.0.2.1", "last");
            futures_util::future::select(&mut last, runtime::sleep(Duration::from_secs(20))).await;
            assert_eq!(order.borrow().last(), Some(&"last"));
        })
        .unwrap();
    }
}

//! Signalling over WebSocket (RFC 6455): many streams over one connection, told of what happens to them.
//!
//! The protocol, message by message, is in `../README.md`. A *socket* is a connection that was upgraded at `/ws`; it
//! *owns* the sessions it opened, and when it drops, they go on until another socket takes them over or the grace is
//! over. Opening itself is [`super::sessions`], the same as for WHIP.
//!
//! | File | Holds |
//! |---|---|
//! | `handshake.rs` | what must be asked for at `/ws`, and what is answered |
//! | `connection.rs` | one socket from its first byte to its last: reading, writing, limits, the close handshake |
//! | `requests.rs` | what each message does |
//! | `message.rs` | the messages: text ↔ values |
//! | `book.rs` | who owns which session and hears of which stream: a plain book |
//! | `outbox.rs` | what waits to be written, bounded |
//! | `budget.rs` | the memory that sockets share, by client and over all |
//! | `io.rs` | the bytes below the frames: fairness, and the memory of messages that have not ended |
//!
//! Left out: `permessage-deflate` (RFC 7692), because messages are few and a compressor per socket is 40 KB; WebSocket
//! over HTTP/2 (RFC 8441): the node does not announce it, and browsers then open a connection of their own.

mod book;
mod budget;
mod connection;
mod handshake;
mod io;
mod message;
mod outbox;
mod requests;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use super::admission::{PerAddress, PlaceOfAddress};
use super::random;
use crate::config;
use crate::limits;
use crate::metrics::SignallingCounters;
use crate::time::Timestamp;
use crate::worker::mailbox::{EndReason, SessionId};

use book::{Book, SocketId};
use budget::{Memories, Memory};
use message::Told;
use outbox::{Closing, Outbox};

pub(super) use handshake::accept;

/// All sockets, and what is told to them. Borrows of the book never leave this file.
pub(super) struct Sockets {
    terms: config::Sockets,
    book: RefCell<Book>,
    per_address: Rc<PerAddress>,
    open: Rc<Cell<usize>>,
    memories: Memories,
}

/// A socket's place among all and among its address's, given back on drop.
struct Place {
    open: Rc<Cell<usize>>,
    counters: SignallingCounters,
    reason: &'static str,
    memory: Rc<Memory>,
    _of_address: PlaceOfAddress,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.counters.socket_closed(self.reason);
    }
}

/// Why there is no place.
enum NoPlace {
    /// As many as may be, of all.
    Node,
    /// As many as may be, of one address.
    Address,
}

impl Sockets {
    /// None yet.
    pub(super) fn new(terms: config::Sockets, exempt: &[IpAddr]) -> Self {
        Self {
            per_address: PerAddress::new(terms.sockets_per_address_max as usize, exempt),
            terms,
            book: RefCell::default(),
            open: Rc::default(),
            memories: Memories::new(),
        }
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.get()
    }

    fn take_place(&self, address: IpAddr, counters: &SignallingCounters) -> Result<Place, NoPlace> {
        let of_address = self.per_address.take(address).ok_or(NoPlace::Address)?;
        if self.open.get() >= self.terms.sockets_max as usize {
            return Err(NoPlace::Node);
        }
        self.open.set(self.open.get() + 1);
        counters.socket_opened();
        // Whoever ends it in order says so; a task that is dropped or panics has no time to.
        Ok(Place {
            open: self.open.clone(),
            counters: counters.clone(),
            reason: "dropped",
            memory: self.memories.of(self.per_address.client_of(address)),
            _of_address: of_address,
        })
    }

    // --- what the node tells ---

    /// A worker has finished the session's handshake.
    pub(super) fn connected(&self, session: SessionId) {
        let outbox = self.book.borrow_mut().connected(session);
        tell(outbox, Told::Connected { session: session.into() });
    }

    /// A session's peer has another address.
    pub(super) fn moved(&self, session: SessionId) {
        let outbox = self.book.borrow().outbox_of(session);
        tell(outbox, Told::Moved { session: session.into() });
    }

    /// A session is gone, for a reason that is not its own socket's `close`.
    pub(super) fn ended(&self, session: SessionId, reason: EndReason) {
        let outbox = self.book.borrow_mut().remove(session);
        let (reason, detail) = (reason.name(), message::detail_of(reason));
        tell(outbox, Told::Ended { session: session.into(), reason, detail });
    }

    /// A viewer gets nothing of one kind of media.
    pub(super) fn nothing_fits(&self, session: SessionId, published: &str) {
        let outbox = self.book.borrow().outbox_of(session);
        tell(outbox, message::nothing_fits(session, published));
    }

    /// A stream got or lost its publisher: one text for everybody who hears of it.
    pub(super) fn stream_changed(&self, stream: &str, live: bool) {
        let book = self.book.borrow();
        let mut text = None;
        for outbox in book.hearers_of(stream) {
            outbox.push(text.get_or_insert_with(|| Told::Stream { stream, live }.text()).clone());
        }
    }

    /// The node ends: every socket is told, then closed.
    pub(super) fn going_away(&self) {
        let text = Told::GoingAway { in_s: limits::SHUTDOWN_TIME_MAX.as_secs() }.text();
        for outbox in self.book.borrow().outboxes() {
            outbox.push(text.clone());
            outbox.close(Closing::GoingAway);
        }
    }

    // --- lost sockets ---

    /// When the next grace is over.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.book.borrow().next_expiry()
    }

    /// The sessions whose grace is over: nobody owns them any more.
    pub(super) fn take_lost(&self, now: Timestamp) -> Vec<SessionId> {
        self.book.borrow_mut().take_lost(now)
    }

    /// Ends the follows whose leave has run out, and says so.
    pub(super) fn end_follows(&self, now: Timestamp) {
        for (outbox, stream) in self.book.borrow_mut().end_follows(now) {
            tell(Some(outbox), Told::Unfollowed { id: None, stream: &stream });
        }
    }

    // --- what a socket does ---

    fn join(&self, place: &Place) -> (SocketId, Rc<Outbox>) {
        let outbox = Outbox::new(place.memory.outgoing.clone());
        let id = self.book.borrow_mut().join(outbox.clone());
        (id, outbox)
    }

    /// A new session's resume secret: 144 bits.
    fn own(&self, socket: SocketId, session: SessionId, stream: &str, is_viewer: bool) -> String {
        let secret = random::token();
        self.book.borrow_mut().own(socket, session, stream, is_viewer, secret.clone());
        secret
    }
}

/// One message to whoever owns a session; nobody does when it was opened over HTTP, or its socket is lost.
fn tell(outbox: Option<Rc<Outbox>>, told: Told<'_>) {
    if let Some(outbox) = outbox {
        outbox.push(told.text());
    }
}

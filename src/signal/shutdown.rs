//! The state of the node's shutdown: whether it has begun, and how many requests are still under way.

use std::cell::Cell;
use std::rc::Rc;

/// The state that all ports share.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    has_begun: Cell<bool>,
    requests_under_way: Cell<usize>,
}

/// A request under way, until this is dropped. Made by [`Shutdown::begin_request`].
pub(super) struct RequestUnderWay(Rc<Shutdown>);

impl Shutdown {
    /// Begins the shutdown. From now on no session and no socket is opened, and `/readyz` says so.
    pub(super) fn begin(&self) {
        self.has_begun.set(true);
    }

    /// Whether the shutdown has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// Counts a request as under way until the returned value is dropped.
    pub(super) fn begin_request(self: &Rc<Self>) -> RequestUnderWay {
        self.requests_under_way.set(self.requests_under_way.get() + 1);
        RequestUnderWay(self.clone())
    }

    /// How many requests are under way.
    pub(super) fn requests_under_way(&self) -> usize {
        self.requests_under_way.get()
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.0.requests_under_way.set(self.0.requests_under_way.get().saturating_sub(1));
    }
}

//! The node's end as requests see it: whether it has begun, and which requests are still under way.

use std::cell::Cell;
use std::rc::Rc;

/// Shared by all ports.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    has_begun: Cell<bool>,
    requests_under_way: Cell<usize>,
}

/// See [`Shutdown::begin_request`].
pub(super) struct RequestUnderWay(Rc<Shutdown>);

impl Shutdown {
    /// No session and no socket is opened any more, and `/readyz` says so.
    pub(super) fn begin(&self) {
        self.has_begun.set(true);
    }

    /// Whether the node is ending.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// A request is under way until what is returned is dropped.
    pub(super) fn begin_request(self: &Rc<Self>) -> RequestUnderWay {
        self.requests_under_way.set(self.requests_under_way.get() + 1);
        RequestUnderWay(self.clone())
    }

    /// How many are.
    pub(super) fn requests_under_way(&self) -> usize {
        self.requests_under_way.get()
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.0.requests_under_way.set(self.0.requests_under_way.get().saturating_sub(1));
    }
}

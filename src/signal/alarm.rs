//! Wakes the task that ends expired waits, if something is due earlier than the time for which that task sleeps.

use std::cell::Cell;
use std::time::Instant;

use futures_util::future::select;

use super::runtime;
use crate::time::Timestamp;

/// The alarm of that task.
pub(super) struct Alarm {
    earlier: flume::Sender<()>,
    rung: flume::Receiver<()>,
    /// The time for which the task sleeps.
    set_to: Cell<Option<Timestamp>>,
}

impl Alarm {
    /// An alarm that is not set.
    pub(super) fn new() -> Self {
        let (earlier, rung) = flume::bounded(1);
        Self { earlier, rung, set_to: Cell::new(None) }
    }

    /// Announces the next due time. The task is woken if it would sleep longer.
    pub(super) fn due(&self, at: Option<Timestamp>) {
        let is_earlier = |at: Timestamp| self.set_to.get().is_none_or(|set_to| at < set_to);
        if at.is_some_and(is_earlier) {
            let _ = self.earlier.try_send(());
        }
    }

    /// Waits until `next`, or until something is due earlier.
    pub(super) async fn wait(&self, next: Option<Timestamp>, instant: impl Fn(Timestamp) -> Instant) {
        self.set_to.set(next);
        match next {
            None => _ = self.rung.recv_async().await,
            Some(next) => {
                let sleep = runtime::Sleep::until(instant(next));
                select(self.rung.recv_async(), sleep).await;
            }
        }
    }
}

//! The workers as signalling uses them: each one's mailbox, the messages that wait for room in it, and requests for
//! reports.

use std::cell::RefCell;
use std::collections::VecDeque;

use futures_util::future::join_all;

use super::runtime;
use crate::limits;
use crate::worker::mailbox::{Control, EndReason, SessionId, WorkerHandle, WorkerIndex};
use crate::worker::report::WorkerReport;

/// All workers, by index.
pub(super) struct Workers(Vec<WorkerSlot>);

/// One worker.
struct WorkerSlot {
    handle: WorkerHandle,
    /// `Close` messages that wait for room in its mailbox. The number of its sessions bounds them.
    closes: RefCell<VecDeque<Control>>,
    /// Wakes the task that sends to it. One token is enough.
    wake: flume::Sender<()>,
}

impl Workers {
    /// The workers, and for each the channel that wakes the task that sends to it ([`super::keeper`]).
    pub(super) fn new(handles: Vec<WorkerHandle>) -> (Self, Vec<flume::Receiver<()>>) {
        let (slots, wakes) = handles
            .into_iter()
            .map(|handle| {
                let (wake, woken) = flume::bounded(1);
                (WorkerSlot { handle, closes: RefCell::default(), wake }, woken)
            })
            .unzip();
        (Self(slots), wakes)
    }

    /// How many workers there are, at most [`limits::WORKERS_MAX`].
    pub(super) fn count(&self) -> u16 {
        self.0.len() as u16
    }

    /// One worker's mailbox.
    pub(super) fn handle(&self, index: WorkerIndex) -> &WorkerHandle {
        &self.0[usize::from(index.0)].handle
    }

    /// Ends a session on its worker. The message waits for room in the mailbox; the caller does not.
    pub(super) fn close(&self, worker: WorkerIndex, session: SessionId, reason: EndReason) {
        let slot = &self.0[usize::from(worker.0)];
        slot.closes.borrow_mut().push_back(Control::Close { session, reason });
        self.wake(worker);
    }

    /// Wakes the task that sends to a worker, because there is something to send.
    pub(super) fn wake(&self, worker: WorkerIndex) {
        let _ = self.0[usize::from(worker.0)].wake.try_send(());
    }

    /// Takes the next `Close` that waits for a worker.
    pub(super) fn next_close(&self, worker: WorkerIndex) -> Option<Control> {
        self.0[usize::from(worker.0)].closes.borrow_mut().pop_front()
    }

    /// The reports of all workers that answer in time, by index.
    pub(super) async fn reports(&self) -> Vec<WorkerReport> {
        let asked = self.0.iter().map(|slot| async {
            let (sender, receiver) = flume::bounded(1);
            slot.handle.try_send(Control::Report(sender)).ok()?;
            let report = runtime::timeout(limits::WORKER_REPLY_TIME_MAX, receiver.recv_async()).await?;
            report.ok().map(|report| *report)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

//! The workers as signalling uses them: each one's mailbox, the messages that wait for room in it, and what they say of
//! themselves.
//!
//! However often somebody asks, the workers are asked for a report once in [`limits::REPORT_AGE_MAX`], and for a
//! heartbeat once in [`limits::READINESS_AGE_MAX`]: everybody gets the same answer meanwhile.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::lock::Mutex;

use super::clock::Clock;
use super::runtime;
use crate::limits;
use crate::time::Timestamp;
use crate::worker::mailbox::{Control, EndReason, SessionId, WorkerHandle, WorkerIndex};
use crate::worker::report::WorkerReport;

/// All workers, by index.
pub(super) struct Workers {
    slots: Vec<WorkerSlot>,
    /// Of those, how many serve sessions; one more may have the links of a cluster's node.
    serving: usize,
    reports: Mutex<Option<(Timestamp, Arc<Vec<WorkerReport>>)>>,
    answering: Mutex<Option<(Timestamp, usize)>>,
    clock: Clock,
}

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
    pub(super) fn new(
        handles: Vec<WorkerHandle>,
        links: Option<WorkerHandle>,
        clock: Clock,
    ) -> (Self, Vec<flume::Receiver<()>>) {
        let serving = handles.len();
        let (slots, wakes): (Vec<_>, Vec<_>) = handles
            .into_iter()
            .chain(links)
            .map(|handle| {
                let (wake, woken) = flume::bounded(1);
                (WorkerSlot { handle, closes: RefCell::default(), wake }, woken)
            })
            .unzip();
        (Self { slots, serving, reports: Mutex::new(None), answering: Mutex::new(None), clock }, wakes)
    }

    /// How many workers serve sessions, at most [`limits::WORKERS_MAX`].
    pub(super) fn count(&self) -> u16 {
        self.serving as u16
    }

    /// The worker that has the links, in a cluster.
    pub(super) fn links(&self) -> Option<WorkerIndex> {
        self.slots.get(self.serving).map(|slot| slot.handle.index)
    }

    /// One worker's mailbox.
    pub(super) fn handle(&self, index: WorkerIndex) -> &WorkerHandle {
        &self.slots[usize::from(index.0)].handle
    }

    /// Ends a session on its worker. The message waits for room in the mailbox; the caller does not.
    pub(super) fn close(&self, worker: WorkerIndex, session: SessionId, reason: EndReason) {
        let slot = &self.slots[usize::from(worker.0)];
        slot.closes.borrow_mut().push_back(Control::Close { session, reason });
        self.wake(worker);
    }

    /// Wakes the task that sends to a worker, because there is something to send.
    pub(super) fn wake(&self, worker: WorkerIndex) {
        let _ = self.slots[usize::from(worker.0)].wake.try_send(());
    }

    /// Takes the next `Close` that waits for a worker.
    pub(super) fn next_close(&self, worker: WorkerIndex) -> Option<Control> {
        self.slots[usize::from(worker.0)].closes.borrow_mut().pop_front()
    }

    /// The reports of all workers that answer in time, by index.
    pub(super) async fn reports(&self) -> Arc<Vec<WorkerReport>> {
        let mut kept = self.reports.lock().await;
        if let Some((at, reports)) = kept.as_ref()
            && self.is_fresh(*at, limits::REPORT_AGE_MAX)
        {
            return Arc::clone(reports);
        }
        let reports = Arc::new(self.ask(Control::Report).await.into_iter().map(|report| *report).collect());
        *kept = Some((self.clock.now(), Arc::clone(&reports)));
        reports
    }

    /// How many workers answer in time. It costs each one message, however many sessions it has.
    pub(super) async fn answering(&self) -> usize {
        let mut kept = self.answering.lock().await;
        if let Some((at, count)) = *kept
            && self.is_fresh(at, limits::READINESS_AGE_MAX)
        {
            return count;
        }
        let count = self.ask(Control::Heartbeat).await.len();
        *kept = Some((self.clock.now(), count));
        count
    }

    fn is_fresh(&self, at: Timestamp, age_max: Duration) -> bool {
        self.clock.now().since(at) < age_max
    }

    /// The answers of all workers that give one in time, by index.
    async fn ask<T>(&self, question: impl Fn(flume::Sender<T>) -> Control) -> Vec<T> {
        let asked = self.slots.iter().take(self.serving).map(|slot| {
            let (sender, receiver) = flume::bounded(1);
            let sent = slot.handle.try_send(question(sender)).is_ok();
            async move {
                let answer = runtime::timeout(limits::WORKER_REPLY_TIME_MAX, receiver.recv_async());
                if sent { answer.await?.ok() } else { None }
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

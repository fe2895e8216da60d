//! How signalling claims names. The client may leave, and the answer may come late; even then a name that was claimed
//! is released when nobody needs it any more.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture};

use super::interface::{Claimant, Epoch, NotClaimed, NotReleased, Ownership, Unavailable};
use crate::limits;
use crate::signal::runtime::{self, Task};
use crate::signal::stream_name::StreamName;

/// Claims names at an [`Ownership`].
pub struct Claims {
    ownership: Rc<dyn Ownership>,
    /// The number of claims without an answer, including those whose client has left.
    under_way: Rc<Cell<usize>>,
    /// Releases that could not finish at once. The number of claims bounds them.
    releases: flume::Sender<LocalBoxFuture<'static, ()>>,
    /// How long a client waits for an answer.
    pub(super) patience: Duration,
}

/// A name that this node owns. It is released on drop.
pub struct Claim {
    ownership: Rc<dyn Ownership>,
    releases: flume::Sender<LocalBoxFuture<'static, ()>>,
    name: StreamName,
    epoch: Epoch,
    /// Notified when the name is free.
    waiters: Vec<flume::Sender<()>>,
}

impl Claims {
    /// Makes claims at `ownership`. The returned task finishes releases and must be kept as long as the claims. To be
    /// called on the executor.
    pub fn new(ownership: Rc<dyn Ownership>) -> (Self, Task) {
        let (releases, waiting) = flume::unbounded::<LocalBoxFuture<'static, ()>>();
        let releasing = runtime::spawn(async move {
            while let Ok(release) = waiting.recv_async().await {
                runtime::spawn(release).detach();
            }
        });
        (Self { ownership, under_way: Rc::default(), releases, patience: limits::CLAIM_TIME_MAX }, releasing)
    }

    /// Claims a name, and waits for the answer for a bounded time. If this is dropped or the time is over, a name that
    /// is granted later is released again.
    ///
    /// # Errors
    /// When another publisher has the name, or it cannot be found out.
    pub async fn claim(&self, name: &StreamName, claimant: Claimant) -> Result<Claim, NotClaimed> {
        let place =
            ClaimPlace::take(&self.under_way).ok_or_else(|| unavailable("as many claims are made as may be"))?;
        let (ownership, releases, name) = (self.ownership.clone(), self.releases.clone(), name.clone());
        let mut asking = async move {
            let epoch = ownership.claim(&name, &claimant).await;
            drop(place);
            epoch.map(|epoch| Claim { ownership, releases, name, epoch, waiters: Vec::new() })
        }
        .boxed_local();
        // An immediate answer needs no task.
        if let Poll::Ready(answer) = poll_once(&mut asking) {
            return answer;
        }
        let (sender, answered) = flume::bounded(1);
        // The task does not belong to the caller, because a request that was sent over the network cannot be undone by
        // dropping its future. If the caller is gone when the answer comes, the claim is dropped, which releases the
        // name.
        runtime::spawn(async move {
            let _ = sender.try_send(asking.await);
        })
        .detach();
        match runtime::timeout(self.patience, answered.recv_async()).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) | None => Err(unavailable("no answer in time")),
        }
    }
}

impl Claim {
    /// The number of this ownership.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Releases the name, and notifies `waiters` when it is free.
    pub fn release(mut self, waiters: Vec<flume::Sender<()>>) {
        self.waiters = waiters;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let (ownership, name, epoch) = (self.ownership.clone(), self.name.clone(), self.epoch);
        let waiters = std::mem::take(&mut self.waiters);
        let mut release = async move {
            match ownership.release(&name, epoch).await {
                Ok(()) => {}
                Err(NotReleased::Stale) => tracing::debug!(stream = %name, epoch = epoch.0, "a claim was replaced"),
                Err(NotReleased::Unavailable(why)) => {
                    tracing::warn!(stream = %name, epoch = epoch.0, %why, "a stream's name was not released");
                }
            }
            for waiter in waiters {
                let _ = waiter.try_send(());
            }
        }
        .boxed_local();
        // Finished at once if possible, so that the next claim finds the name free.
        if poll_once(&mut release).is_pending() {
            let _ = self.releases.send(release);
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("name", &self.name).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// One of the places for claims under way. It is freed on drop.
struct ClaimPlace(Rc<Cell<usize>>);

impl ClaimPlace {
    fn take(under_way: &Rc<Cell<usize>>) -> Option<Self> {
        if under_way.get() >= limits::CLAIMS_UNDER_WAY_MAX {
            return None;
        }
        under_way.set(under_way.get() + 1);
        Some(Self(under_way.clone()))
    }
}

impl Drop for ClaimPlace {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

fn unavailable(why: &str) -> NotClaimed {
    NotClaimed::Unavailable(Unavailable(why.to_owned()))
}

/// Polls a future once. If it is pending, another task must poll it again, because this call registers no waker.
fn poll_once<T>(future: &mut LocalBoxFuture<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

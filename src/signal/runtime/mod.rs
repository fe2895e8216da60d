//! The executor as signalling uses it: run, spawn, sleep, accept. This folder is the only place that names glommio, so that it
//! can be replaced by another single-threaded executor.
//!
//! Everything that runs on it is `!Send`. Other threads communicate with it through `flume` channels.
//!
//! | File | Holds |
//! |---|---|
//! | here | glommio: running, tasks, the timer behind all sleeps |
//! | [`timers`] | sleeps |
//! | [`tcp`] | listeners and streams |
//! | [`hyper_io`] | streams as hyper takes them |
//! | [`hyper_streams`] | the requests of an HTTP/2 connection |
//! | `simulated` | the other executor, for tests: tasks in a seeded order, a clock that jumps to what is next, streams in memory |
//!
//! With the feature `simulation`, `simulated::run` makes its thread a simulated one; every other thread is as without it.

mod hyper_io;
mod hyper_streams;
#[cfg(feature = "simulation")]
pub mod simulated;
mod tcp;
mod timers;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use glommio::{LocalExecutorBuilder, Placement};

use crate::limits;
use crate::net::clock;

pub use hyper_io::HyperIo;
pub use hyper_streams::Streams;
pub use tcp::{Bound, Listener, TcpStream};
pub use timers::{HyperTimer, Sleep};

/// Bytes registered with the kernel for storage I/O: the least that glommio allows, because signalling does none.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Entries of each of the executor's three rings. They are few, because rings need locked memory; the kernel queues
/// completions that do not fit.
const RING_ENTRIES: usize = 128;

/// The executor could not be made.
#[derive(Debug)]
pub struct RuntimeError(String);

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the signalling executor cannot start ({}): it needs io_uring (sysctl kernel.io_uring_disabled=0, and a \
             container profile that allows io_uring_setup) and 512 KiB of locked memory (ulimit -l)",
            self.0
        )
    }
}

impl std::error::Error for RuntimeError {}

/// Runs a future to its end on an executor of the calling thread. The caller must probe io_uring first, because glommio
/// panics if it is denied, instead of returning an error.
///
/// # Errors
/// When the executor cannot be made.
pub fn run<F: Future>(make: impl FnOnce() -> F) -> Result<F::Output, RuntimeError> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .name("signal")
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_ENTRIES)
        // Without it, tasks that are always ready keep everybody's I/O waiting for 100 ms.
        .preempt_timer(limits::EXECUTOR_POLL_INTERVAL)
        .make()
        .map_err(|error| RuntimeError(error.to_string()))?;
    Ok(executor.run(async move {
        let timers = Task(AnyTask::Machine(glommio::spawn_local(drive_timers())));
        let output = make().await;
        drop(timers);
        output
    }))
}

/// A task that ends when this is dropped.
#[derive(Debug)]
#[must_use = "a dropped task is cancelled; detach it or keep it"]
pub struct Task(AnyTask);

#[derive(Debug)]
enum AnyTask {
    Machine(glommio::Task<()>),
    #[cfg(feature = "simulation")]
    Simulated(simulated::Task),
}

impl Task {
    /// Lets the task run to its own end.
    pub fn detach(self) {
        match self.0 {
            AnyTask::Machine(task) => drop(task.detach()),
            #[cfg(feature = "simulation")]
            AnyTask::Simulated(task) => task.detach(),
        }
    }
}

/// Starts a task beside the others on this thread.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> Task {
    #[cfg(feature = "simulation")]
    if simulated::is_running() {
        return Task(AnyTask::Simulated(simulated::spawn(future)));
    }
    Task(AnyTask::Machine(glommio::spawn_local(future)))
}

/// Returns when the other tasks that are ready have had their turn.
pub async fn next_turn() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Returns after `duration`.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::until(clock::now() + duration)
}

/// The output of `future`, or `None` if it takes longer than `limit`. It is then dropped.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), sleep(limit)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Wakes sleeps that are due. There is one glommio timer for all of them, and none while nobody sleeps.
async fn drive_timers() {
    let mut armed: Option<(Instant, glommio::timer::Timer)> = None;
    poll_fn(|context| {
        loop {
            let now = Instant::now();
            let first = timers::wake_due(now);
            timers::driven_by(context.waker());
            let Some(first) = first else {
                armed = None;
                return Poll::Pending;
            };
            if armed.as_ref().is_none_or(|(deadline, _)| *deadline != first) {
                armed = Some((first, glommio::timer::Timer::new(first.saturating_duration_since(now))));
            }
            let Some((_, timer)) = armed.as_mut() else { return Poll::Pending };
            if Pin::new(timer).poll(context).is_pending() {
                return Poll::Pending;
            }
            armed = None;
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::net::process;

    #[test]
    fn sleeps_end_in_the_order_of_their_deadlines() {
        // Each must begin before it is due. Where the machine was too slow for that: again, with more time.
        for ahead in [30, 300, 3_000] {
            let ended = run(|| async move {
                let first = Instant::now() + Duration::from_millis(ahead);
                let (done, ended) = flume::unbounded();
                for millis in [30_u64, 10, 20, 40] {
                    let done = done.clone();
                    spawn(async move {
                        let mut sleep = Sleep::until(first + Duration::from_millis(millis));
                        let began_in_time = futures_util::poll!(&mut sleep).is_pending();
                        sleep.await;
                        let _ = done.send((millis, began_in_time));
                    })
                    .detach();
                }
                let mut order = Vec::new();
                while order.len() < 4 {
                    order.push(ended.recv_async().await.unwrap());
                }
                order
            })
            .unwrap();
            if ended.iter().all(|(_, began_in_time)| *began_in_time) {
                assert_eq!(ended.iter().map(|(millis, _)| *millis).collect::<Vec<_>>(), [10, 20, 30, 40]);
                return;
            }
        }
        panic!("they never began in time");
    }

    #[test]
    fn tasks_that_are_always_ready_do_not_keep_timers_and_io_waiting() {
        run(|| async {
            let busy = spawn(async {
                loop {
                    next_turn().await;
                }
            });
            // In the thread's own time, which a machine that stands still does not take.
            let before = process::thread_cpu_time();
            let mut rounds = 0;
            while process::thread_cpu_time() - before < Duration::from_secs(1) {
                sleep(Duration::from_millis(1)).await;
                rounds += 1;
            }
            assert!(rounds > 40, "{rounds} in a second");
            drop(busy);
        })
        .unwrap();
    }

    #[test]
    fn a_timeout_gives_up_and_leaves_no_timer_behind() {
        run(|| async {
            assert_eq!(timeout(Duration::from_millis(10), std::future::pending::<()>()).await, None);
            assert_eq!(timeout(Duration::from_secs(60), async { 7 }).await, Some(7));
            assert_eq!(timers::count(), 0);
        })
        .unwrap();
    }

    #[test]
    fn an_address_in_use_is_an_error_and_not_a_shared_port() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = run(|| async move { Listener::bind(address).err().map(|error| error.kind()) }).unwrap();
        assert_eq!(error, Some(io::ErrorKind::AddrInUse));
    }
}

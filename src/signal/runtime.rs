//! The executor as signalling uses it: run, spawn, sleep, accept. This is the only file that names glommio, so that it
//! can be replaced by another single-threaded executor.
//!
//! Everything that runs on it is `!Send`. Other threads communicate with it through `flume` channels.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use glommio::{LocalExecutorBuilder, Placement};

use crate::limits;
use crate::net::listener;

/// Bytes registered with the kernel for storage I/O: the least that glommio allows, because signalling does none.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Entries of each of the executor's three rings. They are few, because rings need locked memory; the kernel queues
/// completions that do not fit.
const RING_ENTRIES: usize = 128;

/// A connected TCP stream with the I/O traits of `futures`.
pub type TcpStream = glommio::net::TcpStream;

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
        let timers = Task(glommio::spawn_local(drive_timers()));
        let output = make().await;
        drop(timers);
        output
    }))
}

/// A task that ends when this is dropped.
#[derive(Debug)]
#[must_use = "a dropped task is cancelled; detach it or keep it"]
pub struct Task(glommio::Task<()>);

impl Task {
    /// Lets the task run to its own end.
    pub fn detach(self) {
        drop(self.0.detach());
    }
}

/// Starts a task beside the others on this thread.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> Task {
    Task(glommio::spawn_local(future))
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
    Sleep::until(Instant::now() + duration)
}

/// The output of `future`, or `None` if it takes longer than `limit`. It is then dropped.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), sleep(limit)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// A listening TCP socket.
pub struct Listener(glommio::net::TcpListener);

impl Listener {
    /// Listens on `address`. With port 0 the system chooses a port. If the address is in use, this blocks and tries
    /// again for a while: the kernel tears a ring down, and closes the listener in it, some time after its process has
    /// ended.
    ///
    /// # Errors
    /// The system's, mostly that the address is in use. The socket is not made by glommio's own `bind`, for two
    /// reasons. That sets `SO_REUSEPORT`, with which a second node would silently take half of the first one's
    /// connections. And it does not set `SO_REUSEADDR`, without which a node cannot start again within a minute.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let deadline = Instant::now() + limits::BIND_RETRY_MAX;
        loop {
            match listener::listen(address) {
                Ok(socket) => return Ok(Self(listener::adopt(socket))),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse || Instant::now() >= deadline => {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(limits::BIND_RETRY_INTERVAL),
            }
        }
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr().map_err(io::Error::from)
    }

    /// Waits for the next connection. Never race this against another future: a connection that the kernel accepts at
    /// that moment would be lost. Give it a task of its own.
    ///
    /// # Errors
    /// The system's, like "too many open files". The listener stays usable.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        let stream = self.0.accept().await.map_err(io::Error::from)?;
        // Answers are written whole, so waiting for more data would only add latency. An error is ignored here: if the
        // socket is already gone, the next operation fails.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

// --- timers: hyper wants `Send` sleeps, glommio's are not, so a sleep is a number in a table of this thread ---

thread_local! {
    static TIMERS: RefCell<Timers> = RefCell::default();
}

/// The sleeps under way on this thread, earliest first, and the waker of the task that drives them.
#[derive(Default)]
struct Timers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_key: u64,
    driver: Option<Waker>,
}

/// A sleep. It is `Send`, because it holds only a key into the table of the thread on which it is polled.
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    key: Option<u64>,
}

impl Sleep {
    /// A sleep that ends at `deadline`.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, key: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        TIMERS.with_borrow_mut(|timers| {
            if Instant::now() >= self.deadline {
                if let Some(key) = self.key.take() {
                    timers.waiting.remove(&(self.deadline, key));
                }
                return Poll::Ready(());
            }
            let key = *self.key.get_or_insert_with(|| {
                timers.next_key += 1;
                timers.next_key
            });
            timers.waiting.insert((self.deadline, key), context.waker().clone());
            let is_first = timers.waiting.first_key_value().is_some_and(|(first, _)| *first == (self.deadline, key));
            if is_first && let Some(driver) = timers.driver.take() {
                driver.wake();
            }
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // While the thread ends, the table may already be gone.
            let _ = TIMERS.try_with(|timers| timers.borrow_mut().waiting.remove(&(self.deadline, key)));
        }
    }
}

/// Wakes sleeps that are due. There is one glommio timer for all of them, and none while nobody sleeps.
async fn drive_timers() {
    let mut armed: Option<(Instant, glommio::timer::Timer)> = None;
    poll_fn(|context| {
        loop {
            let now = Instant::now();
            let first = TIMERS.with_borrow_mut(|timers| {
                while let Some(entry) = timers.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
                    entry.remove().wake();
                }
                timers.driver = Some(context.waker().clone());
                timers.waiting.first_key_value().map(|((deadline, _), _)| *deadline)
            });
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

/// hyper's view of the same timers.
#[derive(Clone, Copy, Debug)]
pub struct HyperTimer;

impl hyper::rt::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(sleep(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep::until(deadline))
    }
}

impl hyper::rt::Sleep for Sleep {}

#[cfg(test)]
mod tests {
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
            assert!(TIMERS.with_borrow(|timers| timers.waiting.is_empty()));
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

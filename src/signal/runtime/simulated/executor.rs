//! Tasks in a seeded order on a clock that jumps to what is next.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt as _, LocalBoxFuture};

use super::{net, random};
use crate::net::clock;
use crate::signal::runtime::timers;

/// What one turn of a task of the node costs, beside its input and output ([`net`]).
const NODE_POLL_COST: Duration = Duration::from_micros(10);

/// What one turn of another task costs: only so much that time passes.
const OTHER_POLL_COST: Duration = Duration::from_nanos(100);

/// Turns after which a run is taken for one that never ends.
const POLLS_MAX: u64 = 50_000_000;

/// Whose task it is. Tasks belong to who starts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// The node's: they cost time, and stand still while the node's thread is stalled.
    Node,
    /// Everybody else's.
    Others,
}

thread_local! {
    static RUNNING: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
}

struct Executor {
    tasks: RefCell<BTreeMap<u64, Row>>,
    next: Cell<u64>,
    woken: Arc<Mutex<Vec<u64>>>,
    ready: RefCell<Vec<u64>>,
    world: Cell<World>,
    stalled_until: Cell<Option<Instant>>,
    started: Instant,
    trace: Cell<u64>,
    polls: Cell<u64>,
}

struct Row {
    world: World,
    /// `None` while it is polled.
    future: Option<LocalBoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
}

struct TaskWaker {
    id: u64,
    is_woken: AtomicBool,
    woken: Arc<Mutex<Vec<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.is_woken.swap(true, Ordering::Relaxed) {
            self.woken.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
        }
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
#[must_use = "a dropped task is cancelled; detach it or keep it"]
pub struct Task {
    id: u64,
    is_detached: bool,
}

impl Task {
    /// Lets the task run to its own end.
    pub fn detach(mut self) {
        self.is_detached = true;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.is_detached {
            return;
        }
        let running = RUNNING.try_with(|running| running.try_borrow().ok().and_then(|running| running.clone()));
        if let Ok(Some(executor)) = running {
            let row = executor.tasks.borrow_mut().remove(&self.id);
            drop(row);
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Ran<T> {
    /// What its main task returned.
    pub output: T,
    /// A hash of which task was polled when: the same seed gives the same one.
    pub trace: u64,
    /// How many turns there were.
    pub polls: u64,
    /// How much time has passed in it.
    pub elapsed: Duration,
}

/// Ends the simulation of a thread, also when it ends by a panic.
struct Ending {
    _clock: clock::simulated::Running,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(executor) = RUNNING.with_borrow(Clone::clone) {
            // What is dropped may start tasks, but none that never ends.
            loop {
                let first = executor.tasks.borrow_mut().pop_first();
                if first.is_none() {
                    break;
                }
            }
        }
        RUNNING.set(None);
        net::end();
        random::end();
    }
}

/// Runs a future to its end on this thread, which is simulated meanwhile. The future's tasks are [`World::Others`]'s.
///
/// # Panics
/// When nobody is ready and nobody sleeps, so that nothing would ever happen; and when it does not end.
pub fn run<F: Future>(seed: u64, make: impl FnOnce() -> F) -> Ran<F::Output> {
    assert!(!is_running(), "a simulation does not run in another one");
    let ending = Ending { _clock: clock::simulated::start() };
    random::start(seed);
    net::start();
    let executor = Rc::new(Executor {
        tasks: RefCell::default(),
        next: Cell::new(1),
        woken: Arc::default(),
        ready: RefCell::default(),
        world: Cell::new(World::Others),
        stalled_until: Cell::new(None),
        started: clock::now(),
        trace: Cell::new(0xcbf2_9ce4_8422_2325),
        polls: Cell::new(0),
    });
    RUNNING.set(Some(executor.clone()));
    let main = Arc::new(TaskWaker { id: 0, is_woken: AtomicBool::new(false), woken: executor.woken.clone() });
    let main_waker = Waker::from(main.clone());
    main_waker.wake_by_ref();
    let mut future = Box::pin(make());
    let output = loop {
        match executor.next_ready() {
            0 => {
                main.is_woken.store(false, Ordering::Relaxed);
                executor.note(0);
                clock::simulated::spend(OTHER_POLL_COST);
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&main_waker)) {
                    break output;
                }
            }
            id => executor.poll(id),
        }
    };
    drop(future);
    let ran = Ran { output, trace: executor.trace.get(), polls: executor.polls.get(), elapsed: elapsed() };
    drop(ending);
    ran
}

impl Executor {
    /// The task whose turn is next. Time passes until there is one.
    fn next_ready(&self) -> u64 {
        loop {
            let next_sleep = timers::wake_due(clock::now());
            let mut ready = self.ready.borrow_mut();
            ready.append(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner));
            let stalled_until = self.stalled_until.get().filter(|until| clock::now() < *until);
            let may_run = |id: &u64| stalled_until.is_none() || self.world_of(*id) != Some(World::Node);
            let count = match stalled_until {
                None => ready.len(),
                Some(_) => ready.iter().filter(|id| may_run(id)).count(),
            };
            if count > 0 {
                let chosen = random::below(count);
                let at = match stalled_until {
                    None => chosen,
                    Some(_) => (0..ready.len()).filter(|at| may_run(&ready[*at])).nth(chosen).unwrap_or(0),
                };
                return ready.swap_remove(at);
            }
            let next = next_sleep.into_iter().chain(stalled_until.filter(|_| !ready.is_empty())).min();
            drop(ready);
            let Some(next) = next else { panic!("nobody is ready and nobody sleeps: nothing would ever happen") };
            clock::simulated::advance_to(next);
        }
    }

    fn world_of(&self, id: u64) -> Option<World> {
        self.tasks.borrow().get(&id).map(|row| row.world)
    }

    fn note(&self, id: u64) {
        let polls = self.polls.get() + 1;
        assert!(polls < POLLS_MAX, "the run does not end: {polls} turns in {:?}", clock::now() - self.started);
        self.polls.set(polls);
        let at = (clock::now() - self.started).as_nanos() as u64;
        for word in [id, at] {
            self.trace.set((self.trace.get() ^ word).wrapping_mul(0x0100_0000_01b3));
        }
    }

    fn poll(&self, id: u64) {
        let taken = self.tasks.borrow_mut().get_mut(&id).and_then(|row| {
            row.waker.is_woken.store(false, Ordering::Relaxed);
            Some((row.future.take()?, row.waker.clone(), row.world))
        });
        // It has ended meanwhile.
        let Some((mut future, waker, world)) = taken else { return };
        self.note(id);
        clock::simulated::spend(if world == World::Node { NODE_POLL_COST } else { OTHER_POLL_COST });
        let before = self.world.replace(world);
        let result = Pin::new(&mut future).poll(&mut Context::from_waker(&Waker::from(waker)));
        self.world.set(before);
        if result.is_ready() {
            let row = self.tasks.borrow_mut().remove(&id);
            drop((row, future));
            return;
        }
        let mut tasks = self.tasks.borrow_mut();
        match tasks.get_mut(&id) {
            Some(row) => row.future = Some(future),
            // Its handle was dropped in its own turn.
            None => {
                drop(tasks);
                drop(future);
            }
        }
    }
}

fn with<T>(act: impl FnOnce(&Executor) -> T) -> Option<T> {
    let executor = RUNNING.with_borrow(Clone::clone)?;
    Some(act(&executor))
}

/// Whether this thread is a simulated one.
#[must_use]
pub fn is_running() -> bool {
    RUNNING.with_borrow(Option::is_some)
}

/// How much time has passed since the simulation began.
#[must_use]
pub fn elapsed() -> Duration {
    with(|executor| clock::now() - executor.started).unwrap_or_default()
}

/// A hash of which task was polled when, up to now.
#[must_use]
pub fn trace() -> u64 {
    with(|executor| executor.trace.get()).unwrap_or_default()
}

/// Starts a task that belongs to whoever starts it.
///
/// # Panics
/// On a thread that is not simulated.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> Task {
    let world = with(|executor| executor.world.get());
    spawn_in(world.unwrap_or(World::Others), future)
}

/// Starts a task of that world.
///
/// # Panics
/// On a thread that is not simulated.
pub fn spawn_in(world: World, future: impl Future<Output = ()> + 'static) -> Task {
    let future = future.boxed_local();
    let id = with(move |executor| {
        let id = executor.next.replace(executor.next.get() + 1);
        let waker = Arc::new(TaskWaker { id, is_woken: AtomicBool::new(false), woken: executor.woken.clone() });
        let row = Row { world, future: Some(future), waker: waker.clone() };
        executor.tasks.borrow_mut().insert(id, row);
        waker.wake();
        id
    });
    match id {
        Some(id) => Task { id, is_detached: false },
        None => panic!("this thread is not simulated"),
    }
}

/// From now on the node's tasks stand still for so long, while all others go on.
pub fn stall(time: Duration) {
    with(|executor| executor.stalled_until.set(Some(clock::now() + time)));
}

/// Everything stands still for so long, as when the machine sleeps: it is later, and nobody has done anything.
pub fn jump(time: Duration) {
    clock::simulated::advance_to(clock::now() + time);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::runtime;

    fn order(seed: u64) -> (Vec<usize>, u64) {
        let ran = run(seed, || async {
            let (done, ended) = flume::unbounded();
            for number in 0..8 {
                let done = done.clone();
                runtime::spawn(async move {
                    let _ = done.send(number);
                    runtime::sleep(Duration::from_secs(1)).await;
                })
                .detach();
            }
            runtime::sleep(Duration::from_millis(1)).await;
            ended.drain().collect()
        });
        (ran.output, ran.trace)
    }

    #[test]
    fn one_seed_is_one_order_and_another_one_another() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1).0, order(2).0);
        let (mut all, _) = order(3);
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn time_passes_when_nobody_is_ready_and_is_exact() {
        let before = Instant::now();
        let ran = run(1, || async {
            let started = clock::now();
            runtime::sleep(Duration::from_secs(3_600)).await;
            clock::now() - started
        });
        assert!(ran.output >= Duration::from_secs(3_600) && ran.output < Duration::from_secs(3_601));
        assert!(before.elapsed() < Duration::from_secs(600), "nobody waited");
        assert!(!is_running());
    }

    #[test]
    fn a_stalled_node_stands_still_and_others_go_on() {
        let ran = run(1, || async {
            let at = Rc::new(Cell::new(Duration::ZERO));
            let node = at.clone();
            let _node = spawn_in(World::Node, async move {
                runtime::sleep(Duration::from_millis(10)).await;
                node.set(elapsed());
            });
            stall(Duration::from_secs(2));
            runtime::sleep(Duration::from_secs(1)).await;
            assert_eq!(at.get(), Duration::ZERO);
            runtime::sleep(Duration::from_secs(2)).await;
            at.get()
        });
        assert!(ran.output >= Duration::from_secs(2) && ran.output < Duration::from_millis(2_020), "{ran:?}");
    }

    #[test]
    fn a_task_whose_handle_is_dropped_ends_at_once_also_in_its_own_turn() {
        struct Tells(Rc<Cell<u32>>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let ended: Rc<Cell<u32>> = Rc::default();
        let told = ended.clone();
        run(1, || async move {
            let tells = Tells(told.clone());
            let task = runtime::spawn(async move {
                let _tells = tells;
                std::future::pending::<()>().await;
            });
            runtime::next_turn().await;
            drop(task);
            assert_eq!(told.get(), 1);
            let own: Rc<RefCell<Option<runtime::Task>>> = Rc::default();
            let (tells, itself) = (Tells(told.clone()), own.clone());
            own.replace(Some(runtime::spawn(async move {
                let _tells = tells;
                itself.replace(None);
                std::future::pending::<()>().await;
            })));
            runtime::sleep(Duration::from_millis(1)).await;
            assert_eq!(told.get(), 2);
            let tells = Tells(told.clone());
            runtime::spawn(async move {
                let _tells = tells;
                std::future::pending::<()>().await;
            })
            .detach();
        });
        assert_eq!(ended.get(), 3, "the run's end ends what is left");
    }

    #[test]
    #[should_panic(expected = "nothing would ever happen")]
    fn a_run_in_which_nothing_can_happen_is_told() {
        run(1, std::future::pending::<()>);
    }
}

//! What everybody shares.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use corecast::signal::runtime::simulated::{self, random};
use corecast::signal::runtime::{self, Task};

use crate::scenario::Scenario;
use crate::workers::Media;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
    pub(crate) at: Duration,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {:?}): {}", self.rule, self.at, self.what)
    }
}

/// Counts of what was done and of what went wrong, by name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// The world.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) media: Media,
    /// Everybody leaves.
    pub(crate) is_over: Cell<bool>,
    /// The node was told to stop.
    pub(crate) is_stopping: Cell<bool>,
    violation: RefCell<Option<Violation>>,
    pub(crate) counts: RefCell<Counts>,
    tasks: RefCell<Vec<Task>>,
    /// When the node's thread stood still, from and to.
    still: RefCell<Vec<(Duration, Duration)>>,
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Rc<Self> {
        Rc::new(Self {
            media: Media::new(scenario.workers, scenario.sabotage),
            scenario,
            is_over: Cell::new(false),
            is_stopping: Cell::new(false),
            violation: RefCell::default(),
            counts: RefCell::default(),
            tasks: RefCell::default(),
            still: RefCell::default(),
        })
    }

    /// Whether faults have stopped.
    pub(crate) fn is_calm(&self) -> bool {
        simulated::elapsed() >= self.scenario.storm
    }

    /// How long faults go on.
    pub(crate) fn storm_left(&self) -> Duration {
        self.scenario.storm.saturating_sub(simulated::elapsed())
    }

    /// Whether this happens now, which is so often. Never when faults have stopped.
    pub(crate) fn fault(&self, how_often: f64) -> bool {
        !self.is_calm() && chance(how_often)
    }

    pub(crate) fn count(&self, what: impl Into<String>) {
        *self.counts.borrow_mut().entry(what.into()).or_default() += 1;
    }

    /// The first rule that is broken is kept.
    pub(crate) fn break_rule(&self, rule: &'static str, what: impl Into<String>) {
        let what = what.into();
        let at = simulated::elapsed();
        self.violation.borrow_mut().get_or_insert(Violation { rule, what, at });
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.borrow().clone()
    }

    /// Starts a task that lives as long as the world.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let task = runtime::spawn(future);
        self.tasks.borrow_mut().push(task);
    }

    /// Ends all of these.
    pub(crate) fn end_tasks(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
    }

    /// The node's thread stands still for so long.
    pub(crate) fn stall_node(&self, time: Duration) {
        let now = simulated::elapsed();
        self.still.borrow_mut().push((now, now + time));
        simulated::stall(time);
    }

    /// For how long the node's thread or the whole machine has stood still since that time. Two that stand still at the same
    /// time count once.
    pub(crate) fn stood_still_since(&self, time: Duration) -> Duration {
        let now = simulated::elapsed();
        let mut still: Vec<_> =
            self.still.borrow().iter().map(|(from, to)| ((*from).max(time), (*to).min(now))).collect();
        still.sort();
        let (mut counted, mut total) = (time, Duration::ZERO);
        for (from, to) in still {
            let from = from.max(counted);
            total += to.saturating_sub(from);
            counted = counted.max(to);
        }
        total
    }

    /// The node's thread, a worker or the whole machine stands still now and then, until faults stop.
    pub(crate) async fn stand_still(self: Rc<Self>) {
        while !self.is_calm() {
            runtime::sleep(Duration::from_millis(250)).await;
            if !self.fault(self.scenario.stalls / 4.0) {
                continue;
            }
            let left = self.storm_left();
            match random::below(3) {
                0 => {
                    self.count("fault: thread stalls");
                    self.stall_node(millis(50, 3_000).min(left));
                }
                1 => {
                    self.count("fault: worker stalls");
                    self.media.stall(random::below(8), millis(100, 4_000).min(left));
                }
                _ => {
                    self.count("fault: clock jumps");
                    let (time, now) = (millis(100, 8_000).min(left), simulated::elapsed());
                    self.still.borrow_mut().push((now, now + time));
                    simulated::jump(time);
                }
            }
        }
    }
}

pub(crate) fn chance(how_often: f64) -> bool {
    (random::below(1_000_000) as f64) < how_often * 1_000_000.0
}

/// A time from `low` to `high` milliseconds.
pub(crate) fn millis(low: u64, high: u64) -> Duration {
    Duration::from_micros(low * 1_000 + random::number() % ((high - low) * 1_000 + 1))
}

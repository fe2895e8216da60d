//! Whether the control group has memory left for one more session. Without a limit of the group there always is.
//!
//! The kernel ends a process that goes over its group's limit, and with it every viewer. So joins are refused (503) above
//! [`limits::MEMORY_FULL_PERCENT`] of it, and taken again below [`limits::MEMORY_FREE_PERCENT`].

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use super::runtime;
use crate::limits;
use crate::net::control_group::ControlGroup;

/// What was seen last.
#[derive(Debug, Default)]
pub(super) struct Memory {
    is_full: Cell<bool>,
}

impl Memory {
    /// Whether joins are refused.
    pub(super) fn is_full(&self) -> bool {
        self.is_full.get()
    }

    fn note(&self, used_bytes: u64, limit_bytes: u64) {
        let percent = used_bytes.saturating_mul(100) / limit_bytes.max(1);
        let was_full = self.is_full.get();
        let bound = if was_full { limits::MEMORY_FREE_PERCENT } else { limits::MEMORY_FULL_PERCENT };
        let is_full = percent >= bound;
        if is_full != was_full {
            self.is_full.set(is_full);
            let (used_mib, limit_mib) = (used_bytes >> 20, limit_bytes >> 20);
            if is_full {
                tracing::error!(used_mib, limit_mib, "the control group's memory is nearly used up: joins are refused");
            } else {
                tracing::info!(used_mib, limit_mib, "there is memory again: joins are taken");
            }
        }
    }
}

/// Watches the group that limits this process, which may also be given a limit later.
pub(super) async fn watch(memory: Rc<Memory>) {
    // The machine's memory is no part of a simulation.
    #[cfg(feature = "simulation")]
    if runtime::simulated::is_running() {
        return;
    }
    loop {
        let group = ControlGroup::find(Path::new("/"));
        if let Some((used, limit)) = group.and_then(|group| Some((group.used_bytes()?, group.limit_bytes()?))) {
            memory.note(used, limit);
        } else {
            memory.is_full.set(false);
        }
        runtime::sleep(limits::MEMORY_WATCH_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_are_refused_above_one_line_and_taken_below_another() {
        let memory = Memory::default();
        let seen: Vec<bool> = [0, 84, 85, 99, 81, 80, 79, 84, 85]
            .into_iter()
            .map(|percent| {
                memory.note(percent * 10, 1_000);
                memory.is_full()
            })
            .collect();
        assert_eq!(seen, [false, false, true, true, true, true, false, false, true]);
    }
}

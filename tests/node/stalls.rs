//! How long the machine itself stood still, which no attack is to be blamed for: a thread on each core that sleeps for 10 ms,
//! and notes when it slept much longer. A busy worker on the same core cannot do that to it; a host that takes the core away
//! can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corecast::net::process;

use crate::honest;

/// A sleep longer than this was a stall.
const STALL_MIN: Duration = Duration::from_millis(250);

pub(crate) struct Stalls {
    ended: Arc<AtomicBool>,
    stalled_ms: Arc<AtomicU64>,
}

impl Stalls {
    pub(crate) fn watch() -> Self {
        let (ended, stalled_ms) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        for &core in honest::cores() {
            let (ended, stalled_ms) = (Arc::clone(&ended), Arc::clone(&stalled_ms));
            std::thread::spawn(move || {
                let _ = process::pin_current_thread(&[core]);
                while !ended.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    std::thread::sleep(Duration::from_millis(10));
                    let slept = begun.elapsed();
                    if slept > STALL_MIN {
                        stalled_ms.fetch_add(slept.as_millis() as u64, Ordering::Relaxed);
                    }
                }
            });
        }
        Self { ended, stalled_ms }
    }

    /// All of it so far, over all cores.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_millis(self.stalled_ms.load(Ordering::Relaxed))
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

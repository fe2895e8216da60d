//! Finds the knee: the number of viewers above which a limit (a "line") is crossed.
//!
//! Viewers are added in steps. After each step, when all are connected and a settling time has passed, a window is
//! measured against the lines: loss, the 99th percentile of one-way video latency, the CPU of the server's busiest
//! thread, and that every viewer is connected. The result is the last step that kept all lines. When a thread of the
//! tester itself is the bottleneck, the result says that the knee was not found.

use std::time::Duration;

use crate::cli::{Common, Watch};
use crate::results::{Knee, Step};
use crate::run::Load;

/// Settling time after the last viewer of a step is connected.
const SETTLE: Duration = Duration::from_secs(2);
/// Time in which the viewers of a step must connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const OWN_BUSY_LINE: f64 = 0.90;

/// Raises the viewers until a line is crossed, all are there, or it is interrupted.
pub(crate) fn find(load: &mut Load, watch: &Watch, common: &Common) -> Result<Knee, String> {
    let size = watch.knee_step.unwrap_or(watch.viewers.div_ceil(10)).max(1);
    let mut steps: Vec<Step> = Vec::new();
    let mut viewers = 0;
    let (reason, tester_was_the_limit) = loop {
        if viewers >= watch.viewers {
            break ("no line was crossed: try more --viewers".to_owned(), false);
        }
        viewers = (viewers + size).min(watch.viewers);
        let last = load.watch(watch, viewers)?;
        load.run_until(last);
        load.run_while(CONNECT_MAX, |load| load.viewers_pending());
        load.run_while(SETTLE, |_| true);
        load.forget_busy();
        load.begin_window();
        load.run_while(watch.knee_seconds, |_| true);
        if load.is_over() {
            break ("it was interrupted".to_owned(), false);
        }
        let mut step = measure(load, viewers.into());
        let own = load.own_threads().into_iter().find(|thread| thread.busy_max > OWN_BUSY_LINE);
        step.crossed = crossed(&step, watch, common);
        let crossed = step.crossed.clone();
        steps.push(step);
        if let Some(own) = own {
            let busy = own.busy_max * 100.0;
            break (format!("the tester's own thread {} is {busy:.0} % busy: the knee lies higher", own.name), true);
        }
        if let Some(crossed) = crossed {
            break (crossed, false);
        }
    };
    let kept = steps.iter().filter(|step| step.crossed.is_none()).map(|step| step.viewers).max().unwrap_or(0);
    Ok(Knee { viewers: kept, reason, tester_was_the_limit, steps })
}

fn measure(load: &Load, viewers: u64) -> Step {
    let (server, machine_busy) = load.window_cpu();
    let counts = load.window.counts;
    let all = counts.received() + counts.lost();
    let latency = &load.window.video_latency_us;
    Step {
        viewers,
        connected: load.connected(),
        packets_per_second: counts.received() as f64 / load.window_seconds(),
        loss: if all == 0 { 0.0 } else { counts.lost() as f64 / all as f64 },
        latency_p99_us: if latency.is_empty() { 0 } else { latency.value_at_quantile(0.99) },
        server,
        machine_busy,
        crossed: None,
    }
}

/// The first line that a step crossed.
fn crossed(step: &Step, watch: &Watch, common: &Common) -> Option<String> {
    let Step { viewers, connected, .. } = *step;
    if connected < viewers {
        return Some(format!("at {viewers} viewers only {connected} were connected"));
    }
    if step.packets_per_second == 0.0 {
        return Some(format!("at {viewers} viewers nothing arrived"));
    }
    if step.loss > common.max_loss {
        let (loss, line) = (step.loss * 100.0, common.max_loss * 100.0);
        return Some(format!("at {viewers} viewers {loss:.3} % of the packets were lost (the line is {line:.3} %)"));
    }
    if step.latency_p99_us > watch.knee_latency_ms * 1_000 {
        let (latency, line) = (step.latency_p99_us as f64 / 1e3, watch.knee_latency_ms);
        return Some(format!("at {viewers} viewers 1 of 100 packets took {latency:.1} ms (the line is {line} ms)"));
    }
    let server = step.server.as_ref()?;
    let busy = server.busiest_thread_cores * 100.0;
    let line = watch.knee_cpu_percent;
    (busy > line).then(|| {
        format!(
            "at {viewers} viewers the server's thread {} was {busy:.0} % busy (the line is {line:.0} %)",
            server.busiest_thread
        )
    })
}

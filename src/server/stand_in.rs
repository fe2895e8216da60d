//! A worker without media, so that the program around it runs end to end before the real one is joined in
//! [`super::workers`]. To be removed by that join.

use std::collections::HashSet;
use std::io;
use std::thread;
use std::time::Instant;

use super::workers::{StartedWorker, WorkerConfig};
use crate::net::IoKind;
use crate::worker::mailbox::{Control, EndReason, Notice, OpenRefused, WorkerHandle};
use crate::worker::report::WorkerReport;

/// Starts a thread that keeps sessions and sends nothing.
pub(super) fn start(config: WorkerConfig, notices: flume::Sender<Notice>) -> io::Result<StartedWorker> {
    let (handle, control) = WorkerHandle::new(config.index, config.sockets.port(), config.sockets.waker());
    let thread = thread::Builder::new().name(format!("worker-{}", config.index.0)).spawn(move || {
        let started = Instant::now();
        let mut sessions = HashSet::new();
        let mut report = WorkerReport {
            worker: config.index.0,
            core: config.core,
            media_port: config.sockets.port(),
            io: if config.io == IoKind::Mmsg { "mmsg" } else { "uring" },
            ..Default::default()
        };
        while let Ok(message) = control.recv() {
            match message {
                Control::Open(open) => {
                    let room = sessions.len() < config.sessions_max as usize;
                    if room {
                        sessions.insert(open.session);
                        report.joins += 1;
                    }
                    let _ = open.reply.send(if room { Ok(()) } else { Err(OpenRefused::Full) });
                }
                Control::Close { session, reason } => {
                    sessions.remove(&session);
                    *report.ended.entry(reason.name()).or_default() += 1;
                    let _ = notices.send(Notice::Ended { session, reason });
                }
                Control::Report(reply) => {
                    report.uptime_ns = started.elapsed().as_nanos() as u64;
                    let _ = reply.send(Box::new(report.clone()));
                }
                Control::RestartIce { .. } | Control::Route { .. } => {}
                Control::Shutdown => {
                    for session in sessions {
                        let _ = notices.try_send(Notice::Ended { session, reason: EndReason::ShuttingDown });
                    }
                    return;
                }
            }
        }
    })?;
    Ok(StartedWorker { handle, thread })
}

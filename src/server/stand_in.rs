//! A worker without media and a negotiator without SDP, so that the program around them runs end to end before the
//! real ones are joined in [`super::workers`]. To be removed by that join.

use std::collections::HashSet;
use std::io;
use std::thread;
use std::time::Instant;

use super::workers::{StartedWorker, WorkerConfig};
use crate::session::description::{Description, Direction, DtlsRole, Fingerprint, FingerprintHash, IceCredentials};
use crate::signal::negotiator::{Answer, Fragment, LocalParameters, Negotiator, Refused};
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

/// Answers anything that looks like SDP with an answer that has no media.
pub(super) struct NoMedia;

impl Negotiator for NoMedia {
    fn answer(&self, offer: &str, direction: Direction, local: &LocalParameters) -> Result<Answer, Refused> {
        if !offer.starts_with("v=0") {
            return Err(Refused { status: 400, message: "not SDP".to_owned() });
        }
        let description = Description {
            direction,
            remote_ice: IceCredentials { ufrag: "none".to_owned(), password: String::new() },
            remote_fingerprints: vec![Fingerprint { hash: FingerprintHash::Sha256, value: vec![0; 32] }],
            dtls_role: DtlsRole::Server,
            media: Vec::new(),
            cname: local.cname.clone(),
        };
        Ok(Answer { description, sdp: format!("v=0\r\na=ice-ufrag:{}\r\n", local.ice.ufrag) })
    }

    fn fragment(&self, _: &str) -> Result<Fragment, Refused> {
        Ok(Fragment { ice: None })
    }

    fn restart(&self, _: &Description, local: &LocalParameters) -> String {
        format!("a=ice-ufrag:{}\r\n", local.ice.ufrag)
    }
}

//! The one place where the program meets the workers and SDP: opens each worker's sockets, starts its thread, and hands
//! signalling what it needs to know of them.

use std::thread::JoinHandle;

use super::ServerError;
use super::stand_in;
use crate::config::Config;
use crate::net::{IoKind, MediaSockets};
use crate::signal::negotiator::{Negotiator, SdpNegotiator};
use crate::worker::mailbox::{Notice, WorkerHandle, WorkerIndex};

/// A worker's thread and the way to talk to it.
pub(super) struct StartedWorker {
    pub(super) handle: WorkerHandle,
    pub(super) thread: JoinHandle<()>,
}

/// All workers, and what they have in common.
pub(super) struct Started {
    pub(super) workers: Vec<StartedWorker>,
    /// SHA-256 of the DTLS certificate they share.
    pub(super) fingerprint_sha256: [u8; 32],
    pub(super) negotiator: Box<dyn Negotiator>,
    /// The backend in use, and why.
    pub(super) io: &'static str,
    pub(super) io_reason: String,
}

/// What one worker is started with.
pub(super) struct WorkerConfig {
    pub(super) index: WorkerIndex,
    pub(super) core: u16,
    pub(super) sockets: MediaSockets,
    pub(super) io: IoKind,
    pub(super) sessions_max: u32,
}

/// Opens every socket first, so that a port in use is an error before any thread runs; then starts the threads.
pub(super) fn start(config: &Config, notices: &flume::Sender<Notice>) -> Result<Started, ServerError> {
    let mut configs = Vec::with_capacity(config.cores.len());
    let mut warned = Vec::new();
    for (index, core) in (0_u16..).zip(&config.cores) {
        // The configuration keeps the last port within 16 bits.
        let sockets =
            MediaSockets::open(&config.media.ips, config.media.port_base + index).map_err(ServerError::Net)?;
        for warning in sockets.warnings() {
            let warning = warning.to_string();
            if !warned.contains(&warning) {
                tracing::warn!("{warning}");
                warned.push(warning);
            }
        }
        configs.push(WorkerConfig {
            index: WorkerIndex(index),
            core: *core,
            sockets,
            io: config.io,
            sessions_max: config.limits.sessions_per_worker_max,
        });
    }
    let mut workers = Vec::with_capacity(configs.len());
    for config in configs {
        workers.push(stand_in::start(config, notices.clone()).map_err(ServerError::Thread)?);
    }
    let (io, io_reason) = match config.io {
        IoKind::Mmsg => ("mmsg", "as configured"),
        IoKind::Uring => ("uring", "as configured"),
        IoKind::Auto => ("uring", "io_uring may be used here"),
    };
    Ok(Started {
        workers,
        fingerprint_sha256: [0; 32],
        negotiator: Box::new(SdpNegotiator),
        io,
        io_reason: io_reason.to_owned(),
    })
}

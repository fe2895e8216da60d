//! The one place where the program meets the workers: it opens each worker's sockets, starts its pinned thread, and
//! gives signalling what it needs to know about them.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ServerError;
use crate::config::Config;
use crate::crypto::random::SystemRandom;
use crate::net::{self, AnyIo, IoKind, MediaSockets, OpenedIo, StartError, process};
use crate::time::{NtpTime, Timestamp};
use crate::worker::lane::Lanes;
use crate::worker::links::link_worker::{LinkMail, LinkWorker};
use crate::worker::links::mailbox::{LinkNotice, LinksHandle};
use crate::worker::mailbox::{Control, Notice, WorkerHandle, WorkerIndex};
use crate::worker::{KeyPolicy, WallClock, Worker, WorkerConfig, event_loop};

/// A worker's thread and the way to talk to it.
pub(super) struct StartedWorker {
    pub(super) handle: WorkerHandle,
    pub(super) thread: JoinHandle<()>,
}

/// All workers, and what they have in common.
pub(super) struct Started {
    pub(super) workers: Vec<StartedWorker>,
    /// The worker that has the links, in a cluster whose nodes speak to each other.
    pub(super) links: Option<StartedLinks>,
    /// The backend in use, and why: `uring and mmsg` where some workers got no ring.
    pub(super) io: &'static str,
    pub(super) io_reason: String,
}

/// The thread of the worker that has the links, and the ways to it.
pub(super) struct StartedLinks {
    pub(super) worker: StartedWorker,
    pub(super) handle: LinksHandle,
    pub(super) notices: flume::Receiver<LinkNotice>,
}

/// What a worker's thread is made with.
struct Seed {
    config: WorkerConfig,
    sockets: MediaSockets,
    io: IoKind,
    lanes: Lanes,
    control: flume::Receiver<Control>,
    notices: flume::Sender<Notice>,
}

/// What a worker's thread reports once, when its backend is open.
type Opened = Result<Backend, StartError>;

/// A worker's backend.
struct Backend {
    worker: WorkerIndex,
    name: &'static str,
    reason: String,
}

/// Opens every socket first, so that a port in use is an error before any thread runs; then starts the threads and
/// waits until each has its backend.
pub(super) fn start(config: &Config, notices: &flume::Sender<Notice>) -> Result<Started, ServerError> {
    let mut sockets = Vec::with_capacity(config.cores.len());
    let mut warned = Vec::new();
    for (index, _) in (0_u16..).zip(&config.cores) {
        // The configuration keeps the last port within 16 bits.
        let opened = MediaSockets::open(&config.media.ips, config.media.port_base + index).map_err(ServerError::Net)?;
        if config.media.dscp > 0 {
            opened.mark(config.media.dscp).map_err(ServerError::Net)?;
        }
        for warning in opened.warnings() {
            let warning = warning.to_string();
            if !warned.contains(&warning) {
                tracing::warn!("{warning}");
                warned.push(warning);
            }
        }
        sockets.push(opened);
    }
    let link_sockets = config.cluster.as_ref().and_then(|cluster| cluster.channel.as_ref()).map(|channel| {
        // The port of its connections, so that an operator opens one.
        let ip = channel.listen.ip();
        let ips: &[_] = if ip.is_unspecified() { &[] } else { std::slice::from_ref(&ip) };
        MediaSockets::open(ips, channel.listen.port()).map_err(ServerError::Net)
    });
    let link_sockets = link_sockets.transpose()?;
    let wakers: Vec<_> = sockets.iter().chain(&link_sockets).map(MediaSockets::waker).collect();
    let wall_clock = wall_clock();
    let mut all_lanes = Lanes::connect(&wakers);
    let links = match link_sockets {
        Some(sockets) => all_lanes.pop().map(|lanes| start_links(config, sockets, lanes, wall_clock)).transpose()?,
        None => None,
    };
    let mut workers = Vec::with_capacity(sockets.len());
    let (opened, next_opened) = flume::bounded(sockets.len());
    for (((index, core), sockets), lanes) in (0_u16..).zip(&config.cores).zip(sockets).zip(all_lanes) {
        let (handle, control) = WorkerHandle::new(WorkerIndex(index), sockets.port(), sockets.waker());
        let seed = Seed {
            config: WorkerConfig {
                index: WorkerIndex(index),
                core: *core,
                media_port: sockets.port(),
                io: "",
                sessions_max: config.limits.sessions_per_worker_max as usize,
                hold_max: config.media.frame_hold,
                publisher_bits_per_second_max: u64::from(config.limits.publisher_bitrate_max_kbps) * 1_000,
                keys: KeyPolicy {
                    lifetime: config.media.key_lifetime,
                    in_place: config.media.rekey_in_place,
                    ..KeyPolicy::default()
                },
                wall_clock,
            },
            sockets,
            io: config.io,
            lanes,
            control,
            notices: notices.clone(),
        };
        let opened = opened.clone();
        let thread = thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || run(seed, &opened))
            .map_err(ServerError::Thread)?;
        workers.push(StartedWorker { handle, thread });
    }
    drop(opened);
    let mut backends = Vec::with_capacity(workers.len());
    for _ in &workers {
        backends
            .push(next_opened.recv().map_err(|_| ServerError::WorkerDied(WorkerIndex(0)))?.map_err(ServerError::Net)?);
    }
    backends.sort_by_key(|backend| backend.worker.0);
    let (io, io_reason) = summary(&backends, config.io);
    Ok(Started { workers, links, io, io_reason })
}

/// Starts the worker that has the links, beside those of sessions. It is pinned to no core: it has little to do where streams are few,
/// and where they are many the system finds it room.
fn start_links(
    config: &Config,
    sockets: MediaSockets,
    lanes: Lanes,
    wall_clock: WallClock,
) -> Result<StartedLinks, ServerError> {
    let index = WorkerIndex(u16::try_from(config.cores.len()).unwrap_or(u16::MAX));
    let (handle, control) = WorkerHandle::new(index, sockets.port(), sockets.waker());
    let (links_handle, links) = LinksHandle::new(sockets.waker());
    let (notices, notices_receiver) = flume::unbounded();
    let mail = LinkMail { control, links, notices };
    let kind = config.io;
    let (opened, next_opened) = flume::bounded(1);
    let thread = thread::Builder::new()
        .name("links".to_owned())
        .spawn(move || {
            let mut io: AnyIo = match net::open_io(kind, sockets) {
                Ok(OpenedIo { io, .. }) => io,
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            let _ = opened.send(Ok(()));
            let mut worker = LinkWorker::new(index, wall_clock, lanes, mail);
            if let Err(error) = event_loop::run(&mut worker, &mut io) {
                report_broken(index, &error);
            }
        })
        .map_err(ServerError::Thread)?;
    next_opened.recv().map_err(|_| ServerError::WorkerDied(index))?.map_err(ServerError::Net)?;
    Ok(StartedLinks { worker: StartedWorker { handle, thread }, handle: links_handle, notices: notices_receiver })
}

/// The backend in use and the reason, in one line. Logs a warning for each worker that should have a ring and got none.
fn summary(backends: &[Backend], asked: IoKind) -> (&'static str, String) {
    let without: Vec<&Backend> = backends.iter().filter(|backend| backend.name == "mmsg").collect();
    if asked == IoKind::Auto {
        for Backend { worker, reason, .. } in &without {
            tracing::warn!(worker = worker.0, reason, "this worker gets no ring: it uses plain system calls");
        }
    }
    match (without.first(), backends.first()) {
        (Some(first), _) if without.len() < backends.len() => {
            let (some, all, reason) = (without.len(), backends.len(), &first.reason);
            ("uring and mmsg", format!("{some} of {all} workers got no ring: {reason}"))
        }
        (_, Some(first)) => (first.name, first.reason.clone()),
        (_, None) => ("", String::new()),
    }
}

/// The body of a worker's thread, from start to end.
fn run(seed: Seed, opened: &flume::Sender<Opened>) {
    let Seed { mut config, sockets, io, lanes, control, notices } = seed;
    if let Err(error) = process::pin_current_thread(&[config.core]) {
        tracing::warn!(core = config.core, %error, "a worker could not be pinned to its core");
    }
    let mut io: AnyIo = match net::open_io(io, sockets) {
        Ok(OpenedIo { io, reason }) => {
            config.io = io.name();
            let _ = opened.send(Ok(Backend { worker: config.index, name: io.name(), reason }));
            io
        }
        Err(error) => {
            let _ = opened.send(Err(error));
            return;
        }
    };
    let index = config.index;
    let now = net::now();
    let mut worker = Worker::new(config, Box::new(SystemRandom), lanes, control, notices, now);
    if let Err(error) = event_loop::run(&mut worker, &mut io) {
        report_broken(index, &error);
    }
}

fn report_broken(index: WorkerIndex, error: &io::Error) {
    tracing::error!(worker = index.0, %error, "a worker's I/O broke: it cannot wait for its sockets any more");
}

/// Pairs the wall clock with the monotonic one, once for all workers.
fn wall_clock() -> WallClock {
    /// Seconds from 1900 (NTP) to 1970 (Unix).
    const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let up = net::now().since(Timestamp::ZERO);
    WallClock { at_zero: NtpTime(NTP_TO_UNIX_SECONDS << 32) + since_1970.saturating_sub(up) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_worker_that_fell_back_shows_in_the_summary() {
        let backend =
            |worker, name, reason: &str| Backend { worker: WorkerIndex(worker), name, reason: reason.to_owned() };
        let (ring, calls) = (|worker| backend(worker, "uring", "ok"), |worker| backend(worker, "mmsg", "no memory"));
        assert_eq!(summary(&[ring(0), ring(1)], IoKind::Auto), ("uring", "ok".to_owned()));
        assert_eq!(summary(&[calls(0), calls(1)], IoKind::Auto), ("mmsg", "no memory".to_owned()));
        let mixed = ("uring and mmsg", "1 of 2 workers got no ring: no memory".to_owned());
        assert_eq!(summary(&[calls(0), ring(1)], IoKind::Auto), mixed);
        assert_eq!(summary(&[ring(0), calls(1)], IoKind::Auto), mixed);
    }
}

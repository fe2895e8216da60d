//! The program around the layers: start-up checks, threads, signals, and shutdown.
//!
//! Order of start: limits of the process, io_uring probe, certificate, keys, sockets, workers, signalling, then the
//! banner. An error that an operator can mend is reported before the first packet, with the fix in its text.
//!
//! Order of shutdown (Ctrl-C, SIGTERM, or a thread that died): stop accepting, send `Shutdown` to the workers, give
//! them at most [`limits::SHUTDOWN_WORKERS_TIME_MAX`] to close their sessions, exit. A second signal exits at once, and
//! so does [`limits::SHUTDOWN_TIME_MAX`] after the first one, whatever is stuck.
//!
//! The service manager is told of start and shutdown, and in between that all threads are alive (`notify`, `watchdog`).
//! SIGHUP reads the configuration again (`reload`).

mod announce;
mod banner;
mod cluster;
mod log;
mod log_queue;
mod notify;
mod reload;
mod watchdog;
mod workers;

use std::fmt;
use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{Config, Source};
use crate::dtls::{DtlsIdentity, IdentityError};
use crate::net::ring_unavailable::RingUnavailable;
use crate::net::{process, ring_probe};
use crate::signal::live::Live;
use crate::signal::sealing_cost::SealingCost;
use crate::signal::tls::Certificates;
use crate::signal::tls::watch::Watch;
use crate::signal::{self, NodeInfo, Setup, Signalling, negotiator, tls};
use crate::worker::mailbox::{Control, WorkerHandle, WorkerIndex};
use notify::Notifier;
use reload::Reload;
use watchdog::Watched;

use crate::{auth, cli, limits, net};

/// Why the node did not start, or had to end.
#[derive(Debug)]
pub enum ServerError {
    /// The kernel did not say which cores there are.
    Cores(io::Error),
    /// io_uring cannot be used, which signalling needs whatever the workers use.
    Ring(RingUnavailable),
    /// Sockets or I/O of a worker.
    Net(net::StartError),
    /// The DTLS certificate.
    Dtls(IdentityError),
    /// The HTTPS certificate.
    Tls(tls::TlsError),
    /// The authorisation could not be set up.
    Authorisation(auth::StartError),
    /// The cluster's certificates.
    Cluster(cluster::ClusterError),
    /// Signalling.
    Signalling(signal::StartError),
    /// A thread of the process cannot be made, or signals not be caught.
    Thread(io::Error),
    /// A worker's thread ended by itself: its sessions are gone.
    WorkerDied(WorkerIndex),
    /// The signalling thread ended by itself.
    SignallingDied,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cores(error) => write!(f, "the cores of this process cannot be read ({error}): is /proc mounted?"),
            Self::Ring(error) => {
                write!(f, "signalling needs io_uring: {error}; --io does not help: it is for the workers only")
            }
            Self::Net(error) => error.fmt(f),
            Self::Dtls(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Authorisation(error) => error.fmt(f),
            Self::Cluster(error) => error.fmt(f),
            Self::Signalling(error) => error.fmt(f),
            Self::Thread(error) => {
                write!(f, "a thread cannot be started ({error}): raise the process limit (ulimit -u, TasksMax=)")
            }
            Self::WorkerDied(index) => write!(
                f,
                "worker {} ended by itself (its message is above); the node ends too, since that worker's sessions \
                 cannot be served: let the service manager start it again, and report this",
                index.0
            ),
            Self::SignallingDied => {
                f.write_str("signalling ended by itself (its message is above): the node ends too; report this")
            }
        }
    }
}

impl std::error::Error for ServerError {}

/// What the main thread waits for.
enum Event {
    /// A signal to end.
    Stop,
    /// A worker's thread ended.
    WorkerEnded(WorkerIndex),
    /// The signalling thread ended.
    SignallingEnded,
}

/// The cores this process may run on, ascending.
///
/// # Errors
/// When the kernel does not say.
pub fn allowed_cores() -> Result<Vec<u16>, ServerError> {
    process::allowed_cores().map_err(ServerError::Cores)
}

/// Serves what `config` says until a signal ends it. `source` is what `config` was read from; SIGHUP reads it again.
///
/// # Errors
/// When it cannot start, or a thread died.
pub fn run(source: Source, config: Config) -> Result<(), ServerError> {
    let level = log::init(config.log);
    let ended = serve(source, config, level);
    log_queue::flush();
    ended
}

fn serve(source: Source, config: Config, level: log::LevelHandle) -> Result<(), ServerError> {
    let notifier = Notifier::from_environment();
    let (events, next_event) = flume::bounded(limits::WORKERS_MAX + 4);
    let (reloads, reloads_asked) = flume::bounded(1);
    catch_signals(events.clone(), reloads)?;
    prepare_process();
    ring_probe::probe().map_err(ServerError::Ring)?;

    let host = announce::host_addresses();
    let announce = announce::candidates(&config, &host, &net::host::default_sources());
    let names = announce::certificate_names(&host);
    let certificate_files = Watch::new(&config.tls);
    let certificates =
        reload::read_certificates(&config, &names, &certificate_files.missing()).map_err(ServerError::Tls)?;
    let certificates = Certificates::new(certificates);
    reload::log_certificates(&certificates);
    let authoriser = auth::Authoriser::start(&config.auth, &config.limits.admission, config.log.addresses)
        .map_err(ServerError::Authorisation)?;
    let identity = DtlsIdentity::generate(SystemTime::now()).map_err(ServerError::Dtls)?;
    let (notices, notices_receiver) = flume::bounded(limits::NOTICES_MAX);
    let started = workers::start(&config, &notices)?;
    // The workers hold the senders, so signalling notices when the last worker has ended.
    drop(notices);
    let handles: Vec<WorkerHandle> = started.workers.iter().map(|worker| worker.handle.clone()).collect();
    let (links, to_links) = match started.links {
        Some(links) => (Some(links.worker), Some((links.handle, links.notices))),
        None => (None, None),
    };
    let link_worker = links.as_ref().map(|links| links.handle.clone());
    for worker in started.workers.into_iter().chain(links) {
        let (index, events) = (worker.handle.index, events.clone());
        watch(format!("watch-{}", index.0), worker.thread, move || {
            let _ = events.try_send(Event::WorkerEnded(index));
        })?;
    }

    let (change, changes) = flume::bounded(1);
    let setup = Setup {
        thread: config.signalling.clone(),
        https: config.https,
        tls: certificates.clone(),
        host_names: announce::machine_names(),
        http: config.http,
        http_redirect: config.http_redirect,
        admin: config.admin,
        live: Live::of(&config),
        changes,
        authoriser,
        announce: announce.clone(),
        ice_tcp: !config.media.udp_only,
        turn: config.turn,
        data: config.media.data,
        identity,
        identity_age: config.media.certificate_age,
        connections_max: config.limits.connections_max as usize,
        sockets: config.limits.sockets.clone(),
        workers: handles.clone(),
        links: link_worker.clone(),
        notices: notices_receiver,
        negotiator: Box::new(negotiator::SdpNegotiator),
        ownership: cluster::ownership(&config, to_links).map_err(ServerError::Cluster)?,
        node: NodeInfo {
            sealing: SealingCost::measure(),
            version: env!("CARGO_PKG_VERSION"),
            commit: cli::COMMIT,
            features: cli::FEATURES,
            io: started.io,
            cores: config.cores.clone(),
            announce: announce.iter().map(ToString::to_string).collect(),
        },
    };
    let mut running =
        Running { workers: handles.iter().chain(&link_worker).collect(), signalling: false, events: &next_event };
    let mut signalling = match signal::start(setup) {
        Ok(signalling) => signalling,
        Err(error) => {
            running.stop(None);
            return Err(ServerError::Signalling(error));
        }
    };
    running.signalling = true;
    if let Some(thread) = signalling.take_thread() {
        watch("watch-signal".to_owned(), thread, move || {
            let _ = events.try_send(Event::SignallingEnded);
        })?;
    }
    banner::print(&config, &signalling, started.io, &started.io_reason);

    // The watchdog is fed only from now, when the workers can answer, until shutdown begins.
    let watchdog = feed_watchdog(&handles, &signalling)?;
    let status = format!("serving {} with {} workers ({})", signalling.https, handles.len(), started.io);
    notifier.ready(&status);
    let notifier_of_reloads = Notifier::from_environment();
    let reload = Reload {
        source,
        running: config,
        names,
        certificates,
        watch: certificate_files,
        changes: change,
        level,
        notifier: notifier_of_reloads,
        status,
    };
    reload.start(reloads_asked).map_err(ServerError::Thread)?;

    let event = next_event.recv().unwrap_or(Event::Stop);
    running.note(&event);
    let cause = match event {
        Event::WorkerEnded(index) => Some(ServerError::WorkerDied(index)),
        Event::SignallingEnded => Some(ServerError::SignallingDied),
        Event::Stop => None,
    };
    tracing::info!("ending");
    notifier.stopping(&cause.as_ref().map_or_else(|| "ending as asked".to_owned(), ToString::to_string));
    drop(watchdog);
    running.stop(Some(&signalling));
    cause.map_or(Ok(()), Err)
}

/// Starts feeding the service manager's watchdog, if there is one. Dropping the returned sender ends that.
fn feed_watchdog(workers: &[WorkerHandle], signalling: &Signalling) -> Result<Option<flume::Sender<()>>, ServerError> {
    let Some(interval) = notify::watchdog_interval() else { return Ok(None) };
    let mut watched: Vec<Watched> = workers.iter().cloned().map(Watched::worker).collect();
    watched.push(Watched::signalling(signalling.heartbeats()));
    watchdog::start(watched, Notifier::from_environment(), interval).map(Some).map_err(ServerError::Thread)
}

/// Limits of the process. None of them is fatal by itself; the log names those that are too small.
fn prepare_process() {
    if let Err(error) = process::forbid_core_dumps() {
        tracing::warn!(%error, "core dumps could not be forbidden: one would hold session keys (LimitCORE=0)");
    }
    if let Err(error) = process::raise_open_files() {
        tracing::warn!(%error, "the open-file limit could not be raised (ulimit -n, LimitNOFILE=)");
    }
    if let Err(error) = process::raise_locked_memory(limits::LOCKED_MEMORY_BYTES_WANTED) {
        tracing::debug!(%error, "the locked-memory limit could not be raised");
    }
}

/// Turns the first SIGINT or SIGTERM into an event, and the second into an exit. Turns SIGHUP into a reload, unless the
/// node had a terminal at its start and has lost it since: then SIGHUP means that the terminal was closed, and ends the
/// node.
fn catch_signals(events: flume::Sender<Event>, reloads: flume::Sender<()>) -> Result<(), ServerError> {
    let has_terminal = || File::open("/dev/tty").is_ok();
    let had_terminal = has_terminal();
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(ServerError::Thread)?;
    let caught = move || {
        let mut stops = 0;
        for signal in signals.forever() {
            if signal == SIGHUP && (!had_terminal || has_terminal()) {
                // The channel is full only when a reload waits already, and that one will read the same files.
                let _ = reloads.try_send(());
                continue;
            }
            if stops > 0 {
                std::process::exit(1);
            }
            stops += 1;
            let _ = events.try_send(Event::Stop);
            end_in_time();
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(caught).map_err(ServerError::Thread)?;
    Ok(())
}

/// Ends the process after [`limits::SHUTDOWN_TIME_MAX`], if the shutdown has not ended it by then: something outside
/// (standard error, a disk, a resolver) does not answer, and must not keep the node.
fn end_in_time() {
    let end = || {
        thread::sleep(limits::SHUTDOWN_TIME_MAX);
        std::process::exit(1);
    };
    // Without a thread a second signal still ends the node.
    drop(thread::Builder::new().name("end".to_owned()).stack_size(64 * 1024).spawn(end));
}

/// Calls `ended` when the thread has ended, by return or by panic. The watcher sleeps in `join` and costs a small stack.
fn watch(
    name: String,
    thread: thread::JoinHandle<()>,
    ended: impl FnOnce() + Send + 'static,
) -> Result<(), ServerError> {
    thread::Builder::new()
        .name(name)
        .stack_size(64 * 1024)
        .spawn(move || {
            // The panic itself was printed by the panic hook.
            let _ = thread.join();
            ended();
        })
        .map_err(ServerError::Thread)?;
    Ok(())
}

/// The threads that still run, by the events received so far.
struct Running<'a> {
    workers: Vec<&'a WorkerHandle>,
    signalling: bool,
    events: &'a flume::Receiver<Event>,
}

impl Running<'_> {
    /// Takes the next event before `deadline`; `false` when there was none.
    fn note_next(&mut self, deadline: Instant) -> bool {
        match self.events.recv_deadline(deadline) {
            Ok(event) => {
                self.note(&event);
                true
            }
            Err(_) => false,
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::WorkerEnded(index) => self.workers.retain(|worker| worker.index != *index),
            Event::SignallingEnded => self.signalling = false,
            Event::Stop => {}
        }
    }

    /// Stops signalling first, so that no session is opened any more; then the workers, which close their sessions.
    fn stop(mut self, signalling: Option<&Signalling>) {
        let end = Instant::now() + limits::SHUTDOWN_WORKERS_TIME_MAX;
        if let Some(signalling) = signalling {
            signalling.request_stop();
            let deadline = Instant::now() + limits::SHUTDOWN_TIME_MAX / 4;
            while self.signalling && self.note_next(deadline) {}
        }
        let mut untold = self.workers.clone();
        loop {
            untold.retain(|worker| worker.try_send(Control::Shutdown).is_err());
            // A full mailbox empties within a few rounds, so the message is tried again; a worker that has ended shows
            // as an event.
            untold.retain(|worker| self.workers.iter().any(|running| running.index == worker.index));
            if untold.is_empty() || Instant::now() >= end {
                break;
            }
            self.note_next((Instant::now() + Duration::from_millis(5)).min(end));
        }
        while !self.workers.is_empty() && self.note_next(end) {}
        if !self.workers.is_empty() {
            tracing::warn!(workers = self.workers.len(), "workers did not end in time");
        }
    }
}

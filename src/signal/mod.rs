//! The signalling front end: HTTPS in, one message to one worker out.
//!
//! One executor on one thread terminates TLS, speaks WHIP (RFC 9725), WHEP and its own protocol over WebSocket, serves the
//! pages and the operator's endpoints, asks [`crate::auth`] who may do what, hashes every session to a worker and tells
//! the workers who publishes and who plays. Media never passes through it. [`runtime`] is the only file that names the
//! executor; [`negotiator`] is where SDP joins.

mod admin;
mod admission;
mod authorise;
mod cors;
mod directory;
mod front;
mod http;
mod identity;
pub mod live;
pub mod negotiator;
mod problem;
mod random;
mod redirect;
mod resource;
mod router;
pub mod runtime;
pub mod sdp;
pub mod sealing_cost;
mod sessions;
mod socket;
pub mod tls;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::auth::Authoriser;
use crate::config::{SignallingThread, Sockets};
use crate::dtls::DtlsIdentity;
use crate::limits;
use crate::metrics::SignallingCounters;
use crate::net::process;
use crate::worker::mailbox::{Heartbeat, Notice, WorkerHandle};
use sealing_cost::SealingCost;

use admin::AdminService;
use admission::PerAddress;
use front::Front;
use live::{Change, Live};
use negotiator::Negotiator;
use redirect::RedirectService;
use router::PublicService;
use runtime::{Listener, RuntimeError};

/// Everything signalling is started with.
pub struct Setup {
    /// Where and with which weight its thread runs.
    pub thread: SignallingThread,
    /// Where HTTPS is served.
    pub https: SocketAddr,
    /// Its certificates.
    pub tls: tls::Certificates,
    /// Where the same is served in plain HTTP.
    pub http: Option<SocketAddr>,
    /// Where plain HTTP redirects to HTTPS.
    pub http_redirect: Option<SocketAddr>,
    /// Where the operator's endpoints are served: in plain HTTP on loopback; elsewhere over TLS, to who shows a token.
    pub admin: SocketAddr,
    /// Settings that may change.
    pub live: Live,
    /// How they do.
    pub changes: flume::Receiver<Change>,
    /// Who decides who may do what.
    pub authoriser: Authoriser,
    /// Addresses put into candidates.
    pub announce: Vec<IpAddr>,
    /// The DTLS certificate of the first sessions.
    pub identity: DtlsIdentity,
    /// How old it becomes before new sessions get another.
    pub identity_age: Duration,
    /// HTTP connections of one listener.
    pub connections_max: usize,
    /// Bounds of sockets.
    pub sockets: Sockets,
    /// The workers, by index.
    pub workers: Vec<WorkerHandle>,
    /// What they tell.
    pub notices: flume::Receiver<Notice>,
    /// Who answers offers.
    pub negotiator: Box<dyn Negotiator>,
    /// Shown by `GET /api/v1/node`.
    pub node: NodeInfo,
}

/// What the operator sees of the node itself.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct NodeInfo {
    /// The package's version.
    pub version: &'static str,
    /// The commit.
    pub commit: &'static str,
    /// The cargo features.
    pub features: &'static str,
    /// The I/O backend in use.
    pub io: &'static str,
    /// The workers' cores.
    pub cores: Vec<u16>,
    /// The addresses in candidates.
    pub announce: Vec<IpAddr>,
    /// What sealing alone costs here, as it was measured at the start.
    pub sealing: SealingCost,
}

/// Signalling cannot start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Listen {
        /// `https`, `http`, `http-redirect` or `admin`.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// There is no executor.
    Runtime(RuntimeError),
    /// There is no thread.
    Thread(io::Error),
    /// TLS cannot be served.
    Tls(tls::TlsError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { setting, address, error } => {
                write!(f, "{setting} = {address}: {error}: ")?;
                match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        write!(f, "stop the program that listens there (ss -ltnp), or choose another --{setting}")
                    }
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "ports below 1024 need CAP_NET_BIND_SERVICE, or choose another --{setting}")
                    }
                    _ => write!(f, "choose an address of this host with --{setting}"),
                }
            }
            Self::Runtime(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "the signalling thread cannot start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Signalling as it runs.
#[derive(Debug)]
pub struct Signalling {
    /// Where HTTPS is served, with the port the system chose for port 0.
    pub https: SocketAddr,
    /// Where plain HTTP is served.
    pub http: Option<SocketAddr>,
    /// Where plain HTTP redirects to HTTPS.
    pub http_redirect: Option<SocketAddr>,
    /// Where the operator's endpoints are served.
    pub admin: SocketAddr,
    stop: flume::Sender<()>,
    heartbeats: flume::Sender<Heartbeat>,
    thread: Option<JoinHandle<()>>,
}

/// The bound addresses, from the thread to [`start`].
type Bound = Result<Addresses, StartError>;

/// Where each listener listens.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    https: SocketAddr,
    http: Option<SocketAddr>,
    http_redirect: Option<SocketAddr>,
    admin: SocketAddr,
}

/// Starts the thread and returns once every address is listened on.
///
/// # Errors
/// When there is no executor or an address cannot be listened on.
pub fn start(setup: Setup) -> Result<Signalling, StartError> {
    let (stop, stopped) = flume::bounded(1);
    let (heartbeats, heartbeats_receiver) = flume::bounded(1);
    let (bound_sender, bound) = flume::bounded::<Bound>(1);
    let thread = thread::Builder::new()
        .name("signal".to_owned())
        .spawn(move || {
            place_thread(&setup.thread);
            let failed = bound_sender.clone();
            if let Err(error) = runtime::run(|| serve(setup, stopped, heartbeats_receiver, bound_sender)) {
                let _ = failed.send(Err(StartError::Runtime(error)));
            }
        })
        .map_err(StartError::Thread)?;
    match bound.recv() {
        Ok(Ok(Addresses { https, http, http_redirect, admin })) => {
            Ok(Signalling { https, http, http_redirect, admin, stop, heartbeats, thread: Some(thread) })
        }
        Ok(Err(error)) => Err(error),
        Err(flume::RecvError::Disconnected) => Err(StartError::Thread(io::Error::other("it ended at once"))),
    }
}

/// Leaves the workers their cores, or most of them. A node that may not do that serves all the same.
fn place_thread(thread: &SignallingThread) {
    if let Err(error) = process::pin_current_thread(&thread.cores) {
        tracing::warn!(cores = ?thread.cores, %error, "signalling could not be put on its cores");
    }
    if let Err(error) = process::set_thread_nice(thread.nice.into()) {
        tracing::warn!(nice = thread.nice, %error, "signalling could not be given its lower weight");
    }
}

impl Signalling {
    /// Stops accepting, lets requests under way finish for a moment, and ends the thread.
    pub fn stop(mut self) {
        let _ = self.stop.try_send(());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the panic hook.
            let _ = thread.join();
        }
    }

    /// The thread, for whoever must know when it ends.
    pub fn take_thread(&mut self) -> Option<JoinHandle<()>> {
        self.thread.take()
    }

    /// Where heartbeats are put that the executor answers: for the service manager's watchdog.
    #[must_use]
    pub fn heartbeats(&self) -> flume::Sender<Heartbeat> {
        self.heartbeats.clone()
    }

    /// Asks the thread to end, without waiting for it.
    pub fn request_stop(&self) {
        let _ = self.stop.try_send(());
    }
}

/// The executor's main task.
async fn serve(
    setup: Setup,
    stopped: flume::Receiver<()>,
    heartbeats: flume::Receiver<Heartbeat>,
    bound: flume::Sender<Bound>,
) {
    let listen = |setting, address| {
        Listener::bind(address)
            .and_then(|listener| listener.local_addr().map(|local| (listener, local)))
            .map_err(|error| StartError::Listen { setting, address, error })
    };
    let listeners = listen("https", setup.https).and_then(|https| {
        let http = setup.http.map(|address| listen("http", address)).transpose()?;
        let redirect = setup.http_redirect.map(|address| listen("http-redirect", address)).transpose()?;
        let admin = listen("admin", setup.admin)?;
        Ok((https, http, redirect, admin, setup.tls.server_config().map_err(StartError::Tls)?))
    });
    let ((https, https_address), http, redirect, (admin, admin_address), tls) = match listeners {
        Ok(listeners) => listeners,
        Err(error) => {
            let _ = bound.send(Err(error));
            return;
        }
    };
    let addresses = Addresses {
        https: https_address,
        http: http.as_ref().map(|(_, address)| *address),
        http_redirect: redirect.as_ref().map(|(_, address)| *address),
        admin: admin_address,
    };

    let counters = SignallingCounters::new();
    let tls = futures_rustls::TlsAcceptor::from(tls);
    let admission = &setup.live.admission;
    let per_address = PerAddress::new(admission.connections_per_address_max as usize, &admission.exempt_addresses);
    let connections_max = setup.connections_max;
    let plain = http::Options { tls: None, connections_max, per_address, counters: counters.clone() };
    let secure = http::Options { tls: Some(tls), ..plain.clone() };
    let is_admin_remote = !setup.admin.ip().is_loopback();
    let admin_options = if is_admin_remote { secure.clone() } else { plain.clone() };
    let (front, background) = Front::new(setup, counters);
    let public = PublicService { front: front.clone(), is_secure: false };
    let public_secure = PublicService { is_secure: true, ..public.clone() };
    let mut accepting = vec![
        runtime::spawn(http::accept_loop(https, secure, public_secure)),
        runtime::spawn(http::accept_loop(
            admin,
            admin_options,
            AdminService { front: front.clone(), is_remote: is_admin_remote },
        )),
    ];
    if let Some((redirect, _)) = redirect {
        let connections_max = connections_max.min(limits::REDIRECT_CONNECTIONS_MAX);
        let options = http::Options { connections_max, ..plain.clone() };
        let service = RedirectService { front: front.clone(), https_port: https_address.port() };
        accepting.push(runtime::spawn(http::accept_loop(redirect, options, service)));
    }
    if let Some((http, _)) = http {
        accepting.push(runtime::spawn(http::accept_loop(http, plain, public)));
    }
    accepting.push(runtime::spawn(async move {
        while let Ok(reply) = heartbeats.recv_async().await {
            let _ = reply.try_send(());
        }
    }));
    let _ = bound.send(Ok(addresses));

    // An error means that the handle is gone: the same as being asked.
    let _ = stopped.recv_async().await;
    front.begin_stop();
    drop(accepting);
    runtime::timeout(limits::SHUTDOWN_TIME_MAX / 4, front.requests_finished()).await;
    drop(background);
    drop(Rc::clone(&front));
}

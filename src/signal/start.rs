//! Starts signalling: its thread, its listeners, and the services behind them. Nothing else in `signal` names this
//! file.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::admin::{AdminService, Figures};
use super::admission::{Door, PerAddress};
use super::answers::Answers;
use super::authorise::Authorisation;
use super::body::BodyBytes;
use super::changes::Changes;
use super::clock::Clock;
use super::elsewhere::FromElsewhere;
use super::handshake_places::HandshakePlaces;
use super::host_names::HostNames;
use super::http;
use super::ice_tcp::IceTcp;
use super::identity::{self, Identity};
use super::keeper::SessionKeeper;
use super::live::{Change, Live, LiveSettings, Terms};
use super::memory::{self, Memory};
use super::negotiator::Negotiator;
use super::node_info::NodeInfo;
use super::notices;
use super::opening::Opener;
use super::ownership::{Claims, Lost, MakeOwnership, Ownership};
use super::redirect::RedirectService;
use super::resource::Resources;
use super::router::PublicService;
use super::runtime::{self, Listener, RuntimeError, Task};
use super::shutdown::Shutdown;
use super::socket::places::SocketPlaces;
use super::socket::service::SocketService;
use super::tls;
use super::turn_server::TurnServer;
use super::turns::Turns;
use super::workers::Workers;
use crate::auth::Authoriser;
use crate::config::{SignallingThread, Sockets};
use crate::dtls::DtlsIdentity;
use crate::limits;
use crate::metrics::SignallingCounters;
use crate::net::process;
use crate::transport::Announced;
use crate::worker::mailbox::{EndReason, Heartbeat, Notice, WorkerHandle, WorkerIndex};

/// Everything that signalling needs to start.
pub struct Setup {
    /// The cores and the priority of its thread.
    pub thread: SignallingThread,
    /// Where HTTPS is served.
    pub https: SocketAddr,
    /// The certificates of HTTPS.
    pub tls: tls::Certificates,
    /// The names of this machine, in lower case.
    pub host_names: Vec<String>,
    /// Where the same is served in plain HTTP.
    pub http: Option<SocketAddr>,
    /// Where plain HTTP redirects to HTTPS.
    pub http_redirect: Option<SocketAddr>,
    /// Where the operator's endpoints are served: in plain HTTP on loopback, elsewhere over TLS to clients with a
    /// token.
    pub admin: SocketAddr,
    /// The settings that may change later.
    pub live: Live,
    /// The mailbox through which changes of them come.
    pub changes: flume::Receiver<Change>,
    /// Decides who may do what.
    pub authoriser: Authoriser,
    /// The addresses that are put into candidates.
    pub announce: Vec<Announced>,
    /// Whether media may come over TCP on the port of HTTPS (RFC 6544).
    pub ice_tcp: bool,
    /// Whether the TURN server runs there too.
    pub turn: bool,
    /// Whether data channels are taken.
    pub data: bool,
    /// The DTLS certificate of the first sessions.
    pub identity: DtlsIdentity,
    /// The age at which it is replaced for new sessions.
    pub identity_age: Duration,
    /// How many HTTP connections one listener may have.
    pub connections_max: usize,
    /// The bounds of WebSockets.
    pub sockets: Sockets,
    /// Makes the engine that knows which publisher owns which stream's name.
    pub ownership: MakeOwnership,
    /// The workers, by index.
    pub workers: Vec<WorkerHandle>,
    /// The worker that has the links of a cluster's node.
    pub links: Option<WorkerHandle>,
    /// The workers' notices.
    pub notices: flume::Receiver<Notice>,
    /// Answers offers.
    pub negotiator: Box<dyn Negotiator>,
    /// What `GET /api/v1/node` shows about the node.
    pub node: NodeInfo,
}

/// Why signalling cannot start.
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
    /// The executor cannot be made.
    Runtime(RuntimeError),
    /// The thread cannot be started.
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

/// Running signalling.
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

/// The bound addresses and what counts, which the thread reports to [`start`].
type BindResult = Result<(Addresses, SignallingCounters), StartError>;

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
    let (bound_sender, bound) = flume::bounded::<BindResult>(1);
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
        Ok(Ok((Addresses { https, http, http_redirect, admin }, _))) => {
            Ok(Signalling { https, http, http_redirect, admin, stop, heartbeats, thread: Some(thread) })
        }
        Ok(Err(error)) => Err(error),
        Err(flume::RecvError::Disconnected) => Err(StartError::Thread(io::Error::other("it ended at once"))),
    }
}

/// Starts signalling on this thread, which is simulated, and returns once every address is listened on. What the setup says of
/// its own thread is not done. It ends when `stop` is sent to, or dropped, and the returned task then does.
///
/// # Errors
/// When an address cannot be listened on.
#[cfg(feature = "simulation")]
pub async fn start_simulated(setup: Setup) -> Result<Simulated, StartError> {
    use super::runtime::simulated;
    let (stop, stopped) = flume::bounded(1);
    let (heartbeats, heartbeats_receiver) = flume::bounded(1);
    let (bound_sender, bound) = flume::bounded::<BindResult>(1);
    let (over, ended) = flume::bounded(1);
    simulated::spawn_in(simulated::World::Node, async move {
        serve(setup, stopped, heartbeats_receiver, bound_sender).await;
        let _ = over.try_send(());
    })
    .detach();
    let ended_early = |_| StartError::Thread(io::Error::other("it ended at once"));
    let (Addresses { https, http, admin, .. }, counters) = bound.recv_async().await.map_err(ended_early)??;
    Ok(Simulated { https, http, admin, counters, stop, heartbeats, ended })
}

/// Signalling that runs on a simulated thread.
#[cfg(feature = "simulation")]
#[derive(Debug)]
pub struct Simulated {
    /// Where HTTPS is served.
    pub https: SocketAddr,
    /// Where plain HTTP is served.
    pub http: Option<SocketAddr>,
    /// Where the operator's endpoints are served.
    pub admin: SocketAddr,
    /// What it counts.
    pub counters: SignallingCounters,
    /// Stops it.
    pub stop: flume::Sender<()>,
    /// The mailbox for heartbeats.
    pub heartbeats: flume::Sender<Heartbeat>,
    /// Told when it has ended.
    pub ended: flume::Receiver<()>,
}

/// Sets the thread's cores and nice value, so that the workers keep theirs. If the process may not do that, the node
/// serves all the same.
fn place_thread(thread: &SignallingThread) {
    if let Err(error) = process::pin_current_thread(&thread.cores) {
        tracing::warn!(cores = ?thread.cores, %error, "signalling could not be put on its cores");
    }
    if let Err(error) = process::set_thread_nice(thread.nice.into()) {
        tracing::warn!(nice = thread.nice, %error, "signalling could not be given its lower weight");
    }
}

impl Signalling {
    /// Stops accepting connections, gives requests under way a moment to finish, and ends the thread.
    pub fn stop(mut self) {
        let _ = self.stop.try_send(());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by the panic hook.
            let _ = thread.join();
        }
    }

    /// The handle of the thread, for a caller that must know when it ends.
    pub fn take_thread(&mut self) -> Option<JoinHandle<()>> {
        self.thread.take()
    }

    /// The mailbox for heartbeats, which the executor answers. The service manager's watchdog uses it.
    #[must_use]
    pub fn heartbeats(&self) -> flume::Sender<Heartbeat> {
        self.heartbeats.clone()
    }

    /// Asks the thread to end, without waiting for it.
    pub fn request_stop(&self) {
        let _ = self.stop.try_send(());
    }
}

/// A listener, and where it listens.
type Bind = (Listener, SocketAddr);

/// The listeners.
struct Listeners {
    https: Bind,
    http: Option<Bind>,
    http_redirect: Option<Bind>,
    admin: Bind,
}

impl Listeners {
    fn bind(setup: &Setup) -> Result<Self, StartError> {
        let listen = |setting, address| {
            Listener::bind(address)
                .and_then(|listener| listener.local_addr().map(|local| (listener, local)))
                .map_err(|error| StartError::Listen { setting, address, error })
        };
        Ok(Self {
            https: listen("https", setup.https)?,
            http: setup.http.map(|address| listen("http", address)).transpose()?,
            http_redirect: setup.http_redirect.map(|address| listen("http-redirect", address)).transpose()?,
            admin: listen("admin", setup.admin)?,
        })
    }

    fn addresses(&self) -> Addresses {
        let address = |listener: &Option<Bind>| listener.as_ref().map(|(_, address)| *address);
        Addresses {
            https: self.https.1,
            http: address(&self.http),
            http_redirect: address(&self.http_redirect),
            admin: self.admin.1,
        }
    }
}

/// The services of all ports, and the tasks behind them. The tasks end when this is dropped.
struct Services {
    public: PublicService,
    admin: AdminService,
    redirect: RedirectService,
    keeper: Rc<SessionKeeper>,
    ownership: Rc<dyn Ownership>,
    /// Where media goes that comes over TCP on the port of HTTPS.
    ice_tcp: Option<Rc<IceTcp>>,
    turn: Option<Rc<TurnServer>>,
    /// What other nodes ask; they ask it as long as this is there.
    _from_elsewhere: Rc<dyn FromElsewhere>,
    _tasks: Vec<Task>,
}

impl Services {
    /// Puts the parts together. Each gets only what it needs.
    fn new(setup: Setup, counters: &SignallingCounters, https_port: u16) -> Self {
        let clock = Clock::start();
        let terms = Terms::new(setup.live);
        let admission = terms.live.admission.clone();
        let shutdown: Rc<Shutdown> = Rc::default();
        let authorisation = Rc::new(Authorisation::new(setup.authoriser, admission.trusted_proxies.clone()));
        let memory: Rc<Memory> = Rc::default();
        let door = Rc::new(Door::new(&admission, memory.clone()));
        let identity = Rc::new(Identity::new(setup.identity));
        let ownership = (setup.ownership)();
        let elsewhere = ownership.elsewhere();
        let (claims, releasing) = Claims::new(ownership.clone());
        let ice_tcp = setup.ice_tcp.then(|| Rc::new(IceTcp::new(setup.workers.clone())));
        let handshakes = HandshakePlaces::new(setup.workers.len(), &admission.exempt_addresses);
        let (workers, woken) = Workers::new(setup.workers, setup.links, clock);
        let fetch = ownership.fetch();
        let news = fetch.as_ref().map(|fetch| fetch.news());
        let keeper = SessionKeeper::new(terms.bounds(), workers, fetch, counters.clone(), clock);
        keeper.set_plain_clients(terms.live.plain_clients);
        let turn = (setup.ice_tcp && setup.turn).then(|| {
            let (announce, tls, sessions) = (setup.announce.clone(), setup.tls.clone(), keeper.clone());
            let worker_of = move |session| {
                let worker = sessions.worker_of(session)?;
                Some(sessions.workers().handle(worker).clone())
            };
            Rc::new(TurnServer::new(Box::new(worker_of), announce, https_port, tls, counters.clone()))
        });
        let settings = Rc::new(LiveSettings::new(terms));
        let opener = Rc::new(Opener {
            authorisation: authorisation.clone(),
            door: door.clone(),
            handshakes,
            claims,
            answers: Answers::new(
                setup.negotiator,
                identity.clone(),
                setup.announce,
                setup.ice_tcp.then_some(https_port),
                setup.data,
            ),
            keeper: keeper.clone(),
            settings: settings.clone(),
            shutdown: shutdown.clone(),
            counters: counters.clone(),
            clock,
        });
        let resources = Resources {
            opener: opener.clone(),
            keeper: keeper.clone(),
            settings: settings.clone(),
            bodies: BodyBytes::default(),
            turn: turn.clone(),
            node: elsewhere.as_ref().map(|elsewhere| elsewhere.here().to_owned()),
        };
        let sockets = SocketService {
            opener,
            keeper: keeper.clone(),
            settings: settings.clone(),
            places: SocketPlaces::new(&setup.sockets, &admission.exempt_addresses, counters.clone()),
            terms: setup.sockets,
            counters: counters.clone(),
            clock,
            node_version: setup.node.version,
            turn: turn.clone(),
        };
        let is_remote = !setup.admin.ip().is_loopback();
        let names = Rc::new(HostNames::new(setup.host_names, setup.tls.clone()));
        let figures = Figures {
            node: setup.node,
            keeper: keeper.clone(),
            certificates: setup.tls,
            ownership: ownership.clone(),
            clock,
        };

        let changes =
            Changes { settings: settings.clone(), authorisation: authorisation.clone(), door, keeper: keeper.clone() };
        let mut tasks = vec![
            releasing,
            runtime::spawn(notices::hear(keeper.clone(), setup.notices)),
            runtime::spawn(keeper.clone().end_waits()),
            runtime::spawn(memory::watch(memory)),
            runtime::spawn(identity::rotate(identity, setup.identity_age)),
            runtime::spawn(changes.hear(setup.changes)),
        ];
        if let Some(lost) = ownership.lost() {
            tasks.push(runtime::spawn(end_lost(keeper.clone(), lost)));
            tasks.push(runtime::spawn(tell_load(keeper.clone(), ownership.clone())));
        }
        if let Some(news) = news {
            tasks.push(runtime::spawn(notices::hear_fetched(keeper.clone(), news)));
        }
        for (index, woken) in (0..).zip(woken) {
            tasks.push(runtime::spawn(keeper.clone().tell_worker(WorkerIndex(index), woken)));
        }
        let public = PublicService {
            resources: Rc::new(resources),
            sockets: Rc::new(sockets),
            settings: settings.clone(),
            names,
            shutdown: shutdown.clone(),
            counters: counters.clone(),
            is_secure: false,
            elsewhere,
        };
        let from_elsewhere: Rc<dyn FromElsewhere> = Rc::new(public.clone());
        if let Some(elsewhere) = &public.elsewhere {
            elsewhere.serve(Rc::downgrade(&from_elsewhere));
        }
        Self {
            public,
            _from_elsewhere: from_elsewhere,
            admin: AdminService {
                figures: Rc::new(figures),
                authorisation,
                shutdown: shutdown.clone(),
                counters: counters.clone(),
                is_remote,
            },
            redirect: RedirectService { settings, shutdown, counters: counters.clone(), https_port },
            keeper,
            ownership,
            ice_tcp,
            turn,
            _tasks: tasks,
        }
    }

    /// Begins the shutdown: no further session is opened, and sockets are told.
    fn begin_shutdown(&self) {
        self.public.shutdown.begin();
        self.keeper.going_away();
    }

    /// Returns when no request is under way and no socket is open.
    async fn finished(&self) {
        while self.public.shutdown.requests_under_way() > 0 || self.public.sockets.places.count() > 0 {
            runtime::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Ends publishers whose names other nodes have.
async fn end_lost(keeper: Rc<SessionKeeper>, lost: flume::Receiver<Lost>) {
    while let Ok(Lost { session, .. }) = lost.recv_async().await {
        keeper.end(session, EndReason::Replaced);
    }
}

/// Tells the other nodes what this one has to do: as busy as its busiest worker is.
async fn tell_load(keeper: Rc<SessionKeeper>, ownership: Rc<dyn Ownership>) {
    loop {
        let busiest = keeper.workers().reports().await.iter().map(|report| report.busy_permille).max().unwrap_or(0);
        let audience = keeper.audience();
        let sessions = audience.publishers + audience.viewers + audience.waiting_viewers;
        ownership.tell_load(busiest.try_into().unwrap_or(u16::MAX), sessions.try_into().unwrap_or(u32::MAX));
        runtime::sleep(limits::CLUSTER_LEASE_RENEWED).await;
    }
}

/// The executor's main task.
async fn serve(
    setup: Setup,
    stopped: flume::Receiver<()>,
    heartbeats: flume::Receiver<Heartbeat>,
    bound: flume::Sender<BindResult>,
) {
    let ready = Listeners::bind(&setup)
        .and_then(|listeners| Ok((listeners, setup.tls.server_config().map_err(StartError::Tls)?)));
    let (listeners, tls) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            let _ = bound.send(Err(error));
            return;
        }
    };
    let addresses = listeners.addresses();
    let counters = SignallingCounters::new();
    let admission = &setup.live.admission;
    let per_address = PerAddress::of_connections(admission);
    let turns = Turns::new(admission.exempt_connections());
    let plain = http::ListenerOptions {
        tls: None,
        connections_max: setup.connections_max,
        per_address,
        ice_tcp: None,
        turn: None,
        turns: turns.clone(),
        counters: counters.clone(),
    };
    let services = Services::new(setup, &counters, addresses.https.port());
    let _giver = runtime::spawn(turns.give());
    let mut accepting = accept(listeners, &services, tls, &plain);
    accepting.push(runtime::spawn(async move {
        while let Ok(reply) = heartbeats.recv_async().await {
            let _ = reply.try_send(());
        }
    }));
    let _ = bound.send(Ok((addresses, counters)));

    // An error means that the handle was dropped, which is treated like a request to stop.
    let _ = stopped.recv_async().await;
    services.begin_shutdown();
    drop(accepting);
    runtime::timeout(limits::SHUTDOWN_TIME_MAX / 4, services.finished()).await;
    runtime::timeout(limits::CLUSTER_LEAVE_TIME_MAX, services.ownership.leave()).await;
}

/// Accepts connections at each listener until the returned tasks are dropped.
fn accept(
    listeners: Listeners,
    services: &Services,
    tls: Arc<rustls::ServerConfig>,
    plain: &http::ListenerOptions,
) -> Vec<Task> {
    let secure = http::ListenerOptions { tls: Some(futures_rustls::TlsAcceptor::from(tls)), ..plain.clone() };
    let public =
        http::ListenerOptions { ice_tcp: services.ice_tcp.clone(), turn: services.turn.clone(), ..secure.clone() };
    let public_secure = PublicService { is_secure: true, ..services.public.clone() };
    let admin_options = if services.admin.is_remote { secure.clone() } else { plain.clone() };
    let mut accepting = vec![
        runtime::spawn(http::accept_loop(listeners.https.0, public, public_secure)),
        runtime::spawn(http::accept_loop(listeners.admin.0, admin_options, services.admin.clone())),
    ];
    if let Some((redirect, _)) = listeners.http_redirect {
        let connections_max = plain.connections_max.min(limits::REDIRECT_CONNECTIONS_MAX);
        let options = http::ListenerOptions { connections_max, ..plain.clone() };
        accepting.push(runtime::spawn(http::accept_loop(redirect, options, services.redirect.clone())));
    }
    if let Some((http, _)) = listeners.http {
        accepting.push(runtime::spawn(http::accept_loop(http, plain.clone(), services.public.clone())));
    }
    accepting
}

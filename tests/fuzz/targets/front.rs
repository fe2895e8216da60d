//! The real front end for targets that send it bytes, and a worker that says yes. In virtual time an input takes as long as the
//! front's work does, however long it makes a client wait.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use corecast::auth::Authoriser;
use corecast::auth::address::Shown;
use corecast::config::{Admission, Auth, SignallingThread, Sockets, Takeover};
use corecast::dtls::DtlsIdentity;
use corecast::metrics::{Audience, BuildInfo};
use corecast::net::Waker;
use corecast::signal::live::{Change, Live};
use corecast::signal::negotiator::SdpNegotiator;
use corecast::signal::ownership::Book;
use corecast::signal::runtime::simulated::net::{self, Conditions, Stream};
use corecast::signal::runtime::{self, simulated};
use corecast::signal::tls::{CERT_FILE, Certificates};
use corecast::signal::{NodeInfo, Setup, Simulated, start_simulated};
use corecast::worker::mailbox::{Control, Notice, Rekeyed, Totals, WorkerHandle, WorkerIndex};
use corecast::worker::report::WorkerReport;
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

/// What is made once.
struct Made {
    certificates: Certificates,
    client: Arc<rustls::ClientConfig>,
    identity: DtlsIdentity,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let state = tempfile::tempdir().expect("a directory");
        let certificates = Certificates::self_signed(state.path(), &["node.test".to_owned()]).expect("a certificate");
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(state.path().join(CERT_FILE)).expect("the file");
        roots.add(certificate).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut client = client.expect("known versions").with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let identity = DtlsIdentity::generate(SystemTime::now()).expect("an identity");
        Made { certificates, client: Arc::new(client), identity }
    })
}

/// A loop of inputs opens more than any client may.
pub fn admission() -> Admission {
    Admission { joins_per_second_and_token_max: 1_000_000, ..Admission::for_workers(1) }
}

/// A front end on free ports of `any`.
pub fn setup(
    any: SocketAddr,
    authoriser: Authoriser,
    admission: Admission,
    workers: Vec<WorkerHandle>,
    notices: flume::Receiver<Notice>,
    changes: flume::Receiver<Change>,
) -> Setup {
    Setup {
        thread: SignallingThread { cores: vec![0], nice: 0 },
        https: any,
        tls: made().certificates.clone(),
        host_names: vec!["node.test".to_owned()],
        http: Some(any),
        http_redirect: None,
        admin: SocketAddr::from(([127, 0, 0, 1], 0)),
        live: Live {
            public_url: None,
            takeover: Takeover::default(),
            plain_clients: corecast::config::PlainClients::default(),
            cors_origins: vec!["https://www.example.org".to_owned()],
            ice_servers: Vec::new(),
            acme_webroot: None,
            hsts_age: Duration::ZERO,
            waiting_viewers_max: 1_000,
            waiting_time: Duration::from_secs(60),
            admission,
        },
        changes,
        authoriser,
        announce: vec!["192.0.2.1".parse().expect("an address")],
        ice_tcp: true,
        turn: true,
        data: true,
        identity: made().identity.clone(),
        identity_age: Duration::from_secs(3_600),
        connections_max: 1_000,
        sockets: Sockets::default(),
        workers,
        links: None,
        notices,
        negotiator: Box::new(SdpNegotiator),
        ownership: Box::new(|| Rc::new(Book::default())),
        node: NodeInfo::default(),
    }
}

/// A worker that takes every session and lets go of it at once.
pub fn answer(message: Control, notices: &flume::Sender<Notice>) {
    match message {
        Control::Open(open) => {
            let _ = notices.try_send(Notice::Opened { session: open.session, worker: WorkerIndex(0) });
        }
        Control::Close { session, reason } => {
            let _ = notices.try_send(Notice::Ended { session, reason, totals: Totals::default() });
        }
        Control::CloseIfSilent { reply, .. } => _ = reply.try_send(false),
        Control::Report(reply) => _ = reply.try_send(Box::new(WorkerReport::default())),
        Control::Heartbeat(reply) => _ = reply.try_send(()),
        Control::Connect(_) => {}
        Control::Layers { reply, .. } => {
            let _ = reply.try_send(Ok(()));
        }
        Control::Rekey { request, reply } => {
            let _ = reply.try_send(Ok(()));
            let _ = notices.try_send(Notice::Rekeyed { session: request.session, outcome: Rekeyed::Switched });
        }
        Control::Switched { .. } | Control::AbandonRekey { .. } => {}
        Control::RestartIce { .. } | Control::Route { .. } | Control::Select { .. } => {}
        Control::Shutdown => {}
    }
}

/// A front end in virtual time.
pub struct Front(Simulated);

/// Runs `act` with a front end.
pub fn with_front<F: Future>(seed: u64, act: impl FnOnce(Front) -> F) -> F::Output {
    // Made before the clock is another one: certificates are checked by the system's.
    made();
    simulated::run(seed, || async {
        let (_change, changes) = flume::bounded(1);
        let (notices_in, notices) = flume::bounded(4_096);
        let (handle, control) = WorkerHandle::new(WorkerIndex(0), 40_000, Waker::noop());
        let _worker = runtime::spawn(async move {
            while let Ok(message) = control.recv_async().await {
                answer(message, &notices_in);
            }
        });
        let (auth, admission) = (Auth::default(), admission());
        let authoriser = Authoriser::start(&auth, &admission, Shown::Network).expect("nothing to read");
        let any = SocketAddr::from(([192, 0, 2, 1], 0));
        let setup = setup(any, authoriser, admission, vec![handle], notices, changes);
        act(Front(start_simulated(setup).await.expect("free addresses"))).await
    })
    .output
}

impl Front {
    /// A client's plain connection, whose bytes are cut into pieces of at most so many.
    pub async fn plain(&self, client: u8, piece: usize) -> Stream {
        self.connect(client, piece, self.0.http.expect("plain HTTP")).await
    }

    /// A client's connection over TLS, for HTTP/2.
    pub async fn http2(&self, client: u8, piece: usize) -> impl AsyncRead + AsyncWrite + Unpin + use<> {
        let stream = self.connect(client, piece, self.0.https).await;
        let name = ServerName::try_from("node.test").expect("a name");
        let connector = futures_rustls::TlsConnector::from(made().client.clone());
        connector.connect(name, stream).await.expect("a handshake")
    }

    async fn connect(&self, client: u8, piece: usize, to: SocketAddr) -> Stream {
        let conditions = Conditions { segment_bytes_max: piece.max(1), ..Conditions::default() };
        net::connect(IpAddr::from([203, 0, 113, client]), to, conditions).await.expect("a listener").0
    }

    /// One of the figures.
    pub fn figure(&self, name: &str) -> u64 {
        let build = BuildInfo { version: "", commit: "", features: "" };
        let text = self.0.counters.encode(Audience::default(), build, Arc::default());
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_default()
    }

    /// Somebody else is served, whatever was sent.
    pub async fn serves_on(&self) {
        let mut stream = self.plain(2, 65_536).await;
        let request = b"GET / HTTP/1.1\r\nhost: node.test\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("a connection");
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        runtime::timeout(Duration::from_secs(1), reading).await.expect("an answer in time").expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let panicked = self.figure("corecast_http_connections_refused_total{reason=\"panicked\"}");
        assert_eq!(panicked, 0, "a panic, which production catches");
    }
}

/// Writes bytes, then reads for so long at most. Returns what came, and whether the connection ended.
pub async fn exchange(io: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8], time: Duration) -> (Vec<u8>, bool) {
    let (mut reading, mut writing) = futures_util::AsyncReadExt::split(io);
    let mut read = Vec::new();
    let write = async {
        let _ = writing.write_all(bytes).await;
        let _ = writing.flush().await;
        std::future::pending::<()>().await
    };
    let reading = async {
        let mut buffer = [0; 4_096];
        loop {
            match reading.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(len) => read.extend_from_slice(&buffer[..len]),
            }
        }
    };
    let both = futures_util::future::select(Box::pin(reading), Box::pin(write));
    let ended = runtime::timeout(time, both).await.is_some();
    (read, ended)
}

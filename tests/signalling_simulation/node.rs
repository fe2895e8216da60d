//! The node under test: everything of signalling but the thread it runs on.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use corecast::auth::Authoriser;
use corecast::auth::address::Shown;
use corecast::auth::secret::Secret;
use corecast::config::{Admission, Auth, CertificateFiles, SignallingThread, Sockets, Takeover, Tls};
use corecast::dtls::DtlsIdentity;
use corecast::metrics::{Audience, BuildInfo};
use corecast::signal::live::{Change, Live};
use corecast::signal::negotiator::SdpNegotiator;
use corecast::signal::ownership::Book;
use corecast::signal::runtime;
use corecast::signal::runtime::simulated::{World as Whose, spawn_in};
use corecast::signal::tls::{self, Certificates};
use corecast::signal::{NodeInfo, Setup, Simulated, start_simulated};
use futures_util::FutureExt as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::webhook::Endpoint;
use crate::wire::{Answer, Caller, Request, Speech};
use crate::workers::{self, Notices};
use crate::world::World;

/// Who may ask the operator's port, and is exempt from limits by address.
const OPERATOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Where the node listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// What is made once for all runs: it takes time, and no run changes it.
struct Made {
    certificates: Certificates,
    client: Arc<rustls::ClientConfig>,
    identity: DtlsIdentity,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let files = CertificateFiles { cert: directory.path().join("cert.pem"), key: directory.path().join("key.pem") };
        // Its signatures are all of one length, so that a run is the same every time.
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let parameters = rcgen::CertificateParams::new(vec!["node.test".to_owned()]).expect("a name");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        std::fs::write(&files.cert, certificate.pem()).expect("a file");
        std::fs::write(&files.key, key.serialize_pem()).expect("a file");
        let certificates = tls::read(&Tls::Files(vec![files.clone()]), directory.path(), &[], &[]).expect("both files");
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&files.cert).expect("a certificate"))
            .expect("one that can be believed");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("known versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Whether a ticket of another run is there must not matter.
        client.resumption = rustls::client::Resumption::disabled();
        let identity = DtlsIdentity::generate(SystemTime::now()).expect("an identity");
        let certificates = Certificates::new(certificates);
        Made { certificates, client: Arc::new(client), identity }
    })
}

/// How clients talk TLS.
pub(crate) fn client_tls() -> &'static Arc<rustls::ClientConfig> {
    &made().client
}

/// A running node.
pub(crate) struct Node {
    pub(crate) addresses: Addresses,
    pub(crate) signalling: Simulated,
    pub(crate) endpoint: Endpoint,
    pub(crate) notices: Rc<Notices>,
    pub(crate) sockets: Sockets,
    _changes: flume::Sender<Change>,
    world: Rc<World>,
}

impl Node {
    pub(crate) async fn start(world: &Rc<World>) -> Self {
        let scenario = &world.scenario;
        let (workers, heard, notices) = workers::start(world);
        let admission = Admission {
            sessions_per_address_max: scenario.sessions_per_address_max,
            viewers_per_stream_max: scenario.viewers_per_stream_max,
            connections_per_address_max: scenario.connections_max as u32 / 2,
            ..Admission::for_workers(workers.len())
        };
        let auth = Auth {
            require: scenario.has_webhook,
            webhook: scenario.has_webhook.then(|| Secret::new("http://hook.test/authorise")),
            ..Auth::default()
        };
        let endpoint = Endpoint::new(scenario);
        let sleep: corecast::auth::simulated::Sleep = Rc::new(|time| runtime::sleep(time).boxed_local());
        let connect = |config| endpoint.agent(config);
        let (authoriser, tasks) =
            Authoriser::simulated(&auth, &admission, Shown::Network, connect, &sleep).expect("nothing that can fail");
        for task in tasks {
            spawn_in(Whose::Others, task).detach();
        }
        let any = |last| SocketAddr::from(([192, 0, 2, last], 0));
        let (change, changes) = flume::bounded(1);
        let sockets = Sockets { grace: Duration::from_secs(10), ..Sockets::default() };
        let setup = Setup {
            thread: SignallingThread { cores: vec![0], nice: 0 },
            https: any(1),
            tls: made().certificates.clone(),
            host_names: vec!["node.test".to_owned()],
            http: Some(any(1)),
            http_redirect: None,
            admin: SocketAddr::new(OPERATOR, 0),
            changes,
            live: Live {
                public_url: None,
                takeover: Takeover::default(),
                plain_clients: corecast::config::PlainClients::default(),
                cors_origins: Vec::new(),
                ice_servers: Vec::new(),
                acme_webroot: None,
                hsts_age: Duration::ZERO,
                waiting_viewers_max: 100,
                waiting_time: Duration::from_secs(30),
                admission: admission.clone(),
            },
            authoriser,
            announce: vec![IpAddr::from([192, 0, 2, 1]).into()],
            ice_tcp: true,
            turn: false,
            data: true,
            identity: made().identity.clone(),
            identity_age: Duration::from_secs(3_600),
            connections_max: scenario.connections_max,
            sockets: sockets.clone(),
            workers,
            links: None,
            notices: heard,
            negotiator: Box::new(SdpNegotiator),
            ownership: Box::new(|| Rc::new(Book::default())),
            node: NodeInfo { version: "test", commit: "test", features: "none", ..NodeInfo::default() },
        };
        let signalling = start_simulated(setup).await.expect("addresses that are free");
        let addresses =
            Addresses { http: signalling.http.expect("plain HTTP"), https: signalling.https, admin: signalling.admin };
        Self { addresses, signalling, endpoint, notices, sockets, _changes: change, world: world.clone() }
    }

    /// A client on this host, of the operator's port.
    pub(crate) fn operator(&self) -> Caller {
        let addresses = Addresses { http: self.addresses.admin, ..self.addresses };
        Caller { world: self.world.clone(), addresses, address: OPERATOR, speech: Speech::Plain, is_flood: false }
    }

    async fn admin(&self, path: &str) -> Option<Answer> {
        let headers = [("host", "127.0.0.1")];
        let request = Request { method: "GET", path, headers: &headers, body: "" };
        self.operator().ask(request, Duration::from_secs(10)).await
    }

    /// What `/metrics` says: each line's value by its name with labels. Its length depends on the machine, and so does what
    /// comes after it: it is asked when a run's trace has been taken.
    pub(crate) async fn figures(&self) -> BTreeMap<String, f64> {
        figures_in(&self.admin("/metrics").await.map(|answer| answer.body).unwrap_or_default())
    }

    /// What signalling has counted so far.
    pub(crate) fn counts(&self) -> BTreeMap<String, f64> {
        let build = BuildInfo { version: "", commit: "", features: "" };
        figures_in(&self.signalling.counters.encode(Audience::default(), build, Arc::default()))
    }
}

fn figures_in(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figure = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    lines.filter_map(figure).collect()
}

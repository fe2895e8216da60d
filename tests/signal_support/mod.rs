//! A signalling front end on ephemeral ports, with workers that keep a record instead of moving media and a negotiator
//! that reads a word instead of SDP; and a client that says exactly the bytes it is told to.

#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod client;
pub mod layers;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use corecast::auth::Authoriser;
use corecast::auth::address::Shown;
use corecast::config::{Admission, Auth, IceServer, PlainClients, SignallingThread, Sockets, Takeover};
use corecast::description::{
    CodecFormat, Description, Direction, DtlsRole, ExtensionIds, Fingerprint, FingerprintHash, IceCredentials,
    MediaKind, NegotiatedCodec, NegotiatedMedia,
};
use corecast::dtls::DtlsIdentity;
use corecast::net::Waker;
use corecast::signal::live::{Change, Live};
use corecast::signal::negotiator::{Answer, Fragment, LocalParameters, Negotiator, Refused};
use corecast::signal::ownership::{Book, MakeOwnership};
use corecast::signal::{self, NodeInfo, Setup, Signalling, tls};
use corecast::wire::codec::Codec;
use corecast::worker::mailbox::{
    Control, EndReason, Notice, OpenRefused, Origin, RekeyRefused, Rekeyed, SessionId, Totals, WorkerHandle,
    WorkerIndex,
};
use corecast::worker::report::{Traffic, WorkerReport};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

/// What every session here has carried when it ends.
pub const TOTALS: Totals =
    Totals { received: Traffic { packets: 3, bytes: 300 }, sent: Traffic { packets: 5, bytes: 6_000 } };

/// A worker's word that a session is gone.
pub fn ended(session: SessionId, reason: EndReason) -> Notice {
    Notice::Ended { session, reason, totals: TOTALS }
}

/// Longer than anything takes that a test waits for, also where the machine has no time for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How a recording worker answers `Open`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    Accept,
    Full,
    Silent,
}

/// What a node is started with.
pub struct Plan {
    pub workers: Vec<Habit>,
    pub waiting_viewers_max: u32,
    pub waiting_time: Duration,
    pub connections_max: usize,
    pub admission: Admission,
    pub sockets: Sockets,
    pub public_url: Option<String>,
    pub takeover: Takeover,
    pub plain_clients: PlainClients,
    pub cors_origins: Vec<String>,
    pub auth: Auth,
    pub admin: SocketAddr,
    pub ice_servers: Vec<IceServer>,
    pub identity_age: Duration,
    pub ownership: MakeOwnership,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            workers: vec![Habit::Accept; 2],
            waiting_viewers_max: 1_000,
            waiting_time: Duration::from_secs(60),
            connections_max: 1_000,
            admission: Admission::for_workers(2),
            sockets: Sockets::default(),
            public_url: None,
            takeover: Takeover::default(),
            plain_clients: PlainClients::default(),
            cors_origins: Vec::new(),
            auth: Auth::default(),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            ice_servers: Vec::new(),
            identity_age: Duration::from_secs(3_600),
            ownership: Box::new(|| Rc::new(Book::default())),
        }
    }
}

/// A session some worker opened, and the fingerprint of the certificate it was given.
type OpenedOn = (SessionId, [u8; 32]);

/// A running node.
pub struct Node {
    pub signalling: Option<Signalling>,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub admin: SocketAddr,
    /// What the workers were told, as `0 open a play`, `1 close left`, …
    pub told: Arc<Mutex<Vec<String>>>,
    /// Whether the workers find publishers silent.
    pub silent: Arc<AtomicBool>,
    /// Reports that the workers were asked for.
    pub reports: Arc<AtomicUsize>,
    pub notices: flume::Sender<Notice>,
    /// What a reload would tell signalling.
    pub change: flume::Sender<Change>,
    opened: Arc<Mutex<Vec<OpenedOn>>>,
    client_tls: Arc<rustls::ClientConfig>,
    _state: tempfile::TempDir,
}

pub fn start(plan: Plan) -> Node {
    let state = tempfile::tempdir().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificates = tls::Certificates::self_signed(state.path(), &names).unwrap();
    let (change, changes) = flume::bounded(1);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(state.path().join("https-certificate.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client_tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let opened: Arc<Mutex<Vec<OpenedOn>>> = Arc::default();
    let silent: Arc<AtomicBool> = Arc::default();
    let reports: Arc<AtomicUsize> = Arc::default();
    let (notices, receiver) = flume::bounded(4_096);
    let workers = (0..).zip(&plan.workers).map(|(index, habit)| {
        let (handle, control) = WorkerHandle::new(WorkerIndex(index), 40_000 + index, Waker::noop());
        let worker = Recorder {
            index,
            habit: *habit,
            told: told.clone(),
            silent: silent.clone(),
            reports: reports.clone(),
            opened: opened.clone(),
            notices: notices.clone(),
        };
        thread::spawn(move || worker.run(&control));
        handle
    });
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let setup = Setup {
        thread: SignallingThread { cores: vec![0], nice: 0 },
        https: any,
        tls: certificates,
        host_names: vec!["node.test".to_owned()],
        http: Some(any),
        http_redirect: None,
        admin: plan.admin,
        changes,
        authoriser: Authoriser::start(&plan.auth, &plan.admission, Shown::Network).unwrap(),
        live: Live {
            public_url: plan.public_url,
            takeover: plan.takeover,
            plain_clients: plan.plain_clients,
            cors_origins: plan.cors_origins,
            ice_servers: plan.ice_servers,
            acme_webroot: None,
            hsts_age: Duration::ZERO,
            waiting_viewers_max: plan.waiting_viewers_max,
            waiting_time: plan.waiting_time,
            admission: plan.admission,
        },
        announce: vec!["192.0.2.1".parse().unwrap()],
        ice_tcp: true,
        turn: true,
        data: true,
        identity: DtlsIdentity::generate(SystemTime::now()).unwrap(),
        identity_age: plan.identity_age,
        connections_max: plan.connections_max,
        sockets: plan.sockets,
        workers: workers.collect(),
        links: None,
        notices: receiver,
        negotiator: Box::new(Words),
        ownership: plan.ownership,
        node: NodeInfo { version: "test", commit: "test", features: "none", ..NodeInfo::default() },
    };
    let signalling = signal::start(setup).unwrap();
    Node {
        http: signalling.http.unwrap(),
        https: signalling.https,
        admin: signalling.admin,
        signalling: Some(signalling),
        told,
        silent,
        reports,
        opened,
        notices,
        change,
        client_tls: Arc::new(client_tls),
        _state: state,
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(signalling) = self.signalling.take() {
            signalling.stop();
        }
    }
}

impl Node {
    /// One request over plain HTTP/1.1.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        exchange(TcpStream::connect(self.http).unwrap(), &request(method, path, headers, body))
    }

    /// The same over TLS.
    pub fn ask_tls(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        exchange(self.tls_stream(&[b"http/1.1"]), &request(method, path, headers, body))
    }

    pub fn tls_stream(&self, alpn: &[&[u8]]) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        self.tls_to(self.https.port(), alpn)
    }

    fn tls_to(&self, port: u16, alpn: &[&[u8]]) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let mut config = (*self.client_tls).clone();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        rustls::StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    pub fn admin(&self, path: &str) -> Response {
        self.ask_admin(path, &[])
    }

    /// The operator's port, with headers; over TLS where it is served so.
    pub fn ask_admin(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut headers = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "host") {
            headers.push(("host", "127.0.0.1"));
        }
        let request = request("GET", path, &headers, "");
        if self.admin.ip().is_loopback() {
            exchange(TcpStream::connect(self.admin).unwrap(), &request)
        } else {
            exchange(self.tls_to(self.admin.port(), &[b"http/1.1"]), &request)
        }
    }

    /// `GET /api/v1/node`.
    pub fn report(&self) -> serde_json::Value {
        serde_json::from_str(&self.admin("/api/v1/node").body).unwrap()
    }

    /// Opens a session that is expected to open.
    pub fn open(&self, kind: &str, stream: &str) -> Opened {
        let response = self.post(kind, stream, "ok");
        assert_eq!(response.status, 201, "{}", response.body);
        Opened { location: response.header("location"), etag: response.header("etag") }
    }

    pub fn post(&self, kind: &str, stream: &str, offer: &str) -> Response {
        self.ask("POST", &format!("/{kind}/{stream}"), &[("content-type", "application/sdp")], offer)
    }

    pub fn patch(&self, location: &str, if_match: &str, body: &str) -> Response {
        let headers = [("content-type", "application/trickle-ice-sdpfrag"), ("if-match", if_match)];
        self.ask("PATCH", location, &headers, body)
    }

    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// The number of the last session any worker opened.
    pub fn last_session(&self) -> SessionId {
        self.opened.lock().unwrap().last().unwrap().0
    }

    /// The fingerprint of the certificate it was opened with.
    pub fn last_fingerprint(&self) -> [u8; 32] {
        self.opened.lock().unwrap().last().unwrap().1
    }

    /// Waits until a worker was told a line that contains `part`.
    pub fn wait_told(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.told().iter().any(|line| line.contains(part)) {
            assert!(Instant::now() < deadline, "{part:?} is not in {:?}", self.told());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

pub struct Opened {
    pub location: String,
    pub etag: String,
}

/// A worker that writes down what it is told.
struct Recorder {
    index: u16,
    habit: Habit,
    told: Arc<Mutex<Vec<String>>>,
    silent: Arc<AtomicBool>,
    reports: Arc<AtomicUsize>,
    opened: Arc<Mutex<Vec<OpenedOn>>>,
    notices: flume::Sender<Notice>,
}

impl Recorder {
    fn run(&self, control: &flume::Receiver<Control>) {
        while let Ok(message) = control.recv() {
            let line = match message {
                Control::Open(open) => {
                    match self.habit {
                        Habit::Accept => {
                            self.opened.lock().unwrap().push((open.session, open.identity.fingerprint_sha256()));
                            let worker = WorkerIndex(self.index);
                            self.notices.send(Notice::Opened { session: open.session, worker }).unwrap();
                        }
                        Habit::Full => {
                            let refused = Notice::Refused { session: open.session, why: OpenRefused::Full };
                            self.notices.send(refused).unwrap();
                        }
                        Habit::Silent => {}
                    }
                    let direction = match open.description.direction {
                        Direction::Publish => "publish",
                        Direction::Play => "play",
                    };
                    assert_eq!(corecast::placement::worker_of(&open.local_ice.ufrag), Some(WorkerIndex(self.index)));
                    assert!(open.local_ice.password.len() >= 22, "RFC 8445 §5.3: 128 bits");
                    format!("open {} {direction}", open.stream_name)
                }
                Control::Close { session, reason } => {
                    let _ = self.notices.send(ended(session, reason));
                    format!("close {}", reason.name())
                }
                Control::CloseIfSilent { session, reason, reply, .. } => {
                    let silent = self.silent.load(Ordering::SeqCst);
                    if silent {
                        let _ = self.notices.send(ended(session, reason));
                    }
                    let _ = reply.send(silent);
                    format!("close {} if silent", reason.name())
                }
                Control::Rekey { request, reply } => {
                    let answer = match self.silent.load(Ordering::SeqCst) {
                        // A worker that is busy with joins.
                        true => Err(RekeyRefused::Busy),
                        false => Ok(()),
                    };
                    let _ = reply.send(answer);
                    format!("rekey {} {:?}", request.stream_name, answer)
                }
                Control::Switched { session } => {
                    let _ = self.notices.send(Notice::Rekeyed { session, outcome: Rekeyed::Switched });
                    "switched".to_owned()
                }
                Control::AbandonRekey { session } => {
                    let _ = self.notices.send(Notice::Rekeyed { session, outcome: Rekeyed::Abandoned });
                    "abandoned".to_owned()
                }
                Control::RestartIce { remote_ice, .. } => format!("restart {}", remote_ice.ufrag),
                Control::Layers { session, request, reply } => {
                    let told = layers::answer(&request);
                    if let Ok(told) = &told {
                        let _ = self.notices.send(Notice::Layers { session, told: Box::new(told.clone()) });
                    }
                    let _ = reply.send(told.map(drop));
                    format!("layer {:?} shown {:?}", request.choice, request.shown_height)
                }
                Control::Select { session, encoding } => format!("select {session:?} {encoding:?}"),
                Control::Route { origin, audience, .. } => {
                    let origin = origin.map(|origin| match origin {
                        Origin::Worker(worker) => worker,
                        Origin::Node(node) => panic!("{node:?} publishes nothing"),
                    });
                    let audience: Vec<_> = audience.iter().map(|listener| listener.worker).collect();
                    format!("route {origin:?} {audience:?}")
                }
                Control::Report(reply) => {
                    self.reports.fetch_add(1, Ordering::SeqCst);
                    let _ = reply.send(Box::new(WorkerReport { worker: self.index, ..WorkerReport::default() }));
                    continue;
                }
                Control::Connect(accepted) => format!("connect {}", accepted.local_ip),
                Control::Heartbeat(reply) => {
                    let _ = reply.send(());
                    continue;
                }
                Control::Shutdown => return,
            };
            self.told.lock().unwrap().push(format!("{} {line}", self.index));
        }
    }
}

/// A negotiator that takes a word for SDP and `ufrag/password` for a fragment.
struct Words;

impl Negotiator for Words {
    fn answer(&self, offer: &str, direction: Direction, local: &LocalParameters) -> Result<Answer, Refused> {
        let refuse = |status, code, message: &str| Err(Refused { status, code, message: message.to_owned() });
        match offer {
            "no codec" => return refuse(406, "no_common_codec", "offer one of H264, VP8, VP9, AV1 or opus"),
            "no bundle" => return refuse(422, "sdp_not_servable", "offer BUNDLE"),
            "panic" => panic!("a test asked for this panic"),
            "ok" | "sections" | "fingerprint" | "H264" | "VP8" | "H264 and VP8" => {}
            _ => return refuse(400, "bad_sdp", "not SDP"),
        }
        let description = Description {
            direction,
            remote_ice: IceCredentials { ufrag: "first".to_owned(), password: "password".to_owned() },
            remote_fingerprints: vec![Fingerprint { hash: FingerprintHash::Sha256, value: vec![0; 32] }],
            dtls_role: DtlsRole::Server,
            media: codecs_in(offer),
            cname: local.cname.clone(),
            data: None,
        };
        let sdp = match offer {
            "fingerprint" => format!("{:?}", local.fingerprint_sha256),
            "sections" => "v=0\r\nm=audio 9 x\r\na=mid:a0\r\na=candidate:1 1 udp\r\na=end-of-candidates\r\n".to_owned(),
            _ => format!("{} {:?}", local.ice.ufrag, local.candidates),
        };
        Ok(Answer { description, sdp })
    }

    fn fragment(&self, body: &str) -> Result<Fragment, Refused> {
        match body.split_once('/') {
            Some((ufrag, password)) => {
                Ok(Fragment { ice: Some(IceCredentials { ufrag: ufrag.to_owned(), password: password.to_owned() }) })
            }
            None if body == "candidate" => Ok(Fragment { ice: None }),
            None => Err(Refused { status: 400, code: "bad_sdp", message: "not a fragment".to_owned() }),
        }
    }

    fn restart(&self, _: &Description, local: &LocalParameters) -> String {
        format!("new {}", local.ice.ufrag)
    }
}

/// One video section with the codecs that the offer names, if it names any.
fn codecs_in(offer: &str) -> Vec<NegotiatedMedia> {
    let named = [Codec::H264, Codec::Vp8].into_iter().filter(|codec| offer.contains(codec.name()));
    let codecs: Vec<_> = (96..).zip(named).map(|(payload_type, codec)| video_codec(codec, payload_type)).collect();
    if codecs.is_empty() {
        return Vec::new();
    }
    let (mid, extensions) = ("0".to_owned(), ExtensionIds::default());
    vec![NegotiatedMedia {
        kind: MediaKind::Video,
        mid,
        codecs,
        extensions,
        ssrcs: Vec::new(),
        rids: Vec::new(),
        parameter_sets: Vec::new(),
    }]
}

fn video_codec(codec: Codec, payload_type: u8) -> NegotiatedCodec {
    NegotiatedCodec {
        codec,
        format: CodecFormat::Plain,
        payload_type,
        rtx_payload_type: None,
        clock_rate_hz: 90_000,
        nack: true,
        pli: true,
        fir: false,
        transport_cc: false,
        remb: false,
    }
}

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    /// The header's value; empty when it is not there.
    pub fn header(&self, name: &str) -> String {
        let values: Vec<&str> = self.headers.iter().filter(|(have, _)| have == name).map(|(_, v)| v.as_str()).collect();
        values.join(", ")
    }

    /// `code` of a problem.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 5), "says what to do: {problem}");
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// A request as bytes, asking to close afterwards.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        text.push_str("host: node.test\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

/// Sends bytes and reads the answer to its end.
pub fn exchange(mut stream: impl Read + Write, bytes: &[u8]) -> Response {
    // The server may answer and close before all is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.flush();
    let mut answer = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    parse(&answer)
}

fn parse(answer: &[u8]) -> Response {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap_or(0);
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Response { status, headers, body: body.to_owned() }
}

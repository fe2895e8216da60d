//! The program with its log kept, certificates to give it, and a TLS client that shows what it was served.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::honest::Doors;

/// Longer than anything takes that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An authority with one of its own below it, as public ones are.
pub(crate) struct Authority {
    root: String,
    intermediate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let ca = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params
        };
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (root_params, params) = (ca("root"), ca("intermediate"));
        let root = root_params.self_signed(&root_key).unwrap().pem();
        let intermediate = params.signed_by(&key, &Issuer::new(root_params, root_key)).unwrap().pem();
        Self { root, intermediate, issuer: Issuer::new(params, key) }
    }

    /// A chain for `names` and its key, as PEM.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_until(names, 2040)
    }

    /// One that ends with the first day of a year.
    pub(crate) fn issue_until(&self, names: &[&str], year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.pem() + &self.intermediate, key.serialize_pem())
    }

    /// A client that believes this authority alone, and resumes what it may.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A connection whose handshake is done.
pub(crate) fn connect(client: &Arc<ClientConfig>, port: u16, name: &str) -> Tls {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(client.clone(), name).unwrap(), tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream
}

/// What a new client is shown: the chain.
pub(crate) fn served(client: &Arc<ClientConfig>, port: u16, name: &str) -> Vec<CertificateDer<'static>> {
    connect(client, port, name).conn.peer_certificates().unwrap().to_vec()
}

/// The certificates of a PEM text.
pub(crate) fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

/// One request on a connection that stays: status line and headers.
pub(crate) fn get(stream: &mut (impl std::io::Read + std::io::Write), host: &str, path: &str, more: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n").unwrap();
    stream.flush().unwrap();
    let mut reader = BufReader::new(stream);
    let (mut head, mut len) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "closed after {head:?}");
        if let Some(value) = line.strip_prefix("content-length: ") {
            len = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).unwrap();
    assert!(reader.buffer().is_empty());
    head + &String::from_utf8(body).unwrap()
}

/// A running node; killed when it is dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) redirect: Option<SocketAddr>,
    pub(crate) media: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    /// With the configuration in `file`, one worker on the first core.
    pub(crate) fn start(file: &Path, manager: Option<&Path>) -> Self {
        let media_port = crate::ports::free();
        let core = crate::honest::cores()[0].to_string();
        let program = std::env::var_os("CORECAST_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_corecast").into());
        let mut command = Command::new(program);
        command
            .args(["--cores", &core, "--http", "127.0.0.1:0", "--media-ip", "127.0.0.1", "--log-format", "text"])
            .args(["--media-port-base", &media_port.to_string()])
            .arg("--config")
            .arg(file)
            .env("STATE_DIRECTORY", file.parent().unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(manager) = manager {
            command.env("NOTIFY_SOCKET", manager);
        }
        let mut child = command.spawn().unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        let (kept, stderr) = (log.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("Ctrl-C ends it.") {
            assert!(lines.read_line(&mut banner).unwrap() > 0, "the node ended: {banner}{}", log.lock().unwrap());
        }
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let find = |before: &str| -> Option<SocketAddr> {
            let (_, rest) = banner.split_once(before)?;
            rest.split_once("://")?.1.split(['/', ' ']).next()?.parse().ok()
        };
        let media = SocketAddr::from(([127, 0, 0, 1], media_port));
        let (https, http, admin) = (find("Corecast serves"), find("plain HTTP"), find("operator"));
        Self {
            child,
            https: https.unwrap(),
            http: http.unwrap(),
            admin: admin.unwrap(),
            redirect: find("redirect"),
            media,
            log,
        }
    }

    pub(crate) fn doors(&self) -> Doors {
        Doors { http: self.http, media: self.media }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log holds `part`.
    pub(crate) fn wait_logged(&self, part: &str) {
        wait(|| self.log().contains(part), || format!("{part:?} is not in\n{}", self.log()));
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) {
        assert!(Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap().success());
    }
}

/// Waits until `done`.
pub(crate) fn wait(done: impl Fn() -> bool, missing: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{}", missing());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Files of one pair, and the way they are replaced: beside each other and then renamed.
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn of(directory: &Path, stem: &str) -> Self {
        Self { cert: directory.join(format!("{stem}.pem")), key: directory.join(format!("{stem}-key.pem")) }
    }

    pub(crate) fn write(&self, (chain, key): &(String, String)) {
        // The chain first: for a moment it does not fit the key.
        for (path, text) in [(&self.cert, chain), (&self.key, key)] {
            let new = path.with_extension("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, path).unwrap();
        }
    }
}

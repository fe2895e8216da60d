//! The program, for those who attack it or come and go: `$CORECAST_BIN`, else the one built from this tree.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use corecast::config::{Config, Environment, Settings};
use corecast::doctor::memory::Plan;
use serde_json::Value;

use crate::client::{Answer, Http};
use crate::honest::Doors;

/// Limits an attack can reach in seconds.
const LIMITS: &str = "[limits]
sessions_per_worker_max = 5000
sessions_per_address_max = 100
connections_max = 600
connections_per_address_max = 200
waiting_viewers_max = 4000
streams_max = 8
";

/// A node with one worker, on the first core; killed when it is dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) media: SocketAddr,
    /// Bytes it may need at all its limits.
    pub(crate) planned_bytes: u64,
    directory: tempfile::TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::start_at(crate::ports::free(), "")
    }

    /// With this media port; `more` follows the keys of `[media]` in the configuration.
    pub(crate) fn start_at(media_port: u16, more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("node.toml");
        let media = SocketAddr::from(([127, 0, 0, 1], media_port));
        let core = crate::honest::cores()[0];
        let text = format!(
            "https = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\ncores = '{core}'\n\
             [media]\nips = ['127.0.0.1']\nport_base = {media_port}\n{more}[log]\nlevel = 'error'\n{LIMITS}"
        );
        std::fs::write(&file, text).unwrap();
        let environment =
            Environment { allowed_cores: vec![core], home: Some(directory.path().into()), ..Environment::default() };
        let config = Config::load(Some(&file), &Settings::default(), &environment).unwrap();
        let program = std::env::var_os("CORECAST_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_corecast").into());
        let mut child = Command::new(program)
            .arg("--config")
            .arg(&file)
            .env("STATE_DIRECTORY", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("Ctrl-C ends it.") {
            assert!(lines.read_line(&mut banner).unwrap() > 0, "the node ended: {banner}");
        }
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let address = |before: &str, scheme: &str| {
            let (_, rest) = banner.split_once(before).unwrap_or_else(|| panic!("{before} is not in {banner}"));
            let (_, rest) = rest.split_once(scheme).unwrap();
            rest.split(['/', ' ']).next().unwrap().parse().unwrap()
        };
        let https = address("Corecast serves", "https://");
        let (http, admin) = (address("plain HTTP", "http://"), address("operator", "http://"));
        let planned_bytes = Plan::of(&config).bytes();
        Self { child, http, https, admin, media, planned_bytes, directory }
    }

    /// The certificate that it made for itself.
    pub(crate) fn certificate(&self) -> std::path::PathBuf {
        self.directory.path().join("https-certificate.pem")
    }

    pub(crate) fn doors(&self) -> Doors {
        Doors { http: self.http, media: self.media }
    }

    /// `GET /api/v1/node`.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.operator("/api/v1/node").body).unwrap()
    }

    /// What the operator's port answers, on a connection of its own.
    pub(crate) fn operator(&self, path: &str) -> Answer {
        Http::to(self.admin).ask("GET", path, &[], "").expect("the node answers its operator")
    }

    /// A figure of `/metrics`, by name and labels; 0 if it is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.operator("/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or(0.0)
    }

    /// The worker's part of the report.
    pub(crate) fn worker(&self) -> Value {
        self.report()["workers"][0].take()
    }

    /// What the worker dropped for this reason.
    pub(crate) fn dropped(&self, reason: &str) -> u64 {
        self.worker()["dropped"][reason].as_u64().unwrap_or(0)
    }

    /// `VmRSS` and `VmHWM`, in bytes.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    /// Bytes that wait in the kernel for the worker to take them.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        // As the kernel writes it: the address as a number of this machine, and the port.
        let SocketAddr::V4(media) = self.media else { return 0 };
        let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(media.ip().octets()), media.port());
        let sockets = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
        let mut lines = sockets.lines().map(str::split_whitespace);
        let queues = lines.find_map(|mut words| (words.nth(1)? == local).then(|| words.nth(2))?);
        let received = queues.and_then(|queues| queues.split_once(':')).map(|(_, received)| received);
        received.and_then(|received| u64::from_str_radix(received, 16).ok()).unwrap_or(0)
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

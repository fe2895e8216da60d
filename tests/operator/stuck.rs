//! What the node writes to, or asks, is stuck: it serves on, and ends when it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::BINARY;

const OFFER: &str = include_str!("../data/sdp/chromium-play.sdp");

struct Node {
    child: Child,
    /// Its plain HTTP, and its operator's port.
    http: SocketAddr,
    admin: SocketAddr,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    /// Tells it to end, and waits for two seconds, and for what a busy machine keeps either process waiting.
    fn assert_ends(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        let asked = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(asked.elapsed() < Duration::from_secs(7), "SIGTERM does not end it");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Starts a node of one core with `command`.
fn start(command: &mut Command, state: &Path) -> Node {
    let mut child = command
        .args(["--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", "0"])
        .args(["--media-port-base", &crate::ports::free().to_string()])
        .env("STATE_DIRECTORY", state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut banner = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    while !banner.contains("Ctrl-C ends it.") {
        assert!(lines.read_line(&mut banner).unwrap() > 0, "it ended: {banner}");
    }
    let address = |before: &str| {
        let (_, rest) = banner.split_once(before).unwrap().1.split_once("http://").unwrap();
        rest.split(['/', ' ', '\n']).next().unwrap().parse().unwrap()
    };
    Node { child, http: address("plain HTTP"), admin: address("operator") }
}

/// A request that joins as a viewer.
fn join(http: SocketAddr, name: &str) -> String {
    format!(
        "POST /whep/{name} HTTP/1.1\r\nHost: {http}\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{OFFER}",
        OFFER.len()
    )
}

/// The status of a request's answer.
fn status(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Fills a pipe to its last byte, and returns once nothing more goes in.
fn fill(mut pipe: std::io::PipeWriter) {
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    std::thread::spawn(move || {
        while pipe.write(b".").is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = written.load(Ordering::Relaxed);
        if now == before && now > 1_000 {
            return;
        }
        before = now;
    }
}

#[test]
fn a_log_that_nobody_reads_stops_neither_joins_nor_the_end_of_the_node() {
    let state = tempfile::tempdir().unwrap();
    let (unread, log) = std::io::pipe().unwrap();
    let mut command = Command::new(BINARY);
    let node = start(command.args(["--log", "debug"]).stderr(log.try_clone().unwrap()), state.path());
    fill(log);
    // More lines than the queue holds, and joins among them.
    for number in 0..60 {
        assert_eq!(status(node.http, &join(node.http, &format!("stuck{number}"))), "201", "join {number}");
    }
    node.assert_ends();
    drop(unread);
}

/// While more joins than may be asked about at once wait for an answer from outside, the node answers whom it can, and it ends.
fn assert_serves_while_joins_wait(node: Node, token: &str) {
    let (http, admin) = (node.http, node.admin);
    let answered = Arc::new(AtomicU64::new(0));
    for number in 0..60 {
        let request = join(http, &format!("waits{number}"));
        let request = request.replacen("\r\n", &format!("\r\n{token}"), 1);
        let answered = answered.clone();
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(http).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            answered.fetch_add(1, Ordering::Relaxed);
        });
    }
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let mut times: Vec<Duration> = Vec::new();
    while times.len() < 40 {
        let asked = Instant::now();
        assert_eq!(status(admin, &get("/healthz")), "200");
        assert_eq!(status(http, &get("/watch/a")), "200");
        times.push(asked.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    times.sort_unstable();
    assert!(times[20] < Duration::from_millis(500), "half of the answers take longer than {:?}", times[20]);
    assert!(answered.load(Ordering::Relaxed) < 60, "nobody waited: was anything stuck?");
    node.assert_ends();
}

/// The program with this `[auth]`.
fn with_auth(directory: &Path, auth: &str) -> Command {
    let config = directory.join("node.toml");
    std::fs::write(&config, format!("[auth]\n{auth}")).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--config", config.to_str().unwrap()]).stderr(Stdio::null());
    command
}

#[test]
fn an_endpoint_that_accepts_and_says_nothing_holds_up_nobody_but_whom_it_is_asked_about() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    std::thread::spawn(move || silent.incoming().collect::<Vec<_>>());
    // {"alg":"RS256","kid":"x"} and {"exp":9999999999}
    let token = "Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJleHAiOjk5OTk5OTk5OTl9.AAAA\r\n";
    for (auth, token) in [
        (format!("webhook = 'http://127.0.0.1:{port}/hook'\nwebhook_timeout_ms = 10000\n"), ""),
        (format!("jwks = 'http://127.0.0.1:{port}/keys'\n"), token),
    ] {
        let state = tempfile::tempdir().unwrap();
        assert_serves_while_joins_wait(start(&mut with_auth(state.path(), &auth), &state.path().join("state")), token);
    }
}

#[test]
fn a_resolver_that_never_answers_holds_up_nobody_but_whom_the_endpoint_is_asked_about() {
    // It takes every question and answers none.
    let Ok(resolver) = std::net::UdpSocket::bind("127.66.0.53:53") else {
        eprintln!("left out: port 53 cannot be had here (needs root)");
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("resolv.conf");
    std::fs::write(&file, "nameserver 127.66.0.53\n").unwrap();
    // A namespace of its own, in which the node has this file for its resolver's.
    let mounted = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let unshared = |program: &mut Command| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", mounted]).arg(&file).arg(program.get_program()).args(program.get_args());
        command.stderr(Stdio::null());
        command
    };
    if !unshared(&mut Command::new("true")).status().is_ok_and(|status| status.success()) {
        eprintln!("left out: no mount namespace can be made here (needs root)");
        return;
    }
    let authority = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
    let authority = authority.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let ca = state.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let auth = format!(
        "webhook = 'https://hook.corecast-test.example/'\nwebhook_timeout_ms = 10000\nca = '{}'\n",
        ca.display()
    );
    let node = start(&mut unshared(&mut with_auth(state.path(), &auth)), &state.path().join("state"));
    assert_serves_while_joins_wait(node, "");
    resolver.set_nonblocking(true).unwrap();
    assert!(resolver.recv(&mut [0; 512]).is_ok(), "the resolver was asked");
}

/// A control group below this process' own, whose memory can be limited; removed when it is dropped.
struct Group {
    directory: PathBuf,
    limit: &'static str,
    usage: &'static str,
}

impl Group {
    fn new() -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let (root, path, limit, usage) = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            match (fields.next()?, fields.next()?, fields.next()?) {
                (_, "memory", path) => {
                    Some(("/sys/fs/cgroup/memory", path.to_owned(), "memory.limit_in_bytes", "memory.usage_in_bytes"))
                }
                (_, "", path) => Some(("/sys/fs/cgroup", path.to_owned(), "memory.max", "memory.current")),
                _ => None,
            }
        })?;
        let name = format!("corecast-test-{}", std::process::id());
        let directory = Path::new(root).join(path.trim_start_matches('/')).join(name);
        std::fs::create_dir(&directory).ok()?;
        let group = Self { directory, limit, usage };
        group.set_limit(1 << 30).ok()?;
        Some(group)
    }

    fn set_limit(&self, bytes: u64) -> std::io::Result<()> {
        std::fs::write(self.directory.join(self.limit), bytes.to_string())
    }

    fn used(&self) -> u64 {
        std::fs::read_to_string(self.directory.join(self.usage)).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.directory);
    }
}

#[test]
fn a_node_in_a_small_control_group_refuses_joins_before_the_kernel_ends_it() {
    let Some(group) = Group::new() else {
        eprintln!(
            "left out: no control group with a memory limit can be made here (needs root and the memory controller)"
        );
        return;
    };
    let state = tempfile::tempdir().unwrap();
    let config = state.path().join("node.toml");
    std::fs::write(
        &config,
        "[limits]\nwaiting_viewers_max = 100000\nsessions_per_worker_max = 50000\njoins_per_second_max = 100000\n",
    )
    .unwrap();
    // The shell enters the group and becomes the node.
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&group.directory);
    command.args([BINARY, "--config", config.to_str().unwrap()]).stderr(Stdio::null());
    let mut node = start(&mut command, &state.path().join("state"));
    // What a node at rest needs differs from build to build; there is room for 10 MiB of sessions below the line.
    group.set_limit((group.used() + (10 << 20)) * 100 / 85).unwrap();
    let mut statuses = std::collections::BTreeMap::<String, u32>::new();
    // Each opens a session and never connects: 1,324 of them ended a node in 64 MiB.
    for number in 0..20_000 {
        if statuses.get("503").is_some_and(|refused| *refused >= 20) {
            break;
        }
        *statuses.entry(status(node.http, &join(node.http, &format!("full{}", number % 50)))).or_default() += 1;
        assert_eq!(node.child.try_wait().unwrap(), None, "the kernel ended it: {statuses:?}");
    }
    assert!(statuses.contains_key("201") && statuses.contains_key("503"), "{statuses:?}");
    drop(node);
    // The group is empty only when the kernel has taken the process out of it.
    for _ in 0..100 {
        if std::fs::remove_dir(&group.directory).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

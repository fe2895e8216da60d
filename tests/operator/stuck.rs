//! What the node writes to is stuck: it serves on, and ends when it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::BINARY;

const OFFER: &str = include_str!("../data/sdp/chromium-play.sdp");

struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a node of one core with `command`; it, and its plain HTTP.
fn start(command: &mut Command, state: &Path) -> (Node, SocketAddr) {
    let child = command
        .args(["--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", "0"])
        .args(["--media-port-base", &crate::ports::free().to_string()])
        .env("STATE_DIRECTORY", state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut node = Node(child);
    let mut banner = String::new();
    let mut lines = BufReader::new(node.0.stdout.take().unwrap());
    while !banner.contains("Ctrl-C ends it.") {
        assert!(lines.read_line(&mut banner).unwrap() > 0, "it ended: {banner}");
    }
    let (_, rest) = banner.split_once("plain HTTP").unwrap().1.split_once("http://").unwrap();
    (node, rest.split(['/', ' ', '\n']).next().unwrap().parse().unwrap())
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
    let (mut node, http) = start(command.args(["--log", "debug"]).stderr(log.try_clone().unwrap()), state.path());
    fill(log);
    // More lines than the queue holds, and joins among them.
    for number in 0..60 {
        assert_eq!(status(http, &join(http, &format!("stuck{number}"))), "201", "join {number}");
    }
    assert!(Command::new("kill").args(["-TERM", &node.0.id().to_string()]).status().unwrap().success());
    let asked = Instant::now();
    while node.0.try_wait().unwrap().is_none() {
        // Two seconds, and what a busy machine keeps either process waiting.
        assert!(asked.elapsed() < Duration::from_secs(7), "SIGTERM does not end it");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(unread);
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
    let (mut node, http) = start(&mut command, &state.path().join("state"));
    // What a node at rest needs differs from build to build; there is room for 10 MiB of sessions below the line.
    group.set_limit((group.used() + (10 << 20)) * 100 / 85).unwrap();
    let mut statuses = std::collections::BTreeMap::<String, u32>::new();
    // Each opens a session and never connects: 1,324 of them ended a node in 64 MiB.
    for number in 0..20_000 {
        if statuses.get("503").is_some_and(|refused| *refused >= 20) {
            break;
        }
        *statuses.entry(status(http, &join(http, &format!("full{}", number % 50)))).or_default() += 1;
        assert_eq!(node.0.try_wait().unwrap(), None, "the kernel ended it: {statuses:?}");
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

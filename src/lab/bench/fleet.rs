//! The budgets that need real joins: a node of this very program in a process of its own, and the load tester
//! (`corecast-loadtest`, looked for beside this program) with its clients in another. The figures are the node's own,
//! from its operator port.
//!
//! Node and tester share the machine: the node's worker has the first core, the tester's clients the second, signalling
//! and the publisher use what is left. Left out: a run with one core, where the parts could not be told apart.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::budget::{Budget, Wanted};
use super::compare::round;
use crate::net::process;

/// Viewers of a whole and of a quick run.
const VIEWERS: [usize; 2] = [1_000, 200];
/// How many of them begin in a second.
const RAMP: u32 = 100;
/// How long they play before memory is read.
const PLAYED: Duration = Duration::from_secs(30);
/// Viewers that play while others join.
const AUDIENCE: usize = 200;
/// Viewers that join meanwhile.
const STORM: usize = 1_000;
/// Timeout of every step.
const PATIENCE: Duration = Duration::from_secs(60);

/// The three rows.
pub(super) fn rows(quick: bool) -> [Budget; 3] {
    let joined = joins(VIEWERS[usize::from(quick)]);
    let memory = joined.as_ref().map(|joined| (joined.bytes_per_viewer / 1_024.0, joined.memory_note()));
    let cpu = joined.as_ref().map(|joined| (joined.join_us, joined.cpu_note()));
    let storm = storm();
    let storm = storm.as_ref().map(|storm| (storm.ratio(), storm.note()));
    let judge = |name, found: Result<(f64, String), &String>, unit, limits| {
        let (measured, note) = match found {
            Ok((value, note)) => (Some(round(value, 2)), note),
            Err(reason) => (None, reason.clone()),
        };
        Budget::judge(name, measured, unit, Wanted::AtMost, limits, note)
    };
    [
        judge("memory per playing viewer, 30 s after the last joined", memory, "KiB", (16.0, Some(8.0))),
        judge("CPU per complete join, signalling and worker together", cpu, "µs", (660.0, Some(330.0))),
        judge("residence p99.9 in a join storm ÷ max(2 × quiet, quiet + 2 ms)", storm, "", (1.0, None)),
    ]
}

/// What many joins cost.
struct Joins {
    viewers: usize,
    bytes_per_viewer: f64,
    rest_bytes: f64,
    join_us: f64,
    worker_us: f64,
}

impl Joins {
    fn memory_note(&self) -> String {
        format!("{} viewers over HTTPS; {:.1} MiB at rest", self.viewers, self.rest_bytes / 1_048_576.0)
    }

    fn cpu_note(&self) -> String {
        format!(
            "worker {:.0}, signalling {:.0} µs; {} joins",
            self.worker_us,
            self.join_us - self.worker_us,
            self.viewers
        )
    }
}

fn joins(viewers: usize) -> Result<Joins, String> {
    let node = Node::start()?;
    let rest = node.report()?;
    let cpu = node.cpu()?;
    let seconds = PLAYED.as_secs() + 8;
    let mut tester = node.load(&["run", "--viewers-first"], "bench", viewers, RAMP, seconds)?;
    // A report of thousands of sessions costs more than a join, so the first one is requested when all should have
    // joined.
    thread::sleep(Duration::from_secs(viewers as u64 / u64::from(RAMP) + 2));
    let full = node.wait_for(&mut tester, viewers)?;
    let (cpu, worker) = (node.cpu()? - cpu, worker_ns(&full) - worker_ns(&rest));
    thread::sleep(PLAYED);
    let playing = node.report()?;
    tester.wait_to_end()?;
    if playing["viewers"].as_u64() != Some(viewers as u64) {
        return Err(format!("only {} of {viewers} viewers still played", playing["viewers"]));
    }
    let memory = |report: &Value| report["resident_memory_bytes"].as_f64().unwrap_or(f64::NAN);
    Ok(Joins {
        viewers,
        bytes_per_viewer: (memory(&playing) - memory(&rest)) / viewers as f64,
        rest_bytes: memory(&rest),
        join_us: cpu.as_secs_f64() * 1e6 / viewers as f64,
        worker_us: worker / 1e3 / viewers as f64,
    })
}

/// How long packets stayed in the worker, without and with a join storm, in microseconds.
struct Storm {
    quiet_us: f64,
    storm_us: f64,
    joined: usize,
}

impl Storm {
    fn ratio(&self) -> f64 {
        self.storm_us / (2.0 * self.quiet_us).max(self.quiet_us + 2_000.0)
    }

    fn note(&self) -> String {
        format!(
            "to the last of {AUDIENCE} viewers, worst class: quiet {:.0}, while {} others join at 200/s {:.0} µs",
            self.quiet_us, self.joined, self.storm_us
        )
    }
}

fn storm() -> Result<Storm, String> {
    let residence_us = |storm: bool| -> Result<(f64, usize), String> {
        let node = Node::start()?;
        let mut audience = node.load(&["run"], "bench", AUDIENCE, 50, 12)?;
        node.wait_for(&mut audience, AUDIENCE)?;
        let mut joined = 0;
        if storm {
            let mut others = node.load(&["watch"], "elsewhere", STORM, 200, 2)?;
            others.wait_to_end()?;
            joined = STORM;
        }
        audience.wait_to_end()?;
        let report = node.report()?;
        let classes = report["workers"][0]["residence"].as_array().cloned().unwrap_or_default();
        let of_last = classes.iter().filter(|class| class["viewer"] == "last");
        let worst = of_last.filter_map(|class| class["p999_us"].as_f64()).fold(f64::NAN, f64::max);
        Ok((worst, joined))
    };
    let ((quiet_us, _), (storm_us, joined)) = (residence_us(false)?, residence_us(true)?);
    Ok(Storm { quiet_us, storm_us, joined })
}

fn worker_ns(report: &Value) -> f64 {
    report["workers"].as_array().into_iter().flatten().filter_map(|worker| worker["cpu_time_ns"].as_f64()).sum()
}

/// A child process that is killed when it is dropped.
pub(super) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Waits for its end. The load tester's own verdict is ignored; the node's figures count.
    pub(super) fn wait_to_end(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE + PLAYED;
        loop {
            match self.0.try_wait() {
                Ok(Some(status)) if status.code() == Some(2) => return Err("the load tester refused its flags".into()),
                Ok(Some(_)) => return Ok(()),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
                Ok(None) => return Err("the load tester did not end".to_owned()),
                Err(error) => return Err(format!("the load tester is lost: {error}")),
            }
        }
    }
}

/// A node in a process of its own, with its ports and its directory.
pub(super) struct Node {
    // Dropped before its directory is removed.
    process: Process,
    https: SocketAddr,
    admin: SocketAddr,
    tester: PathBuf,
    tester_core: u16,
    directory: Directory,
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // If this fails, only an unused certificate is left in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Node {
    pub(super) fn start() -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program's own path: {error}"))?;
        let tester = program.with_file_name("corecast-loadtest");
        if !tester.exists() {
            let path = tester.display();
            return Err(format!("{path} is missing: cargo build --release --package corecast-loadtest"));
        }
        let cores = process::allowed_cores().unwrap_or_default();
        let [worker_core, tester_core, ..] = cores[..] else {
            return Err("two cores are needed, one for the node and one for its clients".to_owned());
        };
        let failed = |error: io::Error| format!("the node of this bench: {error}");
        let (https, admin) = free_ports().map_err(failed)?;
        let directory =
            Directory(std::env::temp_dir().join(format!("corecast-bench-{}-{}", std::process::id(), https.port())));
        fs::create_dir(&directory.0).map_err(failed)?;
        let media = free_media_port().map_err(failed)?;
        let process = Command::new(program)
            .args(["serve", "--media-ip", "127.0.0.1", "--log", "warn"])
            .args(["--https", &https.to_string(), "--admin", &admin.to_string()])
            .args(["--media-port-base", &media.to_string(), "--cores", &worker_core.to_string()])
            .args([Path::new("--state-directory"), &directory.0])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map(Process)
            .map_err(failed)?;
        let node = Self { process, https, admin, tester, tester_core, directory };
        let deadline = Instant::now() + PATIENCE;
        while node.get("/readyz").is_err() {
            if Instant::now() > deadline {
                return Err("the node of this bench did not start (its messages are above)".to_owned());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(node)
    }

    /// Runs the load tester against this node. Its output is not shown.
    pub(super) fn load(
        &self,
        command: &[&str],
        stream: &str,
        viewers: usize,
        ramp: u32,
        seconds: u64,
    ) -> Result<Process, String> {
        let url = |kind: &str| format!("https://{}/{kind}/{stream}", self.https);
        let mut tester = Command::new(&self.tester);
        tester.args(command).args(["--insecure", "--whep", &url("whep"), "--viewers", &viewers.to_string()]);
        if command.contains(&"run") {
            tester.args(["--whip", &url("whip"), "--bitrate", "500k", "--audio"]);
        }
        tester
            .args(["--ramp", &format!("{ramp}/s"), "--seconds", &seconds.to_string()])
            .args(["--cores", &self.tester_core.to_string()])
            .current_dir(&self.directory.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Process)
            .map_err(|error| format!("{}: {error}", self.tester.display()))
    }

    /// The first report in which this many viewers are connected.
    pub(super) fn wait_for(&self, tester: &mut Process, viewers: usize) -> Result<Value, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.report()?;
            // Viewers, and perhaps their publisher.
            let connected: u64 = report["workers"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|worker| worker["connected"].as_u64())
                .sum();
            let playing = report["viewers"].as_u64().unwrap_or(0);
            if connected >= viewers as u64 && playing >= viewers as u64 {
                return Ok(report);
            }
            if Instant::now() > deadline || !matches!(tester.0.try_wait(), Ok(None)) {
                return Err(format!("only {connected} of {viewers} viewers connected"));
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    pub(super) fn report(&self) -> Result<Value, String> {
        let text = self.get("/api/v1/node").map_err(|error| format!("the node's report: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("the node's report: {error}"))
    }

    /// The body of a `200` answer. HTTP/1.0 without any header is two lines; a client library would be a dependency of
    /// the node for this alone.
    fn get(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
            _ => Err(io::Error::other(answer.lines().next().unwrap_or("no answer").to_owned())),
        }
    }

    /// CPU time of all its threads.
    pub(super) fn cpu(&self) -> Result<Duration, String> {
        let of = |error: io::Error| format!("the node's CPU time: {error}");
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.0.id())).map_err(of)?;
        let mut total = 0;
        for task in tasks.flatten() {
            // The first number is time on a core in nanoseconds. A thread may end meanwhile.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            total += text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(total))
    }
}

/// A port nobody uses, below those that the system gives to any program.
fn free_media_port() -> io::Result<u16> {
    let first = 10_000 + (std::process::id() % 10_000) as u16;
    let free = (first..first + 1_000).find(|&port| UdpSocket::bind(("127.0.0.1", port)).is_ok());
    free.ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))
}

/// Two addresses nobody listens on.
fn free_ports() -> io::Result<(SocketAddr, SocketAddr)> {
    let (first, second) = (TcpListener::bind(("127.0.0.1", 0))?, TcpListener::bind(("127.0.0.1", 0))?);
    Ok((first.local_addr()?, second.local_addr()?))
}

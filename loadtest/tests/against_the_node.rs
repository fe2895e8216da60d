//! The program against the real node, over loopback and in network namespaces: what is sent is received, what is lost
//! is found in the counter of the place that lost it, and the report says so.
//!
//! Cases that need a namespace need root, and say that they were left out without it.

#[path = "../../tests/support/ports.rs"]
mod ports;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

const LOADTEST: &str = env!("CARGO_BIN_EXE_corecast-loadtest");

/// For what comes at once where the machine has time for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The node's program: `$CORECAST_BIN`, else built from this tree, since it belongs to another package and cargo may not
/// have built it for this test. (`tests/run` names it: building it alone chooses other features of its dependencies than
/// building all tests does, and takes minutes.)
fn node_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(program) = std::env::var_os("CORECAST_BIN") {
            return program.into();
        }
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        // With the feature that this package uses the library with: nothing is compiled twice.
        build.args(["build", "--quiet", "--package", "corecast", "--features", "peer", "--bin", "corecast"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the node does not build");
        Path::new(LOADTEST).with_file_name("corecast")
    })
}

/// A node on ports of its own, in this network or in one of its own; killed when the test ends.
struct Node {
    child: Child,
    http: String,
    admin: String,
    _state: tempfile::TempDir,
    in_namespace: bool,
    media_port: u16,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    fn start(in_namespace: bool) -> Self {
        let media_port = ports::free();
        let state = tempfile::tempdir().unwrap();
        let port = media_port.to_string();
        let arguments = [
            "--https",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--media-ip",
            "127.0.0.1",
            "--media-port-base",
            &port,
            "--cores",
            "0",
            "--log",
            "error",
        ];
        let mut command = if in_namespace {
            let mut command = Command::new("unshare");
            command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(node_program());
            command
        } else {
            Command::new(node_program())
        };
        let mut child =
            command.args(arguments).env("STATE_DIRECTORY", state.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("Ctrl-C ends it.") {
            assert!(lines.read_line(&mut banner).unwrap() > 0, "the node ended: {banner}");
        }
        let address = |before: &str| {
            let (_, rest) = banner.split_once(before).unwrap_or_else(|| panic!("{before} is not in {banner}"));
            let (_, rest) = rest.split_once("http://").unwrap();
            rest.split(['/', ' ']).next().unwrap().to_owned()
        };
        let (http, admin) = (address("plain HTTP"), address("operator"));
        // Whatever it says later has a reader.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, http, admin, _state: state, in_namespace, media_port }
    }

    /// A program in the node's network.
    fn beside(&self, program: &str) -> Command {
        if !self.in_namespace {
            return Command::new(program);
        }
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.child.id().to_string(), "--net", program]);
        command
    }

    fn urls(&self) -> [String; 4] {
        let Self { http, .. } = self;
        [
            "--whip".to_owned(),
            format!("http://{http}/whip/test"),
            "--whep".to_owned(),
            format!("http://{http}/whep/test"),
        ]
    }

    /// The node's report, with its worker in it: one that does not run for a while is left out.
    fn report(&self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.report_of_now();
            if report.pointer("/workers/0").is_some() {
                return report;
            }
            assert!(Instant::now() < deadline, "{report}");
        }
    }

    fn report_of_now(&self) -> Value {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        write!(stream, "GET /api/v1/node HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (start, end) = (answer.find("\r\n\r\n").unwrap(), answer.rfind('}').unwrap());
        serde_json::from_str(&answer[start..=end]).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a test; its exit code, its last words and `report.json`.
fn run(node: &Node, arguments: &[&str]) -> (Option<i32>, String, Value) {
    let directory = tempfile::tempdir().unwrap();
    let output: Output = node
        .beside(LOADTEST)
        .arg("run")
        .args(node.urls())
        .args(arguments)
        .arg("--report")
        .arg(directory.path())
        .output()
        .unwrap();
    let words = text(&output.stdout) + &text(&output.stderr);
    let json = std::fs::read(directory.path().join("report.json")).unwrap_or_else(|_| panic!("no report: {words}"));
    let html = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(html.matches("<svg").count() >= 4 && !html.contains("src="), "the page shows plots and refers to nothing");
    (output.status.code(), words, serde_json::from_slice(&json).unwrap())
}

fn number(report: &Value, path: &str) -> i64 {
    report.pointer(path).and_then(Value::as_i64).unwrap_or_else(|| panic!("{path} is not in the report"))
}

fn may_make_namespaces() -> bool {
    let made = Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success());
    if !made {
        eprintln!("left out: a network namespace needs root and util-linux");
    }
    made
}

/// How late a busy machine makes it all is not asked.
const EXACT: [&str; 9] =
    ["--viewers-first", "--audio", "--ramp", "100/s", "--seconds", "3", "--max-latency", "none", "--bitrate"];

#[test]
fn everything_that_is_sent_is_received_and_the_report_says_so() {
    let mut attempts = 0;
    let (code, words, report) = loop {
        let node = Node::start(false);
        let (code, words, report) =
            run(&node, &[&EXACT[..], &["1M", "--viewers", "50", "--verify-fraction", "0.2"]].concat());
        let [sent, due, received] =
            ["sent", "due", "received"].map(|name| number(&report, &format!("/accounts/{name}")));
        assert!(sent > 100, "{sent}");
        assert_eq!(due, sent * 50);
        // Exactly: nothing lost at a viewer's begin or end, nothing twice, nothing forged.
        let forwarded = number(&node.report(), "/workers/0/forwarded/packets");
        assert_eq!(received, forwarded, "the node agrees: {words}");
        for path in ["/accounts/lost", "/counts/duplicates", "/counts/unauthentic", "/counts/unknown"] {
            assert_eq!(number(&report, path), 0, "{path}");
        }
        assert_eq!(number(&report, "/accounts/unseen"), due - received);
        attempts += 1;
        // By its own account the node has sent less: one that did not run meanwhile leaves out what has become old, and
        // begins with the newest sound. What all must get is seen where it ran.
        if forwarded == due || attempts == 5 {
            assert_eq!(forwarded, due, "{words}");
            break (code, words, report);
        }
        eprintln!("the node stood still: once more");
    };
    assert_eq!(code, Some(0), "{words}");
    assert!(words.trim_end().lines().any(|line| line == "PASS"), "{words}");
    assert_eq!(number(&report, "/viewers_with_picture"), 50);
    for name in ["start_to_key_frame", "start_to_first_packet", "start_to_connected"] {
        assert_eq!(number(&report, &format!("/distributions/{name}/count")), 50, "{name}");
    }
    for name in ["video_latency", "audio_latency"] {
        assert!(number(&report, &format!("/distributions/{name}/count")) > 20, "{name}");
        // One clock for both ends, whatever the machine made of it: no other clock is that near.
        assert!(number(&report, &format!("/distributions/{name}/max")) < 10_000_000, "{name}");
    }
    assert!(number(&report, "/counts/sender_reports") >= 50);
}

/// A file with the script of a link.
fn link_file(script: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    file
}

#[test]
fn viewers_behind_links_see_their_picture_later_and_the_report_has_it() {
    let node = Node::start(false);
    let link = link_file("0s rate=20M delay=200ms up.delay=20ms\n");
    let link = link.path().to_str().unwrap();
    let arguments = ["--viewers", "5", "--seconds", "6", "--bitrate", "1M", "--link", link, "--max-latency", "none"];
    let (code, words, report) = run(&node, &arguments);
    assert_eq!(code, Some(0), "{words}");
    assert!(number(&report, "/picture/frames") > 100, "{words}");
    assert_eq!(report.pointer("/picture/encoding_shares"), Some(&serde_json::json!([1.0])), "{words}");
    assert!(words.contains("frames shown") && words.contains("frames by encoding: 0: 100.0 %"), "{words}");
    assert_eq!(number(&report, "/distributions/start_to_live/count"), 5, "{words}");
    // Never sooner than the link lets it.
    assert!(number(&report, "/distributions/video_latency/p50") >= 200_000, "{words}");
    assert!(number(&report, "/distributions/start_to_live/p50") >= 200_000, "{words}");
}

#[test]
fn a_server_that_plays_late_fails_though_it_loses_nothing() {
    let node = Node::start(false);
    let link = link_file("0s delay=1500ms up.delay=10ms\n");
    let link = link.path().to_str().unwrap();
    let (code, words, report) = run(&node, &["--viewers", "2", "--seconds", "7", "--bitrate", "1M", "--link", link]);
    assert_eq!((code, number(&report, "/accounts/lost")), (Some(1), 0), "{words}");
    assert!(words.contains("after it was sent") && words.contains("the line is 1000 ms"), "{words}");
}

#[test]
fn what_a_link_loses_is_told_apart_from_what_the_server_loses() {
    let node = Node::start(false);
    let link = link_file("0s loss=3% delay=5ms\n");
    let link = link.path().to_str().unwrap();
    let arguments = ["--viewers", "5", "--seconds", "5", "--bitrate", "1M", "--link", link, "--max-latency", "none"];
    let (_, words, report) = run(&node, &arguments);
    assert!(number(&report, "/counts/link_lost") > 10 && number(&report, "/counts/recovered") > 10, "{words}");
    assert!(words.contains("of this tester's own --link"), "{words}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_change() {
    let wrong = link_file("0s rate=1M\n10s rate=fast\n");
    let wrong = wrong.path().to_str().unwrap();
    let both = ["run", "--whip", "http://127.0.0.1:1/a", "--whep", "http://127.0.0.1:1/b"];
    for (arguments, expected) in [
        (vec!["--link", wrong], "line 2: rate=fast: must be a rate"),
        (vec!["--simulcast", "--viewers-first"], "leave out one of the two"),
        (vec!["--simulcast", "--rekey", "5"], "may be sent different encodings: leave out one of the two"),
        (vec!["--data", "5", "--rekey", "5"], "messages come by both transports: leave out one of the two"),
    ] {
        let output = Command::new(LOADTEST).args(both).args(arguments).output().unwrap();
        let words = text(&output.stderr);
        assert!(output.status.code() == Some(2) && words.contains(expected), "{words}");
    }
}

#[test]
fn messages_of_a_data_channel_are_counted_by_every_viewer_beside_one_that_never_acknowledges() {
    let node = Node::start(false);
    let pid = node.child.id().to_string();
    let data = ["1M", "--viewers", "20", "--data", "20", "--data-stalled", "1", "--server-pid", &pid];
    let (code, words, report) = run(&node, &[&EXACT[..], &data].concat());
    let [sent, received, lost] = ["sent", "received", "lost"].map(|name| number(&report, &format!("/data/{name}")));
    assert!(sent > 20, "{words}");
    // Nineteen got all of it, the stalled one nothing.
    assert_eq!((received, lost), (sent * 19, 0), "{words}");
    assert_eq!(number(&report, "/data/due"), sent * 20);
    assert_eq!(number(&report, "/counts/data_connected"), 20);
    assert_eq!(number(&report, "/distributions/data_latency/count"), received);
    assert!(number(&report, "/distributions/data_latency/max") < 10_000_000, "{words}");
    assert!(number(&report, "/server/resident_bytes") > number(&report, "/server/resident_bytes_before"), "{words}");
    assert!(words.contains(&format!("{sent} messages sent")) && words.contains("server memory"), "{words}");
    assert_eq!(code, Some(0), "{words}");
    let stored = node.report();
    let channels = stored.pointer("/workers/0/streams/0/channels/0/stored");
    assert!(channels.is_none_or(|stored| stored.as_i64() == Some(sent)), "{stored}");
}

/// Changes of keys by what became of them.
fn rekeys(node: &Node, outcome: &str) -> i64 {
    node.report().pointer(&format!("/workers/0/rekeys/{outcome}")).and_then(Value::as_i64).unwrap_or(0)
}

#[test]
fn viewers_change_their_keys_and_nothing_is_lost_between_two_transports() {
    let node = Node::start(false);
    let pid = node.child.id().to_string();
    let arguments =
        ["--viewers", "60", "--seconds", "3", "--rekey", "6", "--ramp", "100/s", "--bitrate", "300k", "--audio"];
    let (code, words, report) =
        run(&node, &[&arguments[..], &["--max-latency", "none", "--server-pid", &pid]].concat());
    assert_eq!(code, Some(0), "{words}");
    for (name, expected) in [("asked", 60), ("connected", 60), ("changed", 60), ("lost", 0), ("unnumbered", 0)] {
        assert_eq!(number(&report, &format!("/rekeys/{name}")), expected, "{name}: {words}");
    }
    assert_eq!(number(&report, "/distributions/rekey_overlap/count"), 60, "{words}");
    assert_eq!((number(&report, "/viewers_connected"), number(&report, "/viewers_with_picture")), (60, 60), "{words}");
    assert!(words.contains("60 of 60 viewers in 6 s"), "{words}");
    // The node says so too: by the clients' word, and not because ten seconds were over.
    assert_eq!(rekeys(&node, "switched"), 60, "{words}");
    let [before, after] = ["before", "after"].map(|name| number(&report, &format!("/rekeys/resident_{name}")));
    assert!(after <= before + (8 << 20), "{before} bytes before, {after} after: {words}");
}

#[test]
fn keys_change_over_tcp_and_turn_too() {
    for way in ["tcp", "turn-tcp", "turn-tls"] {
        let node = Node::start(false);
        let arguments =
            ["--viewers", "5", "--seconds", "2", "--rekey", "1", "--ramp", "100/s", "--bitrate", "300k", "--audio"];
        let (code, words, report) =
            run(&node, &[&arguments[..], &["--max-latency", "none", "--insecure", "--over", way]].concat());
        assert_eq!(
            (code, number(&report, "/rekeys/changed"), number(&report, "/rekeys/lost")),
            (Some(0), 5, 0),
            "{way}: {words}"
        );
        assert_eq!(rekeys(&node, "switched"), 5, "{way}: {words}");
    }
}

#[test]
fn viewers_over_tcp_and_turn_get_what_is_published_and_the_node_has_them_on_that_path() {
    for way in ["tcp", "turn-tcp", "turn-tls"] {
        let node = Node::start(false);
        let mut tester = Command::new(LOADTEST);
        let arguments = ["--audio", "--ramp", "100/s", "--seconds", "60", "--bitrate", "1M", "--viewers", "10"];
        tester.arg("run").args(node.urls()).args(arguments).args(["--insecure", "--over", way]);
        let directory = tempfile::tempdir().unwrap();
        let mut child = tester.arg("--report").arg(directory.path()).stdout(Stdio::null()).spawn().unwrap();
        let paths = || {
            let report = node.report();
            let sessions = report.pointer("/workers/0/sessions").and_then(Value::as_array).cloned().unwrap_or_default();
            sessions.iter().filter(|session| session["path"] == way).count()
        };
        let deadline = Instant::now() + PATIENCE;
        while paths() < 10 || number(&node.report(), "/workers/0/forwarded/packets") < 5_000 {
            assert!(Instant::now() < deadline, "{way}: {} of 10", paths());
            std::thread::sleep(Duration::from_millis(100));
        }
        // Ctrl-C: a report of what was measured.
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        child.wait().unwrap();
        let json = std::fs::read(directory.path().join("report.json")).unwrap();
        let report: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(number(&report, "/viewers_with_picture"), 10, "{way}");
        let received = number(&report, "/counts/received_video") + number(&report, "/counts/received_audio");
        assert!(received > 4_000, "{way}: {received}");
        for path in ["/counts/duplicates", "/counts/unauthentic", "/counts/unknown", "/counts/ended_early"] {
            assert_eq!(number(&report, path), 0, "{way}: {path}");
        }
    }
}

#[test]
fn what_the_clients_sockets_drop_is_found_in_their_counter_and_blamed_on_the_tester() {
    let node = Node::start(false);
    let (_, words, report) = run(&node, &[&EXACT[..], &["8M", "--viewers", "20", "--socket-buffer", "1"]].concat());
    let dropped = number(&report, "/accounts/socket_drops");
    assert!(dropped > 0, "{words}");
    assert!(number(&report, "/kernel/receive_buffer_errors") >= dropped, "{words}");
    assert!(words.contains("--socket-buffer"), "{words}");
    // A message is one packet or a train of them; most came by retransmission afterwards. What was sent beside (again,
    // reports, handshakes) may be among the dropped too.
    let node = node.report();
    let beside = number(&node, "/workers/0/sent/packets") - number(&node, "/workers/0/forwarded/packets");
    let missed = number(&report, "/counts/missing") + number(&report, "/accounts/unseen");
    assert!(missed > 0 && missed + beside >= dropped, "{missed} and {beside}: {words}");
    assert!(number(&report, "/counts/recovered") > 0, "{words}");
    accounts_balance(&report);
}

#[test]
fn what_a_queue_drops_is_found_in_its_counter() {
    if !may_make_namespaces() {
        return;
    }
    let node = Node::start(true);
    // The publisher's and the viewers' share of 20 × 1 Mbit/s does not fit.
    let limit = ["qdisc", "add", "dev", "lo", "root", "tbf", "rate", "12mbit", "burst", "70kb", "limit", "90kb"];
    assert!(node.beside("tc").args(limit).status().unwrap().success());
    let (code, words, report) = run(&node, &[&EXACT[..], &["1M", "--viewers", "20"]].concat());
    let queue = text(&node.beside("tc").args(["-s", "qdisc", "show", "dev", "lo"]).output().unwrap().stdout);
    let (_, after) = queue.split_once("dropped ").unwrap();
    let dropped: u64 = after.split(',').next().unwrap().parse().unwrap();
    assert!(dropped > 0, "{queue}");
    assert!(number(&report, "/kernel/send_buffer_errors") > 0, "{words}");
    assert_eq!(number(&report, "/accounts/socket_drops"), 0, "{words}");
    assert_eq!(code, Some(1), "{words}");
    assert!(number(&report, "/accounts/lost") + number(&report, "/accounts/unseen") > 0, "{words}");
    accounts_balance(&report);
}

#[test]
fn what_the_node_refuses_is_found_in_its_counter_by_reason() {
    let node = Node::start(false);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..40 {
        stranger.send_to(&[0x80; 100], ("127.0.0.1", node.media_port)).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = node.report();
        let dropped = report.pointer("/workers/0/dropped").unwrap();
        if dropped["unknown_address"] == 40 {
            break;
        }
        assert!(Instant::now() < deadline, "{dropped}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What was due was received, or lost, or never seen; nothing is counted in two places.
fn accounts_balance(report: &Value) {
    let [due, received, lost, unseen] =
        ["due", "received", "lost", "unseen"].map(|name| number(report, &format!("/accounts/{name}")));
    assert_eq!(due, received + lost + unseen);
    assert!(received > 0);
    let [missing, filled] = ["missing", "filled"].map(|name| number(report, &format!("/counts/{name}")));
    assert_eq!(lost, missing - filled);
}

#[test]
fn nothing_to_watch_is_exit_code_1_and_bad_usage_2() {
    let node = Node::start(false);
    let whep = format!("http://{}/whep/nobody", node.http);
    // Time enough to connect for both.
    let output =
        node.beside(LOADTEST).args(["watch", "--whep", &whep, "--viewers", "2", "--seconds", "5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("is somebody publishing"), "{}", text(&output.stdout));
    for (arguments, expected) in [
        (&["watch", "--whep", "nonsense"][..], "nonsense"),
        (&["watch"], "--whep"),
        (&["watch", "--whep", "http://x/y", "--server-pid", "4194305"], "no such process"),
    ] {
        let output = Command::new(LOADTEST).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn ctrl_c_ends_with_the_report_of_what_was_measured() {
    let node = Node::start(false);
    let child = node
        .beside(LOADTEST)
        .arg("run")
        .args(node.urls())
        .args(["--viewers", "5", "--seconds", "60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let streams =
        |report: &Value| (number(report, "/workers/0/connected"), number(report, "/workers/0/forwarded/packets"));
    // The publisher and five viewers, and media to all of them.
    while !matches!(streams(&node.report()), (6.., 500..)) {
        assert!(Instant::now() < deadline, "{:?}", streams(&node.report()));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let started = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(20));
    let words = text(&output.stdout);
    assert!(words.contains("5 of 5 connected") && words.contains("(interrupted)"), "{words}");
    assert_eq!(output.status.code(), Some(0), "{words}");
}

#[test]
fn the_knee_is_the_last_step_that_kept_every_line() {
    let node = Node::start(false);
    let pid = node.child.id().to_string();
    let (code, words, report) = run(
        &node,
        &[
            "--viewers",
            "30",
            "--find-knee",
            "--knee-step",
            "10",
            // Longer than the node can stand still: it must use some time in it.
            "--knee-seconds",
            "3",
            "--ramp",
            "100/s",
            "--server-pid",
            &pid,
            "--bitrate",
            "500k",
        ],
    );
    assert_eq!(code, Some(0), "{words}");
    let steps = report.pointer("/knee/steps").unwrap().as_array().unwrap();
    assert!(!steps.is_empty() && steps.len() <= 3, "{words}");
    let kept =
        steps.iter().filter(|step| step["crossed"].is_null()).map(|step| step["viewers"].as_i64().unwrap()).max();
    assert_eq!(number(&report, "/knee/viewers"), kept.unwrap_or(0));
    assert!(steps[0]["server"]["ns_per_packet"].as_f64().unwrap() > 0.0);
    assert!(words.contains("KNEE "), "{words}");
}

#[test]
fn a_server_that_nobody_here_wrote_can_be_watched() {
    // The interop group's Python environment, where it is installed.
    let python = std::env::var_os("CORECAST_TEST_PYTHON").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/corecast-tests/venv/bin/python"),
        PathBuf::from,
    );
    if !python.exists() {
        eprintln!("left out: aiortc is not installed (tests/run --only interop installs it)");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aiortc_whep.py");
    let mut server = Command::new(python).arg(script).arg("0").stdout(Stdio::piped()).spawn().unwrap();
    let mut whep = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut whep).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(LOADTEST)
        .args(["watch", "--whep", whep.trim(), "--viewers", "3", "--ramp", "5/s", "--seconds", "10"])
        .args(["--verify-fraction", "1", "--report"])
        .arg(directory.path())
        .output();
    let _ = server.kill();
    let _ = server.wait();
    let output = output.unwrap();
    let words = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    let report: Value = serde_json::from_slice(&std::fs::read(directory.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(number(&report, "/viewers_with_picture"), 3, "{words}");
    assert_eq!(number(&report, "/counts/opened"), number(&report, "/accounts/received"), "{words}");
}

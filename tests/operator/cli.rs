//! The program as an operator meets it: help, version, refusals with their exit codes, start and end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::BINARY;

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_reference_and_the_sample_are_printed_without_a_configuration_and_the_sample_is_accepted() {
    let reference = run(&["check-config", "--reference", "--https", "nonsense"]);
    assert!(reference.status.success());
    assert!(text(&reference.stdout).contains("| `https` | `--https ADDR` | `127.0.0.1:8443` |"));
    let sample = run(&["check-config", "--sample"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("corecast.toml");
    std::fs::write(&file, &sample.stdout).unwrap();
    let printed = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(printed(&["check-config", "--config", file.to_str().unwrap()]), printed(&["check-config"]));
}

#[test]
fn help_names_every_flag_and_command() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = text(&output.stdout);
    for word in [
        "serve",
        "check-config",
        "bench",
        "doctor",
        "--config",
        "--https",
        "127.0.0.1:8443",
        "--http ",
        "--admin",
        "127.0.0.1:8444",
        "--media-ip",
        "--media-port-base",
        "20000",
        "--announce",
        "--cores",
        "--io",
        "--tls-cert",
        "--tls-key",
        "--state-directory",
        "--log ",
        "--log-format",
        "--allow-anyone",
        "--version",
    ] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
}

#[test]
fn a_bench_tells_floor_and_relay_of_every_shape_as_json() {
    let output = run(&["bench", "--json", "--quick", "--sink", "null", "--io", "mmsg"]);
    assert!(output.status.success(), "{output:?}");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = result["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{result}");
    for row in rows {
        assert_eq!((&row["sink"], &row["io"], &row["viewers"]), (&"null".into(), &"mmsg".into(), &1_000.into()));
        assert_eq!(row["missing"], 0, "{row}");
        for figure in ["floor_ns", "relay_ns", "ratio"] {
            assert!(row[figure].as_f64().unwrap() > 0.0, "{row}");
        }
    }
    assert!(text(&output.stderr).contains("[2/2]"), "progress is told");
}

#[test]
fn a_bench_with_a_baseline_that_is_not_there_measures_nothing_and_names_the_file() {
    let output = run(&["bench", "--baseline", "no-such-file.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no-such-file.json"), "{output:?}");
    assert_eq!(run(&["bench", "--io", "carrier-pigeon"]).status.code(), Some(2));
}

#[test]
fn version_tells_commit_and_features() {
    let version = text(&run(&["--version"]).stdout);
    assert!(version.starts_with(concat!("corecast ", env!("CARGO_PKG_VERSION"), " (commit ")), "{version}");
    assert!(version.contains("features: "), "{version}");
}

#[test]
fn a_wrong_command_line_or_configuration_is_exit_code_2_and_one_clear_line() {
    for (arguments, expected) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["fly"], "fly"),
        (&["--https", "0.0.0.0:8443"], "--allow-anyone"),
        (&["--https", "nowhere"], "--https = nowhere: must be an IP address and a port"),
        (&["--media-port-base", "70000"], "--media-port-base = 70000: must be ≤ 65536 − number of cores"),
        (&["--media-port-base", "-1"], "--media-port-base = -1: must be ≥ 1"),
        (&["--cores", "9999"], "--cores = 9999: this process may not run on core 9999"),
        (&["--io", "epoll"], "--io = epoll: must be"),
        (&["--log", "loud"], "--log = loud: must be"),
        (&["--config", "/nonexistent/corecast.toml"], "/nonexistent/corecast.toml: cannot be read"),
    ] {
        let output = run(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn check_config_prints_what_would_be_served_with() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("node.toml");
    std::fs::write(&file, "https = '127.0.0.1:1'\n[media]\nport_base = 30000\n").unwrap();
    let output = run(&["check-config", "--config", file.to_str().unwrap(), "--https", "127.0.0.1:2", "--cores", "0"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    for line in
        ["https = \"127.0.0.1:2\"", "port_base = 30000", "cores = \"0\"", "allow_anyone = false", "streams_max = 256"]
    {
        assert!(printed.lines().any(|have| have == line), "{line} is not in\n{printed}");
    }
    assert!(printed.contains("\n# Memory: ") && printed.contains(" packet rings 256 × "), "{printed}");
    // What is printed is a file that says the same.
    let again = state.path().join("printed.toml");
    std::fs::write(&again, &printed).unwrap();
    let output = run(&["check-config", "--config", again.to_str().unwrap()]);
    assert_eq!(text(&output.stdout), printed);
    std::fs::write(&file, "htps = 'x'\n").unwrap();
    let output = run(&["check-config", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("unknown field `htps`"), "{}", text(&output.stderr));
}

/// A node on ephemeral HTTP ports; killed when the test ends early.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(state: &Path, media_port_base: &str, more: &[&str]) -> (Node, String) {
    let child = Command::new(BINARY)
        .args(["--https", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--media-port-base", media_port_base])
        .args(more)
        .env("STATE_DIRECTORY", state)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut node = Node(child);
    let mut banner = String::new();
    let mut lines = BufReader::new(node.0.stdout.take().unwrap());
    while !banner.contains("Ctrl-C ends it.") {
        if lines.read_line(&mut banner).unwrap() == 0 {
            let mut error = String::new();
            node.0.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("it ended: {banner}{error}");
        }
    }
    (node, banner)
}

fn end(mut node: Node, signal: &str) -> (Option<i32>, Duration) {
    assert!(Command::new("kill").args([signal, &node.0.id().to_string()]).status().unwrap().success());
    let begin = Instant::now();
    (node.0.wait().unwrap().code(), begin.elapsed())
}

#[test]
fn it_says_where_to_go_and_both_signals_end_it_in_time() {
    let state = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let port = &crate::ports::free().to_string();
        let (node, banner) = serve(state.path(), port, &["--cores", "0"]);
        for part in ["https://127.0.0.1:", "/whip/NAME", "/whep/NAME", "/metrics", "on core 0", port, "uring"] {
            assert!(banner.contains(part), "{part} is not in\n{banner}");
        }
        let (code, took) = end(node, signal);
        assert_eq!(code, Some(0), "{signal}");
        // Two seconds (`SHUTDOWN_TIME_MAX`), and what a busy machine keeps either process waiting.
        assert!(took < Duration::from_secs(5), "{signal}: {took:?}");
    }
}

#[test]
fn whoever_reads_the_log_may_go_away_and_the_node_serves_on() {
    let state = tempfile::tempdir().unwrap();
    for format in ["text", "json"] {
        let port = &crate::ports::free().to_string();
        let admin = format!("127.0.0.1:{port}");
        let child = Command::new(BINARY)
            .args(["--https", "127.0.0.1:0", "--admin", &admin, "--cores", "0", "--media-port-base", port])
            .args(["--log", "debug", "--log-format", format])
            .env("STATE_DIRECTORY", state.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut node = Node(child);
        // Before its first line.
        drop((node.0.stdout.take(), node.0.stderr.take()));
        let deadline = Instant::now() + Duration::from_secs(20);
        let is_ready = || {
            let mut stream = TcpStream::connect(&admin).ok()?;
            write!(stream, "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        };
        while is_ready().is_none() {
            assert_eq!(node.0.try_wait().unwrap(), None, "{format}: it ended");
            assert!(Instant::now() < deadline, "{format}: it is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Which it logs, too.
        assert_eq!(end(node, "-TERM").0, Some(0), "{format}");
    }
}

#[test]
fn an_address_in_use_is_exit_code_1_and_names_the_setting() {
    let state = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(BINARY)
        .args(["--https", "127.0.0.1:0", "--admin", &address, "--cores", "0", "--media-port-base"])
        .arg(crate::ports::free().to_string())
        .env("STATE_DIRECTORY", state.path())
        .output()
        .unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("admin = {address}: ")) && error.contains("another --admin"), "{error}");
}

/// A seccomp filter as containers have it: `io_uring_setup` (425) answers `EPERM`.
const WITHOUT_IO_URING: &str = "
import ctypes, os, struct, sys
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *rule) for rule in rules))
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('rules', ctypes.c_void_p)]
program = Program(len(rules), ctypes.addressof(code))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn a_forbidden_io_uring_is_a_message_with_the_fix_and_no_panic() {
    let state = tempfile::tempdir().unwrap();
    for io in ["auto", "uring", "mmsg"] {
        let output = Command::new("python3")
            .args(["-c", WITHOUT_IO_URING, BINARY, "--io", io, "--https", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--media-port-base", &crate::ports::free().to_string()])
            .env("STATE_DIRECTORY", state.path())
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{io}: {error}");
        assert!(error.contains("corecast: error: signalling needs io_uring"), "{io}: {error}");
        assert!(error.contains("--io does not help"), "{io}: {error}");
        assert!(!error.contains("panicked"), "{io}: {error}");
    }
}

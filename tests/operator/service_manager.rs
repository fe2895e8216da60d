//! The program under a service manager: what it tells by `sd_notify(3)` and when. The manager here is a socket; that
//! one stuck worker keeps the watchdog's line away is tested beside the code, where a worker can be stuck.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::BINARY;

/// Killed when the test ends early.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn next(manager: &UnixDatagram) -> String {
    let mut datagram = [0; 512];
    let len = manager.recv(&mut datagram).expect("the node tells something in time");
    String::from_utf8(datagram[..len].to_vec()).unwrap()
}

#[test]
fn a_manager_hears_ready_then_the_watchdog_again_and_again_and_stopping_at_the_end() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut node = Node(
        Command::new(BINARY)
            .args(["--https", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--media-port-base"])
            .arg(crate::ports::free().to_string())
            .env("STATE_DIRECTORY", state.path().join("state"))
            .env("NOTIFY_SOCKET", &path)
            // A line every half second: a manager's queue holds ten, and more are dropped while this thread is held up.
            .env("WATCHDOG_USEC", "1000000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut lines: Vec<String> = Vec::new();
    let is_ready = |line: &&String| line.starts_with("READY=1\n");
    // The watchdog's thread starts before READY=1 is sent; the manager takes them in any order.
    while lines.iter().filter(|line| *line == "WATCHDOG=1").count() < 5 || !lines.iter().any(|line| is_ready(&line)) {
        lines.push(next(&manager));
    }
    let ready: Vec<&String> = lines.iter().filter(is_ready).collect();
    assert!(ready.len() == 1 && ready[0].contains("STATUS=serving 127.0.0.1:"), "{lines:?}");
    assert!(Command::new("kill").args(["-TERM", &node.0.id().to_string()]).status().unwrap().success());
    let mut stopping = next(&manager);
    while stopping == "WATCHDOG=1" {
        stopping = next(&manager);
    }
    assert_eq!(stopping, "STOPPING=1\nSTATUS=ending as asked");
    assert_eq!(node.0.wait().unwrap().code(), Some(0));
}

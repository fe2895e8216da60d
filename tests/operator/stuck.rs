//! What the node writes to is stuck: it serves on, and ends when it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
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
    let port = crate::ports::free().to_string();
    let child = Command::new(BINARY)
        .args(["--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log", "debug"])
        .args(["--cores", "0", "--media-port-base", &port])
        .env("STATE_DIRECTORY", state.path())
        .stdout(Stdio::piped())
        .stderr(log.try_clone().unwrap())
        .spawn()
        .unwrap();
    let mut node = Node(child);
    let mut banner = String::new();
    let mut lines = BufReader::new(node.0.stdout.take().unwrap());
    while !banner.contains("Ctrl-C ends it.") {
        assert!(lines.read_line(&mut banner).unwrap() > 0, "it ended: {banner}");
    }
    let (_, rest) = banner.split_once("plain HTTP").unwrap().1.split_once("http://").unwrap();
    let http: SocketAddr = rest.split(['/', ' ', '\n']).next().unwrap().parse().unwrap();
    fill(log);
    // More lines than the queue holds, and joins among them.
    for join in 0..60 {
        let request = format!(
            "POST /whep/stuck{join} HTTP/1.1\r\nHost: {http}\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{OFFER}",
            OFFER.len()
        );
        assert_eq!(status(http, &request), "201", "join {join}");
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

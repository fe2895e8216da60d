//! Ports for a node under test: free ones, and for this test run alone.
//!
//! A node's media ports are configured, so they must be known before it starts. [`free`] takes a block below the range that
//! kernels give out by themselves (Linux: from 32768), locks a file that stands for it, which the kernel unlocks when this
//! process ends however it ends, and sees that every port of it can be bound. Two runs on one host, and the tests of one run,
//! never get the same block; programs that know nothing of this are seen by binding.

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;

/// Ports of a block: as many as a node under test has cores, and some.
const BLOCK: u16 = 16;
const FIRST: u16 = 20_480;
const BLOCKS: u16 = 760;

/// The first of sixteen ports, UDP and TCP, that are this process's until it ends.
pub(crate) fn free() -> u16 {
    /// Kept open: an open file is what holds the lock.
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let uid = fs::metadata("/proc/self").unwrap().uid();
    let directory = std::env::temp_dir().join(format!("corecast-test-ports-{uid}"));
    fs::create_dir_all(&directory).unwrap();
    // Runs begin in different places, so that they seldom ask for the same.
    let begin = (std::process::id() % u32::from(BLOCKS)) as u16;
    for at in 0..BLOCKS {
        let first = FIRST + (begin + at) % BLOCKS * BLOCK;
        let Ok(file) = File::create(directory.join(first.to_string())) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        let is_free = |port| UdpSocket::bind(("0.0.0.0", port)).is_ok() && TcpListener::bind(("0.0.0.0", port)).is_ok();
        if (first..first + BLOCK).all(is_free) {
            HELD.lock().unwrap().push(file);
            return first;
        }
    }
    panic!("no {BLOCK} free ports in a row from {FIRST}");
}

//! The loop of one worker: wait, one round, again. The only place below signalling that waits.

use std::io;

use crate::net::Io;
use crate::time::Timestamp;
use crate::worker::links::link_worker::LinkWorker;
use crate::worker::round::Worker;

/// What the loop goes round.
pub trait Rounds {
    /// One round.
    fn round<I: Io>(&mut self, io: &mut I);

    /// When the next one is due: in the past while there is work.
    fn next_deadline(&self, now: Timestamp) -> Timestamp;

    /// Takes note of a wait.
    fn waited(&mut self, before: Timestamp, after: Timestamp);

    /// Whether it was told to end, and may.
    fn is_finished(&self) -> bool;
}

/// Runs a worker until it was told to end and has ended its sessions.
///
/// # Errors
/// The I/O backend broke; nothing can be served any more.
pub fn run<I: Io>(worker: &mut impl Rounds, io: &mut I) -> io::Result<()> {
    while !worker.is_finished() {
        let before = io.now();
        io.wait(worker.next_deadline(before))?;
        worker.waited(before, io.now());
        worker.round(io);
    }
    Ok(())
}

impl Rounds for Worker {
    fn round<I: Io>(&mut self, io: &mut I) {
        self.round(io);
    }

    fn next_deadline(&self, now: Timestamp) -> Timestamp {
        self.next_deadline(now)
    }

    fn waited(&mut self, before: Timestamp, after: Timestamp) {
        self.waited(before, after);
    }

    fn is_finished(&self) -> bool {
        self.is_finished()
    }
}

impl Rounds for LinkWorker {
    fn round<I: Io>(&mut self, io: &mut I) {
        self.round(io);
    }

    fn next_deadline(&self, now: Timestamp) -> Timestamp {
        self.next_deadline(now)
    }

    fn waited(&mut self, _: Timestamp, _: Timestamp) {}

    fn is_finished(&self) -> bool {
        self.is_finished()
    }
}

//! The loop of one worker: wait, one round, again. The only place below signalling that waits.

use std::io;

use crate::net::Io;
use crate::worker::round::Worker;

/// Runs a worker until it was told to end and has ended its sessions.
///
/// # Errors
/// The I/O backend broke; nothing can be served any more.
pub fn run<I: Io>(worker: &mut Worker, io: &mut I) -> io::Result<()> {
    while !worker.is_finished() {
        let before = io.now();
        io.wait(worker.next_deadline(before))?;
        worker.waited(before, io.now());
        worker.round(io);
    }
    Ok(())
}

//! Where log lines go: a bounded queue with a thread of its own, which writes them to standard error.
//!
//! ```text
//!   any thread ── line ──▶ rate (100/s) ──▶ queue (4,096 lines) ──▶ log thread ──▶ standard error
//!                            │ over it          │ full
//!                            └──── left out ────┘──▶ counted, and told in the log once a second
//! ```
//!
//! A reader of standard error that stops reading stops the log thread and nobody else. Clients cause most lines, so the
//! rate bounds what they can make the node write; errors and what is asked for by `log.level = "debug"` are not bounded by
//! it. Not here: which lines there are ([`super::log`]).

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::limits;
use crate::metrics::log_lines;

/// The target of the log's own line, which no rate holds back.
const OWN_TARGET: &str = module_path!();

/// The queue of this process' log.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// The queue of this process' log; its thread is started with the first call.
pub(super) fn of_process() -> Queue {
    QUEUE.get_or_init(|| Queue::start(Box::new(io::stderr()))).clone()
}

/// Waits until what is in the queue has been written, but not for long: standard error may have no reader.
pub(super) fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(limits::LOG_FLUSH_TIME_MAX);
    }
}

enum Message {
    Line(Vec<u8>),
    /// Everything before it has been written.
    Flushed(flume::Sender<()>),
}

/// The sending side. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    messages: flume::Sender<Message>,
    rate: Arc<Mutex<Rate>>,
}

impl Queue {
    /// Starts the thread that writes to `to`. Without a thread there is no log.
    fn start(to: Box<dyn Write + Send>) -> Self {
        let (messages, next) = flume::bounded(limits::LOG_LINES_MAX);
        let started =
            thread::Builder::new().name("log".to_owned()).stack_size(256 * 1024).spawn(move || write(&next, to));
        drop(started);
        Self { messages, rate: Arc::new(Mutex::new(Rate::new(Instant::now()))) }
    }

    fn put(&self, line: Vec<u8>) {
        if self.messages.try_send(Message::Line(line)).is_err() {
            log_lines::note_left_out();
        }
    }

    fn flush(&self, patience: Duration) {
        let (patience, (done, wait)) = (patience / 2, flume::bounded(1));
        if self.messages.send_timeout(Message::Flushed(done), patience).is_ok() {
            // Not in time: the rest of the log is lost with the process.
            let _ = wait.recv_timeout(patience);
        }
    }
}

/// The log thread: writes, and once a second says how much was left out.
fn write(next: &flume::Receiver<Message>, mut to: Box<dyn Write + Send>) {
    let mut told = 0;
    let mut tell_at = Instant::now() + limits::LOG_TOLD_INTERVAL;
    loop {
        match next.recv_deadline(tell_at) {
            // A line that cannot be written is lost: there is nowhere else to say so.
            Ok(Message::Line(line)) => drop(to.write_all(&line)),
            Ok(Message::Flushed(done)) => drop(done.send(())),
            Err(flume::RecvTimeoutError::Timeout) => {}
            Err(flume::RecvTimeoutError::Disconnected) => return,
        }
        if Instant::now() >= tell_at {
            let all = log_lines::left_out();
            if all > told {
                tracing::warn!(target: OWN_TARGET, lines = all - told, "log lines were left out: there were too many");
                told = all;
            }
            tell_at = Instant::now() + limits::LOG_TOLD_INTERVAL;
        }
    }
}

/// How many lines may be written.
#[derive(Debug)]
struct Rate {
    credit: f64,
    filled_at: Instant,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { credit: limits::LOG_LINES_PER_SECOND_MAX, filled_at: now }
    }

    /// Whether a line may be written at `now`.
    fn takes(&mut self, now: Instant) -> bool {
        let filled = now.saturating_duration_since(self.filled_at).as_secs_f64() * limits::LOG_LINES_PER_SECOND_MAX;
        self.credit = (self.credit + filled).min(limits::LOG_LINES_PER_SECOND_MAX);
        self.filled_at = now;
        let takes = self.credit >= 1.0;
        self.credit -= if takes { 1.0 } else { 0.0 };
        takes
    }
}

/// Writes one line, or leaves it out.
pub(super) struct LineWriter<'a>(Option<&'a Queue>);

impl Write for LineWriter<'_> {
    /// The layer writes each line by one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0 {
            Some(queue) => queue.put(line.to_vec()),
            None => log_lines::note_left_out(),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(Some(self))
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> LineWriter<'a> {
        let is_bounded = matches!(*line.level(), Level::WARN | Level::INFO) && line.target() != OWN_TARGET;
        let takes = !is_bounded || self.rate.lock().unwrap_or_else(PoisonError::into_inner).takes(Instant::now());
        LineWriter(takes.then_some(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_lines_at_once_and_then_a_hundred_per_second_whatever_is_asked_for() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let mut taken = 0;
        for ms in 0..10_000 {
            for _ in 0..20 {
                taken += u32::from(rate.takes(start + Duration::from_millis(ms)));
            }
        }
        assert!((1_095..=1_100).contains(&taken), "{taken} lines in ten seconds");
    }

    #[test]
    fn a_writer_that_blocks_stops_nobody_and_what_does_not_fit_is_counted() {
        /// Blocks until its other end is dropped.
        struct Blocked(flume::Receiver<()>);
        impl Write for Blocked {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(line.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (unblock, blocked) = flume::bounded::<()>(0);
        let queue = Queue::start(Box::new(Blocked(blocked)));
        let before = log_lines::left_out();
        for _ in 0..2 * limits::LOG_LINES_MAX {
            queue.put(b"a line\n".to_vec());
        }
        // One is with the writer.
        assert!(log_lines::left_out() - before >= limits::LOG_LINES_MAX as u64 - 1);
        queue.flush(Duration::from_millis(10));
        drop(unblock);
        queue.flush(Duration::from_secs(60));
        assert!(queue.messages.is_empty());
    }
}

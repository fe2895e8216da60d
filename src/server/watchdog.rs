//! Feeds the service manager's watchdog while media flows: `WATCHDOG=1` is sent only if every worker has answered a
//! heartbeat within half of the manager's interval. If a single one is stuck, nothing is sent, and the manager restarts
//! the node.
//!
//! Signalling is asked too, and its silence is told (log and status), but it does not stop the feeding: a restart would
//! end every viewer's picture because nobody can join. A signalling thread that ends, ends the node by itself.
//!
//! A heartbeat is sent through the mailbox, as all control messages are. A worker answers it in its round, signalling
//! answers on its executor. It costs a worker one message per half interval, and no walk over sessions. A thread that
//! has not answered is not asked again until it has, so that a stuck worker's mailbox does not fill up with heartbeats.

use std::thread;
use std::time::{Duration, Instant};

use super::notify::Notifier;
use crate::worker::mailbox::{Control, Heartbeat, WorkerHandle};

/// One thread that must answer.
pub(super) struct Watched {
    /// As in the log: `worker 3`.
    name: String,
    /// Whether the node is restarted for its silence.
    carries_media: bool,
    ask: Box<dyn Fn(Heartbeat) -> bool + Send>,
    /// The reply channel of a heartbeat that is not answered yet.
    outstanding: Option<flume::Receiver<()>>,
}

impl Watched {
    /// A worker, asked through its mailbox.
    pub(super) fn worker(handle: WorkerHandle) -> Self {
        let name = format!("worker {}", handle.index.0);
        Self::new(name, true, move |heartbeat| handle.try_send(Control::Heartbeat(heartbeat)).is_ok())
    }

    /// Signalling, asked through its own channel.
    pub(super) fn signalling(heartbeats: flume::Sender<Heartbeat>) -> Self {
        Self::new("signalling".to_owned(), false, move |heartbeat| heartbeats.try_send(heartbeat).is_ok())
    }

    fn new(name: String, carries_media: bool, ask: impl Fn(Heartbeat) -> bool + Send + 'static) -> Self {
        Self { name, carries_media, ask: Box::new(ask), outstanding: None }
    }

    /// Sends a heartbeat, unless the last one is not answered yet.
    fn ask(&mut self) {
        if self.outstanding.is_none() {
            let (reply, answer) = flume::bounded(1);
            // The mailbox is full: the heartbeat was not sent, counts as not answered, and is tried again next time.
            self.outstanding = (self.ask)(reply).then_some(answer);
        }
    }

    /// Whether it answers before `deadline`.
    fn answers(&mut self, deadline: Instant) -> bool {
        let answered = self.outstanding.as_ref().is_some_and(|answer| answer.recv_deadline(deadline).is_ok());
        if answered {
            self.outstanding = None;
        }
        answered
    }
}

/// Runs until `stop`'s other end is dropped. `interval` is the manager's.
pub(super) fn run(mut watched: Vec<Watched>, notifier: &Notifier, interval: Duration, stop: &flume::Receiver<()>) {
    let mut silent_before = false;
    loop {
        let deadline = Instant::now() + interval / 2;
        watched.iter_mut().for_each(Watched::ask);
        let silent: Vec<&Watched> =
            watched.iter_mut().filter_map(|one| (!one.answers(deadline)).then_some(&*one)).collect();
        let names = silent.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        let media_flows = !silent.iter().any(|one| one.carries_media);
        match (silent.is_empty(), media_flows) {
            (true, _) if silent_before => notifier.status("serving"),
            (true, _) => {}
            (false, true) => {
                tracing::error!(silent = names, "no answer: nobody can join; media flows, so the watchdog is fed");
                notifier.status(&format!("no answer from {names}: media flows, nobody can join"));
            }
            (false, false) => {
                tracing::error!(silent = names, "no answer: the watchdog is not fed");
                notifier.status(&format!("no answer from {names}"));
            }
        }
        if media_flows {
            notifier.alive();
        }
        silent_before = !silent.is_empty();
        if matches!(stop.recv_deadline(deadline), Err(flume::RecvTimeoutError::Disconnected)) {
            return;
        }
    }
}

/// Starts [`run`] on a thread of its own. The thread ends after the returned sender is dropped.
///
/// # Errors
/// There is no thread.
pub(super) fn start(
    watched: Vec<Watched>,
    notifier: Notifier,
    interval: Duration,
) -> std::io::Result<flume::Sender<()>> {
    let (stop, stopped) = flume::bounded(0);
    thread::Builder::new()
        .name("watchdog".to_owned())
        .stack_size(128 * 1024)
        .spawn(move || run(watched, &notifier, interval, &stopped))?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::net::MediaSockets;
    use crate::worker::mailbox::WorkerIndex;

    /// A mailbox whose reader answers heartbeats while `alive`.
    fn worker(index: u16, alive: &Arc<AtomicBool>) -> Watched {
        let sockets = MediaSockets::open(&["127.0.0.1".parse().unwrap()], 0).unwrap();
        let (handle, control) = WorkerHandle::new(WorkerIndex(index), sockets.port(), sockets.waker());
        let alive = alive.clone();
        thread::spawn(move || {
            let _kept = sockets;
            while let Ok(message) = control.recv() {
                while !alive.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                }
                if let Control::Heartbeat(heartbeat) = message {
                    heartbeat.send(()).unwrap();
                }
            }
        });
        Watched::worker(handle)
    }

    fn next(socket: &std::os::unix::net::UnixDatagram) -> String {
        let mut datagram = [0; 256];
        let len = socket.recv(&mut datagram).unwrap();
        String::from_utf8_lossy(&datagram[..len]).into_owned()
    }

    /// Reads until `count` lines in a row are as wanted. Earlier lines may differ where the machine was stopped for a
    /// while.
    fn wait_for(socket: &std::os::unix::net::UnixDatagram, count: usize, wanted: impl Fn(&str) -> bool) {
        let (mut lines, mut in_a_row) = (Vec::new(), 0);
        while in_a_row < count {
            assert!(lines.len() < 80, "{lines:?}");
            let line = next(socket);
            in_a_row = if wanted(&line) { in_a_row + 1 } else { 0 };
            lines.push(line);
        }
    }

    #[test]
    fn one_stuck_worker_of_three_stops_the_watchdog_until_it_answers_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (well, stuck) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
        let watched = vec![worker(0, &well), worker(1, &stuck), worker(2, &well)];
        // The interval is so long that the manager's socket has room for all messages sent while this thread does not
        // run.
        let stop = start(watched, Notifier::to(&path), Duration::from_millis(500)).unwrap();
        wait_for(&manager, 3, |line| line == "WATCHDOG=1");
        stuck.store(false, Ordering::Relaxed);
        wait_for(&manager, 4, |line| line.starts_with("STATUS=no answer from ") && line.contains("worker 1"));
        stuck.store(true, Ordering::Relaxed);
        let recovered = (0..50).map(|_| next(&manager)).find(|line| !line.starts_with("STATUS=no answer"));
        assert_eq!(recovered.as_deref(), Some("STATUS=serving"));
        assert_eq!(next(&manager), "WATCHDOG=1");
        drop(stop);
    }

    #[test]
    fn signalling_that_is_silent_is_told_and_does_not_end_media() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (heartbeats, _unanswered) = flume::bounded(1);
        let watched = vec![worker(0, &Arc::new(AtomicBool::new(true))), Watched::signalling(heartbeats)];
        let stop = start(watched, Notifier::to(&path), Duration::from_millis(500)).unwrap();
        for _ in 0..3 {
            wait_for(&manager, 1, |line| line == "STATUS=no answer from signalling: media flows, nobody can join");
            wait_for(&manager, 1, |line| line == "WATCHDOG=1");
        }
        drop(stop);
    }

    #[test]
    fn a_full_mailbox_is_no_answer_and_signalling_must_answer_too() {
        let (heartbeats, signalling) = flume::bounded(1);
        let mut watched = Watched::signalling(heartbeats.clone());
        let (blocking, _unread) = flume::bounded(1);
        heartbeats.send(blocking).unwrap();
        watched.ask();
        assert!(!watched.answers(Instant::now() + Duration::from_millis(10)));
        signalling.recv().unwrap();
        watched.ask();
        signalling.recv().unwrap().send(()).unwrap();
        assert!(watched.answers(Instant::now() + Duration::from_secs(10)));
    }
}

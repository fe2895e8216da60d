//! Starts and ends of sessions, sent to the operator's webhook one after the other.
//!
//! An event is sent once, and once more if the connection fails; then it is counted as lost. Signalling never waits for
//! it. Events that do not fit into the queue are dropped and counted (`corecast_webhook_events_dropped_total`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::post;
use crate::auth::secret::Secret;
use crate::limits;
use crate::net::clock;
use crate::worker::report::Traffic;

/// The sending end of the queue. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    queue: flume::Sender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

/// One event, as it is sent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event<'a> {
    pub(crate) event: &'static str,
    pub(crate) request: &'a str,
    pub(crate) action: &'static str,
    pub(crate) stream: &'a str,
    pub(crate) subject: Option<&'a str>,
    pub(crate) session: u64,
    /// Only in an `ended` event.
    #[serde(flatten)]
    pub(crate) end: Option<End>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct End {
    pub(crate) reason: &'static str,
    pub(crate) duration_ms: u64,
    /// What the node received from the client; null if the session ended with its worker.
    pub(crate) received: Option<Traffic>,
    /// What the node sent to the client; null likewise.
    pub(crate) sent: Option<Traffic>,
}

/// Sends one event.
fn send(agent: &ureq::Agent, url: &Secret, body: &[u8], time_max: Duration, lost: &AtomicU64) {
    let told = post(agent, url, body, clock::now() + time_max);
    if !told.is_ok_and(|answer| answer.status().is_success()) {
        lost.fetch_add(1, Ordering::Relaxed);
    }
}

impl Events {
    /// Starts the thread that sends events. It ends when the last clone is dropped and the queue is empty.
    pub(crate) fn start(url: &Secret, time_max: Duration, agent: &ureq::Agent) -> io::Result<Self> {
        let (queue, told) = flume::bounded::<Vec<u8>>(limits::WEBHOOK_EVENTS_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let (url, agent, lost) = (url.clone(), agent.clone(), dropped.clone());
        thread::Builder::new().name("auth-events".to_owned()).stack_size(512 * 1024).spawn(move || {
            while let Ok(body) = told.recv() {
                send(&agent, &url, &body, time_max, &lost);
            }
        })?;
        Ok(Self { queue, dropped })
    }

    /// The same for a simulated thread: the returned future sends the events, each in no real time.
    #[cfg(feature = "simulation")]
    pub(crate) fn simulated(
        url: &Secret,
        time_max: Duration,
        agent: &ureq::Agent,
        sleep: impl AsyncFn(Duration) + 'static,
    ) -> (Self, impl Future<Output = ()> + 'static) {
        let (queue, told) = flume::bounded::<Vec<u8>>(limits::WEBHOOK_EVENTS_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let (url, agent, lost) = (url.clone(), agent.clone(), dropped.clone());
        let sending = async move {
            while let Ok(body) = told.recv_async().await {
                let deadline = clock::now() + time_max;
                let send = || send(&agent, &url, &body, time_max, &lost);
                let ((), took) = clock::simulated::blocking(deadline, send);
                sleep(took).await;
            }
        };
        (Self { queue, dropped }, sending)
    }

    /// Queues an event for sending. If the queue is full, the event is dropped and counted.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        let body = serde_json::to_vec(event).unwrap_or_default();
        if self.queue.try_send(body).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events were dropped or could not be sent.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

//! Signalling: HTTP connections, bodies, waiting, ends; what is told of a node.

use std::time::Duration;

/// Bytes of a request body. A browser's offer with simulcast and every codec is about 12 KB. Longer: 413.
pub const REQUEST_BODY_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a request's head over HTTP/1.1 (hyper's smallest is 8 KiB). Longer: 431.
pub const REQUEST_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Time for a request's head to arrive, the wait on an idle HTTP/1.1 connection included. Later: closed.
pub const REQUEST_HEAD_TIME_MAX: Duration = Duration::from_secs(15);

/// Time for a request's body to arrive. Later: 408.
pub const REQUEST_BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Time for a TLS handshake. Later: closed.
pub const TLS_HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// A connection without a request under way for this long is closed. Clients open a new one for the next PATCH.
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(60);

/// HTTP/2 streams open at once on one connection. More: refused by HTTP/2 itself, and the client waits.
pub const HTTP2_STREAMS_MAX: u32 = 64;

/// HTTP connections of one listener: 4,096 × 35 KiB of TLS state is 140 MiB. More: closed at once, counted.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Bytes of a stream's name. Longer: 400.
pub const STREAM_NAME_BYTES_MAX: usize = 128;

/// Sessions that a report visits in one round of its worker. Each takes about 1.3 µs.
pub const REPORT_SESSIONS_PER_ROUND: usize = 128;

/// Askers that wait for a report that is being made. More get none.
pub const REPORTS_WAITING_MAX: usize = 8;

/// Streams that have a label of their own in `/metrics`, two figures each.
pub const STREAM_LABELS_MAX: usize = 200;

/// How long a report of the workers is shown to everybody who asks, before another one is made.
pub const REPORT_AGE_MAX: Duration = Duration::from_secs(1);

/// How long the workers' answer to `/readyz` holds.
pub const READINESS_AGE_MAX: Duration = Duration::from_millis(250);

/// Time for a worker to answer an `Open` or a `Report`; its rounds are far below a millisecond. Later: 503 and a
/// `Close`, so that a session which did open does not linger.
pub const WORKER_REPLY_TIME_MAX: Duration = Duration::from_secs(2);

/// Time to find out whether a stream's name is free, when several nodes ask one engine. The engine elects a new leader
/// in three seconds; encoders give up a POST after eight. Later: 503, and a claim that is granted after that is given
/// back.
pub const CLAIM_TIME_MAX: Duration = Duration::from_secs(6);

/// Claims of names that wait for an answer, including those whose client has left. More: 503. (Within one process no
/// claim waits.)
pub const CLAIMS_UNDER_WAY_MAX: usize = 1_024;

/// How long the answer to a `DELETE` waits for the session to be gone. Later: answered anyway.
pub const SESSION_CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Sessions of one worker, unless configured. Full: the second choice is asked, then 503.
pub const SESSIONS_PER_WORKER_DEFAULT: u32 = 16_384;

/// Viewers admitted to names that nobody publishes, unless configured. Full: 503. Viewers that lose their publisher
/// stay even above this number; they are bounded by the number of sessions and by [`WAITING_TIME_DEFAULT`].
pub const WAITING_VIEWERS_DEFAULT: u32 = 4_096;

/// Time a viewer waits for a publisher, unless configured. Later: its session ends with the reason `no_publisher`.
pub const WAITING_TIME_DEFAULT: Duration = Duration::from_secs(600);

/// Time the whole node may take to end. Later: it ends without waiting.
pub const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(2);

/// Of [`SHUTDOWN_TIME_MAX`], the time that signalling and workers have to end their sessions.
pub const SHUTDOWN_WORKERS_TIME_MAX: Duration = Duration::from_millis(1_500);

/// Lines of the log that wait to be written. Full: a line is left out, counted and told.
pub const LOG_LINES_MAX: usize = 4_096;

/// Lines of the log per second, and at once after a quiet second. Errors and debugging are not counted. More: left out,
/// counted and told.
pub const LOG_LINES_PER_SECOND_MAX: f64 = 100.0;

/// Restarts of ICE by one session at once. More: 429. A phone that changes between networks restarts once a change.
pub const ICE_RESTARTS_AT_ONCE: u32 = 8;

/// Pause after which a session may restart ICE once more.
pub const ICE_RESTART_PAUSE: Duration = Duration::from_secs(2);

/// Changes of one session's keys at once. More: 429. One in a minute is the most that a node asks for; the others are for
/// those that fail.
pub const REKEYS_AT_ONCE: u32 = 4;

/// Pause after which a session may change its keys once more. Each costs the node a handshake.
pub const REKEY_PAUSE: Duration = Duration::from_secs(15);

/// Requests of one session for other encodings at once. More: 429. A person who tries every entry of a menu makes some.
pub const LAYER_REQUESTS_AT_ONCE: u32 = 16;

/// Pause after which a session may ask for another encoding once more. Each may want a key frame of the publisher.
pub const LAYER_REQUEST_PAUSE: Duration = Duration::from_millis(500);

/// Time for the answer of another node that has the session. Events are waited for in addition.
pub const ELSEWHERE_ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a `GET` of a session's events waits for one; then it is answered without. Shorter than proxies wait for an answer.
pub const EVENTS_WAIT_MAX: Duration = Duration::from_secs(20);

/// Such requests of one session at once; more: the oldest is answered without an event.
pub const EVENTS_WAITING_MAX: usize = 4;

/// Characters of a problem's detail where it quotes what came.
pub const PROBLEM_DETAIL_CHARS_MAX: usize = 300;

/// Of the control group's memory limit: from here on joins are refused.
pub const MEMORY_FULL_PERCENT: u64 = 85;

/// Below this they are taken again.
pub const MEMORY_FREE_PERCENT: u64 = 80;

/// How often the control group's memory is looked at.
pub const MEMORY_WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// How often the log says how many lines were left out.
pub const LOG_TOLD_INTERVAL: Duration = Duration::from_secs(1);

/// How long the end of the node waits for the log to be written.
pub const LOG_FLUSH_TIME_MAX: Duration = Duration::from_millis(300);

const _: () =
    assert!(SHUTDOWN_WORKERS_TIME_MAX.as_millis() + LOG_FLUSH_TIME_MAX.as_millis() < SHUTDOWN_TIME_MAX.as_millis());

/// What a refused client is told to wait before it asks again.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

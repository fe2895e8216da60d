//! Authorisation: how large tokens and key sets may be, how long the operator's endpoint may take, and how often a
//! client may fail.

use std::time::Duration;

use super::{JOINS_PER_SECOND_AND_WORKER_DEFAULT, REQUEST_BODY_TIME_MAX, REQUEST_HEAD_BYTES_MAX};

/// Bytes of a token: an RS256 signature, its header and a kilobyte or two of claims. Longer: 401.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// How much the clocks of issuer and node may differ when `exp` and `nbf` are checked.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(30);

/// Bytes of a subject, an origin or a stream pattern in a token. Longer: 401.
pub const CLAIM_BYTES_MAX: usize = 256;

/// Streams or origins one token names. More: 401.
pub const CLAIM_LIST_MAX: usize = 64;

/// Least bytes of the shared secret: as many as the hash has (RFC 7518 §3.2). Fewer: a start-up error.
pub const SECRET_BYTES_MIN: usize = 32;

/// Most bytes of the shared secret. A longer file is not a secret: a start-up error.
pub const SECRET_BYTES_MAX: usize = 4 * 1024;

/// Bytes of a key set. Longer: the set is refused and the old one stays.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;

/// Keys of a set: a token without a key id is tried with each. More: the set is refused and the old one stays.
pub const JWKS_KEYS_MAX: usize = 32;

/// Time between two fetches of a key set, unless configured.
pub const JWKS_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);

/// Least time between two fetches of a key set that are caused by tokens with an unknown key id. A client that invents
/// ids must not make this node send requests to the issuer. Until then such a token is refused. A set that was never
/// received is requested as often.
pub const JWKS_PAUSE_MIN: Duration = Duration::from_secs(10);

/// Time in which a key set must arrive.
pub const JWKS_TIME_MAX: Duration = Duration::from_secs(5);

/// Tokens that wait for the same fetch of a key set. More: refused.
pub const JWKS_WAITING_MAX: usize = 64;

/// Time the operator's endpoint may take, a repetition included, unless configured. Longer: 503.
pub const WEBHOOK_TIME_DEFAULT: Duration = Duration::from_secs(2);

/// Questions the endpoint is asked at once, a thread each. More wait.
pub const WEBHOOK_IN_FLIGHT_MAX: usize = 32;

/// Questions of one client address (IPv6: of one /64) that are asked at once: half of the threads, so that a crowd at a
/// slow endpoint leaves some for others. More wait.
pub const WEBHOOK_IN_FLIGHT_PER_ADDRESS_MAX: usize = WEBHOOK_IN_FLIGHT_MAX / 2;

/// Questions that wait: a quarter of a second's joins. More: the newest of the address with the most goes, 503, counted.
pub const WEBHOOK_WAITING_MAX: usize = 256;

/// Bytes of the endpoint's answer. Longer: rejected, 503.
pub const WEBHOOK_ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Bytes of a reason that is passed on to the client. More: cut.
pub const WEBHOOK_REASON_BYTES_MAX: usize = 200;

/// Answers that are cached for as long as each allows, a hundred bytes each. Full: no more are cached until some
/// expire.
pub const WEBHOOK_CACHE_MAX: usize = 16_384;

/// Longest time an answer is cached, whatever it allows.
pub const WEBHOOK_CACHE_TIME_MAX: Duration = Duration::from_secs(3_600);

/// Failures in a row after which the endpoint is not asked for [`WEBHOOK_PAUSE`]; meanwhile the answer is 503 at once.
pub const WEBHOOK_FAILURES_MAX: u32 = 5;

/// How long the endpoint is not asked after [`WEBHOOK_FAILURES_MAX`]; then one question tries it. Whoever asks on plays within
/// 5 s of the endpoint's return: this pause, the question that tries it, and what a client waits before it asks again. An
/// endpoint that is down gets a question in 2 s.
pub const WEBHOOK_PAUSE: Duration = Duration::from_secs(2);

/// Events (starts and ends of sessions) that wait to be sent to the endpoint. Full: dropped, counted.
pub const WEBHOOK_EVENTS_MAX: usize = 4_096;

/// Refusals of one client address (IPv6: of one /64) in a window: a carrier's NAT may hold hundreds of viewers whose
/// link has run out. More: 429, and the operator's endpoint is not asked. A valid token is still let in.
pub const AUTH_FAILURES_PER_ADDRESS_MAX: u32 = 128;

/// Refusals of one token in a window. More: 429.
pub const AUTH_FAILURES_PER_TOKEN_MAX: u32 = 16;

/// Length of the window. There is one for all addresses and tokens; it starts with the first failure after the previous
/// window ended.
pub const AUTH_FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// Addresses, and tokens, counted in one window. More: their requests are refused as before, but not counted.
pub const AUTH_FAILURES_TRACKED_MAX: usize = 16_384;

const _: () = assert!(TOKEN_BYTES_MAX * 2 <= REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(AUTH_FAILURES_PER_TOKEN_MAX < AUTH_FAILURES_PER_ADDRESS_MAX);
const _: () = assert!(WEBHOOK_WAITING_MAX * 4 >= JOINS_PER_SECOND_AND_WORKER_DEFAULT as usize);
const _: () = assert!(WEBHOOK_TIME_DEFAULT.as_millis() < JWKS_TIME_MAX.as_millis());
const _: () = assert!(JWKS_TIME_MAX.as_millis() <= REQUEST_BODY_TIME_MAX.as_millis());

//! Who may do what: what a token, a key set and the operator's endpoint may cost, and how often one may fail.

use std::time::Duration;

use super::{JOINS_PER_SECOND_AND_WORKER_DEFAULT, REQUEST_BODY_TIME_MAX, REQUEST_HEAD_BYTES_MAX};

/// Bytes of a token: an RS256 signature, its header and a kilobyte or two of claims. Longer: 401.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// By how much the clocks of issuer and node may differ when `exp` and `nbf` are judged.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(30);

/// Bytes of a subject, an origin or a stream pattern in a token. Longer: 401.
pub const CLAIM_BYTES_MAX: usize = 256;

/// Streams or origins one token names. More: 401.
pub const CLAIM_LIST_MAX: usize = 64;

/// Bytes of the shared secret: as many as the hash has (RFC 7518 §3.2). Fewer: a start-up error.
pub const SECRET_BYTES_MIN: usize = 32;

/// Bytes of the shared secret at most; a longer file is another one. A start-up error.
pub const SECRET_BYTES_MAX: usize = 4 * 1024;

/// Bytes of a key set. Longer: the set is refused and the old one stays.
pub const JWKS_BYTES_MAX: usize = 256 * 1024;

/// Keys of a set: a token without a key id is tried with each. More: the set is refused and the old one stays.
pub const JWKS_KEYS_MAX: usize = 32;

/// Time between two looks at a key set, unless configured.
pub const JWKS_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);

/// Time between two looks at a key set that tokens with an unknown key id cause: whoever invents ids must not make this
/// node knock at the issuer's door. Meanwhile such a token is refused. A set that never came is asked for as often.
pub const JWKS_PAUSE_MIN: Duration = Duration::from_secs(10);

/// Time a key set may take to come.
pub const JWKS_TIME_MAX: Duration = Duration::from_secs(5);

/// Tokens that wait for the same look at a key set. More: refused.
pub const JWKS_WAITING_MAX: usize = 64;

/// Time the operator's endpoint may take, a repetition included, unless configured. Longer: 503.
pub const WEBHOOK_TIME_DEFAULT: Duration = Duration::from_secs(2);

/// Questions the endpoint is asked at once, a thread each. More wait.
pub const WEBHOOK_IN_FLIGHT_MAX: usize = 32;

/// Questions that wait: a quarter of a second's joins. More: 503.
pub const WEBHOOK_WAITING_MAX: usize = 256;

/// Bytes of an answer. Longer: not believed, 503.
pub const WEBHOOK_ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Bytes of a reason that a client is told. More: cut.
pub const WEBHOOK_REASON_BYTES_MAX: usize = 200;

/// Answers that are remembered for as long as they allow, a hundred bytes each. Full: no more are until some are too old.
pub const WEBHOOK_CACHE_MAX: usize = 16_384;

/// Time an answer is remembered, whatever it allows.
pub const WEBHOOK_CACHE_TIME_MAX: Duration = Duration::from_secs(3_600);

/// Failures in a row after which the endpoint is left alone for [`WEBHOOK_PAUSE`]; meanwhile 503 at once.
pub const WEBHOOK_FAILURES_MAX: u32 = 5;

/// How long; then one question tries it.
pub const WEBHOOK_PAUSE: Duration = Duration::from_secs(5);

/// Starts and ends of sessions that wait to be told. Full: dropped, counted.
pub const WEBHOOK_EVENTS_MAX: usize = 4_096;

/// Refusals of one client address (IPv6: of one /64) in a window: a carrier's NAT may hold hundreds of viewers whose
/// link has run out. More: 429, and the operator's endpoint is not asked for it. A good token is let in all the same.
pub const AUTH_FAILURES_PER_ADDRESS_MAX: u32 = 128;

/// Refusals of one token in a window. More: 429.
pub const AUTH_FAILURES_PER_TOKEN_MAX: u32 = 16;

/// The window. It is one for all, and starts with the first failure after the last one ended.
pub const AUTH_FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// Addresses, and tokens, counted in one window. More: those are refused as ever, but not counted.
pub const AUTH_FAILURES_TRACKED_MAX: usize = 16_384;

const _: () = assert!(TOKEN_BYTES_MAX * 2 <= REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(AUTH_FAILURES_PER_TOKEN_MAX < AUTH_FAILURES_PER_ADDRESS_MAX);
const _: () = assert!(WEBHOOK_WAITING_MAX * 4 >= JOINS_PER_SECOND_AND_WORKER_DEFAULT as usize);
const _: () = assert!(WEBHOOK_TIME_DEFAULT.as_millis() < JWKS_TIME_MAX.as_millis());
const _: () = assert!(JWKS_TIME_MAX.as_millis() <= REQUEST_BODY_TIME_MAX.as_millis());

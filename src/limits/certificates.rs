//! Certificates: how large their files may be, how often they are checked, and the port that answers ACME challenges
//! and redirects.

use std::time::Duration;

use super::{CONNECTION_IDLE_MAX, DATAGRAM_OUT_BYTES_MAX};

/// Certificates served, one per name or kind of key. More: a start-up error.
pub const CERTIFICATES_MAX: usize = 256;

/// Bytes of a chain or a key file: a chain of RSA-4096 certificates is 8 KB. A longer file is not one of these:
/// refused.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Names kept of one certificate (authorities sign at most 100). More: not found by name.
pub const CERTIFICATE_NAMES_MAX: usize = 256;

/// Pause between two checks of the files' times (a `stat` of each). A renewal is served at most this long after it was
/// written, or twice as long where key and chain are not written together.
pub const CERTIFICATE_LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A certificate with less time left than this (or than a third of its lifetime, where that is shorter) should have
/// been renewed: ACME clients renew 30 days before the end. A warning is logged once a day.
pub const CERTIFICATE_LEFT_MIN: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Pause between two of those warnings.
pub const CERTIFICATE_WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

/// TLS sessions that may be resumed, some 200 bytes each. Full: the oldest needs a full handshake.
pub const TLS_SESSIONS_KEPT: usize = 4_096;

/// Bytes of a challenge's token, which is also the name of its file: authorities send 43 (RFC 8555 §8.1 asks for 128
/// bits). Longer: 404.
pub const ACME_TOKEN_BYTES_MAX: usize = 128;

/// Bytes of the answer to a challenge: the token, a dot, and a SHA-256 in base64url. A longer file is not an answer:
/// 404.
pub const ACME_ANSWER_BYTES_MAX: u64 = 1_024;

/// HTTP connections of the port that redirects; each makes one request. More: closed at once, counted.
pub const REDIRECT_CONNECTIONS_MAX: usize = 512;

/// How long browsers are told to use HTTPS only (HSTS), unless configured, where the plain port redirects: one year.
pub const HSTS_AGE_DEFAULT: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Hours after which new sessions get a new DTLS certificate, unless configured. Browsers make one per connection; a
/// node's fingerprint need not outlive a day.
pub const DTLS_CERTIFICATE_AGE_DEFAULT_H: u32 = 24;

/// The most hours that may be configured: a certificate is valid for two years, and a session that opens on its last
/// day of use may run for one more year.
pub const DTLS_CERTIFICATE_AGE_MAX_H: u32 = 365 * 24;

const _: () = assert!(CERTIFICATE_LOOK_INTERVAL.as_millis() < CONNECTION_IDLE_MAX.as_millis());
const _: () = assert!(CERTIFICATE_WARNING_INTERVAL.as_secs() < CERTIFICATE_LEFT_MIN.as_secs());
const _: () = assert!(
    ACME_ANSWER_BYTES_MAX as usize > ACME_TOKEN_BYTES_MAX + 44 && ACME_ANSWER_BYTES_MAX < DATAGRAM_OUT_BYTES_MAX as u64
);

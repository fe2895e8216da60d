//! Certificates: how large their files may be, how often they are looked at, and the port that hands out proofs for new ones.

use std::time::Duration;

use super::{CONNECTION_IDLE_MAX, DATAGRAM_OUT_BYTES_MAX};

/// Certificates served, one per name or kind of key. More: a start-up error.
pub const CERTIFICATES_MAX: usize = 256;

/// Bytes of a chain or a key file: a chain of RSA-4096 certificates is 8 KB. Longer is another file: refused.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 256 * 1024;

/// Names kept of one certificate (authorities sign at most 100). More: not found by name.
pub const CERTIFICATE_NAMES_MAX: usize = 256;

/// Pause between two looks at the files' times: a `stat` of each. A renewal is served this long after it was written, or
/// twice as long where key and chain are not written at once.
pub const CERTIFICATE_LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// With less than this left, or a third of its life where that is shorter, a certificate should have been renewed: ACME
/// clients do it 30 days before the end. A warning, once a day.
pub const CERTIFICATE_LEFT_MIN: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Pause between two of those warnings.
pub const CERTIFICATE_WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

/// TLS sessions that may be resumed, some 200 bytes each. Full: the oldest needs a full handshake.
pub const TLS_SESSIONS_KEPT: usize = 4_096;

/// Bytes of a challenge's token, which is its file's name: authorities send 43 (RFC 8555 §8.1 asks for 128 bits). Longer:
/// 404.
pub const ACME_TOKEN_BYTES_MAX: usize = 128;

/// Bytes of the answer to a challenge: the token, a dot, and a SHA-256 in base64url. Longer is another file: 404.
pub const ACME_ANSWER_BYTES_MAX: u64 = 1_024;

/// HTTP connections of the port that redirects: each asks once. More: closed at once, counted.
pub const REDIRECT_CONNECTIONS_MAX: usize = 512;

/// For how long browsers are told to use HTTPS only, unless configured, where the plain port redirects: one year.
pub const HSTS_AGE_DEFAULT: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Hours after which new sessions get another DTLS certificate, unless configured: browsers make theirs per connection; a
/// node's fingerprint need not outlive a day.
pub const DTLS_CERTIFICATE_AGE_DEFAULT_H: u32 = 24;

/// Hours at most: a certificate is valid for two years, and a session that opens on its last day may run for one more.
pub const DTLS_CERTIFICATE_AGE_MAX_H: u32 = 365 * 24;

const _: () = assert!(CERTIFICATE_LOOK_INTERVAL.as_millis() < CONNECTION_IDLE_MAX.as_millis());
const _: () = assert!(CERTIFICATE_WARNING_INTERVAL.as_secs() < CERTIFICATE_LEFT_MIN.as_secs());
const _: () = assert!(
    ACME_ANSWER_BYTES_MAX as usize > ACME_TOKEN_BYTES_MAX + 44 && ACME_ANSWER_BYTES_MAX < DATAGRAM_OUT_BYTES_MAX as u64
);

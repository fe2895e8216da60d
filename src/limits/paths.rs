//! What is asked and believed of a path, and how long: bounds of [`crate::ice`] and of the disputes between sessions.

use std::time::Duration;

/// Bytes of the random value that the identifiers of an ICE agent's requests are made from.
pub const ICE_SECRET_BYTES: usize = 16;

/// Bytes that may be sent to an address for each byte that came from there, before it has answered (RFC 9000 §8.1).
pub const UNPROVEN_BYTES_FACTOR: u32 = 3;

/// Media to a path stops when the path has confirmed nothing for this long. RFC 7675 §5.1 allows 30 s.
pub const PATH_CONSENT: Duration = Duration::from_secs(15);

/// Requests in a row that must have found no answer before that, from a peer that answers: after a stop of the machine it
/// is asked first. They are [`PATH_REQUEST_REPEAT`] apart, so that it is 1 s more.
pub const PATH_CONSENT_REQUESTS_MIN: u32 = 3;

/// Media falls back to another path that lives when the one in use has confirmed nothing for this long.
pub const PATH_DEAD: Duration = Duration::from_secs(7);

/// Requests in a row without an answer after which a UDP path gives way to a connection that the peer nominates.
pub const PATH_SILENT_REQUESTS_MIN: u32 = 3;

/// Mean pause between the node's own requests on the path in use (RFC 7675 §5.1).
pub const PATH_REQUEST_INTERVAL: Duration = Duration::from_secs(5);

/// Pause between requests on a path whose last one was not answered.
pub const PATH_REQUEST_REPEAT: Duration = Duration::from_millis(500);

/// Pause between two requests on one path, whatever asks for them.
pub const PATH_REQUEST_PAUSE: Duration = Duration::from_millis(100);

/// Requests on one path whose answers are taken: the last ones.
pub const PATH_REQUESTS_OUTSTANDING_MAX: u32 = 4;

/// A peer that answered none of so many requests on a path is one that never answers.
pub const PATH_REQUESTS_UNANSWERED_MAX: u32 = 16;

/// A nominated path is used at once when it was confirmed within this time; otherwise it has to answer first.
pub const NOMINATION_PROOF_AGE_MAX: Duration = Duration::from_secs(2);

/// A path in dispute passes to the session whose peer answers there when the owner's has not answered for this long.
pub const PATH_DISPUTE: Duration = Duration::from_millis(1_500);

/// The shortest wait of an agent's timer.
pub const PATH_TIMER_MIN: Duration = Duration::from_millis(20);

const _: () =
    assert!(PATH_DEAD.as_millis() > PATH_REQUEST_INTERVAL.as_millis() * 6 / 5 + PATH_REQUEST_REPEAT.as_millis());
const _: () = assert!(PATH_DEAD.as_secs() < 10 && PATH_DEAD.as_millis() < PATH_CONSENT.as_millis());

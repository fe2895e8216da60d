//! This node's own parameters of a session.

use crate::description::IceCredentials;
use crate::transport::Candidate;

/// This node's own parameters of one session. The names are written as SDP tokens: other characters become `-`.
#[derive(Clone, Copy, Debug)]
pub struct LocalParameters<'a> {
    /// This node's credentials for the session (RFC 8445 §5.3).
    pub ice: &'a IceCredentials,
    /// SHA-256 of this node's DTLS certificate.
    pub fingerprint_sha256: [u8; 32],
    /// The candidates of the session's worker, the most preferred first.
    pub candidates: &'a [Candidate],
    /// The canonical name (RFC 3550 §6.5.1) towards this peer, the same for audio and video.
    pub cname: &'a str,
    /// For a viewer: the id of the one `MediaStream` that its tracks are in (RFC 8830). At most 56 bytes of it are
    /// used.
    pub stream_id: &'a str,
    /// `sess-id` of the `o=` line: a random number below 2⁶³ (RFC 8829 §5.2.1).
    pub session_id: u64,
    /// `sess-version` of the `o=` line.
    pub session_version: u64,
    /// Whether a section of data channels is accepted.
    pub data: bool,
}

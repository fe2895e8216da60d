//! What this node brings to a session.

use crate::description::IceCredentials;
use crate::transport::Candidate;

/// What this node brings to one session. The three names are written as SDP tokens: other characters become `-`.
#[derive(Clone, Copy, Debug)]
pub struct LocalParameters<'a> {
    /// This node's credentials for the session (RFC 8445 §5.3).
    pub ice: &'a IceCredentials,
    /// SHA-256 of this node's DTLS certificate.
    pub fingerprint_sha256: [u8; 32],
    /// Candidates of the session's worker, the most preferred first.
    pub candidates: &'a [Candidate],
    /// Canonical name (RFC 3550 §6.5.1) towards this peer, one for audio and video.
    pub cname: &'a str,
    /// Play: the id of the one `MediaStream` that the viewer's tracks are in (RFC 8830), at most 56 bytes of it used.
    pub stream_id: &'a str,
    /// `sess-id` of the `o=` line: a random number below 2⁶³ (RFC 8829 §5.2.1).
    pub session_id: u64,
    /// `sess-version` of the `o=` line.
    pub session_version: u64,
}

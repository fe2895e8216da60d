//! The trait through which signalling uses SDP. It keeps `m=` lines out of HTTP, and out of the tests of HTTP.

use std::fmt;

use super::{random, sdp};
use crate::description::{Description, Direction, IceCredentials};
use crate::transport::Candidate;

/// What this node says about itself in an answer.
#[derive(Clone, Debug)]
pub struct LocalParameters {
    /// This node's credentials for the session.
    pub ice: IceCredentials,
    /// SHA-256 of the DTLS certificate (RFC 8122 §5).
    pub fingerprint_sha256: [u8; 32],
    /// Host candidates: every announced address with the worker's port.
    pub candidates: Vec<Candidate>,
    /// The canonical name, a new one for each session, so that sessions cannot be linked (RFC 7022 §4.2).
    pub cname: String,
    /// The stream's name. It is the id of the one `MediaStream` that a viewer's tracks are in.
    pub stream_name: String,
    /// Whether data channels are taken.
    pub data: bool,
}

/// An answered offer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was negotiated, for the worker.
    pub description: Description,
    /// The answer's text.
    pub sdp: String,
}

/// The part of a trickle fragment (RFC 8840 §9) that matters to an ICE-lite node: the credentials. Candidates are
/// checked for form and then ignored, because an ICE-lite agent sends no checks (RFC 8445 §2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The peer's credentials, if the fragment has both.
    pub ice: Option<IceCredentials>,
}

/// Why SDP was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 400 (not SDP), 406 (no common codec), 413 (too long) or 422 (understood, but cannot be served).
    pub status: u16,
    /// A short name of the reason, one of a fixed set.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.message)
    }
}

impl std::error::Error for Refused {}

/// Turns offers into answers. There is one value per node, and it keeps no state about sessions.
pub trait Negotiator: Send {
    /// Answers an offer.
    ///
    /// # Errors
    /// When it is not SDP or cannot be served.
    fn answer(&self, offer: &str, direction: Direction, local: &LocalParameters) -> Result<Answer, Refused>;

    /// Reads a trickle fragment.
    ///
    /// # Errors
    /// When it cannot be read.
    fn fragment(&self, body: &str) -> Result<Fragment, Refused>;

    /// Writes the fragment that answers an ICE restart: new credentials and all candidates (RFC 9725 §4.3.2).
    /// `description` is what was negotiated for the session.
    fn restart(&self, description: &Description, local: &LocalParameters) -> String;
}

/// The production implementation: [`sdp`], with random numbers from the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SdpNegotiator;

impl Negotiator for SdpNegotiator {
    fn answer(&self, offer: &str, direction: Direction, local: &LocalParameters) -> Result<Answer, Refused> {
        let parameters = sdp::LocalParameters {
            ice: &local.ice,
            fingerprint_sha256: local.fingerprint_sha256,
            candidates: &local.candidates,
            cname: &local.cname,
            stream_id: &local.stream_name,
            session_id: random::number() >> 1,
            session_version: 1,
            data: local.data,
        };
        let mut fresh_ssrc = || (random::number() >> 32) as u32;
        let answer = sdp::answer(offer, direction, &parameters, &mut fresh_ssrc)?;
        Ok(Answer { description: answer.description, sdp: answer.sdp })
    }

    fn fragment(&self, body: &str) -> Result<Fragment, Refused> {
        Ok(Fragment { ice: sdp::Fragment::parse(body)?.credentials })
    }

    fn restart(&self, description: &Description, local: &LocalParameters) -> String {
        sdp::restart_answer(description, &local.ice, &local.candidates)
    }
}

impl From<sdp::SdpRefused> for Refused {
    fn from(refused: sdp::SdpRefused) -> Self {
        Self { status: refused.status(), code: refused.name(), message: refused.to_string() }
    }
}

//! Answers to offers and ICE restarts. The negotiator writes the text; this file supplies what the node itself brings
//! to a session: credentials, candidates and the certificate's fingerprint.

use std::net::IpAddr;
use std::rc::Rc;

use hyper::StatusCode;

use super::code::Code;
use super::identity::Identity;
use super::negotiator::{Answer, LocalParameters, Negotiator, Refused};
use super::problem::Problem;
use super::random;
use super::stream_name::StreamName;
use crate::description::{Description, Direction, IceCredentials};
use crate::dtls::DtlsIdentity;
use crate::placement;
use crate::transport::Candidate;
use crate::worker::mailbox::WorkerHandle;

/// Random characters after the worker's index in a user fragment: 60 bits. RFC 8445 §5.3 requires 24.
const UFRAG_RANDOM_CHARS: usize = 10;
/// Characters of a password: 144 bits. RFC 8445 §5.3 requires 128.
const PASSWORD_CHARS: usize = 24;

/// Makes answers.
pub(super) struct Answers {
    negotiator: Box<dyn Negotiator>,
    identity: Rc<Identity>,
    /// The addresses that are put into candidates.
    announce: Vec<IpAddr>,
    /// The port of passive TCP candidates, where media may come over TCP.
    tcp_port: Option<u16>,
    /// Whether data channels are taken.
    data: bool,
}

/// The answer to an offer, and what the worker needs to know in addition.
pub(super) struct Answered {
    pub(super) answer: Answer,
    pub(super) local_ice: IceCredentials,
    /// The certificate that the session uses for DTLS. The answer contains its fingerprint.
    pub(super) identity: DtlsIdentity,
}

/// The answer to an ICE restart.
pub(super) struct Restarted {
    pub(super) fragment: String,
    pub(super) local_ice: IceCredentials,
}

impl Answers {
    pub(super) fn new(
        negotiator: Box<dyn Negotiator>,
        identity: Rc<Identity>,
        announce: Vec<IpAddr>,
        tcp_port: Option<u16>,
        data: bool,
    ) -> Self {
        Self { negotiator, identity, announce, tcp_port, data }
    }

    /// Answers an offer that `worker` is to serve.
    pub(super) fn answer(
        &self,
        offer: &str,
        direction: Direction,
        worker: &WorkerHandle,
        cname: &str,
        stream_name: &StreamName,
    ) -> Result<Answered, Problem> {
        let identity = self.identity.now();
        let local = self.local_parameters(worker, &identity, cname, stream_name);
        let answer = self.negotiator.answer(offer, direction, &local).map_err(sdp_refused)?;
        Ok(Answered { answer, local_ice: local.ice, identity })
    }

    /// The credentials in a peer's fragment (RFC 8840 §9).
    pub(super) fn remote_ice(&self, fragment: &str) -> Result<Option<IceCredentials>, Problem> {
        Ok(self.negotiator.fragment(fragment).map_err(sdp_refused)?.ice)
    }

    /// Makes the fragment that answers an ICE restart, with new credentials of this node.
    pub(super) fn restart(
        &self,
        description: &Description,
        worker: &WorkerHandle,
        identity: &DtlsIdentity,
        stream_name: &StreamName,
    ) -> Restarted {
        let local = self.local_parameters(worker, identity, &description.cname, stream_name);
        Restarted { fragment: self.negotiator.restart(description, &local), local_ice: local.ice }
    }

    fn local_parameters(
        &self,
        worker: &WorkerHandle,
        identity: &DtlsIdentity,
        cname: &str,
        stream_name: &StreamName,
    ) -> LocalParameters {
        LocalParameters {
            ice: IceCredentials {
                ufrag: placement::ufrag(worker.index, &random::ice_chars(UFRAG_RANDOM_CHARS)),
                password: random::ice_chars(PASSWORD_CHARS),
            },
            fingerprint_sha256: identity.fingerprint_sha256(),
            candidates: self.candidates(worker),
            cname: cname.to_owned(),
            stream_name: stream_name.to_string(),
            data: self.data,
        }
    }
}

impl Answers {
    /// All UDP candidates, then all TCP ones: in the order in which a client that takes the first should try.
    fn candidates(&self, worker: &WorkerHandle) -> Vec<Candidate> {
        let after = u32::try_from(self.announce.len()).unwrap_or(u32::MAX);
        let tcp = self.tcp_port.into_iter().flat_map(|port| Candidate::tcp_hosts(&self.announce, port, after));
        Candidate::udp_hosts(&self.announce, worker.media_port).chain(tcp).collect()
    }
}

fn sdp_refused(refused: Refused) -> Problem {
    let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new(status, Code::Sdp(refused.code), refused.message)
}

//! Answers to offers and ICE restarts. The negotiator writes the text; this file supplies what the node itself brings
//! to a session: credentials, candidates and the certificate's fingerprint.

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
use crate::transport::{Announced, Candidate};
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
    announce: Vec<Announced>,
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
        announce: Vec<Announced>,
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
            candidates: candidates(&self.announce, (worker.index.0, worker.media_port), self.tcp_port),
            cname: cname.to_owned(),
            stream_name: stream_name.to_string(),
            data: self.data,
        }
    }
}

/// All UDP candidates, then all TCP ones, each in the order of the addresses: so that a client which tries them in the answer's
/// order, or by priority, or only the first, tries the best first.
fn candidates(announce: &[Announced], (worker, media_port): (u16, u16), tcp_port: Option<u16>) -> Vec<Candidate> {
    let udp = announce.iter().filter_map(|address| address.udp(worker, media_port));
    let after = u32::try_from(announce.len()).unwrap_or(u32::MAX);
    let tcp = tcp_port.map(|port| announce.iter().filter_map(move |address| address.tcp(port)));
    Candidate::udp_hosts(udp).chain(Candidate::tcp_hosts(tcp.into_iter().flatten(), after)).collect()
}

fn sdp_refused(refused: Refused) -> Problem {
    let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
    Problem::new(status, Code::Sdp(refused.code), refused.message)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::transport::candidate::CandidateTransport;

    #[test]
    fn candidates_are_in_the_order_in_which_clients_should_try() {
        let announce =
            ["203.0.113.7:443", "2001:db8::7", "[2001:db8::8]:30000/udp", "203.0.113.8:80/tcp", "192.0.2.7/udp"];
        let announce = announce.map(|text| text.parse().unwrap());
        let found = candidates(&announce, (2, 20_002), Some(8_443));
        let told: Vec<_> = found.iter().map(|candidate| (candidate.transport, candidate.address.to_string())).collect();
        let told: Vec<_> = told.iter().map(|(transport, address)| (*transport, address.as_str())).collect();
        let (udp, tcp) = (CandidateTransport::Udp, CandidateTransport::TcpPassive);
        assert_eq!(
            told,
            [
                (udp, "203.0.113.7:445"),
                (udp, "[2001:db8::7]:20002"),
                (udp, "[2001:db8::8]:30002"),
                (udp, "192.0.2.7:20002"),
                (tcp, "203.0.113.7:443"),
                (tcp, "[2001:db8::7]:8443"),
                (tcp, "203.0.113.8:80"),
            ]
        );
        assert!(found.is_sorted_by(|a, b| a.priority > b.priority), "{found:?}");
        let foundations: HashSet<_> = found.iter().map(|candidate| candidate.foundation).collect();
        assert_eq!(foundations.len(), found.len(), "each address and transport has its own (RFC 8445 §5.1.1.3)");
        assert_eq!(candidates(&announce, (2, 20_002), None).len(), 4, "media over UDP only");
    }
}

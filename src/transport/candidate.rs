//! ICE candidates as this node offers them: their fields, their priorities, and their text.
//!
//! A lite agent offers host candidates only (RFC 8445 §2.5), and passive ones over TCP (RFC 6544 §4.1: whoever sends
//! checks opens the connection). The other types are here because a TURN server inside the node will have relayed ones,
//! and so that priorities are computed in one place.
//!
//! Left out: reading candidates (this node sends no checks and needs none of its peer's); components other than 1
//! (rtcp-mux is required); related addresses of peer-reflexive candidates, which are never written down.

use std::fmt;
use std::net::SocketAddr;

/// How media reaches a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateTransport {
    /// UDP.
    Udp,
    /// A TCP connection that the peer opens (RFC 6544 §4.1, `tcptype passive`).
    TcpPassive,
}

/// Where a candidate's address comes from (RFC 8445 §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateType {
    /// An address of the host, or one that is announced in its place.
    Host,
    /// The address that a STUN server saw.
    ServerReflexive {
        /// The base it was seen from.
        related: SocketAddr,
    },
    /// An address of a TURN server.
    Relayed {
        /// The address that the TURN server saw.
        related: SocketAddr,
    },
}

/// A candidate of component 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Equal for candidates of the same type, base address and transport (RFC 8445 §5.1.1.3).
    pub foundation: u32,
    /// How it is reached.
    pub transport: CandidateTransport,
    /// The higher, the sooner it is tried.
    pub priority: u32,
    /// Its address and port.
    pub address: SocketAddr,
    /// Where that comes from.
    pub kind: CandidateType,
}

const COMPONENT: u32 = 1;

impl CandidateType {
    /// The type preference that RFC 8445 §5.1.2.2 recommends.
    #[must_use]
    pub const fn preference(self) -> u32 {
        match self {
            Self::Host => 126,
            Self::ServerReflexive { .. } => 100,
            Self::Relayed { .. } => 0,
        }
    }
}

impl CandidateTransport {
    /// The local preference of the `rank`-th of an agent's addresses, the best having rank 0.
    ///
    /// Over UDP every value serves (RFC 8445 §5.1.2.1). Over TCP the upper three bits are the direction's preference
    /// (RFC 6544 §4.2: passive is 4 of 6 for a host or relayed candidate, 2 for a reflexive one), so that at equal type
    /// every TCP candidate stands below the first 16,384 UDP ones.
    #[must_use]
    pub const fn local_preference(self, kind: CandidateType, rank: u16) -> u32 {
        match self {
            Self::Udp => 65_535_u32.saturating_sub(rank as u32),
            Self::TcpPassive => {
                let direction = match kind {
                    CandidateType::Host | CandidateType::Relayed { .. } => 4,
                    CandidateType::ServerReflexive { .. } => 2,
                };
                (direction << 13) + 8_191_u32.saturating_sub(rank as u32)
            }
        }
    }
}

/// RFC 8445 §5.1.2.1, for component 1.
#[must_use]
pub const fn priority(transport: CandidateTransport, kind: CandidateType, rank: u16) -> u32 {
    (kind.preference() << 24) | (transport.local_preference(kind, rank) << 8) | (256 - COMPONENT)
}

impl Candidate {
    /// UDP host candidates, the first the most preferred.
    pub fn udp_hosts(addresses: impl IntoIterator<Item = SocketAddr>) -> impl Iterator<Item = Self> {
        Self::hosts(CandidateTransport::Udp, addresses, 1)
    }

    /// Passive TCP host candidates. `after` is how many other foundations were given before.
    pub fn tcp_hosts(addresses: impl IntoIterator<Item = SocketAddr>, after: u32) -> impl Iterator<Item = Self> {
        Self::hosts(CandidateTransport::TcpPassive, addresses, after.saturating_add(1))
    }

    fn hosts(
        transport: CandidateTransport,
        addresses: impl IntoIterator<Item = SocketAddr>,
        first_foundation: u32,
    ) -> impl Iterator<Item = Self> {
        // Each address is another base, so each has its own foundation.
        addresses.into_iter().zip(0_u16..).map(move |(address, rank)| Self {
            foundation: first_foundation.saturating_add(u32::from(rank)),
            transport,
            priority: priority(transport, CandidateType::Host, rank),
            address,
            kind: CandidateType::Host,
        })
    }
}

/// The value of an `a=candidate` line (RFC 8839 §5.1, RFC 6544 §4.5).
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, transport, priority, address, kind } = self;
        let protocol = match transport {
            CandidateTransport::Udp => "udp",
            CandidateTransport::TcpPassive => "tcp",
        };
        write!(f, "{foundation} {COMPONENT} {protocol} {priority} {} {} typ ", address.ip(), address.port())?;
        match kind {
            CandidateType::Host => f.write_str("host")?,
            CandidateType::ServerReflexive { related } => {
                write!(f, "srflx raddr {} rport {}", related.ip(), related.port())?;
            }
            CandidateType::Relayed { related } => write!(f, "relay raddr {} rport {}", related.ip(), related.port())?,
        }
        match transport {
            CandidateTransport::Udp => Ok(()),
            CandidateTransport::TcpPassive => f.write_str(" tcptype passive"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const RELATED: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 1)), 8_998);
    const REFLEXIVE: CandidateType = CandidateType::ServerReflexive { related: RELATED };
    const RELAYED: CandidateType = CandidateType::Relayed { related: RELATED };

    #[test]
    fn priorities_match_the_examples_in_the_rfcs() {
        // RFC 8445 §15.1 and RFC 8839 §5.1: UDP, host and server-reflexive, one address.
        assert_eq!(priority(CandidateTransport::Udp, CandidateType::Host, 0), 2_130_706_431);
        assert_eq!(priority(CandidateTransport::Udp, REFLEXIVE, 0), 1_694_498_815);
        // RFC 6544, appendix C: passive, host and server-reflexive.
        assert_eq!(priority(CandidateTransport::TcpPassive, CandidateType::Host, 0), 2_124_414_975);
        assert_eq!(priority(CandidateTransport::TcpPassive, REFLEXIVE, 0), 1_684_013_055);
    }

    #[test]
    fn later_addresses_tcp_and_relayed_candidates_have_lower_priority() {
        use CandidateTransport::{TcpPassive, Udp};
        let falling = [
            priority(Udp, CandidateType::Host, 0),
            priority(Udp, CandidateType::Host, 15),
            priority(TcpPassive, CandidateType::Host, 0),
            priority(TcpPassive, CandidateType::Host, 15),
            priority(Udp, REFLEXIVE, 0),
            priority(TcpPassive, REFLEXIVE, 0),
            priority(Udp, RELAYED, 0),
            priority(TcpPassive, RELAYED, 0),
        ];
        assert!(falling.is_sorted_by(|a, b| a > b), "{falling:?}");
        // However many addresses there are, the fields do not run into each other.
        assert_eq!(priority(TcpPassive, CandidateType::Host, u16::MAX) >> 21, 126 << 3 | 4);
        assert_eq!(priority(Udp, CandidateType::Host, u16::MAX) >> 8, 126 << 16);
    }

    #[test]
    fn a_candidate_is_written_as_the_grammar_says() {
        let ips = ["192.0.2.10:20003".parse().unwrap(), "[2001:db8::10]:20003".parse().unwrap()];
        let text = |candidates: Vec<Candidate>| candidates.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            text(Candidate::udp_hosts(ips).collect()),
            ["1 1 udp 2130706431 192.0.2.10 20003 typ host", "2 1 udp 2130706175 2001:db8::10 20003 typ host"]
        );
        assert_eq!(
            text(Candidate::tcp_hosts(["192.0.2.10:443".parse().unwrap()], 2).collect()),
            ["3 1 tcp 2124414975 192.0.2.10 443 typ host tcptype passive"]
        );
        // RFC 6544, appendix C, the fifth candidate.
        let reflexive = Candidate {
            foundation: 5,
            transport: CandidateTransport::TcpPassive,
            priority: priority(CandidateTransport::TcpPassive, REFLEXIVE, 0),
            address: "192.0.2.3:45664".parse().unwrap(),
            kind: REFLEXIVE,
        };
        assert_eq!(
            reflexive.to_string(),
            "5 1 tcp 1684013055 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998 tcptype passive"
        );
        let relayed = Candidate { transport: CandidateTransport::Udp, priority: 255, kind: RELAYED, ..reflexive };
        assert_eq!(relayed.to_string(), "5 1 udp 255 192.0.2.3 45664 typ relay raddr 10.0.1.1 rport 8998");
    }
}

//! An address of this node as clients are told it: where a network in between maps ports (NAT, a container's published ports),
//! those that clients reach, in place of those that are bound.
//!
//! ```text
//!   203.0.113.7              the ports that are bound
//!   203.0.113.7:443          worker 0's UDP port and the port of HTTPS are reached at 443, worker i's UDP port at 443 + i
//!   203.0.113.7:30000/udp    UDP only: worker i is reached at 30000 + i
//!   [2001:db8::7]:443/tcp    TCP only: the port of HTTPS is reached at 443
//! ```

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// An address of this node, and how its ports are reached there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The address.
    pub ip: IpAddr,
    /// Another port than the bound one. Over UDP it is worker 0's.
    pub port: Option<u16>,
    /// What comes through there.
    pub carries: AnnouncedTransports,
}

/// The transports that reach the node at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncedTransports {
    /// UDP and TCP.
    Both,
    /// UDP only.
    Udp,
    /// TCP only.
    Tcp,
}

/// Why a text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnouncedError {
    /// It cannot be read.
    Malformed,
    /// Peers cannot send there.
    Unreachable,
    /// Nothing is reached at port 0.
    PortZero,
}

impl Announced {
    /// Where clients reach over UDP the worker with this index, which is bound to `bound`. `None` where it is not reached, or
    /// where there is no such port.
    #[must_use]
    pub fn udp(&self, worker: u16, bound: u16) -> Option<SocketAddr> {
        if self.carries == AnnouncedTransports::Tcp {
            return None;
        }
        let port = self.port.map_or(Some(bound), |first| first.checked_add(worker))?;
        Some(SocketAddr::new(self.ip, port))
    }

    /// Where clients reach over TCP the port of HTTPS, which is bound to `bound`.
    #[must_use]
    pub fn tcp(&self, bound: u16) -> Option<SocketAddr> {
        (self.carries != AnnouncedTransports::Udp).then(|| SocketAddr::new(self.ip, self.port.unwrap_or(bound)))
    }
}

impl From<IpAddr> for Announced {
    fn from(ip: IpAddr) -> Self {
        Self { ip, port: None, carries: AnnouncedTransports::Both }
    }
}

impl FromStr for Announced {
    type Err = AnnouncedError;

    fn from_str(text: &str) -> Result<Self, AnnouncedError> {
        let (address, carries) = match text.rsplit_once('/') {
            Some((address, "udp")) => (address, AnnouncedTransports::Udp),
            Some((address, "tcp")) => (address, AnnouncedTransports::Tcp),
            Some(_) => return Err(AnnouncedError::Malformed),
            None => (text, AnnouncedTransports::Both),
        };
        let (ip, port) = match address.parse::<IpAddr>() {
            Ok(ip) => (ip, None),
            Err(_) => {
                let address: SocketAddr = address.parse().map_err(|_| AnnouncedError::Malformed)?;
                (address.ip(), Some(address.port()))
            }
        };
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(AnnouncedError::Unreachable);
        }
        if port == Some(0) {
            return Err(AnnouncedError::PortZero);
        }
        Ok(Self { ip, port, carries })
    }
}

impl fmt::Display for Announced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.ip, port)),
            None => write!(f, "{}", self.ip),
        }?;
        f.write_str(match self.carries {
            AnnouncedTransports::Both => "",
            AnnouncedTransports::Udp => "/udp",
            AnnouncedTransports::Tcp => "/tcp",
        })
    }
}

impl fmt::Display for AnnouncedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => {
                "must be an IP address, with the port that clients reach where it is another one, like 203.0.113.7, \
                 203.0.113.7:443 or [2001:db8::1]:443, and with /udp or /tcp where only that comes through"
            }
            Self::Unreachable => "must be an address peers can send to; leave it out to use all of the host's",
            Self::PortZero => "must have a port of 1 to 65535, or none",
        })
    }
}

impl std::error::Error for AnnouncedError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_those_that_clients_reach_and_count_up_by_worker() {
        for (text, udp, tcp) in [
            ("203.0.113.7", Some("203.0.113.7:20002"), Some("203.0.113.7:8443")),
            ("203.0.113.7:443", Some("203.0.113.7:445"), Some("203.0.113.7:443")),
            ("203.0.113.7:30000/udp", Some("203.0.113.7:30002"), None),
            ("203.0.113.7/udp", Some("203.0.113.7:20002"), None),
            ("[2001:db8::7]:443/tcp", None, Some("[2001:db8::7]:443")),
            ("2001:db8::7", Some("[2001:db8::7]:20002"), Some("[2001:db8::7]:8443")),
            ("203.0.113.7:65534", None, Some("203.0.113.7:65534")),
        ] {
            let announced: Announced = text.parse().unwrap();
            let told = |address: Option<SocketAddr>| address.map(|address| address.to_string());
            assert_eq!(told(announced.udp(2, 20_002)).as_deref(), udp, "{text}");
            assert_eq!(told(announced.tcp(8_443)).as_deref(), tcp, "{text}");
            assert_eq!(announced.to_string(), text);
        }
    }

    #[test]
    fn what_nobody_can_reach_is_refused() {
        use AnnouncedError::{Malformed, PortZero, Unreachable};
        for (text, error) in [
            ("", Malformed),
            ("node.example", Malformed),
            ("203.0.113.7:70000", Malformed),
            ("203.0.113.7/sctp", Malformed),
            ("2001:db8::7:443:1:2:3:4", Malformed),
            ("0.0.0.0:443", Unreachable),
            ("[ff02::1]:443/udp", Unreachable),
            ("203.0.113.7:0", PortZero),
        ] {
            assert_eq!(text.parse::<Announced>(), Err(error), "{text}");
        }
    }
}

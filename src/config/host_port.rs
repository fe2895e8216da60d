//! Where another machine is reached: a host and a port.

use std::fmt;
use std::net::SocketAddr;

use crate::limits;

/// A host's name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Without the brackets of IPv6.
    host: String,
    port: u16,
}

/// The text is no host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHostPort;

impl fmt::Display for BadHostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a host and a port, like 10.0.0.7:8446, [2001:db8::7]:8446 or edge-1.example.org:8446")
    }
}

impl HostPort {
    /// Reads `host:port`.
    ///
    /// # Errors
    /// When it is none, or no other machine reaches it: port 0, or every address.
    pub fn parse(text: &str) -> Result<Self, BadHostPort> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            let can_be_reached = address.port() != 0 && !address.ip().is_unspecified();
            return can_be_reached.then(|| Self::from(address)).ok_or(BadHostPort);
        }
        let (host, port) = text.rsplit_once(':').ok_or(BadHostPort)?;
        let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or(BadHostPort)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        // What looks like an address and is none would be asked for as a name.
        let is_address = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if host.len() > limits::HOST_NAME_BYTES_MAX || !host.bytes().all(is_name) || is_address {
            return Err(BadHostPort);
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// Its name or address, without the brackets of IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_ports_are_read_and_written_alike_and_nothing_else_is() {
        for text in ["10.0.0.7:8446", "[2001:db8::7]:1", "edge-1.example.org:65535", "edge_1:8446"] {
            assert_eq!(HostPort::parse(text).map(|read| read.to_string()).as_deref(), Ok(text));
        }
        assert_eq!(HostPort::parse("[::1]:8446").map(|read| (read.host, read.port)), Ok(("::1".into(), 8_446)));
        for wrong in [
            "",
            ":",
            ":8446",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:b:1",
            "a b:1",
            "0.0.0.0:1",
            "[::]:1",
            "1.2.3:1",
            "http://a:1",
            "a/b:1",
        ] {
            assert_eq!(HostPort::parse(wrong), Err(BadHostPort), "{wrong}");
        }
        assert_eq!(HostPort::parse(&format!("{}:1", "a".repeat(254))), Err(BadHostPort));
    }
}

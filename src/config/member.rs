//! A member of the cluster's engine, as its URL says.

use std::fmt;

use crate::limits;

/// A member's client URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    host: String,
    port: u16,
    has_tls: bool,
}

/// The text is no member's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMember;

impl fmt::Display for BadMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a member's client URL, like https://10.0.0.7:2379")
    }
}

impl Member {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none, or has a path.
    pub fn parse(url: &str) -> Result<Self, BadMember> {
        let uri: hyper::Uri = url.parse().map_err(|_| BadMember)?;
        let has_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadMember),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(BadMember)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.host().is_empty() {
            return Err(BadMember);
        }
        let port = authority.port_u16().unwrap_or(limits::CLUSTER_ENGINE_PORT);
        Ok(Self { host: authority.host().to_owned(), port, has_tls })
    }

    /// Whether it is spoken to over TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.bare_host().parse::<std::net::IpAddr>().map_or(self.host == "localhost", |ip| ip.is_loopback())
    }

    /// Its name or address, as in the URL.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its host without the brackets of IPv6.
    #[must_use]
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", if self.has_tls { "https" } else { "http" }, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_urls_without_a_path() {
        let member = Member::parse("https://10.0.0.7:2379").unwrap();
        assert_eq!(
            (member.to_string().as_str(), member.has_tls(), member.is_loopback()),
            ("https://10.0.0.7:2379", true, false)
        );
        assert_eq!(
            Member::parse("http://localhost/").map(|member| (member.port, member.is_loopback())),
            Ok((2_379, true))
        );
        assert!(Member::parse("http://[::1]:1").unwrap().is_loopback());
        for wrong in ["", "10.0.0.7:2379", "ftp://a", "https://", "https://a/b", "https://a?b", "https://u:p@a"] {
            assert_eq!(Member::parse(wrong), Err(BadMember), "{wrong}");
        }
    }
}

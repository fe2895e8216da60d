//! Client addresses: which addresses count as one client, and how much of an address is shown.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::limits;

/// The key under which one client is counted: its IPv4 address, or its IPv6 network.
#[must_use]
pub fn client_of(address: IpAddr) -> IpAddr {
    network_of(address, limits::IPV6_CLIENT_PREFIX_BITS)
}

/// The network of so many bits that an IPv6 address is in. An IPv4 address is its own network.
#[must_use]
pub fn network_of(address: IpAddr, prefix_bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(network_v6(address, prefix_bits)),
        address => address,
    }
}

/// Addresses that are exempt from every limit per address. A proxy on this host is one: all its clients share its
/// address.
#[derive(Clone, Debug)]
pub struct Exempt(Vec<Network>);

impl Exempt {
    /// Exempts these addresses.
    #[must_use]
    pub fn new(addresses: &[IpAddr]) -> Self {
        Self(addresses.iter().copied().map(Network::from).collect())
    }

    /// Exempts these networks as well.
    #[must_use]
    pub fn and(mut self, networks: &[Network]) -> Self {
        self.0.extend(networks);
        self
    }

    /// Whether `address` is exempt. An IPv4 address counts as the same when it is written as IPv6.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }
}

/// All addresses with the same first bits (CIDR, RFC 4632); a single address has all its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether `address` is in the network. An IPv4 address counts as the same when it is written as IPv6.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => network_v4(address, self.bits) == first,
            (IpAddr::V6(first), IpAddr::V6(address)) => network_v6(address, self.bits) == first,
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        Self { first, bits: if first.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "must be an address or a network, like 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32";
        let Some((address, bits)) = text.split_once('/') else {
            return text.parse().map(|address: IpAddr| address.into()).map_err(|_| FORM.to_owned());
        };
        let first: IpAddr = address.parse().map_err(|_| FORM)?;
        let bits = Some(bits).filter(|bits| bits.bytes().all(|byte| byte.is_ascii_digit()));
        let bits: u32 = bits.and_then(|bits| bits.parse().ok()).ok_or(FORM)?;
        let (most, start) = match first {
            IpAddr::V4(first) => (32, IpAddr::V4(network_v4(first, bits))),
            IpAddr::V6(first) => (128, IpAddr::V6(network_v6(first, bits))),
        };
        match () {
            () if bits == 0 => Err("is everybody: name the networks that are meant".to_owned()),
            () if bits > most => Err(format!("must have at most {most} bits after the slash")),
            () if start != first => Err(format!("is no network's first address: {start}/{bits} is")),
            () => Ok(Self { first, bits }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.bits) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => self.first.fmt(f),
            (first, bits) => write!(f, "{first}/{bits}"),
        }
    }
}

/// How client addresses are written into logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// Only the network of an address. It tells providers and offices apart, but not people.
    #[default]
    Network,
    /// Whole addresses, because the operator asked for them (`log.addresses = true`).
    Full,
}

impl Shown {
    /// `address` as a log may hold it: `192.0.2.0/24`, `2001:db8::/48`.
    #[must_use]
    pub fn text(self, address: IpAddr) -> String {
        match (self, address.to_canonical()) {
            (Self::Full, address) => address.to_string(),
            (Self::Network, IpAddr::V4(address)) => {
                format!("{}/24", network_v4(address, 24))
            }
            (Self::Network, IpAddr::V6(address)) => format!("{}/48", network_v6(address, 48)),
        }
    }
}

/// The address with all but its first bits cleared.
fn network_v4(address: Ipv4Addr, bits: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0))
}

fn network_v6(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_its_first_bits_and_is_written_as_it_is_read() {
        for (text, inside, outside) in [
            ("192.0.2.7", &["192.0.2.7", "::ffff:192.0.2.7"][..], &["192.0.2.6", "::1"][..]),
            ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"], &["11.0.0.0", "9.255.255.255", "::a00:0"]),
            ("2001:db8::/33", &["2001:db8:7fff::1"], &["2001:db8:8000::"]),
            ("2001:db8::1", &["2001:db8::1"], &["2001:db8::2"]),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), text);
            assert!(inside.iter().all(|address| network.has(address.parse().unwrap())), "{text}");
            assert!(!outside.iter().any(|address| network.has(address.parse().unwrap())), "{text}");
        }
        for (text, part) in [
            ("", "must be"),
            ("proxy.example", "must be"),
            ("10.0.0.0/", "must be"),
            ("10.0.0.0/+8", "must be"),
            ("10.0.0.0/33", "at most 32"),
            ("2001:db8::/129", "at most 128"),
            ("10.0.0.1/8", "10.0.0.0/8 is"),
            ("0.0.0.0/0", "everybody"),
            ("::/0", "everybody"),
        ] {
            let refused = text.parse::<Network>().unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }

    #[test]
    fn an_address_is_shown_as_its_network_unless_asked() {
        for (address, network, full) in [
            ("192.0.2.77", "192.0.2.0/24", "192.0.2.77"),
            ("::ffff:192.0.2.77", "192.0.2.0/24", "192.0.2.77"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48", "2001:db8:1:2:3:4:5:6"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(Shown::Network.text(address), network);
            assert_eq!(Shown::Full.text(address), full);
        }
    }
}

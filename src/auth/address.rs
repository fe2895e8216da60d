//! Client addresses: which addresses count as one client, and how much of an address is shown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
pub struct Exempt(Vec<IpAddr>);

impl Exempt {
    /// Exempts these addresses.
    #[must_use]
    pub fn new(addresses: &[IpAddr]) -> Self {
        Self(addresses.iter().map(IpAddr::to_canonical).collect())
    }

    /// Whether `address` is exempt. An IPv4 address counts as the same when it is written as IPv6.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
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
                format!("{}/24", Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8)))
            }
            (Self::Network, IpAddr::V6(address)) => format!("{}/48", network_v6(address, 48)),
        }
    }
}

fn network_v6(address: Ipv6Addr, prefix_bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - prefix_bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

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

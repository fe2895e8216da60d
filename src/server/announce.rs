//! Which addresses of the host go into ICE candidates, which names and addresses into the self-signed certificate, and by
//! which names pages may reach the node.

use std::io::Read as _;
use std::net::IpAddr;

use crate::config::Config;
use crate::limits;
use crate::net::host::{self, InterfaceAddress};
use crate::transport::Announced;
use crate::transport::announced::AnnouncedTransports;

/// Most addresses in a session's candidates: each costs a line in every answer and a check by every peer.
const CANDIDATE_ADDRESSES_MAX: usize = 16;

/// The addresses of interfaces that are up; none when the kernel does not say, which then shows as a warning.
pub(super) fn host_addresses() -> Vec<InterfaceAddress> {
    host::interface_addresses().unwrap_or_else(|error| {
        tracing::warn!(%error, "the host's addresses cannot be read: name those to announce with --announce");
        Vec::new()
    })
}

/// The addresses for candidates: the announced ones if configured, else those media is bound to, else the host's own, the
/// most useful first, because some clients take only the first. `default_sources` are those from which default routes lead
/// out. Loopback is used only where the pages are served on loopback too, because no other host could reach it.
pub(super) fn candidates(config: &Config, host: &[InterfaceAddress], default_sources: &[IpAddr]) -> Vec<Announced> {
    let mut addresses = if !config.media.announce.is_empty() {
        config.media.announce.clone()
    } else if !config.media.ips.is_empty() {
        config.media.ips.iter().map(|ip| bound(*ip, config.https.ip())).collect()
    } else {
        let with_loopback = config.is_loopback_only();
        let mut own: Vec<&InterfaceAddress> =
            host.iter().filter(|address| with_loopback || !address.loopback).collect();
        // The sort is stable: between equals the kernel's order remains.
        own.sort_by_key(|address| {
            let route = default_sources.iter().position(|source| *source == address.ip).unwrap_or(usize::MAX);
            (Reach::of(address, route != usize::MAX), route)
        });
        own.into_iter().map(|address| bound(address.ip, config.https.ip())).collect()
    };
    addresses.dedup();
    if addresses.len() > CANDIDATE_ADDRESSES_MAX {
        tracing::warn!(
            addresses = addresses.len(),
            "only the first {CANDIDATE_ADDRESSES_MAX} addresses go into candidates: name those that matter with --announce"
        );
        addresses.truncate(CANDIDATE_ADDRESSES_MAX);
    }
    if addresses.is_empty() {
        tracing::warn!("there is no address to put into candidates: nobody can connect; name one with --announce");
    }
    addresses
}

/// An address of this host's own. Connections reach it where HTTPS listens there: one that is refused costs a client that has
/// nothing else the time of a check, and looks like a firewall's doing.
fn bound(ip: IpAddr, https: IpAddr) -> Announced {
    // A listener on `[::]` takes IPv4 as well.
    let listens = https == ip || https.is_unspecified() && (https.is_ipv6() || ip.is_ipv4());
    let carries = if listens { AnnouncedTransports::Both } else { AnnouncedTransports::Udp };
    Announced { carries, ..ip.into() }
}

/// Who reaches an address, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// The network that a default route leads to.
    DefaultRoute,
    /// Another network of this host.
    Network,
    /// Containers and virtual machines on this host.
    Bridge,
    /// This host. A browser on it then tries first the addresses that every browser can use.
    Loopback,
}

/// How the bridges and pairs of Docker, Podman, Kubernetes, LXC and libvirt are named.
const BRIDGES: [&str; 10] = ["docker", "br-", "veth", "cni", "virbr", "podman", "lxcbr", "lxdbr", "flannel", "cali"];

impl Reach {
    fn of(address: &InterfaceAddress, has_default_route: bool) -> Self {
        if address.loopback {
            Self::Loopback
        } else if has_default_route {
            Self::DefaultRoute
        } else if BRIDGES.iter().any(|bridge| address.interface.starts_with(bridge)) {
            Self::Bridge
        } else {
            Self::Network
        }
    }
}

/// The domains of local networks, which no public name server delegates (RFC 6762 and RFC 8375 reserve two of them).
const LOCAL_DOMAINS: [&str; 6] = ["local", "lan", "home", "home.arpa", "internal", "localdomain"];

/// The names by which machines of its network address this one, in lower case: its host name, alone and in the domains of
/// local networks and of its resolver.
pub(super) fn machine_names() -> Vec<String> {
    let mut resolver = String::new();
    if let Ok(file) = std::fs::File::open("/etc/resolv.conf") {
        // An unreadable file names no domain.
        let _ = file.take(limits::RESOLVER_FILE_BYTES_MAX).read_to_string(&mut resolver);
    }
    names_in(&hostname().unwrap_or_default(), &resolver)
}

/// The names of the machine `hostname` by what its resolver's file says (resolv.conf(5)).
fn names_in(hostname: &str, resolver: &str) -> Vec<String> {
    let hostname = hostname.to_ascii_lowercase();
    // A machine without a name of its own, or with a generic one, is addressed as localhost.
    let label = hostname.split('.').next().unwrap_or_default();
    if label.is_empty() || label == "localhost" {
        return Vec::new();
    }
    let lines = resolver.lines().map(str::split_ascii_whitespace);
    let searched = lines.flat_map(|mut words| match words.next() {
        Some("search" | "domain") => words,
        _ => "".split_ascii_whitespace(),
    });
    let domains = LOCAL_DOMAINS.into_iter().chain(searched);
    let below = domains.map(|domain| domain.trim_matches('.').to_ascii_lowercase()).filter(|domain| !domain.is_empty());
    let mut names: Vec<String> = below.map(|domain| format!("{label}.{domain}")).collect();
    names.extend([label.to_owned(), hostname.clone()]);
    names.sort_unstable();
    names.dedup();
    names
}

/// This machine's host name, if it can be one in DNS.
fn hostname() -> Option<String> {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hostname = hostname.trim();
    let is_dns_name = hostname.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    (!hostname.is_empty() && is_dns_name).then(|| hostname.to_owned())
}

/// The names in the self-signed certificate: all names by which this host is likely to be addressed.
pub(super) fn certificate_names(host: &[InterfaceAddress]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(hostname());
    names.extend(host.iter().map(|address| address.ip.to_string()));
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Settings};

    fn config(settings: &Settings) -> Config {
        let environment = Environment { allowed_cores: vec![0], home: Some("/h".into()), ..Environment::default() };
        Config::load(None, settings, &environment).unwrap()
    }

    fn host() -> Vec<InterfaceAddress> {
        let address = |ip: &str, loopback| InterfaceAddress {
            interface: "x".into(),
            ip: ip.parse().unwrap(),
            loopback,
            mtu_bytes: None,
        };
        vec![address("127.0.0.1", true), address("192.0.2.7", false)]
    }

    fn announced(settings: &Settings) -> Vec<String> {
        candidates(&config(settings), &host(), &[]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_machine_has_its_name_alone_in_local_networks_and_in_its_resolvers_domains() {
        let names = names_in("Studio", "nameserver 192.0.2.1\nsearch fritz.box corp.example.org.\ndomain a.example\n");
        for name in
            ["studio", "studio.local", "studio.lan", "studio.fritz.box", "studio.corp.example.org", "studio.a.example"]
        {
            assert!(names.iter().any(|have| have == name), "{name} is not in {names:?}");
        }
        assert_eq!(names.len(), 1 + LOCAL_DOMAINS.len() + 3, "{names:?}");
        let names = names_in("edge1.example.org", "");
        assert!(
            names.contains(&"edge1.example.org".to_owned()) && names.contains(&"edge1.local".to_owned()),
            "{names:?}"
        );
        assert!(!names.contains(&"example.org".to_owned()), "{names:?}");
        for nameless in ["", "localhost", "localhost.localdomain", ".lan"] {
            assert_eq!(names_in(nameless, "search a.example"), [""; 0], "{nameless}");
        }
    }

    #[test]
    fn loopback_is_announced_only_where_it_is_served() {
        assert_eq!(announced(&Settings::default()), ["192.0.2.7/udp", "127.0.0.1"]);
        let mut everyone =
            Settings { https: Some("0.0.0.0:8443".into()), allow_anyone: Some(true), ..Settings::default() };
        assert_eq!(announced(&everyone), ["192.0.2.7"]);
        everyone.media.ips = Some(vec!["192.0.2.9".into()]);
        assert_eq!(announced(&everyone), ["192.0.2.9"], "media bound to an address is reached there only");
        everyone.https = Some("192.0.2.7:8443".into());
        assert_eq!(announced(&everyone), ["192.0.2.9/udp"], "and HTTPS is not");
        everyone.https = Some("[::]:8443".into());
        assert_eq!(announced(&everyone), ["192.0.2.9"], "HTTPS is everywhere");
        everyone.media.announce = Some(vec!["203.0.113.1".into()]);
        assert_eq!(announced(&everyone), ["203.0.113.1"]);
        everyone.media.announce = Some(vec!["203.0.113.1:443/tcp".into(), "203.0.113.1:30000/udp".into()]);
        assert_eq!(announced(&everyone), ["203.0.113.1:443/tcp", "203.0.113.1:30000/udp"], "as they were named");
    }

    #[test]
    fn the_default_routes_address_comes_first_and_bridges_of_containers_last() {
        let address = |interface: &str, ip: &str| InterfaceAddress {
            interface: interface.into(),
            ip: ip.parse().unwrap(),
            loopback: interface == "lo",
            mtu_bytes: None,
        };
        // As the kernel lists them on a host with Docker, libvirt and a second network card.
        let host = [
            address("lo", "127.0.0.1"),
            address("docker0", "172.17.0.1"),
            address("br-5f0c", "172.18.0.1"),
            address("eth0", "10.0.0.7"),
            address("virbr0", "192.168.122.1"),
            address("eth1", "192.0.2.7"),
            address("br0", "192.0.2.8"),
            address("eth1", "2001:db8::7"),
        ];
        let order = |sources: &[&str]| -> Vec<String> {
            let sources: Vec<IpAddr> = sources.iter().map(|source| source.parse().unwrap()).collect();
            let found = candidates(&config(&Settings::default()), &host, &sources);
            found.iter().map(|announced| announced.ip.to_string()).collect()
        };
        let (bridges, loopback) = (["172.17.0.1", "172.18.0.1", "192.168.122.1"], ["127.0.0.1"]);
        let expected = |first: &[&'static str]| [first, &bridges, &loopback].concat();
        assert_eq!(
            order(&["192.0.2.7", "2001:db8::7"]),
            expected(&["192.0.2.7", "2001:db8::7", "10.0.0.7", "192.0.2.8"])
        );
        assert_eq!(order(&[]), expected(&["10.0.0.7", "192.0.2.7", "192.0.2.8", "2001:db8::7"]));
        // A bridge that the default route goes over is the host's network.
        assert_eq!(order(&["172.18.0.1"])[0], "172.18.0.1");
    }

    #[test]
    fn the_certificate_is_for_localhost_and_every_address() {
        let names = certificate_names(&host());
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7"] {
            assert!(names.iter().any(|have| have == name), "{name} is not in {names:?}");
        }
    }
}

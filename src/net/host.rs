//! What the host's kernel reports: addresses of interfaces, their MTUs, and UDP counters.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

use serde::Serialize;

use super::message::parse_name;
use super::syscall::check;

/// An address of an interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
    /// The interface is a loopback one.
    pub loopback: bool,
    /// Bytes of the longest IP packet it carries, where the kernel tells.
    pub mtu_bytes: Option<u32>,
}

/// The host's addresses: of interfaces that are up, without link-local IPv6 (which is no use in a candidate: RFC 8445
/// §5.1.1.1 leaves it out where others exist, and it needs a scope the peer does not know).
///
/// # Errors
/// What the kernel says.
pub fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the library writes one pointer.
    check(unsafe { libc::getifaddrs(&raw mut list) })?;
    let list = InterfaceList(list);
    let mut addresses = Vec::new();
    let mut next = list.0;
    // SAFETY: the pointer is null or an entry of the list, which lives until `list` is dropped.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        if entry.ifa_flags & libc::IFF_UP as libc::c_uint == 0 {
            continue;
        }
        let Some(ip) = interface_ip(entry) else { continue };
        if matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            continue;
        }
        // SAFETY: the name is a C string of the entry.
        let interface = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy().into_owned();
        let mtu_bytes = mtu(&interface);
        let loopback = entry.ifa_flags & libc::IFF_LOOPBACK as libc::c_uint != 0;
        addresses.push(InterfaceAddress { interface, ip, loopback, mtu_bytes });
    }
    Ok(addresses)
}

/// The addresses from which this host's default routes lead out: at most one of each family, IPv4 first. Nothing is sent:
/// connecting a datagram socket only looks up a route. The addresses asked for are those of documentation (RFC 5737, RFC
/// 3849), which no host has.
#[must_use]
pub fn default_sources() -> Vec<IpAddr> {
    let ways = [("0.0.0.0:0", "203.0.113.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let source = |(any, far): (&str, &str)| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(far).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    ways.into_iter().filter_map(source).collect()
}

/// Frees what `getifaddrs` made.
struct InterfaceList(*mut libc::ifaddrs);

impl Drop for InterfaceList {
    fn drop(&mut self) {
        // SAFETY: the list came from getifaddrs and is freed once.
        unsafe { libc::freeifaddrs(self.0) };
    }
}

fn interface_ip(entry: &libc::ifaddrs) -> Option<IpAddr> {
    // SAFETY: the pointer is null or a socket address of the entry, whose family is its first field.
    let family = libc::c_int::from(unsafe { entry.ifa_addr.as_ref() }?.sa_family);
    let len = match family {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => return None,
    };
    // SAFETY: an address of this family has that many bytes, and the list outlives the slice.
    let name = unsafe { std::slice::from_raw_parts(entry.ifa_addr.cast::<u8>(), len) };
    Some(parse_name(name)?.ip())
}

/// An interface's MTU in bytes.
#[must_use]
pub fn mtu(interface: &str) -> Option<u32> {
    fs::read_to_string(Path::new("/sys/class/net").join(interface).join("mtu")).ok()?.trim().parse().ok()
}

/// The kernel's UDP counters of this network namespace, both families together, since it was made. They show losses
/// that no send or receive call reports, such as those of a full queue below the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KernelUdpCounters {
    /// Datagrams delivered.
    pub in_datagrams: u64,
    /// Datagrams sent.
    pub out_datagrams: u64,
    /// Datagrams to ports nobody listens on.
    pub no_ports: u64,
    /// Datagrams not delivered for any other reason.
    pub in_errors: u64,
    /// Of those: the socket's receive buffer was full (`net.core.rmem_max`, or a worker that is too slow).
    pub receive_buffer_errors: u64,
    /// Datagrams not sent: the send buffer was full, or a queue of the interface dropped them.
    pub send_buffer_errors: u64,
    /// Datagrams with a wrong checksum.
    pub checksum_errors: u64,
    /// Datagrams not delivered because all UDP memory was in use (`net.ipv4.udp_mem`).
    pub memory_errors: u64,
}

impl KernelUdpCounters {
    /// Reads them. A family the host does not have counts nothing.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn read() -> io::Result<Self> {
        let v4 = fs::read_to_string("/proc/thread-self/net/snmp")?;
        let v6 = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default();
        let mut counters = Self::default();
        counters.add_v4(&v4);
        counters.add_v6(&v6);
        Ok(counters)
    }

    /// `/proc/net/snmp`: a line of names and a line of values, both beginning with `Udp:`.
    fn add_v4(&mut self, text: &str) {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
        if let (Some(names), Some(values)) = (lines.next(), lines.next()) {
            for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
                self.add(name, value);
            }
        }
    }

    /// `/proc/net/snmp6`: a line per counter.
    fn add_v6(&mut self, text: &str) {
        for line in text.lines().filter_map(|line| line.strip_prefix("Udp6")) {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(value)) = (words.next(), words.next()) {
                self.add(name, value);
            }
        }
    }

    fn add(&mut self, name: &str, value: &str) {
        let counter = match name {
            "InDatagrams" => &mut self.in_datagrams,
            "OutDatagrams" => &mut self.out_datagrams,
            "NoPorts" => &mut self.no_ports,
            "InErrors" => &mut self.in_errors,
            "RcvbufErrors" => &mut self.receive_buffer_errors,
            "SndbufErrors" => &mut self.send_buffer_errors,
            "InCsumErrors" => &mut self.checksum_errors,
            "MemErrors" => &mut self.memory_errors,
            _ => return,
        };
        *counter += value.parse::<u64>().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn loopback_is_listed_with_its_mtu_and_link_local_addresses_are_not() {
        let addresses = interface_addresses().unwrap();
        let loopback = addresses.iter().find(|address| address.ip == IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        assert!(loopback.loopback && loopback.interface == "lo" && loopback.mtu_bytes >= Some(1_280), "{loopback:?}");
        assert!(!addresses.iter().any(|address| matches!(address.ip, IpAddr::V6(ip) if ip.is_unicast_link_local())));
        assert_eq!(mtu("no such interface"), None);
    }

    #[test]
    fn a_default_routes_source_is_an_address_of_this_host() {
        let own: Vec<IpAddr> = interface_addresses().unwrap().into_iter().map(|address| address.ip).collect();
        let sources = default_sources();
        assert!(sources.len() <= 2 && sources.iter().all(|source| own.contains(source)), "{sources:?} of {own:?}");
    }

    #[test]
    fn both_families_are_added_up() {
        let mut counters = KernelUdpCounters::default();
        counters.add_v4(
            "Tcp: X\nTcp: 1\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors \
             IgnoredMulti MemErrors\nUdp: 10 1 2 20 3 4 5 6 7\nUdpLite: InDatagrams\nUdpLite: 99\n",
        );
        counters.add_v6("Ip6InReceives 5\nUdp6InDatagrams 100\nUdp6RcvbufErrors 30\nUdpLite6InDatagrams 99\n");
        assert_eq!(
            counters,
            KernelUdpCounters {
                in_datagrams: 110,
                out_datagrams: 20,
                no_ports: 1,
                in_errors: 2,
                receive_buffer_errors: 33,
                send_buffer_errors: 4,
                checksum_errors: 5,
                memory_errors: 7,
            }
        );
    }

    #[test]
    fn a_datagram_that_is_sent_and_received_shows_in_the_counters() {
        let before = KernelUdpCounters::read().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        socket.recv(&mut [0; 8]).unwrap();
        let after = KernelUdpCounters::read().unwrap();
        assert!(after.out_datagrams > before.out_datagrams && after.in_datagrams > before.in_datagrams);
    }
}

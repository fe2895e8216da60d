//! The ports of the configuration: free, or held by which process. This is read from the kernel's socket tables.
//! Binding a port to try it would take it from a node that starts at that moment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::finding::Finding;
use super::system::System;
use crate::config::Config;

/// A bound UDP socket or a listening TCP one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BoundSocket {
    address: SocketAddr,
    inode: u64,
}

pub(super) fn examine(system: &System, config: &Config) -> Vec<Finding> {
    let udp = table(system, ["udp", "udp6"], None);
    // 0A is the state of a listening socket.
    let tcp = table(system, ["tcp", "tcp6"], Some("0A"));
    let first = config.media.port_base;
    let last = first.saturating_add(u16::try_from(config.cores.len().saturating_sub(1)).unwrap_or(u16::MAX));
    let wildcard = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let ips = if config.media.ips.is_empty() { &wildcard[..] } else { &config.media.ips };
    let media: Vec<SocketAddr> =
        (first..=last).flat_map(|port| ips.iter().map(move |ip| SocketAddr::new(*ip, port))).collect();
    let mut findings = vec![
        state(system, format!("UDP {first} to {last}"), &media, &udp, "--media-port-base"),
        ephemeral(system, first, last),
    ];
    let listeners = [
        ("https", Some(config.https)),
        ("http", config.http),
        ("http-redirect", config.http_redirect),
        ("admin", Some(config.admin)),
    ];
    for (setting, address) in listeners {
        // With port 0 the system chooses a free port.
        if let Some(address) = address.filter(|address| address.port() != 0) {
            findings.push(state(system, format!("{setting} {address}"), &[address], &tcp, &format!("--{setting}")));
        }
    }
    findings
}

/// Whether any of `wanted` is bound.
fn state(system: &System, what: String, wanted: &[SocketAddr], bound: &[BoundSocket], setting: &str) -> Finding {
    let taken: Vec<&BoundSocket> =
        bound.iter().filter(|bound| wanted.iter().any(|wanted| collide(*wanted, bound.address))).collect();
    let Some(first) = taken.first() else { return Finding::ok(what, "free") };
    let inodes: Vec<u64> = taken.iter().map(|bound| bound.inode).collect();
    let (protocol, tool) = if what.starts_with("UDP") { ("UDP", "ss -ulpn") } else { ("TCP", "ss -ltnp") };
    match holder(system, &inodes) {
        Some((name, pid)) if name == "corecast" => Finding::ok(what, format!("held by a running node (process {pid})")),
        Some((name, pid)) => Finding::error(
            what,
            format!("{protocol} {} is held by {name} (process {pid})", first.address),
            format!("end that program, or choose another {setting}"),
        ),
        None => Finding::warning(
            what,
            format!("{protocol} {} is held by a process this user may not look at", first.address),
            format!("run the doctor as root, or `{tool}`: if it is not the node, choose another {setting}"),
        ),
    }
}

/// Whether the two sockets cannot exist at the same time. An IPv6 socket may accept IPv4 too, but a node's sockets do
/// not.
fn collide(wanted: SocketAddr, bound: SocketAddr) -> bool {
    let same_family = wanted.is_ipv4() == bound.is_ipv4();
    let everywhere = wanted.ip().is_unspecified() || bound.ip().is_unspecified();
    wanted.port() == bound.port() && same_family && (everywhere || wanted.ip() == bound.ip())
}

/// The name and number of the first process that has one of these sockets open.
fn holder(system: &System, inodes: &[u64]) -> Option<(String, u32)> {
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for process in system.names("proc").into_iter().filter_map(|name| name.parse::<u32>().ok()) {
        let directory = format!("proc/{process}/fd");
        let holds =
            |fd: &String| system.link(&Path::new(&directory).join(fd)).is_some_and(|target| wanted.contains(&target));
        if system.names(&directory).iter().any(holds) {
            return Some((system.text(&format!("proc/{process}/comm"))?, process));
        }
    }
    None
}

/// The sockets of both address families; only those in `state` if that is given.
fn table(system: &System, names: [&str; 2], state: Option<&str>) -> Vec<BoundSocket> {
    let text = |name| system.text(&format!("proc/net/{name}")).unwrap_or_default();
    names.into_iter().flat_map(|name| parse_table(&text(name), state)).collect()
}

/// Parses `/proc/net/udp` and files like it. After a line of titles there is a line per socket: number, local address,
/// remote address, state, …, and the inode as the tenth word.
fn parse_table(text: &str, state: Option<&str>) -> Vec<BoundSocket> {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, found, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        let address = parse_address(local)?;
        state.is_none_or(|wanted| wanted == *found).then_some(BoundSocket { address, inode: inode.parse().ok()? })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Parses an address like `0100007F:4E20`: 32-bit words in the machine's byte order, and a port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut octets = [0; 16];
            for (at, four) in octets.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            IpAddr::from(octets)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Checks whether the kernel may give media ports to any program that asks for a free port.
fn ephemeral(system: &System, first: u16, last: u16) -> Finding {
    let range = system.text("proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let reserved = system.text("proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default();
    let mut bounds = range.split_whitespace().map(|word| word.parse::<u16>().unwrap_or(0));
    let (low, high) = (bounds.next().unwrap_or(0), bounds.next().unwrap_or(0));
    let reserved: Vec<u16> = super::system::core_list(&reserved);
    let exposed = (first..=last).any(|port| (low..=high).contains(&port) && !reserved.contains(&port));
    let found = format!("{low} to {high} are given to any program");
    if !exposed {
        return Finding::ok("ephemeral range", found);
    }
    let fix = format!("a lower --media-port-base, or tuning/buffers.sh apply --port-base {first} (reserves the ports)");
    Finding::warning("ephemeral range", format!("{found}, UDP {first} to {last} among them"), fix)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level::{Error, Ok as Fine, Warning};
    use super::*;

    const UDP: &str =
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref
 1062: 0100007F:4E20 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 81 2 0000000000000000 0
 1063: 00000000:4E21 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 82 2 0000000000000000 0
";
    const UDP6: &str =
        "  sl  local_address                         remote_address                        st tx_queue rx_queue
 1062: 00000000000000000000000001000000:4E22 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 83 2 0 0
";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_kernels_tables_are_read_in_both_families_and_by_state() {
        let bound = |text: &str, inode| BoundSocket { address: address(text), inode };
        assert_eq!(parse_table(UDP, None), [bound("127.0.0.1:20000", 81), bound("0.0.0.0:20001", 82)]);
        assert_eq!(parse_table(UDP6, None), [bound("[::1]:20002", 83)]);
        assert_eq!(parse_table(UDP, Some("0A")), []);
        assert_eq!(parse_table("title\nshort line\n 1: XY:1 a b c d e f g h\n", None), []);
    }

    #[test]
    fn addresses_collide_as_the_kernel_says() {
        for (wanted, bound, collides) in [
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("[::]:1", "127.0.0.1:1", false),
        ] {
            assert_eq!(collide(address(wanted), address(bound)), collides, "{wanted} {bound}");
        }
    }

    #[test]
    fn a_held_port_names_its_holder_and_the_nodes_own_port_is_fine() {
        let root = tempfile::tempdir().unwrap();
        let system = System::at(root.path());
        let ask = || {
            let bound = parse_table(UDP, None);
            state(&system, "UDP 20000 to 20000".to_owned(), &[address("0.0.0.0:20000")], &bound, "--media-port-base")
        };
        assert_eq!(ask().level, Warning, "nobody may look");
        let fd = root.path().join("proc/77/fd");
        std::fs::create_dir_all(&fd).unwrap();
        std::os::unix::fs::symlink("socket:[81]", fd.join("5")).unwrap();
        for (name, level) in [("other\n", Error), ("corecast\n", Fine)] {
            std::fs::write(root.path().join("proc/77/comm"), name).unwrap();
            let finding = ask();
            assert!(finding.level == level && finding.found.contains("process 77"), "{finding:?}");
        }
        let free = state(&system, "UDP".to_owned(), &[address("0.0.0.0:9")], &parse_table(UDP, None), "");
        assert_eq!((free.level, free.found.as_str()), (Fine, "free"));
    }

    #[test]
    fn ports_in_the_ephemeral_range_are_a_warning_unless_they_are_reserved() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("proc/sys/net/ipv4");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("ip_local_port_range"), "32768\t60999\n").unwrap();
        let system = System::at(root.path());
        assert_eq!(ephemeral(&system, 20_000, 20_007).level, Fine);
        assert_eq!(ephemeral(&system, 32_760, 32_768).level, Warning);
        std::fs::write(directory.join("ip_local_reserved_ports"), "32768,40000-40003\n").unwrap();
        assert_eq!(ephemeral(&system, 32_760, 32_768).level, Fine);
        assert_eq!(ephemeral(&system, 40_000, 40_004).level, Warning);
    }
}

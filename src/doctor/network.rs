//! The network: which work each interface takes off the processor, the sockets' buffers, and what the kernel dropped.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::finding::Finding;
use super::system::{System, bytes_text};
use crate::config::Config;
use crate::limits;
use crate::net::ethtool::{Ethtool, Feature, Setting};
use crate::net::host::{self, InterfaceAddress, KernelUdpCounters};

/// Bytes of IPv6 and UDP headers. An MTU includes them; a datagram's length does not.
const HEADER_BYTES: usize = 40 + 8;

/// Entries that a receive ring needs for the largest burst that a worker's socket does not hold: a millisecond of 10
/// Gbit/s.
const RING_ENTRIES_MIN: u32 = 1_024;

/// Checks how large the socket buffers of a node without `CAP_NET_ADMIN` may be.
pub(super) fn sockets(system: &System, workers: usize) -> Vec<Finding> {
    let buffer = |what: &str, sysctl: &str| {
        let bytes: u64 = system.value(&format!("proc/sys/net/core/{sysctl}"))?;
        let wanted = limits::SOCKET_BUFFER_BYTES as u64;
        let found = format!("{} of {} for each of {workers} workers", bytes_text(bytes), bytes_text(wanted));
        let fix = format!("sysctl -w net.core.{sysctl}={wanted} (tuning/buffers.sh apply), or CAP_NET_ADMIN");
        Some(if bytes < wanted { Finding::warning(what, found, fix) } else { Finding::ok(what, bytes_text(bytes)) })
    };
    let buffers = [buffer("receive buffer", "rmem_max"), buffer("send buffer", "wmem_max")];
    buffers.into_iter().flatten().collect()
}

/// Examines every interface that media may use: those with the bound or announced addresses, else all that are up.
/// Loopback is among them only if nothing but loopback is served.
pub(super) fn interfaces(system: &System, config: &Config) -> Vec<Finding> {
    let addresses = match host::interface_addresses() {
        Ok(addresses) => addresses,
        Err(error) => return vec![Finding::warning("interfaces", error.to_string(), "look at `ip address`")],
    };
    let announced = config.media.announce.iter().map(|address| address.ip);
    let named: Vec<IpAddr> = config.media.ips.iter().copied().chain(announced).collect();
    let chosen = choose(&addresses, &named, config.is_loopback_only());
    if chosen.is_empty() {
        return vec![Finding::error("interfaces", "none that media could use is up", "ip link set INTERFACE up")];
    }
    let ethtool = Ethtool::open().ok();
    let mut findings = Vec::new();
    for (interface, mtu) in chosen {
        findings.extend(mtu.map(|mtu| mtu_finding(&interface, mtu)));
        let Some(ethtool) = &ethtool else { continue };
        match ethtool.features(&interface) {
            Ok(features) => findings.extend(offloads(&interface, &features)),
            Err(error) => {
                let found = format!("the driver does not tell ({error})");
                findings.push(Finding::ok(format!("{interface} offloads"), found));
            }
        }
        // A virtual interface has neither rings nor queues that could be set.
        findings.extend(ethtool.rings(&interface).ok().map(|(receive, _)| ring(&interface, receive)));
        findings
            .extend(ethtool.receive_queues(&interface).ok().map(|found| queues(&interface, found, config.cores.len())));
        findings.extend(dropped(system, &interface));
    }
    findings
}

/// The interfaces to examine, each once, with their MTUs. If no interface has any of the `named` addresses, they are
/// those of a NAT, and all interfaces are examined.
fn choose(addresses: &[InterfaceAddress], named: &[IpAddr], loopback_only: bool) -> BTreeMap<String, Option<u32>> {
    let is_here = |ip: &IpAddr| addresses.iter().any(|address| address.ip == *ip);
    let here: Vec<&IpAddr> = named.iter().filter(|ip| is_here(ip)).collect();
    addresses
        .iter()
        .filter(
            |address| if here.is_empty() { !address.loopback || loopback_only } else { here.contains(&&address.ip) },
        )
        .map(|address| (address.interface.clone(), address.mtu_bytes))
        .collect()
}

fn mtu_finding(interface: &str, mtu_bytes: u32) -> Finding {
    let what = format!("{interface} MTU");
    let carries = (mtu_bytes as usize).saturating_sub(HEADER_BYTES);
    if carries >= limits::DATAGRAM_OUT_BYTES_MAX {
        return Finding::ok(what, format!("{mtu_bytes} bytes"));
    }
    let found =
        format!("{mtu_bytes} bytes: datagrams over {carries} are dropped (browsers send up to 1,222, encoders 1,452)");
    let fix = format!(
        "ip link set {interface} mtu 1500 where the network carries it, else packets of {carries} bytes from encoders"
    );
    Finding::warning(what, found, fix)
}

fn offloads(interface: &str, features: &[Feature]) -> Vec<Finding> {
    let find = |name: &str| features.iter().find(|feature| feature.name == name);
    let active = |name: &str| find(name).is_some_and(|feature| feature.active);
    let on = |name: &str| format!("ethtool -K {interface} {name} on (tuning/nic.sh apply)");
    let what = format!("{interface} segmentation");
    let checksums = ["tx-checksum-ip-generic", "tx-checksum-ipv4", "tx-checksum-ipv6"].into_iter().any(active);
    let segmentation = if active("tx-udp-segmentation") {
        Finding::ok(what, "by the card: a train passes the kernel whole (USO)")
    } else if find("tx-udp-segmentation").is_some_and(|feature| feature.changeable) {
        Finding::warning(what, "by the kernel, although the card could (USO is off)", on("tx-udp-segmentation"))
    } else if !active("tx-generic-segmentation") {
        Finding::warning(what, "early: generic segmentation is off", on("tx-generic-segmentation"))
    } else if !checksums {
        let found = "by the node: without checksum offload older kernels refuse trains (EIO)";
        Finding::warning(what, found, on("tx-checksum-ip-generic"))
    } else {
        Finding::ok(what, "by the kernel, late (GSO); the card has no USO")
    };
    let what = format!("{interface} receive merging");
    let merging = if active("rx-gro") {
        Finding::ok(what, "on (GRO)")
    } else {
        Finding::warning(what, "off: signalling's TCP costs more", on("gro"))
    };
    vec![segmentation, merging]
}

fn ring(interface: &str, receive: Setting) -> Finding {
    let what = format!("{interface} receive ring");
    let found = format!("{} of {} entries", receive.now, receive.max);
    let wanted = receive.max.min(4 * RING_ENTRIES_MIN);
    if receive.now >= receive.max.min(RING_ENTRIES_MIN) {
        return Finding::ok(what, found);
    }
    Finding::warning(what, found, format!("ethtool -G {interface} rx {wanted} (tuning/nic.sh apply)"))
}

fn queues(interface: &str, receive: Setting, workers: usize) -> Finding {
    let what = format!("{interface} queues");
    let wanted = receive.max.min(u32::try_from(workers).unwrap_or(u32::MAX));
    let found = format!("{} for {workers} workers (the card has {})", receive.now, receive.max);
    if receive.now >= wanted {
        return Finding::ok(what, found);
    }
    Finding::warning(what, found, format!("ethtool -L {interface} combined {wanted} (tuning/nic.sh apply)"))
}

/// Packets that the interface lost before they reached a socket, because its ring was full or there was no memory for a
/// buffer.
fn dropped(system: &System, interface: &str) -> Option<Finding> {
    let count = |name: &str| system.value::<u64>(&format!("sys/class/net/{interface}/statistics/{name}"));
    let received = count("rx_packets")?;
    let missed = count("rx_missed_errors")? + count("rx_fifo_errors")?;
    let fix = format!("a larger receive ring (tuning/nic.sh apply); `ethtool -S {interface}` tells which queue");
    Some(share(&format!("{interface} missed"), missed, received, "packets missed by the card", fix))
}

/// UDP datagrams that the kernel dropped since the network namespace was created. Those of other programs are included.
pub(super) fn counters(counters: &KernelUdpCounters) -> Vec<Finding> {
    let KernelUdpCounters { in_datagrams, out_datagrams, .. } = *counters;
    let receive =
        "net.core.rmem_max (tuning/buffers.sh apply) and restart the node; else more workers: one is too slow";
    let send =
        "net.core.wmem_max, then a longer queue (`tc -s qdisc` shows what the interface dropped), or less to send";
    vec![
        share(
            "UDP receive drops",
            counters.receive_buffer_errors,
            in_datagrams,
            "datagrams met a full buffer",
            receive,
        ),
        share(
            "UDP send drops",
            counters.send_buffer_errors,
            out_datagrams,
            "datagrams were dropped below the socket",
            send,
        ),
        share(
            "UDP memory drops",
            counters.memory_errors,
            in_datagrams,
            "datagrams found no UDP memory",
            "net.ipv4.udp_mem",
        ),
    ]
}

/// A finding about a share of lost packets. From one in ten thousand on, a viewer's picture needs retransmissions all
/// the time.
fn share(what: &str, lost: u64, passed: u64, of_what: &str, fix: impl Into<String>) -> Finding {
    let found = if lost == 0 { "none".to_owned() } else { format!("{lost} {of_what}, {passed} passed") };
    if lost.saturating_mul(10_000) > passed { Finding::warning(what, found, fix) } else { Finding::ok(what, found) }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level::{Ok as Fine, Warning};
    use super::*;

    fn features(on: &[&str], changeable: &[&str]) -> Vec<Feature> {
        let names = ["tx-udp-segmentation", "tx-generic-segmentation", "tx-checksum-ip-generic", "rx-gro"];
        names
            .into_iter()
            .map(|name| Feature {
                name: name.to_owned(),
                active: on.contains(&name),
                changeable: changeable.contains(&name),
            })
            .collect()
    }

    #[test]
    fn segmentation_findings_say_who_segments_and_how_to_offload_it() {
        let (gso, checksum) = ("tx-generic-segmentation", "tx-checksum-ip-generic");
        for (on, changeable, level, part) in [
            (&["tx-udp-segmentation"][..], &[][..], Fine, "by the card"),
            (&[gso, checksum], &["tx-udp-segmentation"], Warning, "ethtool -K eth0 tx-udp-segmentation on"),
            (&[gso, checksum], &[], Fine, "no USO"),
            (&[checksum], &[], Warning, "tx-generic-segmentation on"),
            (&[gso], &[], Warning, "EIO"),
        ] {
            let finding = &offloads("eth0", &features(on, changeable))[0];
            let text = format!("{} {}", finding.found, finding.fix);
            assert!(finding.level == level && text.contains(part), "{finding:?}");
        }
        assert_eq!(offloads("eth0", &features(&["rx-gro"], &[]))[1].level, Fine);
        assert_eq!(offloads("eth0", &features(&[], &[]))[1].level, Warning);
    }

    #[test]
    fn an_mtu_below_ethernets_is_told_with_what_it_still_carries() {
        assert_eq!(mtu_finding("eth0", 1_500).level, Fine);
        let short = mtu_finding("eth0", 1_400);
        assert!(short.level == Warning && short.found.contains("over 1352"), "{short:?}");
    }

    #[test]
    fn rings_and_queues_are_measured_against_what_the_card_has() {
        for (now, max, level) in [(256, 4_096, Warning), (1_024, 4_096, Fine), (256, 256, Fine)] {
            assert_eq!(ring("eth0", Setting { now, max }).level, level, "{now} of {max}");
        }
        for (now, max, workers, level) in [(1, 8, 4, Warning), (4, 8, 4, Fine), (1, 1, 4, Fine)] {
            assert_eq!(queues("eth0", Setting { now, max }, workers).level, level, "{now} of {max}, {workers}");
        }
        assert!(queues("eth0", Setting { now: 1, max: 8 }, 4).fix.contains("combined 4"));
    }

    #[test]
    fn drops_are_told_in_proportion() {
        let counted = KernelUdpCounters { in_datagrams: 1_000_000, receive_buffer_errors: 101, ..Default::default() };
        assert_eq!(counters(&counted)[0].level, Warning);
        let few = KernelUdpCounters { receive_buffer_errors: 100, ..counted };
        assert!(counters(&few).iter().all(|finding| finding.level == Fine));
        assert_eq!(counters(&few)[0].found, "100 datagrams met a full buffer, 1000000 passed");
    }

    #[test]
    fn the_interfaces_are_those_media_uses() {
        let address = |interface: &str, ip: &str, loopback| InterfaceAddress {
            interface: interface.to_owned(),
            ip: ip.parse().unwrap(),
            loopback,
            mtu_bytes: None,
        };
        let host =
            [address("lo", "127.0.0.1", true), address("a", "192.0.2.1", false), address("b", "192.0.2.2", false)];
        let chosen = |named: &[&str], loopback_only| {
            let named: Vec<IpAddr> = named.iter().map(|ip| ip.parse().unwrap()).collect();
            choose(&host, &named, loopback_only).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(chosen(&[], false), ["a", "b"]);
        assert_eq!(chosen(&[], true), ["a", "b", "lo"]);
        assert_eq!(chosen(&["192.0.2.2"], false), ["b"]);
        assert_eq!(chosen(&["203.0.113.7"], false), ["a", "b"], "a NAT's address");
    }

    #[test]
    fn small_buffers_are_told_with_the_sysctl() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/sys/net/core")).unwrap();
        std::fs::write(root.path().join("proc/sys/net/core/rmem_max"), "212992\n").unwrap();
        std::fs::write(root.path().join("proc/sys/net/core/wmem_max"), "4194304\n").unwrap();
        let [receive, send] = &sockets(&System::at(root.path()), 2)[..] else { panic!("both are told") };
        assert!(receive.level == Warning && receive.fix.contains("net.core.rmem_max=4194304"), "{receive:?}");
        assert_eq!((send.level, send.found.as_str()), (Fine, "4 MiB"));
    }
}

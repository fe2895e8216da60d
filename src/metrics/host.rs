//! The build, and the kernel's figures about this process and its network namespace. They are read at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::figure::{self, Figure, Labels, Read, Value, counter, gauge};
use crate::net::host::KernelUdpCounters;
use crate::net::process;

/// The build that is running.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// The package's version.
    pub version: &'static str,
    /// The commit.
    pub commit: &'static str,
    /// The cargo features.
    pub features: &'static str,
}

pub(super) const BUILD: &[Figure<BuildInfo>] = &[gauge("build", "What runs; always 1", "node", Read::Several(build))];

fn build(build: &BuildInfo) -> Vec<(Labels, Value)> {
    let labels = [("version", build.version), ("commit", build.commit), ("features", build.features)];
    vec![(labels.map(|(name, text)| (name, text.to_owned())).to_vec(), Value::Count(1))]
}

impl Collector for BuildInfo {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        figure::encode(&mut encoder, BUILD, &[(Labels::new(), self)])
    }
}

/// The kernel's figures, as a collector.
#[derive(Debug)]
pub(super) struct Host;

/// Bytes of memory.
pub(super) const MEMORY: &[Figure<u64>] = &[gauge(
    "resident_memory_bytes",
    "Memory the process has resident",
    "resident_memory_bytes",
    Read::Count(|bytes| *bytes),
)];

pub(super) const KERNEL_UDP: &[Figure<KernelUdpCounters>] = &[
    counter(
        "kernel_udp_in_datagrams",
        "UDP datagrams delivered, all programs' of this network namespace",
        "kernel_udp.in_datagrams",
        Read::Count(|k| k.in_datagrams),
    ),
    counter(
        "kernel_udp_out_datagrams",
        "UDP datagrams sent, all programs' of this network namespace",
        "kernel_udp.out_datagrams",
        Read::Count(|k| k.out_datagrams),
    ),
    counter(
        "kernel_udp_no_ports",
        "UDP datagrams to ports nobody listens on",
        "kernel_udp.no_ports",
        Read::Count(|k| k.no_ports),
    ),
    counter(
        "kernel_udp_in_errors",
        "UDP datagrams not delivered for any other reason",
        "kernel_udp.in_errors",
        Read::Count(|k| k.in_errors),
    ),
    counter(
        "kernel_udp_receive_buffer_errors",
        "Of those: a socket's receive buffer was full",
        "kernel_udp.receive_buffer_errors",
        Read::Count(|k| k.receive_buffer_errors),
    ),
    counter(
        "kernel_udp_send_buffer_errors",
        "UDP datagrams not sent: a send buffer or an interface's queue was full",
        "kernel_udp.send_buffer_errors",
        Read::Count(|k| k.send_buffer_errors),
    ),
    counter(
        "kernel_udp_checksum_errors",
        "UDP datagrams with a wrong checksum",
        "kernel_udp.checksum_errors",
        Read::Count(|k| k.checksum_errors),
    ),
    counter(
        "kernel_udp_memory_errors",
        "UDP datagrams not delivered for want of UDP memory",
        "kernel_udp.memory_errors",
        Read::Count(|k| k.memory_errors),
    ),
];

impl Collector for Host {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Ok(bytes) = process::resident_bytes() {
            figure::encode(&mut encoder, MEMORY, &[(Labels::new(), &bytes)])?;
        }
        let Ok(counters) = KernelUdpCounters::read() else { return Ok(()) };
        figure::encode(&mut encoder, KERNEL_UDP, &[(Labels::new(), &counters)])
    }
}

//! A worker's UDP sockets: one per local address, all on the worker's port, unconnected (measured cheaper than one
//! connected socket per viewer), never shared.
//!
//! | Option | Why |
//! |---|---|
//! | `SO_RCVBUF`, `SO_SNDBUF` | the stock buffer holds 92 packets; set, read back, and a warning names the sysctl |
//! | `SO_TIMESTAMPNS` | a datagram's time is when the kernel took it, not when a busy worker read it: publishers estimate their bandwidth from it |
//! | `IP_PKTINFO`, `IPV6_RECVPKTINFO` | only on wildcard sockets: replies must leave from the address the peer used (RFC 8445 §7.3); elsewhere the bound address is it, and 65–75 ns a train are saved |
//! | `IP_MTU_DISCOVER` = `DO` (both families) | a datagram is never fragmented, here or on the way (don't-fragment is set, RFC 1191), and one longer than the path is known to carry is refused with `EMSGSIZE` and counted. The kernel learns the path's size from ICMP; `PROBE` would ignore that and lose such datagrams uncounted. A forged ICMP can lower one destination's path to 552 bytes for ten minutes, which harms that viewer only |
//! | `IP_TOS`, `IPV6_TCLASS` | where `media.dscp` asks for a mark |
//! | `IPV6_V6ONLY` | IPv4 has its own socket: native addresses, cheaper route look-ups, no mapped addresses anywhere |
//! | `SO_REUSEADDR`, `SO_REUSEPORT` | not set: with them another process could take over the port unseen. A port that is still held by a process that is ending is waited for instead |
//! | `O_NONBLOCK` | not set: an io_uring receive on such a socket ends instead of waiting. Every call says `MSG_DONTWAIT` |

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::thread;
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};

use super::offload::Offload;
use super::start_error::StartError;
use super::syscall::{get_option, set_option};
use super::waker::{Sleeper, Waker};
use crate::limits;

/// The UDP sockets of one worker and its waker: opened in the main thread, moved to the worker's.
#[derive(Debug)]
pub struct MediaSockets {
    pub(super) sockets: Vec<MediaSocket>,
    pub(super) sleeper: Sleeper,
    warnings: Vec<BufferWarning>,
}

/// One UDP socket; its index in the worker's list is [`UdpPath::socket`](crate::transport::UdpPath::socket).
#[derive(Debug)]
pub(super) struct MediaSocket {
    socket: Socket,
    pub(super) local: SocketAddr,
    pub(super) offload: Offload,
}

impl MediaSockets {
    /// Opens a socket on each of `ips` and `port`; with no `ips`, on all addresses of both families (IPv6 only
    /// where the host has it). Port 0 lets the kernel choose one port for all of them. A port in use is tried
    /// again for [`limits::BIND_RETRY_MAX`].
    ///
    /// # Errors
    /// [`StartError::Bind`], [`StartError::SocketOption`], [`StartError::TooManyAddresses`],
    /// [`StartError::EventLoop`].
    pub fn open(ips: &[IpAddr], port: u16) -> Result<Self, StartError> {
        if ips.len() > limits::SOCKETS_PER_WORKER_MAX {
            return Err(StartError::TooManyAddresses { asked: ips.len() });
        }
        let sleeper =
            Sleeper::new().map_err(|source| StartError::EventLoop { what: "the worker's wake-up event", source })?;
        let mut opened = Self { sockets: Vec::new(), sleeper, warnings: Vec::new() };
        if ips.is_empty() {
            opened.add(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)?;
            match opened.add(IpAddr::V6(Ipv6Addr::UNSPECIFIED), opened.port()) {
                Err(StartError::Bind { source, .. }) if no_ipv6(&source) => {}
                result => result?,
            }
        }
        for ip in ips {
            let port = if opened.sockets.is_empty() { port } else { opened.port() };
            opened.add(*ip, port)?;
        }
        Ok(opened)
    }

    fn add(&mut self, ip: IpAddr, port: u16) -> Result<(), StartError> {
        let (socket, warnings) = MediaSocket::open(SocketAddr::new(ip, port))?;
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        self.sockets.push(socket);
        Ok(())
    }

    /// Marks what they send with a differentiated services code point (RFC 2474 §3), 0 to 63.
    ///
    /// # Errors
    /// [`StartError::SocketOption`].
    pub fn mark(&self, dscp: u8) -> Result<(), StartError> {
        for MediaSocket { socket, local, .. } in &self.sockets {
            let (level, name, option) = match local {
                SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS, "IP_TOS"),
                SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, "IPV6_TCLASS"),
            };
            // The two low bits are ECN's.
            set_option(socket.as_fd(), level, name, libc::c_int::from(dscp) << 2)
                .map_err(|source| StartError::SocketOption { option, address: *local, source })?;
        }
        Ok(())
    }

    /// The port that all of them share.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.sockets.first().map_or(0, |socket| socket.local.port())
    }

    /// The addresses they are bound to, in the order of [`UdpPath::socket`](crate::transport::UdpPath::socket).
    pub fn local_addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.iter().map(|socket| socket.local)
    }

    /// The descriptors, in the same order, for benches and tests that set other options on them.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> + '_ {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Ends the worker's waits from any thread, before and after the worker's thread has begun.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.sleeper.waker()
    }

    /// Socket buffers that are smaller than asked for, each kind once.
    #[must_use]
    pub fn warnings(&self) -> &[BufferWarning] {
        &self.warnings
    }
}

impl MediaSocket {
    fn open(address: SocketAddr) -> Result<(Self, Vec<BufferWarning>), StartError> {
        let bind_error = |source| StartError::Bind { address, source };
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP)).map_err(bind_error)?;
        let need = |option, result: io::Result<()>| {
            result.map_err(|source| StartError::SocketOption { option, address, source })
        };
        let fd = socket.as_fd();
        let wildcard = address.ip().is_unspecified();
        match address {
            SocketAddr::V4(_) => {
                let discover = set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO);
                need("IP_MTU_DISCOVER", discover)?;
                if wildcard {
                    need("IP_PKTINFO", set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1))?;
                }
            }
            SocketAddr::V6(_) => {
                need("IPV6_V6ONLY", socket.set_only_v6(true))?;
                let discover = set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO);
                need("IPV6_MTU_DISCOVER", discover)?;
                if wildcard {
                    need("IPV6_RECVPKTINFO", set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1))?;
                }
            }
        }
        need("SO_TIMESTAMPNS", set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1))?;
        let warnings = [BufferKind::Receive, BufferKind::Send]
            .into_iter()
            .filter_map(|kind| kind.enlarge(fd, limits::SOCKET_BUFFER_BYTES).transpose())
            .collect::<io::Result<Vec<_>>>()
            .map_err(|source| StartError::SocketOption { option: "SO_RCVBUF or SO_SNDBUF", address, source })?;
        // Setting "no segmentation" changes nothing and tells whether the kernel knows the option at all.
        let offload = Offload::new(set_option(fd, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok());

        bind(&socket, address, || thread::sleep(limits::BIND_RETRY_INTERVAL)).map_err(bind_error)?;
        let local = socket.local_addr().map_err(bind_error)?.as_socket().unwrap_or(address);
        Ok((Self { socket, local, offload }, warnings))
    }

    /// Whether datagrams of several local addresses arrive here.
    pub(super) fn is_wildcard(&self) -> bool {
        self.local.ip().is_unspecified()
    }
}

impl AsFd for MediaSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for MediaSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Binds, waiting for a port that is still held: a process that ends with a receive armed on its ring keeps the
/// port for some milliseconds.
fn bind(socket: &Socket, address: SocketAddr, mut pause: impl FnMut()) -> io::Result<()> {
    let deadline = Instant::now() + limits::BIND_RETRY_MAX;
    loop {
        match socket.bind(&address.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => pause(),
            result => return result,
        }
    }
}

/// Whether the host has no IPv6 (not built in, or `ipv6.disable=1`, or disabled on every interface).
fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT))
}

/// Which of a socket's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferKind {
    /// `SO_RCVBUF`.
    Receive,
    /// `SO_SNDBUF`.
    Send,
}

impl BufferKind {
    /// Asks for `wanted` bytes, beyond the sysctl where the process may; returns a warning when it got less.
    fn enlarge(self, socket: BorrowedFd<'_>, wanted: usize) -> io::Result<Option<BufferWarning>> {
        let (plain, force) = match self {
            Self::Receive => (libc::SO_RCVBUF, libc::SO_RCVBUFFORCE),
            Self::Send => (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE),
        };
        let value = libc::c_int::try_from(wanted).unwrap_or(libc::c_int::MAX);
        // The kernel stores and reports twice what was asked for, because its own bookkeeping is charged too.
        let granted = || -> io::Result<usize> {
            Ok(usize::try_from(get_option(socket, libc::SOL_SOCKET, plain)?).unwrap_or(0) / 2)
        };
        set_option(socket, libc::SOL_SOCKET, plain, value)?;
        if granted()? < wanted {
            // Needs CAP_NET_ADMIN; without it the warning says what to do.
            let _ = set_option(socket, libc::SOL_SOCKET, force, value);
        }
        let got = granted()?;
        Ok((got < wanted).then_some(BufferWarning { kind: self, wanted_bytes: wanted, got_bytes: got }))
    }
}

/// A socket buffer is smaller than asked for: bursts will be lost that a larger one would hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferWarning {
    /// Which buffer.
    pub kind: BufferKind,
    /// Bytes asked for.
    pub wanted_bytes: usize,
    /// Bytes granted.
    pub got_bytes: usize,
}

impl fmt::Display for BufferWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (buffer, sysctl) = match self.kind {
            BufferKind::Receive => ("receive", "net.core.rmem_max"),
            BufferKind::Send => ("send", "net.core.wmem_max"),
        };
        write!(
            f,
            "the UDP {buffer} buffer is {} bytes instead of {}: bursts will be lost; run `sysctl -w {sysctl}={}` \
             and restart",
            self.got_bytes, self.wanted_bytes, self.wanted_bytes
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_worker_has_both_address_families_on_one_port() {
        // A port that is free for IPv4 may be in use for IPv6; then another is tried.
        let sockets = (0..5).find_map(|_| MediaSockets::open(&[], 0).ok()).unwrap();
        let addresses: Vec<_> = sockets.local_addresses().collect();
        assert_eq!(addresses.len(), 2, "this host has IPv6");
        assert!(addresses.iter().all(|address| address.port() == sockets.port() && address.port() != 0));
        assert!(addresses[0].is_ipv4() && addresses[1].is_ipv6());
    }

    #[test]
    fn what_is_sent_is_marked_in_both_families() {
        let sockets = (0..5).find_map(|_| MediaSockets::open(&[], 0).ok()).unwrap();
        sockets.mark(34).unwrap();
        let marks: Vec<_> = [(libc::IPPROTO_IP, libc::IP_TOS), (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)]
            .into_iter()
            .zip(sockets.descriptors())
            .map(|((level, option), socket)| get_option(socket, level, option).unwrap())
            .collect();
        assert_eq!(marks, [34 << 2, 34 << 2]);
    }

    #[test]
    fn a_port_that_stays_in_use_is_an_error_that_names_it() {
        let ip = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let first = MediaSockets::open(&ip, 0).unwrap();
        let started = Instant::now();
        let error = MediaSockets::open(&ip, first.port()).unwrap_err().to_string();
        assert!(started.elapsed() >= limits::BIND_RETRY_MAX);
        assert!(error.contains(&format!("127.0.0.1:{}", first.port())) && error.contains("ss -ulpn"), "{error}");
    }

    #[test]
    fn a_port_that_becomes_free_in_time_is_taken() {
        // A loopback address of this test's own, so that no other socket gets the port when it becomes free.
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 73));
        let first = MediaSockets::open(&[ip], 0).unwrap();
        let address = SocketAddr::new(ip, first.port());
        let (mut holder, mut pauses) = (Some(first), 0);
        let second = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        bind(&second, address, || {
            pauses += 1;
            if pauses == 3 {
                drop(holder.take());
            }
        })
        .unwrap();
        assert_eq!((second.local_addr().unwrap().as_socket(), pauses), (Some(address), 3));
    }

    #[test]
    fn an_address_of_another_host_is_an_error_that_says_so() {
        let error = MediaSockets::open(&["198.51.100.9".parse().unwrap()], 0).unwrap_err().to_string();
        assert!(error.contains("no interface of this host"), "{error}");
    }

    #[test]
    fn more_addresses_than_sockets_is_an_error_with_the_limit() {
        let ips = vec![IpAddr::V4(Ipv4Addr::LOCALHOST); limits::SOCKETS_PER_WORKER_MAX + 1];
        assert!(matches!(MediaSockets::open(&ips, 0), Err(StartError::TooManyAddresses { .. })));
    }

    #[test]
    fn a_buffer_smaller_than_asked_for_warns_and_names_the_sysctl() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        // The kernel caps even the forced size at half of the largest int.
        let wanted = (i32::MAX as usize) - 1;
        for (kind, sysctl) in [(BufferKind::Receive, "net.core.rmem_max"), (BufferKind::Send, "net.core.wmem_max")] {
            let warning = kind.enlarge(socket.as_fd(), wanted).unwrap().unwrap();
            assert!(warning.got_bytes < wanted && warning.to_string().contains(sysctl), "{warning}");
        }
    }
}

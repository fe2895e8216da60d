//! What `sendmsg` and `recvmsg` carry beside the payload, as bytes: the peer's name (`sockaddr`) and control messages
//! (`cmsg(3)`). There is no `unsafe` here: the layouts are few and fixed, and reading them from byte slices needs no
//! alignment (in a multishot receive they lie in the middle of a buffer).
//!
//! Control messages used: `IP_PKTINFO` (`ip(7)`) and `IPV6_PKTINFO` (RFC 3542 §6.2) for the local address,
//! `UDP_SEGMENT` (`udp(7)`) for the length of a train's segments, `SCM_TIMESTAMPNS` (`socket(7)`) for the time of arrival.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for either family's name. `sockaddr_in6` is 28 bytes; 32 keeps what follows it aligned.
pub(super) const NAME_BYTES: usize = 32;
const NAME_V4_BYTES: u32 = size_of::<libc::sockaddr_in>() as u32;
const NAME_V6_BYTES: u32 = size_of::<libc::sockaddr_in6>() as u32;

/// A peer's name, as the kernel reads and writes it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct Name(pub(super) [u8; NAME_BYTES]);

impl Name {
    pub(super) const EMPTY: Self = Self([0; NAME_BYTES]);

    /// Writes `address`; returns the length for `msg_namelen`.
    pub(super) fn write(&mut self, address: &SocketAddr) -> libc::socklen_t {
        let bytes = &mut self.0;
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                NAME_V4_BYTES
            }
            SocketAddr::V6(v6) => {
                bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                bytes[4..8].fill(0);
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                NAME_V6_BYTES
            }
        }
    }
}

/// Reads a name. The flow label is left out: it is no part of who the peer is.
pub(super) fn parse_name(name: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*name.first_chunk()?);
    let port = u16::from_be_bytes(*name.get(2..)?.first_chunk()?);
    match libc::c_int::from(family) {
        libc::AF_INET => {
            let octets: [u8; 4] = *name.get(4..)?.first_chunk()?;
            Some(SocketAddrV4::new(Ipv4Addr::from(octets), port).into())
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = *name.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*name.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope).into())
        }
        _ => None,
    }
}

const HEADER_BYTES: usize = align(size_of::<libc::cmsghdr>());
const PKTINFO_V4_BYTES: usize = size_of::<libc::in_pktinfo>();
const PKTINFO_V6_BYTES: usize = size_of::<libc::in6_pktinfo>();
const TIMESPEC_BYTES: usize = size_of::<libc::timespec>();

const fn align(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

/// `CMSG_SPACE` of `len` bytes of data.
const fn space(len: usize) -> usize {
    HEADER_BYTES + align(len)
}

/// Room for the control messages of a received datagram: one local address and one time.
pub(super) const CONTROL_IN_BYTES: usize = space(PKTINFO_V6_BYTES) + space(TIMESPEC_BYTES);
/// The same on a socket that coalesces: one segment length and one time.
#[cfg(feature = "peer")]
pub(super) const CONTROL_COALESCED_BYTES: usize = space(size_of::<libc::c_int>()) + space(TIMESPEC_BYTES);
/// Room for the control messages of a sent message: one local address and one segment length.
const CONTROL_OUT_BYTES: usize = space(PKTINFO_V6_BYTES) + space(size_of::<u16>());

/// The control messages of one outgoing message.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct OutgoingControl {
    bytes: [u8; CONTROL_OUT_BYTES],
    used: usize,
}

impl OutgoingControl {
    pub(super) const EMPTY: Self = Self { bytes: [0; CONTROL_OUT_BYTES], used: 0 };

    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// The bytes for `msg_control` and `msg_controllen`.
    pub(super) fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.used]
    }

    /// Sends from this local address.
    pub(super) fn push_local_ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(v4) => {
                // in_pktinfo { ifindex, spec_dst, addr }: the source is spec_dst, the interface is left to the route.
                let mut info = [0; PKTINFO_V4_BYTES];
                info[4..8].copy_from_slice(&v4.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            IpAddr::V6(v6) => {
                // in6_pktinfo { addr, ifindex }.
                let mut info = [0; PKTINFO_V6_BYTES];
                info[..16].copy_from_slice(&v6.octets());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    /// Cuts the payload every `bytes` bytes.
    pub(super) fn push_segment_size(&mut self, bytes: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes());
    }

    fn push(&mut self, level: libc::c_int, kind: libc::c_int, data: &[u8]) {
        let message = &mut self.bytes[self.used..self.used + space(data.len())];
        let word = size_of::<usize>();
        message[..word].copy_from_slice(&(HEADER_BYTES + data.len()).to_ne_bytes());
        message[word..word + 4].copy_from_slice(&level.to_ne_bytes());
        message[word + 4..word + 8].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER_BYTES..HEADER_BYTES + data.len()].copy_from_slice(data);
        self.used += space(data.len());
    }
}

/// What the kernel reports with a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ancillary {
    /// The local address it arrived at; only on wildcard sockets.
    pub(super) local_ip: Option<IpAddr>,
    /// When the kernel took it from the device, on the wall clock in nanoseconds.
    pub(super) realtime_ns: Option<u64>,
    /// The length of each datagram but the last of a coalesced train; only with `UDP_GRO`.
    pub(super) segment_bytes: Option<u16>,
}

/// Reads the control messages of a datagram. Unknown ones are skipped; one that is cut short ends the search.
pub(super) fn parse_control(mut control: &[u8]) -> Ancillary {
    let mut ancillary = Ancillary::default();
    while let Some((level, kind, data, rest)) = next_message(control) {
        match (level, kind) {
            // in_pktinfo: spec_dst, not addr, since for a broadcast it is the address to answer from.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                ancillary.local_ip =
                    data.get(4..).and_then(|data| data.first_chunk::<4>()).map(|octets| IpAddr::from(*octets));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                ancillary.local_ip = data.first_chunk::<16>().map(|octets| IpAddr::from(*octets));
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let bytes = data.first_chunk().map(|bytes| libc::c_int::from_ne_bytes(*bytes));
                ancillary.segment_bytes = bytes.and_then(|bytes| u16::try_from(bytes).ok());
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => ancillary.realtime_ns = parse_timespec(data),
            _ => {}
        }
        control = rest;
    }
    ancillary
}

/// The first of several control messages: level, kind, data, and what follows.
fn next_message(control: &[u8]) -> Option<(libc::c_int, libc::c_int, &[u8], &[u8])> {
    let word = size_of::<usize>();
    let len = usize::from_ne_bytes(*control.first_chunk()?);
    let level = libc::c_int::from_ne_bytes(*control.get(word..)?.first_chunk()?);
    let kind = libc::c_int::from_ne_bytes(*control.get(word + 4..)?.first_chunk()?);
    let data = control.get(HEADER_BYTES..len)?;
    Some((level, kind, data, control.get(align(len)..).unwrap_or_default()))
}

/// `struct timespec` as nanoseconds.
fn parse_timespec(data: &[u8]) -> Option<u64> {
    let seconds = i64::from_ne_bytes(*data.first_chunk()?);
    let nanos = i64::from_ne_bytes(*data.get(8..)?.first_chunk()?);
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(u64::try_from(nanos).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_back_from_its_sockaddr() {
        let mut name = Name::EMPTY;
        for text in ["192.0.2.7:5000", "[2001:db8::7]:65535", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let len = name.write(&address) as usize;
            assert_eq!(parse_name(&name.0[..len]), Some(address));
            assert_eq!(parse_name(&name.0[..7]), None, "cut short");
        }
        assert_eq!(parse_name(&[0; NAME_BYTES]), None, "no family");
    }

    #[test]
    fn the_local_address_is_found_behind_other_messages() {
        for ip in ["192.0.2.1", "2001:db8::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let mut control = OutgoingControl::EMPTY;
            control.push_segment_size(1_200);
            control.push_local_ip(ip);
            assert_eq!(parse_control(control.as_mut_bytes()).local_ip, Some(ip));
            control.clear();
            control.push_segment_size(1_200);
            assert_eq!(parse_control(control.as_mut_bytes()), Ancillary::default());
        }
    }

    #[test]
    fn control_messages_have_the_layout_of_the_c_library() {
        let mut control = OutgoingControl::EMPTY;
        control.push_local_ip("2001:db8::1".parse().unwrap());
        // SAFETY: pure arithmetic on lengths.
        let expected = unsafe { libc::CMSG_SPACE(PKTINFO_V6_BYTES as u32) } as usize;
        assert_eq!(control.as_mut_bytes().len(), expected);
        // SAFETY: pure arithmetic on lengths.
        let len = unsafe { libc::CMSG_LEN(PKTINFO_V6_BYTES as u32) } as usize;
        assert_eq!(control.as_mut_bytes()[..8], len.to_ne_bytes());
    }

    #[test]
    fn a_control_message_with_a_wrong_length_ends_the_search() {
        for len in [0_usize, 3, 15, 1_000, usize::MAX] {
            let mut bytes = [0_u8; CONTROL_IN_BYTES];
            bytes[..8].copy_from_slice(&len.to_ne_bytes());
            bytes[8..12].copy_from_slice(&libc::IPPROTO_IP.to_ne_bytes());
            bytes[12..16].copy_from_slice(&libc::IP_PKTINFO.to_ne_bytes());
            assert_eq!(parse_control(&bytes), Ancillary::default());
        }
    }
}

//! Which protocol a datagram on the one shared port belongs to, told from its first two bytes.
//!
//! RFC 7983 §7 gives the ranges of the first byte, RFC 5761 §4 tells RTCP from RTP by the second. Left out, as
//! [`DatagramKind::Unknown`]: ZRTP (16–19), TURN channels (64–79) and QUIC (80–127, 192–255; RFC 9443), which this
//! node does not speak on its media port.

/// The kind of a datagram, judged by its first bytes and its length only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatagramKind {
    /// STUN: long enough for its header.
    Stun,
    /// DTLS: long enough for a record header.
    Dtls,
    /// RTP or SRTP: long enough for the fixed header.
    Rtp,
    /// RTCP or SRTCP: long enough for the header and the sender's SSRC.
    Rtcp,
    /// Anything else, or too short.
    Unknown,
}

const STUN_HEADER_BYTES: usize = 20;
const DTLS_RECORD_HEADER_BYTES: usize = 13;
const RTP_HEADER_BYTES: usize = 12;
const RTCP_HEADER_BYTES: usize = 8;

/// Sorts a datagram (RFC 7983 §7, RFC 5761 §4).
#[must_use]
pub fn classify(datagram: &[u8]) -> DatagramKind {
    let [first, second, ..] = *datagram else { return DatagramKind::Unknown };
    let (kind, min_bytes) = match (first, second) {
        (0..=3, _) => (DatagramKind::Stun, STUN_HEADER_BYTES),
        (20..=63, _) => (DatagramKind::Dtls, DTLS_RECORD_HEADER_BYTES),
        // RTCP packet types; as RTP these would be payload types 64–95 with the marker set, which RFC 5761 keeps free.
        (128..=191, 192..=223) => (DatagramKind::Rtcp, RTCP_HEADER_BYTES),
        (128..=191, _) => (DatagramKind::Rtp, RTP_HEADER_BYTES),
        _ => return DatagramKind::Unknown,
    };
    if datagram.len() < min_bytes { DatagramKind::Unknown } else { kind }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram(first: u8, second: u8) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[0] = first;
        bytes[1] = second;
        bytes
    }

    #[test]
    fn first_byte_selects_the_protocol() {
        // RFC 7983 §7, figure 3.
        for (range, kind) in [
            (0..=3, DatagramKind::Stun),
            (4..=19, DatagramKind::Unknown),
            (20..=63, DatagramKind::Dtls),
            (64..=127, DatagramKind::Unknown),
            (128..=191, DatagramKind::Rtp),
            (192..=255, DatagramKind::Unknown),
        ] {
            for first in range {
                assert_eq!(classify(&datagram(first, 96)), kind, "first byte {first}");
            }
        }
    }

    #[test]
    fn packet_types_192_to_223_are_rtcp() {
        // RFC 5761 §4.
        for second in 0..=255 {
            let expected = if (192..=223).contains(&second) { DatagramKind::Rtcp } else { DatagramKind::Rtp };
            assert_eq!(classify(&datagram(0x80, second)), expected, "second byte {second}");
        }
        assert_eq!(classify(&datagram(0x80, 111)), DatagramKind::Rtp);
        assert_eq!(classify(&datagram(0x80, 0x80 | 111)), DatagramKind::Rtp);
    }

    #[test]
    fn datagrams_shorter_than_their_header_are_unknown() {
        for (bytes, len) in [
            (datagram(0, 1), STUN_HEADER_BYTES),
            (datagram(22, 254), DTLS_RECORD_HEADER_BYTES),
            (datagram(0x80, 96), RTP_HEADER_BYTES),
            (datagram(0x80, 200), RTCP_HEADER_BYTES),
        ] {
            assert_eq!(classify(&bytes[..len - 1]), DatagramKind::Unknown);
            assert_ne!(classify(&bytes[..len]), DatagramKind::Unknown);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_classified(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = classify(&bytes);
        }
    }
}

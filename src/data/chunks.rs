//! A look at an SCTP packet's chunks before the library has it (RFC 9260 §3): whether it would cost more memory than the
//! library's own windows bound.
//!
//! Nothing is checked that the library checks itself: lengths that do not fit, checksums, tags.

use crate::limits;

const HEADER_BYTES: usize = 12;
const DATA: u8 = 0;
const FORWARD_TSN: u8 = 192;
/// The flag of a message's last piece (§3.3.1).
const ENDING: u8 = 1;

/// Why a packet is not given to the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketRefused {
    /// It names a stream above [`limits::DATA_STREAMS_MAX`].
    Stream,
    /// It carries a piece of a message that is shorter than [`limits::DATA_FRAGMENT_BYTES_MIN`].
    Fragment,
    /// It has more chunks than fit.
    Chunks,
}

/// Looks at a packet; how many chunks of user data it has.
pub(super) fn inspect(packet: &[u8]) -> Result<u32, PacketRefused> {
    let mut rest = packet.get(HEADER_BYTES..).unwrap_or_default();
    let mut user_data = 0_u32;
    for _ in 0..limits::DATA_CHUNKS_PER_PACKET_MAX {
        let &[kind, flags, l0, l1, ref body @ ..] = rest else { return Ok(user_data) };
        let len = usize::from(u16::from_be_bytes([l0, l1])).max(4);
        let body = body.get(..len.saturating_sub(4)).unwrap_or(body);
        match kind {
            DATA => {
                user_data = user_data.saturating_add(1);
                // TSN, stream, SSN, payload protocol identifier, user data.
                if let &[_, _, _, _, s0, s1, _, _, _, _, _, _, ref data @ ..] = body {
                    check_stream([s0, s1])?;
                    if flags & ENDING == 0 && data.len() < limits::DATA_FRAGMENT_BYTES_MIN {
                        return Err(PacketRefused::Fragment);
                    }
                }
            }
            // New cumulative TSN, then pairs of stream and SSN (RFC 3758 §3.2).
            FORWARD_TSN => {
                for pair in body.get(4..).unwrap_or_default().chunks_exact(4) {
                    if let &[s0, s1, ..] = pair {
                        check_stream([s0, s1])?;
                    }
                }
            }
            _ => {}
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    if rest.is_empty() { Ok(user_data) } else { Err(PacketRefused::Chunks) }
}

fn check_stream(stream: [u8; 2]) -> Result<(), PacketRefused> {
    if u16::from_be_bytes(stream) < limits::DATA_STREAMS_MAX { Ok(()) } else { Err(PacketRefused::Stream) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = vec![0; HEADER_BYTES];
        for chunk in chunks {
            packet.extend(chunk);
            packet.resize(packet.len().next_multiple_of(4), 0);
        }
        packet
    }

    fn data(stream: u16, flags: u8, len: usize) -> Vec<u8> {
        let mut chunk = vec![DATA, flags];
        chunk.extend((16 + len as u16).to_be_bytes());
        chunk.extend([0; 4]);
        chunk.extend(stream.to_be_bytes());
        chunk.resize(16 + len, 0);
        chunk
    }

    #[test]
    fn what_a_sender_that_fills_its_packets_sends_passes() {
        assert_eq!(inspect(&packet(&[data(255, 3, 1), data(0, 1, 5), data(1, 2, 4)])), Ok(3));
        assert_eq!(inspect(&packet(&[])), Ok(0));
        assert_eq!(inspect(&[]), Ok(0));
        assert_eq!(inspect(&packet(&vec![vec![14, 0, 0, 4]; limits::DATA_CHUNKS_PER_PACKET_MAX - 1])), Ok(0));
    }

    #[test]
    fn high_streams_short_pieces_and_endless_chunks_are_refused_wherever_they_stand() {
        assert_eq!(inspect(&packet(&[data(0, 3, 1), data(256, 3, 1)])), Err(PacketRefused::Stream));
        assert_eq!(inspect(&packet(&[data(0, 3, 1), data(0, 2, 3)])), Err(PacketRefused::Fragment));
        let mut forward = vec![FORWARD_TSN, 0, 0, 12, 0, 0, 0, 1];
        forward.extend([1, 0, 0, 0]);
        assert_eq!(inspect(&packet(&[forward])), Err(PacketRefused::Stream));
        // A length of 0 does not stop the walk for ever.
        assert_eq!(inspect(&vec![0; 4 * limits::DATA_CHUNKS_PER_PACKET_MAX + 64]), Err(PacketRefused::Chunks));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..1_500)) {
            let _ = inspect(&bytes);
        }
    }
}

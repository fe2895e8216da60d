//! Splits a datagram into DTLS records (RFC 6347 §4.1, RFC 9147 §4), and writes plaintext ones.
//!
//! Only framing is done here: nothing is decrypted, and only the length of a protected record is relied on.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Content types (RFC 8446 §B.1, RFC 9147 §5.2).
pub(super) mod content {
    pub(in crate::dtls) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(in crate::dtls) const ALERT: u8 = 21;
    pub(in crate::dtls) const HANDSHAKE: u8 = 22;
    pub(in crate::dtls) const APPLICATION_DATA: u8 = 23;
    pub(in crate::dtls) const ACK: u8 = 26;
}

/// Bytes before the fragment of a record with a full header.
const HEADER_BYTES: usize = 13;

/// One record of a datagram.
#[derive(Debug)]
pub(super) enum Record<'a> {
    /// Epoch 0: readable, and as easily forged.
    Plain { content_type: u8, sequence: u64, fragment: &'a [u8] },
    /// A protected record of DTLS 1.2, header included. Its content type is not authenticated yet.
    Protected12 { content_type: u8, bytes: &'a [u8] },
    /// A protected record of DTLS 1.3 (RFC 9147 §4: unified header), header included.
    Protected13 { bytes: &'a [u8] },
}

/// The records of `datagram` in order, up to the first byte that does not begin one.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let (record, after) = next(rest)?;
        rest = after;
        Some(record)
    })
}

/// Whether `datagram` consists of whole records from its first to its last byte. One that does not was cut short or is
/// not DTLS. Peers never send such datagrams, so it is refused as a whole and counted.
#[must_use]
pub fn is_whole(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while let Some((_, after)) = next(rest) {
        if after.is_empty() {
            return true;
        }
        rest = after;
    }
    false
}

fn next(input: &[u8]) -> Option<(Record<'_>, &[u8])> {
    match *input.first()? {
        flags if flags & 0b1110_0000 == 0b0010_0000 => {
            // No connection identifier was negotiated, so a record that carries one is not for us.
            if flags & 0b0001_0000 != 0 {
                return None;
            }
            let sequence_bytes = if flags & 0b0000_1000 != 0 { 2 } else { 1 };
            let (_, body) = input.get(1..)?.split_at_checked(sequence_bytes)?;
            if flags & 0b0000_0100 == 0 {
                return Some((Record::Protected13 { bytes: input }, &[]));
            }
            let (length, body) = body.split_first_chunk()?;
            let after = body.get(usize::from(u16::from_be_bytes(*length))..)?;
            let bytes = input.get(..input.len().checked_sub(after.len())?)?;
            Some((Record::Protected13 { bytes }, after))
        }
        content::CHANGE_CIPHER_SPEC..=content::ACK => {
            let (header, body) = input.split_first_chunk::<HEADER_BYTES>()?;
            let [content_type, major, _, epoch @ .., _, _, _, _, _, _, length_high, length_low] = *header;
            if major != 0xfe {
                return None;
            }
            let length = usize::from(u16::from_be_bytes([length_high, length_low]));
            let (fragment, after) = body.split_at_checked(length)?;
            if u16::from_be_bytes(epoch) != 0 {
                let bytes = input.get(..input.len().checked_sub(after.len())?)?;
                return Some((Record::Protected12 { content_type, bytes }, after));
            }
            let [.., a, b, c, d, e, f, _, _] = *header;
            let sequence = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
            Some((Record::Plain { content_type, sequence, fragment }, after))
        }
        _ => None,
    }
}

/// Appends a plaintext record to `out`. `fragment` is at most 2¹⁴ bytes; a longer one is cut.
pub(super) fn write_plain(out: &mut Vec<u8>, content_type: u8, sequence: u64, fragment: &[u8]) {
    let fragment = fragment.get(..1 << 14).unwrap_or(fragment);
    let [_, _, number @ ..] = sequence.to_be_bytes();
    out.extend_from_slice(&[content_type, 0xfe, 0xfd, 0, 0]);
    out.extend_from_slice(&number);
    out.extend_from_slice(&u16::try_from(fragment.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(fragment);
}

/// Whether `datagram` begins a new association: its first record is plaintext and holds the start of a ClientHello. On
/// a connected association a session may take this as the peer's wish to re-key (RFC 6347 §4.2.8, RFC 9147 §5.11).
/// Anyone can send it, so nothing of the old association may be given up until the new handshake is complete.
#[must_use]
pub fn starts_association(datagram: &[u8]) -> bool {
    matches!(
        records(datagram).next(),
        Some(Record::Plain {
            content_type: content::HANDSHAKE,
            // ClientHello, any length, message_seq 0, fragment_offset 0 (RFC 6347 §4.2.2).
            fragment: [1, _, _, _, 0, 0, 0, 0, 0, ..],
            ..
        })
    )
}

/// The latest plaintext records. They tell a duplicated datagram from a retransmission, which has new numbers. This is
/// not the sliding window of RFC 6347 §4.1.2.6: that one advances by authenticated records only, and here a single
/// forged number would block all genuine ones. For the same reason a record is known by number and contents: a forged
/// one with the number that the peer uses next hides nothing.
#[derive(Debug, Default)]
pub(super) struct RecentRecords {
    /// A hash of each; zero marks an empty place.
    records: [u64; 32],
    oldest: usize,
}

impl RecentRecords {
    /// Whether the record is new. Remembers it, so that the next call returns `false`.
    pub(super) fn accept(&mut self, sequence: u64, fragment: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        (sequence, fragment).hash(&mut hasher);
        let record = hasher.finish() | 1;
        if self.records.contains(&record) {
            return false;
        }
        if let Some(slot) = self.records.get_mut(self.oldest) {
            *slot = record;
        }
        self.oldest = self.oldest.saturating_add(1).checked_rem(self.records.len()).unwrap_or(0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(content_type: u8, sequence: u64, fragment: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_plain(&mut out, content_type, sequence, fragment);
        out
    }

    #[test]
    fn records_of_both_versions_in_one_datagram_are_told_apart() {
        let mut datagram = plain(content::HANDSHAKE, 0x0102_0304_0506, b"hello");
        datagram.extend_from_slice(&[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 2, 0xaa, 0xbb]);
        datagram.extend_from_slice(&[0b0010_1110, 0, 1, 0, 3, 1, 2, 3]);
        datagram.extend_from_slice(&[0b0010_0010, 7, 4, 5, 6]);
        let all: Vec<_> = records(&datagram).collect();
        let [first, second, third, fourth] = all.as_slice() else { panic!("{all:?}") };
        assert!(matches!(first, Record::Plain { content_type: 22, sequence: 0x0102_0304_0506, fragment: b"hello" }));
        assert!(matches!(second, Record::Protected12 { content_type: 23, bytes } if bytes.len() == 15));
        assert!(matches!(third, Record::Protected13 { bytes } if bytes.len() == 8));
        assert!(matches!(fourth, Record::Protected13 { bytes } if bytes.len() == 5));
    }

    #[test]
    fn every_truncation_gives_whole_records_or_none() {
        let mut datagram = plain(content::HANDSHAKE, 0, &[1; 40]);
        let first = datagram.len();
        datagram.extend_from_slice(&plain(content::ALERT, 1, &[2, 40]));
        for end in 0..datagram.len() {
            let count = records(&datagram[..end]).count();
            assert_eq!(count, usize::from(end >= first), "cut at {end}");
            assert_eq!(is_whole(&datagram[..end]), end == first, "cut at {end}");
        }
        assert!(is_whole(&datagram));
    }

    #[test]
    fn stun_rtp_and_noise_are_no_records() {
        for byte in (0..20).chain(27..32).chain(64..=255) {
            assert_eq!(records(&[byte; 64]).count(), 0, "first byte {byte}");
        }
        assert_eq!(records(&[]).count(), 0);
        assert_eq!(records(&[0b0011_0000; 64]).count(), 0, "a connection identifier");
    }

    #[test]
    fn only_the_start_of_a_client_hello_starts_an_association() {
        let hello = [1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0xfe];
        assert!(starts_association(&plain(content::HANDSHAKE, 0, &hello)));
        let mut second_fragment = hello;
        second_fragment[8] = 9;
        let mut server_hello = hello;
        server_hello[0] = 2;
        for other in [&second_fragment, &server_hello] {
            assert!(!starts_association(&plain(content::HANDSHAKE, 0, other)));
        }
        assert!(!starts_association(&plain(content::ALERT, 0, &hello)));
        assert!(!starts_association(b""));
    }

    #[test]
    fn a_record_is_accepted_once_and_a_forged_number_blocks_nothing() {
        let mut recent = RecentRecords::default();
        for sequence in [0, 2, 1, u64::MAX >> 16, 5, 70, 3] {
            assert!(recent.accept(sequence, b"forged"), "{sequence}");
            assert!(!recent.accept(sequence, b"forged"), "{sequence} again");
            assert!(recent.accept(sequence, b"the peer's"), "{sequence}, hidden by a forged record");
        }
        (100..132).for_each(|sequence| assert!(recent.accept(sequence, b"")));
        assert!(recent.accept(0, b"forged"), "forgotten");
    }
}

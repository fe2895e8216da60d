//! The RTP header extension block of one viewer's packets (RFC 8285): a template made once, and the fields of it that
//! differ from packet to packet, written in place.
//!
//! ```text
//!  be de 00 02 | 51 ?? ?? | 40 30 | 00 00 00      the transport-wide sequence number (5), the MID (4), padding
//!              ^ per packet; three zeros (RFC 8285 §4.1.2: padding) on a packet that carries none
//! ```
//!
//! Where feedback comes on request (`transport-wide-cc-02`), two more bytes follow the number: of how many packets up to this one
//! feedback is asked for, with arrival times; 0 asks for none. libwebrtc takes the number alone as well, which would make packets
//! of two lengths.
//!
//! The block is equally long on every packet, so that trains stay whole, whether a packet carries the field or not. A
//! viewer that negotiated no such field pays nothing for it: nothing is patched, and the block is shorter.
//!
//! Not here: what identifiers mean to the peer (agreed in SDP), and which packets carry the field.

use crate::limits;
use crate::wire::rtp_extension;

/// The block of one viewer's track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionTemplate {
    bytes: [u8; limits::EXTENSION_BLOCK_BYTES_MAX],
    len: u8,
    transport_sequence: Option<PacketField>,
}

/// The header extension of a transport-wide number, as it was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportNumber {
    /// Its identifier.
    pub id: u8,
    /// Feedback comes on request.
    pub on_request: bool,
}

/// Asks for arrival times too, beside what has arrived.
const WITH_TIMES: u16 = 1 << 15;

/// Where an element of the block lies that differs from packet to packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PacketField {
    /// Of its first byte in the block.
    at: u8,
    /// What comes before its value: identifier and length.
    head: [u8; 2],
    head_len: u8,
    /// Bytes of its value: a number, and where feedback comes on request of how many packets.
    value_len: u8,
}

/// Bytes of the block before its first element.
const HEAD_BYTES: usize = 4;

impl ExtensionTemplate {
    /// The block that carries the media identification (RFC 8843 §15.1) and, on the packets it is written to, the
    /// transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2). What was not agreed, and
    /// what does not fit, is left out.
    #[must_use]
    pub fn new(mid: Option<(u8, &str)>, number: Option<TransportNumber>) -> Self {
        let mid = mid.map(|(id, mid)| (id, mid.as_bytes()));
        let value_len = if number.is_some_and(|number| number.on_request) { 4 } else { 2 };
        let transport_cc = number.map(|number| (number.id, &[0; 4][..value_len]));
        // The field that is patched comes first: its place does not depend on the others.
        let elements: [&[_]; 3] = match (transport_cc, mid) {
            (Some(transport_cc), Some(mid)) => [&[transport_cc, mid], &[mid], &[]],
            (Some(transport_cc), None) => [&[transport_cc], &[], &[]],
            (None, Some(mid)) => [&[mid], &[], &[]],
            (None, None) => [&[], &[], &[]],
        };
        let has_field = transport_cc.is_some();
        for (attempt, elements) in elements.into_iter().enumerate() {
            let mut block = Self::default();
            let Some(len) = rtp_extension::write_extensions(&mut block.bytes, elements) else { continue };
            block.len = len as u8;
            if has_field && attempt == 0 {
                block.lift_transport_sequence(value_len);
            }
            return block;
        }
        Self::default()
    }

    /// The block with the media identification only; empty where it was not agreed.
    #[must_use]
    pub fn with_mid(id: Option<u8>, mid: &str) -> Self {
        Self::new(id.map(|id| (id, mid)), None)
    }

    /// Takes the first element out, so that the template has padding in its place.
    fn lift_transport_sequence(&mut self, value_len: usize) {
        let two_byte = self.bytes[..2] != rtp_extension::ONE_BYTE_PROFILE.to_be_bytes();
        let head_len = if two_byte { 2 } else { 1 };
        let element = &mut self.bytes[HEAD_BYTES..HEAD_BYTES + head_len + value_len];
        let mut head = [0; 2];
        head[..head_len].copy_from_slice(&element[..head_len]);
        element.fill(0);
        self.transport_sequence =
            Some(PacketField { at: HEAD_BYTES as u8, head, head_len: head_len as u8, value_len: value_len as u8 });
    }

    /// The block of a packet that carries no field of its own.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether packets differ: see [`Self::write_transport_sequence`].
    #[must_use]
    pub fn has_packet_fields(&self) -> bool {
        self.transport_sequence.is_some()
    }

    /// Whether feedback comes only where packets ask for it.
    #[inline]
    #[must_use]
    pub fn asks(&self) -> bool {
        self.transport_sequence.is_some_and(|field| field.value_len > 2)
    }

    /// Writes the transport-wide sequence number into a block in a packet, and where feedback comes on request, of how many
    /// packets up to this one it is asked for. Whether there is a place for it.
    #[inline]
    pub fn write_transport_sequence(&self, block: &mut [u8], number: u16, asked: u16) -> bool {
        let Some(field) = self.transport_sequence else { return false };
        let head_len = usize::from(field.head_len);
        let at = usize::from(field.at);
        let Some(element) = block.get_mut(at..at + head_len + usize::from(field.value_len)) else { return false };
        let (head, value) = element.split_at_mut(head_len);
        head.copy_from_slice(&field.head[..head_len]);
        let (of_number, of_request) = value.split_at_mut(2);
        of_number.copy_from_slice(&number.to_be_bytes());
        if let Some(request) = of_request.first_chunk_mut() {
            *request = if asked > 0 { WITH_TIMES | asked } else { 0 }.to_be_bytes();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtp_extension::ExtensionElements;

    fn elements(block: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let profile = u16::from_be_bytes([block[0], block[1]]);
        assert_eq!(usize::from(u16::from_be_bytes([block[2], block[3]])) * 4, block.len() - 4);
        ExtensionElements::new(profile, &block[4..]).map(|(id, value)| (id, value.to_vec())).collect()
    }

    fn number(id: u8) -> Option<TransportNumber> {
        Some(TransportNumber { id, on_request: false })
    }

    #[test]
    fn where_feedback_comes_on_request_a_packet_says_of_how_many_and_all_are_equally_long() {
        for (id, mid) in [(5, Some((4, "12345678"))), (20, Some((4, "v0"))), (5, None), (20, None)] {
            let template = ExtensionTemplate::new(mid, Some(TransportNumber { id, on_request: true }));
            assert!(template.asks() && template.has_packet_fields());
            let without: Vec<_> = mid.iter().map(|&(id, mid)| (id, mid.as_bytes().to_vec())).collect();
            assert_eq!(elements(template.as_bytes()), without);
            let mut block = template.as_bytes().to_vec();
            for (asked, value) in [(0, [1, 2, 0, 0]), (20, [1, 2, 0x80, 20]), (0x7fff, [1, 2, 0xff, 0xff])] {
                assert!(template.write_transport_sequence(&mut block, 0x0102, asked));
                let mut with = without.clone();
                with.insert(0, (id, value.to_vec()));
                assert_eq!(elements(&block), with);
            }
        }
        assert!(!ExtensionTemplate::new(None, number(5)).asks());
    }

    #[test]
    fn the_block_is_empty_where_nothing_was_agreed_or_the_mid_does_not_fit() {
        assert!(ExtensionTemplate::new(None, None).as_bytes().is_empty());
        assert!(ExtensionTemplate::with_mid(None, "v0").as_bytes().is_empty());
        assert!(ExtensionTemplate::with_mid(Some(1), &"m".repeat(30)).as_bytes().is_empty());
        // RFC 8285 §4.2: four bytes of head, one of identifier and length, the value, filled up to a word.
        assert_eq!(ExtensionTemplate::with_mid(Some(1), "0").as_bytes(), [0xbe, 0xde, 0, 1, 0x10, b'0', 0, 0]);
        assert_eq!(ExtensionTemplate::with_mid(Some(1), &"m".repeat(16)).as_bytes().len(), 24);
    }

    #[test]
    fn a_transport_wide_sequence_number_is_on_the_packets_it_is_written_to_and_all_are_equally_long() {
        // One-byte and two-byte form (RFC 8285 §4.2 and §4.3), with and without a MID.
        for (id, mid) in [(5, Some((4, "v0"))), (20, Some((4, "v0"))), (5, None), (20, None)] {
            let template = ExtensionTemplate::new(mid, number(id));
            assert!(template.has_packet_fields());
            let without: Vec<_> = mid.iter().map(|&(id, mid)| (id, mid.as_bytes().to_vec())).collect();
            assert_eq!(elements(template.as_bytes()), without);
            let mut block = template.as_bytes().to_vec();
            for number in [0x0102_u16, 0xffff] {
                assert!(template.write_transport_sequence(&mut block, number, 9));
                let mut with = without.clone();
                with.insert(0, (id, number.to_be_bytes().to_vec()));
                assert_eq!(elements(&block), with);
            }
            assert!(!template.write_transport_sequence(&mut block[..5], 1, 0));
        }
    }

    #[test]
    fn a_viewer_that_agreed_to_no_such_field_has_no_place_for_it() {
        let template = ExtensionTemplate::with_mid(Some(4), "v0");
        let mut block = template.as_bytes().to_vec();
        assert!(!template.has_packet_fields() && !template.write_transport_sequence(&mut block, 7, 0));
        assert_eq!(block, template.as_bytes());
    }

    #[test]
    fn the_longest_mid_fits_beside_the_field_in_both_forms() {
        let mid = "m".repeat(16);
        for id in [5, 20] {
            let template = ExtensionTemplate::new(Some((4, &mid)), number(id));
            assert!(template.has_packet_fields());
            assert_eq!(elements(template.as_bytes()), [(4, mid.clone().into_bytes())]);
        }
        // An identifier that cannot be carried leaves the MID alone.
        let template = ExtensionTemplate::new(Some((4, "0")), number(0));
        assert_eq!((template.has_packet_fields(), elements(template.as_bytes())), (false, vec![(4, b"0".to_vec())]));
    }
}

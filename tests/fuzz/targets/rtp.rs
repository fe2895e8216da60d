//! RTP headers, padding and header extensions (RFC 3550 §5.1, RFC 8285): what is read is written and reads back.

use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::rtp::{self, HeaderFields, RtpHeader, RtpPacket};
use corecast::wire::rtp_extension::{self, ExtensionElements, ONE_BYTE_PROFILE, TWO_BYTE_PROFILE};

use super::Seed;

pub fn run(data: &[u8]) {
    for profile in [ONE_BYTE_PROFILE, TWO_BYTE_PROFILE, 0x1005] {
        blocks(ExtensionElements::new(profile, data), data.len());
    }
    let Ok(header) = RtpHeader::parse(data) else {
        assert!(RtpPacket::parse(data).is_err());
        return;
    };
    assert!(matches!(demux::classify(data), DatagramKind::Rtp | DatagramKind::Rtcp));
    assert!((rtp::FIXED_HEADER_BYTES..=data.len()).contains(&header.header_len) && header.payload_type < 128);
    let elements: Vec<(u8, &[u8])> = header.extensions(data).collect();
    let Ok(packet) = RtpPacket::parse(data) else {
        assert!(header.has_padding);
        return;
    };
    assert_eq!(header.header_len + packet.payload().len() + usize::from(packet.padding_len()), data.len());
    assert_eq!(packet.padding_len() > 0, header.has_padding);

    let fields = HeaderFields {
        marker: header.marker,
        padding: header.has_padding,
        payload_type: header.payload_type,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
    };
    // The two-byte form costs a byte more for each element.
    let mut out = vec![0xa5; data.len() * 2 + 64];
    let len = rtp::write_header(&mut out, &fields, &elements).expect("what was read can be carried");
    let end = len + packet.payload().len();
    out[len..end].copy_from_slice(packet.payload());
    let total = end + usize::from(packet.padding_len());
    if header.has_padding {
        rtp::write_padding(&mut out[end..total]).expect("1 to 255 bytes");
    }
    let copy = RtpPacket::parse(&out[..total]).expect("what is written is a packet");
    let same = RtpHeader { header_len: header.header_len, extension: header.extension, ..*copy.header() };
    assert_eq!(same, header);
    assert_eq!(copy.header().header_len, len);
    assert_eq!(copy.extensions().collect::<Vec<_>>(), elements);
    assert_eq!((copy.payload(), copy.padding_len()), (packet.payload(), packet.padding_len()));
    // One byte short is refused, and the way with a ready block gives the same.
    assert_eq!(rtp::write_header(&mut out[..len - 1], &fields, &elements), None);
    let (mut block, mut again) = (vec![0; data.len() * 2 + 64], vec![0; len]);
    let block_len = rtp_extension::write_extensions(&mut block, &elements).expect("as before");
    assert_eq!(rtp::write_header_with_block(&mut again, &fields, &block[..block_len]), Some(len));
    rtp::write_header(&mut out, &fields, &elements).expect("as before");
    assert_eq!(again, out[..len]);
}

/// Elements of a block without its packet.
fn blocks(elements: ExtensionElements<'_>, block_len: usize) {
    let elements: Vec<(u8, &[u8])> = elements.collect();
    assert!(elements.iter().map(|(_, value)| value.len() + 1).sum::<usize>() <= block_len);
    let len = rtp_extension::block_len(&elements).expect("what was read can be carried");
    let mut out = vec![0; len];
    // The block's length field has 16 bits of words.
    if len < 4 * usize::from(u16::MAX) {
        assert_eq!(rtp_extension::write_extensions(&mut out, &elements), Some(len));
    }
}

/// A packet with this header and payload, padded.
pub fn packet(fields: &HeaderFields, elements: &[(u8, &[u8])], payload: &[u8], padding: usize) -> Vec<u8> {
    let mut out = vec![0; 2_048];
    let fields = HeaderFields { padding: padding > 0, ..*fields };
    let len = rtp::write_header(&mut out, &fields, elements).expect("room");
    let end = len + payload.len();
    out[len..end].copy_from_slice(payload);
    if padding > 0 {
        rtp::write_padding(&mut out[end..end + padding]).expect("1 to 255 bytes");
    }
    out.truncate(end + padding);
    out
}

pub fn seeds() -> Vec<Seed> {
    let fields = HeaderFields {
        marker: true,
        payload_type: 96,
        sequence: 0xfffe,
        timestamp: 0xdead_0001,
        ssrc: 0x1234_5678,
        padding: false,
    };
    let csrcs_and_block = [
        &[0xb3, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..],
        &[9; 12],
        &[0xbe, 0xde, 0, 2, 0x10, 0xaa, 0, 0x22, 1, 2, 3, 0, b'x', 2],
    ]
    .concat();
    // Elements as Chromium sends them: abs-send-time, transport-wide sequence number, mid.
    let chromium: &[(u8, &[u8])] = &[(2, &[1, 2, 3]), (3, &[0, 7]), (4, b"0")];
    vec![
        ("plain".into(), packet(&fields, &[], b"payload", 0)),
        ("chromium".into(), packet(&fields, chromium, &[0x7c, 0x85, 0xb8, 0], 1)),
        ("two-byte".into(), packet(&fields, &[(15, b"a"), (200, b""), (1, &[7; 40])], b"x", 0)),
        ("probe".into(), packet(&fields, chromium, &[], 255)),
        ("csrcs".into(), csrcs_and_block),
    ]
}

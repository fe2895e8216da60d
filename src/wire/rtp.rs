//! RTP packets (RFC 3550 §5.1): the header in and out, and a view of a plaintext packet.
//!
//! The header is never encrypted by SRTP, so [`RtpHeader::parse`] works on both sides of it and its `header_len` is
//! what SRTP authenticates and skips. Padding lies inside the encrypted part: only [`RtpPacket`], which needs
//! plaintext, looks at it.
//!
//! Left out: CSRCs are skipped when read and never written (this node is not a mixer).

use std::fmt;
use std::ops::Range;

use super::cursor::Reader;
use super::rtp_extension::{ExtensionElements, write_extensions};

/// Bytes of the header without CSRCs and extensions.
pub const FIXED_HEADER_BYTES: usize = 12;

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtpError {
    /// Shorter than its header says.
    Truncated,
    /// The version is not 2.
    Version,
    /// The padding count is zero or longer than the payload (RFC 3550 §A.1).
    Padding,
}

impl fmt::Display for RtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "RTP packet shorter than its header",
            Self::Version => "RTP version is not 2",
            Self::Padding => "RTP padding count out of range",
        })
    }
}

impl std::error::Error for RtpError {}

/// Where a packet's extension block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionBlock {
    /// `defined by profile`: which form the elements have.
    pub profile: u16,
    /// First byte after the block's head, from the packet's start.
    pub start: usize,
    /// Bytes, without the head: a multiple of four.
    pub len: usize,
}

impl ExtensionBlock {
    /// The block's bytes within the packet, without the head.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.len)
    }
}

/// A parsed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// Marker bit: for video the last packet of a frame, for audio the first after silence.
    pub marker: bool,
    /// Padding bit: the last byte of the plaintext counts the padding.
    pub has_padding: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the codec's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Bytes before the payload: fixed header, CSRCs and extension block.
    pub header_len: usize,
    /// The extension block, where there is one.
    pub extension: Option<ExtensionBlock>,
}

impl RtpHeader {
    /// Reads the header of an RTP or SRTP packet.
    ///
    /// # Errors
    /// [`RtpError::Truncated`] and [`RtpError::Version`].
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let (fixed, rest) = packet.split_first_chunk::<FIXED_HEADER_BYTES>().ok_or(RtpError::Truncated)?;
        let [flags, marker_and_type, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *fixed;
        if flags >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let csrc_bytes = usize::from(flags & 0x0f).saturating_mul(4);
        let mut header_len = FIXED_HEADER_BYTES.saturating_add(csrc_bytes);
        let after_csrcs = rest.get(csrc_bytes..).ok_or(RtpError::Truncated)?;
        let mut extension = None;
        if flags & 0x10 != 0 {
            let mut reader = Reader::new(after_csrcs);
            let head = reader.u16().zip(reader.u16());
            let (profile, words) = head.ok_or(RtpError::Truncated)?;
            let len = usize::from(words).saturating_mul(4);
            reader.take(len).ok_or(RtpError::Truncated)?;
            let start = header_len.saturating_add(4);
            extension = Some(ExtensionBlock { profile, start, len });
            header_len = start.saturating_add(len);
        }
        Ok(Self {
            marker: marker_and_type & 0x80 != 0,
            has_padding: flags & 0x20 != 0,
            payload_type: marker_and_type & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            header_len,
            extension,
        })
    }

    /// The extension elements of `packet`, which this header was parsed from. SRTP leaves them in the clear.
    #[must_use]
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> ExtensionElements<'a> {
        let block = self.extension.and_then(|block| Some((block.profile, packet.get(block.range())?)));
        block.map_or(ExtensionElements::none(), |(profile, bytes)| ExtensionElements::new(profile, bytes))
    }
}

/// A whole plaintext packet: header, extension elements, payload without padding.
#[derive(Clone, Copy, Debug)]
pub struct RtpPacket<'a> {
    bytes: &'a [u8],
    header: RtpHeader,
    payload: &'a [u8],
    padding_len: u8,
}

impl<'a> RtpPacket<'a> {
    /// Reads a plaintext packet.
    ///
    /// # Errors
    /// Any [`RtpError`].
    pub fn parse(packet: &'a [u8]) -> Result<Self, RtpError> {
        Self::with_header(RtpHeader::parse(packet)?, packet)
    }

    /// As [`Self::parse`], for a packet whose header was parsed before it was decrypted in place.
    ///
    /// # Errors
    /// [`RtpError::Padding`]; [`RtpError::Truncated`] when `packet` is shorter than its header.
    pub fn with_header(header: RtpHeader, packet: &'a [u8]) -> Result<Self, RtpError> {
        let padded = packet.get(header.header_len..).ok_or(RtpError::Truncated)?;
        let (payload, padding_len) = if header.has_padding {
            // RFC 3550 §5.1: the last octet counts the padding, itself included.
            let count = *padded.last().ok_or(RtpError::Padding)?;
            let payload_len = padded.len().checked_sub(usize::from(count)).filter(|_| count != 0);
            let payload = payload_len.and_then(|len| padded.get(..len)).ok_or(RtpError::Padding)?;
            (payload, count)
        } else {
            (padded, 0)
        };
        Ok(Self { bytes: packet, header, payload, padding_len })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &RtpHeader {
        &self.header
    }

    /// Bytes of the whole packet in plaintext.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // no packet is empty
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The payload without padding. Empty for a padding-only probe.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Bytes of padding, the count byte included; zero without.
    #[must_use]
    pub const fn padding_len(&self) -> u8 {
        self.padding_len
    }

    /// The header extension elements.
    #[must_use]
    pub fn extensions(&self) -> ExtensionElements<'a> {
        self.header.extensions(self.bytes)
    }
}

/// What a written header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFields {
    /// Marker bit.
    pub marker: bool,
    /// Padding bit; the caller appends the padding with its count (see [`write_padding`]).
    pub padding: bool,
    /// 0 to 127; a higher bit is cut off.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in units of the codec's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Writes the 12 fixed bytes, without CSRCs. With `extension` the X bit is set and an extension block must follow.
///
/// On the hot path: called once for each viewer and packet.
#[inline]
pub const fn write_fixed_header(out: &mut [u8; FIXED_HEADER_BYTES], fields: &HeaderFields, extension: bool) {
    let [s0, s1] = fields.sequence.to_be_bytes();
    let [t0, t1, t2, t3] = fields.timestamp.to_be_bytes();
    let [i0, i1, i2, i3] = fields.ssrc.to_be_bytes();
    let flags = 0x80 | (fields.padding as u8) << 5 | (extension as u8) << 4;
    let marker_and_type = (fields.marker as u8) << 7 | fields.payload_type & 0x7f;
    *out = [flags, marker_and_type, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3];
}

/// Writes a header with its extension block (RFC 8285; none for no elements) and returns its length.
///
/// `None` when `out` is too short or an element cannot be carried.
#[inline]
#[must_use]
pub fn write_header(out: &mut [u8], fields: &HeaderFields, extensions: &[(u8, &[u8])]) -> Option<usize> {
    let (fixed, rest) = out.split_first_chunk_mut::<FIXED_HEADER_BYTES>()?;
    write_fixed_header(fixed, fields, !extensions.is_empty());
    write_extensions(rest, extensions)?.checked_add(FIXED_HEADER_BYTES)
}

/// As [`write_header`], with an extension block that [`write_extensions`] made before (empty for none). What every
/// packet of a viewer carries, such as its MID, is then encoded only once.
#[inline]
#[must_use]
pub fn write_header_with_block(out: &mut [u8], fields: &HeaderFields, block: &[u8]) -> Option<usize> {
    let (fixed, rest) = out.split_first_chunk_mut::<FIXED_HEADER_BYTES>()?;
    write_fixed_header(fixed, fields, !block.is_empty());
    rest.get_mut(..block.len())?.copy_from_slice(block);
    block.len().checked_add(FIXED_HEADER_BYTES)
}

/// Fills `out` with padding (RFC 3550 §5.1): zeros and the count in the last byte. `None` unless 1 to 255 bytes.
#[must_use]
pub fn write_padding(out: &mut [u8]) -> Option<()> {
    let count = u8::try_from(out.len()).ok()?;
    out.fill(0);
    *out.last_mut()? = count;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn csrcs_and_extension_block_count_into_the_header() {
        let mut packet = vec![0xb2, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef];
        packet.extend([0; 8]); // two CSRCs
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 7, 0, 0]);
        packet.extend([1, 2, 3, 0, 2]);
        let parsed = RtpPacket::parse(&packet).unwrap();
        assert_eq!(
            *parsed.header(),
            RtpHeader {
                marker: true,
                has_padding: true,
                payload_type: 96,
                sequence: 0x1234,
                timestamp: 9,
                ssrc: 0xdead_beef,
                header_len: 28,
                extension: Some(ExtensionBlock { profile: 0xbede, start: 24, len: 4 }),
            }
        );
        assert_eq!(parsed.extensions().collect::<Vec<_>>(), [(1, &[7][..])]);
        assert_eq!(parsed.payload(), [1, 2, 3]);
        assert_eq!(parsed.padding_len(), 2);
    }

    #[test]
    fn every_truncated_header_is_refused() {
        let mut packet = [0; 64];
        let fields = HeaderFields { payload_type: 96, ..HeaderFields::default() };
        let len = write_header(&mut packet, &fields, &[(1, &[1, 2, 3]), (2, &[4])]).unwrap();
        for short in 0..len {
            assert_eq!(RtpHeader::parse(&packet[..short]), Err(RtpError::Truncated), "{short} of {len} bytes");
        }
        assert_eq!(RtpHeader::parse(&packet[..len]).unwrap().header_len, len);
    }

    #[test]
    fn another_version_is_refused() {
        for version in [0_u8, 1, 3] {
            let mut packet = [0; 12];
            packet[0] = version << 6;
            assert_eq!(RtpHeader::parse(&packet), Err(RtpError::Version));
        }
    }

    #[test]
    fn padding_counts_of_zero_and_beyond_the_payload_are_refused() {
        // RFC 3550 §A.1.
        let mut packet = [0_u8; 16];
        packet[0] = 0xa0;
        for (count, expected) in [(0, None), (1, Some(3)), (4, Some(0)), (5, None), (255, None)] {
            packet[15] = count;
            let payload = RtpPacket::parse(&packet).map(|parsed| parsed.payload().len());
            assert_eq!(payload, expected.ok_or(RtpError::Padding), "count {count}");
        }
        assert_eq!(RtpPacket::parse(&packet[..12]).unwrap_err(), RtpError::Padding);
    }

    #[test]
    fn a_padding_only_probe_has_an_empty_payload() {
        let mut packet = [0xff; 12 + 255];
        let fields = HeaderFields { padding: true, ..HeaderFields::default() };
        let len = write_header(&mut packet, &fields, &[]).unwrap();
        write_padding(&mut packet[len..]).unwrap();
        let parsed = RtpPacket::parse(&packet).unwrap();
        assert!(parsed.payload().is_empty());
        assert_eq!(parsed.padding_len(), 255);
        assert_eq!(write_padding(&mut []), None);
        assert_eq!(write_padding(&mut [0; 256]), None);
    }

    #[test]
    fn a_block_made_before_gives_the_same_header() {
        let fields =
            HeaderFields { marker: true, payload_type: 102, sequence: 7, timestamp: 8, ssrc: 9, padding: true };
        let cases: [&[(u8, &[u8])]; 3] = [&[], &[(4, b"0")], &[(4, b"video"), (20, b"")]];
        for elements in cases {
            let (mut block, mut before, mut now) = ([0; 32], [0; 64], [0; 64]);
            let block_len = write_extensions(&mut block, elements).unwrap();
            let len = write_header_with_block(&mut before, &fields, &block[..block_len]);
            assert_eq!(len, write_header(&mut now, &fields, elements));
            assert_eq!(before, now);
            assert_eq!(write_header_with_block(&mut before[..len.unwrap() - 1], &fields, &block[..block_len]), None);
        }
    }

    #[test]
    fn a_header_that_does_not_fit_is_not_written() {
        let fields = HeaderFields::default();
        assert_eq!(write_header(&mut [0; 11], &fields, &[]), None);
        assert_eq!(write_header(&mut [0; 19], &fields, &[(1, b"a")]), None);
        assert_eq!(write_header(&mut [0; 20], &fields, &[(1, b"a")]), Some(20));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RtpPacket::parse(&bytes).map(|packet| packet.extensions().count());
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            if let Ok(packet) = RtpPacket::parse(&bytes) {
                let header = packet.header().header_len;
                prop_assert_eq!(header + packet.payload().len() + usize::from(packet.padding_len()), bytes.len());
                packet.extensions().for_each(drop);
            }
        }

        #[test]
        fn a_written_packet_reads_back(
            (marker, payload_type, sequence, timestamp, ssrc) in
                (any::<bool>(), 0_u8..128, any::<u16>(), any::<u32>(), any::<u32>()),
            elements in prop::collection::vec((1_u8..=16, prop::collection::vec(any::<u8>(), 0..20)), 0..5),
            payload in prop::collection::vec(any::<u8>(), 0..64),
            padding_len in 0_u8..40,
        ) {
            let padding = padding_len > 0;
            let fields = HeaderFields { marker, padding, payload_type, sequence, timestamp, ssrc };
            let borrowed: Vec<(u8, &[u8])> = elements.iter().map(|(id, value)| (*id, value.as_slice())).collect();
            let mut out = [0; 512];
            let header_len = write_header(&mut out, &fields, &borrowed).unwrap();
            let end = header_len + payload.len();
            out[header_len..end].copy_from_slice(&payload);
            let total = end + usize::from(padding_len);
            if padding {
                write_padding(&mut out[end..total]).unwrap();
            }

            let packet = RtpPacket::parse(&out[..total]).unwrap();
            let header = packet.header();
            let read = HeaderFields {
                marker: header.marker,
                padding: header.has_padding,
                payload_type: header.payload_type,
                sequence: header.sequence,
                timestamp: header.timestamp,
                ssrc: header.ssrc,
            };
            prop_assert_eq!(read, fields);
            prop_assert_eq!(header.header_len, header_len);
            prop_assert_eq!(packet.extensions().collect::<Vec<_>>(), borrowed);
            prop_assert_eq!(packet.payload(), payload);
            prop_assert_eq!(packet.padding_len(), padding_len);
        }
    }
}

//! Redundant audio (RFC 2198): a packet that repeats the ones before it, so that a receiver that lost those has them all the same.
//!
//! ```text
//!  |1| payload type | timestamp offset (14) | length (10) |   of each repeated block
//!  |0| payload type |                                         of the packet's own
//!  the blocks, oldest first; the packet's own comes last and goes to the end
//! ```

use super::cursor::{Reader, Writer};

/// A block that is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// How far its timestamp lies before the packet's, in units of the RTP clock.
    pub timestamp_offset: u32,
    /// Its payload.
    pub payload: &'a [u8],
}

/// The largest timestamp offset that a header can say.
pub const TIMESTAMP_OFFSET_MAX: u32 = (1 << 14) - 1;

/// The longest block that a header can say.
pub const BLOCK_BYTES_MAX: usize = (1 << 10) - 1;

/// Writes a packet's payload, all of `payload_type`: `repeated`, oldest first, then its own. Returns its length. `None` where
/// there is no room for it, or a block cannot be said.
#[must_use]
pub fn write(out: &mut [u8], payload_type: u8, repeated: &[Block<'_>], own: &[u8]) -> Option<usize> {
    let mut out = Writer::new(out);
    for block in repeated {
        let len = u32::try_from(block.payload.len()).ok().filter(|&len| len <= BLOCK_BYTES_MAX as u32)?;
        let offset = Some(block.timestamp_offset).filter(|&offset| offset <= TIMESTAMP_OFFSET_MAX)?;
        out.u32(1 << 31 | u32::from(payload_type & 0x7f) << 24 | offset << 10 | len)?;
    }
    out.u8(payload_type & 0x7f)?;
    for block in repeated {
        out.bytes(block.payload)?;
    }
    out.bytes(own)?;
    Some(out.len())
}

/// Reads a payload: each repeated block, oldest first, then the packet's own as one without an offset. `None` where it is cut
/// short, or not all of `payload_type`.
#[must_use]
pub fn read(payload: &[u8], payload_type: u8) -> Option<Vec<Block<'_>>> {
    let mut headers = Vec::new();
    let mut bytes = Reader::new(payload);
    loop {
        let first = bytes.u8()?;
        if first & 0x7f != payload_type {
            return None;
        }
        if first & 0x80 == 0 {
            break;
        }
        let word = bytes.u24()?;
        headers.push((word >> 10, (word & 0x3ff) as usize));
    }
    let mut blocks = Vec::with_capacity(headers.len().saturating_add(1));
    for (timestamp_offset, len) in headers {
        blocks.push(Block { timestamp_offset, payload: bytes.take(len)? });
    }
    blocks.push(Block { timestamp_offset: 0, payload: bytes.rest() });
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_repeats_the_ones_before_it() {
        let repeated =
            [Block { timestamp_offset: 1_920, payload: &[1, 2, 3] }, Block { timestamp_offset: 960, payload: &[4] }];
        let mut out = [0; 64];
        let len = write(&mut out, 111, &repeated, &[5, 6]).unwrap();
        assert_eq!(
            out[..len],
            [0xef, 0x1e, 0x00, 0x03, 0xef, 0x0f, 0x00, 0x01, 0x6f, 1, 2, 3, 4, 5, 6],
            "RFC 2198 §3: F, block PT, offset in 14 bits, length in 10"
        );
        let own = Block { timestamp_offset: 0, payload: &[5, 6] };
        assert_eq!(read(&out[..len], 111).unwrap(), [repeated[0], repeated[1], own]);
        assert_eq!(read(&out[..len], 110), None);
        for cut in 0..12 {
            assert_eq!(read(&out[..cut], 111), None, "{cut}");
        }
        assert_eq!(write(&mut [0; 14], 111, &repeated, &[5, 6]), None);
    }

    #[test]
    fn what_a_header_cannot_say_is_refused() {
        let (mut out, long) = ([0; 2_000], [0; BLOCK_BYTES_MAX + 1]);
        for (timestamp_offset, payload) in [(TIMESTAMP_OFFSET_MAX + 1, &long[..1]), (960, &long[..])] {
            assert_eq!(write(&mut out, 111, &[Block { timestamp_offset, payload }], &[1]), None);
        }
        let most = Block { timestamp_offset: TIMESTAMP_OFFSET_MAX, payload: &long[1..] };
        let len = write(&mut out, 127, &[most], &[]).unwrap();
        assert_eq!(read(&out[..len], 127).unwrap()[0], most);
    }
}

//! Generic NACK (RFC 4585 §6.2.1): sequence numbers that are missing.

use super::{FrameWriter, RtcpError, RtcpFrame, packet_type};
use crate::wire::cursor::Reader;

/// The feedback message type.
pub(super) const FORMAT: u8 = 1;

/// A generic NACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who misses them.
    pub sender_ssrc: u32,
    /// Whose packets are missing.
    pub media_ssrc: u32,
    entries: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(frame: &RtcpFrame<'a>) -> Result<Self, RtcpError> {
        let mut reader = Reader::new(frame.body);
        let ssrcs = reader.u32().zip(reader.u32());
        // RFC 4585 §6.2.1: at least one entry.
        let (sender_ssrc, media_ssrc) = ssrcs.filter(|_| reader.rest().len() >= 4).ok_or(frame.malformed())?;
        Ok(Self { sender_ssrc, media_ssrc, entries: reader.rest() })
    }

    /// The missing sequence numbers as listed: up to 17 for each four bytes of the packet, perhaps with repetitions.
    #[must_use]
    pub const fn sequences(&self) -> NackSequences<'a> {
        NackSequences { entries: Reader::new(self.entries), next: 0, mask: 0 }
    }
}

/// The missing sequence numbers of a [`Nack`].
#[derive(Clone, Copy, Debug)]
pub struct NackSequences<'a> {
    entries: Reader<'a>,
    /// The sequence number of the mask's lowest bit.
    next: u16,
    mask: u16,
}

impl Iterator for NackSequences<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.mask == 0 {
            let first = self.entries.u16()?;
            self.mask = self.entries.u16()?;
            self.next = first.wrapping_add(1);
            return Some(first);
        }
        let skip = self.mask.trailing_zeros();
        let sequence = self.next.wrapping_add(skip as u16);
        self.next = sequence.wrapping_add(1);
        // In two steps: a shift by 16 would overflow.
        self.mask = self.mask.checked_shr(skip).unwrap_or(0) >> 1;
        Some(sequence)
    }
}

/// Writes a NACK of sequence numbers in serial order (ascending, perhaps through the wrap), 17 to an entry at best.
///
/// Repetitions are dropped. An unsorted list is written correctly and packs worse. `None` when there are none or
/// they do not fit.
#[must_use]
pub fn write(out: &mut [u8], sender_ssrc: u32, media_ssrc: u32, sequences: &[u16]) -> Option<usize> {
    let (&first, rest) = sequences.split_first()?;
    let mut frame = FrameWriter::begin(out, packet_type::TRANSPORT_LAYER_FEEDBACK, FORMAT)?;
    frame.writer.u32(sender_ssrc)?;
    frame.writer.u32(media_ssrc)?;
    let (mut base, mut mask) = (first, 0_u16);
    for &sequence in rest {
        match sequence.wrapping_sub(base) {
            0 => {}
            distance @ 1..=16 => mask |= 1_u16.wrapping_shl(u32::from(distance.wrapping_sub(1))),
            _ => {
                frame.writer.u16(base)?;
                frame.writer.u16(mask)?;
                (base, mask) = (sequence, 0);
            }
        }
    }
    frame.writer.u16(base)?;
    frame.writer.u16(mask)?;
    frame.finish()
}

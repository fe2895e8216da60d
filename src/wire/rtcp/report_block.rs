//! The reception report block that sender and receiver reports share (RFC 3550 §6.4.1).

use crate::wire::cursor::{Reader, Writer};

/// Bytes of one block.
const BLOCK_BYTES: usize = 24;

const CUMULATIVE_LOST_MAX: i32 = 0x7f_ffff;
const CUMULATIVE_LOST_MIN: i32 = -0x80_0000;

/// How one receiver gets one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: u32,
    /// Fraction lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; negative when duplicates outnumber losses. Written clamped to 24 bits.
    pub cumulative_lost: i32,
    /// Highest sequence number received, with the count of wraps in the upper 16 bits.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the codec's clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report ([`crate::time::NtpTime::middle`]); zero without one.
    pub last_sender_report: u32,
    /// Time since that report arrived, in 1/65,536 s; zero without one.
    pub delay_since_last_sender_report: u32,
}

impl ReportBlock {
    fn read(bytes: &[u8; BLOCK_BYTES]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            ssrc: reader.u32()?,
            fraction_lost: reader.u8()?,
            // Up and down again carries bit 23 into the sign.
            cumulative_lost: (reader.u24()? << 8).cast_signed() >> 8,
            highest_sequence: reader.u32()?,
            jitter: reader.u32()?,
            last_sender_report: reader.u32()?,
            delay_since_last_sender_report: reader.u32()?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Option<()> {
        writer.u32(self.ssrc)?;
        writer.u8(self.fraction_lost)?;
        writer.u24(self.cumulative_lost.clamp(CUMULATIVE_LOST_MIN, CUMULATIVE_LOST_MAX).cast_unsigned())?;
        writer.u32(self.highest_sequence)?;
        writer.u32(self.jitter)?;
        writer.u32(self.last_sender_report)?;
        writer.u32(self.delay_since_last_sender_report)
    }
}

/// The report blocks of one packet, in wire order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlocks<'a> {
    bytes: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    /// Takes `count` blocks off the reader; what follows them (profile-specific extensions) is not looked at.
    pub(super) fn take(reader: &mut Reader<'a>, count: u8) -> Option<Self> {
        Some(Self { bytes: reader.take(usize::from(count).checked_mul(BLOCK_BYTES)?)? })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        ReportBlock::read(block)
    }
}

/// Writes at most 31 blocks.
pub(super) fn write_all(writer: &mut Writer<'_>, blocks: &[ReportBlock]) -> Option<()> {
    blocks.iter().try_for_each(|block| block.write(writer))
}

/// The count field for so many blocks; `None` above 31.
pub(super) fn count_of(blocks: &[ReportBlock]) -> Option<u8> {
    u8::try_from(blocks.len()).ok().filter(|&count| count <= super::COUNT_MAX)
}

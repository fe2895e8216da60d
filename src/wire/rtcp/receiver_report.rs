//! Receiver report (RFC 3550 §6.4.2).

use super::report_block::{count_of, write_all};
use super::{FrameWriter, ReportBlock, ReportBlocks, RtcpError, RtcpFrame, packet_type};
use crate::wire::cursor::Reader;

/// A receiver report. Without blocks it only opens a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// What it receives.
    pub reports: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(frame: &RtcpFrame<'a>) -> Result<Self, RtcpError> {
        let mut reader = Reader::new(frame.body);
        let mut read = || Some(Self { ssrc: reader.u32()?, reports: ReportBlocks::take(&mut reader, frame.count)? });
        read().ok_or(frame.malformed())
    }
}

/// Writes a receiver report. `None` when it does not fit or has more than 31 blocks.
#[must_use]
pub fn write(out: &mut [u8], ssrc: u32, reports: &[ReportBlock]) -> Option<usize> {
    let mut frame = FrameWriter::begin(out, packet_type::RECEIVER_REPORT, count_of(reports)?)?;
    frame.writer.u32(ssrc)?;
    write_all(&mut frame.writer, reports)?;
    frame.finish()
}

//! Sender report (RFC 3550 §6.4.1): maps RTP time to wall-clock time and counts what was sent.

use super::report_block::{count_of, write_all};
use super::{FrameWriter, ReportBlock, ReportBlocks, RtcpError, RtcpFrame, packet_type};
use crate::time::NtpTime;
use crate::wire::cursor::Reader;

/// What a sender tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall-clock time of the report.
    pub ntp: NtpTime,
    /// The same instant in the codec's clock.
    pub rtp_timestamp: u32,
    /// Packets sent since the beginning, wrapping.
    pub packet_count: u32,
    /// Payload bytes sent since the beginning, wrapping.
    pub octet_count: u32,
}

/// A sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// The sender.
    pub ssrc: u32,
    /// What it sent.
    pub info: SenderInfo,
    /// What it receives.
    pub reports: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(frame: &RtcpFrame<'a>) -> Result<Self, RtcpError> {
        let mut reader = Reader::new(frame.body);
        let mut read = || {
            Some(Self {
                ssrc: reader.u32()?,
                info: SenderInfo {
                    ntp: NtpTime(reader.u64()?),
                    rtp_timestamp: reader.u32()?,
                    packet_count: reader.u32()?,
                    octet_count: reader.u32()?,
                },
                reports: ReportBlocks::take(&mut reader, frame.count)?,
            })
        };
        read().ok_or(frame.malformed())
    }
}

/// Writes a sender report. `None` when it does not fit or has more than 31 blocks.
#[must_use]
pub fn write(out: &mut [u8], ssrc: u32, info: &SenderInfo, reports: &[ReportBlock]) -> Option<usize> {
    let mut frame = FrameWriter::begin(out, packet_type::SENDER_REPORT, count_of(reports)?)?;
    frame.writer.u32(ssrc)?;
    frame.writer.u64(info.ntp.0)?;
    frame.writer.u32(info.rtp_timestamp)?;
    frame.writer.u32(info.packet_count)?;
    frame.writer.u32(info.octet_count)?;
    write_all(&mut frame.writer, reports)?;
    frame.finish()
}

//! RTCP (RFC 3550 §6): one file per packet type, and [`packets`] to walk a compound of them.
//!
//! Each file has a parsed view, made from an [`RtcpFrame`], and a `write` that writes one packet to the start of a
//! buffer. A compound is written by calling them one after another, each on the rest of the buffer. SRTCP is not
//! handled here.
//!
//! | File | Packet | Source |
//! |---|---|---|
//! | [`sender_report`] | SR | RFC 3550 §6.4.1 |
//! | [`receiver_report`] | RR | RFC 3550 §6.4.2 |
//! | [`source_description`] | SDES | RFC 3550 §6.5 |
//! | [`goodbye`] | BYE | RFC 3550 §6.6 |
//! | [`nack`] | RTPFB 1 | RFC 4585 §6.2.1 |
//! | [`transport_feedback`] | RTPFB 15 | draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1 |
//! | [`picture_loss_indication`] | PSFB 1 | RFC 4585 §6.3.1 |
//! | [`full_intra_request`] | PSFB 4 | RFC 5104 §4.3.1 |
//! | [`remb`] | PSFB 15 | draft-alvestrand-rmcat-remb-03 §2.2 |
//!
//! Left out: APP, extended reports (RFC 3611), slice loss and reference picture selection (RFC 4585 §6.3.2–3),
//! TMMBR (RFC 5104 §4.2). They are handed over as [`RtcpPacket::Unknown`].

mod compound;
pub mod full_intra_request;
pub mod goodbye;
pub mod nack;
pub mod picture_loss_indication;
pub mod receiver_report;
pub mod remb;
mod report_block;
pub mod sender_report;
pub mod source_description;
pub mod transport_feedback;

#[cfg(test)]
mod tests;

use std::fmt;

use super::cursor::{Reader, Writer};
pub use compound::{Packets, RtcpPacket, packets};
pub use report_block::{ReportBlock, ReportBlocks};

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1).
pub mod packet_type {
    /// SR
    pub const SENDER_REPORT: u8 = 200;
    /// RR
    pub const RECEIVER_REPORT: u8 = 201;
    /// SDES
    pub const SOURCE_DESCRIPTION: u8 = 202;
    /// BYE
    pub const GOODBYE: u8 = 203;
    /// Transport layer feedback; the count field tells which.
    pub const TRANSPORT_LAYER_FEEDBACK: u8 = 205;
    /// Payload-specific feedback; the count field tells which.
    pub const PAYLOAD_SPECIFIC_FEEDBACK: u8 = 206;
}

/// Bytes of the header every packet has.
const HEADER_BYTES: usize = 4;

/// The largest value of the five-bit count field.
const COUNT_MAX: u8 = 31;

/// Why bytes are not an RTCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpError {
    /// Shorter than its header says.
    Truncated,
    /// The version is not 2.
    Version,
    /// The padding count is zero or longer than the packet.
    Padding,
    /// The header is valid, but the contents that this packet type requires are missing or contradictory.
    Malformed {
        /// See [`packet_type`].
        packet_type: u8,
    },
}

impl fmt::Display for RtcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("RTCP packet shorter than its length"),
            Self::Version => f.write_str("RTCP version is not 2"),
            Self::Padding => f.write_str("RTCP padding count out of range"),
            Self::Malformed { packet_type } => write!(f, "RTCP packet of type {packet_type} malformed"),
        }
    }
}

impl std::error::Error for RtcpError {}

/// One packet of a compound with a valid header: type, count and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcpFrame<'a> {
    /// See [`packet_type`].
    pub packet_type: u8,
    /// Number of reports or sources, or the feedback message type: five bits.
    pub count: u8,
    /// What follows the four header bytes, without padding.
    pub body: &'a [u8],
}

impl<'a> RtcpFrame<'a> {
    /// Takes the first packet off `bytes`; what is left is returned with it.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), RtcpError> {
        let mut reader = Reader::new(bytes);
        let &[flags, packet_type] = reader.array().ok_or(RtcpError::Truncated)?;
        let words = reader.u16().ok_or(RtcpError::Truncated)?;
        if flags >> 6 != 2 {
            return Err(RtcpError::Version);
        }
        let mut body = reader.take(usize::from(words).saturating_mul(4)).ok_or(RtcpError::Truncated)?;
        if flags & 0x20 != 0 {
            // RFC 3550 §6.4.1 wants a multiple of four; libwebrtc pads transport feedback by 1 to 3 bytes.
            let count = *body.last().ok_or(RtcpError::Padding)?;
            let len = body.len().checked_sub(usize::from(count)).filter(|_| count != 0).ok_or(RtcpError::Padding)?;
            body = body.get(..len).ok_or(RtcpError::Padding)?;
        }
        Ok((Self { packet_type, count: flags & COUNT_MAX, body }, reader.rest()))
    }

    const fn malformed(&self) -> RtcpError {
        RtcpError::Malformed { packet_type: self.packet_type }
    }
}

/// A packet being written: the length field is filled in at the end.
struct FrameWriter<'a> {
    writer: Writer<'a>,
}

impl<'a> FrameWriter<'a> {
    fn begin(out: &'a mut [u8], packet_type: u8, count: u8) -> Option<Self> {
        let mut writer = Writer::new(out);
        writer.u8(0x80 | count & COUNT_MAX)?;
        writer.u8(packet_type)?;
        writer.u16(0)?;
        Some(Self { writer })
    }

    /// Fills up the last word with zeros and sets the length (RFC 3550 §6.4.1: in words, less one).
    fn finish(mut self) -> Option<usize> {
        self.writer.align()?;
        let len = self.writer.len();
        self.writer.patch_u16(2, u16::try_from(len.checked_sub(HEADER_BYTES)? / 4).ok()?)?;
        Some(len)
    }
}

//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03 §2.2).

use super::{FrameWriter, RtcpError, RtcpFrame, packet_type};
use crate::wire::cursor::Reader;

/// The feedback message type: application layer feedback (RFC 4585 §6.4).
pub(super) const FORMAT: u8 = 15;

/// What tells this application layer feedback from others.
const IDENTIFIER: [u8; 4] = *b"REMB";

const MANTISSA_BITS: u32 = 18;

/// A bitrate the receiver thinks it can take over all of the listed sources together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remb<'a> {
    /// Who estimates.
    pub sender_ssrc: u32,
    /// Bits a second; what does not fit 64 bits reads as `u64::MAX`.
    pub bitrate_bps: u64,
    sources: &'a [u8],
}

impl<'a> Remb<'a> {
    /// Whether an application layer feedback is this one.
    pub(super) fn is_remb(frame: &RtcpFrame<'_>) -> bool {
        frame.body.get(8..12) == Some(&IDENTIFIER)
    }

    pub(super) fn parse(frame: &RtcpFrame<'a>) -> Result<Self, RtcpError> {
        let mut reader = Reader::new(frame.body);
        let mut read = || {
            let sender_ssrc = reader.u32()?;
            let _media_ssrc = reader.u32()?;
            let _identifier = reader.u32()?;
            let count = reader.u8()?;
            let packed = reader.u24()?;
            let (exponent, mantissa) = (packed >> MANTISSA_BITS, u64::from(packed & ((1 << MANTISSA_BITS) - 1)));
            let shifted = mantissa.checked_shl(exponent).unwrap_or(0);
            let exact = shifted.checked_shr(exponent) == Some(mantissa);
            let bitrate_bps = if exact { shifted } else { u64::MAX };
            Some(Self { sender_ssrc, bitrate_bps, sources: reader.take(usize::from(count).saturating_mul(4))? })
        };
        read().ok_or(frame.malformed())
    }

    /// The sources the bitrate is for.
    pub fn sources(&self) -> impl Iterator<Item = u32> + use<'a> {
        let mut reader = Reader::new(self.sources);
        std::iter::from_fn(move || reader.u32())
    }
}

/// Writes an estimate for at most 255 sources. The bitrate keeps its upper 18 bits, the rest is rounded down.
/// `None` when it does not fit.
#[must_use]
pub fn write(out: &mut [u8], sender_ssrc: u32, bitrate_bps: u64, sources: &[u32]) -> Option<usize> {
    let exponent = u64::BITS.saturating_sub(bitrate_bps.leading_zeros()).saturating_sub(MANTISSA_BITS);
    let mantissa = u32::try_from(bitrate_bps.checked_shr(exponent)?).ok()?;
    let mut frame = FrameWriter::begin(out, packet_type::PAYLOAD_SPECIFIC_FEEDBACK, FORMAT)?;
    frame.writer.u32(sender_ssrc)?;
    // The draft: the media source is always zero.
    frame.writer.u32(0)?;
    frame.writer.bytes(&IDENTIFIER)?;
    frame.writer.u8(u8::try_from(sources.len()).ok()?)?;
    frame.writer.u24(exponent << MANTISSA_BITS | mantissa)?;
    sources.iter().try_for_each(|&ssrc| frame.writer.u32(ssrc))?;
    frame.finish()
}

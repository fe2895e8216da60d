//! Picture loss indication (RFC 4585 §6.3.1): asks for something decodable, in practice a key frame.

use super::{FrameWriter, RtcpError, RtcpFrame, packet_type};
use crate::wire::cursor::Reader;

/// The feedback message type.
pub(super) const FORMAT: u8 = 1;

/// A picture loss indication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureLossIndication {
    /// Who asks.
    pub sender_ssrc: u32,
    /// Which source is asked.
    pub media_ssrc: u32,
}

impl PictureLossIndication {
    pub(super) fn parse(frame: &RtcpFrame<'_>) -> Result<Self, RtcpError> {
        let mut reader = Reader::new(frame.body);
        let (sender_ssrc, media_ssrc) = reader.u32().zip(reader.u32()).ok_or(frame.malformed())?;
        Ok(Self { sender_ssrc, media_ssrc })
    }
}

/// Writes a picture loss indication. `None` when it does not fit.
#[must_use]
pub fn write(out: &mut [u8], sender_ssrc: u32, media_ssrc: u32) -> Option<usize> {
    let mut frame = FrameWriter::begin(out, packet_type::PAYLOAD_SPECIFIC_FEEDBACK, FORMAT)?;
    frame.writer.u32(sender_ssrc)?;
    frame.writer.u32(media_ssrc)?;
    frame.finish()
}

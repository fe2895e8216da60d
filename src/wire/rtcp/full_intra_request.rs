//! Full intra request (RFC 5104 §4.3.1): commands a key frame of the sources it lists.

use super::{FrameWriter, RtcpError, RtcpFrame, packet_type};
use crate::wire::cursor::Reader;

/// The feedback message type.
pub(super) const FORMAT: u8 = 4;

/// One source that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirEntry {
    /// The source.
    pub ssrc: u32,
    /// Counts commands: a repetition of the same one has the same number (RFC 5104 §4.3.1.1).
    pub command_sequence: u8,
}

/// A full intra request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullIntraRequest<'a> {
    /// Who asks.
    pub sender_ssrc: u32,
    entries: &'a [u8],
}

impl<'a> FullIntraRequest<'a> {
    pub(super) fn parse(frame: &RtcpFrame<'a>) -> Result<Self, RtcpError> {
        let mut reader = Reader::new(frame.body);
        // RFC 5104 §4.3.1.2: the media source field is not used.
        let ssrcs = reader.u32().zip(reader.u32());
        let (sender_ssrc, _) = ssrcs.filter(|_| reader.rest().len() >= 8).ok_or(frame.malformed())?;
        Ok(Self { sender_ssrc, entries: reader.rest() })
    }

    /// The sources that are asked.
    pub fn entries(&self) -> impl Iterator<Item = FirEntry> + use<'a> {
        let mut reader = Reader::new(self.entries);
        std::iter::from_fn(move || {
            let (ssrc, command_sequence) = (reader.u32()?, reader.u8()?);
            reader.u24()?;
            Some(FirEntry { ssrc, command_sequence })
        })
    }
}

/// Writes a full intra request. `None` without entries or when they do not fit.
#[must_use]
pub fn write(out: &mut [u8], sender_ssrc: u32, entries: &[FirEntry]) -> Option<usize> {
    if entries.is_empty() {
        return None;
    }
    let mut frame = FrameWriter::begin(out, packet_type::PAYLOAD_SPECIFIC_FEEDBACK, FORMAT)?;
    frame.writer.u32(sender_ssrc)?;
    frame.writer.u32(0)?;
    for entry in entries {
        frame.writer.u32(entry.ssrc)?;
        frame.writer.u8(entry.command_sequence)?;
        frame.writer.u24(0)?;
    }
    frame.finish()
}

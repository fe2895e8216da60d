//! Goodbye (RFC 3550 §6.6): sources that end.

use super::{COUNT_MAX, FrameWriter, RtcpError, RtcpFrame, packet_type};
use crate::wire::cursor::Reader;

/// A goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goodbye<'a> {
    sources: &'a [u8],
    /// Why, where it is told.
    pub reason: Option<&'a [u8]>,
}

impl<'a> Goodbye<'a> {
    pub(super) fn parse(frame: &RtcpFrame<'a>) -> Result<Self, RtcpError> {
        let mut reader = Reader::new(frame.body);
        let sources = reader.take(usize::from(frame.count).saturating_mul(4)).ok_or(frame.malformed())?;
        // A truncated reason is ignored: the goodbye still counts.
        let reason = reader.u8().and_then(|len| reader.take(usize::from(len)));
        Ok(Self { sources, reason })
    }

    /// The sources that end.
    pub fn sources(&self) -> impl Iterator<Item = u32> + use<'a> {
        let mut reader = Reader::new(self.sources);
        std::iter::from_fn(move || reader.u32())
    }
}

/// Writes a goodbye of at most 31 sources, with a reason of at most 255 bytes. `None` when it does not fit.
#[must_use]
pub fn write(out: &mut [u8], sources: &[u32], reason: Option<&str>) -> Option<usize> {
    let count = u8::try_from(sources.len()).ok().filter(|&count| count <= COUNT_MAX)?;
    let mut frame = FrameWriter::begin(out, packet_type::GOODBYE, count)?;
    sources.iter().try_for_each(|&ssrc| frame.writer.u32(ssrc))?;
    if let Some(reason) = reason {
        frame.writer.u8(u8::try_from(reason.len()).ok()?)?;
        frame.writer.bytes(reason.as_bytes())?;
    }
    frame.finish()
}

//! Source description (RFC 3550 §6.5): the canonical name that ties a peer's sources together.
//!
//! Read with any number of chunks and items; written with one chunk and its CNAME, which is all WebRTC uses.

use super::{FrameWriter, RtcpError, RtcpFrame, packet_type};
use crate::wire::cursor::Reader;

/// The item type of a canonical name (RFC 3550 §6.5.1).
pub const CNAME: u8 = 1;

/// A source description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceDescription<'a> {
    chunks: &'a [u8],
    count: u8,
}

/// What is said of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The source.
    pub ssrc: u32,
    items: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Item types and texts, in wire order.
    pub fn items(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut reader = Reader::new(self.items);
        std::iter::from_fn(move || take_item(&mut reader))
    }

    /// The canonical name.
    #[must_use]
    pub fn cname(&self) -> Option<&'a [u8]> {
        self.items().find(|(kind, _)| *kind == CNAME).map(|(_, text)| text)
    }
}

/// The next item; `None` at the null octet that ends a chunk, which is not consumed, and where one is cut short.
fn take_item<'a>(reader: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let mut ahead = *reader;
    let kind = ahead.u8().filter(|&kind| kind != 0)?;
    let len = ahead.u8()?;
    let text = ahead.take(usize::from(len))?;
    *reader = ahead;
    Some((kind, text))
}

fn take_chunk<'a>(reader: &mut Reader<'a>) -> Option<Chunk<'a>> {
    let ssrc = reader.u32()?;
    let start = reader.rest();
    while take_item(reader).is_some() {}
    let items_len = start.len().checked_sub(reader.rest().len())?;
    // RFC 3550 §6.5: the list ends with one or more null octets, up to the next 32-bit boundary.
    let padded_len = items_len.checked_add(1)?.checked_next_multiple_of(4)?;
    if reader.u8() != Some(0) {
        return None;
    }
    *reader = Reader::new(start.get(padded_len..)?);
    Some(Chunk { ssrc, items: start.get(..items_len)? })
}

impl<'a> SourceDescription<'a> {
    pub(super) fn parse(frame: &RtcpFrame<'a>) -> Result<Self, RtcpError> {
        let this = Self { chunks: frame.body, count: frame.count };
        if this.chunks().count() != usize::from(frame.count) {
            return Err(frame.malformed());
        }
        Ok(this)
    }

    /// The chunks, in wire order.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'a>> + use<'a> {
        let mut reader = Reader::new(self.chunks);
        (0..self.count).map_while(move |_| take_chunk(&mut reader))
    }
}

/// Writes one chunk with a canonical name. `None` when it does not fit or the name is longer than 255 bytes.
#[must_use]
pub fn write(out: &mut [u8], ssrc: u32, cname: &str) -> Option<usize> {
    let mut frame = FrameWriter::begin(out, packet_type::SOURCE_DESCRIPTION, 1)?;
    frame.writer.u32(ssrc)?;
    frame.writer.u8(CNAME)?;
    frame.writer.u8(u8::try_from(cname.len()).ok()?)?;
    frame.writer.bytes(cname.as_bytes())?;
    frame.writer.u8(0)?;
    frame.finish()
}

//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1): which
//! packets of a transport arrived, and when.
//!
//! A packet's body is a series of two-byte *chunks*, which give every packet a two-bit status, followed by a *delta*
//! for each packet that arrived. [`TransportFeedback::parse`] checks both against each other, so that reading the
//! statuses cannot fail.
//!
//! Times are in ticks of 250 µs. A delta is the difference between *rounded* times; rounded differences would drift.
//! [`quantise`] computes them so.

use super::{FrameWriter, RtcpError, RtcpFrame, packet_type};
use crate::wire::cursor::{Reader, Writer};

/// The feedback message type.
pub(super) const FORMAT: u8 = 15;

/// Microseconds of one tick.
pub const TICK_US: u64 = 250;

/// Ticks of one unit of the reference time: 64 ms.
pub const REFERENCE_TIME_TICKS: u64 = 256;

/// Bytes before the first chunk: header, two SSRCs, and the fixed fields.
const FIXED_BYTES: usize = 20;

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 2;

/// Statuses one run-length chunk can hold (13 bits).
const RUN_MAX: usize = 0x1fff;

/// Statuses of a vector chunk with one bit each.
const ONE_BIT_STATUSES: usize = 14;

/// Statuses of a vector chunk with two bits each.
const TWO_BIT_STATUSES: usize = 7;

/// Symbols of a packet's status (§3.1.1). 3 is reserved.
const NOT_RECEIVED: u16 = 0;
const SMALL_DELTA: u16 = 1;
const LARGE_DELTA: u16 = 2;

/// The fields beside the statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedbackHeader {
    /// Who received the packets.
    pub sender_ssrc: u32,
    /// A source of the transport that is reported on.
    pub media_ssrc: u32,
    /// The transport-wide sequence number of the first status.
    pub base_sequence: u16,
    /// What the first delta counts from, in 64 ms: 24 bits of a clock of the receiver's own.
    pub reference_time: u32,
    /// Counts feedback packets, so that the sender notices a lost one.
    pub feedback_count: u8,
}

/// A feedback packet whose chunks and deltas agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// The fixed fields.
    pub header: FeedbackHeader,
    /// Number of statuses.
    pub status_count: u16,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(frame: &RtcpFrame<'a>) -> Result<Self, RtcpError> {
        Self::read(frame).ok_or(frame.malformed())
    }

    fn read(frame: &RtcpFrame<'a>) -> Option<Self> {
        let mut reader = Reader::new(frame.body);
        let (sender_ssrc, media_ssrc) = (reader.u32()?, reader.u32()?);
        let (base_sequence, status_count) = (reader.u16()?, reader.u16()?);
        let (reference_time, feedback_count) = (reader.u24()?, reader.u8()?);
        let header = FeedbackHeader { sender_ssrc, media_ssrc, base_sequence, reference_time, feedback_count };

        let start = reader.rest();
        let (mut left, mut delta_bytes) = (usize::from(status_count), 0_usize);
        while left > 0 {
            let (covered, bytes) = StatusChunk(reader.u16()?).measure(left)?;
            left = left.checked_sub(covered)?;
            delta_bytes = delta_bytes.checked_add(bytes)?;
        }
        let chunks = start.get(..start.len().checked_sub(reader.rest().len())?)?;
        Some(Self { header, status_count, chunks, deltas: reader.take(delta_bytes)? })
    }

    /// Every status in order: the transport-wide sequence number and, where the packet arrived, the ticks since the one
    /// that arrived before it (since the reference time for the first). There are at most 65,535, and an attacker can
    /// cause as many with a packet of 40 bytes.
    #[must_use]
    pub const fn statuses(&self) -> Statuses<'a> {
        Statuses {
            chunks: Reader::new(self.chunks),
            deltas: Reader::new(self.deltas),
            sequence: self.header.base_sequence,
            left: self.status_count,
            chunk: StatusChunk(0),
            chunk_left: 0,
            chunk_index: 0,
        }
    }
}

/// A status chunk (§3.1.3, §3.1.4): its 16 bits.
#[derive(Clone, Copy, Debug)]
struct StatusChunk(u16);

impl StatusChunk {
    const fn run(symbol: u16, len: usize) -> Self {
        Self(symbol << 13 | len as u16)
    }

    fn one_bit(symbols: impl Iterator<Item = u16>) -> Self {
        Self(0x8000 | symbols.chain(std::iter::repeat(0)).take(ONE_BIT_STATUSES).fold(0, |bits, s| bits << 1 | s))
    }

    fn two_bit(symbols: impl Iterator<Item = u16>) -> Self {
        Self(0xc000 | symbols.chain(std::iter::repeat(0)).take(TWO_BIT_STATUSES).fold(0, |bits, s| bits << 2 | s))
    }

    /// Statuses it holds.
    const fn capacity(self) -> usize {
        match self.0 >> 14 {
            0 | 1 => self.0 as usize & RUN_MAX,
            2 => ONE_BIT_STATUSES,
            _ => TWO_BIT_STATUSES,
        }
    }

    /// The symbol of the status with this index, which is below its capacity.
    fn symbol(self, index: usize) -> u16 {
        match self.0 >> 14 {
            0 | 1 => self.0 >> 13 & 3,
            2 => self.vector(ONE_BIT_STATUSES, index, 1),
            _ => self.vector(TWO_BIT_STATUSES, index, 2),
        }
    }

    fn vector(self, capacity: usize, index: usize, width: u32) -> u16 {
        let from_right = capacity.saturating_sub(index).saturating_sub(1) as u32;
        let mask = if width == 1 { 1 } else { 3 };
        self.0.checked_shr(from_right.saturating_mul(width)).unwrap_or(0) & mask
    }

    /// How many of the `left` statuses it covers and how many bytes of deltas those have; `None` for a chunk that
    /// covers nothing or holds the reserved symbol.
    fn measure(self, left: usize) -> Option<(usize, usize)> {
        let covered = self.capacity().min(left);
        if covered == 0 {
            return None;
        }
        let bytes = if self.0 >> 15 == 0 {
            covered.checked_mul(delta_bytes(self.symbol(0))?)?
        } else {
            (0..covered).try_fold(0_usize, |sum, index| sum.checked_add(delta_bytes(self.symbol(index))?))?
        };
        Some((covered, bytes))
    }
}

/// Bytes of the delta that goes with a symbol; `None` for the reserved one.
const fn delta_bytes(symbol: u16) -> Option<usize> {
    match symbol {
        NOT_RECEIVED => Some(0),
        SMALL_DELTA => Some(1),
        LARGE_DELTA => Some(2),
        _ => None,
    }
}

/// See [`TransportFeedback::statuses`].
#[derive(Clone, Copy, Debug)]
pub struct Statuses<'a> {
    chunks: Reader<'a>,
    deltas: Reader<'a>,
    sequence: u16,
    left: u16,
    chunk: StatusChunk,
    chunk_left: usize,
    chunk_index: usize,
}

impl Iterator for Statuses<'_> {
    type Item = (u16, Option<i16>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if self.chunk_left == 0 {
            self.chunk = StatusChunk(self.chunks.u16()?);
            self.chunk_left = self.chunk.capacity();
            self.chunk_index = 0;
        }
        let symbol = self.chunk.symbol(self.chunk_index);
        self.chunk_index = self.chunk_index.saturating_add(1);
        self.chunk_left = self.chunk_left.saturating_sub(1);
        let delta = match symbol {
            SMALL_DELTA => Some(i16::from(self.deltas.u8()?)),
            LARGE_DELTA => Some(self.deltas.u16()?.cast_signed()),
            _ => None,
        };
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Some((sequence, delta))
    }
}

/// The symbol a status is written with.
fn symbol_of(status: Option<i16>) -> u16 {
    match status {
        None => NOT_RECEIVED,
        Some(0..=255) => SMALL_DELTA,
        Some(_) => LARGE_DELTA,
    }
}

/// The chunk that covers the most statuses from the start of `statuses`, and how many it covers (zero only if there are
/// none).
fn next_chunk(statuses: &[Option<i16>]) -> (StatusChunk, usize) {
    let symbols = || statuses.iter().map(|&status| symbol_of(status));
    let first = symbols().next().unwrap_or(NOT_RECEIVED);
    let run = symbols().take(RUN_MAX).take_while(|&symbol| symbol == first).count();
    let one_bit = statuses.len().min(ONE_BIT_STATUSES);
    let one_bit_fits = symbols().take(one_bit).all(|symbol| symbol != LARGE_DELTA);
    let two_bit = statuses.len().min(TWO_BIT_STATUSES);
    if run >= two_bit && (run >= one_bit || !one_bit_fits) {
        (StatusChunk::run(first, run), run)
    } else if one_bit_fits {
        (StatusChunk::one_bit(symbols()), one_bit)
    } else {
        (StatusChunk::two_bit(symbols()), two_bit)
    }
}

/// The chunks of all of `statuses`.
fn chunks(mut statuses: &[Option<i16>]) -> impl Iterator<Item = StatusChunk> {
    std::iter::from_fn(move || {
        let (chunk, covered) = next_chunk(statuses);
        statuses = statuses.get(covered..).filter(|_| covered > 0)?;
        Some(chunk)
    })
}

/// Bytes of a feedback packet with these statuses.
fn encoded_len(statuses: &[Option<i16>]) -> usize {
    let chunk_bytes = chunks(statuses).count().saturating_mul(CHUNK_BYTES);
    let delta_bytes = statuses
        .iter()
        .fold(0_usize, |sum, &status| sum.saturating_add(delta_bytes(symbol_of(status)).unwrap_or_default()));
    FIXED_BYTES.saturating_add(chunk_bytes).saturating_add(delta_bytes).saturating_add(3) & !3
}

/// What [`write()`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub len: usize,
    /// How many of the statuses are in it: fewer than given when they did not all fit.
    pub statuses: usize,
}

/// Writes feedback for consecutive packets from `header.base_sequence` on. A status is `None` for a packet that did not
/// arrive, and otherwise the ticks since the previous one that did.
///
/// Statuses that do not fit `out` are left for the next packet: the list is halved until it fits. Returns `None` when
/// there are no statuses or not even one fits.
#[must_use]
pub fn write(out: &mut [u8], header: &FeedbackHeader, statuses: &[Option<i16>]) -> Option<Written> {
    // The count field has 16 bits.
    let mut count = statuses.len().min(usize::from(u16::MAX));
    let mut statuses = statuses.get(..count)?;
    while encoded_len(statuses) > out.len() && count > 0 {
        count /= 2;
        statuses = statuses.get(..count)?;
    }
    if statuses.is_empty() {
        return None;
    }
    let mut frame = FrameWriter::begin(out, packet_type::TRANSPORT_LAYER_FEEDBACK, FORMAT)?;
    let writer = &mut frame.writer;
    writer.u32(header.sender_ssrc)?;
    writer.u32(header.media_ssrc)?;
    writer.u16(header.base_sequence)?;
    writer.u16(u16::try_from(count).ok()?)?;
    writer.u24(header.reference_time)?;
    writer.u8(header.feedback_count)?;
    chunks(statuses).try_for_each(|chunk| writer.u16(chunk.0))?;
    statuses.iter().try_for_each(|&status| write_delta(writer, status))?;
    // The packet is padded with zeros as in the draft, without the P bit, which only the last packet of a compound may
    // set.
    Some(Written { len: frame.finish()?, statuses: count })
}

fn write_delta(writer: &mut Writer<'_>, status: Option<i16>) -> Option<()> {
    match status {
        None => Some(()),
        Some(delta) => match u8::try_from(delta) {
            Ok(small) => writer.u8(small),
            Err(_) => writer.u16(delta.cast_unsigned()),
        },
    }
}

/// What [`quantise`] made of arrival times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantised {
    /// For [`FeedbackHeader::reference_time`].
    pub reference_time: u32,
    /// How many statuses were filled in: fewer than given where two arrivals lie more than 8 s apart.
    pub statuses: usize,
}

/// Converts arrival times in microseconds (of any clock) to the statuses that [`write()`] takes; `None` for a packet
/// that did not arrive. Stops where either slice ends or a delta does not fit.
pub fn quantise(arrivals_us: &[Option<u64>], statuses: &mut [Option<i16>]) -> Quantised {
    let ticks = |arrival_us: u64| arrival_us / TICK_US;
    let first = arrivals_us.iter().flatten().next().map_or(0, |&arrival_us| ticks(arrival_us));
    let reference = first / REFERENCE_TIME_TICKS;
    let mut before = reference.saturating_mul(REFERENCE_TIME_TICKS);
    let mut filled = 0_usize;
    for (&arrival, status) in arrivals_us.iter().zip(statuses) {
        *status = match arrival.map(ticks) {
            None => None,
            Some(now) => {
                let Ok(delta) = i16::try_from(now.wrapping_sub(before).cast_signed()) else { break };
                before = now;
                Some(delta)
            }
        };
        filled = filled.saturating_add(1);
    }
    Quantised { reference_time: reference as u32 & 0xff_ffff, statuses: filled }
}

//! One viewer's place in one encoding: its cursor, and how the encoding's numbers become the viewer's own.
//!
//! A viewer's stream keeps one SSRC for life. Its packet index (rollover counter and sequence number, RFC 3711
//! §3.3.1) is the encoding's sequence plus an offset; its timestamp the encoding's plus another. Where the cursor
//! jumps (it lagged, or later: another encoding) a new [`Segment`] begins, so that the viewer sees no hole. The
//! segments are kept, few and bounded, because a retransmission must repeat exactly what was sent.
//!
//! **Sealed once.** A position is visited once, a sequence is stored once, and segments never overlap in packet
//! index: so each (SSRC, index) is sealed for one packet only. A repeat for a viewer without RTX writes the same
//! header and seals the same bytes, which gives the same ciphertext (RFC 7714 §8 forbids anything else).

use crate::limits;
use crate::relay::store::packet_ring::{PacketInfo, PacketRing, Start};
use crate::time::{NtpTime, Timestamp};
use crate::wire::rtp::{self, HeaderFields};
use crate::wire::rtp_extension;

/// From `from` on, packet index = sequence + `index_offset`, timestamp = timestamp + `timestamp_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    from: u64,
    index_offset: u64,
    timestamp_offset: u32,
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// It starts at the next key frame.
    AwaitsKeyFrame,
    /// The position of the next packet to send.
    At(u64),
}

/// Header fields of the viewer's stream that never change, and the parts that depend on the codec in use.
#[derive(Clone, Copy, Debug)]
pub struct EgressFormat {
    /// Payload type of the media.
    pub payload_type: u8,
    /// Payload type of its retransmissions, where agreed.
    pub rtx_payload_type: Option<u8>,
    /// RTP clock in Hz.
    pub clock_rate_hz: u32,
}

/// A prebuilt RTP header extension block (RFC 8285), the same on every packet of a subscription.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtensionBlock {
    bytes: [u8; limits::EXTENSION_BLOCK_BYTES_MAX],
    len: u8,
}

impl ExtensionBlock {
    /// The block that carries the media identification (RFC 8843 §15.1); empty when it was not agreed.
    #[must_use]
    pub fn with_mid(id: Option<u8>, mid: &str) -> Self {
        let mut block = Self::default();
        let Some(id) = id else { return block };
        let value: &[u8] = mid.as_bytes();
        let written = rtp_extension::write_extensions(&mut block.bytes, &[(id, value)]);
        block.len = written.and_then(|len| u8::try_from(len).ok()).unwrap_or(0);
        block
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// One viewer's place in one encoding.
#[derive(Debug)]
pub struct Subscription {
    ssrc: u32,
    rtx_ssrc: Option<u32>,
    /// `None` while nothing the viewer negotiated fits what is published.
    format: Option<EgressFormat>,
    extension: ExtensionBlock,
    cursor: Cursor,
    segments: [Segment; limits::REWRITING_SEGMENTS_MAX],
    segments_len: u8,
    first_timestamp_offset: u32,
    /// The index after the highest sent.
    next_index: u64,
    rtx_index: u64,
    /// Nothing below this index is repeated: it was sent with another payload type, and a repeat with a different
    /// header under the same index would break the rule above.
    repeat_from: u64,
    packets: u32,
    octets: u32,
    /// Times the cursor lagged and skipped to a key frame.
    pub skips: u64,
}

/// What a viewer's NACK refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The encoding's sequence.
    pub sequence: u64,
    /// The viewer's packet index.
    pub index: u64,
}

/// A header written for one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressHeader {
    /// Its length in the slot.
    pub len: usize,
    /// The packet index to seal with.
    pub index: u64,
}

impl Subscription {
    /// A subscription that waits for a key frame (video) or for the next packet (audio, by [`Self::start_at`]).
    /// `random` seeds the first sequence number, below 2^15 (RFC 3711 §3.3.1: the receiver must not misjudge the
    /// rollover counter at the start), and the timestamp offset.
    #[must_use]
    pub fn new(ssrc: u32, rtx_ssrc: Option<u32>, extension: ExtensionBlock, random: u64) -> Self {
        let first_index = (random & 0x7fff).max(1);
        Self {
            ssrc,
            rtx_ssrc,
            format: None,
            extension,
            cursor: Cursor::AwaitsKeyFrame,
            segments: [Segment { from: u64::MAX, index_offset: 0, timestamp_offset: 0 };
                limits::REWRITING_SEGMENTS_MAX],
            segments_len: 0,
            first_timestamp_offset: (random >> 32) as u32,
            next_index: first_index,
            rtx_index: ((random >> 16) & 0x7fff).max(1),
            repeat_from: first_index,
            packets: 0,
            octets: 0,
            skips: 0,
        }
    }

    /// The SSRC of the viewer's stream.
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The SSRC of its retransmissions.
    #[must_use]
    pub fn rtx_ssrc(&self) -> Option<u32> {
        self.rtx_ssrc
    }

    /// The payload types in use; `None` while nothing fits.
    #[must_use]
    pub fn format(&self) -> Option<&EgressFormat> {
        self.format.as_ref()
    }

    /// Says what the viewer gets from now on; `None` when nothing it negotiated fits.
    pub fn set_format(&mut self, format: Option<EgressFormat>) {
        if self.format.map(|f| f.payload_type) != format.map(|f| f.payload_type) {
            self.repeat_from = self.next_index;
        }
        self.format = format;
    }

    /// Where it stands.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Waits for a key frame from now on.
    pub fn await_key_frame(&mut self) {
        self.cursor = Cursor::AwaitsKeyFrame;
    }

    /// Whether a packet lies after all that was sent. One that the uplink recovered late is the newest by position and old by
    /// sequence: who started there would be sent what it has once more, under other numbers.
    #[must_use]
    pub fn is_ahead(&self, sequence: u64) -> bool {
        self.last_segment().is_none_or(|last| sequence.wrapping_add(last.index_offset) >= self.next_index)
    }

    /// Sends from there on. The viewer's numbers continue without a hole.
    pub fn start_at(&mut self, Start { position, sequence }: Start) {
        self.cursor = Cursor::At(position);
        let index_offset = self.next_index.wrapping_sub(sequence);
        if let Some(last) = self.last_segment()
            && last.index_offset == index_offset
        {
            return;
        }
        let timestamp_offset = self.last_segment().map_or(self.first_timestamp_offset, |last| last.timestamp_offset);
        let segment = Segment { from: sequence, index_offset, timestamp_offset };
        if usize::from(self.segments_len) == self.segments.len() {
            // The oldest goes: what it sent can no longer be repeated.
            self.segments.rotate_left(1);
            self.segments_len -= 1;
        }
        self.segments[usize::from(self.segments_len)] = segment;
        self.segments_len += 1;
    }

    fn last_segment(&self) -> Option<&Segment> {
        self.segments.get(usize::from(self.segments_len).checked_sub(1)?)
    }

    /// Moves past one position.
    pub fn advance(&mut self) {
        if let Cursor::At(position) = &mut self.cursor {
            *position += 1;
        }
    }

    /// Writes the header of `info` for this viewer at the start of `slot`. `None` for a packet that lies before the
    /// present segment (late, from before a skip: the viewer has no number for it) or when nothing fits.
    #[inline]
    pub fn write_header(&self, slot: &mut [u8], info: &PacketInfo) -> Option<EgressHeader> {
        let segment = self.last_segment()?;
        if info.sequence < segment.from {
            return None;
        }
        self.write_header_of(segment, slot, info)
    }

    /// Counts a packet as sent (RFC 3550 §6.4.1: sender's packet and octet count).
    #[inline]
    pub fn sent(&mut self, index: u64, payload_len: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        self.next_index = self.next_index.max(index + 1);
    }

    fn write_header_of(&self, segment: &Segment, slot: &mut [u8], info: &PacketInfo) -> Option<EgressHeader> {
        let format = self.format.as_ref()?;
        let index = info.sequence.wrapping_add(segment.index_offset);
        let extension = self.extension.as_bytes();
        let fields = HeaderFields {
            marker: info.marker,
            padding: info.padding > 0,
            payload_type: format.payload_type,
            sequence: (index & 0xffff) as u16,
            timestamp: info.timestamp.wrapping_add(segment.timestamp_offset),
            ssrc: self.ssrc,
        };
        rtp::write_fixed_header(slot.first_chunk_mut()?, &fields, !extension.is_empty());
        let len = 12 + extension.len();
        slot.get_mut(12..len)?.copy_from_slice(extension);
        Some(EgressHeader { len, index })
    }

    /// Which packet a NACKed sequence number of the viewer's stream means; `None` for one never sent or forgotten.
    #[must_use]
    pub fn locate(&self, sequence_number: u16) -> Option<Located> {
        let newest = self.next_index.checked_sub(1)?;
        let behind = u64::from((newest as u16).wrapping_sub(sequence_number));
        if behind >= 0x8000 {
            return None;
        }
        let index = newest.checked_sub(behind).filter(|&index| index >= self.repeat_from)?;
        let segments = self.segments.get(..usize::from(self.segments_len))?;
        let segment = segments.iter().rev().find(|s| index >= s.from.wrapping_add(s.index_offset))?;
        Some(Located { sequence: index.wrapping_sub(segment.index_offset), index })
    }

    /// Writes a retransmission (RFC 4588 §4): the header on the RTX stream into `slot`, and the original sequence
    /// number with the payload into `payload`. Returns the header and the payload's length. `None` without RTX.
    pub fn write_rtx(
        &mut self,
        slot: &mut [u8],
        payload: &mut [u8],
        located: Located,
        info: &PacketInfo,
        original: &[u8],
    ) -> Option<(EgressHeader, usize)> {
        let format = self.format?;
        let (payload_type, ssrc) = (format.rtx_payload_type?, self.rtx_ssrc?);
        let segment = *self.segment_of(located)?;
        let extension = self.extension.as_bytes();
        let fields = HeaderFields {
            marker: info.marker,
            padding: false,
            payload_type,
            sequence: (self.rtx_index & 0xffff) as u16,
            timestamp: info.timestamp.wrapping_add(segment.timestamp_offset),
            ssrc,
        };
        rtp::write_fixed_header(slot.first_chunk_mut()?, &fields, !extension.is_empty());
        let len = 12 + extension.len();
        slot.get_mut(12..len)?.copy_from_slice(extension);
        let (original_sequence, rest) = payload.split_first_chunk_mut::<2>()?;
        *original_sequence = ((located.index & 0xffff) as u16).to_be_bytes();
        rest.get_mut(..original.len())?.copy_from_slice(original);
        let index = self.rtx_index;
        self.rtx_index += 1;
        Some((EgressHeader { len, index }, original.len() + 2))
    }

    /// Writes the header of a packet exactly as it was sent, for a viewer without RTX.
    pub fn write_repeat(&self, slot: &mut [u8], located: Located, info: &PacketInfo) -> Option<EgressHeader> {
        self.write_header_of(self.segment_of(located)?, slot, info)
    }

    fn segment_of(&self, located: Located) -> Option<&Segment> {
        let offset = located.index.wrapping_sub(located.sequence);
        self.segments.get(..usize::from(self.segments_len))?.iter().find(|s| s.index_offset == offset)
    }

    /// The sender report's counts and RTP timestamp: that of `timestamp` on the encoding's timeline, moved to the
    /// viewer's. `None` before anything was sent.
    #[must_use]
    pub fn sender_report(&self, ntp: NtpTime, timestamp: u32) -> Option<SenderReportFields> {
        if self.packets == 0 {
            return None;
        }
        let segment = self.last_segment()?;
        Some(SenderReportFields {
            ssrc: self.ssrc,
            ntp,
            rtp_timestamp: timestamp.wrapping_add(segment.timestamp_offset),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Finds out where the next visit starts. Skips to the newest key frame when the ring no longer holds the
    /// cursor's packet or it has waited longer than [`limits::CURSOR_LAG_MAX`]; with no key frame to skip to, waits.
    pub fn settle(&mut self, ring: &PacketRing, is_video: bool, now: Timestamp) -> Cursor {
        match self.cursor {
            Cursor::At(position) if position >= ring.tail() => {
                let lags = ring.get(position).is_some_and(|(info, _)| now.since(info.arrival) > limits::CURSOR_LAG_MAX);
                if lags && self.packets > 0 {
                    self.skip(ring, is_video, position);
                }
            }
            Cursor::At(position) => self.skip(ring, is_video, position),
            Cursor::AwaitsKeyFrame => {}
        }
        self.cursor
    }

    fn skip(&mut self, ring: &PacketRing, is_video: bool, position: u64) {
        let target = if is_video { ring.key_frame() } else { ring.newest() };
        match target.filter(|target| target.position > position && self.is_ahead(target.sequence)) {
            Some(target) => {
                self.skips += 1;
                self.start_at(target);
            }
            // Nothing newer to skip to and the packets are still there: go on, late rather than never.
            _ if position >= ring.tail() => {}
            _ if is_video => {
                self.skips += 1;
                self.await_key_frame();
            }
            _ => self.cursor = Cursor::At(ring.head()),
        }
    }
}

/// What a sender report says of one stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReportFields {
    /// Whose report it is.
    pub ssrc: u32,
    /// Wall-clock time.
    pub ntp: NtpTime,
    /// The same instant on the stream's RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
}

#[cfg(test)]
mod tests;

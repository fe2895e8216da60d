//! One viewer's place in one track: its cursor, and the headers of its packets.
//!
//! The viewer's stream keeps one SSRC for life; which number a packet has in it is the [`Rewriter`]'s. Where the cursor
//! jumps, because it lagged or because the viewer is switched to another encoding of the track, the rewriter begins
//! another run, so that the viewer sees no hole, and on another encoding's clock the timestamps are aligned
//! ([`super::alignment`]), so that its picture goes on at the right time.
//!
//! **Sealed once.** See [`super::rewriter`]. A repeat for a viewer without RTX writes the same header and seals the same
//! bytes, which gives the same ciphertext (RFC 7714 §8 forbids anything else).

use std::time::Duration;

use crate::limits;
use crate::relay::play::alignment::{self, EncodingView};
use crate::relay::play::extension::ExtensionTemplate;
use crate::relay::play::renumbering::Renumbering;
use crate::relay::play::rewriter::{Located, Placed, Rewriter};
use crate::relay::play::squeeze::Squeeze;
use crate::relay::store::numbers::{EncodingId, PacketIndex, Position, Sequence};
use crate::relay::store::packet_ring::{PacketInfo, PacketRing, Start};
use crate::time::{NtpTime, Timestamp};
use crate::wire::bytes::{ImportError, StateReader, StateWriter};
use crate::wire::rtp::{self, FIXED_HEADER_BYTES, HeaderFields};
use crate::wire::sequence::timestamp_distance;

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// It starts at the next key frame.
    AwaitsKeyFrame,
    /// The position of the next packet to send.
    At(Position),
}

/// Header fields of the viewer's stream that never change, and the parts that depend on the codec in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressFormat {
    /// Payload type of the media.
    pub payload_type: u8,
    /// Payload type of its retransmissions, where agreed.
    pub rtx_payload_type: Option<u8>,
    /// RTP clock in Hz.
    pub clock_rate_hz: u32,
}

/// One viewer's place in one track.
#[derive(Debug)]
pub struct Subscription {
    ssrc: u32,
    rtx_ssrc: Option<u32>,
    /// `None` while nothing the viewer negotiated fits what is published.
    format: Option<EgressFormat>,
    extension: ExtensionTemplate,
    cursor: Cursor,
    rewriter: Rewriter,
    rtx_index: PacketIndex,
    packets: u32,
    octets: u32,
    /// Times the cursor lagged and skipped to a key frame.
    pub skips: u64,
}

/// A header written for one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressHeader {
    /// Its length in the slot.
    pub len: usize,
    /// The packet index to seal with.
    pub index: PacketIndex,
    /// What is to be done to header and payload before they are sealed; nothing any more where the payload was written too.
    pub renumbering: Renumbering,
}

impl Subscription {
    /// A subscription that waits for a key frame (video) or for the next packet (audio, by [`Self::start_at`]).
    /// `random` seeds the first sequence number, below 2^15 (RFC 3711 §3.3.1: the receiver must not misjudge the
    /// rollover counter at the start), and the timestamp offset.
    #[must_use]
    pub fn new(ssrc: u32, rtx_ssrc: Option<u32>, extension: ExtensionTemplate, random: u64) -> Self {
        let first_index = PacketIndex((random & 0x7fff).max(1));
        Self {
            ssrc,
            rtx_ssrc,
            format: None,
            extension,
            cursor: Cursor::AwaitsKeyFrame,
            rewriter: Rewriter::new(first_index, (random >> 32) as u32),
            rtx_index: PacketIndex(((random >> 16) & 0x7fff).max(1)),
            packets: 0,
            octets: 0,
            skips: 0,
        }
    }

    /// What is added to its publisher's timestamps now.
    #[must_use]
    pub fn timestamp_offset(&self) -> u32 {
        self.rewriter.timestamp_offset()
    }

    /// Begins on the timeline of another subscription of the same viewer, so that it can tell which picture is the later one.
    pub fn begin_with_timestamp_offset(&mut self, timestamp_offset: u32) {
        self.rewriter.begin_with_timestamp_offset(timestamp_offset);
    }

    /// Other keys seal from now on: see [`Rewriter::restart_rollovers`].
    pub fn restart_rollovers(&mut self) {
        self.rewriter.restart_rollovers();
        self.rtx_index = PacketIndex(self.rtx_index.0 & 0xffff);
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
            self.rewriter.forget_sent();
        }
        self.format = format;
    }

    /// Where it stands.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The encoding it was last placed in; `None` before it started.
    #[must_use]
    pub fn encoding(&self) -> Option<EncodingId> {
        self.rewriter.encoding()
    }

    /// Waits for a key frame from now on.
    pub fn await_key_frame(&mut self) {
        self.cursor = Cursor::AwaitsKeyFrame;
    }

    /// Whether a packet lies after all of its encoding that was sent: see [`Rewriter::is_ahead`].
    #[must_use]
    pub fn is_ahead(&self, encoding: EncodingId, sequence: Sequence) -> bool {
        self.rewriter.is_ahead(encoding, sequence)
    }

    /// Sends from there on. The viewer's numbers continue without a hole, and its timestamps as they were: for the start
    /// and for a jump within one encoding.
    pub fn start_at(&mut self, encoding: EncodingId, Start { position, sequence }: Start, now: Timestamp) {
        self.cursor = Cursor::At(position);
        self.rewriter.jump(encoding, sequence, self.rewriter.timestamp_offset(), now);
    }

    /// Sends from there on, whether or not that was sent before: under new numbers, with pictures that are counted on, and on the same
    /// timeline, as if the encoding were another one. What was sent before can still be asked for.
    pub fn start_again(&mut self, encoding: &EncodingView<'_>, start: Start, now: Timestamp) {
        let sent = self.rewriter.newest_sent();
        let before = self.rewriter.renumbering();
        let renumbering = sent.zip(encoding.codec).and_then(|(sent, codec)| {
            let (_, _, last) = encoding.ring.find(sent.sequence)?;
            let (_, _, first) = encoding.ring.find(start.sequence)?;
            Some(sent.renumbering.continued(codec, last, first))
        });
        self.cursor = Cursor::At(start.position);
        let timestamp_offset = self.rewriter.timestamp_offset();
        self.rewriter.go_over((encoding.id, start.sequence), timestamp_offset, renumbering.unwrap_or(before), now);
    }

    /// Goes over to another encoding of the track, at `start` in it. Numbers continue without a hole, timestamps are
    /// aligned with what was sent last. `view_of` shows the track's encodings. `false`, and nothing changed, where `start` lies
    /// too far before what was sent last.
    pub fn switch_to<'a>(
        &mut self,
        encoding: EncodingId,
        start: Start,
        now: Timestamp,
        view_of: impl Fn(EncodingId) -> Option<EncodingView<'a>>,
    ) -> bool {
        let Some((offset, renumbering)) = self.aligned(encoding, start, view_of) else { return false };
        self.cursor = Cursor::At(start.position);
        self.rewriter.go_over((encoding, start.sequence), offset, renumbering, now);
        true
    }

    /// What to add to timestamps of `encoding`, and what to do to its payloads, so that they go on from what was sent last.
    fn aligned<'a>(
        &self,
        encoding: EncodingId,
        start: Start,
        view_of: impl Fn(EncodingId) -> Option<EncodingView<'a>>,
    ) -> Option<(u32, Renumbering)> {
        let Some(sent) = self.rewriter.newest_sent() else {
            return Some((self.rewriter.timestamp_offset(), Renumbering::NONE));
        };
        let (from, to) = (view_of(sent.encoding)?, view_of(encoding)?);
        let (_, first, first_payload) = to.ring.find(start.sequence)?;
        // Where what was sent last is gone, the oldest there is came after it.
        let last = from.ring.find(sent.sequence).map(|(_, info, payload)| (info, payload));
        let (last, last_payload) = last.or_else(|| from.ring.get(from.ring.tail()))?;
        let offset = alignment::timestamp_offset((&from, last, sent.timestamp_offset), (&to, first))?;
        let renumbering = match to.codec {
            Some(codec) if from.codec == to.codec => sent.renumbering.continued(codec, last_payload, first_payload),
            _ => Renumbering::NONE,
        };
        Some((offset, renumbering))
    }

    /// The timestamp that the viewer was sent last; `None` before anything was sent and where that packet is in no ring any more.
    #[must_use]
    pub fn newest_timestamp<'a>(&self, ring_of: impl Fn(EncodingId) -> Option<&'a PacketRing>) -> Option<u32> {
        let sent = self.rewriter.newest_sent()?;
        let (_, info, _) = ring_of(sent.encoding)?.find(sent.sequence)?;
        Some(sent.placed().timestamp(info.timestamp))
    }

    /// Squeezes the timestamps from `start` on, where it was just placed, towards the live edge; sending what lies between
    /// `lasts` so long. They stay behind `newest`, which the viewer was sent last.
    pub fn squeeze(
        &mut self,
        ring: &PacketRing,
        start: Start,
        lasts: Duration,
        newest: Option<u32>,
        clock_rate_hz: u32,
    ) {
        let Some((_, first, _)) = ring.find(start.sequence) else { return };
        let live = ring.newest_sequence().and_then(|newest| ring.find(newest)).map_or(first, |(_, info, _)| info);
        let after = |a: u32, b: u32| if timestamp_distance(a, b) > 0 { b } else { a };
        let mut live = after(first.timestamp, live.timestamp);
        if let Some(newest) = newest {
            live = after(live, newest.wrapping_sub(self.rewriter.timestamp_offset()).wrapping_add(1));
        }
        self.rewriter.squeeze(Squeeze::new(first.timestamp, live, lasts, clock_rate_hz));
    }

    /// Moves past one position.
    pub fn advance(&mut self) {
        if let Cursor::At(position) = &mut self.cursor {
            *position = position.next();
        }
    }

    /// Moves past so many positions.
    #[inline]
    pub fn advance_by(&mut self, positions: u64) {
        if let Cursor::At(position) = &mut self.cursor {
            position.0 = position.0.saturating_add(positions);
        }
    }

    /// Leaves a packet out without a hole; `false` where it is to be sent all the same: see [`Rewriter::leave_out`].
    /// `takes_a_number` says that with it a picture of VP8 is gone, whose number the next one gets.
    pub fn leave_out(&mut self, info: &PacketInfo, takes_a_number: bool) -> bool {
        let renumbering = self.rewriter.renumbering();
        let renumbering = if takes_a_number { renumbering.with_a_picture_less() } else { renumbering };
        self.rewriter.leave_out(info.sequence, renumbering, info.arrival)
    }

    /// From this packet on spatial layers of VP9 above `highest` are left out, or none are.
    pub fn cap_spatial_layers(&mut self, info: &PacketInfo, highest: Option<u8>) {
        let renumbering = self.rewriter.renumbering();
        if renumbering.highest_spatial() != highest {
            self.rewriter.renumber(info.sequence, renumbering.with_highest_spatial(highest), info.arrival);
        }
    }

    /// Writes the header of `info` for this viewer at the start of `slot`. `None` for a packet that has no number (late,
    /// from before a jump) or when nothing fits.
    #[inline]
    pub fn write_header(&self, slot: &mut [u8], info: &PacketInfo) -> Option<EgressHeader> {
        self.write_header_at(self.rewriter.place(info.sequence)?, slot, info)
    }

    /// Whether all that comes from now on goes out as it is stored, under other numbers ([`Self::write_plain_header`]).
    #[inline]
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.rewriter.is_plain()
    }

    /// [`Self::write_header`] while [`Self::is_plain`]. `None` also for a packet that is late.
    #[inline]
    pub fn write_plain_header(&self, slot: &mut [u8], info: &PacketInfo) -> Option<EgressHeader> {
        self.write_header_at(self.rewriter.place_plain(info.sequence)?, slot, info)
    }

    /// Counts a packet as sent (RFC 3550 §6.4.1: sender's packet and octet count).
    #[inline]
    pub fn sent(&mut self, index: PacketIndex, payload_len: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        self.rewriter.sent(index);
    }

    #[inline]
    fn write_header_at(&self, placed: Placed, slot: &mut [u8], info: &PacketInfo) -> Option<EgressHeader> {
        let format = self.format.as_ref()?;
        let fields = HeaderFields {
            marker: info.marker,
            padding: info.padding > 0,
            payload_type: format.payload_type,
            sequence: placed.index.sequence_number(),
            timestamp: placed.timestamp(info.timestamp),
            ssrc: self.ssrc,
        };
        let len = self.write_fields(slot, &fields)?;
        Some(EgressHeader { len, index: placed.index, renumbering: placed.renumbering })
    }

    #[inline]
    fn write_fields(&self, slot: &mut [u8], fields: &HeaderFields) -> Option<usize> {
        let extension = self.extension.as_bytes();
        rtp::write_fixed_header(slot.first_chunk_mut()?, fields, !extension.is_empty());
        let len = FIXED_HEADER_BYTES + extension.len();
        slot.get_mut(FIXED_HEADER_BYTES..len)?.copy_from_slice(extension);
        Some(len)
    }

    /// Whether a header may carry a transport-wide sequence number.
    #[must_use]
    pub fn has_transport_sequence(&self) -> bool {
        self.extension.has_packet_fields()
    }

    /// Writes a transport-wide sequence number into a header that [`Self::write_header`] or [`Self::write_rtx`] wrote.
    /// Where feedback comes on request, it asks for that of `asked` packets. Whether there is a place for it; the header is as
    /// long without.
    pub fn write_transport_sequence(&self, slot: &mut [u8], number: u16, asked: u16) -> bool {
        let block = slot.get_mut(FIXED_HEADER_BYTES..);
        block.is_some_and(|block| self.extension.write_transport_sequence(block, number, asked))
    }

    /// Whether feedback comes only where packets ask for it.
    #[must_use]
    pub fn asks_for_feedback(&self) -> bool {
        self.extension.asks()
    }

    /// The sequence number of the packet that was sent last; `None` before one was.
    #[must_use]
    pub fn newest_sequence_number(&self) -> Option<u16> {
        self.rewriter.newest_sent().map(|located| located.index.sequence_number())
    }

    /// Which packet a NACKed sequence number of the viewer's stream means; `None` for one never sent or forgotten.
    #[must_use]
    pub fn locate(&self, sequence_number: u16) -> Option<Located> {
        self.rewriter.locate(sequence_number)
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
        let index = self.rtx_index;
        let fields = HeaderFields {
            marker: info.marker,
            padding: false,
            payload_type,
            sequence: index.sequence_number(),
            timestamp: located.placed().timestamp(info.timestamp),
            ssrc,
        };
        let len = self.write_fields(slot, &fields)?;
        let (original_sequence, rest) = payload.split_first_chunk_mut::<2>()?;
        *original_sequence = located.index.sequence_number().to_be_bytes();
        let rest = rest.get_mut(..original.len())?;
        rest.copy_from_slice(original);
        located.renumbering.apply_in_place(slot, rest);
        self.rtx_index = index.next();
        Some((EgressHeader { len, index, renumbering: Renumbering::NONE }, original.len() + 2))
    }

    /// Writes the header of a packet exactly as it was sent, for a viewer without RTX. `None` where packets carry fields of
    /// their own: what was sent in them is not known any more, and another header under the same index is forbidden.
    pub fn write_repeat(&self, slot: &mut [u8], located: Located, info: &PacketInfo) -> Option<EgressHeader> {
        if self.extension.has_packet_fields() {
            return None;
        }
        self.write_header_at(located.placed(), slot, info)
    }

    /// The sender report's counts and RTP timestamp: that of `timestamp` on the timeline of [`Self::encoding`], moved to
    /// the viewer's. `None` before anything was sent.
    #[must_use]
    pub fn sender_report(&self, ntp: NtpTime, timestamp: u32) -> Option<SenderReportFields> {
        if self.packets == 0 {
            return None;
        }
        Some(SenderReportFields {
            ssrc: self.ssrc,
            ntp,
            rtp_timestamp: timestamp.wrapping_add(self.rewriter.timestamp_offset()),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Whether the next visit starts where it is without a look ([`Self::settle`]): nothing before `fresh_from` is wanted, and no
    /// squeeze has to end.
    #[inline]
    #[must_use]
    pub fn goes_from(&self, fresh_from: Position) -> bool {
        matches!(self.cursor, Cursor::At(position) if position >= fresh_from) && self.rewriter.squeezed().is_none()
    }

    /// Finds out where the next visit starts. Skips to the newest key frame (in sound: to the newest packet) when the ring no
    /// longer holds the cursor's packet or it has waited longer than [`limits::CURSOR_LAG_MAX`]. With no key frame to skip
    /// to, a picture goes on late or waits. Sound whose newest packet is as late waits for one that is not: after a stop of
    /// the node seconds of sound lie in the socket's buffer, and nobody is to hear them.
    pub fn settle(&mut self, ring: &PacketRing, is_video: bool, now: Timestamp) -> Cursor {
        match self.cursor {
            Cursor::At(position) if position >= ring.tail() => {
                let Some((info, _)) = ring.get(position) else { return self.cursor };
                if let Some(squeeze) = self.rewriter.squeezed()
                    && squeeze.before_edge(info.timestamp) < -limits::SQUEEZE_OVER_TICKS
                {
                    self.rewriter.squeeze_over(info.sequence);
                }
                if now.since(info.arrival) > limits::CURSOR_LAG_MAX && self.packets > 0 {
                    self.skip(ring, is_video, position, now);
                }
            }
            Cursor::At(position) => self.skip(ring, is_video, position, now),
            Cursor::AwaitsKeyFrame => {}
        }
        self.cursor
    }

    fn skip(&mut self, ring: &PacketRing, is_video: bool, position: Position, now: Timestamp) {
        let is_late = |(info, _): (&PacketInfo, _)| now.since(info.arrival) > limits::CURSOR_LAG_MAX;
        if !is_video && ring.newest().and_then(|newest| ring.get(newest.position)).is_some_and(is_late) {
            self.skips += 1;
            self.await_key_frame();
            return;
        }
        let target = if is_video { ring.key_frame() } else { ring.newest() };
        let target = self
            .encoding()
            .zip(target)
            .filter(|&(encoding, target)| target.position > position && self.is_ahead(encoding, target.sequence));
        match target {
            Some((encoding, target)) => {
                self.skips += 1;
                self.start_at(encoding, target, now);
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

/// The layout of [`Subscription::export`].
const VERSION: u8 = 1;

impl Subscription {
    /// Writes what another process needs to go on with this viewer's stream: its numbers, cursor and counts. What was
    /// negotiated (SSRCs, payload types, extensions) is not in it: that is kept with the session's description.
    pub fn export(&self, now: Timestamp, out: &mut StateWriter) {
        out.version(VERSION);
        let position = match self.cursor {
            Cursor::At(position) => Some(position.0),
            Cursor::AwaitsKeyFrame => None,
        };
        out.option(position, StateWriter::u64);
        out.u64(self.rtx_index.0);
        out.u32(self.packets);
        out.u32(self.octets);
        out.u64(self.skips);
        self.rewriter.export(now, out);
    }

    /// Goes on where [`Self::export`] was called; the format is to be set.
    ///
    /// # Errors
    /// It was written by another version, is cut short, or no subscription can be so.
    pub fn import(
        ssrc: u32,
        rtx_ssrc: Option<u32>,
        extension: ExtensionTemplate,
        now: Timestamp,
        from: &mut StateReader<'_>,
    ) -> Result<Self, ImportError> {
        from.version("a viewer's track", VERSION)?;
        let position = from.option(StateReader::u64)?;
        let cursor = position.map_or(Cursor::AwaitsKeyFrame, |position| Cursor::At(Position(position)));
        let rtx_index = PacketIndex(from.u64()?);
        let (packets, octets, skips) = (from.u32()?, from.u32()?, from.u64()?);
        let rewriter = Rewriter::import(now, from)?;
        Ok(Self { ssrc, rtx_ssrc, format: None, extension, cursor, rewriter, rtx_index, packets, octets, skips })
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

//! What passes between two nodes on a link: SRTP packets (RFC 3711) of three kinds.
//!
//! ```text
//!  RTP header (12)                        extension (4 + 12), media only                     payload
//!  payload type, marker, timestamp        told (2)  layers (1)  padding (1)                  of the kind
//!  sequence number: low half of index     sequence (4)  key frame (1 bit), arrival µs (31)
//!  SSRC: handle << 5 | line
//! ```
//!
//! | Kind | Lines | Payload | Lost |
//! |---|---|---|---|
//! | [`MEDIA`] | 0 to 15: an encoding each | the publisher's packet, as it was stored | asked for again |
//! | [`TOLD`] | [`TOLD_LINE`] | pieces of messages that come whole and in order ([`super::told`]) | asked for again |
//! | [`LOOSE`] | [`LOOSE_LINE`] | [`Item`]s | forgotten: each says the newest state |
//!
//! A *handle* is chosen by the receiver, so that it finds the link by one look-up, and says nothing to others. A *line* has indexes
//! of its own from 1 on, so that what is lost on the link is not taken for what the publisher's network lost. All other numbers are
//! little-endian.

use crate::limits;
use crate::relay::store::clock_map::HostClocks;
use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::relay::store::packet_ring::Layers;
use crate::relay::store::record::MediaRecord;
use crate::relay::store::timeline::Incarnation;
use crate::time::{NtpTime, Timestamp};
use crate::wire::bytes::fixed::{ByteReader, ByteWriter};
use crate::wire::rtp::{self, FIXED_HEADER_BYTES, HeaderFields, RtpHeader};

/// The payload type of media.
pub(super) const MEDIA: u8 = 96;

/// The payload type of what comes whole and in order.
pub(super) const TOLD: u8 = 97;

/// The payload type of what may be lost.
pub(super) const LOOSE: u8 = 98;

/// The line of [`TOLD`] packets.
pub(super) const TOLD_LINE: u8 = 16;

/// The line of [`LOOSE`] packets.
pub(super) const LOOSE_LINE: u8 = 17;

/// Lines that lose nothing.
pub(super) const LINES: usize = 17;

const _: () = assert!(EncodingId::COUNT <= TOLD_LINE as usize && LINES == TOLD_LINE as usize + 1);

const LINE_BITS: u32 = 5;

/// What the extension block calls itself: no profile of RFC 8285, as nobody but a node reads it.
const PROFILE: [u8; 2] = *b"cl";

const EXTENSION_BYTES: usize = 12;

/// Bytes before a media packet's payload.
#[cfg(test)]
pub(super) const MEDIA_HEADER_BYTES: usize = FIXED_HEADER_BYTES + 4 + EXTENSION_BYTES;

const KEY_FRAME: u32 = 1 << 31;

/// Names a link at one of its ends, in [`HANDLE_BITS`](limits::LINK_HANDLE_BITS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u32);

impl Handle {
    /// The SSRC of a line.
    pub(super) const fn ssrc(self, line: u8) -> u32 {
        self.0 << LINE_BITS | line as u32
    }

    /// Whose packet that is, and of which line.
    pub(super) const fn of_ssrc(ssrc: u32) -> (Self, u8) {
        (Self(ssrc >> LINE_BITS), (ssrc & ((1 << LINE_BITS) - 1)) as u8)
    }
}

const _: () = assert!(limits::LINK_HANDLE_BITS + LINE_BITS == u32::BITS);

/// What a media packet says beside its payload, and the RTP header does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MediaHead {
    /// The low half of the index of the [`TOLD`] packet that began its run ([`super::told::Message::Run`]).
    pub(super) told: u16,
    /// The low half of the publisher's sequence number.
    pub(super) sequence: u32,
    /// When it arrived at the publisher's worker, in microseconds of the sender's clock, 31 bits of it.
    pub(super) arrival_us: u32,
    pub(super) key_frame: bool,
    pub(super) padding: u8,
    pub(super) layers: Layers,
}

/// Microseconds of a clock as packets carry them.
pub(super) const fn arrival_us(at: Timestamp) -> u32 {
    (at.as_nanos() / 1_000) as u32 & !KEY_FRAME
}

/// The time near `base` that has these microseconds.
pub(super) const fn arrival_near(base: Timestamp, us: u32) -> Timestamp {
    let base_us = base.as_nanos() / 1_000;
    let ahead = us.wrapping_sub(base_us as u32) & !KEY_FRAME;
    // The nearer of the two.
    let signed = if ahead >= KEY_FRAME / 2 { ahead as i64 - KEY_FRAME as i64 } else { ahead as i64 };
    Timestamp::from_nanos(base_us.saturating_add_signed(signed).saturating_mul(1_000))
}

/// Writes a media packet's header; its length. `None` where `slot` is too short.
pub(super) fn write_media_header(
    slot: &mut [u8],
    ssrc: u32,
    index: u64,
    told: u16,
    media: &MediaRecord<'_>,
) -> Option<usize> {
    let fields = HeaderFields {
        marker: media.marker,
        padding: false,
        payload_type: MEDIA,
        sequence: (index & 0xffff) as u16,
        timestamp: media.timestamp,
        ssrc,
    };
    rtp::write_fixed_header(slot.first_chunk_mut()?, &fields, true);
    let mut writer = ByteWriter::new(slot.get_mut(FIXED_HEADER_BYTES..)?);
    writer.bytes(&PROFILE)?;
    // In words (RFC 3550 §5.3.1).
    writer.bytes(&(EXTENSION_BYTES as u16 / 4).to_be_bytes())?;
    writer.u16(told)?;
    writer.bytes(&[media.layers.to_byte(), media.padding])?;
    writer.u32((media.sequence & u64::from(u32::MAX)) as u32)?;
    writer.u32(arrival_us(media.arrival) | if media.key_frame { KEY_FRAME } else { 0 })?;
    Some(FIXED_HEADER_BYTES + writer.len())
}

/// Reads what an authentic media packet says; `None` where it has no such extension.
pub(super) fn read_media_head(packet: &[u8], header: &RtpHeader) -> Option<MediaHead> {
    let block = header.extension.filter(|block| block.profile.to_be_bytes() == PROFILE)?;
    let mut reader = ByteReader::new(packet.get(block.range())?);
    let told = reader.u16()?;
    let [layers, padding] = reader.array()?;
    let (sequence, arrival) = (reader.u32()?, reader.u32()?);
    Some(MediaHead {
        told,
        sequence,
        arrival_us: arrival & !KEY_FRAME,
        key_frame: arrival & KEY_FRAME != 0,
        padding,
        layers: Layers::from_byte(layers),
    })
}

/// Writes the header of a packet that is no media; its length. `None` where `slot` is too short.
pub(super) fn write_plain_header(
    slot: &mut [u8],
    payload_type: u8,
    marker: bool,
    ssrc: u32,
    index: u64,
) -> Option<usize> {
    let fields =
        HeaderFields { marker, padding: false, payload_type, sequence: (index & 0xffff) as u16, timestamp: 0, ssrc };
    rtp::write_fixed_header(slot.first_chunk_mut()?, &fields, false);
    Some(FIXED_HEADER_BYTES)
}

/// Something in a [`LOOSE`] packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// From a child, again and again: what it wants, and its monotonic clock, which is sent back.
    Report {
        /// The encodings that it is to be sent.
        wanted: EncodingSet,
        /// Its clock.
        asked: Timestamp,
    },
    /// From a child: a packet of a line that it lacks, by the low half of its index.
    Missing {
        /// Which line.
        line: u8,
        /// Which packet.
        index: u16,
    },
    /// From a child, with its report: of this encoding it has all up to this packet from another parent, and goes on behind it.
    Resume {
        /// Which encoding.
        encoding: EncodingId,
        /// Of which run of its publisher's numbers.
        incarnation: Incarnation,
        /// The packet.
        sequence: u64,
    },
    /// From a child: it needs a key frame.
    KeyFrame(EncodingId),
    /// From a parent, the answer to a report.
    Clocks {
        /// What the report said.
        asked: Timestamp,
        /// The parent's clocks.
        clocks: HostClocks,
    },
    /// From a parent: the low half of the index that it used last on a line.
    Newest {
        /// Which line.
        line: u8,
        /// Its index.
        index: u16,
    },
    /// The link is over.
    Bye,
}

const REPORT: u8 = 1;
const MISSING: u8 = 2;
const KEY_FRAME_WANTED: u8 = 3;
const CLOCKS: u8 = 4;
const NEWEST: u8 = 5;
const BYE: u8 = 6;
const RESUME: u8 = 7;

/// Bytes of the longest item.
#[cfg(test)]
pub(super) const ITEM_BYTES_MAX: usize = 1 + 3 * 8;

impl Item {
    /// Writes it; `None` where there is no room.
    pub(super) fn write(&self, out: &mut ByteWriter<'_>) -> Option<()> {
        match *self {
            Self::Report { wanted, asked } => {
                out.u8(REPORT)?;
                out.u16(wanted.bits())?;
                out.u64(asked.as_nanos())
            }
            Self::Missing { line, index } => {
                out.bytes(&[MISSING, line])?;
                out.u16(index)
            }
            Self::Resume { encoding, incarnation, sequence } => {
                out.bytes(&[RESUME, encoding.number()])?;
                out.u64(incarnation.0)?;
                out.u64(sequence)
            }
            Self::KeyFrame(encoding) => out.bytes(&[KEY_FRAME_WANTED, encoding.number()]),
            Self::Clocks { asked, clocks } => {
                out.u8(CLOCKS)?;
                out.u64(asked.as_nanos())?;
                out.u64(clocks.monotonic.as_nanos())?;
                out.u64(clocks.wall.0)
            }
            Self::Newest { line, index } => {
                out.bytes(&[NEWEST, line])?;
                out.u16(index)
            }
            Self::Bye => out.u8(BYE),
        }
    }

    /// Reads the next one; `None` at the end, and where nothing more can be read.
    pub(super) fn read(from: &mut ByteReader<'_>) -> Option<Self> {
        Some(match from.u8()? {
            REPORT => {
                Self::Report { wanted: EncodingSet::from_bits(from.u16()?)?, asked: Timestamp::from_nanos(from.u64()?) }
            }
            MISSING => Self::Missing { line: from.u8()?, index: from.u16()? },
            KEY_FRAME_WANTED => Self::KeyFrame(EncodingId::from_number(from.u8()?)?),
            CLOCKS => Self::Clocks { asked: Timestamp::from_nanos(from.u64()?), clocks: read_clocks(from)? },
            NEWEST => Self::Newest { line: from.u8()?, index: from.u16()? },
            BYE => Self::Bye,
            RESUME => Self::Resume {
                encoding: EncodingId::from_number(from.u8()?)?,
                incarnation: Incarnation(from.u64()?),
                sequence: from.u64()?,
            },
            _ => return None,
        })
    }
}

/// Both clocks of a host, as they are written.
pub(super) fn read_clocks(from: &mut ByteReader<'_>) -> Option<HostClocks> {
    Some(HostClocks { monotonic: Timestamp::from_nanos(from.u64()?), wall: NtpTime(from.u64()?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::LayerIds;

    #[test]
    fn a_media_header_reads_back_and_is_in_the_form_of_rtp() {
        let layers = Layers::new(LayerIds { temporal: 1, spatial: 2, up_here: true, up_after: false });
        let media = MediaRecord {
            incarnation: Incarnation(7),
            sequence: (5 << 32) + 9,
            timestamp: 0xdead_beef,
            arrival: Timestamp::from_nanos(77_123_456_789),
            marker: true,
            key_frame: true,
            padding: 3,
            layers,
            payload: &[1, 2, 3],
        };
        let ssrc = Handle(0x7ff_ffff).ssrc(5);
        let mut slot = [0; 64];
        assert_eq!(write_media_header(&mut slot, ssrc, 0x1_0002, 0xfffe, &media), Some(MEDIA_HEADER_BYTES));
        let header = RtpHeader::parse(&slot).unwrap();
        assert_eq!((header.header_len, header.ssrc, header.sequence), (MEDIA_HEADER_BYTES, ssrc, 2));
        assert_eq!((header.payload_type, header.marker, header.timestamp), (MEDIA, true, 0xdead_beef));
        assert_eq!(Handle::of_ssrc(ssrc), (Handle(0x7ff_ffff), 5));
        let head = read_media_head(&slot, &header).unwrap();
        let arrival_us = arrival_us(media.arrival);
        let expected = MediaHead { told: 0xfffe, sequence: 9, arrival_us, key_frame: true, padding: 3, layers };
        assert_eq!(head, expected);
        for short in 0..MEDIA_HEADER_BYTES {
            assert_eq!(write_media_header(&mut slot[..short], ssrc, 1, 0, &media), None);
        }
    }

    #[test]
    fn an_arrival_is_found_again_near_its_base_also_where_it_wraps() {
        for base in [0_u64, 1 << 31, (1 << 31) - 5, 9 << 40] {
            for away in [-900_000_000_i64, -7, 0, 7, 900_000_000] {
                let Some(us) = base.checked_add_signed(away) else { continue };
                let at = Timestamp::from_nanos(us * 1_000);
                assert_eq!(
                    arrival_near(Timestamp::from_nanos(base * 1_000 + 999), arrival_us(at)),
                    at,
                    "{base} {away}"
                );
            }
        }
    }

    #[test]
    fn items_read_back_as_written_and_what_is_none_ends_the_packet() {
        let clocks = HostClocks { monotonic: Timestamp::from_nanos(3), wall: NtpTime(4) };
        let encoding = EncodingId::from_number(5).unwrap();
        let items = [
            Item::Report { wanted: [encoding].into_iter().collect(), asked: Timestamp::from_nanos(1 << 60) },
            Item::Missing { line: TOLD_LINE, index: 0xffff },
            Item::KeyFrame(encoding),
            Item::Resume { encoding, incarnation: Incarnation(1 << 50), sequence: 1 << 40 },
            Item::Clocks { asked: Timestamp::from_nanos(2), clocks },
            Item::Newest { line: 3, index: 9 },
            Item::Bye,
        ];
        for item in items {
            let mut out = [0; ITEM_BYTES_MAX];
            let mut writer = ByteWriter::new(&mut out);
            item.write(&mut writer).unwrap();
            let written = writer.written();
            assert_eq!(Item::read(&mut ByteReader::new(written)), Some(item));
            for cut in 0..written.len() {
                assert_eq!(Item::read(&mut ByteReader::new(&written[..cut])), None);
            }
        }
        for wrong in [&[0][..], &[99, 0, 0], &[KEY_FRAME_WANTED, 99]] {
            assert_eq!(Item::read(&mut ByteReader::new(wrong)), None, "{wrong:?}");
        }
    }
}

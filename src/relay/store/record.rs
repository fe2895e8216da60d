//! What travels between the publisher's worker and the workers of its viewers: self-contained, versioned bytes.
//!
//! Today the carrier is a lane between two cores; between two machines only the carrier will change, so nothing
//! here is a pointer or an index of this process, and everything from outside is checked.
//!
//! ```text
//!  0      1      2        3     4         5..8  8..24   24..
//!  length (u16)  version  kind  encoding  0     stream  fields of the kind, then (media) the payload
//! ```
//! All numbers are little-endian. `length` counts everything, itself included.

use std::fmt;

use crate::data::record::{DATA_RECORD_HEAD_BYTES, DataRecord};
use crate::description::{CodecFormat, NegotiatedCodec};
use crate::limits;
use crate::relay::store::address::{RecordAddress, StreamId};
use crate::relay::store::clock_map::ClockMap;
use crate::relay::store::ladder::{Measured, RidName};
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::packet_ring::Layers;
use crate::relay::store::timeline::Incarnation;
use crate::time::{NtpTime, Timestamp};
use crate::wire::bytes::fixed::{ByteReader, ByteWriter};
use crate::wire::codec::Codec;

/// The version of this layout. A record of another version is dropped and counted.
pub const VERSION: u8 = 2;

/// Bytes before the kind's own fields.
const HEAD_BYTES: usize = 24;

/// Bytes of a media record before its payload.
pub const MEDIA_HEAD_BYTES: usize = HEAD_BYTES + 32;

/// Bytes of the longest record that is made: a message of a data channel.
pub const RECORD_BYTES_MAX: usize = HEAD_BYTES + DATA_RECORD_HEAD_BYTES + limits::DATA_MESSAGE_BYTES_MAX;

const _: () = assert!(RECORD_BYTES_MAX >= MEDIA_HEAD_BYTES + limits::DATAGRAM_IN_BYTES_MAX);

/// A packet on its publisher's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaRecord<'a> {
    /// Which run of numbers.
    pub incarnation: Incarnation,
    /// Extended sequence number within it.
    pub sequence: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// When the publisher's worker received it.
    pub arrival: Timestamp,
    /// The marker bit.
    pub marker: bool,
    /// Whether a key frame begins in it.
    pub key_frame: bool,
    /// Bytes of padding to append when it is sent.
    pub padding: u8,
    /// Which layer of its encoding it belongs to, where that is known.
    pub layers: Layers,
    /// The RTP payload.
    pub payload: &'a [u8],
}

/// What is published on an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedCodec {
    /// Which codec.
    pub codec: Codec,
    /// Its parameters; for H.264 those of the SPS once one was seen.
    pub format: CodecFormat,
    /// RTP clock in Hz.
    pub clock_rate_hz: u32,
}

impl From<&NegotiatedCodec> for PublishedCodec {
    fn from(codec: &NegotiatedCodec) -> Self {
        Self { codec: codec.codec, format: codec.format, clock_rate_hz: codec.clock_rate_hz }
    }
}

impl fmt::Display for PublishedCodec {
    /// As `H264 profile-level-id=42e01f packetization-mode=1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.codec.name())?;
        match self.format {
            CodecFormat::Plain => Ok(()),
            CodecFormat::H264 { profile_level_id, packetization_mode } => {
                write!(f, " profile-level-id={profile_level_id:06x} packetization-mode={packetization_mode}")
            }
            CodecFormat::Vp9 { profile } | CodecFormat::Av1 { profile } | CodecFormat::H265 { profile } => {
                write!(f, " profile={profile}")
            }
        }
    }
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A packet.
    Media(MediaRecord<'a>),
    /// A pair of wall-clock time and RTP timestamp, from the publisher's sender report.
    Clock {
        /// Whose numbers.
        incarnation: Incarnation,
        /// This node's wall clock.
        ntp: NtpTime,
        /// RTP timestamp of the same instant.
        timestamp: u32,
        /// When the report arrived.
        arrival: Timestamp,
    },
    /// What follows is encoded so.
    Format(PublishedCodec),
    /// Told from here on, or again after a lane was full: between what the reader may hold and what follows, packets are
    /// missing that nobody has for it. Comes before anything else of an encoding.
    Begin,
    /// So many packets that follow are of the past, from a key frame on, and some of them may have been told before. Comes behind
    /// [`Self::Begin`].
    Replay(u16),
    /// What was measured of an encoding, also of one that does not cross; nothing at all where another publisher has begun,
    /// who may never send it.
    Rung(Measured),
    /// Something of the publisher's data channels, which belong to no encoding.
    Data(DataRecord<'a>),
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Shorter than its length says, or a field is out of range.
    Malformed,
    /// Another version.
    Version,
}

const KIND_MEDIA: u8 = 1;
const KIND_CLOCK: u8 = 2;
const KIND_FORMAT: u8 = 3;
const KIND_BEGIN: u8 = 4;
const KIND_DATA: u8 = 5;
const KIND_RUNG: u8 = 6;
const KIND_REPLAY: u8 = 7;

const FLAG_MARKER: u8 = 1;
const FLAG_KEY_FRAME: u8 = 2;

/// Bytes [`write()`] needs for `record`, at most.
#[must_use]
pub fn encoded_len(record: &Record<'_>) -> usize {
    match record {
        Record::Media(media) => MEDIA_HEAD_BYTES + media.payload.len(),
        Record::Data(data) => HEAD_BYTES + data.encoded_len(),
        Record::Clock { .. } | Record::Format(_) | Record::Begin | Record::Replay(_) | Record::Rung(_) => {
            HEAD_BYTES + 32
        }
    }
}

/// Writes a record and returns its length; `None` when it does not fit `out` or its length field.
pub fn write(out: &mut [u8], address: RecordAddress, record: &Record<'_>) -> Option<usize> {
    let mut writer = ByteWriter::new(out);
    let kind = match record {
        Record::Media(_) => KIND_MEDIA,
        Record::Clock { .. } => KIND_CLOCK,
        Record::Format(_) => KIND_FORMAT,
        Record::Begin => KIND_BEGIN,
        Record::Replay(_) => KIND_REPLAY,
        Record::Rung(_) => KIND_RUNG,
        Record::Data(_) => KIND_DATA,
    };
    writer.bytes(&[0, 0, VERSION, kind, address.encoding.number(), 0, 0, 0])?;
    writer.u128(address.stream.0)?;
    match record {
        Record::Media(media) => {
            let flags = (u8::from(media.marker) * FLAG_MARKER) | (u8::from(media.key_frame) * FLAG_KEY_FRAME);
            writer.u64(media.incarnation.0)?;
            writer.u64(media.sequence)?;
            writer.u64(media.arrival.as_nanos())?;
            writer.u32(media.timestamp)?;
            writer.bytes(&[flags, media.padding, media.layers.to_byte(), 0])?;
            writer.bytes(media.payload)?;
        }
        Record::Clock { incarnation, ntp, timestamp, arrival } => {
            writer.u64(incarnation.0)?;
            writer.u64(ntp.0)?;
            writer.u64(arrival.as_nanos())?;
            writer.u32(*timestamp)?;
        }
        Record::Format(published) => {
            let (parameter, detail): (u32, u8) = match published.format {
                CodecFormat::Plain => (0, 0),
                CodecFormat::H264 { profile_level_id, packetization_mode } => (profile_level_id, packetization_mode),
                CodecFormat::Vp9 { profile } | CodecFormat::Av1 { profile } | CodecFormat::H265 { profile } => {
                    (u32::from(profile), 0)
                }
            };
            writer.bytes(&[codec_number(published.codec), detail, 0, 0])?;
            writer.u32(parameter)?;
            writer.u32(published.clock_rate_hz)?;
        }
        Record::Begin => {}
        Record::Replay(packets) => writer.u16(*packets)?,
        Record::Rung(measured) => {
            writer.u32(measured.bits_per_second)?;
            writer.u16(measured.width)?;
            writer.u16(measured.height)?;
            let codec = measured.codec.map_or(0, codec_number);
            writer.bytes(&[u8::from(measured.alive), measured.frames_per_second, codec])?;
            writer.bytes(measured.rid.as_str().as_bytes())?;
        }
        Record::Data(data) => data.write(&mut writer)?,
    }
    let len = writer.len();
    let length = u16::try_from(len).ok()?.to_le_bytes();
    out.get_mut(..2)?.copy_from_slice(&length);
    Some(len)
}

/// The length a record's first two bytes announce.
#[must_use]
pub fn announced_len(head: [u8; 2]) -> usize {
    usize::from(u16::from_le_bytes(head))
}

/// Reads the record that is exactly `bytes`.
///
/// # Errors
/// It is cut short, a field is out of range, or it has another version.
pub fn read(bytes: &[u8]) -> Result<(RecordAddress, Record<'_>), RecordError> {
    let mut reader = ByteReader::new(bytes);
    let length = reader.array().ok_or(RecordError::Malformed)?;
    if announced_len(length) != bytes.len() {
        return Err(RecordError::Malformed);
    }
    if reader.u8().ok_or(RecordError::Malformed)? != VERSION {
        return Err(RecordError::Version);
    }
    read_fields(reader).ok_or(RecordError::Malformed)
}

fn read_fields(mut reader: ByteReader<'_>) -> Option<(RecordAddress, Record<'_>)> {
    let [kind, encoding, ..] = reader.array::<5>()?;
    let encoding = EncodingId::from_number(encoding)?;
    let address = RecordAddress { stream: StreamId(reader.u128()?), encoding };
    let record = match kind {
        KIND_MEDIA => {
            let incarnation = Incarnation(reader.u64()?);
            let sequence = reader.u64()?;
            let arrival = Timestamp::from_nanos(reader.u64()?);
            let timestamp = reader.u32()?;
            let [flags, padding, layers, _] = reader.array::<4>()?;
            Record::Media(MediaRecord {
                incarnation,
                sequence,
                timestamp,
                arrival,
                marker: flags & FLAG_MARKER != 0,
                key_frame: flags & FLAG_KEY_FRAME != 0,
                padding,
                layers: Layers::from_byte(layers),
                payload: reader.rest(),
            })
        }
        KIND_CLOCK => Record::Clock {
            incarnation: Incarnation(reader.u64()?),
            ntp: NtpTime(reader.u64()?),
            arrival: Timestamp::from_nanos(reader.u64()?),
            timestamp: reader.u32()?,
        },
        KIND_FORMAT => {
            let [codec, detail, ..] = reader.array::<4>()?;
            let parameter = reader.u32()?;
            let codec = codec_of(codec)?;
            let format = match codec {
                Codec::H264 => CodecFormat::H264 { profile_level_id: parameter, packetization_mode: detail },
                Codec::Vp9 => CodecFormat::Vp9 { profile: parameter.try_into().ok()? },
                Codec::Av1 => CodecFormat::Av1 { profile: parameter.try_into().ok()? },
                Codec::H265 => CodecFormat::H265 { profile: parameter.try_into().ok()? },
                Codec::Vp8 | Codec::Opus | Codec::Red => CodecFormat::Plain,
            };
            Record::Format(PublishedCodec { codec, format, clock_rate_hz: reader.u32()? })
        }
        KIND_BEGIN => Record::Begin,
        KIND_REPLAY => Record::Replay(reader.u16()?),
        KIND_RUNG => {
            let bits_per_second = reader.u32()?;
            let (width, height) = (reader.u16()?, reader.u16()?);
            let [alive, frames_per_second, codec] = reader.array()?;
            let (alive, codec, rid) = (alive != 0, codec_of(codec), RidName::new(reader.rest())?);
            Record::Rung(Measured { rid, codec, bits_per_second, frames_per_second, width, height, alive })
        }
        KIND_DATA => Record::Data(DataRecord::read(reader)?),
        _ => return None,
    };
    Some((address, record))
}

impl Record<'_> {
    /// The same record with its times on another host's clocks.
    #[must_use]
    pub fn restamped(mut self, map: ClockMap) -> Self {
        match &mut self {
            Self::Media(media) => media.arrival = map.monotonic(media.arrival),
            Self::Clock { ntp, arrival, .. } => {
                *ntp = map.wall(*ntp);
                *arrival = map.monotonic(*arrival);
            }
            Self::Data(data) => *data = data.restamped(|at| map.monotonic(at)),
            Self::Format(_) | Self::Begin | Self::Replay(_) | Self::Rung(_) => {}
        }
        self
    }
}

/// Where the time of arrival lies in a record that has one.
const ARRIVAL_AT: usize = HEAD_BYTES + 16;

/// Where the wall-clock time lies in a clock record.
const NTP_AT: usize = HEAD_BYTES + 8;

/// As [`Record::restamped`], in the bytes of a record that [`read`] has read: nothing else of them changes.
///
/// # Errors
/// They are too short for their kind.
pub fn restamp(bytes: &mut [u8], map: ClockMap) -> Result<(), RecordError> {
    let kind = *bytes.get(3).ok_or(RecordError::Malformed)?;
    if kind == KIND_CLOCK {
        let ntp = u64_at(bytes, NTP_AT)?;
        *ntp = map.wall(NtpTime(u64::from_le_bytes(*ntp))).0.to_le_bytes();
    }
    let is_message = kind == KIND_DATA && bytes.get(HEAD_BYTES..).is_some_and(DataRecord::has_arrival);
    if matches!(kind, KIND_MEDIA | KIND_CLOCK) || is_message {
        let arrival = u64_at(bytes, ARRIVAL_AT)?;
        *arrival = map.monotonic(Timestamp::from_nanos(u64::from_le_bytes(*arrival))).as_nanos().to_le_bytes();
    }
    Ok(())
}

fn u64_at(bytes: &mut [u8], at: usize) -> Result<&mut [u8; 8], RecordError> {
    bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut).ok_or(RecordError::Malformed)
}

const fn codec_number(codec: Codec) -> u8 {
    match codec {
        Codec::H264 => 1,
        Codec::H265 => 2,
        Codec::Vp8 => 3,
        Codec::Vp9 => 4,
        Codec::Av1 => 5,
        Codec::Opus => 6,
        Codec::Red => 7,
    }
}

const fn codec_of(number: u8) -> Option<Codec> {
    Some(match number {
        1 => Codec::H264,
        2 => Codec::H265,
        3 => Codec::Vp8,
        4 => Codec::Vp9,
        5 => Codec::Av1,
        6 => Codec::Opus,
        7 => Codec::Red,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MessageKind;
    use crate::data::dcep::{Delivery, Reliability};
    use crate::data::record::DataNews;
    use crate::relay::store::clock_map::HostClocks;
    use crate::wire::codec::LayerIds;
    use std::time::Duration;

    const ADDRESS: RecordAddress =
        RecordAddress { stream: StreamId(77 << 100), encoding: EncodingId::from_number(5).unwrap() };

    fn data(what: DataNews<'static>) -> Record<'static> {
        Record::Data(DataRecord { session: u64::MAX - 5, what })
    }

    fn samples() -> Vec<Record<'static>> {
        vec![
            Record::Media(MediaRecord {
                incarnation: Incarnation(u64::MAX - 1),
                sequence: 1 << 40,
                timestamp: 0xdead_beef,
                arrival: Timestamp::from_nanos(123_456_789_012),
                marker: true,
                key_frame: false,
                padding: 1,
                layers: Layers::new(LayerIds { temporal: 2, spatial: 1, up_here: true, up_after: false }),
                payload: &[1, 2, 3, 4, 5],
            }),
            Record::Clock {
                incarnation: Incarnation(3),
                ntp: NtpTime(0x0123_4567_89ab_cdef),
                timestamp: 7,
                arrival: Timestamp::from_nanos(9),
            },
            Record::Format(PublishedCodec {
                codec: Codec::H264,
                format: CodecFormat::H264 { profile_level_id: 0x42_e01f, packetization_mode: 1 },
                clock_rate_hz: 90_000,
            }),
            Record::Begin,
            Record::Rung(Measured {
                rid: RidName::new(b"abcdefghijklmnop").unwrap(),
                codec: Some(Codec::Av1),
                bits_per_second: 2_500_000,
                frames_per_second: 30,
                width: 1_280,
                height: 720,
                alive: true,
            }),
            Record::Rung(Measured::default()),
            Record::Replay(4_096),
            data(DataNews::Begin),
            data(DataNews::End),
            data(DataNews::Back { channel: 3, kind: MessageKind::Text, payload: b"yes" }),
            data(DataNews::Close { channel: 7 }),
            data(DataNews::Open {
                channel: 3,
                delivery: Delivery { ordered: false, reliability: Reliability::LifetimeMs(70_000) },
                label: "Umfrage",
                protocol: "corecast.retain",
            }),
            data(DataNews::Message {
                channel: 1,
                kind: MessageKind::Text,
                arrival: Timestamp::from_nanos(123_456_789_012),
                payload: b"Ja",
            }),
            Record::Media(MediaRecord {
                incarnation: Incarnation(1),
                sequence: 2,
                timestamp: 3,
                arrival: Timestamp::ZERO,
                marker: false,
                key_frame: true,
                padding: 0,
                layers: Layers::UNKNOWN,
                payload: &[],
            }),
        ]
        .into_iter()
        .chain(
            [
                (Codec::Opus, CodecFormat::Plain),
                (Codec::Red, CodecFormat::Plain),
                (Codec::Vp8, CodecFormat::Plain),
                (Codec::Vp9, CodecFormat::Vp9 { profile: 2 }),
                (Codec::Av1, CodecFormat::Av1 { profile: 1 }),
                (Codec::H265, CodecFormat::H265 { profile: 255 }),
            ]
            .map(|(codec, format)| Record::Format(PublishedCodec { codec, format, clock_rate_hz: 48_000 })),
        )
        .collect()
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let address = ADDRESS;
        for record in samples() {
            let mut out = [0; 256];
            let len = write(&mut out, address, &record).unwrap();
            // The others are given the room of a media record's head.
            let spare = encoded_len(&record).checked_sub(len).unwrap();
            assert!(if matches!(record, Record::Media(_)) { spare == 0 } else { spare <= 32 }, "{spare}");
            assert!((0..len).all(|short| write(&mut out[..short].to_vec(), address, &record).is_none()));
            assert_eq!(announced_len([out[0], out[1]]), len);
            assert_eq!(read(&out[..len]), Ok((address, record)));
        }
    }

    #[test]
    fn truncated_and_foreign_records_are_refused() {
        let address = ADDRESS;
        for record in samples() {
            let mut out = [0; 256];
            let len = write(&mut out, address, &record).unwrap();
            for cut in 0..len {
                assert!(read(&out[..cut]).is_err());
            }
            out[2] = VERSION + 1;
            assert_eq!(read(&out[..len]), Err(RecordError::Version));
        }
    }

    #[test]
    fn a_record_crosses_to_another_clock_and_back() {
        let here = HostClocks { monotonic: Timestamp::from_millis(200_000), wall: NtpTime(4_000_000_000 << 32) };
        let there = HostClocks { monotonic: Timestamp::from_millis(77_000_000), wall: NtpTime(3_999_999_000 << 32) };
        let map = ClockMap::between(here, there);
        let moved = Duration::from_millis(77_000_000 - 200_000);
        for record in samples() {
            let mut out = [0; 256];
            let len = write(&mut out, ADDRESS, &record).unwrap();
            restamp(&mut out[..len], map).unwrap();
            let (address, there) = read(&out[..len]).unwrap();
            assert_eq!((address, there), (ADDRESS, record.restamped(map)));
            match (record, there) {
                (Record::Media(before), Record::Media(after)) => {
                    assert_eq!(after, MediaRecord { arrival: before.arrival + moved, ..before });
                }
                (Record::Clock { ntp: before, arrival, .. }, Record::Clock { ntp, arrival: after, .. }) => {
                    assert_eq!((ntp.0, after), (before.0.wrapping_sub(1_000 << 32), arrival + moved));
                }
                (Record::Data(before), Record::Data(after)) => {
                    assert_eq!(after, before.restamped(|at| at + moved));
                }
                (before, after) => assert_eq!(before, after, "it has no time"),
            }
            restamp(&mut out[..len], map.inverse()).unwrap();
            assert_eq!(read(&out[..len]), Ok((ADDRESS, record)));
            if matches!(record, Record::Media(_) | Record::Clock { .. }) {
                assert_eq!(restamp(&mut out[..ARRIVAL_AT + 7], map), Err(RecordError::Malformed));
            }
        }
    }

    #[test]
    fn fields_out_of_range_are_refused() {
        let address = ADDRESS;
        for (codec, format) in [
            (Codec::Vp9, CodecFormat::Vp9 { profile: 1 }),
            (Codec::Av1, CodecFormat::Av1 { profile: 1 }),
            (Codec::H265, CodecFormat::H265 { profile: 1 }),
        ] {
            let record = Record::Format(PublishedCodec { codec, format, clock_rate_hz: 90_000 });
            let mut out = [0; 64];
            let len = write(&mut out, address, &record).unwrap();
            for (at, value) in [(3, 0), (3, 8), (4, 200), (HEAD_BYTES, 0), (HEAD_BYTES, 8), (HEAD_BYTES + 5, 1)] {
                let mut bytes = out;
                bytes[at] = value;
                assert_eq!(read(&bytes[..len]), Err(RecordError::Malformed), "{value} at {at}");
            }
        }
        // The length has 16 bits.
        let Record::Media(media) = samples()[0] else { panic!("the first is media") };
        let payload = vec![0; usize::from(u16::MAX) - MEDIA_HEAD_BYTES + 1];
        let mut out = vec![0; 70_000];
        let longest = Record::Media(MediaRecord { payload: &payload[1..], ..media });
        assert_eq!(write(&mut out, address, &longest), Some(65_535));
        assert_eq!(write(&mut out, address, &Record::Media(MediaRecord { payload: &payload, ..media })), None);
    }
}

//! What of a publisher's channels crosses between workers, as self-contained bytes: the fields of one kind of
//! [`crate::relay::store::record`].
//!
//! Each record names the publisher's session. What comes of another than the one that has begun is stale and dropped, so
//! that two publishers of a stream, one after the other on two workers, do not mix.

use super::MessageKind;
use super::dcep::Delivery;
use crate::time::Timestamp;
use crate::wire::bytes::fixed::{ByteReader, ByteWriter};

/// One thing that happened to a publisher's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataRecord<'a> {
    /// The publisher's session.
    pub session: u64,
    /// What happened.
    pub what: DataNews<'a>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataNews<'a> {
    /// Told from here on, or again after a lane was full: channels that the reader has are gone.
    Begin,
    /// The publisher has left.
    End,
    /// A channel was opened.
    Open {
        /// Its number, below [`crate::limits::DATA_CHANNELS_MAX`].
        channel: u8,
        /// How it delivers.
        delivery: Delivery,
        /// Its label.
        label: &'a str,
        /// Its protocol.
        protocol: &'a str,
    },
    /// A message came.
    Message {
        /// The channel's number.
        channel: u8,
        /// Text or bytes.
        kind: MessageKind,
        /// When the publisher's worker received it.
        arrival: Timestamp,
        /// The message.
        payload: &'a [u8],
    },
    /// A viewer says something to the publisher: the other way.
    Back {
        /// The channel's number.
        channel: u8,
        /// Text or bytes.
        kind: MessageKind,
        /// The message.
        payload: &'a [u8],
    },
    /// A channel was closed.
    Close {
        /// Its number.
        channel: u8,
    },
}

const BEGIN: u8 = 1;
const END: u8 = 2;
const OPEN: u8 = 3;
const MESSAGE: u8 = 4;
const CLOSE: u8 = 5;
const BACK: u8 = 6;

/// Bytes of a record's fields beside a message's or names.
pub const DATA_RECORD_HEAD_BYTES: usize = 24;

impl<'a> DataRecord<'a> {
    /// Bytes that [`Self::write`] needs, at most.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        DATA_RECORD_HEAD_BYTES
            + match self.what {
                DataNews::Open { label, protocol, .. } => label.len() + protocol.len(),
                DataNews::Message { payload, .. } | DataNews::Back { payload, .. } => payload.len(),
                DataNews::Begin | DataNews::End | DataNews::Close { .. } => 0,
            }
    }

    /// Writes the fields; `None` when they do not fit.
    pub fn write(&self, writer: &mut ByteWriter<'_>) -> Option<()> {
        writer.u64(self.session)?;
        let mut head = |head: [u8; 4], parameter| {
            writer.bytes(&head)?;
            writer.u32(parameter)
        };
        match self.what {
            DataNews::Begin => head([BEGIN, 0, 0, 0], 0),
            DataNews::End => head([END, 0, 0, 0], 0),
            DataNews::Close { channel } => head([CLOSE, channel, 0, 0], 0),
            DataNews::Open { channel, delivery, label, protocol } => {
                let (channel_type, parameter) = delivery.to_wire();
                head([OPEN, channel, channel_type, 0], parameter)?;
                writer.u16(u16::try_from(label.len()).ok()?)?;
                writer.bytes(label.as_bytes())?;
                writer.bytes(protocol.as_bytes())
            }
            DataNews::Back { channel, kind, payload } => {
                head([BACK, channel, u8::from(kind == MessageKind::Text), 0], 0)?;
                writer.bytes(payload)
            }
            DataNews::Message { channel, kind, arrival, payload } => {
                head([MESSAGE, channel, u8::from(kind == MessageKind::Text), 0], 0)?;
                writer.u64(arrival.as_nanos())?;
                writer.bytes(payload)
            }
        }
    }

    /// Reads what [`Self::write`] wrote.
    #[must_use]
    pub fn read(mut reader: ByteReader<'a>) -> Option<Self> {
        let session = reader.u64()?;
        let [what, channel, detail, _] = reader.array::<4>()?;
        let parameter = reader.u32()?;
        if usize::from(channel) >= crate::limits::DATA_CHANNELS_MAX {
            return None;
        }
        let what = match what {
            BEGIN => DataNews::Begin,
            END => DataNews::End,
            CLOSE => DataNews::Close { channel },
            OPEN => {
                let delivery = Delivery::from_wire(detail, parameter)?;
                let label_len = usize::from(reader.u16()?);
                let label = std::str::from_utf8(reader.take(label_len)?).ok()?;
                let protocol = std::str::from_utf8(reader.rest()).ok()?;
                if label.len().max(protocol.len()) > crate::limits::DATA_NAME_BYTES_MAX {
                    return None;
                }
                DataNews::Open { channel, delivery, label, protocol }
            }
            MESSAGE => {
                let kind = kind_of(detail)?;
                let arrival = Timestamp::from_nanos(reader.u64()?);
                DataNews::Message { channel, kind, arrival, payload: reader.rest() }
            }
            BACK => DataNews::Back { channel, kind: kind_of(detail)?, payload: reader.rest() },
            _ => return None,
        };
        Some(Self { session, what })
    }

    /// Whether these fields are of a message: its time of arrival then lies 16 bytes from their beginning.
    #[must_use]
    pub fn has_arrival(fields: &[u8]) -> bool {
        fields.get(8) == Some(&MESSAGE)
    }

    /// The same with its time on another host's clock.
    #[must_use]
    pub fn restamped(mut self, monotonic: impl FnOnce(Timestamp) -> Timestamp) -> Self {
        if let DataNews::Message { arrival, .. } = &mut self.what {
            *arrival = monotonic(*arrival);
        }
        self
    }
}

fn kind_of(detail: u8) -> Option<MessageKind> {
    match detail {
        0 => Some(MessageKind::Binary),
        1 => Some(MessageKind::Text),
        _ => None,
    }
}

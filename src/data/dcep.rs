//! The Data Channel Establishment Protocol (RFC 8832): the two messages that open a channel.
//!
//! Left out: priorities, which the node neither keeps nor asks for; every channel is normal (256, RFC 8831 §6.4).

use std::time::Duration;

use crate::limits;

/// Payload protocol identifiers (RFC 8831 §8).
pub(super) mod ppid {
    /// DCEP.
    pub(crate) const DCEP: u32 = 50;
    /// UTF-8.
    pub(crate) const STRING: u32 = 51;
    /// Bytes.
    pub(crate) const BINARY: u32 = 53;
    /// UTF-8 of no bytes, sent as one.
    pub(crate) const STRING_EMPTY: u32 = 56;
    /// No bytes, sent as one.
    pub(crate) const BINARY_EMPTY: u32 = 57;
}

const OPEN: u8 = 3;
const ACK: u8 = 2;

/// Set in a channel type where messages may be delivered in any order (§5.1).
const UNORDERED: u8 = 0x80;
const RELIABLE: u8 = 0;
const LIMITED_RETRANSMITS: u8 = 1;
const LIMITED_LIFETIME: u8 = 2;

/// `DATA_CHANNEL_ACK` (§5.2).
pub(super) const ACK_MESSAGE: [u8; 1] = [ACK];

/// How much is done for a message to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    /// It is repeated until it arrives.
    Reliable,
    /// It is repeated so many times.
    Retransmits(u32),
    /// It is repeated for so long, in milliseconds.
    LifetimeMs(u32),
}

/// How a channel delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// In the order of sending.
    pub ordered: bool,
    /// How much is done for each.
    pub reliability: Reliability,
}

impl Delivery {
    /// Whether no message may be lost.
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        matches!(self.reliability, Reliability::Reliable)
    }

    /// The lifetime of a message, where it has one.
    pub(super) const fn lifetime(self) -> Option<Duration> {
        match self.reliability {
            Reliability::LifetimeMs(ms) => Some(Duration::from_millis(ms as u64)),
            Reliability::Reliable | Reliability::Retransmits(_) => None,
        }
    }

    /// As `channel type` and `reliability parameter` (§5.1).
    #[must_use]
    pub const fn to_wire(self) -> (u8, u32) {
        let (kind, parameter) = match self.reliability {
            Reliability::Reliable => (RELIABLE, 0),
            Reliability::Retransmits(times) => (LIMITED_RETRANSMITS, times),
            Reliability::LifetimeMs(ms) => (LIMITED_LIFETIME, ms),
        };
        (if self.ordered { kind } else { kind | UNORDERED }, parameter)
    }

    /// From `channel type` and `reliability parameter`; `None` for a type that does not exist.
    #[must_use]
    pub const fn from_wire(channel_type: u8, parameter: u32) -> Option<Self> {
        let reliability = match channel_type & !UNORDERED {
            RELIABLE => Reliability::Reliable,
            LIMITED_RETRANSMITS => Reliability::Retransmits(parameter),
            LIMITED_LIFETIME => Reliability::LifetimeMs(parameter),
            _ => return None,
        };
        Some(Self { ordered: channel_type & UNORDERED == 0, reliability })
    }
}

/// What a channel is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTerms {
    /// Its name; not unique.
    pub label: String,
    /// The protocol spoken over it, as applications agree; may be empty.
    pub protocol: String,
    /// How it delivers.
    pub delivery: Delivery,
}

/// A message of DCEP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DcepMessage {
    /// `DATA_CHANNEL_OPEN`
    Open(ChannelTerms),
    /// `DATA_CHANNEL_ACK`
    Ack,
}

/// Why a message is none of DCEP, or opens no channel here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DcepError {
    /// Cut short, of an unknown type, or not UTF-8.
    Malformed,
    /// Its label or protocol has more than [`limits::DATA_NAME_BYTES_MAX`] bytes.
    NameTooLong,
}

impl DcepMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// See [`DcepError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DcepError> {
        match *bytes {
            [ACK, ..] => Ok(Self::Ack),
            [OPEN, channel_type, _, _, r0, r1, r2, r3, l0, l1, p0, p1, ref names @ ..] => {
                let parameter = u32::from_be_bytes([r0, r1, r2, r3]);
                let delivery = Delivery::from_wire(channel_type, parameter).ok_or(DcepError::Malformed)?;
                let label_len = usize::from(u16::from_be_bytes([l0, l1]));
                let protocol_len = usize::from(u16::from_be_bytes([p0, p1]));
                if label_len.max(protocol_len) > limits::DATA_NAME_BYTES_MAX {
                    return Err(DcepError::NameTooLong);
                }
                let (label, rest) = names.split_at_checked(label_len).ok_or(DcepError::Malformed)?;
                let protocol = rest.get(..protocol_len).ok_or(DcepError::Malformed)?;
                let text = |bytes| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DcepError::Malformed);
                Ok(Self::Open(ChannelTerms { label: text(label)?, protocol: text(protocol)?, delivery }))
            }
            _ => Err(DcepError::Malformed),
        }
    }
}

/// Writes `DATA_CHANNEL_OPEN` (§5.1). Names are cut to their bound, at a character.
pub(super) fn open_message(terms: &ChannelTerms) -> Vec<u8> {
    let cut = |text: &str| {
        let mut len = text.len().min(limits::DATA_NAME_BYTES_MAX);
        while !text.is_char_boundary(len) {
            len = len.saturating_sub(1);
        }
        text.as_bytes().get(..len).unwrap_or_default().to_vec()
    };
    let (label, protocol) = (cut(&terms.label), cut(&terms.protocol));
    let (channel_type, parameter) = terms.delivery.to_wire();
    let mut out = vec![OPEN, channel_type];
    out.extend(256u16.to_be_bytes());
    out.extend(parameter.to_be_bytes());
    for name in [&label, &protocol] {
        out.extend(u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
    }
    out.extend(label);
    out.extend(protocol);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(ordered: bool, reliability: Reliability) -> ChannelTerms {
        let delivery = Delivery { ordered, reliability };
        ChannelTerms { label: "Untertitel: ü".to_owned(), protocol: "corecast.retain".to_owned(), delivery }
    }

    #[test]
    fn every_kind_of_channel_reads_back_as_written_and_cut_short_is_malformed() {
        for ordered in [true, false] {
            for reliability in [Reliability::Reliable, Reliability::Retransmits(0), Reliability::LifetimeMs(70_000)] {
                let terms = terms(ordered, reliability);
                let bytes = open_message(&terms);
                assert_eq!(DcepMessage::parse(&bytes), Ok(DcepMessage::Open(terms)));
                for cut in 0..bytes.len() {
                    assert_eq!(DcepMessage::parse(&bytes[..cut]), Err(DcepError::Malformed), "{cut}");
                }
            }
        }
        assert_eq!(DcepMessage::parse(&ACK_MESSAGE), Ok(DcepMessage::Ack));
    }

    #[test]
    fn bytes_as_rfc_8832_lays_them_out() {
        let terms = ChannelTerms {
            label: "ab".to_owned(),
            protocol: "c".to_owned(),
            delivery: Delivery { ordered: false, reliability: Reliability::Retransmits(7) },
        };
        let bytes = [3, 0x81, 1, 0, 0, 0, 0, 7, 0, 2, 0, 1, b'a', b'b', b'c'];
        assert_eq!(open_message(&terms), bytes);
    }

    #[test]
    fn unknown_types_and_long_names_are_refused() {
        let mut bytes = open_message(&terms(true, Reliability::Reliable));
        bytes[1] = 3;
        assert_eq!(DcepMessage::parse(&bytes), Err(DcepError::Malformed));
        bytes[1] = 0;
        bytes[8..10].copy_from_slice(&129u16.to_be_bytes());
        assert_eq!(DcepMessage::parse(&bytes), Err(DcepError::NameTooLong));
        let mut not_utf8 = open_message(&terms(true, Reliability::Reliable));
        not_utf8[12] = 0xff;
        assert_eq!(DcepMessage::parse(&not_utf8), Err(DcepError::Malformed));
        assert_eq!(DcepMessage::parse(&[4]), Err(DcepError::Malformed));
        // What the node itself writes keeps to the bound, and to whole characters.
        let long = ChannelTerms { label: "ü".repeat(100), ..terms(true, Reliability::Reliable) };
        let Ok(DcepMessage::Open(read)) = DcepMessage::parse(&open_message(&long)) else { panic!("it reads back") };
        assert_eq!(read.label, "ü".repeat(64));
    }
}

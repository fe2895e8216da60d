//! STUN messages (RFC 8489) as ICE uses them (RFC 8445 §7, §16.1): one datagram in or out, short-term credentials.
//!
//! [`StunMessage`] checks the framing of the whole message once; its accessors then look attributes up. [`StunWriter`]
//! builds a message. What follows MESSAGE-INTEGRITY is ignored except FINGERPRINT (RFC 8489 §14.5), so everything an
//! accessor returns from a message that verifies was covered by the verification.
//!
//! Left out: long-term credentials and MESSAGE-INTEGRITY-SHA256 (ICE uses neither), ALTERNATE-SERVER, and
//! RFC 3489 messages without the magic cookie. TURN's attributes are another layer's.

mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

use super::cursor::Reader;
pub use writer::StunWriter;

/// The fixed value of the header's second word (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_a442;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 20;

/// The one method ICE uses (RFC 8489 §18.2).
pub const BINDING: u16 = 0x001;

/// Attribute types (RFC 8489 §18.3, RFC 8445 §20.1).
pub mod attribute {
    /// MAPPED-ADDRESS
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// USERNAME
    pub const USERNAME: u16 = 0x0006;
    /// MESSAGE-INTEGRITY
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// ERROR-CODE
    pub const ERROR_CODE: u16 = 0x0009;
    /// UNKNOWN-ATTRIBUTES
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    /// REALM
    pub const REALM: u16 = 0x0014;
    /// NONCE
    pub const NONCE: u16 = 0x0015;
    /// MESSAGE-INTEGRITY-SHA256
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    /// XOR-MAPPED-ADDRESS
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// PRIORITY
    pub const PRIORITY: u16 = 0x0024;
    /// USE-CANDIDATE
    pub const USE_CANDIDATE: u16 = 0x0025;
    /// SOFTWARE
    pub const SOFTWARE: u16 = 0x8022;
    /// FINGERPRINT
    pub const FINGERPRINT: u16 = 0x8028;
    /// ICE-CONTROLLED
    pub const ICE_CONTROLLED: u16 = 0x8029;
    /// ICE-CONTROLLING
    pub const ICE_CONTROLLING: u16 = 0x802a;
}

/// A request with an unknown attribute of a type below this is answered with 420 (RFC 8489 §14).
const COMPREHENSION_OPTIONAL: u16 = 0x8000;

/// Bytes of an attribute's type and length.
const ATTRIBUTE_HEAD_BYTES: usize = 4;

const INTEGRITY_BYTES: usize = 20;

/// What the CRC is combined with (RFC 8489 §14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Why bytes are not a STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunError {
    /// Shorter than the header, or not as long as the header's length field says.
    Length,
    /// The first two bits are not zero.
    NotStun,
    /// The magic cookie is missing.
    Cookie,
    /// An attribute reaches beyond the message.
    AttributeBounds,
    /// MESSAGE-INTEGRITY or FINGERPRINT of the wrong size, or something after FINGERPRINT.
    BadTrailer,
}

impl fmt::Display for StunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "STUN length does not match the datagram",
            Self::NotStun => "not a STUN message type",
            Self::Cookie => "STUN magic cookie missing",
            Self::AttributeBounds => "STUN attribute reaches beyond the message",
            Self::BadTrailer => "STUN MESSAGE-INTEGRITY or FINGERPRINT malformed",
        })
    }
}

impl std::error::Error for StunError {}

/// The class bits of a message type (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunClass {
    /// Asks for an answer.
    Request,
    /// Asks for none.
    Indication,
    /// Answers with success.
    Success,
    /// Answers with an error.
    Error,
}

impl StunClass {
    const fn bits(self) -> u16 {
        match self {
            Self::Request => 0x000,
            Self::Indication => 0x010,
            Self::Success => 0x100,
            Self::Error => 0x110,
        }
    }
}

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type, see [`attribute`].
    pub kind: u16,
    /// Its value without padding.
    pub value: &'a [u8],
    /// Where its head begins in the message.
    offset: usize,
}

/// Walks attributes from the start of the message's body.
#[derive(Clone, Copy, Debug)]
struct AttributeWalk<'a> {
    reader: Reader<'a>,
    offset: usize,
}

impl<'a> AttributeWalk<'a> {
    fn step(&mut self) -> Option<Attribute<'a>> {
        let (kind, len) = (self.reader.u16()?, usize::from(self.reader.u16()?));
        let padded = self.reader.take(len.checked_next_multiple_of(4)?)?;
        let offset = self.offset;
        self.offset = offset.checked_add(ATTRIBUTE_HEAD_BYTES)?.checked_add(padded.len())?;
        Some(Attribute { kind, value: padded.get(..len)?, offset })
    }
}

/// A message with correct framing: lengths, cookie, attribute bounds. Nothing is authenticated yet.
#[derive(Clone, Copy, Debug)]
pub struct StunMessage<'a> {
    bytes: &'a [u8],
    message_type: u16,
    transaction_id: &'a [u8; 12],
    integrity: Option<Attribute<'a>>,
    fingerprint: Option<Attribute<'a>>,
}

impl<'a> StunMessage<'a> {
    /// Checks the framing of a datagram that is one whole message (RFC 8489 §6.3).
    ///
    /// # Errors
    /// A [`StunError`].
    pub fn parse(datagram: &'a [u8]) -> Result<Self, StunError> {
        let mut reader = Reader::new(datagram);
        let message_type = reader.u16().ok_or(StunError::Length)?;
        let len = reader.u16().ok_or(StunError::Length)?;
        let cookie = reader.u32().ok_or(StunError::Length)?;
        let transaction_id = reader.array().ok_or(StunError::Length)?;
        if message_type & 0xc000 != 0 {
            return Err(StunError::NotStun);
        }
        if cookie != MAGIC_COOKIE {
            return Err(StunError::Cookie);
        }
        if usize::from(len) != reader.rest().len() || len & 3 != 0 {
            return Err(StunError::Length);
        }

        let mut message = Self { bytes: datagram, message_type, transaction_id, integrity: None, fingerprint: None };
        let mut walk = AttributeWalk { reader, offset: HEADER_BYTES };
        while !walk.reader.is_empty() {
            let attribute = walk.step().ok_or(StunError::AttributeBounds)?;
            match attribute.kind {
                // RFC 8489 §14: of repeated attributes only the first counts.
                attribute::MESSAGE_INTEGRITY if message.integrity.is_none() => {
                    if attribute.value.len() != INTEGRITY_BYTES {
                        return Err(StunError::BadTrailer);
                    }
                    message.integrity = Some(attribute);
                }
                // RFC 8489 §14.7: FINGERPRINT is the last attribute.
                attribute::FINGERPRINT => {
                    if attribute.value.len() != 4 || !walk.reader.is_empty() {
                        return Err(StunError::BadTrailer);
                    }
                    message.fingerprint = Some(attribute);
                }
                _ => {}
            }
        }
        Ok(message)
    }

    /// The whole message.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Request, indication, success or error.
    #[must_use]
    pub const fn class(&self) -> StunClass {
        match (self.message_type & 0x100 != 0, self.message_type & 0x010 != 0) {
            (false, false) => StunClass::Request,
            (false, true) => StunClass::Indication,
            (true, false) => StunClass::Success,
            (true, true) => StunClass::Error,
        }
    }

    /// The 12-bit method; [`BINDING`] for ICE.
    #[must_use]
    pub const fn method(&self) -> u16 {
        let bits = self.message_type;
        bits & 0x000f | (bits & 0x00e0) >> 1 | (bits & 0x3e00) >> 2
    }

    /// The transaction's identifier.
    #[must_use]
    pub const fn transaction_id(&self) -> &'a [u8; 12] {
        self.transaction_id
    }

    /// The attributes that count: all up to MESSAGE-INTEGRITY, or all where there is none, in wire order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let end = self.integrity.map_or(self.bytes.len(), |integrity| integrity.offset);
        let body = self.bytes.get(HEADER_BYTES..end).unwrap_or_default();
        let mut walk = AttributeWalk { reader: Reader::new(body), offset: HEADER_BYTES };
        std::iter::from_fn(move || walk.step())
    }

    /// The value of the first attribute of this type.
    #[must_use]
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|attribute| attribute.kind == kind).map(|attribute| attribute.value)
    }

    /// Where the value of the first attribute of this type lies in the message.
    #[must_use]
    pub fn place_of(&self, kind: u16) -> Option<Range<usize>> {
        let found = self.attributes().find(|attribute| attribute.kind == kind)?;
        let start = found.offset.checked_add(ATTRIBUTE_HEAD_BYTES)?;
        Some(start..start.checked_add(found.value.len())?)
    }

    fn number<const N: usize>(&self, kind: u16) -> Option<[u8; N]> {
        self.attribute(kind)?.try_into().ok()
    }

    /// USERNAME: `receiver's ufrag:sender's ufrag` in a check (RFC 8445 §7.2.2).
    #[must_use]
    pub fn username(&self) -> Option<&'a [u8]> {
        self.attribute(attribute::USERNAME)
    }

    /// SOFTWARE, as sent.
    #[must_use]
    pub fn software(&self) -> Option<&'a [u8]> {
        self.attribute(attribute::SOFTWARE)
    }

    /// PRIORITY (RFC 8445 §7.1.1).
    #[must_use]
    pub fn priority(&self) -> Option<u32> {
        self.number(attribute::PRIORITY).map(u32::from_be_bytes)
    }

    /// Whether USE-CANDIDATE is there (RFC 8445 §7.1.2).
    #[must_use]
    pub fn use_candidate(&self) -> bool {
        self.attribute(attribute::USE_CANDIDATE).is_some()
    }

    /// The tie-breaker of ICE-CONTROLLING (RFC 8445 §7.1.3).
    #[must_use]
    pub fn ice_controlling(&self) -> Option<u64> {
        self.number(attribute::ICE_CONTROLLING).map(u64::from_be_bytes)
    }

    /// The tie-breaker of ICE-CONTROLLED (RFC 8445 §7.1.3).
    #[must_use]
    pub fn ice_controlled(&self) -> Option<u64> {
        self.number(attribute::ICE_CONTROLLED).map(u64::from_be_bytes)
    }

    /// XOR-MAPPED-ADDRESS, decoded (RFC 8489 §14.2).
    #[must_use]
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        self.xor_address(self.attribute(attribute::XOR_MAPPED_ADDRESS)?)
    }

    /// An address of this message's that is written like XOR-MAPPED-ADDRESS, decoded.
    #[must_use]
    pub fn xor_address(&self, value: &[u8]) -> Option<SocketAddr> {
        let (&[_, family, p0, p1], address) = value.split_first_chunk()?;
        let ip = match family {
            1 => IpAddr::V4(Ipv4Addr::from(address.try_into().map(u32::from_be_bytes).ok()? ^ MAGIC_COOKIE)),
            2 => {
                let bits = address.try_into().map(u128::from_be_bytes).ok()?;
                IpAddr::V6(Ipv6Addr::from(bits ^ address_mask(self.transaction_id)))
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes([p0, p1]) ^ PORT_MASK))
    }

    /// ERROR-CODE as a number from 300 to 699 (RFC 8489 §14.8).
    #[must_use]
    pub fn error_code(&self) -> Option<u16> {
        let (&[_, _, class, number], _) = self.attribute(attribute::ERROR_CODE)?.split_first_chunk()?;
        let (class, number) = (u16::from(class & 7), u16::from(number));
        ((3..=6).contains(&class) && number < 100).then(|| class.saturating_mul(100).saturating_add(number))
    }

    /// The reason phrase of ERROR-CODE, as sent.
    #[must_use]
    pub fn error_reason(&self) -> Option<&'a [u8]> {
        self.attribute(attribute::ERROR_CODE)?.get(4..)
    }

    /// The types a 420 answer lists (RFC 8489 §14.9).
    pub fn unknown_attributes(&self) -> impl Iterator<Item = u16> + use<'a> {
        let mut reader = Reader::new(self.attribute(attribute::UNKNOWN_ATTRIBUTES).unwrap_or_default());
        std::iter::from_fn(move || reader.u16())
    }

    /// The comprehension-required types in this message that this module does not know. A request that has any must be
    /// refused (RFC 8489 §6.3.1).
    pub fn unknown_comprehension_required(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.attributes().map(|attribute| attribute.kind).filter(|&kind| {
            kind < COMPREHENSION_OPTIONAL
                && !matches!(
                    kind,
                    attribute::MAPPED_ADDRESS
                        | attribute::USERNAME
                        | attribute::ERROR_CODE
                        | attribute::UNKNOWN_ATTRIBUTES
                        | attribute::REALM
                        | attribute::NONCE
                        | attribute::MESSAGE_INTEGRITY_SHA256
                        | attribute::XOR_MAPPED_ADDRESS
                        | attribute::PRIORITY
                        | attribute::USE_CANDIDATE
                )
        })
    }

    /// Whether MESSAGE-INTEGRITY is there at all.
    #[must_use]
    pub const fn has_integrity(&self) -> bool {
        self.integrity.is_some()
    }

    /// Whether MESSAGE-INTEGRITY is there and right under `key` (RFC 8489 §14.5: for short-term credentials the
    /// password's bytes). Takes the same time wherever the tags differ.
    #[must_use]
    pub fn verify_integrity(&self, key: &[u8]) -> bool {
        let Some(integrity) = self.integrity else { return false };
        let Some(covered) = self.bytes.get(..integrity.offset) else { return false };
        integrity_tag(key, covered).is_some_and(|tag| bool::from(tag.ct_eq(integrity.value)))
    }

    /// Whether FINGERPRINT is right; `None` where there is none (RFC 8489 §14.7).
    #[must_use]
    pub fn fingerprint_valid(&self) -> Option<bool> {
        let fingerprint = self.fingerprint?;
        let covered = self.bytes.get(..fingerprint.offset)?;
        Some(fingerprint.value == fingerprint_value(covered).to_be_bytes())
    }
}

/// What the port in XOR-MAPPED-ADDRESS is combined with.
const PORT_MASK: u16 = (MAGIC_COOKIE >> 16) as u16;

/// What an IPv6 address in XOR-MAPPED-ADDRESS is combined with: cookie and transaction identifier.
fn address_mask(transaction_id: &[u8; 12]) -> u128 {
    let tail = transaction_id.iter().fold(0, |bits, &byte| bits << 8 | u128::from(byte));
    u128::from(MAGIC_COOKIE) << 96 | tail
}

/// HMAC-SHA1 over a message up to, and without, its MESSAGE-INTEGRITY, with the header's length counting that
/// attribute as the last (RFC 8489 §14.5). `None` for what is no message.
fn integrity_tag(key: &[u8], covered: &[u8]) -> Option<[u8; INTEGRITY_BYTES]> {
    let (&[t0, t1, _, _], rest) = covered.split_first_chunk()?;
    let body = covered.len().checked_sub(HEADER_BYTES)?;
    let len = u16::try_from(body.checked_add(ATTRIBUTE_HEAD_BYTES)?.checked_add(INTEGRITY_BYTES)?).ok()?;
    let [l0, l1] = len.to_be_bytes();
    let mut mac = Hmac::<Sha1>::new_from_slice(key).ok()?;
    mac.update(&[t0, t1, l0, l1]);
    mac.update(rest);
    Some(mac.finalize().into_bytes().into())
}

/// The value of a FINGERPRINT that follows `covered`, whose header already counts it (RFC 8489 §14.7).
fn fingerprint_value(covered: &[u8]) -> u32 {
    crc32(covered) ^ FINGERPRINT_XOR
}

/// CRC-32 of ISO 3309, reflected, half a byte at a time: 64 bytes of table are enough for 100-byte messages.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = [
        0x0000_0000,
        0x1db7_1064,
        0x3b6e_20c8,
        0x26d9_30ac,
        0x76dc_4190,
        0x6b6b_51f4,
        0x4db2_6158,
        0x5005_713c,
        0xedb8_8320,
        0xf00f_9344,
        0xd6d6_a3e8,
        0xcb61_b38c,
        0x9b64_c2b0,
        0x86d3_d2d4,
        0xa00a_e278,
        0xbdbd_f21c,
    ];
    let half = |crc: u32| crc >> 4 ^ TABLE.get((crc & 15) as usize).copied().unwrap_or_default();
    !bytes.iter().fold(u32::MAX, |crc, &byte| half(half(crc ^ u32::from(byte))))
}

//! Builds one STUN message in a caller's buffer.
//!
//! The builder remembers that a value did not fit and reports it once, in [`StunWriter::finish`], so that a message is
//! written as one chain of calls.

use std::net::SocketAddr;

use super::{
    ATTRIBUTE_HEAD_BYTES, BINDING, MAGIC_COOKIE, PORT_MASK, StunClass, address_mask, attribute, fingerprint_value,
    integrity_tag,
};
use crate::wire::cursor::Writer;
use crate::wire::stun::HEADER_BYTES;

/// Bytes of FINGERPRINT with its head.
const FINGERPRINT_ATTRIBUTE_BYTES: usize = 8;

/// A message being written. Attributes are written in the order of the calls: [`Self::integrity`] and then
/// [`Self::fingerprint`] come last.
#[derive(Debug)]
pub struct StunWriter<'a> {
    writer: Writer<'a>,
    transaction_id: [u8; 12],
    failed: bool,
}

impl<'a> StunWriter<'a> {
    /// A message of any class and method (12 bits; higher ones are cut off).
    #[must_use]
    pub fn new(out: &'a mut [u8], class: StunClass, method: u16, transaction_id: &[u8; 12]) -> Self {
        let method = method & 0x000f | (method & 0x0070) << 1 | (method & 0x0f80) << 2;
        let mut this = Self { writer: Writer::new(out), transaction_id: *transaction_id, failed: false };
        this.write(|writer| {
            writer.u16(method | class.bits())?;
            writer.u16(0)?;
            writer.u32(MAGIC_COOKIE)?;
            writer.bytes(transaction_id)
        });
        this
    }

    /// A Binding request.
    #[must_use]
    pub fn binding_request(out: &'a mut [u8], transaction_id: &[u8; 12]) -> Self {
        Self::new(out, StunClass::Request, BINDING, transaction_id)
    }

    /// A Binding success response to the request of this transaction.
    #[must_use]
    pub fn binding_success(out: &'a mut [u8], transaction_id: &[u8; 12]) -> Self {
        Self::new(out, StunClass::Success, BINDING, transaction_id)
    }

    /// A Binding error response to the request of this transaction; its ERROR-CODE is still to be written.
    #[must_use]
    pub fn binding_error(out: &'a mut [u8], transaction_id: &[u8; 12]) -> Self {
        Self::new(out, StunClass::Error, BINDING, transaction_id)
    }

    fn write(&mut self, with: impl FnOnce(&mut Writer<'a>) -> Option<()>) {
        self.failed = self.failed || with(&mut self.writer).is_none();
    }

    /// Any attribute with the given value.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.write(|writer| {
            writer.u16(kind)?;
            writer.u16(u16::try_from(value.len()).ok()?)?;
            writer.bytes(value)?;
            writer.align()
        });
        self
    }

    /// USERNAME
    #[must_use]
    pub fn username(self, username: &[u8]) -> Self {
        self.attribute(attribute::USERNAME, username)
    }

    /// SOFTWARE
    #[must_use]
    pub fn software(self, name: &str) -> Self {
        self.attribute(attribute::SOFTWARE, name.as_bytes())
    }

    /// PRIORITY
    #[must_use]
    pub fn priority(self, priority: u32) -> Self {
        self.attribute(attribute::PRIORITY, &priority.to_be_bytes())
    }

    /// USE-CANDIDATE
    #[must_use]
    pub fn use_candidate(self) -> Self {
        self.attribute(attribute::USE_CANDIDATE, &[])
    }

    /// ICE-CONTROLLING
    #[must_use]
    pub fn ice_controlling(self, tie_breaker: u64) -> Self {
        self.attribute(attribute::ICE_CONTROLLING, &tie_breaker.to_be_bytes())
    }

    /// ICE-CONTROLLED
    #[must_use]
    pub fn ice_controlled(self, tie_breaker: u64) -> Self {
        self.attribute(attribute::ICE_CONTROLLED, &tie_breaker.to_be_bytes())
    }

    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2). An IPv4-mapped IPv6 address is written as it is; unmap it before.
    #[must_use]
    pub fn xor_mapped_address(self, address: SocketAddr) -> Self {
        self.xor_address(attribute::XOR_MAPPED_ADDRESS, address)
    }

    /// Another attribute that is written like XOR-MAPPED-ADDRESS.
    #[must_use]
    pub fn xor_address(mut self, kind: u16, address: SocketAddr) -> Self {
        let port = address.port() ^ PORT_MASK;
        let mask = address_mask(&self.transaction_id);
        self.write(|writer| {
            writer.u16(kind)?;
            match address {
                SocketAddr::V4(v4) => {
                    writer.u16(8)?;
                    writer.u16(1)?;
                    writer.u16(port)?;
                    writer.u32(v4.ip().to_bits() ^ MAGIC_COOKIE)
                }
                SocketAddr::V6(v6) => {
                    writer.u16(20)?;
                    writer.u16(2)?;
                    writer.u16(port)?;
                    writer.bytes(&(v6.ip().to_bits() ^ mask).to_be_bytes())
                }
            }
        });
        self
    }

    /// ERROR-CODE; a `code` outside 300–699 does not fit (RFC 8489 §14.8).
    #[must_use]
    pub fn error_code(mut self, code: u16, reason: &str) -> Self {
        self.write(|writer| {
            let class = Some(code / 100).filter(|class| (3..=6).contains(class))?;
            writer.u16(attribute::ERROR_CODE)?;
            writer.u16(u16::try_from(reason.len()).ok()?.checked_add(4)?)?;
            writer.u16(0)?;
            writer.u16((class << 8) | (code % 100))?;
            writer.bytes(reason.as_bytes())?;
            writer.align()
        });
        self
    }

    /// UNKNOWN-ATTRIBUTES, which goes with error 420 (RFC 8489 §14.9). At most the first 16 types are listed: one is
    /// enough for an honest peer, and a hostile peer must not control the length of the answer.
    #[must_use]
    pub fn unknown_attributes(mut self, kinds: impl Iterator<Item = u16>) -> Self {
        self.write(|writer| {
            writer.u16(attribute::UNKNOWN_ATTRIBUTES)?;
            let len_at = writer.len();
            writer.u16(0)?;
            let mut count = 0_u16;
            for kind in kinds.take(16) {
                writer.u16(kind)?;
                count = count.saturating_add(1);
            }
            writer.patch_u16(len_at, count.saturating_mul(2))?;
            writer.align()
        });
        self
    }

    /// MESSAGE-INTEGRITY over everything so far (RFC 8489 §14.5).
    #[must_use]
    pub fn integrity(mut self, key: &[u8]) -> Self {
        self.write(|writer| {
            let tag = integrity_tag(key, writer.written())?;
            writer.u16(attribute::MESSAGE_INTEGRITY)?;
            writer.u16(tag.len() as u16)?;
            writer.bytes(&tag)
        });
        self
    }

    /// FINGERPRINT over everything so far (RFC 8489 §14.7).
    #[must_use]
    pub fn fingerprint(mut self) -> Self {
        self.write(|writer| {
            let end = writer.len().checked_add(FINGERPRINT_ATTRIBUTE_BYTES)?;
            set_length(writer, end)?;
            let value = fingerprint_value(writer.written());
            writer.u16(attribute::FINGERPRINT)?;
            writer.u16((FINGERPRINT_ATTRIBUTE_BYTES - ATTRIBUTE_HEAD_BYTES) as u16)?;
            writer.u32(value)
        });
        self
    }

    /// The message's length in bytes; `None` when something did not fit.
    #[must_use]
    pub fn finish(mut self) -> Option<usize> {
        let end = self.writer.len();
        self.write(|writer| set_length(writer, end));
        (!self.failed).then_some(end)
    }
}

/// Sets the header's length field for a message that ends at `end`.
fn set_length(writer: &mut Writer<'_>, end: usize) -> Option<()> {
    writer.patch_u16(2, u16::try_from(end.checked_sub(HEADER_BYTES)?).ok()?)
}

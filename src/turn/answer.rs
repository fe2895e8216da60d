//! Responses: what every one of them has.

use super::REALM;
use super::attribute;
use crate::limits;
use crate::wire::stun::attribute as stun;
use crate::wire::stun::{StunClass, StunMessage, StunWriter};

/// Why a request is refused (RFC 8489 §14.8, RFC 8656 §19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    BadRequest,
    Unauthenticated,
    Forbidden,
    UnknownAttribute,
    AllocationMismatch,
    StaleNonce,
    FamilyNotSupported,
    WrongCredentials,
    UnsupportedTransport,
    PeerFamilyMismatch,
    QuotaReached,
    InsufficientCapacity,
}

impl Refusal {
    const fn told(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthenticated => (401, "Unauthenticated"),
            Self::Forbidden => (403, "Forbidden: this server relays to its own media ports only"),
            Self::UnknownAttribute => (420, "Unknown Attribute"),
            Self::AllocationMismatch => (437, "Allocation Mismatch"),
            Self::StaleNonce => (438, "Stale Nonce"),
            Self::FamilyNotSupported => (440, "Address Family not Supported"),
            Self::WrongCredentials => (441, "Wrong Credentials"),
            Self::UnsupportedTransport => (442, "Unsupported Transport Protocol"),
            Self::PeerFamilyMismatch => (443, "Peer Address Family Mismatch"),
            Self::QuotaReached => (486, "Allocation Quota Reached"),
            Self::InsufficientCapacity => (508, "Insufficient Capacity"),
        }
    }
}

/// Appends a message to `out`.
pub(super) fn write(
    out: &mut Vec<u8>,
    class: StunClass,
    method: u16,
    transaction_id: &[u8; 12],
    fill: impl FnOnce(StunWriter<'_>) -> StunWriter<'_>,
) {
    let start = out.len();
    out.resize(start.saturating_add(limits::TURN_MESSAGE_BYTES_MAX), 0);
    let slot = out.get_mut(start..).unwrap_or_default();
    let written = fill(StunWriter::new(slot, class, method, transaction_id)).finish();
    out.truncate(start.saturating_add(written.unwrap_or(0)));
}

/// Appends the response that refuses a request. `key` seals it where the request was authentic; `nonce` goes with the refusals
/// that ask for another one.
pub(super) fn refuse(out: &mut Vec<u8>, request: &StunMessage<'_>, why: Refusal, key: Option<&[u8]>, nonce: &str) {
    let (code, reason) = why.told();
    write(out, StunClass::Error, request.method(), request.transaction_id(), |response| {
        let response = response.error_code(code, reason);
        let response = match why {
            Refusal::Unauthenticated | Refusal::StaleNonce => {
                response.attribute(stun::REALM, REALM.as_bytes()).attribute(stun::NONCE, nonce.as_bytes())
            }
            Refusal::UnknownAttribute => response.unknown_attributes(unknown(request)),
            _ => response,
        };
        key.into_iter().fold(response, StunWriter::integrity)
    });
}

/// The comprehension-required types in a request that this server does not know.
pub(super) fn unknown<'a>(request: &StunMessage<'a>) -> impl Iterator<Item = u16> + use<'a> {
    request.unknown_comprehension_required().filter(|kind| !attribute::is_known(*kind))
}

/// Appends the answer to a Binding request (RFC 8489 §12): where the client comes from.
pub(super) fn bind(out: &mut Vec<u8>, request: &StunMessage<'_>, mapped: std::net::SocketAddr) {
    write(out, StunClass::Success, request.method(), request.transaction_id(), |response| {
        response.xor_mapped_address(mapped).fingerprint()
    });
}

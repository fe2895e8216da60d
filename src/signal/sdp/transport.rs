//! The transport of a session: the peer's ICE credentials and certificate fingerprints, and which end begins DTLS.
//!
//! The peer's candidates are counted elsewhere, but not read. An ICE-lite node never sends a check (RFC 8445 §2.5); it
//! learns the peer's addresses from the checks that arrive. So `.local` names (mDNS), TCP candidates and anything newer
//! are ignored without being parsed.

use super::offer::{Attributes, MediaSection, Offer};
use super::refused::{Malformed, SdpRefused, Unsupported};
use crate::description::{DtlsRole, Fingerprint, FingerprintHash, IceCredentials};
use crate::limits;

/// What an offer says about its one transport.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) ice: IceCredentials,
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) role: DtlsRole,
}

/// Reads the transport of a BUNDLE group.
///
/// `accepted` and `others` are the group's sections; the one that has the transport comes first. A section without an
/// attribute of its own uses the session's (RFC 8839 §5.4, RFC 8122 §5). `bundle-only` sections may have none, so
/// sections that are not accepted are searched last.
pub(super) fn transport(
    offer: &Offer,
    accepted: &[&MediaSection],
    others: &[&MediaSection],
) -> Result<Transport, SdpRefused> {
    if offer.attributes.has("ice-lite") {
        return Err(Unsupported::IceLite.into());
    }
    let levels: Vec<&Attributes> = accepted
        .iter()
        .map(|section| &section.attributes)
        .chain([&offer.attributes])
        .chain(others.iter().map(|section| &section.attributes))
        .collect();
    let ice = levels
        .iter()
        .find(|level| level.has("ice-ufrag"))
        .map_or(Err(Malformed::IceCredentialsMissing.into()), |level| credentials(level, &offer.attributes))?;
    let fingerprints = levels
        .iter()
        .find(|level| level.has("fingerprint"))
        .map_or(Err(Malformed::FingerprintMissing.into()), |level| fingerprints(level))?;
    // RFC 4145 §4: without the attribute the offerer is active.
    let role = match levels.iter().find_map(|level| level.value("setup")) {
        None | Some("actpass" | "active") => DtlsRole::Server,
        Some("passive") => DtlsRole::Client,
        Some("holdconn") => return Err(Unsupported::Holdconn.into()),
        Some(_) => return Err(Malformed::Setup.into()),
    };
    Ok(Transport { ice, fingerprints, role })
}

/// Reads `a=ice-ufrag` and `a=ice-pwd` of one level. If it has no password, that of `fallback` is used.
pub(super) fn credentials(level: &Attributes, fallback: &Attributes) -> Result<IceCredentials, SdpRefused> {
    let password = level.value("ice-pwd").or_else(|| fallback.value("ice-pwd"));
    let (Some(ufrag), Some(password)) = (level.value("ice-ufrag"), password) else {
        return Err(Malformed::IceCredentialsMissing.into());
    };
    // RFC 8839 §5.4: ice-char is ALPHA / DIGIT / "+" / "/".
    let ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    if !(4..=256).contains(&ufrag.len())
        || !(22..=256).contains(&password.len())
        || !ufrag.bytes().chain(password.bytes()).all(ice_char)
    {
        return Err(Malformed::IceCredentials.into());
    }
    Ok(IceCredentials { ufrag: ufrag.to_owned(), password: password.to_owned() })
}

/// Reads every fingerprint of one level whose hash is accepted, at least one. Any of them may match (RFC 8122 §5.1).
fn fingerprints(level: &Attributes) -> Result<Vec<Fingerprint>, SdpRefused> {
    let mut accepted = Vec::new();
    for (count, line) in level.values("fingerprint").enumerate() {
        if count >= limits::SDP_FINGERPRINTS_MAX {
            return Err(SdpRefused::too_many("fingerprints", limits::SDP_FINGERPRINTS_MAX));
        }
        let (name, value) = line.split_once(' ').ok_or(Malformed::Fingerprint)?;
        let (hash, bytes) = match name.to_ascii_lowercase().as_str() {
            "sha-256" => (FingerprintHash::Sha256, 32),
            "sha-384" => (FingerprintHash::Sha384, 48),
            "sha-512" => (FingerprintHash::Sha512, 64),
            // Other hashes (sha-1, md5, sha-224) add nothing beside a strong one, and alone they do not protect.
            _ => continue,
        };
        let value = hexadecimal_pairs(value.trim()).filter(|value| value.len() == bytes);
        accepted.push(Fingerprint { hash, value: value.ok_or(Malformed::Fingerprint)? });
    }
    if accepted.is_empty() {
        return Err(Unsupported::FingerprintHash.into());
    }
    Ok(accepted)
}

/// Parses `4A:AD:…`. Lower case is accepted too, because some libraries write it.
fn hexadecimal_pairs(text: &str) -> Option<Vec<u8>> {
    text.split(':')
        .map(|pair| match pair.as_bytes() {
            [a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => u8::from_str_radix(pair, 16).ok(),
            _ => None,
        })
        .collect()
}

/// Writes bytes as `4A:AD:…`, in upper case (RFC 8122 §5).
pub(super) fn fingerprint_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(3));
    for byte in bytes {
        if !text.is_empty() {
            text.push(':');
        }
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16).map(|digit| digit.to_ascii_uppercase()));
        }
    }
    text
}

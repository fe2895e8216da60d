//! What DTLS gives to SRTP: the agreed protection profile and the exported keying material.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of the longest keying material: two keys of 32 and two salts of 12 (RFC 7714 §12).
const MATERIAL_BYTES_MAX: usize = 88;

/// An SRTP protection profile, in the node's order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtectionProfile {
    /// `SRTP_AEAD_AES_128_GCM` (RFC 7714 §14.2)
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM` (RFC 7714 §14.2)
    AeadAes256Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80` (RFC 5764 §4.1.2)
    AesCm128HmacSha1_80,
}

impl ProtectionProfile {
    /// All of them, best first: AES-CM with HMAC-SHA1 costs four to five times what AES-GCM does, and 256-bit keys
    /// some more than 128-bit ones.
    pub const ALL: [Self; 3] = [Self::AeadAes128Gcm, Self::AeadAes256Gcm, Self::AesCm128HmacSha1_80];

    /// Its number in the `use_srtp` extension (RFC 5764 §4.1.2, RFC 7714 §14.2).
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::AeadAes128Gcm => 0x0007,
            Self::AeadAes256Gcm => 0x0008,
            Self::AesCm128HmacSha1_80 => 0x0001,
        }
    }

    /// Bytes to export: client key, server key, client salt, server salt (RFC 5764 §4.2).
    #[must_use]
    pub const fn keying_material_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 56,
            Self::AeadAes256Gcm => 88,
            Self::AesCm128HmacSha1_80 => 60,
        }
    }

    /// The first of `preferred` that is among the `offered` numbers.
    pub(super) fn choose(preferred: &[Self], offered: impl Iterator<Item = u16> + Clone) -> Option<Self> {
        preferred.iter().copied().find(|profile| offered.clone().any(|id| id == profile.id()))
    }
}

/// The outcome of a handshake whose peer was verified. Wiped on drop; `Debug` hides the material.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ExportedKeys {
    #[zeroize(skip)]
    profile: ProtectionProfile,
    material: [u8; MATERIAL_BYTES_MAX],
    #[zeroize(skip)]
    is_client: bool,
}

impl ExportedKeys {
    /// `None` when the length of `material` is not the profile's.
    pub(super) fn new(profile: ProtectionProfile, material: &[u8], is_client: bool) -> Option<Self> {
        if material.len() != profile.keying_material_len() {
            return None;
        }
        let mut keys = Self { profile, material: [0; MATERIAL_BYTES_MAX], is_client };
        keys.material.get_mut(..material.len())?.copy_from_slice(material);
        Some(keys)
    }

    /// The agreed profile.
    #[must_use]
    pub fn profile(&self) -> ProtectionProfile {
        self.profile
    }

    /// Client key, server key, client salt, server salt (RFC 5764 §4.2): 56, 88 or 60 bytes.
    #[must_use]
    pub fn material(&self) -> &[u8] {
        self.material.get(..self.profile.keying_material_len()).unwrap_or_default()
    }

    /// Whether this end was the DTLS client, so that the client's keys are the ones it sends with.
    #[must_use]
    pub fn is_client(&self) -> bool {
        self.is_client
    }
}

impl fmt::Debug for ExportedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportedKeys").field("profile", &self.profile).field("is_client", &self.is_client).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_order_decides_not_the_offers() {
        let all = ProtectionProfile::ALL;
        let choose = |offer: &[u16]| ProtectionProfile::choose(&all, offer.iter().copied());
        assert_eq!(choose(&[1, 8, 7]), Some(ProtectionProfile::AeadAes128Gcm));
        assert_eq!(choose(&[1, 8]), Some(ProtectionProfile::AeadAes256Gcm));
        assert_eq!(choose(&[2, 1]), Some(ProtectionProfile::AesCm128HmacSha1_80));
        assert_eq!(choose(&[2, 9]), None);
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn debug_output_shows_no_key() {
        let keys = ExportedKeys::new(ProtectionProfile::AeadAes128Gcm, &[0xab; 56], true).unwrap();
        let text = format!("{keys:?}");
        assert!(!text.contains("171") && !text.to_lowercase().contains("ab,"), "{text}");
    }

    #[test]
    fn material_of_another_length_is_refused() {
        assert!(ExportedKeys::new(ProtectionProfile::AeadAes128Gcm, &[0; 60], true).is_none());
    }
}

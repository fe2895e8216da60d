//! What DTLS exports for SRTP: the agreed protection profile and the keying material.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::srtp::SrtpProfile;

/// Bytes of the longest keying material: two keys of 32 and two salts of 12 (RFC 7714 §12).
const MATERIAL_BYTES_MAX: usize = 88;

/// The first of `preferred` that is among the numbers `offered` in `use_srtp` (RFC 5764 §4.1.1).
pub(super) fn choose(preferred: &[SrtpProfile], offered: impl Iterator<Item = u16> + Clone) -> Option<SrtpProfile> {
    preferred.iter().copied().find(|profile| offered.clone().any(|number| number == profile.dtls_number()))
}

/// The outcome of a handshake whose peer was verified. Wiped on drop; `Debug` hides the material.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ExportedKeys {
    #[zeroize(skip)]
    profile: SrtpProfile,
    material: [u8; MATERIAL_BYTES_MAX],
    #[zeroize(skip)]
    is_client: bool,
}

impl ExportedKeys {
    /// `None` when the length of `material` is not the profile's.
    pub(super) fn new(profile: SrtpProfile, material: &[u8], is_client: bool) -> Option<Self> {
        if material.len() != profile.exported_len() {
            return None;
        }
        let mut keys = Self { profile, material: [0; MATERIAL_BYTES_MAX], is_client };
        keys.material.get_mut(..material.len())?.copy_from_slice(material);
        Some(keys)
    }

    /// The agreed profile.
    #[must_use]
    pub fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Client key, server key, client salt, server salt (RFC 5764 §4.2): 56, 88 or 60 bytes.
    #[must_use]
    pub fn material(&self) -> &[u8] {
        self.material.get(..self.profile.exported_len()).unwrap_or_default()
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
    fn the_nodes_order_of_profiles_decides_not_the_clients() {
        let choose = |offer: &[u16]| choose(&SrtpProfile::PREFERENCE, offer.iter().copied());
        assert_eq!(choose(&[1, 8, 7]), Some(SrtpProfile::AeadAes128Gcm));
        assert_eq!(choose(&[1, 8]), Some(SrtpProfile::AeadAes256Gcm));
        assert_eq!(choose(&[2, 1]), Some(SrtpProfile::AesCm128HmacSha1_80));
        assert_eq!(choose(&[2, 9]), None);
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn debug_output_shows_no_key() {
        let keys = ExportedKeys::new(SrtpProfile::AeadAes128Gcm, &[0xab; 56], true).unwrap();
        let text = format!("{keys:?}");
        assert!(!text.contains("171") && !text.to_lowercase().contains("ab,"), "{text}");
    }

    #[test]
    fn material_of_another_length_is_refused() {
        assert!(ExportedKeys::new(SrtpProfile::AeadAes128Gcm, &[0; 60], true).is_none());
    }
}

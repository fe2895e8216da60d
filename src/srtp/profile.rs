//! Protection profiles and the keys DTLS exports for them (RFC 5764 §4).

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// Bytes of the longest master key.
pub(super) const KEY_LEN_MAX: usize = 32;

/// Bytes of the longest master salt.
pub(super) const SALT_LEN_MAX: usize = 14;

/// An SRTP protection profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SrtpProfile {
    /// RFC 7714
    AeadAes128Gcm,
    /// RFC 7714
    AeadAes256Gcm,
    /// RFC 5764 §4.1.2
    AesCm128HmacSha1_80,
}

impl SrtpProfile {
    /// All profiles in order of preference, the cheapest first (`AES_CM` costs four times as much).
    pub const PREFERENCE: [Self; 3] = [Self::AeadAes128Gcm, Self::AeadAes256Gcm, Self::AesCm128HmacSha1_80];

    /// The name in the DTLS-SRTP registry, less its `SRTP_`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AesCm128HmacSha1_80 => "AES128_CM_HMAC_SHA1_80",
        }
    }

    /// The number in DTLS's `use_srtp` extension (RFC 5764 §4.1.2, RFC 7714 §14.2).
    #[must_use]
    pub const fn dtls_number(self) -> u16 {
        match self {
            Self::AeadAes128Gcm => 0x0007,
            Self::AeadAes256Gcm => 0x0008,
            Self::AesCm128HmacSha1_80 => 0x0001,
        }
    }

    /// The profile of a `use_srtp` number, where it is one of these.
    #[must_use]
    pub fn from_dtls_number(number: u16) -> Option<Self> {
        Self::PREFERENCE.into_iter().find(|profile| profile.dtls_number() == number)
    }

    /// Bytes of a master key and of a session cipher key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AesCm128HmacSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master salt and of a session salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::AesCm128HmacSha1_80 => 14,
        }
    }

    /// Bytes of an authentication tag, which is what sealing adds to an RTP packet.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::AesCm128HmacSha1_80 => 10,
        }
    }

    /// Bytes sealing adds to an RTCP packet: the tag and the word of E flag and index.
    #[must_use]
    pub const fn rtcp_overhead(self) -> usize {
        self.tag_len() + 4
    }

    /// Bytes to export from DTLS under the label `EXTRACTOR-dtls_srtp` (RFC 5764 §4.2): 56, 88 or 60.
    #[must_use]
    pub const fn exported_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

/// One direction's master key and salt. Wiped on drop; `Debug` shows neither.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey {
    /// The profile's `key_len` bytes, then zeros.
    key: [u8; KEY_LEN_MAX],
    /// The profile's `salt_len` bytes, then zeros.
    salt: [u8; SALT_LEN_MAX],
}

impl MasterKey {
    /// A key and salt of exactly the profile's lengths; `None` for other lengths.
    #[must_use]
    pub fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Option<Self> {
        let mut master = Self { key: [0; KEY_LEN_MAX], salt: [0; SALT_LEN_MAX] };
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return None;
        }
        master.key.get_mut(..key.len())?.copy_from_slice(key);
        master.salt.get_mut(..salt.len())?.copy_from_slice(salt);
        Some(master)
    }

    /// A placeholder for tests that pass session keys directly.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { key: [0; KEY_LEN_MAX], salt: [0; SALT_LEN_MAX] }
    }

    /// Writes the profile's number, then the key and the salt in the profile's lengths.
    pub(super) fn export(&self, profile: SrtpProfile, out: &mut StateWriter) {
        out.u16(profile.dtls_number());
        out.raw(self.key.get(..profile.key_len()).unwrap_or_default());
        out.raw(self.salt.get(..profile.salt_len()).unwrap_or_default());
    }

    /// Reads what [`Self::export`] wrote.
    pub(super) fn import(from: &mut StateReader<'_>) -> Result<(SrtpProfile, Self), ImportError> {
        let profile = SrtpProfile::from_dtls_number(from.u16()?).ok_or(ImportError::Malformed)?;
        let key = from.raw(profile.key_len())?;
        let master = Self::new(profile, key, from.raw(profile.salt_len())?).ok_or(ImportError::Malformed)?;
        Ok((profile, master))
    }

    pub(super) fn key(&self) -> &[u8; KEY_LEN_MAX] {
        &self.key
    }

    pub(super) fn salt(&self) -> &[u8; SALT_LEN_MAX] {
        &self.salt
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// The keys that one DTLS handshake exports for SRTP. Wiped on drop.
#[derive(Debug)]
pub struct SrtpKeys {
    /// The profile DTLS agreed on.
    pub profile: SrtpProfile,
    /// For what this node sends.
    pub local: MasterKey,
    /// For what the peer sends.
    pub remote: MasterKey,
}

impl SrtpKeys {
    /// Splits exported keying material into client key, server key, client salt and server salt (RFC 5764 §4.2).
    /// `is_client` is this node's DTLS role. `None` when `exported` is not [`SrtpProfile::exported_len`] long. The
    /// caller wipes `exported`.
    #[must_use]
    pub fn from_exported(profile: SrtpProfile, exported: &[u8], is_client: bool) -> Option<Self> {
        let (client_key, rest) = exported.split_at_checked(profile.key_len())?;
        let (server_key, rest) = rest.split_at_checked(profile.key_len())?;
        let (client_salt, server_salt) = rest.split_at_checked(profile.salt_len())?;
        let client = MasterKey::new(profile, client_key, client_salt)?;
        let server = MasterKey::new(profile, server_key, server_salt)?;
        let (local, remote) = if is_client { (client, server) } else { (server, client) };
        Some(Self { profile, local, remote })
    }
}

//! The node's certificate and the engines' configurations, made once and shared by all associations.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::classic::{self, ClassicConfig};
use super::error::IdentityError;
use super::fingerprint;
use super::modern::{self, ModernConfig};
use crate::srtp::SrtpProfile;

/// How long before it was made a certificate is already valid, for peers whose clocks are slow.
const VALID_BEFORE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate is valid. It lives as long as the process. WebRTC peers check only the fingerprint (RFC 8827
/// §6.5), but some TLS libraries check the date as well.
const VALID_FOR: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);

/// A certificate with its key, and the configuration that all associations share. Cloning is cheap.
#[derive(Clone)]
pub struct DtlsIdentity(Arc<Inner>);

struct Inner {
    fingerprint: [u8; 32],
    preference: Vec<SrtpProfile>,
    modern: ModernConfig,
    classic: ClassicConfig,
}

impl DtlsIdentity {
    /// Makes a self-signed ECDSA P-256 certificate, valid around `wall_clock`, whose server chooses the first of
    /// [`SrtpProfile::PREFERENCE`] that a client offers.
    ///
    /// # Errors
    ///
    /// When the system has no random bytes, or a library refuses.
    pub fn generate(wall_clock: SystemTime) -> Result<Self, IdentityError> {
        Self::with_profiles(wall_clock, &SrtpProfile::PREFERENCE)
    }

    /// As [`Self::generate`], with the server's profiles in its order of preference. A profile that is not listed is
    /// never agreed on. (The client role offers all three; its server chooses.)
    ///
    /// # Errors
    ///
    /// As [`Self::generate`], and when `preference` is empty.
    pub fn with_profiles(wall_clock: SystemTime, preference: &[SrtpProfile]) -> Result<Self, IdentityError> {
        Self::make(wall_clock, preference, None)
    }

    /// As [`Self::generate`], but the retransmission pauses and the other random values of a handshake come from
    /// `seed`, so that a simulated run can be repeated. Keys are still random.
    ///
    /// # Errors
    ///
    /// As [`Self::generate`].
    #[cfg(any(test, feature = "peer"))]
    pub fn generate_for_simulation(wall_clock: SystemTime, seed: u64) -> Result<Self, IdentityError> {
        Self::make(wall_clock, &SrtpProfile::PREFERENCE, Some(seed))
    }

    fn make(wall_clock: SystemTime, preference: &[SrtpProfile], seed: Option<u64>) -> Result<Self, IdentityError> {
        if preference.is_empty() {
            return Err(IdentityError::NoProfile);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Certificate)?;
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "corecast");
        params.distinguished_name = name;
        params.not_before = wall_clock.checked_sub(VALID_BEFORE).unwrap_or(wall_clock).into();
        params.not_after = wall_clock.checked_add(VALID_FOR).unwrap_or(wall_clock).into();
        // Firefox stores certificates by issuer and serial number, and refuses a different certificate with the same
        // pair, so each node needs a serial number of its own. Positive and at most 20 octets (RFC 5280 §4.1.2.2).
        let mut serial = [0_u8; 16];
        getrandom::fill(&mut serial).map_err(IdentityError::Random)?;
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x3f) | 0x40;
        }
        params.serial_number = Some(serial.to_vec().into());
        let certificate = params.self_signed(&key).map_err(IdentityError::Certificate)?;
        let der = certificate.der();
        Ok(Self(Arc::new(Inner {
            fingerprint: fingerprint::sha256(der),
            preference: preference.to_vec(),
            modern: modern::config(der, &key, seed)?,
            classic: classic::config(&certificate, &key)?,
        })))
    }

    /// SHA-256 of the certificate, for `a=fingerprint` (RFC 8122 §5).
    #[must_use]
    pub fn fingerprint_sha256(&self) -> [u8; 32] {
        self.0.fingerprint
    }

    pub(super) fn preference(&self) -> &[SrtpProfile] {
        &self.0.preference
    }

    pub(super) fn modern(&self) -> &ModernConfig {
        &self.0.modern
    }

    pub(super) fn classic(&self) -> &ClassicConfig {
        &self.0.classic
    }
}

impl fmt::Debug for DtlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DtlsIdentity(..)")
    }
}

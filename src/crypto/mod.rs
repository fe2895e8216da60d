//! The only place that names a cryptographic library (DTLS's own in `dtls` excepted).
//!
//! - [`aead`]: AES-GCM behind one small trait, three backends, one of them chosen at build time
//! - [`aes_cm`]: AES in counter mode, for AES_CM_128_HMAC_SHA1_80 and for SRTP's key derivation
//! - [`hmac_sha1`]: the authentication tag of that profile, and STUN's MESSAGE-INTEGRITY
//! - [`digest`]: SHA-2, for certificate fingerprints; MD5, for TURN's key
//! - [`random`]: the injected random source
//!
//! Not here: TLS (`rustls` in `signal`) and DTLS. Nothing here knows a packet format, keeps state between calls or
//! allocates per packet. Only programmer errors panic: every length that input can make wrong is an array or a
//! `Result`.

pub mod aead;
pub mod aes_cm;
mod aws_lc;
pub mod digest;
pub mod expand;
pub mod hmac_sha1;
pub mod random;
mod ring;
mod rust_crypto;

pub use aws_lc::AwsLcKey;
pub use ring::RingKey;
pub use rust_crypto::RustCryptoKey;

use subtle::ConstantTimeEq;

/// The backend sessions use: aws-lc unless the features `srtp-ring` or `srtp-aes-gcm` say otherwise.
#[cfg(not(any(feature = "srtp-ring", feature = "srtp-aes-gcm")))]
pub type DefaultAead = AwsLcKey;
/// The backend sessions use: chosen by the feature `srtp-ring`.
#[cfg(feature = "srtp-ring")]
pub type DefaultAead = RingKey;
/// The backend sessions use: chosen by the feature `srtp-aes-gcm` (where `srtp-ring` is set too, that one wins).
#[cfg(all(feature = "srtp-aes-gcm", not(feature = "srtp-ring")))]
pub type DefaultAead = RustCryptoKey;

/// Whether two byte strings are equal, in time that depends on their lengths only.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Test vectors are written as the RFCs print them: hexadecimal, with spaces.
#[cfg(test)]
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap() as u8).collect();
    assert!(digits.len().is_multiple_of(2));
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

//! Signatures of a DTLS 1.2 peer, checked against its certificate (RFC 5246 §7.4.3, §7.4.8).
//!
//! The node checks them itself, beside the library, for two reasons. A flight is given to a library whole and once, so
//! what was forged in it must be found before. And the library's provider knows fewer kinds of keys; [`provider`] gives
//! it this file's.

use std::sync::Arc;

use aws_lc_rs::signature::{self as aws, UnparsedPublicKey, VerificationAlgorithm};
use rtc_dtls::crypto_provider as rtc;
use x509_parser::oid_registry as oid;

/// Why a signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unverified {
    /// The certificate cannot be read, or its key is of a kind that no library here verifies (P-224, Ed448, DSA).
    Certificate,
    /// This hash with this key, or a signature that is no signature of it.
    Signature,
}

/// The kinds of keys that are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    P256,
    P384,
    P521,
    Rsa,
}

/// `HashAlgorithm` of TLS 1.2 (RFC 5246 §7.4.1.4.1).
const SHA256: u8 = 4;
const SHA384: u8 = 5;
const SHA512: u8 = 6;

/// `SignatureAlgorithm` of TLS 1.2.
const RSA: u8 = 1;
const ECDSA: u8 = 3;

fn algorithm(key: Key, hash: u8) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (key, hash) {
        (Key::P256, SHA256) => &aws::ECDSA_P256_SHA256_ASN1,
        (Key::P256, SHA384) => &aws::ECDSA_P256_SHA384_ASN1,
        (Key::P256, SHA512) => &aws::ECDSA_P256_SHA512_ASN1,
        (Key::P384, SHA256) => &aws::ECDSA_P384_SHA256_ASN1,
        (Key::P384, SHA384) => &aws::ECDSA_P384_SHA384_ASN1,
        (Key::P384, SHA512) => &aws::ECDSA_P384_SHA512_ASN1,
        (Key::P521, SHA256) => &aws::ECDSA_P521_SHA256_ASN1,
        (Key::P521, SHA384) => &aws::ECDSA_P521_SHA384_ASN1,
        (Key::P521, SHA512) => &aws::ECDSA_P521_SHA512_ASN1,
        (Key::Rsa, SHA256) => &aws::RSA_PKCS1_2048_8192_SHA256,
        (Key::Rsa, SHA384) => &aws::RSA_PKCS1_2048_8192_SHA384,
        (Key::Rsa, SHA512) => &aws::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    })
}

/// Checks that the key of `certificate` (DER) signed `data`: `signed` is what the message carries behind the data, hash
/// and signature algorithm and the signature with its length.
pub(super) fn verify(certificate: &[u8], data: &[u8], signed: &[u8]) -> Result<(), Unverified> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| Unverified::Certificate)?;
    let info = &parsed.tbs_certificate.subject_pki;
    let kind = &info.algorithm.algorithm;
    let key = if *kind == oid::OID_PKCS1_RSAENCRYPTION {
        Key::Rsa
    } else if *kind == oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let curve = curve.ok_or(Unverified::Certificate)?;
        let known =
            [(oid::OID_EC_P256, Key::P256), (oid::OID_NIST_EC_P384, Key::P384), (oid::OID_NIST_EC_P521, Key::P521)];
        let known = known.into_iter().find(|(name, _)| *name == curve);
        known.ok_or(Unverified::Certificate)?.1
    } else {
        return Err(Unverified::Certificate);
    };
    let &[hash, kind, a, b, ref signature @ ..] = signed else { return Err(Unverified::Signature) };
    let fits = usize::from(u16::from_be_bytes([a, b])) == signature.len();
    if !fits || kind != if key == Key::Rsa { RSA } else { ECDSA } {
        return Err(Unverified::Signature);
    }
    let algorithm = algorithm(key, hash).ok_or(Unverified::Signature)?;
    let public = UnparsedPublicKey::new(algorithm, &info.subject_public_key.data);
    public.verify(data, signature).map_err(|_| Unverified::Signature)
}

/// `provider` with the keys of this file.
pub(super) fn provider(provider: Arc<dyn rtc::RTCCryptoProvider>) -> Arc<dyn rtc::RTCCryptoProvider> {
    Arc::new(MoreKeys(provider))
}

struct MoreKeys(Arc<dyn rtc::RTCCryptoProvider>);

impl rtc::RTCCryptoProvider for MoreKeys {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn crypto(&self) -> &dyn rtc::RTCCrypto {
        self
    }

    fn random(&self) -> &dyn rtc::RTCRandom {
        self.0.random()
    }
}

/// All but [`verify_signature`](rtc::RTCCrypto::verify_signature) is the provider's own.
impl rtc::RTCCrypto for MoreKeys {
    fn supports(&self, algorithm: rtc::CryptoAlgorithm) -> bool {
        self.0.crypto().supports(algorithm)
    }

    fn hash(&self, algorithm: rtc::HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, rtc::CryptoError> {
        self.0.crypto().hash(algorithm, data)
    }

    fn block_encrypt(
        &self,
        algorithm: rtc::BlockCipherAlgorithm,
        key: &[u8],
        block: &mut [u8],
    ) -> Result<(), rtc::CryptoError> {
        self.0.crypto().block_encrypt(algorithm, key, block)
    }

    fn new_hmac(&self, algorithm: rtc::HmacAlgorithm, key: &[u8]) -> Result<Box<dyn rtc::Mac>, rtc::CryptoError> {
        self.0.crypto().new_hmac(algorithm, key)
    }

    fn new_stream_cipher(
        &self,
        algorithm: rtc::StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn rtc::StreamCipher>, rtc::CryptoError> {
        self.0.crypto().new_stream_cipher(algorithm, key)
    }

    fn new_aead(
        &self,
        algorithm: rtc::AeadAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn rtc::AeadCipher>, rtc::CryptoError> {
        self.0.crypto().new_aead(algorithm, key)
    }

    fn new_cbc(&self, algorithm: rtc::CbcAlgorithm, key: &[u8]) -> Result<Box<dyn rtc::CbcCipher>, rtc::CryptoError> {
        self.0.crypto().new_cbc(algorithm, key)
    }

    fn start_key_exchange(
        &self,
        algorithm: rtc::KeyExchangeAlgorithm,
    ) -> Result<Box<dyn rtc::ActiveKeyExchange>, rtc::CryptoError> {
        self.0.crypto().start_key_exchange(algorithm)
    }

    fn generate_signing_key(&self, scheme: rtc::SignatureScheme) -> Result<Arc<dyn rtc::SigningKey>, rtc::CryptoError> {
        self.0.crypto().generate_signing_key(scheme)
    }

    fn import_signing_key(
        &self,
        scheme: rtc::SignatureScheme,
        pkcs8_der: &[u8],
    ) -> Result<Arc<dyn rtc::SigningKey>, rtc::CryptoError> {
        self.0.crypto().import_signing_key(scheme, pkcs8_der)
    }

    fn verify_signature(
        &self,
        scheme: rtc::SignatureScheme,
        public_key: rtc::PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), rtc::CryptoError> {
        use rtc::SignatureScheme as Scheme;
        // The library names a curve together with a hash. Which curve it is, the length of the point tells.
        let key = match (public_key.encoding, public_key.bytes.len()) {
            (rtc::PublicKeyEncoding::EcUncompressedPoint, 65) => Some(Key::P256),
            (rtc::PublicKeyEncoding::EcUncompressedPoint, 97) => Some(Key::P384),
            (rtc::PublicKeyEncoding::EcUncompressedPoint, 133) => Some(Key::P521),
            _ => None,
        };
        let hash = match scheme {
            Scheme::EcdsaP256Sha256 | Scheme::EcdsaP384Sha256 => SHA256,
            Scheme::EcdsaP384Sha384 => SHA384,
            _ => return self.0.crypto().verify_signature(scheme, public_key, message, signature),
        };
        let algorithm = key.and_then(|key| algorithm(key, hash)).ok_or(rtc::CryptoError::InvalidSignature)?;
        let public = UnparsedPublicKey::new(algorithm, public_key.bytes);
        public.verify(message, signature).map_err(|_| rtc::CryptoError::InvalidSignature)
    }
}

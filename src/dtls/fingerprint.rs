//! The check that ties DTLS to signalling: the hash of the peer's certificate must be among those promised in its SDP.

use aws_lc_rs::digest;

use super::error::DtlsError;
use crate::description::{Fingerprint, FingerprintHash};

/// SHA-256 of a certificate's DER encoding.
pub(super) fn sha256(der: &[u8]) -> [u8; 32] {
    let mut value = [0; 32];
    value.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    value
}

/// Whether the leaf certificate `der` has one of `expected` (RFC 8122 §5: any one of them suffices). Fingerprints
/// are public, so the comparison need not take equal time.
pub(super) fn check(der: &[u8], expected: &[Fingerprint]) -> Result<(), DtlsError> {
    if der.is_empty() {
        return Err(DtlsError::NoCertificate);
    }
    let matches = expected.iter().any(|fingerprint| {
        let algorithm = match fingerprint.hash {
            FingerprintHash::Sha256 => &digest::SHA256,
            FingerprintHash::Sha384 => &digest::SHA384,
            FingerprintHash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, der).as_ref() == fingerprint.value.as_slice()
    });
    if matches { Ok(()) } else { Err(DtlsError::FingerprintMismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(hash: FingerprintHash, algorithm: &'static digest::Algorithm, der: &[u8]) -> Fingerprint {
        Fingerprint { hash, value: digest::digest(algorithm, der).as_ref().to_vec() }
    }

    #[test]
    fn each_hash_is_compared_with_its_own_algorithm() {
        let der = b"a certificate";
        for (hash, algorithm) in [
            (FingerprintHash::Sha256, &digest::SHA256),
            (FingerprintHash::Sha384, &digest::SHA384),
            (FingerprintHash::Sha512, &digest::SHA512),
        ] {
            let right = fingerprint(hash, algorithm, der);
            let wrong = fingerprint(hash, algorithm, b"another");
            assert_eq!(check(der, std::slice::from_ref(&right)), Ok(()));
            assert_eq!(check(der, std::slice::from_ref(&wrong)), Err(DtlsError::FingerprintMismatch));
            assert_eq!(check(der, &[wrong, right]), Ok(()));
        }
    }

    #[test]
    fn a_truncated_or_empty_fingerprint_matches_nothing() {
        let der = b"a certificate";
        let mut short = fingerprint(FingerprintHash::Sha256, &digest::SHA256, der);
        short.value.pop();
        assert_eq!(check(der, &[short]), Err(DtlsError::FingerprintMismatch));
        assert_eq!(check(der, &[]), Err(DtlsError::FingerprintMismatch));
        let empty = Fingerprint { hash: FingerprintHash::Sha256, value: Vec::new() };
        assert_eq!(check(der, std::slice::from_ref(&empty)), Err(DtlsError::FingerprintMismatch));
        assert_eq!(check(b"", &[empty]), Err(DtlsError::NoCertificate));
    }
}

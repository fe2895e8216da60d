//! Keys made of a secret that two have in common: HKDF-Expand with SHA-256 (RFC 5869 §2.3).

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};

/// So many bytes.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// Fills `out`, at most 255 × 32 bytes, from `secret`, which is as good as random. Another `info` gives other bytes. `None` where `out`
/// is too long.
#[must_use]
pub fn expand(secret: &[u8; 32], info: &[&[u8]], out: &mut [u8]) -> Option<()> {
    let secret = Prk::new_less_safe(HKDF_SHA256, secret);
    secret.expand(info, Bytes(out.len())).ok()?.fill(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;

    #[test]
    fn it_is_the_second_step_of_rfc_5869_test_case_1() {
        let secret = hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
        let secret: [u8; 32] = secret.as_slice().try_into().unwrap();
        let mut out = [0; 42];
        expand(&secret, &[&hex("f0f1f2f3f4f5"), &hex("f6f7f8f9")], &mut out).unwrap();
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(out.to_vec(), hex(expected));
        assert_eq!(expand(&secret, &[], &mut [0; 255 * 32 + 1]), None);
    }
}

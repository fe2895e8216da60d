//! HMAC-SHA1 (RFC 2104): the tag of SRTP's AES_CM profile (RFC 3711 §4.2.1) and STUN's MESSAGE-INTEGRITY (RFC 8489
//! §14.5).
//!
//! The key's two hash states are computed once. Each tag starts from a copy of them, which saves two of the
//! compressions that a short message takes. Wiped on drop.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Bytes of an untruncated tag.
pub const TAG_LEN: usize = 20;

/// An HMAC-SHA1 key, prepared.
#[derive(Clone)]
pub struct HmacSha1(Hmac<Sha1>);

impl HmacSha1 {
    /// Prepares a key of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of every length"))
    }

    /// The tag of the concatenated `parts`.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Whether `tag` is the tag of the concatenated `parts`, or its first `tag.len()` bytes, in constant time. Tags of
    /// fewer than ten bytes never verify: nothing here uses them (no 32-bit profile).
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        if tag.len() < 10 {
            return false;
        }
        let expected = self.tag(parts);
        expected.get(..tag.len()).is_some_and(|expected| super::constant_time_eq(expected, tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;

    #[test]
    fn tags_are_those_of_rfc_2202_section_3() {
        let cases: [(Vec<u8>, &[u8], &str); 4] = [
            (vec![0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
            (b"Jefe".to_vec(), b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (vec![0xaa; 20], &[0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
            (
                vec![0xaa; 80],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "aa4ae5e15272d00e95705637ce8a3b55ed402112",
            ),
        ];
        for (key, data, tag) in cases {
            let key = HmacSha1::new(&key);
            let (first, second) = data.split_at(data.len() / 3);
            assert_eq!(key.tag(&[data])[..], hex(tag));
            assert_eq!(key.tag(&[first, second])[..], hex(tag));
            assert!(key.verify(&[first, second], &hex(tag)));
            assert!(key.verify(&[data], &hex(tag)[..10]));
        }
    }

    #[test]
    fn a_wrong_a_short_and_a_long_tag_are_refused() {
        let key = HmacSha1::new(b"key");
        let tag = key.tag(&[b"data"]);
        for bit in 0..TAG_LEN * 8 {
            let mut damaged = tag;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verify(&[b"data"], &damaged));
        }
        assert!(!key.verify(&[b"data"], &tag[..9]));
        assert!(!key.verify(&[b"data"], &[]));
        assert!(!key.verify(&[b"data"], &[&tag[..], &[0]].concat()));
        assert!(!key.verify(&[b"dato"], &tag));
    }
}

//! AES-GCM with a 96-bit nonce and a 128-bit tag (NIST SP 800-38D), as SRTP needs it (RFC 7714 §5).
//!
//! [`AeadKey::seal_out_of_place`] is the reason for the trait. One relayed payload is sealed for a thousand viewers, so
//! it is read where it lies and its ciphertext is written straight into the send slot. Only aws-lc can do that and
//! append the padding on the way. The other two backends copy first, which is part of what the benches compare.
//!
//! The backend is a type parameter, so there is no dynamic dispatch on the packet path. `DefaultAead` is chosen by a
//! cargo feature; all three backends are always built.

pub use super::{AwsLcKey, DefaultAead, RingKey, RustCryptoKey};

use std::fmt;

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// Bytes of an authentication tag.
pub const TAG_LEN: usize = 16;

/// The buffers' lengths do not fit, or the tag does not verify. The caller can tell which of them is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AeadError;

impl fmt::Display for AeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AES-GCM refused: wrong buffer length or wrong tag")
    }
}

impl std::error::Error for AeadError {}

/// An expanded AES-GCM key. Wiped on drop where the library can (see each backend).
pub trait AeadKey: Send {
    /// The library's name in benches and in `--version`.
    const NAME: &'static str;

    /// Expands a 128-bit key.
    fn aes_128_gcm(key: &[u8; 16]) -> Self;

    /// Expands a 256-bit key.
    fn aes_256_gcm(key: &[u8; 32]) -> Self;

    /// Seals `plaintext` followed by `extra` (at most 16 bytes) into `out`, whose length must be exactly that of both
    /// and the tag. Allocates nothing. `nonce` must never be used again with this key (RFC 7714 §8.1).
    ///
    /// # Errors
    /// `out` has another length; nothing usable was written.
    fn seal_out_of_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
        extra: &[u8],
        out: &mut [u8],
    ) -> Result<(), AeadError>;

    /// Seals all but the last [`TAG_LEN`] bytes of `buffer` in place and puts the tag into those. `nonce` as above.
    ///
    /// # Errors
    /// `buffer` is shorter than a tag.
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> Result<(), AeadError>;

    /// Checks the tag in the last [`TAG_LEN`] bytes of `buffer` and decrypts the bytes before it in place.
    ///
    /// # Errors
    /// The tag is wrong or missing; `buffer` then holds nothing of use.
    fn open_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> Result<(), AeadError>;
}

/// Copies `plaintext` and `extra` to the start of `out` and leaves exactly the room of a tag behind them, for the
/// backends that can only seal in place.
pub(super) fn copy_before_tag(plaintext: &[u8], extra: &[u8], out: &mut [u8]) -> Result<(), AeadError> {
    let (body, _tag) = out.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
    let (first, second) = body.split_at_mut_checked(plaintext.len()).ok_or(AeadError)?;
    if second.len() != extra.len() {
        return Err(AeadError);
    }
    first.copy_from_slice(plaintext);
    second.copy_from_slice(extra);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::{Random, SeededRandom};

    fn bytes(random: &mut SeededRandom, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        random.fill(&mut bytes);
        bytes
    }

    fn seal<A: AeadKey>(key: &A, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8], extra: &[u8]) -> Vec<u8> {
        let mut out = vec![0xaa; plaintext.len() + extra.len() + TAG_LEN];
        key.seal_out_of_place(nonce, aad, plaintext, extra, &mut out).unwrap();
        let mut in_place = [plaintext, extra, &[0; TAG_LEN]].concat();
        key.seal_in_place(nonce, aad, &mut in_place).unwrap();
        assert_eq!(out, in_place, "{}: in place and out of place differ", A::NAME);
        out
    }

    fn open<A: AeadKey>(key: &A, nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, AeadError> {
        let mut buffer = sealed.to_vec();
        key.open_in_place(nonce, aad, &mut buffer)?;
        buffer.truncate(buffer.len() - TAG_LEN);
        Ok(buffer)
    }

    #[test]
    fn the_three_backends_write_the_same_bytes_and_open_each_others() {
        let mut random = SeededRandom::new(7);
        for round in 0..200 {
            let (mut key, mut nonce) = ([0; 32], [0; 12]);
            random.fill(&mut key);
            random.fill(&mut nonce);
            // Lengths on both sides of every block and stride.
            let aad = bytes(&mut random, 12 + round % 5 * 4);
            let plaintext = bytes(&mut random, round * 37 % 1_300);
            let extra = bytes(&mut random, round % 17);
            let whole = [&plaintext[..], &extra[..]].concat();
            let key_128 = key.first_chunk().unwrap();
            macro_rules! agree {
                ($new:ident, $key:expr) => {
                    let (a, r, c) = (AwsLcKey::$new($key), RingKey::$new($key), RustCryptoKey::$new($key));
                    let sealed = seal(&a, &nonce, &aad, &plaintext, &extra);
                    assert_eq!(sealed, seal(&r, &nonce, &aad, &plaintext, &extra));
                    assert_eq!(sealed, seal(&c, &nonce, &aad, &plaintext, &extra));
                    assert_eq!(open(&a, &nonce, &aad, &sealed).as_ref(), Ok(&whole));
                    assert_eq!(open(&r, &nonce, &aad, &sealed).as_ref(), Ok(&whole));
                    assert_eq!(open(&c, &nonce, &aad, &sealed).as_ref(), Ok(&whole));
                };
            }
            agree!(aes_128_gcm, key_128);
            agree!(aes_256_gcm, &key);
        }
    }

    fn refuses<A: AeadKey>() {
        let key = A::aes_128_gcm(&[1; 16]);
        let sealed = seal(&key, &[2; 12], b"header", b"payload", b"");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, &[2; 12], b"header", &damaged), Err(AeadError), "{}: bit {bit}", A::NAME);
        }
        assert_eq!(open(&key, &[2; 12], b"Header", &sealed), Err(AeadError));
        assert_eq!(open(&key, &[3; 12], b"header", &sealed), Err(AeadError));
        for len in 0..sealed.len() {
            assert_eq!(key.open_in_place(&[2; 12], b"header", &mut sealed[..len].to_vec()), Err(AeadError));
        }
        // One byte short and one too long; in place without room for the tag.
        assert_eq!(key.seal_out_of_place(&[2; 12], b"", b"payload", b"", &mut [0; 22]), Err(AeadError));
        assert_eq!(key.seal_out_of_place(&[2; 12], b"", b"payload", b"", &mut [0; 24]), Err(AeadError));
        assert_eq!(key.seal_in_place(&[2; 12], b"", &mut [0; 15]), Err(AeadError));
    }

    #[test]
    fn each_backend_refuses_changed_bits_wrong_lengths_and_wrong_nonces() {
        refuses::<AwsLcKey>();
        refuses::<RingKey>();
        refuses::<RustCryptoKey>();
    }
}

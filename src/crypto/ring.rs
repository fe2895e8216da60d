//! AES-GCM by `ring`: the second backend, and an oracle for the first.
//!
//! An expanded key is 544 bytes inside the context. `ring` seals in place only, so the payload is copied first. It does
//! not wipe keys on drop; that and its lower speed are why it is not the default.

use ::ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::aead::{AeadError, AeadKey, NONCE_LEN, TAG_LEN};

/// An AES-128-GCM or AES-256-GCM key of `ring`.
pub struct RingKey(LessSafeKey);

impl AeadKey for RingKey {
    const NAME: &'static str = "ring";

    fn aes_128_gcm(key: &[u8; 16]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).expect("16 bytes are an AES-128 key")))
    }

    fn aes_256_gcm(key: &[u8; 32]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key")))
    }

    #[inline]
    fn seal_out_of_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
        extra: &[u8],
        out: &mut [u8],
    ) -> Result<(), AeadError> {
        super::aead::copy_before_tag(plaintext, extra, out)?;
        self.seal_in_place(nonce, aad, out)
    }

    #[inline]
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> Result<(), AeadError> {
        let (body, tag) = buffer.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), body).map_err(|_| AeadError)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    #[inline]
    fn open_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> Result<(), AeadError> {
        self.0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), buffer)
            .map(|_| ())
            .map_err(|_| AeadError)
    }
}

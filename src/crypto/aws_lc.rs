//! AES-GCM by aws-lc: the default backend.
//!
//! An expanded key is 632 bytes on aws-lc's own heap behind a pointer, made once per context. aws-lc overwrites every
//! block it frees, so a dropped key is gone.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::aead::{AeadError, AeadKey, NONCE_LEN, TAG_LEN};

/// An AES-128-GCM or AES-256-GCM key of aws-lc.
pub struct AwsLcKey(LessSafeKey);

impl AeadKey for AwsLcKey {
    const NAME: &'static str = "aws-lc";

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
        // aws-lc checks the rest of the lengths itself, before it writes.
        let (ciphertext, extra_and_tag) = out.split_at_mut_checked(plaintext.len()).ok_or(AeadError)?;
        self.0
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(aad),
                plaintext,
                ciphertext,
                extra,
                extra_and_tag,
            )
            .map_err(|_| AeadError)
    }

    #[inline]
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> Result<(), AeadError> {
        let (body, tag) = buffer.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
        self.0
            .seal_in_place_scatter(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), body, &[], tag)
            .map_err(|_| AeadError)
    }

    #[inline]
    fn open_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> Result<(), AeadError> {
        self.0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), buffer)
            .map(|_| ())
            .map_err(|_| AeadError)
    }
}

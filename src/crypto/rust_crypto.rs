//! AES-GCM by `aes-gcm` (RustCrypto): the third backend, pure Rust, and an oracle for the other two.
//!
//! An expanded AES-128 key is 496 bytes inside the context, wiped on drop. It can seal out of place, but not with
//! bytes appended, so it copies whenever there is padding.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm, KeyInit};

use super::aead::{AeadError, AeadKey, NONCE_LEN, TAG_LEN};

/// An AES-128-GCM or AES-256-GCM key of RustCrypto.
pub struct RustCryptoKey(Cipher);

#[allow(clippy::large_enum_variant)] // 64 bytes of difference are cheaper than a pointer per packet
enum Cipher {
    Aes128(Aes128Gcm),
    Aes256(Aes256Gcm),
}

impl RustCryptoKey {
    fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        body: InOutBuf<'_, '_, u8>,
        tag: &mut [u8; TAG_LEN],
    ) -> Result<(), AeadError> {
        let sealed = match &self.0 {
            Cipher::Aes128(key) => key.encrypt_inout_detached(nonce.into(), aad, body),
            Cipher::Aes256(key) => key.encrypt_inout_detached(nonce.into(), aad, body),
        };
        *tag = sealed.map_err(|_| AeadError)?.into();
        Ok(())
    }
}

impl AeadKey for RustCryptoKey {
    const NAME: &'static str = "aes-gcm";

    fn aes_128_gcm(key: &[u8; 16]) -> Self {
        Self(Cipher::Aes128(Aes128Gcm::new(key.into())))
    }

    fn aes_256_gcm(key: &[u8; 32]) -> Self {
        Self(Cipher::Aes256(Aes256Gcm::new(key.into())))
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
        if extra.is_empty() {
            let (ciphertext, tag) = out.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
            let body = InOutBuf::new(plaintext, ciphertext).map_err(|_| AeadError)?;
            return self.seal(nonce, aad, body, tag);
        }
        super::aead::copy_before_tag(plaintext, extra, out)?;
        self.seal_in_place(nonce, aad, out)
    }

    #[inline]
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> Result<(), AeadError> {
        let (body, tag) = buffer.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
        self.seal(nonce, aad, body.into(), tag)
    }

    #[inline]
    fn open_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut [u8]) -> Result<(), AeadError> {
        let (body, tag) = buffer.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
        let tag = (&*tag).into();
        match &self.0 {
            Cipher::Aes128(key) => key.decrypt_inout_detached(nonce.into(), aad, body.into(), tag),
            Cipher::Aes256(key) => key.decrypt_inout_detached(nonce.into(), aad, body.into(), tag),
        }
        .map_err(|_| AeadError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::ZeroizeOnDrop;

    /// Holds the `zeroize` features in `Cargo.toml`: without them this does not compile.
    #[test]
    fn keys_of_this_library_are_wiped_on_drop() {
        fn wiped<T: ZeroizeOnDrop>() {}
        wiped::<Aes128Gcm>();
        wiped::<Aes256Gcm>();
        wiped::<aes::Aes128Enc>();
        wiped::<aes::Aes256Enc>();
        // `Hmac<Sha1>` is two of these and a buffer, and has no marker of its own.
        wiped::<sha1::block_api::Sha1Core>();
        wiped::<crate::srtp::MasterKey>();
    }
}

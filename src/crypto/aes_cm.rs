//! AES in counter mode (RFC 3711 §4.1.1; with 256-bit keys RFC 6188 §2).
//!
//! Two users: packets of the profile AES_CM_128_HMAC_SHA1_80, and the key derivation of every profile, which for
//! 256-bit master keys is AES_256_CM_PRF. The key schedule is encryption only, 176 and 240 bytes, wiped on drop.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher};
use aes::{Aes128Enc, Aes256Enc};
use ctr::{Ctr128BE, CtrCore};

/// The input and the output differ in length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthMismatch;

/// An expanded key.
pub struct AesCm<C>(C);

/// Counter mode with a 128-bit key.
pub type Aes128Cm = AesCm<Aes128Enc>;

/// Counter mode with a 256-bit key.
pub type Aes256Cm = AesCm<Aes256Enc>;

impl Aes128Cm {
    /// Expands a 128-bit key.
    #[must_use]
    pub fn new(key: &[u8; 16]) -> Self {
        Self(Aes128Enc::new(key.into()))
    }
}

impl Aes256Cm {
    /// Expands a 256-bit key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Enc::new(key.into()))
    }
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> AesCm<C> {
    /// Adds the keystream that starts at counter block `iv` to `in_out`: encrypts and decrypts.
    pub fn apply(&self, iv: &[u8; 16], in_out: &mut [u8]) {
        self.keystream(iv).apply_keystream(in_out);
    }

    /// Encrypts `plaintext` followed by `extra` into `out`, which must be as long as both, without copying `plaintext`.
    ///
    /// # Errors
    /// `out` has another length.
    pub fn apply_out_of_place(
        &self,
        iv: &[u8; 16],
        plaintext: &[u8],
        extra: &[u8],
        out: &mut [u8],
    ) -> Result<(), LengthMismatch> {
        let (first, second) = out.split_at_mut_checked(plaintext.len()).ok_or(LengthMismatch)?;
        let mut keystream = self.keystream(iv);
        keystream.try_apply_keystream_b2b(plaintext, first).map_err(|_| LengthMismatch)?;
        keystream.try_apply_keystream_b2b(extra, second).map_err(|_| LengthMismatch)
    }

    fn keystream(&self, iv: &[u8; 16]) -> Ctr128BE<&C> {
        Ctr128BE::from_core(CtrCore::inner_iv_init(&self.0, iv.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;

    /// Session salt F0F1…FDFC 0000 with SSRC and index zero: the first counter block of both RFCs' vectors.
    const IV: [u8; 16] = [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0, 0];

    #[test]
    fn the_keystream_is_that_of_rfc_3711_b2() {
        let key = Aes128Cm::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C").try_into().unwrap());
        let mut keystream = vec![0; 0xff02 * 16];
        key.apply(&IV, &mut keystream);
        assert_eq!(
            keystream[..48],
            hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0")
        );
        assert_eq!(
            keystream[0xfeff * 16..],
            hex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44")
        );
    }

    #[test]
    fn the_keystream_with_256_bits_is_that_of_rfc_6188_7_1() {
        let key = hex("57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98");
        let mut keystream = [0; 48];
        Aes256Cm::new(&key.try_into().unwrap()).apply(&IV, &mut keystream);
        assert_eq!(
            keystream[..],
            hex("92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac 63c4868b7096d88421b563b8c94c9a31")
        );
    }

    #[test]
    fn out_of_place_equals_in_place_at_every_split() {
        let key = Aes128Cm::new(&[9; 16]);
        let plaintext: Vec<u8> = (0..100).collect();
        let mut expected = plaintext.clone();
        key.apply(&IV, &mut expected);
        for split in 0..=100 {
            let mut out = [0; 100];
            let (payload, extra) = plaintext.split_at(split);
            key.apply_out_of_place(&IV, payload, extra, &mut out).unwrap();
            assert_eq!(out[..], expected);
        }
        assert_eq!(key.apply_out_of_place(&IV, &plaintext, b"1", &mut [0; 100]), Err(LengthMismatch));
        assert_eq!(key.apply_out_of_place(&IV, &plaintext, b"1", &mut [0; 102]), Err(LengthMismatch));
        assert_eq!(key.apply_out_of_place(&IV, &plaintext, b"", &mut [0; 99]), Err(LengthMismatch));
    }
}

//! Seals and opens one packet with a given index: the two transforms, which have no state that changes.

use super::key_derivation::{SessionKeys, first_half};
use super::profile::SrtpProfile;
use super::{RTCP_HEADER_LEN, SrtpError};
use crate::crypto::aead::{AeadKey, NONCE_LEN};
use crate::crypto::aes_cm::Aes128Cm;
use crate::crypto::hmac_sha1::HmacSha1;

/// The E flag: this SRTCP packet is encrypted (RFC 3711 §3.4).
const ENCRYPTED_FLAG: u32 = 1 << 31;

/// Bytes of the truncated HMAC-SHA1 tag (RFC 3711 §5.2).
const HMAC_TAG_LEN: usize = 10;

/// The keyed transform of one direction and packet kind.
pub(super) enum Transform<A> {
    Gcm(Gcm<A>),
    /// Boxed: it is ten times as large as the other, and only the few clients without GCM use it.
    AesCm(Box<AesCmHmac>),
}

impl<A: AeadKey> Transform<A> {
    pub(super) fn new(profile: SrtpProfile, keys: &SessionKeys) -> Self {
        let gcm_salt = || {
            let [salt @ .., _, _] = keys.salt;
            salt
        };
        match profile {
            SrtpProfile::AeadAes128Gcm => {
                Self::Gcm(Gcm { key: A::aes_128_gcm(first_half(&keys.cipher_key)), salt: gcm_salt() })
            }
            SrtpProfile::AeadAes256Gcm => Self::Gcm(Gcm { key: A::aes_256_gcm(&keys.cipher_key), salt: gcm_salt() }),
            SrtpProfile::AesCm128HmacSha1_80 => Self::AesCm(Box::new(AesCmHmac {
                cipher: Aes128Cm::new(first_half(&keys.cipher_key)),
                auth: HmacSha1::new(&keys.auth_key),
                salt: keys.salt,
            })),
        }
    }

    /// Seals `payload` and `padding` into `packet`, behind the `header_len` header bytes already there. Ciphertext and
    /// tag must end exactly where `packet` does; `None` when they do not.
    #[inline]
    pub(super) fn seal_rtp(
        &self,
        ssrc: u32,
        index: u64,
        packet: &mut [u8],
        header_len: usize,
        payload: &[u8],
        padding: &[u8],
    ) -> Option<()> {
        let (header, body) = packet.split_at_mut_checked(header_len)?;
        match self {
            Self::Gcm(gcm) => gcm.key.seal_out_of_place(&gcm.nonce(ssrc, index), header, payload, padding, body).ok(),
            Self::AesCm(cm) => {
                let (ciphertext, tag) = body.split_last_chunk_mut::<HMAC_TAG_LEN>()?;
                cm.cipher.apply_out_of_place(&cm.iv(ssrc, index), payload, padding, ciphertext).ok()?;
                *tag = cm.tag(&[header, ciphertext, &rollover(index)]);
                Some(())
            }
        }
    }

    /// Opens `packet` in place and returns the length of the plaintext, which lies behind the `header_len` header
    /// bytes.
    #[inline]
    pub(super) fn open_rtp(
        &self,
        ssrc: u32,
        index: u64,
        packet: &mut [u8],
        header_len: usize,
    ) -> Result<usize, SrtpError> {
        let (header, body) = packet.split_at_mut_checked(header_len).ok_or(SrtpError::Malformed)?;
        match self {
            Self::Gcm(gcm) => gcm.open(ssrc, index, header, body),
            Self::AesCm(cm) => {
                let (ciphertext, tag) = body.split_last_chunk_mut::<HMAC_TAG_LEN>().ok_or(SrtpError::Malformed)?;
                if !cm.auth.verify(&[header, ciphertext, &rollover(index)], tag) {
                    return Err(SrtpError::Authentication);
                }
                cm.cipher.apply(&cm.iv(ssrc, index), ciphertext);
                Ok(ciphertext.len())
            }
        }
    }

    /// Seals the first `len` bytes of `slot` in place under SRTCP `index` (31 bits). Returns the sealed length; `None`
    /// when `slot` is too short.
    pub(super) fn seal_rtcp(&self, ssrc: u32, index: u32, slot: &mut [u8], len: usize) -> Option<usize> {
        let word = (index | ENCRYPTED_FLAG).to_be_bytes();
        match self {
            // RFC 7714 §9.1: header, ciphertext, tag, E flag and index. The last word is authenticated with the header.
            Self::Gcm(gcm) => {
                let tag_end = len.checked_add(SrtpProfile::AeadAes128Gcm.tag_len())?;
                let (packet, rest) = slot.split_at_mut_checked(tag_end)?;
                let (header, body) = packet.split_first_chunk_mut::<RTCP_HEADER_LEN>()?;
                gcm.key.seal_in_place(&gcm.nonce(ssrc, index.into()), &rtcp_aad(header, word), body).ok()?;
                *rest.first_chunk_mut()? = word;
                Some(tag_end + word.len())
            }
            // RFC 3711 §3.4: header, ciphertext, E flag and index, tag over all of them.
            Self::AesCm(cm) => {
                let (packet, rest) = slot.split_at_mut_checked(len)?;
                let (_, body) = packet.split_first_chunk_mut::<RTCP_HEADER_LEN>()?;
                let (trailer, rest) = rest.split_first_chunk_mut::<4>()?;
                let tag = rest.first_chunk_mut::<HMAC_TAG_LEN>()?;
                cm.cipher.apply(&cm.iv(ssrc, index.into()), body);
                *trailer = word;
                *tag = cm.tag(&[packet, trailer]);
                Some(len + trailer.len() + tag.len())
            }
        }
    }

    /// The index that a sealed RTCP packet states. It is not authenticated yet.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Result<u32, SrtpError> {
        let word = match self {
            Self::Gcm(_) => packet.last_chunk::<4>(),
            Self::AesCm(_) => packet.split_last_chunk::<HMAC_TAG_LEN>().and_then(|(rest, _)| rest.last_chunk::<4>()),
        };
        let word = u32::from_be_bytes(*word.ok_or(SrtpError::Malformed)?);
        if word & ENCRYPTED_FLAG == 0 {
            return Err(SrtpError::Unencrypted);
        }
        Ok(word & !ENCRYPTED_FLAG)
    }

    /// Opens an RTCP packet in place under the index it states. Returns the plaintext's length.
    pub(super) fn open_rtcp(&self, ssrc: u32, index: u32, packet: &mut [u8]) -> Result<usize, SrtpError> {
        match self {
            Self::Gcm(gcm) => {
                let (packet, word) = packet.split_last_chunk_mut::<4>().ok_or(SrtpError::Malformed)?;
                let (header, body) = packet.split_first_chunk_mut::<RTCP_HEADER_LEN>().ok_or(SrtpError::Malformed)?;
                Ok(header.len() + gcm.open(ssrc, index.into(), &rtcp_aad(header, *word), body)?)
            }
            Self::AesCm(cm) => {
                let (sealed, tag) = packet.split_last_chunk_mut::<HMAC_TAG_LEN>().ok_or(SrtpError::Malformed)?;
                if !cm.auth.verify(&[sealed], tag) {
                    return Err(SrtpError::Authentication);
                }
                let (plain, _) = sealed.split_last_chunk_mut::<4>().ok_or(SrtpError::Malformed)?;
                let (header, body) = plain.split_first_chunk_mut::<RTCP_HEADER_LEN>().ok_or(SrtpError::Malformed)?;
                cm.cipher.apply(&cm.iv(ssrc, index.into()), body);
                Ok(header.len() + body.len())
            }
        }
    }
}

/// AES-GCM (RFC 7714).
pub(super) struct Gcm<A> {
    key: A,
    salt: [u8; NONCE_LEN],
}

impl<A: AeadKey> Gcm<A> {
    /// RFC 7714 §8.1 (RTP: 16 zero bits, SSRC, rollover counter, sequence number) and §9.1 (RTCP: 16 zero bits, SSRC, 17
    /// zero bits, index), each added to the salt: one formula, with a 48-bit index.
    #[inline]
    fn nonce(&self, ssrc: u32, index: u64) -> [u8; NONCE_LEN] {
        let [s0, s1, salt @ .., x, y] = self.salt;
        let [_, _, i0, i1, i2, i3, x1, y1] = index.to_be_bytes();
        let [c0, c1, c2, c3] = ssrc.to_be_bytes();
        let [b0, b1, b2, b3, b4, b5, b6, b7] =
            (u64::from_be_bytes(salt) ^ u64::from_be_bytes([c0, c1, c2, c3, i0, i1, i2, i3])).to_be_bytes();
        [s0, s1, b0, b1, b2, b3, b4, b5, b6, b7, x ^ x1, y ^ y1]
    }

    #[inline]
    fn open(&self, ssrc: u32, index: u64, aad: &[u8], body: &mut [u8]) -> Result<usize, SrtpError> {
        let len = body.len().checked_sub(SrtpProfile::AeadAes128Gcm.tag_len()).ok_or(SrtpError::Malformed)?;
        self.key.open_in_place(&self.nonce(ssrc, index), aad, body).map_err(|_| SrtpError::Authentication)?;
        Ok(len)
    }
}

/// AES in counter mode with a truncated HMAC-SHA1 (RFC 3711 §4.1.1 and §4.2.1).
pub(super) struct AesCmHmac {
    cipher: Aes128Cm,
    auth: HmacSha1,
    salt: [u8; 14],
}

impl AesCmHmac {
    /// RFC 3711 §4.1.1: `(salt × 2^16) xor (SSRC × 2^64) xor (index × 2^16)`. The sums are of bit fields that fit.
    fn iv(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13] = self.salt;
        let salt = u128::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, 0, 0]);
        (salt ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16).to_be_bytes()
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; HMAC_TAG_LEN] {
        let [tag @ .., _, _, _, _, _, _, _, _, _, _] = self.auth.tag(parts);
        tag
    }
}

/// The rollover counter, which the tag covers although it is not sent (RFC 3711 §4.2).
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// RFC 7714 §9.2: the header's first eight bytes and the word of E flag and index.
fn rtcp_aad(header: &[u8; RTCP_HEADER_LEN], word: [u8; 4]) -> [u8; RTCP_HEADER_LEN + 4] {
    let [h0, h1, h2, h3, h4, h5, h6, h7] = *header;
    let [w0, w1, w2, w3] = word;
    [h0, h1, h2, h3, h4, h5, h6, h7, w0, w1, w2, w3]
}

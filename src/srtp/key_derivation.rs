//! Session keys from a master key (RFC 3711 §4.3, with the key derivation rate of zero that WebRTC uses).
//!
//! The pseudo-random function is AES in counter mode under the master key: AES_CM_PRF (RFC 3711 §4.3.3) for 128-bit
//! keys and AES_256_CM_PRF (RFC 6188 §3) for 256-bit ones. The 96-bit salts of the GCM profiles are extended with zero
//! bytes at the end (RFC 7714 §11).

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::profile::{KEY_LEN_MAX, MasterKey, SALT_LEN_MAX, SrtpProfile};
use crate::crypto::aes_cm::{Aes128Cm, Aes256Cm};

/// Bytes of an HMAC-SHA1 key (RFC 3711 §8.2: `n_a` = 160 bits).
const AUTH_KEY_LEN: usize = 20;

/// Which packets the keys are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PacketKind {
    Rtp,
    Rtcp,
}

impl PacketKind {
    /// The labels of cipher key, authentication key and salt (RFC 3711 §4.3.1 and §4.3.2).
    const fn labels(self) -> [u8; 3] {
        match self {
            Self::Rtp => [0, 1, 2],
            Self::Rtcp => [3, 4, 5],
        }
    }
}

/// The session keys of one direction and packet kind. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct SessionKeys {
    /// The profile's `key_len` bytes, then zeros.
    pub(super) cipher_key: [u8; KEY_LEN_MAX],
    /// Zeros where the profile has no separate authentication.
    pub(super) auth_key: [u8; AUTH_KEY_LEN],
    /// The profile's `salt_len` bytes, then zeros.
    pub(super) salt: [u8; SALT_LEN_MAX],
}

impl SessionKeys {
    /// Derives the keys for one kind of packet.
    pub(super) fn derive(profile: SrtpProfile, master: &MasterKey, kind: PacketKind) -> Self {
        let prf = Prf::new(profile, master.key());
        let [cipher_label, auth_label, salt_label] = kind.labels();
        let mut keys = Self { cipher_key: [0; KEY_LEN_MAX], auth_key: [0; AUTH_KEY_LEN], salt: [0; SALT_LEN_MAX] };
        let (cipher_key, _) = keys.cipher_key.split_at_mut(profile.key_len());
        prf.derive(master.salt(), cipher_label, cipher_key);
        if profile == SrtpProfile::AesCm128HmacSha1_80 {
            prf.derive(master.salt(), auth_label, &mut keys.auth_key);
        }
        let (salt, _) = keys.salt.split_at_mut(profile.salt_len());
        prf.derive(master.salt(), salt_label, salt);
        keys
    }
}

/// The pseudo-random function, keyed with the master key.
enum Prf {
    Aes128(Aes128Cm),
    Aes256(Aes256Cm),
}

impl Prf {
    fn new(profile: SrtpProfile, master_key: &[u8; KEY_LEN_MAX]) -> Self {
        match profile {
            SrtpProfile::AeadAes256Gcm => Self::Aes256(Aes256Cm::new(master_key)),
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AesCm128HmacSha1_80 => {
                Self::Aes128(Aes128Cm::new(first_half(master_key)))
            }
        }
    }

    /// Fills `out`, which must hold zeros. With a key derivation rate of zero, `key_id` is the label followed by 48
    /// zero bits. It is right-aligned with the 112-bit salt, so the label is combined with the salt's eighth byte.
    fn derive(&self, master_salt: &[u8; SALT_LEN_MAX], label: u8, out: &mut [u8]) {
        let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13] = *master_salt;
        let iv = [s0, s1, s2, s3, s4, s5, s6, s7 ^ label, s8, s9, s10, s11, s12, s13, 0, 0];
        match self {
            Self::Aes128(key) => key.apply(&iv, out),
            Self::Aes256(key) => key.apply(&iv, out),
        }
    }
}

/// The 128-bit key in an array that has room for 256 bits.
pub(super) fn first_half(key: &[u8; KEY_LEN_MAX]) -> &[u8; KEY_LEN_MAX / 2] {
    let [half @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = key;
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;

    #[test]
    fn keys_of_128_bits_are_those_of_rfc_3711_b3() {
        let profile = SrtpProfile::AesCm128HmacSha1_80;
        let master =
            MasterKey::new(profile, &hex("E1F97A0D3E018BE0D64FA32C06DE4139"), &hex("0EC675AD498AFEEBB6960B3AABE6"))
                .unwrap();
        let keys = SessionKeys::derive(profile, &master, PacketKind::Rtp);
        assert_eq!(keys.cipher_key[..16], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.cipher_key[16..], [0; 16]);
        assert_eq!(keys.salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        // B.3 prints 94 bytes of this stream; HMAC-SHA1 takes the first 20.
        let stream =
            hex("CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098
             6371C10C9A369AC2F94A8C5FBCDDDC25 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2");
        assert_eq!(keys.auth_key[..], stream[..20]);
        let mut out = [0; 94];
        Prf::new(profile, master.key()).derive(master.salt(), 1, &mut out);
        assert_eq!(out[..], stream);
    }

    #[test]
    fn keys_of_256_bits_are_those_of_rfc_6188_7_2() {
        // The RFC's vectors have a 112-bit salt; the function is the one of AEAD_AES_256_GCM, whose salt ends in zeros.
        let key = hex("f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6").try_into().unwrap();
        let salt = hex("3b04803de51ee7c96423ab5b78d2").try_into().unwrap();
        let prf = Prf::new(SrtpProfile::AeadAes256Gcm, &key);
        let derive = |label, len| {
            let mut out = vec![0; len];
            prf.derive(&salt, label, &mut out);
            out
        };
        assert_eq!(derive(0, 32), hex("5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4"));
        assert_eq!(derive(1, 20), hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
        assert_eq!(derive(2, 14), hex("fa31791685ca444a9e07c6c64e93"));
    }

    #[test]
    fn rtp_and_rtcp_get_different_keys() {
        for profile in SrtpProfile::PREFERENCE {
            let master = MasterKey::new(profile, &vec![1; profile.key_len()], &vec![2; profile.salt_len()]).unwrap();
            let rtp = SessionKeys::derive(profile, &master, PacketKind::Rtp);
            let rtcp = SessionKeys::derive(profile, &master, PacketKind::Rtcp);
            assert_ne!(rtp.cipher_key, rtcp.cipher_key);
            assert_ne!(rtp.salt, rtcp.salt);
            assert_eq!(rtp.auth_key == rtcp.auth_key, profile != SrtpProfile::AesCm128HmacSha1_80);
        }
    }
}

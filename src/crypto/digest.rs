//! SHA-2 of a whole message: certificate fingerprints (RFC 8122 §5). Not for incremental or keyed use. MD5 only where a
//! standard has nothing else that clients know.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use md5::{Digest as _, Md5};

/// SHA-256 of `data`.
#[must_use]
pub fn sha_256(data: &[u8]) -> [u8; 32] {
    fixed(&SHA256, data)
}

/// SHA-384 of `data`.
#[must_use]
pub fn sha_384(data: &[u8]) -> [u8; 48] {
    fixed(&SHA384, data)
}

/// SHA-512 of `data`.
#[must_use]
pub fn sha_512(data: &[u8]) -> [u8; 64] {
    fixed(&SHA512, data)
}

/// MD5 of `data`: the key of STUN's long-term credentials (RFC 8489 §9.2.2). Browsers know no other. Nothing is protected by
/// its being hard to collide: the password in it has the strength.
#[must_use]
pub fn md5(data: &[u8]) -> [u8; 16] {
    Md5::digest(data).into()
}

fn fixed<const LEN: usize>(algorithm: &'static Algorithm, data: &[u8]) -> [u8; LEN] {
    digest(algorithm, data).as_ref().try_into().expect("the algorithm's output has its own length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hex;

    #[test]
    fn the_md5_of_abc_is_that_of_rfc_1321() {
        assert_eq!(md5(b"abc")[..], hex("900150983cd24fb0d6963f7d28e17f72"));
    }

    #[test]
    fn digests_of_abc_are_those_of_fips_180_4() {
        assert_eq!(sha_256(b"abc")[..], hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        assert_eq!(
            sha_384(b"abc")[..],
            hex("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163 1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7")
        );
        assert_eq!(
            sha_512(b"abc")[..],
            hex("ddaf35a193617abacc417349ae204131 12e6fa4e89a97ea20a9eeee64b55d39a
                 2192992a274fc1a836ba3c23a3feebbd 454d4423643ce80e2a9ac94fa54ca49f")
        );
    }
}

//! Unguessable identifiers from the system's random source. Only signalling uses it. The layers below get their random
//! numbers as arguments, so that a seed replays them.

use crate::placement::ICE_CHARS;

/// Random bytes of a session's URL: 144 bits. RFC 9725 §5 requires that it cannot be guessed, for which 128 suffice.
const TOKEN_BYTES: usize = 18;

/// The alphabet of base64url: like [`ICE_CHARS`], but safe in a path.
const URL_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Fills `bytes`. It panics if the system has no random source, because nothing may be served without one.
#[allow(clippy::expect_used)]
fn fill(bytes: &mut [u8]) {
    #[cfg(feature = "simulation")]
    if super::runtime::simulated::random::fill(bytes) {
        return;
    }
    getrandom::fill(bytes).expect("the system's random source works");
}

/// Random bytes.
pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// `n` characters from `alphabet`, each with 6 random bits.
fn characters(alphabet: &[u8; 64], n: usize) -> String {
    let mut bytes = vec![0; n];
    fill(&mut bytes);
    bytes.iter().map(|byte| char::from(alphabet[usize::from(byte & 63)])).collect()
}

/// The last segment of a session's URL: 24 characters.
pub(super) fn token() -> String {
    characters(URL_CHARS, TOKEN_BYTES * 8 / 6)
}

/// `n` ice-chars (RFC 8839 §5.4).
pub(super) fn ice_chars(n: usize) -> String {
    characters(ICE_CHARS, n)
}

/// An entity tag with its quotes (RFC 9110 §8.8.3).
pub(super) fn entity_tag() -> String {
    format!("\"{}\"", characters(URL_CHARS, 12))
}

/// A session's number.
pub(super) fn number() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

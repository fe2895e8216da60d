//! Identifiers nobody can guess, from the system's random source. Signalling only; the layers below get theirs handed
//! in, so that a seed replays them.

use crate::placement::ICE_CHARS;

/// Random bytes of a session's URL: 144 bits, above the 128 asked for (RFC 9725 §5: not guessable).
const TOKEN_BYTES: usize = 18;

/// base64url's alphabet: like [`ICE_CHARS`] but safe in a path.
const URL_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The system has no random source: nothing may be served without one.
#[allow(clippy::expect_used)]
fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system's random source works");
}

/// `n` characters of 6 random bits each from `alphabet`.
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

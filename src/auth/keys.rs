//! Keys that verify tokens: the shared secret, and public keys from a JSON Web Key Set (RFC 7517).
//!
//! From a set only keys for one of our algorithms are taken: RSA of at least 2,048 bits for RS256, P-256 for ES256, and
//! Ed25519 for EdDSA (RFC 8037). They must be for signatures, and their `alg` must fit if they have one. Others are
//! ignored, because a set often holds keys for other purposes. Symmetric keys (`oct`) are ignored too, because a set is
//! public.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;

use super::secret::Secret;
use crate::limits;

/// One key, with the only algorithm it verifies.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    id: Option<String>,
    pub(super) verifying: DecodingKey,
}

impl Key {
    /// The shared secret.
    pub(super) fn shared(secret: &Secret) -> Self {
        let verifying = DecodingKey::from_secret(secret.expose().as_bytes());
        Self { algorithm: Algorithm::HS256, id: None, verifying }
    }

    /// Whether this key could have signed a token with this header, so that verifying is worth a try.
    pub(super) fn may_have_made(&self, header: &Header) -> bool {
        let named = self.id.as_ref().zip(header.kid.as_ref()).is_none_or(|(id, kid)| id == kid);
        header.alg == self.algorithm && named
    }

    fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
        if common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
            || !common.key_operations.as_ref().is_none_or(verifies)
        {
            return None;
        }
        let (algorithm, name) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return None,
        };
        if common.key_algorithm.is_some_and(|told| told != name) {
            return None;
        }
        let verifying = DecodingKey::from_jwk(jwk).ok()?;
        let is_whole = match algorithm {
            // P-256: an uncompressed point, which is one byte and two coordinates. Ed25519: a compressed point, which
            // is 32 bytes.
            Algorithm::ES256 => verifying.try_get_as_bytes().is_ok_and(|point| point.len() == 65),
            Algorithm::EdDSA => verifying.try_get_as_bytes().is_ok_and(|point| point.len() == 32),
            // The library refuses a short modulus when it verifies.
            _ => true,
        };
        is_whole.then(|| Self { algorithm, id: common.key_id.clone(), verifying })
    }
}

/// Why keys cannot be used. Its `Display` says what to do and quotes nothing of the keys.
#[derive(Debug)]
pub enum KeyError {
    /// A file cannot be read.
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// Which file.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Other users may read the secret.
    Exposed {
        /// Which file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The text cannot be a secret: its length is out of bounds, or it has control characters.
    Secret {
        /// The setting, or the file.
        place: String,
        /// Its length.
        bytes: usize,
    },
    /// A key set cannot be used.
    Set {
        /// Where the set is.
        place: String,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { setting, file, error } => {
                write!(f, "{setting} = {}: cannot be read ({error}): name a file this user may read", file.display())
            }
            Self::Exposed { file, mode } => write!(
                f,
                "auth.secret_file = {}: others may read it (mode {mode:04o}): chmod 600 {0}, and make a new secret if \
                 somebody did",
                file.display()
            ),
            Self::Secret { place, bytes } => write!(
                f,
                "{place}: the secret has {bytes} bytes, which must be {} to {} of text on one line: make one with \
                 `openssl rand -base64 32`",
                limits::SECRET_BYTES_MIN,
                limits::SECRET_BYTES_MAX
            ),
            Self::Set { place, what } => write!(f, "auth.jwks = {place}: {what}"),
        }
    }
}

impl std::error::Error for KeyError {}

/// Checks the secret and removes the line end.
///
/// # Errors
/// When it is too short (RFC 7518 §3.2) or too long, or contains control characters.
pub fn checked(text: &str, place: &str) -> Result<Secret, KeyError> {
    let text = text.trim_end_matches(['\r', '\n']);
    let is_text = !text.chars().any(char::is_control);
    if !is_text || !(limits::SECRET_BYTES_MIN..=limits::SECRET_BYTES_MAX).contains(&text.len()) {
        return Err(KeyError::Secret { place: place.to_owned(), bytes: text.len() });
    }
    Ok(Secret::new(text))
}

/// Reads the secret from a file that only its owner may read. Group root may read it too, because container runtimes
/// mount secrets that way.
///
/// # Errors
/// When the file cannot be read, others may read it, or it holds no secret.
pub fn secret_file(path: &Path) -> Result<Secret, KeyError> {
    let unreadable = |error| KeyError::Unreadable { setting: "auth.secret_file", file: path.to_owned(), error };
    let mut file = File::open(path).map_err(unreadable)?;
    // The permissions of the opened file, not those of whatever has the name by now.
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.mode() & 0o7777;
    let group_may = mode & 0o040 != 0 && metadata.gid() == 0;
    let exposed = mode & 0o077 & !if group_may { 0o040 } else { 0 };
    if metadata.is_file() && exposed != 0 {
        return Err(KeyError::Exposed { file: path.to_owned(), mode });
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    file.by_ref().take(limits::SECRET_BYTES_MAX as u64 + 3).read_to_string(&mut text).map_err(unreadable)?;
    checked(&text, &format!("auth.secret_file = {}", path.display()))
}

/// Parses a key set and returns the keys that this node can use.
///
/// # Errors
/// What is wrong with the set, without quoting it.
pub(super) fn parse_set(bytes: &[u8]) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    if bytes.len() > limits::JWKS_BYTES_MAX {
        return Err(format!("the key set is longer than {} bytes", limits::JWKS_BYTES_MAX));
    }
    let set: Set = serde_json::from_slice(bytes)
        .map_err(|error| format!("not a key set (RFC 7517) at line {}, column {}", error.line(), error.column()))?;
    if set.keys.len() > limits::JWKS_KEYS_MAX {
        return Err(format!("the key set has {} keys, more than {}", set.keys.len(), limits::JWKS_KEYS_MAX));
    }
    let known = |key| serde_json::from_value::<Jwk>(key).ok().and_then(|jwk| Key::of_jwk(&jwk));
    let found = set.keys.len();
    let keys: Vec<Key> = set.keys.into_iter().filter_map(known).collect();
    if keys.is_empty() {
        return Err(format!("of the set's {found} keys none verifies RS256, ES256 (P-256) or EdDSA (Ed25519)"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_secret_others_may_read_is_refused_with_its_mode_and_the_fix() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, format!("{SECRET}\n")).unwrap();
        let set_mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for (mode, shown) in [(0o644, "0644"), (0o604, "0604"), (0o620, "0620"), (0o602, "0602")] {
            set_mode(mode);
            let error = secret_file(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {shown}")) && error.contains("chmod 600 "), "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        for mode in [0o600, 0o400] {
            set_mode(mode);
            assert_eq!(secret_file(&path).unwrap(), Secret::new(SECRET));
        }
        assert!(secret_file(&directory.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn a_short_or_malformed_secret_is_refused_and_not_shown() {
        for text in ["", "short", &"x".repeat(31), &"x".repeat(5_000), "-----BEGIN KEY-----\nabcdefghijklmnopqrstuvw\n"]
        {
            let error = checked(text, "auth.secret").unwrap_err().to_string();
            assert!(error.contains("openssl rand -base64 32"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        assert_eq!(checked(&format!("{SECRET}\r\n"), "auth.secret").unwrap().expose(), SECRET);
    }

    #[test]
    fn only_the_keys_for_supported_algorithms_are_taken_from_a_set() {
        let x = "11qYAycIyPGKbhTEVZAIBNdP3x2VHj0m1v_FYd9Ws20";
        let set = |keys: &str| parse_set(format!("{{\"keys\":[{keys}]}}").as_bytes());
        let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"a"}}"#);
        assert_eq!(set(&good).unwrap().len(), 1);
        for other in [
            r#"{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}"#.to_owned(),
            format!(r#"{{"kty":"OKP","crv":"X25519","x":"{x}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","use":"enc"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","key_ops":["sign"]}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","alg":"HS256"}}"#),
            r#"{"kty":"OKP","crv":"Ed25519","x":"c2hvcnQ"}"#.to_owned(),
            format!(r#"{{"kty":"EC","crv":"P-384","x":"{x}","y":"{x}"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"c2hvcnQ"}}"#),
            r#"{"kty":"RSA","n":"?","e":"AQAB"}"#.to_owned(),
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"PS256"}"#.to_owned(),
            "7".to_owned(),
        ] {
            assert!(set(&other).is_err(), "{other}");
            assert_eq!(set(&format!("{other},{good}")).unwrap().len(), 1, "{other}");
        }
        let many = vec![good; limits::JWKS_KEYS_MAX + 1].join(",");
        assert!(set(&many).unwrap_err().contains("more than"));
        assert!(parse_set(&vec![b' '; limits::JWKS_BYTES_MAX + 1]).unwrap_err().contains("longer than"));
        assert!(parse_set(b"<html>").unwrap_err().contains("line 1"));
    }
}

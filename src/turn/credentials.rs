//! Who may use the server: user names that name a session and a time, passwords made from them with a secret of the node
//! (as in the draft "A REST API For Access To TURN Services"), and nonces (RFC 8489 §9.2).
//!
//! Nothing is stored for them. Whether the session lives is for the caller to say.

use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::REALM;
use crate::crypto::digest;
use crate::crypto::hmac_sha1::HmacSha1;
use crate::limits;
use crate::time::Timestamp;

/// Bytes of the secret.
const SECRET_BYTES: usize = 32;

/// Characters of a nonce.
const NONCE_CHARS: usize = 32;

/// What passwords are made with. It lives as long as the process: so do the sessions.
#[derive(Clone)]
pub struct Secret(HmacSha1);

/// What a client is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `expiry:session`.
    pub username: String,
    /// Base64 of a tag over the user name.
    pub password: String,
}

/// What a user name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) session: u64,
    /// In seconds since 1970.
    pub(super) expires_s: u64,
}

impl Secret {
    /// From random bytes.
    #[must_use]
    pub fn new(random: &[u8; SECRET_BYTES]) -> Self {
        Self(HmacSha1::new(random))
    }

    /// The credentials of a session, given at `unix_s`.
    #[must_use]
    pub fn credentials(&self, session: u64, unix_s: u64) -> Credentials {
        let expires_s = unix_s.saturating_add(limits::TURN_CREDENTIALS_AGE_MAX.as_secs());
        let username = format!("{expires_s}:{session}");
        let password = self.password(&username);
        Credentials { username, password }
    }

    fn password(&self, username: &str) -> String {
        STANDARD.encode(self.0.tag(&[username.as_bytes()]))
    }

    /// The key of a user's messages (RFC 8489 §9.2.2).
    pub(super) fn key(&self, username: &str) -> [u8; 16] {
        digest::md5(format!("{username}:{REALM}:{}", self.password(username)).as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Claim {
    /// Reads a user name.
    pub(super) fn read(username: &str) -> Option<Self> {
        let (expires, session) = username.split_once(':')?;
        Some(Self { session: session.parse().ok()?, expires_s: expires.parse().ok()? })
    }
}

/// A connection's nonces: one an hour, each made from the connection's seed, so that none is stored.
#[derive(Clone, Copy)]
pub(super) struct Nonces {
    seed: [u8; 16],
    began: Timestamp,
}

impl Nonces {
    pub(super) const fn new(seed: [u8; 16], began: Timestamp) -> Self {
        Self { seed, began }
    }

    /// The one that holds now.
    pub(super) fn now(&self, now: Timestamp) -> String {
        let age = now.since(self.began).as_secs() / limits::TURN_NONCE_AGE_MAX.as_secs();
        let tag = HmacSha1::new(&self.seed).tag(&[&age.to_be_bytes()]);
        let mut nonce = String::with_capacity(NONCE_CHARS);
        for byte in tag.iter().take(NONCE_CHARS / 2) {
            let _ = write!(nonce, "{byte:02x}");
        }
        nonce
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces").field("began", &self.began).finish_non_exhaustive()
    }
}

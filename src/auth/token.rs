//! Tokens: JSON Web Tokens (RFC 7519) in the compact form of JWS (RFC 7515), judged as RFC 8725 advises.
//!
//! | Claim | | Means |
//! |---|---|---|
//! | `action` | required | `"publish"`, `"play"` or `"admin"`, or a list of them |
//! | `stream` | to publish and play | the stream's name, or a pattern in which `*` is any run of characters; or a list |
//! | `exp` | required | seconds since 1970; the token opens nothing from then on |
//! | `nbf` | | seconds since 1970; the token opens nothing before then |
//! | `aud` | when `auth.audience` is set | must name it; a token for an audience is refused where none is set (RFC 7519 §4.1.3) |
//! | `iss` | when `auth.issuer` is set | must be it |
//! | `origin` | | web origins it may come from, one or a list, as in `cors.origins`; others and no origin are refused |
//! | `viewers_max` | | sessions that play with this token at once |
//! | `messages` | | `true`: what who plays with it says on the stream's data channels goes to the publisher |
//! | `sub` | | who it is, for logs and the webhook |
//!
//! The clocks of node and signer may differ by [`limits::TOKEN_LEEWAY`]. Unknown claims are ignored. A session outlives
//! its token: `exp` bounds when a session may open, not how long it lasts. (The webhook can end a session:
//! [`super::webhook`].)
//!
//! The algorithm belongs to the key, not to the token: a key that was made for one algorithm verifies no other. So
//! neither `none` nor a public key that is presented as a shared secret verifies anything. The algorithms are HS256,
//! RS256, ES256 (P-256) and EdDSA (Ed25519). A token with critical extensions (`crit`) is refused, because none are
//! understood (RFC 7515 §4.1.11). Keys that a token names or carries (`jku`, `jwk`, `x5u`, `x5c`) are never used.
//!
//! Left out: encrypted tokens (JWE), PASETO, revocation (use short tokens or the webhook), and a check that a `jti`
//! is used once: a player that reconnects shows its token again.

use std::fmt;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use super::code::Code;
use super::keys::Key;
use super::pattern::{check_origin, name_matches, origin_matches};
use super::secret::Secret;
use super::{Access, Action};
use crate::limits;

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// `"a"`
    One(String),
    /// `["a", "b"]`
    Many(Vec<String>),
}

impl OneOrMany {
    /// A single value becomes [`Self::One`], several become a list.
    #[must_use]
    pub fn of(mut values: Vec<String>) -> Self {
        match values.len() {
            1 => Self::One(values.remove(0)),
            _ => Self::Many(values),
        }
    }

    fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    fn is_bounded(&self) -> bool {
        let values = self.values();
        values.len() <= limits::CLAIM_LIST_MAX && values.iter().all(|value| value.len() <= limits::CLAIM_BYTES_MAX)
    }
}

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The actions that it allows.
    pub action: OneOrMany,
    /// The streams that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<OneOrMany>,
    /// Who it was given to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The audience. It is checked together with the signature; the field is here for making tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<OneOrMany>,
    /// The issuer. Checked like `aud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<OneOrMany>,
    /// When it expires, in seconds since 1970. Checked like `aud`. Fractions are allowed (RFC 7519 §2) and dropped.
    #[serde(default, deserialize_with = "whole_seconds", skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// The origins of the pages that may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OneOrMany>,
    /// How many sessions may play with it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewers_max: Option<u32>,
    /// Whether what who plays with it says on data channels goes to the publisher.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub messages: bool,
}

fn whole_seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    // `as` saturates, and turns what is not a number into 0, which has long expired.
    Ok(Option::<f64>::deserialize(deserializer)?.map(|seconds| seconds as u64))
}

/// Why a token does not let its bearer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no token.
    Missing,
    /// It is not a token, or it contains what no token may contain.
    Malformed(&'static str),
    /// `exp` is in the past.
    Expired,
    /// `nbf` is in the future.
    NotYetValid,
    /// No known key verifies its signature.
    WrongKey,
    /// It is for another audience.
    WrongAudience,
    /// It is from another issuer.
    WrongIssuer,
    /// It is for another action.
    WrongAction,
    /// It is for another stream.
    WrongStream,
    /// It is for pages of another origin, or it is for pages and the request has no origin.
    WrongOrigin,
}

impl Fault {
    /// The fault's machine-readable name.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Missing => Code::TokenMissing,
            Self::Malformed(_) => Code::TokenMalformed,
            Self::Expired => Code::TokenExpired,
            Self::NotYetValid => Code::TokenNotYetValid,
            Self::WrongKey => Code::TokenWrongKey,
            Self::WrongAudience => Code::TokenWrongAudience,
            Self::WrongIssuer => Code::TokenWrongIssuer,
            Self::WrongAction => Code::TokenWrongAction,
            Self::WrongStream => Code::TokenWrongStream,
            Self::WrongOrigin => Code::TokenWrongOrigin,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "send a token: Authorization: Bearer TOKEN, or token in a socket's hello; who runs the node gives you one",
            ),
            Self::Malformed(what) => write!(f, "the token cannot be used: {what}"),
            Self::Expired => f.write_str("the token has run out: get a new one"),
            Self::NotYetValid => f.write_str("the token is not valid yet: wait, or check the clock of who made it"),
            Self::WrongKey => f.write_str("the token was not made with a key this node knows: get one made for it"),
            Self::WrongAudience => {
                f.write_str("the token is not made for this node: its aud must be the node's auth.audience")
            }
            Self::WrongIssuer => f.write_str("the token's iss is not the issuer this node believes (auth.issuer)"),
            Self::WrongAction => f.write_str("the token is for something else: its action must be what you ask for"),
            Self::WrongStream => f.write_str("the token is for another stream"),
            Self::WrongOrigin => f.write_str("the token is for pages of another origin"),
        }
    }
}

/// What every token must claim, apart from what the request needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) audience: Option<String>,
    pub(super) issuer: Option<String>,
}

impl Rules {
    /// Returns the claims of `token` if one of `keys` verifies its signature and its time, audience and issuer are
    /// right. [`Fault::WrongKey`] is the only fault that newer keys could change.
    pub(super) fn verify<'a>(&self, token: &str, keys: impl Iterator<Item = &'a Key>) -> Result<Claims, Fault> {
        if token.len() > limits::TOKEN_BYTES_MAX {
            return Err(Fault::Malformed("it is too long"));
        }
        // An algorithm that the library does not know, `none` among them, is an error here.
        let header = decode_header(token)
            .map_err(|_| Fault::Malformed("it is not a signed JWT with one of HS256, RS256, ES256, EdDSA"))?;
        if header.crit.is_some() {
            return Err(Fault::Malformed("it has critical extensions (crit), of which this node knows none"));
        }
        for key in keys.filter(|key| key.may_have_made(&header)) {
            match decode::<Claims>(token, &key.verifying, &self.validation(key.algorithm)) {
                Ok(token) if !is_bounded(&token.claims) => {
                    return Err(Fault::Malformed("a claim is longer than any may be"));
                }
                Ok(token) => return Ok(token.claims),
                // An error about the claims means that the signature was right.
                Err(error) => match fault_of(&error) {
                    Fault::WrongKey => {}
                    fault => return Err(fault),
                },
            }
        }
        Err(Fault::WrongKey)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = limits::TOKEN_LEEWAY.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

fn is_bounded(claims: &Claims) -> bool {
    let lists = [Some(&claims.action), claims.stream.as_ref(), claims.origin.as_ref()];
    lists.into_iter().flatten().all(OneOrMany::is_bounded)
        && claims.sub.as_ref().is_none_or(|sub| sub.len() <= limits::CLAIM_BYTES_MAX)
}

/// Translates the library's error. Its texts may quote the token, so they are not passed on.
fn fault_of(error: &Error) -> Fault {
    match error.kind() {
        ErrorKind::ExpiredSignature => Fault::Expired,
        ErrorKind::ImmatureSignature => Fault::NotYetValid,
        ErrorKind::InvalidAudience => Fault::WrongAudience,
        ErrorKind::InvalidIssuer => Fault::WrongIssuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => Fault::WrongAudience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => Fault::WrongIssuer,
        ErrorKind::MissingRequiredClaim(_) => Fault::Malformed("it has no exp: every token must run out"),
        ErrorKind::InvalidClaimFormat(_) => Fault::Malformed("exp and nbf must be seconds since 1970"),
        ErrorKind::Json(_) | ErrorKind::Utf8(_) => {
            Fault::Malformed("its claims are not those of a token for this node: action, stream, exp")
        }
        ErrorKind::Base64(_) | ErrorKind::InvalidToken => Fault::Malformed("it is not base64url in three parts"),
        _ => Fault::WrongKey,
    }
}

impl Claims {
    /// Whether the claims allow `access`.
    pub(super) fn allow(&self, access: &Access<'_>) -> Result<(), Fault> {
        if !self.action.values().iter().any(|action| action == access.action.name()) {
            return Err(Fault::WrongAction);
        }
        let streams = self.stream.as_ref().map_or(&[][..], OneOrMany::values);
        if access.action != Action::Admin && !streams.iter().any(|pattern| name_matches(pattern, access.stream)) {
            return Err(Fault::WrongStream);
        }
        if let Some(origins) = &self.origin {
            let origin = access.origin.ok_or(Fault::WrongOrigin)?;
            // A pattern that could not be configured means nothing in a token either.
            let means = |listed: &&String| check_origin(listed).is_ok() && origin_matches(listed, origin);
            origins.values().iter().find(means).ok_or(Fault::WrongOrigin)?;
        }
        Ok(())
    }

    /// A token that says this, made with the shared secret (HS256).
    ///
    /// # Errors
    /// When the library cannot sign, as text.
    pub fn sign(&self, secret: &Secret) -> Result<String, String> {
        let key = EncodingKey::from_secret(secret.expose().as_bytes());
        encode(&Header::new(Algorithm::HS256), self, &key).map_err(|error| error.to_string())
    }
}

//! The names by which programs know a refusal of authorisation.

/// The machine-readable name of a refusal. These are all that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The client sent no token.
    TokenMissing,
    /// The token cannot be read.
    TokenMalformed,
    /// The token has expired.
    TokenExpired,
    /// The token is not valid yet.
    TokenNotYetValid,
    /// No key of this node verifies the token's signature.
    TokenWrongKey,
    /// The token is for another audience.
    TokenWrongAudience,
    /// The token is from another issuer.
    TokenWrongIssuer,
    /// The token is for another action.
    TokenWrongAction,
    /// The token is for another stream.
    TokenWrongStream,
    /// The token is for pages of another origin.
    TokenWrongOrigin,
    /// The operator's endpoint refuses.
    Denied,
    /// The token's limit of simultaneous sessions is reached.
    TokenInUse,
    /// The token, or the client's address, opens sessions too often.
    TooManyJoinsOfOne,
    /// The client was refused too often and has to wait.
    TooManyFailures,
    /// The webhook or the key set cannot be asked at the moment.
    AuthorisationUnavailable,
}

impl Code {
    /// Every code, once.
    pub const ALL: &[Self] = &[
        Self::TokenMissing,
        Self::TokenMalformed,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenWrongKey,
        Self::TokenWrongAudience,
        Self::TokenWrongIssuer,
        Self::TokenWrongAction,
        Self::TokenWrongStream,
        Self::TokenWrongOrigin,
        Self::Denied,
        Self::TokenInUse,
        Self::TooManyJoinsOfOne,
        Self::TooManyFailures,
        Self::AuthorisationUnavailable,
    ];

    /// The code as it is sent.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::TokenMalformed => "token_malformed",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenWrongKey => "token_wrong_key",
            Self::TokenWrongAudience => "token_wrong_audience",
            Self::TokenWrongIssuer => "token_wrong_issuer",
            Self::TokenWrongAction => "token_wrong_action",
            Self::TokenWrongStream => "token_wrong_stream",
            Self::TokenWrongOrigin => "token_wrong_origin",
            Self::Denied => "denied",
            Self::TokenInUse => "token_in_use",
            Self::TooManyJoinsOfOne => "too_many_joins_of_one",
            Self::TooManyFailures => "too_many_failures",
            Self::AuthorisationUnavailable => "authorisation_unavailable",
        }
    }
}

//! The names by which programs know a refusal of authorisation.

/// The name of a refusal for programs: all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// No token was shown.
    TokenMissing,
    /// The token cannot be read.
    TokenMalformed,
    /// The token's time is over.
    TokenExpired,
    /// The token's time has not come.
    TokenNotYetValid,
    /// No key of this node made it.
    TokenWrongKey,
    /// It is for another audience.
    TokenWrongAudience,
    /// It is of another issuer.
    TokenWrongIssuer,
    /// It is for another action.
    TokenWrongAction,
    /// It is for another stream.
    TokenWrongStream,
    /// It is for pages of another origin.
    TokenWrongOrigin,
    /// The operator's endpoint refuses.
    Denied,
    /// As many sessions play with it as may.
    TokenInUse,
    /// Sessions are opened too often with it, or from the address.
    TooManyJoinsOfOne,
    /// Refused too often.
    TooManyFailures,
    /// Nobody can say at the moment.
    AuthorisationUnavailable,
}

impl Code {
    /// Each once.
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

    /// The text.
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

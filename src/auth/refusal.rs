//! Why an action is refused, as every transport tells it: a kind, a code for programs, and a text for people.

use std::fmt;
use std::time::Duration;

use super::code::Code;
use super::token::Fault;

/// Why an action is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The token is bad or missing.
    Token(Fault),
    /// The operator's endpoint refuses.
    Refused {
        /// The endpoint's reason; may be empty.
        reason: String,
    },
    /// This token, or without a token this address, plays in as many sessions as it may.
    TooManySessions {
        /// The limit.
        max: u32,
    },
    /// This address or this token opens sessions too often. It may try again after this time.
    TooManyJoins(Duration),
    /// The client was refused too often. It may try again after this time.
    TooManyFailures(Duration),
    /// The webhook or the key set gives no answer at the moment.
    Unavailable(&'static str),
}

/// What kind of refusal it is: HTTP has a status for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The client has not proved who it is: 401.
    Unauthenticated,
    /// The client may not do this: 403.
    Forbidden,
    /// The client does this too often: 429.
    TooMany,
    /// Try again later: 503.
    Unavailable,
}

impl Denied {
    /// The kind of this refusal.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Token(Fault::WrongAction | Fault::WrongStream | Fault::WrongOrigin) => Kind::Forbidden,
            Self::Token(_) => Kind::Unauthenticated,
            Self::Refused { .. } | Self::TooManySessions { .. } => Kind::Forbidden,
            Self::TooManyJoins(_) | Self::TooManyFailures(_) => Kind::TooMany,
            Self::Unavailable(_) => Kind::Unavailable,
        }
    }

    /// The refusal's machine-readable name.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Token(fault) => fault.code(),
            Self::Refused { .. } => Code::Denied,
            Self::TooManySessions { .. } => Code::TokenInUse,
            Self::TooManyJoins(_) => Code::TooManyJoinsOfOne,
            Self::TooManyFailures(_) => Code::TooManyFailures,
            Self::Unavailable(_) => Code::AuthorisationUnavailable,
        }
    }

    /// After which time to try again, if that is known.
    #[must_use]
    pub const fn wait(&self) -> Option<Duration> {
        match self {
            Self::TooManyJoins(wait) | Self::TooManyFailures(wait) => Some(*wait),
            _ => None,
        }
    }

    /// Whether the refusal is the client's fault, and therefore counted.
    pub(super) const fn counts(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Refused { .. })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(fault) => fault.fmt(f),
            Self::Refused { reason } if reason.is_empty() => f.write_str("who runs the node does not allow it"),
            Self::Refused { reason } => write!(f, "who runs the node does not allow it: {reason}"),
            Self::TooManySessions { max } => write!(
                f,
                "as many sessions play with this token as may ({max}): end one, or get another token; one that was \
                 abandoned ends {} s after its last packet",
                crate::limits::SESSION_SILENCE_MAX.as_secs()
            ),
            Self::TooManyJoins(wait) => write!(
                f,
                "too many sessions and follows a second are opened from your address or with this token \
                 (limits.joins_per_second_and_address_max, …_and_token_max): try again in {} s",
                wait.as_secs().saturating_add(1)
            ),
            Self::TooManyFailures(wait) => write!(
                f,
                "refused too often: try again in {} s, with a token that is for what you ask",
                wait.as_secs().saturating_add(1)
            ),
            Self::Unavailable(why) => write!(f, "nobody can be let in at the moment, try again later: {why}"),
        }
    }
}

impl From<Fault> for Denied {
    fn from(fault: Fault) -> Self {
        Self::Token(fault)
    }
}

//! The name of a stream. It is checked once, when it comes in from a URL or a message; the type shows that it was.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits;

/// A valid name: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`, the characters that no URL ever escapes (RFC 3986 §2.3), and not a
/// dot segment. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

/// The text is not a valid stream name. `Display` says what is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadStreamName;

impl StreamName {
    /// Reads a name.
    ///
    /// # Errors
    /// When the text is not a valid name.
    pub fn parse(text: &str) -> Result<Self, BadStreamName> {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        let is_dots = matches!(text, "" | "." | "..");
        if text.len() > limits::STREAM_NAME_BYTES_MAX || !text.bytes().all(unreserved) || is_dots {
            return Err(BadStreamName);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Allows look-ups by text in a map with names as keys. A name orders and hashes like its text.
impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for BadStreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stream's name is 1 to {} of the characters A-Z a-z 0-9 . _ ~ -", limits::STREAM_NAME_BYTES_MAX)
    }
}

impl std::error::Error for BadStreamName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_no_url_escapes_and_no_dot_segment() {
        let longest = "a".repeat(limits::STREAM_NAME_BYTES_MAX);
        for good in ["a", "A-Z_0.9~", "...", ".a", longest.as_str()] {
            assert_eq!(StreamName::parse(good).map(|name| name.as_str().to_owned()), Ok(good.to_owned()));
        }
        let too_long = "a".repeat(limits::STREAM_NAME_BYTES_MAX + 1);
        for bad in ["", ".", "..", "a b", "a/b", "a%20b", "\u{e4}", "a\0", too_long.as_str()] {
            assert_eq!(StreamName::parse(bad), Err(BadStreamName), "{bad:?}");
        }
    }
}

//! How messages name requests and sessions.

use serde::{Deserialize, Serialize};

use crate::worker::mailbox::SessionId;

/// The number of a request, which the client chooses: 1 to 2⁵³, because every JSON reader can represent those exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub(in crate::signal) struct Id(pub(super) u64);

impl TryFrom<u64> for Id {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if (1..=1 << 53).contains(&number) { Ok(Self(number)) } else { Err("id must be an integer from 1 to 2^53") }
    }
}

/// The name of a session in messages: its number as text, as in the node's log and reports. It is not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::signal) struct SessionName(pub(in crate::signal) SessionId);

impl From<SessionId> for SessionName {
    fn from(session: SessionId) -> Self {
        Self(session)
    }
}

impl Serialize for SessionName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.0)
    }
}

/// Any text is accepted. If it is not a number, it names no session.
impl<'de> Deserialize<'de> for SessionName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Session numbers have 53 bits, so `u64::MAX` is none of them.
        Ok(Self(SessionId(text.parse().unwrap_or(u64::MAX))))
    }
}

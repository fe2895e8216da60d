//! How a socket ends, whoever ends it.

use crate::signal::messages::outbox::Closing;

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// This node closes it.
    Closed(Closing),
    /// The client closed it, and is done with its sessions (1000, or no code at all).
    Done,
    /// The client closed it for another reason: it may come back.
    Left,
    /// The connection broke.
    Broken,
    /// Nobody said: its task was dropped, or panicked.
    Dropped,
}

impl End {
    /// The name in metrics and logs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Closed(closing) => closing.code_and_name().1,
            Self::Done => "done",
            Self::Left => "left",
            Self::Broken => "broken",
            Self::Dropped => "dropped",
        }
    }
}

//! How a socket ends, and the name of that in logs and metrics.

use crate::signal::messages::outbox::Closing;

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketEnd {
    /// This node closes the socket.
    Closed(Closing),
    /// The client closed it and needs its sessions no longer (code 1000, or no code at all).
    Done,
    /// The client closed it for another reason, and may come back.
    Left,
    /// The connection broke.
    Broken,
    /// No reason is known: the task was dropped, or it panicked.
    Dropped,
}

impl SocketEnd {
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

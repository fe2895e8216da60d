//! One pinned core: the synchronous worker that joins sessions and streams, and its event loop.

pub mod mailbox;
pub mod report;

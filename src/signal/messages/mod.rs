//! The messages of the WebSocket protocol, and how they get to their sockets.
//!
//! | File | Holds |
//! |---|---|
//! | `message.rs` | the messages of both directions: text ↔ values |
//! | `outboxes.rs` | which socket has which outbox: what is told to whom |
//! | `outbox.rs` | what waits to be written to one socket, bounded |
//! | `budget.rs` | the memory that sockets share, by client and over all |
//!
//! What a message of a client *does* is in [`super::socket`], which stands above: whatever happens to a session is told
//! by [`super::keeper`] through here.

pub(super) mod budget;
pub(super) mod message;
pub(super) mod outbox;
pub(super) mod outboxes;

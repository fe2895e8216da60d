//! The messages of the WebSocket protocol, and how they get to their sockets.
//!
//! | File | Holds |
//! |---|---|
//! | `message.rs` | the messages of both directions: text ↔ values |
//! | `names.rs` | how messages name requests and sessions |
//! | `layers.rs` | the messages about encodings: what a viewer chooses and is told |
//! | `outboxes.rs` | which socket has which outbox: what is told to whom |
//! | `outbox.rs` | what waits to be written to one socket, bounded |
//! | `budget.rs` | the memory that sockets share, by client and over all |
//!
//! [`super::socket`] does what a client's message asks for, and names this module. [`super::keeper`] uses it to tell
//! sockets what happens to sessions.

pub(super) mod budget;
pub(super) mod layers;
pub(super) mod message;
pub(super) mod names;
pub(super) mod outbox;
pub(super) mod outboxes;

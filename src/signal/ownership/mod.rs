//! Ownership of streams' names: each name has at most one publisher, on whichever node.
//!
//! ```text
//!   opening.rs ──▶ claims.rs ──▶ interface.rs: claim, locate, release
//!                    │                │
//!                    ▼                ├── book.rs: this process alone
//!                  Claim: kept with   └── an engine that several nodes share: may answer late, or not at all
//!                  the session
//! ```
//!
//! On one node the table of sessions refuses a second publisher before anything is claimed here
//! (`sessions/streams.rs`); the owner decides between nodes.
//!
//! Signalling uses [`Claims`] only. It bounds how long a client waits, releases what was claimed for a client that has
//! left, and releases a name when its session is gone.

mod book;
mod claims;
mod interface;
pub mod report;

pub use book::Book;
pub use claims::{Claim, Claims};
pub use interface::{
    Claimant, Epoch, Located, Lost, MakeOwnership, NotClaimed, NotReleased, Owner, Ownership, Unavailable,
};

#[cfg(test)]
mod tests;

//! Who owns a stream's name: the one publisher that may have it, on whichever node.
//!
//! ```text
//!   opening.rs ──▶ claims.rs ──▶ interface.rs: claim, locate, release
//!                    │                │
//!                    ▼                ├── book.rs: this process alone
//!                  Claim: kept with   └── an engine that several nodes share: may answer late, or not at all
//!                  the session
//! ```
//!
//! Signalling asks through [`Claims`] only, which waits as long as a client will, gives back what was claimed for a client
//! that has left, and releases a name when the session that has it is gone.

mod book;
mod claims;
mod interface;

pub use book::Book;
pub use claims::{Claim, Claims};
pub use interface::{Claimant, Epoch, Located, MakeOwnership, NotClaimed, NotReleased, Owner, Ownership, Unavailable};

#[cfg(test)]
mod tests;

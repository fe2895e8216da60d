//! Beyond one machine: which node publishes what, and which nodes there are.
//!
//! The nodes of a cluster share one *engine*, an etcd, and nothing else. It says who owns a stream's name, and tells every node what
//! changes. Without `[cluster]` in the configuration none of this runs: [`crate::signal::ownership::Book`] is the directory of a node
//! that is alone.
//!
//! ```text
//!   signal/ownership ── claim, locate, release ──▶ registry ──── lease, claims, heartbeats ───▶ ┐
//!                                                     ▲                                          ├ engine ▶ etcd/ ▶ the members
//!                                                  replica ◀──── a snapshot, then changes ────── ┘
//!                                                     │
//!                         another node ◀══ TLS ══▶ channel: which nodes there are, and where
//! ```
//!
//! | File | Holds |
//! |---|---|
//! | [`engine`] | what is asked of an engine: keys with leases, revisions, a watch |
//! | [`etcd`] | a real one: its JSON gateway, and which of its members is asked |
//! | [`keys`] | the names of keys, and what their values say |
//! | [`replica`] | this node's copy of the directory |
//! | [`registry`] | this node's part in it: its lease, its names, its heartbeat |
//! | [`channel`] | what nodes ask each other, over connections in which both show a certificate |
//! | [`links`] | streams that are fetched from other nodes, and sent to them |
//! | [`sessions`] | what clients ask of sessions that other nodes have, by [`channel`] |
//! | [`membership`] | all of it, as signalling sees it |
//! | [`host`] | addresses of hosts by their names |
//! | [`report`] | what the directory says, put together for who asks |
//! | [`status`] | the command that asks what a node knows ([`crate::signal::ownership::report`]) |
//!
//! # Rules
//!
//! - **Only publishing asks the engine.** A claim is a transaction: the name is put if nobody has it. Its *epoch* is the revision of that
//!   transaction, below a generation that the operator raises after restoring the engine from a backup. Joins to known streams are answered from the
//!   replica.
//! - **A lost lease stops no media.** etcd may revoke leases that were renewed in time (its issue 15247), and it forgets those that it could
//!   not be reached to renew. What a node owns it claims again with its next lease; only where another node has the name by then does the
//!   publisher end, told why.
//! - **An engine that is away** is waited for: what is known stays known, a claim waits
//!   for [`limits::CLAIM_TIME_MAX`](crate::limits::CLAIM_TIME_MAX) and is refused then.
//! - **A member that tells nothing** is left: whoever does not see its own heartbeat come back watches at another member.
//! - **Fencing** is the receiver's: of two who say that they publish a name, the one with the higher epoch does.
//!
//! # Not here
//!
//! Media itself ([`crate::worker::links`]); placement, and drain: they come on top of this.

pub mod channel;
pub mod engine;
pub mod etcd;
mod host;
pub mod keys;
pub mod links;
pub mod membership;
pub mod registry;
pub mod replica;
mod report;
pub mod sessions;
pub mod status;

#[cfg(test)]
mod tests;

#[cfg(feature = "simulation")]
pub mod model;

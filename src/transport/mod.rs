//! Plain data between the protocols and the sockets: paths to a peer, the datagrams on them, and the candidates that a
//! peer is offered.
//!
//! ```text
//!   candidate ──signalling──▶ the peer sends a check ──▶ Datagram { from: PathAddress, … }
//!                                                              │ PathTable: one look-up
//!                                            owner, PathId ◀───┘
//!   ice, session, worker: PathId only ──▶ Train { path: PathId, … } ──PathBook: by place──▶ PathAddress ──▶ net
//! ```
//!
//! | File | Holds |
//! |---|---|
//! | [`path`] | what a path is made of (UDP and TCP; relayed has its address), its number, the book of numbers |
//! | [`path_table`] | which session a path belongs to |
//! | [`train`] | received datagrams, and trains of datagrams to send |
//! | [`announced`] | the addresses and ports at which clients reach the node, where these are not the bound ones |
//! | [`candidate`] | the ICE candidates that are offered, with their priorities |
//!
//! This module opens no socket and speaks no protocol; the I/O backend sends the trains.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod announced;
pub mod candidate;
pub mod path;
pub mod path_table;
pub mod train;

pub use announced::Announced;
pub use candidate::Candidate;
pub use path::{Arrival, PathAddress, PathBook, PathId, UdpPath};
pub use path_table::PathTable;
pub use train::{Datagram, SendResult, Train, TrainBatch};

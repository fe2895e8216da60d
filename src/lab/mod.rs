//! The laboratory: code that tests and measures the node, and is no part of it. It is compiled only where it is used.
//!
//! | Module | Holds | Feature |
//! |---|---|---|
//! | [`peer`] | the client side of the protocol, for tests, benches and the load tester | `peer` |
//! | `bench` | `corecast bench`: the floor, the relay beside it, the budgets | `bench` |
//! | [`link`] | a link with rate, queue, delay, loss and other traffic, by a script | `peer` |
//! | [`reach`] | `corecast doctor --from URL`: which ways lead from here to a node | `peer` |
//!
//! Its sockets and rings need `unsafe` and so are in [`crate::net::lab`].

#[cfg(feature = "bench")]
pub mod bench;
pub mod link;
pub mod peer;
pub mod reach;

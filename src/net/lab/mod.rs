//! Sockets and rings that only the laboratory uses; the node never does.
//!
//! | File | Holds | Feature |
//! |---|---|---|
//! | [`fleet_sockets`] | thousands of client sockets on one ring | `peer` |
//! | `bare`, `namespace` | for `corecast bench`: sending with nothing else, a NIC-like sink in a network of its own | `bench` |
//! | [`simulated`] | an [`Io`](crate::net::Io) of queues in memory, for tests | `peer` |
//! | [`simulated_connections`] | TCP connections over streams in memory, for the simulation | `peer` |

#[cfg(feature = "bench")]
pub mod bare;
#[cfg(feature = "peer")]
pub mod fleet_sockets;
#[cfg(feature = "bench")]
pub mod namespace;
pub mod simulated;
pub mod simulated_connections;

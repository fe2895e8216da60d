//! What lies between a protocol and the machine that carries it: paths to a peer, and datagrams on them as plain data.
//!
//! Nothing here opens a socket; [`crate::net`] sends what is written here.

pub mod train;

pub use train::{Datagram, Path, SendResult, Train, TrainBatch};

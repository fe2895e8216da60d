//! A TCP connection as the worker sees it: how it comes, and what is told of it. [`super::connections`] carries the datagrams.

use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::transport::PathAddress;

/// A connection that was accepted elsewhere and whose peer has sent nothing that was read.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TcpStream,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The address it connected to.
    pub local_ip: IpAddr,
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// It takes media again.
    Drained(PathAddress),
    /// It is closed: by the peer, by an error, or because what came was no frame.
    Closed(PathAddress),
}

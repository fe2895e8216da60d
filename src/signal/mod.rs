//! The front end: how a peer and this node agree on a session before any media flows.

pub mod sdp;

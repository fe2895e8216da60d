//! The client side of the protocol: what a browser does towards the node, as a state machine without I/O. It exists
//! for tests, benches and the load tester (feature `peer`), and is no part of the node.
//!
//! | File | Holds |
//! |---|---|
//! | [`client`] | [`Peer`]: controlling ICE, DTLS, SRTP behind one `handle_datagram` |
//! | [`checks`] | the controlling agent: nominating checks, their repetition, the answers |
//! | [`terms`] | what a publisher and a viewer agree on with the node, without SDP |
//! | [`source`] | a publisher's RTP stream: numbers, history, retransmission |
//! | [`video`], [`audio`] | H.264 frames and Opus packets as a browser sends them |
//!
//! Left out: candidates and their pairing (a peer is told one address of the node and checks it), aggressive
//! consent expiry, bandwidth estimation, jitter buffers, decoding. A peer is honest; attacks are the tests' to make.

pub mod audio;
pub mod checks;
pub mod client;
pub mod source;
pub mod terms;
pub mod video;

pub use client::{OutgoingRtp, Peer, PeerConfig, PeerEvent, Refused};

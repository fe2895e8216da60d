//! The client side of the protocol: what a browser does towards the node, as a state machine without I/O. It exists
//! for tests, benches and the load tester (feature `peer`), and is no part of the node.
//!
//! | File | Holds |
//! |---|---|
//! | [`client`] | [`ClientPeer`]: controlling ICE, DTLS, SRTP behind one `handle_datagram` |
//! | [`checks`] | the controlling agent: nominating checks, their repetition, the answers |
//! | [`terms`] | what a publisher and a viewer agree on with the node, without SDP |
//! | [`source`] | a publisher's RTP stream: numbers, history, retransmission |
//! | [`video`], [`audio`] | H.264 frames and Opus packets as a browser sends them |
//!
//!
//! For the load tester, which runs thousands of them:
//!
//! | File | Holds |
//! |---|---|
//! | [`offer`], [`answer`] | SDP as Chromium offers it; any server's answer as values |
//! | [`fleet`] | the loop of a load thread: one ring, a socket per client, timers |
//! | [`carriers`] | what a client's datagrams lie in on a TCP connection: RFC 4571, TURN, either in TLS |
//! | [`viewer`] | a viewer: counts every packet, opens a fraction, reports and asks as a browser does |
//! | [`publisher`] | a publisher: plays a script of frames for each encoding, answers requests |
//! | [`feedback`] | what a viewer says of its network: transport-wide feedback and REMB, as browsers do |
//! | [`decoder`] | which frames a viewer shows, and when its picture stands still |
//! | [`data`] | data channels of both: stamped messages at a rate, and their count |
//! | [`reception`], [`stamp`], [`record`] | bookkeeping of sequence numbers; the send time in the payload; what is measured |
//!
//! Left out: candidates and their pairing (a peer is told one address of the node and checks it), aggressive consent
//! expiry, bandwidth estimation of publishers, decoding. A peer is honest; tests make attacks themselves.

pub mod answer;
pub mod audio;
pub mod carriers;
pub mod checks;
pub mod client;
pub mod data;
pub mod decoder;
pub mod feedback;
pub mod fleet;
pub mod offer;
pub mod publisher;
pub mod reception;
pub mod record;
pub mod source;
pub mod stamp;
pub mod terms;
pub mod video;
pub mod viewer;

pub use client::{ClientPeer, OutgoingRtp, PeerConfig, PeerEvent, Refused};

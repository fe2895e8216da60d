//! Data channels on a worker: a publisher's messages are stored once, and viewers are given them as their associations have
//! room.
//!
//! A peer's SCTP packets are taken when its datagram is; all else is done after the round's media has left ([`phase`]):
//! events, messages for viewers, packets to send. So data takes no time from media, and a batch of its own.
//!
//! | File | Holds |
//! |---|---|
//! | [`super::peer_channels`] | a peer's channels over its session |
//! | [`super::stream_channels`] | a stream's channels, with the ring of each, and the viewers that mirror them |
//! | [`super::channel_work`] | who has something to do |
//! | [`uplink`] | what a publisher sends, to this worker's rings and to other workers |
//! | [`mirror`] | what a viewer is given |
//! | [`handover`] | how they pass from one transport of a viewer's session to the other |
//! | [`back`] | what a viewer says to the publisher, where it may |
//! | [`phase`] | the turn of all of them in a round |
//!
//! Nothing here is made for a session that did not negotiate data, or for a stream without channels.

pub(super) mod back;
pub(super) mod handover;
pub(super) mod mirror;
pub(super) mod phase;
pub(super) mod uplink;

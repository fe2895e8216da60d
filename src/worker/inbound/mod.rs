//! Datagrams and records come in.
//!
//! | File | A |
//! |---|---|
//! | [`datagram`] | datagram finds its session and is opened in place |
//! | [`binding`] | STUN message names its session, or is a plain binding request |
//! | [`media`] | publisher's RTP packet is judged and stored |
//! | [`feedback`] | compound RTCP packet, of a publisher or of a viewer |
//! | [`deferred`] | handshake's datagram that had to wait is worked on |
//! | [`lanes`] | record of another worker is stored |

pub(super) mod binding;
pub(super) mod datagram;
pub(super) mod deferred;
pub(super) mod feedback;
pub(super) mod lanes;
pub(super) mod media;

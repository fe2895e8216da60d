//! Streams that pass between nodes: a worker without sessions, whose peers are other nodes.
//!
//! It stands beside the others as one more end of their lanes. To them it is a worker like any: one that has viewers of a stream, where
//! another node wants it, or the one that a stream comes from, where another node has it. So nothing of a viewer's path knows that there
//! are links, and a node that is alone has none of this.
//!
//! ```text
//!   the publisher's node                                      another node
//!   worker ──lane──▶ link worker ═══ SRTP over UDP ═══▶ link worker ──lane──▶ workers ──▶ viewers
//!            ◀─wishes─            ◀══ reports, wishes ══            ◀─wishes─
//! ```
//!
//! What crosses is what a lane carries ([`crate::relay::store::record`]): packets on their publisher's numbers, so that it does not
//! matter to a viewer which way they came, and what is to be known of them. Packets go as RTP of their own form
//! ([`packet`](mod@packet)), the rest whole and in order beside them ([`told`]). Times are moved from one node's clocks to the other's.
//!
//! | File | Holds |
//! |---|---|
//! | [`link_worker`], [`round`] | the parts; the order of a round |
//! | [`incoming`], [`lifecycle`], [`wishes`], [`outgoing`] | what is done in one |
//! | [`table`] | the streams that pass, and who is sent them |
//! | [`child`], [`parent`] | one that is sent a stream, and one that sends it |
//! | [`packet`](mod@packet), [`told`] | what passes, and what of it comes whole and in order |
//! | [`routes`] | the streams that links have a part in |
//! | [`mailbox`], [`report`] | what is asked of all this, and what it tells |
//!
//! # Rules
//!
//! - **A link carries one stream** one way, under keys of its own. The child's address is where its authentic packets come from.
//! - **Recovery is each link's**: a line has its own numbers, and what is lost between two nodes is asked for there, after
//!   [`NACK_GRACE`](crate::limits::NACK_GRACE) and then once in a round trip. What cannot be had any more is a gap to all behind it, and
//!   one request for a key frame.
//! - **Only what is wanted crosses**: the encodings that viewers behind the link are sent, and a key frame's packets once.
//! - **Nothing is delayed for order**: a packet goes on as it comes, unless what was told before it is missing.
//!
//! - **A second parent** waits, and takes the first one's place when that falls silent ([`LINK_FAIL_OVER_SILENCE`](crate::limits::LINK_FAIL_OVER_SILENCE)):
//!   it goes on behind what is here, out of its ring, so that viewers see no gap.
//! - **A publisher's data channels** go with its stream, whole and in order.
//!
//! - **Who has no source is silent**: a node whose own parent is gone answers no reports, so that those behind it turn to others.
//!
//! Known: a repeat that lies more than [`SRTP_REPLAY_WINDOW_PACKETS`](crate::limits::SRTP_REPLAY_WINDOW_PACKETS) behind its line's newest
//! is not taken, so that of a start with more packets than that (five seconds of 4 Mbit/s) a loss in the first half is a gap; after a fail-over
//! a viewer's data channels are opened anew.
//!
//! Left out: what a viewer says to a publisher on another node; pacing (a link is not a viewer's thin line), congestion control, and TLS
//! where UDP does not pass.

mod child;
mod incoming;
mod lifecycle;
pub mod link_worker;
pub mod mailbox;
mod outgoing;
pub mod packet;
mod parent;
pub mod report;
mod round;
mod routes;
mod table;
#[cfg(test)]
mod tests;
mod told;
mod wishes;

//! One pinned core: the synchronous worker that joins sessions and streams, and its event loop.
//!
//! A packet's way, one file after the other:
//!
//! | Step | File |
//! |---|---|
//! | wait for datagrams, mail or a deadline; one round after the other | [`event_loop`] |
//! | a datagram finds its session and is opened in place | `inbound` |
//! | the publisher's packet is stored once and goes to the other workers | `publisher`, [`lane`] |
//! | cursors are visited; headers written, payloads sealed into trains | `egress` |
//! | a viewer's feedback: retransmissions, key-frame requests; sender reports | `viewer` |
//! | DTLS of joins: a few datagrams a round, the rest after media | `handshakes` |
//! | control messages, routes, reports | `control`, [`report`] |
//! | why something was dropped | [`reason`] |
//! | residence times, train lengths | `live` |
//!
//! Nothing in a worker is shared: what reaches it from outside comes through [`mailbox`] and [`lane`].

mod control;
mod counters;
mod egress;
pub mod event_loop;
mod feedback;
pub mod flow_table;
mod handshakes;
#[cfg(any(test, feature = "peer"))]
pub mod holdings;
mod inbound;
pub mod lane;
mod live;
pub mod mailbox;
pub mod peer;
#[cfg(any(test, feature = "peer"))]
mod preconnected;
mod publisher;
pub mod reason;
pub mod report;
mod reporting;
mod round;
pub mod stream;
pub mod timers;
mod viewer;

pub use round::{WallClock, Worker, WorkerConfig};

//! One pinned core: the synchronous worker that joins sessions and streams, and its event loop.
//!
//! # Phases
//!
//! [`event_loop`] waits for datagrams, mail or a deadline and runs one `round` after the other. A round is a fixed order of
//! phases, each in a folder by its direction; a phase is given `&mut` to the parts it touches and to no others.
//!
//! | Folder | What happens |
//! |---|---|
//! | `inbound` | a datagram finds its session and is opened in place; a publisher's packet is stored once and goes to the other workers; feedback is taken; lanes are read |
//! | `control` | signalling's requests, routes, reports; peers' deadlines |
//! | `outbound` | other workers are told which encodings are wanted; key frames are asked for, lost packets sent again; cursors visited, headers written, payloads sealed into trains; sender reports |
//!
//! Three walks through these files; in brackets what each calls in the layer below, and comes back from:
//!
//! - **A packet**: `inbound/datagram` (`session/peer`, `srtp/receiver`), `inbound/media` (`relay/publish/publication`),
//!   `distribution`, [`stream`] (`relay/store/encoding`; and [`lane`] to the other workers, there `inbound/lanes`),
//!   `outbound/fan_out`, `outbound/visit` (`relay/play/subscription`, `srtp/sender`), `outbox` (`net/send`).
//! - **A session**: `control/messages`, `lifecycle` (open); `inbound/datagram`, `inbound/binding` (`session/peer`, `ice/checks`),
//!   `lifecycle` (its events: paths, connected, ended).
//! - **A NACK**: `inbound/datagram`, `inbound/feedback`, `repairs`, `outbound/retransmission` (`relay/play/subscription` and
//!   `rewriter` say which packet was meant and write its header), `outbox`.
//!
//! # Parts
//!
//! Each hides its fields.
//!
//! | Part | Holds |
//! |---|---|
//! | `peers` | [`peer`]s by key, number, user fragment, path ([`crate::transport::path_table`]) and deadline ([`timers`]) |
//! | [`stream`], [`streams`] | a stream with its encodings; all of them, and the queues of those with something to do; `tracks`: which tracks there are |
//! | `demand` | which encodings of a stream are wanted here |
//! | [`lane`], `replay` | records to and from other workers; those since the newest key frame, where somebody begins to want them |
//! | `mail` | the worker's end of the [`mailbox`] |
//! | `channels` | data channels: whose there are, and who has something to do |
//! | `repairs`, `repair_budget` | packets to be sent again, and each viewer's allowance |
//! | [`starts`] | when a viewer's track began at a key frame of the ring, and whether it begins there once more |
//! | `adaptation` | what a viewer's network carries, and its last switches |
//! | `outbox` | the batch that is filled; `residence` and `train_lengths` of what has left |
//! | `handshakes` | DTLS of joins: a few datagrams a round, the rest after media |
//! | `plain_bindings` | the rate of answers to strangers |
//! | `counters`, `load` | what is told in a [`report`]; why something was dropped: [`reason`] |
//!
//! `lifecycle` is what the phases share: a session is opened, tells what happened to it, ends. `rekey` is how its keys change:
//! two transports for a while, of a publisher also `next_publisher`. Both are made of `transports`.
//!
//! Nothing in a worker is shared: what reaches it from outside comes through [`mailbox`] and [`lane`].

mod adaptation;
mod channel_work;
mod channels;
mod compound_rtcp;
mod config;
mod control;
mod counters;
mod demand;
mod disputes;
mod distribution;
pub mod event_loop;
mod handshakes;
#[cfg(any(test, feature = "peer"))]
pub mod holdings;
mod in_place;
mod inbound;
pub mod lane;
pub mod layers;
mod lifecycle;
pub mod links;
mod load;
mod mail;
pub mod mailbox;
mod narrow_path;
mod next_publisher;
mod outbound;
mod outbox;
pub mod peer;
mod peer_channels;
mod peers;
mod picture_counts;
mod plain_bindings;
#[cfg(any(test, feature = "peer"))]
mod preconnected;
pub mod reason;
pub mod recent_repeats;
pub mod redundant_sound;
mod rekey;
mod repair_budget;
mod repairs;
mod replay;
pub mod report;
mod residence;
mod round;
mod send_progress;
pub mod starts;
pub mod stream;
mod stream_channels;
pub mod streams;
pub mod timers;
mod tracks;
mod train_lengths;
mod transports;

pub use config::{KeyPolicy, WallClock, WorkerConfig};
pub use round::Worker;

//! Corecast: a broadcast edge for WebRTC.
//!
//! One publisher sends a stream in (WHIP), and thousands of viewers of the same machine watch it (WHEP). Every packet
//! is encrypted for the one viewer that it goes to. The node relays: it does not decode, transcode or mix. This is the
//! library behind the `corecast` program; how to run that is in `README.md`, and how to use it in `src/manual/`.
//!
//! # The picture
//!
//! ```text
//!                     one TCP port                                one UDP port per core
//!   browser, encoder ─────────────┐                           ┌───────────────────────── publishers, viewers
//!                                 ▼                           ▼
//!            ┌── signal: one thread ──────┐    ┌── worker 0: one pinned thread ─────────────────────┐
//!            │ TLS · HTTP · pages         │    │ net      wait ─▶ datagrams        trains ─▶ kernel │
//!            │ WHIP · WHEP · WSS · SDP    │    │             │                        ▲             │
//!            │ placement: hash (session)  │    │ session  ICE · DTLS · SRTP open     SRTP seal      │
//!            │ metrics and JSON           │◀──▶│             │                        │             │
//!            └────────────────────────────┘    │ relay    stored once in a ring ──▶ read by cursors │
//!                 bounded mailboxes            └──────────────▲─────────────────────────────────────┘
//!                                                             ║ lanes: each packet of a stream once
//!                                              ┌──────────────▼─────────────────────┐
//!                                              │ workers 1 … N: the same, all alike │
//!                                              └────────────────────────────────────┘
//! ```
//!
//! A worker owns its core, ports, buffers, sessions, keys, streams and counters, and shares none of them. It hears from
//! other threads through its mailbox ([`worker::mailbox`], control) and its lanes ([`worker::lane`], packets). Both are
//! bounded, and both document what happens when they are full. Sessions are hashed to workers ([`placement`]); streams
//! are not, because a stream larger than one core is the normal case.
//!
//! # A packet's life
//!
//! 1. **Wait.** [`worker::event_loop`] waits once for datagrams, mail from another thread, or the nearest deadline
//!    ([`net::Io`]), and then runs one bounded round of [`worker::Worker`]. A round has three phases: `worker/inbound`
//!    (steps 2 to 5), `worker/control` and `worker/outbound` (steps 6 and 7).
//! 2. **Find.** [`wire::demux`] sorts a datagram by its first byte (RFC 7983). A STUN message names its session by the
//!    ICE user fragment. Every other datagram must come from an address that a valid ICE check came from
//!    ([`transport::path_table`]).
//! 3. **Open.** [`session`] authenticates and decrypts the publisher's packet in place ([`srtp::SrtpReceiver`]). From
//!    here on the packet is read-only.
//! 4. **Judge.** [`relay::publish::publication`] finds the track and encoding and decides whether the packet is forwarded. Probes
//!    and duplicates are not, and the numbering is closed over what is left out ([`relay::publish::numbering`]). The
//!    packet is also recorded for the publisher's feedback: loss ([`relay::publish::reception`]) and arrival times
//!    ([`relay::publish::arrivals`]).
//! 5. **Store once.** The packet becomes a [`relay::store::record`]. It is put into the [`relay::store::packet_ring`]
//!    of its encoding on this worker and, through a [`worker::lane`], on every other worker that has viewers of the
//!    stream.
//! 6. **Visit.** [`relay::play::fan_out`] keeps the set of viewers whose cursor is behind the ring's newest packet. A
//!    visit sends a bounded run of packets to one of them; [`relay::play::subscription`] writes this viewer's own
//!    header for each, numbered by its [`relay::play::rewriter`].
//! 7. **Seal.** [`srtp::SrtpSender`] encrypts the payload from the ring straight into the send slot. Each (key, SSRC,
//!    index) is sealed at most once. The packets of a visit lie one after the other; a run of equal size is a train
//!    ([`transport::train`]).
//! 8. **Send.** [`net::uring`] or [`net::mmsg`] hands the batch to the kernel: each train is one message, which the
//!    kernel cuts into datagrams (UDP GSO). Then the loop waits again.
//!
//! A viewer that lost a packet asks for it by a NACK, and steps 6 to 8 are repeated from the same ring. A slow viewer
//! only delays its own cursor, and skips to the next key frame when it is too far behind.
//!
//! # Layers
//!
//! A module names only modules of its own layer and of layers with a lower number, which are nearer to the wire. No
//! layer names the laboratory, which stands beside them. `tests/house.rs` reads this table; it fails, and prints the
//! offending line, when a module names a higher layer or when files form a circle.
//!
//! | Layer | Modules | Hold |
//! |---|---|---|
//! | 0 wire | [`wire`] | bytes ↔ values: no state, no clock, no I/O, no allocation |
//! | 0 crypto | [`crypto`] | the door to the cryptographic libraries (DTLS's own stay in [`dtls`], TLS's in [`signal`]) |
//! | 1 protocol | [`transport`], [`description`], [`ice`], [`srtp`], [`dtls`], [`turn`], [`data`], [`session`], [`relay`], [`bandwidth`] | state machines without I/O: bytes and `now` in; bytes, events and the next deadline out |
//! | 2 machine | [`net`], [`worker`], [`placement`] | sockets, rings, threads, and the event loop that joins sessions to streams; the only `unsafe` is in [`net`] |
//! | 3 front | [`signal`], [`cluster`], [`auth`], [`web`], [`metrics`], [`config`], [`cli`], [`server`], [`doctor`] | what browsers, programs and operators talk to, and the program's start and end |
//! | beside | `lab` (feature) | the client side of the protocol, load and benches: they measure the node and are no part of it |
//! | any | [`limits`], [`time`], [`rate`] | every bound of the node with its reason; points in time as values, without a clock; how often something may happen |
//!
//! [`session`] and [`relay`] do not know each other: [`worker`] joins them, and what was agreed with the peer reaches
//! both as a [`description`]. Trains of datagrams are plain data in [`transport`]. A path is a number there, and only
//! the sender looks up its address. Sessions can therefore write into the send slots themselves, and no protocol names
//! [`net`].
//!
//! Below [`net`] and the event loop nothing reads a clock, a socket or a random source. Time, bytes and seeds are
//! arguments, so one seed replays a whole run.
pub mod auth;
pub mod bandwidth;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod crypto;
pub mod data;
pub mod description;
pub mod doctor;
pub mod dtls;
pub mod ice;
#[cfg(feature = "peer")]
pub mod lab;
pub mod limits;
pub mod metrics;
pub mod net;
pub mod placement;
pub mod rate;
pub mod relay;
pub mod server;
pub mod session;
pub mod signal;
pub mod srtp;
pub mod time;
pub mod transport;
pub mod turn;
pub mod web;
pub mod wire;
pub mod worker;

//! Corecast: a broadcast edge for WebRTC.
//!
//! One publisher sends a stream in (WHIP), thousands of viewers on the same machine watch it (WHEP), every packet
//! encrypted for the one viewer it goes to. It relays: nothing is decoded, transcoded or mixed. This is the library
//! behind the `corecast` program; how to run that is in `README.md`, and how to use it in `src/manual/`.
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
//! A worker owns its core, ports, buffers, sessions, keys, streams and counters, and shares none of them. What reaches
//! it from outside comes by mailbox (control) or by lane (packets); both are bounded, and both say what happens when
//! they are full. Sessions are hashed to workers, not streams: one stream larger than one core is the normal case.
//!
//! # A packet's life
//!
//! 1. **Wait.** [`worker::event_loop`] waits once for datagrams, mail from another thread, or the nearest deadline
//!    ([`net::Io`]), and then runs one bounded round of [`worker::Worker`].
//! 2. **Find.** [`wire::demux`] sorts a datagram by its first byte (RFC 7983). STUN names its session by the user
//!    fragment; everything else must come from an address that a valid ICE check came from ([`transport::path_table`]).
//! 3. **Open.** [`session`] decrypts the publisher's packet in place ([`srtp`]). From here on it is only read.
//! 4. **Judge.** [`relay::publish::publication`] finds the track and decides what is forwarded: no probes, no duplicates, no
//!    holes; and feeds what the publisher is told (loss, arrival times).
//! 5. **Store once.** The packet becomes a [`relay::store::record`], put into the [`relay::store::packet_ring`] of its encoding here
//!    and, through a [`worker::lane`], into the one of every other worker that has viewers of the stream.
//! 6. **Visit.** [`relay::play::fan_out`] knows whose cursor is behind. A visit takes a bounded run of packets for one viewer:
//!    [`relay::play::subscription`] writes that viewer's own header for each, numbered by its [`relay::play::rewriter`].
//! 7. **Seal.** [`srtp::SrtpSender`] encrypts the payload from the ring straight into the send slot; one (key, SSRC,
//!    index) is sealed once, ever. A visit's packets lie one after the other, equal in size: a train ([`transport::train`]).
//! 8. **Send.** The batch goes to the kernel, each train as one message that it cuts into datagrams (UDP GSO), by
//!    [`net::uring`] or [`net::mmsg`]. Timers and notices, and the loop waits again.
//!
//! A viewer that lost a packet asks for it; steps 6 to 8 repeat from the same ring. A viewer that is slow lags behind
//! by its own cursor only, and skips to the next key frame when it lags too far.
//!
//! # Layers
//!
//! Each names only modules of its own layer and of those with a lower number, which are nearer to the wire; nobody names
//! what stands beside. `tests/house.rs` reads this table and fails with the line that draws an arrow upward or a circle.
//!
//! | Layer | Modules | Hold |
//! |---|---|---|
//! | 0 wire | [`wire`] | bytes ↔ values: no state, no clock, no I/O, no allocation |
//! | 0 crypto | [`crypto`] | the door to the cryptographic libraries (DTLS's own stay in [`dtls`], TLS's in [`signal`]) |
//! | 1 protocol | [`transport`], [`description`], [`ice`], [`srtp`], [`dtls`], [`session`], [`relay`] | state machines without I/O: bytes and `now` in; bytes, events and the next deadline out |
//! | 2 machine | [`net`], [`worker`], [`placement`] | sockets, rings, threads; the only `unsafe` is in [`net`] |
//! | 3 front | [`signal`], [`auth`], [`web`], [`metrics`], [`config`], [`cli`], [`server`], [`doctor`] | people, programs and operators |
//! | beside | `lab` (feature) | the client side of the protocol, load and benches: what measures the node and is no part of it |
//! | any | [`limits`], [`time`] | every bound of the node with its reason; the clock's values, not the clock |
//!
//! [`session`] and [`relay`] do not know each other: [`worker`] joins them, and what was agreed with the peer reaches
//! both as a [`description`]. Trains of datagrams are plain data in [`transport`], and a path is a number there whose
//! address only the sender looks up; so sessions write into the send slots themselves and no protocol names [`net`].
//!
//! Below [`net`] and the event loop nothing reads a clock, a socket or a random source: those are arguments, so that one
//! seed replays everything.
pub mod auth;
pub mod cli;
pub mod config;
pub mod crypto;
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
pub mod relay;
pub mod server;
pub mod session;
pub mod signal;
pub mod srtp;
pub mod time;
pub mod transport;
pub mod web;
pub mod wire;
pub mod worker;

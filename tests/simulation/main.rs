//! The whole node in simulated time, from one seed.
//!
//! Production workers, unchanged, several in one thread; the load tester's publishers and viewers; and between them a
//! network that loses, delays, reorders, duplicates and breaks, on one virtual clock in which work costs time. Rules are
//! checked at every step. One seed is one run: what fails once fails again.
//!
//! | File | Holds |
//! |---|---|
//! | `world` | the clock, what happens next, what a worker sealed on its way to a viewer |
//! | `node`, `io`, `cost` | a worker, its sockets, what its work costs |
//! | `link` | one direction between a client and the node, by UDP |
//! | `tcp`, `turn`, `ways` | a connection, a TURN client in it, and how clients go over to them |
//! | `data` | data channels |
//! | `rekeys` | clients whose keys change while they play or publish |
//! | `signalling` | opening, closing and routing through the bounded mailboxes |
//! | `client`, `script` | clients, and media that tells which packet of which stream it is |
//! | `scenario`, `events`, `faults` | what a seed becomes, what happens beside the network, every kind of fault counted |
//! | `forger` | somebody who invents source addresses and sends again what he saw |
//! | `ending` | everyone leaves, and nothing may be left |
//! | `check/` | the rules; `proofs` shows each of them fire |
//! | `scale`, `crowds` | one worker against several; crowds that come and go |
//! | `runner` | the seeds of every test run, the replay of one, campaigns |
//!
//! Left out: signalling's HTTP and SDP (their own tests), the real sockets and rings (`tests/parts/net_io.rs`), DTLS with RSA
//! certificates (`tests/parts/dtls_openssl.rs`), TLS around TURN (`tests/node/over_turn.rs`), probes and SSRC changes of publishers (`tests/parts/worker_media.rs`).

mod check;
mod client;
mod cost;
mod crowds;
mod data;
mod ending;
mod events;
mod faults;
mod forger;
mod io;
mod link;
mod node;
mod proofs;
mod rekeys;
mod runner;
mod scale;
mod scenario;
mod script;
mod signalling;
mod tcp;
mod totals;
mod turn;
mod ways;
mod world;

//! Signalling in simulated time, from one seed: the real front, book, grants, limits, turns, sockets and webhook client, on
//! one thread whose clock jumps, over connections that are cut, late, stalled, reset and swallowed.
//!
//! Clients publish, play, follow, restart, leave, crash, come back from elsewhere, over HTTP/1.1 and HTTP/2, in plain and over
//! TLS, and over WebSocket. Hostile ones flood beside them. The webhook is slow, silent, broken; the node's thread stalls; the
//! machine's clock jumps. Then all that ends, and *within five seconds every honest client plays*. Then everybody leaves, and
//! nothing may be left; then the node is told to stop.
//!
//! "Plays" means: its session is open and connected at its worker, and media would flow. The workers are doubles ([`workers`])
//! that do with sessions and routes what the real ones do, and move no media (`tests/simulation` has the real ones): a viewer
//! plays where the publisher's worker has been told of the viewer's worker after that one last began to listen, and that one
//! of the publisher's.
//!
//! | File | Holds |
//! |---|---|
//! | `scenario` | what a seed becomes |
//! | `world` | what everybody shares: the time of calm, counts, broken rules |
//! | `node` | the node under test, and its figures as an operator reads them |
//! | `workers` | the doubles |
//! | `webhook` | the operator's endpoint, in memory, and its faults |
//! | `wire` | a client's connections and requests: HTTP/1.1, HTTP/2, TLS |
//! | `honest`, `sockets` | publishers, viewers and followers |
//! | `hostile` | floods |
//! | `rules` | what is checked, when |
//! | `runner`, `proofs` | which seeds are run; each rule fires |
//!
//! Left out: `auth.jwks` and tokens that the node judges itself (they read the system's clock), media over TCP, the kept
//! connections of the webhook's client, a bound of one session per token (whose answer is lost waits for its session's end).

mod honest;
mod hostile;
mod node;
mod proofs;
mod rules;
mod runner;
mod scenario;
mod sockets;
mod webhook;
mod wire;
mod workers;
mod world;
